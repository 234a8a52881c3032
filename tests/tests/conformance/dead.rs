//! Dead letters: what is one, how they are grouped, and what is made in the place of each.

use std::collections::BTreeSet;

use leasehold_common::id::CorrelationId;
use leasehold_common::run::{Cause, Outcome, RunState};
use leasehold_common::store::{AttemptReport, DeadFilter, Enqueue, Verdict};
use leasehold_tests::steps::*;
use leasehold_tests::stores::Fixture;

/// Runs a trigger of the job that dies with this error; answers its id.
async fn dies(f: &Fixture, job: &str, code: &str, error: &str) -> CorrelationId {
    let id = f.trigger(job).await;
    let held = f.claim(100).await;
    let report =
        AttemptReport { code: Some(code.to_owned()), error: Some(error.to_owned()), ..held.report(0, Verdict::Dead) };
    f.settle_one(report).await;
    id
}

fn of(runs: &[CorrelationId]) -> DeadFilter {
    DeadFilter { runs: runs.to_vec(), ..DeadFilter::default() }
}

async fn redrive(f: &Fixture, filter: &DeadFilter) -> u64 {
    let upto = f.store.dead_count(filter).await.unwrap().upto;
    let (mut made, mut after) = (0, Some(0));
    while let Some(from) = after {
        let step = f.store.redrive(filter, from, upto, 2).await.unwrap();
        made += step.redriven;
        after = step.next;
    }
    made
}

async fn they_are_grouped_by_job_and_error(f: &Fixture) {
    f.apply(&[hourly("acme/a"), hourly("acme/b"), hourly("globex/a")]).await;
    assert_eq!(f.store.dead_groups(&DeadFilter::default(), 10).await.unwrap(), []);
    dies(f, "acme/a", "http.503", "answered 503: order 17").await;
    dies(f, "acme/b", "http.503", "answered 503: order 17").await;
    let latest = dies(f, "globex/a", "http.503", "answered 503: order 18").await;
    dies(f, "acme/a", "exit.2", "answered 503: order 17").await;
    let groups = f.store.dead_groups(&DeadFilter::default(), 10).await.unwrap();
    let seen: Vec<_> =
        groups.iter().map(|g| (g.job.as_str(), g.error_code.as_deref().unwrap(), g.count, g.tenants)).collect();
    assert_eq!(seen[0], ("a", "http.503", 2, 2), "numbers do not make another group");
    assert_eq!(
        seen[1..].iter().copied().collect::<BTreeSet<_>>(),
        [("a", "exit.2", 1, 1), ("b", "http.503", 1, 1)].into()
    );
    assert_eq!((groups[0].sample, groups[0].sample_tenant.as_str()), (latest, "globex"));
    assert_eq!(groups[0].sample_error.as_deref(), Some("answered 503: order 18"));
    assert!(groups[0].first_at <= groups[0].last_at);

    let count = async |filter: DeadFilter| f.store.dead_count(&filter).await.unwrap().count;
    assert_eq!(count(DeadFilter::default()).await, 4);
    assert_eq!(count(DeadFilter { codes: vec!["exit.2".to_owned()], ..DeadFilter::default() }).await, 1);
    assert_eq!(count(DeadFilter { tenants: vec!["globex".parse().unwrap()], ..DeadFilter::default() }).await, 1);
    assert_eq!(count(DeadFilter { jobs: vec!["b".parse().unwrap()], ..DeadFilter::default() }).await, 1);
    assert_eq!(count(DeadFilter { group: Some(groups[0].group), ..DeadFilter::default() }).await, 3, "of both jobs");
    assert_eq!(count(of(&[latest])).await, 1);
}

async fn what_is_made_in_the_place_of_a_dead_run_is_a_run_of_its_own(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let dead = dies(f, "acme/a", "exit.2", "no").await;
    let before = f.store.run(dead).await.unwrap().unwrap();
    assert_eq!(redrive(f, &of(&[dead])).await, 1);
    f.activate().await;
    let held = f.claim(10).await;
    let item = held.only();
    assert_ne!(item.id, dead);
    assert_eq!((item.cause, item.attempt), (Cause::Redrive, 1));
    assert_eq!(item.scheduled_for.as_millisecond(), before.run.scheduled_for.as_millisecond(), "for the same due time");
    let story = f.store.run(dead).await.unwrap().unwrap();
    assert_eq!((story.run.outcome, story.redriven_as, story.origin), (Some(Outcome::Dead), Some(item.id), None));
    assert_eq!(story.reports, before.reports, "terminal is absorbing");
    let made = f.store.run(item.id).await.unwrap().unwrap();
    assert_eq!((made.run.state, made.origin, made.redriven_as), (RunState::Running, Some(dead), None));
    assert_eq!(f.store.dead_count(&DeadFilter::default()).await.unwrap().count, 0);
    f.settle(&held, Verdict::Dead).await;
    assert_eq!(f.store.dead_count(&of(&[item.id])).await.unwrap().count, 1, "it may die, too");
}

async fn a_dead_run_is_redriven_once(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let mut dead = Vec::new();
    for _ in 0..20 {
        dead.push(dies(f, "acme/a", "exit.2", "no").await);
    }
    let calls: Vec<_> = (0..4)
        .map(|_| {
            let store = f.store.clone();
            tokio::spawn(async move { store.redrive(&DeadFilter::default(), 0, i64::MAX, 100).await.unwrap().redriven })
        })
        .collect();
    let mut made = 0;
    for call in calls {
        made += call.await.unwrap();
    }
    assert_eq!(made, 20, "of several redrives at once, one makes the run");
    assert_eq!(redrive(f, &of(&dead)).await, 0);
    assert_eq!(f.live("acme/a").await.len(), 20);
}

async fn no_more_is_redriven_than_was_counted(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    dies(f, "acme/a", "exit.2", "no").await;
    let counted = f.store.dead_count(&DeadFilter::default()).await.unwrap();
    let later = dies(f, "acme/a", "exit.2", "no").await;
    let step = f.store.redrive(&DeadFilter::default(), 0, counted.upto, 100).await.unwrap();
    assert_eq!((step.redriven, step.next), (1, None));
    assert_eq!(f.store.dead_count(&of(&[later])).await.unwrap().count, 1);
    assert_eq!(f.store.discard(&DeadFilter::default(), counted.upto).await.unwrap(), 0, "nor discarded");
}

async fn letters_of_a_job_that_is_gone_stay(f: &Fixture) {
    f.apply(&[hourly("acme/a"), hourly("acme/b")]).await;
    let gone = dies(f, "acme/a", "exit.2", "no").await;
    dies(f, "acme/b", "exit.2", "no").await;
    f.apply(&[hourly("acme/b")]).await;
    let step = f.store.redrive(&DeadFilter::default(), 0, i64::MAX, 100).await.unwrap();
    assert_eq!((step.redriven, step.gone, step.next), (1, 1, None));
    assert_eq!(f.store.dead_count(&DeadFilter::default()).await.unwrap().count, 1);
    assert_eq!(f.store.dead_count(&of(&[gone])).await.unwrap().count, 1);
}

async fn what_is_discarded_is_off_the_list(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let dead = dies(f, "acme/a", "exit.2", "no").await;
    assert_eq!(f.store.discard(&of(&[dead]), i64::MAX).await.unwrap(), 1);
    assert_eq!(f.store.discard(&of(&[dead]), i64::MAX).await.unwrap(), 0);
    assert_eq!(redrive(f, &DeadFilter::default()).await, 0);
    let story = f.store.run(dead).await.unwrap().unwrap();
    assert_eq!(
        (story.run.outcome, story.redriven_as.map(|id| id.as_uuid().is_nil())),
        (Some(Outcome::Dead), Some(true))
    );
}

async fn a_payload_that_was_handed_over_goes_along(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let request = Enqueue {
        payload: Some(serde_json::json!({"order": 17})),
        key: Some("once".to_owned()),
        ..Enqueue::now("acme".parse().unwrap(), "a".parse().unwrap())
    };
    let id = f.store.enqueue(&request).await.unwrap().unwrap();
    f.activate().await;
    let held = f.claim(1).await;
    assert_eq!(held.only().id, id);
    f.settle(&held, Verdict::Dead).await;
    assert_eq!(redrive(f, &of(&[id])).await, 1);
    f.activate().await;
    let made = f.claim(1).await.only().id;
    let (of, payload) = f.store.payloads(&[made]).await.unwrap().remove(0);
    let payload: serde_json::Value = serde_json::from_str(&payload).unwrap();
    assert_eq!((of, payload), (made, serde_json::json!({"order": 17})));
}

async fn redriven_runs_of_one_job_wait_for_each_other(f: &Fixture) {
    f.apply(&[cron("acme/a", "0 0 1 1 *")]).await;
    for _ in 0..5 {
        dies(f, "acme/a", "exit.2", "no").await;
    }
    assert_eq!(redrive(f, &DeadFilter::default()).await, 5);
    for _ in 0..5 {
        f.activate().await;
        let held = f.claim(10).await;
        f.settle(&held, Verdict::Succeeded).await;
        assert_eq!(held.items().len(), 1);
    }
    assert!(f.reports().await.iter().all(|report| report.outcome != Outcome::Overlapped));
}

async fn whatever_ends_a_run_for_good_makes_a_letter_of_it(f: &Fixture) {
    f.apply(&[every("acme/a", HOUR).attempts(1)]).await;
    f.trigger("acme/a").await;
    f.claim(1).await;
    f.advance(HOUR).await;
    let term = f.elect().await;
    assert_eq!(f.rescue(&term).await, (0, 1));
    let groups = f.store.dead_groups(&DeadFilter::default(), 10).await.unwrap();
    assert_eq!((groups.len(), groups[0].error_code.as_deref()), (1, Some("lost")));
}

both!(
    they_are_grouped_by_job_and_error,
    what_is_made_in_the_place_of_a_dead_run_is_a_run_of_its_own,
    a_dead_run_is_redriven_once,
    no_more_is_redriven_than_was_counted,
    letters_of_a_job_that_is_gone_stay,
    what_is_discarded_is_off_the_list,
    a_payload_that_was_handed_over_goes_along,
    redriven_runs_of_one_job_wait_for_each_other,
    whatever_ends_a_run_for_good_makes_a_letter_of_it,
);
