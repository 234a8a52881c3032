//! Answers that are lost on the way.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::time::Duration;

use leasehold_common::id::QueueName;
use leasehold_common::store::{ClaimRequest, Settled, Verdict};
use leasehold_store::Options;
use leasehold_tests::proxy::Proxy;
use leasehold_tests::server;
use leasehold_tests::steps::hourly;
use leasehold_tests::stores::Fixture;
use uuid::Uuid;

fn request(executor: Uuid) -> ClaimRequest {
    ClaimRequest {
        executor,
        queues: vec![QueueName::default()],
        limit: 10,
        ttl: Duration::from_secs(30),
        abilities: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_whose_answer_was_lost_is_read_back() {
    let fixture = Fixture::postgres().await;
    fixture.apply(&[hourly("acme/sync").attempts(1)]).await;
    let port = server::postgres().port;
    let proxy = Proxy::start(port).await;
    let url = fixture.url.replace(&format!(":{port}/"), &format!(":{}/", proxy.port));
    let store = leasehold_store::open(&url, &Options { connections: 1, ..Options::default() }).await.unwrap();
    let executor = Uuid::now_v7();
    assert_eq!(store.claim(&request(executor)).await.unwrap().items, [], "the statement is prepared now");

    let id = fixture.trigger("acme/sync").await;
    proxy.lose_next_answer();
    let claimed = store.claim(&request(executor)).await.unwrap();
    assert!(proxy.has_lost(), "the answer was lost");
    assert_eq!(claimed.items.iter().map(|item| (item.id, item.attempt)).collect::<Vec<_>>(), [(id, 1)]);

    // A report that is repeated because its answer was lost is recorded once.
    let report = leasehold_common::store::AttemptReport {
        id,
        claim: claimed.claim,
        attempt: 1,
        verdict: Verdict::Succeeded,
        duration: Duration::ZERO,
        ended_ago: Duration::ZERO,
        result: None,
        error: None,
        code: None,
    };
    let stale = leasehold_common::store::AttemptReport { attempt: 2, ..report.clone() };
    assert_eq!(store.settle(executor, &[stale], &[]).await.unwrap(), [Settled::Stale], "prepared");
    proxy.lose_next_answer();
    store.settle(executor, std::slice::from_ref(&report), &[]).await.unwrap_err();
    assert!(proxy.has_lost());
    assert_eq!(store.settle(executor, &[report], &[claimed.claim]).await.unwrap(), [Settled::Stale]);
    assert_eq!(fixture.reports().await.len(), 1);
}
