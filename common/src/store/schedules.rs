//! Due times and their fan-out, for the leader.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::StoreResult;
use crate::definition::DefinitionId;
use crate::id::JobKey;
use crate::lease::Term;
use crate::run::Outcome;

/// A job at which the leader has to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueJob {
    /// The job.
    pub key: JobKey,
    /// The version of it that this due time belongs to.
    pub version: i32,
    /// What it is.
    pub definition: DefinitionId,
    /// When to look: its next due time, or the end of what keeps it from running.
    pub next_due: Timestamp,
    /// Every due time up to here is in the queue or has its outcome. The planner goes on from here.
    pub accounted: Timestamp,
    /// Its latest pause, which may be over.
    pub pause: Option<Pause>,
    /// How many runs it has left, if that is limited.
    pub runs_left: Option<u32>,
    /// Whether its tenant lacks a feature that it requires.
    pub gated: bool,
}

/// A stretch of time in which a job does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// The first instant of it.
    pub at: Timestamp,
    /// The first instant after it; [`Timestamp::MAX`] if nobody has said.
    pub until: Timestamp,
}

impl Pause {
    /// Whether the job is paused then.
    #[must_use]
    pub fn covers(&self, instant: Timestamp) -> bool {
        self.at <= instant && instant < self.until
    }
}

/// Which jobs the leader asks for. What is on time is asked for apart, so that it never waits behind what an outage
/// left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DueSet {
    /// Those that are less than [`LATE`] past their due time.
    OnTime,
    /// The others.
    Late,
}

/// From how far past its due time on a job or an item counts as left behind by an outage.
pub const LATE: Duration = Duration::from_secs(60);

/// Jobs that are due soon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueBatch {
    /// The store's clock when it looked.
    pub now: Timestamp,
    /// The earliest first, at most as many as were asked for.
    pub jobs: Vec<DueJob>,
    /// How long until the due time of the next job that was *not* returned comes within the look-ahead; `None` if no
    /// other job has a due time. Zero if the batch was full.
    pub next_in: Option<Duration>,
}

/// A due time to put into the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// The due time.
    pub due: Timestamp,
    /// From when on it may run: the due time, or the end of a blackout.
    pub not_before: Timestamp,
    /// From when on it counts as misfired if it has not started.
    pub misfire_at: Option<Timestamp>,
    /// From when on running it is pointless.
    pub expires_at: Option<Timestamp>,
}

/// Due times in a row that do not run, for one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The reason.
    pub outcome: Outcome,
    /// The first of them.
    pub first: Timestamp,
    /// The last of them.
    pub last: Timestamp,
    /// How many they are.
    pub count: u32,
}

/// What the leader decided about one due job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The job.
    pub key: JobKey,
    /// The version it was planned from: the launch takes effect only if the job still has it (invariant I13).
    pub version: i32,
    /// The due time it was planned from: the launch takes effect only if the job still has it (invariant I2).
    pub expected: Timestamp,
    /// What to put into the queue, in order.
    pub items: Vec<Item>,
    /// What does not run, in order.
    pub skipped: Vec<Skipped>,
    /// Every due time up to here is in `items` or `skipped`, or was dealt with before.
    pub accounted: Timestamp,
    /// How the queue treats what was missed: the code of [`crate::definition::CatchUp`].
    pub catch_up: i16,
    /// When to look again; `None` if the schedule ends or the completion of this run decides.
    pub next: Option<Timestamp>,
    /// How many runs are left after this.
    pub runs_left: Option<u32>,
    /// Whether the schedule has ended: the completion of a run sets no further due time.
    pub over: bool,
}

/// The answer to a dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dispatched {
    /// Launches whose job had changed are left out.
    Done(Fanned),
    /// The term has ended: nothing was written (invariant I3).
    StaleTerm,
}

/// What a dispatch wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fanned {
    /// Jobs that moved on.
    pub jobs: u64,
    /// Items queued.
    pub items: u64,
    /// Due times recorded as misfired.
    pub misfired: u64,
    /// Due times recorded as paused.
    pub paused: u64,
    /// Due times recorded as blacked out.
    pub blacked_out: u64,
    /// Due times recorded as gated.
    pub gated: u64,
}

/// Due times and their fan-out, for the leader.
#[async_trait]
pub trait Schedules: Send + Sync {
    /// Active jobs of a set whose due time is at most `within` from now.
    async fn due(&self, set: DueSet, within: Duration, limit: u32) -> StoreResult<DueBatch>;

    /// Queues the launches and advances their jobs, in one transaction under the term.
    async fn dispatch(&self, term: &Term, launches: &[Launch]) -> StoreResult<Dispatched>;

    /// The stored definitions, as JSON, of those ids that exist.
    async fn definitions(&self, ids: &[DefinitionId]) -> StoreResult<Vec<(DefinitionId, String)>>;

    /// Ends waiting items that nobody ran in time: those whose limit has passed, and those of catch-up `last` that are
    /// [`LATE`] and were followed by a later one. At most `limit` items are looked at; a row of them is one report.
    async fn sweep(&self, term: &Term, limit: u32) -> StoreResult<Swept>;

    /// Puts back or ends the runs of claims whose lease has expired (invariants I11, I12), at most `limit` claims.
    /// Items that wait for a run of their job which is over, and that nobody let go, are made ready too.
    async fn rescue(&self, term: &Term, limit: u32) -> StoreResult<Rescued>;

    /// Deletes reports older than `keep`, at most `limit` of them, and what nothing refers to any longer.
    async fn prune(&self, term: &Term, keep: Duration, limit: u32) -> StoreResult<Pruned>;
}

/// The answer to a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swept {
    /// This many items ended.
    Done {
        /// As misfired.
        misfired: u64,
        /// As expired.
        expired: u64,
        /// How many were looked at.
        seen: u64,
    },
    /// The term has ended: nothing was written.
    StaleTerm,
}

/// The answer to a rescue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rescued {
    /// Done.
    Done {
        /// Runs that are back in the queue.
        requeued: u64,
        /// Runs that had no attempt left.
        dead: u64,
    },
    /// The term has ended: nothing was written.
    StaleTerm,
}

/// The answer to a prune.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pruned {
    /// This many reports were deleted.
    Done {
        /// How many.
        reports: u64,
    },
    /// The term has ended: nothing was written.
    StaleTerm,
}
