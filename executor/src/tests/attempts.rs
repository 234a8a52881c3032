//! How single attempts end.

use std::time::Duration;

use leasehold_common::command::CommandSpec;
use leasehold_common::definition::HandlerSpec;
use leasehold_common::store::{AttemptReport, ErrorKind, Verdict};

use super::{SECOND, start_plain};
use crate::fake::{Fake, named};

fn error(report: &AttemptReport) -> &str {
    report.error.as_deref().unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn an_executor_that_lacks_a_state_does_not_start_and_says_which() {
    async fn mails(_: crate::State<Vec<u8>>) -> Result<(), crate::HandlerError> {
        Ok(())
    }
    let executor = || crate::Executor::new(Fake::new(), crate::ExecutorOptions::default()).handler("mail", mails);
    let stop = crate::CancellationToken::new();
    stop.cancel();
    let error = executor().run_until(stop.clone()).await.unwrap_err().to_string();
    assert!(error.contains("\"mail\"") && error.contains("Vec<u8>"), "{error}");
    assert!(executor().state(vec![1_u8]).run_until(stop).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_run_succeeds_with_what_its_handler_returns() {
    let fake = Fake::new();
    let id = fake.push(fake.run(named("ok")));
    let running = start_plain(&fake);
    let report = fake.report_of(id).await;
    assert_eq!(report.verdict, Verdict::Succeeded);
    assert_eq!(report.result.as_deref(), Some(r#"{"attempt":1,"tenant":"acme"}"#));
    assert_eq!(running.stop().await.succeeded, 1);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failure_of_its_run_alone() {
    let fake = Fake::new();
    let bad = fake.push(fake.run(named("panic")));
    let good = fake.push(fake.run(named("ok")));
    let running = start_plain(&fake);
    let report = fake.report_of(bad).await;
    assert!(matches!(report.verdict, Verdict::Retry(_)));
    assert_eq!(error(&report), "the handler panicked: at the disco\u{fffd}");
    assert_eq!(fake.report_of(good).await.verdict, Verdict::Succeeded);
    assert!(running.health.snapshot().alive);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_never_answers_times_out_in_an_orderly_way_or_by_force() {
    let fake = Fake::new();
    let orderly = fake.push(fake.run_with(named("hang"), 20 * SECOND, 3));
    let forced = fake.push(fake.run_with(named("stubborn"), 20 * SECOND, 1));
    let running = start_plain(&fake);
    let report = fake.report_of(orderly).await;
    assert!(matches!(report.verdict, Verdict::Retry(_)));
    assert_eq!(error(&report), "timed out after 20s; told to stop");
    assert!(report.duration >= 20 * SECOND && report.duration < 21 * SECOND, "{:?}", report.duration);
    let report = fake.report_of(forced).await;
    assert_eq!(report.verdict, Verdict::Dead);
    assert_eq!(error(&report), "timed out after 20s; the handler did not stop and was ended by force");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_blocks_its_thread_times_out_all_the_same() {
    let fake = Fake::new();
    let id = fake.push(fake.run_with(named("block"), Duration::from_millis(50), 1));
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    let blocked = std::sync::Mutex::new(Some(blocked));
    let options = crate::ExecutorOptions { stop_grace: Duration::from_millis(50), ..Default::default() };
    let running = super::start(&fake, options, |executor| {
        executor.handler("block", move || {
            let blocked = blocked.lock().unwrap().take();
            async move {
                // Blocks until the test lets go of it.
                let _ = blocked.map(|blocked| blocked.recv());
                Ok::<_, crate::HandlerError>(())
            }
        })
    });
    let report = fake.report_of(id).await;
    assert_eq!(report.verdict, Verdict::Dead);
    assert!(error(&report).starts_with("timed out after 50ms"), "{report:?}");
    drop(release);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_run_fails_by_the_ordinary_rules_and_says_why() {
    let fake = Fake::new();
    let unknown_handler = fake.push(fake.run(named("no-such")));
    let mut run = fake.run(named("ok"));
    run.definition = leasehold_common::definition::DefinitionId::from_uuid(uuid::Uuid::nil());
    let unknown_definition = fake.push(run);
    let newer = fake.run(HandlerSpec::Named { name: "newer".to_owned() });
    fake.state().definitions.insert(newer.definition, r#"{"handler":{"quantum":{}}}"#.to_owned());
    let newer = fake.push(newer);
    let mut run = fake.run(named("ok"));
    run.tenant = leasehold_common::id::TenantId::new("gone").unwrap();
    let no_tenant = fake.push(run);
    let no_commands = fake.push(fake.run(HandlerSpec::Command(CommandSpec::new(["true"]))));
    let bad_template = fake.push(fake.run(HandlerSpec::Command(CommandSpec::new(["{{ oops }}"]))));
    let running = start_plain(&fake);
    for (id, text) in [
        (unknown_handler, r#"this executor has no handler "no-such"; it has hang, ok, panic, stubborn"#),
        (unknown_definition, "the store has no definition 00000000-0000-0000-0000-000000000000"),
        (newer, "this version cannot read the job's definition: "),
        (no_tenant, "there is no tenant gone"),
        (no_commands, "this executor runs no commands; start it with --allow-commands"),
        (bad_template, r#"argument "{{ oops }}": there is no template variable `oops`"#),
    ] {
        let report = fake.report_of(id).await;
        assert!(matches!(report.verdict, Verdict::Retry(_)), "{report:?}");
        assert!(error(&report).starts_with(text), "{report:?}");
    }
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn crashed_attempts_count_and_given_back_ones_do_not() {
    let fake = Fake::new();
    let crashed = fake.push(leasehold_common::store::ClaimedRun { attempt: 3, ..fake.run(named("panic")) });
    let released =
        fake.push(leasehold_common::store::ClaimedRun { attempt: 3, released: 1, ..fake.run(named("panic")) });
    let running = start_plain(&fake);
    assert_eq!(fake.report_of(crashed).await.verdict, Verdict::Dead);
    assert!(matches!(fake.report_of(released).await.verdict, Verdict::Retry(_)));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn no_attempt_runs_beyond_the_deadline_of_its_run() {
    let fake = Fake::new();
    let with = |age| {
        let definition = leasehold_common::definition::Definition {
            retry: leasehold_common::retry::RetryPolicy { deadline: Some(60 * SECOND), ..Default::default() },
            ..crate::fake::definition(named("hang"), 600 * SECOND, 3)
        };
        let run = leasehold_common::store::ClaimedRun { age, definition: definition.id(), ..fake.run(named("hang")) };
        fake.state().definitions.insert(definition.id(), definition.to_json());
        fake.push(run)
    };
    let (young, old) = (with(59 * SECOND), with(60 * SECOND));
    let started = tokio::time::Instant::now();
    let running = start_plain(&fake);
    let report = fake.report_of(old).await;
    assert_eq!((report.verdict, report.code.as_deref()), (Verdict::Dead, Some("deadline")));
    assert!(started.elapsed() < SECOND);
    let report = fake.report_of(young).await;
    assert_eq!((report.verdict, report.code.as_deref()), (Verdict::Dead, Some("timeout")));
    assert!(error(&report).contains("timed out after 1s") && error(&report).contains("deadline"), "{report:?}");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_cancel_request_stops_the_run_with_the_next_heartbeat() {
    let fake = Fake::new();
    let orderly = fake.push(fake.run(named("hang")));
    let forced = fake.push(fake.run(named("stubborn")));
    let other = fake.push(fake.run(named("hang")));
    let running = start_plain(&fake);
    fake.state().cancel = vec![orderly, forced];
    let report = fake.report_of(orderly).await;
    assert_eq!(report.verdict, Verdict::Cancelled);
    assert_eq!(error(&report), "cancelled on request; told to stop");
    let report = fake.report_of(forced).await;
    assert_eq!(report.verdict, Verdict::Cancelled);
    assert!(error(&report).ends_with("by force"), "{report:?}");
    assert!(fake.state().reports.iter().all(|report| report.id != other));
    assert_eq!(running.stop().await.cancelled, 2);
}

#[tokio::test(start_paused = true)]
async fn claimed_runs_wait_while_the_store_cannot_say_what_they_are() {
    let fake = Fake::new();
    let id = fake.push(fake.run(named("ok")));
    fake.fail("definitions", ErrorKind::Unavailable, 3);
    fake.fail("tenants_by_id", ErrorKind::Unavailable, 1);
    let running = start_plain(&fake);
    assert_eq!(fake.report_of(id).await.verdict, Verdict::Succeeded);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn definitions_and_tenants_are_fetched_once_and_tenants_again_when_they_change() {
    let fake = Fake::new();
    for _ in 0..40 {
        fake.push(fake.run(named("ok")));
    }
    let running = start_plain(&fake);
    fake.until("40 reports", |state| (state.reports.len() == 40).then_some(())).await;
    assert_eq!((fake.count("definitions"), fake.count("tenants_by_id")), (1, 1));
    let changed = leasehold_common::store::ClaimedRun { tenant_revision: 2, ..fake.run(named("ok")) };
    fake.state().tenants.values_mut().for_each(|(_, revision)| *revision = 2);
    let id = fake.push(changed);
    fake.report_of(id).await;
    assert_eq!((fake.count("definitions"), fake.count("tenants_by_id")), (1, 2));
    running.stop().await;
}
