//! Fleets in small, over a store that fails before and after its commits: the callers repeat what they are not sure of,
//! and in the end every expected run has exactly one terminal report.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use leasehold_common::definition::Definition;
use leasehold_common::lease::{Acquired, Term};
use leasehold_common::plan;
use leasehold_common::run::{Cause, Outcome, Report};
use leasehold_common::store::{ClaimRequest, Dispatched, DueSet, ErrorKind, SharedStore, StoreResult, Verdict};
use leasehold_tests::faulty::Faulty;
use leasehold_tests::steps::{FOR_EVER, HOUR, Held, Job, MINUTE, candidate, every, hourly};
use leasehold_tests::stores::Fixture;
use uuid::Uuid;

/// Repeats a call until it answers.
async fn sure<T, F: Future<Output = StoreResult<T>>>(call: impl Fn() -> F) -> T {
    for _ in 0..1000 {
        match call().await {
            Ok(answer) => return answer,
            Err(error) => assert_eq!(error.kind, ErrorKind::Unavailable, "{error}"),
        }
    }
    panic!("no answer");
}

/// A leader. An election of which it does not know is followed by another one of its own.
async fn lead(store: &SharedStore, me: &leasehold_common::lease::Candidate) -> Term {
    match sure(|| store.acquire(me, FOR_EVER)).await {
        Acquired::Elected(term) => term,
        other => panic!("{other:?}"),
    }
}

/// One round of the leader: all that is due or late, fanned out. A launch that may or may not have been written is planned
/// anew from what is there.
async fn fan_out(store: &SharedStore, term: &Term) {
    loop {
        let mut launches = Vec::new();
        for set in [DueSet::OnTime, DueSet::Late] {
            let batch = sure(|| store.due(set, Duration::ZERO, 50)).await;
            for job in &batch.jobs {
                let ids = [job.definition];
                let (_, body) = sure(|| store.definitions(&ids)).await.remove(0);
                let timing = serde_json::from_str::<Definition>(&body).unwrap().timing().compile(job.key).unwrap();
                launches.push(plan::plan(job, &timing, batch.now, batch.now));
            }
        }
        if launches.is_empty() {
            return;
        }
        if let Ok(answer) = store.dispatch(term, &launches).await {
            assert!(matches!(answer, Dispatched::Done(_)), "{answer:?}");
        }
    }
}

/// One round of an executor: claims once, runs, and reports until it gets an answer. A claim whose answer was lost is
/// nobody's, until it is rescued.
async fn execute(store: &SharedStore, verdict: impl Fn(u32) -> Verdict) {
    let executor = Uuid::now_v7();
    sure(|| store.activate(1000)).await;
    let queues = vec!["default".parse().unwrap()];
    let Ok(claimed) = store.claim(&ClaimRequest { executor, queues, limit: 10, ttl: MINUTE, abilities: None }).await
    else {
        return;
    };
    let held = Held { executor, claimed };
    for part in held.reports(Verdict::Succeeded).chunks(3) {
        let part: Vec<_> = part
            .iter()
            .map(|report| leasehold_common::store::AttemptReport { verdict: verdict(report.attempt), ..report.clone() })
            .collect();
        sure(|| store.settle(executor, &part, &[])).await;
    }
    if !held.items().is_empty() {
        let finished = [held.claim()];
        sure(|| store.settle(executor, &[], &finished)).await;
    }
}

struct Flow {
    faulty: Arc<Faulty>,
    store: SharedStore,
    clean: SharedStore,
}

impl Flow {
    fn over(f: &Fixture, seed: u64) -> Self {
        let faulty = Faulty::new(f.store.clone(), seed, 0.25);
        Self { store: faulty.clone(), faulty, clean: f.store.clone() }
    }

    /// Both kinds of faults have come.
    fn has_failed(&self) {
        let (before, after) = self.faulty.faults();
        assert!(before > 10 && after > 10, "{before} before, {after} after: too few to show anything");
    }

    async fn live(&self) -> usize {
        let queue = self.clean.status().await.unwrap().queue;
        usize::try_from(queue.depth + queue.waiting + queue.running).unwrap()
    }

    /// Executors and rescues until nothing is left.
    async fn drain(&self, f: &Fixture, term: &Term, verdict: impl Fn(u32) -> Verdict) {
        for _ in 0..500 {
            for _ in 0..3 {
                execute(&self.store, &verdict).await;
            }
            if self.live().await == 0 {
                return;
            }
            f.advance(2 * MINUTE).await;
            sure(|| self.store.rescue(term, 100)).await;
        }
        panic!("the queue does not empty: {} left", self.live().await);
    }
}

/// The terminal reports of each scheduled run, by job and due time.
fn terminal(reports: &[Report]) -> BTreeMap<(String, Timestamp), Vec<Outcome>> {
    let mut runs: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for report in reports.iter().filter(|report| report.cause == Cause::Schedule && report.outcome.is_terminal()) {
        runs.entry((report.job.to_string(), report.scheduled_for)).or_default().push(report.outcome);
    }
    runs
}

async fn every_due_time_ends_once(f: &Fixture) {
    const HOURS: i64 = 4;
    let jobs: Vec<Job> = (0..12).map(|n| hourly(&format!("t{}/j{n}", n % 3)).attempts(50)).collect();
    let flow = Flow::over(f, 20_261_121);
    f.apply(&jobs).await;
    let me = candidate();
    let mut expected = BTreeSet::new();
    let mut due = f.next_due("t0/j0").await;
    for _ in 0..HOURS {
        f.advance_to(due).await;
        let term = lead(&flow.store, &me).await;
        fan_out(&flow.store, &term).await;
        flow.drain(f, &term, |attempt| if attempt == 1 { Verdict::Retry(Duration::ZERO) } else { Verdict::Succeeded })
            .await;
        expected.extend(jobs.iter().map(|job| (job.path.1.to_string(), due)));
        due += SignedDuration::from_hours(1);
    }
    flow.has_failed();
    let ended = terminal(&f.reports().await);
    assert_eq!(ended.keys().cloned().collect::<BTreeSet<_>>(), expected);
    for (run, outcomes) in ended {
        assert_eq!(outcomes, [Outcome::Succeeded], "{run:?}");
    }
}

/// With one attempt a claim whose answer is lost is deadly, and interval jobs go on all the same.
async fn interval_jobs_go_on(f: &Fixture) {
    let jobs: Vec<Job> = (0..8).map(|n| every(&format!("acme/j{n}"), HOUR).attempts(1 + n % 2)).collect();
    let flow = Flow::over(f, 7);
    f.apply(&jobs).await;
    let me = candidate();
    for _ in 0..6 {
        f.advance(HOUR + MINUTE).await;
        let term = lead(&flow.store, &me).await;
        fan_out(&flow.store, &term).await;
        flow.drain(f, &term, |_| Verdict::Succeeded).await;
        assert_eq!(f.store.status().await.unwrap().catalog.stalled_interval_jobs, 0);
    }
    flow.has_failed();
    let ended = terminal(&f.reports().await);
    assert!(ended.len() >= 6 * 8, "{}", ended.len());
    for (run, outcomes) in &ended {
        assert_eq!(outcomes.len(), 1, "{run:?}");
    }
    for job in &jobs {
        let due: Vec<_> = ended.keys().filter(|(name, _)| *name == job.path.1.as_str()).map(|(_, due)| *due).collect();
        assert!(due.windows(2).all(|pair| pair[1].duration_since(pair[0]) >= SignedDuration::from_hours(1)));
    }
}

/// A catalog that is applied until the store has it, while runs of it are under way.
async fn a_catalog_arrives_whole(f: &Fixture) {
    let flow = Flow::over(f, 99);
    let me = candidate();
    for round in 0..6 {
        let jobs: Vec<Job> = (round..round + 10).map(|n| hourly(&format!("acme/j{n}")).attempts(50)).collect();
        let store = &flow.store;
        let desired = leasehold_tests::steps::desired(&jobs);
        loop {
            let snapshot = sure(|| store.snapshot()).await;
            let plan = leasehold_common::catalog::plan(&desired, &snapshot, |_| None).unwrap();
            if plan.is_empty() {
                break;
            }
            let _ = store.apply(&plan, None).await; // the next plan tells
        }
        f.advance(HOUR).await;
        let term = lead(store, &me).await;
        fan_out(store, &term).await;
        flow.drain(f, &term, |_| Verdict::Succeeded).await;
    }
    flow.has_failed();
    let reports = f.reports().await;
    let ended = terminal(&reports);
    assert_eq!(ended.len(), 60);
    assert!(ended.values().all(|outcomes| *outcomes == [Outcome::Succeeded]));
    assert_eq!(f.store.status().await.unwrap().catalog.jobs, 10);
}

both!(every_due_time_ends_once, interval_jobs_go_on, a_catalog_arrives_whole);
