//! Tells the store what runs took, so that the next places of their tenants are fair, and how far the lines were served.
//!
//! Gathers, and sends at most four times a second what there is; nothing while nothing runs. No claim or report waits for
//! it. Nothing depends on a charge, so one that fails is dropped: the parts that matter say when the store is away.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use leasehold_common::id::TenantId;
use leasehold_common::store::{Charge, ClaimedRun, Lane, Served, SharedStore};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How long charges gather.
const GATHER: Duration = Duration::from_millis(250);

/// How long a call may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Charges {
    owed: Mutex<Owed>,
    /// Told when there is something to send.
    some: Notify,
}

#[derive(Debug, Default)]
struct Owed {
    charges: HashMap<(Lane, TenantId), Charge>,
    /// The largest tag that was claimed in each lane.
    served: HashMap<Lane, i64>,
}

impl Charges {
    /// Takes note of a claim.
    pub(crate) fn claimed(&self, runs: &[ClaimedRun]) {
        let mut owed = self.owed();
        for run in runs {
            match owed.served.get_mut(&run.lane) {
                Some(furthest) => *furthest = run.tag.max(*furthest),
                None => drop(owed.served.insert(run.lane.clone(), run.tag)),
            }
        }
        drop(owed);
        if !runs.is_empty() {
            self.some.notify_one();
        }
    }

    /// Takes note of what an attempt took, however it ended.
    pub(crate) fn ended(&self, run: &ClaimedRun, spent: Duration) {
        match self.owed().charges.entry((run.lane.clone(), run.tenant.clone())) {
            Entry::Occupied(mut sum) => {
                let sum = sum.get_mut();
                sum.runs = sum.runs.saturating_add(1);
                sum.spent = sum.spent.saturating_add(spent);
                sum.estimated = sum.estimated.saturating_add(run.cost);
            }
            Entry::Vacant(place) => {
                let (lane, tenant) = place.key().clone();
                place.insert(Charge { lane, tenant, runs: 1, spent, estimated: run.cost });
            }
        }
        self.some.notify_one();
    }

    /// Sends until told to stop, which must come after the last run; what is there by then is sent, too.
    pub(crate) async fn run(self: Arc<Self>, store: SharedStore, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => {}
                () = async {
                    self.some.notified().await;
                    sleep(GATHER).await;
                } => {}
            }
            self.send(&store).await;
            if stop.is_cancelled() {
                return;
            }
        }
    }

    async fn send(&self, store: &SharedStore) {
        let Owed { charges, served } = std::mem::take(&mut *self.owed());
        if charges.is_empty() && served.is_empty() {
            return;
        }
        let charges: Vec<_> = charges.into_values().collect();
        let served: Vec<_> = served.into_iter().map(|(lane, tag)| Served { lane, tag }).collect();
        let store = Arc::clone(store);
        // In a task of its own, so that a call that hangs is not dropped half way.
        let call = tokio::spawn(async move { store.charge(&charges, &served).await });
        match timeout(PATIENCE, call).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::debug!(%error, "not charged"),
            Ok(Err(_)) | Err(_) => tracing::debug!("not charged in time"),
        }
    }

    fn owed(&self) -> MutexGuard<'_, Owed> {
        // No code that can panic runs under the lock.
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
