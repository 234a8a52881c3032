//! `leasehold watch`: completion reports as they come.

use clap::Args;
use leasehold_common::id::TenantId;
use leasehold_common::store::{RunFilter, SharedStore};
use leasehold_ops::shutdown;

use crate::cli::{FilterArgs, OutputArgs};
use crate::failure::Failure;
use crate::follow::{Printer, Tail};

/// Print completion reports as they come.
///
/// There is one report for each attempt that ended, and one for each run that ended without starting. A store that
/// goes away is waited for; no report is missed and none comes twice.
#[derive(Args, Debug)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    filter: FilterArgs,

    /// Start behind the report with this `seq`; 0 starts with the oldest that is kept [default: now]
    #[arg(long, value_name = "SEQ", value_parser = clap::value_parser!(i64).range(0..))]
    after: Option<i64>,

    #[command(flatten)]
    output: OutputArgs,
}

impl WatchArgs {
    /// The tenant, if it is about one and no other.
    pub(crate) fn tenant(&self) -> Option<&TenantId> {
        self.filter.tenant()
    }
}

/// Prints until it is interrupted, or until nobody reads any more.
pub(crate) async fn run(store: SharedStore, args: WatchArgs) -> Result<(), Failure> {
    let stop = shutdown::on_signal();
    let after = match args.after {
        Some(after) => after,
        None => store.last_seq().await?,
    };
    let FilterArgs { tenants, jobs, outcomes } = args.filter;
    let filter = RunFilter { tenants, jobs, outcomes, states: Vec::new() };
    let printer = Printer::start(args.output.output)?;
    Tail::new(store, filter, printer, after).follow(&stop).await
}
