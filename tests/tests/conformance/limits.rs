//! Limits of concurrency: never exceeded, whoever crashes, and what has no room stands in nobody's way.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use leasehold_common::definition::Expiry;
use leasehold_common::limit::Limits;
use leasehold_common::run::{Outcome, RunState};
use leasehold_common::store::{Cancelled, ClaimRequest, Settled, Verdict};
use leasehold_tests::steps::{HOUR, Held, Job, MINUTE, TenantWords as _, at_once, every, hourly, tenant};
use leasehold_tests::stores::Fixture;
use uuid::Uuid;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// A job whose items may run beside each other.
pub(crate) fn wide(at: &str) -> Job {
    hourly(at).allow_overlap()
}

/// How many permits of concurrency are out, and how many items wait for room.
pub(crate) async fn in_use(f: &Fixture) -> i64 {
    let schema = if f.is_postgres() { "leasehold." } else { "" };
    f.number(&format!("SELECT CAST(coalesce(sum(in_use), 0) AS bigint) FROM {schema}gate")).await
}

pub(crate) async fn parked(f: &Fixture) -> u64 {
    f.store.queues().await.unwrap().iter().map(|queue| queue.limited).sum()
}

/// Lets every item that has no room find out.
pub(crate) async fn park_all(f: &Fixture) {
    assert_eq!(f.claim_on(100).await.items(), []);
}

async fn a_job_runs_no_more_than_so_often_at_once(f: &Fixture) {
    f.apply(&[wide("acme/a").limited(at_once(2)), wide("globex/a").limited(at_once(2)), wide("acme/b")]).await;
    f.backlog("acme/a", 5).await;
    let first = f.claim_on(10).await;
    assert_eq!(first.items().len(), 2);
    assert_eq!(f.claim_on(10).await.items(), []);
    // Its namesake has room of its own, and so has another job.
    f.backlog("globex/a", 3).await;
    f.backlog("acme/b", 1).await;
    let others = f.claim_on(10).await;
    assert_eq!(others.items().len(), 3);
    assert_eq!(f.settle_one(first.report(0, Verdict::Succeeded)).await, Settled::Recorded);
    let second = f.claim_on(10).await;
    assert_eq!(second.only().tenant.as_str(), "acme");
    assert_eq!(f.settle_one(first.report(1, Verdict::Succeeded)).await, Settled::Recorded);
    f.settle(&second, Verdict::Succeeded).await;
    let third = f.claim_on(10).await;
    assert_eq!(third.items().len(), 2);
    f.settle(&third, Verdict::Succeeded).await;
    f.settle(&others, Verdict::Succeeded).await;
    assert_eq!(f.outcomes("acme/a").await, [Outcome::Succeeded; 5]);
    assert_eq!(f.claim_on(10).await.only().tenant.as_str(), "globex", "one is left");
    assert_eq!((in_use(f).await, parked(f).await), (1, 0));
}

async fn a_tenant_runs_no_more_than_so_much_at_once(f: &Fixture) {
    f.apply_of(&[tenant("acme").limited(at_once(3))], &[wide("acme/a"), wide("acme/b"), wide("globex/a")]).await;
    for at in ["acme/a", "acme/b", "globex/a"] {
        f.backlog(at, 4).await;
    }
    let mut held = Vec::new();
    for _ in 0..10 {
        held.push(f.claim_on(5).await);
    }
    let of = |held: &[Held], tenant: &str| {
        held.iter().flat_map(Held::items).filter(|item| item.tenant.as_str() == tenant).count()
    };
    assert_eq!((of(&held, "acme"), of(&held, "globex")), (3, 4));
    for held in &held {
        f.settle(held, Verdict::Succeeded).await;
    }
    assert_eq!(f.claim_on(20).await.items().len(), 3);
    assert_eq!(parked(f).await, 2);
}

async fn a_job_runs_no_more_than_so_often_over_all_tenants(f: &Fixture) {
    let jobs: Vec<_> = (0..4).map(|n| wide(&format!("t{n}/a")).total(at_once(3))).collect();
    f.apply(&[jobs, vec![wide("t0/b")]].concat()).await;
    for n in 0..4 {
        f.backlog(&format!("t{n}/a"), 2).await;
    }
    f.backlog("t0/b", 1).await;
    let mut ran = 0;
    for _ in 0..20 {
        let held = f.claim_on(10).await;
        assert!(held.jobs().iter().filter(|job| **job == "a").count() <= 3);
        ran += held.items().len();
        f.settle(&held, Verdict::Succeeded).await;
    }
    assert_eq!((ran, in_use(f).await, parked(f).await), (9, 0, 0));
}

/// A run passes all of its gates or none: one that has room at one gate and none at another takes nothing.
async fn all_or_nothing(f: &Fixture) {
    let jobs = [wide("acme/a").limited(at_once(1)), wide("acme/b"), wide("globex/a").total(at_once(9))];
    f.apply_of(&[tenant("acme").limited(at_once(2))], &jobs).await;
    f.backlog("acme/a", 6).await;
    f.backlog("acme/b", 6).await;
    let held = f.claim_on(10).await;
    let again = f.claim_on(10).await;
    let mut got = [held.jobs(), again.jobs()].concat();
    got.sort_unstable();
    assert_eq!(got, ["a", "b"], "the second of a takes no room of the tenant");
    assert_eq!(in_use(f).await, 1 + 2);
    for held in [held, again] {
        f.settle(&held, Verdict::Succeeded).await;
    }
    assert_eq!(in_use(f).await, 0);
}

/// What an overlap policy ends took no room.
async fn what_does_not_start_takes_no_room(f: &Fixture) {
    f.apply_of(&[tenant("acme").limited(at_once(3))], &[hourly("acme/a"), hourly("acme/b")]).await;
    f.trigger("acme/a").await;
    let first = f.claim_on(1).await;
    for _ in 0..4 {
        f.trigger("acme/a").await;
    }
    f.trigger("acme/b").await;
    let second = f.claim_on(10).await;
    assert_eq!(second.jobs(), ["b"]);
    assert_eq!(in_use(f).await, 2);
    park_all(f).await;
    assert_eq!(f.outcomes("acme/a").await, [Outcome::Overlapped; 4]);
    f.settle(&first, Verdict::Succeeded).await;
    f.settle(&second, Verdict::Succeeded).await;
    assert_eq!((in_use(f).await, parked(f).await), (0, 0));
}

/// The overlap policy of a job says what becomes of its due times, also where a limit has no room for them.
async fn an_overlap_is_one_also_without_room(f: &Fixture) {
    f.apply(&[hourly("acme/a").limited(at_once(1))]).await;
    f.trigger("acme/a").await;
    f.claim_on(1).await.only();
    f.trigger("acme/a").await;
    park_all(f).await;
    assert_eq!(f.outcomes("acme/a").await, [Outcome::Overlapped]);
    assert_eq!(parked(f).await, 0);
}

async fn what_has_no_room_stands_in_nobodys_way(f: &Fixture) {
    f.apply(&[wide("acme/a").limited(at_once(1)), wide("acme/b")]).await;
    f.backlog("acme/a", 1_000).await;
    f.backlog("acme/b", 30).await;
    let mut got = Vec::new();
    while got.len() < 31 {
        let held = f.claim_on(20).await;
        assert!(!held.items().is_empty(), "only {} of 31", got.len());
        got.extend(held.jobs().into_iter().map(str::to_owned));
    }
    assert_eq!(got.iter().filter(|job| *job == "a").count(), 1);
    park_all(f).await;
    let queues = f.store.queues().await.unwrap();
    assert_eq!((queues[0].depth, queues[0].limited, queues[0].running), (0, 999, 31));
    assert_eq!(f.live("acme/a").await.iter().filter(|run| run.state == RunState::Ready).count(), 999);
    // One claim of what comes next sees none of them.
    f.backlog("acme/b", 1).await;
    let held = f.claim_from(&["default"], 1).await;
    assert_eq!((held.jobs(), held.claimed.dismissed), (vec!["b"], 0));
}

async fn what_frees_room_lets_the_first_in_line_go(f: &Fixture) {
    let jobs = [
        wide("acme/a").limited(at_once(2)),
        wide("acme/urgent").priority(-3).total(at_once(2)),
        wide("globex/urgent").priority(3).total(at_once(2)),
    ];
    f.apply(&jobs).await;
    f.backlog("acme/a", 6).await;
    let mut order = Vec::new();
    let mut held = f.claim_on(1).await;
    park_all_but(f, &mut order, &mut held).await;
    let due: Vec<Timestamp> = order.clone();
    assert!(due.is_sorted(), "{due:?}");
    assert_eq!(due.len(), 6);
    // By priority, if they share a gate.
    f.backlog("globex/urgent", 3).await;
    let first = f.claim_on(2).await;
    assert_eq!(first.items().len(), 2);
    park_all(f).await;
    f.backlog("acme/urgent", 1).await;
    park_all(f).await;
    assert_eq!(parked(f).await, 2);
    f.settle_one(first.report(0, Verdict::Succeeded)).await;
    assert_eq!(f.claim_on(5).await.only().tenant.as_str(), "acme");
}

/// Runs one after the other until nothing is left.
async fn park_all_but(f: &Fixture, order: &mut Vec<Timestamp>, held: &mut Held) {
    while !held.items().is_empty() {
        order.extend(held.items().iter().map(|item| item.scheduled_for));
        f.settle(held, Verdict::Succeeded).await;
        *held = f.claim_on(1).await;
    }
}

async fn a_retry_gives_its_room_back_and_passes_again(f: &Fixture) {
    f.apply(&[wide("acme/a").limited(at_once(1))]).await;
    f.backlog("acme/a", 2).await;
    let first = f.claim_on(5).await;
    let failed = first.only().id;
    park_all(f).await;
    f.settle(&first, Verdict::Retry(MINUTE)).await;
    assert_eq!(in_use(f).await, 0);
    let second = f.claim_on(5).await;
    assert_ne!(second.only().id, failed);
    f.advance(2 * MINUTE).await;
    assert_eq!(f.claim_on(5).await.items(), [], "the retry waits for room like everybody");
    assert_eq!(parked(f).await, 1);
    f.settle(&second, Verdict::Released).await;
    let third = f.claim_on(5).await;
    assert_eq!(third.items().len(), 1);
    f.settle(&third, Verdict::Succeeded).await;
    let fourth = f.claim_on(5).await;
    f.settle(&fourth, Verdict::Succeeded).await;
    let mut ended = [third.only(), fourth.only()].map(|item| (item.id == failed, item.attempt));
    ended.sort_unstable();
    assert_eq!(ended, [(false, 2), (true, 2)]);
    assert_eq!((in_use(f).await, parked(f).await), (0, 0));
}

async fn a_crash_gives_room_back_once(f: &Fixture) {
    f.apply(&[wide("acme/a").limited(at_once(2)).attempts(2)]).await;
    let term = f.elect().await;
    f.backlog("acme/a", 8).await;
    let lost = f.claim_on(8).await;
    assert_eq!(lost.items().len(), 2);
    park_all(f).await;
    f.advance(2 * MINUTE).await;
    assert_eq!(f.claim_on(8).await.items(), [], "nobody has said that they are over");
    assert_eq!(f.rescue(&term).await, (2, 0));
    let second = f.claim_on(8).await;
    assert_eq!(second.items().len(), 2);
    // The executor was only slow, and says so now; its claim may even be rescued once more.
    assert_eq!(f.settle(&lost, Verdict::Succeeded).await, [Settled::Stale; 2]);
    assert_eq!(f.rescue(&term).await, (0, 0));
    assert_eq!(f.claim_on(8).await.items(), []);
    assert_eq!(in_use(f).await, 2);
    // Without an attempt left they end, and the room is free as well.
    let mut ran = 0;
    for _ in 0..10 {
        f.advance(2 * MINUTE).await;
        f.rescue(&term).await;
        ran += f.claim_on(8).await.items().len();
        assert!(in_use(f).await <= 2);
    }
    assert_eq!(ran, 2 * 8 - 2 - 2, "each of eight twice");
    assert_eq!((in_use(f).await, parked(f).await), (0, 0));
    assert_eq!(f.outcomes("acme/a").await.iter().filter(|outcome| **outcome == Outcome::Dead).count(), 8);
}

async fn a_limit_that_is_raised_or_goes_lets_waiting_items_go(f: &Fixture) {
    let with = |limits| [wide("acme/a").limited(limits)];
    f.apply(&with(at_once(1))).await;
    let term = f.elect().await;
    f.backlog("acme/a", 8).await;
    let mut held = vec![f.claim_on(8).await];
    park_all(f).await;
    f.apply(&with(at_once(3))).await;
    f.rescue(&term).await;
    held.push(f.claim_on(8).await);
    assert_eq!(held[1].items().len(), 2);
    assert_eq!(in_use(f).await, 3);
    // Lowered: what runs goes on, and nothing starts until there is room again.
    f.apply(&with(at_once(2))).await;
    f.rescue(&term).await;
    assert_eq!(f.claim_on(8).await.items(), []);
    f.settle(&held[0], Verdict::Succeeded).await;
    assert_eq!(f.claim_on(8).await.items(), []);
    f.settle_one(held[1].report(0, Verdict::Succeeded)).await;
    held.push(f.claim_on(8).await);
    assert_eq!(held[2].items().len(), 1);
    // None any longer.
    f.apply(&with(Limits::default())).await;
    f.rescue(&term).await;
    assert_eq!(f.claim_on(8).await.items().len(), 4);
    assert_eq!(parked(f).await, 0);
    f.settle_one(held[1].report(1, Verdict::Succeeded)).await;
    f.settle(&held[2], Verdict::Succeeded).await;
    assert_eq!(in_use(f).await, 0);
}

/// A limit of a tenant binds jobs that are otherwise left as they are.
async fn a_tenants_limit_that_is_new_binds_its_jobs(f: &Fixture) {
    let jobs = [wide("acme/a"), wide("globex/a")];
    f.apply(&jobs).await;
    f.apply_of(&[tenant("acme").limited(at_once(2))], &jobs).await;
    f.backlog("acme/a", 5).await;
    f.backlog("globex/a", 5).await;
    let held = [f.claim_on(10).await, f.claim_on(10).await];
    assert_eq!(held.iter().map(|held| held.items().len()).sum::<usize>(), 7);
    f.apply(&jobs).await;
    let term = f.elect().await;
    f.rescue(&term).await;
    assert_eq!(f.claim_on(10).await.items().len(), 3);
}

/// Claims, holds for a moment and settles, with others, until all is done; nobody else lets anything go.
async fn work_off(f: &Fixture, items: u32, limit: u32, gates: &[(&'static str, u32)]) {
    let running: Arc<Mutex<HashMap<&'static str, u32>>> = Arc::default();
    let done = Arc::new(AtomicU32::new(0));
    let processes = [f.store.clone(), f.another().await];
    let calls: Vec<_> = (0..6)
        .map(|n| {
            let (store, done, running) = (processes[n % 2].clone(), Arc::clone(&done), Arc::clone(&running));
            let request = ClaimRequest {
                executor: Uuid::now_v7(),
                queues: vec!["default".parse().unwrap()],
                limit: limit + u32::try_from(n).unwrap(),
                ttl: HOUR,
                abilities: None,
            };
            let gates = gates.to_vec();
            tokio::spawn(async move {
                let start = Instant::now();
                while done.load(Ordering::SeqCst) < items {
                    assert!(start.elapsed() < 60 * SECOND, "{} of {items} done", done.load(Ordering::SeqCst));
                    store.activate(1_000).await.unwrap();
                    let claimed = store.claim(&request).await.unwrap();
                    let held = Held { executor: request.executor, claimed };
                    let passes = |gate: &str| -> u32 {
                        let of = held.items().iter().filter(|i| gate == i.tenant.as_str() || gate == i.job.as_str());
                        u32::try_from(of.count()).unwrap()
                    };
                    for (gate, most) in &gates {
                        let mut running = running.lock().unwrap();
                        let count = running.entry(gate).or_default();
                        *count += passes(gate);
                        assert!(*count <= *most, "{count} of {gate} run at once");
                    }
                    tokio::task::yield_now().await;
                    for (gate, _) in &gates {
                        *running.lock().unwrap().entry(gate).or_default() -= passes(gate);
                    }
                    // The second try of each is the last.
                    let mut reports = held.reports(Verdict::Succeeded);
                    for report in &mut reports {
                        if report.attempt == 1 && report.id.due().as_second() % 3 == 0 {
                            report.verdict = Verdict::Retry(Duration::ZERO);
                        } else {
                            done.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                    let settled = store.settle(held.executor, &reports, &[held.claim()]).await.unwrap();
                    assert!(settled.iter().all(|settled| *settled == Settled::Recorded));
                }
            })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    assert_eq!(done.load(Ordering::SeqCst), items);
    assert_eq!((in_use(f).await, parked(f).await), (0, 0));
}

async fn no_limit_is_exceeded_by_concurrent_claimers(f: &Fixture) {
    f.apply(&[wide("acme/a").limited(at_once(4))]).await;
    f.backlog("acme/a", 200).await;
    work_off(f, 200, 3, &[("acme", 4)]).await;
}

async fn no_limit_of_several_is_exceeded_by_concurrent_claimers(f: &Fixture) {
    let tenants = [tenant("acme").limited(at_once(5)), tenant("globex").limited(at_once(3))];
    let jobs = ["acme/a", "acme/b", "globex/a", "globex/c"];
    let jobs = jobs.map(|at| {
        let job = wide(at);
        if at.ends_with("/a") { job.total(at_once(4)).limited(at_once(3)) } else { job }
    });
    f.apply_of(&tenants, &jobs).await;
    for job in &jobs {
        f.backlog(&format!("{}/{}", job.path.0, job.path.1), 60).await;
    }
    work_off(f, 240, 4, &[("acme", 5), ("globex", 3), ("a", 4)]).await;
}

/// Room that a woken item does not use goes to the next one.
async fn room_that_is_not_used_is_passed_on(f: &Fixture) {
    let jobs = [wide("acme/a"), wide("acme/b"), wide("acme/c")];
    f.apply_of(&[tenant("acme").limited(at_once(1))], &jobs).await;
    f.trigger("acme/a").await;
    let first = f.claim_on(5).await;
    for _ in 0..30 {
        f.trigger("acme/b").await;
    }
    let last = f.trigger("acme/c").await;
    park_all(f).await;
    assert_eq!(parked(f).await, 31);
    f.advance(SECOND).await;
    let schema = if f.is_postgres() { "leasehold." } else { "" };
    let key = f.key("acme/b").await.as_i64();
    f.execute(&format!("UPDATE {schema}ready SET expires_at = 1 WHERE job_key = {key}")).await;
    f.settle(&first, Verdict::Succeeded).await;
    assert_eq!(f.claim_on(1).await.ids(), [last]);
    assert_eq!(f.outcomes("acme/b").await, [Outcome::Expired; 30]);
    assert_eq!((in_use(f).await, parked(f).await), (1, 0));
}

async fn what_waits_for_room_can_be_cancelled(f: &Fixture) {
    f.apply(&[wide("acme/a").limited(at_once(1))]).await;
    f.trigger("acme/a").await;
    let first = f.claim_on(5).await;
    let second = f.trigger("acme/a").await;
    let third = f.trigger("acme/a").await;
    park_all(f).await;
    assert_eq!(f.state(second).await, RunState::Ready);
    assert_eq!(f.cancel(second).await, Cancelled::Ended);
    assert_eq!(f.outcomes("acme/a").await, [Outcome::Cancelled]);
    assert_eq!((in_use(f).await, parked(f).await), (1, 1));
    f.settle(&first, Verdict::Succeeded).await;
    assert_eq!(f.claim_on(5).await.ids(), [third]);
}

async fn what_waits_for_room_ends_when_its_job_is_edited_or_goes(f: &Fixture) {
    let limited = |at: &str| hourly(at).total(at_once(1)).overlap(leasehold_common::definition::Overlap::Allow);
    f.apply(&[limited("acme/a"), limited("globex/a"), limited("umbrella/a")]).await;
    let term = f.elect().await;
    f.trigger("umbrella/a").await;
    let first = f.claim_on(5).await;
    f.advance(HOUR).await;
    f.fan_out(&term, Duration::ZERO).await;
    park_all(f).await;
    assert_eq!(parked(f).await, 3);
    // Another schedule, gone, and as before.
    let mut edited = limited("acme/a");
    edited.definition.schedule = hourly("acme/a").max_runs(7).definition.schedule;
    f.apply(&[edited, limited("umbrella/a")]).await;
    assert_eq!(f.outcomes("acme/a").await, [Outcome::Superseded]);
    assert_eq!(f.outcomes("globex/a").await, [Outcome::Cancelled]);
    assert_eq!(parked(f).await, 1);
    f.settle(&first, Verdict::Succeeded).await;
    assert_eq!(f.claim_on(5).await.only().tenant.as_str(), "umbrella");
}

async fn what_waits_for_room_of_a_paused_job_ends_paused(f: &Fixture) {
    f.apply_of(&[tenant("acme").limited(at_once(1))], &[wide("acme/a"), hourly("acme/b")]).await;
    let term = f.elect().await;
    f.trigger("acme/a").await;
    let first = f.claim_on(5).await;
    f.advance_to(f.next_due("acme/b").await).await;
    f.fan_out(&term, Duration::ZERO).await;
    park_all(f).await;
    assert!(f.pause("acme/b", None).await);
    f.settle(&first, Verdict::Succeeded).await;
    while f.claim_on(5).await.items().iter().any(|item| item.job.as_str() == "a") {}
    assert_eq!(f.outcomes("acme/b").await, [Outcome::Paused]);
    assert_eq!(parked(f).await, 0);
}

/// It need not wait for room to learn that it is too late.
async fn what_waits_for_room_expires(f: &Fixture) {
    let expires = Expiry::After(5 * MINUTE);
    f.apply(&[wide("acme/a").limited(at_once(1)).expires(expires), wide("acme/b")]).await;
    let term = f.elect().await;
    f.trigger("acme/a").await;
    let first = f.claim_on(5).await;
    f.advance_to(f.next_due("acme/a").await).await;
    f.fan_out(&term, Duration::ZERO).await;
    f.claim_on(5).await;
    park_all(f).await;
    assert_eq!(parked(f).await, 1);
    f.advance(6 * MINUTE).await;
    assert_eq!(f.store.extend(first.executor, &[first.claim()], HOUR).await.unwrap().alive, [first.claim()]);
    f.rescue(&term).await;
    f.sweep(&term).await;
    f.claim_on(5).await;
    assert_eq!(f.outcomes("acme/a").await, [Outcome::Expired]);
    assert_eq!((in_use(f).await, parked(f).await), (1, 0));
}

/// An interval job that waits for room keeps its token.
async fn an_interval_waits_for_room_and_goes_on(f: &Fixture) {
    f.apply_of(&[tenant("acme").limited(at_once(1))], &[wide("acme/a"), every("acme/b", MINUTE)]).await;
    let term = f.elect().await;
    f.trigger("acme/a").await;
    let first = f.claim_on(5).await;
    f.advance_to(f.next_due("acme/b").await).await;
    f.fan_out(&term, Duration::ZERO).await;
    park_all(f).await;
    assert_eq!(f.store.status().await.unwrap().catalog.stalled_interval_jobs, 0);
    assert_eq!(f.job("acme/b").await.next_due, None);
    f.settle(&first, Verdict::Succeeded).await;
    let held = f.claim_on(5).await;
    assert_eq!(held.jobs(), ["b"]);
    f.settle(&held, Verdict::Succeeded).await;
    f.next_due("acme/b").await;
}

/// Whoever was to let something go may have crashed before it did.
async fn a_lost_wake_up_is_made_up_for_by_the_rescuer(f: &Fixture) {
    f.apply(&[wide("acme/a").limited(at_once(2))]).await;
    let term = f.elect().await;
    f.backlog("acme/a", 6).await;
    f.claim_on(6).await;
    park_all(f).await;
    // As if the runs had ended and nobody had let the next ones go.
    let schema = if f.is_postgres() { "leasehold." } else { "" };
    f.execute(&format!("UPDATE {schema}gate SET in_use = 0")).await;
    assert_eq!(f.claim_on(6).await.items(), []);
    f.rescue(&term).await;
    assert_eq!(f.claim_on(6).await.items().len(), 2);
    assert_eq!(parked(f).await, 2);
}

both!(
    a_job_runs_no_more_than_so_often_at_once,
    a_tenant_runs_no_more_than_so_much_at_once,
    a_job_runs_no_more_than_so_often_over_all_tenants,
    all_or_nothing,
    what_does_not_start_takes_no_room,
    an_overlap_is_one_also_without_room,
    what_has_no_room_stands_in_nobodys_way,
    what_frees_room_lets_the_first_in_line_go,
    a_retry_gives_its_room_back_and_passes_again,
    a_crash_gives_room_back_once,
    a_limit_that_is_raised_or_goes_lets_waiting_items_go,
    a_tenants_limit_that_is_new_binds_its_jobs,
    no_limit_is_exceeded_by_concurrent_claimers,
    no_limit_of_several_is_exceeded_by_concurrent_claimers,
    room_that_is_not_used_is_passed_on,
    what_waits_for_room_can_be_cancelled,
    what_waits_for_room_ends_when_its_job_is_edited_or_goes,
    what_waits_for_room_of_a_paused_job_ends_paused,
    what_waits_for_room_expires,
    an_interval_waits_for_room_and_goes_on,
    a_lost_wake_up_is_made_up_for_by_the_rescuer,
);
