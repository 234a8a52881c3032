//! What becomes of the runs of executors that are gone (invariants I11 and I12).

use std::time::Duration;

use leasehold_common::run::{Outcome, RunState};
use leasehold_common::store::{Rescued, Settled, Verdict};
use leasehold_tests::steps::{MINUTE, hourly};
use leasehold_tests::stores::Fixture;
use uuid::Uuid;

async fn only_expired_claims_are_rescued(f: &Fixture) {
    f.apply(&[hourly("acme/a"), hourly("acme/b")]).await;
    let term = f.elect().await;
    let lost = f.trigger("acme/a").await;
    f.claim(1).await.only();
    f.advance(MINUTE / 2).await;
    assert_eq!(f.rescue(&term).await, (0, 0));
    let alive = f.trigger("acme/b").await;
    f.claim(1).await.only();
    f.advance(MINUTE / 2).await;
    assert_eq!(f.rescue(&term).await, (1, 0));
    assert_eq!(f.rescue(&term).await, (0, 0));
    assert_eq!(f.state(alive).await, RunState::Running);
    assert_ne!(f.state(lost).await, RunState::Running);
}

async fn a_lost_run_is_tried_again(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let term = f.elect().await;
    let id = f.trigger("acme/a").await;
    let held = f.claim(1).await;
    f.advance(MINUTE).await;
    assert_eq!(f.rescue(&term).await, (1, 0));
    let report = f.reports().await.remove(0);
    assert_eq!((report.correlation_id, report.outcome, report.attempt), (id, Outcome::Failed, 1));
    assert!(report.next_attempt_at.is_some() && report.error.unwrap().contains("executor was lost"));
    assert_eq!(report.executor, Some(held.executor.to_string()));
    assert!(report.duration_ms.unwrap() >= 60_000, "from the claim to the rescue");
    let again = f.claim(1).await;
    assert_eq!((again.only().id, again.only().attempt), (id, 2));
    assert_ne!(again.claim(), held.claim());
}

async fn crashes_count_and_the_last_one_is_deadly(f: &Fixture) {
    f.apply(&[hourly("acme/a").attempts(3)]).await;
    let term = f.elect().await;
    let id = f.trigger("acme/a").await;
    for attempt in 1..=3 {
        assert_eq!(f.claim(1).await.only().attempt, attempt);
        f.advance(MINUTE).await;
        assert_eq!(f.rescue(&term).await, if attempt < 3 { (1, 0) } else { (0, 1) });
    }
    assert_eq!(f.claim(1).await.items(), []);
    assert_eq!(f.state(id).await, RunState::Ended);
    assert_eq!(f.outcomes("acme/a").await, [Outcome::Failed, Outcome::Failed, Outcome::Dead]);
    let last = f.reports().await.pop().unwrap();
    assert_eq!((last.attempt, last.next_attempt_at), (3, None));
}

async fn released_attempts_do_not_count_in_a_rescue(f: &Fixture) {
    f.apply(&[hourly("acme/a").attempts(1)]).await;
    let term = f.elect().await;
    f.trigger("acme/a").await;
    f.settle(&f.claim(1).await, Verdict::Released).await;
    f.claim(1).await.only();
    f.advance(MINUTE).await;
    assert_eq!(f.rescue(&term).await, (0, 1), "one attempt, given back once, crashed once");
}

async fn no_more_claims_than_the_limit_are_rescued(f: &Fixture) {
    f.apply(&(0..6).map(|n| hourly(&format!("acme/j{n}"))).collect::<Vec<_>>()).await;
    let term = f.elect().await;
    for n in 0..6 {
        f.trigger(&format!("acme/j{n}")).await;
    }
    for _ in 0..3 {
        assert_eq!(f.claim(2).await.items().len(), 2);
    }
    f.advance(MINUTE).await;
    for expected in [4, 2, 0] {
        assert_eq!(f.store.rescue(&term, 2).await.unwrap(), Rescued::Done { requeued: expected, dead: 0 });
    }
}

async fn a_run_that_waits_for_its_retry_is_not_rescued(f: &Fixture) {
    f.apply(&[hourly("acme/a"), hourly("acme/b")]).await;
    let term = f.elect().await;
    f.trigger("acme/a").await;
    f.trigger("acme/b").await;
    let held = f.claim(2).await;
    f.settle_one(held.report(0, Verdict::Retry(60 * MINUTE))).await;
    f.advance(MINUTE).await;
    assert_eq!(f.rescue(&term).await, (1, 0), "the other run of the same claim");
    assert_eq!(f.reports().await.len(), 2);
}

async fn a_claim_without_runs_is_dropped(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let term = f.elect().await;
    f.trigger("acme/a").await;
    let held = f.claim(1).await;
    f.settle_one(held.report(0, Verdict::Succeeded)).await;
    f.advance(MINUTE).await;
    assert_eq!(f.rescue(&term).await, (0, 0));
    let schema = if f.is_postgres() { "leasehold." } else { "" };
    assert_eq!(f.number(&format!("SELECT count(*) FROM {schema}claim")).await, 0);
}

/// The completion of an executor that was slow to report, and its rescue, at the same moment.
async fn a_report_that_races_a_rescue_ends_each_run_once(f: &Fixture) {
    const RUNS: usize = 12;
    f.apply(&(0..RUNS).map(|n| hourly(&format!("acme/j{n}")).attempts(1)).collect::<Vec<_>>()).await;
    let term = f.elect().await;
    let (mut recorded, mut rescued) = (0, 0);
    for round in 1..=12 {
        for n in 0..RUNS {
            f.trigger(&format!("acme/j{n}")).await;
        }
        let held = [f.claim(7).await, f.claim(100).await];
        f.advance(MINUTE).await;
        let rescue = tokio::spawn({
            let store = f.store.clone();
            async move { store.rescue(&term, 100).await.unwrap() }
        });
        let settles = held.each_ref().map(|held| {
            let (store, held) = (f.store.clone(), held.clone());
            tokio::spawn(async move {
                let mut answers = Vec::new();
                for part in held.reports(Verdict::Succeeded).chunks(3) {
                    answers.extend(store.settle(held.executor, part, &[]).await.unwrap());
                }
                answers
            })
        });
        let mut settled = 0;
        for settle in settles {
            settled += settle.await.unwrap().iter().filter(|answer| **answer == Settled::Recorded).count();
        }
        let Rescued::Done { requeued: 0, dead } = rescue.await.unwrap() else { panic!("no attempt is left") };
        assert_eq!(settled + usize::try_from(dead).unwrap(), RUNS, "round {round}");
        assert_eq!(f.reports().await.len(), round * RUNS);
        recorded += settled;
        rescued += dead;
    }
    assert_eq!(recorded + usize::try_from(rescued).unwrap(), 12 * RUNS);
    let reports = f.reports().await;
    let ids: std::collections::HashSet<_> = reports.iter().map(|report| report.correlation_id).collect();
    assert_eq!(ids.len(), reports.len());
}

/// The same with attempts left: a run that the rescue put back is not ended by the old report.
async fn a_report_that_races_a_rescue_with_attempts_left(f: &Fixture) {
    f.apply(&[hourly("acme/a").attempts(50)]).await;
    let term = f.elect().await;
    for round in 0..25 {
        let id = f.trigger("acme/a").await;
        let held = f.claim(1).await;
        f.advance(MINUTE).await;
        let (store, report) = (f.store.clone(), held.report(0, Verdict::Succeeded));
        let settle = tokio::spawn(async move { store.settle(Uuid::now_v7(), &[report], &[]).await.unwrap()[0] });
        let (requeued, _) = f.rescue(&term).await;
        let answer = settle.await.unwrap();
        assert_eq!(requeued, u64::from(answer == Settled::Stale), "round {round}");
        if answer == Settled::Stale {
            let again = f.claim(1).await;
            assert_eq!((again.only().id, again.only().attempt), (id, 2));
            assert_eq!(f.settle(&again, Verdict::Succeeded).await, [Settled::Recorded]);
        }
        let terminal = f.store.run(id).await.unwrap().unwrap().reports;
        assert_eq!(terminal.iter().filter(|report| report.outcome.is_terminal()).count(), 1);
    }
}

async fn two_leaders_of_one_term_rescue_each_run_once(f: &Fixture) {
    f.apply(&(0..40).map(|n| hourly(&format!("acme/j{n}"))).collect::<Vec<_>>()).await;
    let term = f.elect().await;
    for n in 0..40 {
        f.trigger(&format!("acme/j{n}")).await;
    }
    while !f.claim(4).await.items().is_empty() {}
    f.advance(2 * MINUTE).await;
    let calls: Vec<_> = (0..3)
        .map(|_| {
            let store = f.store.clone();
            tokio::spawn(async move { store.rescue(&term, 100).await.unwrap() })
        })
        .collect();
    let mut total = 0;
    for call in calls {
        let Rescued::Done { requeued, dead: 0 } = call.await.unwrap() else { panic!("all have attempts left") };
        total += requeued;
    }
    assert_eq!(total, 40);
    assert_eq!(f.reports().await.len(), 40);
    f.advance(Duration::from_secs(1)).await;
    assert_eq!(f.claim(100).await.items().len(), 40);
}

both!(
    only_expired_claims_are_rescued,
    a_lost_run_is_tried_again,
    crashes_count_and_the_last_one_is_deadly,
    released_attempts_do_not_count_in_a_rescue,
    no_more_claims_than_the_limit_are_rescued,
    a_run_that_waits_for_its_retry_is_not_rescued,
    a_claim_without_runs_is_dropped,
    a_report_that_races_a_rescue_ends_each_run_once,
    a_report_that_races_a_rescue_with_attempts_left,
    two_leaders_of_one_term_rescue_each_run_once,
);
