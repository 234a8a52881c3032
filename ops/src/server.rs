//! The ops server: `/livez`, `/readyz`, `/metrics`, and whatever routes a binary adds.
//!
//! It holds no secrets and changes nothing, and stands on the loopback address unless told otherwise. It outlives the
//! drain, so that an orchestrator can watch it, and never delays the end of the process.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::health::{Health, Snapshot};
use crate::recorder::Metrics;

/// How often recorded samples are folded into their histograms.
const UPKEEP: Duration = Duration::from_secs(5);

/// How long open connections may delay the end of the process.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// The server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Another process listens there.
    #[error("--ops-listen {address}: the address is in use; choose another, or :0 for any free port")]
    InUse {
        /// As asked for.
        address: SocketAddr,
    },
    /// It cannot be listened on for another reason.
    #[error("--ops-listen {address}: {source}")]
    Bind {
        /// As asked for.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// A running ops server.
#[derive(Debug)]
pub struct OpsServer {
    address: SocketAddr,
    served: JoinHandle<()>,
    shutdown: CancellationToken,
}

impl OpsServer {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it, if `shutdown` has not yet, and waits until it has stopped.
    pub async fn stop(self) {
        self.shutdown.cancel();
        let _ = self.served.await;
    }
}

/// Binds `address` and serves until `shutdown`, which should come after the drain. Prints where it listens:
/// `ops listening on http://127.0.0.1:43211`. `more` holds further routes of the binary.
pub async fn serve(
    address: SocketAddr,
    health: Health,
    metrics: Metrics,
    more: Router,
    shutdown: CancellationToken,
) -> Result<OpsServer, ServeError> {
    let listener = TcpListener::bind(address).await.map_err(|source| bind_error(address, source))?;
    let address = listener.local_addr().map_err(|source| bind_error(address, source))?;
    announce(address);
    let router = router(health, metrics.clone()).merge(more);
    let served = tokio::spawn(run(listener, router, metrics, shutdown.clone()));
    Ok(OpsServer { address, served, shutdown })
}

fn bind_error(address: SocketAddr, source: io::Error) -> ServeError {
    match source.kind() {
        io::ErrorKind::AddrInUse => ServeError::InUse { address },
        _ => ServeError::Bind { address, source },
    }
}

/// Scripts wait for this text and read the port from it, so it also appears when the logs are too quiet for it.
fn announce(address: SocketAddr) {
    if tracing::enabled!(tracing::Level::INFO) {
        tracing::info!("ops listening on http://{address}");
    } else {
        crate::say!("ops listening on http://{address}");
    }
}

fn router(health: Health, metrics: Metrics) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(health)
        .merge(Router::new().route("/metrics", get(render)).with_state(metrics))
}

async fn livez(State(health): State<Health>) -> Response {
    let snapshot = health.snapshot();
    answer(snapshot.alive, snapshot)
}

async fn readyz(State(health): State<Health>) -> Response {
    let snapshot = health.snapshot();
    answer(snapshot.ready, snapshot)
}

fn answer(good: bool, snapshot: Snapshot) -> Response {
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CACHE_CONTROL, "no-store")], Json(snapshot)).into_response()
}

async fn render(State(metrics): State<Metrics>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.exposition().await).into_response()
}

async fn run(listener: TcpListener, router: Router, metrics: Metrics, shutdown: CancellationToken) {
    let server = axum::serve(listener, router).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let mut server = tokio::spawn(server.into_future());
    tokio::select! {
        () = upkeep(metrics) => {}
        () = shutdown.cancelled() => {}
        // axum's server ends only when it is told to.
        _ = &mut server => return,
    }
    if timeout(LAST_ANSWERS, &mut server).await.is_err() {
        server.abort();
    }
}

async fn upkeep(metrics: Metrics) {
    let mut ticks = interval(UPKEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        metrics.upkeep();
    }
}
