//! What blackouts leave of a job's due times: a job that never runs is hardly what was meant.
//!
//! A check has no clock. It looks from a day of its own on, and so says the same of a text at any time.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use crate::config::report::Report;
use crate::config::source::Span;
use crate::config::templates::Named;
use crate::definition::ScheduleSpec;
use crate::id::{JobKey, JobName, TenantId};
use crate::schedule::{Blackout, BlackoutTime, Schedule, blacked_out};

/// 2026-01-01T00:00:00Z, in seconds.
const FROM: i64 = 1_767_225_600;
/// How many due times, or stretches of blackouts with due times, are looked at.
const LOOK: u32 = 1_000;
/// Of so many at most one runs if a job hardly ever does: clocks that skip a time skip the blackout of that time too,
/// so that what runs right after it runs once a year.
const HARDLY: u32 = 50;
/// How long blackouts must go on to have no end; they come again every week, but for changes of clocks.
const LONG: SignedDuration = SignedDuration::from_hours(400 * 24);
/// How many tenants are asked about where each has due times of its own.
const TENANTS: usize = 100;

#[derive(Clone, Copy, PartialEq)]
enum Left {
    Enough,
    /// Nearly no due time.
    Little,
    /// No due time.
    Nothing,
    /// No time at all.
    Never,
}

/// Warns if the due times of a job, or nearly all of them, fall into its blackouts, or if those have no end. `jobs` are
/// some of its tenants, each with what is due and what is not, and `all` how many it has; `waits` is whether it waits for
/// the end of a blackout.
pub(in crate::config) fn warn_of_nothing_left<'a>(
    report: &mut Report<'_>,
    span: &Span,
    job: &JobName,
    waits: bool,
    all: usize,
    jobs: impl Iterator<Item = (&'a TenantId, &'a ScheduleSpec, &'a [Blackout])>,
) {
    if report.is_crowded() || report.is_muted() {
        return;
    }
    let (mut never, mut nothing, mut little) = (Named::default(), Named::default(), Named::default());
    let mut known: HashMap<*const ScheduleSpec, Left> = HashMap::new();
    let mut asked = 0;
    for (tenant, spec, blackouts) in jobs {
        let left = if waits || !spec.is_seeded() {
            *known.entry(std::ptr::from_ref(spec)).or_insert_with(|| left(spec, blackouts, JobKey::from_i64(0), waits))
        } else if asked < TENANTS {
            asked += 1;
            left(spec, blackouts, JobKey::new(tenant, job, 0), waits)
        } else {
            break;
        };
        match left {
            Left::Enough => {}
            Left::Little => little.add(tenant),
            Left::Nothing => nothing.add(tenant),
            Left::Never => never.add(tenant),
        }
    }
    let defer = "`on_blackout: defer` runs it when a blackout ends";
    for (named, rarely, why, help) in [
        (never, "never", "its blackouts have no end", "leave some time between them"),
        (nothing, "never", "each of its due times falls into a blackout", defer),
        (little, "hardly ever", "nearly all of its due times fall into a blackout", defer),
    ] {
        let Some(names) = named.list() else { continue };
        let whom = if named.count() == all { String::new() } else { format!(" for {names}") };
        report.warn(span, format!("the job {rarely} runs{whom}: {why}"), Some(help.to_owned()));
    }
}

fn left(spec: &ScheduleSpec, blackouts: &[Blackout], key: JobKey, waits: bool) -> Left {
    let left = match spec.compile(key) {
        Ok(schedule) if !waits => left_of_due_times(&schedule, blackouts),
        _ => Left::Enough,
    };
    if (waits || left == Left::Nothing) && have_no_end(blackouts) { Left::Never } else { left }
}

/// Whether there is no time between the blackouts, once those that come only once are over.
fn have_no_end(blackouts: &[Blackout]) -> bool {
    let over = |blackout: &Blackout| match &blackout.when {
        BlackoutTime::Once { to, .. } => to.reached(),
        BlackoutTime::Daily { .. } => None,
    };
    let from = Timestamp::from_second(FROM).unwrap_or_default();
    let mut at = blackouts.iter().filter_map(over).fold(from, Timestamp::max);
    let Ok(long) = at.checked_add(LONG) else { return false };
    while at < long {
        let Some((_, end)) = blacked_out(blackouts, at) else { return false };
        at = end;
    }
    true
}

fn left_of_due_times(schedule: &Schedule, blackouts: &[Blackout]) -> Left {
    let mut after = Timestamp::from_second(FROM).unwrap_or_default();
    let (mut looked, mut run) = (0, 0);
    while looked < LOOK {
        let Some(due) = schedule.next_after(after) else { break };
        looked += 1;
        after = due;
        match blacked_out(blackouts, due) {
            // The end is a due time that is looked at.
            Some((_, end)) => after = end.checked_sub(SignedDuration::from_nanos(1)).map_or(due, |end| end.max(due)),
            None => run += 1,
        }
        if run > 1 + looked / HARDLY {
            return Left::Enough;
        }
    }
    match (looked, run) {
        (1.., 0) => Left::Nothing,
        (LOOK, _) => Left::Little,
        _ => Left::Enough,
    }
}
