//! What is due, and its fan-out (invariants I1, I2 and I13).

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use leasehold_common::id::{CorrelationId, RunKind};
use leasehold_common::run::{Cause, Outcome, RunState};
use leasehold_common::store::{Dispatched, DueSet, Fanned, Item, LATE, Launch, Skipped};
use leasehold_tests::steps::{HOUR, MINUTE, cron, every, hourly};
use leasehold_tests::stores::Fixture;

const LATER: SignedDuration = SignedDuration::from_hours(1);

fn done(jobs: u64, items: u64) -> Dispatched {
    Dispatched::Done(Fanned { jobs, items, ..Fanned::default() })
}

async fn due_jobs_come_in_order_and_no_more_than_asked_for(f: &Fixture) {
    f.apply(&[cron("acme/c", "30 * * * *"), cron("acme/a", "10 * * * *"), cron("globex/b", "20 * * * *")]).await;
    let batch = f.store.due(DueSet::OnTime, HOUR, 10).await.unwrap();
    let minutes: Vec<_> = batch.jobs.iter().map(|job| job.next_due.strftime("%M").to_string()).collect();
    assert_eq!(minutes, ["10", "20", "30"]);
    assert_eq!(batch.next_in, None);
    let job = f.store.snapshot().await.unwrap().jobs.into_iter().find(|job| job.name.as_str() == "a").unwrap();
    assert_eq!((batch.jobs[0].key, batch.jobs[0].version), (job.key, 1));
    assert_eq!(batch.jobs[0].definition, job.definition);

    let batch = f.store.due(DueSet::OnTime, HOUR, 2).await.unwrap();
    assert_eq!(batch.jobs.len(), 2);
    assert_eq!(batch.next_in, Some(Duration::ZERO), "a full batch: look again at once");
}

async fn only_what_is_within_the_horizon_is_due(f: &Fixture) {
    f.apply(&[cron("acme/a", "10 * * * *"), cron("acme/b", "20 * * * *")]).await;
    f.advance_to(f.next_due("acme/a").await - SignedDuration::from_mins(2)).await;
    assert_eq!(f.store.due(DueSet::OnTime, MINUTE, 10).await.unwrap().jobs.len(), 0);
    assert_eq!(f.store.due(DueSet::OnTime, 2 * MINUTE, 10).await.unwrap().jobs.len(), 1);
}

async fn next_in_tells_when_the_next_job_comes_within_the_horizon(f: &Fixture) {
    assert_eq!(f.store.due(DueSet::OnTime, HOUR, 10).await.unwrap().next_in, None, "an empty catalog");
    f.apply(&[cron("acme/a", "10 * * * *"), cron("acme/b", "20 * * * *")]).await;
    let (a, b) = (f.next_due("acme/a").await, f.next_due("acme/b").await);
    let exact = |batch: &leasehold_common::store::DueBatch, due: Timestamp, within: Duration| {
        let due_in = due.as_microsecond() - batch.now.as_microsecond();
        assert_eq!(batch.next_in, Some(Duration::from_micros(due_in.unsigned_abs()) - within));
    };
    let batch = f.store.due(DueSet::OnTime, MINUTE, 10).await.unwrap();
    assert!(batch.jobs.is_empty());
    exact(&batch, a, MINUTE);
    let batch = f.store.due(DueSet::OnTime, 7 * MINUTE, 10).await.unwrap();
    assert_eq!(batch.jobs.len(), 1);
    exact(&batch, b, 7 * MINUTE);
}

async fn a_dispatch_queues_computed_ids_and_advances_the_job(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let term = f.elect().await;
    let first = f.next_due("acme/a").await;
    let launches = f.launches(2 * HOUR).await;
    assert_eq!(launches[0].items.iter().map(|item| item.due).collect::<Vec<_>>(), [first, first + LATER]);
    assert_eq!(f.store.dispatch(&term, &launches).await.unwrap(), done(1, 2));

    let job = f.job("acme/a").await;
    assert_eq!((job.next_due, job.last_fired), (Some(first + LATER * 2), Some(first + LATER)));
    let live = f.live("acme/a").await;
    let expected = [first + LATER, first].map(|due| CorrelationId::new(due, RunKind::SCHEDULED, launches[0].key));
    assert_eq!(live.iter().map(|run| run.correlation_id).collect::<Vec<_>>(), expected);
    for run in live {
        assert_eq!((run.state, run.cause, run.attempt), (RunState::Waiting, Cause::Schedule, 0));
        assert_eq!(run.not_before, Some(run.scheduled_for));
        assert_eq!(run.scheduled_for, run.correlation_id.due());
    }
}

async fn an_interval_waits_for_its_completion(f: &Fixture) {
    f.apply(&[every("acme/a", MINUTE)]).await;
    let term = f.elect().await;
    let due = f.next_due("acme/a").await;
    assert!(due <= f.now().await + SignedDuration::from_mins(1), "within one interval");
    f.fan_out(&term, MINUTE).await;
    let job = f.job("acme/a").await;
    assert_eq!((job.next_due, job.last_fired), (None, Some(due)));
}

async fn the_same_launch_twice_queues_nothing_the_second_time(f: &Fixture) {
    f.apply(&[hourly("acme/a"), every("acme/b", MINUTE)]).await;
    let term = f.elect().await;
    let launches = f.launches(HOUR).await;
    assert_eq!(f.store.dispatch(&term, &launches).await.unwrap(), done(2, 2));
    let (a, b) = (f.job("acme/a").await, f.job("acme/b").await);
    assert_eq!(f.store.dispatch(&term, &launches).await.unwrap(), done(0, 0));
    assert_eq!((f.job("acme/a").await, f.job("acme/b").await), (a, b));
}

async fn nothing_to_dispatch_is_fine(f: &Fixture) {
    let term = f.elect().await;
    assert_eq!(f.store.dispatch(&term, &[]).await.unwrap(), done(0, 0));
}

async fn launches_of_jobs_that_changed_are_left_out_and_the_others_go_through(f: &Fixture) {
    let all = ["acme/same", "acme/edited", "acme/amended", "acme/removed", "acme/fired"];
    f.apply(&all.map(hourly)).await;
    let term = f.elect().await;
    let launches = f.launches(HOUR).await;
    assert_eq!(launches.len(), 5);

    let fired = f.store.snapshot().await.unwrap().jobs.into_iter().find(|job| job.name.as_str() == "fired").unwrap();
    let ahead: Vec<_> = launches.iter().filter(|launch| launch.key == fired.key).cloned().collect();
    assert_eq!(f.store.dispatch(&term, &ahead).await.unwrap(), done(1, 1));
    f.apply(&[
        hourly("acme/same"),
        cron("acme/edited", "0 * * * 1-7"),
        hourly("acme/amended").timeout(HOUR),
        hourly("acme/fired"),
    ])
    .await;

    assert_eq!(f.store.dispatch(&term, &launches).await.unwrap(), done(1, 1));
    for (at, runs) in all.into_iter().zip([1, 0, 0, 0, 1]) {
        assert_eq!(f.live(at).await.len(), runs, "{at}");
    }
    // Nothing is lost: they are due as they are now.
    assert_eq!(f.store.dispatch(&term, &f.launches(HOUR).await).await.unwrap(), done(2, 2));
}

/// Whatever its row says of a next due time.
async fn a_job_that_is_gone_is_not_launched(f: &Fixture) {
    f.apply(&[hourly("acme/a"), hourly("acme/b")]).await;
    let term = f.elect().await;
    let launches = f.launches(HOUR).await;
    let schema = if f.is_postgres() { "leasehold." } else { "" };
    f.execute(&format!("UPDATE {schema}job SET active = (1 = 0) WHERE name = 'a'")).await;
    assert_eq!(f.store.dispatch(&term, &launches).await.unwrap(), done(1, 1));
    assert_eq!(f.live("acme/a").await, []);
}

async fn a_launch_of_another_version_or_another_due_time_is_left_out(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let term = f.elect().await;
    let right = f.launches(HOUR).await.remove(0);
    let wrong = [
        Launch { version: right.version + 1, ..right.clone() },
        Launch { version: right.version - 1, ..right.clone() },
        Launch { expected: right.expected + LATER, ..right.clone() },
        Launch { expected: right.expected - LATER, ..right.clone() },
    ];
    for launch in wrong {
        assert_eq!(f.store.dispatch(&term, &[launch]).await.unwrap(), done(0, 0));
        assert_eq!(f.job("acme/a").await.next_due, Some(right.expected));
    }
    assert_eq!(f.store.dispatch(&term, &[right]).await.unwrap(), done(1, 1));
}

/// Finished runs have left the queue, so nothing but the watermark knows that their due times have fired.
async fn a_due_time_that_has_fired_never_fires_again(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let term = f.elect().await;
    let held = f.run_next(&term, "acme/a").await;
    let fired = held.only().scheduled_for;
    f.settle(&held, leasehold_common::store::Verdict::Succeeded).await;
    // A schedule that goes back, as a restored backup or a fault would have it, and a leader that plans from it alone.
    let schema = if f.is_postgres() { "leasehold." } else { "" };
    f.execute(&format!("UPDATE {schema}job SET next_due = {}", fired.as_microsecond())).await;
    let launch = f.launches(Duration::ZERO).await.remove(0);
    assert_eq!(launch.items, [], "a leader of this version knows");
    let item = Item { due: fired, not_before: fired, misfire_at: None, expires_at: None };
    let launch = Launch { items: vec![item], accounted: fired, next: Some(fired + LATER), ..launch };
    assert_eq!(f.store.dispatch(&term, &[launch]).await.unwrap(), done(1, 0));

    assert_eq!(f.live("acme/a").await, []);
    assert_eq!(f.outcomes("acme/a").await, [Outcome::Succeeded]);
    // And the job is not stuck there.
    assert_eq!(f.next_due("acme/a").await, fired + LATER);
    assert_eq!(f.run_next(&term, "acme/a").await.only().scheduled_for, fired + LATER);
}

/// The same for what would be reported as misfired, and the watermark itself never goes back.
async fn a_due_time_that_has_fired_is_not_misfired_later(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let term = f.elect().await;
    let held = f.run_next(&term, "acme/a").await;
    let fired = held.only().scheduled_for;
    f.settle(&held, leasehold_common::store::Verdict::Succeeded).await;
    let schema = if f.is_postgres() { "leasehold." } else { "" };
    let go_back = format!("UPDATE {schema}job SET next_due = {}", (fired - LATER * 2).as_microsecond());
    f.execute(&go_back).await;
    assert_eq!(f.fan_out(&term, Duration::ZERO).await, (0, 0));
    let job = f.job("acme/a").await;
    assert_eq!((job.next_due, job.last_fired), (Some(fired + LATER), Some(fired)));

    f.execute(&go_back).await;
    let first = f.launches(Duration::ZERO).await.remove(0);
    // As another leader may have planned it, which knows nothing of the run.
    let item = |due| Item { due, not_before: due, misfire_at: None, expires_at: None };
    let missed = Skipped { outcome: Outcome::Misfired, first: first.expected, last: fired, count: 3 };
    let one = Launch {
        items: vec![item(first.expected + LATER)],
        skipped: vec![missed],
        accounted: fired,
        next: Some(first.expected + LATER),
        ..first
    };
    assert_eq!(f.store.dispatch(&term, &[one]).await.unwrap(), done(1, 0));
    assert_eq!(f.job("acme/a").await.last_fired, Some(fired));
    assert_eq!(f.outcomes("acme/a").await, [Outcome::Succeeded]);

    f.advance_to(fired + LATER * 2).await;
    assert_eq!(f.fan_out(&term, Duration::ZERO).await, (1, 1));
    assert_eq!(f.outcomes("acme/a").await, [Outcome::Succeeded, Outcome::Misfired]);
    assert_eq!(f.live("acme/a").await[0].scheduled_for, fired + LATER * 2);
}

/// An interval has no next due time to go on to: it must not lose the one it has.
async fn an_interval_behind_its_watermark_moves_past_it(f: &Fixture) {
    f.apply(&[every("acme/a", MINUTE)]).await;
    let term = f.elect().await;
    let due = f.next_due("acme/a").await;
    let schema = if f.is_postgres() { "leasehold." } else { "" };
    for fired in [due, due + LATER] {
        f.execute(&format!(
            "UPDATE {schema}job SET next_due = {}, last_fired = {}",
            due.as_microsecond(),
            fired.as_microsecond()
        ))
        .await;
        assert_eq!(f.fan_out(&term, MINUTE).await.0, u64::from(fired == due));
        if fired == due {
            let run = f.live("acme/a").await.remove(0);
            assert!(run.scheduled_for > fired);
            f.cancel(run.correlation_id).await;
        }
    }
    assert_eq!(f.next_due("acme/a").await, due + LATER + SignedDuration::from_millis(1));
}

async fn missed_due_times_in_a_row_are_one_report(f: &Fixture) {
    f.apply(&[hourly("acme/a"), hourly("globex/a")]).await;
    let term = f.elect().await;
    let first = f.next_due("acme/a").await;
    f.advance(4 * HOUR).await;
    let launches = f.launches(Duration::ZERO).await;
    let fanned = Fanned { jobs: 2, items: 2, misfired: 6, ..Fanned::default() };
    assert_eq!(f.store.dispatch(&term, &launches).await.unwrap(), Dispatched::Done(fanned));
    assert_eq!(f.store.dispatch(&term, &launches).await.unwrap(), done(0, 0));

    let mut reports = f.reports().await;
    reports.retain(|report| report.tenant.as_str() == "acme");
    assert_eq!(reports.len(), 1);
    let report = &reports[0];
    let last = first + LATER * 2;
    assert_eq!((report.count, report.scheduled_from, report.scheduled_for), (3, Some(first), last));
    assert_eq!(report.correlation_id, CorrelationId::new(last, RunKind::SCHEDULED, launches[0].key));
    assert_eq!((report.outcome, report.attempt, report.cause), (Outcome::Misfired, 0, Cause::Schedule));
    assert_eq!((report.started_at, report.duration_ms, &report.executor), (None, None, &None));
    assert_eq!(report.lateness_ms, report.finished_at.as_millisecond() - last.as_millisecond());
    assert!(report.error.as_deref().unwrap().contains("later due time"));
    assert_eq!(f.state(report.correlation_id).await, RunState::Ended);
    assert_eq!(f.claim(10).await.items().len(), 2);
}

/// A row of one is like any report of one due time.
async fn a_missed_due_time_alone_is_a_report_of_one(f: &Fixture) {
    f.apply(&[hourly("acme/a")]).await;
    let term = f.elect().await;
    f.advance(2 * HOUR).await;
    assert_eq!(f.fan_out(&term, Duration::ZERO).await, (1, 1));
    let report = f.reports().await.remove(0);
    assert_eq!((report.count, report.scheduled_from), (1, None));
}

/// What is late is asked for apart, so that it hides nothing that is on time.
async fn late_jobs_are_a_set_of_their_own(f: &Fixture) {
    let jobs = [cron("acme/c", "20 * * * *"), cron("acme/a", "10 * * * *"), cron("globex/b", "15 * * * *")];
    f.apply(&jobs).await;
    let due_in = async |set, limit| {
        let batch = f.store.due(set, HOUR, limit).await.unwrap();
        let minutes = batch.jobs.iter().map(|job| job.next_due.strftime("%M").to_string()).collect::<Vec<_>>();
        (minutes.join(" "), batch.next_in)
    };
    assert_eq!(due_in(DueSet::Late, 10).await, (String::new(), None));
    f.advance_to(f.next_due("globex/b").await + LATE).await; // 16 past
    assert_eq!(due_in(DueSet::OnTime, 10).await, ("20".to_owned(), None));
    assert_eq!(due_in(DueSet::Late, 10).await, ("10 15".to_owned(), None));
    assert_eq!(due_in(DueSet::Late, 1).await, ("10".to_owned(), Some(Duration::ZERO)));
}

/// A launch may have nothing to write but the next look at its job: at the end of what keeps it from running.
async fn a_launch_without_items_moves_its_job(f: &Fixture) {
    f.apply(&[hourly("acme/a").blackout("01:30-04:30", leasehold_common::definition::OnBlackout::Skip)]).await;
    let term = f.elect().await;
    let first = f.next_due("acme/a").await;
    let launches = f.launches(HOUR).await;
    assert_eq!((launches[0].items.len(), launches[0].skipped.len()), (0, 0));
    assert_eq!(f.store.dispatch(&term, &launches).await.unwrap(), done(1, 0));
    assert_eq!(f.next_due("acme/a").await, first + SignedDuration::from_mins(150));
    assert_eq!((f.live("acme/a").await, f.reports().await), (vec![], vec![]));
    assert_eq!(f.store.dispatch(&term, &launches).await.unwrap(), done(0, 0), "and only once");
}

/// The planner goes on from there, whatever `next_due` says; and an older leader moves only the watermark.
async fn what_is_accounted_for_never_goes_back(f: &Fixture) {
    f.apply(&[hourly("acme/a").catch_up_skip(MINUTE)]).await;
    let term = f.elect().await;
    f.advance(5 * HOUR).await;
    assert_eq!(f.fan_out(&term, Duration::ZERO).await, (0, 5), "nothing has fired");
    let accounted = async || f.store.due(DueSet::OnTime, 10 * HOUR, 1).await.unwrap().jobs.remove(0).accounted;
    let last = f.next_due("acme/a").await - LATER;
    assert_eq!(accounted().await, last);
    let launch = f.launches(HOUR).await.remove(0);
    let back = Launch { accounted: last - LATER, items: vec![], ..launch };
    assert_eq!(f.store.dispatch(&term, &[back]).await.unwrap(), done(1, 0));
    assert_eq!(accounted().await, last);
    let schema = if f.is_postgres() { "leasehold." } else { "" };
    f.execute(&format!("UPDATE {schema}job SET last_fired = {}", (last + LATER).as_microsecond())).await;
    assert_eq!(accounted().await, last + LATER);
}

async fn concurrent_dispatchers_of_one_batch_queue_each_item_once(f: &Fixture) {
    const JOBS: usize = 40;
    let jobs: Vec<_> = (0..JOBS).map(|n| cron(&format!("t{}/j{n}", n % 7), "* * * * *")).collect();
    f.apply(&jobs).await;
    let term = f.elect().await;
    let mut items = 0;
    for _ in 0..15 {
        f.advance(MINUTE).await;
        let launches = f.launches(Duration::ZERO).await;
        assert_eq!(launches.len(), JOBS);
        let calls: Vec<_> = (0..3)
            .map(|n| {
                let (store, mut launches) = (f.store.clone(), launches.clone());
                launches.rotate_left(n * 11);
                tokio::spawn(async move { store.dispatch(&term, &launches).await.unwrap() })
            })
            .collect();
        let mut round = 0;
        for call in calls {
            match call.await.unwrap() {
                Dispatched::Done(fanned) => round += fanned.items,
                Dispatched::StaleTerm => panic!("stale"),
            }
        }
        assert_eq!(round, JOBS as u64);
        items += round;
    }
    let schema = if f.is_postgres() { "leasehold." } else { "" };
    assert_eq!(f.number(&format!("SELECT count(*) FROM {schema}ahead")).await, i64::try_from(items).unwrap());
}

both!(
    due_jobs_come_in_order_and_no_more_than_asked_for,
    only_what_is_within_the_horizon_is_due,
    next_in_tells_when_the_next_job_comes_within_the_horizon,
    a_dispatch_queues_computed_ids_and_advances_the_job,
    an_interval_waits_for_its_completion,
    the_same_launch_twice_queues_nothing_the_second_time,
    nothing_to_dispatch_is_fine,
    launches_of_jobs_that_changed_are_left_out_and_the_others_go_through,
    a_launch_of_another_version_or_another_due_time_is_left_out,
    a_job_that_is_gone_is_not_launched,
    a_due_time_that_has_fired_never_fires_again,
    a_due_time_that_has_fired_is_not_misfired_later,
    an_interval_behind_its_watermark_moves_past_it,
    missed_due_times_in_a_row_are_one_report,
    a_missed_due_time_alone_is_a_report_of_one,
    late_jobs_are_a_set_of_their_own,
    a_launch_without_items_moves_its_job,
    what_is_accounted_for_never_goes_back,
    concurrent_dispatchers_of_one_batch_queue_each_item_once,
);
