//! Fan-out: puts what is due within the look-ahead into the queue.
//!
//! Owns the way from due jobs to launches: a batch of due jobs, their schedules, the plan of each, and one fenced
//! transaction per piece. Must not know what a job does when it runs.
//!
//! A tick asks twice: first for what is on time, and then, for as long as its patience lasts, for what an outage or a
//! long pause left behind. So work that is on time waits for one short turn of the other at most.
//!
//! Invariants:
//! - Memory depends on the batch, not on the number of schedules; work depends on what is due.
//! - A job whose definition cannot be read is left where it is, with nothing recorded, so that a replica of a newer
//!   version can plan it; it neither delays the others nor keeps the loop spinning.
//! - Everything due within the look-ahead is in the queue: the horizon lies one poll beyond it, since what enters it
//!   just after a tick waits for the next.
//! - A tick follows at once only upon one that moved a job on, and every launch moves its job.
//!
//! On failure the tick ends with the error; what was dispatched before stands, and the rest is due still.

mod ceilings;
mod schedules;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use leasehold_common::plan::{MAX_STEPS, plan_some};
use leasehold_common::store::{Dispatched, DueBatch, DueJob, DueSet, Fanned, Launch, Schedules, StoreResult};
use tokio::time::sleep;

use self::ceilings::Ceilings;
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

/// Due times written in one transaction, where a row of skipped ones counts once. One job may have many within the
/// look-ahead, so jobs are not the measure.
const ITEMS: usize = 2_000;

/// How long a tick plans late jobs. One that missed days costs milliseconds, and a thousand of them may wait.
const PATIENCE: Duration = Duration::from_millis(200);

/// Due times that a tick looks at for jobs that are on time: a fraction of a second of work. A job whose pause has ended
/// may have thousands, and a thousand of them may be resumed at once; then they become late ones that take turns.
const STEPS: u32 = 200_000;

/// Due times that each job on time gets looked at, however many the others had: more than most have within the
/// look-ahead.
const STEPS_EACH: u32 = 50;

/// Jobs with unreadable definitions that are stepped over to reach the ones behind them, since the earliest come
/// first. Beyond that many they hide the others, which is an error that somebody must act upon.
const STEP_OVER: u32 = 4_000;

pub(crate) struct Dispatcher {
    store: Arc<dyn Schedules>,
    schedules: ScheduleCache,
    ceilings: Ceilings,
    within: Duration,
    pause: Option<Duration>,
    patience: Duration,
    steps: u32,
    on_time: StepOver,
    late: StepOver,
}

/// What one tick did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Jobs that were due.
    pub(crate) jobs: usize,
    /// Jobs that were due and cannot be planned by this program.
    pub(crate) unplannable: usize,
    /// How far past its due time the oldest of the others was.
    pub(crate) lag: Duration,
    /// What was written.
    pub(crate) fanned: Fanned,
    /// Whether there is more to do at once.
    pub(crate) more: bool,
}

/// The launches of a batch.
struct Plan {
    launches: Vec<Launch>,
    unplannable: usize,
    oldest: Option<Timestamp>,
    /// Whether patience ended before the batch did.
    cut_short: bool,
}

impl Dispatcher {
    pub(crate) fn new(store: Arc<dyn Schedules>, options: &SchedulerOptions) -> Self {
        Self {
            store,
            schedules: ScheduleCache::new(),
            ceilings: Ceilings::new(),
            within: options.look_ahead + POLL,
            pause: options.pause_before_dispatch,
            patience: PATIENCE,
            steps: STEPS,
            on_time: StepOver::default(),
            late: StepOver::default(),
        }
    }

    /// Fans out one batch of a set.
    async fn fan_out(&mut self, term: &LeaderTerm, set: DueSet) -> StoreResult<Ticked<Summary>> {
        let limit = BATCH + self.step_over(set).jobs;
        let batch = self.store.due(set, self.within, limit).await?;
        let horizon = batch.now.checked_add(self.within).unwrap_or(Timestamp::MAX);
        self.schedules.load(&*self.store, &batch.jobs).await?;
        let plan = self.plan(&batch, horizon, set);
        let mut fanned = Fanned::default();
        for piece in pieces(&plan.launches) {
            match self.dispatch(term, piece).await? {
                Some(Dispatched::Done(done)) => add(&mut fanned, done),
                Some(Dispatched::StaleTerm) => return Ok(Ticked::StaleTerm),
                None => return Ok(Ticked::Untrusted),
            }
        }
        let full = batch.next_in == Some(Duration::ZERO);
        let unfinished = plan.launches.iter().any(|launch| launch.next.is_some_and(|next| next <= horizon));
        // Without progress the same batch would come again: then the next poll is soon enough.
        let progress = fanned.jobs > 0;
        let further = self.step_over(set).remember(plan.unplannable);
        Ok(Ticked::Done(Summary {
            jobs: batch.jobs.len(),
            unplannable: plan.unplannable,
            lag: lag(batch.now, plan.oldest),
            fanned,
            more: (full || unfinished || plan.cut_short) && progress || full && further,
        }))
    }

    /// Plans a batch. Of jobs on time all, those with a long past a part of it; of late ones at least one, and then as
    /// many as patience and one transaction allow.
    fn plan(&mut self, batch: &DueBatch, horizon: Timestamp, set: DueSet) -> Plan {
        let jobs: Vec<_> = batch.jobs.iter().filter(|job| self.schedules.reads(job)).collect();
        let mut plan = Plan {
            launches: Vec::with_capacity(jobs.len()),
            unplannable: batch.jobs.len() - jobs.len(),
            oldest: jobs.first().map(|job| job.next_due),
            cut_short: false,
        };
        let (started, mut written, mut steps) = (Instant::now(), 0, self.steps);
        for job in jobs {
            let enough = written >= ITEMS || started.elapsed() >= self.patience;
            if set == DueSet::Late && enough && !plan.launches.is_empty() {
                plan.cut_short = true;
                break;
            }
            let most = if set == DueSet::Late { MAX_STEPS } else { steps.clamp(STEPS_EACH, MAX_STEPS) };
            match self.launch(job, batch.now, horizon, most) {
                Some(launch) => {
                    written += weight(&launch);
                    steps = steps.saturating_sub(due_times(&launch));
                    plan.launches.push(launch);
                }
                None => plan.unplannable += 1,
            }
        }
        plan
    }

    /// The launch of one job; `None` if this program cannot plan it.
    fn launch(&mut self, job: &DueJob, now: Timestamp, horizon: Timestamp, steps: u32) -> Option<Launch> {
        let timing = self.schedules.of(job)?;
        let mut launch = plan_some(job, &timing, now, horizon, steps);
        if let Some(most) = timing.per_second {
            self.ceilings.hold(job.definition, most, &mut launch.items);
        }
        if !moves(job, &launch) {
            self.schedules.refuse(job.definition, "a plan of it leaves a job where it was");
            return None;
        }
        Some(launch)
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
        if let Dispatched::Done(fanned) = dispatched {
            measure::dispatched(&fanned, started.elapsed());
            tracing::debug!(
                term = term.term().epoch,
                jobs = fanned.jobs,
                items = fanned.items,
                misfired = fanned.misfired,
                paused = fanned.paused,
                blacked_out = fanned.blacked_out,
                gated = fanned.gated,
                duration_ms = started.elapsed().as_millis(),
                "dispatched"
            );
        }
        Ok(Some(dispatched))
    }

    fn step_over(&mut self, set: DueSet) -> &mut StepOver {
        match set {
            DueSet::OnTime => &mut self.on_time,
            DueSet::Late => &mut self.late,
        }
    }
}

impl Service for Dispatcher {
    const NAME: &'static str = "dispatcher";
    type Summary = Summary;

    async fn tick(&mut self, term: &LeaderTerm) -> StoreResult<Ticked<Summary>> {
        let mut summary = Summary::default();
        for set in [DueSet::OnTime, DueSet::Late] {
            match self.fan_out(term, set).await? {
                Ticked::Done(part) => summary.add(part),
                refused => return Ok(refused),
            }
        }
        measure::backlog(summary.lag, summary.unplannable);
        Ok(Ticked::Done(summary))
    }

    fn pause(&self, summary: &Summary) -> Duration {
        if summary.more { Duration::ZERO } else { POLL }
    }
}

impl Summary {
    fn add(&mut self, part: Self) {
        self.jobs += part.jobs;
        self.unplannable += part.unplannable;
        self.lag = self.lag.max(part.lag);
        add(&mut self.fanned, part.fanned);
        self.more |= part.more;
    }
}

/// How many jobs at the head of a set cannot be planned, so that the next batch is larger by as many.
#[derive(Default)]
struct StepOver {
    jobs: u32,
}

impl StepOver {
    /// Answers whether the next batch sees further than this one.
    fn remember(&mut self, unplannable: usize) -> bool {
        let before = self.jobs;
        self.jobs = u32::try_from(unplannable).unwrap_or(u32::MAX).min(STEP_OVER);
        if self.jobs == STEP_OVER && before < STEP_OVER {
            tracing::error!(unplannable, "so many due jobs have definitions that cannot be read that they hide others");
        }
        self.jobs > before
    }
}

fn add(sum: &mut Fanned, part: Fanned) {
    sum.jobs += part.jobs;
    sum.items += part.items;
    sum.misfired += part.misfired;
    sum.paused += part.paused;
    sum.blacked_out += part.blacked_out;
    sum.gated += part.gated;
}

/// Whether a launch takes its job on. The planner promises it; one that did not would be planned again without end.
fn moves(job: &DueJob, launch: &Launch) -> bool {
    launch.accounted > job.accounted || launch.next.is_none_or(|next| next > job.next_due)
}

/// How far past its due time the oldest job is.
fn lag(now: Timestamp, oldest: Option<Timestamp>) -> Duration {
    oldest.and_then(|due| Duration::try_from(now.duration_since(due)).ok()).unwrap_or_default()
}

/// How many rows a launch writes into the queue and the reports.
fn weight(launch: &Launch) -> usize {
    launch.items.len() + launch.skipped.len()
}

/// How many due times a launch deals with.
fn due_times(launch: &Launch) -> u32 {
    let items = u32::try_from(launch.items.len()).unwrap_or(u32::MAX);
    launch.skipped.iter().map(|row| row.count).fold(items, u32::saturating_add)
}

/// Cuts launches into pieces of at most [`ITEMS`] rows, at least one launch each.
fn pieces(launches: &[Launch]) -> impl Iterator<Item = &[Launch]> {
    let mut rest = launches;
    std::iter::from_fn(move || {
        let mut rows = 0;
        let fitting = rest.iter().take_while(|launch| {
            rows += weight(launch);
            rows <= ITEMS
        });
        let count = fitting.count().max(1).min(rest.len());
        let (piece, after) = rest.split_at(count);
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}
