//! Counting due times: what the planner would queue from one minute to another, if it planned from there.
//!
//! The planner itself is asked, so limits and blackouts count as they do when a leader plans. It is asked once for all
//! tenants that share a definition, and for each of them where a hash of the job decides. A bare interval is not asked
//! for at all: its grid repeats, and one period of it tells the rest.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use leasehold_common::catalog::{Desired, DesiredJob};
use leasehold_common::definition::{Definition, DefinitionId, OnBlackout, ScheduleError, ScheduleSpec, Timing};
use leasehold_common::id::JobKey;
use leasehold_common::plan;
use leasehold_common::schedule::{Schedule, blacked_out, stable_spread};
use leasehold_common::store::DueJob;
use uuid::Uuid;

use super::forecast::Forecast;
use crate::failure::Failure;

const MINUTE_MS: u64 = 60_000;

/// How far to look back for due times that a blackout before the first minute put off into it.
const LOOK_BACK: SignedDuration = SignedDuration::from_hours(31 * 24);

/// Counts every job of every tenant from one whole minute up to another.
pub(super) fn forecast(desired: &Desired, from: Timestamp, to: Timestamp) -> Result<Forecast, Failure> {
    let mut forecast = Forecast {
        from,
        to,
        tenants: desired.tenants.len(),
        jobs: desired.jobs.len(),
        minutes: BTreeMap::new(),
        at_most: Vec::new(),
    };
    for group in groups(desired) {
        let name = &group[0].name;
        let minutes = forecast.minutes.entry(name.clone()).or_default();
        count(&group, Stretch { from, to }, minutes)
            .map_err(|error| Failure::Refused(format!("job {name} cannot be planned: {error}")))?;
        if group[0].definition.schedule.interval().is_some() && !forecast.at_most.contains(name) {
            forecast.at_most.push(name.clone());
        }
    }
    Ok(forecast)
}

/// Jobs that share a definition; none is empty.
fn groups(desired: &Desired) -> Vec<Vec<&DesiredJob>> {
    let mut places: HashMap<*const Definition, usize> = HashMap::new();
    let mut groups: Vec<Vec<&DesiredJob>> = Vec::new();
    for job in &desired.jobs {
        let place = *places.entry(Arc::as_ptr(&job.definition)).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[place].push(job);
    }
    groups
}

#[derive(Clone, Copy)]
struct Stretch {
    from: Timestamp,
    to: Timestamp,
}

impl Stretch {
    fn minutes(self) -> usize {
        usize::try_from(self.to.duration_since(self.from).as_mins()).unwrap_or(0)
    }

    fn contains(self, at: Timestamp) -> bool {
        self.from <= at && at < self.to
    }

    /// Which minute; of an instant within.
    fn minute(self, at: Timestamp) -> usize {
        usize::try_from(at.duration_since(self.from).as_mins()).unwrap_or(0)
    }
}

/// Adds the runs of jobs that share a definition to the minutes in which they are due.
fn count(group: &[&DesiredJob], stretch: Stretch, minutes: &mut Vec<u64>) -> Result<(), ScheduleError> {
    minutes.resize(stretch.minutes(), 0);
    let definition = &group[0].definition;
    let keys = group.iter().map(|job| JobKey::new(&job.tenant, &job.name, 0));
    if let Some(interval) = bare_interval(definition) {
        let phases = keys.map(|key| phase(definition, key, interval, stretch.from));
        add_grids(interval, phases, minutes);
        return Ok(());
    }
    let by_hash = definition.schedule.is_seeded() || definition.schedule.interval().is_some();
    let (each, times) = if by_hash { (group.len(), 1) } else { (1, group.len() as u64) };
    for key in keys.take(each) {
        let timing = timing(definition, key)?;
        let mut add = |at: Timestamp| {
            if let Some(minute) = minutes.get_mut(stretch.minute(at)).filter(|_| stretch.contains(at)) {
                *minute += times;
            }
        };
        match timing.schedule.interval() {
            Some(interval) => walk_delay(&timing, definition, key, interval, stretch, &mut add),
            None => walk(&timing, definition, key, stretch, &mut add),
        }
    }
    Ok(())
}

/// What the planner needs to know of a definition.
fn timing(definition: &Definition, key: JobKey) -> Result<Timing, ScheduleError> {
    let schedule = definition.schedule.compile(key)?;
    Ok(Timing { blackouts: definition.blackouts.clone(), on_blackout: definition.on_blackout, ..Timing::of(schedule) })
}

/// A job that nothing was ever planned of.
fn job(definition: &Definition, key: JobKey, next_due: Timestamp, accounted: Timestamp) -> DueJob {
    DueJob {
        key,
        version: 1,
        definition: DefinitionId::from_uuid(Uuid::nil()),
        next_due,
        accounted,
        pause: None,
        runs_left: definition.schedule.max_runs(),
        gated: false,
    }
}

/// Plans from the first minute on, in as many launches as it takes.
fn walk(timing: &Timing, definition: &Definition, key: JobKey, stretch: Stretch, add: &mut impl FnMut(Timestamp)) {
    let just_before = |at: Timestamp| at.checked_sub(SignedDuration::from_nanos(1)).unwrap_or(at);
    let put_off =
        timing.on_blackout == OnBlackout::Defer && blacked_out(&timing.blackouts, just_before(stretch.from)).is_some();
    let since = if put_off { stretch.from.checked_sub(LOOK_BACK).unwrap_or(Timestamp::MIN) } else { stretch.from };
    // Due times are whole milliseconds, and the horizon is included.
    let horizon = just_before(stretch.to);
    let mut job = job(definition, key, since, just_before(since));
    loop {
        let launch = plan::plan(&job, timing, stretch.from, horizon);
        launch.items.iter().for_each(|item| add(item.not_before));
        (job.accounted, job.runs_left) = (launch.accounted, launch.runs_left);
        match launch.next.filter(|next| *next <= horizon) {
            Some(next) => job.next_due = next,
            None => return,
        }
    }
}

/// The same for a fixed delay, whose runs are taken to end as soon as they start.
fn walk_delay(
    timing: &Timing,
    definition: &Definition,
    key: JobKey,
    interval: Duration,
    stretch: Stretch,
    add: &mut impl FnMut(Timestamp),
) {
    let after = |at: Timestamp, wait: Duration| at.checked_add(wait).unwrap_or(Timestamp::MAX);
    let first = after(stretch.from, stable_spread(key.bits(), interval));
    let mut job = job(definition, key, first, stretch.from);
    while job.next_due < stretch.to {
        let launch = plan::plan(&job, timing, stretch.from, job.next_due);
        (job.accounted, job.runs_left) = (launch.accounted, launch.runs_left);
        job.next_due = match (launch.items.first(), launch.next) {
            (Some(item), _) => {
                add(item.not_before);
                after(item.not_before, interval)
            }
            (None, Some(next)) if next > job.next_due => next,
            _ => return,
        };
    }
}

/// The interval of a job with nothing around it.
fn bare_interval(definition: &Definition) -> Option<Duration> {
    match &definition.schedule {
        ScheduleSpec::Every { interval } | ScheduleSpec::Rate { interval } => {
            (definition.blackouts.is_empty() && !interval.is_zero()).then_some(*interval)
        }
        _ => None,
    }
}

/// Where the grid of a job lies, in milliseconds from the first minute to its first point at or after that.
fn phase(definition: &Definition, key: JobKey, interval: Duration, from: Timestamp) -> u64 {
    let step = millis(interval);
    match &definition.schedule {
        ScheduleSpec::Rate { .. } => match Schedule::rate(interval, key.bits()) {
            Schedule::Rate { phase, .. } => {
                let since = from.as_millisecond().rem_euclid(i64::try_from(step).unwrap_or(i64::MAX));
                (millis(phase) + step - since.unsigned_abs()) % step
            }
            _ => 0,
        },
        _ => millis(stable_spread(key.bits(), interval)) % step,
    }
}

/// Never zero.
fn millis(interval: Duration) -> u64 {
    u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// Adds grids of one interval. Together they repeat after the first whole number of minutes that is a whole number of
/// intervals: so they are counted up to there, and that is laid over the rest again and again.
fn add_grids(interval: Duration, phases: impl Iterator<Item = u64>, minutes: &mut [u64]) {
    let step = millis(interval);
    let length = minutes.len() as u64 * MINUTE_MS;
    let period = (step / gcd(step, MINUTE_MS)).saturating_mul(MINUTE_MS).min(length);
    let mut tile = vec![0_u64; usize::try_from(period / MINUTE_MS).unwrap_or(0)];
    for phase in phases {
        let mut at = phase;
        while at < period {
            if let Some(minute) = usize::try_from(at / MINUTE_MS).ok().and_then(|minute| tile.get_mut(minute)) {
                *minute += 1;
            }
            at = at.saturating_add(step);
        }
    }
    for (minute, runs) in minutes.iter_mut().zip(tile.iter().cycle()) {
        *minute += runs;
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use leasehold_common::config;

    use super::*;

    const FROM: &str = "2026-11-21T00:00:00Z";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// Forecast of jobs of so many tenants, for a number of hours.
    fn of(jobs: &str, tenants: usize, hours: i64) -> Forecast {
        let tenants: String = (0..tenants).map(|n| format!("  - {{id: t{n}}}\n")).collect();
        let text = format!("version: 1\ntenants:\n{tenants}jobs:\n{jobs}");
        let checked = config::check("leasehold.yaml", &text, &|_| None);
        let config = checked.config.unwrap_or_else(|| panic!("{:?}", checked.diagnostics));
        forecast(&config.desired(at(FROM), &[]), at(FROM), at(FROM) + SignedDuration::from_hours(hours)).unwrap()
    }

    fn job(keys: &str) -> String {
        format!("  - {{name: a, handler: a, {keys}}}\n")
    }

    /// The runs of each hour.
    fn hours(keys: &str, tenants: usize, hours: i64) -> Vec<u64> {
        of(&job(keys), tenants, hours).summary().hours.iter().map(|hour| hour.fires).collect()
    }

    #[test]
    fn shared_schedules_are_multiplied() {
        assert_eq!(hours(r#"cron: "30 1,3 * * *""#, 1000, 5), [0, 1000, 0, 1000, 0]);
        assert_eq!(hours(r#"cron: "*/20 * * * * *", start: 2026-11-21T00:30"#, 7, 2), [630, 1260]);
        assert_eq!(hours(r#"at: 2026-11-21T01:00"#, 7, 3), [0, 7, 0]);
        // The first instant belongs to the stretch, the last one does not.
        assert_eq!(hours(r#"cron: "0 */2 * * *""#, 1, 4), [1, 0, 1, 0]);
    }

    #[test]
    fn what_a_hash_decides_is_counted_job_by_job() {
        let spread = hours(r#"spread: "01:00-03:00""#, 1000, 4);
        assert_eq!((spread[0], spread[3], spread[1] + spread[2]), (0, 0, 1000));
        assert!(spread[1] > 400 && spread[2] > 400, "{spread:?}");
        let hashed = hours(r#"cron: "H * * * *""#, 100, 3);
        assert_eq!(hashed, [100, 100, 100]);
        let peak = of(&job(r#"cron: "H * * * *""#), 100, 1).summary().busiest.unwrap();
        assert!(peak.peak.fires < 10, "{peak:?}");
    }

    #[test]
    fn a_period_of_a_grid_tells_the_rest() {
        // Against the planner, which a bound that changes nothing makes the count ask.
        for (interval, expected) in [("30s", 120 * 50), ("5m", 12 * 50), ("7s", 25_714), ("1h", 50), ("36m", 83)] {
            let quick = of(&job(&format!("every: {interval}, anchor: start")), 50, 30);
            let slow = of(&job(&format!("every: {interval}, anchor: start, start: 2020-01-01")), 50, 30);
            assert_eq!(quick.minutes, slow.minutes, "{interval}");
            let hour = quick.summary().hours[3].fires;
            assert!(hour.abs_diff(expected) <= 50, "{interval}: {hour}");
        }
    }

    #[test]
    fn a_delay_is_counted_at_most_once_in_each_interval() {
        for keys in ["every: 10m", "every: 10m, start: 2020-01-01"] {
            let forecast = of(&job(keys), 100, 6);
            let summary = forecast.summary();
            assert_eq!(summary.at_most.len(), 1, "{keys}");
            assert!(summary.fires <= 36 * 100 && summary.fires >= 35 * 100, "{keys}: {}", summary.fires);
        }
        assert!(of(&job("every: 10m, anchor: start"), 1, 1).at_most.is_empty());
        let few = of(&job("every: 10m, max_runs: 3"), 10, 6).summary();
        assert_eq!(few.fires, 30);
    }

    /// The runs of each hour of a job in the blackout of every night from 01:30 to 04:00.
    fn at_night(keys: &str, hours: i64) -> Vec<u64> {
        let named = format!(
            "{}blackouts: {{night: {{daily: \"01:30-04:00\"}}}}\n",
            job(&format!("{keys}, blackouts: [night]"))
        );
        of(&named, 10, hours).summary().hours.iter().map(|hour| hour.fires).collect()
    }

    #[test]
    fn what_a_blackout_keeps_from_running_is_not_counted() {
        assert_eq!(at_night(r#"cron: "0,45 * * * *""#, 6), [20, 10, 0, 0, 20, 20]);
        // The last one that was put off runs when the night is over.
        assert_eq!(at_night(r#"cron: "30 * * * *", on_blackout: defer"#, 6), [10, 0, 0, 0, 20, 10]);
        let delay = at_night("every: 1h", 6);
        assert_eq!((delay[2], delay[3], delay[4]), (0, 0, 10), "{delay:?}");
        let grid = at_night("every: 1h, anchor: start", 6);
        assert_eq!((grid[0], grid[2], grid[3], grid[4]), (10, 0, 0, 10), "{grid:?}");
    }

    #[test]
    fn what_was_put_off_before_the_first_minute_is_counted() {
        let jobs = format!(
            "{}blackouts: {{christmas: {{from: 2026-11-01, to: 2026-11-21}}, night: {{daily: \"00:00-01:00\"}}}}\n",
            job(r#"cron: "0 12 * * *", on_blackout: defer, blackouts: [christmas, night]"#)
        );
        let hours: Vec<u64> = of(&jobs, 10, 3).summary().hours.iter().map(|hour| hour.fires).collect();
        assert_eq!(hours, [0, 10, 0]);
    }

    #[test]
    fn the_busiest_minute_names_its_biggest_jobs() {
        let daily = r#"cron: "0 2 * * *""#;
        let names = ["a", "b", "c", "d", "e", "f", "g"];
        let jobs: String = names.iter().map(|name| format!("  - {{name: {name}, handler: a, {daily}}}\n")).collect();
        let jobs = format!(
            "{jobs}  - {{name: big, handler: a, cron: \"0 0 2 * * *\"}}\n  - {{name: twice, handler: a, cron: \"0,30 0 2 * * *\"}}\n"
        );
        let summary = of(&jobs, 10, 24).summary();
        let busiest = summary.busiest.unwrap();
        assert_eq!((busiest.peak.minute, busiest.peak.fires), (at("2026-11-21T02:00:00Z"), 100));
        assert_eq!((busiest.jobs[0].job.as_str(), busiest.jobs[0].fires), ("twice", 20));
        assert_eq!((busiest.jobs.len(), busiest.more_jobs), (5, 4));
        assert_eq!(summary.fires, 100);
        assert!(of(&job("at: 2030-01-01"), 1, 1).summary().busiest.is_none());
    }
}
