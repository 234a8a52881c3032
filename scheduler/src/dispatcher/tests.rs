//! The dispatcher against schedules in memory, tick by tick and in its loop.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use leasehold_common::clock::BootClock;
use leasehold_common::id::JobKey;
use leasehold_common::plan::MAX_ITEMS;
use leasehold_common::run::Outcome;
use leasehold_common::store::{DueJob, Fanned, Launch, Pause, Skipped};
use tokio::time::sleep;

use super::{BATCH, Dispatcher, ITEMS, POLL, Summary, moves};
use crate::options::SchedulerOptions;
use crate::service::{Service, Ticked, drive};
use crate::term::{End, LeaderTerm};
use crate::testing::{FakeSchedules, clock, epoch, term, until};

const EVERY_SECOND: &str = "* * * * * *";

/// Once a year, a second after the test begins.
const YEARLY: &str = "1 0 8 15 1 *";

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
    assert!((1..=3).all(|job| store.skipped(job).is_empty()));
    let look_ahead = SchedulerOptions::default().look_ahead;
    for (job, due, at) in queued.into_iter().filter(|(_, due, _)| *due > seconds(16)) {
        assert!(due.duration_since(at) >= look_ahead.try_into().unwrap(), "job {job} due {due} queued at {at}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_dispatcher_looks_twice_a_second_at_most() {
    let store = FakeSchedules::new();
    let yearly = store.define_cron(1, YEARLY);
    for job in 0..100 {
        store.add(job, yearly, seconds(86_400 + job));
    }
    let term = lasting();
    let running = tokio::spawn(drive(dispatcher(&store), Duration::ZERO, term.clone()));
    sleep(Duration::from_secs(100)).await;
    let polls = store.polls.load(Ordering::SeqCst);
    assert!(polls <= 2 * 170, "{polls}: for both sets");
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
    let row = Skipped { outcome: Outcome::Misfired, first: seconds(-1_000), last: seconds(-1), count: 1_000 };
    assert_eq!(store.skipped(1), [row]);
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
    let fanned = Fanned { jobs: 1, items: 1, ..Fanned::default() };
    assert_eq!(first, Summary { jobs: 5, unplannable: 4, fanned, ..Summary::default() });
    assert_eq!(dispatcher.pause(&first), POLL);
    assert_eq!(store.queued().iter().map(|(job, due, _)| (*job, *due)).collect::<Vec<_>>(), [(9, seconds(3))]);
    for _ in 0..10 {
        assert_eq!(tick(&mut dispatcher, &term).await.unplannable, 4);
    }
    assert_eq!(store.fetches.load(Ordering::SeqCst), 1);
    assert_eq!(store.next_due(0), Some(seconds(-10)), "its due time must not be lost");
    assert!((0..4).all(|job| store.skipped(job).is_empty()));

    // Somebody repairs one of them, when they are late.
    store.define_cron(1, "50 59 7 15 1 *");
    sleep(Duration::from_secs(61)).await;
    let repaired = tick(&mut dispatcher, &term).await;
    assert_eq!((repaired.unplannable, repaired.fanned.items, repaired.lag), (3, 1, Duration::from_secs(71)));
}

#[tokio::test(start_paused = true)]
async fn more_unreadable_jobs_than_a_batch_do_not_hide_the_ones_behind_them() {
    // On time, and late.
    for (bad_due, good_due, expr) in [(-10, 1, YEARLY), (-100, -90, "30 58 7 15 1 *")] {
        let store = FakeSchedules::new();
        let bad = store.define(1, "{}");
        for job in 0..2_500 {
            store.add(job, bad, seconds(bad_due));
        }
        let good = store.define_cron(2, expr);
        store.add(9_999, good, seconds(good_due));
        let (mut dispatcher, term) = (dispatcher(&store), lasting());
        let mut ticks = 1;
        while tick(&mut dispatcher, &term).await.more {
            ticks += 1;
            assert!(ticks < 10, "spins");
        }
        assert_eq!(store.queued().len(), 1);
        assert!(!tick(&mut dispatcher, &term).await.more);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_on_time_comes_first_while_an_outage_is_worked_off() {
    const HOUR: i64 = 3_600;
    let store = FakeSchedules::new();
    let every_second = store.define_cron(1, EVERY_SECOND);
    for job in 0..3_000 {
        store.add(job, every_second, seconds(-HOUR));
    }
    let late = |store: &FakeSchedules| (0..3_000).filter(|job| !store.launched(*job).is_empty()).count();
    let yearly = store.define_cron(2, YEARLY);
    let (mut dispatcher, term) = (dispatcher(&store), lasting());
    dispatcher.patience = Duration::ZERO; // one late job a tick
    for round in 1..=20 {
        let on_time = 10_000 * i64::try_from(round).unwrap();
        for job in on_time..on_time + 50 {
            store.add(job, yearly, seconds(1));
        }
        let before = store.queued().len();
        assert!(tick(&mut dispatcher, &term).await.more);
        let queued: Vec<_> = store.queued()[before..].iter().map(|(job, ..)| *job).collect();
        assert!(queued.len() > 50 && queued[..50].iter().all(|job| *job >= on_time), "{queued:?}");
        assert!(queued[50..].iter().all(|job| *job < 3_000), "{queued:?}");
        assert_eq!(late(&store), round);
    }
    let row = Skipped { outcome: Outcome::Misfired, first: seconds(-HOUR), last: seconds(-1), count: 3_600 };
    assert_eq!(store.skipped(0), [row]);
    assert_eq!(store.queued().iter().filter(|(job, ..)| *job == 0).count(), 16);
}

#[tokio::test(start_paused = true)]
async fn late_work_of_one_tick_is_as_large_as_a_transaction() {
    let store = FakeSchedules::new();
    let all = r#"{"schedule":{"cron":{"expr":"* * * * * *","zone":"UTC"}},"catch_up":{"all":{"within":"1h"}}}"#;
    let definition = store.define(1, all);
    for job in 0..40 {
        store.add(job, definition, seconds(-400));
    }
    let (mut dispatcher, term) = (dispatcher(&store), lasting());
    dispatcher.patience = Duration::MAX;
    loop {
        let before: usize = store.pieces().iter().sum();
        let more = tick(&mut dispatcher, &term).await.more;
        let rows = store.pieces().iter().sum::<usize>() - before;
        assert!(rows < ITEMS + MAX_ITEMS, "{rows}");
        if !more {
            break;
        }
    }
    let queued: BTreeSet<_> = store.queued().into_iter().map(|(job, due, _)| (job, due)).collect();
    assert_eq!(queued, (0..40).flat_map(|job| (-400..=15).map(move |s| (job, seconds(s)))).collect());
}

#[tokio::test(start_paused = true)]
async fn in_a_blackout_a_job_is_looked_at_when_it_ends() {
    let store = FakeSchedules::new();
    let definition = store.define(
        1,
        r#"{"schedule":{"cron":{"expr":"* * * * *","zone":"UTC"}},
            "blackouts":[{"name":"freeze","daily":{"window":"08:10-09:10","zone":"UTC"}}]}"#,
    );
    store.add(1, definition, seconds(60));
    let term = lasting();
    let running = tokio::spawn(drive(dispatcher(&store), Duration::ZERO, term.clone()));
    let minute = |minute: i64| seconds(60 * minute);
    sleep(Duration::from_secs(20 * 60)).await;
    assert_eq!(store.next_due(1), Some(minute(70)), "the end of the blackout");
    assert_eq!(store.skipped(1), [], "which an edit may still change");
    sleep(Duration::from_secs(60 * 60)).await;
    term.end(End::Shutdown);
    running.await.unwrap();

    let look_ahead = Duration::from_secs(20);
    let within = store.launched(1).into_iter().filter(|at| (minute(10)..minute(70) - look_ahead).contains(at));
    assert_eq!(within.count(), 0);
    let row = Skipped { outcome: Outcome::BlackedOut, first: minute(10), last: minute(69), count: 60 };
    assert_eq!(store.skipped(1), [row]);
    let queued: Vec<_> = store.queued().into_iter().map(|(_, due, _)| due).collect();
    assert_eq!(queued, (1..10).chain(70..=80).map(minute).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_one_row_and_costs_nothing_while_it_lasts() {
    let store = FakeSchedules::new();
    let every_second = store.define_cron(1, EVERY_SECOND);
    store.add(1, every_second, seconds(1));
    let (mut first, term) = (dispatcher(&store), lasting());
    tick(&mut first, &term).await;
    store.pause(1, Pause { at: seconds(0), until: seconds(7_200) });
    let running = tokio::spawn(drive(first, Duration::ZERO, term.clone()));
    sleep(Duration::from_secs(7_100)).await;
    assert_eq!(store.launched(1), [seconds(0)]);
    sleep(Duration::from_secs(200)).await;
    term.end(End::Shutdown);
    running.await.unwrap();

    // What was queued before is for the claim to end.
    let row = Skipped { outcome: Outcome::Paused, first: seconds(16), last: seconds(7_199), count: 7_184 };
    assert_eq!(store.skipped(1), [row]);
    let queued: Vec<_> = store.queued().into_iter().map(|(_, due, _)| due).filter(|due| *due > seconds(15)).collect();
    assert_eq!(queued[..100], (7_200..7_300).map(seconds).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn jobs_that_are_resumed_together_do_not_hold_up_the_others() {
    const JOBS: i64 = 100;
    let store = FakeSchedules::new();
    let every_second = store.define_cron(1, EVERY_SECOND);
    for job in 0..JOBS {
        store.add(job, every_second, seconds(-3_600));
        store.pause(job, Pause { at: seconds(-3_600), until: seconds(0) });
    }
    let yearly = store.define_cron(2, YEARLY);
    store.add(1_000, yearly, seconds(1));
    let (mut dispatcher, term) = (dispatcher(&store), lasting());
    (dispatcher.steps, dispatcher.patience) = (8_000, Duration::ZERO);
    assert!(tick(&mut dispatcher, &term).await.more);
    assert_eq!(store.launched(1_000).len(), 1);
    assert!((0..JOBS).all(|job| !store.launched(job).is_empty()), "each is under way");
    let dealt_with: u32 = (0..JOBS).flat_map(|job| store.skipped(job)).map(|row| row.count).sum();
    assert!(dealt_with < 8_000 + 3_600 + 50 * 100, "{dealt_with}");

    while tick(&mut dispatcher, &term).await.more {}
    for job in 0..JOBS {
        let rows = store.skipped(job);
        assert!(rows.iter().all(|row| row.outcome == Outcome::Paused) && rows.len() <= 3, "{rows:?}");
        assert_eq!(rows.iter().map(|row| row.count).sum::<u32>(), 3_600);
    }
    assert_eq!(store.queued().len(), 100 * 16 + 1);
}

#[test]
fn a_launch_that_leaves_its_job_where_it_was_is_told() {
    let job = DueJob {
        key: JobKey::from_i64(1),
        version: 1,
        definition: leasehold_common::definition::DefinitionId::from_uuid(uuid::Uuid::nil()),
        next_due: seconds(10),
        accounted: seconds(5),
        pause: None,
        runs_left: None,
        gated: false,
    };
    let launch = |accounted, next| Launch {
        key: job.key,
        version: 1,
        expected: job.next_due,
        items: vec![],
        skipped: vec![],
        accounted: seconds(accounted),
        catch_up: 0,
        next,
        runs_left: None,
        over: false,
    };
    assert!(!moves(&job, &launch(5, Some(seconds(10)))));
    assert!(!moves(&job, &launch(5, Some(seconds(9)))));
    assert!(moves(&job, &launch(5, Some(seconds(11)))), "it is looked at later");
    assert!(moves(&job, &launch(6, Some(seconds(9)))), "more is dealt with");
    assert!(moves(&job, &launch(5, None)), "it is over");
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
    assert_eq!((summary.jobs, summary.fanned, summary.more), (1_000, Fanned::default(), false));
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
