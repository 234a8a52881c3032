//! What a job is and why, in words.

use jiff::Timestamp;
use leasehold_common::config::{Layer, Setting as Layered};
use leasehold_common::id::{JobName, TenantId};
use leasehold_common::ledger::{Entry, Standing};
use leasehold_common::run::{Outcome, Report, RunState, rfc3339, rfc3339_opt};
use leasehold_common::store::PauseView;
use serde::Serialize;

use super::report;
use super::settings::Setting;
use super::style::{Palette, Tone};
use super::table::{Cell, Column, table};
use super::text::{clipped, one_line};
use super::time::{instant, instant_and_relative, length, relative};
use crate::commands::jobs;

/// As much of an error as a sentence can bear.
const ERROR: usize = 300;

/// As much of a value as a column can bear.
const VALUE: usize = 60;

/// All there is to say of a job.
#[derive(Debug, Serialize)]
pub(crate) struct Explanation {
    pub(crate) tenant: TenantId,
    pub(crate) job: JobName,
    /// Null for a file that may not have been applied.
    pub(crate) version: Option<i32>,
    /// Since when this version is in force.
    #[serde(serialize_with = "rfc3339_opt")]
    pub(crate) since: Option<Timestamp>,
    /// The schedule as it is written.
    pub(crate) schedule: String,
    pub(crate) in_words: String,
    /// By whose clocks it goes.
    pub(crate) zones: Vec<String>,
    /// The zone that the tenant states.
    pub(crate) tenant_zone: Option<String>,
    pub(crate) settings: Vec<Setting>,
    /// The settings as config has them, each with the layer that it comes from; none if the config is not known.
    pub(crate) layers: Vec<Layered>,
    pub(crate) paused: Option<PauseView>,
    pub(crate) runs_left: Option<u32>,
    #[serde(serialize_with = "rfc3339_opt")]
    pub(crate) next_due: Option<Timestamp>,
    #[serde(skip)]
    pub(crate) next_due_in_words: String,
    /// The due times ahead.
    pub(crate) next: Vec<Fire>,
    /// `None`: nobody has looked.
    pub(crate) last: Option<Option<Last>>,
}

/// A due time ahead.
#[derive(Debug, Serialize)]
pub(crate) struct Fire {
    #[serde(serialize_with = "rfc3339")]
    pub(crate) at: Timestamp,
    /// What the clocks of the zone show then.
    pub(crate) local: String,
    pub(crate) zone: String,
    /// What keeps it from running.
    pub(crate) note: Option<String>,
}

/// The last due time.
#[derive(Debug, Serialize)]
pub(crate) struct Last {
    #[serde(serialize_with = "rfc3339")]
    pub(crate) due: Timestamp,
    /// What became of it and why.
    pub(crate) because: String,
}

/// The explanation as text.
pub(crate) fn explanation(job: &Explanation, now: Timestamp, palette: Palette) -> String {
    let mut out: String = facts(job, now)
        .into_iter()
        .map(|(name, value, default)| {
            let mark = if default { palette.paint(Tone::Dim, " (default)") } else { String::new() };
            let name = palette.paint(Tone::Dim, &format!("{name:<11}"));
            format!("{name}  {}{mark}\n", one_line(&value))
        })
        .collect();
    if !job.layers.is_empty() {
        out.push('\n');
        out.push_str(&layers(&job.layers, palette));
    }
    out.push('\n');
    out.push_str(&ahead(job, now, palette));
    if let Some(last) = &job.last {
        out.push('\n');
        out.push_str(&self::last(last.as_ref(), now));
    }
    out
}

fn last(last: Option<&Last>, now: Timestamp) -> String {
    match last {
        None => "Nothing was due in the last 400 days.\n".to_owned(),
        Some(last) => format!(
            "The last due time, {}, {}.\n",
            instant_and_relative(Some(last.due), now),
            one_line(last.because.trim_end_matches('.'))
        ),
    }
}

/// Each setting and where it comes from.
fn layers(layers: &[Layered], palette: Palette) -> String {
    const COLUMNS: [Column; 3] = [Column::left("SETTING"), Column::left("VALUE"), Column::left("FROM")];
    let value = |value: &serde_json::Value| match value {
        serde_json::Value::Null => "-".to_owned(),
        serde_json::Value::String(text) => clipped(text, VALUE),
        other => clipped(&other.to_string(), VALUE),
    };
    let row = |setting: &Layered| -> Vec<Cell> {
        let tone = match setting.layer {
            Layer::Builtin => Tone::Dim,
            Layer::Override { .. } => Tone::Warn,
            _ => Tone::Plain,
        };
        vec![setting.key.as_str().into(), value(&setting.value).into(), Cell::toned(tone, setting.layer.to_string())]
    };
    table(&COLUMNS, &layers.iter().map(row).collect::<Vec<_>>(), palette)
}

fn facts(job: &Explanation, now: Timestamp) -> Vec<(&'static str, String, bool)> {
    let since = job.since.map_or_else(String::new, |at| format!(", since {}", instant_and_relative(Some(at), now)));
    let mut facts = vec![("tenant", job.tenant.to_string(), false), ("job", job.job.to_string(), false)];
    if let Some(version) = job.version {
        facts.push(("version", format!("{version}{since}"), false));
    }
    facts.extend([
        ("schedule", job.schedule.clone(), false),
        ("in words", job.in_words.clone(), false),
        ("time zone", zones(job), false),
    ]);
    if let Some(pause) = &job.paused {
        facts.push(("paused", format!("since {}, {}", instant(pause.since), jobs::paused(pause)), false));
    }
    if let Some(left) = job.runs_left {
        facts.push(("runs left", left.to_string(), false));
    }
    if !job.layers.is_empty() {
        return facts; // the layers say the rest
    }
    facts.extend(job.settings.iter().map(|setting| (setting.name, setting.value.clone(), setting.default)));
    facts
}

/// `Europe/Berlin, which is the tenant's own`.
fn zones(job: &Explanation) -> String {
    let zones = job.zones.join(", ");
    match (job.zones.as_slice(), &job.tenant_zone) {
        ([], _) => "none: it goes by no clock".to_owned(),
        ([one], Some(own)) if one == own => format!("{zones}, which is the tenant's own"),
        (_, Some(own)) => format!("{zones}; the tenant's own is {own}"),
        (_, None) => format!("{zones}; the tenant states none"),
    }
}

fn ahead(job: &Explanation, now: Timestamp, palette: Palette) -> String {
    const COLUMNS: [Column; 4] =
        [Column::left("DUE (LOCAL)"), Column::left("UTC"), Column::right("WHEN"), Column::left("BUT")];
    if job.next.is_empty() {
        return format!("Next due: {}.\n", one_line(&job.next_due_in_words));
    }
    let row = |fire: &Fire| -> Vec<Cell> {
        vec![
            fire.local.as_str().into(),
            instant(fire.at).into(),
            Cell::toned(Tone::Dim, relative(fire.at, now)),
            Cell::toned(Tone::Warn, fire.note.as_deref().unwrap_or_default()),
        ]
    };
    table(&COLUMNS, &job.next.iter().map(row).collect::<Vec<_>>(), palette)
}

/// What became of a due time, as the end of a sentence: `ran and succeeded, 20ms late, in 1.2s`.
pub(crate) fn because(entry: &Entry, report: Option<&Report>) -> String {
    let why = entry.detail.as_deref().map_or_else(String::new, |why| format!(": {}", clipped(why, ERROR)));
    match entry.outcome {
        Standing::Ended(outcome) => match report.filter(|report| report.attempt > 0) {
            Some(report) => ran(outcome, report),
            None => format!("did not run, {}{}{why}", word(outcome), row(report)),
        },
        Standing::Live(RunState::Waiting) => "is queued and waits for its time or its next attempt".to_owned(),
        Standing::Live(RunState::Ready) => "is in the queue and waits for an executor".to_owned(),
        Standing::Live(_) => "is running".to_owned(),
        Standing::Pending => "is not fanned out: the leader has not come to it yet".to_owned(),
        Standing::Missing => "is missing: nothing is known of it, and `leasehold ledger` says more".to_owned(),
    }
}

fn word(outcome: Outcome) -> String {
    outcome.as_str().replace('_', " ")
}

fn row(report: Option<&Report>) -> String {
    match report.and_then(|report| Some((report.count, report::range(report)?))) {
        Some((count, range)) => format!(" as one of {count} {range}"),
        None => String::new(),
    }
}

fn ran(outcome: Outcome, report: &Report) -> String {
    let late = length(report.lateness_ms);
    let took = report.duration_ms.map_or_else(String::new, |ms| format!(", took {}", length(ms)));
    let attempt = report.attempt;
    let error = report.error.as_deref().map_or_else(String::new, |error| format!(": {}", clipped(error, ERROR)));
    match outcome {
        Outcome::Succeeded => format!("ran and succeeded in attempt {attempt}, which started {late} late{took}"),
        Outcome::Dead => format!("ran and is dead after attempt {attempt}{error}"),
        outcome => format!("ended as {} after attempt {attempt}{error}", word(outcome)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(outcome: Standing, report: Option<&Report>) -> String {
        let at = report::sample().scheduled_for;
        let entry = Entry {
            from: at,
            to: at,
            count: 1,
            outcome,
            open: false,
            unexpected: false,
            version: Some(1),
            schedules: Vec::new(),
            lateness_ms: None,
            detail: report.and_then(|report| report.error.clone()),
        };
        because(&entry, report)
    }

    #[test]
    fn every_end_is_a_sentence() {
        let succeeded = report::sample();
        let dead = Report { attempt: 3, error: Some("status 503".to_owned()), ..report::sample() };
        let never = Report { attempt: 0, error: Some("a run was under way".to_owned()), ..report::sample() };
        let from = succeeded.scheduled_for - jiff::SignedDuration::from_mins(11);
        let row = Report { count: 12, scheduled_from: Some(from), ..never.clone() };
        let ended = Standing::Ended;
        let sentences = [
            said(ended(Outcome::Succeeded), Some(&succeeded)),
            said(ended(Outcome::Dead), Some(&dead)),
            said(ended(Outcome::Cancelled), Some(&dead)),
            said(ended(Outcome::Overlapped), Some(&never)),
            said(ended(Outcome::BlackedOut), Some(&row)),
            said(ended(Outcome::Paused), None),
            said(Standing::Live(RunState::Waiting), None),
            said(Standing::Live(RunState::Ready), None),
            said(Standing::Live(RunState::Running), None),
            said(Standing::Pending, None),
            said(Standing::Missing, None),
        ];
        insta::assert_snapshot!(sentences.join("\n"));
    }
}
