//! `leasehold dead`: runs that died, by error, and what is done about them.

use clap::{Args, Subcommand};
use leasehold_common::id::{CorrelationId, JobName, TenantId};
use leasehold_common::store::{DeadCount, DeadFilter, Store, parse_group};
use serde::Serialize;

use crate::cli::{Format, GlobalOutputArgs};
use crate::failure::Failure;
use crate::out;
use crate::render::dead;
use crate::render::style::Palette;
use crate::render::text::count;

/// So many groups are shown, unless another number is asked for.
const DEFAULT_LIMIT: u32 = 50;

/// So many are redriven in one step.
const STEP: u32 = 500;

/// Show runs that died, grouped by error; run them again, or take them off the list
///
/// Without a subcommand, shows the groups, the largest first, each with its latest run as a sample.
#[derive(Args, Debug)]
pub(crate) struct DeadArgs {
    #[command(subcommand)]
    command: Option<DeadCommand>,

    #[command(flatten)]
    list: ListArgs,

    #[command(flatten)]
    output: GlobalOutputArgs,
}

#[derive(Debug, Subcommand)]
enum DeadCommand {
    /// Show the groups; the same as no subcommand
    List(ListArgs),
    /// Make a new run in the place of each
    ///
    /// Each gets a run of its own with the cause `redrive`, due now, for the due time of the dead one, with the job as it
    /// is today. The dead run stays dead, and says which run was made for it; a second redrive leaves it out. Without
    /// --yes it shows how many there are.
    Redrive(ActArgs),
    /// Take them off the list; their reports stay
    Discard(ActArgs),
}

#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
struct ListArgs {
    #[command(flatten)]
    filter: DeadFilterArgs,

    /// At most so many groups [default: 50]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
struct DeadFilterArgs {
    /// Of this tenant; may be given more than once
    #[arg(short, long = "tenant", value_name = "TENANT")]
    tenants: Vec<TenantId>,

    /// Of this job; may be given more than once
    #[arg(short, long = "job", value_name = "JOB")]
    jobs: Vec<JobName>,

    /// With this code of their error, as in `http.503`; may be given more than once
    #[arg(long = "code", value_name = "CODE")]
    codes: Vec<String>,

    /// Of this group, as the list names it
    #[arg(long, value_name = "GROUP", value_parser = group)]
    group: Option<i64>,
}

#[derive(Args, Clone, Debug)]
struct ActArgs {
    /// Their correlation ids
    #[arg(value_name = "CORRELATION_ID")]
    runs: Vec<CorrelationId>,

    #[command(flatten)]
    filter: DeadFilterArgs,

    /// All of them
    #[arg(long, conflicts_with_all = ["runs", "tenants", "jobs", "codes", "group"])]
    all: bool,

    /// Show how many there are, and do nothing
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,

    /// Do it
    #[arg(short, long)]
    yes: bool,

    /// Refuse unless there are just so many
    #[arg(long, value_name = "N")]
    expect: Option<u64>,
}

fn group(text: &str) -> Result<i64, String> {
    parse_group(text).ok_or_else(|| "a group has 16 hexadecimal digits; `leasehold dead` names them".to_owned())
}

impl DeadFilterArgs {
    fn filter(&self, runs: &[CorrelationId]) -> DeadFilter {
        DeadFilter {
            runs: runs.to_vec(),
            tenants: self.tenants.clone(),
            jobs: self.jobs.clone(),
            codes: self.codes.clone(),
            group: self.group,
        }
    }
}

impl DeadArgs {
    /// The tenant, if it is about one and no other.
    pub(crate) fn tenant(&self) -> Option<&TenantId> {
        let filter = match &self.command {
            None => &self.list.filter,
            Some(DeadCommand::List(list)) => &list.filter,
            Some(DeadCommand::Redrive(act) | DeadCommand::Discard(act)) => &act.filter,
        };
        match filter.tenants.as_slice() {
            [tenant] => Some(tenant),
            _ => None,
        }
    }
}

/// What was done, or would be.
#[derive(Serialize)]
struct Done {
    /// How many there are.
    count: u64,
    /// How many runs were made; null if none was to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    redriven: Option<u64>,
    /// How many stay, since their job is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    gone: Option<u64>,
    /// How many were taken off the list.
    #[serde(skip_serializing_if = "Option::is_none")]
    discarded: Option<u64>,
}

/// Shows, redrives or discards.
pub(crate) async fn run(store: &dyn Store, args: DeadArgs) -> Result<(), Failure> {
    let format = args.output.output;
    match args.command {
        None => list(store, &args.list, format).await,
        Some(_) if args.list != ListArgs::default() => Err(super::misplaced()),
        Some(DeadCommand::List(filter)) => list(store, &filter, format).await,
        Some(DeadCommand::Redrive(act)) => redrive(store, &act, format).await,
        Some(DeadCommand::Discard(act)) => discard(store, &act, format).await,
    }
}

async fn list(store: &dyn Store, args: &ListArgs, format: Format) -> Result<(), Failure> {
    let limit = args.limit.unwrap_or(DEFAULT_LIMIT);
    let groups = store.dead_groups(&args.filter.filter(&[]), limit.saturating_add(1)).await?;
    let (groups, more) = super::cut(groups, limit);
    match format {
        Format::Json => out::print_json(&groups)?,
        Format::Table if groups.is_empty() => leasehold_ops::say!("There are no dead letters."),
        Format::Table => out::print(&dead::groups(&groups, store.status().await?.now, Palette::stdout()))?,
    }
    super::say_more(more, limit);
    Ok(())
}

/// What was chosen and counted. Whatever dies after that has a higher `seq` and is left alone.
async fn chosen(store: &dyn Store, act: &ActArgs) -> Result<(DeadFilter, DeadCount), Failure> {
    let filter = act.filter.filter(&act.runs);
    if !act.all && filter == DeadFilter::default() {
        return Err(Failure::Invalid(
            "say which: correlation ids, --tenant, --job, --code, --group, or --all".to_owned(),
        ));
    }
    let found = store.dead_count(&filter).await?;
    if let Some(expected) = act.expect.filter(|expected| *expected != found.count) {
        return Err(Failure::Refused(format!(
            "there are {}, and not {expected}: nothing was done",
            letters(found.count)
        )));
    }
    Ok((filter, found))
}

async fn redrive(store: &dyn Store, act: &ActArgs, format: Format) -> Result<(), Failure> {
    let (filter, found) = chosen(store, act).await?;
    let mut done = Done { count: found.count, redriven: None, gone: None, discarded: None };
    if act.yes {
        let (mut redriven, mut gone, mut after) = (0, 0, Some(0));
        while let Some(from) = after {
            let step = store.redrive(&filter, from, found.upto, STEP).await?;
            redriven += step.redriven;
            gone += step.gone;
            after = step.next;
        }
        (done.redriven, done.gone) = (Some(redriven), Some(gone));
    }
    say(&done, act, format)
}

async fn discard(store: &dyn Store, act: &ActArgs, format: Format) -> Result<(), Failure> {
    let (filter, found) = chosen(store, act).await?;
    let discarded = if act.yes { Some(store.discard(&filter, found.upto).await?) } else { None };
    say(&Done { count: found.count, redriven: None, gone: None, discarded }, act, format)
}

fn say(done: &Done, act: &ActArgs, format: Format) -> Result<(), Failure> {
    if format == Format::Json {
        return out::print_json(done);
    }
    out::print(&match done {
        Done { discarded: Some(discarded), .. } => format!("discarded {}\n", letters(*discarded)),
        Done { redriven: Some(redriven), gone, .. } => {
            let gone = gone.filter(|gone| *gone > 0).map(|gone| format!("; {gone} stay, since their job is gone"));
            format!("redrove {}{}\n", letters(*redriven), gone.unwrap_or_default())
        }
        Done { count, .. } if act.dry_run => format!("dry run: {}\n", letters(*count)),
        Done { count, .. } => format!("{}; nothing was done: add --yes to do so\n", letters(*count)),
    })
}

fn letters(number: u64) -> String {
    count(usize::try_from(number).unwrap_or(usize::MAX), "dead letter")
}
