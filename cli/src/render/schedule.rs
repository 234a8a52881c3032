//! A job's definition in a few words.

use std::time::Duration;

use leasehold_common::definition::{Definition, HandlerSpec, ScheduleSpec};
use leasehold_common::duration;
use leasehold_common::schedule::{CronExpr, Moment};

/// When: `every 30s`, `0 2 * * * America/New_York`.
pub(crate) fn schedule(spec: &ScheduleSpec) -> String {
    match spec {
        ScheduleSpec::Cron { expr, zone, .. } => format!("{expr} {zone}"),
        ScheduleSpec::Every { interval } => format!("every {}", duration::format(*interval)),
        ScheduleSpec::Rate { interval } => format!("every {} from start", duration::format(*interval)),
        ScheduleSpec::At { at, .. } => format!("at {}", moment(at)),
        ScheduleSpec::Spread { window, zone } => format!("spread {window} {zone}"),
        ScheduleSpec::Any(specs) => specs.iter().map(schedule).collect::<Vec<_>>().join(" | "),
        ScheduleSpec::Within { schedule: inner, start, end } => {
            let start = start.as_ref().map_or_else(String::new, |start| format!(", from {}", moment(start)));
            let end = end.as_ref().map_or_else(String::new, |end| format!(", until {}", moment(end)));
            format!("{}{start}{end}", schedule(inner))
        }
        ScheduleSpec::Jittered { schedule: inner, jitter } => {
            format!("{}, jitter {}", schedule(inner), duration::format(*jitter))
        }
    }
}

/// `2026-12-01T08:00:00Z`, `2026-12-01T09:00:00 Europe/Berlin`.
fn moment(at: &Moment) -> String {
    match at {
        Moment::Instant(at) => at.to_string(),
        Moment::Civil { at, zone } => format!("{at} {zone}"),
    }
}

/// When, in a sentence.
pub(crate) fn in_words(spec: &ScheduleSpec) -> String {
    match spec {
        // The seed only moves what `H` stands for, which the words name as it is.
        ScheduleSpec::Cron { expr, zone, .. } => match CronExpr::parse_seeded(expr, 0) {
            Ok(_) if CronExpr::uses_hash(expr) => format!("{expr}, by the clocks of {zone}"),
            Ok(parsed) => format!("{}, by the clocks of {zone}", parsed.describe()),
            Err(error) => format!("{expr}: {error}"),
        },
        ScheduleSpec::Every { interval } => format!("{} after the end of the run before", long(*interval)),
        ScheduleSpec::Rate { interval } => format!("every {}, at times that no run moves", long(*interval)),
        ScheduleSpec::At { at, .. } => format!("once, at {}", moment(at)),
        ScheduleSpec::Spread { window, zone } => {
            format!("once a day at its own place within {window}, by the clocks of {zone}")
        }
        ScheduleSpec::Any(specs) => specs.iter().map(in_words).collect::<Vec<_>>().join("; and "),
        ScheduleSpec::Within { schedule, start, end } => {
            let start = start.as_ref().map_or_else(String::new, |start| format!(", from {} on", moment(start)));
            let end = end.as_ref().map_or_else(String::new, |end| format!(", before {}", moment(end)));
            format!("{}{start}{end}", in_words(schedule))
        }
        ScheduleSpec::Jittered { schedule, jitter } => {
            format!("{}, each less than {} later", in_words(schedule), long(*jitter))
        }
    }
}

fn long(interval: Duration) -> String {
    duration::format(interval)
}

/// What: `POST http://…`, `./report.sh {{ tenant.id }}`, `rust: sync-orders`.
pub(crate) fn handler(spec: &HandlerSpec) -> String {
    match spec {
        HandlerSpec::Http { method, url, .. } => format!("{method} {url}"),
        HandlerSpec::Command { argv } => argv.join(" "),
        HandlerSpec::Named { name } => format!("handler {name}"),
    }
}

/// A stored definition, if this program can read it.
pub(crate) fn read(definition: &serde_json::Value) -> Option<Definition> {
    serde_json::from_value(definition.clone()).ok()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_shown() {
        for (json, short, words) in [
            (r#"{"every":{"interval":"30s"}}"#, "every 30s", "30s after the end of the run before"),
            (r#"{"rate":{"interval":"5m"}}"#, "every 5m from start", "every 5m, at times that no run moves"),
            (
                r#"{"at":{"at":"2026-12-01T09:00:00[Europe/Berlin]"}}"#,
                "at 2026-12-01T09:00:00 Europe/Berlin",
                "once, at 2026-12-01T09:00:00 Europe/Berlin",
            ),
            (
                r#"{"jittered":{"schedule":{"spread":{"window":"22:00-04:00","zone":"UTC"}},"jitter":"30s"}}"#,
                "spread 22:00-04:00 UTC, jitter 30s",
                "once a day at its own place within 22:00-04:00, by the clocks of UTC, each less than 30s later",
            ),
            (
                r#"{"within":{"schedule":{"any":[{"cron":{"expr":"0 2 * * *","zone":"UTC"}},{"rate":{"interval":"1h"}}]},"end":"2027-01-01T00:00:00Z"}}"#,
                "0 2 * * * UTC | every 1h from start, until 2027-01-01T00:00:00Z",
                "at 02:00 every day, by the clocks of UTC; and every 1h, at times that no run moves, before 2027-01-01T00:00:00Z",
            ),
        ] {
            let spec = serde_json::from_str(json).unwrap();
            assert_eq!((schedule(&spec), in_words(&spec)), (short.to_owned(), words.to_owned()));
        }
    }
}
