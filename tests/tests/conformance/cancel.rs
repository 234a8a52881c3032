//! Cancelling runs, wherever they are.

use std::time::Duration;

use leasehold_common::id::{CorrelationId, JobKey, RunKind};
use leasehold_common::run::{Outcome, RunState};
use leasehold_common::store::{Cancelled, Settled, Verdict};
use leasehold_tests::steps::{HOUR, MINUTE, hourly};
use leasehold_tests::stores::Fixture;

async fn ends_as_cancelled(f: &Fixture, id: CorrelationId, attempt: u32) {
    let report = f.reports().await.pop().unwrap();
    assert_eq!((report.correlation_id, report.outcome, report.attempt), (id, Outcome::Cancelled, attempt));
    assert!(report.error.unwrap().contains("on request"));
    assert_eq!((report.started_at, report.executor), (None, None));
    assert_eq!(f.state(id).await, RunState::Ended);
    assert_eq!(f.live("acme/a").await, []);
    let schema = if f.is_postgres() { "leasehold." } else { "" };
    assert_eq!(f.number(&format!("SELECT count(*) FROM {schema}running")).await, 0);
    assert_eq!(f.cancel(id).await, Cancelled::AlreadyEnded);
}

async fn a_run_that_waits_for_its_time(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let term = f.elect().await;
    f.fan_out(&term, HOUR).await;
    let id = f.live("acme/a").await[0].correlation_id;
    assert_eq!(f.cancel(id).await, Cancelled::Ended);
    ends_as_cancelled(f, id, 0).await;
}

async fn a_run_that_is_ready(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let id = f.trigger("acme/a").await;
    assert_eq!(f.cancel(id).await, Cancelled::Ended);
    ends_as_cancelled(f, id, 0).await;
}

async fn a_run_that_waits_for_its_retry(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    for ready in [false, true] {
        let id = f.trigger("acme/a").await;
        f.settle(&f.claim(1).await, Verdict::Retry(MINUTE)).await;
        if ready {
            f.advance(MINUTE).await;
            f.activate().await;
        }
        assert_eq!(f.cancel(id).await, Cancelled::Ended);
        ends_as_cancelled(f, id, 1).await;
    }
}

async fn a_run_that_is_running_is_asked_to_stop(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let id = f.trigger("acme/a").await;
    let held = f.claim(1).await;
    assert_eq!(f.cancel(id).await, Cancelled::Requested);
    assert_eq!(f.cancel(id).await, Cancelled::Requested);
    assert_eq!(f.state(id).await, RunState::Running);
    assert_eq!(f.reports().await, []);
    assert_eq!(f.settle(&held, Verdict::Cancelled).await, [Settled::Recorded]);
    assert_eq!(f.outcomes("acme/a").await, [Outcome::Cancelled]);
    assert_eq!(f.cancel(id).await, Cancelled::AlreadyEnded);
}

async fn a_run_that_never_was(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let id = CorrelationId::new(f.now().await, RunKind::SCHEDULED, JobKey::from_i64(42));
    assert_eq!(f.cancel(id).await, Cancelled::NotFound);
    assert_eq!(f.store.run(id).await.unwrap(), None);
    let foreign = CorrelationId::from_uuid(uuid::Uuid::nil());
    assert_eq!(f.cancel(foreign).await, Cancelled::NotFound);
}

async fn a_cancel_that_races_a_claim_ends_the_run_or_reaches_it(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    for round in 0..25 {
        let id = f.trigger("acme/a").await;
        let store = f.store.clone();
        let cancel = tokio::spawn(async move { store.cancel(id).await.unwrap() });
        if round % 2 == 0 {
            tokio::time::sleep(Duration::from_micros(100 * round)).await; // not to wait for anything: to vary the race
        }
        let held = f.claim(1).await;
        match cancel.await.unwrap() {
            Cancelled::Ended => assert_eq!(held.items(), []),
            Cancelled::Requested => {
                let extended = f.store.extend(held.executor, &[held.claim()], MINUTE).await.unwrap();
                assert_eq!(extended.cancel, [id]);
                f.settle(&held, Verdict::Cancelled).await;
            }
            other => panic!("round {round}: {other:?}"),
        }
        assert_eq!(f.outcomes("acme/a").await.len(), usize::try_from(round).unwrap() + 1);
    }
}

both!(
    a_run_that_waits_for_its_time,
    a_run_that_is_ready,
    a_run_that_waits_for_its_retry,
    a_run_that_is_running_is_asked_to_stop,
    a_run_that_never_was,
    a_cancel_that_races_a_claim_ends_the_run_or_reaches_it,
);
