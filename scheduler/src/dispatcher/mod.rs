//! Fan-out: puts what is due within the look-ahead into the queue.
//!
//! Owns the way from due jobs to launches: a batch of due jobs, their schedules, the plan of each, and one fenced
//! transaction per piece. Must not know what a job does when it runs.
//!
//! Invariants:
//! - Memory depends on the batch, not on the number of schedules; work depends on what is due.
//! - A job whose definition cannot be read is left where it is, with nothing recorded, so that a replica of a newer
//!   version can plan it; it neither delays the others nor keeps the loop spinning.
//! - Everything due within the look-ahead is in the queue: the horizon lies one poll beyond it, since what enters it
//!   just after a tick waits for the next.
//!
//! On failure the tick ends with the error; what was dispatched before stands, and the rest is due still.

mod schedules;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use leasehold_common::plan::plan;
use leasehold_common::store::{Dispatched, DueBatch, Launch, Schedules, StoreResult};
use tokio::time::{Instant, sleep};

use self::schedules::ScheduleCache;
use crate::measure;
use crate::options::SchedulerOptions;
use crate::service::{Service, Ticked};
use crate::term::LeaderTerm;

/// How often due jobs are looked for. A job that repeats a second after its completion gets its due time in between,
/// so this is well below a second; and it is most of what an idle leader costs, so it is not lower.
pub(crate) const POLL: Duration = Duration::from_millis(700);

/// Jobs looked at in one go. Larger batches fan out hardly faster (queue figures: 1,000 rows a statement reach the
/// speed of the disk), hold locks for longer, and cost memory.
const BATCH: u32 = 1_000;

/// Due times written in one transaction. One job may have many within the look-ahead, so jobs are not the measure.
const ITEMS: usize = 2_000;

/// Jobs with unreadable definitions that are stepped over to reach the ones behind them, since the earliest come
/// first. Beyond that many they hide the others, which is an error that somebody must act upon.
const STEP_OVER: u32 = 4_000;

pub(crate) struct Dispatcher {
    store: Arc<dyn Schedules>,
    schedules: ScheduleCache,
    within: Duration,
    pause: Option<Duration>,
    stepped_over: u32,
}

/// What one tick did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Jobs that were due.
    pub(crate) jobs: usize,
    /// Jobs that were due and whose definition could not be read.
    pub(crate) unplannable: usize,
    /// Items put into the queue.
    pub(crate) items: u64,
    /// Due times recorded as misfired.
    pub(crate) misfired: u64,
    /// Whether there is more to do at once.
    pub(crate) more: bool,
}

impl Dispatcher {
    pub(crate) fn new(store: Arc<dyn Schedules>, options: &SchedulerOptions) -> Self {
        Self {
            store,
            schedules: ScheduleCache::new(),
            within: options.look_ahead + POLL,
            pause: options.pause_before_dispatch,
            stepped_over: 0,
        }
    }

    /// The launches of a batch, and how many of its jobs could not be planned.
    async fn plan(&mut self, batch: &DueBatch, horizon: Timestamp) -> StoreResult<(Vec<Launch>, usize)> {
        self.schedules.load(&*self.store, &batch.jobs).await?;
        let mut launches = Vec::with_capacity(batch.jobs.len());
        let mut oldest = None;
        for job in &batch.jobs {
            if let Some(schedule) = self.schedules.of(job) {
                oldest = oldest.or(Some(job.next_due));
                launches.push(plan(job, &schedule, batch.now, horizon));
            }
        }
        let unplannable = batch.jobs.len() - launches.len();
        measure::backlog(lag(batch.now, oldest), unplannable);
        Ok((launches, unplannable))
    }

    /// Writes one piece. `None`: the term may not be acted upon.
    async fn dispatch(&self, term: &LeaderTerm, launches: &[Launch]) -> StoreResult<Option<Dispatched>> {
        if !term.trusted() {
            return Ok(None);
        }
        if let Some(pause) = self.pause {
            sleep(pause).await;
        }
        let started = Instant::now();
        let dispatched = self.store.dispatch(term.term(), launches).await?;
        if let Dispatched::Done { items, misfired } = dispatched {
            measure::dispatched(items, misfired, started.elapsed());
            tracing::debug!(
                term = term.term().epoch,
                jobs = launches.len(),
                items,
                misfired,
                duration_ms = started.elapsed().as_millis(),
                "dispatched"
            );
        }
        Ok(Some(dispatched))
    }

    /// Remembers how many jobs to step over in the next batch. Answers whether that lets it see further.
    fn step_over(&mut self, unplannable: usize) -> bool {
        let before = self.stepped_over;
        self.stepped_over = u32::try_from(unplannable).unwrap_or(u32::MAX).min(STEP_OVER);
        if self.stepped_over == STEP_OVER && before < STEP_OVER {
            tracing::error!(unplannable, "so many due jobs have definitions that cannot be read that they hide others");
        }
        self.stepped_over > before
    }
}

impl Service for Dispatcher {
    const NAME: &'static str = "dispatcher";
    type Summary = Summary;

    async fn tick(&mut self, term: &LeaderTerm) -> StoreResult<Ticked<Summary>> {
        let batch = self.store.due(self.within, BATCH + self.stepped_over).await?;
        let horizon = batch.now.checked_add(self.within).unwrap_or(Timestamp::MAX);
        let (launches, unplannable) = self.plan(&batch, horizon).await?;
        let mut summary = Summary { jobs: batch.jobs.len(), unplannable, ..Summary::default() };
        for piece in pieces(&launches) {
            match self.dispatch(term, piece).await? {
                Some(Dispatched::Done { items, misfired }) => {
                    summary.items += items;
                    summary.misfired += misfired;
                }
                Some(Dispatched::StaleTerm) => return Ok(Ticked::StaleTerm),
                None => return Ok(Ticked::Untrusted),
            }
        }
        let full = batch.next_in == Some(Duration::ZERO);
        let unfinished = launches.iter().any(|launch| launch.next.is_some_and(|next| next <= horizon));
        // Without progress the same batch would come again: then the next poll is soon enough.
        let progress = summary.items + summary.misfired > 0;
        let further = self.step_over(unplannable);
        summary.more = (full || unfinished) && progress || full && further;
        Ok(Ticked::Done(summary))
    }

    fn pause(&self, summary: &Summary) -> Duration {
        if summary.more { Duration::ZERO } else { POLL }
    }
}

/// How far past its due time the oldest job is.
fn lag(now: Timestamp, oldest: Option<Timestamp>) -> Duration {
    oldest.and_then(|due| Duration::try_from(now.duration_since(due)).ok()).unwrap_or_default()
}

/// Cuts launches into pieces of at most [`ITEMS`] due times, at least one launch each.
fn pieces(launches: &[Launch]) -> impl Iterator<Item = &[Launch]> {
    let mut rest = launches;
    std::iter::from_fn(move || {
        let mut items = 0;
        let fitting = rest.iter().take_while(|launch| {
            items += launch.due.len() + launch.misfired.len();
            items <= ITEMS
        });
        let count = fitting.count().max(1).min(rest.len());
        let (piece, after) = rest.split_at(count);
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}
