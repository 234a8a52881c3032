//! `leasehold-scheduler`: a replica of the scheduler fleet.

use std::process::ExitCode;

use clap::Parser;
use leasehold_common::store::SharedStore;
use leasehold_ops::args::{LogArgs, OpsArgs, StoreArgs};
use leasehold_ops::health::Health;
use leasehold_ops::healthcheck::{self, Invocation};
use leasehold_ops::queues::Queues;
use leasehold_ops::server::{self, OpsServer};
use leasehold_ops::{exit, recorder, shutdown, telemetry};
use leasehold_scheduler::args::SchedulerArgs;
use leasehold_scheduler::callbacks::{self, CallbackArgs, CallbackServer};
use leasehold_scheduler::{Scheduler, SchedulerOptions};
use tokio_util::sync::CancellationToken;

const NAME: &str = env!("CARGO_PKG_NAME");
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Elects a leader among its replicas, which puts due work into the queue and takes back what was lost.
#[derive(Debug, Parser)]
#[command(name = NAME, version)]
struct Cli {
    #[command(flatten)]
    store: StoreArgs,

    #[command(flatten)]
    scheduler: SchedulerArgs,

    #[command(flatten)]
    callbacks: CallbackArgs,

    #[command(flatten)]
    ops: OpsArgs<7071>,

    #[command(flatten)]
    log: LogArgs,
}

#[tokio::main]
async fn main() -> ExitCode {
    match healthcheck::parse::<Cli, 7071>() {
        Invocation::Healthcheck(address) => healthcheck::run(address).await,
        Invocation::Run(cli) => run(cli).await.unwrap_or_else(|code| code),
    }
}

/// The error is an exit code whose reason has been told.
async fn run(cli: Cli) -> Result<ExitCode, ExitCode> {
    let options = cli.scheduler.options().map_err(|error| exit::failure(exit::USAGE, error))?;
    telemetry::init(&cli.log);
    let (health, shutdown, queues) = (Health::new(), shutdown::on_signal(), Queues::default());
    let ops = start_ops(&cli.ops, &health, &queues).await?;
    let scheduled = tokio::select! {
        scheduler = open(&cli, options, &health) => Some(scheduler?),
        () = shutdown.cancelled() => None,
    };
    if let Some((scheduler, store)) = scheduled {
        queues.opened(store.clone());
        let callbacks = serve_callbacks(&cli.callbacks, &store).await?;
        scheduler.run(shutdown).await;
        if let Some(callbacks) = callbacks {
            callbacks.stop().await;
        }
        store.close().await;
    }
    ops.stop().await;
    Ok(ExitCode::SUCCESS)
}

async fn start_ops(args: &OpsArgs<7071>, health: &Health, queues: &Queues) -> Result<OpsServer, ExitCode> {
    let metrics = recorder::install(NAME, VERSION).map_err(|error| exit::failure(exit::FAILED, error))?;
    let metrics = metrics.with_queues(queues.clone());
    server::serve(args.ops_listen, health.clone(), metrics, queues.route(), CancellationToken::new())
        .await
        .map_err(|error| exit::failure(exit::FAILED, error))
}

async fn serve_callbacks(args: &CallbackArgs, store: &SharedStore) -> Result<Option<CallbackServer>, ExitCode> {
    let Some(address) = args.callback_listen else { return Ok(None) };
    let served = callbacks::serve(address, store.clone()).await;
    served.map(Some).map_err(|error| exit::failure(exit::FAILED, error))
}

async fn open(cli: &Cli, options: SchedulerOptions, health: &Health) -> Result<(Scheduler, SharedStore), ExitCode> {
    let told = |error| exit::store_error(&error);
    let options_of_store = leasehold_store::Options { name: NAME.to_owned(), create: false, ..Default::default() };
    let store = leasehold_store::open(&cli.store.store, &options_of_store).await.map_err(told)?;
    store.check_schema().await.map_err(told)?;
    let (lease, kind) = leasehold_store::open_lease(cli.scheduler.lease_url(), &store).await.map_err(told)?;
    Ok((Scheduler::new(store.clone(), lease, kind, options, health.clone()), store))
}
