//! `leasehold pause` and `leasehold resume`: jobs that do not run for a while.

use std::collections::HashSet;
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use jiff::Timestamp;
use leasehold_common::id::{JobKey, JobName, TenantId};
use leasehold_common::store::Store;
use serde::Serialize;

use crate::cli::{Format, OutputArgs};
use crate::failure::Failure;
use crate::instant;
use crate::out;
use crate::render::text::count;

/// So many jobs are paused or resumed at once.
const CHUNK: usize = 5_000;

/// So many are named before it is done.
const NAMED: usize = 20;

/// Pause jobs: their due times are recorded as paused and do not run
///
/// What has started goes on, and runs that are triggered or backfilled run all the same. Jobs that are paused already
/// keep their reason and their end.
#[derive(Args, Debug)]
pub(crate) struct PauseArgs {
    #[command(flatten)]
    selector: SelectorArgs,

    /// Why; shown wherever the job is
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    reason: String,

    /// Resume by itself then (RFC 3339 with its offset)
    #[arg(long, value_name = "INSTANT", value_parser = instant::instant, conflicts_with = "duration")]
    until: Option<Timestamp>,

    /// Resume by itself after this time
    #[arg(id = "duration", long = "for", value_name = "DURATION", value_parser = instant::length)]
    duration: Option<Duration>,

    #[command(flatten)]
    how: HowArgs,
}

/// Resume jobs that are paused
///
/// They are due again at the next time that their schedules name, an `every` job within one interval from now.
#[derive(Args, Debug)]
pub(crate) struct ResumeArgs {
    #[command(flatten)]
    selector: SelectorArgs,

    #[command(flatten)]
    how: HowArgs,
}

/// Which jobs. Values of one kind are alternatives, and the kinds must all match.
#[derive(Args, Clone, Debug, Default)]
#[group(required = true, multiple = true)]
struct SelectorArgs {
    /// Of this tenant; may be given more than once
    #[arg(short, long = "tenant", value_name = "TENANT")]
    tenants: Vec<TenantId>,

    /// With this name; may be given more than once
    #[arg(short, long = "job", value_name = "JOB")]
    jobs: Vec<JobName>,

    /// Of the tenants on this plan; may be given more than once
    #[arg(long = "plan", value_name = "PLAN")]
    plans: Vec<String>,

    /// Every job of every tenant
    #[arg(long, conflicts_with_all = ["tenants", "jobs", "plans"])]
    all: bool,
}

impl SelectorArgs {
    /// The tenant, if it is about one and no other. What plans select is looked up in the whole catalog.
    fn tenant(&self) -> Option<&TenantId> {
        match self.tenants.as_slice() {
            [tenant] if self.plans.is_empty() => Some(tenant),
            _ => None,
        }
    }
}

#[derive(Args, Clone, Copy, Debug)]
struct HowArgs {
    /// Name the jobs and change nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    output: OutputArgs,
}

/// A job that was selected.
#[derive(Debug, PartialEq, Eq)]
struct Selected {
    key: JobKey,
    tenant: TenantId,
    job: JobName,
}

/// What was done, for scripts.
#[derive(Serialize)]
struct Changed {
    /// How many jobs match.
    matched: usize,
    /// How many of them were paused, or resumed; null in a dry run.
    changed: Option<u64>,
    /// Until when they are paused; null if until somebody resumes them.
    #[serde(serialize_with = "leasehold_common::run::rfc3339_opt")]
    until: Option<Timestamp>,
}

impl PauseArgs {
    /// The tenant, if it is about one and no other.
    pub(crate) fn tenant(&self) -> Option<&TenantId> {
        self.selector.tenant()
    }
}

/// Pauses.
pub(crate) async fn pause(store: &dyn Store, args: &PauseArgs) -> Result<(), Failure> {
    let until = end(store, args).await?;
    let selected = select(store, &args.selector).await?;
    announce(&selected, args.how)?;
    let mut changed = None;
    if !args.how.dry_run {
        for keys in chunks(&selected) {
            changed = Some(changed.unwrap_or(0) + store.pause(&keys, &args.reason, until).await?);
        }
    }
    tell(&Changed { matched: selected.len(), changed, until }, "paused", args.how)
}

impl ResumeArgs {
    /// The tenant, if it is about one and no other.
    pub(crate) fn tenant(&self) -> Option<&TenantId> {
        self.selector.tenant()
    }
}

/// Resumes.
pub(crate) async fn resume(store: &dyn Store, args: &ResumeArgs) -> Result<(), Failure> {
    let selected = select(store, &args.selector).await?;
    announce(&selected, args.how)?;
    let mut changed = None;
    if !args.how.dry_run {
        for keys in chunks(&selected) {
            changed = Some(changed.unwrap_or(0) + store.resume(&keys).await?);
        }
    }
    tell(&Changed { matched: selected.len(), changed, until: None }, "resumed", args.how)
}

/// When the pause is over by itself. The store's clock decides what is in the future.
async fn end(store: &dyn Store, args: &PauseArgs) -> Result<Option<Timestamp>, Failure> {
    if args.until.is_none() && args.duration.is_none() {
        return Ok(None);
    }
    let now = store.status().await?.now;
    let until = match args.duration {
        Some(duration) => now.checked_add(duration).ok(),
        None => args.until,
    };
    match until.filter(|until| *until <= now) {
        Some(past) => Err(Failure::Invalid(format!("--until {past} has passed: it is {now}"))),
        None => Ok(until),
    }
}

/// The active jobs that match, in order of tenant and name; at least one.
async fn select(store: &dyn Store, selector: &SelectorArgs) -> Result<Vec<Selected>, Failure> {
    let mut selected = if selector.tenants.is_empty() || !selector.plans.is_empty() {
        of_catalog(store, selector).await?
    } else {
        of_tenants(store, selector).await?
    };
    if selected.is_empty() {
        return Err(Failure::NotFound("no active job matches".to_owned()));
    }
    selected.sort_by(|a, b| (&a.tenant, &a.job).cmp(&(&b.tenant, &b.job)));
    Ok(selected)
}

/// With tenants named there is no need to look at all jobs there are.
async fn of_tenants(store: &dyn Store, selector: &SelectorArgs) -> Result<Vec<Selected>, Failure> {
    let tenants: HashSet<&TenantId> = selector.tenants.iter().collect();
    let mut selected = Vec::new();
    for tenant in tenants {
        for job in store.jobs(Some(tenant), None, u32::MAX).await? {
            if selector.jobs.is_empty() || selector.jobs.contains(&job.job) {
                selected.push(Selected { key: job.key, tenant: job.tenant, job: job.job });
            }
        }
    }
    Ok(selected)
}

async fn of_catalog(store: &dyn Store, selector: &SelectorArgs) -> Result<Vec<Selected>, Failure> {
    let catalog = store.snapshot().await?;
    let on_plan = |plan: &Option<String>| plan.as_ref().is_some_and(|plan| selector.plans.contains(plan));
    let of_plans: HashSet<&TenantId> =
        catalog.tenants.iter().filter(|tenant| on_plan(&tenant.plan)).map(|tenant| &tenant.id).collect();
    let matches = |tenant: &TenantId, job: &JobName| {
        (selector.tenants.is_empty() || selector.tenants.contains(tenant))
            && (selector.jobs.is_empty() || selector.jobs.contains(job))
            && (selector.plans.is_empty() || of_plans.contains(tenant))
    };
    let jobs = catalog.jobs.iter().filter(|job| job.active && matches(&job.tenant, &job.name));
    Ok(jobs.map(|job| Selected { key: job.key, tenant: job.tenant.clone(), job: job.name.clone() }).collect())
}

fn chunks(selected: &[Selected]) -> impl Iterator<Item = Vec<JobKey>> {
    selected.chunks(CHUNK).map(|chunk| chunk.iter().map(|job| job.key).collect())
}

/// Says how many match before anything changes; a dry run names them.
fn announce(selected: &[Selected], how: HowArgs) -> Result<(), Failure> {
    if how.output.output == Format::Json {
        return Ok(());
    }
    let mut text = String::new();
    if how.dry_run {
        for job in selected.iter().take(NAMED) {
            text.push_str(&format!("{}/{}\n", job.tenant, job.job));
        }
        let more = selected.len().saturating_sub(NAMED);
        if more > 0 {
            text.push_str(&format!("… and {more} more\n"));
        }
    }
    let verb = if selected.len() == 1 { "matches" } else { "match" };
    text.push_str(&format!("{} {verb}\n", count(selected.len(), "job")));
    out::print(&text)
}

fn tell(changed: &Changed, word: &str, how: HowArgs) -> Result<(), Failure> {
    if how.output.output == Format::Json {
        return out::print_json(changed);
    }
    let text = match changed.changed {
        None => format!("dry run: nothing was {word}\n"),
        Some(number) => {
            let rest = changed.matched.saturating_sub(usize::try_from(number).unwrap_or(usize::MAX));
            let state = if word == "paused" { "was paused before" } else { "was not paused" };
            let others = if rest == 0 { String::new() } else { format!("; {rest} {}", plural(rest, state)) };
            let until = changed.until.map_or_else(String::new, |until| format!(" until {until:.3}"));
            format!("{word} {number}{until}{others}\n")
        }
    };
    out::print(&text)
}

fn plural(number: usize, text: &str) -> String {
    if number == 1 { text.to_owned() } else { text.replacen("was", "were", 1) }
}
