//! Whether the store answers, for `/readyz`.
//!
//! The elector alone does not know: with a Redis lock a follower never asks the store. On failure nothing else follows
//! from it: a replica that cannot reach the store is not ready, and very much alive.

use std::time::Duration;

use leasehold_common::store::SharedStore;
use leasehold_ops::health::Part;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How often the store is asked.
const INTERVAL: Duration = Duration::from_secs(5);

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks the store until shutdown.
pub(crate) async fn watch(store: SharedStore, part: Part, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = ask(&store, &part) => {}
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = sleep(INTERVAL) => {}
        }
    }
}

async fn ask(store: &SharedStore, part: &Part) {
    match timeout(PATIENCE, store.ping()).await {
        Ok(Ok(())) => part.ready(""),
        Ok(Err(error)) => part.not_ready(error.to_string()),
        Err(_) => part.not_ready(format!("no answer within {PATIENCE:?}")),
    }
}
