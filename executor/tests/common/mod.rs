//! A SQLite store in a folder of its own, with a catalog of one tenant.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use leasehold_common::catalog::{self, Desired, DesiredJob};
use leasehold_common::definition::{Definition, HandlerSpec, ScheduleSpec, Tenant, Timing};
use leasehold_common::id::{CorrelationId, JobName, TenantId};
use leasehold_common::lease::{Acquired, Candidate, LeaseKind, Term};
use leasehold_common::retry::{Backoff, RetryPolicy};
use leasehold_common::run::{Report, RunState};
use leasehold_common::schedule::{DstPolicy, Moment, Schedule};
use leasehold_common::store::{Applied, Dispatched, DueSet, RunFilter, SharedStore};
use leasehold_executor::{Executor, ExecutorOptions, StartError, Summary};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub fn acme() -> TenantId {
    TenantId::new("acme").unwrap()
}

pub fn job(name: &str) -> JobName {
    JobName::new(name).unwrap()
}

pub fn named(name: &str) -> HandlerSpec {
    HandlerSpec::Named { name: name.to_owned() }
}

/// A job whose due time [`Fixture::apply`] sets.
pub fn definition(handler: HandlerSpec) -> Definition {
    Definition {
        timeout: Duration::from_secs(60),
        retry: RetryPolicy {
            attempts: 2,
            backoff: Backoff { initial: Duration::from_millis(20), max: Duration::from_secs(1), factor: 2.0 },
            ..RetryPolicy::default()
        },
        ..Definition::new(ScheduleSpec::Every { interval: Duration::from_secs(3_600) }, handler)
    }
}

/// How long an apply may take on a slow machine: nothing is due before.
const SOON: Duration = Duration::from_secs(2);

pub struct Fixture {
    pub folder: TempDir,
    pub store: SharedStore,
}

impl Fixture {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await;
        store.migrate().await.unwrap();
        Self { folder, store }
    }

    /// Adds jobs that are due once, after `first` or very soon.
    pub async fn apply(&self, jobs: impl IntoIterator<Item = (JobName, Definition)>, first: Duration) {
        self.apply_of(Tenant { plan: Some("enterprise".to_owned()), ..Tenant::new(acme()) }, jobs, first).await;
    }

    /// The same for this tenant, which is `acme` too.
    pub async fn apply_of(
        &self,
        tenant: Tenant,
        jobs: impl IntoIterator<Item = (JobName, Definition)>,
        first: Duration,
    ) {
        let stored = self.store.snapshot().await.unwrap();
        // A moment is a whole second.
        let due = (stored.now + first.max(SOON)).as_second() + 1;
        let at = Moment::Instant(Timestamp::from_second(due).unwrap());
        let jobs = jobs.into_iter().map(|(name, definition)| {
            let schedule = ScheduleSpec::At { at: at.clone(), dst: DstPolicy::Once };
            DesiredJob { tenant: acme(), name, definition: Arc::new(Definition { schedule, ..definition }) }
        });
        let desired = Desired { tenants: vec![tenant.into()], jobs: jobs.collect(), ..Desired::default() };
        let plan = catalog::plan(&desired, &stored, |_| None).unwrap();
        assert!(matches!(self.store.apply(&plan, None).await.unwrap(), Applied::Done { .. }));
    }

    pub async fn lead(&self) -> Term {
        let candidate = Candidate { holder: Uuid::now_v7(), host: "test".to_owned(), pid: 1, kind: LeaseKind::Store };
        match self.store.acquire(&candidate, Duration::from_secs(60)).await.unwrap() {
            Acquired::Elected(term) => term,
            other => panic!("not elected: {other:?}"),
        }
    }

    /// Fans out everything that is due within an hour.
    pub async fn fan_out(&self) -> u64 {
        let term = self.lead().await;
        let mut items = 0;
        loop {
            let batch = self.store.due(DueSet::OnTime, Duration::from_secs(60), 1_000).await.unwrap();
            if batch.jobs.is_empty() {
                return items;
            }
            let launches: Vec<_> = batch
                .jobs
                .iter()
                .map(|job| {
                    let timing = Timing::of(Schedule::At { due: Some(job.next_due) });
                    leasehold_common::plan::plan(job, &timing, batch.now, batch.now + Duration::from_secs(60))
                })
                .collect();
            match self.store.dispatch(&term, &launches).await.unwrap() {
                Dispatched::Done(fanned) => items += fanned.items,
                Dispatched::StaleTerm => panic!("stale term"),
            }
        }
    }

    pub async fn trigger(&self, name: &str) -> CorrelationId {
        self.store.trigger(&acme(), &job(name), false).await.unwrap().unwrap()
    }

    pub async fn reports(&self) -> Vec<Report> {
        self.store.reports(0, &RunFilter::default(), 100_000).await.unwrap().0
    }

    /// The reports of a run, once its last attempt has ended.
    pub async fn story(&self, id: CorrelationId) -> Vec<Report> {
        until("the end of a run", || async {
            let story = self.store.run(id).await.unwrap()?;
            (story.run.state == RunState::Ended).then_some(story.reports)
        })
        .await
    }

    pub fn start(&self, options: ExecutorOptions, register: impl FnOnce(Executor) -> Executor) -> Running {
        let shutdown = CancellationToken::new();
        let executor = register(Executor::new(self.store.clone(), options));
        Running { executor: tokio::spawn(executor.run_until(shutdown.clone())), shutdown }
    }
}

pub async fn open(folder: &Path) -> SharedStore {
    let url = format!("sqlite:{}", folder.join("leasehold.db").display());
    leasehold_store::open(&url, &leasehold_store::Options::default()).await.unwrap()
}

pub struct Running {
    pub shutdown: CancellationToken,
    executor: JoinHandle<Result<Summary, StartError>>,
}

impl Running {
    pub async fn stop(self) -> Summary {
        self.shutdown.cancel();
        self.executor.await.unwrap().unwrap()
    }
}

/// Waits until there is an answer, or fails after half a minute.
pub async fn until<T>(what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
