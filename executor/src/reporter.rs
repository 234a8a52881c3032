//! Brings reports to the store, many in one call.
//!
//! Group commit without a timer: while one settle is under way the next batch gathers, so a lone report goes out at
//! once and a thousand go out together. Must not know what a handler is.
//!
//! Invariants: a report is tried until the store has answered it, however long the store is away: the claim may still
//! stand there, and only the store can tell. Memory stays bounded since no more is claimed while reports pile up
//! ([`Live::free`]). A claim goes into `finished` with the last of its reports and not before.
//!
//! On failure: a conflict is tried again at once, an unreachable store with growing waits. A report that the store
//! refuses for good is dropped with an error, and its claim given up so that the leader rescues what is left of it.
//! Once the executor drains, reports are given up when none of their claims stands any longer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use leasehold_common::store::{AttemptReport, ClaimId, ErrorKind, Settled, SharedStore, StoreError, Verdict};
use leasehold_ops::health::Part;
use metrics::{counter, gauge, histogram};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::backoff::Backoff;
use crate::live::Live;
use crate::metric;
use crate::notes::Notes;
use crate::runner::Ended;
use crate::wake::Wake;

/// The most reports in one call.
const BATCH: usize = 1_000;

/// Conflicts in a row after which the store is left some time.
const CONFLICTS: u32 = 10;

/// What became of all reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    pub(crate) dead: u64,
    pub(crate) cancelled: u64,
    pub(crate) released: u64,
    pub(crate) stale: u64,
    pub(crate) dropped: u64,
    pub(crate) opened: u64,
}

/// See the module.
pub(crate) struct Reporter {
    store: SharedStore,
    executor: Uuid,
    live: Arc<Live>,
    wake: Arc<Wake>,
    notes: Arc<Notes>,
    /// All runs have ended: what is in the channel is the last.
    closing: CancellationToken,
    health: Part,
    tally: Tally,
}

impl Reporter {
    pub(crate) fn new(
        store: SharedStore,
        executor: Uuid,
        live: Arc<Live>,
        wake: Arc<Wake>,
        notes: Arc<Notes>,
        closing: CancellationToken,
        health: Part,
    ) -> Self {
        health.ready("");
        Self { store, executor, live, wake, notes, closing, health, tally: Tally::default() }
    }

    /// Settles until the channel is closed and empty.
    pub(crate) async fn run(mut self, mut reports: UnboundedReceiver<Ended>) -> Tally {
        let closing = self.closing.clone();
        let mut closed = false;
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let got = tokio::select! {
                biased;
                () = closing.cancelled(), if !closed => {
                    reports.close();
                    closed = true;
                    continue;
                }
                got = reports.recv_many(&mut batch, BATCH) => got,
            };
            if got == 0 {
                return self.tally;
            }
            // Runs that end in the same moment are about to send theirs.
            tokio::task::yield_now().await;
            while batch.len() < BATCH
                && let Ok(more) = reports.try_recv()
            {
                batch.push(more);
            }
            self.settle(std::mem::take(&mut batch)).await;
        }
    }

    /// Brings one batch to the store, whatever it takes.
    async fn settle(&mut self, batch: Vec<Ended>) {
        let mut backoff = Backoff::up_to(Duration::from_secs(2));
        let mut conflicts = 0;
        // A call that failed may have been carried out all the same: stale answers are then no surprise.
        let mut repeated = false;
        loop {
            let error = match self.try_settle(&batch).await {
                Ok(answers) => {
                    self.answered(&batch, &answers, repeated);
                    self.health.ready("");
                    return;
                }
                Err(error) => error,
            };
            metric::store_error("settle");
            match error.kind {
                ErrorKind::Invalid | ErrorKind::Corrupt => return self.split(batch, &error).await,
                ErrorKind::Conflict if conflicts < CONFLICTS => conflicts += 1,
                ErrorKind::Conflict | ErrorKind::Unavailable | ErrorKind::Schema => {
                    if self.hopeless(&batch) {
                        return self.give_up(&batch, &error);
                    }
                    if !repeated {
                        tracing::warn!(%error, reports = batch.len(), "reports wait for the store");
                    }
                    self.health.not_ready(error.to_string());
                    repeated = true;
                    sleep(backoff.wait()).await;
                }
            }
        }
    }

    async fn try_settle(&self, batch: &[Ended]) -> Result<Vec<Settled>, StoreError> {
        self.notes.finish(&self.store, batch.iter().map(|ended| ended.report.id)).await;
        let finished = self.live.closing(&count(batch));
        let sent = Instant::now();
        let openings: Vec<_> = batch.iter().filter_map(|ended| ended.opening.clone()).collect();
        // First those that are left open: a claim of which nothing is left is dropped with the reports.
        let opened = if openings.is_empty() { Vec::new() } else { self.store.open(&openings).await? };
        let reports: Vec<AttemptReport> = batch
            .iter()
            .filter(|ended| ended.opening.is_none())
            .map(|ended| AttemptReport { ended_ago: sent.duration_since(ended.at), ..ended.report.clone() })
            .collect();
        let settled = match reports.is_empty() && finished.is_empty() {
            true => Vec::new(),
            false => self.store.settle(self.executor, &reports, &finished).await?,
        };
        histogram!(metric::SETTLE).record(sent.elapsed());
        let mut settled = settled.into_iter();
        let mut opened = opened.into_iter();
        let answer = |ended: &Ended| if ended.opening.is_some() { opened.next() } else { settled.next() };
        Ok(batch.iter().map(answer).map(|answer| answer.unwrap_or(Settled::Stale)).collect())
    }

    fn answered(&mut self, batch: &[Ended], answers: &[Settled], repeated: bool) {
        for (ended, answer) in batch.iter().zip(answers) {
            match answer {
                Settled::Recorded if ended.opening.is_some() => self.opened(),
                // Its endpoint was quicker and has reported, most likely.
                Settled::Stale if ended.opening.is_some() => tracing::debug!(
                    correlation_id = %ended.report.id, attempt = ended.report.attempt, "is not left open: it is over"
                ),
                Settled::Recorded => self.recorded(ended.report.verdict),
                Settled::Stale => self.stale(ended, repeated),
            }
        }
        self.settled(batch);
    }

    fn opened(&mut self) {
        self.tally.opened += 1;
        counter!(metric::RUNS, "outcome" => "opened").increment(1);
    }

    fn recorded(&mut self, verdict: Verdict) {
        let (count, outcome) = match verdict {
            Verdict::Succeeded => (&mut self.tally.succeeded, "succeeded"),
            Verdict::Retry(wait) => {
                self.wake.due_in(wait);
                (&mut self.tally.failed, "failed")
            }
            Verdict::Dead => (&mut self.tally.dead, "dead"),
            Verdict::Cancelled => (&mut self.tally.cancelled, "cancelled"),
            Verdict::Released => (&mut self.tally.released, "released"),
        };
        *count += 1;
        counter!(metric::RUNS, "outcome" => outcome).increment(1);
    }

    fn stale(&mut self, ended: &Ended, repeated: bool) {
        self.tally.stale += 1;
        counter!(metric::STALE).increment(1);
        tracing::warn!(
            tenant.id = %ended.tenant,
            job.name = %ended.job,
            correlation_id = %ended.report.id,
            attempt = ended.report.attempt,
            repeated,
            "the report came too late: the attempt was no longer this executor's, or was recorded by an earlier call",
        );
    }

    /// Finds the report that the store refuses, so that the others get through.
    async fn split(&mut self, mut batch: Vec<Ended>, error: &StoreError) {
        match batch.as_slice() {
            [] => {}
            [refused] => {
                tracing::error!(
                    tenant.id = %refused.tenant,
                    job.name = %refused.job,
                    correlation_id = %refused.report.id,
                    attempt = refused.report.attempt,
                    %error,
                    "the store refuses the report: it is dropped, and the run will be rescued",
                );
                self.live.abandon(refused.report.claim);
                self.tally.dropped += 1;
                self.settled(&batch);
            }
            _ => {
                let second = batch.split_off(batch.len() / 2);
                Box::pin(self.settle(batch)).await;
                Box::pin(self.settle(second)).await;
            }
        }
    }

    /// Whether waiting on is pointless: the executor wants to stop, and all the claims have run out.
    fn hopeless(&self, batch: &[Ended]) -> bool {
        self.closing.is_cancelled() && !batch.iter().any(|ended| self.live.holds(ended.report.claim))
    }

    fn give_up(&mut self, batch: &[Ended], error: &StoreError) {
        tracing::error!(%error, reports = batch.len(), "reports could not be brought to the store: the runs will be rescued and run again");
        self.tally.dropped += batch.len() as u64;
        self.settled(batch);
    }

    fn settled(&self, batch: &[Ended]) {
        self.live.settled(&count(batch));
        gauge!(metric::UNSETTLED).set(self.live.unsettled() as f64);
    }
}

fn count(batch: &[Ended]) -> HashMap<ClaimId, usize> {
    let mut counts = HashMap::new();
    for ended in batch {
        *counts.entry(ended.report.claim).or_default() += 1;
    }
    counts
}
