//! A store in memory for this crate's tests: just the executor's calls, with the guards of a real one, a log of what
//! was called, and failures on demand.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use leasehold_common::catalog::{CatalogPlan, CatalogSnapshot, Member};
use leasehold_common::definition::{Definition, DefinitionId, HandlerSpec, ScheduleSpec, Tenant};
use leasehold_common::hook::Overdue;
use leasehold_common::id::{CorrelationId, JobKey, JobName, TenantId};
use leasehold_common::lease::{Acquired, Candidate, LeaseKind, Renewal, Term};
use leasehold_common::retry::RetryPolicy;
use leasehold_common::run::{Cause, Report, RunStory, RunView};
use leasehold_common::store::*;
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

/// What stands in for everything that no executor calls.
macro_rules! not_an_executors_call {
    () => {
        unreachable!("an executor does not call this")
    };
}

#[derive(Default)]
pub(crate) struct Fake {
    state: Mutex<State>,
    hint: Arc<Notify>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) ready: VecDeque<ClaimedRun>,
    /// Due at; sorted by whoever looks.
    pub(crate) ahead: Vec<(Instant, ClaimedRun)>,
    pub(crate) definitions: HashMap<DefinitionId, String>,
    pub(crate) tenants: HashMap<TenantId, (Tenant, i64)>,
    pub(crate) payloads: HashMap<CorrelationId, String>,
    /// Endpoints whose breaker is not closed.
    pub(crate) down: HashSet<String>,
    pub(crate) claims: HashMap<ClaimId, HashSet<(CorrelationId, u32)>>,
    pub(crate) cancel: Vec<CorrelationId>,
    pub(crate) reports: Vec<AttemptReport>,
    pub(crate) finished: Vec<ClaimId>,
    pub(crate) tokens: Vec<(Attempt, TokenHash)>,
    pub(crate) opened: Vec<Opening>,
    pub(crate) notes: Vec<Note>,
    pub(crate) charged: Vec<Charge>,
    pub(crate) served: Vec<Served>,
    pub(crate) announced: Vec<ExecutorInfo>,
    pub(crate) retired: Vec<Uuid>,
    /// Every call, with when.
    pub(crate) calls: Vec<(&'static str, Instant)>,
    /// The next calls of a name fail like this.
    pub(crate) failures: HashMap<&'static str, VecDeque<ErrorKind>>,
    /// Items that the next claim dismisses.
    pub(crate) dismiss: u64,
    /// A settle that fails does its work all the same, as if the answer had got lost.
    pub(crate) answer_lost: bool,
    /// Reports of these runs make a settle invalid.
    pub(crate) poison: HashSet<CorrelationId>,
}

impl Fake {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn hint(&self) {
        self.hint.notify_one();
    }

    pub(crate) fn fail(&self, call: &'static str, kind: ErrorKind, times: usize) {
        self.state().failures.entry(call).or_default().extend(std::iter::repeat_n(kind, times));
    }

    pub(crate) fn count(&self, call: &str) -> usize {
        self.state().calls.iter().filter(|(name, _)| *name == call).count()
    }

    /// A run of `acme` with this handler.
    pub(crate) fn run(&self, handler: HandlerSpec) -> ClaimedRun {
        self.run_with(handler, Duration::from_secs(60), 3)
    }

    pub(crate) fn run_with(&self, handler: HandlerSpec, timeout: Duration, attempts: u32) -> ClaimedRun {
        let definition = definition(handler, timeout, attempts);
        let id = definition.id();
        let tenant = tenant();
        let run = ClaimedRun {
            id: CorrelationId::from_uuid(uuid::Builder::from_random_bytes(rand::random()).into_uuid()),
            tenant: tenant.id.clone(),
            tenant_revision: 1,
            job: JobName::new("sync").unwrap(),
            definition: id,
            cause: Cause::Schedule,
            scheduled_for: jiff::Timestamp::now(),
            attempt: 1,
            released: 0,
            age: Duration::ZERO,
            lane: Lane { queue: Default::default(), priority: 0 },
            tag: 0,
            cost: Duration::ZERO,
            probe: false,
        };
        let mut state = self.state();
        state.definitions.insert(id, definition.to_json());
        state.tenants.insert(tenant.id.clone(), (tenant, 1));
        run
    }

    pub(crate) fn push(&self, run: ClaimedRun) -> CorrelationId {
        let id = run.id;
        self.state().ready.push_back(run);
        id
    }

    /// Waits until `done` says so, or fails after a minute of the test's clock.
    pub(crate) async fn until<T>(&self, what: &str, mut done: impl FnMut(&mut State) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(value) = done(&mut self.state()) {
                return value;
            }
            assert!(Instant::now() < deadline, "waited in vain for {what}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub(crate) async fn report_of(&self, id: CorrelationId) -> AttemptReport {
        self.until("a report", |state| state.reports.iter().find(|report| report.id == id).cloned()).await
    }

    fn begin(&self, call: &'static str) -> StoreResult<MutexGuard<'_, State>> {
        let mut state = self.state();
        state.calls.push((call, Instant::now()));
        match state.failures.get_mut(call).and_then(VecDeque::pop_front) {
            Some(kind) => Err(StoreError::new(kind, call, "as the test says")),
            None => Ok(state),
        }
    }
}

pub(crate) fn tenant() -> Tenant {
    Tenant::new(TenantId::new("acme").unwrap())
}

pub(crate) fn definition(handler: HandlerSpec, timeout: Duration, attempts: u32) -> Definition {
    Definition {
        timeout,
        retry: RetryPolicy { attempts, ..RetryPolicy::default() },
        ..Definition::new(ScheduleSpec::Every { interval: Duration::from_secs(60) }, handler)
    }
}

pub(crate) fn named(name: &str) -> HandlerSpec {
    HandlerSpec::Named { name: name.to_owned() }
}

#[async_trait]
impl Queue for Fake {
    async fn activate(&self, limit: u32) -> StoreResult<Activated> {
        let mut state = self.begin("activate")?;
        let now = Instant::now();
        let mut moved = 0;
        state.ahead.sort_by_key(|(due, _)| *due);
        while moved < u64::from(limit) && state.ahead.first().is_some_and(|(due, _)| *due <= now) {
            let (_, run) = state.ahead.remove(0);
            state.ready.push_back(run);
            moved += 1;
        }
        let next_in = state.ahead.first().map(|(due, _)| due.saturating_duration_since(now));
        Ok(Activated { moved, next_in })
    }

    async fn claim(&self, request: &ClaimRequest) -> StoreResult<Claimed> {
        let mut state = self.begin("claim")?;
        let claim = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
        let take = state.ready.len().min(request.limit as usize);
        let items: Vec<ClaimedRun> = state.ready.drain(..take).collect();
        if !items.is_empty() {
            state.claims.insert(claim, items.iter().map(|run| (run.id, run.attempt)).collect());
        }
        let dismissed = std::mem::take(&mut state.dismiss);
        Ok(Claimed { claim, items, dismissed, ended: Vec::new() })
    }

    async fn extend(&self, _executor: Uuid, claims: &[ClaimId], _ttl: Duration) -> StoreResult<Extended> {
        let state = self.begin("extend")?;
        let alive = claims.iter().filter(|claim| state.claims.contains_key(*claim)).copied().collect();
        Ok(Extended { alive, cancel: state.cancel.clone() })
    }

    async fn settle(
        &self,
        _executor: Uuid,
        reports: &[AttemptReport],
        finished: &[ClaimId],
    ) -> StoreResult<Vec<Settled>> {
        let begun = self.begin("settle").map(drop);
        let mut state = self.state();
        if begun.is_err() && !state.answer_lost {
            return begun.map(|()| vec![]);
        }
        if reports.iter().any(|report| state.poison.contains(&report.id)) {
            return Err(StoreError::new(ErrorKind::Invalid, "settle", "poison"));
        }
        let mut answers = Vec::new();
        for report in reports {
            let held =
                state.claims.get_mut(&report.claim).is_some_and(|runs| runs.remove(&(report.id, report.attempt)));
            answers.push(if held { Settled::Recorded } else { Settled::Stale });
            if held {
                state.reports.push(report.clone());
            }
        }
        for claim in finished {
            assert!(state.claims.remove(claim).is_none_or(|runs| runs.is_empty()), "a finished claim has runs");
            state.finished.push(*claim);
        }
        begun.map(|()| answers)
    }

    async fn charge(&self, charges: &[Charge], served: &[Served]) -> StoreResult<()> {
        let mut state = self.begin("charge")?;
        state.charged.extend(charges.iter().cloned());
        state.served.extend(served.iter().cloned());
        Ok(())
    }

    async fn queues(&self) -> StoreResult<Vec<QueueDepth>> {
        not_an_executors_call!()
    }

    async fn announce(&self, info: &ExecutorInfo) -> StoreResult<()> {
        self.begin("announce")?.announced.push(info.clone());
        Ok(())
    }

    async fn retire(&self, executor: Uuid) -> StoreResult<()> {
        self.begin("retire")?.retired.push(executor);
        Ok(())
    }

    async fn payloads(&self, runs: &[CorrelationId]) -> StoreResult<Vec<(CorrelationId, String)>> {
        let state = self.begin("payloads")?;
        Ok(runs.iter().filter_map(|id| Some((*id, state.payloads.get(id)?.clone()))).collect())
    }

    async fn begin_once(&self, _: &OnceKey) -> StoreResult<OnceBegun> {
        self.begin("begin_once").map(|_| OnceBegun::First)
    }

    async fn finish_once(&self, _: &OnceKey, _: &str) -> StoreResult<bool> {
        self.begin("finish_once").map(|_| true)
    }

    async fn tenants_by_id(&self, ids: &[TenantId]) -> StoreResult<Vec<(Tenant, i64)>> {
        let state = self.begin("tenants_by_id")?;
        Ok(ids.iter().filter_map(|id| state.tenants.get(id).cloned()).collect())
    }
}

#[async_trait]
impl Breakers for Fake {
    async fn endpoint_failed(&self, failure: &EndpointFailure) -> StoreResult<bool> {
        let mut state = self.begin("endpoint_failed")?;
        if failure.open {
            state.down.insert(failure.endpoint.clone());
        }
        Ok(state.down.contains(&failure.endpoint))
    }
    async fn close_breaker(&self, endpoint: &str) -> StoreResult<bool> {
        Ok(self.begin("close_breaker")?.down.remove(endpoint))
    }
    async fn breakers(&self) -> StoreResult<Vec<BreakerView>> {
        not_an_executors_call!()
    }
}

#[async_trait]
impl Callbacks for Fake {
    async fn expect(&self, tokens: &[(Attempt, TokenHash)]) -> StoreResult<Vec<Attempt>> {
        let mut state = self.begin("expect")?;
        let held = |of: &Attempt| state.claims.get(&of.claim).is_some_and(|runs| runs.contains(&(of.id, of.attempt)));
        let kept: Vec<_> = tokens.iter().filter(|(of, _)| held(of)).copied().collect();
        state.tokens.extend(&kept);
        Ok(kept.into_iter().map(|(of, _)| of).collect())
    }
    async fn open(&self, openings: &[Opening]) -> StoreResult<Vec<Settled>> {
        let mut state = self.begin("open")?;
        let mut answers = Vec::new();
        for opening in openings {
            let Attempt { id, attempt, claim } = opening.attempt;
            let held = state.claims.get_mut(&claim).is_some_and(|runs| runs.remove(&(id, attempt)));
            answers.push(if held { Settled::Recorded } else { Settled::Stale });
            if held {
                state.opened.push(opening.clone());
            }
        }
        Ok(answers)
    }
    async fn callback(&self, _: CorrelationId, _: &TokenHash) -> StoreResult<Option<Callback>> {
        not_an_executors_call!()
    }
    async fn keep_open(&self, _: Attempt) -> StoreResult<Option<Duration>> {
        not_an_executors_call!()
    }
    async fn note(&self, notes: &[Note]) -> StoreResult<()> {
        self.begin("note")?.notes.extend(notes.iter().cloned());
        Ok(())
    }
}

#[async_trait]
impl Schedules for Fake {
    async fn due(&self, _: DueSet, _: Duration, _: u32) -> StoreResult<DueBatch> {
        not_an_executors_call!()
    }
    async fn dispatch(&self, _: &Term, _: &[Launch]) -> StoreResult<Dispatched> {
        not_an_executors_call!()
    }
    async fn definitions(&self, ids: &[DefinitionId]) -> StoreResult<Vec<(DefinitionId, String)>> {
        let state = self.begin("definitions")?;
        Ok(ids.iter().filter_map(|id| Some((*id, state.definitions.get(id)?.clone()))).collect())
    }
    async fn sweep(&self, _: &Term, _: u32) -> StoreResult<Swept> {
        not_an_executors_call!()
    }
    async fn rescue(&self, _: &Term, _: u32) -> StoreResult<Rescued> {
        not_an_executors_call!()
    }
    async fn prune(&self, _: &Term, _: Duration, _: u32) -> StoreResult<Pruned> {
        not_an_executors_call!()
    }
}

#[async_trait]
impl Lease for Fake {
    async fn acquire(&self, _: &Candidate, _: Duration) -> StoreResult<Acquired> {
        not_an_executors_call!()
    }
    async fn renew(&self, _: &Term, _: Duration) -> StoreResult<Renewal> {
        not_an_executors_call!()
    }
    async fn resign(&self, _: &Term) -> StoreResult<()> {
        not_an_executors_call!()
    }
}

#[async_trait]
impl Runs for Fake {
    async fn reports(&self, _: i64, _: &RunFilter, _: u32) -> StoreResult<(Vec<Report>, i64)> {
        not_an_executors_call!()
    }
    async fn last_seq(&self) -> StoreResult<i64> {
        not_an_executors_call!()
    }
    async fn runs(&self, _: &RunFilter, _: u32) -> StoreResult<Vec<RunView>> {
        not_an_executors_call!()
    }
    async fn run(&self, _: CorrelationId) -> StoreResult<Option<RunStory>> {
        not_an_executors_call!()
    }
    async fn trigger(&self, _: &TenantId, _: &JobName, _: bool) -> StoreResult<Option<CorrelationId>> {
        not_an_executors_call!()
    }
    async fn enqueue(&self, _: &Enqueue) -> StoreResult<Option<CorrelationId>> {
        not_an_executors_call!()
    }
    async fn backfill(&self, _: JobKey, _: &[Timestamp], _: Duration) -> StoreResult<Option<u64>> {
        not_an_executors_call!()
    }
    async fn history(&self, _: &TenantId, _: &JobName, _: Timestamp, _: Timestamp) -> StoreResult<Option<JobHistory>> {
        not_an_executors_call!()
    }
    async fn cancel(&self, _: CorrelationId) -> StoreResult<Cancelled> {
        not_an_executors_call!()
    }
}

#[async_trait]
impl Catalog for Fake {
    async fn snapshot(&self) -> StoreResult<CatalogSnapshot> {
        not_an_executors_call!()
    }
    async fn apply(&self, _: &CatalogPlan, _: Option<&Term>) -> StoreResult<Applied> {
        not_an_executors_call!()
    }
    async fn tenants(&self, _: Option<&TenantId>, _: u32) -> StoreResult<Vec<Member>> {
        not_an_executors_call!()
    }
    async fn jobs(&self, _: Option<&TenantId>, _: Option<&JobName>, _: u32) -> StoreResult<Vec<JobView>> {
        not_an_executors_call!()
    }
    async fn pause(&self, _: &[JobKey], _: &str, _: Option<Timestamp>) -> StoreResult<u64> {
        not_an_executors_call!()
    }
    async fn resume(&self, _: &[JobKey]) -> StoreResult<u64> {
        not_an_executors_call!()
    }
    async fn job_versions(&self, _: &TenantId, _: &JobName) -> StoreResult<Vec<JobVersion>> {
        not_an_executors_call!()
    }
    async fn handled_jobs(&self, _: &[String], _: u32) -> StoreResult<Vec<HandledJob>> {
        self.begin("handled_jobs").map(|_| Vec::new())
    }
}

#[async_trait]
impl Roster for Fake {
    async fn roster_state(&self) -> StoreResult<RosterState> {
        not_an_executors_call!()
    }
    async fn config(&self) -> StoreResult<Option<ConfigInForce>> {
        not_an_executors_call!()
    }
    async fn sources(&self) -> StoreResult<Vec<SourceView>> {
        not_an_executors_call!()
    }
    async fn origins(&self, _: Option<&TenantId>, _: u32) -> StoreResult<Vec<(TenantId, String)>> {
        not_an_executors_call!()
    }
    async fn snapshot_of(&self, _: &[TenantId]) -> StoreResult<CatalogSnapshot> {
        not_an_executors_call!()
    }
    async fn record_sources(&self, _: &Term, _: &RosterRecord) -> StoreResult<Recorded> {
        not_an_executors_call!()
    }
    async fn request_refresh(&self, _: bool) -> StoreResult<i64> {
        not_an_executors_call!()
    }
}

#[async_trait]
impl Hooks for Fake {
    async fn hooks_kept(&self) -> StoreResult<HooksKept> {
        not_an_executors_call!()
    }
    async fn hook_tail(&self, _: i64, _: Duration, _: u32) -> StoreResult<HookTail> {
        not_an_executors_call!()
    }
    async fn overdue(&self, _: Duration, _: u32) -> StoreResult<Vec<Overdue>> {
        not_an_executors_call!()
    }
    async fn record_hooks(&self, _: &Term, _: &HooksRecord) -> StoreResult<Recorded> {
        not_an_executors_call!()
    }
}

struct FakeHints(Arc<Notify>);

#[async_trait]
impl Hints for FakeHints {
    async fn next(&mut self) -> Hint {
        self.0.notified().await;
        Hint::Work
    }
}

#[async_trait]
impl DeadLetters for Fake {
    async fn dead_groups(&self, _: &DeadFilter, _: u32) -> StoreResult<Vec<DeadGroup>> {
        not_an_executors_call!()
    }

    async fn dead_count(&self, _: &DeadFilter) -> StoreResult<DeadCount> {
        not_an_executors_call!()
    }

    async fn redrive(&self, _: &DeadFilter, _: i64, _: i64, _: u32) -> StoreResult<Redriven> {
        not_an_executors_call!()
    }

    async fn discard(&self, _: &DeadFilter, _: i64) -> StoreResult<u64> {
        not_an_executors_call!()
    }
}

#[async_trait]
impl Store for Fake {
    async fn migrate(&self) -> StoreResult<u64> {
        not_an_executors_call!()
    }
    async fn check_schema(&self) -> StoreResult<()> {
        not_an_executors_call!()
    }
    async fn ping(&self) -> StoreResult<()> {
        not_an_executors_call!()
    }
    async fn status(&self) -> StoreResult<Status> {
        not_an_executors_call!()
    }
    async fn lease_kind(&self) -> StoreResult<Option<LeaseKind>> {
        not_an_executors_call!()
    }
    async fn set_lease_kind(&self, _: LeaseKind) -> StoreResult<()> {
        not_an_executors_call!()
    }
    async fn hints(&self) -> StoreResult<Box<dyn Hints>> {
        drop(self.begin("hints")?);
        Ok(Box::new(FakeHints(Arc::clone(&self.hint))))
    }
    async fn close(&self) {}
}
