//! Everything at once: a leader, executors, people who cancel, trigger, backfill, pause and resume, and edits of the
//! catalog.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use leasehold_common::definition::Overlap;
use leasehold_common::run::RunState;
use leasehold_common::store::{AttemptReport, ClaimRequest, Dispatched, RunFilter, SharedStore, Verdict};
use leasehold_tests::steps::{Held, Job, MINUTE, every, path};
use leasehold_tests::stores::Fixture;
use uuid::Uuid;

const JOBS: usize = 60;
const FOR: Duration = Duration::from_secs(3);

const OVERLAPS: [Overlap; 5] =
    [Overlap::Skip, Overlap::Allow, Overlap::BufferOne, Overlap::BufferAll, Overlap::CancelPrevious];

fn jobs(round: u64) -> Vec<Job> {
    (0..JOBS)
        .map(|n| {
            // A third changes its interval with each round, a third something else.
            let interval = Duration::from_millis(if n % 3 == 0 { 1 + round % 5 } else { 2 });
            let job = every(&format!("t{}/j{n}", n % 4), interval)
                .timeout(if n % 3 == 1 { MINUTE * u32::try_from(round % 7 + 1).unwrap() } else { MINUTE })
                .overlap(OVERLAPS[n % OVERLAPS.len()])
                .buffer(3)
                .attempts(3);
            if n % 7 == 0 { job.pause_after(2) } else { job }
        })
        .collect()
}

async fn execute(store: SharedStore, stop: Arc<AtomicBool>, verdict: fn(usize, &AttemptReport) -> Verdict) {
    let (executor, mut n) = (Uuid::now_v7(), 0);
    while !stop.load(Ordering::SeqCst) {
        store.activate(500).await.unwrap();
        let queues = vec!["default".parse().unwrap()];
        let claimed =
            store.claim(&ClaimRequest { executor, queues, limit: 15, ttl: MINUTE, abilities: None }).await.unwrap();
        let held = Held { executor, claimed };
        store.extend(executor, &[held.claim()], MINUTE).await.unwrap();
        let reports: Vec<_> = held
            .reports(Verdict::Succeeded)
            .into_iter()
            .map(|report| {
                n += 1;
                AttemptReport { verdict: verdict(n, &report), ..report }
            })
            .collect();
        store.settle(executor, &reports, &[held.claim()]).await.unwrap();
    }
}

async fn nothing_breaks_and_nothing_deadlocks(f: &Fixture) {
    f.apply(&jobs(0)).await;
    let term = f.elect().await;
    let stop = Arc::new(AtomicBool::new(false));
    let executors: Vec<_> = (0..3)
        .map(|_| {
            tokio::spawn(execute(f.store.clone(), Arc::clone(&stop), |n, report| match n % 7 {
                0 if report.attempt < 3 => Verdict::Retry(Duration::from_millis(1)),
                1 if report.attempt < 3 => Verdict::Released,
                2 => Verdict::Dead,
                _ => Verdict::Succeeded,
            }))
        })
        .collect();
    let now = f.now().await;
    let keys: Vec<_> = f.store.snapshot().await.unwrap().jobs.iter().map(|job| job.key).collect();
    let operator = tokio::spawn({
        let (store, stop, keys) = (f.store.clone(), Arc::clone(&stop), keys.clone());
        async move {
            let mut n = 0;
            while !stop.load(Ordering::SeqCst) {
                n += 7;
                let some: Vec<_> = (n..n + 5).map(|n| keys[n % keys.len()]).collect();
                store.pause(&some, "maintenance", (n % 2 == 0).then_some(now + 60 * MINUTE)).await.unwrap();
                store
                    .backfill(some[0], &[now - MINUTE * u32::try_from(n % 50).unwrap()], Duration::ZERO)
                    .await
                    .unwrap();
                store.resume(&some).await.unwrap();
            }
        }
    });
    let people = tokio::spawn({
        let (store, stop) = (f.store.clone(), Arc::clone(&stop));
        async move {
            let mut n = 0;
            while !stop.load(Ordering::SeqCst) {
                n += 1;
                let (tenant, job) = path(&format!("t{}/j{}", n % JOBS % 4, n % JOBS));
                store.trigger(&tenant, &job, n % 5 == 0).await.unwrap();
                for run in store
                    .runs(&RunFilter { states: vec![RunState::Ready, RunState::Waiting], ..Default::default() }, 2)
                    .await
                    .unwrap()
                {
                    store.cancel(run.correlation_id).await.unwrap();
                }
            }
        }
    });
    let start = Instant::now();
    let mut round = 0;
    while start.elapsed() < FOR {
        round += 1;
        if round % 5 == 0 {
            f.apply(&jobs(round)).await;
        }
        let launches = f.launches(Duration::from_millis(5)).await;
        assert!(matches!(f.store.dispatch(&term, &launches).await.unwrap(), Dispatched::Done(_)));
        f.store.rescue(&term, 100).await.unwrap();
        f.store.sweep(&term, 100).await.unwrap();
    }
    stop.store(true, Ordering::SeqCst);
    people.await.unwrap();
    operator.await.unwrap();
    for executor in executors {
        executor.await.unwrap();
    }

    f.store.resume(&keys).await.unwrap();
    assert_eq!(f.store.status().await.unwrap().catalog.stalled_interval_jobs, 0);
    for job in jobs(round) {
        let at = format!("{}/{}", job.path.0, job.path.1);
        let live = f.live(&at).await;
        let scheduled = live.iter().filter(|run| run.correlation_id.kind().is_scheduled()).count();
        assert_eq!(scheduled + usize::from(f.job(&at).await.next_due.is_some()), 1, "{at}: {live:?}");
    }
    let mut ends: HashMap<_, u32> = HashMap::new();
    let reports = f.reports().await;
    for report in reports.iter().filter(|report| report.outcome.is_terminal()) {
        *ends.entry(report.correlation_id).or_default() += 1;
    }
    assert!(ends.len() > JOBS, "{} runs: too few to show anything", ends.len());
    assert!(ends.values().all(|ends| *ends == 1));
    if f.is_postgres() {
        // The server counts what the store has repeated.
        f.store.close().await;
        let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
        leasehold_tests::wait::until("the server has counted", || async {
            let ended =
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
            if f.number(ended).await == 0 { Ok(()) } else { Err("connections are open") }
        })
        .await;
        assert_eq!(f.number(deadlocks).await, 0);
    }
}

both!(nothing_breaks_and_nothing_deadlocks);
