//! What wakes the claimer before its next poll.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// Hints from the store, and what this executor knows by itself.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    hint: Notify,
    /// When an item becomes due that the claimer may not have seen.
    due: Mutex<Option<Instant>>,
    sooner: Notify,
}

impl Wake {
    /// There may be something to do.
    pub(crate) fn hint(&self) {
        self.hint.notify_one();
    }

    pub(crate) async fn hinted(&self) {
        self.hint.notified().await;
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

    pub(crate) async fn sooner(&self) {
        self.sooner.notified().await;
    }
}
