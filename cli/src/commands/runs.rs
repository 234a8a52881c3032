//! `leasehold runs`: what ran, what runs, what waits.

use std::io::IsTerminal as _;
use std::time::Duration;

use clap::{Args, Subcommand};
use leasehold_common::id::{CorrelationId, JobName, TenantId};
use leasehold_common::run::RunState;
use leasehold_common::store::{Cancelled, RunFilter, Store};
use serde::Serialize;

use crate::cli::{self, FilterArgs, Format, GlobalOutputArgs};
use crate::failure::Failure;
use crate::out;
use crate::render::run;
use crate::render::style::Palette;
use crate::render::text::count;

/// So many runs are listed for people, and for scripts, unless another number is asked for.
const DEFAULT_LIMIT: u32 = 50;
const DEFAULT_LIMIT_JSON: u32 = 1_000;

/// How often somebody who follows a run sees it anew.
const LOOK: Duration = Duration::from_millis(500);

/// Clears a terminal.
const CLEAR: &str = "\x1b[H\x1b[2J\x1b[3J";

/// List runs, show the whole story of one, or cancel one.
///
/// Without a subcommand, lists runs, the latest due time first.
#[derive(Args, Debug)]
pub(crate) struct RunsArgs {
    #[command(subcommand)]
    command: Option<RunsCommand>,

    #[command(flatten)]
    list: ListArgs,

    #[command(flatten)]
    pub(crate) output: GlobalOutputArgs,
}

#[derive(Debug, Subcommand)]
enum RunsCommand {
    /// List runs, the latest due time first; the same as no subcommand
    List(ListArgs),
    /// Show the whole story of one run: where it stands, how far it is, and how each attempt ended
    Show {
        /// Its correlation id
        #[arg(value_name = "CORRELATION_ID")]
        id: CorrelationId,
        /// Go on until the run is over, as it goes; as JSON, a line for each change
        #[arg(long, short)]
        follow: bool,
    },
    /// Cancel runs: one that waits ends at once, one that runs is told to stop
    ///
    /// Runs that are named by their ids are cancelled at once. With filters it shows how many there are, until --yes
    /// says to do it; what comes into being after that is left alone.
    Cancel(CancelArgs),
}

#[derive(Args, Clone, Debug)]
struct CancelArgs {
    /// Their correlation ids
    #[arg(value_name = "CORRELATION_ID", required_unless_present_any = ["cancel_tenants", "cancel_jobs"])]
    ids: Vec<CorrelationId>,

    /// All of this tenant that are not over; may be given more than once
    #[arg(id = "cancel_tenants", short = 't', long = "tenant", value_name = "TENANT", conflicts_with = "ids")]
    tenants: Vec<TenantId>,

    /// All of this job that are not over; may be given more than once
    #[arg(id = "cancel_jobs", short = 'j', long = "job", value_name = "JOB", conflicts_with = "ids")]
    jobs: Vec<JobName>,

    /// Only those in this state: waiting, ready or running; may be given more than once
    #[arg(id = "cancel_states", long = "state", value_name = "STATE", value_parser = cli::state, conflicts_with = "ids")]
    states: Vec<RunState>,

    /// Show how many there are, and do nothing
    #[arg(long, conflicts_with_all = ["yes", "ids"])]
    dry_run: bool,

    /// Do it
    #[arg(short, long)]
    yes: bool,

    /// Refuse unless there are just so many
    #[arg(long, value_name = "N", conflicts_with = "ids")]
    expect: Option<usize>,
}

#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
struct ListArgs {
    #[command(flatten)]
    filter: FilterArgs,

    /// In this state: waiting, ready, running or ended; may be given more than once
    #[arg(long = "state", value_name = "STATE", value_parser = cli::state)]
    states: Vec<RunState>,

    /// At most so many [default: 50, as JSON 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

impl RunsArgs {
    /// The tenant, if it is about one and no other.
    pub(crate) fn tenant(&self) -> Option<&TenantId> {
        match &self.command {
            None => self.list.filter.tenant(),
            Some(RunsCommand::List(list)) => list.filter.tenant(),
            Some(RunsCommand::Cancel(cancel)) => match cancel.tenants.as_slice() {
                [tenant] => Some(tenant),
                _ => None,
            },
            Some(RunsCommand::Show { .. }) => None,
        }
    }
}

/// Lists, shows or cancels.
pub(crate) async fn run(store: &dyn Store, args: RunsArgs) -> Result<(), Failure> {
    let format = args.output.output;
    match args.command {
        None => list(store, args.list, format).await,
        Some(_) if args.list != ListArgs::default() => Err(super::misplaced()),
        Some(RunsCommand::List(filter)) => list(store, filter, format).await,
        Some(RunsCommand::Show { id, follow: true }) => follow(store, id, format).await,
        Some(RunsCommand::Show { id, follow: false }) => show(store, id, format).await,
        Some(RunsCommand::Cancel(args)) if args.ids.is_empty() => cancel_all(store, args, format).await,
        Some(RunsCommand::Cancel(args)) => {
            for id in args.ids {
                cancel(store, id).await?;
            }
            Ok(())
        }
    }
}

async fn list(store: &dyn Store, args: ListArgs, format: Format) -> Result<(), Failure> {
    let default = if format == Format::Json { DEFAULT_LIMIT_JSON } else { DEFAULT_LIMIT };
    let limit = args.limit.unwrap_or(default);
    let FilterArgs { tenants, jobs, outcomes } = args.filter;
    let filter = RunFilter { tenants, jobs, outcomes, states: args.states };
    let (runs, more) = super::cut(store.runs(&filter, limit.saturating_add(1)).await?, limit);
    match format {
        Format::Json => out::print_json(&runs)?,
        Format::Table if runs.is_empty() => leasehold_ops::say!("There are no such runs."),
        Format::Table => out::print(&run::list(&runs, Palette::stdout()))?,
    }
    super::say_more(more, limit);
    Ok(())
}

fn not_found(id: CorrelationId) -> Failure {
    Failure::NotFound(format!("there is no run {id}, or it is older than the reports that are kept"))
}

async fn show(store: &dyn Store, id: CorrelationId, format: Format) -> Result<(), Failure> {
    let Some(story) = store.run(id).await? else { return Err(not_found(id)) };
    if format == Format::Json {
        return out::print_json(&story);
    }
    let now = store.status().await?.now;
    out::print(&run::story(&story, now, Palette::stdout()))
}

/// Shows the run again whenever it has changed, until it is over or nobody reads on. A terminal is drawn anew; a pipe gets a
/// line for each change, and the story at the end.
async fn follow(store: &dyn Store, id: CorrelationId, format: Format) -> Result<(), Failure> {
    let terminal = std::io::stdout().is_terminal();
    let mut shown = String::new();
    while !out::reader_is_gone() {
        let Some(story) = store.run(id).await? else { return Err(not_found(id)) };
        let over = story.run.state == RunState::Ended;
        let text = match format {
            Format::Json => format!("{}\n", serde_json::to_string(&story).map_err(std::io::Error::from)?),
            Format::Table if terminal || over => {
                let now = store.status().await?.now;
                let clear = if terminal { CLEAR } else { "" };
                format!("{clear}{}", run::story(&story, now, Palette::stdout()))
            }
            Format::Table => run::change(&story),
        };
        if text != shown {
            out::print(&text)?;
            shown = text;
        }
        if over {
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

async fn cancel(store: &dyn Store, id: CorrelationId) -> Result<(), Failure> {
    let text = match store.cancel(id).await? {
        Cancelled::Ended => "cancelled: it had not started, waited for its next attempt, or was open for its endpoint",
        Cancelled::Requested => "it is running: its executor is told to stop it at the next heartbeat",
        Cancelled::AlreadyEnded => return Err(Failure::Refused(format!("run {id} has ended already"))),
        Cancelled::NotFound => return Err(not_found(id)),
    };
    out::print(&format!("{text}\n"))
}

/// What was cancelled, or would be.
#[derive(Serialize)]
struct CancelledRuns {
    /// How many there are.
    count: usize,
    /// Ended at once; null if nothing was to be done.
    ended: Option<usize>,
    /// Told to stop by the next heartbeat of their executor.
    asked: Option<usize>,
}

/// Runs that are not over, more than which nobody cancels at once.
const CANCEL_MOST: u32 = 1_000_000;

async fn cancel_all(store: &dyn Store, args: CancelArgs, format: Format) -> Result<(), Failure> {
    let states = match args.states.is_empty() {
        true => vec![RunState::Waiting, RunState::Ready, RunState::Running],
        false => args.states,
    };
    if states.contains(&RunState::Ended) {
        return Err(Failure::Invalid("a run that has ended cannot be cancelled".to_owned()));
    }
    let filter = RunFilter { tenants: args.tenants, jobs: args.jobs, outcomes: Vec::new(), states };
    let runs = store.runs(&filter, CANCEL_MOST).await?;
    if let Some(expected) = args.expect.filter(|expected| *expected != runs.len()) {
        let found = count(runs.len(), "run");
        return Err(Failure::Refused(format!("there are {found}, and not {expected}: nothing was done")));
    }
    let mut done = CancelledRuns { count: runs.len(), ended: None, asked: None };
    if args.yes {
        let (mut ended, mut asked) = (0, 0);
        for run in &runs {
            match store.cancel(run.correlation_id).await? {
                Cancelled::Ended => ended += 1,
                Cancelled::Requested => asked += 1,
                Cancelled::AlreadyEnded | Cancelled::NotFound => {}
            }
        }
        (done.ended, done.asked) = (Some(ended), Some(asked));
    }
    if format == Format::Json {
        return out::print_json(&done);
    }
    let found = count(runs.len(), "run");
    out::print(&match (done.ended, done.asked) {
        (Some(ended), Some(asked)) => format!("{found}: {ended} ended, {asked} told to stop\n"),
        _ if args.dry_run => format!("dry run: {found}\n"),
        _ => format!("{found}; nothing was done: add --yes to cancel them\n"),
    })
}
