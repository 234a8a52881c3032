//! Fakes for the tests of this crate: a lease server with faulty links to it, and schedules in memory.
//!
//! Both keep their own rules strictly (epochs, expiry, compare-and-set), in tokio's paused time.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use leasehold_common::clock::BootClock;
use leasehold_common::definition::DefinitionId;
use leasehold_common::id::JobKey;
use leasehold_common::lease::{Acquired, Candidate, LeaseKind, LeaseTiming, Renewal, Term, TrustWindow};
use leasehold_common::run::Outcome;
use leasehold_common::store::{
    Dispatched, DueBatch, DueJob, DueSet, ErrorKind, Fanned, LATE, Launch, Lease, Pause, Pruned, Rescued, Schedules,
    Skipped, StoreError, StoreResult, Swept,
};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use uuid::Uuid;

use crate::term::LeaderTerm;

/// The default timings.
pub(crate) const TIMING: LeaseTiming =
    LeaseTiming { ttl: Duration::from_secs(10), renew: Duration::from_secs(3), retry: Duration::from_secs(1) };

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A manual clock that goes with tokio's paused time, and can be moved ahead of it.
pub(crate) fn clock() -> BootClock {
    const STEP: Duration = Duration::from_millis(5);
    let clock = BootClock::manual();
    let moved = clock.clone();
    tokio::spawn(async move {
        let mut ticks = interval(STEP);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            moved.advance(STEP);
        }
    });
    clock
}

/// Waits for a condition, for at most a minute of paused time.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(timeout(Duration::from_secs(60), waiting).await.is_ok(), "did not come to pass: {what}");
}

/// A term that holds for a TTL from now.
pub(crate) fn term(clock: &BootClock) -> LeaderTerm {
    let term = Term { holder: Uuid::from_u128(1), epoch: 7 };
    LeaderTerm::new(term, clock.clone(), TrustWindow::from_renewal(clock.now(), &TIMING))
}

/// The one that grants the lease.
#[derive(Default)]
pub(crate) struct LeaseServer {
    state: Mutex<LeaseState>,
}

#[derive(Default)]
struct LeaseState {
    epoch: i64,
    held: Option<(Term, Instant)>,
    kind: Option<LeaseKind>,
    skipped: Duration,
}

impl LeaseServer {
    /// The epoch of the lease that stands now.
    pub(crate) fn leading(&self) -> Option<i64> {
        let state = lock(&self.state);
        state.held.filter(|(_, until)| *until > Instant::now() + state.skipped).map(|(term, _)| term.epoch)
    }

    /// Lets the lease end as if this much time had passed.
    pub(crate) fn skip(&self, time: Duration) {
        lock(&self.state).skipped += time;
    }

    /// Gives the lease to somebody else, for a TTL.
    pub(crate) fn depose(&self) {
        let mut state = lock(&self.state);
        state.epoch += 1;
        let term = Term { holder: Uuid::from_u128(99), epoch: state.epoch };
        state.held = Some((term, Instant::now() + state.skipped + TIMING.ttl));
    }

    /// Records a kind of lease.
    pub(crate) fn record(&self, kind: LeaseKind) {
        lock(&self.state).kind = Some(kind);
    }

    fn acquire(&self, candidate: &Candidate, ttl: Duration) -> Acquired {
        let mut state = lock(&self.state);
        let kind = *state.kind.get_or_insert(candidate.kind);
        if kind != candidate.kind {
            return Acquired::OtherKind(kind);
        }
        let now = Instant::now() + state.skipped;
        if state.held.is_some_and(|(term, until)| until > now && term.holder != candidate.holder) {
            return Acquired::Held;
        }
        state.epoch += 1;
        let term = Term { holder: candidate.holder, epoch: state.epoch };
        state.held = Some((term, now + ttl));
        Acquired::Elected(term)
    }

    fn renew(&self, term: &Term, ttl: Duration) -> Renewal {
        let mut state = lock(&self.state);
        let now = Instant::now() + state.skipped;
        match &mut state.held {
            Some((held, until)) if held == term && *until > now => {
                *until = now + ttl;
                Renewal::Renewed
            }
            _ => Renewal::Lost,
        }
    }

    fn resign(&self, term: &Term) {
        let mut state = lock(&self.state);
        state.held = state.held.filter(|(held, _)| held != term);
    }
}

/// What happens to a call on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// It arrives and is answered.
    None,
    /// It does not arrive, and an error is told.
    Error,
    /// It arrives; the answer does after this time.
    SlowAnswer(Duration),
    /// It neither arrives nor fails.
    Hang,
}

/// One replica's connection to the server.
pub(crate) struct Link {
    server: Arc<LeaseServer>,
    fault: Mutex<(Fault, u32)>,
    pub(crate) renewals: AtomicU32,
    pub(crate) acquires: AtomicU32,
    pub(crate) resigns: AtomicU32,
}

impl Link {
    pub(crate) fn new(server: &Arc<LeaseServer>) -> Arc<Self> {
        Arc::new(Self {
            server: Arc::clone(server),
            fault: Mutex::new((Fault::None, 0)),
            renewals: AtomicU32::new(0),
            acquires: AtomicU32::new(0),
            resigns: AtomicU32::new(0),
        })
    }

    /// Every call from now on meets this fault.
    pub(crate) fn break_with(&self, fault: Fault) {
        *lock(&self.fault) = (fault, u32::MAX);
    }

    /// The next call meets this fault.
    pub(crate) fn break_once(&self, fault: Fault) {
        *lock(&self.fault) = (fault, 1);
    }

    async fn carry<T>(&self, call: impl FnOnce(&LeaseServer) -> T) -> StoreResult<T> {
        match self.take_fault() {
            Fault::None => Ok(call(&self.server)),
            Fault::Error => Err(StoreError::new(ErrorKind::Unavailable, "reach the lease", "connection refused")),
            Fault::Hang => std::future::pending().await,
            Fault::SlowAnswer(time) => {
                let answer = call(&self.server);
                sleep(time).await;
                Ok(answer)
            }
        }
    }

    fn take_fault(&self) -> Fault {
        let mut fault = lock(&self.fault);
        if fault.1 == 0 {
            return Fault::None;
        }
        fault.1 -= 1;
        fault.0
    }
}

#[async_trait]
impl Lease for Link {
    async fn acquire(&self, candidate: &Candidate, ttl: Duration) -> StoreResult<Acquired> {
        self.acquires.fetch_add(1, Ordering::SeqCst);
        self.carry(|server| server.acquire(candidate, ttl)).await
    }

    async fn renew(&self, term: &Term, ttl: Duration) -> StoreResult<Renewal> {
        self.renewals.fetch_add(1, Ordering::SeqCst);
        self.carry(|server| server.renew(term, ttl)).await
    }

    async fn resign(&self, term: &Term) -> StoreResult<()> {
        self.resigns.fetch_add(1, Ordering::SeqCst);
        self.carry(|server| server.resign(term)).await
    }
}

/// Schedules in memory.
pub(crate) struct FakeSchedules {
    began: Instant,
    state: Mutex<Catalog>,
    /// Queries for due jobs.
    pub(crate) polls: AtomicU32,
    /// Queries for definitions.
    pub(crate) fetches: AtomicU32,
    /// Runs that the next rescues find, one a call.
    pub(crate) lost: AtomicU64,
    /// Sweeps.
    pub(crate) sweeps: AtomicU32,
    /// Late items that must end.
    pub(crate) overdue: AtomicU64,
    /// Late items that may still run.
    pub(crate) late: AtomicU64,
    /// Reports that are old enough to prune.
    pub(crate) old: AtomicU64,
    /// Whether a rescue panics.
    pub(crate) broken: AtomicBool,
}

#[derive(Default)]
struct Catalog {
    jobs: BTreeMap<JobKey, DueJob>,
    definitions: HashMap<DefinitionId, String>,
    queued: Vec<(JobKey, Timestamp, Timestamp)>,
    skipped: Vec<(JobKey, Skipped)>,
    launched: Vec<(JobKey, Timestamp)>,
    pieces: Vec<usize>,
    stale: bool,
    frozen: bool,
}

/// When every test begins.
pub(crate) fn epoch() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap_or_default()
}

impl FakeSchedules {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            state: Mutex::default(),
            polls: AtomicU32::new(0),
            fetches: AtomicU32::new(0),
            lost: AtomicU64::new(0),
            sweeps: AtomicU32::new(0),
            overdue: AtomicU64::new(0),
            late: AtomicU64::new(0),
            old: AtomicU64::new(0),
            broken: AtomicBool::new(false),
        })
    }

    pub(crate) fn now(&self) -> Timestamp {
        epoch() + self.began.elapsed()
    }

    /// Stores the text of a definition under the id of this number.
    pub(crate) fn define(&self, number: u128, text: &str) -> DefinitionId {
        let id = DefinitionId::from_uuid(Uuid::from_u128(number));
        lock(&self.state).definitions.insert(id, text.to_owned());
        id
    }

    /// A definition with this cron expression, in UTC.
    pub(crate) fn define_cron(&self, number: u128, expr: &str) -> DefinitionId {
        self.define(number, &format!(r#"{{"schedule":{{"cron":{{"expr":"{expr}","zone":"UTC"}}}},"later":1}}"#))
    }

    /// A job that is due then for the first time.
    pub(crate) fn add(&self, key: i64, definition: DefinitionId, next_due: Timestamp) {
        let key = JobKey::from_i64(key);
        let accounted = next_due - Duration::from_millis(1);
        let job =
            DueJob { key, version: 1, definition, next_due, accounted, pause: None, runs_left: None, gated: false };
        lock(&self.state).jobs.insert(key, job);
    }

    /// Pauses a job: it is looked at when that is over.
    pub(crate) fn pause(&self, key: i64, pause: Pause) {
        if let Some(job) = lock(&self.state).jobs.get_mut(&JobKey::from_i64(key)) {
            job.pause = Some(pause);
            job.next_due = pause.until;
        }
    }

    /// From now on every write is refused.
    pub(crate) fn begin_another_term(&self) {
        lock(&self.state).stale = true;
    }

    /// From now on no launch takes effect, as if every job changed under it.
    pub(crate) fn freeze(&self) {
        lock(&self.state).frozen = true;
    }

    /// What was queued: job, due time, and when.
    pub(crate) fn queued(&self) -> Vec<(i64, Timestamp, Timestamp)> {
        lock(&self.state).queued.iter().map(|(key, due, at)| (key.as_i64(), *due, *at)).collect()
    }

    /// The rows of due times of a job that do not run.
    pub(crate) fn skipped(&self, key: i64) -> Vec<Skipped> {
        let key = JobKey::from_i64(key);
        lock(&self.state).skipped.iter().filter(|(job, _)| *job == key).map(|(_, row)| *row).collect()
    }

    /// When launches of a job took effect.
    pub(crate) fn launched(&self, key: i64) -> Vec<Timestamp> {
        let key = JobKey::from_i64(key);
        lock(&self.state).launched.iter().filter(|(job, _)| *job == key).map(|(_, at)| *at).collect()
    }

    /// The rows in each dispatch, in order.
    pub(crate) fn pieces(&self) -> Vec<usize> {
        lock(&self.state).pieces.clone()
    }

    pub(crate) fn next_due(&self, key: i64) -> Option<Timestamp> {
        lock(&self.state).jobs.get(&JobKey::from_i64(key)).map(|job| job.next_due)
    }
}

impl Catalog {
    fn launch(&mut self, launch: &Launch, now: Timestamp, fanned: &mut Fanned) {
        let Some(job) = self.jobs.get_mut(&launch.key) else { return };
        if self.frozen || (job.version, job.next_due) != (launch.version, launch.expected) {
            return;
        }
        self.launched.push((launch.key, now));
        self.queued.extend(launch.items.iter().map(|item| (launch.key, item.due, now)));
        self.skipped.extend(launch.skipped.iter().map(|row| (launch.key, *row)));
        job.accounted = job.accounted.max(launch.accounted);
        job.runs_left = launch.runs_left;
        match launch.next {
            Some(next) => job.next_due = next,
            None => drop(self.jobs.remove(&launch.key)),
        }
        let count = |outcome| {
            let rows = launch.skipped.iter().filter(|row| row.outcome == outcome);
            rows.map(|row| u64::from(row.count)).sum::<u64>()
        };
        fanned.jobs += 1;
        fanned.items += launch.items.len() as u64;
        fanned.misfired += count(Outcome::Misfired);
        fanned.paused += count(Outcome::Paused);
        fanned.blacked_out += count(Outcome::BlackedOut);
        fanned.gated += count(Outcome::Gated);
    }
}

#[async_trait]
impl Schedules for FakeSchedules {
    async fn due(&self, set: DueSet, within: Duration, limit: u32) -> StoreResult<DueBatch> {
        self.polls.fetch_add(1, Ordering::SeqCst);
        let (now, limit) = (self.now(), limit as usize);
        let horizon = now + within;
        let late = |job: &&DueJob| (job.next_due <= now - LATE) == (set == DueSet::Late);
        let mut jobs: Vec<_> = lock(&self.state).jobs.values().filter(late).cloned().collect();
        jobs.sort_by_key(|job| job.next_due);
        let count = jobs.iter().filter(|job| job.next_due <= horizon).count().min(limit);
        let rest = jobs.split_off(count);
        let next_in = match rest.first() {
            _ if count == limit => Some(Duration::ZERO),
            Some(job) => Some(Duration::try_from(job.next_due.duration_since(horizon)).unwrap_or_default()),
            None => None,
        };
        Ok(DueBatch { now, jobs, next_in })
    }

    async fn dispatch(&self, _: &Term, launches: &[Launch]) -> StoreResult<Dispatched> {
        let now = self.now();
        let mut state = lock(&self.state);
        if state.stale {
            return Ok(Dispatched::StaleTerm);
        }
        state.pieces.push(launches.iter().map(|launch| launch.items.len() + launch.skipped.len()).sum());
        let mut fanned = Fanned::default();
        for launch in launches {
            state.launch(launch, now, &mut fanned);
        }
        Ok(Dispatched::Done(fanned))
    }

    async fn definitions(&self, ids: &[DefinitionId]) -> StoreResult<Vec<(DefinitionId, String)>> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        let state = lock(&self.state);
        Ok(ids.iter().filter_map(|id| Some((*id, state.definitions.get(id)?.clone()))).collect())
    }

    async fn sweep(&self, _: &Term, limit: u32) -> StoreResult<Swept> {
        self.sweeps.fetch_add(1, Ordering::SeqCst);
        if lock(&self.state).stale {
            return Ok(Swept::StaleTerm);
        }
        let overdue = self.overdue.load(Ordering::SeqCst);
        let misfired = overdue.min(u64::from(limit));
        self.overdue.store(overdue - misfired, Ordering::SeqCst);
        let seen = (overdue + self.late.load(Ordering::SeqCst)).min(u64::from(limit));
        Ok(Swept::Done { misfired, expired: 0, seen })
    }

    async fn rescue(&self, _: &Term, _: u32) -> StoreResult<Rescued> {
        assert!(!self.broken.load(Ordering::SeqCst), "on purpose");
        if lock(&self.state).stale {
            return Ok(Rescued::StaleTerm);
        }
        let found = self.lost.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |lost| lost.checked_sub(1)).is_ok();
        Ok(Rescued::Done { requeued: u64::from(found), dead: 0 })
    }

    async fn prune(&self, _: &Term, _: Duration, limit: u32) -> StoreResult<Pruned> {
        if lock(&self.state).stale {
            return Ok(Pruned::StaleTerm);
        }
        let old = self.old.load(Ordering::SeqCst);
        let reports = old.min(u64::from(limit));
        self.old.store(old - reports, Ordering::SeqCst);
        Ok(Pruned::Done { reports })
    }
}
