//! `leasehold dev`: everything in one process.
//!
//! A scheduler, an executor, the ops server and the tail of reports share this process and a store; companions that
//! the config names run beside it. The order of things: companions and store first, so that the first run finds what
//! it needs; at the end the executor drains, then the last reports are printed, then the companions end.
//!
//! The store belongs to the config unless `--store` names another: so a dead `dev` of the same config may be relieved
//! of its lease, and any share of the jobs may be removed.

mod companions;
mod reload;
mod successor;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use leasehold_common::config::Config;
use leasehold_common::lease::LeaseKind;
use leasehold_common::store::{Lease, RunFilter, SharedStore};
use leasehold_executor::args::ExecutorArgs;
use leasehold_executor::{Executor, IpNet};
use leasehold_ops::args::{LogArgs, OpsArgs};
use leasehold_ops::health::Health;
use leasehold_ops::queues::Queues;
use leasehold_ops::server::{self, OpsServer};
use leasehold_ops::{recorder, shutdown, telemetry};
use leasehold_scheduler::args::SchedulerArgs;
use leasehold_scheduler::callbacks::{self, CallbackArgs, CallbackServer};
use leasehold_scheduler::{Scheduler, SchedulerOptions};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::companions::Companions;
use self::reload::{Reload, Stamp};
use crate::apply;
use crate::cli::{OutputArgs, StoreUrl};
use crate::failure::Failure;
use crate::follow::{Printer, Tail};
use crate::render::text::one_line;

/// Run everything in this process: for a first look, and for development.
///
/// Applies the config file to its store, starts the services that the file names under `dev`, leads, runs what is due
/// and prints completion reports as they come. When the file changes it is applied again. Ctrl-C stops claiming, lets
/// what runs finish, and exits.
///
/// Programs may run and loopback addresses may be reached here, without --allow-commands, --allow-hook-commands and --allow-net; programs run
/// in the config's folder.
#[derive(Args, Debug)]
pub(crate) struct DevArgs {
    /// The config file; without --store, the store is the SQLite file CONFIG.db beside it
    #[arg(value_name = "CONFIG")]
    file: PathBuf,

    /// With --store: allow the removal of more than 30 % of the jobs
    #[arg(long)]
    allow_removal: bool,

    #[command(flatten)]
    output: OutputArgs,

    #[command(flatten, next_help_heading = "Scheduler")]
    scheduler: SchedulerArgs,

    #[command(flatten, next_help_heading = "Scheduler")]
    callbacks: CallbackArgs,

    #[command(flatten, next_help_heading = "Executor")]
    executor: ExecutorArgs,

    #[command(flatten, next_help_heading = "Operation")]
    ops: OpsArgs<7070>,

    #[command(flatten, next_help_heading = "Operation")]
    log: LogArgs,
}

/// Runs until it is interrupted, and drains.
pub(crate) async fn run(args: DevArgs, url: &StoreUrl) -> Result<(), Failure> {
    let mut options = args.scheduler.options().map_err(|error| Failure::Invalid(error.to_string()))?;
    options.hook_commands = true;
    // Taken before the file is read, so that no change falls between the two.
    let seen = reload::stamp(&args.file);
    let config = apply::load(&args.file)?;
    telemetry::init(&args.log);
    let interrupted = shutdown::on_signal();
    let place = Place::of(&args, url, seen)?;
    let companions = Companions::start(&config.services, &place.folder);
    let result = serve(&args, options, &config, &place, &interrupted).await;
    companions.stop().await;
    result
}

/// Where things are.
struct Place {
    /// The config's folder, absolute.
    folder: PathBuf,
    store: StoreUrl,
    /// Whether the store is the config's own, a file beside it.
    own: bool,
    /// The state of the config that was read.
    seen: Option<Stamp>,
}

impl Place {
    fn of(args: &DevArgs, url: &StoreUrl, seen: Option<Stamp>) -> Result<Self, Failure> {
        let file = std::path::absolute(&args.file)
            .map_err(|error| Failure::Invalid(format!("cannot find {}: {error}", args.file.display())))?;
        let folder = file.parent().unwrap_or(Path::new("/")).to_owned();
        Ok(match url.given() {
            Some(_) => Self { folder, store: url.clone(), own: false, seen },
            None => Self { folder, store: StoreUrl::of(own_store(&args.file)?), own: true, seen },
        })
    }

    fn say(&self) {
        if self.own {
            // Shown only when it is a plain file name: another URL may hold a password.
            leasehold_ops::say!("store: {}", one_line(self.store.given().unwrap_or_default()));
        } else {
            leasehold_ops::say!("store: as --store or LEASEHOLD_STORE says");
        }
        leasehold_ops::say!(
            "programs may run, in {}; loopback addresses may be reached",
            one_line(&self.folder.display().to_string())
        );
    }
}

/// The whole name of the config with `.db` behind it, so that no two configs share a store.
fn own_store(file: &Path) -> Result<String, Failure> {
    match file.to_str() {
        Some(name) => Ok(format!("sqlite:{name}.db")),
        None => Err(Failure::Invalid(format!("{} is not UTF-8: name a store with --store", file.display()))),
    }
}

async fn serve(
    args: &DevArgs,
    options: SchedulerOptions,
    config: &Config,
    place: &Place,
    interrupted: &CancellationToken,
) -> Result<(), Failure> {
    place.say();
    let store_options = leasehold_store::Options { name: "leasehold-dev".to_owned(), ..Default::default() };
    let store = leasehold_store::open(place.store.url()?, &store_options).await?;
    let result = with_store(args, options, config, place, &store, interrupted).await;
    store.close().await;
    result
}

async fn with_store(
    args: &DevArgs,
    options: SchedulerOptions,
    config: &Config,
    place: &Place,
    store: &SharedStore,
    interrupted: &CancellationToken,
) -> Result<(), Failure> {
    store.migrate().await?;
    let after = store.last_seq().await?;
    let reload = Reload::new(store.clone(), &args.file, place.own || args.allow_removal, place.seen);
    reload.apply(config).await?;
    if place.own {
        successor::relieve_the_dead(&**store).await?;
    }
    let (lease, kind) = leasehold_store::open_lease(args.scheduler.lease_url(), store).await?;
    let health = Health::new();
    let ops = start_ops(args, &health, Queues::of(store.clone())).await?;
    let callbacks = serve_callbacks(args, store).await?;
    let printer = Printer::start(args.output.output)?;
    let mut tail = Tail::new(store.clone(), RunFilter::default(), printer, after);
    let parts = Parts { store, lease, kind, options, health: &health, callbacks: callbacks.address() };
    let result = parts.run(args, place, reload, &mut tail, interrupted).await;
    callbacks.stop().await;
    ops.stop().await;
    result
}

/// Without --callback-listen on any free port of this machine, so that jobs with `callback` just work.
async fn serve_callbacks(args: &DevArgs, store: &SharedStore) -> Result<CallbackServer, Failure> {
    let address = args.callbacks.callback_listen.unwrap_or((Ipv4Addr::LOCALHOST, 0).into());
    callbacks::serve(address, store.clone()).await.map_err(|error| Failure::Refused(error.to_string()))
}

async fn start_ops(args: &DevArgs, health: &Health, queues: Queues) -> Result<OpsServer, Failure> {
    let refused = |error: &dyn std::fmt::Display| Failure::Refused(error.to_string());
    let metrics = recorder::install("leasehold", env!("CARGO_PKG_VERSION")).map_err(|error| refused(&error))?;
    let (metrics, route) = (metrics.with_queues(queues.clone()), queues.route());
    server::serve(args.ops.ops_listen, health.clone(), metrics, route, CancellationToken::new())
        .await
        .map_err(|error| refused(&error))
}

/// What the scheduler and the executor are made of.
struct Parts<'a> {
    store: &'a SharedStore,
    lease: Arc<dyn Lease>,
    kind: LeaseKind,
    options: SchedulerOptions,
    health: &'a Health,
    /// Where callbacks are served.
    callbacks: SocketAddr,
}

impl Parts<'_> {
    /// Runs until `interrupted`, or until the reports can no longer be printed; then drains and prints the last ones.
    async fn run(
        self,
        args: &DevArgs,
        place: &Place,
        reload: Reload,
        tail: &mut Tail,
        interrupted: &CancellationToken,
    ) -> Result<(), Failure> {
        let stop = interrupted.child_token();
        let running = TaskTracker::new();
        let scheduler = Scheduler::new(self.store.clone(), self.lease, self.kind, self.options, self.health.clone());
        let executor =
            Executor::new(self.store.clone(), executor_options(args, place, self.callbacks)).health(self.health);
        // Nothing of these waits for a terminal that stands still: only the tail does, and it runs here.
        running.spawn(scheduler.run(stop.clone()));
        running.spawn(executor.run_until(stop.clone()));
        running.spawn(reload.watch(stop.clone()));
        running.close();
        let followed = tail.follow(&stop).await;
        stop.cancel();
        let drained = CancellationToken::new();
        let wait = async {
            running.wait().await;
            drained.cancel();
        };
        let (_, shown) = tokio::join!(wait, async {
            followed?;
            tail.follow(&drained).await?;
            tail.finish().await
        });
        shown
    }
}

fn executor_options(args: &DevArgs, place: &Place, callbacks: SocketAddr) -> leasehold_executor::ExecutorOptions {
    let mut options = args.executor.options();
    let host = if callbacks.ip().is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { callbacks.ip() };
    let public = format!("http://{}", SocketAddr::new(host, callbacks.port()));
    options.public_url = options.public_url.or_else(|| public.parse().ok());
    options.allow_commands = true;
    options.allow_net.extend(loopback());
    options.workdir = place.folder.join(&options.workdir);
    options
}

/// This machine, seen from itself: 127.0.0.0/8 and ::1.
fn loopback() -> [IpNet; 2] {
    let v4 = IpNet::new(Ipv4Addr::LOCALHOST.into(), 8)
        .unwrap_or_else(|_| IpNet::from(std::net::IpAddr::from(Ipv4Addr::LOCALHOST)));
    [v4.trunc(), IpNet::from(std::net::IpAddr::from(Ipv6Addr::LOCALHOST))]
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn no_two_configs_share_a_store() {
        let names = ["a.yaml", "a.yml", "dir/a.yaml", "a.db"];
        let stores: std::collections::BTreeSet<_> =
            names.iter().map(|name| own_store(Path::new(name)).unwrap()).collect();
        assert_eq!(stores.len(), names.len());
        assert_eq!(
            own_store(Path::new("examples/quickstart/leasehold.yaml")).unwrap(),
            "sqlite:examples/quickstart/leasehold.yaml.db"
        );
    }

    #[test]
    fn loopback_is_this_machine_only() {
        let shown: Vec<_> = loopback().iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["127.0.0.0/8", "::1/128"]);
    }
}
