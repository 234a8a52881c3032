//! What becomes of due times that nobody could run in time: the catch-up policies, times to live, the sweep, the limit
//! of runs, and the recovery budget (invariant I10).

use std::collections::HashMap;
use std::time::Duration;

use jiff::SignedDuration;
use leasehold_common::catalog::{Desired, Recovery};
use leasehold_common::definition::{Expiry, Overlap};
use leasehold_common::run::{Outcome, RunState};
use leasehold_common::store::{RunFilter, SharedStore, Swept, Verdict};
use leasehold_tests::steps::{HOUR, Job, MINUTE, cron, desired, every, hourly};
use leasehold_tests::stores::Fixture;

use Outcome::{Expired, Misfired, Overlapped, Succeeded};

fn every_minute(at: &str) -> Job {
    cron(at, "* * * * *")
}

/// How long the tests' clock, which goes on, may have moved beyond what a case has set.
const SLACK: Duration = Duration::from_secs(20);

async fn skip_runs_within_its_grace_and_not_after_it(f: &Fixture) {
    f.apply(&[hourly("acme/a").catch_up_skip(2 * MINUTE)]).await;
    let from = f.now().await;
    let term = f.elect().await;
    f.fan_out(&term, 2 * HOUR).await;
    f.advance_to(f.live("acme/a").await[1].scheduled_for + (2 * MINUTE - SLACK)).await;
    assert_eq!(f.run_all().await.len(), 1);
    f.advance_to(f.live("acme/a").await[0].scheduled_for + 2 * MINUTE).await;
    let held = f.claim(10).await;
    assert_eq!((held.items().len(), held.claimed.dismissed), (0, 1));
    assert_eq!(f.outcomes("acme/a").await, [Succeeded, Misfired]);
    let report = f.reports().await.pop().unwrap();
    assert_eq!((report.attempt, report.count, report.scheduled_from), (0, 1, None));
    assert!(report.lateness_ms >= 120_000 && report.error.unwrap().contains("nobody ran it in time"));
    assert_eq!(f.is_whole("acme/a", from).await, 2);
}

/// Two missed ones within the grace both run, unlike under `last`.
async fn skip_does_not_look_at_later_due_times(f: &Fixture) {
    f.apply(&[every_minute("acme/a").catch_up_skip(HOUR).allow_overlap()]).await;
    let term = f.elect().await;
    f.fan_out(&term, 3 * MINUTE).await;
    f.advance(5 * MINUTE).await;
    assert_eq!(f.claim(10).await.items().len(), 3);
}

async fn last_runs_the_latest(f: &Fixture) {
    f.apply(&[every_minute("acme/a")]).await;
    let from = f.now().await;
    let term = f.elect().await;
    f.fan_out(&term, 5 * MINUTE).await;
    f.advance(6 * MINUTE).await;
    let latest = f.live("acme/a").await[0].scheduled_for;
    assert_eq!(f.run_all().await, [latest]);
    assert_eq!(f.outcomes("acme/a").await.iter().filter(|outcome| **outcome == Misfired).count(), 4);
    f.fan_out(&term, Duration::ZERO).await;
    f.is_whole("acme/a", from).await;
}

async fn all_run_but_those_that_are_too_old(f: &Fixture) {
    let all = leasehold_common::definition::CatchUp::All { within: 10 * MINUTE };
    f.apply(&[every_minute("acme/a").catch_up(all).allow_overlap()]).await;
    let from = f.now().await;
    let term = f.elect().await;
    f.fan_out(&term, 15 * MINUTE).await;
    assert_eq!(f.live("acme/a").await.len(), 15);
    f.advance(20 * MINUTE).await;
    let now = f.now().await;
    let ran = f.run_all().await;
    assert!((4..=5).contains(&ran.len()), "{ran:?}");
    assert!(ran.iter().all(|due| *due > now - 10 * MINUTE), "{ran:?}");
    assert_eq!(f.outcomes("acme/a").await.iter().filter(|outcome| **outcome == Misfired).count(), 15 - ran.len());
    f.fan_out(&term, Duration::ZERO).await;
    f.is_whole("acme/a", from).await;
}

/// With overlap `skip` what is made up for waits for each other; what is on time does not.
async fn all_with_overlap_skip_runs_one_after_the_other(f: &Fixture) {
    f.apply(&[every_minute("acme/a").catch_up_all()]).await;
    let from = f.now().await;
    let term = f.elect().await;
    f.fan_out(&term, 10 * MINUTE).await;
    f.advance(12 * MINUTE).await;
    let due: Vec<_> = f.live("acme/a").await.iter().rev().map(|run| run.scheduled_for).collect();
    let held = f.claim(100).await;
    assert_eq!((held.only().scheduled_for, held.claimed.dismissed), (due[0], 9));
    assert_eq!(f.reports().await, [], "none is lost");

    // Of those that come now the first is late, and the second is not.
    f.fan_out(&term, Duration::ZERO).await;
    f.advance(Duration::from_secs(1)).await; // this second's share has gone
    assert_eq!(f.claim(100).await.claimed.dismissed, 2);
    assert_eq!(f.outcomes("acme/a").await, [Overlapped]);
    let overlapped = f.reports().await[0].scheduled_for;
    f.settle(&held, Verdict::Succeeded).await;
    let mut ran = vec![due[0]];
    ran.extend(f.run_all().await);
    assert_eq!((ran.len(), &ran[..10]), (11, &due[..]), "one after the other, in order");
    assert_eq!(overlapped, ran[10] + MINUTE);
    f.is_whole("acme/a", from).await;
}

/// The leader's part: an outage of schedulers is one row, and then what the policy lets run.
async fn an_outage_of_the_leader_is_one_row(f: &Fixture) {
    let skip = hourly("acme/skip").catch_up_skip(10 * MINUTE);
    f.apply(&[skip, hourly("acme/last"), hourly("acme/all").catch_up_all().allow_overlap()]).await;
    let from = f.now().await;
    let term = f.elect().await;
    f.advance(100 * HOUR + 30 * MINUTE).await; // 06:35 of the fifth day
    let fanned = f.fan_out_all(&term, Duration::ZERO).await;
    assert_eq!((fanned.items, fanned.misfired), (1 + 24, 100 + 99 + 76));
    let rows = async |at: &str| -> Vec<_> {
        let reports = f.reports().await.into_iter().filter(|r| format!("{}/{}", r.tenant, r.job) == at);
        reports.map(|r| (r.outcome, r.count)).collect()
    };
    assert_eq!(rows("acme/skip").await, [(Misfired, 100)]);
    assert_eq!(rows("acme/last").await, [(Misfired, 99)]);
    assert_eq!(rows("acme/all").await, [(Misfired, 76)]);
    let report = f.reports().await.remove(0);
    let span = report.scheduled_for.duration_since(report.scheduled_from.unwrap());
    assert_eq!(span.as_hours(), i64::from(report.count) - 1);
    assert_eq!((report.attempt, report.started_at, report.executor.as_ref()), (0, None, None));
    assert!(report.error.unwrap().contains("before a leader"));
    assert_eq!(f.run_all().await.len(), 25);
    for at in ["acme/skip", "acme/last", "acme/all"] {
        assert_eq!(f.is_whole(at, from).await, 100, "{at}");
    }
}

async fn a_run_that_expires_does_not_start(f: &Fixture) {
    let jobs = [
        hourly("acme/after").expires(Expiry::After(10 * MINUTE)),
        cron("acme/next", "*/10 * * * *").expires(Expiry::Next).catch_up_all().allow_overlap(),
        hourly("acme/never"),
    ];
    f.apply(&jobs).await;
    let from = f.now().await;
    let term = f.elect().await;
    f.fan_out(&term, HOUR).await;
    f.advance_to(f.live("acme/after").await[0].scheduled_for + 10 * MINUTE).await;
    f.fan_out(&term, Duration::ZERO).await;
    let mut jobs: Vec<_> = f.claim(100).await.jobs().into_iter().map(str::to_owned).collect();
    jobs.sort();
    assert_eq!(jobs, ["never", "next"], "what is due now has not expired");
    assert_eq!(f.outcomes("acme/after").await, [Expired]);
    let expired = f.outcomes("acme/next").await;
    assert!(expired.len() >= 5 && expired.iter().all(|outcome| *outcome == Expired), "{expired:?}");
    let report = f.reports().await.pop().unwrap();
    assert_eq!(report.attempt, 0);
    assert!(report.error.unwrap().contains("time to live"));
    for at in ["acme/after", "acme/next"] {
        f.is_whole(at, from).await;
    }
}

/// A time to live counts for retries too, those of a crash included.
async fn a_run_that_expires_is_not_tried_again(f: &Fixture) {
    let job = |at: &str| hourly(at).attempts(9).expires(Expiry::After(30 * MINUTE));
    f.apply(&[job("acme/retry"), job("acme/crash"), job("acme/soon")]).await;
    let term = f.elect().await;
    f.advance_to(f.next_due("acme/retry").await).await;
    f.fan_out(&term, Duration::ZERO).await;
    let held = f.claim(10).await;
    for (index, job) in held.jobs().into_iter().enumerate() {
        let wait = match job {
            "soon" => 10 * MINUTE,
            "retry" => 31 * MINUTE,
            _ => continue,
        };
        f.settle_one(held.report(index, Verdict::Retry(wait))).await;
    }
    f.advance(20 * MINUTE).await;
    let again = f.claim(10).await;
    assert_eq!((again.jobs(), again.only().attempt), (vec!["soon"], 2), "it is alive");
    f.advance(11 * MINUTE).await;
    assert_eq!(f.rescue(&term).await, (2, 0));
    assert_eq!(f.claim(10).await.items(), []);
    for (at, failures) in [("acme/retry", 1), ("acme/crash", 1), ("acme/soon", 2)] {
        let mut expected = vec![Outcome::Failed; failures];
        expected.push(Expired);
        assert_eq!(f.outcomes(at).await, expected, "{at}");
        assert_eq!(f.live(at).await, []);
    }
    let last = f.reports().await.pop().unwrap();
    assert!(last.attempt > 0, "{last:?}");
    // The jobs are free again.
    f.trigger("acme/crash").await;
    assert_eq!(f.claim(10).await.items().len(), 1);
}

async fn a_job_runs_as_often_as_it_may(f: &Fixture) {
    f.apply(&[hourly("acme/a").max_runs(3)]).await;
    let from = f.now().await;
    let term = f.elect().await;
    assert_eq!(f.job("acme/a").await.runs_left, Some(3));
    f.run_next(&term, "acme/a").await;
    assert_eq!(f.job("acme/a").await.runs_left, Some(2));
    f.advance_to(f.next_due("acme/a").await).await;
    assert_eq!(f.fan_out(&term, 9 * HOUR).await, (2, 0));
    let job = f.job("acme/a").await;
    assert_eq!((job.runs_left, job.next_due), (Some(0), None));
    f.advance(12 * HOUR).await;
    assert_eq!(f.fan_out(&term, 9 * HOUR).await, (0, 0));
    // A trigger is none of them.
    f.trigger_beside("acme/a").await;
    assert_eq!(f.ledger("acme/a", from).await.missing, 0);

    f.apply(&[hourly("acme/a").max_runs(3).timeout(HOUR)]).await;
    assert_eq!(f.job("acme/a").await.runs_left, Some(0), "another setting gives no runs back");
    f.apply(&[cron("acme/a", "30 * * * *").max_runs(2)]).await;
    assert_eq!(f.job("acme/a").await.runs_left, Some(2), "another schedule counts anew");
    let superseded = f.rows("acme/a").await.into_iter().filter(|row| row.0 == Outcome::Superseded);
    assert_eq!(superseded.map(|row| row.1).sum::<u32>(), 2, "the two in the queue: there were no others left");
    assert_eq!(f.fan_out(&term, 9 * HOUR).await, (2, 0));
}

async fn an_interval_runs_as_often_as_it_may(f: &Fixture) {
    f.apply(&[every("acme/a", MINUTE).max_runs(2)]).await;
    let term = f.elect().await;
    for left in [1, 0] {
        let held = f.run_next(&term, "acme/a").await;
        assert_eq!(f.job("acme/a").await.runs_left, Some(left));
        f.settle(&held, Verdict::Succeeded).await;
    }
    f.advance(HOUR).await;
    assert_eq!(f.fan_out(&term, HOUR).await, (0, 0));
    assert_eq!(f.job("acme/a").await.next_due, None);
    assert_eq!(f.store.status().await.unwrap().catalog.stalled_interval_jobs, 0, "it is over, not stalled");
}

async fn a_sweep_makes_one_row_of_a_hundred(f: &Fixture) {
    f.apply(&[every_minute("acme/a").catch_up_skip(10 * MINUTE), every_minute("globex/b")]).await;
    let from = f.now().await;
    let term = f.elect().await;
    assert_eq!(f.fan_out(&term, 100 * MINUTE).await, (200, 0));
    let due: Vec<_> = f.live("acme/a").await.iter().rev().map(|run| run.scheduled_for).collect();
    f.advance(3 * HOUR).await;
    assert_eq!(f.sweep(&term).await, (199, 0), "of the other job the latest may still run");
    let reports = f.reports().await;
    assert_eq!(reports.len(), 2);
    let row = reports.iter().find(|report| report.job.as_str() == "a").unwrap();
    assert_eq!((row.outcome, row.count, row.attempt), (Misfired, 100, 0));
    assert_eq!((row.scheduled_from, row.scheduled_for), (Some(due[0]), due[99]));
    assert_eq!((row.started_at, row.executor.as_ref()), (None, None));
    assert!(row.error.as_deref().unwrap().contains("nobody ran it in time"));
    assert_eq!(reports.iter().find(|report| report.job.as_str() == "b").unwrap().count, 99);
    assert_eq!((f.live("acme/a").await.len(), f.live("globex/b").await.len()), (0, 1));
    assert_eq!(f.sweep(&term).await, (0, 0));
    assert_eq!(f.run_all().await.len(), 1);
    f.fan_out(&term, Duration::ZERO).await;
    for at in ["acme/a", "globex/b"] {
        f.is_whole(at, from).await;
    }
}

async fn a_sweep_ends_what_has_expired(f: &Fixture) {
    f.apply(&[every_minute("acme/a").catch_up_all().expires(Expiry::After(10 * MINUTE))]).await;
    let from = f.now().await;
    let term = f.elect().await;
    f.fan_out(&term, 30 * MINUTE).await;
    f.advance(HOUR).await;
    assert_eq!(f.sweep(&term).await, (0, 30));
    let row = f.reports().await.remove(0);
    assert_eq!((row.outcome, row.count), (Expired, 30));
    f.fan_out(&term, Duration::ZERO).await;
    f.is_whole("acme/a", from).await;
}

/// What a claim would still run stays.
async fn a_sweep_leaves_what_may_still_run(f: &Fixture) {
    let waits = hourly("acme/waits").overlap(Overlap::BufferOne);
    f.apply(&[every_minute("acme/all").catch_up_all(), waits]).await;
    let term = f.elect().await;
    // One that waits for a run, for long.
    f.trigger("acme/waits").await;
    f.claim(1).await.only();
    f.trigger("acme/waits").await;
    f.claim(1).await;
    f.fan_out(&term, 3 * MINUTE).await;
    f.advance(3 * HOUR).await;
    assert_eq!(f.sweep(&term).await, (0, 0));
    assert_eq!((f.live("acme/all").await.len(), f.live("acme/waits").await.len()), (3, 2));
}

/// A later one has come, but there is still time for a claim to find that.
async fn a_sweep_leaves_what_is_not_late(f: &Fixture) {
    f.apply(&[cron("acme/a", "0,20,40 30 * * * *")]).await;
    let term = f.elect().await;
    f.fan_out(&term, HOUR).await;
    f.advance_to(f.live("acme/a").await[0].scheduled_for).await;
    assert_eq!(f.sweep(&term).await, (0, 0));
    f.advance(MINUTE).await;
    assert_eq!(f.sweep(&term).await, (2, 0));
}

/// A run that has started is for a claim to end, which knows what else it leaves behind.
async fn a_sweep_leaves_what_has_started(f: &Fixture) {
    f.apply(&[
        hourly("acme/a").expires(Expiry::After(10 * MINUTE)),
        every("acme/b", HOUR).expires(Expiry::After(MINUTE)),
    ])
    .await;
    let term = f.elect().await;
    let held = f.run_next(&term, "acme/a").await;
    f.settle(&held, Verdict::Retry(MINUTE)).await;
    f.advance(HOUR / 2).await;
    assert_eq!(f.sweep(&term).await, (0, 0));
    assert_eq!(f.claim(1).await.claimed.dismissed, 1);
    let report = f.reports().await.pop().unwrap();
    assert_eq!((report.outcome, report.attempt), (Expired, 1));
}

/// Rows are as long as the due times that follow each other with one outcome.
async fn a_sweep_looks_at_no_more_than_its_limit(f: &Fixture) {
    f.apply(&[every_minute("acme/a").catch_up_skip(MINUTE)]).await;
    let from = f.now().await;
    let term = f.elect().await;
    f.fan_out(&term, 30 * MINUTE).await;
    f.advance(HOUR).await;
    for (misfired, seen) in [(20, 20), (10, 10), (0, 0)] {
        let swept = f.store.sweep(&term, 20).await.unwrap();
        assert_eq!(swept, Swept::Done { misfired, expired: 0, seen });
    }
    assert_eq!(f.reports().await.iter().map(|report| report.count).collect::<Vec<_>>(), [20, 10]);
    f.fan_out(&term, Duration::ZERO).await;
    f.is_whole("acme/a", from).await;
}

/// Hourly jobs of `tenants` tenants, each with `jobs`, whose items are late.
async fn late(f: &Fixture, tenants: usize, jobs: usize, recovery: Recovery) {
    let all: Vec<_> =
        (0..tenants).flat_map(|t| (0..jobs).map(move |j| hourly(&format!("t{t}/j{j}")).priority(0))).collect();
    f.apply_desired(&Desired { recovery, ..desired(&all) }).await;
    let term = f.elect().await;
    f.fan_out(&term, HOUR).await;
    f.advance(HOUR).await;
}

/// Activates until nothing comes for a while; answers how many came and in how many seconds of the store's clock.
async fn activate_at_once(stores: &[SharedStore], f: &Fixture) -> (u64, u64) {
    let before = f.now().await.as_second();
    let calls: Vec<_> = (0..8)
        .map(|n| {
            let store = stores[n % stores.len()].clone();
            tokio::spawn(async move {
                let mut moved = 0;
                for _ in 0..5 {
                    moved += store.activate(1000).await.unwrap().moved;
                }
                moved
            })
        })
        .collect();
    let mut moved = 0;
    for call in calls {
        moved += call.await.unwrap();
    }
    (moved, (f.now().await.as_second() - before + 1).unsigned_abs())
}

async fn ready_by_tenant(f: &Fixture) -> HashMap<String, u64> {
    let ready = RunFilter { states: vec![RunState::Ready], ..RunFilter::default() };
    let mut count = HashMap::new();
    for run in f.store.runs(&ready, 10_000).await.unwrap() {
        *count.entry(run.tenant.to_string()).or_default() += 1;
    }
    count
}

/// However many executors ask, and however often.
async fn what_is_late_becomes_ready_by_the_budget(f: &Fixture) {
    late(f, 40, 25, Recovery { total: 30, per_tenant: 2 }).await;
    let stores = [f.store.clone(), f.another().await];
    let (mut moved, mut seconds) = (0, 0);
    for _ in 0..3 {
        let (more, in_seconds) = activate_at_once(&stores, f).await;
        moved += more;
        seconds += in_seconds;
        assert!(more > 0, "each second has a share");
        assert!(moved <= 30 * seconds, "{moved} in {seconds} s");
        let ready = ready_by_tenant(f).await;
        assert!(ready.values().all(|count| *count <= 2 * seconds), "{ready:?} in {seconds} s");
        f.advance(Duration::from_secs(1)).await;
    }
    assert!(moved < 1000);
    let next_in = f.store.activate(1000).await.unwrap().next_in.expect("more is late");
    assert!(next_in <= Duration::from_secs(1), "{next_in:?}");
}

async fn the_budget_of_a_tenant_leaves_the_total_to_others(f: &Fixture) {
    late(f, 1, 100, Recovery { total: 1000, per_tenant: 7 }).await;
    let (moved, seconds) = activate_at_once(std::slice::from_ref(&f.store), f).await;
    assert!(moved >= 7 && moved <= 7 * seconds, "{moved} in {seconds} s");
}

async fn what_is_on_time_is_not_held_up_by_the_budget(f: &Fixture) {
    let mut jobs: Vec<_> = (0..50).map(|n| hourly(&format!("acme/j{n}"))).collect();
    jobs.push(every_minute("acme/on-time").catch_up_all());
    let recovery = Recovery { total: 3, per_tenant: 3 };
    f.apply_desired(&Desired { recovery, ..desired(&jobs) }).await;
    let term = f.elect().await;
    f.advance_to(f.next_due("acme/j0").await).await;
    f.fan_out(&term, Duration::ZERO).await;
    f.advance(5 * MINUTE).await; // what was late of the other is in line before
    f.store.activate(1000).await.unwrap();

    f.advance_to(f.next_due("acme/on-time").await + SignedDuration::from_mins(10)).await;
    f.fan_out(&term, Duration::ZERO).await;
    let on_time = async || {
        let runs = f.live("acme/on-time").await;
        runs.iter().filter(|run| run.state == RunState::Ready).map(|run| run.scheduled_for).max()
    };
    let now = f.now().await;
    f.store.activate(1000).await.unwrap();
    let latest = on_time().await.expect("one is on time");
    assert!(latest > now - SignedDuration::from_secs(60), "{latest} at {now}");
    let waiting = f.live("acme/j49").await;
    assert_eq!(waiting[0].state, RunState::Waiting, "the others have to wait for their turn");
}

/// What is late stands behind what is on time: its place in line is from when it was let go.
async fn what_is_late_stands_behind_what_is_on_time(f: &Fixture) {
    f.apply(&[hourly("acme/late"), cron("acme/on-time", "30 * * * *")]).await;
    let term = f.elect().await;
    f.fan_out(&term, HOUR).await;
    f.advance_to(f.live("acme/on-time").await[0].scheduled_for).await; // 01:30, due now
    f.advance_to(f.live("acme/late").await[0].scheduled_for + HOUR / 2).await; // 02:30: both are late
    f.fan_out(&term, Duration::ZERO).await; // and one is on time
    let held = f.claim(10).await;
    let on_time = held.items().iter().position(|item| item.scheduled_for.strftime("%H:%M").to_string() == "02:30");
    let late = held.items().iter().position(|item| item.job.as_str() == "late");
    assert!(on_time < late && on_time.is_some(), "{:?}", held.items());
}

async fn the_urgent_and_then_the_oldest_are_made_up_for_first(f: &Fixture) {
    let jobs = [
        cron("acme/young", "50 * * * *"),
        cron("acme/old", "10 * * * *"),
        cron("acme/urgent-young", "40 * * * *").priority(-5),
        cron("acme/urgent-old", "20 * * * *").priority(-5),
    ];
    f.apply_desired(&Desired { recovery: Recovery { total: 1, per_tenant: 1 }, ..desired(&jobs) }).await;
    let term = f.elect().await;
    f.fan_out(&term, HOUR).await;
    f.advance(HOUR).await;
    let mut order = Vec::new();
    for _ in 0..20 {
        let held = f.claim(10).await;
        order.extend(held.jobs().into_iter().map(str::to_owned));
        f.advance(Duration::from_secs(1)).await;
    }
    assert_eq!(order, ["urgent-old", "urgent-young", "old", "young"]);
}

/// The budget is part of the catalog.
async fn the_budget_is_applied_and_kept(f: &Fixture) {
    let with = |recovery| Desired { recovery, ..desired(&[hourly("acme/a")]) };
    f.apply_desired(&with(Recovery::default())).await;
    assert_eq!(f.store.snapshot().await.unwrap().recovery, Recovery { total: 500, per_tenant: 50 });
    let other = Recovery { total: 9, per_tenant: 4 };
    let plan = f.plan_desired(&with(other)).await;
    assert!(!plan.is_empty() && plan.changes.is_empty());
    f.apply_desired(&with(other)).await;
    assert_eq!(f.store.snapshot().await.unwrap().recovery, other);
    assert!(f.plan_desired(&with(other)).await.is_empty());
}

/// A run that waits for another one is nothing that an outage left behind, however long it waits.
async fn what_waited_for_a_run_is_not_late(f: &Fixture) {
    let mut jobs: Vec<_> = (0..50).map(|n| hourly(&format!("acme/late-{n}"))).collect();
    jobs.push(hourly("acme/a").overlap(Overlap::BufferOne));
    f.apply_desired(&Desired { recovery: Recovery { total: 1, per_tenant: 1 }, ..desired(&jobs) }).await;
    let term = f.elect().await;
    f.trigger("acme/a").await;
    let held = f.claim(1).await;
    let waiting = f.trigger("acme/a").await;
    f.claim(1).await;
    f.fan_out(&term, HOUR).await;
    f.advance(5 * HOUR).await;
    f.activate().await; // takes this second's share
    f.settle(&held, Verdict::Succeeded).await;
    assert!(f.claim(10).await.ids().contains(&waiting));
}

both!(
    skip_runs_within_its_grace_and_not_after_it,
    skip_does_not_look_at_later_due_times,
    last_runs_the_latest,
    all_run_but_those_that_are_too_old,
    all_with_overlap_skip_runs_one_after_the_other,
    an_outage_of_the_leader_is_one_row,
    a_run_that_expires_does_not_start,
    a_run_that_expires_is_not_tried_again,
    a_job_runs_as_often_as_it_may,
    an_interval_runs_as_often_as_it_may,
    a_sweep_makes_one_row_of_a_hundred,
    a_sweep_ends_what_has_expired,
    a_sweep_leaves_what_may_still_run,
    a_sweep_leaves_what_is_not_late,
    a_sweep_leaves_what_has_started,
    a_sweep_looks_at_no_more_than_its_limit,
    what_is_late_becomes_ready_by_the_budget,
    the_budget_of_a_tenant_leaves_the_total_to_others,
    what_is_on_time_is_not_held_up_by_the_budget,
    what_is_late_stands_behind_what_is_on_time,
    the_urgent_and_then_the_oldest_are_made_up_for_first,
    the_budget_is_applied_and_kept,
    what_waited_for_a_run_is_not_late,
);
