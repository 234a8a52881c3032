//! A job's definition in a few words.

use std::time::Duration;

use leasehold_common::definition::{Definition, HandlerSpec, ScheduleSpec};
use leasehold_common::duration;
use leasehold_common::endpoint::HttpSpec;
use leasehold_common::schedule::{CronExpr, Moment, Zone};

use super::text::count;

/// When: `every 30s`, `0 2 * * * America/New_York`.
pub(crate) fn schedule(spec: &ScheduleSpec) -> String {
    match spec {
        ScheduleSpec::Cron { expr, zone, .. } => format!("{expr} {zone}"),
        ScheduleSpec::Every { interval } => format!("every {}", duration::format(*interval)),
        ScheduleSpec::Rate { interval } => format!("every {} from start", duration::format(*interval)),
        ScheduleSpec::At { at, .. } => format!("at {}", moment(at)),
        ScheduleSpec::Spread { window, zone, per_second } => {
            let ceiling = per_second.map_or_else(String::new, |most| format!(", {most} a second"));
            format!("spread {window} {zone}{ceiling}")
        }
        ScheduleSpec::Any(specs) => specs.iter().map(schedule).collect::<Vec<_>>().join(" | "),
        ScheduleSpec::Within { schedule: inner, start, end, max_runs } => {
            let start = start.as_ref().map_or_else(String::new, |start| format!(", from {}", moment(start)));
            let end = end.as_ref().map_or_else(String::new, |end| format!(", until {}", moment(end)));
            let most = max_runs.map_or_else(String::new, |runs| format!(", {}", count(runs as usize, "run")));
            format!("{}{start}{end}{most}", schedule(inner))
        }
        ScheduleSpec::Jittered { schedule: inner, jitter } => {
            format!("{}, jitter {}", schedule(inner), duration::format(*jitter))
        }
    }
}

/// `2026-12-01T08:00:00Z`, `2026-12-01T09:00:00 Europe/Berlin`.
pub(crate) fn moment(at: &Moment) -> String {
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
        ScheduleSpec::Spread { window, zone, per_second } => {
            let ceiling =
                per_second.map_or_else(String::new, |most| format!(", {most} a second of all tenants at most"));
            format!("once a day at its own place within {window}, by the clocks of {zone}{ceiling}")
        }
        ScheduleSpec::Any(specs) => specs.iter().map(in_words).collect::<Vec<_>>().join("; and "),
        ScheduleSpec::Within { schedule, start, end, max_runs } => {
            let start = start.as_ref().map_or_else(String::new, |start| format!(", from {} on", moment(start)));
            let end = end.as_ref().map_or_else(String::new, |end| format!(", before {}", moment(end)));
            let most = max_runs.map_or_else(String::new, |runs| format!(", {} at most", count(runs as usize, "run")));
            format!("{}{start}{end}{most}", in_words(schedule))
        }
        ScheduleSpec::Jittered { schedule, jitter } => {
            format!("{}, each less than {} later", in_words(schedule), long(*jitter))
        }
    }
}

/// The zones by whose clocks it goes, each once, in the order in which they are named.
pub(crate) fn zones(spec: &ScheduleSpec) -> Vec<&Zone> {
    let mut zones: Vec<&Zone> = Vec::new();
    let found = match spec {
        ScheduleSpec::Cron { zone, .. } | ScheduleSpec::Spread { zone, .. } => vec![zone],
        ScheduleSpec::At { at: Moment::Civil { zone, .. }, .. } => vec![zone],
        ScheduleSpec::Any(specs) => specs.iter().flat_map(self::zones).collect(),
        ScheduleSpec::Within { schedule, .. } | ScheduleSpec::Jittered { schedule, .. } => self::zones(schedule),
        _ => Vec::new(),
    };
    for zone in found {
        if !zones.contains(&zone) {
            zones.push(zone);
        }
    }
    zones
}

fn long(interval: Duration) -> String {
    duration::format(interval)
}

/// What: `POST http://…`, `./report.sh {{ tenant.id }}`, `rust: sync-orders`.
pub(crate) fn handler(spec: &HandlerSpec) -> String {
    match spec {
        HandlerSpec::Http(HttpSpec { method, url, .. }) => format!("{method} {url}"),
        HandlerSpec::Command(command) => command.argv.join(" "),
        HandlerSpec::Sql { statements } => {
            let first = statements.first().map(|one| one.statement.split_whitespace().collect::<Vec<_>>().join(" "));
            format!("sql {}", first.unwrap_or_default())
        }
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
                r#"{"within":{"schedule":{"any":[{"cron":{"expr":"0 2 * * *","zone":"UTC"}},{"rate":{"interval":"1h"}}]},"end":"2027-01-01T00:00:00Z","max_runs":3}}"#,
                "0 2 * * * UTC | every 1h from start, until 2027-01-01T00:00:00Z, 3 runs",
                "at 02:00 every day, by the clocks of UTC; and every 1h, at times that no run moves, before 2027-01-01T00:00:00Z, 3 runs at most",
            ),
        ] {
            let spec = serde_json::from_str(json).unwrap();
            assert_eq!((schedule(&spec), in_words(&spec)), (short.to_owned(), words.to_owned()));
        }
    }

    #[test]
    fn each_zone_is_named_once() {
        let json = r#"{"any":[{"cron":{"expr":"0 2 * * *","zone":"Asia/Tokyo"}},{"rate":{"interval":"1h"}},
            {"spread":{"window":"22:00-04:00","zone":"UTC"}},{"at":{"at":"2026-12-01T09:00:00[Asia/Tokyo]"}}]}"#;
        let spec = serde_json::from_str(json).unwrap();
        assert_eq!(zones(&spec).iter().map(|zone| zone.name()).collect::<Vec<_>>(), ["Asia/Tokyo", "UTC"]);
    }
}
