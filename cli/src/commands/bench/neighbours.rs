//! `leasehold bench --neighbours`: what a tenant feels of a noisy one, measured through a real executor with default
//! settings but for its slots.
//!
//! Every run sleeps for [`RUN`], so that slots and not the machine are what is short. A tenant is done when the last of
//! its handlers has returned. Work is queued as backfills, which are due at once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp, ToSpan as _};
use leasehold_common::catalog::{Desired, DesiredJob};
use leasehold_common::definition::{Overlap, Tenant};
use leasehold_common::id::{JobKey, JobName, TenantId};
use leasehold_common::store::SharedStore;
use leasehold_executor::{Executor, ExecutorOptions, HandlerError, RunContext};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{name, put, yearly};
use crate::failure::Failure;
use crate::out;

/// How long a run takes.
const RUN: Duration = Duration::from_millis(20);
/// How many run at once.
const SLOTS: u32 = 20;
/// What the noisy tenant queues.
const NOISE: u64 = 20_000;
/// What its neighbour queues: much, and little.
const MUCH: u64 = 2_000;
const LITTLE: u64 = 20;
/// So often is little queued; the median counts.
const TRIES: usize = 9;
/// The tenants of the second part, and how long their shares are counted.
const WEIGHTS: [u32; 3] = [1, 2, 4];
const COUNTED: Duration = Duration::from_secs(15);
/// Runs of one backfill call.
const PIECE: u64 = 5_000;

/// Measures on a store without jobs.
pub(super) async fn measure(store: &SharedStore, now: Timestamp) -> Result<(), Failure> {
    let bench = Bench::new(store, now).await?;
    let shutdown = CancellationToken::new();
    let options = ExecutorOptions { slots: SLOTS, ..ExecutorOptions::default() };
    let ended = Arc::clone(&bench.ended);
    let sleep = move |ctx: RunContext| {
        let ended = Arc::clone(&ended);
        async move {
            tokio::time::sleep(RUN).await;
            ended.count(&ctx.tenant().id);
            Ok::<_, HandlerError>(Value::Null)
        }
    };
    let executor =
        tokio::spawn(Executor::new(Arc::clone(store), options).handler("work", sleep).run_until(shutdown.clone()));
    let result = async {
        bench.neighbours().await?;
        bench.weights().await
    };
    let result = result.await;
    shutdown.cancel();
    executor.await.ok();
    result
}

/// How many runs of each tenant have ended.
#[derive(Default)]
struct Ended(Mutex<HashMap<TenantId, Arc<AtomicU64>>>);

impl Ended {
    fn of(&self, tenant: &TenantId) -> Arc<AtomicU64> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(counts.entry(tenant.clone()).or_default())
    }

    fn count(&self, tenant: &TenantId) {
        self.of(tenant).fetch_add(1, Ordering::Relaxed);
    }
}

/// A tenant with the one job that it has.
struct Party {
    tenant: TenantId,
    key: JobKey,
    ended: Arc<AtomicU64>,
    queued: AtomicU64,
}

struct Bench {
    store: SharedStore,
    ended: Arc<Ended>,
    noisy: Party,
    neighbour: Party,
    weighted: Vec<(u32, Party)>,
    /// Due times are drawn backwards from here.
    now: Timestamp,
}

impl Bench {
    async fn new(store: &SharedStore, now: Timestamp) -> Result<Self, Failure> {
        let mut definition = yearly(now + (360 * 24).hours(), "work");
        definition.overlap = Overlap::Allow;
        let definition = Arc::new(definition);
        let job: JobName = name(JobName::new("work"))?;
        let mut desired = Desired::default();
        let names = [("noisy".to_owned(), 1), ("neighbour".to_owned(), 1)];
        for (tenant, weight) in names.into_iter().chain(WEIGHTS.map(|weight| (format!("weight-{weight}"), weight))) {
            let tenant = Tenant { weight, ..Tenant::new(name(TenantId::new(tenant))?) };
            let definition = Arc::clone(&definition);
            desired.jobs.push(DesiredJob { tenant: tenant.id.clone(), name: job.clone(), definition });
            desired.tenants.push(tenant.into());
        }
        put(store, &desired).await?;
        let ended = Arc::new(Ended::default());
        let keys: HashMap<TenantId, JobKey> =
            store.snapshot().await?.jobs.into_iter().map(|job| (job.tenant, job.key)).collect();
        let party = |tenant: &TenantId| Party {
            tenant: tenant.clone(),
            key: keys.get(tenant).copied().unwrap_or(JobKey::from_i64(0)),
            ended: ended.of(tenant),
            queued: AtomicU64::new(0),
        };
        let parties: Vec<Party> = desired.tenants.iter().map(|member| party(&member.id)).collect();
        let mut parties = parties.into_iter();
        let (Some(noisy), Some(neighbour)) = (parties.next(), parties.next()) else {
            return Err(Failure::Refused("the store did not take the tenants".to_owned()));
        };
        let weighted = WEIGHTS.into_iter().zip(parties).collect();
        Ok(Self { store: Arc::clone(store), ended: Arc::clone(&ended), noisy, neighbour, weighted, now })
    }

    /// Queues so many runs, all due now.
    async fn queue(&self, party: &Party, runs: u64) -> Result<(), Failure> {
        let from = party.queued.fetch_add(runs, Ordering::Relaxed);
        for first in (from..from + runs).step_by(usize::try_from(PIECE).unwrap_or(usize::MAX)) {
            let last = (first + PIECE).min(from + runs);
            let due: Vec<Timestamp> =
                (first..last).map(|n| self.now - SignedDuration::from_millis(i64::try_from(n).unwrap_or(0))).collect();
            let made = self.store.backfill(party.key, &due, Duration::ZERO).await?;
            if made != Some(due.len() as u64) {
                return Err(Failure::Refused(format!(
                    "{made:?} of {} runs of {} were queued",
                    due.len(),
                    party.tenant
                )));
            }
        }
        Ok(())
    }

    /// Queues runs and waits until the last of them has returned.
    async fn time(&self, party: &Party, runs: u64) -> Result<Duration, Failure> {
        let begun = Instant::now();
        self.queue(party, runs).await?;
        self.wait(party, party.queued.load(Ordering::Relaxed)).await;
        Ok(begun.elapsed())
    }

    async fn wait(&self, party: &Party, ended: u64) {
        while party.ended.load(Ordering::Relaxed) < ended {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn median(&self, party: &Party, runs: u64) -> Result<Duration, Failure> {
        let mut times = Vec::with_capacity(TRIES);
        for _ in 0..TRIES {
            times.push(self.time(party, runs).await?);
            // The next one is to find the queue as it is between two polls, not right after a report.
            tokio::time::sleep(RUN * 3).await;
        }
        times.sort_unstable();
        Ok(times[TRIES / 2])
    }

    async fn neighbours(&self) -> Result<(), Failure> {
        out::print(&format!("{SLOTS} slots, runs of {} ms, one queue\n", RUN.as_millis()))?;
        let (much, little) = (self.time(&self.neighbour, MUCH).await?, self.median(&self.neighbour, LITTLE).await?);
        self.queue(&self.noisy, NOISE).await?;
        // By now the noisy one has every slot.
        self.wait(&self.noisy, u64::from(SLOTS) * 10).await;
        let beside = (self.time(&self.neighbour, MUCH).await?, self.median(&self.neighbour, LITTLE).await?);
        let left = NOISE - self.noisy.ended.load(Ordering::Relaxed);
        show(MUCH, much, beside.0)?;
        show(LITTLE, little, beside.1)?;
        out::print(&format!("the noisy tenant still had {left} of {NOISE} runs to go\n"))?;
        if left < LITTLE {
            return Err(Failure::Refused("the noise was over too early: the figures say nothing".to_owned()));
        }
        self.wait(&self.noisy, NOISE).await;
        Ok(())
    }

    async fn weights(&self) -> Result<(), Failure> {
        for (_, party) in &self.weighted {
            self.queue(party, NOISE).await?;
        }
        for (_, party) in &self.weighted {
            self.wait(party, u64::from(SLOTS)).await;
        }
        let before: Vec<u64> = self.weighted.iter().map(|(_, party)| party.ended.load(Ordering::Relaxed)).collect();
        tokio::time::sleep(COUNTED).await;
        let counts: Vec<u64> =
            self.weighted.iter().zip(before).map(|((_, p), before)| p.ended.load(Ordering::Relaxed) - before).collect();
        let (runs, weights) = (counts.iter().sum::<u64>().max(1) as f64, f64::from(WEIGHTS.iter().sum::<u32>()));
        for ((weight, _), count) in self.weighted.iter().zip(counts) {
            let (share, fair) = (count as f64 / runs * 100.0, f64::from(*weight) / weights * 100.0);
            let off = (share / fair - 1.0) * 100.0;
            out::print(&format!("weight {weight}: {share:>5.1} % of the runs, fair is {fair:>5.1} % ({off:+.1} %)\n"))?;
        }
        Ok(())
    }
}

fn show(runs: u64, alone: Duration, beside: Duration) -> Result<(), Failure> {
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    let ratio = beside.as_secs_f64() / alone.as_secs_f64();
    out::print(&format!(
        "{runs:>6} runs: {:>8.1} ms alone, {:>8.1} ms beside {NOISE} of another tenant, {ratio:.2} times\n",
        ms(alone),
        ms(beside)
    ))
}
