//! Tells people, through the store, that this executor is alive and what it does. Nothing depends on it, so a failure
//! is not even worth a warning: the parts that matter say when the store is away.

use std::sync::Arc;
use std::time::Duration;

use leasehold_common::store::{ExecutorInfo, SharedStore};
use metrics::gauge;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::live::Live;
use crate::metric;

/// How often.
const EVERY: Duration = Duration::from_secs(5);

/// See the module.
pub(crate) struct Announcer {
    pub(crate) store: SharedStore,
    pub(crate) live: Arc<Live>,
    pub(crate) info: ExecutorInfo,
}

impl Announcer {
    /// Announces until told to stop; at once when the drain begins.
    pub(crate) async fn run(mut self, draining: CancellationToken, stop: CancellationToken) {
        loop {
            self.announce(draining.is_cancelled()).await;
            let begun = async {
                match self.info.draining {
                    true => std::future::pending().await,
                    false => draining.cancelled().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = begun => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    async fn announce(&mut self, draining: bool) {
        self.info.running = u32::try_from(self.live.busy()).unwrap_or(u32::MAX);
        self.info.draining = draining;
        gauge!(metric::BUSY).set(f64::from(self.info.running));
        let (store, info) = (Arc::clone(&self.store), self.info.clone());
        // In a task of its own, so that a call that hangs is not dropped half way.
        let call = tokio::spawn(async move { store.announce(&info).await });
        if let Ok(Ok(Err(error))) = timeout(EVERY, call).await {
            tracing::debug!(%error, "not announced");
        }
    }
}
