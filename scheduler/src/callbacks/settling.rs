//! Brings reports of endpoints to the store, many in one call: while one is under way the next ones gather.

use leasehold_common::store::{AttemptReport, ErrorKind, NOBODY, Settled, SharedStore, StoreError, StoreResult};
use tokio::sync::{mpsc, oneshot};

/// The most reports in one call.
const BATCH: usize = 500;

/// The most that wait for it; whoever comes then waits to wait.
const WAITING: usize = 2_000;

type Waiting = (AttemptReport, bool, oneshot::Sender<StoreResult<Settled>>);

/// See the module. Ends with its last clone.
#[derive(Clone)]
pub(super) struct Settling(mpsc::Sender<Waiting>);

impl Settling {
    pub(super) fn start(store: SharedStore) -> Self {
        let (sender, mut waiting) = mpsc::channel::<Waiting>(WAITING);
        tokio::spawn(async move {
            let mut batch = Vec::with_capacity(BATCH);
            while waiting.recv_many(&mut batch, BATCH).await > 0 {
                settle(&store, std::mem::take(&mut batch)).await;
            }
        });
        Self(sender)
    }

    /// Records a report; of a run that is `open`, the claim goes with it.
    pub(super) async fn settle(&self, report: AttemptReport, open: bool) -> StoreResult<Settled> {
        let (answer, answered) = oneshot::channel();
        let gone = || StoreError::new(ErrorKind::Unavailable, "settle reports", "the server ends");
        self.0.send((report, open, answer)).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

async fn settle(store: &SharedStore, batch: Vec<Waiting>) {
    let reports: Vec<_> = batch.iter().map(|(report, ..)| report.clone()).collect();
    let claims: Vec<_> = batch.iter().filter(|(_, open, _)| *open).map(|(report, ..)| report.claim).collect();
    match store.settle(NOBODY, &reports, &claims).await {
        Ok(answers) => {
            for ((.., waits), answer) in batch.into_iter().zip(answers) {
                // Whoever has hung up will ask again.
                let _ = waits.send(Ok(answer));
            }
        }
        Err(error) => {
            let text = error.to_string();
            for (.., waits) in batch {
                let _ = waits.send(Err(StoreError::new(error.kind, "settle reports", text.clone())));
            }
        }
    }
}
