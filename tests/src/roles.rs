//! Logins in Leasehold's PostgreSQL roles, and a store that does everything by the login whose business it is.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use leasehold_common::catalog::{CatalogPlan, CatalogSnapshot, Member};
use leasehold_common::definition::{DefinitionId, Tenant};
use leasehold_common::hook::Overdue;
use leasehold_common::id::{CorrelationId, JobKey, JobName, TenantId};
use leasehold_common::lease::{Acquired, Candidate, LeaseKind, Renewal, Term};
use leasehold_common::run::{Report, RunStory, RunView};
use leasehold_common::store::{
    Activated, Applied, Attempt, AttemptReport, BreakerView, Breakers, Callback, Callbacks, Cancelled, Catalog, Charge,
    ClaimId, ClaimRequest, Claimed, ConfigInForce, DeadCount, DeadFilter, DeadGroup, DeadLetters, Dispatched, DueBatch,
    DueSet, EndpointFailure, Enqueue, ExecutorInfo, Extended, HandledJob, Hints, HookTail, Hooks, HooksKept,
    HooksRecord, JobHistory, JobVersion, JobView, Launch, Lease, Note, OnceBegun, OnceKey, Opening, Pruned, Queue,
    QueueDepth, Recorded, Redriven, Rescued, Roster, RosterRecord, RosterState, RunFilter, Runs, Schedules, Served,
    Settled, SharedStore, SourceView, Status, Store, StoreResult, Swept, TokenHash,
};
use leasehold_store::Options;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use uuid::Uuid;

/// The roles that have logins of their own. `leasehold_tenant` is taken by those of schedulers.
pub const ROLES: [&str; 4] = ["leasehold_migrator", "leasehold_scheduler", "leasehold_executor", "leasehold_viewer"];

/// The URL with another login.
#[must_use]
pub fn login_url(url: &str, login: &str) -> String {
    let (_, rest) = url.split_once('@').expect("a login in the URL");
    format!("postgres://{login}@{rest}")
}

/// The login of a role, made if it is not there. `url` is an administrator's.
pub async fn login(url: &str, role: &str) -> String {
    let login = format!("{role}_login");
    let mut admin = PgConnection::connect(url).await.unwrap();
    // Tests of one server run side by side, and `CREATE ROLE` knows no IF NOT EXISTS.
    let statement = format!(
        "DO $$ BEGIN
             PERFORM pg_advisory_lock(1);
             IF to_regrole('{login}') IS NULL THEN CREATE ROLE {login} LOGIN IN ROLE {role}; END IF;
             PERFORM pg_advisory_unlock(1);
         EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
         END $$"
    );
    admin.execute(AssertSqlSafe(statement)).await.unwrap();
    admin.close().await.unwrap();
    login_url(url, &login)
}

/// The store at `url` (an administrator's) as a login of this role sees it.
pub async fn store_as(url: &str, role: &str) -> SharedStore {
    leasehold_store::open(&login(url, role).await, &Options::default()).await.unwrap()
}

/// A store of which each part is used by the login of the role that uses it: executors the queue, people who only look
/// the status, the leader and the operator the rest.
pub struct ByRole {
    migrator: SharedStore,
    scheduler: SharedStore,
    executor: SharedStore,
    viewer: SharedStore,
}

impl ByRole {
    /// Opens the store at `url` (an administrator's), once for each role.
    pub async fn open(url: &str) -> SharedStore {
        Arc::new(Self {
            migrator: store_as(url, "leasehold_migrator").await,
            scheduler: store_as(url, "leasehold_scheduler").await,
            executor: store_as(url, "leasehold_executor").await,
            viewer: store_as(url, "leasehold_viewer").await,
        })
    }
}

macro_rules! delegate {
    ($trait:ident: $($name:ident($($parameter:ident: $type:ty),*) -> $answer:ty;)+) => {
        #[async_trait]
        impl $trait for ByRole {
            $(async fn $name(&self, $($parameter: $type),*) -> StoreResult<$answer> {
                by!($trait $name, self).$name($($parameter),*).await
            })+
        }
    };
}

/// Whose business a method is.
macro_rules! by {
    (Queue queues, $stores:ident) => {
        $stores.viewer
    };
    (Queue $name:ident, $stores:ident) => {
        $stores.executor
    };
    (Breakers endpoint_failed, $stores:ident) => {
        $stores.executor
    };
    (Breakers breakers, $stores:ident) => {
        $stores.viewer
    };
    (Callbacks expect, $stores:ident) => {
        $stores.executor
    };
    (Callbacks open, $stores:ident) => {
        $stores.executor
    };
    (Callbacks note, $stores:ident) => {
        $stores.executor
    };
    (Schedules definitions, $stores:ident) => {
        $stores.executor
    };
    ($trait:ident $name:ident, $stores:ident) => {
        $stores.scheduler
    };
}

each_trait!(delegate);

#[async_trait]
impl Store for ByRole {
    async fn migrate(&self) -> StoreResult<u64> {
        self.migrator.migrate().await
    }

    async fn check_schema(&self) -> StoreResult<()> {
        self.scheduler.check_schema().await?;
        self.viewer.check_schema().await?;
        self.executor.check_schema().await
    }

    async fn ping(&self) -> StoreResult<()> {
        self.executor.ping().await
    }

    async fn status(&self) -> StoreResult<Status> {
        self.viewer.status().await
    }

    async fn lease_kind(&self) -> StoreResult<Option<LeaseKind>> {
        self.scheduler.lease_kind().await
    }

    async fn set_lease_kind(&self, kind: LeaseKind) -> StoreResult<()> {
        self.scheduler.set_lease_kind(kind).await
    }

    async fn hints(&self) -> StoreResult<Box<dyn Hints>> {
        self.executor.hints().await
    }

    fn narrowed(&self, tenant: &TenantId) -> Option<SharedStore> {
        self.scheduler.narrowed(tenant)
    }

    async fn close(&self) {
        self.scheduler.close().await;
        self.executor.close().await;
        self.viewer.close().await;
    }
}
