//! Ends items that nobody ran in time.
//!
//! A claim would end them one by one when it comes to them; with no executor there, or with few, they would stay in the
//! queue by the million. Here a row of them becomes one report.

use std::sync::Arc;
use std::time::Duration;

use leasehold_common::store::{Schedules, StoreResult, Swept};

use crate::measure;
use crate::service::{Service, Ticked};
use crate::term::LeaderTerm;

/// How often overdue items are looked for.
const INTERVAL: Duration = Duration::from_secs(1);

/// The most items in one transaction.
const ITEMS: u32 = 10_000;

pub(crate) struct Sweeper {
    store: Arc<dyn Schedules>,
}

/// What one tick ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) misfired: u64,
    pub(crate) expired: u64,
    /// How many items it looked at.
    pub(crate) seen: u64,
}

impl Sweeper {
    pub(crate) fn new(store: Arc<dyn Schedules>) -> Self {
        Self { store }
    }
}

impl Service for Sweeper {
    const NAME: &'static str = "sweeper";
    type Summary = Summary;

    async fn tick(&mut self, term: &LeaderTerm) -> StoreResult<Ticked<Summary>> {
        if !term.trusted() {
            return Ok(Ticked::Untrusted);
        }
        let Swept::Done { misfired, expired, seen } = self.store.sweep(term.term(), ITEMS).await? else {
            return Ok(Ticked::StaleTerm);
        };
        if misfired + expired > 0 {
            measure::swept(misfired, expired);
            tracing::debug!(term = term.term().epoch, misfired, expired, "ended items that nobody ran in time");
        }
        Ok(Ticked::Done(Summary { misfired, expired, seen }))
    }

    /// Looks again at once if it saw as many as it may. Not if all of them may still run: it would see the same again.
    fn pause(&self, summary: &Summary) -> Duration {
        let ended = summary.misfired + summary.expired;
        if summary.seen >= u64::from(ITEMS) && ended > 0 { Duration::ZERO } else { INTERVAL }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::atomic::Ordering;

    use leasehold_common::clock::BootClock;
    use tokio::time::sleep;

    use super::*;
    use crate::service::drive;
    use crate::term::End;
    use crate::testing::{FakeSchedules, term, until};

    async fn tick(sweeper: &mut Sweeper, term: &LeaderTerm) -> Summary {
        let Ticked::Done(summary) = sweeper.tick(term).await.unwrap() else { panic!("refused") };
        summary
    }

    #[tokio::test(start_paused = true)]
    async fn sweeps_in_batches_without_waiting_and_then_rests() {
        let store = FakeSchedules::new();
        store.overdue.store(u64::from(ITEMS) * 2 + 5, Ordering::SeqCst);
        let (mut sweeper, term) = (Sweeper::new(store.clone()), term(&BootClock::manual()));
        let mut sweeps = vec![];
        for _ in 0..4 {
            let summary = tick(&mut sweeper, &term).await;
            sweeps.push((summary.misfired, sweeper.pause(&summary)));
        }
        let batch = (u64::from(ITEMS), Duration::ZERO);
        assert_eq!(sweeps, [batch, batch, (5, INTERVAL), (0, INTERVAL)]);
        store.begin_another_term();
        assert_eq!(sweeper.tick(&term).await.unwrap(), Ticked::StaleTerm);
    }

    #[tokio::test(start_paused = true)]
    async fn items_that_may_still_run_do_not_make_the_loop_spin() {
        let store = FakeSchedules::new();
        store.late.store(u64::from(ITEMS) * 2, Ordering::SeqCst);
        let (mut sweeper, term) = (Sweeper::new(store.clone()), term(&BootClock::manual()));
        let summary = tick(&mut sweeper, &term).await;
        assert_eq!((summary.seen, sweeper.pause(&summary)), (u64::from(ITEMS), INTERVAL));
    }

    #[tokio::test(start_paused = true)]
    async fn its_loop_looks_once_a_second_and_finds_what_comes_later() {
        let store = FakeSchedules::new();
        let term = term(&BootClock::manual());
        let running = tokio::spawn(drive(Sweeper::new(store.clone()), Duration::ZERO, term.clone()));
        sleep(Duration::from_secs(10)).await;
        let sweeps = store.sweeps.load(Ordering::SeqCst);
        assert!((9..=11).contains(&sweeps), "{sweeps}");
        store.overdue.store(u64::from(ITEMS) * 3, Ordering::SeqCst);
        until("all is swept", || store.overdue.load(Ordering::SeqCst) == 0).await;
        store.begin_another_term();
        running.await.unwrap();
        assert_eq!(term.why_ended(), Some(End::StaleTerm));
    }

    #[tokio::test(start_paused = true)]
    async fn sweeps_nothing_without_trust() {
        let store = FakeSchedules::new();
        store.overdue.store(9, Ordering::SeqCst);
        let clock = BootClock::manual();
        let term = term(&clock);
        clock.advance(Duration::from_secs(9));
        assert_eq!(Sweeper::new(store.clone()).tick(&term).await.unwrap(), Ticked::Untrusted);
        assert_eq!(store.overdue.load(Ordering::SeqCst), 9);
    }
}
