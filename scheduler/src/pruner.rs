//! Deletes reports past their age, in pieces that delay nobody.

use std::sync::Arc;
use std::time::Duration;

use leasehold_common::store::{Pruned, Schedules, StoreResult};

use crate::measure;
use crate::service::{Service, Ticked};
use crate::term::LeaderTerm;

/// How often old reports are looked for.
const INTERVAL: Duration = Duration::from_secs(60);

/// The most reports in one transaction: tens of milliseconds on the stores at hand.
const CHUNK: u32 = 2_000;

/// Between two pieces, so that claims and reports get the disk in between. About 20,000 reports a second at most.
const BREATH: Duration = Duration::from_millis(100);

pub(crate) struct Pruner {
    store: Arc<dyn Schedules>,
    keep: Duration,
}

/// What one tick deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) reports: u64,
}

impl Pruner {
    pub(crate) fn new(store: Arc<dyn Schedules>, keep: Duration) -> Self {
        Self { store, keep }
    }

    /// A new leader has more urgent work, and many new leaders in a row must not prune each time.
    pub(crate) fn first_pause() -> Duration {
        jittered(INTERVAL / 2)
    }
}

impl Service for Pruner {
    const NAME: &'static str = "pruner";
    type Summary = Summary;

    async fn tick(&mut self, term: &LeaderTerm) -> StoreResult<Ticked<Summary>> {
        if !term.trusted() {
            return Ok(Ticked::Untrusted);
        }
        let Pruned::Done { reports } = self.store.prune(term.term(), self.keep, CHUNK).await? else {
            return Ok(Ticked::StaleTerm);
        };
        if reports > 0 {
            measure::pruned(reports);
            tracing::debug!(term = term.term().epoch, reports, "deleted old reports");
        }
        Ok(Ticked::Done(Summary { reports }))
    }

    fn pause(&self, summary: &Summary) -> Duration {
        if summary.reports >= u64::from(CHUNK) { BREATH } else { jittered(INTERVAL) }
    }
}

/// Between 80 and 120 percent.
fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(rand::random_range(0.8..=1.2))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::atomic::Ordering;

    use leasehold_common::clock::BootClock;

    use super::*;
    use crate::testing::{FakeSchedules, term};

    #[tokio::test(start_paused = true)]
    async fn deletes_in_chunks_and_then_rests() {
        let store = FakeSchedules::new();
        store.old.store(u64::from(CHUNK) + 5, Ordering::SeqCst);
        let (mut pruner, term) = (Pruner::new(store.clone(), Duration::from_secs(1)), term(&BootClock::manual()));
        let Ticked::Done(first) = pruner.tick(&term).await.unwrap() else { panic!("refused") };
        assert_eq!((first.reports, pruner.pause(&first)), (u64::from(CHUNK), BREATH));
        let Ticked::Done(second) = pruner.tick(&term).await.unwrap() else { panic!("refused") };
        assert_eq!(second.reports, 5);
        assert!(pruner.pause(&second) >= INTERVAL.mul_f64(0.8));
        store.begin_another_term();
        assert_eq!(pruner.tick(&term).await.unwrap(), Ticked::StaleTerm);
    }

    #[tokio::test(start_paused = true)]
    async fn deletes_nothing_without_trust() {
        let store = FakeSchedules::new();
        store.old.store(9, Ordering::SeqCst);
        let clock = BootClock::manual();
        let term = term(&clock);
        clock.advance(Duration::from_secs(9));
        assert_eq!(Pruner::new(store.clone(), INTERVAL).tick(&term).await.unwrap(), Ticked::Untrusted);
        assert_eq!(store.old.load(Ordering::SeqCst), 9);
    }
}
