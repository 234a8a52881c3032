//! Keeps the lease of one term, in a task of its own.

use std::sync::Arc;
use std::time::Duration;

use leasehold_common::clock::BootClock;
use leasehold_common::lease::{LeaseTiming, Renewal, TrustWindow};
use leasehold_common::store::{Lease, StoreResult};
use leasehold_ops::health::Part;
use tokio::time::{Instant, sleep};

use super::call::within;
use crate::measure;
use crate::term::{End, LeaderTerm};

pub(super) struct Keeper {
    pub(super) lease: Arc<dyn Lease>,
    pub(super) timing: LeaseTiming,
    pub(super) clock: BootClock,
    pub(super) term: LeaderTerm,
    pub(super) part: Arc<Part>,
}

impl Keeper {
    /// Renews until the term is lost or cannot be trusted any longer, ends it, and then waits to be dropped. Goes on
    /// when somebody else ends the term: its last work is still done under the lease.
    pub(super) async fn keep(self) {
        // Biased: after the process was stopped both may be ready, and an answer that waited in a socket meanwhile
        // must not revive a term.
        let why = tokio::select! {
            biased;
            () = self.term.window_over() => End::Untrusted,
            () = self.renew_until_lost() => End::Lost,
        };
        self.term.end(why);
        std::future::pending().await
    }

    async fn renew_until_lost(&self) {
        let mut wait = self.timing.renew;
        let mut failures = 0_u32;
        loop {
            sleep(wait).await;
            let started = Instant::now();
            match self.renew().await {
                Ok(Renewal::Renewed) => {
                    self.renewed(failures);
                    failures = 0;
                    wait = self.timing.renew.saturating_sub(started.elapsed());
                }
                Ok(Renewal::Lost) => return,
                Err(error) => {
                    failures += 1;
                    tracing::warn!(%error, term = self.term.term().epoch, failures, "the lease was not renewed");
                    self.part.not_ready(error.to_string());
                    wait = self.retry();
                }
            }
        }
    }

    /// Sends one renewal. It gets a third of the TTL at most, so that one that hangs leaves time for another.
    async fn renew(&self) -> StoreResult<Renewal> {
        self.part.beat();
        let (lease, term, ttl) = (Arc::clone(&self.lease), *self.term.term(), self.timing.ttl);
        let sent = self.clock.now();
        let answer =
            within(self.timing.ttl / 3, "renew the lease", async move { lease.renew(&term, ttl).await }).await?;
        if answer == Renewal::Renewed {
            self.term.trust(TrustWindow::from_renewal(sent, &self.timing));
            measure::renewal(sent.until(self.clock.now()));
        }
        Ok(answer)
    }

    fn renewed(&self, failures: u32) {
        if failures > 0 {
            tracing::info!(term = self.term.term().epoch, failures, "the lease is renewed again");
            self.part.ready(format!("leader, term {}", self.term.term().epoch));
        }
    }

    fn retry(&self) -> Duration {
        self.timing.retry.min(self.timing.renew)
    }
}
