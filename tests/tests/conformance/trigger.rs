//! Runs that somebody asked for.

use std::collections::HashSet;

use leasehold_common::run::{Cause, Outcome};
use leasehold_common::store::{Settled, Verdict};
use leasehold_tests::steps::{HOUR, hourly, path};
use leasehold_tests::stores::Fixture;

async fn a_trigger_is_a_run_of_its_own(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let term = f.elect().await;
    f.fan_out(&term, HOUR).await;
    let before = f.job("acme/a").await;
    let asked = f.now().await;
    let id = f.trigger("acme/a").await;
    assert!(!id.kind().is_scheduled());
    let held = f.claim(1).await;
    let item = held.only();
    assert_eq!((item.id, item.cause, item.attempt), (id, Cause::Trigger, 1));
    assert!(item.scheduled_for >= asked && item.scheduled_for <= f.now().await);
    assert_eq!(f.settle(&held, Verdict::Succeeded).await, [Settled::Recorded]);
    let report = f.reports().await.remove(0);
    assert_eq!((report.correlation_id, report.cause, report.outcome), (id, Cause::Trigger, Outcome::Succeeded));
    let after = f.job("acme/a").await;
    assert_eq!(after, before, "the schedule is left alone");
    assert_eq!(f.live("acme/a").await.len(), 1, "and so is what it has fanned out");
}

async fn what_is_not_there_cannot_be_triggered(f: &Fixture) {
    f.apply(&[hourly("acme/a"), hourly("acme/b")]).await;
    f.apply(&[hourly("acme/a")]).await;
    for at in ["acme/never", "nobody/a", "acme/b"] {
        let (tenant, job) = path(at);
        assert_eq!(f.store.trigger(&tenant, &job, false).await.unwrap(), None, "{at}");
    }
    assert_eq!(f.store.status().await.unwrap().queue.depth, 0);
}

async fn a_hundred_triggers_at_once_are_a_hundred_runs(f: &Fixture) {
    f.apply(&[hourly("acme/a").allow_overlap()]).await;
    let calls: Vec<_> = (0..10)
        .map(|_| {
            let (store, (tenant, job)) = (f.store.clone(), path("acme/a"));
            tokio::spawn(async move {
                let mut ids = Vec::new();
                for _ in 0..10 {
                    ids.push(store.trigger(&tenant, &job, false).await.unwrap().unwrap());
                }
                ids
            })
        })
        .collect();
    let mut ids = HashSet::new();
    for call in calls {
        ids.extend(call.await.unwrap());
    }
    assert_eq!(ids.len(), 100);
    let held = f.claim(1000).await;
    assert_eq!(held.ids().into_iter().collect::<HashSet<_>>(), ids);
}

async fn triggers_run_in_the_order_they_were_asked_for(f: &Fixture) {
    f.apply(&[hourly("acme/a").allow_overlap(), hourly("globex/a").allow_overlap()]).await;
    let mut asked = Vec::new();
    for n in 0..6 {
        asked.push(f.trigger(["acme/a", "globex/a"][n % 2]).await);
    }
    assert_eq!(f.claim(10).await.ids(), asked);
}

both!(
    a_trigger_is_a_run_of_its_own,
    what_is_not_there_cannot_be_triggered,
    a_hundred_triggers_at_once_are_a_hundred_runs,
    triggers_run_in_the_order_they_were_asked_for,
);
