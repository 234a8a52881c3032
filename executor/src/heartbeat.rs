//! Keeps claims alive, and notices when they are not.
//!
//! Every third of the claim's time all claims are extended in one call; the answer also says which runs somebody wants
//! cancelled. Beside it, and whether or not the store answers, a watch ends the runs of every claim that the store
//! has not confirmed in time (the trust window, as for leases: counted from before the request, on a clock that runs
//! during suspend).
//!
//! On failure: an extension that fails is tried again soon, since the window allows for two failures; a claim that is
//! lost ends its runs at once, because another executor may have them already.

use std::sync::Arc;
use std::time::Duration;

use leasehold_common::store::{ClaimId, ErrorKind, Extended, SharedStore, StoreError, StoreResult};
use leasehold_ops::health::Part;
use metrics::counter;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::backoff::Backoff;
use crate::live::Live;
use crate::metric;

/// See the module.
pub(crate) struct Heartbeat {
    pub(crate) store: SharedStore,
    pub(crate) executor: Uuid,
    pub(crate) live: Arc<Live>,
    pub(crate) claim_ttl: Duration,
    pub(crate) health: Part,
}

impl Heartbeat {
    /// Runs until told to stop, which must come after the last report.
    pub(crate) async fn run(self, stop: CancellationToken) {
        self.health.ready("");
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.extend_for_ever() => {}
            () = self.watch_for_ever() => {}
        }
    }

    async fn extend_for_ever(&self) {
        let mut backoff = Backoff::up_to(self.claim_ttl / 12);
        loop {
            sleep(self.claim_ttl / 3).await;
            while let Err(error) = self.extend().await {
                metric::store_error("extend");
                tracing::warn!(%error, "claims are not extended");
                self.health.not_ready(error.to_string());
                sleep(backoff.wait()).await;
            }
            backoff.reset();
            self.health.ready("");
        }
    }

    /// One extension of all claims.
    pub(crate) async fn extend(&self) -> StoreResult<()> {
        let claims = self.live.claim_ids();
        if claims.is_empty() {
            return Ok(());
        }
        let sent = self.live.clock().now();
        let answer = self.ask(claims.clone()).await?;
        let lost = self.live.extended(&claims, &answer, sent);
        report_lost(&lost, "the store no longer has it");
        Ok(())
    }

    /// The call runs in a task of its own: one that hangs must neither stop the heartbeat nor be dropped half way.
    async fn ask(&self, claims: Vec<ClaimId>) -> StoreResult<Extended> {
        let (store, executor, ttl) = (Arc::clone(&self.store), self.executor, self.claim_ttl);
        let call = tokio::spawn(async move { store.extend(executor, &claims, ttl).await });
        let no_answer = |why: &str| Err(StoreError::new(ErrorKind::Unavailable, "extend claims", why.to_owned()));
        match timeout(self.claim_ttl / 3, call).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => no_answer("the call panicked"),
            Err(_) => no_answer("no answer in time"),
        }
    }

    async fn watch_for_ever(&self) {
        loop {
            let next = self.expire().unwrap_or(self.claim_ttl / 6);
            // Looked at again soon even if nothing is due: tokio's clock stands still during suspend, ours does not.
            sleep(next.min(self.claim_ttl / 6).max(Duration::from_millis(1))).await;
        }
    }

    /// Gives up the claims that were not confirmed in time. Answers how long the next one is still trusted.
    pub(crate) fn expire(&self) -> Option<Duration> {
        let (lost, next) = self.live.expire();
        report_lost(&lost, "the store did not confirm it in time");
        next
    }
}

fn report_lost(claims: &[ClaimId], why: &str) {
    counter!(metric::LOST).increment(claims.len() as u64);
    for claim in claims {
        tracing::warn!(%claim, why, "lost a claim; its runs are ended");
    }
}
