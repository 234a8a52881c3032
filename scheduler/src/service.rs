//! What the leader's services have in common: a tick that does one piece of work, and the loop around it.
//!
//! On failure: a tick that fails is tried again after a pause that grows to two seconds, for as long as the term lasts.
//! The first failure of a row is logged, and its end.

use std::time::Duration;

use leasehold_common::store::{ErrorKind, StoreError, StoreResult};
use tokio::time::sleep;

use crate::measure;
use crate::term::{End, LeaderTerm};

/// The longest pause after failures: a fraction of any useful look-ahead, so that a store that comes back is used
/// before work that was fanned out has run dry.
const LONGEST_RETRY: Duration = Duration::from_secs(2);

/// The first pause after a failure.
const FIRST_RETRY: Duration = Duration::from_millis(100);

/// How long to wait for the elector to end a term that is not trusted at the moment.
const UNTRUSTED_PAUSE: Duration = Duration::from_millis(50);

/// What a tick came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ticked<S> {
    /// It did its work.
    Done(S),
    /// The store refused a write because the term is over.
    StaleTerm,
    /// The term may not be acted upon: nothing more was written.
    Untrusted,
}

/// One of the leader's services.
pub(crate) trait Service: Send {
    /// Its name in logs and metrics.
    const NAME: &'static str;
    /// What one tick did.
    type Summary: Send;

    /// Does one piece of work. Asks the term before each write.
    fn tick(&mut self, term: &LeaderTerm) -> impl Future<Output = StoreResult<Ticked<Self::Summary>>> + Send;

    /// How long to wait before the next tick.
    fn pause(&self, summary: &Self::Summary) -> Duration;
}

/// Runs a service until its term ends. A tick under way is finished, not dropped: it may be within a transaction.
pub(crate) async fn drive<S: Service>(mut service: S, first: Duration, term: LeaderTerm) {
    let mut failures = Failures::of(S::NAME);
    let mut pause = first;
    loop {
        tokio::select! {
            biased;
            () = term.token().cancelled() => return,
            () = sleep(pause) => {}
        }
        pause = match service.tick(&term).await {
            Ok(Ticked::Done(summary)) => {
                failures.over();
                service.pause(&summary)
            }
            Ok(Ticked::Untrusted) => UNTRUSTED_PAUSE,
            Ok(Ticked::StaleTerm) => {
                measure::stale_term(S::NAME);
                tracing::warn!(service = S::NAME, term = term.term().epoch, "a write was refused: the term is over");
                return term.end(End::StaleTerm);
            }
            Err(error) => failures.add(&error),
        };
    }
}

/// Failures in a row.
struct Failures {
    service: &'static str,
    count: u32,
}

impl Failures {
    fn of(service: &'static str) -> Self {
        Self { service, count: 0 }
    }

    /// Logs the failure, unless it follows another one, and answers how long to wait.
    fn add(&mut self, error: &StoreError) -> Duration {
        measure::service_error(self.service);
        self.count = self.count.saturating_add(1);
        match error.kind {
            _ if self.count > 1 => {
                tracing::debug!(service = self.service, %error, failures = self.count, "failed again");
            }
            ErrorKind::Unavailable | ErrorKind::Conflict => {
                tracing::warn!(service = self.service, %error, "failed; trying again");
            }
            ErrorKind::Invalid | ErrorKind::Schema | ErrorKind::Corrupt => {
                tracing::error!(service = self.service, %error, "failed, and will until somebody acts; trying again");
            }
        }
        let longest = FIRST_RETRY.saturating_mul(1 << self.count.min(10).saturating_sub(1)).min(LONGEST_RETRY);
        longest.mul_f64(rand::random_range(0.5..=1.0))
    }

    fn over(&mut self) {
        if self.count > 0 {
            tracing::info!(service = self.service, failures = self.count, "works again");
            self.count = 0;
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use leasehold_common::clock::BootClock;
    use tokio::time::Instant;

    use super::*;
    use crate::testing::{term, until};

    /// Fails the first ticks.
    struct Flaky {
        ticks: Arc<AtomicU32>,
        failing: u32,
    }

    impl Service for Flaky {
        const NAME: &'static str = "flaky";
        type Summary = ();

        async fn tick(&mut self, _: &LeaderTerm) -> StoreResult<Ticked<()>> {
            match self.ticks.fetch_add(1, Ordering::SeqCst) {
                tick if tick < self.failing => Err(StoreError::new(ErrorKind::Unavailable, "try", "no")),
                _ => Ok(Ticked::Done(())),
            }
        }

        fn pause(&self, (): &()) -> Duration {
            Duration::from_secs(3600)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_tried_again_after_growing_pauses() {
        let (ticks, term) = (Arc::new(AtomicU32::new(0)), term(&BootClock::manual()));
        let began = Instant::now();
        let running = tokio::spawn(drive(Flaky { ticks: ticks.clone(), failing: 20 }, Duration::ZERO, term.clone()));
        until("twenty failures are over", || ticks.load(Ordering::SeqCst) == 21).await;
        // 50 ms to 100 ms, 100 ms to 200 ms, …, then fifteen times 1 s to 2 s.
        assert!((15..=34).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
        sleep(Duration::from_secs(60)).await;
        assert_eq!(ticks.load(Ordering::SeqCst), 21);
        term.end(End::Shutdown);
        running.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_tick_under_way_is_finished_when_the_term_ends() {
        struct Slow(Arc<AtomicU32>);
        impl Service for Slow {
            const NAME: &'static str = "slow";
            type Summary = ();
            async fn tick(&mut self, _: &LeaderTerm) -> StoreResult<Ticked<()>> {
                self.0.fetch_add(1, Ordering::SeqCst);
                sleep(Duration::from_secs(1)).await;
                self.0.fetch_add(10, Ordering::SeqCst);
                Ok(Ticked::Done(()))
            }
            fn pause(&self, (): &()) -> Duration {
                Duration::ZERO
            }
        }
        let (steps, term) = (Arc::new(AtomicU32::new(0)), term(&BootClock::manual()));
        let running = tokio::spawn(drive(Slow(steps.clone()), Duration::ZERO, term.clone()));
        until("the tick has begun", || steps.load(Ordering::SeqCst) == 1).await;
        term.end(End::Shutdown);
        running.await.unwrap();
        assert_eq!(steps.load(Ordering::SeqCst), 11);
    }
}
