//! Fleets of executors that are killed, stopped and restarted in the middle of their work, over both stores: what they
//! held is taken back in time, and what was finished is not run again. The witness is the endpoint that the jobs call.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use leasehold_common::run::{Outcome, Report};
use leasehold_common::store::{RunFilter, SharedStore};
use leasehold_tests::fleet::{Process, leasehold_ok};
use leasehold_tests::http::{Asked, Endpoint};
use leasehold_tests::{server, stores, wait};

const TENANTS: u32 = 10;
const CLAIM_TTL: Duration = Duration::from_secs(4);
/// How often the leader looks for claims that have run out.
const RESCUE: Duration = Duration::from_secs(1);

/// A store with one job for each tenant, a scheduler, and the endpoint that the job calls.
struct Site {
    folder: tempfile::TempDir,
    url: String,
    store: SharedStore,
    endpoint: Endpoint,
    _scheduler: Process,
}

impl Site {
    async fn postgres(attempts: u32) -> Self {
        Self::on(stores::postgres_database(server::postgres()).await, attempts).await
    }

    async fn sqlite(attempts: u32) -> Self {
        Self::on("sqlite:leasehold.db".to_owned(), attempts).await
    }

    async fn on(url: String, attempts: u32) -> Self {
        let (folder, endpoint) = (tempfile::tempdir().unwrap(), Endpoint::start().await);
        let tenants: String = (0..TENANTS).map(|n| format!("  - {{id: tenant-{n}}}\n")).collect();
        let config = format!(
            "version: 1\ntenants:\n{tenants}jobs:\n  - name: call\n    at: \"2099-01-01T00:00\"\n    timezone: UTC\n    \
             overlap: allow\n    timeout: 5m\n    retry: {{attempts: {attempts}, backoff: {{initial: 10ms, max: 10ms}}}}\n    \
             http: {{url: \"http://127.0.0.1:{}/\"}}\n",
            endpoint.port
        );
        std::fs::write(folder.path().join("leasehold.yaml"), config).unwrap();
        let _ = leasehold_ok(folder.path(), &["migrate", "--store", &url]);
        let _ = leasehold_ok(folder.path(), &["apply", "leasehold.yaml", "--store", &url]);
        let here = url.replace("sqlite:", &format!("sqlite:{}/", folder.path().display()));
        let store = leasehold_store::open(&here, &leasehold_store::Options::default()).await.unwrap();
        let arguments = ["--store", &url, "--ops-listen", "127.0.0.1:0"];
        let scheduler = Process::start("scheduler", folder.path(), "leasehold-scheduler", &arguments, &[]);
        Self { folder, url, store, endpoint, _scheduler: scheduler }
    }

    fn executor(&self, name: &str, slots: u32, drain: &str) -> Process {
        let (slots, ttl) = (slots.to_string(), format!("{}s", CLAIM_TTL.as_secs()));
        let arguments = ["--store", &self.url, "--slots", &slots, "--claim-ttl", &ttl, "--drain-timeout", drain];
        let more = ["--allow-net", "127.0.0.0/8", "--ops-listen", "127.0.0.1:0"];
        Process::start(name, self.folder.path(), "leasehold-executor", &[&arguments[..], &more].concat(), &[])
    }

    /// Queues so many runs of each tenant.
    async fn queue(&self, each: u32) -> usize {
        let due: Vec<Timestamp> = (1..=each).map(|n| Timestamp::now() - SignedDuration::from_secs(n.into())).collect();
        for job in self.store.snapshot().await.unwrap().jobs {
            self.store.backfill(job.key, &due, Duration::ZERO).await.unwrap();
        }
        (TENANTS * each) as usize
    }

    async fn reports(&self, outcome: Outcome) -> Vec<Report> {
        let filter = RunFilter { outcomes: vec![outcome], ..RunFilter::default() };
        self.store.reports(0, &filter, 100_000).await.unwrap().0
    }

    async fn until_succeeded(&self, runs: usize) -> Vec<Report> {
        wait::until("all runs have succeeded", || async {
            let reports = self.reports(Outcome::Succeeded).await;
            if reports.len() >= runs { Ok(reports) } else { Err(reports.len()) }
        })
        .await
    }
}

/// How often each run was.
fn by_run(asked: &[Asked]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for asked in asked {
        *counts.entry(asked.headers["leasehold-correlation-id"].as_str()).or_default() += 1;
    }
    counts
}

async fn every_executor_is_killed(site: Site) {
    const RUNS: u32 = 100;
    site.endpoint.take(Duration::from_secs(600));
    let executors: Vec<_> = (0..4).map(|n| site.executor(&format!("first-{n}"), 250, "10s")).collect();
    let queued = site.queue(RUNS).await;
    wait::until("all runs are in flight", || async {
        let asked = site.endpoint.asked().len();
        if asked == queued { Ok(()) } else { Err(asked) }
    })
    .await;
    site.endpoint.take(Duration::ZERO);
    executors.into_iter().for_each(Process::kill);
    let killed = Timestamp::now();
    let _second = site.executor("second", 200, "10s");
    let succeeded = site.until_succeeded(queued).await;

    assert_eq!(succeeded.len(), queued, "none ended twice");
    assert_eq!(succeeded.iter().map(|report| report.correlation_id).collect::<BTreeSet<_>>().len(), queued);
    assert!(succeeded.iter().all(|report| report.attempt == 2), "the crash was an attempt");
    let lost = site.reports(Outcome::Failed).await;
    assert_eq!(lost.len(), queued, "none was lost");
    // The promise is about the rescue; a busy machine needs a moment to write a thousand of them.
    let latest = lost.iter().map(|report| report.finished_at).max().unwrap();
    let took = Duration::try_from(latest.duration_since(killed)).unwrap_or_default();
    assert!(took <= CLAIM_TTL + RESCUE + Duration::from_secs(3), "the last was rescued after {took:?}");
    assert!(by_run(&site.endpoint.answered()).values().all(|times| *times == 1));
}

async fn restart_one_by_one(site: Site) {
    const RUNS: u32 = 150;
    site.endpoint.take(Duration::from_millis(20));
    let mut executors: Vec<_> = (0..3).map(|n| site.executor(&format!("first-{n}"), 4, "30s")).collect();
    let queued = site.queue(RUNS).await;
    for number in 0..6 {
        let before = site.endpoint.answered().len();
        wait::until("runs end", || async {
            let now = site.endpoint.answered().len();
            if now > before + 60 || now >= queued { Ok(()) } else { Err(now) }
        })
        .await;
        executors.push(site.executor(&format!("next-{number}"), 4, "30s"));
        assert!(executors.remove(0).terminate().await.success());
    }
    assert!(site.endpoint.answered().len() < queued, "the load must outlast the restarts");
    assert_eq!(site.until_succeeded(queued).await.len(), queued);
    assert_eq!(site.reports(Outcome::Failed).await, [], "every run that had begun got its time");
    let answered = site.endpoint.answered();
    assert_eq!(by_run(&answered).len(), queued);
    assert!(by_run(&answered).values().all(|times| *times == 1), "none that finished ran twice");
}

/// The drain's deadline cuts what runs: it is given back, and the one attempt that the job allows is still there.
async fn restart_in_a_hurry(site: Site) {
    const RUNS: u32 = 10;
    site.endpoint.take(Duration::from_secs(600));
    let first = site.executor("first", 50, "100ms");
    let queued = site.queue(RUNS).await;
    wait::until("runs are in flight", || async {
        let asked = site.endpoint.asked().len();
        if asked == 50 { Ok(()) } else { Err(asked) }
    })
    .await;
    site.endpoint.take(Duration::ZERO);
    assert!(first.terminate().await.success());
    let _second = site.executor("second", 50, "10s");
    let succeeded = site.until_succeeded(queued).await;
    assert_eq!(succeeded.len(), queued);
    let cut = site.reports(Outcome::Failed).await;
    assert_eq!(cut.len(), 50);
    for report in cut {
        let again = succeeded.iter().find(|again| again.correlation_id == report.correlation_id).unwrap();
        assert_eq!((report.attempt, again.attempt), (1, 2), "its number is spent");
    }
    assert_eq!(site.reports(Outcome::Dead).await, []);
}

macro_rules! both {
    ($($name:ident: $case:ident, $attempts:literal;)+) => { $(
        mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                super::$case(super::Site::sqlite($attempts).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                super::$case(super::Site::postgres($attempts).await).await;
            }
        }
    )+ };
}

both! {
    a_thousand_runs_of_killed_executors_are_rescued_in_time: every_executor_is_killed, 2;
    a_rolling_restart_under_load_loses_and_repeats_nothing: restart_one_by_one, 1;
    what_a_short_drain_cuts_is_given_back_and_does_not_count: restart_in_a_hurry, 1;
}
