//! Edits take effect exactly once, at one instant, and lose no due time (invariants I10 and I13).

use std::time::Duration;

use jiff::SignedDuration;
use leasehold_common::catalog::Desired;
use leasehold_common::definition::{Expiry, OnBlackout, Overlap};
use leasehold_common::run::{Outcome, RunState};
use leasehold_common::store::{Applied, JobHistory, Verdict};
use leasehold_tests::steps::{HOUR, MINUTE, cron, desired, every, hourly, path};
use leasehold_tests::stores::Fixture;

use Outcome::{BlackedOut, Cancelled, Misfired, Paused, Succeeded, Superseded};

const A: &str = "acme/a";

fn row(outcome: Outcome, count: u32, first: &str, last: &str) -> (Outcome, u32, String, String) {
    (outcome, count, first.to_owned(), last.to_owned())
}

async fn history(f: &Fixture) -> JobHistory {
    let (tenant, job) = path(A);
    let now = f.now().await;
    f.store.history(&tenant, &job, now - 1000 * HOUR, now + HOUR).await.unwrap().unwrap()
}

/// Nobody led when they were due, and then nobody ever will.
async fn an_edit_in_an_outage_accounts_for_the_old_schedule(f: &Fixture) {
    f.apply(&[hourly(A)]).await; // at 01:05
    let from = f.now().await;
    let term = f.elect().await;
    f.advance(5 * HOUR).await; // 06:05
    f.apply(&[cron(A, "30 * * * *")]).await;
    assert_eq!(f.rows(A).await, [row(Superseded, 5, "02:00", "06:00")]);
    let report = f.reports().await.remove(0);
    assert_eq!((report.attempt, report.started_at, report.executor), (0, None, None));
    assert!(report.error.unwrap().contains("schedule was changed"));
    assert_eq!(f.is_whole(A, from).await, 5);
    assert_eq!(f.next_due(A).await.strftime("%H:%M").to_string(), "06:30");
    f.settle(&f.run_next(&term, A).await, Verdict::Succeeded).await;
    assert_eq!(f.is_whole(A, from).await, 6);
}

async fn a_removal_in_an_outage_accounts_for_the_job(f: &Fixture) {
    f.apply(&[hourly(A), every("acme/b", MINUTE)]).await;
    let from = f.now().await;
    f.advance(3 * HOUR).await;
    f.apply(&[]).await;
    assert_eq!(f.rows(A).await, [row(Cancelled, 3, "02:00", "04:00")]);
    assert!(f.reports().await[0].error.as_deref().unwrap().contains("removed"));
    assert_eq!(f.rows("acme/b").await, [], "a fixed delay has no due times that are known ahead");
    f.advance(3 * HOUR).await;
    assert_eq!(f.is_whole(A, from).await, 3, "nothing is expected of it any more");

    // What was not there was not due.
    let term = f.elect().await;
    f.apply(&[hourly(A)]).await;
    f.settle(&f.run_next(&term, A).await, Verdict::Succeeded).await;
    assert_eq!(f.rows(A).await.len(), 2);
    assert_eq!(f.is_whole(A, from).await, 4);
}

/// Due times that would not have run for another reason keep that reason.
async fn pauses_and_blackouts_of_the_old_schedule_are_told_apart(f: &Fixture) {
    let job = || hourly(A).blackout("02:30-04:30", OnBlackout::Skip);
    f.apply(&[job()]).await; // at 01:05
    let from = f.now().await;
    f.advance(4 * HOUR).await; // 05:05
    f.pause(A, None).await;
    f.advance(2 * HOUR).await; // 07:05
    f.resume(A).await;
    f.advance(HOUR).await; // 08:05
    f.apply(&[hourly(A)]).await;
    let rows = [
        row(Superseded, 1, "02:00", "02:00"),
        row(BlackedOut, 2, "03:00", "04:00"),
        row(Superseded, 1, "05:00", "05:00"),
        row(Paused, 2, "06:00", "07:00"),
        row(Superseded, 1, "08:00", "08:00"),
    ];
    assert_eq!(f.rows(A).await, rows);
    assert_eq!(f.is_whole(A, from).await, 7);
}

/// What was queued and due ends as superseded, what was queued ahead never was due.
async fn what_was_queued_is_superseded_once(f: &Fixture) {
    f.apply(&[hourly(A)]).await; // at 01:05
    let from = f.now().await;
    let term = f.elect().await;
    f.fan_out(&term, 4 * HOUR).await; // up to 05:00
    f.advance(2 * HOUR).await; // 03:05
    f.activate().await;
    f.apply(&[cron(A, "0,30 * * * *")]).await;
    assert_eq!(f.live(A).await, []);
    assert_eq!(f.rows(A).await, [row(Superseded, 1, "02:00", "02:00"), row(Superseded, 1, "03:00", "03:00")]);
    f.is_whole(A, from).await;
    f.advance_to(f.next_due(A).await).await; // 03:30
    f.fan_out(&term, HOUR).await;
    let live: Vec<_> =
        f.live(A).await.iter().rev().map(|run| run.scheduled_for.strftime("%H:%M").to_string()).collect();
    assert_eq!(live, ["03:30", "04:00", "04:30"], "what both have in common is due once, by the new one");
    f.advance(2 * HOUR).await;
    f.claim(10).await;
    f.fan_out(&term, Duration::ZERO).await;
    f.is_whole(A, from).await;
}

/// All instants of an apply are one: the old version ends where the new one begins, and up to there all is dealt with.
async fn an_edit_has_one_instant(f: &Fixture) {
    f.apply(&[hourly(A)]).await;
    let started = history(f).await;
    assert_eq!(started.accounted, started.versions[0].0.valid_from);
    f.advance(3 * HOUR).await;
    f.apply(&[cron(A, "* * * * * *")]).await;
    let edited = history(f).await;
    let (old, new) = (&edited.versions[0].0, &edited.versions[1].0);
    assert_eq!(old.valid_to, Some(new.valid_from));
    assert_eq!(edited.accounted, new.valid_from);
    let next_due = edited.next_due.unwrap();
    let wait = next_due.duration_since(new.valid_from);
    assert!(wait > SignedDuration::ZERO && wait <= SignedDuration::from_secs(1), "{wait}");
    assert_eq!(edited.reports.last().unwrap().finished_at.as_millisecond(), new.valid_from.as_millisecond());
    assert_eq!(edited.versions[1].1, cron(A, "* * * * * *").definition.to_json());
    assert!(edited.active);

    f.advance(MINUTE).await;
    f.apply(&[]).await;
    let removed = history(f).await;
    assert!(!removed.active && removed.next_due.is_none());
    assert!(removed.versions[1].0.valid_to.unwrap() >= new.valid_from + MINUTE);
}

/// A plan waits, for a person to say yes: it counts from when it is written.
async fn a_plan_counts_from_when_it_is_written(f: &Fixture) {
    let first = f.plan(&[hourly(A)]).await;
    let from = f.now().await;
    f.advance(10 * HOUR).await;
    f.store.apply(&first, None).await.unwrap();
    let due = f.next_due(A).await;
    assert!(due > f.now().await && due < f.now().await + HOUR);
    let edit = f.plan(&[cron(A, "30 * * * *")]).await;
    f.advance(10 * HOUR).await;
    assert!(matches!(f.store.apply(&edit, None).await.unwrap(), Applied::Done { .. }));
    assert_eq!(f.rows(A).await.iter().map(|row| (row.0, row.1)).collect::<Vec<_>>(), [(Superseded, 10)]);
    assert_eq!(f.is_whole(A, from).await, 10);
}

/// What is not about due times changes neither what is queued nor what is dealt with.
async fn an_edit_of_a_policy_moves_no_due_time(f: &Fixture) {
    f.apply(&[hourly(A)]).await;
    let from = f.now().await;
    let term = f.elect().await;
    f.fan_out(&term, 2 * HOUR).await;
    let (queued, before) = (f.live(A).await, history(f).await);
    let edited =
        hourly(A).catch_up_skip(MINUTE).expires(Expiry::Next).overlap(Overlap::BufferAll).buffer(1).pause_after(1);
    f.apply(std::slice::from_ref(&edited)).await;
    assert_eq!(f.live(A).await, queued);
    let after = history(f).await;
    assert_eq!((after.accounted, after.next_due, after.reports.len()), (before.accounted, before.next_due, 0));

    // And still it is in force: the buffer at the next claim, the row of deaths at the next death.
    f.advance_to(queued[1].scheduled_for).await;
    let held = f.claim(1).await;
    for _ in 0..3 {
        f.trigger(A).await;
    }
    f.claim(10).await;
    let waiting = f.live(A).await.iter().filter(|run| run.cause == leasehold_common::run::Cause::Trigger).count();
    assert_eq!(waiting, 1, "its buffer is in force");
    f.settle(&held, Verdict::Dead).await;
    assert!(f.job(A).await.paused.is_some(), "and so is its limit of deaths");
    f.is_whole(A, from).await;
}

/// An edit while a run is running leaves it alone, and a leader that planned before it writes nothing.
async fn a_launch_from_before_an_edit_is_left_out(f: &Fixture) {
    f.apply(&[hourly(A)]).await;
    let from = f.now().await;
    let term = f.elect().await;
    let held = f.run_next(&term, A).await;
    f.advance(3 * HOUR).await;
    let launches = f.launches(Duration::ZERO).await;
    f.apply(&[cron(A, "30 * * * *")]).await;
    let dispatched = f.store.dispatch(&term, &launches).await.unwrap();
    assert_eq!(dispatched, leasehold_common::store::Dispatched::Done(Default::default()));
    assert_eq!(f.rows(A).await, [row(Superseded, 3, "03:00", "05:00")], "each is told once");
    assert_eq!(f.state(held.only().id).await, RunState::Running);
    f.settle(&held, Verdict::Succeeded).await;
    assert_eq!(f.is_whole(A, from).await, 4);
}

/// A schedule of which the leader had written a part ahead, edited twice before any of it was due.
async fn edits_back_and_forth_fire_what_is_due_once(f: &Fixture) {
    f.apply(&[hourly(A)]).await; // at 01:05
    let from = f.now().await;
    let term = f.elect().await;
    f.fan_out(&term, 3 * HOUR).await;
    f.apply(&[cron(A, "*/30 * * * *")]).await;
    f.fan_out(&term, HOUR).await;
    f.apply(&[hourly(A)]).await;
    assert_eq!(f.rows(A).await, []);
    for _ in 0..3 {
        f.settle(&f.run_next(&term, A).await, Verdict::Succeeded).await;
    }
    let rows = ["02:00", "03:00", "04:00"].map(|at| row(Succeeded, 1, at, at));
    assert_eq!(f.rows(A).await, rows);
    f.is_whole(A, from).await;
}

/// Blackouts decide what is due as the schedule does; a defer may be queued from a due time of the past.
async fn an_edit_of_a_blackout_is_one_of_the_schedule(f: &Fixture) {
    f.apply(&[hourly(A)]).await; // at 01:05
    let from = f.now().await;
    let term = f.elect().await;
    f.fan_out(&term, 4 * HOUR).await;
    f.apply(&[hourly(A).blackout("01:30-04:30", OnBlackout::Defer)]).await;
    assert_eq!(f.live(A).await, []);
    f.advance_to(f.next_due(A).await).await; // 02:00
    assert_eq!(f.fan_out(&term, Duration::ZERO).await, (0, 0));
    f.advance_to(f.next_due(A).await).await; // 04:30
    f.fan_out(&term, Duration::ZERO).await;
    let run = f.live(A).await.remove(0);
    assert_eq!(run.scheduled_for.strftime("%H:%M").to_string(), "04:00");
    assert_eq!(f.rows(A).await, [row(BlackedOut, 2, "02:00", "03:00")]);
    f.settle(&f.claim(1).await, Verdict::Succeeded).await;
    f.advance_to(f.next_due(A).await + SignedDuration::from_mins(70)).await; // 06:10
    f.fan_out(&term, Duration::ZERO).await;
    assert_eq!(f.rows(A).await.last(), Some(&row(Misfired, 1, "05:00", "05:00")));
    f.claim(1).await;
    assert_eq!(f.is_whole(A, from).await, 5);
}

/// A catalog with a changed budget alone is an edit too, of nobody's jobs.
async fn an_edit_of_the_budget_moves_no_job(f: &Fixture) {
    f.apply(&[hourly(A)]).await;
    let before = f.job(A).await;
    let recovery = leasehold_common::catalog::Recovery { total: 7, per_tenant: 3 };
    f.apply_desired(&Desired { recovery, ..desired(&[hourly(A)]) }).await;
    assert_eq!(f.job(A).await, before);
}

both!(
    an_edit_in_an_outage_accounts_for_the_old_schedule,
    a_removal_in_an_outage_accounts_for_the_job,
    pauses_and_blackouts_of_the_old_schedule_are_told_apart,
    what_was_queued_is_superseded_once,
    an_edit_has_one_instant,
    a_plan_counts_from_when_it_is_written,
    an_edit_of_a_policy_moves_no_due_time,
    a_launch_from_before_an_edit_is_left_out,
    edits_back_and_forth_fire_what_is_due_once,
    an_edit_of_a_blackout_is_one_of_the_schedule,
    an_edit_of_the_budget_moves_no_job,
);
