//! What the store keeps of live rosters: the config in force, a part of the catalog, the sources and requests.

use std::time::Duration;

use leasehold_common::catalog::{CatalogPlan, Desired, Member};
use leasehold_common::config::ConfigText;
use leasehold_common::id::TenantId;
use leasehold_common::lease::Term;
use leasehold_common::roster::Refusal;
use leasehold_common::run::{Outcome, RunState};
use leasehold_common::store::{
    Applied, Held, Pass, REFUSALS_KEPT, Recorded, RosterRecord, Settled, SourceRecord, SourceView, Verdict,
};
use leasehold_tests::steps::{FOR_EVER, HOUR, MINUTE, candidate, desired, hourly, tenant};
use leasehold_tests::stores::Fixture;
use sqlx::Connection as _;
use uuid::Uuid;

fn text(yaml: &str) -> ConfigText {
    ConfigText { name: "leasehold.yaml".to_owned(), text: yaml.to_owned(), ..ConfigText::default() }
}

fn ids(names: &[&str]) -> Vec<TenantId> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

/// A plan that writes a config too.
async fn with_config(f: &Fixture, catalog: &Desired, config: &ConfigText) -> CatalogPlan {
    let mut plan = f.plan_desired(catalog).await;
    plan.put_config(config, &f.store.snapshot().await.unwrap());
    plan
}

fn live(id: &str, source: &str, row: &str) -> Member {
    Member { tenant: tenant(id), source: source.to_owned(), row: Some(row.to_owned()) }
}

async fn a_config_comes_into_force_with_its_plan(f: &Fixture) {
    assert_eq!(f.store.roster_state().await.unwrap().config, None);
    assert_eq!(f.store.config().await.unwrap(), None);
    let catalog = desired(&[hourly("acme/a")]);
    let plan = with_config(f, &catalog, &text("version: 1")).await;
    assert_eq!(f.store.apply(&plan, None).await.unwrap(), Applied::Done { revision: 1 });
    let stored = f.store.config().await.unwrap().unwrap();
    assert_eq!((stored.text, stored.revision), (text("version: 1"), 1));
    assert_eq!(stored.at, plan.config.unwrap().at, "for the instant for which it was planned");
    assert_eq!(f.store.roster_state().await.unwrap().config, Some(1));

    let again = ConfigText { name: "elsewhere.yaml".to_owned(), ..text("version: 1") };
    assert!(with_config(f, &catalog, &again).await.is_empty(), "whatever the file is called");
    let other = with_config(f, &catalog, &text("version: 1 # new")).await;
    assert!(!other.is_empty() && other.changes.is_empty(), "another text alone is something to write");
    assert_eq!(f.store.apply(&other, None).await.unwrap(), Applied::Done { revision: 2 });
    assert_eq!(f.store.roster_state().await.unwrap().config, Some(2));
}

async fn a_plan_without_a_config_leaves_the_one_in_force(f: &Fixture) {
    let plan = with_config(f, &desired(&[hourly("acme/a")]), &text("version: 1")).await;
    f.store.apply(&plan, None).await.unwrap();
    f.apply(&[hourly("acme/a"), hourly("acme/b")]).await;
    let state = f.store.roster_state().await.unwrap();
    assert_eq!((state.config, f.store.snapshot().await.unwrap().revision), (Some(1), 2));
    assert_eq!(f.store.snapshot().await.unwrap().config, Some(text("version: 1").hash()));
}

/// The version before writes the catalog and knows nothing of configs in force.
async fn a_catalog_that_was_written_past_it_puts_the_config_out_of_force(f: &Fixture) {
    let catalog = desired(&[hourly("acme/a")]);
    f.store.apply(&with_config(f, &catalog, &text("version: 1")).await, None).await.unwrap();
    let schema = if f.is_postgres() { "leasehold." } else { "" };
    f.execute(&format!("UPDATE {schema}catalog SET revision = revision + 1")).await;
    assert_eq!(f.store.roster_state().await.unwrap().config, None);
    assert_eq!(f.store.config().await.unwrap(), None);
    assert_eq!(f.store.snapshot().await.unwrap().config, None);
    f.apply(&[hourly("acme/b")]).await;
    assert_eq!(f.store.config().await.unwrap(), None, "and a plan without a config does not bring it back");
    let catalog = desired(&[hourly("acme/b")]);
    f.store.apply(&with_config(f, &catalog, &text("version: 1")).await, None).await.unwrap();
    assert_eq!(f.store.config().await.unwrap().unwrap().revision, 4);
}

async fn of_two_configs_from_one_revision_the_second_is_a_conflict(f: &Fixture) {
    let first = with_config(f, &desired(&[hourly("acme/a")]), &text("first")).await;
    let second = with_config(f, &desired(&[hourly("acme/a")]), &text("second")).await;
    f.store.apply(&first, None).await.unwrap();
    assert_eq!(f.store.apply(&second, None).await.unwrap(), Applied::Conflict);
    assert_eq!(f.store.config().await.unwrap().unwrap().text, text("first"));
}

async fn tenants_keep_their_source_and_what_it_said(f: &Fixture) {
    let members =
        vec![tenant("acme").into(), live("globex", "crm", r#"{"id":"globex"}"#), live("initech", "crm", "{}")];
    f.apply_desired(&Desired { tenants: members.clone(), ..Desired::default() }).await;
    assert_eq!(f.store.snapshot().await.unwrap().tenants, members);
    assert_eq!(f.store.tenants(None, 2).await.unwrap(), members[..2]);
    assert_eq!(f.store.tenants(Some(&members[1].id), 2).await.unwrap(), members[2..]);
    let origins: Vec<_> = members.iter().map(|member| (member.id.clone(), member.source.clone())).collect();
    assert_eq!(f.store.origins(None, 2).await.unwrap(), origins[..2]);
    assert_eq!(f.store.origins(Some(&members[1].id), 9).await.unwrap(), origins[2..]);
    f.apply_desired(&Desired { tenants: members[..1].to_vec(), ..Desired::default() }).await;
    assert_eq!(f.store.origins(None, 9).await.unwrap(), origins[..1], "who is gone is not there");
}

async fn a_plan_from_a_part_of_the_catalog_touches_no_others(f: &Fixture) {
    f.apply(&[hourly("acme/a"), hourly("acme/gone"), hourly("globex/a"), hourly("initech/a")]).await;
    f.apply(&[hourly("acme/a"), hourly("globex/a"), hourly("initech/a")]).await;
    let part = f.store.snapshot_of(&ids(&["acme", "nobody", "globex"])).await.unwrap();
    let mut jobs: Vec<_> = part.jobs.iter().map(|job| (format!("{}/{}", job.tenant, job.name), job.active)).collect();
    jobs.sort();
    let expected = [("acme/a", true), ("acme/gone", false), ("globex/a", true)];
    assert_eq!(jobs, expected.map(|(job, active)| (job.to_owned(), active)));
    assert_eq!(part.tenants, [tenant("acme").into(), tenant("globex").into()]);
    assert_eq!((part.revision, part.recovery), (2, f.store.snapshot().await.unwrap().recovery));
    let nobody = f.store.snapshot_of(&[]).await.unwrap();
    assert!(nobody.tenants.is_empty() && nobody.jobs.is_empty());

    let wanted = Desired { recovery: part.recovery, ..desired(&[hourly("acme/a"), hourly("acme/b")]) };
    let plan = leasehold_common::catalog::plan(&wanted, &part, |_| None).unwrap();
    assert_eq!((plan.job_counts(), plan.remove_tenants.len()), ((1, 0, 1), 1), "{:?}", plan.changes);
    f.store.apply(&plan, None).await.unwrap();
    let left: Vec<_> = f.store.jobs(None, None, 9).await.unwrap();
    let left: Vec<_> = left.iter().map(|job| format!("{}/{}", job.tenant, job.job)).collect();
    assert_eq!(left, ["acme/a", "acme/b", "initech/a"]);
}

/// Two jobs whose keys collide (one chance in 2^62) must not become one.
async fn a_key_that_another_job_has_is_refused_as_a_whole(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let mut plan = f.plan(&[hourly("acme/a"), hourly("globex/b")]).await;
    plan.put_jobs[0].key = f.job("acme/a").await.key;
    assert!(f.store.apply(&plan, None).await.is_err());
    assert_eq!(f.store.snapshot().await.unwrap().revision, 1);
    assert_eq!(f.store.jobs(None, None, 9).await.unwrap().len(), 1);
    assert_eq!(f.job("acme/a").await.version, 1);
}

async fn runs_of_jobs_that_are_to_stop_are_asked_to(f: &Fixture) {
    f.apply(&[hourly("acme/a"), hourly("globex/a"), hourly("initech/a")]).await;
    let term = f.elect().await;
    for job in ["acme/a", "globex/a", "initech/a"] {
        f.trigger(job).await;
    }
    let held = f.claim(3).await;
    f.fan_out(&term, 2 * HOUR).await;
    let mut plan = f.plan(&[hourly("initech/a")]).await;
    let acme = f.job("acme/a").await.key;
    plan.remove_tenants.retain(|tenant| tenant.as_str() == "acme");
    plan.stop_leaving();
    assert_eq!(plan.stop, [acme], "the runs of tenants that go");
    f.store.apply(&plan, Some(&term)).await.unwrap();

    let extended = f.store.extend(held.executor, &[held.claim()], MINUTE).await.unwrap();
    let at = |tenant: &str| held.items().iter().position(|item| item.tenant.as_str() == tenant).unwrap();
    assert_eq!(extended.cancel, [held.items()[at("acme")].id]);
    assert_eq!(f.settle_one(held.report(at("acme"), Verdict::Cancelled)).await, Settled::Recorded);
    assert_eq!(f.outcomes("acme/a").await, [Outcome::Cancelled]);
    assert_eq!(f.live("acme/a").await, [], "and what was ahead is purged");
    assert_eq!(f.state(held.items()[at("globex")].id).await, RunState::Running);
    assert_eq!(f.live("globex/a").await.len(), 1, "its run alone is left");
}

fn record(sources: Vec<SourceRecord>, done: i64) -> RosterRecord {
    RosterRecord { sources, done, pass: None }
}

fn source(name: &str, tenants: u64) -> SourceRecord {
    SourceRecord { source: name.to_owned(), tenants, ..SourceRecord::default() }
}

async fn sources(f: &Fixture) -> Vec<SourceView> {
    let sources = f.store.sources().await.unwrap();
    assert_eq!(f.store.status().await.unwrap().roster, sources);
    sources
}

async fn sources_are_kept_as_they_were_last_recorded(f: &Fixture) {
    let term = f.elect().await;
    assert_eq!(sources(f).await, []);
    let first = f.now().await;
    let both = vec![source("crm", 5), source("billing", 2)];
    assert_eq!(f.store.record_sources(&term, &record(both, 0)).await.unwrap(), Recorded::Done);
    let kept = sources(f).await;
    assert_eq!(kept.iter().map(|s| (s.source.as_str(), s.tenants)).collect::<Vec<_>>(), [("crm", 5), ("billing", 2)]);
    assert!(kept.iter().all(|source| source.good_at == source.asked_at && source.asked_at.unwrap() >= first));

    f.advance(HOUR).await;
    let failing = SourceRecord { error: Some("no answer".to_owned()), ..source("crm", 5) };
    let held = SourceRecord { held: Some(Held { gone: 4, of: 5 }), ..source("new", 5) };
    f.store.record_sources(&term, &record(vec![held, failing], 0)).await.unwrap();
    let now = sources(f).await;
    assert_eq!(now.len(), 2, "what the config no longer names is forgotten");
    assert_eq!((now[0].source.as_str(), now[0].good_at, now[0].held), ("new", None, Some(Held { gone: 4, of: 5 })));
    assert_eq!((now[1].error.as_deref(), now[1].good_at), (Some("no answer"), kept[0].good_at));
    assert!(now[1].asked_at > kept[0].asked_at);
    f.store.record_sources(&term, &record(vec![], 0)).await.unwrap();
    assert_eq!(sources(f).await, []);
}

async fn all_refusals_are_counted_and_the_first_ones_kept(f: &Fixture) {
    let term = f.elect().await;
    let refusal = |n: usize| Refusal {
        source: "crm".to_owned(),
        tenant: format!("t'{n}\u{1}\""),
        reason: "its zone \"Mars/Base\" is not known".to_owned(),
    };
    let refusals: Vec<_> = (0..REFUSALS_KEPT + 50).map(refusal).collect();
    let many = SourceRecord { refused: 100_000, refusals: refusals.clone(), ..source("crm", 1) };
    f.store.record_sources(&term, &record(vec![many], 0)).await.unwrap();
    let kept = sources(f).await.remove(0);
    assert_eq!(kept.refused, 100_000);
    assert_eq!(kept.refusals, refusals[..REFUSALS_KEPT]);
}

async fn requests_are_numbered_and_answered(f: &Fixture) {
    let term = f.elect().await;
    let state = async || f.store.roster_state().await.unwrap();
    assert_eq!((state().await.asked, state().await.done, state().await.drop_allowed), (0, 0, 0));
    assert_eq!(f.store.request_refresh(false).await.unwrap(), 1);
    assert_eq!(f.store.request_refresh(true).await.unwrap(), 2);
    assert_eq!(f.store.request_refresh(false).await.unwrap(), 3);
    assert_eq!((state().await.asked, state().await.done, state().await.drop_allowed), (3, 0, 2));
    f.store.record_sources(&term, &record(vec![], 3)).await.unwrap();
    f.store.record_sources(&term, &record(vec![], 1)).await.unwrap();
    assert_eq!(state().await.done, 3, "an answer never comes undone");

    let at = state().await.now;
    let pass = Pass { config: 7, at };
    f.store.record_sources(&term, &RosterRecord { pass: Some(pass), ..record(vec![], 3) }).await.unwrap();
    f.store.record_sources(&term, &record(vec![], 3)).await.unwrap();
    assert_eq!(state().await.pass, Some(pass), "until there is another one");
}

/// Nothing of what a leader writes about rosters takes effect without its term (invariant I3).
async fn writes_nothing(f: &Fixture, term: &Term) {
    let before =
        (f.store.snapshot().await.unwrap().revision, sources(f).await, f.store.roster_state().await.unwrap().done);
    let plan = with_config(f, &desired(&[hourly("acme/b")]), &text("stale")).await;
    assert_eq!(f.store.apply(&plan, Some(term)).await.unwrap(), Applied::StaleTerm);
    let stale = record(vec![source("stale", 9)], 9);
    assert_eq!(f.store.record_sources(term, &stale).await.unwrap(), Recorded::StaleTerm);
    let after =
        (f.store.snapshot().await.unwrap().revision, sources(f).await, f.store.roster_state().await.unwrap().done);
    assert_eq!(before, after);
}

async fn writes(f: &Fixture, term: &Term) {
    let plan = with_config(f, &desired(&[hourly("acme/c")]), &text("good")).await;
    assert!(matches!(f.store.apply(&plan, Some(term)).await.unwrap(), Applied::Done { .. }));
    assert_eq!(f.store.record_sources(term, &record(vec![source("crm", 1)], 0)).await.unwrap(), Recorded::Done);
}

async fn ready(f: &Fixture) -> Term {
    f.apply(&[hourly("acme/a")]).await;
    let term = f.elect().await;
    f.store.record_sources(&term, &record(vec![source("old", 1)], 0)).await.unwrap();
    term
}

async fn an_older_epoch_writes_no_roster(f: &Fixture) {
    let old = ready(f).await;
    let new = Term { epoch: old.epoch + 1, ..old };
    let schema = if f.is_postgres() { "leasehold." } else { "" };
    f.execute(&format!("UPDATE {schema}lease SET epoch = epoch + 1")).await;
    writes_nothing(f, &old).await;
    writes(f, &new).await;
}

async fn another_holder_writes_no_roster(f: &Fixture) {
    let term = ready(f).await;
    writes_nothing(f, &Term { holder: Uuid::now_v7(), epoch: term.epoch }).await;
    writes(f, &term).await;
}

async fn an_expired_term_writes_no_roster(f: &Fixture) {
    let term = ready(f).await;
    f.store.renew(&term, Duration::from_secs(10)).await.unwrap();
    f.advance(Duration::from_secs(10)).await;
    writes_nothing(f, &term).await;
    f.store.renew(&term, FOR_EVER).await.unwrap();
    writes(f, &term).await;
}

both!(
    a_config_comes_into_force_with_its_plan,
    a_plan_without_a_config_leaves_the_one_in_force,
    a_catalog_that_was_written_past_it_puts_the_config_out_of_force,
    of_two_configs_from_one_revision_the_second_is_a_conflict,
    tenants_keep_their_source_and_what_it_said,
    a_plan_from_a_part_of_the_catalog_touches_no_others,
    a_key_that_another_job_has_is_refused_as_a_whole,
    runs_of_jobs_that_are_to_stop_are_asked_to,
    sources_are_kept_as_they_were_last_recorded,
    all_refusals_are_counted_and_the_first_ones_kept,
    requests_are_numbered_and_answered,
    an_older_epoch_writes_no_roster,
    another_holder_writes_no_roster,
    an_expired_term_writes_no_roster,
);

/// A takeover that has not committed yet: what is committed says that the old term stands.
async fn writes_of_a_roster_wait_for_a_takeover(f: &Fixture) {
    let term = ready(f).await;
    for write in ["apply", "record"] {
        let mut takeover = f.pg().await;
        let mut open = takeover.begin().await.unwrap();
        let epoch: i64 = sqlx::query_scalar(include_str!("../../../store/sql/postgres/lease/acquire.sql"))
            .bind("store")
            .bind(term.holder)
            .bind(&candidate().host)
            .bind(1_i32)
            .bind(3_600_000_000_i64)
            .fetch_one(&mut *open)
            .await
            .unwrap();
        let current = Term { holder: term.holder, epoch: epoch - 1 };
        let plan = with_config(f, &desired(&[hourly("acme/x")]), &text(write)).await;
        let store = f.store.clone();
        let stale = tokio::spawn(async move {
            match write {
                "apply" => store.apply(&plan, Some(&current)).await.unwrap() == Applied::StaleTerm,
                _ => store.record_sources(&current, &record(vec![], 0)).await.unwrap() == Recorded::StaleTerm,
            }
        });
        f.waits(&stale).await;
        open.commit().await.unwrap();
        assert!(stale.await.unwrap(), "{write}");
        assert_eq!(sources(f).await.len(), 1, "{write}");
    }
}

postgres!(writes_of_a_roster_wait_for_a_takeover);
