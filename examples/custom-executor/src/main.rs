//! An executor with handlers of its own.

mod handlers;

use std::process::ExitCode;

use leasehold_executor::program;

#[tokio::main]
async fn main() -> ExitCode {
    program::run(|executor| executor.handler("invoice", handlers::invoice).handler("remind", handlers::remind)).await
}
