//! A store that fails now and then, before or after it has done what it was asked to.
//!
//! An error after the commit is what a lost connection looks like to a caller: the write is there, and the caller does
//! not know. Whatever runs through this decorator must end as if nothing had failed.

use std::sync::Arc;
use std::sync::Mutex;
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
    DueSet, EndpointFailure, Enqueue, ErrorKind, ExecutorInfo, Extended, HandledJob, Hints, HookTail, Hooks, HooksKept,
    HooksRecord, JobHistory, JobVersion, JobView, Launch, Lease, Note, OnceBegun, OnceKey, Opening, Pruned, Queue,
    QueueDepth, Recorded, Redriven, Rescued, Roster, RosterRecord, RosterState, RunFilter, Runs, Schedules, Served,
    Settled, SharedStore, SourceView, Status, Store, StoreError, StoreResult, Swept, TokenHash,
};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use uuid::Uuid;

/// See the module.
pub struct Faulty {
    inner: SharedStore,
    chance: f64,
    plan: Mutex<Plan>,
}

struct Plan {
    random: StdRng,
    before: u64,
    after: u64,
}

enum Fault {
    None,
    Before,
    After,
}

impl Faulty {
    /// Of all calls this share fails, half of them before they reach the store. The same seed gives the same faults
    /// for the same calls.
    #[must_use]
    pub fn new(inner: SharedStore, seed: u64, chance: f64) -> Arc<Self> {
        let plan = Plan { random: StdRng::seed_from_u64(seed), before: 0, after: 0 };
        Arc::new(Self { inner, chance, plan: Mutex::new(plan) })
    }

    /// How many calls failed before they reached the store, and after.
    #[must_use]
    pub fn faults(&self) -> (u64, u64) {
        let plan = self.plan.lock().unwrap();
        (plan.before, plan.after)
    }

    fn draw(&self) -> Fault {
        let mut plan = self.plan.lock().unwrap();
        if !plan.random.random_bool(self.chance) {
            return Fault::None;
        }
        if plan.random.random_bool(0.5) {
            plan.before += 1;
            Fault::Before
        } else {
            plan.after += 1;
            Fault::After
        }
    }

    async fn call<T>(&self, call: impl Future<Output = StoreResult<T>>) -> StoreResult<T> {
        let broken = || StoreError::new(ErrorKind::Unavailable, "reach the store", "the connection broke");
        match self.draw() {
            Fault::None => call.await,
            Fault::Before => Err(broken()),
            Fault::After => {
                call.await?;
                Err(broken())
            }
        }
    }
}

/// `name(parameter: Type, …) -> Answer;` delegates through [`Faulty::call`].
macro_rules! delegate {
    ($trait:ident: $($name:ident($($parameter:ident: $type:ty),*) -> $answer:ty;)+) => {
        #[async_trait]
        impl $trait for Faulty {
            $(async fn $name(&self, $($parameter: $type),*) -> StoreResult<$answer> {
                self.call(self.inner.$name($($parameter),*)).await
            })+
        }
    };
}

each_trait!(delegate);

#[async_trait]
impl Store for Faulty {
    async fn migrate(&self) -> StoreResult<u64> {
        self.call(self.inner.migrate()).await
    }

    async fn check_schema(&self) -> StoreResult<()> {
        self.call(self.inner.check_schema()).await
    }

    async fn ping(&self) -> StoreResult<()> {
        self.call(self.inner.ping()).await
    }

    async fn status(&self) -> StoreResult<Status> {
        self.call(self.inner.status()).await
    }

    async fn lease_kind(&self) -> StoreResult<Option<LeaseKind>> {
        self.call(self.inner.lease_kind()).await
    }

    async fn set_lease_kind(&self, kind: LeaseKind) -> StoreResult<()> {
        self.call(self.inner.set_lease_kind(kind)).await
    }

    async fn hints(&self) -> StoreResult<Box<dyn Hints>> {
        self.call(self.inner.hints()).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
