//! Short spellings for the tests.

use jiff::Timestamp;
use leasehold_common::schedule::{CronExpr, DstPolicy, Zone};

/// Reads an expression; `H` gets the seed 1.
pub(crate) fn cron(text: &str) -> CronExpr {
    CronExpr::parse_seeded(text, 1).unwrap_or_else(|e| panic!("{text}: {e}"))
}

pub(crate) fn zone(name: &str) -> Zone {
    Zone::parse(name).unwrap_or_else(|e| panic!("{name}: {e}"))
}

pub(crate) fn instant(text: &str) -> Timestamp {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// The due times after an instant.
pub(crate) fn due(
    expr: &CronExpr,
    zone: &Zone,
    policy: DstPolicy,
    after: Timestamp,
) -> impl Iterator<Item = Timestamp> {
    std::iter::successors(expr.next_after(after, zone.tz(), policy), move |t| expr.next_after(*t, zone.tz(), policy))
}

/// The first `n` due times in UTC after an instant, as `2026-02-28 00:00`, with seconds where they are not zero.
pub(crate) fn civil(text: &str, after: &str, n: usize) -> Vec<String> {
    let (expr, utc) = (cron(text), Zone::UTC);
    due(&expr, &utc, DstPolicy::Once, instant(after))
        .take(n)
        .map(|t| match t.as_second() % 60 {
            0 => t.strftime("%Y-%m-%d %H:%M").to_string(),
            _ => t.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        })
        .collect()
}
