//! The kinds beside cron: grids, single times, windows, several at once, limits and jitter. Tables of instants, and the
//! laws that hold for every one of them.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use leasehold_common::definition::{ScheduleError, ScheduleSpec};
use leasehold_common::id::JobKey;
use leasehold_common::schedule::{CronExpr, DstPolicy, Moment, Schedule};
use proptest::prelude::*;

use crate::support::{instant, zone};

fn spec(json: &str) -> ScheduleSpec {
    let spec: ScheduleSpec = serde_json::from_str(json).unwrap_or_else(|e| panic!("{json}: {e}"));
    let again: ScheduleSpec = serde_json::from_str(&serde_json::to_string(&spec).unwrap()).unwrap();
    assert_eq!(again, spec, "what is written is read again");
    spec
}

fn compiled(json: &str, key: i64) -> Schedule {
    spec(json).compile(JobKey::from_i64(key)).unwrap()
}

fn due(schedule: &Schedule, after: Timestamp) -> impl Iterator<Item = Timestamp> {
    std::iter::successors(schedule.next_after(after), move |at| schedule.next_after(*at))
}

/// The first due times, in UTC and to the minute.
fn minutes(json: &str, after: &str, n: usize) -> Vec<String> {
    let schedule = compiled(json, 1);
    due(&schedule, instant(after)).take(n).map(|at| at.strftime("%Y-%m-%d %H:%M").to_string()).collect()
}

#[test]
fn a_grid_has_equal_steps_and_a_place_that_never_moves() {
    let schedule = compiled(r#"{"rate": {"interval": "5m"}}"#, 1);
    let times: Vec<_> = due(&schedule, instant("2026-03-08T06:00:00Z")).take(100).collect();
    assert!(times.windows(2).all(|pair| pair[1].duration_since(pair[0]) == SignedDuration::from_mins(5)));
    // Pinned: an upgrade must not move a job.
    assert_eq!(times[0].to_string(), "2026-03-08T06:02:49.968Z");
    assert_eq!(schedule, Schedule::rate(Duration::from_secs(300), 1));
    assert_eq!(schedule.interval(), None, "a completion does not decide its due times");
    let places: BTreeSet<_> = (0..1000)
        .map(|key| Schedule::rate(Duration::from_secs(300), key).next_after(Timestamp::UNIX_EPOCH).unwrap())
        .map(|at| at.as_second() / 30)
        .collect();
    assert_eq!(places.len(), 10, "jobs lie all over the interval");
}

#[test]
fn a_grid_goes_on_before_1970() {
    let schedule = Schedule::rate(Duration::from_secs(7), 3);
    let times: Vec<_> = due(&schedule, instant("1969-12-31T23:59:00.0005Z")).take(20).collect();
    assert!(times.windows(2).all(|pair| pair[1].duration_since(pair[0]) == SignedDuration::from_secs(7)));
    assert!(times[0] > instant("1969-12-31T23:59:00.0005Z") && times[0] < instant("1969-12-31T23:59:07.001Z"));
}

#[test]
fn once_is_once() {
    let at = |at: &str, dst: &str| {
        minutes(&format!(r#"{{"at": {{"at": "{at}", "dst": "{dst}"}}}}"#), "2000-01-01T00:00:00Z", 3)
    };
    for (written, dst, times) in [
        ("2026-12-01T09:00:00Z", "once", "2026-12-01 09:00"),
        ("2026-12-01T09:00:00+05:30", "once", "2026-12-01 03:30"),
        ("2026-12-01T09:00:00[Europe/Berlin]", "once", "2026-12-01 08:00"),
        ("2026-07-01[Europe/Berlin]", "once", "2026-06-30 22:00"),
        // New York skips 02:00 to 03:00.
        ("2026-03-08T02:30:00[America/New_York]", "once", "2026-03-08 07:00"),
        ("2026-03-08T02:30:00[America/New_York]", "skip", ""),
        ("2026-03-08T02:30:00[America/New_York]", "literal", ""),
        ("2026-03-08T03:00:00[America/New_York]", "skip", "2026-03-08 07:00"),
        // New York repeats 01:00 to 02:00: a single time stays one.
        ("2026-11-01T01:30:00[America/New_York]", "once", "2026-11-01 05:30"),
        ("2026-11-01T01:30:00[America/New_York]", "literal", "2026-11-01 05:30"),
        ("2026-10-04T02:15:00[Australia/Lord_Howe]", "once", "2026-10-03 15:30"),
        // A day that never was.
        ("2011-12-30T12:00:00[Pacific/Apia]", "once", ""),
        // A change on record that moved no clock.
        ("2023-10-28T23:30:00[America/Nuuk]", "once", "2023-10-29 01:30"),
    ] {
        assert_eq!(at(written, dst).join(","), times, "{written}, {dst}");
    }
    let schedule = compiled(r#"{"at": {"at": "2026-12-01T09:00:00Z"}}"#, 1);
    let instant = instant("2026-12-01T09:00:00Z");
    assert_eq!(schedule.next_after(instant), None);
    assert_eq!(schedule.next_after(instant - SignedDuration::from_nanos(1)), Some(instant));
}

#[test]
fn points_in_time_are_read_strictly() {
    let utc = zone("UTC");
    for (text, read) in [
        ("2026-12-01", "2026-12-01T00:00:00[UTC]"),
        ("2026-12-01T09:00", "2026-12-01T09:00:00[UTC]"),
        ("2026-12-01 09:00:30", "2026-12-01T09:00:30[UTC]"),
        ("2026-12-01T09:00Z", "2026-12-01T09:00:00Z"),
        ("2026-12-01T09:00:00-08:00", "2026-12-01T17:00:00Z"),
    ] {
        let moment = Moment::parse(text, &utc).unwrap();
        assert_eq!(moment.to_string(), read);
        assert_eq!(read.parse::<Moment>().unwrap(), moment);
    }
    for (text, because) in [
        ("", "`` is not a date and time"),
        ("tomorrow", "`tomorrow` is not a date and time"),
        ("2026-12-1", "`2026-12-1` is not a date and time"),
        ("2026-12-01T9:00", "`2026-12-01T9:00` is not a date and time"),
        ("2026-12-01T09:00:00.5", "`2026-12-01T09:00:00.5` is not a date and time"),
        ("2026-12-01T09:00+1", "`2026-12-01T09:00+1` is not a date and time"),
        ("2026-12-01T09:00[UTC]", "`2026-12-01T09:00[UTC]` is not a date and time"),
        ("2026-12-01Z", "`2026-12-01Z` is not a date and time"),
        ("２026-12-01", "`２026-12-01` is not a date and time"),
        ("2026-02-29", "`2026-02-29` is in no calendar"),
        ("2026-12-01T24:00", "`2026-12-01T24:00` is in no calendar"),
        ("2026-12-01T09:00:60", "`2026-12-01T09:00:60` is in no calendar"),
    ] {
        assert_eq!(Moment::parse(text, &utc).unwrap_err().to_string(), because);
    }
}

#[test]
fn several_schedules_make_one_run_where_they_meet() {
    let json = r#"{"any": [
        {"cron": {"expr": "0 9 * * *", "zone": "America/New_York", "dst": "once"}},
        {"cron": {"expr": "0 */7 * * *", "zone": "UTC", "dst": "once"}},
        {"at": {"at": "2026-06-01T14:00:00Z"}}
    ]}"#;
    assert_eq!(
        minutes(json, "2026-06-01T00:00:00Z", 6),
        [
            "2026-06-01 07:00",
            "2026-06-01 13:00",
            "2026-06-01 14:00",
            "2026-06-01 21:00",
            "2026-06-02 00:00",
            "2026-06-02 07:00"
        ]
    );
    let delay = spec(r#"{"any": [{"every": {"interval": "5m"}}]}"#).compile(JobKey::from_i64(1));
    assert!(matches!(delay, Err(ScheduleError::Delay)), "{delay:?}");
}

#[test]
fn a_list_names_what_made_a_run_due() {
    let list = r#"{"any": [
        {"cron": {"expr": "0 */6 * * *", "zone": "UTC"}},
        {"cron": {"expr": "0 */4 * * *", "zone": "UTC"}},
        {"at": {"at": "2026-06-01T08:00:00Z"}}
    ]}"#;
    let within = format!(r#"{{"within": {{"schedule": {list}, "end": "2026-06-01T12:00:00Z"}}}}"#);
    let sources = |json: &str, due: &str| compiled(json, 1).sources(instant(due));
    for (due, all, limited) in [
        ("2026-06-01T00:00:00Z", vec![0, 1], vec![0, 1]),
        ("2026-06-01T06:00:00Z", vec![0], vec![0]),
        ("2026-06-01T08:00:00Z", vec![1, 2], vec![1, 2]),
        ("2026-06-01T09:00:00Z", vec![], vec![]),
        ("2026-06-01T08:00:00.001Z", vec![], vec![]),
        ("2026-06-01T12:00:00Z", vec![0, 1], vec![]),
    ] {
        assert_eq!(sources(list, due), all, "{due}");
        assert_eq!(sources(&within, due), limited, "{due}, within");
    }
    let jittered = format!(r#"{{"jittered": {{"schedule": {list}, "jitter": "30s"}}}}"#);
    let due = compiled(&jittered, 1).next_after(instant("2026-06-01T01:00:00Z")).unwrap();
    assert!(compiled(&jittered, 1).sources(due).is_empty());
    assert!(sources(r#"{"cron": {"expr": "@hourly", "zone": "UTC"}}"#, "2026-06-01T08:00:00Z").is_empty());
}

#[test]
fn limits_include_the_start_and_exclude_the_end() {
    let within = |start: &str, end: &str| {
        let json = format!(
            r#"{{"within": {{"schedule": {{"cron": {{"expr": "@hourly", "zone": "UTC"}}}}, "start": "{start}", "end": "{end}"}}}}"#
        );
        minutes(&json, "2000-01-01T00:00:00Z", 100).join(",")
    };
    assert_eq!(within("2026-06-01T09:00:00Z", "2026-06-01T11:00:00Z"), "2026-06-01 09:00,2026-06-01 10:00");
    assert_eq!(within("2026-06-01T09:00:01Z", "2026-06-01T11:00:01Z"), "2026-06-01 10:00,2026-06-01 11:00");
    // The gap begins the limit, and the first of two passes does.
    assert_eq!(
        within("2026-03-08T02:30:00[America/New_York]", "2026-03-08T05:00:00[America/New_York]"),
        "2026-03-08 07:00,2026-03-08 08:00"
    );
    assert_eq!(
        within("2026-11-01T01:00:00[America/New_York]", "2026-11-01T02:00:00[America/New_York]"),
        "2026-11-01 05:00,2026-11-01 06:00"
    );
    assert_eq!(within("2026-06-01T09:00:00Z", "2026-06-01T09:00:00Z"), "");
}

#[test]
fn a_window_is_filled_evenly_however_long_it_is_that_day() {
    let count = |json: &str, after: &str, from: &str, to: &str, tenths: usize| {
        let (from, to) = (instant(from), instant(to));
        let step = to.duration_since(from) / i32::try_from(tenths).unwrap();
        let mut parts = vec![0; tenths];
        for key in 0..10_000 {
            let at = compiled(json, key).next_after(instant(after)).unwrap();
            assert!(from <= at && at < to, "{at} for {key}");
            let part = at.duration_since(from).as_millis() / step.as_millis();
            parts[usize::try_from(part).unwrap()] += 1;
        }
        assert!(parts.iter().all(|n| (800..1200).contains(n)), "{parts:?}");
    };
    let json = r#"{"spread": {"window": "00:00-04:00", "zone": "America/New_York"}}"#;
    count(json, "2026-06-01T12:00:00Z", "2026-06-02T04:00:00Z", "2026-06-02T08:00:00Z", 10);
    // Three hours long, and five.
    count(json, "2026-03-08T04:00:00Z", "2026-03-08T05:00:00Z", "2026-03-08T08:00:00Z", 10);
    count(json, "2026-11-01T00:00:00Z", "2026-11-01T04:00:00Z", "2026-11-01T09:00:00Z", 10);
    let night = r#"{"spread": {"window": "22:00-02:00", "zone": "Asia/Kathmandu"}}"#;
    count(night, "2026-06-01T00:00:00Z", "2026-06-01T16:15:00Z", "2026-06-01T20:15:00Z", 10);
    // Lost as a whole: right after the gap. And a day that never was.
    let lost = r#"{"spread": {"window": "02:10-02:50", "zone": "America/New_York"}}"#;
    assert_eq!(minutes(lost, "2026-03-08T00:00:00Z", 1), ["2026-03-08 07:00"]);
    let apia = r#"{"spread": {"window": "10:00-10:01", "zone": "Pacific/Apia"}}"#;
    assert_eq!(minutes(apia, "2011-12-29T00:00:00Z", 3), ["2011-12-29 20:00", "2011-12-30 20:00", "2011-12-31 20:00"]);
}

#[test]
fn places_are_pinned_so_that_no_upgrade_moves_a_job() {
    for (json, time) in [
        (r#"{"spread": {"window": "22:00-04:00", "zone": "Europe/Berlin"}}"#, "2026-06-01T22:38:50.476Z"),
        (
            r#"{"jittered": {"schedule": {"cron": {"expr": "@daily", "zone": "UTC"}}, "jitter": "1h"}}"#,
            "2026-06-02T00:32:33.002Z",
        ),
    ] {
        let at = compiled(json, 1).next_after(instant("2026-06-01T12:00:00Z")).unwrap();
        assert_eq!(at.to_string(), time, "{json}");
    }
}

#[test]
fn windows_are_read_strictly() {
    let read = |text: &str| {
        let json = format!(r#"{{"spread": {{"window": "{text}", "zone": "UTC"}}}}"#);
        serde_json::from_str::<ScheduleSpec>(&json)
            .map(|spec| serde_json::to_value(spec).unwrap()["spread"]["window"].clone())
    };
    for (text, written) in [
        ("00:00-04:00", "00:00-04:00"),
        ("22:00 - 02:30", "22:00-02:30"),
        ("00:00-24:00", "00:00-24:00"),
        ("22:00-00:00", "22:00-24:00"),
    ] {
        assert_eq!(read(text).unwrap(), written);
    }
    for text in
        ["", "04:00", "0:00-4:00", "00:00-04:60", "24:00-04:00", "00:00-24:01", "00-04", "a:b-c:d", "00:00–04:00"]
    {
        assert!(read(text).unwrap_err().to_string().contains("is not a part of the day"), "{text}");
    }
    for text in ["04:00-04:00", "00:00-00:00"] {
        assert!(read(text).unwrap_err().to_string().contains("is empty"), "{text}");
    }
}

#[test]
fn jitter_delays_within_its_bounds_and_keeps_the_order() {
    let exact = compiled(r#"{"cron": {"expr": "* * * * *", "zone": "UTC"}}"#, 5);
    let jittered =
        compiled(r#"{"jittered": {"schedule": {"cron": {"expr": "* * * * *", "zone": "UTC"}}, "jitter": "30s"}}"#, 5);
    let after = instant("2026-06-01T00:00:00Z");
    let delays: Vec<_> = due(&exact, after)
        .zip(due(&jittered, after).skip_while(|at| *at < after + SignedDuration::from_mins(1)))
        .take(500)
        .map(|(exact, late)| late.duration_since(exact).as_millis())
        .collect();
    assert!(delays.iter().all(|delay| (0..30_000).contains(delay)), "{delays:?}");
    assert!(delays.iter().collect::<BTreeSet<_>>().len() > 450, "each time has a delay of its own");
    let end = r#"{"jittered": {"schedule": {"within": {"schedule": {"at": {"at": "2026-06-01T09:00:00Z"}}, "end": "2026-06-01T09:00:01Z"}}, "jitter": "1h"}}"#;
    for key in 0..100 {
        let at = compiled(end, key).next_after(after).unwrap();
        assert!(at >= instant("2026-06-01T09:00:00Z") && at < instant("2026-06-01T09:00:01Z"), "{at}");
    }
}

#[test]
fn what_a_hash_decides_is_compiled_for_each_job() {
    for (json, seeded) in [
        (r#"{"cron": {"expr": "0 2 * * *", "zone": "UTC"}}"#, false),
        (r#"{"cron": {"expr": "H 2 * * *", "zone": "UTC"}}"#, true),
        (r#"{"every": {"interval": "5m"}}"#, false),
        (r#"{"at": {"at": "2026-12-01T09:00:00Z"}}"#, false),
        (r#"{"rate": {"interval": "5m"}}"#, true),
        (r#"{"spread": {"window": "00:00-04:00", "zone": "UTC"}}"#, true),
        (r#"{"any": [{"at": {"at": "2026-12-01T09:00:00Z"}}]}"#, false),
        (r#"{"any": [{"at": {"at": "2026-12-01T09:00:00Z"}}, {"rate": {"interval": "5m"}}]}"#, true),
        (r#"{"within": {"schedule": {"rate": {"interval": "5m"}}, "end": "2027-01-01T00:00:00Z"}}"#, true),
        (r#"{"jittered": {"schedule": {"at": {"at": "2026-12-01T09:00:00Z"}}, "jitter": "5m"}}"#, true),
    ] {
        let spec = spec(json);
        assert_eq!(spec.is_seeded(), seeded, "{json}");
        let times: BTreeSet<_> = (0..50)
            .filter_map(|key| spec.compile(JobKey::from_i64(key)).unwrap().next_after(Timestamp::UNIX_EPOCH))
            .collect();
        assert_eq!(times.len() > 1, seeded, "{json}");
    }
}

const ZONES: [&str; 7] = [
    "UTC",
    "America/New_York",
    "Australia/Lord_Howe",
    "Antarctica/Troll",
    "Africa/Casablanca",
    "America/Havana",
    "Pacific/Apia",
];

/// A schedule that is no composition.
fn simple() -> impl Strategy<Value = ScheduleSpec> {
    let zone = || prop::sample::select(&ZONES[..]).prop_map(zone);
    let dst = prop_oneof![Just(DstPolicy::Once), Just(DstPolicy::Skip), Just(DstPolicy::Literal)];
    let cron = prop_oneof![
        prop::sample::select(
            &["* * * * *", "*/5 * * * * *", "30 2 * * *", "0 */6 * * *", "H H * * *", "0 0 29 2 *"][..],
        )
        .prop_map(str::to_owned),
        crate::model::spec()
            .prop_map(|spec| spec.text())
            .prop_filter("never fires", |text| CronExpr::parse(text).is_ok()),
    ];
    prop_oneof![
        (cron, zone(), dst).prop_map(|(expr, zone, dst)| ScheduleSpec::Cron { expr, zone, dst }),
        (1_000..100_000_000_u64).prop_map(|ms| ScheduleSpec::Rate { interval: Duration::from_millis(ms) }),
        moments().prop_map(|at| ScheduleSpec::At { at, dst: DstPolicy::Once }),
        (0..1440_u16, 0..1440_u16, zone()).prop_filter_map("empty", |(a, b, zone)| {
            let text = format!("{:02}:{:02}-{:02}:{:02}", a / 60, a % 60, b / 60, b % 60);
            Some(ScheduleSpec::Spread { window: text.parse().ok()?, zone, per_second: None })
        }),
    ]
}

fn moments() -> impl Strategy<Value = Moment> {
    (1_262_304_000_i64..2_208_988_800, prop::sample::select(&ZONES[..]), any::<bool>()).prop_map(
        |(second, name, civil)| {
            let at = Timestamp::from_second(second).unwrap();
            let zone = zone(name);
            if civil { Moment::Civil { at: zone.tz().to_datetime(at), zone } } else { Moment::Instant(at) }
        },
    )
}

/// Any schedule that a config can name, a fixed delay aside.
fn any_kind() -> impl Strategy<Value = ScheduleSpec> {
    let several = prop_oneof![simple(), prop::collection::vec(simple(), 1..4).prop_map(ScheduleSpec::Any)];
    let bound = || prop::option::of(moments());
    let jitter = prop::option::of(1..100_000_000_u64);
    (several, bound(), bound(), jitter).prop_map(|(mut schedule, start, end, jitter)| {
        if start.is_some() || end.is_some() {
            schedule = ScheduleSpec::Within { schedule: Box::new(schedule), start, end, max_runs: None };
        }
        match jitter.map(Duration::from_millis) {
            Some(jitter) => ScheduleSpec::Jittered { schedule: Box::new(schedule), jitter },
            None => schedule,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn due_times_strictly_increase_and_do_not_depend_on_where_one_asks(
        spec in any_kind(), key in any::<i64>(),
        from in (1_262_304_000_i64..2_208_988_800, 0..1_000_000_000_i32), between in 0.0..1.0_f64,
    ) {
        let schedule = spec.compile(JobKey::from_i64(key)).unwrap();
        let from = Timestamp::new(from.0, from.1).unwrap();
        let mut last = from;
        for next in due(&schedule, from).take(12) {
            prop_assert!(next > last, "{spec:?}: {next} after {last}");
            prop_assert_eq!(next.subsec_nanosecond() % 1_000_000, 0);
            let gap = next.duration_since(last);
            let inside = last + SignedDuration::from_secs_f64(gap.as_secs_f64() * between * 0.999);
            prop_assert_eq!(schedule.next_after(inside), Some(next), "from {}", inside);
            prop_assert_eq!(schedule.next_after(next - SignedDuration::from_nanos(1)), Some(next));
            last = next;
        }
    }

    #[test]
    fn jitter_moves_each_time_and_loses_none(spec in simple(), jitter in 1..100_000_000_u64, key in any::<i64>()) {
        let jitter = Duration::from_millis(jitter);
        let exact = spec.compile(JobKey::from_i64(key)).unwrap();
        let late = ScheduleSpec::Jittered { schedule: Box::new(spec), jitter }.compile(JobKey::from_i64(key)).unwrap();
        let from = instant("2026-03-01T00:00:00Z");
        let mut time = exact.next_after(from);
        for _ in 0..12 {
            let Some(exact_time) = time else { break };
            let following = exact.next_after(exact_time);
            let within: Vec<_> = due(&late, exact_time - SignedDuration::from_nanos(1))
                .take_while(|at| following.is_none_or(|following| *at < following))
                .take(3)
                .collect();
            // In the stretch from a time to the next, exactly its own delayed time is due.
            prop_assert_eq!(within.len(), 1, "{:?} from {}", within, exact_time);
            prop_assert!(within[0].duration_since(exact_time) < SignedDuration::try_from(jitter).unwrap());
            time = following;
        }
    }

    #[test]
    fn no_text_panics(text in ".{0,30}", digits in "[0-9:TZ+-]{8,22}") {
        for text in [text, digits] {
            if let Ok(moment) = Moment::parse(&text, &zone("Pacific/Apia")) {
                prop_assert_eq!(moment.to_string().parse::<Moment>().unwrap(), moment);
            }
            let _ = text.parse::<leasehold_common::schedule::Window>().map(|window| window.to_string());
        }
    }
}

#[test]
fn the_ends_of_time_are_safe() {
    for json in [
        r#"{"rate": {"interval": "100d"}}"#,
        r#"{"at": {"at": "9999-12-31T23:59:59[America/New_York]"}}"#,
        r#"{"spread": {"window": "22:00-21:59", "zone": "Pacific/Apia"}}"#,
        r#"{"jittered": {"schedule": {"rate": {"interval": "1s"}}, "jitter": "36500d"}}"#,
        r#"{"within": {"schedule": {"rate": {"interval": "1s"}}, "start": "9999-12-31T23:00:00[America/New_York]"}}"#,
    ] {
        let schedule = compiled(json, 1);
        assert_eq!(schedule.next_after(Timestamp::MAX), None, "{json}");
        assert!(schedule.next_after(Timestamp::MIN).is_none_or(|at| at > Timestamp::MIN), "{json}");
    }
}
