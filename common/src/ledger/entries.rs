//! Due times in a row of which the same became are one entry.

use jiff::Timestamp;

use super::{Entry, Standing};
use crate::run::{Outcome, Report};

/// What becomes an entry, or a part of one.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) at: Timestamp,
    pub(super) standing: Standing,
    pub(super) open: bool,
    pub(super) version: Option<i32>,
    pub(super) schedules: Vec<usize>,
    pub(super) lateness_ms: Option<i64>,
    pub(super) detail: Option<String>,
}

impl Line {
    /// A due time of a version, of which nothing is known yet but this.
    pub(super) fn new(at: Timestamp, standing: Standing, version: Option<i32>) -> Self {
        Self { at, standing, open: false, version, schedules: Vec::new(), lateness_ms: None, detail: None }
    }

    /// What a report says of a due time.
    pub(super) fn reported(at: Timestamp, report: &Report, version: Option<i32>) -> Self {
        let line = Self::new(at, Standing::Ended(report.outcome), version);
        Self { lateness_ms: Some(report.lateness_ms), detail: report.error.clone(), ..line }
    }

    /// What is not recorded before it ends.
    pub(super) fn open(at: Timestamp, outcome: Outcome, version: Option<i32>, why: String) -> Self {
        Self { open: true, detail: Some(why), ..Self::new(at, Standing::Ended(outcome), version) }
    }
}

impl From<Line> for Entry {
    fn from(line: Line) -> Self {
        Self {
            from: line.at,
            to: line.at,
            count: 1,
            outcome: line.standing,
            open: line.open,
            unexpected: false,
            version: line.version,
            schedules: line.schedules,
            lateness_ms: line.lateness_ms,
            detail: line.detail,
        }
    }
}

/// Entries in the making.
#[derive(Default)]
pub(super) struct Entries {
    entries: Vec<Entry>,
    /// Whether the next line may join the last entry.
    joined: bool,
}

impl Entries {
    /// A due time that follows the one that was added last.
    pub(super) fn add(&mut self, line: Line) {
        if let Some(last) = self.entries.last_mut().filter(|_| self.joined)
            && continues(last, &line)
        {
            last.to = line.at;
            last.count += 1;
            last.lateness_ms = last.lateness_ms.max(line.lateness_ms);
            last.detail = line.detail.or(last.detail.take());
            return;
        }
        self.entries.push(line.into());
        self.joined = true;
    }

    /// Something that no schedule expects, or a row as it is recorded: it stands alone.
    pub(super) fn add_alone(&mut self, entry: Entry) {
        self.entries.push(entry);
        self.joined = false;
    }

    /// All of them in order.
    pub(super) fn finish(mut self) -> Vec<Entry> {
        self.entries.sort_by_key(|entry| entry.from);
        self.entries
    }
}

fn continues(last: &Entry, line: &Line) -> bool {
    last.outcome == line.standing
        && last.open == line.open
        && last.version == line.version
        && last.schedules == line.schedules
}

/// A row as a report has it.
pub(super) fn row(report: &Report, count: u32, version: Option<i32>) -> Entry {
    Entry {
        from: report.scheduled_from.unwrap_or(report.scheduled_for),
        to: report.scheduled_for,
        count: u64::from(count),
        outcome: Standing::Ended(report.outcome),
        open: false,
        unexpected: false,
        version,
        schedules: Vec::new(),
        lateness_ms: Some(report.lateness_ms),
        detail: report.error.clone(),
    }
}
