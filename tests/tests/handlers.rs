//! Handlers at their worst, run by a real executor over both stores: whatever they do, their run ends in a proper outcome,
//! and their neighbours are not touched.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::time::Duration;

use leasehold_common::command::CommandSpec;
use leasehold_common::definition::{Definition, HandlerSpec};
use leasehold_common::run::{Outcome, Report, RunState};
use leasehold_executor::{CancellationToken, Executor, ExecutorOptions, HandlerError, RunContext};
use leasehold_tests::steps::Job;
use leasehold_tests::stores::Fixture;
use leasehold_tests::wait;
use serde_json::{Value, json};

const HUGE: usize = 50_000_000;

async fn panics(_: RunContext) -> Result<Value, HandlerError> {
    panic!("at once")
}

/// Never yields, for longer than its run may take.
async fn blocks(_: RunContext) -> Result<Value, HandlerError> {
    std::thread::sleep(Duration::from_secs(4));
    Ok(Value::Null)
}

async fn huge(_: RunContext) -> Result<Value, HandlerError> {
    Ok(Value::String(format!("{}end", "x".repeat(HUGE))))
}

async fn fails_hugely(_: RunContext) -> Result<Value, HandlerError> {
    Err(HandlerError::permanent(format!("{}\0end", "x".repeat(HUGE))))
}

async fn nul(_: RunContext) -> Result<Value, HandlerError> {
    Ok(json!({ "k\0": ["\0", "\u{202e}\u{1}"] }))
}

fn jobs() -> Vec<Job> {
    let named = |name: &str| HandlerSpec::Named { name: name.to_owned() };
    let sh = |script: &str| HandlerSpec::Command(CommandSpec::new(["sh", "-c", script]));
    let wild = "head -c 50000000 /dev/zero; printf '\\377\\000end'";
    let job = |name: &str, handler: HandlerSpec| {
        let mut job = leasehold_tests::steps::hourly(&format!("acme/{name}")).attempts(1);
        job.definition = Definition { handler, timeout: Duration::from_millis(1_500), ..job.definition };
        job
    };
    vec![
        job("panics", named("panics")),
        job("blocks", named("blocks")),
        job("huge", named("huge")),
        job("fails-hugely", named("fails-hugely")),
        job("nul", named("nul")),
        job("wild", sh(wild)),
        job("bad", sh(&format!("({wild}) >&2; exit 7"))),
    ]
}

async fn ended(f: &Fixture, job: &str) -> Report {
    let id = f.trigger(&format!("acme/{job}")).await;
    wait::until("the run has ended", || async {
        let story = f.store.run(id).await.unwrap().unwrap();
        if story.run.state == RunState::Ended { Ok(story.reports.last().cloned().unwrap()) } else { Err(story.run) }
    })
    .await
}

async fn whatever_a_handler_does_its_run_ends(f: Fixture) {
    f.apply(&jobs()).await;
    let stop = CancellationToken::new();
    let options = ExecutorOptions { slots: 4, allow_commands: true, stop_grace: Duration::ZERO, ..Default::default() };
    let executor = Executor::new(f.store.clone(), options)
        .handler("panics", panics)
        .handler("blocks", blocks)
        .handler("huge", huge)
        .handler("fails-hugely", fails_hugely)
        .handler("nul", nul);
    let running = tokio::spawn(executor.run_until(stop.clone()));

    let panicked = ended(&f, "panics").await;
    assert_eq!((panicked.outcome, panicked.error_code.as_deref()), (Outcome::Dead, Some("panic")));
    assert_eq!(panicked.error.as_deref(), Some("the handler panicked: at once"));
    let blocked = ended(&f, "blocks").await;
    assert_eq!((blocked.outcome, blocked.error_code.as_deref()), (Outcome::Dead, Some("timeout")));
    assert!(blocked.error.unwrap().contains("by force"));
    let Some(Value::String(text)) = ended(&f, "huge").await.result else { panic!("no result") };
    assert!(text.starts_with("[… ") && text.ends_with("end") && text.len() < 20_000, "{text:.80}");
    let failed = ended(&f, "fails-hugely").await;
    let error = failed.error.unwrap();
    assert!(error.starts_with("[… ") && error.ends_with("\u{fffd}end") && error.len() < 20_000, "{error:.80}");
    let nul = ended(&f, "nul").await;
    assert_eq!(nul.result, Some(json!({ "k\u{fffd}": ["\u{fffd}", "\u{202e}\u{1}"] })));
    let wild = ended(&f, "wild").await;
    let Some(Value::String(text)) = &wild.result else { panic!("{wild:?}") };
    assert!(text.ends_with("\u{fffd}\u{fffd}end") && text.len() < 20_000);
    let bad = ended(&f, "bad").await;
    assert_eq!((bad.outcome, bad.error_code.as_deref()), (Outcome::Dead, Some("exit.7")));
    stop.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_a_handler_does_its_run_ends_on_sqlite() {
    whatever_a_handler_does_its_run_ends(Fixture::sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_a_handler_does_its_run_ends_on_postgres() {
    whatever_a_handler_does_its_run_ends(Fixture::postgres_by_role().await).await;
}
