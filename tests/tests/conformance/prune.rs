//! Retention.

use std::time::Duration;

use leasehold_common::lease::Term;
use leasehold_common::store::{Pruned, RunFilter, Verdict};
use leasehold_tests::steps::{HOUR, Job, MINUTE, cron, hourly, path};
use leasehold_tests::stores::Fixture;

/// Not due while a test lasts: what is due and does not run is a report too.
fn daily(at: &str) -> Job {
    cron(at, "0 0 * * *")
}

async fn finish(f: &Fixture, at: &str) -> i64 {
    f.trigger(at).await;
    f.settle(&f.claim(1).await, Verdict::Succeeded).await;
    f.store.last_seq().await.unwrap()
}

async fn prune(f: &Fixture, term: &Term, keep: Duration, limit: u32) -> u64 {
    match f.store.prune(term, keep, limit).await.unwrap() {
        Pruned::Done { reports } => reports,
        Pruned::StaleTerm => panic!("the term is stale"),
    }
}

async fn rows(f: &Fixture, table: &str) -> i64 {
    let schema = if f.is_postgres() { "leasehold." } else { "" };
    f.number(&format!("SELECT count(*) FROM {schema}{table}")).await
}

async fn only_what_is_older_than_asked_for_goes(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let term = f.elect().await;
    finish(f, "acme/a").await;
    f.advance(HOUR).await;
    let young = finish(f, "acme/a").await;
    assert_eq!(prune(f, &term, 2 * HOUR, 100).await, 0);
    assert_eq!(prune(f, &term, HOUR, 100).await, 1);
    assert_eq!(prune(f, &term, HOUR, 100).await, 0);
    assert_eq!(f.reports().await.iter().map(|report| report.seq).collect::<Vec<_>>(), [young]);
    assert_eq!(f.job("acme/a").await.version, 1, "active jobs stay, with or without reports");
}

async fn no_more_than_the_limit_goes_at_once_and_the_oldest_first(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let term = f.elect().await;
    for _ in 0..5 {
        finish(f, "acme/a").await;
    }
    let all: Vec<_> = f.reports().await.iter().map(|report| report.seq).collect();
    f.advance(HOUR).await;
    assert_eq!(prune(f, &term, MINUTE, 2).await, 2);
    assert_eq!(f.reports().await.iter().map(|report| report.seq).collect::<Vec<_>>(), all[2..]);
    assert_eq!(prune(f, &term, MINUTE, 2).await, 2);
    assert_eq!(prune(f, &term, MINUTE, 2).await, 1);
    assert_eq!(prune(f, &term, MINUTE, 2).await, 0);
}

async fn numbers_never_go_back(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let term = f.elect().await;
    finish(f, "acme/a").await;
    let before = finish(f, "acme/a").await;
    f.advance(HOUR).await;
    assert_eq!(prune(f, &term, MINUTE, 100).await, 2);
    assert_eq!(f.reports().await, []);
    assert_eq!(f.store.last_seq().await.unwrap(), before);
    assert_eq!(f.store.reports(before, &RunFilter::default(), 10).await.unwrap(), (vec![], before));
    assert!(finish(f, "acme/a").await > before);
    assert_eq!(f.store.reports(before, &RunFilter::default(), 10).await.unwrap().0.len(), 1);
}

async fn a_removed_job_goes_when_its_last_report_has_gone(f: &Fixture) {
    f.apply(&[daily("acme/a"), daily("acme/b").timeout(HOUR), daily("globex/a")]).await;
    let term = f.elect().await;
    finish(f, "acme/b").await;
    f.advance(HOUR).await;
    finish(f, "acme/b").await;
    f.apply(&[daily("globex/a")]).await;

    assert_eq!(prune(f, &term, MINUTE, 100).await, 1);
    let left = f.store.snapshot().await.unwrap().jobs;
    let names: Vec<_> = left.iter().filter(|job| !job.active).map(|job| job.name.as_str()).collect();
    assert_eq!(names, ["b"], "a had no history, b still has some");
    assert_eq!((rows(f, "tenant").await, rows(f, "definition").await, rows(f, "job_version").await), (2, 2, 2));

    f.advance(HOUR).await;
    assert_eq!(prune(f, &term, MINUTE, 100).await, 1);
    assert_eq!(f.store.snapshot().await.unwrap().jobs.len(), 1);
    assert_eq!((rows(f, "tenant").await, rows(f, "definition").await, rows(f, "job_version").await), (1, 1, 1));
    let (acme, b) = path("acme/b");
    assert_eq!(f.store.job_versions(&acme, &b).await.unwrap(), []);
    assert_eq!(f.job("globex/a").await.version, 1);

    // It may come back, as new.
    f.apply(&[daily("acme/b"), daily("globex/a")]).await;
    assert_eq!(f.job("acme/b").await.version, 1);
}

async fn a_removed_job_stays_while_it_runs(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let term = f.elect().await;
    f.trigger("acme/a").await;
    let held = f.claim(1).await;
    f.apply(&[]).await;
    f.advance(HOUR).await;
    prune(f, &term, MINUTE, 100).await;
    assert_eq!(f.store.snapshot().await.unwrap().jobs.len(), 1);
    f.settle(&held, Verdict::Succeeded).await;
    assert_eq!(f.reports().await.len(), 1);
}

/// A trigger that was written while its job was being removed: it must not lose its job, or it stays in line for ever.
async fn a_removed_job_stays_while_an_item_of_it_is_queued(f: &Fixture) {
    f.apply(&[hourly("acme/a"), hourly("acme/b")]).await;
    let term = f.elect().await;
    f.fan_out(&term, HOUR).await;
    f.trigger("acme/b").await;
    let schema = if f.is_postgres() { "leasehold." } else { "" };
    f.execute(&format!("UPDATE {schema}job SET active = (1 = 0), next_due = NULL")).await;
    prune(f, &term, MINUTE, 100).await;
    assert_eq!(f.store.snapshot().await.unwrap().jobs.len(), 2);
    f.advance(HOUR).await;
    let held = f.claim(10).await;
    assert_eq!((held.items().len(), held.claimed.dismissed), (0, 3));
}

async fn executors_that_are_gone_leave_the_list(f: &Fixture) {
    let term = f.elect().await;
    let info = leasehold_common::store::ExecutorInfo {
        id: uuid::Uuid::now_v7(),
        host: "h".to_owned(),
        pid: 1,
        version: "1".to_owned(),
        slots: 1,
        running: 0,
        queues: vec![],
        draining: false,
        abilities: Vec::new(),
    };
    f.store.announce(&info).await.unwrap();
    prune(f, &term, MINUTE, 100).await;
    assert_eq!(rows(f, "executor").await, 1);
    f.advance(2 * HOUR).await;
    prune(f, &term, MINUTE, 100).await;
    assert_eq!(rows(f, "executor").await, 0);
}

both!(
    only_what_is_older_than_asked_for_goes,
    no_more_than_the_limit_goes_at_once_and_the_oldest_first,
    numbers_never_go_back,
    a_removed_job_goes_when_its_last_report_has_gone,
    a_removed_job_stays_while_it_runs,
    a_removed_job_stays_while_an_item_of_it_is_queued,
    executors_that_are_gone_leave_the_list,
);

// What only concurrent writers can show.

/// A job that comes back while its row is being pruned comes back with all it refers to.
async fn a_prune_and_an_apply_at_once_keep_the_catalog_whole(f: &Fixture) {
    let term = f.elect().await;
    for round in 0..15 {
        f.apply(&[hourly("acme/a"), hourly("globex/b")]).await;
        f.apply(&[]).await;
        f.advance(MINUTE).await;
        let plan = f.plan(&[hourly("acme/a"), hourly("globex/b")]).await;
        let store = f.store.clone();
        let pruning = tokio::spawn(async move { store.prune(&term, Duration::ZERO, 100).await.unwrap() });
        f.store.apply(&plan, None).await.unwrap();
        pruning.await.unwrap();
        // A plan for a row that has gone meanwhile makes a new one.
        let jobs = f.store.jobs(None, None, 10).await.unwrap();
        assert_eq!(jobs.len(), 2, "round {round}");
        assert_eq!(f.store.tenants(None, 10).await.unwrap().len(), 2, "round {round}");
        assert!(f.plan(&[hourly("acme/a"), hourly("globex/b")]).await.is_empty(), "round {round}");
        for (tenant, job) in [path("acme/a"), path("globex/b")] {
            let versions = f.store.job_versions(&tenant, &job).await.unwrap();
            assert_eq!(versions.iter().filter(|version| version.valid_to.is_none()).count(), 1, "round {round}");
        }
        f.apply(&[]).await;
    }
}

postgres!(a_prune_and_an_apply_at_once_keep_the_catalog_whole);
