//! Runs and their reports, for people and scripts.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::{JobVersion, Pause, StoreResult};
use crate::id::{CorrelationId, JobKey, JobName, TenantId};
use crate::run::{Outcome, Report, RunState, RunStory, RunView};

/// Which runs or reports somebody wants to see; an empty list means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Of these tenants.
    pub tenants: Vec<TenantId>,
    /// Of these jobs.
    pub jobs: Vec<JobName>,
    /// With these outcomes.
    pub outcomes: Vec<Outcome>,
    /// In these states (lists of runs only).
    pub states: Vec<RunState>,
}

/// Runs and their reports, for people and scripts.
#[async_trait]
pub trait Runs: Send + Sync {
    /// Reports with a `seq` above `after` that pass the filter, in order, and the highest `seq` up to which nothing
    /// is missing from the answer. A report that becomes visible later always has a higher `seq`.
    async fn reports(&self, after: i64, filter: &RunFilter, limit: u32) -> StoreResult<(Vec<Report>, i64)>;

    /// The highest `seq` so far; 0 if there was none.
    async fn last_seq(&self) -> StoreResult<i64>;

    /// Runs, the latest due time first.
    async fn runs(&self, filter: &RunFilter, limit: u32) -> StoreResult<Vec<RunView>>;

    /// One run.
    async fn run(&self, id: CorrelationId) -> StoreResult<Option<RunStory>>;

    /// Makes a run of its own, due now, paused or not. With `beside` it runs whatever else of its job runs.
    /// `None` if the tenant has no such job.
    async fn trigger(&self, tenant: &TenantId, job: &JobName, beside: bool) -> StoreResult<Option<CorrelationId>>;

    /// Makes a run of its own with a payload of its own, now or later, paused or not. One whose key is known already is the
    /// run that has it. `None` if the tenant has no such job.
    async fn enqueue(&self, request: &Enqueue) -> StoreResult<Option<CorrelationId>>;

    /// Makes runs of their own for due times of the past, one after the other, `pause` apart and the first now. A due
    /// time that was backfilled before and whose run is still known is left out. `None` if there is no such job.
    async fn backfill(&self, key: JobKey, due: &[Timestamp], pause: Duration) -> StoreResult<Option<u64>>;

    /// What became of the due times of a job in `[from, to)`, and what its versions were; `None` if there never was
    /// such a job.
    async fn history(
        &self,
        tenant: &TenantId,
        job: &JobName,
        from: Timestamp,
        to: Timestamp,
    ) -> StoreResult<Option<JobHistory>>;

    /// Cancels a run: one that waits ends at once, one that runs is told to at its executor's next heartbeat.
    async fn cancel(&self, id: CorrelationId) -> StoreResult<Cancelled>;
}

/// What an application hands over.
#[derive(Clone, Debug, PartialEq)]
pub struct Enqueue {
    /// Whose run.
    pub tenant: TenantId,
    /// Of which job.
    pub job: JobName,
    /// What its handler gets, as it stands: it is no template. Without it, the job's own.
    pub payload: Option<serde_json::Value>,
    /// When it is due.
    pub due: EnqueueDue,
    /// Two requests of a job with the same key are one run, for as long as the run is known.
    pub key: Option<String>,
    /// Instead of the job's priority.
    pub priority: Option<i16>,
    /// So long after its due time running it is pointless.
    pub expires: Option<Duration>,
}

impl Enqueue {
    /// The largest payload, in bytes of JSON.
    pub const PAYLOAD_MAX: usize = 256 * 1024;

    /// The longest key, in characters.
    pub const KEY_MAX: usize = 255;

    /// The longest wait: ten years.
    pub const WAIT_MAX: Duration = Duration::from_secs(315_576_000);

    /// A run now, by the job's own settings.
    #[must_use]
    pub fn now(tenant: TenantId, job: JobName) -> Self {
        Self { tenant, job, payload: None, due: EnqueueDue::Now, key: None, priority: None, expires: None }
    }
}

/// When an enqueued run is due. An instant of the past is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnqueueDue {
    /// At once.
    Now,
    /// Then.
    At(Timestamp),
    /// After this, on the store's clock.
    In(Duration),
}

/// The answer to a cancel request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// It had not started, or waited for its retry: it has ended.
    Ended,
    /// It is running: its executor has been asked.
    Requested,
    /// It is over already.
    AlreadyEnded,
    /// There is no such run.
    NotFound,
}

/// All that is known of the due times of one job: what [`crate::ledger`] compares.
#[derive(Clone, Debug, PartialEq)]
pub struct JobHistory {
    /// The job.
    pub key: JobKey,
    /// The store's clock.
    pub now: Timestamp,
    /// Whether it is still there.
    pub active: bool,
    /// Its versions and their definitions as JSON, oldest first.
    pub versions: Vec<(JobVersion, String)>,
    /// Terminal reports of scheduled runs, in order of their due times.
    pub reports: Vec<Report>,
    /// Due times of scheduled runs that are not over.
    pub live: Vec<(Timestamp, RunState)>,
    /// Every due time up to here was dealt with.
    pub accounted: Timestamp,
    /// When the leader looks at it next.
    pub next_due: Option<Timestamp>,
    /// Its latest pause.
    pub pause: Option<Pause>,
    /// Reports that ended before this instant may have been pruned.
    pub pruned_before: Option<Timestamp>,
}
