//! One file for each subcommand: its arguments, and what it does.

pub(crate) mod apply;
pub(crate) mod backfill;
pub(crate) mod bench;
pub(crate) mod breakers;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod dead;
pub(crate) mod dev;
pub(crate) mod enqueue;
pub(crate) mod example;
pub(crate) mod explain;
pub(crate) mod jobs;
pub(crate) mod lease;
pub(crate) mod ledger;
pub(crate) mod migrate;
pub(crate) mod next;
pub(crate) mod pause;
pub(crate) mod preview;
pub(crate) mod roster;
pub(crate) mod runs;
pub(crate) mod status;
pub(crate) mod tenants;
pub(crate) mod trigger;
pub(crate) mod watch;

use crate::cli::{Cli, Command};
use crate::connect::{with_store, with_store_of};
use crate::failure::Failure;

/// Does what the command line says.
pub(crate) async fn run(cli: Cli) -> Result<(), Failure> {
    let url = &cli.store;
    match cli.command {
        Command::Check { file } => check::run(&file),
        Command::Next(args) => next::run(&args),
        Command::Preview(args) => preview::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Example(args) => example::run(args).await,
        Command::Dev(args) => dev::run(*args, url).await,
        Command::Migrate => migrate::run(url).await,
        Command::Apply(args) => apply::run(&args, url).await,
        Command::Status(args) => with_store(url, |store| async move { status::run(&*store, &args).await }).await,
        Command::Watch(args) => {
            let tenant = args.tenant().cloned();
            with_store_of(url, tenant.as_ref(), |store| watch::run(store, args)).await
        }
        Command::Tenants(args) => {
            let tenant = args.tenant().cloned();
            with_store_of(url, tenant.as_ref(), |store| async move { tenants::run(&*store, args).await }).await
        }
        Command::Roster(args) => with_store(url, |store| async move { roster::run(&*store, &args).await }).await,
        Command::Breakers(args) => with_store(url, |store| async move { breakers::run(&*store, &args).await }).await,
        Command::Jobs(args) => {
            let tenant = args.tenant().cloned();
            with_store_of(url, tenant.as_ref(), |store| async move { jobs::run(&*store, args).await }).await
        }
        Command::Runs(args) => {
            let tenant = args.tenant().cloned();
            with_store_of(url, tenant.as_ref(), |store| async move { runs::run(&*store, args).await }).await
        }
        Command::Dead(args) => {
            let tenant = args.tenant().cloned();
            with_store_of(url, tenant.as_ref(), |store| async move { dead::run(&*store, args).await }).await
        }
        Command::Trigger(args) => {
            let tenant = args.tenant().cloned();
            with_store_of(url, tenant.as_ref(), |store| async move { trigger::run(&*store, &args).await }).await
        }
        Command::Enqueue(args) => {
            let tenant = args.tenant().cloned();
            with_store_of(url, tenant.as_ref(), |store| async move { enqueue::run(&*store, args).await }).await
        }
        Command::Ledger(args) => {
            let tenant = args.tenant().cloned();
            with_store_of(url, tenant.as_ref(), |store| async move { ledger::run(&*store, &args).await }).await
        }
        Command::Explain(args) => explain::run(&args, url).await,
        Command::Pause(args) => {
            let tenant = args.tenant().cloned();
            with_store_of(url, tenant.as_ref(), |store| async move { pause::pause(&*store, &args).await }).await
        }
        Command::Resume(args) => {
            let tenant = args.tenant().cloned();
            with_store_of(url, tenant.as_ref(), |store| async move { pause::resume(&*store, &args).await }).await
        }
        Command::Backfill(args) => {
            let tenant = args.tenant().cloned();
            with_store_of(url, tenant.as_ref(), |store| async move { backfill::run(&*store, &args).await }).await
        }
        Command::Bench(args) => bench::run(&args, url).await,
        Command::Lease(args) => with_store(url, |store| async move { lease::run(&*store, &args).await }).await,
    }
}

/// The first `limit` of what was asked for with one more, and whether there is more.
fn cut<T>(mut items: Vec<T>, limit: u32) -> (Vec<T>, bool) {
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    (items, more)
}

/// A list that was cut says so: nobody should take it for the whole.
fn say_more(more: bool, limit: u32) {
    if more {
        leasehold_ops::say!("There are more than these {limit}: narrow the filter, or raise --limit.");
    }
}

/// Filters in front of a subcommand that would not heed them.
fn misplaced() -> Failure {
    Failure::Invalid("filters and --limit stand behind `list`, or without a subcommand".to_owned())
}
