//! When work is looked for, and what happens to claims.

use std::sync::Arc;
use std::time::Duration;

use leasehold_common::clock::BootClock;
use leasehold_common::store::ErrorKind;
use tokio::time::{Instant, sleep};

use super::{SECOND, start, start_plain};
use crate::ExecutorOptions;
use crate::fake::{Fake, named};

const MOMENT: Duration = Duration::from_millis(5);

#[tokio::test(start_paused = true)]
async fn an_idle_executor_makes_about_two_calls_a_second() {
    let fake = Fake::new();
    let running = start_plain(&fake);
    sleep(100 * SECOND).await;
    let looked = fake.count("activate") + fake.count("claim");
    assert!((160..=202).contains(&looked), "{looked}");
    assert!(fake.state().calls.len() <= looked + 25, "{}", fake.state().calls.len());
    assert_eq!((fake.count("extend"), fake.count("settle")), (0, 0));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_waiting_item_is_claimed_when_it_becomes_due_and_not_at_the_next_poll() {
    let fake = Fake::new();
    let run = fake.run(named("ok"));
    let due = Instant::now() + Duration::from_millis(3_456);
    let id = run.id;
    fake.state().ahead.push((due, run));
    let running = start_plain(&fake);
    fake.report_of(id).await;
    assert!(Instant::now() < due + MOMENT);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_hint_wakes_and_a_lost_hint_costs_a_poll_interval() {
    let fake = Fake::new();
    let running = start_plain(&fake);
    sleep(10 * SECOND).await;
    let hinted = fake.push(fake.run(named("ok")));
    let pushed = Instant::now();
    fake.hint();
    fake.report_of(hinted).await;
    assert!(pushed.elapsed() < MOMENT, "{:?}", pushed.elapsed());
    let unhinted = fake.push(fake.run(named("ok")));
    let pushed = Instant::now();
    fake.report_of(unhinted).await;
    assert!(pushed.elapsed() < SECOND.mul_f64(1.25) + MOMENT, "{:?}", pushed.elapsed());
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn hints_are_subscribed_to_before_the_first_poll_and_again_after_a_failure() {
    let fake = Fake::new();
    fake.fail("hints", ErrorKind::Unavailable, 1);
    let running = start_plain(&fake);
    sleep(5 * SECOND).await;
    assert_eq!(fake.count("hints"), 2);
    let first = fake.state().calls.iter().map(|(call, _)| *call).find(|call| *call != "announce");
    assert_eq!(first, Some("hints"));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn after_dismissed_items_it_claims_again_at_once() {
    let fake = Fake::new();
    fake.state().dismiss = 3;
    let started = Instant::now();
    let running = start_plain(&fake);
    fake.until("two claims", |state| {
        (state.calls.iter().filter(|(call, _)| *call == "claim").count() == 2).then_some(())
    })
    .await;
    assert!(started.elapsed() < MOMENT, "{:?}", started.elapsed());
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn no_more_is_claimed_than_there_are_slots_and_a_freed_slot_is_filled_at_once() {
    let fake = Fake::new();
    for _ in 0..3 {
        fake.push(fake.run_with(named("hang"), 10 * SECOND, 1));
    }
    let started = Instant::now();
    let running = start(&fake, ExecutorOptions { slots: 2, ..Default::default() }, |executor| executor);
    sleep(9 * SECOND).await;
    assert_eq!(fake.state().ready.len(), 1);
    fake.until("the third", |state| state.ready.is_empty().then_some(())).await;
    assert!(started.elapsed() < 10 * SECOND + 2 * MOMENT, "{:?}", started.elapsed());
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_item_that_becomes_due_after_a_slot_was_freed_does_not_wait_for_the_poll() {
    let fake = Fake::new();
    fake.push(fake.run_with(named("hang"), Duration::from_millis(10_100), 1));
    let running =
        start(&fake, ExecutorOptions { slots: 1, poll: 60 * SECOND, ..Default::default() }, |executor| executor);
    let run = fake.run(named("ok"));
    let (id, due) = (run.id, Instant::now() + Duration::from_millis(10_300));
    fake.state().ahead.push((due, run));
    fake.report_of(id).await;
    assert!(Instant::now() < due + MOMENT);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_away_it_is_not_ready_but_alive_and_it_comes_back() {
    let fake = Fake::new();
    let running = start_plain(&fake);
    sleep(SECOND).await;
    assert!(running.health.snapshot().ready);
    fake.fail("activate", ErrorKind::Unavailable, 8);
    sleep(2 * SECOND).await;
    let snapshot = running.health.snapshot();
    assert!(snapshot.alive && !snapshot.ready, "{snapshot:?}");
    let id = fake.push(fake.run(named("ok")));
    fake.report_of(id).await;
    let deadline = Instant::now() + 60 * SECOND;
    while !running.health.snapshot().ready {
        assert!(Instant::now() < deadline, "{:?}", running.health.snapshot());
        sleep(MOMENT).await;
    }
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_claim_is_extended_while_its_runs_run() {
    let fake = Fake::new();
    let id = fake.push(fake.run_with(named("hang"), 300 * SECOND, 1));
    let running = start_plain(&fake);
    sleep(299 * SECOND).await;
    assert_eq!(fake.count("extend"), 29);
    fake.report_of(id).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_runs_of_a_claim_that_the_store_no_longer_has_are_ended_and_not_reported() {
    let fake = Fake::new();
    let id = fake.push(fake.run(named("stubborn")));
    let running = start_plain(&fake);
    fake.until("a claim", |state| (!state.claims.is_empty()).then_some(())).await;
    fake.state().claims.clear(); // rescued
    fake.until("a heartbeat", |state| state.calls.iter().any(|(call, _)| *call == "extend").then_some(())).await;
    let next = fake.push(fake.run(named("ok")));
    fake.report_of(next).await;
    let summary = running.stop().await;
    assert!(fake.state().reports.iter().all(|report| report.id != id));
    assert_eq!((summary.succeeded, summary.stale, summary.released), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn runs_are_ended_when_the_store_does_not_confirm_their_claim_in_time() {
    let fake = Fake::new();
    let clock = BootClock::manual();
    let ended = Arc::new(tokio::sync::Notify::new());
    let dropped = Arc::clone(&ended);
    fake.push(fake.run(named("guarded")));
    fake.fail("extend", ErrorKind::Unavailable, 10_000);
    let options = ExecutorOptions { clock: clock.clone(), slots: 1, ..Default::default() };
    let running = start(&fake, options, |executor| {
        executor.handler("guarded", move |context: crate::RunContext| {
            let ended = Arc::clone(&dropped);
            async move {
                let token = context.cancellation().clone();
                tokio::spawn(async move {
                    token.cancelled().await;
                    ended.notify_one();
                });
                std::future::pending::<Result<(), crate::HandlerError>>().await
            }
        })
    });
    fake.until("failing heartbeats", |state| {
        (state.calls.iter().filter(|(call, _)| *call == "extend").count() > 3).then_some(())
    })
    .await;
    assert!(!running.health.snapshot().ready);
    clock.advance(25 * SECOND - Duration::from_millis(1));
    sleep(20 * SECOND).await;
    let next = fake.push(fake.run(named("ok")));
    assert_eq!(fake.state().ready.len(), 1, "the slot is still taken");
    clock.advance(Duration::from_millis(1));
    ended.notified().await;
    fake.report_of(next).await;
    assert_eq!(fake.state().reports.len(), 1);
    running.stop().await;
}
