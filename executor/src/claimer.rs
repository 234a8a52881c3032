//! Takes work: claims as many ready items as there are free slots, and sleeps until there can be more.
//!
//! It wakes when items have become ready, when the store hints at something, when a slot becomes free while work is
//! known to wait, and in any case after the poll interval.
//!
//! Must not know what a run does, nor when items become ready: that is the activator's. An idle executor makes one
//! call a poll interval here.
//!
//! On failure: a conflict is tried again at once, everything else with growing waits, while the executor is not ready
//! but alive. A claim is never dropped half way: its runs would have to wait for their rescue.

use std::sync::Arc;
use std::time::Duration;

use leasehold_common::store::{ClaimRequest, Claimed, ErrorKind, SharedStore, StoreError, StoreResult};
use leasehold_ops::health::Part;
use metrics::{counter, gauge, histogram};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::backoff::{Backoff, jittered};
use crate::charges::Charges;
use crate::live::{Live, Ticket};
use crate::metric;
use crate::recipes::{Prepared, Recipes};
use crate::runner::Runner;
use crate::wake::Wake;

/// The most items that one claim takes.
const CLAIM: usize = 1_000;

/// How long a few free slots are let become more before they are filled.
const LINGER: Duration = Duration::from_millis(1);

/// See the module.
pub(crate) struct Claimer {
    store: SharedStore,
    request: ClaimRequest,
    live: Arc<Live>,
    recipes: Recipes,
    runner: Arc<Runner>,
    charges: Arc<Charges>,
    wake: Arc<Wake>,
    health: Part,
    poll: Duration,
    /// When the poll is due.
    next_poll: Instant,
    /// Whether a claim may find something.
    more: bool,
}

impl Claimer {
    pub(crate) fn new(
        store: SharedStore,
        request: ClaimRequest,
        live: Arc<Live>,
        runner: Arc<Runner>,
        wake: Arc<Wake>,
        health: Part,
        poll: Duration,
    ) -> Self {
        let recipes = Recipes::new(Arc::clone(&store));
        let charges = Arc::clone(&runner.charges);
        let next_poll = Instant::now();
        Self { store, request, live, recipes, runner, charges, wake, health, poll, next_poll, more: true }
    }

    /// Claims until told to stop; what it has claimed by then is started.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let mut backoff = Backoff::up_to(Duration::from_secs(5));
        while !shutdown.is_cancelled() {
            match self.pass(&shutdown).await {
                Ok(_) => {
                    backoff.reset();
                    self.health.ready("");
                    self.sleep(&shutdown).await;
                }
                Err(error) if error.kind == ErrorKind::Conflict => sleep(jittered(LINGER)).await,
                Err(error) => self.recover(&error, backoff.wait(), &shutdown).await,
            }
        }
    }

    /// One claim, if it may find something. Answers how many runs it took.
    pub(crate) async fn pass(&mut self, shutdown: &CancellationToken) -> StoreResult<usize> {
        let now = Instant::now();
        if now >= self.next_poll {
            self.next_poll = now + jittered(self.poll);
            self.more = true;
            gauge!(metric::BUSY).set(self.live.busy() as f64);
        }
        let free = self.live.free().min(CLAIM);
        if self.more && free > 0 && !shutdown.is_cancelled() {
            return self.claim(free).await;
        }
        Ok(0)
    }

    async fn claim(&mut self, free: usize) -> StoreResult<usize> {
        self.request.limit = u32::try_from(free).unwrap_or(u32::MAX);
        let sent = self.live.clock().now();
        let timer = Instant::now();
        let claimed = self.store.claim(&self.request).await.inspect_err(|_| metric::store_error("claim"))?;
        histogram!(metric::CLAIM).record(timer.elapsed());
        counter!(metric::CLAIMED).increment(claimed.items.len() as u64);
        metric::dismissed(&claimed);
        self.more = claimed.items.len() >= free || claimed.dismissed > 0;
        let count = claimed.items.len();
        self.charges.claimed(&claimed.items);
        if count > 0 {
            let tickets = self.live.admit(claimed.claim, sent, claimed.items.iter().map(|run| run.id));
            self.start(claimed, tickets).await;
        }
        Ok(count)
    }

    /// Starts the runs of a claim. While the store cannot say what they are, they wait, as long as the claim stands;
    /// then they are given up.
    async fn start(&self, claimed: Claimed, tickets: Vec<Ticket>) {
        let mut backoff = Backoff::up_to(Duration::from_secs(1));
        loop {
            match self.recipes.prepare(&claimed.items).await {
                Ok(prepared) => return self.start_all(prepared, tickets),
                Err(error) if !self.live.holds(claimed.claim) => {
                    tracing::warn!(%error, runs = tickets.len(), "claimed runs are given up");
                    return;
                }
                Err(error) if self.runner.stopping.is_cancelled() => {
                    tracing::warn!(%error, runs = tickets.len(), "claimed runs are given back");
                    claimed.items.iter().zip(&tickets).for_each(|(run, ticket)| self.runner.give_back(run, ticket));
                    return;
                }
                Err(error) => {
                    metric::store_error("definitions");
                    self.health.not_ready(error.to_string());
                    sleep(backoff.wait()).await;
                }
            }
        }
    }

    fn start_all(&self, prepared: Vec<Prepared>, tickets: Vec<Ticket>) {
        for (prepared, ticket) in prepared.into_iter().zip(tickets) {
            self.runner.start(prepared, ticket);
        }
    }

    /// Sleeps until there may be something to do.
    async fn sleep(&mut self, shutdown: &CancellationToken) {
        let free = self.live.free();
        if self.more && free > 0 {
            return self.linger(free).await;
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = sleep_until(self.next_poll) => {}
            () = self.wake.is_ready() => self.more = true,
            () = self.live.freed(), if free == 0 => self.wake.room(),
        }
    }

    /// A slot or two became free while work waits: a moment later it may be many, and one claim serves them all.
    async fn linger(&self, free: usize) {
        tokio::task::yield_now().await;
        if free * 8 < self.live.slots() {
            sleep(LINGER).await;
        }
    }

    async fn recover(&mut self, error: &StoreError, wait: Duration, shutdown: &CancellationToken) {
        tracing::warn!(%error, again_in = ?wait, "cannot claim work");
        self.health.not_ready(error.to_string());
        self.next_poll = Instant::now(); // anything may have happened meanwhile
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = sleep(wait) => {}
        }
    }
}
