#![expect(clippy::unwrap_used, reason = "tests")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body as AnswerBody, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap as Headers, Method as Verb, StatusCode as Status, Uri};
use axum::response::{IntoResponse, Response as Answer};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::handler::context::tests::context;

/// A request as the server saw it.
#[derive(Clone, Debug)]
struct Seen {
    method: Verb,
    uri: Uri,
    headers: Headers,
    body: Bytes,
}

impl Seen {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

#[derive(Clone, Default)]
struct Server {
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    async fn start(&self) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    fn seen(&self) -> Seen {
        self.seen.lock().unwrap().last().cloned().unwrap()
    }
}

async fn answer(State(server): State<Server>, method: Verb, uri: Uri, headers: Headers, body: Bytes) -> Answer {
    server.seen.lock().unwrap().push(Seen { method, uri: uri.clone(), headers, body });
    match uri.path() {
        "/json" => (Status::CREATED, r#"{"synced": 3}"#).into_response(),
        "/text" => "done\n".into_response(),
        "/empty" => Status::NO_CONTENT.into_response(),
        "/redirect" => (Status::FOUND, [("location", "http://169.254.169.254/latest")]).into_response(),
        "/broken" => (Status::BAD_GATEWAY, &b"up\0stream \xff is away"[..]).into_response(),
        "/endless" => {
            let chunk = Bytes::from(vec![b'x'; 64 * 1024]);
            let endless = futures_util::stream::repeat_with(move || Ok::<_, std::io::Error>(chunk.clone()));
            AnswerBody::from_stream(endless).into_response()
        }
        "/hang" => std::future::pending().await,
        _ => Status::OK.into_response(),
    }
}

fn inner() -> HttpHandler {
    HttpHandler::new(Egress::new(&["127.0.0.0/8".parse().unwrap()]))
}

fn compile(method: &str, url: &str, headers: &[(&str, &str)]) -> Result<HttpCall, String> {
    let headers: BTreeMap<String, String> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    HttpCall::compile(method, url, &headers)
}

async fn call(server: &Server, method: &str, path: &str) -> Result<Value, HandlerError> {
    let call = compile(method, &format!("http://{}{path}", server.start().await), &[]).unwrap();
    inner().call(&call, context()).await
}

#[tokio::test]
async fn the_endpoint_learns_whose_run_it_is() {
    let server = Server::default();
    let address = server.start().await;
    let url = format!("http://{address}/sync/{{{{ tenant.labels.region }}}}?attempt={{{{ run.attempt }}}}");
    let headers = [("X-Plan", "{{ tenant.plan }}"), ("Leasehold-Tenant", "globex"), ("user-agent", "theirs")];
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
    ] {
        assert_eq!(seen.header(name), value, "{name}");
    }
    assert!(seen.header("traceparent").starts_with("00-019aa3e1c07b80008bd5c3a6a4f5a1b2-"));
    assert_eq!(seen.headers.get_all("leasehold-tenant").iter().count(), 1);
    let body: Value = serde_json::from_slice(&seen.body).unwrap();
    assert_eq!(
        body,
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
        assert!(server.seen().body.is_empty(), "{method}");
        assert_eq!(server.seen().header("user-agent"), concat!("leasehold/", env!("CARGO_PKG_VERSION")));
    }
    let url = format!("http://{}/", server.start().await);
    let context = context().with_payload(Some(Arc::new(json!(7))));
    inner().call(&compile("DELETE", &url, &[]).unwrap(), context).await.unwrap();
    let body: Value = serde_json::from_slice(&server.seen().body).unwrap();
    assert_eq!(body["payload"], json!(7));
}

#[tokio::test]
async fn a_2xx_answer_is_success_with_its_body_as_the_result() {
    let server = Server::default();
    assert_eq!(call(&server, "POST", "/json").await, Ok(json!({ "synced": 3 })));
    assert_eq!(call(&server, "POST", "/text").await, Ok(json!("done")));
    assert_eq!(call(&server, "POST", "/empty").await, Ok(Value::Null));
}

#[tokio::test]
async fn every_other_answer_is_a_failure_that_says_what_it_was() {
    let server = Server::default();
    let broken = call(&server, "POST", "/broken?token=secret").await.unwrap_err();
    assert!(broken.retry);
    assert!(
        broken.message.ends_with("/broken: answered 502 Bad Gateway: up\u{fffd}stream \u{fffd} is away"),
        "{broken}"
    );
    assert!(!broken.message.contains("secret"), "{broken}");
    let redirect = call(&server, "POST", "/redirect").await.unwrap_err();
    assert!(redirect.message.contains("302 Found to \"http://169.254.169.254/latest\"; redirects are not followed"));
}

#[tokio::test]
async fn an_endless_answer_is_read_only_so_far() {
    let Ok(Value::String(text)) = call(&Server::default(), "POST", "/endless").await else { panic!("no text") };
    assert!(text.starts_with("[… ") && text.ends_with("xxx") && text.len() < 20_000, "{}", text.len());
}

#[tokio::test]
async fn a_request_is_given_up_when_the_run_must_stop() {
    let server = Server::default();
    let call = compile("POST", &format!("http://{}/hang", server.start().await), &[]).unwrap();
    let token = CancellationToken::new();
    let (handler, context) = (inner(), context().with_cancellation(token.clone()));
    let running = tokio::spawn(async move { handler.call(&call, context).await });
    while server.seen.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    token.cancel();
    assert_eq!(running.await.unwrap().unwrap_err().message, "the request was given up");
}

#[tokio::test]
async fn inner_addresses_are_refused_in_the_url_and_behind_a_name() {
    let server = Server::default();
    let port = server.start().await.port();
    let handler = HttpHandler::new(Egress::default());
    for host in ["127.0.0.1", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]", "localhost", "LOCALHOST"] {
        let call = compile("POST", &format!("http://{host}:{port}/"), &[]).unwrap();
        let error = handler.call(&call, context()).await.unwrap_err();
        assert!(error.message.contains("--allow-net"), "{host}: {error}");
    }
    assert!(server.seen.lock().unwrap().is_empty());
    let call = compile("POST", &format!("http://localhost:{port}/"), &[]).unwrap();
    inner().call(&call, context()).await.unwrap();
    assert_eq!(server.seen.lock().unwrap().len(), 1);
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
    assert!(server.seen.lock().unwrap().is_empty());
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
