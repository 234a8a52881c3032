//! `leasehold status`: how the system stands.

use clap::Args;
use leasehold_common::store::Store;

use crate::cli::{Format, OutputArgs};
use crate::failure::Failure;
use crate::out;
use crate::render::status;
use crate::render::style::Palette;

/// What needs attention, who leads, what waits.
///
/// First what somebody should look at: nobody leads, no executor works, due work waits. Then the leader with its term,
/// the executors, the queue with the age of its oldest item, and the next due time.
#[derive(Args, Debug)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    output: OutputArgs,
}

/// Prints the status.
pub(crate) async fn run(store: &dyn Store, args: &StatusArgs) -> Result<(), Failure> {
    let status = store.status().await?;
    match args.output.output {
        Format::Json => out::print_json(&status),
        Format::Table => out::print(&status::overview(&status, Palette::stdout())),
    }
}
