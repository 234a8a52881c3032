//! What the store keeps of hooks, and what it tells the leader for them (invariant I3).

use std::time::Duration;

use leasehold_common::hook::HookReport;
use leasehold_common::id::JobKey;
use leasehold_common::lease::Term;
use leasehold_common::run::Outcome;
use leasehold_common::store::{HookChange, HookTail, HooksKept, HooksRecord, Recorded, Verdict};
use leasehold_tests::steps::{FOR_EVER, HOUR, MINUTE, candidate, hourly};
use leasehold_tests::stores::Fixture;
use sqlx::Connection as _;
use uuid::Uuid;

const ALL: u32 = 1_000;

/// A state and nothing else.
fn change(name: &str, state: &str) -> HookChange {
    HookChange { name: name.to_owned(), state: state.to_owned(), ..HookChange::default() }
}

fn record(seq: i64, names: &[&str], changed: Vec<HookChange>) -> HooksRecord {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    HooksRecord { seq, names, changed, ..HooksRecord::default() }
}

async fn recorded(f: &Fixture, term: &Term, record: HooksRecord) {
    assert_eq!(f.store.record_hooks(term, &record).await.unwrap(), Recorded::Done);
}

/// `name state` of each.
async fn states(f: &Fixture) -> (Option<i64>, Vec<String>) {
    let HooksKept { seq, hooks } = f.store.hooks_kept().await.unwrap();
    (seq, hooks.into_iter().map(|hook| format!("{} {}", hook.view.hook, hook.state)).collect())
}

/// A run of this job that ends like this.
async fn ended(f: &Fixture, job: &str, verdict: Verdict) {
    f.trigger(job).await;
    let held = f.claim(1).await;
    f.settle_one(held.report(0, verdict)).await;
}

async fn tail(f: &Fixture, after: i64, limit: u32) -> HookTail {
    f.store.hook_tail(after, MINUTE, limit).await.unwrap()
}

/// `job outcome was_dead` of each.
fn said(reports: &[HookReport]) -> Vec<String> {
    reports.iter().map(|it| format!("{} {} {}", it.report.job, it.report.outcome, it.was_dead)).collect()
}

async fn what_is_kept_is_what_was_recorded(f: &Fixture) {
    assert_eq!(f.store.hooks_kept().await.unwrap(), HooksKept::default());
    let term = f.elect().await;
    recorded(f, &term, record(7, &["a", "b"], vec![change("b", "{}"), change("a", "{\"x\":\"é\"}")])).await;
    assert_eq!(states(f).await, (Some(7), vec!["a {\"x\":\"é\"}".to_owned(), "b {}".to_owned()]));
    let failed = HookChange { tries: 2, error: Some("no\nway".to_owned()), ..change("a", "1") };
    recorded(f, &term, record(8, &["a", "b"], vec![failed])).await;
    let view = f.store.status().await.unwrap().hooks.swap_remove(0);
    assert_eq!((view.tries, view.error.as_deref(), view.delivered_at), (2, Some("no\nway"), None));
    assert_eq!(states(f).await.1, ["a 1", "b {}"], "a hook that has not changed stays");

    recorded(f, &term, record(9, &["a", "b"], vec![HookChange { delivered: true, ..change("a", "2") }])).await;
    let delivered = f.store.status().await.unwrap().hooks.swap_remove(0).delivered_at;
    assert!(delivered.is_some());
    f.advance(MINUTE).await;
    recorded(f, &term, record(9, &["a"], vec![change("a", "3")])).await;
    let views = f.store.status().await.unwrap().hooks;
    assert_eq!(views.len(), 1, "what the config does not name is forgotten");
    assert_eq!((&views[0].error, views[0].delivered_at), (&None, delivered), "the last delivery stays known");
}

async fn dead_runs_and_recoveries_are_told(f: &Fixture) {
    f.apply(&[hourly("acme/a"), hourly("acme/b")]).await;
    let term = f.elect().await;
    ended(f, "acme/a", Verdict::Succeeded).await;
    assert_eq!(said(&tail(f, 0, ALL).await.reports), [""; 0], "a success alone is no news");
    ended(f, "acme/a", Verdict::Dead).await;
    ended(f, "acme/b", Verdict::Succeeded).await;
    ended(f, "acme/a", Verdict::Succeeded).await;
    let read = tail(f, 0, ALL).await;
    assert_eq!(said(&read.reports), ["a dead false", "a succeeded false"]);
    assert_eq!((read.looked_at, read.seq), (4, f.store.last_seq().await.unwrap()));

    // Read in two pieces, between which it was recorded that the job is dead.
    let first = tail(f, 0, 2).await;
    assert_eq!((said(&first.reports), first.looked_at), (vec!["a dead false".to_owned()], 2));
    assert_eq!(said(&tail(f, first.seq, ALL).await.reports), [""; 0]);
    let key = f.key("acme/a").await;
    let dead = HooksRecord { dead: vec![key, key], ..record(first.seq, &[], vec![]) };
    recorded(f, &term, dead.clone()).await;
    recorded(f, &term, dead).await;
    assert_eq!(said(&tail(f, first.seq, ALL).await.reports), ["a succeeded true"]);
    recorded(f, &term, HooksRecord { alive: vec![key], ..record(first.seq, &[], vec![]) }).await;
    assert_eq!(said(&tail(f, first.seq, ALL).await.reports), [""; 0]);

    let nothing = tail(f, read.seq, ALL).await;
    assert_eq!((nothing.reports.len(), nothing.looked_at, nothing.seq), (0, 0, read.seq));
}

async fn late_starts_are_told_from_the_delay_on(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let term = f.elect().await;
    f.advance(HOUR).await;
    f.fan_out(&term, Duration::ZERO).await;
    f.activate().await;
    f.advance(MINUTE).await;
    let held = f.claim(1).await;
    f.settle_one(held.report(0, Verdict::Succeeded)).await;
    assert_eq!(said(&tail(f, 0, ALL).await.reports), ["a succeeded false"]);
    let patient = f.store.hook_tail(0, 3 * HOUR, ALL).await.unwrap();
    assert_eq!(said(&patient.reports), [""; 0]);
    // A trigger has no time to be late for.
    let seq = f.store.last_seq().await.unwrap();
    f.trigger("acme/a").await;
    f.advance(2 * MINUTE).await;
    let held = f.claim(1).await;
    f.settle_one(held.report(0, Verdict::Succeeded)).await;
    assert_eq!(said(&tail(f, seq, ALL).await.reports), [""; 0]);
}

async fn what_is_overdue_is_seen(f: &Fixture) {
    f.apply(&[hourly("acme/a"), hourly("globex/b")]).await;
    let overdue = async |late: Duration, limit: u32| {
        let mut found = f.store.overdue(late, limit).await.unwrap();
        found.sort_by(|a, b| (&a.tenant, a.queued).cmp(&(&b.tenant, b.queued)));
        found.iter().map(|it| format!("{}/{} {}", it.tenant, it.job, it.queued)).collect::<Vec<_>>()
    };
    assert_eq!(overdue(MINUTE, ALL).await, [""; 0]);
    f.advance(2 * HOUR).await;
    assert_eq!(overdue(MINUTE, ALL).await, ["acme/a false", "globex/b false"], "the leader has not looked");
    assert_eq!(overdue(MINUTE, 1).await.len(), 1);
    assert_eq!(overdue(5 * HOUR, ALL).await, [""; 0]);
    let term = f.elect().await;
    f.fan_out(&term, Duration::ZERO).await;
    let queued = f.store.overdue(Duration::ZERO, ALL).await.unwrap();
    assert!(!queued.is_empty() && queued.iter().all(|it| it.queued), "in the queue, and not ready: {queued:?}");
    f.activate().await;
    f.advance(5 * MINUTE).await;
    let ready = f.store.overdue(MINUTE, ALL).await.unwrap();
    assert!(!ready.is_empty() && ready.iter().all(|it| it.queued), "{ready:?}");
    while !f.claim(10).await.items().is_empty() {}
    assert_eq!(f.store.overdue(MINUTE, ALL).await.unwrap(), [], "what has started is not overdue");
}

async fn due_times_without_a_run_are_told(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let term = f.elect().await;
    f.advance(5 * HOUR).await;
    f.fan_out(&term, Duration::ZERO).await;
    let reports = tail(f, 0, ALL).await.reports;
    let missing: u32 = reports.iter().map(|it| it.report.count).sum();
    assert!(missing >= 3 && reports.iter().all(|it| it.report.outcome == Outcome::Misfired), "{reports:?}");
}

/// Whether a record under this term is refused and leaves everything as it is.
async fn refused(f: &Fixture, term: &Term) {
    let before = states(f).await;
    let all = HooksRecord {
        dead: vec![JobKey::from_i64(1)],
        ..record(99, &["other"], vec![change("other", "{}"), change("a", "changed")])
    };
    assert_eq!(f.store.record_hooks(term, &all).await.unwrap(), Recorded::StaleTerm);
    assert_eq!(states(f).await, before);
    let schema = if f.is_postgres() { "leasehold." } else { "" };
    assert_eq!(f.number(&format!("SELECT count(*) FROM {schema}hook_dead")).await, 0);
}

async fn with_a_hook(f: &Fixture) -> Term {
    let term = f.elect().await;
    recorded(f, &term, record(1, &["a"], vec![change("a", "kept")])).await;
    term
}

async fn takes(f: &Fixture, term: &Term) {
    recorded(f, term, record(2, &["a"], vec![])).await;
    assert_eq!(states(f).await.0, Some(2));
}

async fn an_older_epoch_records_no_hooks(f: &Fixture) {
    let old = with_a_hook(f).await;
    let schema = if f.is_postgres() { "leasehold." } else { "" };
    f.execute(&format!("UPDATE {schema}lease SET epoch = epoch + 1")).await;
    refused(f, &old).await;
    takes(f, &Term { epoch: old.epoch + 1, ..old }).await;
}

async fn another_holder_records_no_hooks(f: &Fixture) {
    let term = with_a_hook(f).await;
    refused(f, &Term { holder: Uuid::now_v7(), epoch: term.epoch }).await;
    takes(f, &term).await;
}

async fn an_expired_term_records_no_hooks(f: &Fixture) {
    let term = with_a_hook(f).await;
    f.store.renew(&term, Duration::from_secs(10)).await.unwrap();
    f.advance(Duration::from_secs(10)).await;
    refused(f, &term).await;
    f.store.renew(&term, FOR_EVER).await.unwrap();
    takes(f, &term).await;
}

both!(
    what_is_kept_is_what_was_recorded,
    dead_runs_and_recoveries_are_told,
    late_starts_are_told_from_the_delay_on,
    what_is_overdue_is_seen,
    due_times_without_a_run_are_told,
    an_older_epoch_records_no_hooks,
    another_holder_records_no_hooks,
    an_expired_term_records_no_hooks,
);

/// A takeover that has not committed yet: what is committed says that the old term stands.
async fn a_record_of_hooks_waits_for_a_takeover(f: &Fixture) {
    let term = with_a_hook(f).await;
    let mut takeover = f.pg().await;
    let mut open = takeover.begin().await.unwrap();
    let _: i64 = sqlx::query_scalar(include_str!("../../../store/sql/postgres/lease/acquire.sql"))
        .bind("store")
        .bind(term.holder)
        .bind(&candidate().host)
        .bind(1_i32)
        .bind(3_600_000_000_i64)
        .fetch_one(&mut *open)
        .await
        .unwrap();
    let store = f.store.clone();
    let stale = tokio::spawn(async move { store.record_hooks(&term, &record(2, &[], vec![])).await.unwrap() });
    f.waits(&stale).await;
    open.commit().await.unwrap();
    assert_eq!(stale.await.unwrap(), Recorded::StaleTerm);
    assert_eq!(states(f).await, (Some(1), vec!["a kept".to_owned()]));
}

postgres!(a_record_of_hooks_waits_for_a_takeover);
