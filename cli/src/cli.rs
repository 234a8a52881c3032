//! The arguments.
//!
//! What is said here is the manual that people read first: every text is a sentence about what happens, and the
//! defaults are in it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use leasehold_common::id::{JobName, TenantId};
use leasehold_common::run::{Outcome, RunState};

use crate::commands::{
    apply, backfill, bench, breakers, completions, dead, dev, enqueue, example, explain, jobs, lease, ledger, next,
    pause, preview, roster, runs, status, tenants, trigger, watch,
};
use crate::failure::Failure;

const EXIT_CODES: &str = "\
Exit codes: 0 ok, 1 refused or failed, 2 wrong usage or invalid input, 3 store unreachable, 4 not found.
Data goes to stdout, everything else to stderr.";

/// Recurring jobs for platforms with many tenants.
///
/// Jobs and tenants stand in one file. `leasehold dev` runs it all in this process; in production, `leasehold apply`
/// writes the file to a store, and fleets of leasehold-scheduler and leasehold-executor work from there.
#[derive(Debug, Parser)]
#[command(name = "leasehold", version, max_term_width = 110, after_help = EXIT_CODES, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) store: StoreUrl,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Dev(Box<dev::DevArgs>),
    /// Find every mistake in a config file
    ///
    /// Each one is shown with its place, the line, and what would be right. Nothing but the file is looked at.
    Check {
        /// The config file
        #[arg(value_name = "CONFIG")]
        file: PathBuf,
    },
    Next(next::NextArgs),
    Preview(preview::PreviewArgs),
    /// Create the schema of a store, or bring it up to date
    ///
    /// Does nothing if it is up to date. Every other command refuses a store whose schema is missing or
    /// older; one that is newer is used as it is, since schemas only grow while versions run side by side.
    Migrate,
    Apply(apply::ApplyArgs),
    Status(status::StatusArgs),
    Watch(watch::WatchArgs),
    Tenants(tenants::TenantsArgs),
    Roster(roster::RosterArgs),
    Breakers(breakers::BreakersArgs),
    Jobs(jobs::JobsArgs),
    Runs(runs::RunsArgs),
    Dead(dead::DeadArgs),
    Ledger(ledger::LedgerArgs),
    Explain(explain::ExplainArgs),
    Trigger(trigger::TriggerArgs),
    Enqueue(enqueue::EnqueueArgs),
    Backfill(backfill::BackfillArgs),
    Pause(pause::PauseArgs),
    Resume(pause::ResumeArgs),
    Lease(lease::LeaseArgs),
    Bench(bench::BenchArgs),
    Completions(completions::CompletionsArgs),
    #[command(hide = true)]
    Example(example::ExampleArgs),
}

/// Which store. Accepted before and after the subcommand.
#[derive(Args, Clone)]
pub(crate) struct StoreUrl {
    /// The store: `sqlite:PATH` or `postgres://USER@HOST/DATABASE`
    #[arg(
        id = "store",
        long = "store",
        env = "LEASEHOLD_STORE",
        hide_env_values = true,
        global = true,
        value_name = "URL"
    )]
    url: Option<String>,
}

impl StoreUrl {
    /// The URL, for a command that cannot do without.
    pub(crate) fn url(&self) -> Result<&str, Failure> {
        self.given().ok_or_else(|| {
            Failure::Invalid(
                "no store is named: give --store or set LEASEHOLD_STORE, to sqlite:PATH or postgres://USER@HOST/DATABASE"
                    .to_owned(),
            )
        })
    }

    /// The URL, if one was given. A variable that is set to nothing counts as not set.
    pub(crate) fn given(&self) -> Option<&str> {
        self.url.as_deref().filter(|url| !url.is_empty())
    }

    /// The same URL in other words.
    pub(crate) fn of(url: String) -> Self {
        Self { url: Some(url) }
    }
}

impl std::fmt::Debug for StoreUrl {
    /// The URL may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreUrl").finish_non_exhaustive()
    }
}

/// How data is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns, for people
    #[default]
    Table,
    /// JSON, for scripts
    Json,
}

/// `-o`, for a command without subcommands.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct OutputArgs {
    /// How to print: aligned columns for people, or JSON for scripts
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT", hide_possible_values = false)]
    pub(crate) output: Format,
}

/// `-o`, for a command with subcommands: accepted before and after them.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct GlobalOutputArgs {
    /// How to print: aligned columns for people, or JSON for scripts
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT", global = true)]
    pub(crate) output: Format,
}

/// Which runs or reports.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FilterArgs {
    /// Of this tenant; may be given more than once
    #[arg(short, long = "tenant", value_name = "TENANT")]
    pub(crate) tenants: Vec<TenantId>,

    /// Of this job; may be given more than once
    #[arg(short, long = "job", value_name = "JOB")]
    pub(crate) jobs: Vec<JobName>,

    /// With this outcome: succeeded, failed, dead, overlapped, misfired, cancelled, paused, blacked_out, expired or
    /// superseded; may be given more than once
    #[arg(long = "outcome", value_name = "OUTCOME", value_parser = outcome)]
    pub(crate) outcomes: Vec<Outcome>,
}

impl FilterArgs {
    /// The tenant, if it is about one and no other.
    pub(crate) fn tenant(&self) -> Option<&TenantId> {
        match self.tenants.as_slice() {
            [tenant] => Some(tenant),
            _ => None,
        }
    }
}

/// A value parser whose help lists the words.
fn outcome(text: &str) -> Result<Outcome, String> {
    text.parse()
}

/// The same for states.
pub(crate) fn state(text: &str) -> Result<RunState, String> {
    text.parse()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_fit_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_store_is_accepted_on_both_sides_and_never_shown() {
        for args in [["leasehold", "--store", "sqlite:x", "status"], ["leasehold", "status", "--store", "sqlite:x"]] {
            let cli = Cli::try_parse_from(args).unwrap();
            assert_eq!(cli.store.url().unwrap(), "sqlite:x");
            assert!(!format!("{cli:?}").contains("sqlite:x"));
        }
        assert!(StoreUrl::of(String::new()).url().is_err());
    }

    #[test]
    fn the_format_is_accepted_on_both_sides_of_a_subcommand() {
        for args in [["leasehold", "runs", "-o", "json", "list"], ["leasehold", "runs", "list", "-o", "json"]] {
            let Command::Runs(runs) = Cli::try_parse_from(args).unwrap().command else { unreachable!() };
            assert_eq!(runs.output.output, Format::Json);
        }
    }
}
