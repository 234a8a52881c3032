//! The DST policies, by tables: what each says around changes of every kind.

use leasehold_common::schedule::{DstPolicy, Schedule};

use crate::support::{cron, due, instant, zone};

/// All due times from one instant up to and including another, as `MM-DD HH:MM` in UTC.
fn between(text: &str, name: &str, policy: DstPolicy, from: &str, until: &str) -> Vec<String> {
    due(&cron(text), &zone(name), policy, instant(from))
        .take_while(|t| *t <= instant(until))
        .map(|t| t.strftime("%m-%d %H:%M").to_string())
        .collect()
}

const ONCE: DstPolicy = DstPolicy::Once;
const SKIP: DstPolicy = DstPolicy::Skip;
const LITERAL: DstPolicy = DstPolicy::Literal;

/// Checks rows of expression, policy and due times in one zone and stretch of time.
fn check(name: &str, from: &str, until: &str, rows: &[(&str, DstPolicy, &[&str])]) {
    for (text, policy, expected) in rows {
        assert_eq!(between(text, name, *policy, from, until), *expected, "{text} in {name}, {policy:?}");
    }
}

#[test]
fn new_york_in_spring() {
    // 2026-03-08: 02:00 EST becomes 03:00 EDT at 07:00Z.
    check(
        "America/New_York",
        "2026-03-07T09:00:00Z",
        "2026-03-09T07:00:00Z",
        &[
            // Lost, so right after the gap.
            ("30 2 * * *", ONCE, &["03-08 07:00", "03-09 06:30"]),
            ("30 2 * * *", SKIP, &["03-09 06:30"]),
            ("30 2 * * *", LITERAL, &["03-09 06:30"]),
            // Several lost due times, and one that is due right then, coincide: one run.
            (
                "0,20,40 2,3 * * *",
                ONCE,
                &[
                    "03-08 07:00",
                    "03-08 07:20",
                    "03-08 07:40",
                    "03-09 06:00",
                    "03-09 06:20",
                    "03-09 06:40",
                    "03-09 07:00",
                ],
            ),
            // Follows the clock: there is no 02:15 that day.
            ("*/15 2 * * *", ONCE, &["03-09 06:00", "03-09 06:15", "03-09 06:30", "03-09 06:45"]),
            // The last second before and the first after.
            ("59 1 * * *", ONCE, &["03-08 06:59", "03-09 05:59"]),
            ("0 3 * * *", ONCE, &["03-08 07:00", "03-09 07:00"]),
        ],
    );
}

#[test]
fn new_york_in_autumn() {
    // 2026-11-01: 02:00 EDT becomes 01:00 EST at 06:00Z.
    check(
        "America/New_York",
        "2026-11-01T04:00:00Z",
        "2026-11-02T06:30:00Z",
        &[
            // Repeated, so the first pass only.
            ("30 1 * * *", ONCE, &["11-01 05:30", "11-02 06:30"]),
            ("30 1 * * *", SKIP, &["11-01 05:30", "11-02 06:30"]),
            ("30 1 * * *", LITERAL, &["11-01 05:30", "11-01 06:30", "11-02 06:30"]),
            ("0 1 * * *", ONCE, &["11-01 05:00", "11-02 06:00"]),
            ("0 2 * * *", ONCE, &["11-01 07:00"]),
            // A list of fixed times that covers the hour stays silent in the second pass.
            ("0,30 0-2 1 * *", ONCE, &["11-01 04:30", "11-01 05:00", "11-01 05:30", "11-01 07:00", "11-01 07:30"]),
            // Follows the clock: both passes.
            (
                "30 * 1 * *",
                ONCE,
                &[
                    "11-01 04:30",
                    "11-01 05:30",
                    "11-01 06:30",
                    "11-01 07:30",
                    "11-01 08:30",
                    "11-01 09:30",
                    "11-01 10:30",
                    "11-01 11:30",
                    "11-01 12:30",
                    "11-01 13:30",
                    "11-01 14:30",
                    "11-01 15:30",
                    "11-01 16:30",
                    "11-01 17:30",
                    "11-01 18:30",
                    "11-01 19:30",
                    "11-01 20:30",
                    "11-01 21:30",
                    "11-01 22:30",
                    "11-01 23:30",
                    "11-02 00:30",
                    "11-02 01:30",
                    "11-02 02:30",
                    "11-02 03:30",
                    "11-02 04:30",
                ],
            ),
            (
                "*/20 1 1 11 *",
                ONCE,
                &["11-01 05:00", "11-01 05:20", "11-01 05:40", "11-01 06:00", "11-01 06:20", "11-01 06:40"],
            ),
        ],
    );
}

#[test]
fn asked_in_the_middle_of_a_change_the_answer_is_the_same() {
    let (z, e) = (zone("America/New_York"), cron("30 1 * * *"));
    // In the second pass of 01:xx, also before its 01:30.
    for after in ["2026-11-01T05:30:00Z", "2026-11-01T06:00:00Z", "2026-11-01T06:29:59.5Z", "2026-11-01T06:30:00Z"] {
        assert_eq!(e.next_after(instant(after), z.tz(), ONCE), Some(instant("2026-11-02T06:30:00Z")), "{after}");
    }
    let e = cron("30 2 * * *");
    for (after, next) in [
        ("2026-03-08T06:59:59Z", "2026-03-08T07:00:00Z"),
        ("2026-03-08T06:59:59.999Z", "2026-03-08T07:00:00Z"),
        ("2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"),
        ("2026-03-08T07:00:00.001Z", "2026-03-09T06:30:00Z"),
    ] {
        assert_eq!(e.next_after(instant(after), z.tz(), ONCE), Some(instant(next)), "{after}");
    }
}

#[test]
fn seconds_that_a_gap_skips_are_one_run() {
    // `*` in the seconds does not make a schedule follow the clock: minute and hour decide.
    let stretch = ("2026-03-08T06:00:00Z", "2026-03-08T12:00:00Z");
    assert_eq!(between("*/10 30 2 * * *", "America/New_York", ONCE, stretch.0, stretch.1), ["03-08 07:00"]);
}

#[test]
fn berlin() {
    // 2026-03-29 at 01:00Z and 2026-10-25 at 01:00Z.
    check(
        "Europe/Berlin",
        "2026-03-28T12:00:00Z",
        "2026-03-30T00:30:00Z",
        &[("30 2 * * *", ONCE, &["03-29 01:00", "03-30 00:30"]), ("30 2 * * *", SKIP, &["03-30 00:30"])],
    );
    check(
        "Europe/Berlin",
        "2026-10-24T12:00:00Z",
        "2026-10-26T01:30:00Z",
        &[
            ("30 2 * * *", ONCE, &["10-25 00:30", "10-26 01:30"]),
            ("30 2 * * *", LITERAL, &["10-25 00:30", "10-25 01:30", "10-26 01:30"]),
            (
                "0 */2 25 10 *",
                ONCE,
                &[
                    "10-24 22:00",
                    "10-25 00:00",
                    "10-25 01:00",
                    "10-25 03:00",
                    "10-25 05:00",
                    "10-25 07:00",
                    "10-25 09:00",
                    "10-25 11:00",
                    "10-25 13:00",
                    "10-25 15:00",
                    "10-25 17:00",
                    "10-25 19:00",
                    "10-25 21:00",
                ],
            ),
        ],
    );
}

#[test]
fn half_an_hour_on_lord_howe() {
    // 2026-10-04: 02:00 becomes 02:30 at 15:30Z of the 3rd. 2026-04-05: 02:00 becomes 01:30 at 15:00Z of the 4th.
    check(
        "Australia/Lord_Howe",
        "2026-10-03T12:00:00Z",
        "2026-10-04T16:00:00Z",
        &[
            ("15 2 * * *", ONCE, &["10-03 15:30", "10-04 15:15"]),
            ("15 2 * * *", SKIP, &["10-04 15:15"]),
            ("30 2 * * *", ONCE, &["10-03 15:30", "10-04 15:30"]),
            ("*/15 2 4 * *", ONCE, &["10-03 15:30", "10-03 15:45"]),
        ],
    );
    check(
        "Australia/Lord_Howe",
        "2026-04-04T12:00:00Z",
        "2026-04-05T15:30:00Z",
        &[
            ("45 1 * * *", ONCE, &["04-04 14:45", "04-05 15:15"]),
            ("45 1 * * *", LITERAL, &["04-04 14:45", "04-04 15:15", "04-05 15:15"]),
            (
                "*/15 1 5 * *",
                ONCE,
                &["04-04 14:00", "04-04 14:15", "04-04 14:30", "04-04 14:45", "04-04 15:00", "04-04 15:15"],
            ),
        ],
    );
}

#[test]
fn negative_daylight_saving_in_dublin_and_casablanca() {
    // Irish law calls winter time the exception; the clocks move as elsewhere.
    check(
        "Europe/Dublin",
        "2026-03-28T12:00:00Z",
        "2026-03-30T00:30:00Z",
        &[("30 1 * * *", ONCE, &["03-29 01:00", "03-30 00:30"]), ("30 1 * * *", SKIP, &["03-30 00:30"])],
    );
    check(
        "Europe/Dublin",
        "2026-10-24T12:00:00Z",
        "2026-10-26T01:30:00Z",
        &[("30 1 * * *", ONCE, &["10-25 00:30", "10-26 01:30"])],
    );
    // Morocco goes back for Ramadan, on 2026-02-15 at 02:00Z, and forward again on 2026-03-22 at 02:00Z.
    check(
        "Africa/Casablanca",
        "2026-02-14T12:00:00Z",
        "2026-02-16T02:30:00Z",
        &[("30 2 * * *", ONCE, &["02-15 01:30", "02-16 02:30"])],
    );
    check(
        "Africa/Casablanca",
        "2026-03-21T12:00:00Z",
        "2026-03-23T01:30:00Z",
        &[("30 2 * * *", ONCE, &["03-22 02:00", "03-23 01:30"])],
    );
}

#[test]
fn two_hours_at_troll() {
    // 2026-03-29 at 01:00Z: 01:00 becomes 03:00. 2026-10-25 at 01:00Z: 03:00 becomes 01:00.
    check(
        "Antarctica/Troll",
        "2026-03-28T12:00:00Z",
        "2026-03-29T23:00:00Z",
        &[("30 1,2 * * *", ONCE, &["03-29 01:00"]), ("30 1,2 * * *", SKIP, &[])],
    );
    check(
        "Antarctica/Troll",
        "2026-10-24T12:00:00Z",
        "2026-10-25T12:00:00Z",
        &[
            ("30 1,2 * * *", ONCE, &["10-24 23:30", "10-25 00:30"]),
            ("30 1,2 * * *", LITERAL, &["10-24 23:30", "10-25 00:30", "10-25 01:30", "10-25 02:30"]),
        ],
    );
}

#[test]
fn midnight_that_does_not_exist_in_havana() {
    // 2026-03-08 at 05:00Z: 00:00 becomes 01:00. 2026-11-01 at 05:00Z: 01:00 becomes 00:00.
    check(
        "America/Havana",
        "2026-03-07T12:00:00Z",
        "2026-03-09T04:00:00Z",
        &[
            ("@daily", ONCE, &["03-08 05:00", "03-09 04:00"]),
            ("@daily", SKIP, &["03-09 04:00"]),
            ("@daily", LITERAL, &["03-09 04:00"]),
            ("0 0 * * SUN", ONCE, &["03-08 05:00"]),
            (
                "@hourly",
                ONCE,
                &[
                    "03-07 13:00",
                    "03-07 14:00",
                    "03-07 15:00",
                    "03-07 16:00",
                    "03-07 17:00",
                    "03-07 18:00",
                    "03-07 19:00",
                    "03-07 20:00",
                    "03-07 21:00",
                    "03-07 22:00",
                    "03-07 23:00",
                    "03-08 00:00",
                    "03-08 01:00",
                    "03-08 02:00",
                    "03-08 03:00",
                    "03-08 04:00",
                    "03-08 05:00",
                    "03-08 06:00",
                    "03-08 07:00",
                    "03-08 08:00",
                    "03-08 09:00",
                    "03-08 10:00",
                    "03-08 11:00",
                    "03-08 12:00",
                    "03-08 13:00",
                    "03-08 14:00",
                    "03-08 15:00",
                    "03-08 16:00",
                    "03-08 17:00",
                    "03-08 18:00",
                    "03-08 19:00",
                    "03-08 20:00",
                    "03-08 21:00",
                    "03-08 22:00",
                    "03-08 23:00",
                    "03-09 00:00",
                    "03-09 01:00",
                    "03-09 02:00",
                    "03-09 03:00",
                    "03-09 04:00",
                ],
            ),
        ],
    );
    check(
        "America/Havana",
        "2026-10-31T12:00:00Z",
        "2026-11-02T05:00:00Z",
        &[
            ("@daily", ONCE, &["11-01 04:00", "11-02 05:00"]),
            ("@daily", LITERAL, &["11-01 04:00", "11-01 05:00", "11-02 05:00"]),
        ],
    );
}

#[test]
fn a_day_that_samoa_left_out_is_a_correction() {
    // 2011-12-30 never was: the 29th ended at 10:00Z and the 31st began.
    check(
        "Pacific/Apia",
        "2011-12-28T12:00:00Z",
        "2012-01-01T00:00:00Z",
        &[
            ("0 12 * * *", ONCE, &["12-28 22:00", "12-29 22:00", "12-30 22:00", "12-31 22:00"]),
            ("0 12 30 * *", ONCE, &[]),
            ("0 12 * * FRI", ONCE, &[]),
            ("0 0 * * *", ONCE, &["12-29 10:00", "12-30 10:00", "12-31 10:00"]),
        ],
    );
}

#[test]
fn a_day_that_kwajalein_had_twice_runs_twice() {
    // 1969-09-30 at 13:00Z the clocks went back by 23 hours: a correction, so the new time simply holds.
    check(
        "Pacific/Kwajalein",
        "1969-09-29T00:00:00Z",
        "1969-10-02T00:00:00Z",
        &[
            ("30 6 * * *", ONCE, &["09-29 19:30", "09-30 18:30", "10-01 18:30"]),
            ("30 6 * * *", SKIP, &["09-29 19:30", "09-30 18:30", "10-01 18:30"]),
        ],
    );
}

#[test]
fn three_hours_at_casey_are_a_correction() {
    check(
        "Antarctica/Casey",
        "2010-03-04T12:00:00Z",
        "2010-03-05T18:00:00Z",
        &[
            // 2010-03-05 02:00 became 2010-03-04 23:00 at 15:00Z: midnight comes twice.
            ("0 0 * * *", ONCE, &["03-04 13:00", "03-04 16:00", "03-05 16:00"]),
        ],
    );
    check(
        "Antarctica/Casey",
        "2009-10-17T12:00:00Z",
        "2009-10-19T00:00:00Z",
        &[
            // 2009-10-18 02:00 became 05:00 at 18:00Z: 03:30 is not caught up.
            ("30 3 * * *", ONCE, &["10-18 16:30"]),
        ],
    );
}

#[test]
fn changes_of_a_zone_that_keeps_no_daylight_saving() {
    // Pyongyang moved by half an hour: back on 2015-08-14 at 15:00Z, forward again on 2018-05-04 at 15:00Z.
    check(
        "Asia/Pyongyang",
        "2015-08-14T12:00:00Z",
        "2015-08-15T15:20:00Z",
        &[
            ("45 23 * * *", ONCE, &["08-14 14:45", "08-15 15:15"]),
            ("45 23 * * *", LITERAL, &["08-14 14:45", "08-14 15:15", "08-15 15:15"]),
        ],
    );
    check(
        "Asia/Pyongyang",
        "2018-05-04T12:00:00Z",
        "2018-05-05T15:00:00Z",
        &[("45 23 * * *", ONCE, &["05-04 15:00", "05-05 14:45"]), ("45 23 * * *", SKIP, &["05-05 14:45"])],
    );
}

#[test]
fn a_schedule_that_only_names_skipped_times_ends_instead_of_searching_for_ever() {
    let z = zone("America/New_York");
    let always_lost = cron("30 2 8-14 3 +SUN");
    assert_eq!(always_lost.next_after(instant("2026-01-01T00:00:00Z"), z.tz(), SKIP), None);
    assert_eq!(always_lost.next_after(instant("2026-01-01T00:00:00Z"), z.tz(), LITERAL), None);
    let caught_up = always_lost.next_after(instant("2026-01-01T00:00:00Z"), z.tz(), ONCE);
    assert_eq!(caught_up, Some(instant("2026-03-08T07:00:00Z")));
    // Lost for years, and then not: rare is not never.
    let rare = cron("0 30 2 8 3 * 2026,2037,2043,2048,2054,2055");
    assert_eq!(rare.next_after(instant("2026-01-01T00:00:00Z"), z.tz(), SKIP), Some(instant("2055-03-08T07:30:00Z")));
}

#[test]
fn a_schedule_carries_zone_and_policy() {
    let schedule = |dst| Schedule::Cron { expr: cron("30 2 * * *"), zone: zone("America/New_York"), dst };
    let after = instant("2026-03-08T00:00:00Z");
    assert_eq!(schedule(ONCE).next_after(after), Some(instant("2026-03-08T07:00:00Z")));
    assert_eq!(schedule(SKIP).next_after(after), Some(instant("2026-03-09T06:30:00Z")));
    assert_eq!(schedule(ONCE).interval(), None);
    let interval = std::time::Duration::from_secs(300);
    let every = Schedule::Every { interval };
    assert_eq!((every.next_after(after), every.interval()), (None, Some(interval)));
}

#[test]
fn policies_are_written_in_lower_case() {
    let written = serde_json::to_string(&[ONCE, SKIP, LITERAL]).unwrap();
    assert_eq!(written, r#"["once","skip","literal"]"#);
    assert_eq!(serde_json::from_str::<DstPolicy>("\"skip\"").unwrap(), SKIP);
    assert_eq!(DstPolicy::default(), ONCE);
}
