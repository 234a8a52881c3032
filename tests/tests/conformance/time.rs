//! Leader, queue and executors on a clock that the test moves: through the weekends on which clocks change, outages of a
//! hundred periods, and jumps of the clock. In the end what ran is what was to run, and nothing is missing.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use leasehold_common::definition::{OnBlackout, Overlap, ScheduleSpec};
use leasehold_common::lease::Term;
use leasehold_common::run::{Cause, Outcome, Report};
use leasehold_common::schedule::{DstPolicy, Zone};
use leasehold_tests::steps::{HOUR, Job, MINUTE, cron, cron_in, every, job, path};
use leasehold_tests::stores::Fixture;

const POLICIES: [(&str, DstPolicy); 3] =
    [("once", DstPolicy::Once), ("skip", DstPolicy::Skip), ("literal", DstPolicy::Literal)];

/// A day on which clocks change, and what runs on it by those clocks: fixed times at half past one and half past two
/// under each policy.
struct Change {
    zone: &'static str,
    /// Whether the day is an hour shorter.
    gap: bool,
    half_past_one: [&'static [&'static str]; 3],
    half_past_two: [&'static [&'static str]; 3],
    hours: usize,
}

const CHANGES: [Change; 4] = [
    Change {
        zone: "Europe/Berlin",
        gap: true,
        half_past_one: [&["01:30+01"], &["01:30+01"], &["01:30+01"]],
        half_past_two: [&["03:00+02"], &[], &[]],
        hours: 23,
    },
    Change {
        zone: "Europe/Berlin",
        gap: false,
        half_past_one: [&["01:30+02"], &["01:30+02"], &["01:30+02"]],
        half_past_two: [&["02:30+02"], &["02:30+02"], &["02:30+02", "02:30+01"]],
        hours: 25,
    },
    Change {
        zone: "America/New_York",
        gap: true,
        half_past_one: [&["01:30-05"], &["01:30-05"], &["01:30-05"]],
        half_past_two: [&["03:00-04"], &[], &[]],
        hours: 23,
    },
    Change {
        zone: "America/New_York",
        gap: false,
        half_past_one: [&["01:30-04"], &["01:30-04"], &["01:30-04", "01:30-05"]],
        half_past_two: [&["02:30-05"], &["02:30-05"], &["02:30-05"]],
        hours: 25,
    },
];

/// The next instant at which clocks change like that, at least four days away.
fn next_change(zone: &TimeZone, after: Timestamp, gap: bool) -> Timestamp {
    let earliest = after + SignedDuration::from_hours(96);
    let to_summer = |change: &jiff::tz::TimeZoneTransition<'_>| change.dst().is_dst() == gap;
    zone.following(earliest).find(to_summer).unwrap().timestamp()
}

/// Local midnight, so many days from the one of an instant.
fn midnight(zone: &TimeZone, at: Timestamp, days: i64) -> Timestamp {
    let date = zone.to_datetime(at).date().checked_add(jiff::Span::new().days(days)).unwrap();
    date.to_zoned(zone.clone()).unwrap().timestamp()
}

/// The scheduled runs of a job that succeeded in `[from, to)`.
fn ran(reports: &[Report], at: &str, from: Timestamp, to: Timestamp) -> Vec<Timestamp> {
    let (tenant, job) = path(at);
    let runs = reports.iter().filter(|r| r.tenant == tenant && r.job == job && r.cause == Cause::Schedule);
    let due = runs.filter(|r| r.outcome == Outcome::Succeeded).map(|r| r.scheduled_for);
    due.filter(|due| *due >= from && *due < to).collect()
}

/// As clocks show it.
fn shown(zone: &TimeZone, due: Vec<Timestamp>) -> Vec<String> {
    due.into_iter().map(|due| due.to_zoned(zone.clone()).strftime("%H:%M%:::z").to_string()).collect()
}

/// From three days before the change to two days after it, from due time to due time.
async fn through_a_change(f: &Fixture, change: &Change) {
    let zone = TimeZone::get(change.zone).unwrap();
    let at = next_change(&zone, f.now().await, change.gap);
    f.advance_to(at - SignedDuration::from_hours(60)).await;
    let mut jobs = vec![cron_in("acme/midnight", "0 0 * * *", change.zone, DstPolicy::Once)];
    for (name, dst) in POLICIES {
        jobs.push(cron_in(&format!("acme/one-{name}"), "30 1 * * *", change.zone, dst));
        jobs.push(cron_in(&format!("acme/two-{name}"), "30 2 * * *", change.zone, dst));
        jobs.push(cron_in(&format!("acme/hourly-{name}"), "0 * * * *", change.zone, dst));
    }
    let window = serde_json::from_str("\"00:00-04:00\"").unwrap();
    let zone_of_window = Zone::parse(change.zone).unwrap();
    jobs.push(job("acme/window", ScheduleSpec::Spread { window, zone: zone_of_window, per_second: None }));
    f.apply(&jobs).await;
    let from = f.now().await;
    let term = f.elect().await;
    f.live_until(&term, midnight(&zone, at, 2) + SignedDuration::from_mins(5)).await;
    f.store.resign(&term).await.unwrap();

    let reports = f.reports().await;
    for day in -1..=1 {
        let (start, end) = (midnight(&zone, at, day), midnight(&zone, at, day + 1));
        let on_day = |at: &str| ran(&reports, at, start, end);
        assert_eq!((on_day("acme/midnight"), on_day("acme/window").len()), (vec![start], 1), "day {day}");
        for (n, (name, _)) in POLICIES.into_iter().enumerate() {
            let hours = on_day(&format!("acme/hourly-{name}")).len();
            let one = shown(&zone, on_day(&format!("acme/one-{name}")));
            let two = shown(&zone, on_day(&format!("acme/two-{name}")));
            if day == 0 {
                assert_eq!(hours, change.hours, "{name}");
                assert_eq!(one, change.half_past_one[n], "{} {name}", change.zone);
                assert_eq!(two, change.half_past_two[n], "{} {name}", change.zone);
            } else {
                assert_eq!((hours, one.len(), two.len()), (24, 1, 1), "day {day}, {name}");
                assert!(one[0].starts_with("01:30") && two[0].starts_with("02:30"), "{one:?} {two:?}");
            }
        }
    }
    for job in &jobs {
        let at = format!("{}/{}", job.path.0, job.path.1);
        let expected = f.is_whole(&at, from).await;
        let (now, all) = (f.now().await, f.reports().await);
        assert_eq!(ran(&all, &at, from, now).len() as u64, expected, "{at}: all of them ran");
    }
}

async fn clocks_go_forward_in_berlin(f: &Fixture) {
    through_a_change(f, &CHANGES[0]).await;
}

async fn clocks_go_back_in_berlin(f: &Fixture) {
    through_a_change(f, &CHANGES[1]).await;
}

async fn clocks_go_forward_in_new_york(f: &Fixture) {
    through_a_change(f, &CHANGES[2]).await;
}

async fn clocks_go_back_in_new_york(f: &Fixture) {
    through_a_change(f, &CHANGES[3]).await;
}

/// Hourly jobs on the clocks of Berlin with each way of catching up.
fn hourly_in_berlin() -> [Job; 3] {
    let hourly = |name: &str| cron_in(name, "0 * * * *", "Europe/Berlin", DstPolicy::Once);
    [
        hourly("acme/last"),
        hourly("acme/skip").catch_up_skip(10 * MINUTE),
        hourly("acme/all")
            .catch_up(leasehold_common::definition::CatchUp::All { within: 50 * HOUR })
            .overlap(Overlap::BufferAll),
    ]
}

/// How many of each outcome there are, rows counted by what they stand for.
async fn counts(f: &Fixture, at: &str) -> BTreeMap<&'static str, u64> {
    let (tenant, job) = path(at);
    let mut counts = BTreeMap::new();
    for report in f.reports().await.iter().filter(|report| report.tenant == tenant && report.job == job) {
        *counts.entry(report.outcome.as_str()).or_default() += u64::from(report.count);
    }
    counts
}

/// Goes to half past an hour, three days before clocks change in Berlin.
async fn before_a_change(f: &Fixture) {
    let berlin = TimeZone::get("Europe/Berlin").unwrap();
    let change = berlin.following(f.now().await + SignedDuration::from_hours(96)).next().unwrap();
    f.advance_to(change.timestamp() - SignedDuration::from_hours(72) - SignedDuration::from_mins(30)).await;
}

/// A hundred periods without a leader, over a change of clocks.
async fn an_outage_of_leaders_over_a_hundred_periods(f: &Fixture) {
    before_a_change(f).await;
    f.apply(&hourly_in_berlin()).await;
    let from = f.now().await;
    let term = f.elect().await;
    f.advance(100 * HOUR).await;
    f.fan_out(&term, Duration::ZERO).await;
    let ran = f.run_all().await;
    assert_eq!(ran.len(), 1 + 50);
    assert_eq!(counts(f, "acme/last").await, BTreeMap::from([("misfired", 99), ("succeeded", 1)]));
    assert_eq!(counts(f, "acme/skip").await, BTreeMap::from([("misfired", 100)]));
    assert_eq!(counts(f, "acme/all").await, BTreeMap::from([("misfired", 50), ("succeeded", 50)]));
    for at in ["acme/last", "acme/skip", "acme/all"] {
        assert_eq!(f.is_whole(at, from).await, 100, "{at}");
    }
    let rows = f.reports().await.iter().filter(|report| report.outcome == Outcome::Misfired).count();
    assert_eq!(rows, 3, "of each job one row");
}

/// A hundred periods with a leader and no executor: what was fanned out is swept, or claimed late.
async fn an_outage_of_executors_over_a_hundred_periods(f: &Fixture) {
    before_a_change(f).await;
    f.apply(&hourly_in_berlin()).await;
    let from = f.now().await;
    let term = f.elect().await;
    for _ in 0..10 {
        f.fan_out(&term, 10 * HOUR).await;
        f.advance(10 * HOUR).await;
        f.sweep(&term).await;
    }
    assert_eq!(counts(f, "acme/skip").await, BTreeMap::from([("misfired", 100)]));
    assert_eq!(counts(f, "acme/last").await, BTreeMap::from([("misfired", 99)]), "the latest may run");
    assert_eq!(counts(f, "acme/all").await, BTreeMap::from([("misfired", 50)]));
    let ran = f.run_all().await;
    assert_eq!(ran.len(), 1 + 50);
    let in_order: Vec<_> = ran.iter().filter(|due| ran.iter().filter(|other| other == due).count() == 1).collect();
    assert!(in_order.is_sorted(), "one after the other, the oldest first");
    for at in ["acme/last", "acme/skip", "acme/all"] {
        assert_eq!(f.is_whole(at, from).await, 100, "{at}");
    }
}

/// One step of both fleets, as they work while they are there.
async fn step(f: &Fixture, term: &Term) {
    f.fan_out(term, Duration::from_secs(15)).await;
    f.run_all().await;
    f.rescue(term).await;
    f.sweep(term).await;
}

/// A clock that somebody sets, or a machine that slept: each jump is an outage of its own length.
async fn jumps_of_the_clock(f: &Fixture) {
    let berlin = |at: &str, expr: &str, dst| cron_in(at, expr, "Europe/Berlin", dst);
    let window = serde_json::from_str("\"00:00-04:00\"").unwrap();
    let hourly = ScheduleSpec::Cron { expr: "0 * * * *".to_owned(), zone: Zone::UTC, dst: DstPolicy::Once };
    let jobs = [
        cron("acme/hourly", "0 * * * *"),
        cron("acme/often", "*/5 * * * *").catch_up_all().allow_overlap(),
        berlin("acme/once", "30 2 * * *", DstPolicy::Once),
        berlin("acme/skip", "30 2 * * *", DstPolicy::Skip).catch_up_skip(MINUTE),
        berlin("acme/literal", "*/20 2 * * *", DstPolicy::Literal).catch_up_all().allow_overlap(),
        cron("acme/dark", "*/10 * * * *").blackout("03:00-09:00", OnBlackout::Skip),
        cron("acme/deferred", "*/10 * * * *").blackout("22:00-02:00", OnBlackout::Defer),
        job("acme/grid", ScheduleSpec::Rate { interval: 17 * MINUTE }),
        job("acme/window", ScheduleSpec::Spread { window, zone: Zone::UTC, per_second: None }),
        job("acme/jittered", ScheduleSpec::Jittered { schedule: Box::new(hourly), jitter: 20 * MINUTE }),
        every("acme/delay", 30 * MINUTE),
    ];
    f.apply(&jobs).await;
    let from = f.now().await;
    let term = f.elect().await;
    let mut latest = Vec::new();
    // Whole hours, so that the clock stays at a few minutes past one.
    for hours in [1, 1, 2, 5, 24, 1, 100, 1, 3, 240, 1, 1] {
        f.advance(hours * HOUR).await;
        step(f, &term).await;
        let now = f.now().await.as_second();
        latest.push(Timestamp::from_second(now - now.rem_euclid(3600)).unwrap());
        for job in &jobs {
            let at = format!("{}/{}", job.path.0, job.path.1);
            let ledger = f.ledger(&at, from).await;
            assert_eq!((ledger.missing, ledger.unexpected), (0, 0), "{at}, after {hours} hours: {ledger:#?}");
        }
    }
    let (now, reports) = (f.now().await, f.reports().await);
    assert_eq!(ran(&reports, "acme/hourly", from, now), latest, "after each jump the latest");
    let often = counts(f, "acme/often").await;
    assert_eq!(often.values().sum::<u64>(), 380 * 12);
    // All of the short ones, and a day of each of the two long ones.
    assert!(often["succeeded"].abs_diff((15 + 3 * 24) * 12) <= 20, "{often:?}");
    assert_eq!(f.store.status().await.unwrap().catalog.stalled_interval_jobs, 0);
    let delays = ran(&reports, "acme/delay", from, now);
    assert!(delays.windows(2).all(|pair| pair[1].duration_since(pair[0]) >= SignedDuration::from_mins(30)));
    assert_eq!(delays.len(), 12, "one after each jump");
}

both!(
    clocks_go_forward_in_berlin,
    clocks_go_back_in_berlin,
    clocks_go_forward_in_new_york,
    clocks_go_back_in_new_york,
    an_outage_of_leaders_over_a_hundred_periods,
    an_outage_of_executors_over_a_hundred_periods,
    jumps_of_the_clock,
);
