//! Scheduler replicas over a real SQLite store, in real time.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use leasehold_common::lease::{Acquired, Candidate, LeaseKind, LeaseTiming};
use leasehold_common::store::{ClaimRequest, RunFilter, SharedStore};
use leasehold_common::{catalog, config};
use leasehold_ops::health::Health;
use leasehold_ops::recorder;
use leasehold_scheduler::{Scheduler, SchedulerOptions};
use leasehold_store::WallClock;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const EVERY_SECOND: &str = r#"
version: 1
tenants: [{id: acme}, {id: globex}]
jobs:
  - {name: tick, cron: "* * * * * *", http: {method: POST, url: "http://127.0.0.1:9/{{ tenant.id }}"}}
"#;

fn options() -> SchedulerOptions {
    SchedulerOptions {
        timing: LeaseTiming {
            ttl: Duration::from_secs(1),
            renew: Duration::from_millis(300),
            retry: Duration::from_millis(100),
        },
        look_ahead: Duration::from_secs(3),
        ..SchedulerOptions::default()
    }
}

struct Fixture {
    store: SharedStore,
    clock: WallClock,
    _folder: TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("store.db").display());
        let clock = WallClock::default();
        let store_options = leasehold_store::Options { clock: clock.clone(), ..Default::default() };
        let store = leasehold_store::open(&url, &store_options).await.unwrap();
        store.migrate().await.unwrap();
        Self { store, clock, _folder: folder }
    }

    async fn apply(&self, text: &str) {
        let checked = config::check("test.yaml", text, &|_| None);
        let snapshot = self.store.snapshot().await.unwrap();
        let desired = checked.config.unwrap().desired(snapshot.now, &[]);
        self.store.apply(&catalog::plan(&desired, &snapshot, |_| None).unwrap(), None).await.unwrap();
    }

    async fn start(&self, options: SchedulerOptions) -> Replica {
        let (lease, kind) = leasehold_store::open_lease(None, &self.store).await.unwrap();
        let (health, shutdown) = (Health::new(), CancellationToken::new());
        let scheduler = Scheduler::new(self.store.clone(), lease, kind, options, health.clone());
        let running = tokio::spawn(scheduler.run(shutdown.clone()));
        Replica { health, shutdown, running }
    }

    /// The due times that were put into the queue, by tenant.
    async fn queued(&self) -> BTreeMap<String, BTreeSet<i64>> {
        let mut queued = BTreeMap::<_, BTreeSet<_>>::new();
        for run in self.store.runs(&RunFilter::default(), 10_000).await.unwrap() {
            let new = queued.entry(run.tenant.to_string()).or_default().insert(run.scheduled_for.as_second());
            assert!(new, "queued twice: {run:?}");
        }
        queued
    }

    async fn term(&self) -> Option<i64> {
        self.store.status().await.unwrap().leader.map(|leader| leader.term)
    }
}

struct Replica {
    health: Health,
    shutdown: CancellationToken,
    running: JoinHandle<()>,
}

impl Replica {
    fn detail(&self) -> String {
        self.health.snapshot().parts["elector"].detail.clone()
    }

    async fn stop(self) {
        self.shutdown.cancel();
        timeout(Duration::from_secs(10), self.running).await.unwrap().unwrap();
    }
}

/// Waits for a condition, for at most twenty seconds.
async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition().await {
        assert!(Instant::now() < deadline, "did not come to pass: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_take_over_from_each_other_without_a_gap_or_a_duplicate() {
    let fixture = Fixture::new().await;
    fixture.apply(EVERY_SECOND).await;
    let mut leader = fixture.start(options()).await;
    until("the first term", async || leader.detail() == "leader, term 1").await;
    for term in 2..=4 {
        let seconds = async || fixture.queued().await.get("acme").map_or(0, BTreeSet::len);
        let before = seconds().await;
        until("fan-out goes on", async || seconds().await > before + 1).await;
        let successor = fixture.start(options()).await;
        until("ready", async || successor.health.snapshot().ready).await;
        assert_eq!(successor.detail(), "follower");
        leader.stop().await;
        until("the next term", async || successor.detail() == format!("leader, term {term}")).await;
        leader = successor;
    }
    leader.stop().await;
    assert_eq!(fixture.term().await, None, "the lease was given back");

    let queued = fixture.queued().await;
    assert_eq!(queued.len(), 2);
    for (tenant, seconds) in queued {
        let (first, last) = (seconds.first().unwrap(), seconds.last().unwrap());
        assert_eq!(seconds, (*first..=*last).collect(), "{tenant}: a second is missing");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_comes_after_a_take_over_is_refused_and_counted() {
    let metrics = recorder::install("test", "0").unwrap();
    let fixture = Fixture::new().await;
    let pause = Duration::from_millis(700);
    let slow = fixture.start(SchedulerOptions { pause_before_dispatch: Some(pause), ..options() }).await;
    fixture.apply(EVERY_SECOND).await;
    let refused = || metrics.render().contains("leasehold_stale_term_total{service=\"dispatcher\"} 1");
    until("a refused write", async || {
        until("leads", async || slow.detail().starts_with("leader")).await;
        sleep(Duration::from_millis(100)).await; // by now it stands in the pause, since something is always due
        // To the store the lease has run out, and another takes it before it is renewed.
        fixture.clock.advance(Duration::from_secs(2));
        let rival = Candidate { holder: Uuid::from_u128(9), host: "rival".into(), pid: 1, kind: LeaseKind::Store };
        let taken = fixture.store.acquire(&rival, Duration::from_secs(5)).await.unwrap();
        let Acquired::Elected(term) = taken else { panic!("{taken:?}") };
        until("steps down", async || slow.detail() == "follower").await;
        fixture.store.resign(&term).await.unwrap();
        refused()
    })
    .await;
    slow.stop().await;
    assert_eq!(fixture.queued().await, BTreeMap::new(), "a refused write must write nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_runs_of_an_executor_that_is_gone_are_taken_back() {
    let fixture = Fixture::new().await;
    fixture
        .apply(
            r#"
version: 1
tenants: [{id: acme}]
jobs: [{name: yearly, cron: "0 0 1 1 *", command: {argv: ["true"]}}]
"#,
        )
        .await;
    let (tenant, job) = ("acme".parse().unwrap(), "yearly".parse().unwrap());
    let id = fixture.store.trigger(&tenant, &job, false).await.unwrap().unwrap();
    let request = ClaimRequest {
        executor: Uuid::from_u128(1),
        queues: vec!["default".parse().unwrap()],
        limit: 10,
        ttl: Duration::from_millis(100),
        abilities: None,
    };
    until("claimed", async || {
        fixture.store.activate(10).await.unwrap();
        fixture.store.claim(&request).await.unwrap().items.iter().any(|item| item.id == id)
    })
    .await;
    let replica = fixture.start(options()).await;
    until("rescued", async || {
        fixture.store.activate(10).await.unwrap();
        fixture.store.claim(&request).await.unwrap().items.iter().any(|item| item.id == id && item.attempt == 2)
    })
    .await;
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_goes_away_makes_a_replica_unready_and_not_dead() {
    let fixture = Fixture::new().await;
    let replica = fixture.start(options()).await;
    until("ready", async || replica.health.snapshot().ready).await;
    fixture.store.close().await;
    until("unready", async || !replica.health.snapshot().ready).await;
    until("steps down", async || !replica.detail().starts_with("leader")).await;
    assert!(replica.health.snapshot().alive);
    replica.stop().await;
}
