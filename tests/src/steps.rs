//! The words that conformance cases are written in: a catalog in a line, election, fan-out, claim and report.
//!
//! Jobs are named `tenant/job`. Every step goes through the traits of the store, as the fleets do, and stops the test
//! if the store answers with an error.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use leasehold_common::catalog::{self, CatalogPlan, Desired, DesiredJob};
use leasehold_common::definition::{Definition, HandlerSpec, Overlap, ScheduleSpec, Tenant};
use leasehold_common::id::{CorrelationId, JobName, QueueName, TenantId};
use leasehold_common::lease::{Acquired, Candidate, LeaseKind, Term};
use leasehold_common::plan;
use leasehold_common::retry::{Backoff, RetryPolicy};
use leasehold_common::run::{Outcome, Report, RunState, RunView};
use leasehold_common::schedule::{DstPolicy, Zone};
use leasehold_common::store::{
    Applied, AttemptReport, Cancelled, ClaimId, ClaimRequest, Claimed, ClaimedRun, Dispatched, DueJob, JobView, Launch,
    Rescued, RunFilter, Settled, Verdict,
};
use uuid::Uuid;

use crate::stores::Fixture;

/// Longer than any test moves the clock.
pub const FOR_EVER: Duration = Duration::from_secs(400 * 24 * 3600);

/// A minute.
pub const MINUTE: Duration = Duration::from_secs(60);

/// An hour.
pub const HOUR: Duration = Duration::from_secs(3600);

/// A job to put into the catalog.
#[derive(Clone, Debug)]
pub struct Job {
    /// Whose it is, and its name.
    pub path: (TenantId, JobName),
    /// What it is.
    pub definition: Definition,
}

/// Splits `tenant/job`.
#[must_use]
pub fn path(text: &str) -> (TenantId, JobName) {
    let (tenant, job) = text.split_once('/').expect("tenant/job");
    (tenant.parse().unwrap(), job.parse().unwrap())
}

fn job(at: &str, schedule: ScheduleSpec) -> Job {
    Job {
        path: path(at),
        definition: Definition {
            schedule,
            handler: HandlerSpec::Named { name: "noop".to_owned() },
            payload: None,
            timeout: MINUTE,
            retry: RetryPolicy { attempts: 3, backoff: Backoff::default() },
            overlap: Overlap::Skip,
            queue: QueueName::default(),
            priority: 0,
        },
    }
}

/// An interval job.
#[must_use]
pub fn every(at: &str, interval: Duration) -> Job {
    job(at, ScheduleSpec::Every { interval })
}

/// A cron job in UTC.
#[must_use]
pub fn cron(at: &str, expr: &str) -> Job {
    let zone = Zone::parse("UTC").unwrap();
    job(at, ScheduleSpec::Cron { expr: expr.to_owned(), zone, dst: DstPolicy::default() })
}

/// A cron job that is due at every full hour; the test's clock starts five minutes past one.
#[must_use]
pub fn hourly(at: &str) -> Job {
    cron(at, "0 * * * *")
}

impl Job {
    /// With this many attempts.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.definition.retry.attempts = attempts;
        self
    }

    /// With runs side by side.
    #[must_use]
    pub fn allow_overlap(mut self) -> Self {
        self.definition.overlap = Overlap::Allow;
        self
    }

    /// In this queue.
    #[must_use]
    pub fn queue(mut self, name: &str) -> Self {
        self.definition.queue = name.parse().unwrap();
        self
    }

    /// With this priority.
    #[must_use]
    pub fn priority(mut self, priority: i16) -> Self {
        self.definition.priority = priority;
        self
    }

    /// With another timeout: a change that leaves the schedule alone.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.definition.timeout = timeout;
        self
    }
}

/// A tenant without attributes.
#[must_use]
pub fn tenant(id: &str) -> Tenant {
    Tenant { id: id.parse().unwrap(), plan: None, features: BTreeSet::new(), timezone: None, labels: BTreeMap::new() }
}

/// The jobs and their tenants as a whole catalog.
#[must_use]
pub fn desired(jobs: &[Job]) -> Desired {
    let mut definitions: HashMap<String, Arc<Definition>> = HashMap::new();
    let tenants: BTreeSet<&TenantId> = jobs.iter().map(|job| &job.path.0).collect();
    Desired {
        tenants: tenants.into_iter().map(|id| tenant(id.as_str())).collect(),
        jobs: jobs
            .iter()
            .map(|job| DesiredJob {
                tenant: job.path.0.clone(),
                name: job.path.1.clone(),
                definition: Arc::clone(
                    definitions.entry(job.definition.to_json()).or_insert_with(|| Arc::new(job.definition.clone())),
                ),
            })
            .collect(),
    }
}

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
    /// Moves the clock to five minutes past an hour, so that no test meets a full hour by chance.
    #[must_use]
    pub async fn at_five_past(self) -> Self {
        let now = self.now().await.as_second();
        let wait = 3600 - now.rem_euclid(3600) + 300;
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

    /// Makes this the whole catalog.
    pub async fn apply_desired(&self, desired: &Desired) -> CatalogPlan {
        let plan = self.plan_desired(desired).await;
        assert_eq!(self.store.apply(&plan).await.unwrap(), Applied::Done { revision: plan.revision + 1 });
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

    /// What the leader would launch now.
    pub async fn launches(&self, within: Duration) -> Vec<Launch> {
        let batch = self.store.due(within, 1000).await.unwrap();
        let horizon = batch.now + jiff::SignedDuration::try_from(within).unwrap();
        let ids: BTreeSet<_> = batch.jobs.iter().map(|job| job.definition).collect();
        let ids: Vec<_> = ids.into_iter().collect();
        let definitions = self.store.definitions(&ids).await.unwrap().into_iter();
        let definitions: HashMap<_, Definition> =
            definitions.map(|(id, body)| (id, serde_json::from_str(&body).unwrap())).collect();
        let launch = |job: &DueJob| {
            let schedule = definitions[&job.definition].schedule.compile(job.key).unwrap();
            plan::plan(job, &schedule, batch.now, horizon)
        };
        batch.jobs.iter().map(launch).collect()
    }

    /// Fans out all that is due within this time; answers how many items and misfires that made.
    pub async fn fan_out(&self, term: &Term, within: Duration) -> (u64, u64) {
        let (mut all_items, mut all_misfired) = (0, 0);
        for _ in 0..1000 {
            let launches = self.launches(within).await;
            if launches.is_empty() {
                return (all_items, all_misfired);
            }
            match self.store.dispatch(term, &launches).await.unwrap() {
                Dispatched::Done { items, misfired } => {
                    all_items += items;
                    all_misfired += misfired;
                }
                Dispatched::StaleTerm => panic!("the term is stale"),
            }
        }
        panic!("the same jobs are due again and again: {:?}", self.launches(within).await);
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
        let executor = Uuid::now_v7();
        let queues = queues.iter().map(|queue| queue.parse().unwrap()).collect();
        let request = ClaimRequest { executor, queues, limit, ttl: MINUTE };
        Held { executor, claimed: self.store.claim(&request).await.unwrap() }
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
        self.store.trigger(&tenant, &job).await.unwrap().expect("the job exists")
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
