//! `leasehold lease`: what elects the leader.

use clap::{Args, Subcommand, ValueEnum};
use leasehold_common::lease::LeaseKind;
use leasehold_common::store::Store;

use crate::failure::Failure;
use crate::out;

/// Show or change what elects the leader.
#[derive(Args, Debug)]
pub(crate) struct LeaseArgs {
    #[command(subcommand)]
    command: LeaseCommand,
}

#[derive(Debug, Subcommand)]
enum LeaseCommand {
    /// Show the recorded kind, or record another one
    ///
    /// The kind is recorded by the first election, so that replicas with different settings never lead side by side.
    /// Changing it ends the current term: stop the schedulers, change it, and start them with the new setting.
    Kind {
        /// The kind to record
        #[arg(value_name = "KIND")]
        kind: Option<Kind>,
    },
}

/// A kind as an argument.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// The lease row of the store
    Store,
    /// A lock in Redis, with schedulers that run with --lease redis://…
    Redis,
}

impl From<Kind> for LeaseKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Store => Self::Store,
            Kind::Redis => Self::Redis,
        }
    }
}

/// Prints the kind that is recorded afterwards.
pub(crate) async fn run(store: &dyn Store, args: &LeaseArgs) -> Result<(), Failure> {
    let LeaseCommand::Kind { kind } = &args.command;
    if let Some(kind) = kind {
        store.set_lease_kind((*kind).into()).await?;
    }
    let text = match store.lease_kind().await? {
        Some(kind) => kind.to_string(),
        None => "none: the first election records it".to_owned(),
    };
    out::print(&format!("{text}\n"))
}
