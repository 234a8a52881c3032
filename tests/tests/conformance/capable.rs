//! What an executor cannot run waits for one that can.

use std::time::Duration;

use leasehold_common::definition::{Expiry, HandlerSpec};
use leasehold_common::limit::GateId;
use leasehold_common::run::Outcome;
use leasehold_common::store::{ExecutorInfo, Unserved, Verdict};
use leasehold_tests::steps::{HOUR, Job, MINUTE, at_once, hourly};
use leasehold_tests::stores::Fixture;
use uuid::Uuid;

use super::limits::{park_all, parked, wide};

fn named(job: Job, name: &str) -> Job {
    job.handler(HandlerSpec::Named { name: name.to_owned() })
}

/// An executor that cannot run it meets it once, and not again.
async fn what_an_executor_cannot_run_waits_for_one_that_can(f: &Fixture) {
    f.apply(&[named(wide("acme/a"), "a"), named(wide("acme/b"), "b")]).await;
    f.backlog("acme/a", 30).await;
    f.backlog("acme/b", 3).await;
    let b = f.claim_able(5, &["handler:b"]).await;
    assert_eq!(b.jobs(), ["b", "b", "b"]);
    assert_eq!(f.claim_able(5, &["handler:b"]).await.items(), []);
    assert_eq!(parked(f).await, 30);
    assert_eq!(f.claim_able(5, &["handler:b"]).await.claimed.dismissed, 0);
    // One that can takes them from where they are, in their order.
    let a = f.claim_able(20, &["handler:a", "handler:b"]).await;
    assert_eq!(a.items().len(), 20);
    assert!(a.items().windows(2).all(|two| two[0].tag <= two[1].tag && two[0].scheduled_for < two[1].scheduled_for));
    assert!(a.items().iter().all(|run| run.attempt == 1 && run.lane.queue.as_str() == "default"));
    f.settle(&a, Verdict::Retry(Duration::ZERO)).await;
    f.settle(&b, Verdict::Succeeded).await;
    assert_eq!(f.claim_able(50, &["handler:b"]).await.items(), [], "retries wait as well");
    let again = f.claim_able(50, &["handler:a"]).await;
    assert_eq!(again.items().len(), 30);
    f.settle(&again, Verdict::Succeeded).await;
    assert_eq!((parked(f).await, f.outcomes("acme/a").await.len()), (0, 20 + 30));
}

/// What can be run is not held up, and what waits for its executor keeps its place: by priority, and then in turn.
async fn what_waits_keeps_its_place(f: &Fixture) {
    let jobs =
        [named(wide("acme/a").priority(-5), "a"), named(wide("acme/b"), "b"), named(wide("acme/c").priority(5), "c")];
    f.apply(&jobs).await;
    for job in ["acme/c", "acme/b", "acme/a"] {
        f.backlog(job, 2).await;
    }
    assert_eq!(f.claim_able(10, &["handler:x"]).await.items(), []);
    f.backlog("acme/b", 1).await;
    let all = ["handler:a", "handler:b", "handler:c"];
    let mut got = Vec::new();
    for _ in 0..7 {
        got.push(f.claim_able(1, &all).await.only().job.to_string());
    }
    assert_eq!(got, ["a", "a", "b", "b", "b", "c", "c"]);
}

/// An executor that has not said what it can do takes what stands in line.
async fn an_executor_that_does_not_say_takes_what_is_in_line(f: &Fixture) {
    f.apply(&[named(hourly("acme/a"), "a")]).await;
    f.trigger("acme/a").await;
    f.claim_on(1).await.only();
}

async fn an_executor_takes_only_from_its_queues(f: &Fixture) {
    f.apply(&[named(hourly("acme/a").queue("reports"), "a")]).await;
    f.trigger("acme/a").await;
    f.activate().await;
    assert_eq!(f.claim_able(1, &["handler:a"]).await.items(), []);
    assert_eq!(f.claim_from(&["reports"], 1).await.only().lane.queue.as_str(), "reports");
}

/// What waits for its executor waits in its queue all the same.
async fn what_waits_keeps_its_queue(f: &Fixture) {
    f.apply(&[named(wide("acme/a").queue("reports"), "a")]).await;
    f.backlog("acme/a", 2).await;
    let unable = f.claim_of(&["reports"], 10, Some(Vec::new())).await;
    assert_eq!((unable.items().len(), parked(f).await), (0, 2));
    assert_eq!(f.claim_able(1, &["handler:a"]).await.items(), [], "it serves another one");
    let able = Some(vec![GateId::of_need("handler:a")]);
    assert_eq!(f.claim_of(&["reports"], 1, able).await.only().lane.queue.as_str(), "reports");
}

/// Both a limit and what it needs.
async fn a_limit_holds_for_what_waits_for_its_executor(f: &Fixture) {
    f.apply(&[named(wide("acme/a").limited(at_once(1)), "a")]).await;
    f.backlog("acme/a", 4).await;
    assert_eq!(f.claim_able(10, &[]).await.items(), []);
    let mut ran = 0;
    loop {
        let held = f.claim_able(10, &["handler:a"]).await;
        if held.items().is_empty() {
            break;
        }
        assert_eq!(held.items().len(), 1);
        assert_eq!(f.claim_able(10, &["handler:a"]).await.items(), []);
        assert_eq!(f.claim_able(10, &[]).await.items(), []);
        f.settle(&held, Verdict::Succeeded).await;
        ran += 1;
    }
    assert_eq!((ran, parked(f).await), (4, 0));
}

/// An overlap is decided when it could run.
async fn what_waits_for_its_executor_may_wait_for_a_run_then(f: &Fixture) {
    let job = hourly("acme/a").overlap(leasehold_common::definition::Overlap::BufferOne);
    f.apply(&[named(job, "a")]).await;
    f.trigger("acme/a").await;
    assert_eq!(f.claim_able(1, &[]).await.items(), []);
    let first = f.claim_able(1, &["handler:a"]).await;
    first.only();
    f.trigger("acme/a").await;
    assert_eq!(f.claim_able(1, &[]).await.items(), []);
    assert_eq!(f.claim_able(1, &["handler:a"]).await.items(), []);
    f.settle(&first, Verdict::Succeeded).await;
    assert_eq!(f.claim_able(1, &["handler:a"]).await.only().lane.queue.as_str(), "default");
}

/// What waits can be cancelled, paused, edited and removed like anything that is queued, and expires.
async fn what_waits_ends_like_anything_that_is_queued(f: &Fixture) {
    let term = f.elect().await;
    f.apply(&[named(hourly("acme/a").expires(Expiry::After(MINUTE)), "a"), named(hourly("acme/b"), "b")]).await;
    f.fan_out(&term, HOUR).await;
    f.advance(HOUR).await;
    let b = f.trigger("acme/b").await;
    assert_eq!(f.claim_able(10, &[]).await.items(), []);
    assert!(parked(f).await >= 2);
    f.cancel(b).await;
    assert_eq!(f.outcomes("acme/b").await, [Outcome::Cancelled]);
    f.advance(2 * MINUTE).await;
    f.rescue(&term).await;
    assert_eq!(f.claim_able(10, &[]).await.items(), []);
    assert!(f.outcomes("acme/a").await.contains(&Outcome::Expired));
    f.apply(&[]).await;
    park_all(f).await;
    assert_eq!(parked(f).await, 0);
}

/// A job that is given another handler does not wait for the old one.
async fn what_waits_goes_on_when_its_job_needs_it_no_longer(f: &Fixture) {
    f.apply(&[named(hourly("acme/a"), "a")]).await;
    f.trigger("acme/a").await;
    assert_eq!(f.claim_able(1, &[]).await.items(), []);
    f.apply(&[named(hourly("acme/a"), "b")]).await;
    f.claim_able(1, &["handler:b"]).await.only();
}

/// What no live executor can do is in the status, until one can.
async fn the_status_says_what_nobody_can_do(f: &Fixture) {
    f.apply(&[named(hourly("acme/a"), "a"), named(hourly("globex/a"), "a"), hourly("acme/q").queue("reports")]).await;
    assert_eq!(f.store.status().await.unwrap().unserved, [], "there is no executor at all");
    f.trigger("acme/a").await;
    f.trigger("acme/q").await;
    assert_eq!(f.claim_able(1, &[]).await.items(), []);
    let mut info = ExecutorInfo {
        id: Uuid::now_v7(),
        host: "h".to_owned(),
        pid: 1,
        version: "0".to_owned(),
        slots: 1,
        running: 0,
        queues: vec!["default".parse().unwrap()],
        draining: false,
        abilities: vec!["handler:noop".to_owned()],
    };
    f.store.announce(&info).await.unwrap();
    let unserved = |need: &str, jobs, waiting| Unserved { need: need.to_owned(), jobs, waiting };
    let status = f.store.status().await.unwrap();
    assert_eq!(status.unserved, [unserved("handler:a", 2, 1), unserved("queue:reports", 0, 1)]);
    assert_eq!(status.executors[0].abilities.as_deref(), Some(&["handler:noop".to_owned()][..]));
    info.abilities.push("handler:a".to_owned());
    info.queues.push("reports".parse().unwrap());
    f.store.announce(&info).await.unwrap();
    assert_eq!(f.store.status().await.unwrap().unserved, []);
}

both!(
    what_an_executor_cannot_run_waits_for_one_that_can,
    what_waits_keeps_its_place,
    what_waits_keeps_its_queue,
    an_executor_that_does_not_say_takes_what_is_in_line,
    an_executor_takes_only_from_its_queues,
    a_limit_holds_for_what_waits_for_its_executor,
    what_waits_for_its_executor_may_wait_for_a_run_then,
    what_waits_ends_like_anything_that_is_queued,
    what_waits_goes_on_when_its_job_needs_it_no_longer,
    the_status_says_what_nobody_can_do,
);
