//! Hooks, end to end: real schedulers and executors, with endpoints and a program that are told.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::path::Path;

use leasehold_tests::fleet::{Process, leasehold_ok};
use leasehold_tests::http::{Answer, Asked, Endpoint};
use leasehold_tests::steps::{HOUR, MINUTE};
use leasehold_tests::stores::Fixture;
use leasehold_tests::wait;
use rustix::process::Signal;
use serde_json::{Value, json};

/// So many runs end dead at once.
const DEAD: u64 = 2_000;

/// The secret of the reference libraries.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn scheduler(name: &str, folder: &Path, url: &str) -> Process {
    let arguments = [
        "--store",
        url,
        "--ops-listen",
        "127.0.0.1:0",
        "--allow-hook-commands",
        "--lease-ttl",
        "3s",
        "--lease-renew",
        "500ms",
        "--lease-retry",
        "200ms",
    ];
    Process::start(name, folder, "leasehold-scheduler", &arguments, &[("HOOK_SECRET", SECRET)])
}

fn body(asked: &Asked) -> Value {
    serde_json::from_str(&asked.body).unwrap()
}

/// Waits until so many messages have come.
async fn messages(endpoint: &Endpoint, count: usize) -> Vec<Asked> {
    wait::until("messages have come", || async {
        let asked = endpoint.asked();
        if asked.len() >= count { Ok(asked) } else { Err(asked.len()) }
    })
    .await
}

async fn trigger(f: &Fixture, job: &str, times: u64) {
    for _ in 0..times {
        f.trigger(&format!("acme/{job}")).await;
    }
}

/// Waits until so many runs have ended like this.
async fn ended(f: &Fixture, outcome: i16, count: u64) {
    let query = format!("SELECT count(*) FROM leasehold.report WHERE outcome = {outcome}");
    wait::until("runs have ended", || async {
        let ended = f.number(&query).await;
        if ended >= i64::try_from(count).unwrap() { Ok(()) } else { Err(ended) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_two_messages_and_neither_a_dead_leader_nor_a_failing_endpoint_loses_or_repeats_one() {
    let f = Fixture::postgres().await;
    let folder = tempfile::tempdir().unwrap();
    let (work, told) = (Endpoint::start().await, Endpoint::start().await);
    work.answer(Answer::status("400 Bad Request"));
    let config = format!(
        "version: 1\ntenants: [{{id: acme}}]\njobs:\n  - name: sync\n    at: \"2099-01-01T00:00\"\n    timezone: UTC\n    \
         overlap: allow\n    http: {{url: \"http://127.0.0.1:{}/\"}}\n\
         hooks:\n  - name: ops\n    on: [dead, recovered]\n    every: 1h\n    http:\n      url: \
         \"http://127.0.0.1:{}/hook\"\n      headers: {{x-team: ops}}\n      sign: {{secrets: [\"env:HOOK_SECRET\"]}}\n  \
         - name: program\n    on: [dead]\n    every: 1h\n    command: {{argv: [\"/bin/sh\", \"-c\", \"cat >> told.json\"]}}\n",
        work.port, told.port
    );
    std::fs::write(folder.path().join("leasehold.yaml"), config).unwrap();
    let _ = leasehold_ok(folder.path(), &["apply", "--store", &f.url, "leasehold.yaml"]);
    let first = scheduler("first", folder.path(), &f.url);
    let arguments = ["--store", &f.url, "--ops-listen", "127.0.0.1:0", "--allow-net", "127.0.0.0/8"];
    let _executor = Process::start("executor", folder.path(), "leasehold-executor", &arguments, &[]);
    wait::until("the hooks are known", || async {
        let hooks = f.number("SELECT count(*) FROM leasehold.hook").await;
        if hooks == 2 { Ok(()) } else { Err(hooks) }
    })
    .await;

    // The first is told at once.
    trigger(&f, "sync", 1).await;
    let asked = messages(&told, 1).await;
    let message = body(&asked[0]);
    assert_eq!(message["data"]["counts"], json!({"dead": 1, "recovered": 0}), "{message}");
    assert_eq!(message["data"]["samples"][0]["tenant"], "acme");
    assert_eq!(asked[0].headers["x-team"], "ops");
    assert_eq!(asked[0].headers["webhook-id"], message["data"]["id"].as_str().unwrap());
    assert!(asked[0].headers["webhook-signature"].starts_with("v1,"));

    // All others within the hour are one, whoever leads: the leader is killed in the middle.
    trigger(&f, "sync", DEAD).await;
    let second = scheduler("second", folder.path(), &f.url);
    first.signal(Signal::KILL);
    ended(&f, 2, DEAD + 1).await;
    work.answer(Answer::json(&json!({})));
    trigger(&f, "sync", 3).await;
    ended(&f, 0, 3).await;
    told.answer(Answer::status("503 Service Unavailable"));
    f.advance(HOUR + MINUTE).await;
    let asked = messages(&told, 3).await;
    told.answer(Answer::json(&json!({})));
    let ids: Vec<_> = asked[1..].iter().map(|asked| &asked.headers["webhook-id"]).collect();
    assert!(ids.iter().all(|id| *id == ids[0]) && *ids[0] != asked[0].headers["webhook-id"], "{ids:?}");
    assert!(asked[1..].iter().all(|again| again.body == asked[1].body));
    let message = body(&asked[1]);
    assert_eq!(message["data"]["counts"], json!({"dead": DEAD, "recovered": 1}), "{message}");
    assert_eq!((&message["data"]["jobs"], &message["data"]["tenants"]), (&json!(1), &json!(1)));

    // It is delivered at last, and then all is well and told.
    wait::until("nothing fails", || async {
        let status: Value =
            serde_json::from_str(&leasehold_ok(folder.path(), &["status", "-o", "json", "--store", &f.url])).unwrap();
        let hook = status["hooks"][0].clone();
        if hook["error"].is_null() && hook["tries"] == 0 { Ok(()) } else { Err(hook) }
    })
    .await;
    let program = wait::until("the program was told twice", || async {
        let text = std::fs::read_to_string(folder.path().join("told.json")).unwrap_or_default();
        let messages: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(&text).into_iter().collect();
        match messages {
            Ok(messages) if messages.len() >= 2 => Ok(messages),
            other => Err(other),
        }
    })
    .await;
    let dead: Vec<_> = program.iter().map(|message| message["data"]["counts"]["dead"].as_u64().unwrap()).collect();
    assert_eq!(dead, [1, DEAD]);
    f.advance(2 * HOUR).await;
    trigger(&f, "sync", 1).await;
    ended(&f, 0, 4).await;
    assert_eq!(f.number("SELECT count(*) FROM leasehold.hook_dead").await, 0);
    let last = told.asked();
    assert!(
        last.iter().skip(1).all(|asked| asked.headers["webhook-id"] == last[1].headers["webhook-id"]),
        "two messages"
    );
    drop(second);
}
