//! The comparison, due time by due time.

use jiff::{SignedDuration, Timestamp};

use super::entries::{Entries, Line, row};
use super::records::{Found, Records, Row, Single};
use super::versions::{self, Version};
use super::{Basis, Entry, Ledger, MAX_EXPECTED, MAX_NAMED, Standing, Unreadable};
use crate::definition::{OnBlackout, Timing};
use crate::run::{Outcome, Report};
use crate::schedule::blacked_out;
use crate::store::JobHistory;

/// Compares. A lead-in of more due times than may be looked at is left out.
pub(super) fn compare(history: &JobHistory, known_from: Timestamp, from: Timestamp, to: Timestamp) -> Ledger {
    let pruned = history.pruned_before.unwrap_or(Timestamp::MIN);
    let start = from.max(pruned);
    let versions = versions::read(history);
    let compared = Walk::new(history, known_from.max(pruned), start, to).run(&versions);
    let mut ledger = compared.or_else(|| Walk::new(history, start, start, to).run(&versions)).unwrap_or_default();
    (ledger.from, ledger.to) = (from, to.min(history.now));
    ledger.clamped_from = (start > from).then_some(start);
    ledger
}

/// How many runs a version may still have.
struct Limit {
    max: u64,
    /// Due times that were runs.
    runs: u64,
    /// Due times that may have been.
    unsure: u64,
}

impl Limit {
    fn count(&mut self, found: &Found<'_>) {
        match found.was_skipped() {
            (false, _) => self.runs += 1,
            (true, false) => self.unsure += 1,
            (true, true) => {}
        }
    }

    fn is_reached(&self) -> bool {
        self.runs >= self.max
    }

    /// Whether it has been reached if what may have been a run was one.
    fn may_be_reached(&self) -> bool {
        self.runs + self.unsure >= self.max
    }
}

struct Walk<'a> {
    history: &'a JobHistory,
    records: Records<'a>,
    known_from: Timestamp,
    from: Timestamp,
    to: Timestamp,
    /// The last due time to look at: now, or the end of a row that the leader wrote ahead of it.
    horizon: Timestamp,
    ledger: Ledger,
    entries: Entries,
    lead_in: u32,
    steps: u32,
}

impl<'a> Walk<'a> {
    fn new(history: &'a JobHistory, known_from: Timestamp, from: Timestamp, to: Timestamp) -> Self {
        let records = Records::new(history, known_from, to);
        let horizon = records.last_of_rows().map_or(history.now, |last| last.max(history.now)).min(just_before(to));
        let (ledger, entries) = (Ledger::default(), Entries::default());
        Self { history, records, known_from, from, to, horizon, ledger, entries, lead_in: 0, steps: 0 }
    }

    /// `None` if the lead-in is too long.
    fn run(mut self, versions: &[Version]) -> Option<Ledger> {
        let mut limit: Option<Limit> = None;
        for version in versions {
            let fresh = version.since == version.from;
            if fresh || limit.is_none() {
                let unsure = if self.known_from <= version.since { 0 } else { u64::MAX / 2 };
                limit = version.max_runs.map(|max| Limit { max: u64::from(max), runs: 0, unsure });
            }
            match &version.timing {
                Ok(timing) if version.is_computable() => self.scheduled(version, timing, limit.as_mut())?,
                _ => self.recorded(version),
            }
            if self.ledger.truncated_at.is_some() {
                break;
            }
        }
        let end = self.ledger.truncated_at.unwrap_or(Timestamp::MAX);
        self.pass(end);
        self.runs_that_are_too_many();
        self.check_chain(versions);
        self.ledger.basis = basis(versions, self.from, self.to);
        self.ledger.accounted = self.ledger.expected - self.ledger.missing - self.ledger.pending;
        self.ledger.entries = self.entries.finish();
        Some(self.ledger)
    }

    /// The due times of a version that a schedule names.
    fn scheduled(&mut self, version: &Version, timing: &Timing, mut limit: Option<&mut Limit>) -> Option<()> {
        let mut after = version.from.max(just_before(self.known_from));
        let last = version.until.min(self.horizon);
        while !limit.as_ref().is_some_and(|limit| limit.is_reached())
            && let Some(due) = timing.schedule.next_after(after).filter(|due| *due <= last)
        {
            if !self.may_step(due)? {
                return Some(());
            }
            self.pass(due);
            match self.records.take(due) {
                Some(found) => {
                    if let Some(limit) = &mut limit {
                        limit.count(&found);
                    }
                    self.found(due, found, version, timing);
                }
                None if limit.as_ref().is_some_and(|limit| self.is_over(due, version, limit)) => {
                    if !self.records.any_until(version.until) {
                        return Some(());
                    }
                }
                None => {
                    if let Some(limit) = &mut limit {
                        limit.runs += 1;
                    }
                    self.not_found(due, version, timing);
                }
            }
            after = due;
        }
        Some(())
    }

    /// Counts a step. `None` if the lead-in is too long, `false` if all of it is.
    fn may_step(&mut self, due: Timestamp) -> Option<bool> {
        if due < self.from {
            self.lead_in += 1;
            return (self.lead_in <= MAX_EXPECTED).then_some(true);
        }
        if self.steps == MAX_EXPECTED {
            self.ledger.truncated_at = Some(due);
            return Some(false);
        }
        self.steps += 1;
        Some(true)
    }

    /// Whether a due time of which nothing is known may be one that came after the last run that the limit allows.
    fn is_over(&self, due: Timestamp, version: &Version, limit: &Limit) -> bool {
        let ended =
            if version.current { due > self.history.accounted && self.history.next_due.is_none() } else { true };
        ended && limit.may_be_reached()
    }

    /// Whether a due time is one that the ledger is about.
    fn counts(&self, due: Timestamp) -> bool {
        self.from <= due && due < self.to && due <= self.history.now
    }

    fn found(&mut self, due: Timestamp, found: Found<'_>, version: &Version, timing: &Timing) {
        if !self.counts(due) {
            return;
        }
        self.ledger.expected += 1;
        let number = Some(version.number);
        let line = match found {
            Found::Row(report) => Line::reported(due, report, number),
            Found::Single(single) => Line { schedules: timing.schedule.sources(due), ..line(due, single, number) },
        };
        self.entries.add(line);
    }

    fn not_found(&mut self, due: Timestamp, version: &Version, timing: &Timing) {
        if !self.counts(due) {
            return;
        }
        self.ledger.expected += 1;
        let number = Some(version.number);
        let line = if version.current && due > self.history.accounted && self.may_come(due) {
            self.ahead(due, number, timing)
        } else {
            self.missing(due, Line { detail: self.shortage(), ..Line::new(due, Standing::Missing, number) })
        };
        self.entries.add(line);
    }

    /// Whether the leader will come to it: nothing else says what became of it.
    fn may_come(&self, due: Timestamp) -> bool {
        let covers = |at| self.history.pause.is_some_and(|pause| pause.covers(at));
        self.history.next_due.is_some() || covers(due) || covers(self.history.now)
    }

    /// A due time that the leader has not accounted for yet.
    fn ahead(&mut self, due: Timestamp, version: Option<i32>, timing: &Timing) -> Line {
        if self.history.pause.is_some_and(|pause| pause.covers(due)) {
            return Line::open(due, Outcome::Paused, version, "recorded when the pause ends".to_owned());
        }
        if let Some((blackout, _)) = blacked_out(&timing.blackouts, due) {
            let deferred = match timing.on_blackout {
                OnBlackout::Skip => "",
                OnBlackout::Defer => ", and the last of them runs then",
            };
            let why = format!("{}: recorded when it ends{deferred}", blackout.name);
            return Line::open(due, Outcome::BlackedOut, version, why);
        }
        self.ledger.pending += 1;
        let why = "the leader has not come to it yet".to_owned();
        Line { detail: Some(why), ..Line::new(due, Standing::Pending, version) }
    }

    fn missing(&mut self, due: Timestamp, line: Line) -> Line {
        self.ledger.missing += 1;
        if self.ledger.missing_times.len() < MAX_NAMED {
            self.ledger.missing_times.push(due);
        }
        line
    }

    /// The row that would account for a missing due time if it counted enough.
    fn shortage(&self) -> Option<String> {
        let report = self.records.short_row()?;
        let from = report.scheduled_from.unwrap_or(report.scheduled_for);
        let (to, count, outcome) = (report.scheduled_for, report.count, report.outcome);
        Some(format!("the row from {from:.3} to {to:.3} counts {count} as {outcome}, and more were due"))
    }

    /// Hands out what lies before a due time and no schedule expects.
    fn pass(&mut self, due: Timestamp) {
        while let Some((at, single)) = self.records.passed(due) {
            if self.counts(at) {
                self.unexpected(line(at, single, None).into());
            }
        }
        for row in self.records.ended_before(due) {
            self.end_row(row);
        }
    }

    /// Due times that two runs are recorded for.
    fn runs_that_are_too_many(&mut self) {
        for report in std::mem::take(&mut self.records.twice) {
            if self.counts(report.scheduled_for) {
                let line = Line::reported(report.scheduled_for, report, None);
                self.unexpected(Line { detail: Some("a second run of one due time".to_owned()), ..line }.into());
            }
        }
    }

    fn end_row(&mut self, row: Row<'_>) {
        let is_checked = row.from >= self.known_from && self.from <= row.to && row.to < self.to;
        if row.left > 0 && is_checked {
            let detail = format!("its row counts {}, and {} were due", row.report.count, row.report.count - row.left);
            self.unexpected(Entry { detail: Some(detail), ..self::row(row.report, row.left, None) });
        }
    }

    fn unexpected(&mut self, entry: Entry) {
        self.ledger.unexpected += entry.count;
        self.entries.add_alone(Entry { unexpected: true, ..entry });
    }

    /// A version whose due times cannot be computed: what is recorded is what was expected.
    fn recorded(&mut self, version: &Version) {
        if let Err(reason) = &version.timing
            && version.from < self.to
            && self.from <= version.until
        {
            self.ledger.unreadable.push(Unreadable { version: version.number, reason: reason.clone() });
        }
        self.pass(just_after(version.from));
        let end = just_after(version.until);
        while let Some((at, single)) = self.records.passed(end) {
            if self.counts(at) {
                self.ledger.expected += 1;
                self.entries.add(line(at, single, Some(version.number)));
            }
        }
        for row in self.records.ended_before(end) {
            if self.from <= row.to && row.to < self.to {
                self.ledger.expected += u64::from(row.left);
                self.entries.add_alone(self::row(row.report, row.left, Some(version.number)));
            }
        }
    }

    /// A fixed delay whose next run nothing will start.
    fn check_chain(&mut self, versions: &[Version]) {
        let history = self.history;
        let (Some(version), true) = (versions.iter().rfind(|v| v.current), history.now < self.to) else { return };
        let Some(interval) = version.timing.as_ref().ok().and_then(|timing| timing.schedule.interval()) else { return };
        let rests = history.pause.is_some_and(|pause| pause.covers(history.now));
        if rests || history.next_due.is_some() || !history.live.is_empty() || self.is_complete(version) {
            return;
        }
        let last = own_reports(history, version).map(|report| report.finished_at).max();
        let due = last.and_then(|last| last.checked_add(interval).ok()).unwrap_or(version.from).min(history.now);
        let line = Line::new(due, Standing::Missing, Some(version.number));
        let why = "the chain is broken: nothing will start the next run".to_owned();
        let line = self.missing(due, Line { detail: Some(why), ..line });
        self.ledger.expected += 1;
        self.entries.add(line);
    }

    /// Whether a fixed delay has come to its end.
    fn is_complete(&self, version: &Version) -> bool {
        let Ok(timing) = &version.timing else { return true };
        let last = own_reports(self.history, version).map(|report| report.finished_at).max();
        let interval = timing.schedule.interval().unwrap_or_default();
        let next = last.and_then(|last| last.checked_add(interval).ok()).unwrap_or(self.history.now);
        let runs = self.history.reports.iter().filter(|r| r.scheduled_for > version.since).count();
        timing.schedule.end().is_some_and(|end| next >= end)
            || version.max_runs.is_some_and(|max| self.known_from > version.since || runs >= max as usize)
    }
}

fn own_reports<'a>(history: &'a JobHistory, version: &Version) -> impl Iterator<Item = &'a Report> {
    let from = version.from;
    history.reports.iter().filter(move |report| report.scheduled_for > from)
}

fn line(at: Timestamp, single: Single<'_>, version: Option<i32>) -> Line {
    match single {
        Single::Ended(report) => Line::reported(at, report, version),
        Single::Live(state) => Line::new(at, Standing::Live(state), version),
    }
}

fn basis(versions: &[Version], from: Timestamp, to: Timestamp) -> Basis {
    let own = || versions.iter().filter(|version| version.from < to && from <= version.until);
    match (own().all(Version::is_computable), own().any(Version::is_computable)) {
        (true, _) => Basis::Schedule,
        (false, true) => Basis::Mixed,
        (false, false) => Basis::Completions,
    }
}

fn just_before(at: Timestamp) -> Timestamp {
    at.checked_sub(SignedDuration::from_nanos(1)).unwrap_or(Timestamp::MIN)
}

fn just_after(at: Timestamp) -> Timestamp {
    at.checked_add(SignedDuration::from_nanos(1)).unwrap_or(Timestamp::MAX)
}
