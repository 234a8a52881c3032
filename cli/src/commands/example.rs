//! `leasehold example`: the services that the examples talk to.
//!
//! They are part of this binary so that a first look needs nothing else.

mod orders;

use clap::{Args, Subcommand};

use crate::failure::Failure;

/// Services that the examples talk to.
#[derive(Args, Debug)]
pub(crate) struct ExampleArgs {
    #[command(subcommand)]
    command: ExampleCommand,
}

#[derive(Debug, Subcommand)]
enum ExampleCommand {
    /// A small order service: totals the order file of a tenant on request
    Orders(orders::OrdersArgs),
}

/// Runs the service until it is told to stop.
pub(crate) async fn run(args: ExampleArgs) -> Result<(), Failure> {
    match args.command {
        ExampleCommand::Orders(args) => orders::run(args).await,
    }
}
