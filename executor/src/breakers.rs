//! Circuit breakers: tells the store when an endpoint is down and when it is back, and what becomes of the attempts that
//! found that out.
//!
//! An endpoint is down if nothing answered in time (no address, no connection, no TLS, no answer within the job's
//! timeout), or a gateway in front of it said so (502, 503, 504). Anything else it says is an answer.
//!
//! Owns the rows of failures in this process. Must not know how the store keeps what it was told: the breaker there counts
//! for all executors, and outlives this one.
//!
//! On failure: if the store does not answer, an attempt counts as it would without a breaker.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use leasehold_common::id::CorrelationId;
use leasehold_common::store::{ClaimedRun, EndpointFailure, SharedStore, Verdict};
use metrics::counter;
use uuid::Uuid;

use crate::metric;
use crate::verdict::Judgement;

/// So many failures in a row open the breaker …
const FAILURES: u32 = 5;

/// … if they are of so many runs: one that is retried says little about the endpoint.
const RUNS: usize = 3;

/// Of so many endpoints the rows of failures are kept. An endpoint that fails now and then without ever answering between
/// is rare; one that is forgotten starts over.
const KEPT: usize = 10_000;

/// What an attempt has seen of its endpoint. Shared with the handler.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sight(Arc<AtomicU8>);

const ASKED: u8 = 1;
const UP: u8 = 2;
const DOWN: u8 = 3;

impl Sight {
    /// The request goes out: if the attempt runs out of time, the endpoint has not answered.
    pub(crate) fn asked(&self) {
        self.0.store(ASKED, Ordering::Relaxed);
    }

    /// It has answered.
    pub(crate) fn up(&self) {
        self.0.store(UP, Ordering::Relaxed);
    }

    /// It is down.
    pub(crate) fn down(&self) {
        self.0.store(DOWN, Ordering::Relaxed);
    }

    /// `None`: nothing can be said.
    fn is_down(&self, timed_out: bool) -> Option<bool> {
        match self.0.load(Ordering::Relaxed) {
            ASKED if timed_out => Some(true),
            UP => Some(false),
            DOWN => Some(true),
            _ => None,
        }
    }
}

/// See the module.
pub(crate) struct Breakers {
    pub(crate) store: SharedStore,
    pub(crate) executor: Uuid,
    pub(crate) rows: Mutex<HashMap<String, Row>>,
}

/// Failures of an endpoint without an answer between them.
#[derive(Default)]
pub(crate) struct Row {
    failures: u32,
    runs: HashSet<CorrelationId>,
}

impl Breakers {
    /// What becomes of an attempt that has called an endpoint: while the breaker is not closed, a failure for which the
    /// endpoint is to blame does not count.
    pub(crate) async fn weigh(
        &self,
        endpoint: &str,
        sight: &Sight,
        timed_out: bool,
        run: &ClaimedRun,
        judgement: Judgement,
    ) -> Judgement {
        match sight.is_down(timed_out) {
            None => judgement,
            Some(false) => {
                self.answered(endpoint, run).await;
                judgement
            }
            Some(true) if !matches!(judgement.verdict, Verdict::Retry(_) | Verdict::Dead) => judgement,
            Some(true) => match self.failed(endpoint, run, judgement.error.as_deref().unwrap_or_default()).await {
                true => Judgement { verdict: Verdict::Released, ..judgement },
                false => judgement,
            },
        }
    }

    /// An attempt got an answer.
    pub(crate) async fn answered(&self, endpoint: &str, run: &ClaimedRun) {
        self.lock().remove(endpoint);
        if !run.probe {
            return;
        }
        match self.store.close_breaker(endpoint).await {
            Ok(true) => tracing::info!(endpoint, "the endpoint answers again: what waits for it goes on"),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, endpoint, "the breaker stays: another probe will find out"),
        }
    }

    /// Whether the breaker is not closed.
    async fn failed(&self, endpoint: &str, run: &ClaimedRun, error: &str) -> bool {
        let open = run.probe || self.count(endpoint, run.id);
        let failure =
            EndpointFailure { endpoint: endpoint.to_owned(), open, executor: self.executor, error: error.to_owned() };
        match self.store.endpoint_failed(&failure).await {
            Ok(is_open) => {
                if open && is_open {
                    counter!(metric::BREAKER_TRIPS).increment(1);
                    tracing::warn!(endpoint, error, "the endpoint is down: what calls it waits");
                }
                is_open
            }
            Err(error) => {
                tracing::debug!(%error, endpoint, "cannot say whether its breaker is open");
                false
            }
        }
    }

    /// Counts a failure; whether there are enough.
    fn count(&self, endpoint: &str, run: CorrelationId) -> bool {
        let mut rows = self.lock();
        if rows.len() >= KEPT && !rows.contains_key(endpoint) {
            rows.clear();
        }
        let row = rows.entry(endpoint.to_owned()).or_default();
        row.failures += 1;
        if row.runs.len() < RUNS {
            row.runs.insert(run);
        }
        let enough = row.failures >= FAILURES && row.runs.len() >= RUNS;
        if enough {
            rows.remove(endpoint);
        }
        enough
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Row>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
