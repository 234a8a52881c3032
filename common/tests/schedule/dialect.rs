//! The dialect, by tables of civil times: the specification's cases, then each extension.

use leasehold_common::schedule::{CronExpr, DstPolicy, Zone};

use crate::support::{civil, cron, due, instant};

/// Rows of expression, instant to start from, and the next due times.
fn check(rows: &[(&str, &str, &[&str])]) {
    for (text, after, expected) in rows {
        assert_eq!(civil(text, after, expected.len()), *expected, "{text}");
    }
}

/// Rows of expressions that mean the same.
fn same(rows: &[(&str, &str)]) {
    for (a, b) in rows {
        for after in ["2024-02-28T13:00:00Z", "2026-11-01T00:00:00Z", "2026-12-31T23:59:59Z"] {
            assert_eq!(civil(a, after, 20), civil(b, after, 20), "{a} and {b}");
        }
    }
}

#[test]
fn section_4_fields_and_names() {
    check(&[
        ("15 10 * * *", "2025-03-10T00:00:00Z", &["2025-03-10 10:15", "2025-03-11 10:15"]),
        ("30 8 * jan Mon", "2025-01-01T00:00:00Z", &["2025-01-06 08:30", "2025-01-13 08:30"]),
        ("15 10 1 10 *", "2025-03-10T00:00:00Z", &["2025-10-01 10:15", "2026-10-01 10:15"]),
        ("0 0 * * *", "2026-12-31T23:59:59Z", &["2027-01-01 00:00"]),
        ("59 23 31 12 *", "2026-01-01T00:00:00Z", &["2026-12-31 23:59", "2027-12-31 23:59"]),
        // Strictly after, and whole seconds.
        ("0 0 * * *", "2026-01-01T00:00:00Z", &["2026-01-02 00:00"]),
        ("0 0 * * *", "2025-12-31T23:59:59.999Z", &["2026-01-01 00:00"]),
        ("0 0 * * *", "2026-01-01T00:00:00.001Z", &["2026-01-02 00:00"]),
        // Before 1970 fractions round the other way.
        ("0 0 * * *", "1969-12-31T23:59:59.5Z", &["1970-01-01 00:00"]),
        ("* * * * * *", "1969-12-31T23:59:58.5Z", &["1969-12-31 23:59:59"]),
    ]);
    same(&[
        ("  0\t \t12  * * *  ", "0 12 * * *"),
        ("00 007 * * *", "0 7 * * *"),
        ("0 0 * * 0", "0 0 * * 7"),
        ("0 0 * * SUN", "0 0 * * 7"),
        ("0 0 * * 0,7", "0 0 * * sun"),
        ("0 0 * * 5-7", "0 0 * * FRI,SAT,SUN"),
        ("0 0 * * FRI-SUN", "0 0 * * 5-7"),
        ("0 0 * * SUN-TUE", "0 0 * * 0-2"),
        ("0 0 * * 0-7", "0 0 * * 0-6"),
        ("0 0 * * 1-7/2", "0 0 * * 1,3,5,7"),
        ("0 0 * * MON-5", "0 0 * * 1-5"),
        ("0 0 1 JAN-mar,Dec *", "0 0 1 1-3,12 *"),
    ]);
}

#[test]
fn section_5_lists_ranges_and_steps() {
    check(&[(
        "5-59/15 9 * * *",
        "2025-03-10T00:00:00Z",
        &["2025-03-10 09:05", "2025-03-10 09:20", "2025-03-10 09:35", "2025-03-10 09:50", "2025-03-11 09:05"],
    )]);
    same(&[
        ("*/15 * * * *", "0,15,30,45 * * * *"),
        ("*/25 * * * *", "0,25,50 * * * *"),
        ("0 */5 * * *", "0 0,5,10,15,20 * * *"),
        ("0 0 */10 * *", "0 0 1,11,21,31 * *"),
        ("0 0 1 */5 *", "0 0 1 1,6,11 *"),
        ("0 0 * * */3", "0 0 * * 0,3,6"),
        ("10-20/3,50,51-53 * * * *", "10,13,16,19,50,51,52,53 * * * *"),
        ("5-5 * * * *", "5 * * * *"),
        ("5,5,5 * * * *", "5 * * * *"),
        // A step beyond the range leaves its first value.
        ("*/60 * * * *", "0 * * * *"),
        ("0 */24 * * *", "0 0 * * *"),
        ("3-5/1000000 * * * *", "3 * * * *"),
        // `*` beside others is still everything, but what the field starts with differs: see below.
        ("5,* * * * *", "* * * * *"),
    ]);
}

#[test]
fn section_6_day_of_month_or_day_of_week() {
    check(&[
        (
            "0 12 1 * MON",
            "2025-09-30T12:00:00Z",
            &[
                "2025-10-01 12:00",
                "2025-10-06 12:00",
                "2025-10-13 12:00",
                "2025-10-20 12:00",
                "2025-10-27 12:00",
                "2025-11-01 12:00",
            ],
        ),
        ("0 12 * * MON", "2025-10-01T00:00:00Z", &["2025-10-06 12:00", "2025-10-13 12:00"]),
        ("0 12 13 * *", "2025-10-01T00:00:00Z", &["2025-10-13 12:00", "2025-11-13 12:00"]),
        // The full range, written out, is a restriction.
        ("0 12 1-31 * MON", "2025-10-06T00:00:00Z", &["2025-10-06 12:00", "2025-10-07 12:00", "2025-10-08 12:00"]),
    ]);
}

#[test]
fn a_leading_star_makes_it_and_as_in_debians_cron() {
    check(&[
        // Odd days that are Mondays.
        ("0 0 */2 * MON", "2025-10-01T00:00:00Z", &["2025-10-13 00:00", "2025-10-27 00:00", "2025-11-03 00:00"]),
        // The same days without the star: odd days, and Mondays.
        ("0 0 1-31/2 * MON", "2025-10-01T00:00:00Z", &["2025-10-03 00:00", "2025-10-05 00:00", "2025-10-06 00:00"]),
        // Even weekdays that are the 10th.
        ("0 0 10 * */2", "2025-10-01T00:00:00Z", &["2026-01-10 00:00", "2026-02-10 00:00"]),
        // The first character decides, not the set.
        ("0 0 *,10 * TUE", "2025-10-01T00:00:00Z", &["2025-10-07 00:00", "2025-10-14 00:00"]),
        ("0 0 10,* * TUE", "2025-10-01T00:00:00Z", &["2025-10-02 00:00", "2025-10-03 00:00"]),
    ]);
}

#[test]
fn nicknames() {
    same(&[
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * 0"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@hourly", "0 * * * *"),
        (" @hourly\t", "0 * * * *"),
    ]);
    assert!(cron("@hourly").follows_clock());
    assert!(!cron("@daily").follows_clock());
}

#[test]
fn seconds_and_years() {
    check(&[
        ("30 15 10 * * *", "2025-03-10T00:00:00Z", &["2025-03-10 10:15:30", "2025-03-11 10:15:30"]),
        ("*/20 * * * * *", "2025-03-10T00:00:01Z", &["2025-03-10 00:00:20", "2025-03-10 00:00:40", "2025-03-10 00:01"]),
        ("0 0 12 1 1 * 2025-2027", "2025-06-01T00:00:00Z", &["2026-01-01 12:00", "2027-01-01 12:00"]),
        // Steps of `*` count from 1970, so they are even years.
        ("0 0 0 1 1 * */2", "2025-01-01T00:00:00Z", &["2026-01-01 00:00", "2028-01-01 00:00"]),
        ("0 0 0 1 1 * 1971-2199/2", "2025-01-01T00:00:00Z", &["2027-01-01 00:00", "2029-01-01 00:00"]),
        // Beyond 2100, which is no leap year, to the end.
        ("0 0 29 2 *", "2096-03-01T00:00:00Z", &["2104-02-29 00:00"]),
        ("0 0 0 29 2 * 2104,9996", "2026-01-01T00:00:00Z", &["2104-02-29 00:00", "9996-02-29 00:00"]),
        ("0 0 0 29 2 +TUE 2000-9999/400", "2026-01-01T00:00:00Z", &["2400-02-29 00:00", "2800-02-29 00:00"]),
        // Years left open reach back as well as forward.
        ("0 0 29 2 *", "1895-01-01T00:00:00Z", &["1896-02-29 00:00", "1904-02-29 00:00"]),
    ]);
    let ended = cron("0 0 0 1 1 * 2025");
    assert_eq!(ended.next_after(instant("2025-01-01T00:00:00Z"), Zone::UTC.tz(), DstPolicy::Once), None);
}

#[test]
fn rare_days() {
    check(&[
        ("0 0 29 2 +MON", "2026-01-01T00:00:00Z", &["2044-02-29 00:00", "2072-02-29 00:00", "2112-02-29 00:00"]),
        ("0 0 31 12 +SUN", "2026-01-01T00:00:00Z", &["2028-12-31 00:00", "2034-12-31 00:00"]),
        ("0 0 13 * +FRI", "2026-01-01T00:00:00Z", &["2026-02-13 00:00", "2026-03-13 00:00", "2026-11-13 00:00"]),
    ]);
}

#[test]
fn last_day() {
    check(&[
        ("0 0 L * *", "2024-01-31T00:00:00Z", &["2024-02-29 00:00", "2024-03-31 00:00", "2024-04-30 00:00"]),
        ("0 0 L-3 * *", "2025-02-01T00:00:00Z", &["2025-02-25 00:00", "2025-03-28 00:00", "2025-04-27 00:00"]),
        // Only months with 31 days have one.
        ("0 0 L-30 * *", "2025-02-01T00:00:00Z", &["2025-03-01 00:00", "2025-05-01 00:00"]),
        ("0 0 15,L * *", "2025-02-01T00:00:00Z", &["2025-02-15 00:00", "2025-02-28 00:00", "2025-03-15 00:00"]),
        (
            "0 0 LW * *",
            "2025-02-01T00:00:00Z",
            &["2025-02-28 00:00", "2025-03-31 00:00", "2025-04-30 00:00", "2025-05-30 00:00"],
        ),
        (
            "0 0 LW * *",
            "2025-08-01T00:00:00Z",
            &["2025-08-29 00:00", "2025-09-30 00:00", "2025-10-31 00:00", "2025-11-28 00:00"],
        ),
    ]);
}

#[test]
fn nearest_weekday() {
    check(&[
        // 2025-06-15 is a Sunday, 2025-02-15 a Saturday.
        ("0 12 15W 6 *", "2025-01-01T00:00:00Z", &["2025-06-16 12:00"]),
        ("0 12 15W 2 *", "2025-01-01T00:00:00Z", &["2025-02-14 12:00"]),
        ("0 12 15W 1 *", "2025-01-01T00:00:00Z", &["2025-01-15 12:00"]),
        // Within the month: Saturday the 1st moves to the 3rd, Sunday the 31st to the 29th.
        ("0 12 1W * *", "2025-01-31T00:00:00Z", &["2025-02-03 12:00", "2025-03-03 12:00", "2025-04-01 12:00"]),
        ("0 12 31W * *", "2025-08-01T00:00:00Z", &["2025-08-29 12:00", "2025-10-31 12:00", "2025-12-31 12:00"]),
    ]);
}

#[test]
fn nth_and_last_weekday() {
    check(&[
        ("0 0 * * TUE#3", "2025-06-01T00:00:00Z", &["2025-06-17 00:00", "2025-07-15 00:00"]),
        ("0 0 * * 1#5", "2025-06-01T00:00:00Z", &["2025-06-30 00:00", "2025-09-29 00:00"]),
        ("0 0 * * FRI#L", "2025-02-01T00:00:00Z", &["2025-02-28 00:00", "2025-03-28 00:00"]),
        ("0 0 * * MON#1,FRI#2", "2025-02-01T00:00:00Z", &["2025-02-03 00:00", "2025-02-14 00:00", "2025-03-03 00:00"]),
        // With a day of the month, still OR; and AND behind a plus.
        ("0 0 1 * MON#1", "2025-02-01T00:00:00Z", &["2025-02-03 00:00", "2025-03-01 00:00", "2025-03-03 00:00"]),
        ("0 0 1 * +MON#1", "2025-02-01T00:00:00Z", &["2025-09-01 00:00", "2025-12-01 00:00"]),
    ]);
    same(&[
        ("0 0 * * 5L", "0 0 * * FRI#L"),
        ("0 0 * * friL", "0 0 * * 5#L"),
        ("0 0 * * 7L", "0 0 * * 0L"),
        ("0 0 * * 0#2", "0 0 * * 7#2"),
    ]);
}

#[test]
fn question_mark_and_plus() {
    same(&[
        ("0 0 ? * MON", "0 0 * * MON"),
        ("0 0 1 * ?", "0 0 1 * *"),
        ("0 0 ? * ?", "0 0 * * *"),
        ("0 0 1 * +?", "0 0 1 * *"),
        ("0 0 * * +MON", "0 0 * * MON"),
    ]);
    check(&[("0 12 1 * +MON", "2025-07-01T00:00:00Z", &["2025-09-01 12:00", "2025-12-01 12:00"])]);
}

#[test]
fn hashes_are_stable_within_their_range_and_spread() {
    // Pinned: another value would move every job of every user.
    let pinned = |text: &str, seed| {
        let expr = CronExpr::parse_seeded(text, seed).unwrap();
        let next = expr.next_after(instant("2026-01-01T00:00:00Z"), Zone::UTC.tz(), DstPolicy::Once).unwrap();
        next.strftime("%m-%d %H:%M:%S").to_string()
    };
    assert_eq!(pinned("H H * * *", 1), PINNED[0]);
    assert_eq!(pinned("H H * * *", 2), PINNED[1]);
    assert_eq!(pinned("H H(1-5) H * *", 1), PINNED[2]);
    assert_eq!(pinned("H H H H H *", 1), PINNED[3]);

    let (mut minutes, mut hours) = ([0; 60], [0; 24]);
    for seed in 0..6000 {
        let expr = CronExpr::parse_seeded("H H(2-5) H H(3-4) *", seed).unwrap();
        let at = expr.next_after(instant("2026-01-01T00:00:00Z"), Zone::UTC.tz(), DstPolicy::Once).unwrap();
        let at = at.to_zoned(jiff::tz::TimeZone::UTC);
        assert!((2..=5).contains(&at.hour()) && (1..=28).contains(&at.day()) && (3..=4).contains(&at.month()), "{at}");
        minutes[at.minute() as usize] += 1;
        hours[at.hour() as usize] += 1;
    }
    assert!(minutes.iter().all(|n| (60..=150).contains(n)), "{minutes:?}");
    assert!(hours[2..=5].iter().all(|n| (1350..=1650).contains(n)), "{hours:?}");
}

const PINNED: [&str; 4] = ["01-01 16:44:00", "01-01 15:34:00", "01-25 04:44:00", "06-25 16:44:31"];

#[test]
fn hashed_steps_are_steps_with_another_phase() {
    for seed in 0..50 {
        let utc = Zone::UTC;
        let times = |text: &str| -> Vec<i8> {
            let expr = CronExpr::parse_seeded(text, seed).unwrap();
            due(&expr, &utc, DstPolicy::Once, instant("2025-12-31T23:59:59Z"))
                .take_while(|t| *t < instant("2026-01-01T01:00:00Z"))
                .map(|t| t.to_zoned(jiff::tz::TimeZone::UTC).minute())
                .collect()
        };
        let quarter = times("H/15 * * * *");
        assert!(quarter.len() == 4 && quarter[0] < 15 && quarter.windows(2).all(|p| p[1] - p[0] == 15), "{quarter:?}");
        let within = times("H(10-29)/10 * * * *");
        assert!(within.len() == 2 && (10..20).contains(&within[0]) && within[1] - within[0] == 10, "{within:?}");
        let beyond = times("H(10-29)/100 * * * *");
        assert!(beyond.len() == 1 && (10..=29).contains(&beyond[0]), "{beyond:?}");
    }
    assert!(cron("H/15 2 * * *").follows_clock());
    assert!(!cron("H 2 * * *").follows_clock());
}

#[test]
fn a_text_says_whether_it_needs_a_seed() {
    for text in ["H * * * *", "0 H(1-2) * * *", "0 0 * * +H", "0 0 1,H/2 * *", "0 0 * * H"] {
        assert!(CronExpr::uses_hash(text), "{text}");
        assert!(CronExpr::parse(text).is_err(), "{text}");
        assert!(CronExpr::parse_seeded(text, 9).is_ok(), "{text}");
    }
    for text in ["0 0 * MAR THU", "@hourly", "", "0 0 * * THU-SAT"] {
        assert!(!CronExpr::uses_hash(text), "{text}");
    }
}

#[test]
fn equality_text_and_parsing_from_a_string() {
    let expr: CronExpr = "0 2 * * *".parse().unwrap();
    assert_eq!(expr, cron("0 2 * * *"));
    assert_ne!(expr, cron("0  2 * * *"));
    assert_eq!((expr.to_string(), format!("{expr:?}")), ("0 2 * * *".to_owned(), "CronExpr(\"0 2 * * *\")".to_owned()));
    // A seed matters only where there is an H.
    assert_eq!(CronExpr::parse_seeded("0 2 * * *", 7).unwrap(), expr);
    assert_ne!(CronExpr::parse_seeded("H 2 * * *", 7).unwrap(), CronExpr::parse_seeded("H 2 * * *", 8).unwrap());
}
