//! A job's definition in a few words.

use std::time::Duration;

use leasehold_common::definition::{Definition, HandlerSpec, ScheduleSpec};
use leasehold_common::duration;
use leasehold_common::schedule::CronExpr;

/// When: `every 30s`, `0 2 * * * America/New_York`.
pub(crate) fn schedule(spec: &ScheduleSpec) -> String {
    match spec {
        ScheduleSpec::Cron { expr, zone, .. } => format!("{expr} {zone}"),
        ScheduleSpec::Every { interval } => format!("every {}", duration::format(*interval)),
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
