//! The executor as a whole: its parts, their order of start and of stop.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use leasehold_common::limit::GateId;
use leasehold_common::need;
use leasehold_common::store::{ClaimRequest, ExecutorInfo, SharedStore};
use leasehold_ops::health::Health;
use metrics::gauge;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::{Layer, Service};
use uuid::Uuid;

use crate::activator::Activator;
use crate::announcer::Announcer;
use crate::breakers::Breakers;
use crate::charges::Charges;
use crate::claimer::Claimer;
use crate::handler::command::CommandHandler;
use crate::handler::databases::Databases;
use crate::handler::egress::Egress;
use crate::handler::http::HttpHandler;
use crate::handler::service::{HandlerService, Registered};
use crate::handler::state::States;
use crate::handler::{BoxError, Handler, RunContext};
use crate::heartbeat::Heartbeat;
use crate::live::{Live, StopCause};
use crate::metric;
use crate::misfits;
use crate::notes::Notes;
use crate::options::ExecutorOptions;
use crate::program::Settings;
use crate::reporter::{Reporter, Tally};
use crate::runner::{Handlers, Runner};
use crate::start::StartError;
use crate::wake::{Wake, follow_hints};

/// Claims runs from a store and runs them. See the crate's documentation.
pub struct Executor {
    source: Source,
    options: ExecutorOptions,
    handlers: HashMap<String, Registered>,
    states: States,
    health: Health,
}

/// Where an executor takes its store from.
enum Source {
    Open(SharedStore),
    /// Opened when it runs, with logs, metrics and health as these settings say.
    Settings(Box<Settings>),
}

/// What an executor did from its start to its end. Attempts, by what became of their reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Succeeded.
    pub succeeded: u64,
    /// Failed, with another attempt to follow.
    pub failed: u64,
    /// Failed for good.
    pub dead: u64,
    /// Cancelled on request.
    pub cancelled: u64,
    /// Given back because the executor had to stop.
    pub released: u64,
    /// Reported too late: the run was another executor's by then.
    pub stale: u64,
    /// Not reported, because the store could not be reached until the end or refused the report.
    pub dropped: u64,
    /// Left open: their endpoints report them.
    pub opened: u64,
}

impl From<Tally> for Summary {
    fn from(tally: Tally) -> Self {
        let Tally { succeeded, failed, dead, cancelled, released, stale, dropped, opened } = tally;
        Self { succeeded, failed, dead, cancelled, released, stale, dropped, opened }
    }
}

impl Executor {
    /// An executor by the environment: the same `LEASEHOLD_*` variables that stand beside the flags of `leasehold-executor`
    /// (the store's URL, slots, queues, …; docs/reference/fleets.md lists them). When it runs it starts logging, opens the
    /// store, checks its schema, and serves health and metrics.
    ///
    /// ```no_run
    /// use leasehold_executor::{Executor, HandlerError, Tenant};
    ///
    /// async fn greet(tenant: Tenant) -> Result<String, HandlerError> {
    ///     Ok(format!("hello {}", tenant.id))
    /// }
    ///
    /// #[tokio::main]
    /// async fn main() -> Result<(), Box<dyn std::error::Error>> {
    ///     Executor::from_env()?.handler("greet", greet).run().await?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// For a binary with flags, `--help` and the subcommand `healthcheck` see [`program::run`](crate::program::run).
    ///
    /// # Errors
    /// If a variable is missing or malformed; the error names it.
    pub fn from_env() -> Result<Self, StartError> {
        Settings::from_env().map(Self::with_settings)
    }

    /// An executor on a store whose schema is there, for programs that do the rest by themselves.
    #[must_use]
    pub fn new(store: SharedStore, options: ExecutorOptions) -> Self {
        Self::of(Source::Open(store), options)
    }

    pub(crate) fn with_settings(settings: Settings) -> Self {
        let options = settings.options();
        Self::of(Source::Settings(Box::new(settings)), options)
    }

    fn of(source: Source, options: ExecutorOptions) -> Self {
        Self { source, options, handlers: HashMap::new(), states: States::default(), health: Health::new() }
    }

    /// Registers code for the jobs that name it. The last one registered under a name counts.
    ///
    /// If it has a [`Payload<T>`](crate::Payload), the payloads of all such jobs are tried when the executor starts, and
    /// those that do not fit are named in the log and counted in `leasehold_payload_misfits`.
    #[must_use]
    pub fn handler<M: 'static>(mut self, name: impl Into<String>, handler: impl Handler<M>) -> Self {
        self.handlers.insert(name.into(), Registered::new(handler));
        self
    }

    /// Puts a layer of `tower` around the handlers that were registered so far, each for itself; a layer that is added later
    /// is outside of it. What a layer does counts into the job's timeout, and so does waiting in it.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use leasehold_executor::{Executor, HandlerError};
    /// use tower::limit::GlobalConcurrencyLimitLayer;
    /// use tower::timeout::TimeoutLayer;
    ///
    /// async fn export() -> Result<(), HandlerError> {
    ///     Ok(())
    /// }
    ///
    /// fn with_handlers(executor: Executor) -> Executor {
    ///     executor
    ///         .handler("export", export)
    ///         .layer(TimeoutLayer::new(Duration::from_secs(30)))
    ///         .layer(GlobalConcurrencyLimitLayer::new(4)) // over all of them; ConcurrencyLimitLayer: for each
    ///         .handler("plain", export)
    /// }
    /// ```
    #[must_use]
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<HandlerService>,
        L::Service: Service<RunContext, Response = Value> + Clone + Send + Sync + 'static,
        <L::Service as Service<RunContext>>::Error: Into<BoxError>,
        <L::Service as Service<RunContext>>::Future: Send + 'static,
    {
        self.handlers = self.handlers.into_iter().map(|(name, handler)| (name, handler.layered(&layer))).collect();
        self
    }

    /// Gives handlers something that they take as [`State<T>`](crate::State). The last one of a type counts.
    #[must_use]
    pub fn state<T: Any + Clone + Send + Sync>(mut self, state: T) -> Self {
        self.states.put(state);
        self
    }

    /// Reports its health there, as the parts `activator`, `claimer`, `reporter` and `heartbeat`.
    #[must_use]
    pub fn health(mut self, health: &Health) -> Self {
        self.health = health.clone();
        self
    }

    /// Runs until SIGTERM or SIGINT and the drain that follows; see [`Executor::run_until`].
    ///
    /// # Errors
    /// If it cannot start.
    pub async fn run(self) -> Result<Summary, StartError> {
        self.run_until(leasehold_ops::shutdown::on_signal()).await
    }

    /// Runs until `shutdown` and the drain that follows: no more claims; what runs may finish within
    /// [`ExecutorOptions::drain_timeout`], and is then told to stop and given back; every report is brought to the
    /// store.
    ///
    /// # Errors
    /// If it cannot start: the store is not there or has another schema, or a handler lacks its state.
    pub async fn run_until(self, shutdown: CancellationToken) -> Result<Summary, StartError> {
        self.check_states()?;
        let Self { source, options, handlers, states, health } = self;
        let work = Work { options, handlers, states, health };
        match source {
            Source::Open(store) => Ok(work.run(store, shutdown).await),
            Source::Settings(settings) => {
                let surroundings = settings.set_up(&work.health).await?;
                let summary = work.run(surroundings.store(), shutdown).await;
                surroundings.take_down().await;
                Ok(summary)
            }
        }
    }

    fn check_states(&self) -> Result<(), StartError> {
        for (name, handler) in &self.handlers {
            if let Some((_, state)) = handler.wants.states.iter().find(|(id, _)| !self.states.has(*id)) {
                return Err(StartError::NoState { handler: name.clone(), state });
            }
        }
        Ok(())
    }
}

/// An executor without its store.
struct Work {
    options: ExecutorOptions,
    handlers: HashMap<String, Registered>,
    states: States,
    health: Health,
}

impl Work {
    async fn run(self, store: SharedStore, shutdown: CancellationToken) -> Summary {
        metric::describe();
        let options = self.options.clone();
        let _misfits = misfits::look_for(&store, &self.handlers);
        let parts = self.start(store, &shutdown).await;
        let (id, ttl) = (parts.id, options.claim_ttl);
        tracing::info!(executor = %id, slots = options.slots, queues = ?options.queues, "executor started");
        shutdown.cancelled().await;
        parts.drain(&options).await.finish(id, ttl).await
    }

    async fn start(self, store: SharedStore, shutdown: &CancellationToken) -> Parts {
        let Self { options, handlers, states, health } = self;
        let abilities = abilities(&handlers, &options);
        // Drawn, so that a restarted process is never mistaken for the one before it.
        let id = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
        let slots = options.slots.max(1);
        let live = Arc::new(Live::new(options.clock.clone(), slots as usize, options.claim_ttl));
        let wake = Arc::new(Wake::default());
        let (reports, received) = mpsc::unbounded_channel();
        let (closing, stop) = (CancellationToken::new(), CancellationToken::new());
        let charges = Arc::new(Charges::default());
        let notes = Arc::new(Notes::default());
        let runner = Arc::new(Runner {
            handlers: Arc::new(handlers_of(handlers, states, &options)),
            store: Arc::clone(&store),
            live: Arc::clone(&live),
            reports,
            charges: Arc::clone(&charges),
            notes: Arc::clone(&notes),
            breakers: Breakers { store: Arc::clone(&store), executor: id, rows: Mutex::default() },
            public_url: options.public_url.clone().map(Arc::new),
            running: TaskTracker::new(),
            grace: options.stop_grace,
            stopping: shutdown.clone(),
        });
        gauge!(metric::SLOTS).set(f64::from(slots));

        let announcer = Announcer {
            store: Arc::clone(&store),
            live: Arc::clone(&live),
            info: info(id, slots, &options, abilities.clone()),
        };
        let heartbeat = Heartbeat {
            store: Arc::clone(&store),
            executor: id,
            live: Arc::clone(&live),
            claim_ttl: options.claim_ttl,
            health: health.part("heartbeat", None),
        };
        let reporter = Reporter::new(
            Arc::clone(&store),
            id,
            Arc::clone(&live),
            Arc::clone(&wake),
            Arc::clone(&notes),
            closing.clone(),
            health.part("reporter", None),
        );
        let activator = Activator::new(
            Arc::clone(&store),
            Arc::clone(&live),
            Arc::clone(&wake),
            health.part("activator", None),
            options.poll,
        );
        let request = ClaimRequest {
            executor: id,
            queues: options.queues.clone(),
            limit: 0,
            ttl: options.claim_ttl,
            abilities: Some(abilities.iter().map(|need| GateId::of_need(need)).collect()),
        };
        let claimer = Claimer::new(
            Arc::clone(&store),
            request,
            Arc::clone(&live),
            Arc::clone(&runner),
            Arc::clone(&wake),
            health.part("claimer", None),
            options.poll,
        );
        let intake = {
            let (store, shutdown) = (Arc::clone(&store), shutdown.clone());
            async move {
                let _hints = follow_hints(store, wake).await;
                tokio::join!(activator.run(shutdown.clone()), claimer.run(shutdown));
            }
        };
        Parts {
            id,
            charges: tokio::spawn(charges.run(Arc::clone(&store), stop.clone())),
            notes: tokio::spawn(notes.run(Arc::clone(&store), stop.clone())),
            store,
            live,
            running: runner.running.clone(),
            reporter: tokio::spawn(reporter.run(received)),
            heartbeat: tokio::spawn(heartbeat.run(stop.clone())),
            announcer: tokio::spawn(announcer.run(shutdown.clone(), stop.clone())),
            intake: tokio::spawn(intake),
            closing,
            stop,
        }
    }
}

fn handlers_of(named: HashMap<String, Registered>, states: States, options: &ExecutorOptions) -> Handlers {
    Handlers {
        named,
        states,
        http: HttpHandler::new(Egress::new(&options.allow_net)),
        command: options.allow_commands.then(|| CommandHandler::new(options)),
        databases: Databases::new(options.tenant_databases),
    }
}

/// What it can do that not every executor can.
fn abilities(handlers: &HashMap<String, Registered>, options: &ExecutorOptions) -> Vec<String> {
    let mut abilities: Vec<_> = handlers.keys().map(|name| need::handler(name)).collect();
    abilities.extend(options.allow_commands.then(|| need::COMMAND.to_owned()));
    abilities.sort_unstable();
    abilities
}

fn info(id: Uuid, slots: u32, options: &ExecutorOptions, abilities: Vec<String>) -> ExecutorInfo {
    ExecutorInfo {
        id,
        host: leasehold_ops::host::name(),
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        slots,
        running: 0,
        queues: options.queues.clone(),
        draining: false,
        abilities,
    }
}

/// The running parts.
struct Parts {
    id: Uuid,
    store: SharedStore,
    live: Arc<Live>,
    running: TaskTracker,
    /// Activator and claimer.
    intake: JoinHandle<()>,
    reporter: JoinHandle<Tally>,
    heartbeat: JoinHandle<()>,
    announcer: JoinHandle<()>,
    charges: JoinHandle<()>,
    notes: JoinHandle<()>,
    /// Tells the reporter that no run is left.
    closing: CancellationToken,
    /// Tells the others to end.
    stop: CancellationToken,
}

impl Parts {
    /// Waits for what runs, then makes it stop.
    async fn drain(mut self, options: &ExecutorOptions) -> Self {
        let deadline = Instant::now() + options.drain_timeout;
        tracing::info!(running = self.live.busy(), within = ?options.drain_timeout, "draining");
        // A claim that is under way is waited for: its runs are ours already.
        if timeout_at(deadline, &mut self.intake).await.is_err() {
            self.intake.abort();
        }
        self.running.close();
        if timeout_at(deadline, self.running.wait()).await.is_err() {
            tracing::warn!(running = self.live.busy(), "the drain's time is up: telling what runs to stop");
            self.live.stop_all(StopCause::Drained);
            // Each runner ends its run by force after the grace; only a runtime without a free thread keeps it.
            let bound = options.stop_grace + Duration::from_secs(5);
            if timeout(bound, self.running.wait()).await.is_err() {
                tracing::error!(running = self.live.busy(), "runs are left behind; they will be rescued");
            }
        }
        self
    }

    /// Brings the last reports to the store and says goodbye.
    async fn finish(mut self, id: Uuid, claim_ttl: Duration) -> Summary {
        self.closing.cancel();
        // The reporter gives up by itself when all claims have run out, but a call of its may hang.
        let bound = claim_ttl + Duration::from_secs(5);
        let tally = match timeout(bound, &mut self.reporter).await {
            Ok(Ok(tally)) => tally,
            Ok(Err(_)) | Err(_) => {
                tracing::error!(reports = self.live.unsettled(), "reports are left behind; their runs will be rescued");
                self.reporter.abort();
                Tally::default()
            }
        };
        self.stop.cancel();
        let _ = self.heartbeat.await;
        let _ = self.announcer.await;
        let _ = self.charges.await;
        let _ = self.notes.await;
        if let Ok(Err(error)) = timeout(Duration::from_secs(5), self.store.retire(id)).await {
            tracing::warn!(%error, "this executor stays on the list until it is forgotten");
        }
        let Tally { succeeded, failed, dead, cancelled, released, stale, dropped, opened } = tally;
        tracing::info!(
            executor = %id, succeeded, failed, dead, cancelled, released, stale, dropped, opened, "executor stopped"
        );
        tally.into()
    }
}
