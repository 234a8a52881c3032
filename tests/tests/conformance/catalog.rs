//! What an apply writes, purges and keeps (invariant I13).

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;
use leasehold_common::catalog::{ChangeKind, Desired};
use leasehold_common::run::{Outcome, RunState};
use leasehold_common::schedule::Zone;
use leasehold_common::store::{Applied, RunFilter, Settled, Verdict};
use leasehold_tests::steps::{HOUR, Job, MINUTE, cron, desired, every, hourly, path, tenant};
use leasehold_tests::stores::Fixture;

fn three() -> [Job; 3] {
    [hourly("acme/a"), every("acme/b", MINUTE), hourly("globex/a")]
}

async fn applying_the_same_twice_is_an_empty_plan(f: &Fixture) {
    let first = f.apply(&three()).await;
    assert_eq!(first.job_counts(), (3, 0, 0));
    let second = f.plan(&three()).await;
    assert!(second.is_empty(), "{:?}", second.changes);
    assert_eq!(second.revision, first.revision + 1);
    let status = f.store.status().await.unwrap().catalog;
    assert_eq!((status.revision, status.tenants, status.jobs), (1, 2, 3));
}

async fn of_two_plans_from_one_revision_the_second_is_a_conflict_and_changes_nothing(f: &Fixture) {
    f.apply(&three()).await;
    let late = f.plan(&[hourly("acme/a").timeout(HOUR), hourly("initech/x")]).await;
    f.apply(&[hourly("acme/a"), hourly("globex/a")]).await;
    let before = (f.store.snapshot().await.unwrap(), f.job("acme/a").await);
    assert_eq!(f.store.apply(&late, None).await.unwrap(), Applied::Conflict);
    let after = (f.store.snapshot().await.unwrap(), f.job("acme/a").await);
    assert_eq!(
        (after.0.revision, &after.0.tenants, &after.0.jobs),
        (before.0.revision, &before.0.tenants, &before.0.jobs)
    );
    assert_eq!(after.1, before.1);
}

async fn of_concurrent_appliers_one_succeeds(f: &Fixture) {
    let plans = [f.plan(&three()).await, f.plan(&[hourly("acme/x")]).await, f.plan(&[every("x/y", HOUR)]).await];
    let calls = plans.map(|plan| {
        let store = f.store.clone();
        tokio::spawn(async move { store.apply(&plan, None).await.unwrap() })
    });
    let mut done = 0;
    for call in calls {
        done += u32::from(call.await.unwrap() != Applied::Conflict);
    }
    assert_eq!(done, 1);
    assert_eq!(f.store.status().await.unwrap().catalog.revision, 1);
}

async fn a_removed_job_keeps_its_history_readable(f: &Fixture) {
    f.apply(&three()).await;
    let id = f.trigger("acme/a").await;
    f.settle(&f.claim(1).await, Verdict::Succeeded).await;
    let plan = f.apply(&[hourly("globex/a")]).await;
    assert_eq!(plan.job_counts(), (0, 0, 2));

    let (acme, a) = path("acme/a");
    assert_eq!(f.store.jobs(Some(&acme), None, 10).await.unwrap(), []);
    assert_eq!(f.store.tenants(None, 10).await.unwrap(), [tenant("globex").into()]);
    let story = f.store.run(id).await.unwrap().unwrap();
    assert_eq!((&story.run.tenant, &story.run.job), (&acme, &a));
    let filter = RunFilter { tenants: vec![acme.clone()], jobs: vec![a.clone()], ..RunFilter::default() };
    assert_eq!(f.store.runs(&filter, 10).await.unwrap(), [story.run]);
    let (reports, _) = f.store.reports(0, &filter, 10).await.unwrap();
    assert_eq!((reports.len(), &reports[0].tenant, &reports[0].job), (1, &acme, &a));
    assert_eq!(f.store.job_versions(&acme, &a).await.unwrap().len(), 1);
}

async fn a_job_that_comes_back_keeps_its_key_and_gets_a_higher_version(f: &Fixture) {
    f.apply(&three()).await;
    let key = |name: &'static str| async move {
        let jobs = f.store.snapshot().await.unwrap().jobs;
        jobs.into_iter().find(|job| job.tenant.as_str() == "acme" && job.name.as_str() == name).unwrap()
    };
    let before = key("a").await;
    f.apply(&[hourly("globex/a")]).await;
    assert!(!key("a").await.active);
    let plan = f.apply(&three()).await;
    assert_eq!(plan.job_counts(), (2, 0, 0), "for people it is new");
    let after = key("a").await;
    assert_eq!((after.key, after.version, after.active), (before.key, before.version + 1, true));
    assert!(f.job("acme/a").await.next_due.is_some());
    assert_eq!(f.store.tenants(None, 10).await.unwrap(), [tenant("acme").into(), tenant("globex").into()]);
}

async fn versions_follow_one_another_without_a_gap(f: &Fixture) {
    let versions = [
        hourly("acme/a"),
        hourly("acme/a").timeout(HOUR),
        cron("acme/a", "30 * * * *").timeout(HOUR),
        every("acme/a", MINUTE),
    ];
    for job in &versions {
        f.apply(std::slice::from_ref(job)).await;
        f.advance(MINUTE).await;
    }
    let (acme, a) = path("acme/a");
    let kept = f.store.job_versions(&acme, &a).await.unwrap();
    assert_eq!(kept.iter().map(|version| version.version).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let ids: Vec<_> = versions.iter().map(|job| job.definition.id()).collect();
    assert_eq!(kept.iter().map(|version| version.definition).collect::<Vec<_>>(), ids);
    for pair in kept.windows(2) {
        assert_eq!(pair[0].valid_to, Some(pair[1].valid_from));
        assert!(pair[0].valid_from < pair[1].valid_from);
    }
    assert_eq!(kept[3].valid_to, None);
    assert_eq!(f.store.definitions(&ids).await.unwrap().len(), 4, "every version can be looked up");

    f.apply(&[]).await;
    assert!(f.store.job_versions(&acme, &a).await.unwrap()[3].valid_to.is_some());
    f.advance(MINUTE).await;
    f.apply(&[hourly("acme/a")]).await;
    let kept = f.store.job_versions(&acme, &a).await.unwrap();
    assert!(kept[3].valid_to.unwrap() < kept[4].valid_from, "it was gone for a while");
    assert_eq!(f.store.job_versions(&acme, &path("acme/never").1).await.unwrap(), []);
}

async fn a_changed_tenant_gets_another_revision(f: &Fixture) {
    let with = |region: &str| {
        let mut acme = tenant("acme");
        acme.plan = Some("enterprise".to_owned());
        acme.features = ["billing", "reports"].map(str::to_owned).into();
        acme.timezone = Some(Zone::parse("America/New_York").unwrap());
        acme.labels = BTreeMap::from([("region".to_owned(), region.to_owned())]);
        Desired { tenants: vec![acme.into(), tenant("globex").into()], ..desired(&three()) }
    };
    let revision = |id: &'static str| async move {
        f.store.tenants_by_id(&[id.parse().unwrap(), "nobody".parse().unwrap()]).await.unwrap()
    };
    f.apply_desired(&with("us")).await;
    let (acme, globex) = (revision("acme").await, revision("globex").await);
    assert_eq!(acme.len(), 1);
    assert_eq!(acme[0].0, with("us").tenants[0].tenant);
    let plan = f.apply_desired(&with("eu")).await;
    assert_eq!(plan.changes.len(), 1);
    assert_eq!((plan.changes[0].kind, &plan.changes[0].job), (ChangeKind::Change, &None));
    let now = revision("acme").await;
    assert_eq!(now[0].0, with("eu").tenants[0].tenant);
    assert!(now[0].1 > acme[0].1);
    assert_eq!(revision("globex").await, globex, "what did not change keeps its revision");
}

async fn an_edit_that_leaves_the_schedule_alone_keeps_what_is_queued(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let term = f.elect().await;
    f.fan_out(&term, 2 * HOUR).await;
    let (before, job) = (f.live("acme/a").await, f.job("acme/a").await);
    let edited = hourly("acme/a").timeout(HOUR).attempts(9);
    f.apply(std::slice::from_ref(&edited)).await;
    assert_eq!(f.live("acme/a").await, before);
    let now = f.job("acme/a").await;
    assert_eq!((now.next_due, now.last_fired, now.version), (job.next_due, job.last_fired, 2));
    f.advance(HOUR).await;
    let held = f.claim(1).await;
    assert_eq!(held.only().id, before[1].correlation_id);
    assert_eq!(held.only().definition, edited.definition.id(), "it runs as the job is now");
    assert_eq!(f.settle(&held, Verdict::Succeeded).await, [Settled::Recorded]);
}

async fn an_edit_of_the_schedule_purges_what_is_ahead_and_records_what_was_due(f: &Fixture) {
    f.apply(&[hourly("acme/a"), hourly("acme/b"), hourly("acme/c")]).await;
    let term = f.elect().await;
    f.fan_out(&term, 3 * HOUR).await;
    f.advance(HOUR).await;
    let due = f.live("acme/a").await.last().unwrap().clone();
    f.activate().await;
    f.apply(&[cron("acme/a", "30 * * * *"), hourly("acme/b")]).await;

    assert_eq!(f.live("acme/a").await, []);
    assert_eq!(f.live("acme/b").await.len(), 3, "the others stay");
    assert_eq!(f.live("acme/c").await, [], "removed");
    let reports = f.reports().await;
    assert_eq!(reports.len(), 2);
    let report = reports.iter().find(|report| report.job.as_str() == "a").unwrap();
    assert_eq!((report.correlation_id, report.outcome, report.attempt), (due.correlation_id, Outcome::Superseded, 0));
    assert!(report.error.as_deref().unwrap().contains("schedule was changed"));
    assert_eq!(f.outcomes("acme/c").await, [Outcome::Cancelled]);
    let report = reports.iter().find(|report| report.job.as_str() == "c").unwrap();
    assert!(report.error.as_deref().unwrap().contains("removed"));
}

async fn what_is_due_but_not_activated_is_recorded_too(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let term = f.elect().await;
    f.fan_out(&term, HOUR).await;
    f.advance(HOUR).await;
    f.apply(&[cron("acme/a", "30 * * * *")]).await;
    assert_eq!(f.outcomes("acme/a").await, [Outcome::Superseded]);
    assert_eq!(f.live("acme/a").await, []);
}

/// What was fanned out ahead and purged has moved the watermark past the new schedule's first due times.
async fn a_schedule_that_was_fanned_out_ahead_fires_after_its_edit(f: &Fixture) {
    f.apply(&[hourly("acme/a"), hourly("acme/gone"), every("acme/b", 4 * HOUR)]).await;
    let term = f.elect().await;
    f.fan_out(&term, 5 * HOUR).await;
    f.apply(&[cron("acme/a", "*/10 * * * *"), every("acme/b", MINUTE)]).await;
    f.apply(&[cron("acme/a", "*/10 * * * *"), hourly("acme/gone"), every("acme/b", MINUTE)]).await;
    let now = f.now().await;
    let first = [
        ("acme/b", f.next_due("acme/b").await, MINUTE),
        ("acme/a", f.next_due("acme/a").await, 10 * MINUTE),
        ("acme/gone", f.next_due("acme/gone").await, HOUR),
    ];
    for (at, due, within) in first {
        assert!(due <= now + within, "{at}");
        f.advance_to(due).await;
        f.fan_out(&term, Duration::ZERO).await;
        assert_eq!(f.live(at).await.pop().map(|run| run.scheduled_for), Some(due), "{at}");
    }
}

/// The same due time of the old and the new schedule is one run (invariant I1).
async fn a_due_time_that_ran_under_the_old_schedule_does_not_run_again(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let term = f.elect().await;
    let plan = f.plan(&[cron("acme/a", "0,5 * * * *")]).await; // before the full hour
    let held = f.run_next(&term, "acme/a").await;
    let fired = held.only().scheduled_for;
    f.settle(&held, Verdict::Succeeded).await;
    assert_eq!(f.store.apply(&plan, None).await.unwrap(), Applied::Done { revision: 2 });
    assert_eq!(f.next_due("acme/a").await, fired + SignedDuration::from_mins(5), "counted from when it is written");
    assert_eq!(f.job("acme/a").await.last_fired, Some(fired), "that has fired, whatever the schedule");
    assert_eq!(f.run_next(&term, "acme/a").await.only().scheduled_for, fired + SignedDuration::from_mins(5));
}

async fn a_run_of_a_removed_job_is_not_tried_again(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    f.trigger("acme/a").await;
    let held = f.claim(1).await;
    f.apply(&[]).await;
    f.settle(&held, Verdict::Retry(Duration::ZERO)).await;
    f.activate().await;
    let again = f.claim(1).await;
    assert_eq!((again.items().len(), again.claimed.dismissed), (0, 1));
    assert_eq!(f.outcomes("acme/a").await, [Outcome::Failed, Outcome::Cancelled]);
    assert_eq!(f.live("acme/a").await, []);
}

async fn a_removed_job_ends_wherever_its_runs_are(f: &Fixture) {
    f.apply(&["ready", "ahead", "running", "waiting"].map(|name| hourly(&format!("acme/{name}")))).await;
    let term = f.elect().await;
    for name in ["running", "waiting"] {
        f.trigger(&format!("acme/{name}")).await;
    }
    let held = f.claim(2).await;
    f.settle_one(held.report(1, Verdict::Retry(HOUR))).await;
    f.trigger("acme/ready").await;
    f.fan_out(&term, HOUR).await;
    f.apply(&[]).await;

    assert_eq!(f.outcomes("acme/ready").await, [Outcome::Cancelled]);
    assert_eq!(f.outcomes("acme/ahead").await, [], "it never had a due time");
    assert_eq!(f.outcomes("acme/waiting").await, [Outcome::Failed, Outcome::Cancelled]);
    assert_eq!(f.outcomes("acme/running").await, []);
    assert_eq!(f.state(held.items()[0].id).await, RunState::Running, "what runs may finish");
    assert_eq!(f.settle_one(held.report(0, Verdict::Succeeded)).await, Settled::Recorded);
    f.advance(2 * HOUR).await;
    assert_eq!(f.claim(10).await.items(), []);
    assert_eq!(f.store.status().await.unwrap().next_due, None);
}

async fn queue_priority_and_overlap_follow_an_edit(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    f.apply(&[hourly("acme/a").queue("big").priority(-3).allow_overlap()]).await;
    let term = f.elect().await;
    f.advance(HOUR).await;
    f.fan_out(&term, Duration::ZERO).await;
    f.trigger("acme/a").await;
    f.activate().await;
    assert_eq!(f.claim_from(&["default"], 10).await.items(), []);
    assert_eq!(f.claim_from(&["big"], 10).await.items().len(), 2);
}

async fn definitions_are_shared_and_unknown_ones_are_left_out(f: &Fixture) {
    f.apply(&(0..50).map(|n| hourly(&format!("t{n}/a"))).collect::<Vec<_>>()).await;
    let schema = if f.is_postgres() { "leasehold." } else { "" };
    assert_eq!(f.number(&format!("SELECT count(*) FROM {schema}definition")).await, 1);
    let known = hourly("t0/a").definition;
    let unknown = hourly("t0/a").timeout(HOUR).definition.id();
    let found = f.store.definitions(&[unknown, known.id()]).await.unwrap();
    assert_eq!(found, [(known.id(), known.to_json())]);
    assert_eq!(f.store.definitions(&[]).await.unwrap(), []);
}

async fn hostile_attributes_round_trip(f: &Fixture) {
    let nasty = "'; DROP TABLE tenant; --\"\\ \r\n\t\u{1}\u{202e}é漢🦀{}[]$1 ?1";
    let mut acme = tenant("acme");
    acme.plan = Some(nasty.to_owned());
    acme.features = [nasty.to_owned()].into();
    acme.labels = BTreeMap::from([(nasty.to_owned(), nasty.repeat(2500)), ("nul".to_owned(), "a\0b".to_owned())]);
    let mut job = hourly("acme/a");
    job.definition.payload = Some(serde_json::json!({ nasty: [nasty.repeat(2500), "a\0b", null, 1e300] }));
    let catalog = Desired { tenants: vec![acme.clone().into()], ..desired(std::slice::from_ref(&job)) };
    f.apply_desired(&catalog).await;
    assert_eq!(f.store.tenants(None, 10).await.unwrap(), [acme.clone().into()]);
    assert_eq!(f.store.tenants_by_id(std::slice::from_ref(&acme.id)).await.unwrap()[0].0, acme);
    assert_eq!(f.job("acme/a").await.definition, serde_json::to_value(&job.definition).unwrap());
    assert!(f.plan_desired(&catalog).await.is_empty());
}

async fn thousands_of_jobs_in_one_plan(f: &Fixture) {
    let jobs: Vec<_> = (0..4_000)
        .map(|n| {
            if n % 2 == 0 { hourly(&format!("t{}/j{n}", n % 100)) } else { every(&format!("t{}/j{n}", n % 100), HOUR) }
        })
        .collect();
    f.apply(&jobs).await;
    let status = f.store.status().await.unwrap().catalog;
    assert_eq!((status.jobs, status.tenants, status.stalled_interval_jobs), (4_000, 100, 0));
    assert!(f.plan(&jobs).await.is_empty());
    f.apply(&jobs[..2000]).await;
    assert_eq!(f.store.status().await.unwrap().catalog.jobs, 2000);
}

both!(
    applying_the_same_twice_is_an_empty_plan,
    of_two_plans_from_one_revision_the_second_is_a_conflict_and_changes_nothing,
    of_concurrent_appliers_one_succeeds,
    a_removed_job_keeps_its_history_readable,
    a_job_that_comes_back_keeps_its_key_and_gets_a_higher_version,
    versions_follow_one_another_without_a_gap,
    a_changed_tenant_gets_another_revision,
    an_edit_that_leaves_the_schedule_alone_keeps_what_is_queued,
    an_edit_of_the_schedule_purges_what_is_ahead_and_records_what_was_due,
    what_is_due_but_not_activated_is_recorded_too,
    a_schedule_that_was_fanned_out_ahead_fires_after_its_edit,
    a_due_time_that_ran_under_the_old_schedule_does_not_run_again,
    a_run_of_a_removed_job_is_not_tried_again,
    a_removed_job_ends_wherever_its_runs_are,
    queue_priority_and_overlap_follow_an_edit,
    definitions_are_shared_and_unknown_ones_are_left_out,
    hostile_attributes_round_trip,
    thousands_of_jobs_in_one_plan,
);

// What only concurrent writers can show.

/// A claim is starting an item of the old schedule when the edit comes: the edit waits, and then knows of the run.
async fn an_edit_waits_for_a_claim_in_flight(f: &Fixture) {
    use sqlx::Connection as _;
    f.apply(&[every("acme/a", MINUTE)]).await;
    let term = f.elect().await;
    f.advance_to(f.next_due("acme/a").await).await;
    f.fan_out(&term, Duration::ZERO).await;
    f.activate().await;
    let mut claimer = f.pg().await;
    let mut open = claimer.begin().await.unwrap();
    let claimed = sqlx::query(include_str!("../../../store/sql/postgres/queue/claim.sql"))
        .bind(vec!["default"])
        .bind(10_i64)
        .bind(uuid::Uuid::now_v7())
        .bind(uuid::Uuid::now_v7())
        .bind(60_000_000_i64)
        .bind(None::<Vec<i64>>)
        .fetch_all(&mut *open)
        .await
        .unwrap();
    assert_eq!(claimed.len(), 1);
    let (store, plan) = (f.store.clone(), f.plan(&[every("acme/a", HOUR)]).await);
    let apply = tokio::spawn(async move { store.apply(&plan, None).await.unwrap() });
    f.waits(&apply).await;
    open.commit().await.unwrap();
    assert_eq!(apply.await.unwrap(), Applied::Done { revision: 2 });
    assert_eq!(f.job("acme/a").await.next_due, None, "the run's completion decides");
    assert_eq!(f.live("acme/a").await.len(), 1);
    assert_eq!(f.store.status().await.unwrap().catalog.stalled_interval_jobs, 0);
}

postgres!(an_edit_waits_for_a_claim_in_flight);
