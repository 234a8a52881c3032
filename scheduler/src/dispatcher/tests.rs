//! The dispatcher against schedules in memory, tick by tick and in its loop.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use leasehold_common::clock::BootClock;
use tokio::time::sleep;

use super::{BATCH, Dispatcher, ITEMS, POLL, Summary};
use crate::options::SchedulerOptions;
use crate::service::{Service, Ticked, drive};
use crate::term::{End, LeaderTerm};
use crate::testing::{FakeSchedules, clock, epoch, term, until};

const EVERY_SECOND: &str = "* * * * * *";
const YEARLY: &str = "0 0 1 1 *";

fn dispatcher(store: &Arc<FakeSchedules>) -> Dispatcher {
    Dispatcher::new(store.clone(), &SchedulerOptions::default())
}

fn seconds(from_epoch: i64) -> Timestamp {
    Timestamp::from_second(epoch().as_second() + from_epoch).unwrap()
}

/// A term that does not end by itself.
fn lasting() -> LeaderTerm {
    term(&BootClock::manual())
}

async fn tick(dispatcher: &mut Dispatcher, term: &LeaderTerm) -> Summary {
    match dispatcher.tick(term).await.unwrap() {
        Ticked::Done(summary) => summary,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn every_due_time_is_queued_once_and_the_look_ahead_early() {
    let store = FakeSchedules::new();
    let every_second = store.define_cron(1, EVERY_SECOND);
    for job in 1..=3 {
        store.add(job, every_second, seconds(1));
    }
    let term = lasting();
    let running = tokio::spawn(drive(dispatcher(&store), Duration::ZERO, term.clone()));
    sleep(Duration::from_secs(60)).await;
    term.end(End::Shutdown);
    running.await.unwrap();

    let queued = store.queued();
    let distinct: BTreeSet<_> = queued.iter().map(|(job, due, _)| (*job, *due)).collect();
    assert_eq!(distinct.len(), queued.len(), "queued twice");
    let expected: BTreeSet<_> = (1..=3).flat_map(|job| (1..=75).map(move |s| (job, seconds(s)))).collect();
    assert!(expected.is_subset(&distinct), "missing: {:?}", expected.difference(&distinct).next());
    assert!(store.misfired().is_empty());
    let look_ahead = SchedulerOptions::default().look_ahead;
    for (job, due, at) in queued.into_iter().filter(|(_, due, _)| *due > seconds(16)) {
        assert!(due.duration_since(at) >= look_ahead.try_into().unwrap(), "job {job} due {due} queued at {at}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_dispatcher_polls_twice_a_second_at_most() {
    let store = FakeSchedules::new();
    let yearly = store.define_cron(1, YEARLY);
    for job in 0..100 {
        store.add(job, yearly, seconds(86_400 + job));
    }
    let term = lasting();
    let running = tokio::spawn(drive(dispatcher(&store), Duration::ZERO, term.clone()));
    sleep(Duration::from_secs(100)).await;
    let polls = store.polls.load(Ordering::SeqCst);
    assert!(polls <= 170, "{polls}");
    assert_eq!((store.pieces(), store.fetches.load(Ordering::SeqCst)), (vec![], 0));
    term.end(End::Shutdown);
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_herd_is_worked_off_in_batches_and_pieces_without_waiting() {
    let store = FakeSchedules::new();
    let every_second = store.define_cron(1, EVERY_SECOND);
    let jobs = i64::from(BATCH) * 2 + 500;
    for job in 0..jobs {
        store.add(job, every_second, seconds(5));
    }
    let (mut dispatcher, term) = (dispatcher(&store), lasting());
    let mut summaries = vec![];
    loop {
        let summary = tick(&mut dispatcher, &term).await;
        summaries.push(summary.jobs);
        if !summary.more {
            break;
        }
        assert_eq!(dispatcher.pause(&summary), Duration::ZERO);
    }
    assert_eq!(summaries, [1_000, 1_000, 500]);
    // Second 5 to 15 of each job: eleven due times.
    assert_eq!(store.queued().len() as i64, jobs * 11);
    assert!(store.pieces().iter().all(|items| *items <= ITEMS), "{:?}", store.pieces());
    assert_eq!(store.fetches.load(Ordering::SeqCst), 1, "one definition, fetched once");
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_the_latest_fires_and_the_others_are_recorded() {
    let store = FakeSchedules::new();
    let every_second = store.define_cron(1, EVERY_SECOND);
    store.add(1, every_second, seconds(-1_000));
    let (mut dispatcher, term) = (dispatcher(&store), lasting());
    while tick(&mut dispatcher, &term).await.more {}
    let misfired: Vec<_> = store.misfired().into_iter().map(|(_, due)| due).collect();
    assert_eq!(misfired, (-1_000..0).map(seconds).collect::<Vec<_>>());
    let queued: Vec<_> = store.queued().into_iter().map(|(_, due, _)| due).collect();
    assert_eq!(queued, (0..=15).map(seconds).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_job_with_an_unreadable_definition_is_skipped_alone_and_does_not_make_the_loop_spin() {
    let store = FakeSchedules::new();
    let unreadable = [
        store.define(1, "not json"),
        store.define(2, r#"{"schedule":{"lunar":{"phase":"full"}}}"#),
        store.define_cron(3, "61 * * * *"),
        leasehold_common::definition::DefinitionId::from_uuid(uuid::Uuid::from_u128(4)),
    ];
    for (job, definition) in (0..).zip(unreadable) {
        store.add(job, definition, seconds(-10));
    }
    let good = store.define(5, r#"{"schedule":{"every":{"interval":"5m"}},"handler":{"from_the_future":{}}}"#);
    store.add(9, good, seconds(3));

    let (mut dispatcher, term) = (dispatcher(&store), lasting());
    let first = tick(&mut dispatcher, &term).await;
    assert_eq!(first, Summary { jobs: 5, unplannable: 4, items: 1, misfired: 0, more: false });
    assert_eq!(dispatcher.pause(&first), POLL);
    assert_eq!(store.queued().iter().map(|(job, due, _)| (*job, *due)).collect::<Vec<_>>(), [(9, seconds(3))]);
    for _ in 0..10 {
        assert_eq!(tick(&mut dispatcher, &term).await.unplannable, 4);
    }
    assert_eq!(store.fetches.load(Ordering::SeqCst), 1);
    assert_eq!(store.next_due(0), Some(seconds(-10)), "its due time must not be lost");
    assert!(store.misfired().is_empty());

    // Somebody repairs one of them.
    store.define_cron(1, YEARLY);
    sleep(Duration::from_secs(61)).await;
    let repaired = tick(&mut dispatcher, &term).await;
    assert_eq!((repaired.unplannable, repaired.items), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn more_unreadable_jobs_than_a_batch_do_not_hide_the_ones_behind_them() {
    let store = FakeSchedules::new();
    let bad = store.define(1, "{}");
    for job in 0..2_500 {
        store.add(job, bad, seconds(-10));
    }
    let good = store.define_cron(2, YEARLY);
    store.add(9_999, good, seconds(3));
    let (mut dispatcher, term) = (dispatcher(&store), lasting());
    let mut ticks = 1;
    while tick(&mut dispatcher, &term).await.more {
        ticks += 1;
        assert!(ticks < 10, "spins");
    }
    assert_eq!(store.queued().len(), 1);
    assert!(!tick(&mut dispatcher, &term).await.more);
}

#[tokio::test(start_paused = true)]
async fn launches_that_take_no_effect_do_not_make_the_loop_spin() {
    let store = FakeSchedules::new();
    let yearly = store.define_cron(1, YEARLY);
    for job in 0..i64::from(BATCH) {
        store.add(job, yearly, seconds(1));
    }
    store.freeze();
    let summary = tick(&mut dispatcher(&store), &lasting()).await;
    assert_eq!((summary.jobs, summary.items, summary.more), (1_000, 0, false));
}

#[tokio::test(start_paused = true)]
async fn jobs_that_share_a_hashed_expression_fire_at_times_of_their_own() {
    let store = FakeSchedules::new();
    let hashed = store.define_cron(1, "H H * * *");
    for job in 0..50 {
        store.add(job * 1_234_567, hashed, seconds(1));
    }
    tick(&mut dispatcher(&store), &lasting()).await;
    let next: BTreeSet<_> = (0..50).map(|job| store.next_due(job * 1_234_567).unwrap()).collect();
    assert!(next.len() > 40, "{}", next.len());
}

#[tokio::test(start_paused = true)]
async fn a_refused_write_ends_the_term() {
    let store = FakeSchedules::new();
    let yearly = store.define_cron(1, YEARLY);
    store.add(1, yearly, seconds(1));
    store.begin_another_term();
    let term = lasting();
    drive(dispatcher(&store), Duration::ZERO, term.clone()).await;
    assert_eq!(term.why_ended(), Some(End::StaleTerm));
    assert!(store.queued().is_empty());
}

#[tokio::test(start_paused = true)]
async fn without_trust_nothing_is_written() {
    let store = FakeSchedules::new();
    let yearly = store.define_cron(1, YEARLY);
    store.add(1, yearly, seconds(1));
    let clock = BootClock::manual();
    let term = term(&clock);
    clock.advance(Duration::from_secs(9));
    assert_eq!(dispatcher(&store).tick(&term).await.unwrap(), Ticked::Untrusted);
    assert!(store.pieces().is_empty());
}

#[tokio::test(start_paused = true)]
async fn after_the_end_of_a_term_nothing_is_written_though_its_window_still_holds() {
    let store = FakeSchedules::new();
    let yearly = store.define_cron(1, YEARLY);
    store.add(1, yearly, seconds(1));
    let term = lasting();
    term.end(End::Shutdown);
    assert_eq!(dispatcher(&store).tick(&term).await.unwrap(), Ticked::Untrusted);
    assert!(store.pieces().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_pause_for_tests_lies_between_the_last_check_and_the_write() {
    let store = FakeSchedules::new();
    let yearly = store.define_cron(1, YEARLY);
    store.add(1, yearly, seconds(1));
    let options =
        SchedulerOptions { pause_before_dispatch: Some(Duration::from_secs(30)), ..SchedulerOptions::default() };
    let mut dispatcher = Dispatcher::new(store.clone(), &options);
    let term = term(&clock());
    let ticking = tokio::spawn({
        let term = term.clone();
        async move { dispatcher.tick(&term).await }
    });
    until("the trust is over", || !term.trusted()).await;
    store.begin_another_term();
    assert_eq!(ticking.await.unwrap().unwrap(), Ticked::StaleTerm, "the write must have been attempted");
}
