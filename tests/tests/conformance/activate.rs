//! From `ahead` to `ready`.

use std::time::Duration;

use jiff::SignedDuration;
use leasehold_common::run::RunState;
use leasehold_common::store::Activated;
use leasehold_tests::steps::{HOUR, cron, hourly};
use leasehold_tests::stores::Fixture;

async fn only_what_is_due_becomes_ready(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let term = f.elect().await;
    f.fan_out(&term, 2 * HOUR).await;
    assert_eq!(f.activate().await, 0);
    assert!(f.claim(10).await.items().is_empty(), "what waits cannot be claimed");
    let first = f.live("acme/a").await.last().unwrap().scheduled_for;
    f.advance_to(first - SignedDuration::from_mins(1)).await;
    assert_eq!(f.activate().await, 0);
    f.advance_to(first).await;
    assert_eq!(f.activate().await, 1);
    let states: Vec<_> = f.live("acme/a").await.iter().map(|run| run.state).collect();
    assert_eq!(states, [RunState::Waiting, RunState::Ready]);
}

async fn no_more_than_the_limit_moves_and_the_earliest_first(f: &Fixture) {
    let jobs: Vec<_> =
        (10..20).map(|second| cron(&format!("acme/s{second}"), &format!("{second} 30 * * * *"))).collect();
    f.apply(&jobs).await;
    let term = f.elect().await;
    f.fan_out(&term, HOUR).await;
    f.advance_to(f.live("acme/s19").await[0].scheduled_for).await;
    assert_eq!(f.store.activate(4).await.unwrap(), Activated { moved: 4, next_in: Some(Duration::ZERO) });
    for second in 10..20 {
        let state = if second < 14 { RunState::Ready } else { RunState::Waiting };
        assert_eq!(f.live(&format!("acme/s{second}")).await[0].state, state, "{second}");
    }
    assert_eq!(f.store.activate(100).await.unwrap(), Activated { moved: 6, next_in: None });
}

async fn next_in_tells_when_the_next_item_is_due(f: &Fixture) {
    assert_eq!(f.store.activate(10).await.unwrap(), Activated { moved: 0, next_in: None });
    f.apply(&[hourly("acme/a")]).await;
    let term = f.elect().await;
    let due = f.next_due("acme/a").await;
    f.fan_out(&term, 2 * HOUR).await;
    let close = |activated: Activated, left: i64| {
        let next_in = i64::try_from(activated.next_in.unwrap().as_millis()).unwrap();
        assert!((left - 5_000..=left).contains(&next_in), "{next_in} ms, not {left} ms");
    };
    let left = due.as_millisecond() - f.now().await.as_millisecond();
    close(f.store.activate(10).await.unwrap(), left);
    f.advance_to(due).await;
    let activated = f.store.activate(10).await.unwrap();
    assert_eq!(activated.moved, 1);
    close(activated, 3_600_000);
}

async fn concurrent_activators_share_the_work(f: &Fixture) {
    let jobs: Vec<_> = (0..300).map(|n| hourly(&format!("t{}/j{n}", n % 10))).collect();
    f.apply(&jobs).await;
    let term = f.elect().await;
    f.fan_out(&term, HOUR).await;
    f.advance(HOUR).await;
    let calls: Vec<_> = (0..4)
        .map(|_| {
            let store = f.store.clone();
            tokio::spawn(async move {
                let mut moved = 0;
                loop {
                    match store.activate(20).await.unwrap() {
                        Activated { moved: 0, .. } => return moved,
                        activated => moved += activated.moved,
                    }
                }
            })
        })
        .collect();
    let mut moved = 0;
    for call in calls {
        moved += call.await.unwrap();
    }
    moved += f.activate().await;
    assert_eq!(moved, 300);
    assert_eq!(f.store.status().await.unwrap().queue.depth, 300);
    assert_eq!(f.claim(1000).await.items().len(), 300);
}

both!(
    only_what_is_due_becomes_ready,
    no_more_than_the_limit_moves_and_the_earliest_first,
    next_in_tells_when_the_next_item_is_due,
    concurrent_activators_share_the_work,
);
