//! Completion reports, one line each, in columns that keep their place as more come.

use leasehold_common::run::{Outcome, Report};

use super::style::{Palette, Tone};
use super::table::{Cell, Column, Layout};
use super::text::{clipped, one_line};
use super::time::{instant, length};

const COLUMNS: [Column; 9] = [
    Column::left("TIME (UTC)").at_least(12),
    Column::left("OUTCOME").at_least(10),
    Column::left("TENANT").at_least(10),
    Column::left("JOB").at_least(14),
    Column::right("TRY"),
    Column::right("LATE").at_least(6),
    Column::right("TOOK").at_least(6),
    Column::left("CORRELATION ID").at_least(36),
    Column::left("ERROR OR RESULT"),
];

/// As much of an error or a result as fits a line.
const DETAIL: usize = 100;

/// A table that grows at its end.
pub(crate) struct ReportTable {
    layout: Layout,
    palette: Palette,
    day: String,
}

impl ReportTable {
    pub(crate) fn new(palette: Palette) -> Self {
        Self { layout: Layout::new(&COLUMNS, palette), palette, day: String::new() }
    }

    /// The titles.
    pub(crate) fn titles(&self) -> String {
        self.layout.titles()
    }

    /// The line of a report, with the day in front when it is another one than before.
    pub(crate) fn line(&mut self, report: &Report) -> String {
        let finished = format!("{:.3}", report.finished_at);
        let (day, time) = finished.split_once('T').unwrap_or(("", &finished));
        let mut out = String::new();
        if day != self.day {
            out.push_str(&self.palette.paint(Tone::Dim, day));
            out.push('\n');
            day.clone_into(&mut self.day);
        }
        let row = [
            Cell::toned(Tone::Dim, time.trim_end_matches('Z')),
            Cell::toned(Tone::of_outcome(report.outcome), outcome(report)),
            report.tenant.as_str().into(),
            report.job.as_str().into(),
            report.attempt.to_string().into(),
            Cell::toned(Tone::of_lateness(report.lateness_ms), length(report.lateness_ms)),
            report.duration_ms.map(length).unwrap_or_default().into(),
            Cell::toned(Tone::Dim, report.correlation_id.to_string()),
            detail(report),
        ];
        self.layout.fit(&row);
        out.push_str(&self.layout.line(&row));
        out
    }
}

impl Tone {
    /// Later than this, a person may want to know why.
    fn of_lateness(ms: i64) -> Self {
        if ms >= 5_000 { Self::Warn } else { Self::Plain }
    }
}

/// `misfired ×12` for a report that stands for several due times.
pub(crate) fn outcome(report: &Report) -> String {
    match report.count {
        0 | 1 => report.outcome.to_string(),
        count => format!("{} ×{count}", report.outcome),
    }
}

/// From when to when the due times of a report are, if they are several.
pub(crate) fn range(report: &Report) -> Option<String> {
    let from = report.scheduled_from.filter(|_| report.count > 1)?;
    Some(format!("from {} to {}", instant(from), instant(report.scheduled_for)))
}

fn detail(report: &Report) -> Cell {
    if let Some(error) = &report.error {
        let tone = if report.outcome == Outcome::Dead { Tone::Bad } else { Tone::Plain };
        let text = range(report).map_or_else(|| error.clone(), |range| format!("{range}: {error}"));
        return Cell::toned(tone, clipped(&text, DETAIL));
    }
    if let Some(range) = range(report) {
        return range.into();
    }
    Cell::toned(Tone::Dim, report.result.as_ref().map(|result| clipped(&compact(result), DETAIL)).unwrap_or_default())
}

/// A result on one line: text as it stands, everything else as JSON. Not yet made harmless.
fn compact(result: &serde_json::Value) -> String {
    match result {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A result on one line, made harmless.
pub(crate) fn result(result: &serde_json::Value) -> String {
    one_line(&compact(result))
}

/// A report of a run that succeeded.
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
pub(crate) fn sample() -> Report {
    use leasehold_common::id::{CorrelationId, JobKey, JobName, RunKind, TenantId};
    use leasehold_common::run::Cause;

    let at = "2026-11-21T02:00:00.5Z".parse().unwrap();
    let (tenant, job) = (TenantId::new("acme").unwrap(), JobName::new("sync").unwrap());
    Report {
        seq: 1,
        correlation_id: CorrelationId::new(at, RunKind::SCHEDULED, JobKey::new(&tenant, &job, 0)),
        tenant,
        job,
        cause: Cause::Schedule,
        scheduled_for: at,
        count: 1,
        scheduled_from: None,
        attempt: 1,
        outcome: Outcome::Succeeded,
        next_attempt_at: None,
        started_at: Some(at),
        finished_at: at,
        duration_ms: Some(12),
        lateness_ms: 3,
        executor: None,
        error: None,
        error_code: None,
        result: Some(serde_json::json!({"rows": 3})),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(outcome: Outcome, error: Option<&str>) -> Report {
        Report { outcome, error: error.map(str::to_owned), ..sample() }
    }

    #[test]
    fn the_day_is_said_once_and_columns_keep_their_place() {
        let mut table = ReportTable::new(Palette::plain());
        let first = table.line(&report(Outcome::Succeeded, None));
        let second = table.line(&report(Outcome::Succeeded, None));
        assert_eq!(first, format!("2026-11-21\n{second}"));
        assert!(second.starts_with("02:00:00.500  succeeded   acme"), "{second}");
        assert!(second.ends_with("{\"rows\":3}\n"), "{second}");
    }

    #[test]
    fn several_due_times_in_a_row_are_counted_and_their_range_is_named() {
        let first = sample().scheduled_for - jiff::SignedDuration::from_mins(11);
        let report =
            Report { count: 12, scheduled_from: Some(first), ..report(Outcome::Paused, Some("the job was paused")) };
        let line = ReportTable::new(Palette::plain()).line(&report);
        assert!(line.contains("  paused ×12  acme"), "{line}");
        let range = "  from 2026-11-21T01:49:00.500Z to 2026-11-21T02:00:00.500Z: the job was paused\n";
        assert!(line.ends_with(range), "{line}");
    }

    #[test]
    fn a_hostile_error_stays_on_its_line() {
        let mut table = ReportTable::new(Palette::plain());
        let line = table.line(&report(Outcome::Dead, Some("\x1b]0;gone\x07\nforged")));
        assert_eq!(line.lines().count(), 2, "{line:?}");
        assert!(line.contains("\\u{1b}]0;gone\\u{7}\\nforged"), "{line:?}");
    }
}
