//! Makes due items ready, and tells the claimer.
//!
//! It wakes when the next item it knows of becomes due, when the store hints at something, and in any case after the
//! poll interval. Beside the claimer and not before it: while a herd moves into line, the head of the line runs. Any
//! executor may do it, and several share it; one without a free slot leaves it to others until its next poll.
//!
//! Must not know what is claimed. An idle executor makes one call a poll interval here.
//!
//! On failure: a conflict is tried again at once, everything else with growing waits, while the executor is not ready
//! but alive.

use std::sync::Arc;
use std::time::Duration;

use leasehold_common::store::{ErrorKind, SharedStore, StoreError, StoreResult};
use leasehold_ops::health::Part;
use metrics::counter;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::backoff::{Backoff, jittered};
use crate::live::Live;
use crate::metric;
use crate::wake::Wake;

/// The most items that one activation moves.
const BATCH: u32 = 2_000;

/// Items that are made ready in one pass. More than are due in a second anywhere.
const HERD: u64 = 100_000;

/// When items are due that others are just moving: look again after this.
const CONTENDED: Duration = Duration::from_millis(5);

/// The wait after a conflict.
const MOMENT: Duration = Duration::from_millis(1);

/// See the module.
pub(crate) struct Activator {
    store: SharedStore,
    live: Arc<Live>,
    wake: Arc<Wake>,
    health: Part,
    poll: Duration,
    /// When the poll is due.
    next_poll: Instant,
    /// When the next waiting item is due, as far as is known.
    next_due: Option<Instant>,
}

impl Activator {
    pub(crate) fn new(store: SharedStore, live: Arc<Live>, wake: Arc<Wake>, health: Part, poll: Duration) -> Self {
        Self { store, live, wake, health, poll, next_poll: Instant::now(), next_due: None }
    }

    /// Activates until told to stop.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let mut backoff = Backoff::up_to(Duration::from_secs(5));
        while !shutdown.is_cancelled() {
            match self.pass().await {
                Ok(_) => {
                    backoff.reset();
                    self.health.ready("");
                    self.sleep(&shutdown).await;
                }
                Err(error) if error.kind == ErrorKind::Conflict => sleep(jittered(MOMENT)).await,
                Err(error) => self.recover(&error, backoff.wait(), &shutdown).await,
            }
        }
    }

    /// Moves what is due, if a poll is or an item that there is room for. Answers how many moved.
    ///
    /// A pass moves all of a herd, whatever room there is: what stays behind for long counts as left behind by an
    /// outage.
    pub(crate) async fn pass(&mut self) -> StoreResult<u64> {
        let polled = Instant::now() >= self.next_poll;
        if let Some(due) = self.wake.take_due() {
            self.next_due = Some(self.next_due.map_or(due, |known| known.min(due)));
        }
        if !polled && (self.live.free() == 0 || !self.is_due()) {
            return Ok(0);
        }
        let mut moved = 0;
        loop {
            let more = self.activate().await?;
            moved += more;
            if more == 0 || moved >= HERD || !self.is_due() {
                break;
            }
        }
        if polled {
            self.next_poll = Instant::now() + jittered(self.poll);
        }
        Ok(moved)
    }

    fn is_due(&self) -> bool {
        self.next_due.is_some_and(|due| due <= Instant::now())
    }

    async fn activate(&mut self) -> StoreResult<u64> {
        let asked = Instant::now();
        let answer = self.store.activate(BATCH).await.inspect_err(|_| metric::store_error("activate"))?;
        // Counted from before the call: an item is rather looked for a little early than late.
        let least = if answer.moved == 0 { CONTENDED } else { Duration::ZERO };
        self.next_due = answer.next_in.map(|wait| match wait.is_zero() {
            true => Instant::now() + least,
            false => asked + wait,
        });
        if answer.moved > 0 {
            self.wake.ready();
            counter!(metric::ACTIVATED).increment(answer.moved);
        }
        Ok(answer.moved)
    }

    /// Sleeps until there may be something to do.
    async fn sleep(&mut self, shutdown: &CancellationToken) {
        let free = self.live.free();
        let until = match self.next_due {
            Some(due) if free > 0 => due.min(self.next_poll),
            _ => self.next_poll,
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = sleep_until(until) => {}
            () = self.wake.hinted() => self.next_due = Some(Instant::now()),
            () = self.wake.sooner() => {}
        }
    }

    async fn recover(&mut self, error: &StoreError, wait: Duration, shutdown: &CancellationToken) {
        tracing::warn!(%error, again_in = ?wait, "cannot make due items ready");
        self.health.not_ready(error.to_string());
        self.next_poll = Instant::now(); // anything may have happened meanwhile
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = sleep(wait) => {}
        }
    }
}
