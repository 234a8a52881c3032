//! Who leads.
//!
//! Owns the two states of a replica and the way between them:
//!
//! ```text
//!            elected, and the answer came within the trust window
//!   follower ----------------------------------------------------> leader
//!            <----------------------------------------------------
//!            lost | not renewed in time | a write refused | shutdown
//! ```
//!
//! Must not know what a leader does: that is behind [`Duties`], which get a [`LeaderTerm`] and stop when it ends.
//!
//! Invariants:
//! - A term is trusted from *before* the request was sent, for the TTL less a margin (I4). Any error, any answer that
//!   does not come in time and any answer that cannot be understood mean the same: no news, so trust runs out.
//! - The lease is renewed by a task of its own, with its own time limits: slow work never delays a renewal.
//! - The next term begins after the duties of the last one have stopped, or have been given up after a TTL; what a
//!   given-up duty still writes carries the old term and is refused by the store (I3).
//! - On shutdown the lease is kept until the work has stopped, and then given back, so that a successor neither starts
//!   beside it nor waits for the TTL.
//!
//! On failure (store or Redis away): a leader steps down when its window ends, followers keep asking.

mod call;
mod keeper;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use leasehold_common::clock::{BootClock, BootInstant};
use leasehold_common::lease::{Acquired, Candidate, LeaseKind, LeaseTiming, Term, TrustWindow};
use leasehold_common::store::{Lease, StoreError};
use leasehold_ops::health::Part;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use self::call::within;
use self::keeper::Keeper;
use crate::measure;
use crate::term::{End, LeaderTerm};

/// How long the last call to the lease may delay a shutdown.
const PARTING: Duration = Duration::from_secs(2);

/// What a leader does.
#[async_trait]
pub(crate) trait Duties: Send + Sync {
    /// Works until the term ends. Nothing of it may go on after the return.
    async fn run(&self, term: LeaderTerm);
}

/// Gets the lease, keeps it, and has the duties done meanwhile.
pub(crate) struct Elector {
    pub(crate) lease: Arc<dyn Lease>,
    pub(crate) candidate: Candidate,
    pub(crate) timing: LeaseTiming,
    pub(crate) clock: BootClock,
    pub(crate) duties: Arc<dyn Duties>,
    pub(crate) part: Arc<Part>,
    pub(crate) mood: Mood,
}

/// What the last answer was, so that each change is logged once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    /// None yet.
    #[default]
    Unknown,
    /// Somebody else leads.
    Following,
    /// The store records another kind of lease.
    Excluded(LeaseKind),
    /// No answer.
    Failing,
}

impl Elector {
    /// How long a healthy elector may be silent, for its [`Part`]: no wait in it is longer than a TTL, a retry and a parting.
    pub(crate) fn silence(timing: &LeaseTiming) -> Duration {
        3 * timing.ttl + timing.retry + 2 * PARTING
    }

    /// Follows and leads in turn, until shutdown.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        while let Some(term) = self.run_follower(&shutdown).await {
            self.run_leader(term, &shutdown).await;
        }
    }

    /// Asks for the lease until it is granted (`Some`) or the process shuts down (`None`).
    async fn run_follower(&mut self, shutdown: &CancellationToken) -> Option<LeaderTerm> {
        let parting = async {
            shutdown.cancelled().await;
            sleep(PARTING).await;
        };
        tokio::pin!(parting);
        while !shutdown.is_cancelled() {
            self.part.beat();
            // An answer under way when the shutdown comes is awaited: if it is an election, it must be undone.
            let elected = tokio::select! {
                elected = self.attempt() => elected,
                () = &mut parting => return None,
            };
            match elected {
                Some(term) if shutdown.is_cancelled() => self.resign(term.term()).await,
                Some(term) => return Some(term),
                None => tokio::select! {
                    () = sleep(self.jittered_retry()) => {}
                    () = shutdown.cancelled() => {}
                },
            }
        }
        None
    }

    /// Asks for the lease once.
    async fn attempt(&mut self) -> Option<LeaderTerm> {
        let (lease, candidate, ttl) = (Arc::clone(&self.lease), self.candidate.clone(), self.timing.ttl);
        let sent = self.clock.now();
        let answer = within(self.useful(), "acquire the lease", async move { lease.acquire(&candidate, ttl).await });
        match answer.await {
            Ok(Acquired::Elected(term)) => self.elected(term, sent),
            Ok(Acquired::Held) => {
                self.follow();
                None
            }
            Ok(Acquired::OtherKind(kind)) => {
                self.stand_back(kind);
                None
            }
            Err(error) => {
                self.unanswered(&error);
                None
            }
        }
    }

    /// After this time an answer opens no window any more.
    fn useful(&self) -> Duration {
        self.timing.ttl.saturating_sub(self.timing.margin())
    }

    fn elected(&mut self, term: Term, sent: BootInstant) -> Option<LeaderTerm> {
        let window = TrustWindow::from_renewal(sent, &self.timing);
        if !window.holds(self.clock.now()) {
            // The lease may be running out already. The next attempt starts a new term.
            tracing::warn!(term = term.epoch, "elected, but the answer came too late to be trusted");
            return None;
        }
        self.mood = Mood::Unknown;
        Some(LeaderTerm::new(term, self.clock.clone(), window))
    }

    fn follow(&mut self) {
        if self.change_mood(Mood::Following) {
            tracing::info!("following: another replica leads");
        }
        self.part.ready("follower");
    }

    fn stand_back(&mut self, kind: LeaseKind) {
        let own = self.candidate.kind;
        if self.change_mood(Mood::Excluded(kind)) {
            tracing::warn!(
                recorded = %kind, own = %own,
                "the store's leader is elected by another kind of lease than this replica's, which therefore never \
                 leads: start it with the same --lease as the others, or change the recorded kind"
            );
        }
        self.part.ready(format!("follower that never leads: its lease is of kind {own}, the store records {kind}"));
    }

    fn unanswered(&mut self, error: &StoreError) {
        if self.change_mood(Mood::Failing) {
            tracing::warn!(%error, "the lease does not answer; asking on");
        }
        self.part.not_ready(error.to_string());
    }

    fn change_mood(&mut self, mood: Mood) -> bool {
        std::mem::replace(&mut self.mood, mood) != mood
    }

    /// Up to a quarter earlier than asked for, so that replicas that start together do not ask together, and never
    /// later, since the look-ahead counts on it.
    fn jittered_retry(&self) -> Duration {
        self.timing.retry.mul_f64(rand::random_range(0.75..=1.0))
    }

    /// Keeps the lease and has the duties done until the term ends.
    async fn run_leader(&mut self, term: LeaderTerm, shutdown: &CancellationToken) {
        let epoch = term.term().epoch;
        tracing::info!(term = epoch, "elected: leading");
        measure::elected(epoch);
        self.part.ready(format!("leader, term {epoch}"));
        // Should this future be dropped, the duties must not go on without an elector.
        let _stop = term.token().clone().drop_guard();
        let mut keeper = self.start_keeper(&term);
        let mut duties = self.start_duties(&term);
        tokio::select! {
            _ = &mut keeper => term.end(End::Failed),
            () = term.token().cancelled() => {}
            () = shutdown.cancelled() => term.end(End::Shutdown),
        }
        if timeout(self.timing.ttl, &mut duties).await.is_err() {
            tracing::warn!(term = epoch, "the work of the term does not stop; what it still writes is refused");
        }
        drop(keeper);
        self.step_down(&term).await;
    }

    fn start_keeper(&self, term: &LeaderTerm) -> AbortOnDropHandle<()> {
        let keeper = Keeper {
            lease: Arc::clone(&self.lease),
            timing: self.timing,
            clock: self.clock.clone(),
            term: term.clone(),
            part: Arc::clone(&self.part),
        };
        AbortOnDropHandle::new(tokio::spawn(keeper.keep()))
    }

    /// Duties that return or break down before the term ends, end it.
    fn start_duties(&self, term: &LeaderTerm) -> JoinHandle<()> {
        let (duties, term) = (Arc::clone(&self.duties), term.clone());
        tokio::spawn(async move {
            let work = tokio::spawn({
                let term = term.clone();
                async move { duties.run(term).await }
            });
            if let Err(error) = work.await {
                tracing::error!(%error, term = term.term().epoch, "the leader's work broke down");
            }
            term.end(End::Failed);
        })
    }

    async fn step_down(&mut self, term: &LeaderTerm) {
        let why = term.why_ended().unwrap_or(End::Failed);
        measure::stepped_down(why);
        self.part.ready("follower");
        let epoch = term.term().epoch;
        match why {
            End::Shutdown => tracing::info!(term = epoch, "resigning"),
            _ => tracing::warn!(term = epoch, reason = why.as_str(), "stepped down"),
        }
        // In the other cases the term is over, or its end is not ours to tell.
        if matches!(why, End::Shutdown | End::Failed) {
            self.resign(term.term()).await;
        }
    }

    /// Gives the lease back. If that fails, it expires.
    async fn resign(&self, term: &Term) {
        let (lease, term) = (Arc::clone(&self.lease), *term);
        if let Err(error) = within(PARTING, "resign", async move { lease.resign(&term).await }).await {
            tracing::warn!(%error, term = term.epoch, "could not resign; the lease expires by itself");
        }
    }
}
