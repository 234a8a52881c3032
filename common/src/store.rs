//! The seams behind which the stores stand.
//!
//! Each trait is narrow and object-safe; where atomicity is needed, one method is one transaction, so that a method
//! can be one SQL statement, one SQLite transaction or one Lua script. No method takes a wall-clock time: the store's
//! clock decides lease, due, visibility, start and end, and callers pass durations.
//!
//! Expected answers are values ([`Dispatched::StaleTerm`], [`Settled::Stale`]); a [`StoreError`] means that the store
//! could not answer, and callers branch on its [`ErrorKind`] only.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::catalog::{CatalogPlan, CatalogSnapshot};
use crate::definition::{DefinitionId, Tenant};
use crate::id::{CorrelationId, JobKey, JobName, QueueName, TenantId};
use crate::lease::{Acquired, Candidate, Leader, LeaseKind, Renewal, Term};
use crate::run::{Cause, Outcome, Report, RunState, RunStory, RunView};

/// The result of every store method.
pub type StoreResult<T> = Result<T, StoreError>;

/// What a caller can do about a [`StoreError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The store cannot be reached, or is read-only or full: try again later.
    Unavailable,
    /// The statement lost against a concurrent one (serialization, deadlock, busy): try again at once.
    Conflict,
    /// The request cannot work, whoever repeats it.
    Invalid,
    /// The schema is missing, older or newer than this program.
    Schema,
    /// The store holds something that this program cannot read.
    Corrupt,
}

/// The store could not answer.
#[derive(Debug)]
pub struct StoreError {
    /// What a caller can do about it.
    pub kind: ErrorKind,
    /// What was tried, as in "cannot {operation}".
    pub operation: &'static str,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl StoreError {
    /// An error of a kind, with its source kept.
    pub fn new(
        kind: ErrorKind,
        operation: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { kind, operation, source: source.into() }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.operation, self.source)
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.source()
    }
}

/// Leadership (invariants I3 and I4). Implemented by every store, and by the Redis lock in front of one.
#[async_trait]
pub trait Lease: Send + Sync {
    /// Tries to be elected for `ttl`. A candidate that already holds the lease starts a new term.
    async fn acquire(&self, candidate: &Candidate, ttl: Duration) -> StoreResult<Acquired>;

    /// Extends the term to `ttl` from now.
    async fn renew(&self, term: &Term, ttl: Duration) -> StoreResult<Renewal>;

    /// Ends the term at once, if it still stands, so that a follower need not wait for its expiry.
    async fn resign(&self, term: &Term) -> StoreResult<()>;
}

/// A job with a due time that has come near.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueJob {
    /// The job.
    pub key: JobKey,
    /// The version of it that this due time belongs to.
    pub version: i32,
    /// What it is.
    pub definition: DefinitionId,
    /// The due time.
    pub next_due: Timestamp,
}

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

/// What the leader decided about one due job: fire these due times, and look again at `next`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The job.
    pub key: JobKey,
    /// The version it was planned from: the launch takes effect only if the job still has it (invariant I13).
    pub version: i32,
    /// The due time it was planned from: the launch takes effect only if the job still has it (invariant I2).
    pub expected: Timestamp,
    /// Due times to put into the queue, in order.
    pub due: Vec<Timestamp>,
    /// Earlier due times that nobody could run in time: recorded as misfired.
    pub misfired: Vec<Timestamp>,
    /// The next due time; `None` if the schedule ends or the completion of this run decides.
    pub next: Option<Timestamp>,
}

/// The answer to a dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dispatched {
    /// This many items were put into the queue. Launches whose job had changed are left out.
    Done {
        /// Items queued.
        items: u64,
        /// Due times recorded as misfired.
        misfired: u64,
    },
    /// The term has ended: nothing was written (invariant I3).
    StaleTerm,
}

/// Due times and their fan-out, for the leader.
#[async_trait]
pub trait Schedules: Send + Sync {
    /// Active jobs whose due time is at most `within` from now.
    async fn due(&self, within: Duration, limit: u32) -> StoreResult<DueBatch>;

    /// Queues the launches and advances their jobs, in one transaction under the term.
    async fn dispatch(&self, term: &Term, launches: &[Launch]) -> StoreResult<Dispatched>;

    /// The stored definitions, as JSON, of those ids that exist.
    async fn definitions(&self, ids: &[DefinitionId]) -> StoreResult<Vec<(DefinitionId, String)>>;

    /// Puts back or ends the runs of claims whose lease has expired (invariants I11, I12), at most `limit` claims.
    async fn rescue(&self, term: &Term, limit: u32) -> StoreResult<Rescued>;

    /// Deletes reports older than `keep`, at most `limit` of them, and what nothing refers to any longer.
    async fn prune(&self, term: &Term, keep: Duration, limit: u32) -> StoreResult<Pruned>;
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

/// An executor process.
#[derive(Clone, Debug)]
pub struct ExecutorInfo {
    /// Drawn at random when it starts.
    pub id: Uuid,
    /// Its host name.
    pub host: String,
    /// Its process id.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// How many runs it runs at once.
    pub slots: u32,
    /// How many it runs now.
    pub running: u32,
    /// Which queues it serves.
    pub queues: Vec<QueueName>,
    /// Whether it has stopped claiming.
    pub draining: bool,
}

/// What an executor asks for.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    /// Who asks.
    pub executor: Uuid,
    /// From which queues, all alike.
    pub queues: Vec<QueueName>,
    /// At most so many items.
    pub limit: u32,
    /// How long the claim lasts without [`Queue::extend`].
    pub ttl: Duration,
}

/// The token of a claim: random, and checked by every later write about its runs (invariants I5, I6).
pub type ClaimId = Uuid;

/// What was claimed.
#[derive(Clone, Debug, PartialEq)]
pub struct Claimed {
    /// The token, if anything was claimed.
    pub claim: ClaimId,
    /// The runs that are now this executor's.
    pub items: Vec<ClaimedRun>,
    /// Items that ended without a run (overlapped, misfired, cancelled) while the store looked. If any did, more
    /// may be waiting behind them: ask again at once.
    pub dismissed: u64,
}

/// A run that an executor may run.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimedRun {
    /// The run.
    pub id: CorrelationId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The tenant's revision: while it stays the same, so do its attributes.
    pub tenant_revision: i64,
    /// The job's name.
    pub job: JobName,
    /// What to do.
    pub definition: DefinitionId,
    /// Why it exists.
    pub cause: Cause,
    /// The nominal instant.
    pub scheduled_for: Timestamp,
    /// The number of this attempt, 1 for the first.
    pub attempt: u32,
    /// Earlier attempts that were given back by a draining executor: they do not count towards the limit.
    pub released: u32,
}

/// How an attempt ended, by the word of its executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The handler succeeded.
    Succeeded,
    /// It failed; try again after this wait.
    Retry(Duration),
    /// It failed; no attempt follows.
    Dead,
    /// It was cancelled on request.
    Cancelled,
    /// The executor had to stop: the run goes back into the queue and the attempt does not count.
    Released,
}

/// What an executor says of one attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptReport {
    /// The run.
    pub id: CorrelationId,
    /// The claim it was run under.
    pub claim: ClaimId,
    /// The attempt.
    pub attempt: u32,
    /// How it ended.
    pub verdict: Verdict,
    /// How long it took.
    pub duration: Duration,
    /// How long ago it ended.
    pub ended_ago: Duration,
    /// What the handler returned, as JSON text.
    pub result: Option<String>,
    /// What went wrong.
    pub error: Option<String>,
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It is recorded.
    Recorded,
    /// The attempt was not this executor's any longer: nothing changed (invariant I6).
    Stale,
}

/// What a heartbeat learns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extended {
    /// The claims that still stand. Runs of the others must be aborted.
    pub alive: Vec<ClaimId>,
    /// Runs that somebody asked to cancel.
    pub cancel: Vec<CorrelationId>,
}

/// What an activation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Activated {
    /// Items that became ready.
    pub moved: u64,
    /// How long until the next item is due; `None` if nothing waits. Zero if more is due already.
    pub next_in: Option<Duration>,
}

/// Work items, for executors.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Makes items ready whose time has come, at most `limit`.
    async fn activate(&self, limit: u32) -> StoreResult<Activated>;

    /// Claims ready items under one new token. Items that must not run end here: a scheduled one of an older
    /// schedule as `cancelled`, one with a later due time waiting as `misfired`, one whose job is running as
    /// `overlapped` (invariant I8).
    async fn claim(&self, request: &ClaimRequest) -> StoreResult<Claimed>;

    /// Extends claims to `ttl` from now.
    async fn extend(&self, executor: Uuid, claims: &[ClaimId], ttl: Duration) -> StoreResult<Extended>;

    /// Records how attempts ended (invariants I6, I7, I9): the answers stand in the order of `reports`. Claims in
    /// `finished` have no run left and are dropped.
    async fn settle(
        &self,
        executor: Uuid,
        reports: &[AttemptReport],
        finished: &[ClaimId],
    ) -> StoreResult<Vec<Settled>>;

    /// Says that the executor is alive and what it is doing, for people; nothing depends on it.
    async fn announce(&self, info: &ExecutorInfo) -> StoreResult<()>;

    /// Takes the executor off the list.
    async fn retire(&self, executor: Uuid) -> StoreResult<()>;

    /// The tenants with these ids and the revision of each.
    async fn tenants_by_id(&self, ids: &[TenantId]) -> StoreResult<Vec<(Tenant, i64)>>;
}

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

    /// Makes a run of its own, due now. `kind` keeps it apart from other runs of the same millisecond.
    /// `None` if the tenant has no such job.
    async fn trigger(&self, tenant: &TenantId, job: &JobName) -> StoreResult<Option<CorrelationId>>;

    /// Cancels a run: one that waits ends at once, one that runs is told to at its executor's next heartbeat.
    async fn cancel(&self, id: CorrelationId) -> StoreResult<Cancelled>;
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

/// A job in a list.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JobView {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its name.
    pub job: JobName,
    /// Its version, 1 for the first.
    pub version: i32,
    /// What it is, as JSON.
    pub definition: serde_json::Value,
    /// Its next due time; null while a run decides it.
    #[serde(serialize_with = "crate::run::rfc3339_opt")]
    pub next_due: Option<Timestamp>,
    /// Its last due time that was fanned out.
    #[serde(serialize_with = "crate::run::rfc3339_opt")]
    pub last_fired: Option<Timestamp>,
}

/// A job version and the time in which it was in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobVersion {
    /// 1 for the first.
    pub version: i32,
    /// What the job was.
    pub definition: DefinitionId,
    /// From when on.
    pub valid_from: Timestamp,
    /// Until when; `None` for the current one.
    pub valid_to: Option<Timestamp>,
}

/// The catalog: who the tenants are and which jobs they have.
#[async_trait]
pub trait Catalog: Send + Sync {
    /// All of it, as a plan needs it.
    async fn snapshot(&self) -> StoreResult<CatalogSnapshot>;

    /// Writes a plan in one transaction, if the catalog still has the revision it was made from. Purges what was
    /// fanned out from schedules that change or go (invariant I13).
    async fn apply(&self, plan: &CatalogPlan) -> StoreResult<Applied>;

    /// Tenants in order of their ids, after `after`.
    async fn tenants(&self, after: Option<&TenantId>, limit: u32) -> StoreResult<Vec<Tenant>>;

    /// Active jobs in order of tenant and name.
    async fn jobs(&self, tenant: Option<&TenantId>, job: Option<&JobName>, limit: u32) -> StoreResult<Vec<JobView>>;

    /// The versions of a job, oldest first; empty if there never was such a job.
    async fn job_versions(&self, tenant: &TenantId, job: &JobName) -> StoreResult<Vec<JobVersion>>;
}

/// The answer to an apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The catalog has this revision now.
    Done {
        /// The new revision.
        revision: i64,
    },
    /// Somebody else changed the catalog in between: plan again.
    Conflict,
}

/// How the system stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// The store's clock.
    #[serde(serialize_with = "crate::run::rfc3339")]
    pub now: Timestamp,
    /// Who leads, or led last; null if nobody ever did or the last leader resigned.
    pub leader: Option<Leader>,
    /// Executors that were heard of lately.
    pub executors: Vec<ExecutorView>,
    /// The queue.
    pub queue: QueueView,
    /// The earliest next due time of any job.
    #[serde(serialize_with = "crate::run::rfc3339_opt")]
    pub next_due: Option<Timestamp>,
    /// The catalog.
    pub catalog: CatalogView,
}

/// An executor in the status.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExecutorView {
    /// Its id.
    pub id: Uuid,
    /// Its host name.
    pub host: String,
    /// Its process id.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// How many runs it runs at once.
    pub slots: u32,
    /// How many it ran when last heard of.
    pub running: u32,
    /// Which queues it serves.
    pub queues: Vec<String>,
    /// Whether it has stopped claiming.
    pub draining: bool,
    /// How long ago it was last heard of.
    pub seen_ms_ago: i64,
}

/// The queue in the status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QueueView {
    /// Items that are due and wait for an executor.
    pub depth: i64,
    /// How long the oldest of them has been due; null if none waits.
    pub oldest_age_ms: Option<i64>,
    /// Items that wait for their time.
    pub waiting: i64,
    /// Runs that are claimed.
    pub running: i64,
}

/// The catalog in the status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CatalogView {
    /// Grows with each change.
    pub revision: i64,
    /// Active tenants.
    pub tenants: i64,
    /// Active jobs.
    pub jobs: i64,
    /// `every` jobs with neither a next due time nor a live run. Always 0; anything else is a bug.
    pub stalled_interval_jobs: i64,
}

/// A hint that there is something to do. Hints may be lost and may lie (invariant I15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// Something became ready.
    Work,
    /// The connection was lost and is back: anything may have happened.
    Resync,
}

/// A subscription to hints.
#[async_trait]
pub trait Hints: Send {
    /// Waits for the next hint. Never fails: while the store is away it waits for it to come back.
    async fn next(&mut self) -> Hint;
}

/// A whole store.
#[async_trait]
pub trait Store: Lease + Schedules + Queue + Runs + Catalog {
    /// Creates or upgrades the schema. Answers how many migrations were run.
    async fn migrate(&self) -> StoreResult<u64>;

    /// Checks that the schema is the one this program knows.
    async fn check_schema(&self) -> StoreResult<()>;

    /// Whether the store answers.
    async fn ping(&self) -> StoreResult<()>;

    /// How the system stands.
    async fn status(&self) -> StoreResult<Status>;

    /// Which kind of lease elects the leader; `None` until the first election.
    async fn lease_kind(&self) -> StoreResult<Option<LeaseKind>>;

    /// Changes the kind of lease. Ends the current term.
    async fn set_lease_kind(&self, kind: LeaseKind) -> StoreResult<()>;

    /// Subscribes to hints.
    async fn hints(&self) -> StoreResult<Box<dyn Hints>>;

    /// Closes all connections.
    async fn close(&self);
}

/// A store that is shared between the parts of a process.
pub type SharedStore = Arc<dyn Store>;
