//! The seams behind which the stores stand.
//!
//! Each trait is narrow and object-safe; where atomicity is needed, one method is one transaction, so that a method
//! can be one SQL statement, one SQLite transaction or one Lua script. No method takes a wall-clock time: the store's
//! clock decides lease, due, visibility, start and end, and callers pass durations.
//!
//! Expected answers are values ([`Dispatched::StaleTerm`], [`Settled::Stale`]); a [`StoreError`] means that the store
//! could not answer, and callers branch on its [`ErrorKind`] only.
//!
//! | module | owns |
//! |---|---|
//! | `schedules` | due times and their fan-out, for the leader |
//! | `queue` | work items, for executors |
//! | `breakers` | endpoints that are down, and what waits for them |
//! | `callbacks` | runs that their endpoint reports later, and what runs say while they run |
//! | `runs` | runs and their reports, for people and scripts |
//! | `catalog` | tenants and jobs |
//! | `dead` | runs that died and that nobody has dealt with |
//! | `roster` | the config in force and the live sources of tenants, for the leader |
//! | `hooks` | who is told what becomes of runs, for the leader |
//! | `status` | how the system stands |

mod breakers;
mod callbacks;
mod catalog;
mod dead;
mod hooks;
mod queue;
mod roster;
mod runs;
mod schedules;
mod status;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use self::breakers::*;
pub use self::callbacks::*;
pub use self::catalog::*;
pub use self::dead::*;
pub use self::hooks::*;
pub use self::queue::*;
pub use self::roster::*;
pub use self::runs::*;
pub use self::schedules::*;
pub use self::status::*;
use crate::id::TenantId;
use crate::lease::{Acquired, Candidate, LeaseKind, Renewal, Term};

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
pub trait Store:
    Lease + Schedules + Queue + Breakers + Callbacks + Runs + Catalog + Roster + DeadLetters + Hooks
{
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

    /// The same store with a view of one tenant only, if it can be kept to that tenant's rows by more than what is asked
    /// of it (invariant I14). See [`for_tenant`].
    fn narrowed(&self, _tenant: &TenantId) -> Option<SharedStore> {
        None
    }

    /// Closes all connections.
    async fn close(&self);
}

/// A store that is shared between the parts of a process.
pub type SharedStore = Arc<dyn Store>;

/// The store for what is done on behalf of one tenant: where it can, it sees and changes the rows of that tenant alone,
/// even if it is asked for others. What belongs to no tenant (status, lease, hints) is as before.
#[must_use]
pub fn for_tenant(store: &SharedStore, tenant: &TenantId) -> SharedStore {
    store.narrowed(tenant).unwrap_or_else(|| Arc::clone(store))
}
