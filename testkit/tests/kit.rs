//! What the kit promises to tests: all that is due runs, retries without waiting, and what gets stuck is named.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use leasehold_executor::{Attempt, Begun, HandlerError, Once, Payload, State};
use leasehold_testkit::{Enqueue, EnqueueDue, Outcome, Testkit};
use serde_json::{Value, json};

const HOUR: Duration = Duration::from_secs(3600);

fn config(job: &str) -> String {
    format!("version: 1\ntenants: [{{id: acme}}]\njobs:\n  - name: work\n    handler: work\n    {job}\n")
}

async fn echo(Payload(payload): Payload<Value>) -> Result<Value, HandlerError> {
    Ok(payload)
}

async fn fails_twice(Attempt(attempt): Attempt) -> Result<u32, HandlerError> {
    if attempt < 3 { Err(HandlerError::new("not yet")) } else { Ok(attempt) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_of_due_times_takes_no_day() {
    let begun = Instant::now();
    let text = config("every: 1h");
    let mut kit = Testkit::start(&text, |executor| executor.handler("work", echo)).await.unwrap();
    let from = kit.now().await.unwrap();
    let reports = kit.run_for(24 * HOUR).await.unwrap();
    assert!((23..=25).contains(&reports.len()), "{}", reports.len());
    assert!(reports.iter().all(|report| report.outcome == Outcome::Succeeded));
    assert!(reports.windows(2).all(|pair| pair[0].scheduled_for < pair[1].scheduled_for));
    assert!(kit.now().await.unwrap().duration_since(from).as_hours() >= 24);
    assert!(begun.elapsed() < HOUR);
    assert!(kit.run_for(Duration::from_secs(1)).await.unwrap().is_empty(), "what was handed out is not new");
    kit.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retries_and_later_runs_are_gone_to_at_once() {
    let text = config(
        "cron: \"0 0 1 1 *\"\n    queue: own\n    overlap: allow\n    retry: {attempts: 3, backoff: {initial: 1h, max: 2h}}",
    );
    let mut kit = Testkit::start(&text, |executor| executor.handler("work", fails_twice)).await.unwrap();
    let id = kit.trigger("acme", "work").await.unwrap();
    let reports = kit.run_until_idle().await.unwrap();
    let outcomes: Vec<_> = reports.iter().map(|report| (report.attempt, report.outcome)).collect();
    assert_eq!(outcomes, [(1, Outcome::Failed), (2, Outcome::Failed), (3, Outcome::Succeeded)]);
    assert!(reports.iter().all(|report| report.correlation_id == id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_enqueued_run_has_its_own_payload_in_its_own_time() {
    let text = config("cron: \"0 0 1 1 *\"\n    payload: {of: job}");
    let mut kit = Testkit::start(&text, |executor| executor.handler("work", echo)).await.unwrap();
    let later = kit.now().await.unwrap() + jiff::SignedDuration::from_hours(5);
    let request = Enqueue {
        payload: Some(json!({ "text": "{{ tenant.id }}" })),
        due: EnqueueDue::At(later),
        ..Enqueue::now("acme".parse().unwrap(), "work".parse().unwrap())
    };
    kit.enqueue(&request).await.unwrap();
    let report = kit.run_until_idle().await.unwrap().remove(0);
    assert_eq!(report.result, Some(json!({ "text": "{{ tenant.id }}" })), "data is no template");
    assert_eq!(report.scheduled_for, later);
    kit.trigger("acme", "work").await.unwrap();
    assert_eq!(kit.run_until_idle().await.unwrap()[0].result, Some(json!({ "of": "job" })));
}

/// Charges, and fails after it: what it did once is not done again.
async fn charge(
    once: Once,
    State(charges): State<Arc<AtomicU32>>,
    Attempt(attempt): Attempt,
) -> Result<u32, HandlerError> {
    let charge = async || Ok::<_, HandlerError>(charges.fetch_add(1, Ordering::SeqCst) + 1);
    let charged = once.run("charge", charge()).await?;
    if attempt == 1 {
        let begun: Begun<u32> = once.begin("mail").await?;
        assert!(matches!(begun, Begun::First(_)));
        return Err(HandlerError::new("died on the way"));
    }
    match once.begin::<u32>("mail").await? {
        Begun::Unfinished { attempt: 1, open, .. } => open.finish(charged).await,
        other => Err(HandlerError::permanent(format!("{other:?}"))),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_done_once_is_not_done_again_and_what_was_begun_is_seen() {
    let charges = Arc::new(AtomicU32::new(0));
    let text = config("cron: \"0 0 1 1 *\"\n    retry: {attempts: 2}");
    let state = Arc::clone(&charges);
    let mut kit = Testkit::start(&text, |executor| executor.handler("work", charge).state(state)).await.unwrap();
    kit.trigger("acme", "work").await.unwrap();
    let reports = kit.run_until_idle().await.unwrap();
    assert_eq!(reports.last().unwrap().result, Some(json!(1)), "{reports:?}");
    assert_eq!(charges.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_gets_stuck_or_is_wrong_is_named() {
    async fn hangs() -> Result<(), HandlerError> {
        std::future::pending().await
    }
    let text = config("cron: \"0 0 1 1 *\"");
    let kit = Testkit::start(&text, |executor| executor.handler("work", hangs)).await.unwrap();
    let mut kit = kit.patience(Duration::from_millis(100));
    kit.trigger("acme", "work").await.unwrap();
    let error = kit.run_until_idle().await.unwrap_err().to_string();
    assert!(error.contains("acme/work"), "{error}");
    assert!(kit.trigger("acme", "play").await.unwrap_err().to_string().contains("no job play"));

    let wrong = Testkit::start(&config("cron: noon"), |executor| executor).await.err().unwrap().to_string();
    assert!(wrong.contains("test.yaml"), "{wrong}");
    let lacks = Testkit::start(&text, |executor| executor.handler("work", charge)).await.unwrap();
    lacks.trigger("acme", "work").await.unwrap();
    let mut lacks = lacks;
    assert!(lacks.run_until_idle().await.unwrap_err().to_string().contains("the executor has ended"));
}
