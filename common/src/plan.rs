//! The planner's decisions: what to do about each due time of a job, and when to look at the job again.
//!
//! The planner walks due times from where it left off ([`DueJob::accounted`]) to the horizon, and gives each of them
//! its place: in the queue, or in a row of due times that do not run for one reason (invariant I10). It is pure: the
//! store writes what it says, if the job is still the one it was planned from.

use jiff::Timestamp;

use crate::definition::{CatchUp, Expiry, OnBlackout, Timing};
use crate::run::Outcome;
use crate::schedule::{blacked_out, stable_spread};
use crate::store::{DueJob, Item, Launch, Pause, Skipped};

/// The most due times that one launch puts into the queue, so that a batch of launches stays small. What is left comes
/// with the next launch.
pub const MAX_ITEMS: usize = 200;

/// The most due times that one launch looks at: some ten milliseconds of work.
pub const MAX_STEPS: u32 = 10_000;

/// The most due times of a job that an edit accounts for: a year of every second, and some twenty seconds of work. The
/// row that says what became of them then counts so many.
const MAX_PAST: u32 = 40_000_000;

/// Decides what to do about a due job.
///
/// Puts every due time up to `horizon` (now plus look-ahead) into the queue, except those in a pause or a blackout, those
/// of a job that is gated, and those that the catch-up policy gives up: with `last` the ones that were followed by another before now (one that is
/// a second late with the next one still ahead is merely late), otherwise the ones that are later than its limit.
///
/// `timing` must be that of `job.version`. Every answer that has a `next` moves the job forward: it is later than
/// `job.next_due`, or `accounted` is later than it was.
#[must_use]
pub fn plan(job: &DueJob, timing: &Timing, now: Timestamp, horizon: Timestamp) -> Launch {
    plan_some(job, timing, now, horizon, MAX_STEPS)
}

/// [`plan`], looking at no more than `steps` due times, at least one: what is left comes with the next launch.
#[must_use]
pub fn plan_some(job: &DueJob, timing: &Timing, now: Timestamp, horizon: Timestamp, steps: u32) -> Launch {
    match timing.schedule.interval() {
        Some(_) => plan_delay(job, timing),
        None => Walk::new(job, timing, now, horizon, steps.max(1)).run(),
    }
}

fn launch(job: &DueJob, timing: &Timing) -> Launch {
    Launch {
        key: job.key,
        version: job.version,
        expected: job.next_due,
        items: Vec::new(),
        skipped: Vec::new(),
        accounted: job.accounted,
        catch_up: timing.catch_up.code(),
        next: None,
        runs_left: job.runs_left,
        over: false,
    }
}

/// Fixed delay: one due time, and the completion of its run sets the next. What keeps it from running puts it off.
fn plan_delay(job: &DueJob, timing: &Timing) -> Launch {
    let mut launch = launch(job, timing);
    let (schedule, due) = (&timing.schedule, job.next_due);
    // Everything that was held up together would come back at once.
    let spread = |from: Timestamp| {
        let interval = schedule.interval().unwrap_or_default();
        from.checked_add(stable_spread(job.key.bits(), interval)).unwrap_or(Timestamp::MAX)
    };
    if job.runs_left == Some(0) || schedule.end().is_some_and(|end| due >= end) {
        launch.over = true;
    } else if let Some(start) = schedule.start().filter(|start| due < *start) {
        launch.next = Some(spread(start));
    } else if let Some(pause) = job.pause.filter(|pause| pause.covers(due)) {
        launch.next = (pause.until < Timestamp::MAX).then_some(pause.until);
    } else if job.pause.is_some_and(|pause| pause.until == due) {
        launch.next = Some(spread(due));
    } else if let Some(end) = stretch(timing, due, due) {
        launch.next = Some(spread(end));
    } else if job.gated {
        launch.skipped.push(Skipped { outcome: Outcome::Gated, first: due, last: due, count: 1 });
        launch.accounted = due;
        launch.next = due.checked_add(schedule.interval().unwrap_or_default()).ok();
    } else {
        launch.items.push(item(timing, due, due));
        launch.accounted = due;
        launch.runs_left = job.runs_left.map(|left| left - 1);
    }
    launch
}

/// The end of the unbroken stretch of blackouts around an instant, as far as it matters: one that lies after `horizon`
/// may not be the last. (Blackouts follow chains of themselves only so far.)
fn stretch(timing: &Timing, at: Timestamp, horizon: Timestamp) -> Option<Timestamp> {
    let end = |at| blacked_out(&timing.blackouts, at).map(|(_, end)| end);
    let mut reached = end(at)?;
    while reached <= horizon {
        match end(reached) {
            Some(later) => reached = later,
            None => break,
        }
    }
    Some(reached)
}

/// A due time for the queue, with the limits that its policies set.
fn item(timing: &Timing, due: Timestamp, not_before: Timestamp) -> Item {
    let after = |wait| not_before.checked_add(wait).ok();
    Item {
        due,
        not_before,
        misfire_at: timing.catch_up.limit().and_then(after),
        expires_at: match timing.expires {
            None => None,
            Some(Expiry::After(wait)) => after(wait),
            Some(Expiry::Next) => timing.schedule.next_after(due),
        },
    }
}

/// Due times in a row that end in the same way become one.
fn skip(skipped: &mut Vec<Skipped>, outcome: Outcome, due: Timestamp) {
    match skipped.last_mut() {
        Some(row) if row.outcome == outcome => {
            row.last = due;
            row.count = row.count.saturating_add(1);
        }
        _ => skipped.push(Skipped { outcome, first: due, last: due, count: 1 }),
    }
}

/// The walk over the due times of a job.
struct Walk<'a> {
    job: &'a DueJob,
    timing: &'a Timing,
    now: Timestamp,
    horizon: Timestamp,
    launch: Launch,
    steps: u32,
    max_steps: u32,
    /// Whether the last step put something into the queue, so that a row of skipped ones ends.
    queued: bool,
}

impl<'a> Walk<'a> {
    fn new(job: &'a DueJob, timing: &'a Timing, now: Timestamp, horizon: Timestamp, max_steps: u32) -> Self {
        Self { job, timing, now, horizon, launch: launch(job, timing), steps: 0, max_steps, queued: false }
    }

    fn run(mut self) -> Launch {
        let mut at = self.timing.schedule.next_after(self.launch.accounted);
        while let Some(due) = at.filter(|due| *due <= self.horizon) {
            if self.launch.runs_left == Some(0) {
                at = None;
                break;
            }
            if self.steps >= self.max_steps || self.launch.items.len() >= MAX_ITEMS {
                break;
            }
            if !self.job.pause.is_some_and(|pause| pause.covers(due))
                && let Some(end) = stretch(self.timing, due, self.horizon)
            {
                if end > self.horizon {
                    // Nothing is said of it until it is over: an edit may still change what it means.
                    self.launch.next = Some(end);
                    return self.launch;
                }
                at = self.blackout(due, end);
                continue;
            }
            let next = self.timing.schedule.next_after(due);
            self.step(due, next);
            at = next;
        }
        self.launch.next = if self.launch.runs_left == Some(0) { None } else { at };
        self.launch.over = self.launch.next.is_none();
        self.launch
    }

    /// One due time outside of any blackout.
    fn step(&mut self, due: Timestamp, next: Option<Timestamp>) {
        self.steps += 1;
        let missed = match self.timing.catch_up {
            CatchUp::Last => next.is_some_and(|next| next <= self.now),
            CatchUp::Skip { grace: limit } | CatchUp::All { within: limit } => {
                due.checked_add(limit).is_ok_and(|until| until < self.now)
            }
        };
        if self.job.pause.is_some_and(|pause| pause.covers(due)) {
            self.skip(Outcome::Paused, due);
        } else if self.job.gated {
            self.skip(Outcome::Gated, due);
        } else if missed {
            self.skip(Outcome::Misfired, due);
        } else {
            self.queue(due, due);
        }
        self.launch.accounted = due;
    }

    /// All due times of a blackout that is over by the horizon. Answers the first one after it.
    fn blackout(&mut self, first: Timestamp, end: Timestamp) -> Option<Timestamp> {
        let mut due = first;
        loop {
            self.steps += 1;
            let next = self.timing.schedule.next_after(due);
            let is_last = next.is_none_or(|next| next >= end);
            match self.timing.on_blackout {
                OnBlackout::Defer if is_last && self.job.gated => self.skip(Outcome::Gated, due),
                OnBlackout::Defer if is_last => self.queue(due, end),
                _ => self.skip(Outcome::BlackedOut, due),
            }
            self.launch.accounted = due;
            match next.filter(|_| !is_last && self.steps < self.max_steps) {
                Some(next) => due = next,
                None => return next,
            }
        }
    }

    fn skip(&mut self, outcome: Outcome, due: Timestamp) {
        if std::mem::take(&mut self.queued) {
            self.launch.skipped.push(Skipped { outcome, first: due, last: due, count: 1 });
        } else {
            skip(&mut self.launch.skipped, outcome, due);
        }
    }

    fn queue(&mut self, due: Timestamp, not_before: Timestamp) {
        self.launch.items.push(item(self.timing, due, not_before));
        self.launch.runs_left = self.launch.runs_left.map(|left| left.saturating_sub(1));
        self.queued = true;
    }
}

/// What becomes of the due times after `accounted` up to now when an edit ends the schedule that they belong to:
/// `outcome`, but for those in a pause or a blackout. Added to what was known of earlier ones.
pub fn past(
    skipped: &mut Vec<Skipped>,
    timing: &Timing,
    accounted: Timestamp,
    pause: Option<Pause>,
    now: Timestamp,
    outcome: Outcome,
) {
    let mut at = timing.schedule.next_after(accounted);
    let mut steps = 0;
    while let Some(due) = at.filter(|due| *due <= now && steps < MAX_PAST) {
        steps += 1;
        let outcome = if pause.is_some_and(|pause| pause.covers(due)) {
            Outcome::Paused
        } else if blacked_out(&timing.blackouts, due).is_some() {
            Outcome::BlackedOut
        } else {
            outcome
        };
        skip(skipped, outcome, due);
        at = timing.schedule.next_after(due);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::time::Duration;

    use jiff::SignedDuration;

    use super::*;
    use crate::definition::DefinitionId;
    use crate::id::JobKey;
    use crate::schedule::{CronExpr, DstPolicy, Schedule, Zone};

    fn at(text: &str) -> Timestamp {
        format!("2026-11-21T{text}Z").parse().unwrap()
    }

    fn job(next_due: Timestamp) -> DueJob {
        DueJob {
            key: JobKey::from_i64(1),
            version: 3,
            definition: DefinitionId::from_uuid(uuid::Uuid::nil()),
            next_due,
            accounted: next_due - SignedDuration::from_millis(1),
            pause: None,
            runs_left: None,
            gated: false,
        }
    }

    fn due(launch: &Launch) -> Vec<Timestamp> {
        launch.items.iter().map(|item| item.due).collect()
    }

    fn row(outcome: Outcome, first: &str, last: &str, count: u32) -> Skipped {
        Skipped { outcome, first: at(first), last: at(last), count }
    }

    fn cron(expr: &str) -> Schedule {
        Schedule::Cron { expr: CronExpr::parse(expr).unwrap(), zone: Zone::parse("UTC").unwrap(), dst: DstPolicy::Once }
    }

    fn timing(expr: &str) -> Timing {
        Timing::of(cron(expr))
    }

    #[test]
    fn looks_ahead_up_to_the_horizon() {
        let launch = plan(&job(at("02:00:00")), &timing("* * * * *"), at("01:59:50"), at("02:02:00"));
        assert_eq!(due(&launch), [at("02:00:00"), at("02:01:00"), at("02:02:00")]);
        assert_eq!(launch.skipped, []);
        assert_eq!((launch.accounted, launch.next), (at("02:02:00"), Some(at("02:03:00"))));
        assert_eq!((launch.expected, launch.version), (at("02:00:00"), 3));
    }

    #[test]
    fn after_an_outage_only_the_latest_due_time_fires() {
        let launch = plan(&job(at("02:00:00")), &timing("* * * * *"), at("02:03:30"), at("02:03:45"));
        assert_eq!(launch.skipped, [row(Outcome::Misfired, "02:00:00", "02:02:00", 3)]);
        assert_eq!(due(&launch), [at("02:03:00")]);
        assert_eq!(launch.next, Some(at("02:04:00")));
    }

    #[test]
    fn a_due_time_is_late_and_not_missed_until_the_next_one_has_come() {
        let launch = plan(&job(at("02:00:00")), &timing("* * * * *"), at("02:00:59"), at("02:01:14"));
        assert_eq!(due(&launch), [at("02:00:00"), at("02:01:00")]);
    }

    #[test]
    fn a_long_outage_is_worked_off_in_pieces_that_never_fire_a_missed_one() {
        let timing = timing("* * * * * *");
        let mut job = job("2026-11-20T02:00:00Z".parse().unwrap());
        let (now, horizon) = (at("02:20:00"), at("02:20:15"));
        let (mut queued, mut missed, mut launches) = (Vec::new(), 0, 0);
        while job.next_due <= horizon {
            let launch = plan(&job, &timing, now, horizon);
            assert!(launch.items.len() <= MAX_ITEMS);
            queued.extend(due(&launch));
            missed += launch.skipped.iter().map(|row| row.count).sum::<u32>();
            (job.accounted, job.next_due) = (launch.accounted, launch.next.unwrap());
            launches += 1;
        }
        assert_eq!(missed, 24 * 3600 + 1200);
        assert_eq!(launches, (missed + 16).div_ceil(MAX_STEPS));
        assert_eq!((queued.len(), queued[0]), (16, now));
    }

    #[test]
    fn with_skip_what_is_later_than_its_grace_does_not_run() {
        let mut timing = timing("* * * * *");
        timing.catch_up = CatchUp::Skip { grace: Duration::from_secs(90) };
        let launch = plan(&job(at("02:00:00")), &timing, at("02:03:00"), at("02:03:15"));
        assert_eq!(launch.skipped, [row(Outcome::Misfired, "02:00:00", "02:01:00", 2)]);
        assert_eq!(due(&launch), [at("02:02:00"), at("02:03:00")]);
        assert_eq!(launch.items[0].misfire_at, Some(at("02:03:30")));
    }

    #[test]
    fn with_all_what_is_not_older_than_its_window_runs() {
        let mut timing = timing("* * * * *");
        timing.catch_up = CatchUp::All { within: Duration::from_secs(600) };
        let launch = plan(&job(at("02:00:00")), &timing, at("02:30:00"), at("02:30:15"));
        assert_eq!(launch.skipped, [row(Outcome::Misfired, "02:00:00", "02:19:00", 20)]);
        assert_eq!((launch.items.len(), launch.items[0].due), (11, at("02:20:00")));
    }

    #[test]
    fn a_pause_is_one_row_and_what_comes_after_it_runs() {
        let mut job = job(at("02:00:00"));
        job.pause = Some(Pause { at: at("02:01:00"), until: at("02:05:00") });
        job.next_due = at("02:05:00");
        let launch = plan(&job, &timing("* * * * *"), at("02:05:00"), at("02:06:00"));
        let rows = [row(Outcome::Misfired, "02:00:00", "02:00:00", 1), row(Outcome::Paused, "02:01:00", "02:04:00", 4)];
        assert_eq!(launch.skipped, rows);
        assert_eq!(due(&launch), [at("02:05:00"), at("02:06:00")]);
    }

    fn night(on_blackout: OnBlackout) -> Timing {
        let text = r#"{"schedule":{"cron":{"expr":"0 * * * *","zone":"UTC"}},
            "blackouts":[{"name":"night","daily":{"window":"02:30-05:30","zone":"UTC"}}]}"#;
        let mut timing =
            serde_json::from_str::<crate::definition::TimingSpec>(text).unwrap().compile(JobKey::from_i64(1)).unwrap();
        timing.on_blackout = on_blackout;
        timing
    }

    #[test]
    fn a_blackout_is_waited_out_and_then_one_row() {
        let timing = night(OnBlackout::Skip);
        let launch = plan(&job(at("02:00:00")), &timing, at("02:00:00"), at("03:00:00"));
        assert_eq!(due(&launch), [at("02:00:00")]);
        assert_eq!((launch.accounted, launch.next, launch.over), (at("02:00:00"), Some(at("05:30:00")), false));

        let mut later = job(at("05:30:00"));
        later.accounted = launch.accounted;
        let launch = plan(&later, &timing, at("05:29:45"), at("05:30:00"));
        assert_eq!(launch.skipped, [row(Outcome::BlackedOut, "03:00:00", "05:00:00", 3)]);
        assert_eq!((launch.items.len(), launch.next), (0, Some(at("06:00:00"))));
    }

    #[test]
    fn a_blackout_that_defers_lets_the_last_one_run_at_its_end() {
        let mut job = job(at("05:30:00"));
        job.accounted = at("02:00:00");
        let mut timing = night(OnBlackout::Defer);
        timing.expires = Some(Expiry::After(Duration::from_secs(600)));
        let launch = plan(&job, &timing, at("05:29:45"), at("05:30:00"));
        assert_eq!(launch.skipped, [row(Outcome::BlackedOut, "03:00:00", "04:00:00", 2)]);
        let item = launch.items[0];
        assert_eq!(
            (item.due, item.not_before, item.expires_at),
            (at("05:00:00"), at("05:30:00"), Some(at("05:40:00")))
        );
        assert_eq!(launch.accounted, at("05:00:00"));
    }

    #[test]
    fn runs_are_counted_down_and_then_it_is_over() {
        let mut job = job(at("02:00:00"));
        job.runs_left = Some(2);
        let launch = plan(&job, &timing("* * * * *"), at("01:59:50"), at("02:10:00"));
        assert_eq!(due(&launch), [at("02:00:00"), at("02:01:00")]);
        assert_eq!((launch.next, launch.runs_left, launch.over), (None, Some(0), true));
    }

    #[test]
    fn an_item_expires_with_the_next_due_time() {
        let mut timing = timing("*/5 * * * *");
        timing.expires = Some(Expiry::Next);
        let launch = plan(&job(at("02:00:00")), &timing, at("02:00:00"), at("02:00:15"));
        assert_eq!(launch.items[0].expires_at, Some(at("02:05:00")));
    }

    #[test]
    fn a_grid_is_planned_like_a_clock_and_stays_where_it_was_after_an_outage() {
        let schedule = Schedule::rate(Duration::from_secs(60), 7);
        let first = schedule.next_after(at("02:00:00")).unwrap();
        let launch = plan(&job(first), &Timing::of(schedule), at("02:10:00"), at("02:10:15"));
        assert_eq!((launch.skipped[0].count, launch.skipped[0].first), (9, first));
        let last = launch.items.last().unwrap().due;
        assert_eq!(last.duration_since(first).as_secs() % 60, 0);
        assert_eq!(launch.next, Some(last + SignedDuration::from_secs(60)));
    }

    #[test]
    fn a_single_time_fires_even_late_and_never_again() {
        let schedule = Schedule::At { due: Some(at("02:00:00")) };
        let launch = plan(&job(at("02:00:00")), &Timing::of(schedule), at("09:00:00"), at("09:00:15"));
        assert_eq!((due(&launch), launch.next, launch.over), (vec![at("02:00:00")], None, true));
    }

    #[test]
    fn several_schedules_fire_once_where_they_meet() {
        let schedule = Schedule::Any(vec![cron("0 * * * *"), cron("*/30 * * * *")]);
        let launch = plan(&job(at("02:00:00")), &Timing::of(schedule), at("01:59:50"), at("03:00:00"));
        assert_eq!(due(&launch), [at("02:00:00"), at("02:30:00"), at("03:00:00")]);
    }

    fn delay(start: Option<&str>, end: Option<&str>) -> Timing {
        Timing::of(Schedule::Within {
            schedule: Box::new(Schedule::Every { interval: Duration::from_secs(30) }),
            start: start.map(at),
            end: end.map(at),
        })
    }

    #[test]
    fn an_interval_fires_once_and_leaves_the_next_to_its_completion() {
        let launch = plan(&job(at("02:00:00")), &delay(None, None), at("02:10:00"), at("02:10:15"));
        assert_eq!((launch.items.len(), launch.skipped.len(), launch.next, launch.over), (1, 0, None, false));
    }

    #[test]
    fn an_interval_keeps_its_limits() {
        let plan = |job: &DueJob, timing: &Timing| plan(job, timing, at("02:10:00"), at("02:10:15"));
        let early = plan(&job(at("02:00:00")), &delay(Some("03:00:00"), None));
        let next = early.next.unwrap();
        assert!(early.items.is_empty() && next > at("03:00:00") && next <= at("03:00:30"), "{next}");
        let late = plan(&job(at("02:00:00")), &delay(None, Some("02:00:00")));
        assert_eq!((late.items.len(), late.next, late.over), (0, None, true));

        let mut paused = job(at("02:00:00"));
        paused.pause = Some(Pause { at: at("01:00:00"), until: at("04:00:00") });
        assert_eq!(plan(&paused, &delay(None, None)).next, Some(at("04:00:00")));
        paused.next_due = at("04:00:00");
        let back = plan(&paused, &delay(None, None)).next.unwrap();
        assert!(back > at("04:00:00") && back <= at("04:00:30"), "{back}");
    }

    #[test]
    fn an_edit_accounts_for_what_had_not_run() {
        let pause = Some(Pause { at: at("02:02:00"), until: at("02:04:00") });
        let mut rows = Vec::new();
        let timing = timing("* * * * *");
        for (from, to) in [("02:00:00", "02:03:10"), ("02:03:10", "02:05:30")] {
            past(&mut rows, &timing, at(from), pause, at(to), Outcome::Superseded);
        }
        let expected = [
            row(Outcome::Superseded, "02:01:00", "02:01:00", 1),
            row(Outcome::Paused, "02:02:00", "02:03:00", 2),
            row(Outcome::Superseded, "02:04:00", "02:05:00", 2),
        ];
        assert_eq!(rows, expected);
    }
}
