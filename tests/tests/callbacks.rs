//! Endpoints that answer 202 and report by themselves: real executors, schedulers and endpoints.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use leasehold_common::run::{Outcome, RunState};
use leasehold_common::store::{RunFilter, SharedStore};
use leasehold_tests::fleet::{Process, leasehold_ok};
use leasehold_tests::http::{Answer, Asked, Endpoint, post};
use leasehold_tests::{server, stores, wait};
use serde_json::{Value, json};

/// Runs that are open at once.
const OPEN: i64 = 10_000;

/// How long all of them may take on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(300);

/// A platform whose endpoint answers 202, with a fleet that serves callbacks.
struct Platform {
    folder: tempfile::TempDir,
    url: String,
    store: SharedStore,
    endpoint: Endpoint,
    _fleet: [Process; 2],
}

impl Platform {
    async fn start(postgres: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = match postgres {
            true => stores::postgres_database(server::postgres()).await,
            false => format!("sqlite:{}", folder.path().join("leasehold.db").display()),
        };
        let endpoint = Endpoint::start().await;
        endpoint.answer(Answer::accepted());
        let config = format!(
            "version: 1\ntenants: [{{id: acme}}]\njobs:\n  - name: sync\n    at: \"2099-01-01T00:00\"\n    timezone: UTC\n    \
             overlap: allow\n    retry: {{attempts: 2, backoff: {{initial: 50ms, max: 50ms}}}}\n    http: {{url: \
             \"http://127.0.0.1:{}/\", callback: 1h}}\n",
            endpoint.port
        );
        std::fs::write(folder.path().join("leasehold.yaml"), config).unwrap();
        let _ = leasehold_ok(folder.path(), &["migrate", "--store", &url]);
        let _ = leasehold_ok(folder.path(), &["apply", "--store", &url, "leasehold.yaml"]);
        let arguments = ["--store", &url, "--ops-listen", ":0", "--callback-listen", "127.0.0.1:0"];
        let scheduler = Process::start("scheduler", folder.path(), "leasehold-scheduler", &arguments, &[]);
        let public = wait::until("callbacks are served", || async {
            let output = scheduler.output();
            let (_, rest) = output.split_once("callbacks are served on ").ok_or(())?;
            Ok::<_, ()>(rest.split_whitespace().next().unwrap_or_default().to_owned())
        })
        .await;
        let arguments = [
            "--store",
            &url,
            "--ops-listen",
            ":0",
            "--slots",
            "4",
            "--allow-net",
            "127.0.0.0/8",
            "--public-url",
            &public,
        ];
        let executor = Process::start("executor", folder.path(), "leasehold-executor", &arguments, &[]);
        let store = leasehold_store::open(&url, &leasehold_store::Options::default()).await.unwrap();
        Self { folder, url, store, endpoint, _fleet: [scheduler, executor] }
    }

    /// Triggers the job and waits for the request of an attempt.
    async fn asked(&self, attempt: &str) -> Asked {
        wait::until("a request", || async {
            self.endpoint.asked().into_iter().rfind(|asked| asked.headers["leasehold-attempt"] == attempt).ok_or(())
        })
        .await
    }

    async fn trigger(&self) -> Asked {
        let (tenant, job) = ("acme".parse().unwrap(), "sync".parse().unwrap());
        self.store.trigger(&tenant, &job, false).await.unwrap().unwrap();
        self.asked("1").await
    }

    async fn outcomes(&self) -> Vec<Outcome> {
        let (reports, _) = self.store.reports(0, &RunFilter::default(), 100_000).await.unwrap();
        reports.into_iter().map(|report| report.outcome).collect()
    }

    async fn show(&self, id: &str) -> Value {
        let shown = leasehold_ok(self.folder.path(), &["runs", "show", id, "--store", &self.url, "-o", "json"]);
        serde_json::from_str(&shown).unwrap()
    }
}

/// The URL and the token of a request.
fn callback(asked: &Asked) -> (&str, &str) {
    (&asked.headers["leasehold-callback-url"], &asked.headers["leasehold-callback-token"])
}

async fn ten_thousand_runs_are_open_with_four_slots(postgres: bool) {
    let on = Platform::start(postgres).await;
    let (tenant, job) = ("acme".parse().unwrap(), "sync".parse().unwrap());
    let key = on.store.jobs(Some(&tenant), Some(&job), 1).await.unwrap()[0].key;
    let first = Timestamp::now() - SignedDuration::from_hours(24);
    let due: Vec<_> = (0..OPEN).map(|n| first + SignedDuration::from_secs(n)).collect();
    assert_eq!(on.store.backfill(key, &due, Duration::ZERO).await.unwrap(), Some(OPEN.unsigned_abs()));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = on.store.status().await.unwrap();
        if status.queue.running == OPEN && on.endpoint.count() as i64 == OPEN {
            assert!(status.executors.iter().all(|executor| executor.slots == 4));
            break;
        }
        assert!(Instant::now() < deadline, "{:?}", status.queue);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(on.outcomes().await, []);

    let asked = on.endpoint.asked();
    let reports = asked.chunks(asked.len().div_ceil(8)).map(|some| {
        let some = some.to_vec();
        tokio::spawn(async move {
            for asked in some {
                let (url, token) = callback(&asked);
                let (status, _, body) = post(url, token, r#"{"outcome": "succeeded"}"#).await;
                assert_eq!(status, 200, "{body}");
            }
        })
    });
    for reports in reports.collect::<Vec<_>>() {
        reports.await.unwrap();
    }
    assert_eq!(on.outcomes().await, vec![Outcome::Succeeded; usize::try_from(OPEN).unwrap()]);
    assert_eq!(on.store.status().await.unwrap().queue.running, 0);
}

async fn an_endpoint_is_heard_and_nobody_else_is(postgres: bool) {
    let on = Platform::start(postgres).await;
    let asked = on.trigger().await;
    let (url, token) = callback(&asked);
    let id = asked.headers["leasehold-correlation-id"].clone();
    let at = |word: &str| url.replace("/report", &format!("/{word}"));
    wait::until("the run is open", || async {
        let (status, _, body) = post(&at("heartbeat"), token, "").await;
        assert_eq!(status, 200, "{body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        body["deadline_in_s"].as_u64().filter(|left| (3_590..=3_600).contains(left)).ok_or(body)
    })
    .await;

    let told = r#"{"percent": 40, "message": "half \u001b[31mway", "log": "one\ntwo"}"#;
    assert_eq!(post(&at("progress"), token, told).await.0, 200);
    assert_eq!(post(&at("progress"), token, r#"{"log": "three"}"#).await.0, 200);
    let story = on.show(&id).await;
    assert_eq!((&story["percent"], &story["progress"]["percent"]), (&json!(40), &json!(40)));
    assert_eq!(story["progress"]["message"], "half \u{fffd}[31mway");
    assert_eq!(story["progress"]["log"], json!(["one", "two", "three"]));

    let good = r#"{"outcome": "succeeded", "result": {"rows": 3}}"#;
    let other = url.replace(&id, "019aa3e1-c07b-8000-8bd5-c3a6a4f5a1b2");
    let wrong = [
        post(url, "wrong", good).await,
        post(url, "", good).await,
        post(&other, token, good).await,
        post(&url.replace(&id, "nonsense"), token, good).await,
        post(&at("cancel"), token, good).await,
        post(&at("heartbeat"), "wrong", good).await,
        post(&at("progress"), "wrong", "not even JSON").await,
    ];
    for (status, head, body) in &wrong {
        assert_eq!((*status, body), (404, &wrong[0].2), "all are refused alike");
        assert!(head.contains("content-type: application/problem+json"), "{head}");
    }
    assert_eq!(post(url, token, "{").await.0, 422);
    assert_eq!(post(url, token, r#"{"outcome": "fine"}"#).await.0, 422);
    assert_eq!(post(url, token, &" ".repeat(300_000)).await.0, 413);
    assert_eq!(on.show(&id).await["state"], "running");

    let (status, _, body) = post(url, token, good).await;
    assert_eq!((status, body.contains(r#""status":"recorded""#)), (200, true), "{body}");
    let (status, _, body) = post(url, token, good).await;
    assert_eq!((status, body.contains(r#""status":"recorded_earlier""#)), (200, true), "{body}");
    let (status, _, body) = post(url, token, r#"{"outcome": "failed"}"#).await;
    assert_eq!((status, body.contains(r#""outcome":"succeeded""#)), (409, true), "{body}");
    assert_eq!(post(&at("heartbeat"), token, "").await.0, 409);
    let story = on.show(&id).await;
    assert_eq!((&story["outcome"], &story["reports"][0]["result"]), (&json!("succeeded"), &json!({ "rows": 3 })));
    assert_eq!(on.outcomes().await, [Outcome::Succeeded]);
}

async fn a_failure_is_tried_again_by_the_rules_of_the_job(postgres: bool) {
    let on = Platform::start(postgres).await;
    let first = on.trigger().await;
    let (url, token) = callback(&first);
    assert_eq!(post(url, token, r#"{"outcome": "failed", "error": "no disk"}"#).await.0, 200);
    let second = on.asked("2").await;
    let (url, new) = callback(&second);
    assert_eq!(post(url, token, r#"{"outcome": "succeeded"}"#).await.0, 404, "the token of the first attempt");
    assert_eq!(post(url, new, r#"{"outcome": "failed"}"#).await.0, 200);
    assert_eq!(on.outcomes().await, [Outcome::Failed, Outcome::Dead]);
}

async fn a_cancelled_run_is_over_for_its_endpoint(postgres: bool) {
    let on = Platform::start(postgres).await;
    let asked = on.trigger().await;
    let (url, token) = callback(&asked);
    let id = &asked.headers["leasehold-correlation-id"];
    wait::until("the run is open", || async {
        let (_, _, body) = post(&url.replace("/report", "/heartbeat"), token, "").await;
        if body.contains("null") { Err(body) } else { Ok(()) }
    })
    .await;
    let said = leasehold_ok(on.folder.path(), &["runs", "cancel", id, "--store", &on.url]);
    assert!(said.starts_with("cancelled"), "{said}");
    let (status, _, body) = post(url, token, r#"{"outcome": "succeeded"}"#).await;
    assert_eq!((status, body.contains(r#""outcome":"cancelled""#)), (409, true), "{body}");
    let run = on.store.run(id.parse().unwrap()).await.unwrap().unwrap().run;
    assert_eq!((run.state, run.outcome), (RunState::Ended, Some(Outcome::Cancelled)));
}

macro_rules! both {
    ($($case:ident),+ $(,)?) => { $(
        mod $case {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                super::$case(false).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                super::$case(true).await;
            }
        }
    )+ };
}

both!(
    ten_thousand_runs_are_open_with_four_slots,
    an_endpoint_is_heard_and_nobody_else_is,
    a_failure_is_tried_again_by_the_rules_of_the_job,
    a_cancelled_run_is_over_for_its_endpoint,
);
