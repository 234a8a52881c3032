//! Heartbeats.

use std::time::Duration;

use leasehold_common::run::Outcome;
use leasehold_common::store::{Cancelled, Settled, Verdict};
use leasehold_tests::steps::{MINUTE, hourly};
use leasehold_tests::stores::Fixture;
use uuid::Uuid;

async fn ones_own_claims_stay_alive(f: &Fixture) {
    f.apply(&[hourly("acme/a"), hourly("acme/b")]).await;
    let term = f.elect().await;
    f.trigger("acme/a").await;
    let held = f.claim(1).await;
    f.trigger("acme/b").await;
    f.claim(1).await.only();
    for _ in 0..3 {
        f.advance(MINUTE / 2).await;
        let extended = f.store.extend(held.executor, &[held.claim()], MINUTE).await.unwrap();
        assert_eq!((extended.alive, extended.cancel), (vec![held.claim()], vec![]));
    }
    assert_eq!(f.rescue(&term).await, (1, 0), "only the one without a heartbeat");
    assert_eq!(f.settle(&held, Verdict::Succeeded).await, [Settled::Recorded]);
}

async fn another_executors_claim_is_not_extended(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let term = f.elect().await;
    f.trigger("acme/a").await;
    let held = f.claim(1).await;
    let extended = f.store.extend(Uuid::now_v7(), &[held.claim(), Uuid::now_v7()], 60 * MINUTE).await.unwrap();
    assert_eq!(extended.alive, Vec::<Uuid>::new());
    f.advance(2 * MINUTE).await;
    assert_eq!(f.rescue(&term).await, (1, 0));
}

async fn a_rescued_claim_is_not_alive(f: &Fixture) {
    f.apply(&[hourly("acme/a"), hourly("acme/b")]).await;
    let term = f.elect().await;
    f.trigger("acme/a").await;
    let held = f.claim(1).await;
    f.advance(2 * MINUTE).await;
    f.rescue(&term).await;
    assert_eq!(f.store.extend(held.executor, &[held.claim()], MINUTE).await.unwrap().alive, Vec::<Uuid>::new());
    // Not even when its run is running again.
    f.claim(1).await.only();
    assert_eq!(f.store.extend(held.executor, &[held.claim()], MINUTE).await.unwrap().alive, Vec::<Uuid>::new());
}

async fn a_late_heartbeat_saves_a_claim_that_nobody_rescued(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let term = f.elect().await;
    f.trigger("acme/a").await;
    let held = f.claim(1).await;
    f.advance(10 * MINUTE).await;
    assert_eq!(f.store.extend(held.executor, &[held.claim()], MINUTE).await.unwrap().alive, [held.claim()]);
    assert_eq!(f.rescue(&term).await, (0, 0));
}

async fn cancel_requests_come_with_the_answer(f: &Fixture) {
    f.apply(&[hourly("acme/a"), hourly("acme/b")]).await;
    f.trigger("acme/a").await;
    f.trigger("acme/b").await;
    let held = f.claim(2).await;
    let id = held.items()[1].id;
    assert_eq!(f.cancel(id).await, Cancelled::Requested);
    for _ in 0..2 {
        let extended = f.store.extend(held.executor, &[held.claim()], MINUTE).await.unwrap();
        assert_eq!((extended.alive, extended.cancel), (vec![held.claim()], vec![id]));
    }
    f.settle_one(held.report(1, Verdict::Cancelled)).await;
    assert_eq!(f.store.extend(held.executor, &[held.claim()], MINUTE).await.unwrap().cancel, []);
}

async fn a_run_that_was_asked_to_cancel_gets_no_further_attempt(f: &Fixture) {
    f.apply(&["failed", "given-back", "lost", "succeeded"].map(|name| hourly(&format!("acme/{name}")))).await;
    let term = f.elect().await;
    // The attempts end before their executor hears of the request.
    for (name, verdict, outcome) in [
        ("failed", Some(Verdict::Retry(Duration::ZERO)), Outcome::Cancelled),
        ("given-back", Some(Verdict::Released), Outcome::Cancelled),
        ("lost", None, Outcome::Cancelled),
        ("succeeded", Some(Verdict::Succeeded), Outcome::Succeeded),
    ] {
        let at = format!("acme/{name}");
        let id = f.trigger(&at).await;
        let held = f.claim(1).await;
        assert_eq!(f.cancel(id).await, Cancelled::Requested);
        match verdict {
            Some(verdict) => assert_eq!(f.settle(&held, verdict).await, [Settled::Recorded]),
            None => {
                f.advance(2 * MINUTE).await;
                assert_eq!(f.rescue(&term).await, (0, 1));
            }
        }
        assert_eq!(f.outcomes(&at).await, [outcome], "{name}");
        assert_eq!(f.live(&at).await, [], "{name}");
    }
}

async fn nothing_to_extend_is_fine(f: &Fixture) {
    let extended = f.store.extend(Uuid::now_v7(), &[], MINUTE).await.unwrap();
    assert_eq!((extended.alive, extended.cancel), (vec![], vec![]));
}

both!(
    ones_own_claims_stay_alive,
    another_executors_claim_is_not_extended,
    a_rescued_claim_is_not_alive,
    a_late_heartbeat_saves_a_claim_that_nobody_rescued,
    cancel_requests_come_with_the_answer,
    a_run_that_was_asked_to_cancel_gets_no_further_attempt,
    nothing_to_extend_is_fine,
);
