//! What the endpoint gets.

use super::*;
use leasehold_common::template::RunScope;

/// 24 bytes each.
const SECRETS: [&str; 2] = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"];

#[tokio::test]
async fn the_endpoint_learns_whose_run_it_is() {
    let server = Server::default();
    let address = server.start().await;
    let url = format!("http://{address}/sync/{{{{ tenant.labels.region }}}}?attempt={{{{ run.attempt }}}}");
    let headers = [
        ("X-Plan", "{{ tenant.plan }}"),
        ("Leasehold-Tenant", "globex"),
        ("user-agent", "theirs"),
        ("tracestate", "a=b"),
    ];
    let call = compile("POST", &url, &headers).unwrap();
    let context = context().with_payload(Some(Arc::new(json!({ "limit": 3 }))));
    assert_eq!(inner().call(&call, context).await, Ok(Value::Null));
    let seen = server.seen();
    assert_eq!((seen.method.as_str(), seen.uri.to_string().as_str()), ("POST", "/sync/us%2Feast%201?attempt=1"));
    let id = "019aa3e1-c07b-8000-8bd5-c3a6a4f5a1b2";
    for (name, value) in [
        ("leasehold-tenant", "acme"),
        ("leasehold-job", "sync-orders"),
        ("leasehold-correlation-id", id),
        ("leasehold-attempt", "1"),
        ("leasehold-scheduled-for", "2026-11-21T02:00:00.123Z"),
        ("idempotency-key", id),
        ("content-type", "application/json"),
        ("x-plan", "enterprise"),
        ("user-agent", "theirs"),
        ("tracestate", "a=b"),
        ("webhook-signature", ""),
    ] {
        assert_eq!(seen.header(name), value, "{name}");
    }
    assert!(seen.header("traceparent").starts_with("00-019aa3e1c07b80008bd5c3a6a4f5a1b2-"));
    assert_eq!(seen.headers.get_all("leasehold-tenant").iter().count(), 1);
    assert_eq!(
        seen.json(),
        json!({
            "correlation_id": id,
            "tenant": {
                "id": "acme",
                "plan": "enterprise",
                "features": ["billing"],
                "timezone": null,
                "labels": { "region": "us/east 1" },
            },
            "job": "sync-orders",
            "attempt": 1,
            "scheduled_for": "2026-11-21T02:00:00.123Z",
            "payload": { "limit": 3 },
        })
    );
}

#[tokio::test]
async fn methods_without_a_body_send_one_only_for_a_payload() {
    let server = Server::default();
    for method in ["GET", "HEAD", "DELETE"] {
        call(&server, method, "/").await.unwrap();
        assert!(server.seen().body.is_empty() && server.seen().header("content-type").is_empty(), "{method}");
        assert_eq!(server.seen().header("user-agent"), concat!("leasehold/", env!("CARGO_PKG_VERSION")));
    }
    let url = format!("http://{}/", server.start().await);
    let context = context().with_payload(Some(Arc::new(json!(7))));
    inner().call(&compile("DELETE", &url, &[]).unwrap(), context).await.unwrap();
    assert_eq!(server.seen().json()["payload"], json!(7));
}

#[tokio::test]
async fn a_body_of_its_own_takes_the_place_of_the_usual_one() {
    let server = Server::default();
    let url = format!("http://{}/", server.start().await);
    let own = |text: &str, content_type: &str| {
        let body = BodySpec { text: text.to_owned(), content_type: content_type.to_owned() };
        HttpCall::compile(&HttpSpec { body: Some(body), ..HttpSpec::new("GET", &url) })
    };
    let context = context().with_payload(Some(Arc::new(json!({ "limit": 3 }))));
    let json =
        own(r#"{"text": "{{ tenant.id }}: {{ payload.limit }}", "all": {{ payload }}}"#, "application/json").unwrap();
    inner().call(&json, context.clone()).await.unwrap();
    assert_eq!(server.seen().json(), json!({ "text": "acme: 3", "all": { "limit": 3 } }));
    assert_eq!(server.seen().header("content-type"), "application/json");
    let form =
        own("tenant={{ tenant.id }}&region={{ tenant.labels.region }}", "application/x-www-form-urlencoded").unwrap();
    inner().call(&form, context.clone()).await.unwrap();
    assert_eq!(server.seen().body, "tenant=acme&region=us%2Feast%201");
    assert_eq!(server.seen().header("content-type"), "application/x-www-form-urlencoded");
    let lacking = own("{{ payload.none }}", "text/plain").unwrap();
    let error = inner().call(&lacking, context).await.unwrap_err();
    assert_eq!(error.message, "the payload of job sync-orders has no `none`");
    assert!(own("{", "application/json").unwrap_err().starts_with("body: the body is not JSON"));
    assert_eq!(server.all().len(), 2);
}

#[tokio::test]
async fn the_type_of_the_usual_body_can_be_another() {
    let server = Server::default();
    let url = format!("http://{}/", server.start().await);
    let call = compile("POST", &url, &[("content-type", "application/cloudevents+json")]).unwrap();
    inner().call(&call, context()).await.unwrap();
    assert_eq!(server.seen().header("content-type"), "application/cloudevents+json");
    assert_eq!(server.seen().headers.get_all("content-type").iter().count(), 1);
}

#[tokio::test]
async fn a_signed_request_can_be_checked_with_each_of_the_secrets() {
    let server = Server::default();
    let url = format!("http://{}/", server.start().await);
    let folder = tempfile::tempdir().unwrap();
    let files = [folder.path().join("old"), folder.path().join("next")];
    let secrets = files.iter().map(|file| format!("file:{}", file.display())).collect();
    let headers = [("webhook-id", "theirs"), ("webhook-signature", "theirs")];
    let spec = HttpSpec { sign: Some(SignSpec { secrets }), ..spec("POST", &url, &headers) };
    let (call, handler) = (HttpCall::compile(&spec).unwrap(), inner());

    std::fs::write(&files[0], SECRETS[0]).unwrap();
    let missing = handler.call(&call, context()).await.unwrap_err();
    assert!(missing.retry && missing.message.contains("next") && !missing.message.contains("MfKQ"), "{missing}");
    assert!(server.all().is_empty(), "nothing is sent without its signature");

    std::fs::write(&files[1], SECRETS[1]).unwrap();
    for attempt in [1, 2] {
        handler.call(&call, attempt_of(attempt)).await.unwrap();
        let seen = server.seen();
        assert_eq!(seen.header("webhook-id"), context().idempotency_key(), "the same over all attempts");
        let timestamp = seen.header("webhook-timestamp");
        assert!(timestamp.parse::<u64>().unwrap() > 1_700_000_000, "{timestamp}");
        let expected = SECRETS.map(|secret| expected(secret, seen.header("webhook-id"), timestamp, &seen.body));
        assert_eq!(seen.header("webhook-signature"), expected.join(" "));
        assert_eq!(seen.headers.get_all("webhook-signature").iter().count(), 1);
        assert_eq!(seen.json()["attempt"], json!(attempt));
    }

    std::fs::write(&files[0], SECRETS[1]).unwrap();
    handler.call(&call, context()).await.unwrap();
    let (first, second) =
        server.seen().header("webhook-signature").split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    assert_eq!(first, second, "a secret that was changed counts from the next attempt on");
}

fn attempt_of(attempt: u32) -> RunContext {
    let first = context();
    let run = RunScope { attempt, ..first.scope().run.unwrap() };
    RunContext::new(Arc::new(first.tenant().clone()), first.job().clone(), run)
}

/// A signature as an endpoint would compute it.
fn expected(secret: &str, id: &str, timestamp: &str, body: &[u8]) -> String {
    use base64::prelude::{BASE64_STANDARD, Engine};
    use hmac::{Hmac, KeyInit, Mac};
    let key = BASE64_STANDARD.decode(&secret[6..]).unwrap();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
    mac.update(&[id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat());
    format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
}

#[tokio::test]
async fn a_request_is_given_up_when_the_run_must_stop() {
    let server = Server::default();
    let call = compile("POST", &format!("http://{}/hang", server.start().await), &[]).unwrap();
    let token = CancellationToken::new();
    let (handler, context) = (inner(), context().with_cancellation(token.clone()));
    let running = tokio::spawn(async move { handler.call(&call, context).await });
    while server.all().is_empty() {
        tokio::task::yield_now().await;
    }
    token.cancel();
    assert_eq!(running.await.unwrap().unwrap_err().message, "the request was given up");
}

#[tokio::test]
async fn a_value_cannot_start_a_header_of_its_own() {
    let server = Server::default();
    let url = format!("http://{}/", server.start().await);
    for value in ["x\r\nLeasehold-Tenant: globex", "x\ny", "x\0"] {
        let call = compile("POST", &url, &[("x-note", value)]).unwrap();
        let error = inner().call(&call, context()).await.unwrap_err();
        assert!(error.message.contains("x-note"), "{error}");
    }
    assert!(server.all().is_empty());
    for (name, value) in [("x\r\ny", "z"), ("content-length", "0"), ("Transfer-Encoding", "chunked"), ("", "z")] {
        assert!(compile("POST", &url, &[(name, value)]).is_err(), "{name:?}");
    }
    assert!(compile("PO ST", &url, &[]).is_err());
}

#[tokio::test]
async fn nobody_there_is_a_failure_that_names_the_target() {
    let address = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let call = compile("POST", &format!("http://user:pass@{address}/x?key=secret"), &[]).unwrap();
    let error = inner().call(&call, context()).await.unwrap_err();
    assert!(error.message.starts_with(&format!("POST http://{address}/x: ")), "{error}");
    assert!(error.message.contains("refused") && !error.message.contains("pass"), "{error}");
    assert!(!error.message.contains("secret"), "{error}");
}
