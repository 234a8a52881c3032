//! A term as the leader's services see it: whether it may be acted upon, and when it ends.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use leasehold_common::clock::BootClock;
use leasehold_common::lease::{Term, TrustWindow};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Why a term ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The store said that another term has begun, or that this one was ended.
    Lost,
    /// No renewal was confirmed in time.
    Untrusted,
    /// A write was refused because the term was over.
    StaleTerm,
    /// A service of the leader broke down.
    Failed,
    /// The process shuts down.
    Shutdown,
}

impl End {
    /// The word in logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Untrusted => "untrusted",
            Self::StaleTerm => "stale_term",
            Self::Failed => "failed",
            Self::Shutdown => "shutdown",
        }
    }
}

/// A term of this process. Cheap to clone; all clones are one. A term that has ended never comes back.
#[derive(Clone, Debug)]
pub struct LeaderTerm {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    term: Term,
    clock: BootClock,
    window: Mutex<TrustWindow>,
    end: OnceLock<End>,
    ended: CancellationToken,
}

impl LeaderTerm {
    pub(crate) fn new(term: Term, clock: BootClock, window: TrustWindow) -> Self {
        let (end, ended) = (OnceLock::new(), CancellationToken::new());
        Self { inner: Arc::new(Inner { term, clock, window: Mutex::new(window), end, ended }) }
    }

    /// The term that every write of the leader carries.
    #[must_use]
    pub fn term(&self) -> &Term {
        &self.inner.term
    }

    /// Whether the leader may act on its own word now (invariant I4). To be asked before each write: the clock behind
    /// it counts the time that the process was stopped or the machine suspended.
    #[must_use]
    pub fn trusted(&self) -> bool {
        !self.inner.ended.is_cancelled() && self.window().holds(self.inner.clock.now())
    }

    /// Is cancelled when the term ends.
    #[must_use]
    pub fn token(&self) -> &CancellationToken {
        &self.inner.ended
    }

    /// Ends the term. The first reason stands.
    pub(crate) fn end(&self, why: End) {
        let _ = self.inner.end.set(why);
        self.inner.ended.cancel();
    }

    /// Why it ended, if it has.
    #[must_use]
    pub fn why_ended(&self) -> Option<End> {
        self.inner.end.get().copied()
    }

    /// A renewal opened a new window.
    pub(crate) fn trust(&self, window: TrustWindow) {
        *self.inner.window.lock().unwrap_or_else(PoisonError::into_inner) = window;
    }

    /// Waits until the window is over, renewals included.
    pub(crate) async fn window_over(&self) {
        loop {
            let left = self.window().left(self.inner.clock.now());
            if left.is_zero() {
                return;
            }
            sleep(left).await;
        }
    }

    fn window(&self) -> TrustWindow {
        *self.inner.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
