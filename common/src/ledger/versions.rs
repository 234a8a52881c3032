//! Which schedule was in force when.

use jiff::Timestamp;

use crate::definition::{Timing, TimingSpec};
use crate::store::JobHistory;

/// A version of the job, and the due times that are its own: those after `from`, up to `until`.
pub(super) struct Version {
    /// 1 for the first.
    pub(super) number: i32,
    /// The last instant before it.
    pub(super) from: Timestamp,
    /// Its last instant; [`Timestamp::MAX`] for the current one.
    pub(super) until: Timestamp,
    /// Since when the limit of runs counts: versions with the same due times count on.
    pub(super) since: Timestamp,
    /// Whether the leader plans its due times: it is the one in force, or that one goes on with the same due times.
    pub(super) current: bool,
    /// Its schedule, or why it cannot be read.
    pub(super) timing: Result<Timing, String>,
    /// How many runs there are at most.
    pub(super) max_runs: Option<u32>,
    spec: Option<TimingSpec>,
}

impl Version {
    /// Whether the number of its runs is limited.
    pub(super) fn is_limited(&self) -> bool {
        self.max_runs.is_some()
    }

    /// Whether due times follow from its schedule, and not from completions.
    pub(super) fn is_computable(&self) -> bool {
        self.timing.as_ref().is_ok_and(|timing| timing.schedule.interval().is_none())
    }

    /// Whether `before` had the same due times, and this follows it without a break.
    fn continues(&self, before: &Self) -> bool {
        let same = |a: &TimingSpec, b: &TimingSpec| {
            a.schedule == b.schedule && a.blackouts == b.blackouts && a.on_blackout == b.on_blackout
        };
        before.until == self.from && self.spec.as_ref().zip(before.spec.as_ref()).is_some_and(|(a, b)| same(a, b))
    }
}

/// The versions of a history, oldest first.
pub(super) fn read(history: &JobHistory) -> Vec<Version> {
    let mut versions: Vec<Version> = Vec::with_capacity(history.versions.len());
    for (version, json) in &history.versions {
        let spec = serde_json::from_str::<TimingSpec>(json).map_err(|error| error.to_string());
        let timing =
            spec.as_ref().map_err(Clone::clone).and_then(|spec| spec.compile(history.key).map_err(|e| e.to_string()));
        let mut version = Version {
            number: version.version,
            from: version.valid_from,
            until: version.valid_to.unwrap_or(Timestamp::MAX),
            since: version.valid_from,
            current: version.valid_to.is_none() && history.active,
            max_runs: spec.as_ref().ok().and_then(|spec| spec.schedule.max_runs()),
            timing,
            spec: spec.ok(),
        };
        if let Some(before) = versions.last().filter(|before| version.continues(before)) {
            version.since = before.since;
        }
        versions.push(version);
    }
    if let Some(since) = versions.last().filter(|version| version.current).map(|version| version.since) {
        versions.iter_mut().filter(|version| version.since == since).for_each(|version| version.current = true);
    }
    versions
}
