//! The ops server over real sockets.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use leasehold_ops::health::Health;
use leasehold_ops::queues::Queues;
use leasehold_ops::server::{OpsServer, ServeError, serve};
use leasehold_ops::{healthcheck, recorder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

async fn start(health: &Health) -> OpsServer {
    let more = Router::new().route("/queues", get(async || "[]"));
    let metrics = recorder::install("test", "1.2.3").unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    serve(any, health.clone(), metrics, more, CancellationToken::new()).await.unwrap()
}

async fn fetch(address: SocketAddr, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().to_owned(), body.to_owned())
}

#[tokio::test]
async fn readyz_names_what_is_not_ready() {
    let health = Health::new();
    let server = start(&health).await;
    let (store, _elector) = (health.part("store", None), health.part("elector", None));
    store.ready("");

    let (status, body) = fetch(server.address(), "/readyz").await;
    assert_eq!(status, "503");
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        body,
        serde_json::json!({"alive": true, "ready": false, "parts": {
            "elector": {"alive": true, "ready": false, "detail": "starting"},
            "store": {"alive": true, "ready": true},
        }})
    );
    assert_eq!(fetch(server.address(), "/livez").await.0, "200");
    assert_eq!(fetch(server.address(), "/queues").await, ("200".to_owned(), "[]".to_owned()));
    server.stop().await;
}

#[tokio::test]
async fn queues_that_are_not_known_are_503_and_no_metric() {
    let queues = Queues::default();
    let metrics = recorder::install("test", "1.2.3").unwrap().with_queues(queues.clone());
    let any = "127.0.0.1:0".parse().unwrap();
    let server = serve(any, Health::new(), metrics, queues.route(), CancellationToken::new()).await.unwrap();
    for path in ["/queues", "/queues/default"] {
        let (status, body) = fetch(server.address(), path).await;
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status.as_str(), body), ("503", serde_json::json!({"error": "the store is not open yet"})));
    }
    assert_eq!(fetch(server.address(), "/queues/not%20a%20name").await.0, "404");
    let (status, body) = fetch(server.address(), "/metrics").await;
    assert!(status == "200" && !body.contains("leasehold_queue_"), "{body}");
    server.stop().await;
}

#[tokio::test]
async fn the_healthcheck_agrees_with_readyz() {
    let health = Health::new();
    let server = start(&health).await;
    let part = health.part("store", None);
    assert_eq!(format!("{:?}", healthcheck::run(server.address()).await), format!("{:?}", ExitCode::from(1)));
    part.ready("");
    assert_eq!(format!("{:?}", healthcheck::run(server.address()).await), format!("{:?}", ExitCode::SUCCESS));
    let address = server.address();
    server.stop().await;
    assert_eq!(format!("{:?}", healthcheck::run(address).await), format!("{:?}", ExitCode::from(1)));
}

#[tokio::test]
async fn metrics_show_the_build_and_the_process() {
    let server = start(&Health::new()).await;
    metrics::counter!("leasehold_example_total").increment(2);
    metrics::histogram!("leasehold_example_seconds").record(0.02);
    let (status, body) = fetch(server.address(), "/metrics").await;
    assert_eq!(status, "200");
    for line in [
        "leasehold_build_info{binary=\"test\",version=\"1.2.3\",tzdb=\"",
        "leasehold_example_total 2",
        "leasehold_example_seconds_bucket{le=\"0.025\"} 1",
    ] {
        assert!(body.contains(line), "{line} is not in {body}");
    }
    if cfg!(target_os = "linux") {
        assert!(body.contains("\nprocess_resident_memory_bytes "), "{body}");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let server = start(&Health::new()).await;
    let metrics = recorder::install("test", "1.2.3").unwrap();
    let taken = server.address();
    let error = serve(taken, Health::new(), metrics, Router::new(), CancellationToken::new()).await.unwrap_err();
    assert!(matches!(error, ServeError::InUse { address } if address == taken));
    assert!(error.to_string().contains(&format!("--ops-listen {taken}: the address is in use")), "{error}");
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_says_nothing_does_not_hold_up_the_end() {
    let server = start(&Health::new()).await;
    let mut silent = TcpStream::connect(server.address()).await.unwrap();
    silent.write_all(b"GET /readyz HTTP/1.1\r\n").await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), server.stop()).await.unwrap();
}
