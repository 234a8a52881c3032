//! An endpoint goes down and comes back: real executors, a real scheduler, a real server.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use leasehold_common::run::Outcome;
use leasehold_common::store::RunFilter;
use leasehold_tests::fleet::{Process, leasehold_ok};
use leasehold_tests::http::Endpoint;
use leasehold_tests::{server, stores, wait};
use serde_json::Value;

/// Runs that are due while the endpoint is down.
const BACKLOG: i64 = 300;

const EXECUTORS: usize = 2;

/// So many attempts may be lost: five open the breaker, and those beside them may end before they hear of it.
const LOST: usize = EXECUTORS * (5 + 4);

/// How long all may take on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(180);

async fn an_outage_costs_no_attempts_but_those_that_found_it_out(postgres: bool) {
    let folder = tempfile::tempdir().unwrap();
    let url = match postgres {
        true => stores::postgres_database(server::postgres()).await,
        false => format!("sqlite:{}", folder.path().join("leasehold.db").display()),
    };
    let endpoint = Endpoint::start().await;
    endpoint.fail(true);
    let config = format!(
        "version: 1\ntenants: [{{id: acme}}]\njobs:\n  - name: sync\n    at: \"2099-01-01T00:00\"\n    timezone: UTC\n    \
         overlap: allow\n    retry: {{attempts: 2, backoff: {{initial: 1s, max: 1s}}}}\n    http: {{url: \
         \"http://127.0.0.1:{}/\"}}\n",
        endpoint.port
    );
    std::fs::write(folder.path().join("leasehold.yaml"), config).unwrap();
    let _ = leasehold_ok(folder.path(), &["migrate", "--store", &url]);
    let _ = leasehold_ok(folder.path(), &["apply", "--store", &url, "leasehold.yaml"]);
    let store = leasehold_store::open(&url, &leasehold_store::Options::default()).await.unwrap();
    let (tenant, job) = ("acme".parse().unwrap(), "sync".parse().unwrap());
    let key = store.jobs(Some(&tenant), Some(&job), 1).await.unwrap()[0].key;
    let first = Timestamp::now() - SignedDuration::from_hours(1);
    let due: Vec<_> = (0..BACKLOG).map(|n| first + SignedDuration::from_secs(n)).collect();
    store.backfill(key, &due, Duration::ZERO).await.unwrap();

    let arguments = ["--store", &url, "--ops-listen", ":0"];
    let mut fleet = vec![Process::start("scheduler", folder.path(), "leasehold-scheduler", &arguments, &[])];
    let arguments = [&arguments[..], &["--slots", "4", "--allow-net", "127.0.0.0/8"]].concat();
    for n in 0..EXECUTORS {
        fleet.push(Process::start(&format!("executor-{n}"), folder.path(), "leasehold-executor", &arguments, &[]));
    }

    // It stays open through a probe that fails.
    let shown = wait::until("the breaker to open again", || async {
        let shown = leasehold_ok(folder.path(), &["breakers", "--store", &url, "-o", "json"]);
        let shown: Value = serde_json::from_str(&shown).unwrap();
        if shown[0]["times"].as_u64() >= Some(2) { Ok(shown) } else { Err(shown) }
    })
    .await;
    assert_eq!(shown[0]["endpoint"], format!("127.0.0.1:{}", endpoint.port));
    let status = leasehold_ok(folder.path(), &["status", "--store", &url]);
    assert!(status.contains(&format!("127.0.0.1:{} is down", endpoint.port)), "{status}");

    endpoint.fail(false);
    let start = Instant::now();
    let reports = loop {
        let (reports, _) = store.reports(0, &RunFilter::default(), 100_000).await.unwrap();
        let done = reports.iter().filter(|report| report.outcome.is_terminal()).count();
        if done >= usize::try_from(BACKLOG).unwrap() {
            break reports;
        }
        assert!(start.elapsed() < PATIENCE, "{done} of {BACKLOG} are over");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let ended: Vec<_> = reports.iter().filter(|report| report.outcome.is_terminal()).collect();
    assert!(ended.iter().all(|report| report.outcome == Outcome::Succeeded), "{:?}", ended[0]);
    // What was given back did not wait for a retry.
    let waited = |next: Timestamp, end: Timestamp| next.duration_since(end) > SignedDuration::from_millis(500);
    let lost = reports.iter().filter(|r| r.next_attempt_at.is_some_and(|next| waited(next, r.finished_at))).count();
    assert!((1..=LOST).contains(&lost), "{lost} attempts were lost");
    assert_eq!(store.breakers().await.unwrap(), []);
    for process in fleet.into_iter().rev() {
        process.terminate().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_costs_no_attempts_but_those_that_found_it_out_on_sqlite() {
    an_outage_costs_no_attempts_but_those_that_found_it_out(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_costs_no_attempts_but_those_that_found_it_out_on_postgres() {
    an_outage_costs_no_attempts_but_those_that_found_it_out(true).await;
}
