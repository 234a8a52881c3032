//! The ledger: what was expected of a job, compared with what is recorded (invariant I10).
//!
//! What was expected is computed again from the versions of the job and the times in which they were in force, never
//! read from the reports: a report that is lost shows as a due time that is missing. Everything here is pure; a store
//! gives the [`JobHistory`].
//!
//! What accounts for a due time, in this order: the report of its run, or that the run is not over; a row of due times
//! that did not run for one reason ([`crate::run::Report::count`] above 1) and has a place left; an open pause or blackout, whose
//! row is written when it ends; that the leader has not come to it yet. What is left is missing.
//!
//! - Rows may overlap each other and skip over due times that ran. A row accounts for as many due times as it counts,
//!   whichever they are; of several rows the one that ends first is used up first, which leaves as little as possible
//!   missing. A shortage shows at the end of its row.
//! - What a fixed delay will be due cannot be computed: there every recorded run counts as expected, and what can be
//!   missing is only the next one.
//! - Definitions that this program cannot read are values in the answer, and nothing is missing of them.
//! - What an answer costs is bounded: [`MAX_EXPECTED`].
//!
//! | module | owns |
//! |---|---|
//! | `versions` | which schedule was in force when |
//! | `records` | which report, live run or row accounts for a due time |
//! | `walk` | the comparison, due time by due time |
//! | `entries` | due times in a row that became of the same become one entry |

mod entries;
mod records;
mod versions;
mod walk;

#[cfg(test)]
mod laws;
#[cfg(test)]
mod planned;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;

use std::fmt;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::run::{Outcome, RunState, rfc3339, rfc3339_opt};
use crate::store::JobHistory;

/// The most due times that one comparison looks at: some seconds of work.
pub const MAX_EXPECTED: u32 = 1_000_000;

/// The most missing due times that are named; all are counted.
pub const MAX_NAMED: usize = 100;

/// What was expected of a job, and what became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ledger {
    /// From when on, as it was asked for.
    #[serde(serialize_with = "rfc3339")]
    pub from: Timestamp,
    /// Until when, the end excluded; at most the store's clock, since later due times are not expected yet.
    #[serde(serialize_with = "rfc3339")]
    pub to: Timestamp,
    /// From when on it was compared, if reports of the time before may have been deleted.
    #[serde(serialize_with = "rfc3339_opt")]
    pub clamped_from: Option<Timestamp>,
    /// Until when it was compared, if there were more than [`MAX_EXPECTED`] due times.
    #[serde(serialize_with = "rfc3339_opt")]
    pub truncated_at: Option<Timestamp>,
    /// From what it was computed what was expected.
    pub basis: Basis,
    /// How many due times there were.
    pub expected: u64,
    /// Of how many of them it is known what became of them.
    pub accounted: u64,
    /// To how many of them the leader has not come yet.
    pub pending: u64,
    /// Of how many of them nothing is known, which must not be.
    pub missing: u64,
    /// How many recorded ones no schedule expects. Not an error by itself: an edit can cut off what was queued.
    pub unexpected: u64,
    /// The first [`MAX_NAMED`] missing ones.
    #[serde(serialize_with = "instants")]
    pub missing_times: Vec<Timestamp>,
    /// Versions of the job that this program cannot read, and of which nothing can be said.
    pub unreadable: Vec<Unreadable>,
    /// What became of them, in order; those in a row of which the same became are one entry.
    pub entries: Vec<Entry>,
}

fn instants<S: Serializer>(times: &[Timestamp], out: S) -> Result<S::Ok, S::Error> {
    out.collect_seq(times.iter().map(|at| format!("{at:.3}")))
}

impl Ledger {
    /// Whether every due time is accounted for, as far as anybody can say by now.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.missing == 0 && self.unreadable.is_empty()
    }
}

/// From what it was computed what was expected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// From schedules alone.
    #[default]
    Schedule,
    /// From the runs that are recorded, since each decides when the next is due.
    Completions,
    /// From both: the job was edited.
    Mixed,
}

/// A version that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unreadable {
    /// Which.
    pub version: i32,
    /// Why.
    pub reason: String,
}

/// Due times in a row of which the same became.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The first of them.
    #[serde(serialize_with = "rfc3339")]
    pub from: Timestamp,
    /// The last of them.
    #[serde(serialize_with = "rfc3339")]
    pub to: Timestamp,
    /// How many they are.
    pub count: u64,
    /// What became of them.
    pub outcome: Standing,
    /// Whether it is not recorded yet, because the pause or blackout that it is due to is not over.
    pub open: bool,
    /// Whether no schedule expects them.
    pub unexpected: bool,
    /// The version of the job that expects them.
    pub version: Option<i32>,
    /// Which schedules of a job with several each of them belongs to, by their positions from 0. Empty for rows.
    pub schedules: Vec<usize>,
    /// How late the latest of them was.
    pub lateness_ms: Option<i64>,
    /// Why, as far as somebody said so; of several the last.
    pub detail: Option<String>,
}

/// What became of a due time. Serialises as one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// It ended like this.
    Ended(Outcome),
    /// Its run is not over.
    Live(RunState),
    /// The leader has not come to it yet.
    Pending,
    /// Nothing is known of it.
    Missing,
}

impl Standing {
    /// Whether it ended like this.
    #[must_use]
    pub fn is(self, outcome: Outcome) -> bool {
        self == Self::Ended(outcome)
    }

    /// The word that people and scripts see.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ended(outcome) => outcome.as_str(),
            Self::Live(state) => state.as_str(),
            Self::Pending => "pending",
            Self::Missing => "missing",
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Standing {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(self.as_str())
    }
}

/// Compares what was expected in `[from, to)` with a history that was asked for the same time.
///
/// Where rows reach into it from before, this takes them at their word; [`compare_since`] checks them too.
#[must_use]
pub fn compare(history: &JobHistory, from: Timestamp, to: Timestamp) -> Ledger {
    compare_since(history, from, from, to)
}

/// [`compare`] with a history that was asked for `[known_from, to)`, where `known_from` is the answer of
/// [`reaches_back`].
#[must_use]
pub fn compare_since(history: &JobHistory, known_from: Timestamp, from: Timestamp, to: Timestamp) -> Ledger {
    walk::compare(history, known_from.min(from), from, to)
}

/// From when on a history must be known to check all that it says of `[from, to)`: rows may reach into it from before,
/// and a limit of runs counts from the first one on.
///
/// The longer history may reach back further still: ask again until the answer stays the same, or take
/// [`compare_since`] as precise as it then is.
#[must_use]
pub fn reaches_back(history: &JobHistory, from: Timestamp, to: Timestamp) -> Timestamp {
    let clamp = |at: Timestamp| history.pruned_before.map_or(at, |pruned| at.max(pruned)).min(from);
    let rows = history.reports.iter().filter(|report| report.count > 1 && report.scheduled_for >= from);
    let rows = rows.filter_map(|report| report.scheduled_from);
    let limits = versions::read(history).into_iter().filter(|version| version.is_limited());
    let limits = limits.filter(|version| version.from < to && version.until >= from).map(|version| version.since);
    rows.chain(limits).min().map_or(from, clamp)
}
