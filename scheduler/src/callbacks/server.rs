//! The server: a listener, and bounds on what clients may take.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use leasehold_common::store::SharedStore;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The most connections; the next ones wait in the backlog of the kernel.
const CONNECTIONS: usize = 1_024;

/// How long the head of a request may take, also that of the next one on a connection.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// How long a connection is used. Clients open another one.
const CONNECTION_TIME: Duration = Duration::from_secs(60);

/// How long open requests may delay the end of a connection, and of the process.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// The server could not be started.
#[derive(Debug, thiserror::Error)]
#[error("--callback-listen {address}: {source}")]
pub struct ServeError {
    address: SocketAddr,
    source: io::Error,
}

/// A running server of callbacks.
#[derive(Debug)]
pub struct CallbackServer {
    address: SocketAddr,
    served: JoinHandle<()>,
    stop: CancellationToken,
}

impl CallbackServer {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it, and waits until it has.
    pub async fn stop(self) {
        self.stop.cancel();
        let _ = self.served.await;
    }
}

/// Binds `address` and serves callbacks from there.
///
/// # Errors
/// [`ServeError`] if it cannot be listened on.
pub async fn serve(address: SocketAddr, store: SharedStore) -> Result<CallbackServer, ServeError> {
    let failed = |source| ServeError { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    tracing::info!("callbacks are served on http://{address}");
    let stop = CancellationToken::new();
    let served = tokio::spawn(accept(listener, super::router(store), stop.clone()));
    Ok(CallbackServer { address, served, stop })
}

async fn accept(listener: TcpListener, router: Router, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let connections = TaskTracker::new();
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await.ok()?;
            Some((place, listener.accept().await))
        };
        let (place, stream) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accepted => match accepted {
                Some((place, Ok((stream, _)))) => (place, stream),
                // Out of file descriptors, or the client has gone: it may be better in a moment.
                Some((_, Err(error))) => {
                    tracing::debug!(%error, "a connection for a callback was not accepted");
                    sleep(Duration::from_millis(50)).await;
                    continue;
                }
                None => break,
            },
        };
        let (router, stop) = (router.clone(), stop.clone());
        connections.spawn(async move {
            converse(stream, router, stop).await;
            drop(place);
        });
    }
    connections.close();
    let _ = timeout(LAST_ANSWERS, connections.wait()).await;
}

async fn converse(stream: TcpStream, router: Router, stop: CancellationToken) {
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIME);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    tokio::select! {
        _ = &mut connection => return,
        () = sleep(CONNECTION_TIME) => {}
        () = stop.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = timeout(LAST_ANSWERS, connection).await;
}
