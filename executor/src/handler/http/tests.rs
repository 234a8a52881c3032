#![expect(clippy::unwrap_used, reason = "tests")]

mod answers;
mod callbacks;
mod guard;
mod redirects;
mod requests;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body as AnswerBody, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap as Headers, Method as Verb, StatusCode as Status, Uri};
use axum::response::{IntoResponse, Response as Answer};
use leasehold_common::endpoint::{BodySpec, SignSpec};
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

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// A server that keeps what it sees.
#[derive(Clone, Default)]
struct Server {
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    async fn start(&self) -> SocketAddr {
        self.start_at("127.0.0.1:0").await
    }

    async fn start_at(&self, address: &str) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    fn all(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    fn seen(&self) -> Seen {
        self.all().pop().unwrap()
    }
}

/// Answers by the path; `/to/STATUS/URL` redirects, `/status/STATUS` is that status.
async fn answer(State(server): State<Server>, method: Verb, uri: Uri, headers: Headers, body: Bytes) -> Answer {
    server.seen.lock().unwrap().push(Seen { method, uri: uri.clone(), headers, body });
    if let Some((status, location)) = uri.path().strip_prefix("/to/").and_then(|rest| rest.split_once('/')) {
        let location = if location.contains("://") { location.to_owned() } else { format!("/{location}") };
        return (status.parse::<u16>().map(Status::from_u16).unwrap().unwrap(), [("location", location)])
            .into_response();
    }
    if let Some(status) = uri.path().strip_prefix("/status/") {
        return (Status::from_u16(status.parse().unwrap()).unwrap(), "so it is").into_response();
    }
    match uri.path() {
        "/json" => (Status::CREATED, r#"{"synced": 3}"#).into_response(),
        "/text" => "done\n".into_response(),
        "/empty" => Status::NO_CONTENT.into_response(),
        "/bytes" => b"a\0b\xff".into_response(),
        "/close" => ([("connection", "close")], "closed").into_response(),
        "/busy" => (Status::SERVICE_UNAVAILABLE, [("retry-after", "120")]).into_response(),
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

/// A handler that may call this machine.
fn inner() -> HttpHandler {
    HttpHandler::new(Egress::new(&["127.0.0.0/8".parse().unwrap()]))
}

fn compile(method: &str, url: &str, headers: &[(&str, &str)]) -> Result<HttpCall, String> {
    HttpCall::compile(&spec(method, url, headers))
}

fn spec(method: &str, url: &str, headers: &[(&str, &str)]) -> HttpSpec {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    HttpSpec { headers, ..HttpSpec::new(method, url) }
}

/// Calls a path of a new server.
async fn call(server: &Server, method: &str, path: &str) -> Result<Value, HandlerError> {
    let call = compile(method, &format!("http://{}{path}", server.start().await), &[]).unwrap();
    inner().call(&call, context()).await
}
