//! What becomes of an item whose job has a run already: it ends, waits, or takes the run's place, as the overlap policy
//! of its job says (invariant I8).

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use leasehold_common::definition::Overlap;
use leasehold_common::id::CorrelationId;
use leasehold_common::run::{Outcome, RunState};
use leasehold_common::store::{Cancelled, ClaimRequest, RunFilter, Settled, Verdict};
use leasehold_tests::steps::{HOUR, Held, Job, MINUTE, cron, hourly};
use leasehold_tests::stores::Fixture;
use uuid::Uuid;

fn buffer_one(at: &str) -> Job {
    hourly(at).overlap(Overlap::BufferOne)
}

fn buffer_all(at: &str, buffer: u32) -> Job {
    hourly(at).overlap(Overlap::BufferAll).buffer(buffer)
}

fn cancel_previous(at: &str) -> Job {
    hourly(at).overlap(Overlap::CancelPrevious)
}

async fn triggers(f: &Fixture, at: &str, count: usize) -> Vec<CorrelationId> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(f.trigger(at).await);
    }
    ids
}

/// The outcome of each run of a job that is over.
async fn ended(f: &Fixture, at: &str) -> HashMap<CorrelationId, Outcome> {
    let (tenant, job) = leasehold_tests::steps::path(at);
    let reports = f.reports().await.into_iter().filter(|r| r.tenant == tenant && r.job == job);
    reports.filter(|r| r.outcome.is_terminal()).map(|r| (r.correlation_id, r.outcome)).collect()
}

/// Claims until nothing is claimed and nothing left the line.
async fn claim_all(f: &Fixture) -> Vec<Held> {
    let mut all = Vec::new();
    for _ in 0..100 {
        let held = f.claim(10).await;
        if held.items().is_empty() && held.claimed.dismissed == 0 {
            return all;
        }
        all.push(held);
    }
    panic!("the same items leave the line and come back: {:?}", all.last());
}

/// A run of the job is running, and one item waits for it.
async fn one_waits(f: &Fixture, job: Job) -> (Held, CorrelationId) {
    let at = format!("{}/{}", job.path.0, job.path.1);
    f.apply(&[job]).await;
    let first = f.trigger(&at).await;
    let running = f.claim(1).await;
    assert_eq!(running.only().id, first);
    let second = f.trigger(&at).await;
    let held = f.claim(1).await;
    assert_eq!((held.items().len(), held.claimed.dismissed), (0, 1));
    assert_eq!(f.state(second).await, RunState::Waiting);
    (running, second)
}

async fn waits_still(f: &Fixture, id: CorrelationId) {
    assert_eq!(claim_all(f).await.len(), 0);
    assert_eq!(f.state(id).await, RunState::Waiting);
}

async fn buffer_one_keeps_one_and_the_third_overlaps(f: &Fixture) {
    f.apply(&[buffer_one("acme/a")]).await;
    let ids = triggers(f, "acme/a", 3).await;
    let held = f.claim(10).await;
    assert_eq!((held.ids(), held.claimed.dismissed), (vec![ids[0]], 2));
    assert_eq!(ended(f, "acme/a").await, HashMap::from([(ids[2], Outcome::Overlapped)]));
    assert_eq!(f.state(ids[1]).await, RunState::Waiting);

    // One that comes later finds it waiting.
    let late = f.trigger("acme/a").await;
    assert_eq!(f.claim(10).await.claimed.dismissed, 1);
    assert_eq!(ended(f, "acme/a").await[&late], Outcome::Overlapped);

    f.settle(&held, Verdict::Succeeded).await;
    let next = f.claim(10).await;
    assert_eq!(next.ids(), [ids[1]]);
    f.settle(&next, Verdict::Succeeded).await;
    assert_eq!(f.live("acme/a").await, []);
}

/// It has no time of its own: neither does time let it go, nor does an executor wake up for it.
async fn what_waits_for_a_run_is_not_due(f: &Fixture) {
    let (_, waiting) = one_waits(f, buffer_one("acme/a")).await;
    f.advance(40 * 24 * HOUR).await;
    let activated = f.store.activate(100).await.unwrap();
    assert_eq!((activated.moved, activated.next_in), (0, None));
    let queue = f.store.status().await.unwrap().queue;
    assert_eq!((queue.depth, queue.waiting, queue.running, queue.oldest_age_ms), (0, 1, 1, None));
    waits_still(f, waiting).await;
}

async fn buffer_all_runs_in_order_and_is_bound(f: &Fixture) {
    f.apply(&[buffer_all("acme/a", 3), buffer_all("globex/a", 100)]).await;
    let ids = triggers(f, "acme/a", 6).await;
    triggers(f, "globex/a", 6).await;
    let mut runs: HashMap<String, Vec<CorrelationId>> = HashMap::new();
    while let held = claim_all(f).await
        && !held.is_empty()
    {
        for held in held {
            for item in held.items() {
                runs.entry(item.tenant.to_string()).or_default().push(item.id);
            }
            f.settle(&held, Verdict::Succeeded).await;
        }
    }
    assert_eq!(runs["acme"], ids[..4], "one that runs and three that wait, in order");
    assert_eq!(runs["globex"].len(), 6);
    let ended = ended(f, "acme/a").await;
    assert_eq!((ended[&ids[4]], ended[&ids[5]]), (Outcome::Overlapped, Outcome::Overlapped));
}

/// The bound counts what waited before this claim, and what waits since this claim.
async fn the_bound_holds_over_several_claims(f: &Fixture) {
    f.apply(&[buffer_all("acme/a", 3)]).await;
    f.trigger("acme/a").await;
    f.claim(1).await.only();
    for (count, waiting) in [(2, 2), (2, 3), (1, 3)] {
        triggers(f, "acme/a", count).await;
        assert_eq!(f.claim(10).await.claimed.dismissed, count as u64);
        assert_eq!(f.store.status().await.unwrap().queue.waiting, waiting);
    }
    assert_eq!(f.outcomes("acme/a").await, [Outcome::Overlapped; 2]);
}

/// Scheduled items are in the order of their due times, whatever the order of the line.
async fn what_waits_goes_in_the_order_of_due_times(f: &Fixture) {
    let every_minute = cron("acme/a", "* * * * *").overlap(Overlap::BufferAll).catch_up_all();
    f.apply(&[every_minute]).await;
    let term = f.elect().await;
    f.trigger("acme/a").await;
    let mut held = f.claim(1).await;
    f.fan_out(&term, 5 * MINUTE).await;
    let mut due: Vec<_> = f.live("acme/a").await.iter().map(|run| run.scheduled_for).collect();
    due.sort();
    due.remove(0); // the trigger
    f.advance(5 * MINUTE).await;
    f.activate().await;
    let schema = if f.is_postgres() { "leasehold." } else { "" };
    f.execute(&format!("UPDATE {schema}ready SET tag = -tag")).await;
    let mut ran = Vec::new();
    for _ in 0..5 {
        claim_all(f).await;
        f.settle(&held, Verdict::Succeeded).await;
        held = f.claim(1).await;
        ran.push(held.only().scheduled_for);
    }
    assert_eq!(ran, due);
}

/// It met its due time: from then on neither a limit of lateness nor a later one ends it.
async fn what_waits_came_in_time(f: &Fixture) {
    let every_minute = |at: &str| cron(at, "* * * * *").overlap(Overlap::BufferAll);
    f.apply(&[every_minute("acme/last"), every_minute("acme/skip").catch_up_skip(MINUTE)]).await;
    let from = f.now().await;
    let term = f.elect().await;
    f.trigger("acme/last").await;
    f.trigger("acme/skip").await;
    let running = f.claim(10).await;
    for _ in 0..3 {
        f.advance_to(f.next_due("acme/last").await).await;
        f.fan_out(&term, Duration::ZERO).await;
        assert_eq!(f.claim(10).await.claimed.dismissed, 2);
    }
    f.advance(10 * MINUTE).await;
    f.sweep(&term).await;
    assert_eq!(f.reports().await, []);
    let waiting = f.store.runs(&RunFilter::default(), 100).await.unwrap();
    let waiting = waiting.into_iter().filter(|run| run.state == RunState::Waiting).map(|run| run.correlation_id);
    let waiting: Vec<_> = waiting.collect();
    assert_eq!(waiting.len(), 6);
    // It is let go, and meanwhile a later one comes.
    f.settle(&running, Verdict::Succeeded).await;
    f.fan_out(&term, Duration::ZERO).await;
    f.run_all().await;
    let reports = f.reports().await;
    for id in waiting {
        assert!(reports.iter().any(|report| (report.correlation_id, report.outcome) == (id, Outcome::Succeeded)));
    }
    for at in ["acme/last", "acme/skip"] {
        f.is_whole(at, from).await;
    }
}

async fn cancel_previous_asks_the_running_one_and_replaces_the_waiting_one(f: &Fixture) {
    let (running, second) = one_waits(f, cancel_previous("acme/a")).await;
    let asked = async || f.store.extend(running.executor, &[running.claim()], MINUTE).await.unwrap().cancel;
    assert_eq!(asked().await, running.ids());
    let third = f.trigger("acme/a").await;
    assert_eq!(f.claim(10).await.claimed.dismissed, 1);
    assert_eq!(ended(f, "acme/a").await, HashMap::from([(second, Outcome::Superseded)]));
    let report = f.reports().await.pop().unwrap();
    assert_eq!((report.attempt, report.error.as_deref()), (0, Some("a later run of the job took its place")));
    assert_eq!(f.state(third).await, RunState::Waiting);

    assert_eq!(f.settle(&running, Verdict::Cancelled).await, [Settled::Recorded]);
    let held = f.claim(10).await;
    assert_eq!(held.ids(), [third]);
    assert_eq!(f.store.extend(held.executor, &[held.claim()], MINUTE).await.unwrap().cancel, []);
    assert_eq!(f.settle(&held, Verdict::Succeeded).await, [Settled::Recorded]);
    assert_eq!(f.live("acme/a").await, []);
}

/// Of several that come in one claim the last one stays, whatever their order in line.
async fn of_several_that_cancel_the_previous_the_last_one_stays(f: &Fixture) {
    f.apply(&[cancel_previous("acme/a")]).await;
    f.trigger("acme/a").await;
    let running = f.claim(1).await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        f.advance(Duration::from_secs(1)).await;
        ids.push(f.trigger("acme/a").await);
    }
    let schema = if f.is_postgres() { "leasehold." } else { "" };
    f.execute(&format!("UPDATE {schema}ready SET tag = -tag")).await;
    assert_eq!(f.claim(10).await.claimed.dismissed, 4);
    let superseded: HashMap<_, _> = ids[..3].iter().map(|id| (*id, Outcome::Superseded)).collect();
    assert_eq!(ended(f, "acme/a").await, superseded);
    f.settle(&running, Verdict::Cancelled).await;
    assert_eq!(f.claim(10).await.ids(), ids[3..]);
}

/// Its executor cannot be asked, since it has none.
async fn cancel_previous_ends_a_run_that_waits_for_its_retry(f: &Fixture) {
    f.apply(&[cancel_previous("acme/a")]).await;
    let term = f.elect().await;
    for ready in [false, true] {
        let first = f.trigger("acme/a").await;
        f.settle(&f.claim(1).await, Verdict::Retry(HOUR)).await;
        if ready {
            f.advance(HOUR).await;
            f.activate().await;
        }
        let schema = if f.is_postgres() { "leasehold." } else { "" };
        let second = f.trigger("acme/a").await;
        f.execute(&format!("UPDATE {schema}ready SET tag = 0 WHERE attempt = 0")).await;
        let mut held = f.claim(1).await;
        while held.items().is_empty() {
            assert!(held.claimed.dismissed > 0, "the second one is stuck, {:?}", f.live("acme/a").await);
            f.rescue(&term).await;
            held = f.claim(1).await;
        }
        assert_eq!(held.only().id, second);
        assert_eq!(ended(f, "acme/a").await[&first], Outcome::Cancelled);
        let report = f.reports().await.pop().unwrap();
        assert_eq!((report.correlation_id, report.attempt), (first, 1));
        assert_eq!(report.error.as_deref(), Some("a later run of the job took its place"));
        assert_eq!(f.settle(&held, Verdict::Succeeded).await, [Settled::Recorded]);
        assert_eq!(f.live("acme/a").await, [], "and its waiting item is gone");
    }
}

/// Two items of one batch and nothing that runs: the first starts, and is asked to stop for the second.
async fn two_that_come_together_where_nothing_runs(f: &Fixture) {
    f.apply(&[cancel_previous("acme/a")]).await;
    let ids = triggers(f, "acme/a", 2).await;
    let held = f.claim(10).await;
    assert_eq!(held.ids(), ids[..1]);
    assert_eq!(f.state(ids[1]).await, RunState::Waiting);
    assert_eq!(f.store.extend(held.executor, &[held.claim()], MINUTE).await.unwrap().cancel, ids[..1]);
}

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Success,
    Death,
    Cancel,
    /// Its executor dies in its last attempt.
    Crash,
    /// It is cancelled while it waits for its retry.
    CancelledRetry,
    /// It has no attempt left when it is claimed again.
    DeadAtClaim,
    /// Its time to live is over when it is claimed again.
    ExpiredRetry,
}

async fn end(f: &Fixture, running: &Held, end: End) {
    let term = f.elect().await;
    let id = running.only().id;
    match end {
        End::Success => drop(f.settle(running, Verdict::Succeeded).await),
        End::Death => drop(f.settle(running, Verdict::Dead).await),
        End::Cancel => {
            assert_eq!(f.cancel(id).await, Cancelled::Requested);
            f.settle(running, Verdict::Cancelled).await;
        }
        End::Crash => {
            f.advance(2 * MINUTE).await;
            assert_eq!(f.rescue(&term).await, (0, 1));
        }
        End::CancelledRetry => {
            f.settle(running, Verdict::Retry(HOUR)).await;
            assert_eq!(f.cancel(id).await, Cancelled::Ended);
            f.rescue(&term).await;
        }
        End::DeadAtClaim => {
            f.settle(running, Verdict::Retry(Duration::ZERO)).await;
            f.claim(1).await;
            f.rescue(&term).await;
        }
        End::ExpiredRetry => {
            f.settle(running, Verdict::Retry(MINUTE)).await;
            let schema = if f.is_postgres() { "leasehold." } else { "" };
            f.execute(&format!("UPDATE {schema}ahead SET expires_at = 1 WHERE attempt > 0")).await;
            f.advance(MINUTE).await;
            f.claim(1).await;
            f.rescue(&term).await;
        }
    }
    assert_eq!(f.state(id).await, RunState::Ended, "{end:?}");
    f.store.resign(&term).await.unwrap();
}

async fn a_waiting_item_is_let_go_however_the_run_ends(f: &Fixture) {
    let ends =
        [End::Success, End::Death, End::Cancel, End::Crash, End::CancelledRetry, End::DeadAtClaim, End::ExpiredRetry];
    for (n, how) in ends.into_iter().enumerate() {
        // Under `cancel_previous` it has been asked to stop, so there is no retry.
        let retries = matches!(how, End::CancelledRetry | End::DeadAtClaim | End::ExpiredRetry);
        for job in [buffer_one, cancel_previous].into_iter().take(if retries { 1 } else { 2 }) {
            println!("{how:?}");
            let job = job(&format!("acme/j{n}")).attempts(1);
            let (running, waiting) = one_waits(f, job).await;
            end(f, &running, how).await;
            let held = f.claim(10).await;
            assert_eq!(held.ids(), [waiting], "{how:?}");
            assert_eq!(held.only().attempt, 1);
            f.settle(&held, Verdict::Succeeded).await;
        }
    }
}

/// The process that ended the run may end before it lets go what waits: then the rescuer does.
async fn what_nobody_let_go_goes_with_the_rescuer(f: &Fixture) {
    let term = f.elect().await;
    let (_, waiting) = one_waits(f, buffer_one("acme/a")).await;
    f.execute(&format!("DELETE FROM {}running", if f.is_postgres() { "leasehold." } else { "" })).await;
    waits_still(f, waiting).await;
    assert_eq!(f.rescue(&term).await, (0, 0));
    assert_eq!(f.claim(10).await.ids(), [waiting]);
}

/// What is not its end lets nobody go.
async fn a_run_that_goes_on_keeps_the_others_waiting(f: &Fixture) {
    let term = f.elect().await;
    let (first, waiting) = one_waits(f, buffer_one("acme/a").attempts(9)).await;
    f.settle(&first, Verdict::Retry(HOUR)).await;
    f.rescue(&term).await;
    waits_still(f, waiting).await;
    f.advance(HOUR).await;
    let again = f.claim(10).await;
    assert_eq!((again.only().id, again.only().attempt), (first.only().id, 2));
    f.settle(&again, Verdict::Released).await;
    f.rescue(&term).await;
    let again = f.claim(10).await;
    assert_eq!((again.only().id, again.only().attempt), (first.only().id, 3));
    f.advance(2 * MINUTE).await;
    assert_eq!(f.rescue(&term).await, (1, 0), "a crash with attempts left");
    let again = f.claim(10).await;
    assert_eq!((again.only().id, again.only().attempt), (first.only().id, 4));
    f.settle(&again, Verdict::Succeeded).await;
    assert_eq!(f.claim(10).await.ids(), [waiting]);
}

/// A run beside the others neither waits nor is waited for.
async fn a_trigger_beside_is_no_overlap(f: &Fixture) {
    let (running, waiting) = one_waits(f, buffer_one("acme/a")).await;
    let beside = f.trigger_beside("acme/a").await;
    let held = f.claim(10).await;
    assert_eq!(held.ids(), [beside]);
    f.settle(&held, Verdict::Succeeded).await;
    waits_still(f, waiting).await;

    let beside = f.trigger_beside("acme/a").await;
    let held = f.claim(10).await;
    assert_eq!(held.ids(), [beside]);
    f.settle(&running, Verdict::Succeeded).await;
    assert_eq!(f.claim(10).await.ids(), [waiting], "although one runs beside it");
}

async fn a_waiting_item_can_be_cancelled_and_leaves_its_place(f: &Fixture) {
    let (running, waiting) = one_waits(f, buffer_one("acme/a")).await;
    assert_eq!(f.cancel(waiting).await, Cancelled::Ended);
    let next = f.trigger("acme/a").await;
    f.claim(10).await;
    assert_eq!(f.state(next).await, RunState::Waiting);
    f.settle(&running, Verdict::Succeeded).await;
    assert_eq!(f.claim(10).await.ids(), [next]);
}

/// What waits is in line for all that an edit means.
async fn a_waiting_item_goes_with_its_schedule_or_its_job(f: &Fixture) {
    let term = f.elect().await;
    let scheduled = async || {
        let (running, triggered) = one_waits(f, buffer_all("acme/a", 9)).await;
        f.advance_to(f.next_due("acme/a").await).await;
        f.fan_out(&term, Duration::ZERO).await;
        assert_eq!(f.claim(10).await.claimed.dismissed, 1);
        assert_eq!(f.live("acme/a").await.len(), 3);
        (running, triggered)
    };
    let (running, triggered) = scheduled().await;
    f.apply(&[cron("acme/a", "30 * * * *").overlap(Overlap::BufferAll)]).await;
    assert_eq!(f.outcomes("acme/a").await, [Outcome::Superseded]);
    f.settle(&running, Verdict::Succeeded).await;
    let held = f.claim(10).await;
    assert_eq!(held.ids(), [triggered], "a trigger outlives an edit");
    f.settle(&held, Verdict::Succeeded).await;

    f.apply(&[]).await;
    let (running, _) = scheduled().await;
    f.apply(&[]).await;
    f.settle(&running, Verdict::Succeeded).await;
    assert_eq!(claim_all(f).await.len(), 0);
    let outcomes = f.outcomes("acme/a").await;
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::Cancelled).count(), 2);
    assert_eq!(f.live("acme/a").await, []);
}

/// Claimers that come at once never run two of a job, lose none and end each once.
async fn claimers_at_once(f: &Fixture, job: fn(&str) -> Job) -> HashMap<CorrelationId, Outcome> {
    const JOBS: usize = 12;
    const EACH: usize = 4;
    f.apply(&(0..JOBS).map(|n| job(&format!("acme/j{n}"))).collect::<Vec<_>>()).await;
    let term = f.elect().await;
    for n in 0..JOBS {
        triggers(f, &format!("acme/j{n}"), EACH).await;
    }
    let stores = [f.store.clone(), f.another().await];
    for _ in 0..50 {
        let calls = (0..4).map(|n| {
            let store = stores[n % 2].clone();
            let queues = vec!["default".parse().unwrap()];
            let request =
                ClaimRequest { executor: Uuid::now_v7(), queues, limit: 5, ttl: 60 * MINUTE, abilities: None };
            tokio::spawn(async move {
                let mut held = Vec::new();
                store.activate(100).await.unwrap();
                for _ in 0..3 {
                    let claimed = store.claim(&request).await.unwrap();
                    held.push(Held { executor: request.executor, claimed });
                }
                held
            })
        });
        let mut held = Vec::new();
        for call in calls.collect::<Vec<_>>() {
            held.extend(call.await.unwrap());
        }
        let running: Vec<_> = held.iter().flat_map(|held| held.items().iter().map(|item| &item.job)).collect();
        assert_eq!(running.iter().collect::<HashSet<_>>().len(), running.len(), "two of a job at once");
        // All at once, with claims of the next round behind them.
        let settles = held.into_iter().enumerate().map(|(n, held)| {
            let store = stores[n % 2].clone();
            tokio::spawn(async move {
                store.settle(held.executor, &held.reports(Verdict::Succeeded), &[held.claim()]).await.unwrap()
            })
        });
        for settle in settles.collect::<Vec<_>>() {
            assert!(settle.await.unwrap().iter().all(|answer| *answer == Settled::Recorded));
        }
        f.rescue(&term).await;
        let queue = f.store.status().await.unwrap().queue;
        if queue.depth + queue.waiting + queue.running == 0 {
            break;
        }
    }
    let reports = f.reports().await;
    assert_eq!(reports.len(), JOBS * EACH, "each run ends once");
    let ended: HashMap<_, _> = reports.into_iter().map(|report| (report.correlation_id, report.outcome)).collect();
    assert_eq!(ended.len(), JOBS * EACH);
    ended
}

fn count(ended: &HashMap<CorrelationId, Outcome>, outcome: Outcome) -> usize {
    ended.values().filter(|ended| **ended == outcome).count()
}

async fn two_claimers_at_once_never_run_two_under_buffer_one(f: &Fixture) {
    let ended = claimers_at_once(f, buffer_one).await;
    assert!(count(&ended, Outcome::Succeeded) >= 24, "one that runs and one that waits");
    assert_eq!(count(&ended, Outcome::Succeeded) + count(&ended, Outcome::Overlapped), ended.len());
}

async fn two_claimers_at_once_never_run_two_under_buffer_all(f: &Fixture) {
    let ended = claimers_at_once(f, |at| buffer_all(at, 100)).await;
    assert_eq!(count(&ended, Outcome::Succeeded), ended.len(), "all of them run");
}

async fn two_claimers_at_once_never_run_two_under_cancel_previous(f: &Fixture) {
    let ended = claimers_at_once(f, cancel_previous).await;
    assert!(count(&ended, Outcome::Succeeded) >= 12);
    assert_eq!(count(&ended, Outcome::Succeeded) + count(&ended, Outcome::Superseded), ended.len());
}

both!(
    buffer_one_keeps_one_and_the_third_overlaps,
    what_waits_for_a_run_is_not_due,
    buffer_all_runs_in_order_and_is_bound,
    the_bound_holds_over_several_claims,
    what_waits_goes_in_the_order_of_due_times,
    what_waits_came_in_time,
    cancel_previous_asks_the_running_one_and_replaces_the_waiting_one,
    of_several_that_cancel_the_previous_the_last_one_stays,
    cancel_previous_ends_a_run_that_waits_for_its_retry,
    two_that_come_together_where_nothing_runs,
    a_waiting_item_is_let_go_however_the_run_ends,
    what_nobody_let_go_goes_with_the_rescuer,
    a_run_that_goes_on_keeps_the_others_waiting,
    a_trigger_beside_is_no_overlap,
    a_waiting_item_can_be_cancelled_and_leaves_its_place,
    a_waiting_item_goes_with_its_schedule_or_its_job,
    two_claimers_at_once_never_run_two_under_buffer_one,
    two_claimers_at_once_never_run_two_under_buffer_all,
    two_claimers_at_once_never_run_two_under_cancel_previous,
);
