//! What an endpoint that may report later is told, and when its run is its own.

use std::time::Duration;

use leasehold_common::endpoint::CallbackSpec;
use leasehold_common::store::Attempt;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::*;
use crate::fake::Fake;
use crate::handler::http::callback::Handover;

/// A run that `fake` has claimed, and its handover.
fn run(fake: &Arc<Fake>) -> (RunContext, Handover) {
    let attempt = Attempt { id: context().correlation_id(), attempt: 1, claim: Uuid::from_u128(7) };
    fake.state().claims.insert(attempt.claim, [(attempt.id, attempt.attempt)].into());
    let public = Arc::new("https://jobs.example.com/here/".parse().unwrap());
    let handover = Handover::new(Arc::clone(fake) as _, Some(public), attempt);
    (context().with_handover(handover.clone()), handover)
}

fn calling(url: &str) -> HttpCall {
    let callback = Some(CallbackSpec { within: Duration::from_secs(60), total: Duration::from_secs(600) });
    HttpCall::compile(&HttpSpec { callback, redirects: 2, ..spec("POST", url, &[]) }).unwrap()
}

#[tokio::test]
async fn it_is_told_where_and_the_store_has_the_hash_of_the_token() {
    let (server, fake) = (Server::default(), Fake::new());
    let (context, handover) = run(&fake);
    let id = context.correlation_id();
    inner().call(&calling(&format!("http://{}/status/202", server.start().await)), context).await.unwrap();
    assert!(handover.taken().is_some());
    let seen = server.seen();
    assert_eq!(seen.header("leasehold-callback-url"), format!("https://jobs.example.com/here/v1/runs/{id}/report"));
    let token = seen.header("leasehold-callback-token");
    assert_eq!(token.len(), 43);
    let hash: [u8; 32] = Sha256::digest(token).into();
    assert_eq!(fake.state().tokens.iter().map(|(of, hash)| (of.id, *hash)).collect::<Vec<_>>(), [(id, hash)]);
}

#[tokio::test]
async fn another_answer_than_202_leaves_the_run_with_its_executor() {
    let (server, fake) = (Server::default(), Fake::new());
    let address = server.start().await;
    for (path, good) in [("/json", true), ("/empty", true), ("/broken", false)] {
        let (context, handover) = run(&fake);
        assert_eq!(inner().call(&calling(&format!("http://{address}{path}")), context).await.is_ok(), good);
        assert!(handover.taken().is_none(), "{path}");
    }
}

#[tokio::test]
async fn another_origin_gets_no_token_and_cannot_take_the_run() {
    let (ours, theirs, fake) = (Server::default(), Server::default(), Fake::new());
    let (here, there) = (ours.start().await, theirs.start().await);
    let (context, handover) = run(&fake);
    let call = calling(&format!("http://{here}/to/307/http://{there}/status/202"));
    let error = inner().call(&call, context).await.unwrap_err();
    assert!(error.message.contains("got no callback token"), "{error}");
    assert!(handover.taken().is_none());
    assert_ne!(ours.seen().header("leasehold-callback-token"), "");
    for name in ["leasehold-callback-token", "leasehold-callback-url"] {
        assert_eq!(theirs.seen().header(name), "");
    }
}

#[tokio::test]
async fn nothing_is_sent_for_a_run_that_is_lost() {
    let (server, fake) = (Server::default(), Fake::new());
    let (context, _) = run(&fake);
    fake.state().claims.clear();
    let call = calling(&format!("http://{}/status/202", server.start().await));
    let error = inner().call(&call, context).await.unwrap_err();
    assert!(error.message.contains("no longer"), "{error}");
    assert_eq!(server.all().len(), 0);
}
