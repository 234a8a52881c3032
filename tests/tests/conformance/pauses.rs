//! Pauses: who sets and ends them, and what becomes of due times meanwhile.

use std::time::Duration;

use jiff::SignedDuration;
use leasehold_common::run::{Outcome, RunState};
use leasehold_common::store::{Settled, Verdict};
use leasehold_tests::steps::{HOUR, Held, MINUTE, cron, every, hourly};
use leasehold_tests::stores::Fixture;

use Outcome::{Dead, Misfired, Paused, Succeeded};

fn row(outcome: Outcome, count: u32, first: &str, last: &str) -> (Outcome, u32, String, String) {
    (outcome, count, first.to_owned(), last.to_owned())
}

async fn a_pause_is_seen(f: &Fixture) {
    f.apply(&[hourly("acme/a"), hourly("acme/b")]).await;
    let before = f.now().await;
    assert!(f.pause("acme/a", None).await);
    let job = f.job("acme/a").await;
    let pause = job.paused.unwrap();
    assert!(pause.since >= before && pause.since <= f.now().await);
    assert_eq!((pause.reason.as_str(), pause.until, job.next_due), ("maintenance", None, None));
    assert_eq!(f.job("acme/b").await.paused, None);
    assert_eq!(f.store.status().await.unwrap().catalog.paused, 1);

    // The first word stands, until it is over.
    let until = f.now().await + HOUR;
    assert!(!f.pause("acme/a", Some(until)).await);
    assert_eq!(f.job("acme/a").await.paused.unwrap().until, None);
    assert!(f.resume("acme/a").await);
    assert!(!f.resume("acme/a").await);
    assert_eq!(f.job("acme/a").await.paused, None);
    assert!(f.pause("acme/a", Some(until)).await);
    assert_eq!(f.job("acme/a").await.paused.unwrap().until, Some(until));
    f.advance(HOUR).await;
    assert_eq!(f.job("acme/a").await.paused, None, "it is over");
    assert!(!f.resume("acme/a").await);
    assert_eq!(f.store.status().await.unwrap().catalog.paused, 0);
}

async fn only_active_jobs_are_paused(f: &Fixture) {
    f.apply(&[hourly("acme/a"), hourly("acme/b")]).await;
    let keys = [f.key("acme/a").await, f.key("acme/b").await, leasehold_common::id::JobKey::from_i64(42)];
    f.apply(&[hourly("acme/a")]).await;
    assert_eq!(f.store.pause(&keys, "why", None).await.unwrap(), 1);
    assert_eq!(f.store.resume(&keys).await.unwrap(), 1);
    assert_eq!(f.store.pause(&[], "why", None).await.unwrap(), 0);
    assert_eq!(f.store.resume(&[]).await.unwrap(), 0);
}

async fn what_is_due_in_a_pause_is_one_row_when_it_ends(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let from = f.now().await;
    let term = f.elect().await;
    f.pause("acme/a", None).await;
    f.advance(100 * HOUR).await;
    assert_eq!(f.launches(HOUR).await, [], "it costs nothing");
    f.is_whole("acme/a", from).await;
    f.resume("acme/a").await;
    let fanned = f.fan_out_all(&term, Duration::ZERO).await;
    assert_eq!((fanned.items, fanned.paused, fanned.misfired), (0, 100, 0));
    let report = f.reports().await.remove(0);
    assert_eq!((report.outcome, report.count, report.attempt), (Paused, 100, 0));
    assert_eq!(report.scheduled_for.duration_since(report.scheduled_from.unwrap()).as_hours(), 99);
    assert!(report.error.unwrap().contains("paused"));
    let held = f.run_next(&term, "acme/a").await;
    f.settle(&held, Verdict::Succeeded).await;
    assert_eq!(f.is_whole("acme/a", from).await, 101);
}

async fn a_pause_ends_by_itself_when_it_was_said_so(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await; // at 01:05
    let from = f.now().await;
    let term = f.elect().await;
    let until = f.next_due("acme/a").await + SignedDuration::from_hours(3); // 05:00
    f.pause("acme/a", Some(until)).await;
    assert_eq!(f.next_due("acme/a").await, until);
    f.advance_to(until - SignedDuration::from_mins(10)).await;
    assert_eq!(f.fan_out(&term, MINUTE).await, (0, 0));
    f.advance_to(until - SignedDuration::from_secs(10)).await;
    let fanned = f.fan_out_all(&term, MINUTE).await; // within the look-ahead
    assert_eq!((fanned.items, fanned.paused), (1, 3));
    assert_eq!(f.rows("acme/a").await, [row(Paused, 3, "02:00", "04:00")]);
    assert_eq!(f.live("acme/a").await[0].scheduled_for, until, "the end is not in it");
    f.advance_to(until).await;
    f.settle(&f.claim(1).await, Verdict::Succeeded).await;
    f.is_whole("acme/a", from).await;
}

/// What was fanned out before: the claim looks at the pause.
async fn what_is_queued_already_does_not_start_in_a_pause(f: &Fixture) {
    f.apply(&[hourly("acme/a"), hourly("acme/b")]).await;
    let from = f.now().await;
    let term = f.elect().await;
    f.fan_out(&term, 3 * HOUR).await;
    f.advance(HOUR).await;
    f.activate().await;
    f.pause("acme/a", None).await;
    let held = f.claim(10).await;
    assert_eq!((held.jobs(), held.claimed.dismissed), (vec!["b"], 1));
    f.advance(HOUR).await;
    assert_eq!(f.claim(10).await.claimed.dismissed, 2, "the other job overlaps");
    assert_eq!(f.outcomes("acme/a").await, [Paused, Paused]);
    let report = &f.reports().await[0];
    assert_eq!((report.attempt, report.count), (0, 1));
    assert!(report.error.as_deref().unwrap().contains("paused"));

    // The third comes when the pause is over.
    f.resume("acme/a").await;
    f.fan_out(&term, Duration::ZERO).await;
    f.advance(HOUR).await;
    assert_eq!(f.claim(10).await.jobs(), ["a"]);
    f.fan_out(&term, Duration::ZERO).await;
    f.is_whole("acme/a", from).await;
}

async fn a_pause_that_is_over_before_anything_is_due_changes_nothing(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let from = f.now().await;
    let term = f.elect().await;
    let due = f.next_due("acme/a").await;
    f.fan_out(&term, HOUR).await;
    f.pause("acme/a", None).await;
    f.advance(MINUTE).await;
    f.resume("acme/a").await;
    assert_eq!(f.fan_out(&term, Duration::ZERO).await, (0, 0));
    f.advance_to(due).await;
    assert_eq!(f.claim(10).await.only().scheduled_for, due);
    f.is_whole("acme/a", from).await;
}

/// What was missed before the pause is not paused.
async fn an_outage_before_a_pause_is_told_apart(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await; // at 01:05
    let from = f.now().await;
    let term = f.elect().await;
    f.advance(3 * HOUR).await; // 04:05
    f.pause("acme/a", None).await;
    f.advance(2 * HOUR).await; // 06:05
    f.resume("acme/a").await;
    f.advance(2 * HOUR).await; // 08:05
    f.fan_out(&term, Duration::ZERO).await;
    let rows =
        [row(Misfired, 3, "02:00", "04:00"), row(Paused, 2, "05:00", "06:00"), row(Misfired, 1, "07:00", "07:00")];
    assert_eq!(f.rows("acme/a").await, rows);
    f.settle(&f.claim(1).await, Verdict::Succeeded).await;
    assert_eq!(f.is_whole("acme/a", from).await, 7);
}

/// Before the leader came to account for the first one.
async fn two_pauses_in_a_row_leave_no_gap(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let from = f.now().await;
    let term = f.elect().await;
    for round in 0..2 {
        f.pause("acme/a", None).await;
        f.advance(3 * HOUR).await;
        f.resume("acme/a").await;
        if round == 1 {
            f.fan_out(&term, Duration::ZERO).await;
        }
        f.advance(HOUR).await;
    }
    f.fan_out(&term, Duration::ZERO).await;
    f.claim(10).await;
    assert_eq!(f.ledger("acme/a", from).await.missing, 0);
}

async fn what_has_started_goes_on_in_a_pause(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let term = f.elect().await;
    let held = f.run_next(&term, "acme/a").await;
    f.pause("acme/a", None).await;
    f.settle(&held, Verdict::Retry(MINUTE)).await;
    f.advance(MINUTE).await;
    let again = f.claim(1).await;
    assert_eq!((again.only().id, again.only().attempt), (held.only().id, 2));
    f.advance(2 * MINUTE).await;
    assert_eq!(f.rescue(&term).await, (1, 0));
    let again = f.claim(1).await;
    assert_eq!(f.settle(&again, Verdict::Succeeded).await, [Settled::Recorded]);
}

async fn a_trigger_runs_in_a_pause(f: &Fixture) {
    f.apply(&[hourly("acme/a"), every("acme/b", HOUR)]).await;
    for at in ["acme/a", "acme/b"] {
        f.pause(at, None).await;
        let id = f.trigger(at).await;
        let held = f.claim(1).await;
        assert_eq!(held.ids(), [id]);
        f.settle(&held, Verdict::Succeeded).await;
        assert_eq!(f.job(at).await.next_due, None);
    }
}

/// A pause is no reason to run sooner: the interval since the last run holds.
async fn a_pause_that_is_shorter_than_the_interval_hurries_nothing(f: &Fixture) {
    let term = f.elect().await;
    let jobs: Vec<_> = (0..10).map(|n| every(&format!("acme/j{n}"), 24 * HOUR)).collect();
    f.apply(&jobs).await;
    f.advance(24 * HOUR).await;
    f.fan_out(&term, Duration::ZERO).await;
    let end = f.now().await;
    assert_eq!(f.run_all().await.len(), 10);
    f.advance(HOUR).await;
    for job in &jobs {
        let at = format!("acme/{}", job.path.1);
        f.pause(&at, None).await;
        f.advance(MINUTE).await;
        f.resume(&at).await;
        f.fan_out(&term, Duration::ZERO).await;
        let due = f.next_due(&at).await;
        assert!(due >= end + 24 * HOUR, "{at}: {due}, although it ran at {end}");
    }
}

/// An edit of a job that is paused: it stays so, and its old schedule is accounted for.
async fn an_edit_leaves_the_pause_alone(f: &Fixture) {
    f.apply(&[hourly("acme/open"), hourly("acme/ends"), hourly("acme/other")]).await; // at 01:05
    let from = f.now().await;
    let term = f.elect().await;
    let until = f.now().await + 5 * HOUR;
    for at in ["acme/open", "acme/other"] {
        f.pause(at, None).await;
    }
    f.pause("acme/ends", Some(until)).await;
    f.advance(2 * HOUR).await; // 03:05
    let half = |at: &str| cron(at, "30 * * * *");
    f.apply(&[half("acme/open"), half("acme/ends"), hourly("acme/other").timeout(HOUR)]).await;
    for (at, next_due) in [("acme/open", None), ("acme/ends", Some(until)), ("acme/other", None)] {
        let job = f.job(at).await;
        assert_eq!((job.next_due, job.paused.is_some()), (next_due, true), "{at}");
        f.is_whole(at, from).await;
    }
    f.advance_to(until).await; // 06:05
    for at in ["acme/open", "acme/other"] {
        f.resume(at).await;
    }
    f.fan_out(&term, Duration::ZERO).await;
    let edited = [row(Paused, 2, "02:00", "03:00"), row(Paused, 3, "03:30", "05:30")];
    assert_eq!(f.rows("acme/open").await, edited);
    assert_eq!(f.rows("acme/ends").await, edited);
    assert_eq!(f.rows("acme/other").await, [row(Paused, 5, "02:00", "06:00")]);
    for at in ["acme/open", "acme/ends", "acme/other"] {
        assert_eq!(f.is_whole(at, from).await, 5, "{at}");
    }
}

async fn a_job_that_comes_back_is_not_paused(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    f.pause("acme/a", None).await;
    f.apply(&[]).await;
    f.apply(&[hourly("acme/a")]).await;
    let job = f.job("acme/a").await;
    assert!(job.paused.is_none() && job.next_due.is_some());
}

/// The next scheduled run, which ends like this.
async fn next_ends(f: &Fixture, term: &leasehold_common::lease::Term, verdict: Verdict) -> Held {
    let held = f.run_next(term, "acme/a").await;
    f.settle(&held, verdict).await;
    held
}

async fn paused(f: &Fixture) -> bool {
    f.job("acme/a").await.paused.is_some()
}

async fn dead_runs_in_a_row_pause_a_job(f: &Fixture) {
    f.apply(&[hourly("acme/a").pause_after(3), hourly("acme/b")]).await;
    let term = f.elect().await;
    // A success in between, and what is no run, do not make a row.
    for verdict in [Verdict::Dead, Verdict::Dead, Verdict::Succeeded, Verdict::Dead, Verdict::Dead] {
        f.advance_to(f.next_due("acme/a").await).await;
        f.fan_out(&term, Duration::ZERO).await;
        let held = f.claim(10).await;
        for (index, job) in held.jobs().into_iter().enumerate() {
            let verdict = if job == "a" { verdict } else { Verdict::Dead };
            f.settle_one(held.report(index, verdict)).await;
        }
        f.trigger("acme/a").await;
        f.settle(&f.claim(10).await, Verdict::Dead).await; // nor a run that somebody asked for
        assert!(!paused(f).await);
    }
    f.advance_to(f.next_due("acme/a").await).await;
    f.fan_out(&term, Duration::ZERO).await;
    f.settle(&f.claim(10).await, Verdict::Dead).await;
    let pause = f.job("acme/a").await.paused.unwrap();
    assert_eq!((pause.until, pause.reason.as_str()), (None, "paused itself after 3 dead runs in a row"));
    assert_eq!(f.job("acme/a").await.next_due, None);
    assert_eq!(f.job("acme/b").await.paused, None);
    f.advance(HOUR).await;
    f.fan_out(&term, Duration::ZERO).await;
    assert_eq!(f.claim(10).await.jobs(), ["b"]);
}

async fn dead_runs_count_from_the_resume(f: &Fixture) {
    f.apply(&[hourly("acme/a").pause_after(2)]).await;
    let term = f.elect().await;
    next_ends(f, &term, Verdict::Dead).await;
    next_ends(f, &term, Verdict::Dead).await;
    for _ in 0..2 {
        assert!(paused(f).await);
        f.advance(3 * HOUR).await;
        f.resume("acme/a").await;
        f.fan_out(&term, Duration::ZERO).await;
        next_ends(f, &term, Verdict::Dead).await;
        assert!(!paused(f).await, "one after the resume");
        next_ends(f, &term, Verdict::Dead).await;
    }
    assert!(paused(f).await);
}

/// A job that pauses itself is an interval job, or one whose executors die.
async fn crashes_and_intervals_pause_a_job_too(f: &Fixture) {
    let term = f.elect().await;
    f.apply(&[every("acme/a", MINUTE).attempts(1).pause_after(2)]).await;
    for _ in 0..2 {
        assert!(!paused(f).await);
        f.run_next(&term, "acme/a").await;
        f.advance(2 * MINUTE).await;
        assert_eq!(f.rescue(&term).await, (0, 1));
    }
    assert!(paused(f).await);
    assert_eq!(f.job("acme/a").await.next_due, None);
    assert_eq!(f.store.status().await.unwrap().catalog.stalled_interval_jobs, 0);
    f.resume("acme/a").await;
    f.fan_out(&term, Duration::ZERO).await;
    assert_eq!(f.run_next(&term, "acme/a").await.items().len(), 1);
}

/// Its run ended dead long after, when somebody had paused it for a reason of their own.
async fn a_pause_of_somebody_keeps_its_reason(f: &Fixture) {
    f.apply(&[hourly("acme/a").pause_after(1)]).await;
    let term = f.elect().await;
    let held = f.run_next(&term, "acme/a").await;
    let until = f.now().await + HOUR;
    f.pause("acme/a", Some(until)).await;
    f.settle(&held, Verdict::Dead).await;
    let pause = f.job("acme/a").await.paused.unwrap();
    assert_eq!((pause.reason.as_str(), pause.until), ("maintenance", Some(until)));
}

/// Of a pause, and of what it was, only the claim and the leader decide: nothing is lost when both come late.
async fn a_pause_between_fan_out_and_claim_is_told_once(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let from = f.now().await;
    let term = f.elect().await;
    f.fan_out(&term, 2 * HOUR).await; // 02:00 and 03:00
    f.pause("acme/a", None).await;
    f.advance(4 * HOUR).await; // 05:05
    f.resume("acme/a").await;
    f.fan_out(&term, Duration::ZERO).await; // 04:00 and 05:00 were paused
    assert_eq!(f.rows("acme/a").await, [row(Paused, 2, "04:00", "05:00")]);
    let held = f.claim(10).await; // nobody claimed in time: the latest of what is queued runs
    assert_eq!((held.items().len(), held.claimed.dismissed), (1, 1));
    f.settle(&held, Verdict::Succeeded).await;
    assert_eq!(f.outcomes("acme/a").await, [Paused, Misfired, Succeeded]);
    assert_eq!(f.is_whole("acme/a", from).await, 4);
    assert_eq!(f.state(held.only().id).await, RunState::Ended);
    assert!(!f.outcomes("acme/a").await.contains(&Dead));
}

both!(
    a_pause_is_seen,
    only_active_jobs_are_paused,
    what_is_due_in_a_pause_is_one_row_when_it_ends,
    a_pause_ends_by_itself_when_it_was_said_so,
    what_is_queued_already_does_not_start_in_a_pause,
    a_pause_that_is_over_before_anything_is_due_changes_nothing,
    an_outage_before_a_pause_is_told_apart,
    two_pauses_in_a_row_leave_no_gap,
    what_has_started_goes_on_in_a_pause,
    a_trigger_runs_in_a_pause,
    a_pause_that_is_shorter_than_the_interval_hurries_nothing,
    an_edit_leaves_the_pause_alone,
    a_job_that_comes_back_is_not_paused,
    dead_runs_in_a_row_pause_a_job,
    dead_runs_count_from_the_resume,
    crashes_and_intervals_pause_a_job_too,
    a_pause_of_somebody_keeps_its_reason,
    a_pause_between_fan_out_and_claim_is_told_once,
);

// What only concurrent writers can show.

/// A run ends while its job is resumed: the resume waits, and then knows that nobody else will set the next due time.
async fn a_resume_waits_for_an_end_in_flight(f: &Fixture) {
    use sqlx::Executor as _;
    f.apply(&[every("acme/a", MINUTE)]).await;
    let term = f.elect().await;
    f.run_next(&term, "acme/a").await;
    f.pause("acme/a", None).await;
    // What a settle of it writes, held open.
    let mut settle = f.pg().await;
    settle.execute("BEGIN; DELETE FROM running").await.unwrap();
    let (store, key) = (f.store.clone(), f.key("acme/a").await);
    let resume = tokio::spawn(async move { store.resume(&[key]).await.unwrap() });
    f.waits(&resume).await;
    settle.execute("COMMIT").await.unwrap();
    assert_eq!(resume.await.unwrap(), 1);
    f.next_due("acme/a").await;
    assert_eq!(f.store.status().await.unwrap().catalog.stalled_interval_jobs, 0);
}

postgres!(a_resume_waits_for_an_end_in_flight);
