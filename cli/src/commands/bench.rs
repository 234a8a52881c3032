//! `leasehold bench`: how fast this store is on this machine, measured through the real scheduler and executor.
//!
//! All jobs are due at one instant, which is the hardest thing to ask for: it shows the fan-out (done ahead of time),
//! and then how fast executors claim, run and settle. The handlers do nothing, so what is measured is Leasehold and
//! the store. It wants an empty store, fills it, and leaves it filled.

mod neighbours;

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use jiff::{Timestamp, ToSpan as _, tz::TimeZone};
use leasehold_common::catalog::{Desired, DesiredJob, plan};
use leasehold_common::definition::{Definition, HandlerSpec, ScheduleSpec, Tenant};
use leasehold_common::id::{JobName, TenantId};
use leasehold_common::schedule::{DstPolicy, Zone};
use leasehold_common::store::{Applied, SharedStore};
use leasehold_executor::{Executor, ExecutorOptions, HandlerError, RunContext};
use leasehold_ops::health::Health;
use leasehold_scheduler::{Scheduler, SchedulerOptions};
use leasehold_store::Options;
use tokio_util::sync::CancellationToken;

use crate::cli::StoreUrl;
use crate::failure::Failure;
use crate::out;

/// Measure how fast a store is on this machine
///
/// Fills an EMPTY store with jobs that are all due at one instant, fans them out with a real scheduler and runs them
/// with real executors whose handlers do nothing. The store stays filled: drop it afterwards.
#[derive(Args, Debug)]
pub(crate) struct BenchArgs {
    /// How many jobs
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    jobs: u64,
    /// Over how many tenants they are spread
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    tenants: u64,
    /// Slots of each executor
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    slots: u32,
    /// Executors in this process
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    executors: u32,
    /// Only register the jobs, due in a year: for measuring an idle fleet
    #[arg(long)]
    register_only: bool,
    /// Measure instead what a tenant feels of a noisy one, and how exact shares by weight are; takes a minute
    #[arg(long, conflicts_with_all = ["jobs", "tenants", "slots", "executors", "register_only"])]
    neighbours: bool,
}

/// Connections for each executor; the scheduler shares them.
const CONNECTIONS: u32 = 8;

/// How long the fan-out may take before the jobs are due, at the least.
const SETTLE_IN: Duration = Duration::from_secs(10);

/// Longer than any bench: the leader fans out as soon as it leads.
const LOOK_AHEAD: Duration = Duration::from_secs(24 * 3600);

/// Runs the bench on an empty store.
pub(crate) async fn run(args: &BenchArgs, url: &StoreUrl) -> Result<(), Failure> {
    let connections = CONNECTIONS * args.executors;
    let options = Options { name: "leasehold-bench".to_owned(), connections, ..Options::default() };
    let store = leasehold_store::open(url.url()?, &options).await?;
    store.migrate().await?;
    let result = measure(&store, args).await;
    store.close().await;
    result
}

async fn measure(store: &SharedStore, args: &BenchArgs) -> Result<(), Failure> {
    let before = store.snapshot().await?;
    if !before.jobs.is_empty() {
        return Err(Failure::Refused("the store has jobs; a bench fills the store and wants an empty one".to_owned()));
    }
    if args.neighbours {
        return neighbours::measure(store, before.now).await;
    }
    let ahead = SETTLE_IN + Duration::from_micros(200 * args.jobs);
    let due = before.now.checked_add(ahead).map_err(|error| Failure::Invalid(error.to_string()))?;
    let due = Timestamp::from_second(due.as_second() + 1).unwrap_or(due);

    let started = Instant::now();
    register(store, args, due, before.now).await?;
    report("register", args.jobs, started.elapsed(), "jobs")?;
    if args.register_only {
        return Ok(());
    }
    fan_out(store, args).await?;
    drain(store, args, due).await
}

/// Writes the catalog: `jobs` jobs over `tenants` tenants, all due at one second.
async fn register(store: &SharedStore, args: &BenchArgs, due: Timestamp, now: Timestamp) -> Result<(), Failure> {
    let definition = Arc::new(yearly(if args.register_only { now + (360 * 24).hours() } else { due }, "noop"));
    let mut desired = Desired::default();
    for number in 0..args.tenants.min(args.jobs) {
        let id = name(TenantId::new(format!("tenant-{number}")))?;
        desired.tenants.push(Tenant::new(id).into());
    }
    for number in 0..args.jobs {
        let tenant = &desired.tenants[(number % args.tenants) as usize];
        desired.jobs.push(DesiredJob {
            tenant: tenant.tenant.id.clone(),
            name: name(JobName::new(format!("job-{}", number / args.tenants)))?,
            definition: Arc::clone(&definition),
        });
    }
    put(store, &desired).await
}

/// Writes a catalog to a store without one.
async fn put(store: &SharedStore, desired: &Desired) -> Result<(), Failure> {
    let snapshot = store.snapshot().await?;
    let plan = plan(desired, &snapshot, |_| None).map_err(|error| Failure::Refused(error.to_string()))?;
    match store.apply(&plan, None).await? {
        Applied::Done { .. } => Ok(()),
        Applied::Conflict | Applied::StaleTerm => {
            Err(Failure::Refused("somebody else changed the catalog meanwhile".to_owned()))
        }
    }
}

fn name<T>(name: Result<T, leasehold_common::id::NameError>) -> Result<T, Failure> {
    name.map_err(|error| Failure::Refused(error.to_string()))
}

/// A job that calls a handler once, at `due`.
fn yearly(due: Timestamp, handler: &str) -> Definition {
    let at = due.to_zoned(TimeZone::UTC);
    let schedule = ScheduleSpec::Cron {
        expr: format!("{} {} {} {} {} * {}", at.second(), at.minute(), at.hour(), at.day(), at.month(), at.year()),
        zone: Zone::UTC,
        dst: DstPolicy::Once,
    };
    Definition::new(schedule, HandlerSpec::Named { name: handler.to_owned() })
}

/// Starts a scheduler and waits until everything is fanned out.
async fn fan_out(store: &SharedStore, args: &BenchArgs) -> Result<(), Failure> {
    let (lease, kind) = leasehold_store::open_lease(None, store).await?;
    let options = SchedulerOptions { look_ahead: LOOK_AHEAD, ..SchedulerOptions::default() };
    let shutdown = CancellationToken::new();
    let scheduler = Scheduler::new(Arc::clone(store), lease, kind, options, Health::new());
    let running = tokio::spawn(scheduler.run(shutdown.clone()));
    let mut clock = None;
    let elapsed = loop {
        let waiting = store.status().await?.queue.waiting.unsigned_abs();
        if waiting > 0 && clock.is_none() {
            // The election and the first batch are not fan-out speed: count from the first batch on.
            clock = Some((Instant::now(), waiting));
        }
        if waiting >= args.jobs {
            break clock.map(|(since, first)| (since.elapsed(), waiting - first));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    shutdown.cancel();
    running.await.ok();
    match elapsed {
        Some((elapsed, items)) if items > 0 => report("fan-out", items, elapsed, "items"),
        _ => out::print("fan-out: too few jobs to measure, one batch holds them all\n"),
    }
}

/// Starts executors and waits until every run is settled.
async fn drain(store: &SharedStore, args: &BenchArgs, due: Timestamp) -> Result<(), Failure> {
    let shutdown = CancellationToken::new();
    let mut running = Vec::new();
    for _ in 0..args.executors {
        let options = ExecutorOptions { slots: args.slots, ..ExecutorOptions::default() };
        let executor = Executor::new(Arc::clone(store), options).handler("noop", noop);
        running.push(tokio::spawn(executor.run_until(shutdown.clone())));
    }
    let before = store.last_seq().await?;
    let wait = Duration::try_from(due.duration_since(Timestamp::now())).unwrap_or_default();
    tokio::time::sleep(wait).await;
    let started = Instant::now();
    loop {
        let ended = (store.last_seq().await? - before).unsigned_abs();
        if ended >= args.jobs {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    report("claim, run, settle", args.jobs, started.elapsed(), "runs")?;
    shutdown.cancel();
    for executor in running {
        executor.await.ok();
    }
    let stuck = store.status().await?.queue;
    if stuck.depth + stuck.waiting + stuck.running > 0 {
        return Err(Failure::Refused(format!("not everything ended: {stuck:?}")));
    }
    Ok(())
}

async fn noop(_: RunContext) -> Result<serde_json::Value, HandlerError> {
    Ok(serde_json::Value::Null)
}

fn report(what: &str, count: u64, elapsed: Duration, unit: &str) -> Result<(), Failure> {
    let rate = count as f64 / elapsed.as_secs_f64();
    let seconds = elapsed.as_secs_f64();
    out::print(&format!("{what:<20} {count:>9} {unit:<6} {seconds:>8.2} s {rate:>9.0} {unit}/s\n"))
}
