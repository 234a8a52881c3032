//! Work items: activation, claims, heartbeats and reports.

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;
use leasehold_common::definition::Tenant;
use leasehold_common::id::{CorrelationId, JobName, TenantId};
use leasehold_common::limit::GateId;
use leasehold_common::run::Outcome;
use leasehold_common::store::{
    Activated, AttemptReport, Charge, ClaimId, ClaimRequest, Claimed, ClaimedRun, ErrorKind, ExecutorInfo, Extended,
    Lane, OnceBegun, OnceKey, Queue, QueueDepth, Served, Settled, StoreError, StoreResult, Verdict,
};
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::gates::{Freed, Limited, wake_in};
use super::{PgStore, int, rows};
use crate::clock::{span_of, us};
use crate::json;

/// How often, and after which pause, a claim whose answer was lost is looked up: long enough for a restart of the
/// server, and well within any claim TTL.
const READ_BACK_TRIES: u32 = 10;
const READ_BACK_PAUSE: Duration = Duration::from_millis(100);

#[async_trait]
impl Queue for PgStore {
    async fn activate(&self, limit: u32) -> StoreResult<Activated> {
        let row = self
            .settled(|| async {
                sqlx::query(sql!("queue/activate"))
                    .bind(i64::from(limit))
                    .fetch_one(&self.work)
                    .await
                    .map_err(self.failed("activate due items"))
            })
            .await?;
        let (moved, on_time) = (rows::get::<i64>(&row, 0)?.unsigned_abs(), rows::get::<i64>(&row, 1)?);
        let next_in = rows::get::<Option<i64>>(&row, 2)?.map(|us| Duration::from_micros(us.max(0).unsigned_abs()));
        let late = rows::get::<Option<bool>>(&row, 3)?.map(|_| crate::RECOVERY_TURN);
        let (woken, room) = match rows::get::<Option<i64>>(&row, 4)? {
            Some(due) if due <= 0 => self.wake_timed().await?,
            wait => (0, wait.map(wake_in)),
        };
        let next_in = match on_time.unsigned_abs() >= u64::from(limit) {
            true => Some(Duration::ZERO),
            false => next_in.into_iter().chain(late).chain(room).min(),
        };
        Ok(Activated { moved: moved + woken, next_in })
    }

    async fn claim(&self, request: &ClaimRequest) -> StoreResult<Claimed> {
        let claim = Uuid::now_v7();
        let head = match self.settled(|| self.claim_once(claim, request)).await {
            Err(error) if error.kind == ErrorKind::Unavailable => self.read_back(claim, request, error).await?,
            answer => answer?,
        };
        let mut claimed = Claimed { claim, items: Vec::with_capacity(head.len()), dismissed: 0, ended: Vec::new() };
        let mut left = Unstarted::default();
        for row in &head {
            if rows::get(row, 10)? {
                claimed.items.push(claimed_run(row)?);
            } else {
                left.push(row, request.abilities.as_deref())?;
            }
        }
        // What was claimed is claimed: if this fails, the items stay and the next claim meets them again.
        match self.clear_head(&left, &mut claimed).await {
            Err(error) if claimed.items.is_empty() => return Err(error),
            Err(error) => tracing::debug!(%error, "items that must not run stay in line"),
            Ok(()) => {}
        }
        Ok(claimed)
    }

    async fn extend(&self, executor: Uuid, claims: &[ClaimId], ttl: Duration) -> StoreResult<Extended> {
        const OPERATION: &str = "extend claims";
        let alive = sqlx::query_scalar(sql!("queue/extend"))
            .bind(claims)
            .bind(executor)
            .bind(us(ttl))
            .fetch_all(&self.vital)
            .await
            .map_err(self.failed(OPERATION))?;
        let cancel: Vec<Uuid> = sqlx::query_scalar(sql!("queue/cancels"))
            .bind(claims)
            .fetch_all(&self.vital)
            .await
            .map_err(self.failed(OPERATION))?;
        Ok(Extended { alive, cancel: cancel.into_iter().map(CorrelationId::from_uuid).collect() })
    }

    async fn settle(
        &self,
        _executor: Uuid,
        reports: &[AttemptReport],
        finished: &[ClaimId],
    ) -> StoreResult<Vec<Settled>> {
        let batch = Batch::of(reports);
        let Ended { attempts: ended, waited_for, freed } = self.settled(|| self.settle_once(&batch, finished)).await?;
        let dead = batch.dead_jobs();
        let after = async {
            let woken = self.wake(&freed).await?;
            self.pause_failing(&dead).await?;
            match waited_for.is_empty() {
                true => Ok(woken),
                false => Ok(woken + self.promote(&waited_for).await?),
            }
        };
        // The reports are recorded whatever becomes of this; the leader's rescuer lets go what stays behind.
        let promoted = after.await.unwrap_or_else(|error: StoreError| {
            tracing::warn!(%error, "what waits for runs that ended stays for the rescuer");
            0
        });
        if promoted > 0 || batch.waits.iter().flatten().any(|wait| *wait <= crate::HINT_WITHIN_US) {
            self.hint().await;
        }
        Ok(reports
            .iter()
            .map(|report| match ended.contains(&(report.id, report.attempt, report.claim)) {
                true => Settled::Recorded,
                false => Settled::Stale,
            })
            .collect())
    }

    async fn charge(&self, charges: &[Charge], served: &[Served]) -> StoreResult<()> {
        self.charge_shares(charges, served).await
    }

    async fn queues(&self) -> StoreResult<Vec<QueueDepth>> {
        self.queue_depths().await
    }

    async fn announce(&self, info: &ExecutorInfo) -> StoreResult<()> {
        let queues: Vec<_> = info.queues.iter().map(|queue| queue.as_str()).collect();
        sqlx::query(sql!("queue/announce"))
            .bind(info.id)
            .bind(&info.host)
            .bind(int(info.pid))
            .bind(&info.version)
            .bind(int(info.slots))
            .bind(int(info.running))
            .bind(queues.join(" "))
            .bind(info.draining)
            .bind(json::batch(&info.abilities))
            .execute(&self.vital)
            .await
            .map_err(self.failed("announce the executor"))?;
        Ok(())
    }

    async fn retire(&self, executor: Uuid) -> StoreResult<()> {
        sqlx::query(sql!("queue/retire"))
            .bind(executor)
            .execute(&self.vital)
            .await
            .map_err(self.failed("retire the executor"))?;
        Ok(())
    }

    async fn payloads(&self, runs: &[CorrelationId]) -> StoreResult<Vec<(CorrelationId, String)>> {
        self.own_payloads(runs).await
    }

    async fn begin_once(&self, key: &OnceKey) -> StoreResult<OnceBegun> {
        self.begin(key).await
    }

    async fn finish_once(&self, key: &OnceKey, result: &str) -> StoreResult<bool> {
        self.finish(key, result).await
    }

    async fn tenants_by_id(&self, ids: &[TenantId]) -> StoreResult<Vec<(Tenant, i64)>> {
        let ids: Vec<_> = ids.iter().map(TenantId::as_str).collect();
        let rows = self
            .settled(|| async {
                sqlx::query(sql!("queue/tenants_by_id"))
                    .bind(&ids)
                    .fetch_all(&self.work)
                    .await
                    .map_err(self.failed("read tenants"))
            })
            .await?;
        rows.iter().map(|row| Ok((rows::tenant(row, 0)?, rows::get(row, 1)?))).collect()
    }
}

impl PgStore {
    async fn claim_once(&self, claim: ClaimId, request: &ClaimRequest) -> StoreResult<Vec<PgRow>> {
        sqlx::query(sql!("queue/claim"))
            .bind(crate::by_chance(&request.queues))
            .bind(i64::from(request.limit))
            .bind(claim)
            .bind(request.executor)
            .bind(us(request.ttl))
            .bind(request.abilities.as_ref().map(|able| able.iter().map(|need| need.as_i64()).collect::<Vec<_>>()))
            .fetch_all(&self.work)
            .await
            .map_err(self.failed("claim work"))
    }

    /// The answer of a claim was lost, perhaps after its commit: then its runs are this executor's, and left alone they
    /// would lose an attempt when the claim expires. A claim that holds nothing failed with `error`.
    async fn read_back(&self, claim: ClaimId, request: &ClaimRequest, error: StoreError) -> StoreResult<Vec<PgRow>> {
        for _ in 0..READ_BACK_TRIES {
            tokio::time::sleep(READ_BACK_PAUSE).await;
            match self.settled(|| self.held_by(claim, request)).await {
                Ok(held) if held.is_empty() => break,
                Ok(held) => return Ok(held),
                Err(error) => tracing::debug!(%error, "cannot see yet what a claim came to"),
            }
        }
        Err(error)
    }

    /// What a claim holds, once no statement can add to it any longer.
    async fn held_by(&self, claim: ClaimId, request: &ClaimRequest) -> StoreResult<Vec<PgRow>> {
        let failed = self.failed("read back a claim");
        sqlx::query(sql!("queue/fence_claim"))
            .bind(claim)
            .bind(request.executor)
            .bind(us(request.ttl))
            .execute(&self.work)
            .await
            .map_err(&failed)?;
        sqlx::query(sql!("queue/claimed")).bind(claim).fetch_all(&self.work).await.map_err(&failed)
    }

    /// Ends what could not start, or takes it out of the line; room at gates that it left unused goes to others.
    async fn clear_head(&self, left: &Unstarted, claimed: &mut Claimed) -> StoreResult<()> {
        let mut unused = Freed::default();
        if !left.ids.is_empty() {
            let gone = self.settled(|| self.dismiss_once(left)).await?;
            claimed.dismissed = gone.dismissed;
            claimed.ended = gone.ended;
            self.end_previous(&gone.previous).await;
            left.gates.iter().for_each(|gate| unused.add(*gate, 1));
        }
        if !left.limited.ids.is_empty() {
            let parked = self.park(&left.limited).await?;
            claimed.dismissed += parked.parked + parked.roomy;
            let each = i64::try_from(parked.parked).unwrap_or(i64::MAX);
            parked.open.iter().for_each(|gate| unused.add(*gate, each));
        }
        if self.wake(&unused).await? > 0 {
            claimed.dismissed = claimed.dismissed.max(1); // more may be in line by now
        }
        Ok(())
    }

    async fn dismiss_once(&self, left: &Unstarted) -> StoreResult<Gone> {
        let failed = self.failed("end items that must not run");
        let errors: Vec<_> = Outcome::ALL.iter().map(|outcome| crate::dismissal_reason(*outcome)).collect();
        let mut write = self.work.begin().await.map_err(&failed)?;
        let mut locked: Vec<i64> = Vec::new();
        if !left.blocked.is_empty() {
            let taken: Vec<i64> = sqlx::query_scalar(sql!("queue/lock_waiting"))
                .bind(&left.blocked)
                .fetch_all(&mut *write)
                .await
                .map_err(&failed)?;
            let blocked: Vec<i64> = left.blocked.iter().copied().filter(|key| !taken.contains(key)).collect();
            locked = sqlx::query_scalar(sql!("queue/lock_runs"))
                .bind(&blocked)
                .fetch_all(&mut *write)
                .await
                .map_err(&failed)?;
        }
        let row = sqlx::query(sql!("queue/dismiss"))
            .bind(&left.keys)
            .bind(&left.ids)
            .bind(&left.missed)
            .bind(errors)
            .bind(locked)
            .bind(crate::TOOK_ITS_PLACE)
            .bind(crate::NO_ATTEMPT_LEFT)
            .bind(crate::no_attempt_left())
            .fetch_one(&mut *write)
            .await
            .map_err(&failed)?;
        write.commit().await.map_err(&failed)?;
        let ended = rows::get::<Vec<i16>>(&row, 2)?;
        Ok(Gone {
            dismissed: rows::get::<i64>(&row, 0)?.unsigned_abs(),
            previous: rows::get(&row, 1)?,
            ended: ended.into_iter().filter_map(Outcome::from_code).collect(),
        })
    }

    /// Ends runs that wait for their retry because a later run takes their place, which may then go. A failure must not
    /// cost what the claim has started: the run then has its retry first.
    async fn end_previous(&self, runs: &[Uuid]) {
        for run in runs {
            let key = CorrelationId::from_uuid(*run).job().as_i64();
            let ended = async {
                self.cancel_waiting(key, *run, crate::TOOK_ITS_PLACE).await?;
                self.promote(&[key]).await
            };
            if let Err(error) = ended.await {
                tracing::warn!(%error, correlation_id = %run, "a run that a later one takes the place of goes on");
            }
        }
    }

    async fn settle_once(&self, batch: &Batch<'_>, finished: &[ClaimId]) -> StoreResult<Ended> {
        let rows = sqlx::query(sql!("queue/settle"))
            .bind(&batch.ids)
            .bind(&batch.claims)
            .bind(&batch.attempts)
            .bind(&batch.outcomes)
            .bind(&batch.waits)
            .bind(&batch.released)
            .bind(&batch.durations)
            .bind(&batch.ended_ago)
            .bind(&batch.errors)
            .bind(&batch.results)
            .bind(finished)
            .bind(&batch.codes)
            .bind(&batch.fingerprints)
            .fetch_all(&self.work)
            .await
            .map_err(self.failed("settle reports"))?;
        let mut ended = Ended::default();
        for row in &rows {
            ended.attempts.insert((rows::id(row, 0)?, rows::count(row, 1)?, rows::get(row, 2)?));
            if rows::get(row, 4)? && rows::get(row, 5)? {
                ended.waited_for.push(rows::get(row, 3)?);
            }
            rows::get::<Vec<i64>>(row, 6)?.into_iter().for_each(|gate| ended.freed.add(gate, 1));
        }
        Ok(ended)
    }
}

/// What a settle ended.
#[derive(Default)]
struct Ended {
    /// Attempts that were guarded rightly.
    attempts: HashSet<(CorrelationId, u32, ClaimId)>,
    /// Jobs of runs that are over, if something may wait for them.
    waited_for: Vec<i64>,
    /// Permits that they gave back.
    freed: Freed,
}

/// Items that left the line without a run.
struct Gone {
    dismissed: u64,
    /// Runs that wait for their retry and that `cancel_previous` ends.
    previous: Vec<Uuid>,
    /// How the items that ended did.
    ended: Vec<Outcome>,
}

/// Items at the head of the line that a claim could not start.
#[derive(Default)]
struct Unstarted {
    keys: Vec<i64>,
    ids: Vec<Uuid>,
    /// Ids of those with a later due time.
    missed: Vec<Uuid>,
    /// Jobs of those that another run may be in the way of.
    blocked: Vec<i64>,
    /// Gates of those that no gate is in the way of.
    gates: Vec<i64>,
    /// Those that a gate is in the way of; the policy of their job may end them all the same.
    limited: Limited,
}

impl Unstarted {
    /// A row of the claim: key, id, …, started, missed, blocked, queue, …, limited, gates.
    fn push(&mut self, row: &PgRow, abilities: Option<&[GateId]>) -> StoreResult<()> {
        let (key, id) = (rows::get(row, 0)?, rows::get(row, 1)?);
        let (blocked, limited) = (rows::get(row, 12)?, rows::get(row, 17)?);
        let gates = rows::get::<Option<Vec<i64>>>(row, 18)?.unwrap_or_default();
        if limited {
            let queue: String = rows::get(row, 13)?;
            self.limited.keys.push(key);
            self.limited.ids.push(id);
            let lacks = |gate: &GateId| gate.is_need() && abilities.is_some_and(|able| !able.contains(gate));
            let lacking = gates.iter().copied().filter(|gate| lacks(&GateId::from_i64(*gate)));
            self.limited.lacking.extend(lacking);
            self.limited.gates.extend(gates);
            if !self.limited.queues.contains(&queue) {
                self.limited.queues.push(queue);
            }
        } else {
            self.gates.extend(gates.into_iter().filter(|gate| *gate >= 0)); // a probe's turn is the rescuer's to give
        }
        if blocked || !limited {
            self.keys.push(key);
            self.ids.push(id);
            if rows::get(row, 11)? {
                self.missed.push(id);
            }
        }
        if blocked {
            self.blocked.push(key);
        }
        Ok(())
    }
}

/// key, id, tenant, revision, job, definition, cause, due, attempt, released, started, missed, blocked, queue, prio, tag,
/// cost, limited, gates.
fn claimed_run(row: &PgRow) -> StoreResult<ClaimedRun> {
    Ok(ClaimedRun {
        id: rows::id(row, 1)?,
        tenant: rows::name::<TenantId>(row, 2)?,
        tenant_revision: rows::get::<Option<i64>>(row, 3)?.unwrap_or(0),
        job: rows::name::<JobName>(row, 4)?,
        definition: rows::definition_id(row, 5)?,
        cause: rows::cause(row, 6)?,
        scheduled_for: rows::at(row, 7)?,
        attempt: rows::count(row, 8)?,
        released: rows::count(row, 9)?,
        age: span_of(rows::get::<Option<i64>>(row, 19)?.unwrap_or(0)),
        lane: Lane { queue: rows::name(row, 13)?, priority: rows::get(row, 14)? },
        tag: rows::get(row, 15)?,
        cost: span_of(rows::get(row, 16)?),
        probe: rows::get::<Option<Vec<i64>>>(row, 18)?.is_some_and(|gates| crate::is_probe(&gates)),
    })
}

/// Reports as the parallel arrays of the statement.
struct Batch<'a> {
    ids: Vec<Uuid>,
    claims: Vec<Uuid>,
    attempts: Vec<i32>,
    outcomes: Vec<i16>,
    waits: Vec<Option<i64>>,
    released: Vec<i32>,
    durations: Vec<i64>,
    ended_ago: Vec<i64>,
    errors: Vec<Option<&'a str>>,
    results: Vec<Option<&'a str>>,
    codes: Vec<Option<&'a str>>,
    fingerprints: Vec<Option<i64>>,
}

impl<'a> Batch<'a> {
    fn of(reports: &'a [AttemptReport]) -> Self {
        let decided = |report: &AttemptReport| match report.verdict {
            Verdict::Succeeded => (Outcome::Succeeded, None),
            Verdict::Retry(wait) => (Outcome::Failed, Some(us(wait))),
            Verdict::Dead => (Outcome::Dead, None),
            Verdict::Cancelled => (Outcome::Cancelled, None),
            Verdict::Released => (Outcome::Failed, Some(0)),
        };
        Self {
            ids: reports.iter().map(|report| report.id.as_uuid()).collect(),
            claims: reports.iter().map(|report| report.claim).collect(),
            attempts: reports.iter().map(|report| int(report.attempt)).collect(),
            outcomes: reports.iter().map(|report| decided(report).0.code()).collect(),
            waits: reports.iter().map(|report| decided(report).1).collect(),
            released: reports.iter().map(|report| i32::from(report.verdict == Verdict::Released)).collect(),
            durations: reports.iter().map(|report| us(report.duration)).collect(),
            ended_ago: reports.iter().map(|report| us(report.ended_ago)).collect(),
            errors: reports.iter().map(|report| report.error.as_deref()).collect(),
            results: reports.iter().map(|report| report.result.as_deref()).collect(),
            codes: reports.iter().map(|report| report.code.as_deref()).collect(),
            fingerprints: reports.iter().map(|report| crate::fingerprint_of(report, decided(report).0)).collect(),
        }
    }

    /// Jobs of scheduled runs that are said to be dead.
    fn dead_jobs(&self) -> Vec<i64> {
        let dead = self.ids.iter().zip(&self.outcomes).filter(|(_, outcome)| **outcome == Outcome::Dead.code());
        let runs = dead.map(|(id, _)| CorrelationId::from_uuid(*id));
        runs.filter(|run| run.kind().is_scheduled()).map(|run| run.job().as_i64()).collect()
    }
}
