//! What runs say of themselves, and when it is written.

use leasehold_common::store::{ErrorKind, Note};
use serde_json::Value;
use tokio::time::sleep;

use super::{SECOND, start, start_plain};
use crate::fake::{Fake, named};
use crate::{ExecutorOptions, HandlerError, RunContext};

/// Says much in a moment, and the last of it just before the end.
async fn tells(context: RunContext) -> Result<Value, HandlerError> {
    for percent in 0..50 {
        context.progress(percent, "reading");
        context.log(format!("row {percent}"));
    }
    sleep(3 * SECOND).await;
    context.progress(200, "done\nor nearly");
    Ok(Value::Null)
}

#[tokio::test(start_paused = true)]
async fn what_is_new_is_written_once_a_second_and_the_last_before_the_report() {
    let fake = Fake::new();
    let run = fake.run(named("tells"));
    let id = fake.push(run);
    let running = start(&fake, ExecutorOptions::default(), |executor| executor.handler("tells", tells));
    fake.report_of(id).await;
    running.stop().await;
    let state = fake.state();
    let said: Vec<(Option<u8>, Option<&str>)> =
        state.notes.iter().map(|Note { percent, message, .. }| (*percent, message.as_deref())).collect();
    assert_eq!(said, [(Some(49), Some("reading")), (Some(100), Some("done\u{fffd}or nearly"))]);
    let log = state.notes[0].log.as_deref().unwrap();
    assert!(log.starts_with("row 30\n") && log.ends_with("\nrow 49"), "{log}");
    assert!(state.notes.iter().all(|note| note.attempt.id == id && note.attempt.attempt == 1));
    let calls: Vec<_> = state.calls.iter().map(|(name, _)| *name).filter(|n| ["note", "settle"].contains(n)).collect();
    assert_eq!(calls, ["note", "note", "settle"]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_says_nothing_costs_no_call() {
    let fake = Fake::new();
    let id = fake.push(fake.run(named("ok")));
    let running = start_plain(&fake);
    fake.report_of(id).await;
    sleep(5 * SECOND).await;
    running.stop().await;
    assert_eq!(fake.count("note"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_note_that_cannot_be_written_costs_the_run_nothing() {
    let fake = Fake::new();
    fake.fail("note", ErrorKind::Unavailable, 2);
    let id = fake.push(fake.run(named("tells")));
    let running = start(&fake, ExecutorOptions::default(), |executor| executor.handler("tells", tells));
    let report = fake.report_of(id).await;
    assert_eq!((report.result, report.error), (None, None));
    running.stop().await;
    assert_eq!((fake.count("note"), fake.state().notes.len()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_job_that_waits_for_a_callback_needs_to_know_where() {
    use leasehold_common::definition::HandlerSpec;
    use leasehold_common::endpoint::{CallbackSpec, HttpSpec};
    let fake = Fake::new();
    let callback = Some(CallbackSpec { within: SECOND, total: SECOND });
    let spec = HttpSpec { callback, ..HttpSpec::new("POST", "http://127.0.0.1:9/") };
    let id = fake.push(fake.run(HandlerSpec::Http(spec)));
    let running = start_plain(&fake);
    let error = fake.report_of(id).await.error.unwrap();
    assert!(error.contains("--public-url"), "{error}");
    running.stop().await;
    assert_eq!((fake.count("expect"), fake.count("open")), (0, 0));
}
