//! The whole executor over a real store.
#![expect(unreachable_pub, clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use common::{Fixture, definition, job, named, open, until};
use leasehold_common::command::CommandSpec;
use leasehold_common::definition::{Definition, HandlerSpec};
use leasehold_common::endpoint::HttpSpec;
use leasehold_common::run::Outcome;
use leasehold_common::store::Cancelled;
use leasehold_executor::{Executor, ExecutorOptions, HandlerError, RunContext};
use serde_json::{Value, json};

const HOUR: Duration = Duration::from_secs(3_600);

async fn hello(context: RunContext) -> Result<Value, HandlerError> {
    Ok(json!({ "hello": context.tenant().id, "plan": context.tenant().plan }))
}

async fn panics() -> Result<(), HandlerError> {
    panic!("no luck with attempt \0")
}

async fn hang(context: RunContext) -> Result<Value, HandlerError> {
    context.cancelled().await;
    Err(HandlerError::new("told to stop"))
}

/// Polls so seldom that everything which happens in time happens for another reason.
fn options() -> ExecutorOptions {
    ExecutorOptions { poll: HOUR, claim_ttl: Duration::from_secs(3), ..Default::default() }
}

fn none(executor: Executor) -> Executor {
    executor
}

#[tokio::test(flavor = "multi_thread")]
async fn a_triggered_run_starts_by_the_stores_hint() {
    let fixture = Fixture::new().await;
    fixture.apply([(job("greet"), definition(named("hello")))], HOUR).await;
    let running = fixture.start(options(), |executor| executor.handler("hello", hello));
    until("the executor", || async { fixture.store.status().await.unwrap().executors.first().cloned() }).await;
    let id = fixture.trigger("greet").await;
    let reports = fixture.story(id).await;
    assert_eq!(reports.len(), 1);
    assert_eq!((reports[0].outcome, reports[0].attempt), (Outcome::Succeeded, 1));
    assert_eq!(reports[0].result, Some(json!({ "hello": "acme", "plan": "enterprise" })));
    running.stop().await;
    assert!(fixture.store.status().await.unwrap().executors.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_was_fanned_out_ahead_starts_when_it_is_due() {
    let fixture = Fixture::new().await;
    fixture.apply([(job("greet"), definition(named("hello")))], Duration::from_millis(1_500)).await;
    assert_eq!(fixture.fan_out().await, 1);
    let running = fixture.start(options(), |executor| executor.handler("hello", hello));
    let report = until("a report", || async { fixture.reports().await.pop() }).await;
    assert_eq!(report.outcome, Outcome::Succeeded);
    // A few milliseconds on a quiet machine; the poll is an hour away.
    assert!((0..10_000).contains(&report.lateness_ms), "{report:?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_run_is_tried_again_and_then_dead() {
    let fixture = Fixture::new().await;
    fixture.apply([(job("bad"), definition(named("panic")))], HOUR).await;
    let running = fixture.start(options(), |executor| executor.handler("panic", panics));
    let reports = fixture.story(fixture.trigger("bad").await).await;
    let seen: Vec<_> = reports.iter().map(|report| (report.attempt, report.outcome)).collect();
    assert_eq!(seen, [(1, Outcome::Failed), (2, Outcome::Dead)]);
    assert!(reports[0].next_attempt_at.is_some() && reports[1].next_attempt_at.is_none());
    assert_eq!(reports[1].error.as_deref(), Some("the handler panicked: no luck with attempt \u{fffd}"));
    let summary = running.stop().await;
    assert_eq!((summary.failed, summary.dead), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_run_is_cancelled_on_request() {
    let fixture = Fixture::new().await;
    fixture.apply([(job("long"), definition(named("hang")))], HOUR).await;
    let running = fixture.start(options(), |executor| executor.handler("hang", hang));
    let id = fixture.trigger("long").await;
    until("its start", || async { (fixture.store.status().await.unwrap().queue.running == 1).then_some(()) }).await;
    assert_eq!(fixture.store.cancel(id).await.unwrap(), Cancelled::Requested);
    let reports = fixture.story(id).await;
    assert_eq!((reports.len(), reports[0].outcome), (1, Outcome::Cancelled));
    assert_eq!(running.stop().await.cancelled, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_drain_cuts_is_run_by_another_executor_and_its_attempt_does_not_count() {
    let fixture = Fixture::new().await;
    let once = Definition {
        retry: leasehold_common::retry::RetryPolicy { attempts: 1, ..definition(named("x")).retry },
        ..definition(named("work"))
    };
    fixture.apply([(job("long"), once)], HOUR).await;
    let first = fixture.start(ExecutorOptions { drain_timeout: Duration::from_millis(100), ..options() }, |executor| {
        executor.handler("work", hang)
    });
    let id = fixture.trigger("long").await;
    until("its start", || async { (fixture.store.status().await.unwrap().queue.running == 1).then_some(()) }).await;
    assert_eq!(first.stop().await.released, 1);
    // The only attempt it has: a failure would be final, and giving it back was none.
    let second = fixture.start(options(), |executor| executor.handler("work", hello));
    let reports = fixture.story(id).await;
    let last = reports.last().unwrap();
    assert_eq!((last.attempt, last.outcome), (2, Outcome::Succeeded));
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_executors_run_every_run_once() {
    const RUNS: usize = 2_000;
    let fixture = Fixture::new().await;
    let jobs = (0..RUNS).map(|n| (job(&format!("job-{n}")), definition(named("count"))));
    fixture.apply(jobs, Duration::ZERO).await;
    assert_eq!(fixture.fan_out().await, RUNS as u64);
    let ran = Arc::new(AtomicU32::new(0));
    let count = |executor: Executor| {
        let ran = Arc::clone(&ran);
        executor.handler("count", move || {
            let ran = Arc::clone(&ran);
            async move { Ok::<_, HandlerError>(ran.fetch_add(1, Ordering::Relaxed)) }
        })
    };
    let options = || ExecutorOptions { slots: 200, ..options() };
    let (first, second) = (fixture.start(options(), count), fixture.start(options(), count));
    until("all reports", || async { (fixture.reports().await.len() >= RUNS).then_some(()) }).await;
    let (first, second) = (first.stop().await, second.stop().await);
    assert_eq!(first.succeeded + second.succeeded, RUNS as u64);
    assert_eq!((first.stale, second.stale), (0, 0));
    let reports = fixture.reports().await;
    let ids: HashSet<_> = reports.iter().map(|report| report.correlation_id).collect();
    assert_eq!((reports.len(), ids.len(), ran.load(Ordering::Relaxed) as usize), (RUNS, RUNS, RUNS));
    assert!(reports.iter().all(|report| report.outcome == Outcome::Succeeded));
    let queue = fixture.store.status().await.unwrap().queue;
    assert_eq!((queue.depth, queue.waiting, queue.running), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_and_their_wildest_output_end_in_proper_reports() {
    let fixture = Fixture::new().await;
    fs::write(fixture.folder.path().join("report.sh"), "echo \"{\\\"tenant\\\": \\\"$LEASEHOLD_TENANT\\\"}\"\n")
        .unwrap();
    let command = |argv: &[&str]| HandlerSpec::Command(CommandSpec::new(argv.iter().copied()));
    let wild = "head -c 50000000 /dev/zero; printf '\\377\\000end'";
    let short = Definition { timeout: Duration::from_millis(200), ..definition(command(&["sleep", "300"])) };
    fixture
        .apply(
            [
                (job("report"), definition(command(&["sh", "./report.sh"]))),
                (job("wild"), definition(command(&["sh", "-c", wild]))),
                (job("bad"), definition(command(&["sh", "-c", &format!("({wild}) >&2; exit 7")]))),
                (job("slow"), short),
            ],
            HOUR,
        )
        .await;
    let workdir = fixture.folder.path().to_owned();
    let running = fixture.start(ExecutorOptions { allow_commands: true, workdir, ..options() }, none);
    let mut stories = BTreeMap::new();
    for name in ["report", "wild", "bad", "slow"] {
        stories.insert(name, fixture.story(fixture.trigger(name).await).await.pop().unwrap());
    }
    assert_eq!(stories["report"].result, Some(json!({ "tenant": "acme" })));
    let Some(Value::String(text)) = &stories["wild"].result else { panic!("{:?}", stories["wild"]) };
    assert!(text.ends_with("\u{fffd}\u{fffd}end") && text.len() < 20_000);
    assert_eq!(stories["bad"].outcome, Outcome::Dead);
    let error = stories["bad"].error.as_deref().unwrap();
    assert!(error.starts_with("the program ended with exit status: 7: \u{fffd}"), "{error:.80}");
    assert!(error.contains(" [… 49") && error.ends_with("end"), "{error:.80}");
    assert_eq!(stories["slow"].outcome, Outcome::Dead);
    assert!(stories["slow"].error.as_deref().unwrap().starts_with("timed out after 200ms; "));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inner_address_is_refused_unless_its_network_is_allowed() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let router = axum::Router::new().fallback(|headers: axum::http::HeaderMap| async move {
        headers["leasehold-correlation-id"].to_str().unwrap().to_owned()
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    let fixture = Fixture::new().await;
    let http =
        |host: &str| HandlerSpec::Http(HttpSpec::new("POST", format!("http://{host}:{port}/{{{{ tenant.id }}}}")));
    fixture.apply([(job("sync"), definition(http("0x7f.1")))], HOUR).await;
    let closed = fixture.start(options(), none);
    let refused = fixture.story(fixture.trigger("sync").await).await;
    assert!(refused[0].error.as_deref().unwrap().contains("--allow-net 127.0.0.1"), "{refused:?}");
    closed.stop().await;
    let open = fixture.start(ExecutorOptions { allow_net: vec!["127.0.0.0/8".parse().unwrap()], ..options() }, none);
    let id = fixture.trigger("sync").await;
    let reports = fixture.story(id).await;
    assert_eq!(reports[0].result, Some(json!(id.to_string())));
    open.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_the_same_store_is_found_by_polling() {
    let fixture = Fixture::new().await;
    fixture.apply([(job("greet"), definition(named("hello")))], HOUR).await;
    let poll = ExecutorOptions { poll: Duration::from_millis(100), ..options() };
    let running = fixture.start(poll, |executor| executor.handler("hello", hello));
    // Another connection to the same file hints at nobody here.
    let other = open(fixture.folder.path()).await;
    let id = other.trigger(&common::acme(), &job("greet"), false).await.unwrap().unwrap();
    let asked = Instant::now();
    assert_eq!(fixture.story(id).await[0].outcome, Outcome::Succeeded);
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    running.stop().await;
}
