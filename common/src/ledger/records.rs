//! Which report, live run or row accounts for a due time.
//!
//! Asked for due times in ascending order; what lies before the one that is asked for is handed out as unexpected.

use std::collections::VecDeque;

use jiff::Timestamp;

use crate::run::{Cause, Outcome, Report, RunState};
use crate::store::JobHistory;

/// What is known of one due time by itself.
#[derive(Clone, Copy, Debug)]
pub(super) enum Single<'a> {
    /// Its run is over.
    Ended(&'a Report),
    /// Its run is not.
    Live(RunState),
}

/// Due times in a row that did not run for one reason.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    pub(super) report: &'a Report,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    /// For how many more it can account.
    pub(super) left: u32,
}

/// What accounts for a due time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found<'a> {
    /// Something of its own.
    Single(Single<'a>),
    /// A row that it lies in.
    Row(&'a Report),
}

impl Found<'_> {
    /// Whether it says that the due time was never put into the queue, so that it is no run. The second value is
    /// whether that is sure: what was given up in the queue can look the same.
    pub(super) fn was_skipped(&self) -> (bool, bool) {
        let (outcome, in_row) = match self {
            Self::Single(Single::Ended(report)) => (report.outcome, false),
            Self::Single(Single::Live(_)) => return (false, true),
            Self::Row(report) => (report.outcome, true),
        };
        match outcome {
            Outcome::BlackedOut => (true, true),
            Outcome::Paused | Outcome::Gated => (true, in_row),
            Outcome::Misfired | Outcome::Superseded => (true, false),
            _ => (false, true),
        }
    }
}

/// All of them, each used once.
pub(super) struct Records<'a> {
    singles: VecDeque<(Timestamp, Single<'a>)>,
    /// Rows that begin later than the due time that was asked for last.
    later: VecDeque<Row<'a>>,
    /// Rows that it lay in.
    active: Vec<Row<'a>>,
    /// Reports of due times that another report says ran, too.
    pub(super) twice: Vec<&'a Report>,
}

impl<'a> Records<'a> {
    /// What the history says of due times from `known_from` up to `to`.
    pub(super) fn new(history: &'a JobHistory, known_from: Timestamp, to: Timestamp) -> Self {
        let scheduled = || history.reports.iter().filter(|report| report.cause == Cause::Schedule);
        let ended = scheduled().filter(|r| r.count <= 1).map(|report| (report.scheduled_for, Single::Ended(report)));
        let live = history.live.iter().map(|(due, state)| (*due, Single::Live(*state)));
        let mut singles: Vec<_> = ended.chain(live).filter(|(due, _)| known_from <= *due && *due < to).collect();
        singles.sort_by_key(|(due, single)| (*due, rank(single)));
        let mut twice = Vec::new();
        singles.dedup_by(|(due, later), (kept, _)| {
            let same = due == kept;
            if let Single::Ended(report) = later
                && same
                && report.attempt > 0
            {
                twice.push(*report);
            }
            same
        });
        let rows = scheduled().filter(|report| report.count > 1).map(|report| Row {
            report,
            from: report.scheduled_from.unwrap_or(report.scheduled_for),
            to: report.scheduled_for,
            left: report.count,
        });
        let mut rows: Vec<_> = rows.filter(|row| row.to >= known_from && row.from < to).collect();
        rows.sort_by_key(|row| (row.from, row.to));
        Self { singles: singles.into(), later: rows.into(), active: Vec::new(), twice }
    }

    /// The last due time that a row reaches.
    pub(super) fn last_of_rows(&self) -> Option<Timestamp> {
        self.later.iter().map(|row| row.to).max()
    }

    /// Takes the next one that lies before `due` and that nobody asked for.
    pub(super) fn passed(&mut self, due: Timestamp) -> Option<(Timestamp, Single<'a>)> {
        pop_if(&mut self.singles, |(at, _)| *at < due)
    }

    /// Takes what accounts for a due time.
    pub(super) fn take(&mut self, due: Timestamp) -> Option<Found<'a>> {
        self.open_rows(due);
        if let Some((_, single)) = pop_if(&mut self.singles, |(at, _)| *at == due) {
            return Some(Found::Single(single));
        }
        let row = self.active.iter_mut().filter(|row| row.left > 0).min_by_key(|row| row.to)?;
        row.left -= 1;
        Some(Found::Row(row.report))
    }

    /// Whether there is anything left that begins by then.
    pub(super) fn any_until(&self, until: Timestamp) -> bool {
        self.singles.front().is_some_and(|(at, _)| *at <= until)
            || self.later.front().is_some_and(|row| row.from <= until)
            || self.active.iter().any(|row| row.left > 0)
    }

    fn open_rows(&mut self, due: Timestamp) {
        while let Some(row) = pop_if(&mut self.later, |row| row.from <= due) {
            self.active.push(row);
        }
    }

    /// Takes the rows that end before `due`, with what is left of them.
    pub(super) fn ended_before(&mut self, due: Timestamp) -> Vec<Row<'a>> {
        self.open_rows(due);
        self.active.extract_if(.., |row| row.to < due).collect()
    }

    /// A row that the due time which was asked for last lies in, although it does not account for it.
    pub(super) fn short_row(&self) -> Option<&'a Report> {
        self.active.iter().map(|row| row.report).next()
    }
}

fn pop_if<T>(queue: &mut VecDeque<T>, is_wanted: impl FnOnce(&T) -> bool) -> Option<T> {
    if is_wanted(queue.front()?) { queue.pop_front() } else { None }
}

/// Of several records of one due time the one that says most comes first.
fn rank(single: &Single<'_>) -> u8 {
    match single {
        Single::Ended(report) if report.attempt > 0 => 0,
        Single::Live(_) => 1,
        Single::Ended(_) => 2,
    }
}
