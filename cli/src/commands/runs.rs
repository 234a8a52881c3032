//! `leasehold runs`: what ran, what runs, what waits.

use std::io::IsTerminal as _;
use std::time::Duration;

use clap::{Args, Subcommand};
use leasehold_common::id::{CorrelationId, TenantId};
use leasehold_common::run::RunState;
use leasehold_common::store::{Cancelled, RunFilter, Store};

use crate::cli::{self, FilterArgs, Format, GlobalOutputArgs};
use crate::failure::Failure;
use crate::out;
use crate::render::run;
use crate::render::style::Palette;

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
    /// Cancel a run: one that waits ends at once, one that runs is told to stop
    Cancel {
        /// Its correlation id
        #[arg(value_name = "CORRELATION_ID")]
        id: CorrelationId,
    },
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
            Some(RunsCommand::Show { .. } | RunsCommand::Cancel { .. }) => None,
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
        Some(RunsCommand::Cancel { id }) => cancel(store, id).await,
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
