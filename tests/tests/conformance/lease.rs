//! Who leads, and that nobody else writes (invariants I3 and I4).

use std::time::Duration;

use leasehold_common::lease::{Acquired, Candidate, LeaseKind, Renewal, Term};
use leasehold_common::store::{Dispatched, Fanned, Pruned, Rescued, SharedStore, Swept, Verdict};
use leasehold_tests::steps::{FOR_EVER, HOUR, MINUTE, candidate, cron, hourly};
use leasehold_tests::stores::Fixture;
use sqlx::{Connection as _, Executor as _};
use uuid::Uuid;

const TTL: Duration = Duration::from_secs(10);

fn elected(answer: Acquired) -> Term {
    match answer {
        Acquired::Elected(term) => term,
        other => panic!("not elected: {other:?}"),
    }
}

async fn acquire(f: &Fixture, candidate: &Candidate) -> Acquired {
    f.store.acquire(candidate, TTL).await.unwrap()
}

async fn the_first_candidate_is_elected_with_term_one(f: &Fixture) {
    let me = candidate();
    let term = elected(acquire(f, &me).await);
    assert_eq!(term, Term { holder: me.holder, epoch: 1 });
}

async fn a_second_candidate_is_told_that_the_lease_is_held(f: &Fixture) {
    elected(acquire(f, &candidate()).await);
    assert_eq!(acquire(f, &candidate()).await, Acquired::Held);
    assert_eq!(f.store.status().await.unwrap().leader.unwrap().term, 1);
}

async fn an_expired_lease_is_taken_with_a_higher_epoch(f: &Fixture) {
    let first = elected(acquire(f, &candidate()).await);
    f.advance(TTL - Duration::from_secs(1)).await;
    assert_eq!(acquire(f, &candidate()).await, Acquired::Held);
    f.advance(Duration::from_secs(1)).await;
    let second = elected(acquire(f, &candidate()).await);
    assert!(second.epoch > first.epoch);
    assert_ne!(second.holder, first.holder);
}

async fn acquiring_ones_own_lease_starts_a_new_term(f: &Fixture) {
    let me = candidate();
    let first = elected(acquire(f, &me).await);
    let second = elected(acquire(f, &me).await);
    assert!(second.epoch > first.epoch);
    assert_eq!(f.store.renew(&first, TTL).await.unwrap(), Renewal::Lost);
    assert_eq!(f.store.renew(&second, TTL).await.unwrap(), Renewal::Renewed);
}

async fn a_renewal_extends_the_lease(f: &Fixture) {
    let term = elected(acquire(f, &candidate()).await);
    f.advance(TTL - Duration::from_secs(1)).await;
    assert_eq!(f.store.renew(&term, TTL).await.unwrap(), Renewal::Renewed);
    f.advance(TTL - Duration::from_secs(1)).await;
    assert_eq!(acquire(f, &candidate()).await, Acquired::Held);
    assert_eq!(dispatch(f, &term).await, Dispatched::Done(Fanned::default()));
}

async fn an_expired_lease_that_nobody_took_can_still_be_renewed(f: &Fixture) {
    let term = elected(acquire(f, &candidate()).await);
    f.advance(TTL * 3).await;
    assert_eq!(f.store.renew(&term, TTL).await.unwrap(), Renewal::Renewed);
    assert_eq!(acquire(f, &candidate()).await, Acquired::Held);
}

async fn renewing_and_resigning_an_old_term_changes_nothing(f: &Fixture) {
    let old = elected(acquire(f, &candidate()).await);
    f.advance(TTL).await;
    let new = elected(acquire(f, &candidate()).await);
    let before = f.store.status().await.unwrap().leader.unwrap();

    assert_eq!(f.store.renew(&old, FOR_EVER).await.unwrap(), Renewal::Lost);
    // The epoch alone does not make a term, and neither does the holder.
    for wrong in [Term { holder: old.holder, epoch: new.epoch }, Term { holder: new.holder, epoch: old.epoch }] {
        assert_eq!(f.store.renew(&wrong, FOR_EVER).await.unwrap(), Renewal::Lost);
        f.store.resign(&wrong).await.unwrap();
    }
    f.store.resign(&old).await.unwrap();

    let after = f.store.status().await.unwrap().leader.unwrap();
    assert_eq!((after.holder, after.term, after.elected_at), (before.holder, before.term, before.elected_at));
    assert!(after.expires_in_ms <= before.expires_in_ms);
    assert_eq!(acquire(f, &candidate()).await, Acquired::Held);
}

async fn resigning_frees_the_lease_at_once(f: &Fixture) {
    let old = elected(acquire(f, &candidate()).await);
    f.store.resign(&old).await.unwrap();
    assert_eq!(f.store.status().await.unwrap().leader, None);
    assert_eq!(f.store.renew(&old, TTL).await.unwrap(), Renewal::Lost);
    assert_eq!(dispatch(f, &old).await, Dispatched::StaleTerm);
    assert!(elected(acquire(f, &candidate()).await).epoch > old.epoch);
}

async fn the_kind_is_recorded_and_another_kind_stays_follower(f: &Fixture) {
    assert_eq!(f.store.lease_kind().await.unwrap(), None);
    let term = elected(acquire(f, &candidate()).await);
    assert_eq!(f.store.lease_kind().await.unwrap(), Some(LeaseKind::Store));

    let other = Candidate { kind: LeaseKind::Redis, ..candidate() };
    assert_eq!(acquire(f, &other).await, Acquired::OtherKind(LeaseKind::Store));
    f.store.resign(&term).await.unwrap();
    assert_eq!(acquire(f, &other).await, Acquired::OtherKind(LeaseKind::Store), "free, but of another kind");
}

async fn changing_the_kind_ends_the_term(f: &Fixture) {
    let term = elected(acquire(f, &candidate()).await);
    f.store.set_lease_kind(LeaseKind::Redis).await.unwrap();
    assert_eq!(f.store.lease_kind().await.unwrap(), Some(LeaseKind::Redis));
    assert_eq!(f.store.renew(&term, TTL).await.unwrap(), Renewal::Lost);
    assert_eq!(dispatch(f, &term).await, Dispatched::StaleTerm);
    assert_eq!(acquire(f, &candidate()).await, Acquired::OtherKind(LeaseKind::Redis));

    // A Redis lock has elected: the store mints the epoch, whoever held the row before.
    let first = elected(acquire(f, &Candidate { kind: LeaseKind::Redis, ..candidate() }).await);
    let second = elected(acquire(f, &Candidate { kind: LeaseKind::Redis, ..candidate() }).await);
    assert!(term.epoch < first.epoch && first.epoch < second.epoch);
    assert_eq!(f.store.renew(&first, TTL).await.unwrap(), Renewal::Lost);
}

async fn the_kind_can_be_set_before_any_election(f: &Fixture) {
    f.store.set_lease_kind(LeaseKind::Redis).await.unwrap();
    assert_eq!(f.store.lease_kind().await.unwrap(), Some(LeaseKind::Redis));
    assert_eq!(f.store.status().await.unwrap().leader, None);
    assert_eq!(acquire(f, &candidate()).await, Acquired::OtherKind(LeaseKind::Redis));
}

async fn the_status_shows_the_leader(f: &Fixture) {
    assert_eq!(f.store.status().await.unwrap().leader, None);
    let me = Candidate { host: "eu-1".to_owned(), pid: 4711, ..candidate() };
    let before = f.now().await;
    let term = elected(acquire(f, &me).await);
    let leader = f.store.status().await.unwrap().leader.unwrap();
    assert_eq!((leader.holder, leader.host.as_str(), leader.pid), (me.holder, "eu-1", 4711));
    assert_eq!((leader.term, leader.kind), (term.epoch, LeaseKind::Store));
    assert!((5_000..=10_000).contains(&leader.expires_in_ms), "{leader:?}");
    assert!(leader.elected_at >= before && leader.elected_at <= f.now().await);
    f.advance(TTL * 2).await;
    assert!(f.store.status().await.unwrap().leader.unwrap().expires_in_ms < 0);
}

async fn of_many_candidates_at_once_one_is_elected(f: &Fixture) {
    for round in 0..5 {
        let candidates: Vec<_> = (0..8).map(|_| candidate()).collect();
        let calls = candidates.iter().map(|candidate| {
            let (store, candidate) = (f.store.clone(), candidate.clone());
            tokio::spawn(async move { store.acquire(&candidate, TTL).await.unwrap() })
        });
        let mut terms = Vec::new();
        for call in calls.collect::<Vec<_>>() {
            if let Acquired::Elected(term) = call.await.unwrap() {
                terms.push(term);
            }
        }
        assert_eq!(terms.len(), 1, "round {round}: {terms:?}");
        f.store.resign(&terms[0]).await.unwrap();
    }
}

// What a leader writes.

/// Everything that a leader could write has something to write here: a due job, a claim that expired, an old report, an
/// item that nobody ran in time.
async fn ready_to_write(f: &Fixture) -> Term {
    let missed = cron("acme/missed", "10 1 * * *").catch_up_skip(MINUTE);
    f.apply(&[hourly("acme/due"), hourly("acme/lost"), hourly("acme/old"), missed]).await;
    let term = f.elect_for(FOR_EVER).await;
    f.fan_out(&term, 6 * MINUTE).await;
    f.trigger("acme/old").await;
    f.settle(&f.claim(1).await, Verdict::Succeeded).await;
    f.trigger("acme/lost").await;
    f.claim(1).await.only();
    f.advance(HOUR * 2).await;
    term
}

async fn dispatch(f: &Fixture, term: &Term) -> Dispatched {
    dispatch_on(f, &f.store, term).await
}

async fn dispatch_on(f: &Fixture, store: &SharedStore, term: &Term) -> Dispatched {
    store.dispatch(term, &f.launches(Duration::ZERO).await).await.unwrap()
}

/// All that leader writes touch, as numbers.
async fn traces(f: &Fixture) -> Vec<i64> {
    let schema = if f.is_postgres() { "leasehold." } else { "" };
    let mut numbers = Vec::new();
    for table in ["ahead", "ready", "running", "claim", "report"] {
        numbers.push(f.number(&format!("SELECT count(*) FROM {schema}{table}")).await);
    }
    numbers.push(f.number(&format!("SELECT count(*) FROM {schema}running WHERE claim_id IS NOT NULL")).await);
    for column in ["min(next_due)", "max(next_due)", "count(last_fired)"] {
        numbers.push(f.number(&format!("SELECT CAST({column} AS BIGINT) FROM {schema}job")).await);
    }
    numbers
}

async fn writes_nothing(f: &Fixture, term: &Term) {
    let before = traces(f).await;
    assert_eq!(dispatch(f, term).await, Dispatched::StaleTerm);
    assert_eq!(f.store.rescue(term, 100).await.unwrap(), Rescued::StaleTerm);
    assert_eq!(f.store.sweep(term, 100).await.unwrap(), Swept::StaleTerm);
    assert_eq!(f.store.prune(term, MINUTE, 100).await.unwrap(), Pruned::StaleTerm);
    assert_eq!(traces(f).await, before);
}

/// So that the cases of stale terms cannot pass because there was nothing to write.
async fn writes(f: &Fixture, term: &Term) {
    assert_eq!(f.store.prune(term, MINUTE, 100).await.unwrap(), Pruned::Done { reports: 1 });
    assert_eq!(f.store.rescue(term, 100).await.unwrap(), Rescued::Done { requeued: 1, dead: 0 });
    assert_eq!(f.store.sweep(term, 100).await.unwrap(), Swept::Done { misfired: 1, expired: 0, seen: 1 });
    assert!(matches!(dispatch(f, term).await, Dispatched::Done(Fanned { items: 3, .. })));
}

async fn a_standing_term_writes(f: &Fixture) {
    let term = ready_to_write(f).await;
    writes(f, &term).await;
}

async fn stale_term_writes_nothing(f: &Fixture) {
    let old = ready_to_write(f).await;
    f.store.resign(&old).await.unwrap();
    let new = f.elect_for(FOR_EVER).await;
    writes_nothing(f, &old).await;
    writes(f, &new).await;
}

async fn a_term_of_the_same_holder_but_an_older_epoch_writes_nothing(f: &Fixture) {
    let old = ready_to_write(f).await;
    let again = Candidate { holder: old.holder, ..candidate() };
    let new = elected(f.store.acquire(&again, FOR_EVER).await.unwrap());
    assert_eq!(new.holder, old.holder);
    writes_nothing(f, &old).await;
    writes(f, &new).await;
}

async fn another_holder_with_the_right_epoch_writes_nothing(f: &Fixture) {
    let term = ready_to_write(f).await;
    writes_nothing(f, &Term { holder: Uuid::now_v7(), epoch: term.epoch }).await;
    writes(f, &term).await;
}

async fn an_expired_term_writes_nothing_even_if_nobody_took_over(f: &Fixture) {
    let term = ready_to_write(f).await;
    f.store.renew(&term, TTL).await.unwrap();
    f.advance(TTL).await;
    writes_nothing(f, &term).await;
    f.store.renew(&term, TTL).await.unwrap();
    writes(f, &term).await;
}

both!(
    the_first_candidate_is_elected_with_term_one,
    a_second_candidate_is_told_that_the_lease_is_held,
    an_expired_lease_is_taken_with_a_higher_epoch,
    acquiring_ones_own_lease_starts_a_new_term,
    a_renewal_extends_the_lease,
    an_expired_lease_that_nobody_took_can_still_be_renewed,
    renewing_and_resigning_an_old_term_changes_nothing,
    resigning_frees_the_lease_at_once,
    the_kind_is_recorded_and_another_kind_stays_follower,
    changing_the_kind_ends_the_term,
    the_kind_can_be_set_before_any_election,
    the_status_shows_the_leader,
    of_many_candidates_at_once_one_is_elected,
    a_standing_term_writes,
    stale_term_writes_nothing,
    a_term_of_the_same_holder_but_an_older_epoch_writes_nothing,
    another_holder_with_the_right_epoch_writes_nothing,
    an_expired_term_writes_nothing_even_if_nobody_took_over,
);

// What only concurrent writers can show.

const ACQUIRE: &str = include_str!("../../../store/sql/postgres/lease/acquire.sql");

/// The takeover has taken the row but not committed when the old leader's write starts: the write waits, and then sees
/// that its term is over.
async fn a_write_waits_for_a_takeover_that_is_under_way(f: &Fixture) {
    let old = ready_to_write(f).await;
    for write in ["dispatch", "rescue", "sweep", "prune"] {
        let before = traces(f).await;
        let mut takeover = f.pg().await;
        let mut open = takeover.begin().await.unwrap();
        let epoch: i64 = sqlx::query_scalar(ACQUIRE)
            .bind("store")
            .bind(old.holder)
            .bind("host")
            .bind(1_i32)
            .bind(3_600_000_000_i64)
            .fetch_one(&mut *open)
            .await
            .unwrap();
        // What is committed says that this term still stands: only the lock keeps the write from believing it.
        let current = Term { holder: old.holder, epoch: epoch - 1 };
        let launches = f.launches(Duration::ZERO).await;
        let store = f.store.clone();
        let stale = tokio::spawn(async move {
            match write {
                "dispatch" => store.dispatch(&current, &launches).await.unwrap() == Dispatched::StaleTerm,
                "rescue" => store.rescue(&current, 100).await.unwrap() == Rescued::StaleTerm,
                "sweep" => store.sweep(&current, 100).await.unwrap() == Swept::StaleTerm,
                _ => store.prune(&current, MINUTE, 100).await.unwrap() == Pruned::StaleTerm,
            }
        });
        f.waits(&stale).await;
        open.commit().await.unwrap();
        assert!(stale.await.unwrap(), "{write}");
        assert_eq!(traces(f).await, before, "{write}");
    }
}

/// The other way round: a leader's write holds the lease row, so the takeover waits; a renewal does not.
async fn a_takeover_waits_for_a_write_and_a_renewal_does_not(f: &Fixture) {
    let term = f.elect_for(Duration::ZERO).await;
    let mut writer = f.pg().await;
    let mut open = writer.begin().await.unwrap();
    open.execute("SELECT 1 FROM lease WHERE name = 'leader' FOR KEY SHARE").await.unwrap();

    assert_eq!(f.store.renew(&term, Duration::ZERO).await.unwrap(), Renewal::Renewed);
    let (store, other) = (f.store.clone(), candidate());
    let takeover = tokio::spawn(async move { store.acquire(&other, TTL).await.unwrap() });
    f.waits(&takeover).await;
    // Not even with a takeover in line.
    assert_eq!(f.store.renew(&term, Duration::ZERO).await.unwrap(), Renewal::Renewed);
    assert!(!takeover.is_finished());
    open.commit().await.unwrap();
    assert!(elected(takeover.await.unwrap()).epoch > term.epoch);
}

/// A follower that waited in line finds the lease renewed, and stays follower.
async fn a_takeover_that_waited_looks_again(f: &Fixture) {
    let term = f.elect_for(Duration::ZERO).await;
    let mut writer = f.pg().await;
    let mut open = writer.begin().await.unwrap();
    open.execute("SELECT 1 FROM lease WHERE name = 'leader' FOR KEY SHARE").await.unwrap();
    let (store, other) = (f.store.clone(), candidate());
    let takeover = tokio::spawn(async move { store.acquire(&other, TTL).await.unwrap() });
    f.waits(&takeover).await;
    assert_eq!(f.store.renew(&term, FOR_EVER).await.unwrap(), Renewal::Renewed);
    open.commit().await.unwrap();
    assert_eq!(takeover.await.unwrap(), Acquired::Held);
}

/// Pruning takes two steps; the second has a fence of its own.
async fn the_second_step_of_a_prune_is_fenced_too(f: &Fixture) {
    let term = ready_to_write(f).await;
    f.apply(&[]).await;
    f.execute("DELETE FROM leasehold.report; DELETE FROM leasehold.running").await;
    let prune = async |holder: Uuid, epoch: i64| -> i64 {
        sqlx::query_scalar(include_str!("../../../store/sql/postgres/schedules/prune_catalog.sql"))
            .bind(holder)
            .bind(epoch)
            .bind(100_i64)
            .fetch_one(&mut f.pg().await)
            .await
            .unwrap()
    };
    assert_eq!(prune(Uuid::now_v7(), term.epoch).await, 0);
    assert_eq!(prune(term.holder, term.epoch - 1).await, 0);
    f.store.renew(&term, Duration::ZERO).await.unwrap();
    assert_eq!(prune(term.holder, term.epoch).await, 0);
    f.store.renew(&term, FOR_EVER).await.unwrap();
    assert_eq!(prune(term.holder, term.epoch).await, 4);
}

postgres!(
    the_second_step_of_a_prune_is_fenced_too,
    a_write_waits_for_a_takeover_that_is_under_way,
    a_takeover_waits_for_a_write_and_a_renewal_does_not,
    a_takeover_that_waited_looks_again,
);
