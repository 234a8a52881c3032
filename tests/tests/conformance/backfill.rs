//! Runs for due times of the past, asked for by somebody.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use leasehold_common::definition::{Expiry, Overlap};
use leasehold_common::id::{CorrelationId, RunKind};
use leasehold_common::run::{Cause, Outcome, RunState};
use leasehold_common::store::{Cancelled, Verdict};
use leasehold_tests::steps::{HOUR, MINUTE, every, hourly};
use leasehold_tests::stores::Fixture;

/// The full hours of the day before, from 00:00 on.
async fn yesterday(f: &Fixture, count: i64) -> Vec<Timestamp> {
    let now = f.now().await.as_second();
    let midnight = Timestamp::from_second(now - now.rem_euclid(86_400) - 86_400).unwrap();
    (0..count).map(|hour| midnight + SignedDuration::from_hours(hour)).collect()
}

async fn backfill(f: &Fixture, at: &str, due: &[Timestamp], pause: Duration) -> u64 {
    f.store.backfill(f.key(at).await, due, pause).await.unwrap().expect("the job exists")
}

async fn a_backfill_is_a_run_for_each_due_time(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let (due, key) = (yesterday(f, 3).await, f.key("acme/a").await);
    let before = f.job("acme/a").await;
    assert_eq!(backfill(f, "acme/a", &due, Duration::ZERO).await, 3);
    let mut ran = Vec::new();
    for _ in 0..3 {
        let held = f.claim(1).await;
        let item = held.only();
        assert_eq!((item.cause, item.attempt), (Cause::Backfill, 1));
        assert_eq!(item.id, CorrelationId::new(item.scheduled_for, RunKind::BACKFILL, key));
        ran.push(item.scheduled_for);
        f.settle(&held, Verdict::Succeeded).await;
    }
    assert_eq!(ran, due, "in their order");
    assert!(f.reports().await.iter().all(|r| (r.cause, r.outcome) == (Cause::Backfill, Outcome::Succeeded)));
    assert_eq!(f.job("acme/a").await, before, "the schedule is left alone");
    assert_eq!(f.live("acme/a").await, []);
}

/// Wherever the first one is by then: waiting, ready, running, or over.
async fn a_backfill_twice_makes_nothing_twice(f: &Fixture) {
    f.apply(&[hourly("acme/a").allow_overlap()]).await;
    let due = yesterday(f, 4).await;
    assert_eq!(backfill(f, "acme/a", &due[..1], Duration::ZERO).await, 1);
    f.settle(&f.claim(1).await, Verdict::Succeeded).await;
    assert_eq!(backfill(f, "acme/a", &due[1..2], Duration::ZERO).await, 1);
    f.claim(1).await.only();
    assert_eq!(backfill(f, "acme/a", &due[2..3], Duration::ZERO).await, 1);
    f.activate().await;
    assert_eq!(backfill(f, "acme/a", &due[3..], Duration::ZERO).await, 1);
    let states: BTreeSet<_> = f.live("acme/a").await.iter().map(|run| run.state.code()).collect();
    assert!(states.contains(&RunState::Running.code()) && states.contains(&RunState::Ready.code()));

    assert_eq!(backfill(f, "acme/a", &due, Duration::ZERO).await, 0);
    assert_eq!(f.live("acme/a").await.len(), 3);
    let more = yesterday(f, 6).await;
    assert_eq!(backfill(f, "acme/a", &more, Duration::ZERO).await, 2, "only what is new");
    let twice = [more[5] + HOUR, more[5] + HOUR];
    assert_eq!(backfill(f, "acme/a", &twice, Duration::ZERO).await, 1, "nor twice in one call");
    let held = f.claim(100).await;
    assert_eq!(held.ids().into_iter().collect::<BTreeSet<_>>().len(), held.items().len());
    assert_eq!(held.items().len(), 5);
}

async fn two_backfills_at_once_make_each_run_once(f: &Fixture) {
    f.apply(&[hourly("acme/a").allow_overlap()]).await;
    let (due, key) = (yesterday(f, 24).await, f.key("acme/a").await);
    let stores = [f.store.clone(), f.another().await];
    let calls = stores.map(|store| {
        let due = due.clone();
        tokio::spawn(async move { store.backfill(key, &due, Duration::ZERO).await.unwrap().unwrap() })
    });
    let mut made = 0;
    for call in calls {
        made += call.await.unwrap();
    }
    assert_eq!(made, 24);
    assert_eq!(f.claim(100).await.items().len(), 24);
}

/// Also where a run of the due time itself is known: that is another run.
async fn a_backfill_does_not_ask_whether_the_schedule_ran(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let term = f.elect().await;
    let held = f.run_next(&term, "acme/a").await;
    f.settle(&held, Verdict::Succeeded).await;
    assert_eq!(backfill(f, "acme/a", &[held.only().scheduled_for], Duration::ZERO).await, 1);
    let again = f.claim(1).await;
    assert_ne!(again.only().id, held.only().id);
    assert_eq!(again.only().scheduled_for, held.only().scheduled_for);
}

async fn a_backfill_comes_at_its_rate(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let due = yesterday(f, 4).await;
    let before = f.now().await;
    backfill(f, "acme/a", &due, HOUR).await;
    let mut live = f.live("acme/a").await;
    live.sort_by_key(|run| run.scheduled_for);
    let first = live[0].not_before.unwrap();
    assert!(first >= before && first <= f.now().await, "the first at once");
    for (n, run) in (0..).zip(&live) {
        assert_eq!((run.state, run.cause), (RunState::Waiting, Cause::Backfill));
        assert_eq!(run.not_before.unwrap(), first + SignedDuration::from_hours(n));
    }
    for due in due {
        let held = f.claim(10).await;
        assert_eq!(held.only().scheduled_for, due);
        f.settle(&held, Verdict::Succeeded).await;
        f.advance(HOUR).await;
    }
}

/// They wait for each other and for other runs, whatever the job says of overlap and of how many may wait; unless its
/// runs may overlap.
async fn backfills_run_one_after_the_other(f: &Fixture) {
    let jobs = [
        hourly("acme/skip"),
        hourly("acme/one").overlap(Overlap::BufferOne),
        hourly("acme/all").overlap(Overlap::BufferAll).buffer(1),
        hourly("acme/cancel").overlap(Overlap::CancelPrevious),
    ];
    f.apply(&jobs).await;
    let due = yesterday(f, 5).await;
    for at in ["acme/skip", "acme/one", "acme/all", "acme/cancel"] {
        let first = f.trigger(at).await;
        let mut held = f.claim(1).await;
        assert_eq!(held.ids(), [first]);
        backfill(f, at, &due, Duration::ZERO).await;
        for due in &due {
            let none = f.claim(10).await;
            assert_eq!(none.items(), [], "{at}: one at a time");
            assert_eq!(f.store.extend(held.executor, &[held.claim()], MINUTE).await.unwrap().cancel, [], "{at}");
            f.settle(&held, Verdict::Succeeded).await;
            held = f.claim(10).await;
            assert_eq!(held.only().scheduled_for, *due, "{at}");
        }
        f.settle(&held, Verdict::Succeeded).await;
        assert_eq!(f.outcomes(at).await, [Outcome::Succeeded; 6]);
    }
    f.apply(&[hourly("acme/beside").allow_overlap()]).await;
    backfill(f, "acme/beside", &due, Duration::ZERO).await;
    assert_eq!(f.claim(10).await.items().len(), 5);
}

/// No rule that is about lateness can mean them: all of them are late.
async fn no_limit_of_the_job_ends_a_backfill(f: &Fixture) {
    let job = hourly("acme/a").expires(Expiry::After(MINUTE)).catch_up_skip(MINUTE).max_runs(1).allow_overlap();
    f.apply(&[job]).await;
    let term = f.elect().await;
    f.pause("acme/a", None).await;
    backfill(f, "acme/a", &yesterday(f, 3).await, Duration::ZERO).await;
    f.advance(HOUR).await;
    assert_eq!(f.sweep(&term).await, (0, 0));
    let held = f.claim(10).await;
    assert_eq!((held.items().len(), held.claimed.dismissed), (3, 0));
    f.settle(&held, Verdict::Succeeded).await;
    assert_eq!(f.job("acme/a").await.runs_left, Some(1));
}

async fn a_backfill_of_an_interval_job_leaves_its_interval_alone(f: &Fixture) {
    f.apply(&[every("acme/a", HOUR)]).await;
    let due = f.next_due("acme/a").await;
    backfill(f, "acme/a", &yesterday(f, 2).await, Duration::ZERO).await;
    for _ in 0..2 {
        f.settle(&f.claim(1).await, Verdict::Succeeded).await;
    }
    assert_eq!(f.next_due("acme/a").await, due);
    assert_eq!(f.store.status().await.unwrap().catalog.stalled_interval_jobs, 0);
}

async fn a_backfill_is_not_in_the_ledger_of_the_schedule(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let from = f.now().await;
    let term = f.elect().await;
    f.advance(4 * HOUR).await;
    f.fan_out(&term, Duration::ZERO).await;
    let due = f.next_due("acme/a").await - SignedDuration::from_hours(3);
    f.settle(&f.claim(1).await, Verdict::Succeeded).await;
    let before = f.ledger("acme/a", from).await.entries;
    backfill(f, "acme/a", &[due], Duration::ZERO).await;
    f.settle(&f.claim(1).await, Verdict::Succeeded).await;
    assert_eq!(f.ledger("acme/a", from).await.entries, before);
    f.is_whole("acme/a", from).await;
}

async fn what_is_not_there_cannot_be_backfilled(f: &Fixture) {
    f.apply(&[hourly("acme/a"), hourly("acme/b")]).await;
    let (due, key) = (yesterday(f, 1).await, f.key("acme/b").await);
    f.apply(&[hourly("acme/a")]).await;
    let never = leasehold_common::id::JobKey::from_i64(42);
    for key in [key, never] {
        assert_eq!(f.store.backfill(key, &due, Duration::ZERO).await.unwrap(), None);
    }
    assert_eq!(backfill(f, "acme/a", &[], Duration::ZERO).await, 0);
    assert_eq!(f.store.status().await.unwrap().queue.waiting, 0);
}

/// An edit that voids scheduled items leaves them, and removing the job ends them.
async fn backfills_are_cancelled_one_by_one_or_with_their_job(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let due = yesterday(f, 3).await;
    backfill(f, "acme/a", &due, MINUTE).await;
    f.apply(&[leasehold_tests::steps::cron("acme/a", "30 * * * *")]).await;
    let live = f.live("acme/a").await;
    assert_eq!(live.len(), 3);
    assert_eq!(f.cancel(live[0].correlation_id).await, Cancelled::Ended);
    f.apply(&[]).await;
    assert_eq!(f.outcomes("acme/a").await, [Outcome::Cancelled; 3]);
}

both!(
    a_backfill_is_a_run_for_each_due_time,
    a_backfill_twice_makes_nothing_twice,
    two_backfills_at_once_make_each_run_once,
    a_backfill_does_not_ask_whether_the_schedule_ran,
    a_backfill_comes_at_its_rate,
    backfills_run_one_after_the_other,
    no_limit_of_the_job_ends_a_backfill,
    a_backfill_of_an_interval_job_leaves_its_interval_alone,
    a_backfill_is_not_in_the_ledger_of_the_schedule,
    what_is_not_there_cannot_be_backfilled,
    backfills_are_cancelled_one_by_one_or_with_their_job,
);
