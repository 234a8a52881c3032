//! The words that conformance cases are written in: a catalog in a line, election, fan-out, claim and report.
//!
//! Jobs are named `tenant/job`. Every step goes through the traits of the store, as the fleets do, and stops the test
//! if the store answers with an error.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use leasehold_common::catalog::{self, CatalogPlan, Desired};
use leasehold_common::definition::{Definition, Tenant};
use leasehold_common::id::{CorrelationId, JobKey};
use leasehold_common::lease::{Acquired, Candidate, LeaseKind, Term};
use leasehold_common::ledger::{self, Ledger};
use leasehold_common::limit::GateId;
use leasehold_common::plan;
use leasehold_common::run::{Cause, Outcome, Report, RunState, RunView};
use leasehold_common::store::{
    Applied, AttemptReport, Cancelled, Charge, ClaimId, ClaimRequest, Claimed, ClaimedRun, Dispatched, DueJob, DueSet,
    Fanned, JobView, Launch, Rescued, RunFilter, Served, Settled, Swept, Verdict,
};
use uuid::Uuid;

pub use crate::jobs::{
    AT_ONCE, Job, TenantWords, at_once, cron, cron_in, desired, desired_of, every, hourly, job, path, rate, tenant,
};
use crate::stores::Fixture;

/// Longer than any test moves the clock.
pub const FOR_EVER: Duration = Duration::from_secs(400 * 24 * 3600);

/// A minute.
pub const MINUTE: Duration = Duration::from_secs(60);

/// An hour.
pub const HOUR: Duration = Duration::from_secs(3600);

/// What one claim call got, and for whom.
#[derive(Clone, Debug)]
pub struct Held {
    /// The executor.
    pub executor: Uuid,
    /// The answer.
    pub claimed: Claimed,
}

impl Held {
    /// The token.
    #[must_use]
    pub fn claim(&self) -> ClaimId {
        self.claimed.claim
    }

    /// The runs.
    #[must_use]
    pub fn items(&self) -> &[ClaimedRun] {
        &self.claimed.items
    }

    /// The jobs of the runs, in order.
    #[must_use]
    pub fn jobs(&self) -> Vec<&str> {
        self.items().iter().map(|item| item.job.as_str()).collect()
    }

    /// The ids of the runs, in order.
    #[must_use]
    pub fn ids(&self) -> Vec<CorrelationId> {
        self.items().iter().map(|item| item.id).collect()
    }

    /// The one run.
    pub fn only(&self) -> &ClaimedRun {
        assert_eq!(self.items().len(), 1, "{:?}", self.claimed);
        &self.items()[0]
    }

    /// What an executor would say of the run at this place.
    #[must_use]
    pub fn report(&self, index: usize, verdict: Verdict) -> AttemptReport {
        let item = &self.items()[index];
        AttemptReport {
            id: item.id,
            claim: self.claim(),
            attempt: item.attempt,
            verdict,
            duration: Duration::ZERO,
            ended_ago: Duration::ZERO,
            result: None,
            error: matches!(verdict, Verdict::Retry(_) | Verdict::Dead).then(|| "it failed".to_owned()),
            code: matches!(verdict, Verdict::Retry(_) | Verdict::Dead).then(|| "test.failed".to_owned()),
        }
    }

    /// The same of every run.
    #[must_use]
    pub fn reports(&self, verdict: Verdict) -> Vec<AttemptReport> {
        (0..self.items().len()).map(|index| self.report(index, verdict)).collect()
    }
}

/// A scheduler process.
#[must_use]
pub fn candidate() -> Candidate {
    Candidate { holder: Uuid::now_v7(), host: "host".to_owned(), pid: 7, kind: LeaseKind::Store }
}

impl Fixture {
    /// Moves the clock to five minutes past one, UTC, so that no test meets a full hour by chance and every test sees
    /// the same times of the day.
    #[must_use]
    pub async fn at_five_past(self) -> Self {
        const DAY: i64 = 24 * 3600;
        let now = self.now().await.as_second();
        let wait = DAY - now.rem_euclid(DAY) + 3600 + 300;
        self.advance(Duration::from_secs(wait.unsigned_abs())).await;
        self
    }

    /// The store's clock.
    pub async fn now(&self) -> Timestamp {
        self.store.status().await.unwrap().now
    }

    /// Moves the clock to this instant, if it has not come yet.
    pub async fn advance_to(&self, at: Timestamp) {
        let wait = at.as_microsecond() - self.now().await.as_microsecond();
        if wait > 0 {
            self.advance(Duration::from_micros(wait.unsigned_abs())).await;
        }
    }

    /// The plan from the catalog as it is to these jobs.
    pub async fn plan(&self, jobs: &[Job]) -> CatalogPlan {
        self.plan_desired(&desired(jobs)).await
    }

    /// The plan from the catalog as it is to this one.
    pub async fn plan_desired(&self, desired: &Desired) -> CatalogPlan {
        let snapshot = self.store.snapshot().await.unwrap();
        let ids: Vec<_> = snapshot.jobs.iter().map(|job| job.definition).collect();
        let stored: HashMap<_, _> = self.store.definitions(&ids).await.unwrap().into_iter().collect();
        catalog::plan(desired, &snapshot, |id| {
            stored.get(&id).map(|body| Arc::new(serde_json::from_str(body).unwrap()))
        })
        .unwrap()
    }

    /// Makes these jobs the whole catalog.
    pub async fn apply(&self, jobs: &[Job]) -> CatalogPlan {
        self.apply_desired(&desired(jobs)).await
    }

    /// Makes these jobs the whole catalog; these tenants are more than their ids.
    pub async fn apply_of(&self, tenants: &[Tenant], jobs: &[Job]) -> CatalogPlan {
        self.apply_desired(&desired_of(tenants, jobs)).await
    }

    /// Makes this the whole catalog.
    pub async fn apply_desired(&self, desired: &Desired) -> CatalogPlan {
        let plan = self.plan_desired(desired).await;
        assert_eq!(self.store.apply(&plan, None).await.unwrap(), Applied::Done { revision: plan.revision + 1 });
        plan
    }

    /// Elects a leader for ever.
    pub async fn elect(&self) -> Term {
        self.elect_for(FOR_EVER).await
    }

    /// Elects a leader.
    pub async fn elect_for(&self, ttl: Duration) -> Term {
        match self.store.acquire(&candidate(), ttl).await.unwrap() {
            Acquired::Elected(term) => term,
            other => panic!("{other:?}"),
        }
    }

    /// What the leader would launch now: what is on time, and then what is late.
    pub async fn launches(&self, within: Duration) -> Vec<Launch> {
        let mut launches = self.launches_of(DueSet::OnTime, within).await;
        launches.extend(self.launches_of(DueSet::Late, within).await);
        launches
    }

    async fn launches_of(&self, set: DueSet, within: Duration) -> Vec<Launch> {
        let batch = self.store.due(set, within, 1000).await.unwrap();
        let horizon = batch.now + jiff::SignedDuration::try_from(within).unwrap();
        let ids: BTreeSet<_> = batch.jobs.iter().map(|job| job.definition).collect();
        let ids: Vec<_> = ids.into_iter().collect();
        let definitions = self.store.definitions(&ids).await.unwrap().into_iter();
        let definitions: HashMap<_, Definition> =
            definitions.map(|(id, body)| (id, serde_json::from_str(&body).unwrap())).collect();
        let launch = |job: &DueJob| {
            let timing = definitions[&job.definition].timing().compile(job.key).unwrap();
            plan::plan(job, &timing, batch.now, horizon)
        };
        batch.jobs.iter().map(launch).collect()
    }

    /// Fans out all that is due within this time; answers how many items that made, and how many due times misfired.
    pub async fn fan_out(&self, term: &Term, within: Duration) -> (u64, u64) {
        let fanned = self.fan_out_all(term, within).await;
        (fanned.items, fanned.misfired)
    }

    /// Fans out all that is due within this time.
    pub async fn fan_out_all(&self, term: &Term, within: Duration) -> Fanned {
        let mut all = Fanned::default();
        for _ in 0..1000 {
            let launches = self.launches(within).await;
            if launches.is_empty() {
                return all;
            }
            match self.store.dispatch(term, &launches).await.unwrap() {
                Dispatched::Done(fanned) => {
                    all.jobs += fanned.jobs;
                    all.items += fanned.items;
                    all.misfired += fanned.misfired;
                    all.paused += fanned.paused;
                    all.blacked_out += fanned.blacked_out;
                    all.gated += fanned.gated;
                }
                Dispatched::StaleTerm => panic!("the term is stale"),
            }
        }
        panic!("the same jobs are due again and again: {:?}", self.launches(within).await);
    }

    /// Ends what nobody ran in time; answers how many misfired and how many expired.
    pub async fn sweep(&self, term: &Term) -> (u64, u64) {
        match self.store.sweep(term, 10_000).await.unwrap() {
            Swept::Done { misfired, expired, .. } => (misfired, expired),
            Swept::StaleTerm => panic!("the term is stale"),
        }
    }

    /// Claims and runs whatever comes, until nothing does; answers the due times in the order in which they ran.
    pub async fn run_all(&self) -> Vec<Timestamp> {
        let mut ran = Vec::new();
        loop {
            let held = self.claim(100).await;
            if held.items().is_empty() && held.claimed.dismissed == 0 {
                return ran;
            }
            ran.extend(held.items().iter().map(|item| item.scheduled_for));
            self.settle(&held, Verdict::Succeeded).await;
        }
    }

    /// Moves the clock from one due time of any job to the next, and runs what is due, until then.
    pub async fn live_until(&self, term: &Term, end: Timestamp) {
        while let Some(due) = self.store.status().await.unwrap().next_due.filter(|due| *due < end) {
            self.advance_to(due).await;
            self.fan_out(term, Duration::ZERO).await;
            self.run_all().await;
        }
        self.advance_to(end).await;
    }

    /// Makes ready what is due.
    pub async fn activate(&self) -> u64 {
        self.store.activate(10_000).await.unwrap().moved
    }

    /// Activates, and claims for a new executor, from the default queue, for a minute.
    pub async fn claim(&self, limit: u32) -> Held {
        self.activate().await;
        self.claim_from(&["default"], limit).await
    }

    /// Claims for a new executor, for a minute.
    pub async fn claim_from(&self, queues: &[&str], limit: u32) -> Held {
        self.claim_of(queues, limit, None).await
    }

    /// The same for an executor that can do this; `None`: it has not said.
    pub async fn claim_of(&self, queues: &[&str], limit: u32, abilities: Option<Vec<GateId>>) -> Held {
        let executor = Uuid::now_v7();
        let queues = queues.iter().map(|queue| queue.parse().unwrap()).collect();
        let request = ClaimRequest { executor, queues, limit, ttl: MINUTE, abilities };
        Held { executor, claimed: self.store.claim(&request).await.unwrap() }
    }

    /// The same as [`Self::claim_on`], for an executor that can do no more than this beside what all can.
    pub async fn claim_able(&self, limit: u32, abilities: &[&str]) -> Held {
        self.activate().await;
        for _ in 0..10_000 {
            let able = abilities.iter().map(|need| GateId::of_need(need)).collect();
            let held = self.claim_of(&["default"], limit, Some(able)).await;
            if !held.items().is_empty() || held.claimed.dismissed == 0 {
                return held;
            }
        }
        panic!("items leave the line again and again");
    }

    /// The same as an executor does it: again and again while items only leave the line. What one answer started is
    /// all that it got.
    pub async fn claim_on(&self, limit: u32) -> Held {
        self.activate().await;
        for _ in 0..10_000 {
            let held = self.claim_from(&["default"], limit).await;
            if !held.items().is_empty() || held.claimed.dismissed == 0 {
                return held;
            }
        }
        panic!("items leave the line again and again");
    }

    /// Puts so many items of a job into the line, the oldest due first; they may run beside each other if the job allows
    /// it.
    pub async fn backlog(&self, at: &str, items: u32) {
        let second = jiff::SignedDuration::from_secs(1);
        let start = self.now().await - second * i32::try_from(items).unwrap();
        let due: Vec<_> = (0..i32::try_from(items).unwrap()).map(|n| start + second * n).collect();
        let queued = self.store.backfill(self.key(at).await, &due, Duration::ZERO).await.unwrap();
        assert_eq!(queued, Some(u64::from(items)));
        self.activate().await;
    }

    /// Says what runs took, as executors do every now and then.
    pub async fn charge(&self, held: &Held, spent: impl Fn(&ClaimedRun) -> Duration) {
        let of = |item: &ClaimedRun| Charge {
            lane: item.lane.clone(),
            tenant: item.tenant.clone(),
            runs: 1,
            spent: spent(item),
            estimated: item.cost,
        };
        let charges: Vec<_> = held.items().iter().map(of).collect();
        let served = |item: &ClaimedRun| Served { lane: item.lane.clone(), tag: item.tag };
        let served: Vec<_> = held.items().iter().map(served).collect();
        self.store.charge(&charges, &served).await.unwrap();
    }

    /// Reports every run that is held, and that the claim is finished.
    pub async fn settle(&self, held: &Held, verdict: Verdict) -> Vec<Settled> {
        self.store.settle(held.executor, &held.reports(verdict), &[held.claim()]).await.unwrap()
    }

    /// Reports one attempt.
    pub async fn settle_one(&self, report: AttemptReport) -> Settled {
        self.store.settle(Uuid::now_v7(), &[report], &[]).await.unwrap().remove(0)
    }

    /// Rescues; answers how many runs are back and how many are dead.
    pub async fn rescue(&self, term: &Term) -> (u64, u64) {
        match self.store.rescue(term, 1000).await.unwrap() {
            Rescued::Done { requeued, dead } => (requeued, dead),
            Rescued::StaleTerm => panic!("the term is stale"),
        }
    }

    /// A trigger.
    pub async fn trigger(&self, at: &str) -> CorrelationId {
        let (tenant, job) = path(at);
        self.store.trigger(&tenant, &job, false).await.unwrap().expect("the job exists")
    }

    /// A trigger that runs whatever else of the job runs.
    pub async fn trigger_beside(&self, at: &str) -> CorrelationId {
        let (tenant, job) = path(at);
        self.store.trigger(&tenant, &job, true).await.unwrap().expect("the job exists")
    }

    /// The key of a job.
    pub async fn key(&self, at: &str) -> JobKey {
        self.job(at).await.key
    }

    /// Pauses a job; answers whether it was not paused before.
    pub async fn pause(&self, at: &str, until: Option<Timestamp>) -> bool {
        self.store.pause(&[self.key(at).await], "maintenance", until).await.unwrap() == 1
    }

    /// Ends the pause of a job; answers whether it was paused.
    pub async fn resume(&self, at: &str) -> bool {
        self.store.resume(&[self.key(at).await]).await.unwrap() == 1
    }

    /// What was expected of a job since then, compared with what is recorded.
    pub async fn ledger(&self, at: &str, from: Timestamp) -> Ledger {
        let (tenant, job) = path(at);
        let to = self.now().await + HOUR; // what will be due is not expected yet
        let history = self.store.history(&tenant, &job, from, to).await.unwrap().expect("the job is known");
        ledger::compare(&history, from, to)
    }

    /// Nothing is missing of a job since then, and nothing is there that no schedule expects. Answers how many due
    /// times there were.
    pub async fn is_whole(&self, at: &str, from: Timestamp) -> u64 {
        let ledger = self.ledger(at, from).await;
        assert_eq!((ledger.missing, ledger.unexpected, ledger.unreadable.len()), (0, 0, 0), "{at}: {ledger:#?}");
        ledger.expected
    }

    /// Cancels.
    pub async fn cancel(&self, id: CorrelationId) -> Cancelled {
        self.store.cancel(id).await.unwrap()
    }

    /// The job as people see it.
    pub async fn job(&self, at: &str) -> JobView {
        let (tenant, job) = path(at);
        self.store.jobs(Some(&tenant), Some(&job), 10).await.unwrap().remove(0)
    }

    /// The next due time, which the job must have.
    pub async fn next_due(&self, at: &str) -> Timestamp {
        self.job(at).await.next_due.expect("a next due time")
    }

    /// Moves the clock to the next due time of the job, fans it out, and claims it.
    pub async fn run_next(&self, term: &Term, at: &str) -> Held {
        self.advance_to(self.next_due(at).await).await;
        self.fan_out(term, Duration::ZERO).await;
        let held = self.claim(10).await;
        assert_eq!(held.only().job, path(at).1);
        held
    }

    /// All reports there are.
    pub async fn reports(&self) -> Vec<Report> {
        self.store.reports(0, &RunFilter::default(), 100_000).await.unwrap().0
    }

    /// The outcomes of all reports of a job, oldest first.
    pub async fn outcomes(&self, at: &str) -> Vec<Outcome> {
        let (tenant, job) = path(at);
        let reports = self.reports().await;
        reports.iter().filter(|r| r.tenant == tenant && r.job == job).map(|r| r.outcome).collect()
    }

    /// The terminal reports of scheduled runs of a job: outcome, count, and the clock at the first and last due time.
    pub async fn rows(&self, at: &str) -> Vec<(Outcome, u32, String, String)> {
        let (tenant, job) = path(at);
        let clock = |at: Timestamp| at.strftime("%H:%M").to_string();
        let reports = self.reports().await.into_iter().filter(|r| r.tenant == tenant && r.job == job);
        reports
            .filter(|report| report.outcome.is_terminal() && report.cause == Cause::Schedule)
            .map(|report| {
                let first = report.scheduled_from.unwrap_or(report.scheduled_for);
                (report.outcome, report.count, clock(first), clock(report.scheduled_for))
            })
            .collect()
    }

    /// The runs of a job that are not over.
    pub async fn live(&self, at: &str) -> Vec<RunView> {
        let (tenant, job) = path(at);
        let filter = RunFilter {
            tenants: vec![tenant],
            jobs: vec![job],
            states: vec![RunState::Waiting, RunState::Ready, RunState::Running],
            ..RunFilter::default()
        };
        self.store.runs(&filter, 10_000).await.unwrap()
    }

    /// Where a run is.
    pub async fn state(&self, id: CorrelationId) -> RunState {
        self.store.run(id).await.unwrap().expect("the run is known").run.state
    }

    /// Waits until this call waits for a lock of PostgreSQL. One that goes through instead has failed the case.
    pub async fn waits<T>(&self, call: &tokio::task::JoinHandle<T>) {
        const WAITING: &str =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        crate::wait::until("the call waits for a lock", || async {
            assert!(!call.is_finished(), "it did not wait");
            if self.number(WAITING).await > 0 { Ok(()) } else { Err("not yet") }
        })
        .await;
    }
}
