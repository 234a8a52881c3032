//! Lists of runs, and the whole story of one.

use jiff::Timestamp;
use leasehold_common::run::{Progress, Report, RunStory, RunView};

use super::report;
use super::style::{Palette, Tone};
use super::table::{Cell, Column, table};
use super::text::{clipped, lines, one_line};
use super::time::{instant, instant_and_relative, length, relative};

const LIST: [Column; 8] = [
    Column::left("SCHEDULED FOR (UTC)"),
    Column::left("STATE"),
    Column::left("TENANT"),
    Column::left("JOB"),
    Column::left("CAUSE"),
    Column::right("TRY"),
    Column::left("CORRELATION ID"),
    Column::left("ERROR"),
];

const ATTEMPTS: [Column; 6] = [
    Column::right("TRY"),
    Column::left("OUTCOME"),
    Column::left("STARTED (UTC)"),
    Column::right("LATE"),
    Column::right("TOOK"),
    Column::left("EXECUTOR"),
];

/// As much of an error as fits a line of a list.
const ERROR: usize = 80;

/// Runs, one a line.
pub(crate) fn list(runs: &[RunView], palette: Palette) -> String {
    let rows: Vec<_> = runs
        .iter()
        .map(|run| {
            vec![
                instant(run.scheduled_for).into(),
                state(run),
                run.tenant.as_str().into(),
                run.job.as_str().into(),
                run.cause.as_str().into(),
                run.attempt.to_string().into(),
                Cell::toned(Tone::Dim, run.correlation_id.to_string()),
                clipped(run.error.as_deref().unwrap_or_default(), ERROR).into(),
            ]
        })
        .collect();
    table(&LIST, &rows, palette)
}

/// The outcome of a run that has ended, the state of any other, with how much of it is done if it says so.
fn state(run: &RunView) -> Cell {
    match run.outcome {
        Some(outcome) => Cell::toned(Tone::of_outcome(outcome), outcome.as_str()),
        None => {
            let done = run.percent.map(|percent| format!(" {percent}%")).unwrap_or_default();
            Cell::toned(Tone::of_state(run.state), format!("{}{done}", run.state))
        }
    }
}

/// The story of one run: where it stands, then each attempt with what came of it.
pub(crate) fn story(story: &RunStory, now: Timestamp, palette: Palette) -> String {
    let run = &story.run;
    let mut out = String::new();
    let mut fact = |name: &str, value: String| {
        out.push_str(&format!("{}  {value}\n", palette.paint(Tone::Dim, &format!("{name:<14}"))));
    };
    fact("correlation id", run.correlation_id.to_string());
    fact("tenant", run.tenant.to_string());
    fact("job", run.job.to_string());
    fact("cause", run.cause.to_string());
    fact("scheduled for", instant_and_relative(Some(run.scheduled_for), now));
    fact("state", stands(run, palette));
    fact("attempts", run.attempt.to_string());
    if let Some(at) = run.not_before.filter(|_| run.outcome.is_none()) {
        fact("not before", instant_and_relative(Some(at), now));
    }
    if let Some(origin) = story.origin {
        fact("in place of", origin.to_string());
    }
    match story.redriven_as {
        Some(made) if made.as_uuid().is_nil() => fact("dead letter", "discarded".to_owned()),
        Some(made) => fact("redriven as", made.to_string()),
        None => {}
    }
    if run.started_at.is_some() {
        fact("started", instant_and_relative(run.started_at, now));
    }
    if run.finished_at.is_some() {
        fact("finished", instant_and_relative(run.finished_at, now));
    }
    if let Some(executor) = &run.executor {
        fact("executor", lines(executor).collect());
    }
    if let Some(said) = &story.progress {
        fact("progress", progress(said, run, now));
    }
    for line in story.progress.iter().flat_map(|said| &said.log) {
        for line in lines(line) {
            out.push_str(&format!("  {} {line}\n", palette.paint(Tone::Dim, "|")));
        }
    }
    out.push('\n');
    out.push_str(&attempts(&story.reports, palette));
    out
}

/// What changed, on one line: `running 40% halfway`.
pub(crate) fn change(story: &RunStory) -> String {
    let run = &story.run;
    let said = story.progress.as_ref().filter(|said| run.outcome.is_none() && said.attempt == run.attempt);
    let done = said.and_then(|said| said.percent).map(|percent| format!(" {percent}%")).unwrap_or_default();
    let message = said.and_then(|said| said.message.as_deref()).map(|message| format!(" {}", one_line(message)));
    let state = run.outcome.map_or(run.state.as_str(), |outcome| outcome.as_str());
    format!("{state}{done}{}\n", message.unwrap_or_default())
}

/// `40% halfway (3s ago)`; of an earlier attempt, which one.
fn progress(said: &Progress, run: &RunView, now: Timestamp) -> String {
    let done = said.percent.map(|percent| format!("{percent}% ")).unwrap_or_default();
    let message: String = said.message.as_deref().map(lines).into_iter().flatten().collect();
    let attempt = if said.attempt == run.attempt { String::new() } else { format!("attempt {}, ", said.attempt) };
    format!("{done}{message} ({attempt}{})", relative(said.at, now)).replace("  ", " ").trim_start().to_owned()
}

fn stands(run: &RunView, palette: Palette) -> String {
    match run.outcome {
        Some(outcome) => palette.paint(Tone::of_outcome(outcome), outcome.as_str()),
        None => run.state.as_str().to_owned(),
    }
}

fn attempts(reports: &[Report], palette: Palette) -> String {
    if reports.is_empty() {
        return "No attempt has ended yet.\n".to_owned();
    }
    let rows: Vec<_> = reports.iter().map(attempt).collect();
    let text = table(&ATTEMPTS, &rows, palette);
    let mut out = String::new();
    // Titles, then each attempt with its error and its result beneath.
    for (at, line) in text.lines().enumerate() {
        out.push_str(line);
        out.push('\n');
        if let Some(report) = at.checked_sub(1).and_then(|at| reports.get(at)) {
            out.push_str(&beneath(report, palette));
        }
    }
    out
}

fn attempt(report: &Report) -> Vec<Cell> {
    vec![
        report.attempt.to_string().into(),
        Cell::toned(Tone::of_outcome(report.outcome), report::outcome(report)),
        instant(report.started_at.unwrap_or(report.finished_at)).into(),
        length(report.lateness_ms).into(),
        report.duration_ms.map_or_else(|| "-".to_owned(), length).into(),
        report.executor.as_deref().unwrap_or("-").into(),
    ]
}

fn beneath(report: &Report, palette: Palette) -> String {
    let mut out = report::range(report).map_or_else(String::new, |range| format!("     due {range}\n"));
    for line in report.error.as_deref().map(lines).into_iter().flatten() {
        out.push_str(&format!("     {} {line}\n", palette.paint(Tone::Bad, "|")));
    }
    let result = report.result.as_ref().map(report::result).unwrap_or_default();
    if !result.is_empty() {
        out.push_str(&format!("     {} {result}\n", palette.paint(Tone::Good, "=")));
    }
    if let Some(at) = report.next_attempt_at {
        out.push_str(&format!("     next attempt at {}\n", instant(at)));
    }
    out
}
