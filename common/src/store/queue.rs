//! Work items, for executors.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::StoreResult;
use crate::definition::{DefinitionId, Tenant};
use crate::id::{CorrelationId, JobName, QueueName, TenantId};
use crate::limit::GateId;
use crate::run::{Cause, Outcome};

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
    /// What it can do, as [`crate::need`] names it.
    pub abilities: Vec<String>,
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
    /// What the executor can do: items that need something else wait outside the line for one that can. `None`: it takes
    /// what stands in line.
    pub abilities: Option<Vec<GateId>>,
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
    /// Items that left the line without a run while the store looked: they ended (overlapped, misfired, …), or wait
    /// for a run of their job. If any did, more may be waiting behind them: ask again at once.
    pub dismissed: u64,
    /// How those that ended did.
    pub ended: Vec<Outcome>,
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
    /// How long ago its first attempt started; zero for that attempt.
    pub age: Duration,
    /// The lane in which it waited.
    pub lane: Lane,
    /// Its place in that lane, in virtual time (see [`Queue::charge`]).
    pub tag: i64,
    /// The run time that its place was dealt with.
    pub cost: Duration,
    /// Whether it was let through to find out whether its endpoint is back: the breaker is not closed.
    pub probe: bool,
}

/// A line in which items wait: what is claimed first is decided within it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane {
    /// The queue.
    pub queue: QueueName,
    /// The priority; smaller ones go first.
    pub priority: i16,
}

/// What runs of a tenant in a lane took, beside what they were thought to take when they got their places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The lane.
    pub lane: Lane,
    /// The tenant.
    pub tenant: TenantId,
    /// How many runs have ended.
    pub runs: u32,
    /// What they took together.
    pub spent: Duration,
    /// What they were thought to take together: the sum of [`ClaimedRun::cost`].
    pub estimated: Duration,
}

/// How far a lane was served: the largest [`ClaimedRun::tag`] that was claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The lane.
    pub lane: Lane,
    /// The largest tag.
    pub tag: i64,
}

/// How a queue stands, for autoscalers and people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QueueDepth {
    /// Its name.
    pub queue: QueueName,
    /// Items that are due and may be claimed.
    pub depth: u64,
    /// How long the oldest of them has been due; null if none waits.
    pub oldest_age_ms: Option<i64>,
    /// Items that are due and wait for room under a limit.
    pub limited: u64,
    /// Runs that executors hold; one that its endpoint keeps open is none of them.
    pub running: u64,
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
    /// What kind of error that is, in a word.
    pub code: Option<String>,
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

/// Something that an attempt does once, and who does it: a run of a job by a scope and a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnceKey {
    /// The run of the attempt.
    pub id: CorrelationId,
    /// The claim that it runs under.
    pub claim: ClaimId,
    /// The attempt.
    pub attempt: u32,
    /// Within what it happens once: the run's id, or what the handler says.
    pub scope: String,
    /// What.
    pub name: String,
}

/// What came of beginning something that is to happen once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnceBegun {
    /// Nobody had begun it.
    First,
    /// Somebody had begun it and is over, without having said that it is done: whether it happened is unknown.
    Unfinished {
        /// The run that began it.
        run: CorrelationId,
        /// The attempt.
        attempt: u32,
        /// When.
        at: Timestamp,
    },
    /// Another run has begun it and is under way.
    Busy {
        /// The run.
        run: CorrelationId,
    },
    /// It is done.
    Done {
        /// What came of it, as JSON text.
        result: String,
    },
    /// The attempt is not this executor's any longer (invariant I6).
    Stale,
}

/// Work items, for executors.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Makes items ready whose time has come, at most `limit`. Of those that are [`LATE`], at most as many a second as
    /// the recovery budget says ([`crate::catalog::Recovery`]), by priority and then age.
    async fn activate(&self, limit: u32) -> StoreResult<Activated>;

    /// Claims ready items under one new token. Items that must not run end here: a scheduled one of an older
    /// schedule as `superseded`, one of a paused job as `paused`, one whose time is over as `expired` or `misfired`,
    /// one with a later due time waiting as `misfired`, one whose tenant lacks a feature as `gated`. One that a limit
    /// has no room for waits outside the line until there is room (see [`crate::limit`]). One whose job is running (invariant I8) ends as `overlapped`
    /// or waits for it, as the job's overlap policy says.
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

    /// Charges tenants for what their runs really took, so that the places of their next ones are fair, and moves the
    /// virtual time of lanes on. A charge that is lost costs a moment of fairness and nothing else.
    ///
    /// An item gets its place when it becomes ready: the later of where its tenant's last place ended and the virtual
    /// time of its lane, and it ends a mean run time of its tenant, divided by the tenant's weight, after that. Lanes
    /// are served in the order of places.
    async fn charge(&self, charges: &[Charge], served: &[Served]) -> StoreResult<()>;

    /// How the queues stand that have any item or run.
    async fn queues(&self) -> StoreResult<Vec<QueueDepth>>;

    /// Says that the executor is alive and what it is doing, for people; nothing depends on it.
    async fn announce(&self, info: &ExecutorInfo) -> StoreResult<()>;

    /// Takes the executor off the list.
    async fn retire(&self, executor: Uuid) -> StoreResult<()>;

    /// The payloads of those of these enqueued runs that have one of their own, as JSON text.
    async fn payloads(&self, runs: &[CorrelationId]) -> StoreResult<Vec<(CorrelationId, String)>>;

    /// Begins something that is to happen once. Retained as long as reports are.
    async fn begin_once(&self, key: &OnceKey) -> StoreResult<OnceBegun>;

    /// Says that it is done, and what came of it, as JSON text. `false`: the attempt is not this executor's any longer
    /// (invariant I6), or another run has taken it over.
    async fn finish_once(&self, key: &OnceKey, result: &str) -> StoreResult<bool>;

    /// The tenants with these ids and the revision of each.
    async fn tenants_by_id(&self, ids: &[TenantId]) -> StoreResult<Vec<(Tenant, i64)>>;
}
