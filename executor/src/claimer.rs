//! Finds work: makes due items ready, claims as many as there are free slots, and sleeps exactly until there can be
//! more.
//!
//! It wakes when the next item it knows of becomes due, when the store hints at something, when a slot becomes free
//! while work is known to wait, and in any case after the poll interval. Hints are subscribed to before the first
//! poll, and one may be lost at any time: that costs a poll interval at most (invariant I15).
//!
//! Must not know what a run does. An idle executor makes two store calls a poll interval.
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
use tokio_util::task::AbortOnDropHandle;

use crate::backoff::{Backoff, jittered};
use crate::charges::Charges;
use crate::live::{Live, Ticket};
use crate::metric;
use crate::recipes::{Prepared, Recipes};
use crate::runner::Runner;
use crate::wake::Wake;

/// The most items that one claim takes.
const CLAIM: usize = 1_000;

/// Items that are made ready at one poll. More than are due in a second anywhere.
const HERD: u64 = 100_000;

/// The most items that one activation moves.
const ACTIVATE: u32 = 2_000;

/// When items are due that others are just moving: look again after this.
const CONTENDED: Duration = Duration::from_millis(5);

/// How long a few free slots are let become more before they are filled.
const LINGER: Duration = Duration::from_millis(1);

/// What one pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pass {
    pub(crate) activated: u64,
    pub(crate) claimed: usize,
}

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
    /// When the next waiting item is due, as far as is known.
    next_due: Option<Instant>,
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
        Self {
            store,
            request,
            live,
            recipes,
            runner,
            charges,
            wake,
            health,
            poll,
            next_poll,
            next_due: None,
            more: true,
        }
    }

    /// Claims until told to stop; what it has claimed by then is started.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let _hints = follow_hints(Arc::clone(&self.store), Arc::clone(&self.wake)).await;
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

    /// One activation if one is due, and one claim if it may find something.
    pub(crate) async fn pass(&mut self, shutdown: &CancellationToken) -> StoreResult<Pass> {
        let mut pass = Pass::default();
        let now = Instant::now();
        let polled = now >= self.next_poll;
        self.learn_due();
        if polled || (self.live.free() > 0 && self.next_due.is_some_and(|due| now >= due)) {
            pass.activated = self.activate().await?;
            // All of a herd, also by a full executor: what stays behind for long counts as left behind by an outage.
            while polled && self.next_due.is_some_and(|due| due <= Instant::now()) && pass.activated < HERD {
                match self.activate().await? {
                    0 => break,
                    more => pass.activated += more,
                }
            }
        }
        if polled {
            self.next_poll = now + jittered(self.poll);
            self.more = true;
            gauge!(metric::BUSY).set(self.live.busy() as f64);
        }
        let free = self.live.free().min(CLAIM);
        if self.more && free > 0 && !shutdown.is_cancelled() {
            pass.claimed = self.claim(free).await?;
        }
        Ok(pass)
    }

    async fn activate(&mut self) -> StoreResult<u64> {
        let asked = Instant::now();
        let answer = self.store.activate(ACTIVATE).await.inspect_err(|_| count_error("activate"))?;
        // Counted from before the call: an item is rather looked for a little early than late.
        let least = if answer.moved == 0 { CONTENDED } else { Duration::ZERO };
        self.next_due = answer.next_in.map(|wait| match wait.is_zero() {
            true => Instant::now() + least,
            false => asked + wait,
        });
        if answer.moved > 0 {
            self.more = true;
            counter!(metric::ACTIVATED).increment(answer.moved);
        }
        Ok(answer.moved)
    }

    async fn claim(&mut self, free: usize) -> StoreResult<usize> {
        self.request.limit = u32::try_from(free).unwrap_or(u32::MAX);
        let sent = self.live.clock().now();
        let timer = Instant::now();
        let claimed = self.store.claim(&self.request).await.inspect_err(|_| count_error("claim"))?;
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
                    count_error("definitions");
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
        let until = match self.next_due {
            Some(due) if free > 0 => due.min(self.next_poll),
            _ => self.next_poll,
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = sleep_until(until) => {}
            () = self.wake.hinted() => self.look_again(),
            () = self.wake.sooner() => {}
            () = self.live.freed(), if free == 0 => {}
        }
    }

    /// A slot or two became free while work waits: a moment later it may be many, and one claim serves them all.
    async fn linger(&self, free: usize) {
        tokio::task::yield_now().await;
        if free * 8 < self.live.slots() {
            sleep(LINGER).await;
        }
    }

    fn look_again(&mut self) {
        self.more = true;
        self.next_due = Some(Instant::now());
    }

    fn learn_due(&mut self) {
        if let Some(due) = self.wake.take_due() {
            self.next_due = Some(self.next_due.map_or(due, |known| known.min(due)));
        }
    }

    async fn recover(&mut self, error: &StoreError, wait: Duration, shutdown: &CancellationToken) {
        tracing::warn!(%error, again_in = ?wait, "cannot look for work");
        self.health.not_ready(error.to_string());
        self.next_poll = Instant::now(); // anything may have happened meanwhile
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = sleep(wait) => {}
        }
    }
}

fn count_error(call: &'static str) {
    counter!(metric::STORE_ERRORS, "call" => call).increment(1);
}

/// Passes the store's hints on for as long as the answer lives. The first attempt to subscribe is made before this
/// returns; if it fails, it is made again and again.
async fn follow_hints(store: SharedStore, wake: Arc<Wake>) -> AbortOnDropHandle<()> {
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
