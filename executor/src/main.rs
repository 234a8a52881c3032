//! `leasehold-executor`: the executor for jobs with `http` and `command`.

use std::process::ExitCode;

use leasehold_executor::program;

#[tokio::main]
async fn main() -> ExitCode {
    program::run(|executor| executor).await
}
