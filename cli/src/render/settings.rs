//! The settings of a job in words, and which of them nobody has set.

use leasehold_common::definition::{CatchUp, Definition, Expiry, OnBlackout, Overlap};
use leasehold_common::duration;
use leasehold_common::id::QueueName;
use leasehold_common::retry::RetryPolicy;
use leasehold_common::schedule::{Blackout, BlackoutTime};
use serde::Serialize;

use super::schedule;

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Setting {
    /// As config has it.
    pub(crate) name: &'static str,
    /// What it is.
    pub(crate) value: String,
    /// Whether this is what holds where config says nothing.
    pub(crate) default: bool,
}

fn setting(name: &'static str, value: impl Into<String>, default: bool) -> Setting {
    Setting { name, value: value.into(), default }
}

/// All settings but the schedule.
pub(crate) fn settings(definition: &Definition) -> Vec<Setting> {
    let mut settings = vec![
        setting("runs", schedule::handler(&definition.handler), false),
        setting("timeout", duration::format(definition.timeout), definition.timeout == Definition::DEFAULT_TIMEOUT),
        setting("retry", retry(&definition.retry), definition.retry == RetryPolicy::default()),
        setting("overlap", overlap(definition), definition.overlap == Overlap::default()),
        setting("catch_up", catch_up(definition.catch_up), definition.catch_up == CatchUp::default()),
        setting("expires", expires(definition.expires), definition.expires.is_none()),
        setting("blackouts", blackouts(&definition.blackouts), definition.blackouts.is_empty()),
    ];
    if !definition.blackouts.is_empty() {
        let value = on_blackout(definition.on_blackout);
        settings.push(setting("on_blackout", value, definition.on_blackout == OnBlackout::default()));
    }
    settings.push(setting("pause_after", pause_after(definition.pause_after), definition.pause_after.is_none()));
    let queue = &definition.queue;
    settings.push(setting("queue", queue.to_string(), *queue == QueueName::default()));
    settings.push(setting("priority", definition.priority.to_string(), definition.priority == 0));
    settings
}

fn retry(retry: &RetryPolicy) -> String {
    let backoff = &retry.backoff;
    format!(
        "{} attempts, waits from {} to {}, times {}",
        retry.attempts,
        duration::format(backoff.initial),
        duration::format(backoff.max),
        backoff.factor
    )
}

fn overlap(definition: &Definition) -> String {
    let what = match definition.overlap {
        Overlap::Skip => "a due time ends as overlapped while a run is under way",
        Overlap::Allow => "runs may run side by side",
        Overlap::BufferOne => "one due time waits for the run before, others end as overlapped",
        Overlap::BufferAll => {
            let waiting = definition.buffer;
            return format!("buffer_all: up to {waiting} due times wait for the run before, others end as overlapped");
        }
        Overlap::CancelPrevious => "a due time cancels the run before and takes its place",
    };
    format!("{}: {what}", definition.overlap.as_str())
}

fn catch_up(catch_up: CatchUp) -> String {
    match catch_up {
        CatchUp::Last => "last: of several due times that were missed the latest runs".to_owned(),
        CatchUp::Skip { grace } => {
            format!("skip: a due time that is more than {} late does not run", duration::format(grace))
        }
        CatchUp::All { within } => {
            format!("all: every due time runs that is not more than {} late", duration::format(within))
        }
    }
}

fn expires(expires: Option<Expiry>) -> String {
    match expires {
        None => "never".to_owned(),
        Some(Expiry::After(time)) => format!("{} after its due time, retries included", duration::format(time)),
        Some(Expiry::Next) => "when the next due time comes, retries included".to_owned(),
    }
}

fn blackouts(blackouts: &[Blackout]) -> String {
    if blackouts.is_empty() {
        return "none".to_owned();
    }
    blackouts.iter().map(blackout).collect::<Vec<_>>().join("; ")
}

/// `night: 22:00-06:00 on sat,sun, by the clocks of UTC`.
fn blackout(blackout: &Blackout) -> String {
    let name = &blackout.name;
    match &blackout.when {
        BlackoutTime::Once { from, to } => {
            format!("{name}: from {} to {}", schedule::moment(from), schedule::moment(to))
        }
        BlackoutTime::Daily { window, days, zone } if days.are_all() => {
            format!("{name}: {window} every day, by the clocks of {zone}")
        }
        BlackoutTime::Daily { window, days, zone } => {
            format!("{name}: {window} on {days}, by the clocks of {zone}")
        }
    }
}

fn on_blackout(on_blackout: OnBlackout) -> &'static str {
    match on_blackout {
        OnBlackout::Skip => "skip: due times in a blackout do not run",
        OnBlackout::Defer => "defer: the last due time in a blackout runs when it ends",
    }
}

fn pause_after(dead: Option<u32>) -> String {
    match dead {
        None => "never".to_owned(),
        Some(1) => "it pauses itself after a dead run".to_owned(),
        Some(dead) => format!("it pauses itself after {dead} dead runs in a row"),
    }
}

/// A definition with every setting at its default.
#[cfg(test)]
pub(crate) const PLAIN: &str = r#"{"schedule":{"every":{"interval":"30s"}},"handler":{"named":{"name":"sync"}},
    "timeout":"5m","retry":{"attempts":3,"backoff":{"initial":"1s","max":"5m","factor":2.0}},
    "overlap":"skip","queue":"default","priority":0}"#;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn shown(definition: &Definition) -> String {
        let line = |s: &Setting| format!("{:<12}{}{}\n", s.name, s.value, if s.default { " (default)" } else { "" });
        settings(definition).iter().map(line).collect()
    }

    #[test]
    fn what_nobody_set_is_the_default() {
        insta::assert_snapshot!(shown(&serde_json::from_str(PLAIN).unwrap()));
    }

    #[test]
    fn every_setting_is_said_in_words() {
        let mut definition: Definition = serde_json::from_str(PLAIN).unwrap();
        definition.overlap = Overlap::BufferAll;
        definition.catch_up = CatchUp::Skip { grace: std::time::Duration::from_secs(90) };
        definition.expires = Some(Expiry::Next);
        definition.blackouts = serde_json::from_str(
            r#"[{"name":"night","daily":{"window":"22:00-06:00","days":["sat","sun"],"zone":"Europe/Berlin"}},
                {"name":"move","once":{"from":"2026-12-24T00:00:00Z","to":"2026-12-27T00:00:00[Asia/Tokyo]"}}]"#,
        )
        .unwrap();
        definition.on_blackout = OnBlackout::Defer;
        definition.pause_after = Some(5);
        definition.queue = QueueName::new("slow").unwrap();
        definition.priority = -3;
        insta::assert_snapshot!(shown(&definition));
    }
}
