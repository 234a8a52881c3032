//! How reports reach the store.

use std::time::Duration;

use leasehold_common::store::{ErrorKind, Verdict};
use tokio::time::sleep;

use super::{SECOND, start, start_plain};
use crate::ExecutorOptions;
use crate::fake::{Fake, named};

#[tokio::test(start_paused = true)]
async fn a_report_survives_conflicts_and_an_outage_of_the_store() {
    let fake = Fake::new();
    let id = fake.push(fake.run(named("ok")));
    fake.fail("settle", ErrorKind::Conflict, 1);
    fake.fail("settle", ErrorKind::Unavailable, 20);
    let running = start_plain(&fake);
    assert_eq!(fake.report_of(id).await.verdict, Verdict::Succeeded);
    assert!(fake.state().claims.is_empty(), "the claim is dropped with its last report");
    let report = fake.report_of(id).await;
    assert!(report.ended_ago > 10 * SECOND, "counted from the run's end and not from the call: {report:?}");
    let summary = running.stop().await;
    assert_eq!((summary.succeeded, summary.stale, summary.dropped), (1, 0, 0));
    assert_eq!(fake.state().reports.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_claim_is_extended_as_long_as_its_report_waits() {
    let fake = Fake::new();
    let id = fake.push(fake.run(named("ok")));
    fake.fail("settle", ErrorKind::Unavailable, 30);
    let running = start_plain(&fake);
    fake.report_of(id).await;
    assert!(fake.count("extend") >= 4, "{}", fake.count("extend"));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_gets_lost_leaves_one_report_and_no_claim() {
    let fake = Fake::new();
    let id = fake.push(fake.run(named("ok")));
    fake.fail("settle", ErrorKind::Unavailable, 1);
    fake.state().answer_lost = true;
    let running = start_plain(&fake);
    fake.report_of(id).await;
    fake.until("a second settle", |state| {
        (state.calls.iter().filter(|(call, _)| *call == "settle").count() == 2).then_some(())
    })
    .await;
    assert_eq!(running.stop().await.stale, 1);
    assert_eq!(fake.state().reports.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_report_that_the_store_refuses_does_not_keep_the_others_back() {
    let fake = Fake::new();
    let ids: Vec<_> = (0..10).map(|_| fake.push(fake.run(named("ok")))).collect();
    fake.state().poison.insert(ids[3]);
    let running = start_plain(&fake);
    for id in ids.iter().filter(|id| **id != ids[3]) {
        assert_eq!(fake.report_of(*id).await.verdict, Verdict::Succeeded);
    }
    sleep(60 * SECOND).await;
    let (extended, claims) = (fake.count("extend"), fake.state().claims.len());
    assert_eq!((extended, claims), (0, 1), "its claim is left to run out");
    let summary = running.stop().await;
    assert_eq!((summary.succeeded, summary.dropped), (9, 1));
}

#[tokio::test(start_paused = true)]
async fn reports_of_runs_that_end_together_go_out_together() {
    let fake = Fake::new();
    for _ in 0..2_500 {
        fake.push(fake.run(named("ok")));
    }
    let running = start(&fake, ExecutorOptions { slots: 500, ..Default::default() }, |executor| executor);
    fake.until("all reports", |state| (state.reports.len() == 2_500).then_some(())).await;
    assert!(fake.count("settle") <= 15, "{}", fake.count("settle"));
    assert!(fake.count("claim") <= 15, "{}", fake.count("claim"));
    fake.until("all claims dropped", |state| state.claims.is_empty().then_some(())).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_retry_is_looked_for_when_it_is_due_without_any_hint() {
    let fake = Fake::new();
    let running = start(&fake, ExecutorOptions { poll: 60 * SECOND, ..Default::default() }, |executor| executor);
    let id = fake.push(fake.run(named("panic")));
    fake.hint();
    let Verdict::Retry(wait) = fake.report_of(id).await.verdict else { panic!("no retry") };
    let looked = fake.count("activate");
    sleep(wait + Duration::from_millis(5)).await;
    assert_eq!(fake.count("activate"), looked + 1);
    running.stop().await;
}
