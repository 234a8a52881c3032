//! The planner's decision: which due times of a job to fire now, and when to look at the job again.

use jiff::Timestamp;

use crate::schedule::Schedule;
use crate::store::{DueJob, Launch};

/// The most due times that one launch carries, so that a batch of launches stays small after a long outage. What is
/// left comes with the next launch.
pub const MAX_PER_LAUNCH: usize = 200;

/// Decides what to do about a due job.
///
/// Fires every due time from `job.next_due` up to `horizon` (now plus look-ahead). Of those that have passed already
/// only the latest fires; the ones before it are recorded as misfired (catch-up `last`). A due time counts as passed
/// by when a later one has come: one that is a second late with the next one still ahead is merely late.
///
/// `schedule` must be the schedule of `job.version`. Every answer moves the job forward: `next`, if there is one, is
/// later than `job.next_due`.
#[must_use]
pub fn plan(job: &DueJob, schedule: &Schedule, now: Timestamp, horizon: Timestamp) -> Launch {
    let mut launch = Launch {
        key: job.key,
        version: job.version,
        expected: job.next_due,
        due: Vec::new(),
        misfired: Vec::new(),
        next: None,
    };
    let mut at = job.next_due;
    loop {
        let next = schedule.next_after(at);
        match next {
            Some(later) if later <= now => launch.misfired.push(at),
            _ => launch.due.push(at),
        }
        match next {
            Some(later) if later <= horizon && launch.due.len() + launch.misfired.len() < MAX_PER_LAUNCH => at = later,
            _ => {
                launch.next = next;
                return launch;
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::definition::DefinitionId;
    use crate::id::JobKey;
    use crate::schedule::{CronExpr, DstPolicy, Zone};

    fn at(text: &str) -> Timestamp {
        format!("2026-11-21T{text}Z").parse().unwrap()
    }

    fn job(next_due: Timestamp) -> DueJob {
        DueJob {
            key: JobKey::from_i64(1),
            version: 3,
            definition: DefinitionId::from_uuid(uuid::Uuid::nil()),
            next_due,
        }
    }

    fn cron(expr: &str) -> Schedule {
        Schedule::Cron { expr: CronExpr::parse(expr).unwrap(), zone: Zone::parse("UTC").unwrap(), dst: DstPolicy::Once }
    }

    #[test]
    fn looks_ahead_up_to_the_horizon() {
        let launch = plan(&job(at("02:00:00")), &cron("* * * * *"), at("01:59:50"), at("02:02:00"));
        assert_eq!(launch.due, [at("02:00:00"), at("02:01:00"), at("02:02:00")]);
        assert_eq!(launch.misfired, []);
        assert_eq!(launch.next, Some(at("02:03:00")));
        assert_eq!((launch.expected, launch.version), (at("02:00:00"), 3));
    }

    #[test]
    fn after_an_outage_only_the_latest_due_time_fires() {
        let launch = plan(&job(at("02:00:00")), &cron("* * * * *"), at("02:03:30"), at("02:03:45"));
        assert_eq!(launch.misfired, [at("02:00:00"), at("02:01:00"), at("02:02:00")]);
        assert_eq!(launch.due, [at("02:03:00")]);
        assert_eq!(launch.next, Some(at("02:04:00")));
    }

    #[test]
    fn a_due_time_is_late_and_not_missed_until_the_next_one_has_come() {
        let launch = plan(&job(at("02:00:00")), &cron("* * * * *"), at("02:00:59"), at("02:01:14"));
        assert_eq!(launch.due, [at("02:00:00"), at("02:01:00")]);
    }

    #[test]
    fn a_long_outage_is_worked_off_in_pieces_that_never_fire_a_missed_one() {
        let schedule = cron("* * * * * *");
        let (now, horizon) = (at("02:20:00"), at("02:20:15"));
        let mut next = at("02:00:00");
        let (mut due, mut misfired) = (Vec::new(), Vec::new());
        while next <= horizon {
            let launch = plan(&job(next), &schedule, now, horizon);
            assert!(launch.due.len() + launch.misfired.len() <= MAX_PER_LAUNCH);
            due.extend(launch.due);
            misfired.extend(launch.misfired);
            next = launch.next.unwrap();
        }
        assert_eq!(misfired.len(), 1200);
        assert_eq!(due.len(), 16);
        assert_eq!(due[0], now);
    }

    #[test]
    fn a_grid_is_planned_like_a_clock_and_stays_where_it_was_after_an_outage() {
        let schedule = Schedule::rate(Duration::from_secs(60), 7);
        let first = schedule.next_after(at("02:00:00")).unwrap();
        let launch = plan(&job(first), &schedule, at("02:10:00"), at("02:10:15"));
        assert_eq!((launch.misfired.len(), launch.misfired[0]), (9, first));
        let last = *launch.due.last().unwrap();
        assert_eq!(last.duration_since(first).as_secs() % 60, 0);
        assert_eq!(launch.next, Some(last + jiff::SignedDuration::from_secs(60)));
    }

    #[test]
    fn a_single_time_fires_even_late_and_never_again() {
        let schedule = Schedule::At { due: Some(at("02:00:00")) };
        let launch = plan(&job(at("02:00:00")), &schedule, at("09:00:00"), at("09:00:15"));
        assert_eq!((launch.due, launch.misfired, launch.next), (vec![at("02:00:00")], vec![], None));
    }

    #[test]
    fn several_schedules_fire_once_where_they_meet() {
        let schedule = Schedule::Any(vec![cron("0 * * * *"), cron("*/30 * * * *")]);
        let launch = plan(&job(at("02:00:00")), &schedule, at("01:59:50"), at("03:00:00"));
        assert_eq!(launch.due, [at("02:00:00"), at("02:30:00"), at("03:00:00")]);
    }

    #[test]
    fn an_interval_fires_once_and_leaves_the_next_to_its_completion() {
        let every = Schedule::Every { interval: Duration::from_secs(30) };
        let launch = plan(&job(at("02:00:00")), &every, at("02:10:00"), at("02:10:15"));
        assert_eq!((launch.due.len(), launch.misfired.len(), launch.next), (1, 0, None));
    }
}
