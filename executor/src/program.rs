//! The `main` of an executor binary: flags, logs, metrics, health, signals, exit codes.
//!
//! `leasehold-executor` is this and nothing else; a binary with handlers of its own is this with the handlers.

use std::process::ExitCode;

use clap::Parser;
use leasehold_common::store::{SharedStore, StoreResult};
use leasehold_ops::args::{LogArgs, OpsArgs, StoreArgs};
use leasehold_ops::health::Health;
use leasehold_ops::healthcheck::{self, Invocation};
use leasehold_ops::queues::Queues;
use leasehold_ops::{exit, recorder, server, shutdown, telemetry};
use tokio_util::sync::CancellationToken;

use crate::args::ExecutorArgs;
use crate::executor::Executor;

/// The ops port of an executor.
const OPS_PORT: u16 = 7072;

/// Claims due runs from the store, runs them and reports how they ended.
///
/// Start as many as you like: they share the work. SIGTERM drains: no more claims, and what runs may finish.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    executor: ExecutorArgs,
    #[command(flatten)]
    ops: OpsArgs<OPS_PORT>,
    #[command(flatten)]
    log: LogArgs,
}

/// Parses the command line and runs an executor until SIGTERM or SIGINT and the drain that follows. `register` adds
/// handlers:
///
/// ```no_run
/// use std::process::ExitCode;
/// use leasehold_executor::{HandlerError, RunContext, program};
/// use serde_json::Value;
///
/// async fn sync_orders(ctx: RunContext) -> Result<Value, HandlerError> {
///     Ok(Value::Null)
/// }
///
/// #[tokio::main]
/// async fn main() -> ExitCode {
///     program::run(|executor| executor.handler("sync-orders", sync_orders)).await
/// }
/// ```
pub async fn run(register: impl FnOnce(Executor) -> Executor) -> ExitCode {
    match healthcheck::parse::<Cli, OPS_PORT>() {
        Invocation::Healthcheck(address) => healthcheck::run(address).await,
        Invocation::Run(cli) => start(cli, register).await,
    }
}

async fn start(cli: Cli, register: impl FnOnce(Executor) -> Executor) -> ExitCode {
    telemetry::init(&cli.log);
    let workdir = &cli.executor.workdir;
    if !workdir.is_dir() {
        return exit::failure(exit::USAGE, format!("--workdir {} is not a folder", workdir.display()));
    }
    let shutdown = shutdown::on_signal();
    let store = match open(&cli.store.store).await {
        Ok(store) => store,
        Err(error) => return exit::store_error(&error),
    };
    let metrics = match recorder::install("leasehold-executor", env!("CARGO_PKG_VERSION")) {
        Ok(metrics) => metrics,
        Err(error) => return exit::failure(exit::FAILED, error),
    };
    let health = Health::new();
    let served = CancellationToken::new();
    let queues = Queues::of(store.clone()).route();
    let ops = match server::serve(cli.ops.ops_listen, health.clone(), metrics, queues, served).await {
        Ok(ops) => ops,
        Err(error) => return exit::failure(exit::FAILED, error),
    };
    let executor = register(Executor::new(store.clone(), cli.executor.options()).health(&health));
    executor.run(shutdown).await;
    store.close().await;
    ops.stop().await;
    ExitCode::SUCCESS
}

async fn open(url: &str) -> StoreResult<SharedStore> {
    let options =
        leasehold_store::Options { name: "leasehold-executor".to_owned(), create: false, ..Default::default() };
    let store = leasehold_store::open(url, &options).await?;
    store.check_schema().await?;
    Ok(store)
}
