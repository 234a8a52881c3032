//! A scheduler replica, put together.

use std::sync::Arc;

use leasehold_common::clock::BootClock;
use leasehold_common::lease::{Candidate, LeaseKind};
use leasehold_common::store::{Lease, SharedStore};
use leasehold_ops::health::{Health, Part};
use leasehold_ops::host;
use tokio_util::sync::CancellationToken;

use crate::duties::LeaderDuties;
use crate::elector::{Elector, Mood};
use crate::measure;
use crate::options::SchedulerOptions;
use crate::store_watch;
use crate::zone_data;

/// A scheduler replica.
pub struct Scheduler {
    store: SharedStore,
    elector: Elector,
    watched: Part,
}

impl Scheduler {
    /// A replica that contends for `lease` and does the leader's work in `store`. `kind` is the lease's. Its health
    /// parts are `elector` and `store`.
    #[must_use]
    pub fn new(
        store: SharedStore,
        lease: Arc<dyn Lease>,
        kind: LeaseKind,
        options: SchedulerOptions,
        health: Health,
    ) -> Self {
        if let Some(pause) = options.pause_before_dispatch {
            tracing::warn!(?pause, "every dispatch is held back: this setting is for tests of a fail-over only");
        }
        let elector = Elector {
            lease,
            candidate: candidate(kind),
            timing: options.timing,
            clock: BootClock::System,
            duties: Arc::new(LeaderDuties { store: Arc::clone(&store) as _, whole: Some(Arc::clone(&store)), options }),
            part: Arc::new(health.part("elector", Some(Elector::silence(&options.timing)))),
            mood: Mood::default(),
        };
        Self { store, elector, watched: health.part("store", None) }
    }

    /// Follows and leads until `shutdown`; then finishes what is being written, gives the lease back and returns.
    pub async fn run(self, shutdown: CancellationToken) {
        measure::begin();
        zone_data::tell();
        let candidate = &self.elector.candidate;
        tracing::info!(holder = %candidate.holder, lease = %candidate.kind, "contending for the lease");
        let watch = store_watch::watch(self.store, self.watched, shutdown.clone());
        tokio::join!(self.elector.run(shutdown), watch);
    }
}

impl std::fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scheduler").field("candidate", &self.elector.candidate).finish_non_exhaustive()
    }
}

/// The holder id is drawn at random: two replicas on one host differ, and a process that restarts is another one.
fn candidate(kind: LeaseKind) -> Candidate {
    let holder = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
    Candidate { holder, host: host::name(), pid: std::process::id(), kind }
}
