//! Jobs that require a feature which their tenant lacks: every due time says so, and none costs a slot.

use std::time::Duration;

use leasehold_common::definition::Tenant;
use leasehold_common::run::Outcome;
use leasehold_common::store::{Settled, Verdict};
use leasehold_tests::steps::{HOUR, Job, MINUTE, TenantWords as _, at_once, every, hourly, tenant};
use leasehold_tests::stores::Fixture;

/// The tenant without the feature, and with it.
fn acme(reports: bool) -> [Tenant; 1] {
    [if reports { tenant("acme").with("reports") } else { tenant("acme").with("other") }]
}

fn gated(job: Job) -> Job {
    job.requires("reports")
}

async fn due_times_of_a_gated_job_are_recorded(f: &Fixture) {
    let jobs = [gated(hourly("acme/a")), hourly("acme/b")];
    let from = f.now().await;
    f.apply_of(&acme(false), &jobs).await;
    let term = f.elect().await;
    f.advance(3 * HOUR).await;
    let fanned = f.fan_out_all(&term, Duration::ZERO).await;
    assert_eq!(fanned.gated, 3);
    assert!(f.claim(10).await.items().iter().all(|item| item.job.as_str() == "b"));
    assert_eq!(f.rows("acme/a").await, [(Outcome::Gated, 3, "02:00".to_owned(), "04:00".to_owned())]);
    let report = f.reports().await.into_iter().find(|report| report.outcome == Outcome::Gated).unwrap();
    assert!(report.error.unwrap().contains("feature"));
    // The tenant gains it: the next due time runs, and none of those before.
    f.apply_of(&acme(true), &jobs).await;
    f.advance(HOUR).await;
    f.fan_out(&term, Duration::ZERO).await;
    let held = f.claim(10).await;
    assert!(held.jobs().contains(&"a"));
    f.settle(&held, Verdict::Succeeded).await;
    assert_eq!(f.outcomes("acme/a").await, [Outcome::Gated, Outcome::Succeeded]);
    assert_eq!(f.is_whole("acme/a", from).await, 4);
}

/// What was fanned out before the tenant lost the feature.
async fn an_item_of_a_job_that_is_gated_by_now_ends_gated(f: &Fixture) {
    let jobs = [gated(hourly("acme/a")), gated(every("acme/e", MINUTE)), hourly("acme/b")];
    f.apply_of(&acme(true), &jobs).await;
    let term = f.elect().await;
    f.fan_out(&term, HOUR).await;
    f.apply_of(&acme(false), &jobs).await;
    f.advance(HOUR).await;
    let held = f.claim_on(10).await;
    assert_eq!(held.jobs(), ["b"]);
    f.claim_on(10).await;
    assert_eq!(f.outcomes("acme/a").await, [Outcome::Gated]);
    // The interval goes on, and is looked at again with each due time.
    assert_eq!(f.outcomes("acme/e").await, [Outcome::Gated]);
    assert_eq!(f.store.status().await.unwrap().catalog.stalled_interval_jobs, 0);
    let next = f.next_due("acme/e").await;
    assert!(next > f.now().await, "an interval later");
    f.advance_to(next).await;
    f.fan_out(&term, Duration::ZERO).await;
    assert_eq!(f.outcomes("acme/e").await, [Outcome::Gated, Outcome::Gated]);
    f.apply_of(&acme(true), &jobs).await;
    let held = f.run_next(&term, "acme/e").await;
    assert_eq!(f.settle(&held, Verdict::Succeeded).await, [Settled::Recorded]);
    assert_eq!(f.outcomes("acme/e").await, [Outcome::Gated, Outcome::Gated, Outcome::Succeeded]);
}

async fn a_claim_says_how_many_were_gated(f: &Fixture) {
    let jobs = [gated(hourly("acme/a"))];
    f.apply_of(&acme(true), &jobs).await;
    let term = f.elect().await;
    f.fan_out(&term, HOUR).await;
    f.apply_of(&acme(false), &jobs).await;
    f.advance(HOUR).await;
    let held = f.claim(10).await;
    assert_eq!((held.items().len(), held.claimed.dismissed), (0, 1));
    assert_eq!(held.claimed.ended, [Outcome::Gated]);
}

async fn a_trigger_and_a_backfill_of_a_gated_job_are_gated(f: &Fixture) {
    let jobs = [gated(hourly("acme/a"))];
    f.apply_of(&acme(false), &jobs).await;
    f.trigger("acme/a").await;
    f.backlog("acme/a", 2).await;
    assert_eq!(f.claim_on(10).await.items(), []);
    assert_eq!(f.outcomes("acme/a").await, [Outcome::Gated; 3]);
    f.apply_of(&acme(true), &jobs).await;
    let id = f.trigger("acme/a").await;
    assert_eq!(f.claim_on(10).await.ids(), [id]);
}

/// What has started goes on, with all of its attempts.
async fn a_run_that_has_started_is_not_gated(f: &Fixture) {
    let jobs = [gated(hourly("acme/a"))];
    f.apply_of(&acme(true), &jobs).await;
    f.trigger("acme/a").await;
    let first = f.claim(1).await;
    f.apply_of(&acme(false), &jobs).await;
    f.settle(&first, Verdict::Retry(Duration::ZERO)).await;
    let second = f.claim(1).await;
    assert_eq!(second.only().attempt, 2);
    f.settle(&second, Verdict::Succeeded).await;
    assert_eq!(f.outcomes("acme/a").await, [Outcome::Failed, Outcome::Succeeded]);
}

/// A pause is said first, and a gated item takes no room.
async fn gates_and_limits_do_not_mix(f: &Fixture) {
    let jobs = [gated(hourly("acme/a")).limited(at_once(1)), hourly("acme/b").total(at_once(1))];
    f.apply_of(&acme(true), &jobs).await;
    let term = f.elect().await;
    f.fan_out(&term, HOUR).await;
    f.apply_of(&acme(false), &jobs).await;
    f.advance(HOUR).await;
    assert_eq!(f.claim_on(10).await.jobs(), ["b"]);
    f.claim_on(10).await;
    assert_eq!(f.outcomes("acme/a").await, [Outcome::Gated]);
    assert_eq!(f.store.queues().await.unwrap()[0].limited, 0);
    // With the feature it has room.
    f.apply_of(&acme(true), &jobs).await;
    f.trigger("acme/a").await;
    assert_eq!(f.claim_on(10).await.jobs(), ["a"]);
}

both!(
    due_times_of_a_gated_job_are_recorded,
    an_item_of_a_job_that_is_gated_by_now_ends_gated,
    a_claim_says_how_many_were_gated,
    a_trigger_and_a_backfill_of_a_gated_job_are_gated,
    a_run_that_has_started_is_not_gated,
    gates_and_limits_do_not_mix,
);
