//! What the next due time costs, in nanoseconds, from the common case to the worst known.
//!
//! `cargo bench -p leasehold-common --bench next`. The bar is about a microsecond, and 100 microseconds for any
//! question at all.

#![expect(clippy::unwrap_used, reason = "a bench stops at what it did not expect")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use leasehold_common::definition::ScheduleSpec;
use leasehold_common::id::JobKey;
use leasehold_common::schedule::{Blackout, CronExpr, DstPolicy, Zone, blacked_out};

/// Each case: expression, zone, policy, and the instant to start from.
const CASES: &[(&str, &str, DstPolicy, &str)] = &[
    ("* * * * *", "UTC", DstPolicy::Once, "2026-11-01T00:00:00Z"),
    ("*/5 * * * *", "America/New_York", DstPolicy::Once, "2026-11-01T00:00:00Z"),
    ("* * * * * *", "Europe/Berlin", DstPolicy::Once, "2026-11-01T00:00:00Z"),
    ("0 2 * * *", "America/New_York", DstPolicy::Once, "2026-11-01T00:00:00Z"),
    ("30 2 * * *", "Europe/Berlin", DstPolicy::Literal, "2026-11-01T00:00:00Z"),
    ("0 9-17/2 * * MON-FRI", "Asia/Kolkata", DstPolicy::Once, "2026-11-01T00:00:00Z"),
    ("0 12 L-3,L * *", "UTC", DstPolicy::Once, "2026-11-01T00:00:00Z"),
    ("0 12 LW * *", "Australia/Lord_Howe", DstPolicy::Once, "2026-11-01T00:00:00Z"),
    ("@yearly", "Africa/Casablanca", DstPolicy::Once, "2026-11-01T00:00:00Z"),
    // A Monday, 29 February: every 28 or 40 years.
    ("0 0 29 2 +MON", "America/New_York", DstPolicy::Once, "2026-11-01T00:00:00Z"),
    ("0 0 29 2 +MON", "America/New_York", DstPolicy::Once, "2072-03-01T00:00:00Z"),
    // Once in four hundred years, and the last time there is.
    ("0 0 0 29 2 +TUE 2000-9999/400", "Europe/Dublin", DstPolicy::Once, "2026-11-01T00:00:00Z"),
    ("0 0 0 31 12 * 9998", "Europe/Dublin", DstPolicy::Once, "2026-11-01T00:00:00Z"),
    ("0 0 0 1 1 * 2020", "Europe/Dublin", DstPolicy::Once, "2026-11-01T00:00:00Z"),
    // Every due time falls into a gap that the policy skips.
    ("30 2 8-14 3 +SUN", "America/New_York", DstPolicy::Skip, "2026-11-01T00:00:00Z"),
    ("0 30 2 8-14 3 +SUN 2027-9999/3", "America/New_York", DstPolicy::Literal, "2026-11-01T00:00:00Z"),
];

/// The other kinds, as they are stored. Jitter asks its schedule most often where it is long and the times are close.
const KINDS: &[&str] = &[
    r#"{"rate":{"interval":"5m"}}"#,
    r#"{"at":{"at":"2026-12-01T09:00:00[Europe/Berlin]"}}"#,
    r#"{"spread":{"window":"22:00-04:00","zone":"America/New_York"}}"#,
    r#"{"any":[{"cron":{"expr":"0 9 * * MON-FRI","zone":"Europe/Berlin"}},{"cron":{"expr":"0 12 * * SAT","zone":"Asia/Tokyo"}}]}"#,
    r#"{"within":{"schedule":{"cron":{"expr":"* * * * *","zone":"UTC"}},"start":"2026-12-01T00:00:00[Europe/Berlin]"}}"#,
    r#"{"jittered":{"schedule":{"cron":{"expr":"*/5 * * * *","zone":"America/New_York"}},"jitter":"30s"}}"#,
    r#"{"jittered":{"schedule":{"cron":{"expr":"* * * * * *","zone":"America/New_York"}},"jitter":"1h"}}"#,
    r#"{"jittered":{"schedule":{"spread":{"window":"22:00-04:00","zone":"America/New_York"}},"jitter":"365d"}}"#,
];

/// Blackouts, as they are stored, and the instant to ask about: outside of all, at the begin of a chain, and in a chain
/// that has no end.
const BLACKOUTS: &[(&str, &str)] = &[
    (
        r#"[{"name":"year-end","once":{"from":"2026-12-24T00:00:00[Europe/Berlin]","to":"2027-01-02T00:00:00[Europe/Berlin]"}},
            {"name":"nights","daily":{"window":"22:00-04:00","days":["mon","tue"],"zone":"America/New_York"}},
            {"name":"weekend","daily":{"window":"00:00-24:00","days":["sat","sun"],"zone":"America/New_York"}}]"#,
        "2026-11-05T12:00:00Z",
    ),
    (
        r#"[{"name":"nights","daily":{"window":"22:00-04:00","zone":"America/New_York"}},
            {"name":"weekend","daily":{"window":"00:00-24:00","days":["sat","sun"],"zone":"America/New_York"}}]"#,
        "2026-10-31T02:00:00Z",
    ),
    (
        r#"[{"name":"day","daily":{"window":"06:00-18:00","zone":"America/New_York"}},
            {"name":"night","daily":{"window":"18:00-06:00","zone":"America/New_York"}}]"#,
        "2026-11-05T12:00:00Z",
    ),
];

/// What no question may take, in nanoseconds.
const BAR_NS: u128 = 100_000;

fn main() {
    println!("{:>10} {:>10}  case", "mean ns", "max ns");
    for (text, zone, policy, from) in CASES {
        let expr: CronExpr = text.parse().unwrap();
        let zone = Zone::parse(zone).unwrap();
        let from: Timestamp = from.parse().unwrap();
        let (mean, max) = measure(|| expr.next_after(black_box(from), zone.tz(), *policy));
        println!("{mean:>10} {max:>10}  {expr} in {zone}, {policy:?}");
        // Unoptimised code, as `cargo test --all-targets` runs it, says nothing about the bar.
        assert!(cfg!(debug_assertions) || mean < BAR_NS, "{expr} in {zone} takes more than it may");
    }
    let from: Timestamp = "2026-11-01T00:00:00Z".parse().unwrap();
    for json in KINDS {
        let spec: ScheduleSpec = serde_json::from_str(json).unwrap();
        let schedule = spec.compile(JobKey::from_i64(1)).unwrap();
        let (mean, max) = measure(|| schedule.next_after(black_box(from)));
        println!("{mean:>10} {max:>10}  {json}");
        assert!(cfg!(debug_assertions) || mean < BAR_NS, "{json} takes more than it may");
    }
    for (json, at) in BLACKOUTS {
        let (blackouts, at): (Vec<Blackout>, Timestamp) = (serde_json::from_str(json).unwrap(), at.parse().unwrap());
        let (mean, max) = measure(|| blacked_out(&blackouts, black_box(at)).map(|(_, end)| end));
        let names: Vec<&str> = blackouts.iter().map(|blackout| blackout.name.as_str()).collect();
        println!("{mean:>10} {max:>10}  blackouts {} at {at}", names.join(", "));
        assert!(cfg!(debug_assertions) || mean < BAR_NS, "{names:?} take more than they may");
    }
    for text in ["0 0 30 2 *", "* * * * *", "*/7 1-5,8-20/3 L-3,15 JAN-JUN MON#2,FRIL", "0 0 0 29 2 * 2025-9999/4"] {
        let (mean, max) = measure(|| CronExpr::parse(black_box(text)).is_ok());
        println!("{mean:>10} {max:>10}  parse {text}");
    }
}

/// Mean, and the longest of batches of ten: a single call is often shorter than what the clock costs to read, and a
/// batch in which the machine did something else is dropped with the slowest hundredth.
fn measure<T>(mut call: impl FnMut() -> T) -> (u128, u128) {
    const BATCH: u32 = 10;
    for _ in 0..200 {
        black_box(call());
    }
    let mut batches: Vec<Duration> = (0..500)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..BATCH {
                black_box(call());
            }
            start.elapsed() / BATCH
        })
        .collect();
    batches.sort_unstable();
    let kept = batches.get(..495).unwrap_or(&batches);
    let mean = kept.iter().sum::<Duration>().as_nanos() / kept.len().max(1) as u128;
    (mean, kept.last().map_or(0, Duration::as_nanos))
}
