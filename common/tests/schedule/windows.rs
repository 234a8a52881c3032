//! Daily windows: how a growing roster fills one, and what windows and blackouts do around every clock change of the
//! bundle.

use jiff::civil::{Date, DateTime};
use jiff::{SignedDuration, Timestamp};
use leasehold_common::id::{JobKey, JobName, TenantId};
use leasehold_common::schedule::{Blackout, BlackoutTime, Days, Schedule, Window, Zone};

use crate::all_zones::{Change, changes, distinct_zones};
use crate::support::instant;

/// The places of the first `tenants` of a roster in a window of four hours, in milliseconds.
fn places(tenants: usize) -> Vec<i64> {
    let job = JobName::new("nightly-report").unwrap();
    let midnight = instant("2026-06-02T00:00:00Z");
    (0..tenants)
        .map(|n| {
            let key = JobKey::new(&TenantId::new(format!("tenant-{n}")).unwrap(), &job, 0).bits();
            let schedule = Schedule::Spread { window: "00:00-04:00".parse().unwrap(), zone: Zone::UTC, key };
            let due = schedule.next_after(midnight - SignedDuration::from_nanos(1)).unwrap();
            due.as_millisecond() - midnight.as_millisecond()
        })
        .collect()
}

#[test]
fn the_more_tenants_there_are_the_more_evenly_they_fill_the_window() {
    const WINDOW: i64 = 4 * 3600 * 1000;
    let all = places(20_000);
    let mut largest = Vec::new();
    for tenants in [100, 1_000, 10_000, 20_000] {
        // Ten to a part, and the parts are minutes at the finest.
        let parts = (tenants / 10).min(240);
        let mut found = vec![0_i64; parts];
        for place in &all[..tenants] {
            found[usize::try_from(place * i64::try_from(parts).unwrap() / WINDOW).unwrap()] += 1;
        }
        // Pearson's statistic has a mean of one less than the parts, and a deviation of the root of twice that.
        let expected = tenants as f64 / parts as f64;
        let statistic: f64 = found.iter().map(|n| (*n as f64 - expected).powi(2) / expected).sum();
        let freedom = parts as f64 - 1.0;
        let far = (statistic - freedom) / (2.0 * freedom).sqrt();
        assert!(far.abs() < 3.0, "{tenants} tenants are {far:.1} deviations from even: {found:?}");
        largest.push(*found.iter().max().unwrap() as f64 / expected);
    }
    assert!(largest[3] < largest[1] && largest[3] < 1.5, "the fullest part, of the mean: {largest:?}");
}

const WINDOWS: [&str; 6] = ["00:00-04:00", "22:00-04:00", "02:10-02:50", "00:00-24:00", "23:30-00:30", "12:00-11:59"];

/// The first instant at which clocks that change once show a civil time or have passed it.
fn reached(civil: DateTime, change: &Change) -> i64 {
    let seconds = civil.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().as_second();
    let before = seconds - change.before;
    if before < change.at { before } else { (seconds - change.after).max(change.at) }
}

/// Begin and end of the window that starts on a day.
fn stretch(text: &str, date: Date, change: &Change) -> (i64, i64) {
    let (start, end) = text.split_once('-').unwrap();
    let time = |text: &str| format!("{text}:00").parse::<jiff::civil::Time>();
    let next = end <= start || end == "24:00";
    let last = if next { date.tomorrow().unwrap() } else { date };
    let begin = reached(date.to_datetime(time(start).unwrap()), change);
    (begin, reached(last.to_datetime(time(end).unwrap_or_default()), change))
}

fn second(at: i64) -> Timestamp {
    Timestamp::from_second(at).unwrap()
}

/// The window of one day: what the blackout covers, and where the spread is due.
fn holds(text: &str, zone: &Zone, date: Date, change: &Change) {
    let window: Window = text.parse().unwrap();
    let (begin, end) = stretch(text, date, change);
    let told = format!("{text} on {date} in {zone}");
    let blackout = Blackout {
        name: text.to_owned(),
        when: BlackoutTime::Daily { window, days: Days::default(), zone: zone.clone() },
    };
    let nano = SignedDuration::from_nanos(1);
    if begin < end {
        let inside = [change.at, change.at + 1800].into_iter().filter(|at| (begin..end).contains(at)).map(second);
        for at in inside.chain([second(begin), second(end) - nano]) {
            assert_eq!(blackout.covering(at), Some(second(end)), "{told}: at {at}");
        }
        assert_ne!(blackout.covering(second(begin) - nano), Some(second(end)), "{told}");
    }
    assert_ne!(blackout.covering(second(end)), Some(second(end)), "{told}");
    // A day that a correction left out never was.
    let never_was = begin == end && change.after - change.before >= 3 * 3600;
    for key in [0, 7] {
        let spread = Schedule::Spread { window, zone: zone.clone(), key };
        let due = spread.next_after(second(begin) - nano).unwrap();
        if !never_was {
            assert!(due == second(begin) || due < second(end), "{told}: {due}");
            assert!(spread.next_after(due).unwrap() >= second(end), "{told}: twice");
        }
    }
}

#[test]
fn around_every_change_of_twenty_years_windows_are_where_the_clocks_say() {
    let mut seen = 0;
    for zone in distinct_zones() {
        for change in changes(zone.tz(), "2011-01-01T00:00:00Z", "2031-01-01T00:00:00Z") {
            let today = second(change.at + change.after.max(change.before)).to_zoned(jiff::tz::TimeZone::UTC).date();
            for text in WINDOWS {
                for date in [today.yesterday().unwrap(), today] {
                    holds(text, &zone, date, &change);
                }
            }
            seen += 1;
        }
    }
    assert!(seen > 2000, "only {seen} changes");
}
