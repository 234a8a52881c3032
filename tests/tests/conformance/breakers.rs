//! Circuit breakers: what calls an endpoint that is down waits for it, and one run at a time finds out.

use std::time::Duration;

use leasehold_common::definition::HandlerSpec;
use leasehold_common::endpoint::HttpSpec;
use leasehold_common::run::Outcome;
use leasehold_common::store::{BreakerState, EndpointFailure, OPEN_FIRST, OPEN_MOST, Verdict};
use leasehold_tests::steps::{HOUR, Job, MINUTE, every};
use leasehold_tests::stores::Fixture;
use uuid::Uuid;

use super::limits::{SECOND, parked, wide};

const ENDPOINT: &str = "a.example:80";

fn calls(job: Job, url: &str) -> Job {
    job.handler(HandlerSpec::Http(HttpSpec::new("POST", url)))
}

async fn fails(f: &Fixture, open: bool) -> bool {
    let failure =
        EndpointFailure { endpoint: ENDPOINT.to_owned(), open, executor: Uuid::nil(), error: "no".to_owned() };
    f.store.endpoint_failed(&failure).await.unwrap()
}

/// When a probe is due, whatever chance added.
const DUE: Duration = Duration::from_secs(7);

async fn what_calls_an_endpoint_that_is_down_waits_and_one_run_finds_out(f: &Fixture) {
    let term = f.elect().await;
    f.apply(&[calls(wide("acme/a"), "http://a.example/x"), calls(wide("acme/b"), "http://b.example/")]).await;
    f.backlog("acme/a", 20).await;
    f.backlog("acme/b", 2).await;
    let under_way = f.claim_on(2).await;
    assert!(under_way.items().iter().all(|run| !run.probe));
    assert!(!fails(f, false).await, "to ask opens nothing");
    assert!(fails(f, true).await && fails(f, false).await);
    let held = f.claim_on(10).await;
    assert_eq!(held.jobs(), ["b", "b"]);
    assert_eq!(parked(f).await, 18);
    // What was under way when it opened is given back, and waits as well.
    f.settle(&under_way, Verdict::Released).await;
    assert_eq!(f.claim_on(10).await.items(), []);
    assert_eq!(parked(f).await, 20);
    f.rescue(&term).await;
    assert_eq!(f.claim_on(10).await.items(), [], "its time has not come");
    f.advance(DUE).await;
    f.rescue(&term).await;
    let probe = f.claim_on(10).await;
    assert!(probe.only().probe);
    f.rescue(&term).await;
    assert_eq!(f.claim_on(10).await.items(), [], "one at a time");
    assert_eq!(f.store.breakers().await.unwrap()[0].state, BreakerState::Probing);
    assert!(f.store.close_breaker(ENDPOINT).await.unwrap());
    f.settle(&probe, Verdict::Succeeded).await;
    let rest = f.claim_on(50).await;
    assert_eq!(rest.items().len(), 19);
    f.settle(&rest, Verdict::Succeeded).await;
    assert_eq!((parked(f).await, f.store.breakers().await.unwrap().len()), (0, 0));
    assert!(!f.store.close_breaker(ENDPOINT).await.unwrap());
    f.rescue(&term).await;
    f.backlog("acme/a", 1).await;
    assert!(!f.claim_on(1).await.only().probe, "its gate is gone");
}

async fn a_probe_that_fails_opens_it_for_longer_up_to_a_bound(f: &Fixture) {
    let term = f.elect().await;
    f.apply(&[calls(wide("acme/a"), "http://a.example/x")]).await;
    f.backlog("acme/a", 3).await;
    fails(f, true).await;
    let mut waits = Vec::new();
    for _ in 0..9 {
        let breaker = f.store.breakers().await.unwrap().remove(0);
        waits.push(breaker.retry_at.as_millisecond() - f.now().await.as_millisecond());
        assert_eq!(f.claim_on(10).await.items(), []);
        f.advance_to(breaker.retry_at + jiff::SignedDuration::from_secs(1)).await;
        f.rescue(&term).await;
        let probe = f.claim_on(10).await;
        let run = probe.only().clone();
        assert!(run.probe);
        fails(f, true).await;
        fails(f, true).await; // who comes later says nothing new
        f.settle(&probe, Verdict::Released).await;
    }
    let breaker = f.store.breakers().await.unwrap().remove(0);
    assert_eq!((breaker.times, breaker.state, breaker.waiting), (10, BreakerState::Open, 2));
    let base = |n: u32| i64::try_from((OPEN_FIRST * 2_u32.pow(n)).min(OPEN_MOST).as_millis()).unwrap();
    for (n, wait) in waits.into_iter().enumerate() {
        let base = base(u32::try_from(n).unwrap());
        assert!((base * 7 / 10..=base * 13 / 10).contains(&wait), "{wait} ms, and not about {base}");
    }
    f.advance(2 * OPEN_MOST).await;
    f.rescue(&term).await;
    let last = f.claim_on(10).await;
    assert_eq!((last.only().attempt, last.only().released), (last.only().released + 1, last.only().released));
}

/// An executor that dies while it probes does not keep the breaker shut.
async fn a_probe_that_is_lost_is_followed_by_another(f: &Fixture) {
    let term = f.elect_for(HOUR).await;
    f.apply(&[calls(wide("acme/a"), "http://a.example/x")]).await;
    f.backlog("acme/a", 3).await;
    fails(f, true).await;
    assert_eq!(f.claim_on(10).await.items(), []);
    f.advance(DUE).await;
    f.rescue(&term).await;
    assert!(f.claim_on(10).await.only().probe);
    f.advance(2 * MINUTE).await;
    f.rescue(&term).await;
    f.rescue(&term).await;
    assert!(f.claim_on(10).await.only().probe);
}

/// A breaker nobody has called for long is forgotten.
async fn a_breaker_that_nobody_calls_is_forgotten(f: &Fixture) {
    let term = f.elect_for(9 * HOUR).await;
    fails(f, true).await;
    f.advance(MINUTE).await;
    f.rescue(&term).await;
    assert_eq!(f.store.breakers().await.unwrap().len(), 1);
    f.advance(2 * HOUR).await;
    f.rescue(&term).await;
    assert_eq!(f.store.breakers().await.unwrap(), []);
}

/// A job that calls another endpoint now does not wait for the old one, and one that wants no breaker for none.
async fn what_waits_goes_on_when_its_job_calls_another_endpoint(f: &Fixture) {
    f.apply(&[calls(wide("acme/a"), "http://a.example/x")]).await;
    f.backlog("acme/a", 2).await;
    fails(f, true).await;
    assert_eq!(f.claim_on(10).await.items(), []);
    f.apply(&[calls(wide("acme/a"), "http://b.example/x")]).await;
    assert_eq!(f.claim_on(1).await.items().len(), 1);
    let spec = HttpSpec { breaker: false, ..HttpSpec::new("POST", "http://a.example/x") };
    f.apply(&[wide("acme/a").handler(HandlerSpec::Http(spec))]).await;
    assert_eq!(f.claim_on(1).await.items().len(), 1);
}

/// An interval job waits with its token, and goes on (invariant I9).
async fn an_interval_job_waits_with_its_token(f: &Fixture) {
    let term = f.elect_for(9 * HOUR).await;
    f.apply(&[calls(every("acme/a", MINUTE), "http://a.example/x")]).await;
    fails(f, true).await;
    f.advance(MINUTE + SECOND).await;
    f.fan_out(&term, MINUTE).await;
    assert_eq!(f.claim_on(1).await.items(), []);
    assert_eq!(f.job("acme/a").await.next_due, None);
    f.advance(DUE).await;
    f.rescue(&term).await;
    let probe = f.claim_on(1).await;
    assert!(f.store.close_breaker(ENDPOINT).await.unwrap());
    f.settle(&probe, Verdict::Succeeded).await;
    assert_eq!(f.outcomes("acme/a").await, [Outcome::Succeeded]);
    assert!(f.job("acme/a").await.next_due.is_some());
}

both!(
    what_calls_an_endpoint_that_is_down_waits_and_one_run_finds_out,
    a_probe_that_fails_opens_it_for_longer_up_to_a_bound,
    a_probe_that_is_lost_is_followed_by_another,
    a_breaker_that_nobody_calls_is_forgotten,
    what_waits_goes_on_when_its_job_calls_another_endpoint,
    an_interval_job_waits_with_its_token,
);
