//! Tests for handlers and for the jobs that call them: a whole Leasehold in memory, on a clock that the test moves.
//!
//! The store is SQLite in memory, with the statements of production; the executor is the real one. Due times are planned
//! by the rules of `leasehold-common` in the test's own time: a day of jobs takes as long as their handlers do.
//!
//! ```
//! use std::time::Duration;
//!
//! use leasehold_executor::{HandlerError, Payload, Tenant};
//! use leasehold_testkit::{Error, Outcome, Testkit};
//! use serde::Deserialize;
//!
//! #[derive(Deserialize)]
//! struct Greeting {
//!     words: String,
//! }
//!
//! async fn greet(tenant: Tenant, Payload(input): Payload<Greeting>) -> Result<String, HandlerError> {
//!     Ok(format!("{}, {}!", input.words, tenant.id))
//! }
//!
//! const CONFIG: &str = r#"
//! version: 1
//! tenants: [{id: acme}, {id: globex}]
//! jobs:
//!   - name: greet
//!     cron: "0 * * * *"
//!     handler: greet
//!     payload: {words: Good morning}
//! "#;
//!
//! # #[tokio::main(flavor = "multi_thread", worker_threads = 2)]
//! # async fn main() -> Result<(), Error> {
//! let mut kit = Testkit::start(CONFIG, |executor| executor.handler("greet", greet)).await?;
//! let reports = kit.run_for(Duration::from_secs(24 * 3600)).await?;
//! assert_eq!(reports.len(), 48);
//! assert!(reports.iter().all(|report| report.outcome == Outcome::Succeeded));
//!
//! kit.trigger("acme", "greet").await?;
//! let reports = kit.run_until_idle().await?;
//! assert_eq!(reports[0].result, Some("Good morning, acme!".into()));
//! # Ok(())
//! # }
//! ```
//!
//! Owns the order of things: what is due is fanned out and run before the clock moves on to what is due next. Must not
//! decide anything that a production process decides.
//!
//! On failure: a handler that does not end within [`Testkit::patience`] of real time is an error that names its run.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use leasehold_common::catalog;
use leasehold_common::config::{self, Config};
use leasehold_common::definition::{Definition, DefinitionId};
use leasehold_common::id::{CorrelationId, JobName, QueueName, TenantId};
use leasehold_common::lease::{Acquired, Candidate, LeaseKind, Term};
use leasehold_common::plan;
use leasehold_common::run::RunState;
use leasehold_common::store::{Applied, Dispatched, DueSet, Launch, RunFilter, SharedStore};
use leasehold_executor::{CancellationToken, Executor, ExecutorOptions};
use leasehold_store::{Options, WallClock};
use tokio::task::JoinHandle;
use uuid::Uuid;

pub use leasehold_common::run::{Outcome, Report};
pub use leasehold_common::store::{Enqueue, EnqueueDue};

/// Whatever went wrong: the test ends with it.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// Longer than any test moves the clock.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// How often the executor looks for work, and the kit whether it is done, in real time.
const LOOK: Duration = Duration::from_millis(2);

/// Jobs and items of one step.
const BATCH: u32 = 1_000;

/// A store in memory, an executor, and the clock. See the crate's documentation.
pub struct Testkit {
    store: SharedStore,
    clock: WallClock,
    term: Term,
    executor: JoinHandle<()>,
    stop: CancellationToken,
    patience: Duration,
    /// Up to where reports have been handed out.
    seen: i64,
}

impl Testkit {
    /// A store with the catalog of this config, and an executor with these handlers that serves all its queues. The clock
    /// starts at the present time.
    ///
    /// # Errors
    /// If the config has mistakes; they are in the error, with their places.
    pub async fn start(config: &str, register: impl FnOnce(Executor) -> Executor) -> Result<Self, Error> {
        let config = check(config)?;
        let clock = WallClock::default();
        let options = Options { clock: clock.clone(), ..Options::default() };
        let store = leasehold_store::open("sqlite::memory:", &options).await?;
        store.migrate().await?;
        let candidate =
            Candidate { holder: Uuid::now_v7(), host: "testkit".to_owned(), pid: 0, kind: LeaseKind::Store };
        let Acquired::Elected(term) = store.acquire(&candidate, FOR_EVER).await? else {
            return Err("the store in memory has a leader already".into());
        };
        write(&store, &config).await?;
        let stop = CancellationToken::new();
        let options = ExecutorOptions { poll: LOOK, queues: queues(&store).await?, ..Default::default() };
        let executor = register(Executor::new(Arc::clone(&store), options)).run_until(stop.clone());
        let executor = tokio::spawn(async move {
            if let Err(error) = executor.await {
                // Nobody runs what is due: the kit's next call says so.
                eprintln!("leasehold-testkit: the executor does not start: {error}");
            }
        });
        Ok(Self { store, clock, term, executor, stop, patience: Duration::from_secs(30), seen: 0 })
    }

    /// How long handlers may take in real time before a call fails; half a minute unless this says otherwise.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The store, for whatever else a test wants to know or do.
    #[must_use]
    pub fn store(&self) -> &SharedStore {
        &self.store
    }

    /// The time on the store's clock.
    ///
    /// # Errors
    /// That of the store.
    pub async fn now(&self) -> Result<Timestamp, Error> {
        Ok(self.store.status().await?.now)
    }

    /// Makes this config the whole catalog. Queues that were not in the first one are not served.
    ///
    /// # Errors
    /// If the config has mistakes.
    pub async fn apply(&self, config: &str) -> Result<(), Error> {
        write(&self.store, &check(config)?).await
    }

    /// Asks for a run now; the next `run_…` runs it.
    ///
    /// # Errors
    /// If the tenant has no such job.
    pub async fn trigger(&self, tenant: &str, job: &str) -> Result<CorrelationId, Error> {
        let made = self.store.trigger(&TenantId::new(tenant)?, &JobName::new(job)?, false).await?;
        made.ok_or_else(|| format!("tenant {tenant} has no job {job}").into())
    }

    /// Hands over a run with a payload of its own.
    ///
    /// # Errors
    /// If the tenant has no such job, or something is out of its bounds.
    pub async fn enqueue(&self, request: &Enqueue) -> Result<CorrelationId, Error> {
        let made = self.store.enqueue(request).await?;
        made.ok_or_else(|| format!("tenant {} has no job {}", request.tenant, request.job).into())
    }

    /// Runs what is due, and moves the clock on to retries and to runs that were enqueued for later, until nothing is left
    /// in the queue. Due times of schedules that have not come yet are left alone. Answers the new reports.
    ///
    /// # Errors
    /// If a handler does not end in time, or the store fails.
    pub async fn run_until_idle(&mut self) -> Result<Vec<Report>, Error> {
        loop {
            self.run_due().await?;
            match self.store.activate(BATCH).await?.next_in {
                Some(wait) => self.clock.advance(wait),
                None => return self.reports().await,
            }
        }
    }

    /// Moves the clock on by this, and stops at each instant at which something is due to run it. Answers the new reports.
    ///
    /// # Errors
    /// As [`Testkit::run_until_idle`].
    pub async fn run_for(&mut self, time: Duration) -> Result<Vec<Report>, Error> {
        let end = self.now().await?.checked_add(time)?;
        loop {
            self.run_due().await?;
            let status = self.store.status().await?;
            let schedule = status.next_due.map(|due| until(status.now, due));
            let queue = self.store.activate(BATCH).await?.next_in;
            let left = until(status.now, end);
            let next = schedule.into_iter().chain(queue).min().unwrap_or(left);
            if next >= left {
                self.clock.advance(left);
                self.run_due().await?;
                return self.reports().await;
            }
            self.clock.advance(next);
        }
    }

    /// Stops the executor; what the kit has not run is gone with it.
    pub async fn stop(mut self) {
        self.stop.cancel();
        let _ = (&mut self.executor).await;
        self.store.close().await;
    }

    async fn run_due(&self) -> Result<(), Error> {
        loop {
            let launches = self.launches().await?;
            if launches.is_empty() {
                break;
            }
            if self.store.dispatch(&self.term, &launches).await? == Dispatched::StaleTerm {
                return Err("the store in memory has another leader".into());
            }
        }
        self.settle().await
    }

    /// What a leader would launch now.
    async fn launches(&self) -> Result<Vec<Launch>, Error> {
        let mut launches = Vec::new();
        for set in [DueSet::OnTime, DueSet::Late] {
            let batch = self.store.due(set, Duration::ZERO, BATCH).await?;
            let ids: BTreeSet<_> = batch.jobs.iter().map(|job| job.definition).collect();
            let mut definitions: HashMap<DefinitionId, Definition> = HashMap::new();
            for (id, body) in self.store.definitions(&ids.into_iter().collect::<Vec<_>>()).await? {
                definitions.insert(id, serde_json::from_str(&body)?);
            }
            for job in &batch.jobs {
                let definition = definitions.get(&job.definition).ok_or("a job has no definition")?;
                let timing = definition.timing().compile(job.key)?;
                launches.push(plan::plan(job, &timing, batch.now, batch.now));
            }
        }
        Ok(launches)
    }

    /// Waits until nothing that is due is waiting or running.
    async fn settle(&self) -> Result<(), Error> {
        let deadline = Instant::now() + self.patience;
        loop {
            let queue = self.store.status().await?.queue;
            if queue.depth == 0 && queue.running == 0 {
                return Ok(());
            }
            if self.executor.is_finished() {
                return Err("the executor has ended: nobody runs what is due".into());
            }
            if Instant::now() > deadline {
                return Err(self.stuck().await?.into());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn stuck(&self) -> Result<String, Error> {
        let filter = RunFilter { states: vec![RunState::Ready, RunState::Running], ..RunFilter::default() };
        let runs = self.store.runs(&filter, 10).await?;
        let runs: Vec<_> = runs.iter().map(|run| format!("{}/{} ({})", run.tenant, run.job, run.state)).collect();
        Ok(format!("not over within {:?}: {}", self.patience, runs.join(", ")))
    }

    async fn reports(&mut self) -> Result<Vec<Report>, Error> {
        let mut all = Vec::new();
        loop {
            let (reports, seen) = self.store.reports(self.seen, &RunFilter::default(), BATCH).await?;
            if reports.is_empty() {
                return Ok(all);
            }
            self.seen = seen;
            all.extend(reports);
        }
    }
}

impl Drop for Testkit {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn until(now: Timestamp, then: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(now)).unwrap_or_default()
}

fn check(text: &str) -> Result<Config, Error> {
    let checked = config::check("test.yaml", text, &|name| std::env::var(name).ok());
    let found: Vec<_> = checked.diagnostics.iter().map(ToString::to_string).collect();
    checked.config.ok_or_else(|| found.join("\n").into())
}

async fn write(store: &SharedStore, config: &Config) -> Result<(), Error> {
    let stored = store.snapshot().await?;
    let ids: Vec<_> = stored.jobs.iter().map(|job| job.definition).collect();
    let mut known = HashMap::new();
    for (id, body) in store.definitions(&ids).await? {
        known.insert(id, Arc::new(serde_json::from_str(&body)?));
    }
    let plan = catalog::plan(&config.desired(stored.now, &[]), &stored, |id| known.get(&id).cloned())?;
    match store.apply(&plan, None).await? {
        Applied::Done { .. } => Ok(()),
        Applied::Conflict | Applied::StaleTerm => Err("the catalog was changed meanwhile".into()),
    }
}

/// The queues of the jobs in the catalog.
async fn queues(store: &SharedStore) -> Result<Vec<QueueName>, Error> {
    let mut queues = BTreeSet::from([QueueName::default()]);
    for job in store.jobs(None, None, u32::MAX).await? {
        queues.insert(serde_json::from_value::<Definition>(job.definition)?.queue);
    }
    Ok(queues.into_iter().collect())
}
