//! A cron daemon that looks at the clock every minute, as Debian's does: the oracle for clock changes.
//!
//! It knows nothing of transitions, gaps or folds. It keeps the furthest minute that its clock has shown; a schedule
//! that follows the clock runs when the minute on the clock fits, any other runs for every minute that the clock has
//! reached or passed since. A jump of three hours or more moves the furthest minute with it.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use leasehold_common::schedule::{CronExpr, DstPolicy};
use proptest::prelude::*;

use crate::model::{Spec, spec};
use crate::support::{instant, zone};

pub(crate) struct Daemon<F, O> {
    /// Whether a civil time, in seconds from 1970 as on the clock, fits the schedule.
    pub(crate) fits: F,
    pub(crate) follows_clock: bool,
    pub(crate) policy: DstPolicy,
    /// What to add to an instant for civil time.
    pub(crate) offset: O,
}

impl<F: Fn(i64) -> bool, O: Fn(i64) -> i64> Daemon<F, O> {
    /// The instants at which it runs the job, after `from` and up to `until`. Both on a full civil minute.
    pub(crate) fn watch(&self, from: i64, until: i64) -> Vec<i64> {
        let mut ran = Vec::new();
        let mut before = from + (self.offset)(from);
        let mut furthest = before;
        let mut now = from + 60;
        while now <= until {
            let clock = now + (self.offset)(now);
            let jump = clock - before - 60;
            if jump.abs() >= 3 * 3600 {
                furthest = clock - 60;
            }
            let runs = if self.follows_clock || self.policy == DstPolicy::Literal {
                (self.fits)(clock)
            } else {
                let mut passed = (1..).map(|n| furthest + n * 60).take_while(|c| *c <= clock);
                match self.policy {
                    DstPolicy::Once => passed.any(|c| (self.fits)(c)),
                    _ => passed.any(|c| c == clock && (self.fits)(c)),
                }
            };
            if runs {
                ran.push(now);
            }
            furthest = furthest.max(clock);
            before = clock;
            now += 60;
        }
        ran
    }
}

/// What the engine says for the same stretch.
pub(crate) fn engine(expr: &CronExpr, tz: &TimeZone, policy: DstPolicy, from: i64, until: i64) -> Vec<i64> {
    let mut all = Vec::new();
    let mut last = Timestamp::from_second(from).unwrap();
    while let Some(next) = expr.next_after(last, tz, policy).filter(|n| n.as_second() <= until) {
        all.push(next.as_second());
        last = next;
    }
    all
}

fn civil(seconds: i64) -> DateTime {
    Timestamp::from_second(seconds).unwrap().to_zoned(TimeZone::UTC).datetime()
}

/// Zones with changes of every kind: an hour, half an hour, two hours, three hours, a day, at midnight, negative
/// daylight saving, Ramadan, double summer time.
const ZONES: [&str; 18] = [
    "America/New_York",
    "America/St_Johns",
    "America/Havana",
    "America/Sao_Paulo",
    "America/Scoresbysund",
    "Europe/Berlin",
    "Europe/Dublin",
    "Europe/London",
    "Europe/Moscow",
    "Africa/Casablanca",
    "Africa/Monrovia",
    "Asia/Beirut",
    "Asia/Pyongyang",
    "Australia/Lord_Howe",
    "Antarctica/Troll",
    "Antarctica/Casey",
    "Pacific/Apia",
    "Pacific/Kwajalein",
];

/// Schedules of the night, when clocks change.
fn night() -> impl Strategy<Value = Spec> {
    spec().prop_map(|mut s| {
        s.at_night();
        s
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_runs_what_the_daemon_runs_around_any_change(
        spec in night(),
        name in prop::sample::select(&ZONES[..]),
        since in 1942_i64..2036,
        policy in prop_oneof![Just(DstPolicy::Once), Just(DstPolicy::Skip), Just(DstPolicy::Literal)],
    ) {
        let (tz, expr) = (zone(name).tz().clone(), CronExpr::parse(&spec.text()).unwrap());
        prop_assert_eq!(expr.follows_clock(), spec.follows_clock());
        let since = Timestamp::from_second((since - 1970) * 31_556_952).unwrap();
        for change in tz.following(since).take(3) {
            let at = change.timestamp().as_second();
            let (before, after) = (i64::from(tz.to_offset(Timestamp::from_second(at - 1).unwrap()).seconds()),
                i64::from(change.offset().seconds()));
            if before % 60 != 0 || after % 60 != 0 || at % 60 != 0 {
                // On local mean time the daemon's minutes are not the clock's.
                continue;
            }
            let daemon = Daemon {
                fits: |c| spec.matches(civil(c)),
                follows_clock: spec.follows_clock(),
                policy,
                offset: |t| if t < at { before } else { after },
            };
            let (from, until) = (at - 5 * 3600, at + 5 * 3600);
            prop_assert_eq!(
                engine(&expr, &tz, policy, from, until),
                daemon.watch(from, until),
                "{} in {} around {}, {:?}", expr, name, change.timestamp(), policy
            );
        }
    }
}

#[test]
fn the_engine_runs_what_the_daemon_runs_for_a_whole_year() {
    let second_of_day = |c: i64| c.rem_euclid(86_400);
    let weekday = |c: i64| (c.div_euclid(86_400) + 4).rem_euclid(7);
    type Fits<'a> = &'a dyn Fn(i64) -> bool;
    let cases: [(&str, Fits<'_>); 4] = [
        ("30 2 * * *", &|c| second_of_day(c) == 9000),
        ("*/10 1-3 * * *", &|c| (3600..14_400).contains(&second_of_day(c)) && c % 600 == 0),
        ("0,20,40 0-23 * * MON-FRI", &|c| c % 1200 == 0 && (1..=5).contains(&weekday(c))),
        ("45 0 * * SUN", &|c| second_of_day(c) == 2700 && weekday(c) == 0),
    ];
    for name in ["America/New_York", "Australia/Lord_Howe", "Africa/Casablanca"] {
        let zone = zone(name);
        let (from, until) = (instant("2025-12-31T00:00:00Z").as_second(), instant("2027-01-02T00:00:00Z").as_second());
        // Looked up once: the daemon asks four times a minute.
        let start = Timestamp::from_second(from).unwrap();
        let first = (i64::MIN, i64::from(zone.tz().to_offset(start).seconds()));
        let changes: Vec<(i64, i64)> = std::iter::once(first)
            .chain(
                zone.tz().following(start).take(12).map(|c| (c.timestamp().as_second(), c.offset().seconds().into())),
            )
            .collect();
        let offset = |t: i64| changes.iter().rev().find(|(at, _)| *at <= t).unwrap().1;
        for (text, fits) in cases {
            let expr = CronExpr::parse(text).unwrap();
            let daemon = Daemon { fits, follows_clock: expr.follows_clock(), policy: DstPolicy::Once, offset };
            let ran = daemon.watch(from, until);
            assert!(ran.len() > 50, "{text}");
            assert_eq!(engine(&expr, zone.tz(), DstPolicy::Once, from, until), ran, "{text} in {name}");
        }
    }
}
