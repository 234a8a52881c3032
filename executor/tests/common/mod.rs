//! A SQLite store in a folder of its own, with a catalog of one tenant.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leasehold_common::catalog::{self, Desired, DesiredJob, FirstDue};
use leasehold_common::definition::{Definition, HandlerSpec, Overlap, ScheduleSpec, Tenant};
use leasehold_common::id::{CorrelationId, JobName, QueueName, TenantId};
use leasehold_common::lease::{Acquired, Candidate, LeaseKind, Term};
use leasehold_common::retry::{Backoff, RetryPolicy};
use leasehold_common::run::{Report, RunState};
use leasehold_common::store::{Applied, Dispatched, RunFilter, SharedStore};
use leasehold_executor::{Executor, ExecutorOptions, Summary};
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

/// A job that is due in an hour and every hour from then on, unless a test says otherwise.
pub fn definition(handler: HandlerSpec) -> Definition {
    Definition {
        schedule: ScheduleSpec::Every { interval: Duration::from_secs(3_600) },
        handler,
        payload: None,
        timeout: Duration::from_secs(60),
        retry: RetryPolicy {
            attempts: 2,
            backoff: Backoff { initial: Duration::from_millis(20), max: Duration::from_secs(1), factor: 2.0 },
        },
        overlap: Overlap::Skip,
        queue: QueueName::default(),
        priority: 0,
    }
}

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

    /// Adds jobs, first due after `first`.
    pub async fn apply(&self, jobs: impl IntoIterator<Item = (JobName, Definition)>, first: Duration) {
        let tenant = Tenant {
            id: acme(),
            plan: Some("enterprise".to_owned()),
            features: Default::default(),
            timezone: None,
            labels: Default::default(),
        };
        let jobs = jobs.into_iter().map(|(name, definition)| DesiredJob {
            tenant: acme(),
            name,
            definition: Arc::new(definition),
        });
        let desired = Desired { tenants: vec![tenant], jobs: jobs.collect() };
        let stored = self.store.snapshot().await.unwrap();
        let mut plan = catalog::plan(&desired, &stored, |_| None).unwrap();
        plan.put_jobs.iter_mut().for_each(|job| job.reschedule = Some(FirstDue::After(first)));
        assert!(matches!(self.store.apply(&plan).await.unwrap(), Applied::Done { .. }));
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
            let batch = self.store.due(Duration::from_secs(60), 1_000).await.unwrap();
            if batch.jobs.is_empty() {
                return items;
            }
            let launches: Vec<_> = batch
                .jobs
                .iter()
                .map(|job| {
                    let schedule = ScheduleSpec::Every { interval: Duration::from_secs(3_600) };
                    let schedule = schedule.compile(job.key).unwrap();
                    leasehold_common::plan::plan(job, &schedule, batch.now, batch.now + Duration::from_secs(60))
                })
                .collect();
            match self.store.dispatch(&term, &launches).await.unwrap() {
                Dispatched::Done { items: more, .. } => items += more,
                Dispatched::StaleTerm => panic!("stale term"),
            }
        }
    }

    pub async fn trigger(&self, name: &str) -> CorrelationId {
        self.store.trigger(&acme(), &job(name)).await.unwrap().unwrap()
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
        Running { executor: tokio::spawn(executor.run(shutdown.clone())), shutdown }
    }
}

pub async fn open(folder: &Path) -> SharedStore {
    let url = format!("sqlite:{}", folder.join("leasehold.db").display());
    leasehold_store::open(&url, &leasehold_store::Options::default()).await.unwrap()
}

pub struct Running {
    pub shutdown: CancellationToken,
    executor: JoinHandle<Summary>,
}

impl Running {
    pub async fn stop(self) -> Summary {
        self.shutdown.cancel();
        self.executor.await.unwrap()
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
