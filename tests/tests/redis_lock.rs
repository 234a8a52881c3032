//! The Redis lock in front of a store: it elects, the store mints and checks the term.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use leasehold_common::lease::{Acquired, Candidate, LeaseKind, Renewal, Term};
use leasehold_common::store::{ErrorKind, Lease, Rescued};
use leasehold_tests::fleet::{Process, metric};
use leasehold_tests::stores::Fixture;
use leasehold_tests::tls::Certificates;
use leasehold_tests::{server, wait};
use uuid::Uuid;

const TTL: Duration = Duration::from_secs(10);

fn candidate(kind: LeaseKind) -> Candidate {
    Candidate { holder: Uuid::now_v7(), host: "here".to_owned(), pid: 1, kind }
}

async fn lock(fixture: &Fixture, redis: &server::Server) -> Arc<dyn Lease> {
    let url = format!("redis://127.0.0.1:{}", redis.port);
    let (lease, kind) = leasehold_store::open_lease(Some(&url), &fixture.store).await.unwrap();
    assert_eq!(kind, LeaseKind::Redis);
    lease
}

fn elected(answer: Acquired) -> Term {
    match answer {
        Acquired::Elected(term) => term,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn one_of_two_is_elected_and_the_other_follows_when_it_resigns() {
    let (fixture, redis) = (Fixture::postgres().await, server::redis(server::free_port(), &[]));
    let lease = lock(&fixture, &redis).await;
    let (first, second) = (candidate(LeaseKind::Redis), candidate(LeaseKind::Redis));
    let term = elected(lease.acquire(&first, TTL).await.unwrap());
    assert_eq!(lease.acquire(&second, TTL).await.unwrap(), Acquired::Held);
    assert_eq!(lease.renew(&term, TTL).await.unwrap(), Renewal::Renewed);
    let leader = fixture.store.status().await.unwrap().leader.unwrap();
    assert_eq!((leader.holder, leader.kind, leader.term), (first.holder, LeaseKind::Redis, term.epoch));

    lease.resign(&term).await.unwrap();
    let next = elected(lease.acquire(&second, TTL).await.unwrap());
    assert!(next.epoch > term.epoch);
    assert_eq!(lease.renew(&term, TTL).await.unwrap(), Renewal::Lost);
}

#[tokio::test]
async fn a_lock_that_redis_forgot_costs_an_election_and_never_a_double_write() {
    let fixture = Fixture::sqlite().await;
    let port = server::free_port();
    let redis = server::redis(port, &[]);
    let lease = lock(&fixture, &redis).await;
    let old = elected(lease.acquire(&candidate(LeaseKind::Redis), TTL).await.unwrap());
    drop(redis);
    assert_eq!(lease.renew(&old, TTL).await.unwrap_err().kind, ErrorKind::Unavailable);
    assert_eq!(
        lease.acquire(&candidate(LeaseKind::Redis), TTL).await.unwrap_err().kind,
        ErrorKind::Unavailable,
        "with Redis gone nobody is elected, though the lease row could be had"
    );

    let redis = server::redis(port, &[]);
    let other = candidate(LeaseKind::Redis);
    let new = wait::until("an election after Redis is back", || async {
        match lease.acquire(&other, TTL).await {
            Ok(Acquired::Elected(term)) => Ok(term),
            answer => Err(format!("{answer:?}")),
        }
    })
    .await;
    assert!(new.epoch > old.epoch, "the old term had not expired in the store, and still a higher one was minted");
    assert_eq!(fixture.store.rescue(&old, 10).await.unwrap(), Rescued::StaleTerm);
    assert_eq!(fixture.store.rescue(&new, 10).await.unwrap(), Rescued::Done { requeued: 0, dead: 0 });
    assert_eq!(lease.renew(&old, TTL).await.unwrap(), Renewal::Lost);
    drop(redis);
}

#[tokio::test]
async fn an_expired_lock_is_not_renewed() {
    let (fixture, redis) = (Fixture::sqlite().await, server::redis(server::free_port(), &[]));
    let lease = lock(&fixture, &redis).await;
    let term = elected(lease.acquire(&candidate(LeaseKind::Redis), Duration::from_millis(50)).await.unwrap());
    wait::until("the lock expires", || async {
        let mut connection =
            redis::Client::open(format!("redis://127.0.0.1:{}", redis.port)).unwrap().get_connection().unwrap();
        let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut connection).unwrap();
        if keys.is_empty() { Ok(()) } else { Err(keys) }
    })
    .await;
    assert_eq!(lease.renew(&term, TTL).await.unwrap(), Renewal::Lost);
}

#[tokio::test]
async fn kinds_do_not_lead_side_by_side() {
    let (fixture, redis) = (Fixture::postgres().await, server::redis(server::free_port(), &[]));
    let lease = lock(&fixture, &redis).await;
    let row = candidate(LeaseKind::Store);
    let term = elected(fixture.store.acquire(&row, TTL).await.unwrap());
    assert_eq!(
        lease.acquire(&candidate(LeaseKind::Redis), TTL).await.unwrap(),
        Acquired::OtherKind(LeaseKind::Store),
        "the store records what elects"
    );
    fixture.store.set_lease_kind(LeaseKind::Redis).await.unwrap();
    assert_eq!(fixture.store.renew(&term, TTL).await.unwrap(), Renewal::Lost);
    let other = candidate(LeaseKind::Redis);
    let taken = elected(lease.acquire(&other, TTL).await.unwrap());
    assert!(taken.epoch > term.epoch);
    assert_eq!(fixture.store.acquire(&row, TTL).await.unwrap(), Acquired::OtherKind(LeaseKind::Redis));
}

fn scheduler(name: &str, folder: &std::path::Path, store: &str, lease: &str, environment: &[(&str, &str)]) -> Process {
    let arguments = [
        "--store",
        store,
        "--lease",
        lease,
        "--lease-ttl",
        "2s",
        "--lease-renew",
        "500ms",
        "--lease-retry",
        "200ms",
        "--look-ahead",
        "5s",
        "--ops-listen",
        "127.0.0.1:0",
    ];
    Process::start(name, folder, "leasehold-scheduler", &arguments, environment)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_steps_down_when_redis_goes_and_one_leads_again_when_it_is_back() {
    let fixture = Fixture::postgres().await;
    let folder = tempfile::tempdir().unwrap();
    let port = server::free_port();
    let redis = server::redis(port, &[]);
    let lease = format!("redis://127.0.0.1:{port}");
    let fleet: Vec<Process> =
        (0..2).map(|n| scheduler(&format!("s{n}"), folder.path(), &fixture.url, &lease, &[])).collect();
    let mut addresses = Vec::new();
    for process in &fleet {
        addresses.push(process.ops().await);
    }
    let leaders =
        async || metric(&addresses[0], "leasehold_leader").await + metric(&addresses[1], "leasehold_leader").await;
    let exactly = async |count: f64, what: &str| {
        wait::until(what, || async {
            let leading = leaders().await;
            if (leading - count).abs() < 0.5 { Ok(()) } else { Err(leading) }
        })
        .await;
    };
    exactly(1.0, "one leads").await;
    let before = fixture.store.status().await.unwrap().leader.unwrap().term;
    drop(redis);
    exactly(0.0, "the leader steps down").await;
    let redis = server::redis(port, &[]);
    exactly(1.0, "one leads again").await;
    assert!(fixture.store.status().await.unwrap().leader.unwrap().term > before);
    for process in fleet {
        assert!(process.terminate().await.success());
    }
    assert_eq!(fixture.store.status().await.unwrap().leader, None, "resigned");
    drop(redis);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_over_tls_is_verified() {
    let fixture = Fixture::postgres().await;
    let folder = tempfile::tempdir().unwrap();
    let tls_folder = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(tls_folder.path());
    let port = server::free_port();
    let text = |path: &std::path::Path| path.display().to_string();
    let (authority, certificate, key) =
        (text(&certificates.authority), text(&certificates.certificate), text(&certificates.key));
    let tls_port = port.to_string();
    let arguments = [
        "--port",
        "0",
        "--tls-port",
        &tls_port,
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &authority,
        "--tls-auth-clients",
        "no",
    ];
    let _redis = server::redis(port, &arguments);
    wait::until("Redis listens", || async { tokio::net::TcpStream::connect(("127.0.0.1", port)).await }).await;

    let lease = format!("rediss://localhost:{port}");
    let trusted = scheduler("trusted", folder.path(), &fixture.url, &lease, &[("SSL_CERT_FILE", &authority)]);
    let address = trusted.ops().await;
    wait::until("it leads", || async {
        let leads = metric(&address, "leasehold_leader").await;
        if leads > 0.0 { Ok(()) } else { Err(leads) }
    })
    .await;
    let (url, fixture_store) = (format!("rediss://localhost:{port}"), &fixture.store);
    let error = match leasehold_store::open_lease(Some(&url), fixture_store).await {
        Ok(_) => panic!("a certificate of an unknown authority was accepted"),
        Err(error) => error,
    };
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
}
