//! A step of a redrive: which dead letters it takes, and the ids of the runs that are made for them.

use jiff::Timestamp;
use leasehold_common::id::{CorrelationId, RunKind};

/// A dead letter that may be redriven.
pub(crate) struct Candidate {
    /// The place of its report.
    pub(crate) seq: i64,
    pub(crate) id: CorrelationId,
    pub(crate) due: Timestamp,
    /// Whether its job is still there.
    pub(crate) active: bool,
}

impl Candidate {
    /// An id for the run that is made for it: of the same due time, and of no schedule.
    pub(crate) fn draw(&self) -> CorrelationId {
        CorrelationId::new(self.due, RunKind::unscheduled(rand::random()), self.id.job())
    }
}

/// See the module.
pub(crate) struct Step {
    pub(crate) chosen: Vec<Candidate>,
    /// Those whose job is gone.
    pub(crate) gone: u64,
    /// Where the next step begins, if there is more.
    pub(crate) next: Option<i64>,
}

impl Step {
    /// What was found for a step of at most `limit`.
    pub(crate) fn of(found: Vec<Candidate>, limit: u32) -> Self {
        let full = found.len() >= limit as usize;
        let next = found.last().filter(|_| full).map(|last| last.seq);
        let (chosen, gone): (Vec<_>, Vec<_>) = found.into_iter().partition(|candidate| candidate.active);
        Self { chosen, gone: gone.len() as u64, next }
    }
}
