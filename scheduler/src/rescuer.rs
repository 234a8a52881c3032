//! Takes back the runs of executors that are gone (invariant I12).
//!
//! It needs no list of executors: a claim that nobody extends expires by the store's clock, and what it held goes back
//! into the queue, or ends if no attempt is left (I11). What the old executor says later is stale.

use std::sync::Arc;
use std::time::Duration;

use leasehold_common::store::{Rescued, Schedules, StoreResult};

use crate::measure;
use crate::service::{Service, Ticked};
use crate::term::LeaderTerm;

/// How often expired claims are looked for: the part of the delay after a crash that is not the claim's lease.
const INTERVAL: Duration = Duration::from_secs(1);

/// The most claims in one transaction. A claim holds a batch of runs, so this is tens of thousands of rows at most.
const CLAIMS: u32 = 100;

pub(crate) struct Rescuer {
    store: Arc<dyn Schedules>,
}

/// What one tick rescued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) requeued: u64,
    pub(crate) dead: u64,
}

impl Rescuer {
    pub(crate) fn new(store: Arc<dyn Schedules>) -> Self {
        Self { store }
    }
}

impl Service for Rescuer {
    const NAME: &'static str = "rescuer";
    type Summary = Summary;

    async fn tick(&mut self, term: &LeaderTerm) -> StoreResult<Ticked<Summary>> {
        if !term.trusted() {
            return Ok(Ticked::Untrusted);
        }
        let Rescued::Done { requeued, dead } = self.store.rescue(term.term(), CLAIMS).await? else {
            return Ok(Ticked::StaleTerm);
        };
        if requeued + dead > 0 {
            measure::rescued(requeued, dead);
            tracing::info!(term = term.term().epoch, requeued, dead, "took back the runs of executors that are gone");
        }
        Ok(Ticked::Done(Summary { requeued, dead }))
    }

    /// Looks again at once after a find, since there may be more than one transaction took.
    fn pause(&self, summary: &Summary) -> Duration {
        if summary.requeued + summary.dead > 0 { Duration::ZERO } else { INTERVAL }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::atomic::Ordering;

    use leasehold_common::clock::BootClock;

    use super::*;
    use crate::testing::{FakeSchedules, term};

    #[tokio::test(start_paused = true)]
    async fn looks_again_at_once_until_nothing_is_found() {
        let store = FakeSchedules::new();
        store.lost.store(2, Ordering::SeqCst);
        let (mut rescuer, term) = (Rescuer::new(store.clone()), term(&BootClock::manual()));
        let mut pauses = vec![];
        for _ in 0..3 {
            let Ticked::Done(summary) = rescuer.tick(&term).await.unwrap() else { panic!("refused") };
            pauses.push(rescuer.pause(&summary));
        }
        assert_eq!(pauses, [Duration::ZERO, Duration::ZERO, INTERVAL]);
        store.begin_another_term();
        assert_eq!(rescuer.tick(&term).await.unwrap(), Ticked::StaleTerm);
    }

    #[tokio::test(start_paused = true)]
    async fn rescues_nothing_without_trust() {
        let store = FakeSchedules::new();
        store.lost.store(1, Ordering::SeqCst);
        let clock = BootClock::manual();
        let term = term(&clock);
        clock.advance(Duration::from_secs(9));
        assert_eq!(Rescuer::new(store.clone()).tick(&term).await.unwrap(), Ticked::Untrusted);
        assert_eq!(store.lost.load(Ordering::SeqCst), 1);
    }
}
