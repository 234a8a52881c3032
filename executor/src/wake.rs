//! What wakes the activator and the claimer before their next poll.
//!
//! A hint of the store may be lost at any time: that costs a poll interval at most (invariant I15).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use leasehold_common::store::SharedStore;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;

use crate::backoff::Backoff;

/// Hints from the store, and what this executor knows by itself.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    /// For the activator: something may be due.
    hint: Notify,
    /// For the claimer: something may be in line.
    ready: Notify,
    /// When an item becomes due that the activator may not have seen.
    due: Mutex<Option<Instant>>,
    /// For the activator: look at `due`, or at the slots, again.
    sooner: Notify,
}

impl Wake {
    /// There may be something to do.
    pub(crate) fn hint(&self) {
        self.hint.notify_one();
        self.ready.notify_one();
    }

    pub(crate) async fn hinted(&self) {
        self.hint.notified().await;
    }

    /// Items are in line.
    pub(crate) fn ready(&self) {
        self.ready.notify_one();
    }

    pub(crate) async fn is_ready(&self) {
        self.ready.notified().await;
    }

    /// An item becomes due after this wait.
    pub(crate) fn due_in(&self, wait: Duration) {
        let at = Instant::now() + wait;
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        if due.is_none_or(|earlier| at < earlier) {
            *due = Some(at);
            drop(due);
            self.sooner.notify_one();
        }
    }

    /// Takes the earliest of these.
    pub(crate) fn take_due(&self) -> Option<Instant> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// A slot is free again, after none was.
    pub(crate) fn room(&self) {
        self.sooner.notify_one();
    }

    pub(crate) async fn sooner(&self) {
        self.sooner.notified().await;
    }
}

/// Passes the store's hints on for as long as the answer lives. The first attempt to subscribe is made before this
/// returns, so that whoever polls after that has missed nothing; if it fails, it is made again and again.
pub(crate) async fn follow_hints(store: SharedStore, wake: Arc<Wake>) -> AbortOnDropHandle<()> {
    let first = store.hints().await;
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut backoff = Backoff::up_to(Duration::from_secs(10));
        let mut subscription = first;
        loop {
            match subscription {
                Ok(mut hints) => loop {
                    // Work or Resync: either way there may be something to do.
                    hints.next().await;
                    wake.hint();
                },
                Err(error) => {
                    tracing::warn!(%error, "no hints from the store; polling only");
                    sleep(backoff.wait()).await;
                    subscription = store.hints().await;
                    wake.hint();
                }
            }
        }
    }))
}
