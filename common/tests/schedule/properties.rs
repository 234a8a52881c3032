//! Laws that hold for any expression, any zone, any policy; and no panic for any text.

use jiff::{SignedDuration, Timestamp};
use leasehold_common::schedule::{CronExpr, DstPolicy, Zone};
use proptest::prelude::*;

use crate::model::{Spec, spec};
use crate::support::due;

const ZONES: [&str; 10] = [
    "UTC",
    "America/New_York",
    "Europe/Dublin",
    "Australia/Lord_Howe",
    "Antarctica/Troll",
    "Antarctica/Casey",
    "Africa/Casablanca",
    "America/Havana",
    "Pacific/Apia",
    "Asia/Kathmandu",
];

fn zones() -> impl Strategy<Value = Zone> {
    prop::sample::select(&ZONES[..]).prop_map(|z| Zone::parse(z).unwrap())
}

fn policies() -> impl Strategy<Value = DstPolicy> {
    prop_oneof![Just(DstPolicy::Once), Just(DstPolicy::Skip), Just(DstPolicy::Literal)]
}

/// Any instant from 1900 to 2200, not only whole seconds.
fn instants() -> impl Strategy<Value = Timestamp> {
    (-2_208_988_800_i64..7_258_118_400, 0..1_000_000_000_i32).prop_map(|(s, n)| Timestamp::new(s, n).unwrap())
}

/// The expression of a spec, unless it is one that never fires.
fn parsed(spec: &Spec) -> Option<CronExpr> {
    match CronExpr::parse(&spec.text()) {
        Ok(expr) => Some(expr),
        Err(e) => {
            assert!(e.to_string().contains("never fires"), "{}: {e}", spec.text());
            None
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn due_times_strictly_increase_and_do_not_depend_on_where_one_asks(
        spec in spec(), zone in zones(), policy in policies(), from in instants(), between in 0.0..1.0_f64,
    ) {
        let Some(expr) = parsed(&spec) else { return Ok(()) };
        let mut last = from;
        for next in due(&expr, &zone, policy, from).take(12) {
            prop_assert!(next > last, "{expr} in {zone}, {policy:?}: {next} after {last}");
            prop_assert_eq!(next.subsec_nanosecond(), 0);
            // From anywhere between two due times the next one is the same; also from just before it.
            let gap = next.duration_since(last);
            let inside = last + SignedDuration::from_secs_f64(gap.as_secs_f64() * between * 0.999);
            prop_assert_eq!(expr.next_after(inside, zone.tz(), policy), Some(next), "from {}", inside);
            let just_before = next - SignedDuration::from_nanos(1);
            prop_assert_eq!(expr.next_after(just_before, zone.tz(), policy), Some(next));
            last = next;
        }
    }

    #[test]
    fn in_utc_every_due_time_fits_and_none_that_fits_is_left_out(spec in spec(), from in instants()) {
        let Some(expr) = parsed(&spec) else { return Ok(()) };
        let civil = |t: Timestamp| t.to_zoned(jiff::tz::TimeZone::UTC).datetime();
        let mut last = from;
        for next in due(&expr, &Zone::UTC, DstPolicy::Once, from).take(4) {
            prop_assert!(spec.matches(civil(next)), "{expr}: {next} does not fit");
            // No day in between fits; on the two days at the ends, no second does.
            let (first_day, last_day) = (civil(last).date(), civil(next).date());
            let mut days = first_day.series(jiff::Span::new().days(1)).take_while(|d| *d < last_day).skip(1);
            prop_assert!(!days.any(|d| spec.matches_day(d)), "{expr}: a day between {last} and {next} fits");
            let step = if spec.second.is_some() { 1 } else { 60 };
            let end_of_first = first_day.tomorrow().unwrap().to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp();
            let start_of_last = last_day.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp();
            for (a, b) in [(last, next.min(end_of_first)), (last.max(start_of_last), next)] {
                let mut second = (a.as_second() / step + i64::from(a.as_second() >= 0)) * step;
                while second < b.as_second() {
                    let at = Timestamp::from_second(second).unwrap();
                    prop_assert!(at <= last || !spec.matches(civil(at)), "{expr}: {at} was left out");
                    // Whole minutes without a match are skipped by their first second only if no second is named.
                    second += step;
                }
            }
            last = next;
        }
    }

    #[test]
    fn no_text_panics(text in "\\PC*", seed in any::<u64>()) {
        probe(&text, seed);
    }

    #[test]
    fn no_text_that_is_nearly_an_expression_panics(
        text in "[+]?[0-9*/,\\-LWH#?()@A-Za-z\u{a0}\u{2013} \t]{0,12}( [0-9*/,\\-LWH#?()+é]{1,6}){3,7}", seed in any::<u64>(),
    ) {
        probe(&text, seed);
    }

    #[test]
    fn every_char_boundary_of_a_spoilt_expression_is_safe(spec in spec(), at in 0..40_usize, spoil in any::<char>()) {
        let mut text = spec.text();
        let at = at.min(text.len());
        text.insert(at, spoil);
        probe(&text, 0);
    }

    #[test]
    fn a_zone_is_parsed_or_refused_without_a_panic(text in "\\PC{0,40}") {
        if let Err(e) = Zone::parse(&text) {
            prop_assert!(!e.to_string().is_empty());
        }
    }
}

/// Everything that takes text or shows something about it.
fn probe(text: &str, seed: u64) {
    for parsed in [CronExpr::parse(text), CronExpr::parse_seeded(text, seed)] {
        match parsed {
            Ok(expr) => {
                assert!(!expr.describe().is_empty());
                assert_eq!(expr.to_string(), text);
                let _ = expr.next_after(Timestamp::UNIX_EPOCH, &jiff::tz::TimeZone::UTC, DstPolicy::Once);
            }
            Err(e) => {
                assert!(!e.to_string().is_empty());
                let _ = e.help();
                if let Some(span) = e.span() {
                    assert!(text.get(span.clone()).is_some(), "{text:?}: {span:?} is no part of it ({e})");
                }
            }
        }
    }
}

#[test]
fn the_ends_of_time_are_safe() {
    for text in ["* * * * *", "0 0 29 2 +MON", "30 2 * * *", "* * * * * *", "0 0 0 1 1 * 9999"] {
        let expr = CronExpr::parse(text).unwrap();
        for zone in ZONES.map(|z| Zone::parse(z).unwrap()) {
            for policy in [DstPolicy::Once, DstPolicy::Skip, DstPolicy::Literal] {
                assert_eq!(expr.next_after(Timestamp::MAX, zone.tz(), policy), None);
                let first = expr.next_after(Timestamp::MIN, zone.tz(), policy).unwrap();
                assert!(first > Timestamp::MIN, "{text} in {zone}");
            }
        }
    }
}
