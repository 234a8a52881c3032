//! How an executor ends.

use std::time::Duration;

use leasehold_common::store::{ErrorKind, Verdict};
use tokio::time::Instant;

use super::{SECOND, start, start_plain};
use crate::ExecutorOptions;
use crate::fake::{Fake, named};

fn options() -> ExecutorOptions {
    ExecutorOptions { slots: 2, drain_timeout: 10 * SECOND, ..Default::default() }
}

#[tokio::test(start_paused = true)]
async fn what_runs_may_finish_and_nothing_more_is_claimed() {
    let fake = Fake::new();
    let long = fake.push(fake.run(named("long")));
    let running = start(&fake, options(), |executor| {
        executor.handler("long", async || {
            tokio::time::sleep(8 * SECOND).await;
            Ok::<_, crate::HandlerError>(())
        })
    });
    fake.until("a claim", |state| (!state.claims.is_empty()).then_some(())).await;
    running.shutdown.cancel();
    fake.until("word of the drain", |state| state.announced.last().is_some_and(|info| info.draining).then_some(()))
        .await;
    fake.push(fake.run(named("ok")));
    fake.hint();
    let summary = running.stop().await;
    assert_eq!((summary.succeeded, summary.released), (1, 0));
    assert_eq!(fake.report_of(long).await.verdict, Verdict::Succeeded);
    let state = fake.state();
    assert_eq!((state.ready.len(), state.claims.len(), state.retired.len()), (1, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn what_the_drain_cuts_is_given_back_whether_it_stops_or_not() {
    let fake = Fake::new();
    let orderly = fake.push(fake.run(named("hang")));
    let forced = fake.push(fake.run(named("stubborn")));
    let running = start(&fake, options(), |executor| executor);
    fake.until("a claim", |state| (!state.claims.is_empty()).then_some(())).await;
    let asked = Instant::now();
    let summary = running.stop().await;
    assert_eq!(summary.released, 2);
    assert!(asked.elapsed() >= 10 * SECOND && asked.elapsed() < 20 * SECOND, "{:?}", asked.elapsed());
    for id in [orderly, forced] {
        assert_eq!(fake.report_of(id).await.verdict, Verdict::Released);
    }
    assert!(fake.state().claims.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_idle_executor_ends_at_once() {
    let fake = Fake::new();
    let running = start_plain(&fake);
    fake.until("an announcement", |state| (!state.announced.is_empty()).then_some(())).await;
    let asked = Instant::now();
    running.stop().await;
    assert!(asked.elapsed() < Duration::from_millis(10), "{:?}", asked.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_last_reports_are_flushed_even_if_the_store_is_away_for_a_while() {
    let fake = Fake::new();
    let id = fake.push(fake.run(named("ok")));
    fake.fail("settle", ErrorKind::Unavailable, 5);
    let running = start_plain(&fake);
    fake.until("a settle", |state| state.calls.iter().any(|(call, _)| *call == "settle").then_some(())).await;
    assert_eq!(running.stop().await.succeeded, 1);
    assert_eq!(fake.report_of(id).await.verdict, Verdict::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn without_a_store_it_ends_all_the_same_and_says_what_it_could_not_report() {
    let fake = Fake::new();
    let clock = leasehold_common::clock::BootClock::manual();
    fake.push(fake.run(named("ok")));
    fake.fail("settle", ErrorKind::Unavailable, 10_000);
    fake.fail("extend", ErrorKind::Unavailable, 10_000);
    let running = start(&fake, ExecutorOptions { clock: clock.clone(), ..options() }, |executor| executor);
    fake.until("a settle", |state| state.calls.iter().any(|(call, _)| *call == "settle").then_some(())).await;
    clock.advance(25 * SECOND); // the claim has run out
    assert_eq!(running.stop().await.dropped, 1);
}

#[tokio::test(start_paused = true)]
async fn runs_that_were_claimed_and_not_started_are_given_back() {
    let fake = Fake::new();
    let id = fake.push(fake.run(named("ok")));
    fake.fail("definitions", ErrorKind::Unavailable, 10_000);
    let running = start_plain(&fake);
    fake.until("a claim", |state| (!state.claims.is_empty()).then_some(())).await;
    assert_eq!(running.stop().await.released, 1);
    assert_eq!(fake.report_of(id).await.verdict, Verdict::Released);
}
