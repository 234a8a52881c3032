//! `leasehold backfill`: runs for due times of the past.

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use leasehold_common::definition::TimingSpec;
use leasehold_common::id::{JobName, TenantId};
use leasehold_common::schedule::Schedule;
use leasehold_common::store::{JobView, Store};
use serde::Serialize;

use crate::cli::{Format, OutputArgs};
use crate::failure::Failure;
use crate::instant::{Past, Rate};
use crate::out;
use crate::render::text::count;
use crate::render::time::{instant, length};

/// So many due times at once.
const MOST: usize = 10_000;

/// Beyond that nobody counts how many too many they are.
const COUNTED: usize = 1_000_000;

/// Run a job for due times of the past
///
/// The due times are those that its present schedule names. Each gets a run of its own with the cause `backfill`, one
/// after the other at a rate; unless the job allows overlap, none starts before the run before it is over. Those that
/// were backfilled before are left out. Without --yes it shows what would run.
#[derive(Args, Debug)]
pub(crate) struct BackfillArgs {
    /// Whose job
    #[arg(short, long, value_name = "TENANT")]
    tenant: TenantId,

    /// The job
    #[arg(short, long, value_name = "JOB")]
    job: JobName,

    /// The first due time that may be one: RFC 3339 with its offset, or how long ago
    #[arg(long, value_name = "INSTANT")]
    from: Past,

    /// The first due time after them: RFC 3339 with its offset, or how long ago
    #[arg(long, value_name = "INSTANT")]
    to: Past,

    /// How many runs begin at most in a second, minute or hour
    #[arg(long, value_name = "RATE", default_value = "1/s")]
    rate: Rate,

    /// Show what would run, and queue nothing
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,

    /// Queue the runs
    #[arg(short, long)]
    yes: bool,

    #[command(flatten)]
    output: OutputArgs,
}

impl BackfillArgs {
    /// The tenant, if it is about one and no other.
    pub(crate) fn tenant(&self) -> Option<&TenantId> {
        Some(&self.tenant)
    }
}

/// What is to run, or has been queued.
#[derive(Serialize)]
struct Backfill<'a> {
    tenant: &'a TenantId,
    job: &'a JobName,
    /// How many due times there are.
    count: usize,
    #[serde(serialize_with = "leasehold_common::run::rfc3339_opt")]
    first: Option<Timestamp>,
    #[serde(serialize_with = "leasehold_common::run::rfc3339_opt")]
    last: Option<Timestamp>,
    rate: String,
    /// From the first run to the last, if none waits for another.
    takes_ms: i64,
    /// How many runs were queued; null if none was to be.
    queued: Option<u64>,
}

/// Shows what would run, and queues it if that was asked for.
pub(crate) async fn run(store: &dyn Store, args: &BackfillArgs) -> Result<(), Failure> {
    let BackfillArgs { tenant, job, .. } = args;
    let Some(view) = store.jobs(Some(tenant), Some(job), 1).await?.into_iter().next() else {
        return Err(Failure::NotFound(format!("tenant {tenant} has no job {job}")));
    };
    let schedule = schedule(&view)?;
    let now = store.status().await?.now;
    let (from, to) = (args.from.from(now), args.to.from(now).min(now));
    if from >= to {
        return Err(Failure::Invalid(format!("--from {from} is not before --to {to}, which is at most now")));
    }
    let due = due_times(&schedule, from, to)?;
    let gaps = u32::try_from(due.len().saturating_sub(1)).unwrap_or(u32::MAX);
    let mut backfill = Backfill {
        tenant,
        job,
        count: due.len(),
        first: due.first().copied(),
        last: due.last().copied(),
        rate: args.rate.to_string(),
        takes_ms: i64::try_from((args.rate.pause() * gaps).as_millis()).unwrap_or(i64::MAX),
        queued: None,
    };
    if args.output.output == Format::Table {
        out::print(&shown(&backfill))?;
    }
    if args.yes && !due.is_empty() {
        backfill.queued = store.backfill(view.key, &due, args.rate.pause()).await?;
        if backfill.queued.is_none() {
            return Err(Failure::NotFound(format!("job {job} of tenant {tenant} was removed in this moment")));
        }
    }
    match args.output.output {
        Format::Json => out::print_json(&backfill),
        Format::Table => out::print(&done(&backfill, args.dry_run)),
    }
}

/// The schedule of a job, if its due times can be computed.
fn schedule(view: &JobView) -> Result<Schedule, Failure> {
    let unreadable =
        |why: String| Failure::Refused(format!("the schedule of {}/{} cannot be read: {why}", view.tenant, view.job));
    let spec: TimingSpec = serde_json::from_value(view.definition.clone()).map_err(|e| unreadable(e.to_string()))?;
    let schedule = spec.compile(view.key).map_err(|error| unreadable(error.to_string()))?.schedule;
    if schedule.interval().is_some() {
        return Err(Failure::Refused(format!(
            "{}/{} runs an interval after the end of each run: it has no due times to go back to; `leasehold trigger` \
             runs it now",
            view.tenant, view.job
        )));
    }
    Ok(schedule)
}

fn due_times(schedule: &Schedule, from: Timestamp, to: Timestamp) -> Result<Vec<Timestamp>, Failure> {
    let before = from.checked_sub(SignedDuration::from_nanos(1)).unwrap_or(from);
    let times = std::iter::successors(schedule.next_after(before), |due| schedule.next_after(*due));
    let mut times = times.take_while(|due| *due < to);
    let due: Vec<_> = times.by_ref().take(MOST).collect();
    let rest = times.take(COUNTED).count();
    if rest == 0 {
        return Ok(due);
    }
    let more = if rest == COUNTED { "more than " } else { "" };
    Err(Failure::Refused(format!(
        "{more}{} due times: at most {MOST} are backfilled at once, which here is up to {}; go on from there",
        due.len() + rest,
        due.last().and_then(|last| schedule.next_after(*last)).map(instant).unwrap_or_default(),
    )))
}

fn shown(backfill: &Backfill<'_>) -> String {
    let (Some(first), Some(last)) = (backfill.first, backfill.last) else {
        return "no due time lies there\n".to_owned();
    };
    format!(
        "{}/{}: {}, from {} to {}; at {} they take {}, or longer if runs wait for each other\n",
        backfill.tenant,
        backfill.job,
        count(backfill.count, "due time"),
        instant(first),
        instant(last),
        backfill.rate,
        length(backfill.takes_ms),
    )
}

fn done(backfill: &Backfill<'_>, dry_run: bool) -> String {
    match backfill.queued {
        None if dry_run => "dry run: nothing was queued\n".to_owned(),
        None if backfill.count == 0 => "nothing was queued\n".to_owned(),
        None => "nothing was queued: add --yes to do so\n".to_owned(),
        Some(queued) => {
            let rest = backfill.count.saturating_sub(usize::try_from(queued).unwrap_or(usize::MAX));
            let before = if rest == 0 { String::new() } else { format!("; {rest} backfilled before") };
            format!("queued {}{before}\n", count(usize::try_from(queued).unwrap_or(usize::MAX), "run"))
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use leasehold_common::schedule::{CronExpr, DstPolicy, Zone};

    use super::*;

    fn cron(expr: &str) -> Schedule {
        Schedule::Cron { expr: CronExpr::parse(expr).unwrap(), zone: Zone::UTC, dst: DstPolicy::Once }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_first_instant_belongs_to_it_and_the_last_does_not() {
        let due = due_times(&cron("0 * * * *"), at("2026-11-21T02:00:00Z"), at("2026-11-21T05:00:00Z")).unwrap();
        assert_eq!((due.len(), due[0], due[2]), (3, at("2026-11-21T02:00:00Z"), at("2026-11-21T04:00:00Z")));
    }

    #[test]
    fn too_many_are_counted_and_it_is_said_where_to_cut() {
        let (from, to) = (at("2026-11-01T00:00:00Z"), at("2026-11-11T00:00:00Z"));
        let refused = due_times(&cron("* * * * *"), from, to).unwrap_err().to_string();
        assert!(refused.starts_with("14400 due times: at most 10000"), "{refused}");
        assert!(refused.contains("up to 2026-11-07T22:40:00.000Z"), "{refused}");
        let refused = due_times(&cron("* * * * * *"), from, at("2026-12-01T00:00:00Z")).unwrap_err().to_string();
        assert!(refused.starts_with("more than 1010000 due times"), "{refused}");
    }
}
