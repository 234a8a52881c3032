//! Limits of rate: no more starts in any stretch of time, and no fewer than there may be.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use leasehold_common::limit::Limits;
use leasehold_common::store::Verdict;
use leasehold_tests::steps::{MINUTE, TenantWords as _, rate, tenant};
use leasehold_tests::stores::Fixture;

use crate::limits::{SECOND, in_use, park_all, parked, wide};

async fn a_rate_holds_in_every_stretch_of_time(f: &Fixture) {
    f.apply(&[wide("acme/a").limited(rate("3/min"))]).await;
    f.backlog("acme/a", 12).await;
    let start = f.now().await;
    // The earliest and the latest instant of each.
    let mut starts: Vec<(Timestamp, Timestamp)> = Vec::new();
    let mut slept = Duration::ZERO;
    while starts.len() < 12 {
        let activated = f.store.activate(100).await.unwrap();
        let before = f.now().await;
        let held = f.claim_on(if starts.is_empty() { 2 } else { 10 }).await;
        let now = f.now().await;
        starts.extend(held.items().iter().map(|_| (before, now)));
        f.settle(&held, Verdict::Succeeded).await;
        if !held.items().is_empty() {
            f.advance(10 * SECOND).await; // time goes on with work
            continue;
        }
        // Nothing to do: sleep as long as an executor would.
        let wait = activated.next_in.or(f.store.activate(100).await.unwrap().next_in).expect("something waits");
        assert!(wait <= MINUTE, "{wait:?}");
        f.advance(wait).await;
        slept += wait;
    }
    let minute = SignedDuration::from_secs(60);
    for (n, (_, at)) in starts.iter().enumerate().skip(3) {
        let gap = at.duration_since(starts[n - 3].0);
        assert!(gap >= minute, "start {n} came {gap:?} after the third before it");
    }
    assert!(starts[11].0.duration_since(start) < minute * 4, "the rate is used: {starts:?}, slept {slept:?}");
    assert_eq!(parked(f).await, 0);
}

async fn an_activation_knows_when_a_rate_has_room_again(f: &Fixture) {
    f.apply(&[wide("acme/a").total(rate("2/10s"))]).await;
    f.backlog("acme/a", 7).await;
    assert_eq!(f.claim_on(5).await.items().len(), 2);
    park_all(f).await;
    assert_eq!(parked(f).await, 5);
    let next = f.store.activate(10).await.unwrap().next_in.unwrap();
    assert!((5 * SECOND..=10 * SECOND).contains(&next), "{next:?}");
    assert_eq!(f.claim_on(5).await.items(), []);
    f.advance(next).await;
    assert_eq!(f.activate().await, 2, "as many as have room");
    let next = f.store.activate(10).await.unwrap().next_in.unwrap();
    assert!(next >= Duration::from_millis(50), "{next:?}");
    assert_eq!(f.claim_on(5).await.items().len(), 2);
    assert_eq!(f.claim_on(5).await.items(), []);
    f.advance(10 * SECOND).await;
    assert_eq!(f.claim_on(5).await.items().len(), 2);
    f.advance(10 * SECOND).await;
    assert_eq!(f.claim_on(5).await.items().len(), 1);
    assert_eq!((parked(f).await, in_use(f).await), (0, 7));
    assert_eq!(f.store.activate(10).await.unwrap().next_in, None, "nothing waits any longer");
}

/// A start is a start: also of a retry.
async fn a_retry_counts_towards_a_rate(f: &Fixture) {
    f.apply(&[wide("acme/a").limited(rate("2/min"))]).await;
    f.backlog("acme/a", 1).await;
    for _ in 0..2 {
        f.settle(&f.claim_on(5).await, Verdict::Retry(Duration::ZERO)).await;
    }
    assert_eq!(f.claim_on(5).await.items(), []);
    f.advance(MINUTE).await;
    assert_eq!(f.claim_on(5).await.only().attempt, 3);
}

async fn a_rate_and_a_concurrency_hold_together(f: &Fixture) {
    let both = Limits { concurrency: Some(2), rate: Some("3/min".parse().unwrap()) };
    f.apply_of(&[tenant("acme").limited(both)], &[wide("acme/a"), wide("acme/b")]).await;
    f.backlog("acme/a", 4).await;
    f.backlog("acme/b", 4).await;
    let first = f.claim_on(8).await;
    assert_eq!(first.items().len(), 2);
    park_all(f).await;
    f.settle(&first, Verdict::Succeeded).await;
    let second = f.claim_on(8).await;
    assert_eq!(second.items().len(), 1, "the third start");
    park_all(f).await;
    f.settle(&second, Verdict::Succeeded).await;
    park_all(f).await;
    f.advance(MINUTE).await;
    let third = f.claim_on(8).await;
    assert_eq!(third.items().len(), 2, "three may start, but not at once");
    f.settle(&third, Verdict::Succeeded).await;
    assert_eq!(f.claim_on(8).await.items().len(), 1);
}

both!(
    a_rate_holds_in_every_stretch_of_time,
    an_activation_knows_when_a_rate_has_room_again,
    a_retry_counts_towards_a_rate,
    a_rate_and_a_concurrency_hold_together,
);
