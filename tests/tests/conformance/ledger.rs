//! Nothing disappears: every due time has its record, and one that is lost shows (invariant I10).

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use leasehold_common::definition::{Expiry, OnBlackout, Overlap};
use leasehold_common::lease::Term;
use leasehold_common::ledger::{Basis, Standing};
use leasehold_common::run::{Cause, Outcome, Report};
use leasehold_common::store::{Pruned, Verdict};
use leasehold_tests::steps::{HOUR, Job, MINUTE, cron, every, hourly};
use leasehold_tests::stores::Fixture;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use Outcome::{BlackedOut, Cancelled, Dead, Expired, Misfired, Overlapped, Paused, Succeeded, Superseded};

const A: &str = "acme/a";

fn schema(f: &Fixture) -> &'static str {
    if f.is_postgres() { "leasehold." } else { "" }
}

fn eventful(expr: &str) -> [Job; 1] {
    let job = cron(A, expr).blackout("12:00-15:00", OnBlackout::Skip).expires(Expiry::After(30 * MINUTE));
    [job.attempts(1)]
}

/// All that can become of a due time, in the order of the day from 01:05 on. The job is removed in the end.
async fn eventful_day(f: &Fixture, term: &Term) {
    let midnight = f.now().await - SignedDuration::from_mins(65);
    let midnight = Timestamp::from_second(midnight.as_second()).unwrap();
    let at = |hour: i64, minute: i64| f.advance_to(midnight + SignedDuration::from_mins(60 * hour + minute));
    f.apply(&eventful("0 * * * *")).await;
    for verdict in [Verdict::Succeeded, Verdict::Dead] {
        f.settle(&f.run_next(term, A).await, verdict).await; // 02:00, 03:00
    }
    f.trigger(A).await;
    let running = f.claim(1).await;
    at(4, 0).await;
    f.fan_out(term, Duration::ZERO).await;
    f.claim(1).await; // 04:00 overlaps
    f.settle(&running, Verdict::Succeeded).await;
    f.fan_out(term, HOUR).await;
    at(5, 40).await;
    f.claim(1).await; // 05:00 has expired
    at(8, 10).await;
    f.fan_out(term, Duration::ZERO).await; // 06:00 and 07:00 have misfired
    f.cancel(f.live(A).await[0].correlation_id).await; // 08:00
    f.pause(A, None).await;
    at(10, 30).await;
    f.resume(A).await;
    f.fan_out(term, Duration::ZERO).await; // 09:00 and 10:00 were paused
    f.run_next(term, A).await; // 11:00
    f.advance(2 * MINUTE).await;
    assert_eq!(f.rescue(term).await, (0, 1));
    at(12, 0).await;
    f.fan_out(term, Duration::ZERO).await;
    f.settle(&f.run_next(term, A).await, Verdict::Succeeded).await; // 15:00, after the blackout
    at(17, 10).await;
    f.apply(&eventful("30 * * * *")).await; // 16:00 and 17:00 are superseded
    f.settle(&f.run_next(term, A).await, Verdict::Succeeded).await; // 17:30
    f.fan_out(term, 3 * HOUR).await;
    at(21, 10).await;
    f.sweep(term).await; // 18:30 to 20:30 have expired
    f.fan_out(term, 30 * MINUTE).await;
    f.pause(A, None).await;
    at(21, 40).await;
    f.claim(1).await; // 21:30 is paused
    f.resume(A).await;
    f.fan_out(term, Duration::ZERO).await;
    at(22, 40).await;
    f.apply(&[]).await; // 22:30 goes with its job
}

async fn an_eventful_day_is_whole(f: &Fixture) {
    let from = f.now().await;
    let term = f.elect().await;
    eventful_day(f, &term).await;
    let row = |outcome, count, first: &str, last: &str| (outcome, count, first.to_owned(), last.to_owned());
    let one = |outcome, at: &str| row(outcome, 1, at, at);
    let expected = [
        one(Succeeded, "02:00"),
        one(Dead, "03:00"),
        one(Overlapped, "04:00"),
        one(Expired, "05:00"),
        row(Misfired, 2, "06:00", "07:00"),
        one(Cancelled, "08:00"),
        row(Paused, 2, "09:00", "10:00"),
        one(Dead, "11:00"),
        row(BlackedOut, 3, "12:00", "14:00"),
        one(Succeeded, "15:00"),
        row(Superseded, 2, "16:00", "17:00"),
        one(Succeeded, "17:30"),
        row(Expired, 3, "18:30", "20:30"),
        one(Paused, "21:30"),
        one(Cancelled, "22:30"),
    ];
    assert_eq!(f.rows(A).await, expected);
    assert_eq!(f.is_whole(A, from).await, 22);
    let entries: Vec<_> = f.ledger(A, from).await.entries.iter().map(|entry| (entry.outcome, entry.count)).collect();
    assert_eq!(entries, expected.map(|(outcome, count, ..)| (Standing::Ended(outcome), u64::from(count))));
}

/// What was expected is never read from what is recorded.
async fn every_report_that_is_lost_is_missing(f: &Fixture) {
    let from = f.now().await;
    let term = f.elect().await;
    eventful_day(f, &term).await;
    let schema = schema(f);
    f.execute(&format!("CREATE TABLE {schema}kept AS SELECT * FROM {schema}report")).await;
    let reports: Vec<Report> =
        f.reports().await.into_iter().filter(|r| r.cause == Cause::Schedule && r.outcome.is_terminal()).collect();
    assert_eq!(reports.len(), 15);
    for report in reports {
        f.execute(&format!("DELETE FROM {schema}report WHERE seq = {}", report.seq)).await;
        let ledger = f.ledger(A, from).await;
        assert_eq!(ledger.missing, u64::from(report.count), "{report:?}");
        let first = report.scheduled_from.unwrap_or(report.scheduled_for);
        let named = &ledger.missing_times;
        assert_eq!((named.first(), named.last()), (Some(&first), Some(&report.scheduled_for)));
        assert!(!ledger.is_whole());
        f.execute(&format!("INSERT INTO {schema}report SELECT * FROM {schema}kept WHERE seq = {}", report.seq)).await;
    }
    f.is_whole(A, from).await;
}

/// A run that is not over accounts for its due time, wherever it is.
async fn a_run_that_vanishes_is_missing(f: &Fixture) {
    f.apply(&[hourly("acme/ahead"), hourly("acme/ready"), hourly("acme/running"), hourly("acme/retry")]).await;
    let from = f.now().await;
    let term = f.elect().await;
    f.advance_to(f.next_due("acme/ahead").await).await;
    f.fan_out(&term, Duration::ZERO).await;
    f.activate().await;
    let held = f.claim_from(&["default"], 4).await;
    for (index, job) in held.jobs().into_iter().enumerate() {
        if job != "running" {
            let wait = if job == "ready" { Duration::ZERO } else { HOUR };
            f.settle_one(held.report(index, Verdict::Retry(wait))).await;
        }
    }
    f.activate().await;
    f.advance(Duration::from_secs(1)).await;
    for (at, tables) in [
        ("acme/ahead", &["ahead", "running"][..]),
        ("acme/ready", &["ready", "running"]),
        ("acme/running", &["running"]),
        ("acme/retry", &["running", "ahead"]),
    ] {
        assert_eq!(f.is_whole(at, from).await, 1, "{at}");
        let key = f.key(at).await.as_i64();
        for table in tables {
            f.execute(&format!("DELETE FROM {}{table} WHERE job_key = {key}", schema(f))).await;
        }
        assert_eq!(f.ledger(at, from).await.missing, 1, "{at}");
    }
}

async fn what_the_leader_has_not_come_to_is_pending(f: &Fixture) {
    f.apply(&[hourly(A)]).await;
    let from = f.now().await;
    let term = f.elect().await;
    f.advance(3 * HOUR).await;
    let ledger = f.ledger(A, from).await;
    assert_eq!((ledger.expected, ledger.pending, ledger.missing), (3, 3, 0));
    f.fan_out(&term, Duration::ZERO).await;
    let ledger = f.ledger(A, from).await;
    assert_eq!((ledger.expected, ledger.accounted, ledger.pending, ledger.missing), (3, 3, 0, 0));
}

/// The watermark says where the leader goes on: what lies before it is not pending, whatever is recorded of it.
async fn a_watermark_that_runs_ahead_leaves_a_hole(f: &Fixture) {
    f.apply(&[hourly(A)]).await;
    let from = f.now().await;
    let term = f.elect().await;
    let due = f.next_due(A).await + SignedDuration::from_hours(2);
    let (schema, due) = (schema(f), due.as_microsecond());
    f.execute(&format!("UPDATE {schema}job SET next_due = {due}, accounted = {due} - 1")).await;
    f.advance(3 * HOUR).await;
    f.fan_out(&term, Duration::ZERO).await;
    assert_eq!(f.ledger(A, from).await.missing, 2);
}

async fn what_was_pruned_is_not_missing(f: &Fixture) {
    f.apply(&[hourly(A)]).await;
    let from = f.now().await;
    let term = f.elect().await;
    for _ in 0..3 {
        f.settle(&f.run_next(&term, A).await, Verdict::Succeeded).await;
    }
    f.advance(MINUTE).await;
    let pruned = f.store.prune(&term, 90 * MINUTE, 100).await.unwrap();
    assert_eq!(pruned, Pruned::Done { reports: 1 });
    let ledger = f.ledger(A, from).await;
    assert_eq!((ledger.missing, ledger.expected), (0, 2));
    assert!(ledger.clamped_from.is_some_and(|clamped| clamped > from));
    // What is younger is.
    f.execute(&format!("DELETE FROM {}report", schema(f))).await;
    assert_eq!(f.ledger(A, from).await.missing, 2);
}

async fn the_due_times_of_a_fixed_delay_follow_from_its_runs(f: &Fixture) {
    f.apply(&[every(A, HOUR)]).await;
    let from = f.now().await;
    let term = f.elect().await;
    for _ in 0..3 {
        f.settle(&f.run_next(&term, A).await, Verdict::Succeeded).await;
    }
    let ledger = f.ledger(A, from).await;
    assert_eq!((ledger.basis, ledger.expected, ledger.missing), (Basis::Completions, 3, 0));
    f.execute(&format!("UPDATE {}job SET next_due = NULL", schema(f))).await;
    f.advance(2 * HOUR).await;
    assert_eq!(f.ledger(A, from).await.missing, 1, "nothing will set its next due time");
}

async fn a_job_that_never_was_has_no_history(f: &Fixture) {
    f.apply(&[hourly(A)]).await;
    let (tenant, job) = leasehold_tests::steps::path("acme/never");
    let now = f.now().await;
    assert_eq!(f.store.history(&tenant, &job, now - HOUR, now).await.unwrap(), None);
}

/// A job with policies by chance.
fn any_job(random: &mut StdRng, n: usize) -> Job {
    let exprs = ["* * * * *", "*/7 * * * *", "0 * * * *", "*/20 * * * * *", "30 */3 * * *"];
    let overlaps = [Overlap::Skip, Overlap::Allow, Overlap::BufferOne, Overlap::BufferAll, Overlap::CancelPrevious];
    let mut job = cron(&format!("t{}/j{n}", n % 3), exprs[random.random_range(0..exprs.len())])
        .overlap(overlaps[random.random_range(0..overlaps.len())])
        .buffer(random.random_range(1..4))
        .attempts(random.random_range(1..3))
        .priority(random.random_range(-1..2));
    match random.random_range(0..3) {
        0 => job = job.catch_up_all(),
        1 => job = job.catch_up_skip(MINUTE * random.random_range(1..30)),
        _ => {}
    }
    match random.random_range(0..4) {
        0 => job = job.expires(Expiry::After(MINUTE * random.random_range(1..60))),
        1 => job = job.expires(Expiry::Next),
        _ => {}
    }
    match random.random_range(0..4) {
        0 => job = job.blackout("02:10-04:20", OnBlackout::Skip),
        1 => job = job.blackout("03:00-03:30", OnBlackout::Defer),
        _ => {}
    }
    if random.random_bool(0.2) {
        job = job.pause_after(2);
    }
    if random.random_bool(0.1) {
        job = job.max_runs(random.random_range(1..40));
    }
    job
}

/// One thing that happens to the fleet.
async fn happen(f: &Fixture, term: &Term, random: &mut StdRng, jobs: &mut [Job]) {
    let n = random.random_range(0..jobs.len());
    let at = format!("{}/{}", jobs[n].path.0, jobs[n].path.1);
    match random.random_range(0..20) {
        0..=3 => f.advance(Duration::from_secs(random.random_range(1..240))).await,
        4 => f.advance(MINUTE * random.random_range(5..90)).await,
        5..=8 => drop(f.fan_out(term, Duration::from_secs(random.random_range(0..900))).await),
        9..=13 => {
            let held = f.claim(random.random_range(1..20)).await;
            for index in 0..held.items().len() {
                let verdict = match random.random_range(0..8) {
                    0 => Verdict::Dead,
                    1 => Verdict::Retry(Duration::from_secs(random.random_range(0..300))),
                    2 => Verdict::Released,
                    3 => continue, // its executor dies
                    4 => Verdict::Cancelled,
                    _ => Verdict::Succeeded,
                };
                f.settle_one(held.report(index, verdict)).await;
            }
        }
        14 => drop(f.rescue(term).await),
        15 => drop(f.sweep(term).await),
        16 => {
            let until = f.now().await + MINUTE * random.random_range(1..120);
            f.pause(&at, random.random_bool(0.5).then_some(until)).await;
        }
        17 => drop(f.resume(&at).await),
        18 => {
            jobs[n] = any_job(random, n);
            f.apply(jobs).await;
        }
        _ => match f.live(&at).await.first() {
            Some(run) if random.random_bool(0.5) => drop(f.cancel(run.correlation_id).await),
            _ => drop(f.trigger(&at).await),
        },
    }
}

/// Whatever happens, in whatever order.
async fn whatever_happens_nothing_is_missing(f: &Fixture) {
    const STEPS: usize = 250;
    let term = f.elect().await;
    for seed in 0..4 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut jobs: Vec<_> = (0..6).map(|n| any_job(&mut random, n)).collect();
        f.apply(&jobs).await;
        let from = f.now().await;
        for step in 0..STEPS {
            happen(f, &term, &mut random, &mut jobs).await;
            if step % 50 == 49 {
                f.fan_out(&term, Duration::ZERO).await;
                for job in &jobs {
                    let at = format!("{}/{}", job.path.0, job.path.1);
                    let ledger = f.ledger(&at, from).await;
                    assert_eq!(ledger.missing, 0, "seed {seed}, step {step}, {at}: {ledger:#?}");
                    assert!(ledger.unreadable.is_empty() && ledger.truncated_at.is_none());
                }
            }
        }
        f.apply(&[]).await;
    }
}

both!(
    an_eventful_day_is_whole,
    every_report_that_is_lost_is_missing,
    a_run_that_vanishes_is_missing,
    what_the_leader_has_not_come_to_is_pending,
    a_watermark_that_runs_ahead_leaves_a_hole,
    what_was_pruned_is_not_missing,
    the_due_times_of_a_fixed_delay_follow_from_its_runs,
    a_job_that_never_was_has_no_history,
    whatever_happens_nothing_is_missing,
);
