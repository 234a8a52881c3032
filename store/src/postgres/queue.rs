//! Work items: activation, claims, heartbeats and reports.

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;
use leasehold_common::definition::Tenant;
use leasehold_common::id::{CorrelationId, JobName, TenantId};
use leasehold_common::run::Outcome;
use leasehold_common::store::{
    Activated, AttemptReport, ClaimId, ClaimRequest, Claimed, ClaimedRun, ErrorKind, ExecutorInfo, Extended, Queue,
    Settled, StoreError, StoreResult, Verdict,
};
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::{PgStore, rows};
use crate::clock::us;

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
        let moved = rows::get::<i64>(&row, 0)?.unsigned_abs();
        let next_in = rows::get::<Option<i64>>(&row, 1)?.map(|us| Duration::from_micros(us.max(0).unsigned_abs()));
        let next_in = if moved >= u64::from(limit) { Some(Duration::ZERO) } else { next_in };
        Ok(Activated { moved, next_in })
    }

    async fn claim(&self, request: &ClaimRequest) -> StoreResult<Claimed> {
        let claim = Uuid::now_v7();
        let head = match self.settled(|| self.claim_once(claim, request)).await {
            Err(error) if error.kind == ErrorKind::Unavailable => self.read_back(claim, request, error).await?,
            answer => answer?,
        };
        let mut claimed = Claimed { claim, items: Vec::with_capacity(head.len()), dismissed: 0 };
        let (mut keys, mut ids, mut missed) = (Vec::new(), Vec::new(), Vec::new());
        for row in &head {
            if rows::get(row, 10)? {
                claimed.items.push(claimed_run(row)?);
            } else {
                keys.push(rows::get::<i64>(row, 0)?);
                ids.push(rows::get::<Uuid>(row, 1)?);
                if rows::get(row, 11)? {
                    missed.push(rows::get::<Uuid>(row, 1)?);
                }
            }
        }
        if !ids.is_empty() {
            // What was claimed is claimed: if this fails, the items stay and the next claim meets them again.
            match self.settled(|| self.dismiss_once(&keys, &ids, &missed)).await {
                Ok(dismissed) => claimed.dismissed = dismissed,
                Err(error) if claimed.items.is_empty() => return Err(error),
                Err(error) => tracing::debug!(%error, "items that must not run stay in line"),
            }
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
        let ended = self.settled(|| self.settle_once(&batch, finished)).await?;
        if batch.waits.iter().flatten().any(|wait| *wait <= crate::HINT_WITHIN_US) {
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

    async fn dismiss_once(&self, keys: &[i64], ids: &[Uuid], missed: &[Uuid]) -> StoreResult<u64> {
        let errors: Vec<_> = Outcome::ALL.iter().map(|outcome| crate::dismissal_reason(*outcome)).collect();
        let dismissed: i64 = sqlx::query_scalar(sql!("queue/dismiss"))
            .bind(keys)
            .bind(ids)
            .bind(missed)
            .bind(errors)
            .fetch_one(&self.work)
            .await
            .map_err(self.failed("end items that must not run"))?;
        Ok(dismissed.unsigned_abs())
    }

    async fn settle_once(
        &self,
        batch: &Batch<'_>,
        finished: &[ClaimId],
    ) -> StoreResult<HashSet<(CorrelationId, u32, ClaimId)>> {
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
            .fetch_all(&self.work)
            .await
            .map_err(self.failed("settle reports"))?;
        rows.iter().map(|row| Ok((rows::id(row, 0)?, rows::count(row, 1)?, rows::get(row, 2)?))).collect()
    }
}

/// key, id, tenant, revision, job, definition, cause, due, attempt, released.
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
        }
    }
}

/// Postgres has no unsigned integers.
fn int(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}
