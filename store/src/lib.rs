//! The stores behind the traits of `leasehold-common`.
//!
//! This is the only crate that names sqlx or redis. It knows what each transition of a run writes and which locks it
//! takes, and nothing of who leads or how a run is executed. Each transition is one `.sql` file (several, where the
//! dialect needs several statements) under `sql/`, with the reason for its locks on top.

mod clock;
mod dead;
mod enqueue;
mod error;
mod json;
mod migrations;
mod needs;
mod past;
mod postgres;
mod redis_lock;
mod roster;
mod roster_source;
mod rows;
mod sqlite;
mod tenant_db;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use leasehold_common::id::QueueName;
use leasehold_common::lease::LeaseKind;
use leasehold_common::limit::GateId;
use leasehold_common::run::{Outcome, fingerprint};
use leasehold_common::store::{
    AttemptReport, DueBatch, DueJob, ErrorKind, LATE, Lease, Pause, Settled, SharedStore, StoreError, StoreResult,
};

use rand::seq::SliceRandom as _;

pub use clock::WallClock;
pub use postgres::enqueue_on_postgres;
pub use sqlite::enqueue_on_sqlite;
pub use tenant_db::{
    Param, PgTenantTransaction, Place, PoolOptions, SqliteTenantTransaction, StatementDone, TenantDbError, TenantPools,
    TenantStatement,
};

pub use roster_source::{AskLimits, ask_sql};
/// What transactions of tenants run on: a handler uses the same version.
pub use sqlx;

/// The error of a run that was held by an executor that is gone.
const LOST_EXECUTOR: &str = "the executor was lost: its claim expired without a heartbeat";

/// The error of a run that its endpoint kept open and did not report.
const NOT_REPORTED: &str = "timed out: the endpoint answered 202, and its report did not come in time";

/// The code of that error.
const TIMEOUT: &str = "timeout";

/// The code of that error.
const LOST: &str = "lost";

/// The code of a run that is dead because it has no attempt left when it is claimed.
const NO_ATTEMPT_LEFT: &str = "attempts";

/// What dead runs without an attempt left have in common.
fn no_attempt_left() -> i64 {
    fingerprint(Some(NO_ATTEMPT_LEFT), dismissal_reason(Outcome::Dead))
}

/// What a run that dies by this report has in common with others.
fn fingerprint_of(report: &AttemptReport, outcome: Outcome) -> Option<i64> {
    (outcome == Outcome::Dead).then(|| fingerprint(report.code.as_deref(), report.error.as_deref().unwrap_or_default()))
}

/// The error of a run that was cancelled before it started.
const CANCELLED_ON_REQUEST: &str = "cancelled on request";

/// The error of a run that a later one of its job took the place of, under the overlap policy `cancel_previous`.
const TOOK_ITS_PLACE: &str = "a later run of the job took its place";

/// The largest instant: until when an open pause lasts, and from when on an item runs that waits for a run of its job.
pub(crate) const FOREVER: i64 = i64::MAX;

/// [`LATE`] in microseconds.
pub(crate) const LATE_US: i64 = LATE.as_micros() as i64;

/// How soon an executor should look again while late items wait for their share of a second.
const RECOVERY_TURN: Duration = Duration::from_secs(1);

/// Executors that sleep until the next due time they know of are woken for anything sooner than this.
const HINT_WITHIN_US: i64 = 2_000_000;

/// After how long an executor that is not heard of any more leaves the list.
const FORGET_EXECUTOR_US: i64 = 3_600_000_000;

/// The queues of a claim in an order of chance: a claim fills up from the first, and a queue that is always full must
/// not keep an executor from the others.
fn by_chance(queues: &[QueueName]) -> Vec<&str> {
    let mut queues: Vec<_> = queues.iter().map(QueueName::as_str).collect();
    queues.shuffle(&mut rand::rng());
    queues
}

/// Why an item ended without being run.
fn dismissal_reason(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Overlapped => "a run of the same job was still running",
        Outcome::Misfired => {
            "nobody ran it in time: a later due time or its limit had come before an executor was free for it"
        }
        Outcome::Dead => "no attempt was left",
        Outcome::Paused => "the job was paused",
        Outcome::Gated => "the tenant lacked a feature that the job requires",
        Outcome::Expired => "its time to live was over before an executor was free for it",
        Outcome::Superseded => "the job's schedule was changed before this run started",
        _ => "the job was removed before this run started",
    }
}

/// Why due times did not run that were never in the queue.
fn skip_reason(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Misfired => {
            "nobody ran it in time: a later due time or its limit had come before a leader fanned it out"
        }
        Outcome::Paused => "the job was paused",
        Outcome::BlackedOut => "it fell into a blackout",
        Outcome::Gated => "the tenant lacked a feature that the job requires",
        Outcome::Superseded => "the job's schedule was changed before a leader fanned this one out",
        _ => "the job was removed before a leader fanned this one out",
    }
}

/// A key that another job has already (one chance in 2^62 for a pair of jobs) ends the apply: two jobs must not be one.
fn all_written(written: u64, jobs: usize) -> StoreResult<()> {
    if written == jobs as u64 {
        return Ok(());
    }
    let what = "two jobs came to the same key; give one of them another name";
    Err(StoreError::new(ErrorKind::Invalid, "apply the catalog", what))
}

/// The answer to a guarded write about an attempt.
fn settled(matched: bool) -> Settled {
    if matched { Settled::Recorded } else { Settled::Stale }
}

/// By how much the time for which a breaker opens differs from the rule, per mille: endpoints that went down together are
/// not all asked together.
fn breaker_chance() -> i64 {
    rand::random_range(750..=1_250)
}

/// Whether a run that passes these gates finds out for its endpoint.
fn is_probe(gates: &[i64]) -> bool {
    gates.iter().any(|gate| GateId::from_i64(*gate).is_endpoint())
}

/// Gates of a job as both stores keep or read them: a JSON list, nothing for none.
fn gates_json(gates: &[GateId]) -> Option<String> {
    let ids: Vec<i64> = gates.iter().map(|gate| gate.as_i64()).collect();
    (!ids.is_empty()).then(|| json::batch(&ids))
}

/// The jobs that are due within a time, of those that were looked at: one more than `limit`, so that it is known how far
/// away the next one is.
fn due_batch(mut jobs: Vec<DueJob>, now: i64, within: Duration, limit: u32) -> DueBatch {
    let horizon = now.saturating_add(clock::us(within));
    let due = jobs.iter().take_while(|job| job.next_due.as_microsecond() <= horizon).count().min(limit as usize);
    let next_in = jobs.get(due).map(|job| clock::span(horizon, job.next_due.as_microsecond()));
    jobs.truncate(due);
    DueBatch { now: clock::at(now), jobs, next_in }
}

/// The pause of a job, as stored; it may be over.
fn pause(paused_at: Option<i64>, paused_until: Option<i64>) -> Option<Pause> {
    let (from, until) = (paused_at?, paused_until?);
    Some(Pause { at: clock::at(from), until: if until == FOREVER { Timestamp::MAX } else { clock::at(until) } })
}

/// How a process uses its store.
#[derive(Clone, Debug)]
pub struct Options {
    /// Shown by the server beside its connections: `leasehold-scheduler`, …
    pub name: String,
    /// The most connections for ordinary work; leases and heartbeats have two more of their own.
    pub connections: u32,
    /// Whether a SQLite file that does not exist is created; otherwise it counts as a store that cannot be reached.
    /// Programs that only make sense on a store that is set up do not create one by a slip of the path.
    pub create: bool,
    /// The clock of a SQLite store. On Postgres the server's clock counts, whatever stands here.
    pub clock: WallClock,
}

impl Default for Options {
    fn default() -> Self {
        Self { name: "leasehold".to_owned(), connections: 8, create: true, clock: WallClock::default() }
    }
}

/// Opens the store that `url` names: `sqlite:PATH` or `postgres://…`. Fails if the URL is wrong or the store cannot
/// be reached; whether its schema is there is [`leasehold_common::store::Store::check_schema`]'s business.
pub async fn open(url: &str, options: &Options) -> StoreResult<SharedStore> {
    let store: SharedStore = if let Some(path) = url.strip_prefix("sqlite:") {
        Arc::new(sqlite::SqliteStore::open(path, options).await?)
    } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        Arc::new(postgres::PgStore::open(url, options).await?)
    } else {
        return Err(StoreError::new(
            ErrorKind::Invalid,
            "open the store",
            "the URL must start with sqlite: or postgres://, as in sqlite:leasehold.db or postgres://user@host/database",
        ));
    };
    Ok(store)
}

/// Opens the lease that `url` names, in front of `store`: without a URL the store's own lease row; with
/// `redis://…` or `rediss://…` a lock that elects, while the store mints and checks the term.
pub async fn open_lease(url: Option<&str>, store: &SharedStore) -> StoreResult<(Arc<dyn Lease>, LeaseKind)> {
    match url {
        None => Ok((Arc::new(StoreLease(Arc::clone(store))), LeaseKind::Store)),
        Some(url) => Ok((Arc::new(redis_lock::RedisLock::open(url, store).await?), LeaseKind::Redis)),
    }
}

/// The store's own lease row, as a lease of its own.
struct StoreLease(SharedStore);

#[async_trait::async_trait]
impl Lease for StoreLease {
    async fn acquire(
        &self,
        candidate: &leasehold_common::lease::Candidate,
        ttl: std::time::Duration,
    ) -> StoreResult<leasehold_common::lease::Acquired> {
        self.0.acquire(candidate, ttl).await
    }

    async fn renew(
        &self,
        term: &leasehold_common::lease::Term,
        ttl: std::time::Duration,
    ) -> StoreResult<leasehold_common::lease::Renewal> {
        self.0.renew(term, ttl).await
    }

    async fn resign(&self, term: &leasehold_common::lease::Term) -> StoreResult<()> {
        self.0.resign(term).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_that_postgres_statements_spell_out_are_ours() {
        assert_eq!((LATE_US, FOREVER), (60_000_000, 9_223_372_036_854_775_807));
        assert_eq!(GateId::FIRST_NEED, -4_611_686_018_427_387_904);
    }
}
