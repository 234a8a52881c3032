//! The elector against a lease server that keeps the rules, over links that do not.
//!
//! Throughout, the fake duties check invariant I4 every few milliseconds: whenever their term is trusted, the server's
//! lease must stand, and be theirs.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use leasehold_common::clock::BootClock;
use leasehold_common::lease::{Candidate, LeaseKind};
use leasehold_ops::health::Health;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Duties, Elector, Mood};
use crate::term::{End, LeaderTerm};
use crate::testing::{Fault, LeaseServer, Link, TIMING, clock, lock, until};

/// Acts whenever it may.
#[derive(Default)]
struct FakeDuties {
    server: Arc<LeaseServer>,
    terms: Mutex<Vec<LeaderTerm>>,
    acts: AtomicU32,
    /// Acts without the lease.
    violations: AtomicU32,
    /// How long the last piece of work goes on after the end.
    slow_end: Mutex<Duration>,
    /// Whether it breaks down at the start of the next term.
    panics: AtomicBool,
    stopped_at: Mutex<Option<(Instant, Option<i64>)>>,
}

#[async_trait]
impl Duties for FakeDuties {
    async fn run(&self, term: LeaderTerm) {
        assert!(!self.panics.swap(false, Ordering::SeqCst), "on purpose");
        lock(&self.terms).push(term.clone());
        while !term.token().is_cancelled() {
            if term.trusted() {
                let covered = self.server.leading() == Some(term.term().epoch);
                self.violations.fetch_add(u32::from(!covered), Ordering::SeqCst);
                self.acts.fetch_add(1, Ordering::SeqCst);
            }
            sleep(Duration::from_millis(10)).await;
        }
        let slow_end = *lock(&self.slow_end);
        sleep(slow_end).await;
        *lock(&self.stopped_at) = Some((Instant::now(), self.server.leading()));
    }
}

struct Replica {
    link: Arc<Link>,
    duties: Arc<FakeDuties>,
    clock: BootClock,
    health: Health,
    shutdown: CancellationToken,
    running: JoinHandle<()>,
}

impl Replica {
    fn start(server: &Arc<LeaseServer>, number: u128) -> Self {
        Self::start_with(server, number, |_| {})
    }

    fn start_with(server: &Arc<LeaseServer>, number: u128, prepare: impl FnOnce(&Link)) -> Self {
        let link = Link::new(server);
        prepare(&link);
        let duties = Arc::new(FakeDuties { server: Arc::clone(server), ..FakeDuties::default() });
        let (clock, health, shutdown) = (clock(), Health::new(), CancellationToken::new());
        let elector = Elector {
            lease: link.clone(),
            candidate: Candidate {
                holder: Uuid::from_u128(number),
                host: "host".to_owned(),
                pid: 1,
                kind: LeaseKind::Store,
            },
            timing: TIMING,
            clock: clock.clone(),
            duties: duties.clone(),
            part: Arc::new(health.part("elector", Some(Elector::silence(&TIMING)))),
            mood: Mood::default(),
        };
        let running = tokio::spawn(elector.run(shutdown.clone()));
        Self { link, duties, clock, health, shutdown, running }
    }

    fn terms(&self) -> Vec<i64> {
        lock(&self.duties.terms).iter().map(|term| term.term().epoch).collect()
    }

    /// How the term of this number ended, counted from 0.
    fn end_of(&self, number: usize) -> Option<End> {
        lock(&self.duties.terms).get(number).and_then(LeaderTerm::why_ended)
    }

    fn acts(&self) -> u32 {
        self.duties.acts.load(Ordering::SeqCst)
    }

    fn detail(&self) -> String {
        self.health.snapshot().parts["elector"].detail.clone()
    }

    async fn leads(&self) {
        until("elected", || lock(&self.duties.terms).last().is_some_and(LeaderTerm::trusted)).await;
    }

    fn violations(&self) -> u32 {
        self.duties.violations.load(Ordering::SeqCst)
    }

    async fn stop(self) {
        assert_eq!(self.violations(), 0, "invariant I4: acted on a lease that did not stand");
        self.stop_unchecked().await;
    }

    async fn stop_unchecked(self) {
        self.shutdown.cancel();
        assert!(self.running.await.is_ok(), "the elector panicked");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lone_replica_leads_one_term_for_as_long_as_it_renews() {
    let server = Arc::default();
    let replica = Replica::start(&server, 1);
    sleep(Duration::from_secs(600)).await;
    assert_eq!(replica.terms(), [1]);
    assert!(replica.acts() > 50_000, "{}", replica.acts());
    let renewals = replica.link.renewals.load(Ordering::SeqCst);
    assert!((195..=205).contains(&renewals), "{renewals}");
    assert_eq!(replica.detail(), "leader, term 1");
    assert!(replica.health.snapshot().alive);
    replica.stop().await;
    assert_eq!(server.leading(), None);
}

#[tokio::test(start_paused = true)]
async fn only_one_of_three_leads_and_the_next_follows_at_once_when_it_resigns() {
    let server = Arc::default();
    let first = Replica::start(&server, 1);
    first.leads().await;
    let others = [Replica::start(&server, 2), Replica::start(&server, 3)];
    sleep(Duration::from_secs(60)).await;
    assert!(others.iter().all(|replica| replica.terms().is_empty() && replica.detail() == "follower"));
    assert!(others.iter().all(|replica| replica.health.snapshot().ready));
    first.stop().await;
    let resigned = Instant::now();
    until("a successor", || server.leading() == Some(2)).await;
    assert!(resigned.elapsed() <= TIMING.retry);
    for replica in others {
        replica.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_deposed_while_it_works_stops_at_its_next_renewal() {
    let server: Arc<LeaseServer> = Arc::default();
    let replica = Replica::start(&server, 1);
    replica.leads().await;
    sleep(Duration::from_secs(5)).await;
    assert_eq!(replica.violations(), 0);
    server.depose();
    let deposed = Instant::now();
    until("the end", || replica.end_of(0).is_some()).await;
    assert_eq!(replica.end_of(0), Some(End::Lost));
    assert!(deposed.elapsed() <= TIMING.renew + Duration::from_millis(10), "{:?}", deposed.elapsed());
    until("follows", || replica.detail() == "follower").await;
    assert_eq!(replica.link.resigns.load(Ordering::SeqCst), 0, "a lost lease is not its to give back");
    // It could not know before, and only the fence in each write (I3) protects a store from a lease that was taken
    // away by force.
    assert!(replica.violations() > 0);
    replica.stop_unchecked().await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_after_the_ttl_is_no_renewal() {
    let server = Arc::default();
    let replica = Replica::start(&server, 1);
    replica.leads().await;
    let elected = Instant::now();
    replica.link.break_with(Fault::SlowAnswer(TIMING.ttl + Duration::from_secs(1)));
    until("the end", || replica.end_of(0).is_some()).await;
    assert_eq!(replica.end_of(0), Some(End::Untrusted));
    // The server renewed all the while; the replica did not know and stopped within its window.
    assert!(elected.elapsed() <= TIMING.ttl - TIMING.margin() + Duration::from_millis(5), "{:?}", elected.elapsed());
    let acts = replica.acts();
    sleep(Duration::from_secs(30)).await;
    assert_eq!(replica.acts(), acts, "an answer from the past revived the term");
    replica.link.break_with(Fault::None);
    replica.leads().await;
    assert!(replica.terms()[1] > 1);
    replica.stop().await;
}

#[tokio::test(start_paused = true)]
async fn trust_counts_from_before_the_request_and_not_from_its_answer() {
    let slow = Fault::SlowAnswer(Duration::from_secs(3));
    // The election itself is slow, and nothing follows.
    let server = Arc::default();
    let replica = Replica::start_with(&server, 1, |link| link.break_once(slow));
    replica.leads().await;
    replica.link.break_with(Fault::Hang);
    until("the end", || replica.end_of(0).is_some()).await;
    replica.link.break_with(Fault::None);
    replica.stop().await;

    // A renewal is slow, and nothing follows.
    let server = Arc::default();
    let replica = Replica::start(&server, 1);
    replica.leads().await;
    replica.link.break_with(slow);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(replica.end_of(0), None, "slow answers are answers");
    replica.link.break_with(Fault::Hang);
    until("the end", || replica.end_of(0).is_some()).await;
    replica.link.break_with(Fault::None);
    replica.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_failed_renewal_costs_nothing() {
    for fault in [Fault::Error, Fault::Hang, Fault::SlowAnswer(Duration::from_secs(4))] {
        let server = Arc::default();
        let replica = Replica::start(&server, 1);
        replica.leads().await;
        replica.link.break_once(fault);
        sleep(Duration::from_secs(60)).await;
        assert_eq!((replica.terms(), replica.end_of(0)), (vec![1], None), "{fault:?}");
        replica.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn renewals_that_keep_failing_or_hanging_end_the_term_before_the_lease_ends() {
    for fault in [Fault::Error, Fault::Hang] {
        let server: Arc<LeaseServer> = Arc::default();
        let replica = Replica::start(&server, 1);
        replica.leads().await;
        replica.link.break_with(fault);
        until("the end", || replica.end_of(0).is_some()).await;
        assert_eq!(replica.end_of(0), Some(End::Untrusted), "{fault:?}");
        assert_eq!(server.leading(), Some(1), "{fault:?}: the lease ended before the trust in it");
        until("not ready", || !replica.health.snapshot().ready).await;
        assert!(replica.health.snapshot().alive, "a store that is away must not get the process restarted");
        replica.link.break_with(Fault::None);
        replica.leads().await;
        until("ready", || replica.health.snapshot().ready).await;
        replica.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_outage_leaves_the_elector_alive() {
    let server = Arc::default();
    let replica = Replica::start_with(&server, 1, |link| link.break_with(Fault::Hang));
    for _ in 0..300 {
        sleep(Duration::from_secs(1)).await;
        assert!(replica.health.snapshot().alive);
    }
    replica.link.break_with(Fault::None);
    replica.leads().await;
    replica.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_replica_of_another_kind_follows_and_says_so() {
    let server: Arc<LeaseServer> = Arc::default();
    server.record(LeaseKind::Redis);
    let replica = Replica::start(&server, 1);
    sleep(Duration::from_secs(60)).await;
    assert!(replica.terms().is_empty());
    assert_eq!(replica.detail(), "follower that never leads: its lease is of kind store, the store records redis");
    server.record(LeaseKind::Store);
    replica.leads().await;
    replica.stop().await;
}

#[tokio::test(start_paused = true)]
async fn on_shutdown_the_lease_is_kept_until_the_work_has_stopped_and_then_given_back() {
    let server: Arc<LeaseServer> = Arc::default();
    let replica = Replica::start(&server, 1);
    replica.leads().await;
    // Less than the TTL, after which work that does not stop is given up.
    let drain = Duration::from_secs(8);
    *lock(&replica.duties.slow_end) = drain;
    let successor = Replica::start(&server, 2);
    let (duties, link) = (replica.duties.clone(), replica.link.clone());
    let asked = Instant::now();
    replica.stop().await;
    assert_eq!(link.resigns.load(Ordering::SeqCst), 1);
    assert!(link.renewals.load(Ordering::SeqCst) >= 2, "not renewed during the drain");
    let stopped = *lock(&duties.stopped_at);
    assert!(stopped.is_some_and(|(at, leading)| at - asked >= drain && leading == Some(1)), "{stopped:?}");
    until("a successor", || server.leading() == Some(2)).await;
    assert!(asked.elapsed() <= drain + TIMING.retry + Duration::from_millis(50));
    successor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_election_that_arrives_during_shutdown_is_given_back() {
    let server: Arc<LeaseServer> = Arc::default();
    let replica = Replica::start_with(&server, 1, |link| link.break_once(Fault::SlowAnswer(Duration::from_secs(1))));
    until("asked", || server.leading() == Some(1)).await;
    let duties = replica.duties.clone();
    replica.stop().await;
    assert_eq!(server.leading(), None);
    assert!(lock(&duties.terms).is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_election_that_arrives_too_late_is_not_acted_upon() {
    let server: Arc<LeaseServer> = Arc::default();
    let late = TIMING.ttl - Duration::from_millis(500);
    let replica = Replica::start_with(&server, 1, |link| link.break_once(Fault::SlowAnswer(late)));
    replica.leads().await;
    assert_eq!(replica.terms(), [2]);
    replica.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_election_across_a_standstill_is_not_acted_upon() {
    let server: Arc<LeaseServer> = Arc::default();
    let slow = Fault::SlowAnswer(Duration::from_secs(1));
    let replica = Replica::start_with(&server, 1, |link| link.break_once(slow));
    until("asked", || server.leading() == Some(1)).await;
    replica.clock.advance(TIMING.ttl); // no timer of this process ran meanwhile
    replica.leads().await;
    assert_eq!(replica.terms(), [2]);
    replica.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stopped_leader_is_replaced_and_does_not_act_when_it_goes_on() {
    let server: Arc<LeaseServer> = Arc::default();
    let stopped = Replica::start(&server, 1);
    stopped.leads().await;
    let successor = Replica::start(&server, 2);
    sleep(Duration::from_secs(5)).await;
    // The process stands still for twenty seconds: its timers do not run, the world's clocks do.
    let standstill = Duration::from_secs(20);
    server.skip(standstill);
    stopped.clock.advance(standstill);
    successor.clock.advance(standstill);
    let term = lock(&stopped.duties.terms)[0].clone();
    assert!(!term.trusted(), "the first thing it does after the standstill must be refused");
    successor.leads().await;
    assert_eq!(successor.terms(), [2]);
    until("the old term ends", || term.token().is_cancelled()).await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!((stopped.terms(), successor.terms()), (vec![1], vec![2]));
    successor.stop().await;
    stopped.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_write_ends_the_term_at_once() {
    let server: Arc<LeaseServer> = Arc::default();
    let replica = Replica::start(&server, 1);
    replica.leads().await;
    lock(&replica.duties.terms)[0].end(End::StaleTerm);
    until("another term", || replica.terms().len() == 2).await;
    assert_eq!(replica.end_of(0), Some(End::StaleTerm));
    replica.stop().await;
}

#[tokio::test(start_paused = true)]
async fn work_that_breaks_down_gives_the_lease_to_whoever_can_do_it() {
    let server: Arc<LeaseServer> = Arc::default();
    let replica = Replica::start_with(&server, 1, |link| link.break_once(Fault::Error));
    replica.duties.panics.store(true, Ordering::SeqCst);
    until("resigned", || replica.link.resigns.load(Ordering::SeqCst) == 1).await;
    replica.leads().await;
    assert_eq!(replica.terms(), [2]);
    replica.stop().await;
}

#[tokio::test(start_paused = true)]
async fn work_that_does_not_stop_does_not_keep_the_replica_from_going_on() {
    let server: Arc<LeaseServer> = Arc::default();
    let replica = Replica::start(&server, 1);
    replica.leads().await;
    *lock(&replica.duties.slow_end) = Duration::from_secs(3600);
    lock(&replica.duties.terms)[0].end(End::StaleTerm);
    until("another term", || replica.terms().len() == 2).await;
    assert!(replica.health.snapshot().alive);
    replica.shutdown.cancel();
    until("stopped", || replica.running.is_finished()).await;
}
