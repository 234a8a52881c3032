//! Work items: activation, claims, heartbeats and reports.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use async_trait::async_trait;
use leasehold_common::definition::Tenant;
use leasehold_common::id::{CorrelationId, JobName, TenantId};
use leasehold_common::run::{Cause, Outcome};
use leasehold_common::store::{
    Activated, AttemptReport, ClaimId, ClaimRequest, Claimed, ClaimedRun, ExecutorInfo, Extended, Queue, Settled,
    StoreResult, Verdict,
};
use sqlx::sqlite::SqliteRow;
use sqlx::{Sqlite, Transaction};
use uuid::Uuid;

use super::{SqliteStore, rows};
use crate::clock::us;
use crate::error::failed;
use crate::json::{batch, hex};

#[async_trait]
impl Queue for SqliteStore {
    async fn activate(&self, limit: u32) -> StoreResult<Activated> {
        const OPERATION: &str = "activate due items";
        let first = self.next_ahead().await?;
        let now = self.now();
        if first.is_none_or(|first| first > now) {
            return Ok(Activated { moved: 0, next_in: Self::until(now, first) });
        }
        let mut write = self.begin(OPERATION).await?;
        sqlx::query(sql!("queue/activate_insert"))
            .bind(now)
            .bind(limit)
            .execute(&mut *write)
            .await
            .map_err(failed(OPERATION))?;
        let moved = sqlx::query(sql!("queue/activate_delete"))
            .bind(now)
            .bind(limit)
            .execute(&mut *write)
            .await
            .map_err(failed(OPERATION))?
            .rows_affected();
        write.commit().await.map_err(failed(OPERATION))?;
        let next = self.next_ahead().await?;
        Ok(Activated { moved, next_in: Self::until(self.now(), next) })
    }

    async fn claim(&self, request: &ClaimRequest) -> StoreResult<Claimed> {
        const OPERATION: &str = "claim work";
        let claim = Uuid::now_v7();
        let mut claimed = Claimed { claim, items: Vec::new(), dismissed: 0 };
        let mut write = self.begin(OPERATION).await?;
        let now = self.now();
        let mut candidates = Vec::new();
        for queue in crate::by_chance(&request.queues) {
            let room = request.limit.saturating_sub(u32::try_from(candidates.len()).unwrap_or(u32::MAX));
            if room == 0 {
                break;
            }
            candidates.extend(
                sqlx::query(sql!("queue/candidates"))
                    .bind(queue)
                    .bind(now)
                    .bind(room)
                    .fetch_all(&mut *write)
                    .await
                    .map_err(failed(OPERATION))?
                    .iter()
                    .map(Candidate::read)
                    .collect::<StoreResult<Vec<_>>>()?,
            );
        }
        if candidates.is_empty() {
            return Ok(claimed);
        }
        let started = start(&mut write, &candidates, claim, request.executor, now).await?;
        let mut taken = Vec::new();
        let mut dismissed = Vec::new();
        for candidate in candidates {
            taken.push((candidate.key, hex(candidate.run.id.as_uuid())));
            if started.contains(&candidate.run.id) {
                claimed.items.push(candidate.run);
            } else if let Some(outcome) = candidate.outcome_if_not_started() {
                dismissed.push(candidate.dismiss(outcome));
            }
        }
        sqlx::query(sql!("queue/take")).bind(batch(&taken)).execute(&mut *write).await.map_err(failed(OPERATION))?;
        claimed.dismissed = dismissed.len() as u64;
        record_unstarted(&mut write, &dismissed, now).await?;
        if !claimed.items.is_empty() {
            sqlx::query(sql!("queue/new_claim"))
                .bind(claim)
                .bind(request.executor)
                .bind(now.saturating_add(us(request.ttl)))
                .execute(&mut *write)
                .await
                .map_err(failed(OPERATION))?;
        }
        write.commit().await.map_err(failed(OPERATION))?;
        Ok(claimed)
    }

    async fn extend(&self, executor: Uuid, claims: &[ClaimId], ttl: Duration) -> StoreResult<Extended> {
        const OPERATION: &str = "extend claims";
        let claims: Vec<_> = claims.iter().copied().map(hex).collect();
        let alive = sqlx::query_scalar(sql!("queue/extend"))
            .bind(batch(&claims))
            .bind(executor)
            .bind(self.now().saturating_add(us(ttl)))
            .fetch_all(&self.write)
            .await
            .map_err(failed(OPERATION))?;
        let cancel: Vec<Uuid> = sqlx::query_scalar(sql!("queue/cancels"))
            .bind(batch(&claims))
            .fetch_all(&self.read)
            .await
            .map_err(failed(OPERATION))?;
        Ok(Extended { alive, cancel: cancel.into_iter().map(CorrelationId::from_uuid).collect() })
    }

    async fn settle(
        &self,
        _executor: Uuid,
        reports: &[AttemptReport],
        finished: &[ClaimId],
    ) -> StoreResult<Vec<Settled>> {
        const OPERATION: &str = "settle reports";
        let mut write = self.begin(OPERATION).await?;
        let now = self.now();
        let endings: Vec<_> = reports.iter().map(|report| Ending::of(report, now)).collect();
        let ended = end_or_requeue(&mut write, &endings, now).await?;
        drop_claims(&mut write, finished).await?;
        write.commit().await.map_err(failed(OPERATION))?;
        if endings.iter().any(|ending| ending.retry_at.is_some_and(|at| at <= now + crate::HINT_WITHIN_US)) {
            self.hint();
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
            .bind(info.pid)
            .bind(&info.version)
            .bind(info.slots)
            .bind(info.running)
            .bind(queues.join(" "))
            .bind(info.draining)
            .bind(self.now())
            .execute(&self.write)
            .await
            .map_err(failed("announce the executor"))?;
        Ok(())
    }

    async fn retire(&self, executor: Uuid) -> StoreResult<()> {
        sqlx::query(sql!("queue/retire"))
            .bind(executor)
            .execute(&self.write)
            .await
            .map_err(failed("retire the executor"))?;
        Ok(())
    }

    async fn tenants_by_id(&self, ids: &[TenantId]) -> StoreResult<Vec<(Tenant, i64)>> {
        let rows = sqlx::query(sql!("queue/tenants_by_id"))
            .bind(batch(ids))
            .fetch_all(&self.read)
            .await
            .map_err(failed("read tenants"))?;
        rows.iter().map(|row| Ok((rows::tenant(row, 0)?, rows::get(row, 1)?))).collect()
    }
}

impl SqliteStore {
    async fn next_ahead(&self) -> StoreResult<Option<i64>> {
        sqlx::query_scalar(sql!("queue/next_ahead")).fetch_one(&self.read).await.map_err(failed("look for due items"))
    }
}

/// An item at the head of the line.
struct Candidate {
    run: ClaimedRun,
    key: i64,
    /// Why it must not run.
    dismissal: Option<Outcome>,
    /// Whether it holds the job's interval token.
    token: bool,
}

impl Candidate {
    fn read(row: &SqliteRow) -> StoreResult<Self> {
        let (attempt, released) = (rows::count(row, 8)?, rows::count(row, 9)?);
        Ok(Self {
            key: rows::get(row, 0)?,
            run: ClaimedRun {
                id: rows::id(row, 1)?,
                tenant: rows::name::<TenantId>(row, 2)?,
                tenant_revision: rows::get::<Option<i64>>(row, 15)?.unwrap_or(0),
                job: rows::name::<JobName>(row, 13)?,
                definition: rows::definition_id(row, 14)?,
                cause: rows::cause(row, 5)?,
                scheduled_for: rows::at(row, 6)?,
                attempt: attempt + 1,
                released,
            },
            dismissal: rows::get::<Option<i16>>(row, 16)?.and_then(Outcome::from_code),
            token: rows::get::<Option<i64>>(row, 12)?.is_some(),
        })
    }

    fn is_first_attempt(&self) -> bool {
        self.run.attempt == 1
    }

    /// What becomes of it if it could not be started. A first attempt lost against a run of the same job in the
    /// same batch. A retry whose row in `running` is gone has ended otherwise: nothing is left to say about it.
    fn outcome_if_not_started(&self) -> Option<Outcome> {
        self.dismissal.or(self.is_first_attempt().then_some(Outcome::Overlapped))
    }

    fn dismiss(&self, outcome: Outcome) -> Unstarted {
        Unstarted {
            id: self.run.id,
            key: self.key,
            tenant: self.run.tenant.clone(),
            cause: self.run.cause,
            due: self.run.scheduled_for.as_microsecond(),
            attempt: self.run.attempt - 1,
            outcome,
            // A void item's token was replaced when its schedule changed.
            token: self.token && outcome != Outcome::Cancelled,
            error: crate::dismissal_reason(outcome),
        }
    }
}

/// Marks those candidates as running that may run; answers their ids.
async fn start(
    write: &mut Transaction<'static, Sqlite>,
    candidates: &[Candidate],
    claim: ClaimId,
    executor: Uuid,
    now: i64,
) -> StoreResult<HashSet<CorrelationId>> {
    let runnable = || candidates.iter().filter(|candidate| candidate.dismissal.is_none());
    let first: Vec<_> = runnable()
        .filter(|candidate| candidate.is_first_attempt())
        .map(|candidate| (candidate.key, hex(candidate.run.id.as_uuid())))
        .collect();
    let again: Vec<_> = runnable()
        .filter(|candidate| !candidate.is_first_attempt())
        .map(|candidate| hex(candidate.run.id.as_uuid()))
        .collect();
    let mut started = HashSet::new();
    for (rows, statement) in [(batch(&first), sql!("queue/start")), (batch(&again), sql!("queue/restart"))] {
        let ids: Vec<Uuid> = sqlx::query_scalar(statement)
            .bind(rows)
            .bind(claim)
            .bind(executor)
            .bind(now)
            .fetch_all(&mut **write)
            .await
            .map_err(failed("claim work"))?;
        started.extend(ids.into_iter().map(CorrelationId::from_uuid));
    }
    Ok(started)
}

/// A run that ends without this attempt having started.
pub(super) struct Unstarted {
    pub(super) id: CorrelationId,
    pub(super) key: i64,
    pub(super) tenant: TenantId,
    pub(super) cause: Cause,
    pub(super) due: i64,
    pub(super) attempt: u32,
    pub(super) outcome: Outcome,
    /// Whether its item held the interval token: the job's interval starts again now.
    pub(super) token: bool,
    pub(super) error: &'static str,
}

/// Reports runs that end without having started, and gives their jobs the next due time.
pub(super) async fn record_unstarted(
    write: &mut Transaction<'static, Sqlite>,
    runs: &[Unstarted],
    now: i64,
) -> StoreResult<()> {
    const OPERATION: &str = "record runs that did not start";
    if runs.is_empty() {
        return Ok(());
    }
    let waiting: Vec<_> = runs.iter().filter(|run| run.attempt > 0).map(|run| hex(run.id.as_uuid())).collect();
    let mut rearmed: Vec<i64> = runs.iter().filter(|run| run.token).map(|run| run.key).collect();
    if !waiting.is_empty() {
        let ended: Vec<(i64, Option<i64>)> = sqlx::query_as(sql!("queue/end_unclaimed"))
            .bind(batch(&waiting))
            .fetch_all(&mut **write)
            .await
            .map_err(failed(OPERATION))?;
        rearmed.extend(ended.iter().filter(|(_, token)| token.is_some()).map(|(key, _)| key));
    }
    let reports: Vec<ReportRow> = runs
        .iter()
        .map(|run| ReportRow {
            id: run.id,
            key: run.key,
            tenant: run.tenant.as_str().to_owned(),
            cause: run.cause.code(),
            due: run.due,
            attempt: run.attempt,
            outcome: run.outcome.code(),
            next_attempt_at: None,
            started_at: None,
            finished_at: now,
            executor: None,
            error: Some(run.error.to_owned()),
            result: None,
        })
        .collect();
    insert_reports(write, &reports).await?;
    rearm(write, rearmed, now).await
}

/// How one attempt ended, with all instants on the store's clock.
pub(super) struct Ending<'a> {
    pub(super) id: CorrelationId,
    pub(super) claim: ClaimId,
    pub(super) attempt: u32,
    pub(super) outcome: Outcome,
    pub(super) retry_at: Option<i64>,
    /// Whether the attempt was given back and does not count.
    pub(super) released: bool,
    /// `None`: when it was claimed.
    pub(super) started_at: Option<i64>,
    pub(super) finished_at: i64,
    pub(super) error: Option<&'a str>,
    pub(super) result: Option<&'a str>,
}

impl<'a> Ending<'a> {
    fn of(report: &'a AttemptReport, now: i64) -> Self {
        let finished_at = now.saturating_sub(us(report.ended_ago));
        let (outcome, retry_at) = match report.verdict {
            Verdict::Succeeded => (Outcome::Succeeded, None),
            Verdict::Retry(wait) => (Outcome::Failed, Some(now.saturating_add(us(wait)))),
            Verdict::Dead => (Outcome::Dead, None),
            Verdict::Cancelled => (Outcome::Cancelled, None),
            Verdict::Released => (Outcome::Failed, Some(now)),
        };
        Self {
            id: report.id,
            claim: report.claim,
            attempt: report.attempt,
            outcome,
            retry_at,
            released: report.verdict == Verdict::Released,
            started_at: Some(finished_at.saturating_sub(us(report.duration))),
            finished_at,
            error: report.error.as_deref(),
            result: report.result.as_deref(),
        }
    }
}

/// An attempt of a run, by its token. A batch may hold an old one, by a claim that was lost, beside the current one.
pub(super) type Attempt = (CorrelationId, u32, ClaimId);

/// Ends attempts: those that are guarded rightly leave `running` or go back into the queue, and are reported.
/// Answers them; whatever is missing from it was stale (invariants I6, I7).
pub(super) async fn end_or_requeue(
    write: &mut Transaction<'static, Sqlite>,
    endings: &[Ending<'_>],
    now: i64,
) -> StoreResult<HashSet<Attempt>> {
    let mut ended = HashSet::with_capacity(endings.len());
    let mut rest: Vec<&Ending<'_>> = endings.iter().collect();
    while !rest.is_empty() {
        // Rows come back without their claim: a pass takes each (id, attempt) once, mostly all there are.
        let mut pass: HashMap<(CorrelationId, u32), &Ending<'_>> = HashMap::with_capacity(rest.len());
        rest.retain(|ending| match pass.entry((ending.id, ending.attempt)) {
            Entry::Vacant(place) => {
                place.insert(ending);
                false
            }
            Entry::Occupied(first) => first.get().claim != ending.claim,
        });
        ended.extend(end_or_requeue_pass(write, &pass, now).await?);
    }
    Ok(ended)
}

async fn end_or_requeue_pass(
    write: &mut Transaction<'static, Sqlite>,
    by_attempt: &HashMap<(CorrelationId, u32), &Ending<'_>>,
    now: i64,
) -> StoreResult<Vec<Attempt>> {
    const OPERATION: &str = "settle reports";
    let guard = |e: &Ending<'_>| (hex(e.id.as_uuid()), hex(e.claim), i64::from(e.attempt), i64::from(e.released));
    let over: Vec<_> = by_attempt.values().filter(|e| e.retry_at.is_none()).map(|e| guard(e)).collect();
    let back: Vec<_> = by_attempt.values().filter(|e| e.retry_at.is_some()).map(|e| guard(e)).collect();

    let mut rows = Vec::new();
    for (guards, statement) in [(over, sql!("queue/finish")), (back, sql!("queue/give_back"))] {
        if !guards.is_empty() {
            let matched =
                sqlx::query(statement).bind(batch(&guards)).fetch_all(&mut **write).await.map_err(failed(OPERATION))?;
            rows.extend(matched);
        }
    }

    let mut ended = Vec::with_capacity(rows.len());
    let (mut reports, mut requeue, mut rearmed) = (Vec::with_capacity(rows.len()), Vec::new(), Vec::new());
    for row in &rows {
        let id = rows::id(row, 0)?;
        let attempt = rows::count(row, 5)?;
        let Some(ending) = by_attempt.get(&(id, attempt)) else { continue };
        ended.push((id, attempt, ending.claim));
        let key: i64 = rows::get(row, 1)?;
        reports.push(ReportRow {
            id,
            key,
            tenant: rows::get(row, 2)?,
            cause: rows::get(row, 3)?,
            due: rows::get(row, 4)?,
            attempt,
            outcome: ending.outcome.code(),
            next_attempt_at: ending.retry_at,
            started_at: Some(ending.started_at.map_or_else(|| rows::get(row, 8), Ok)?),
            finished_at: ending.finished_at,
            executor: rows::get(row, 7)?,
            error: ending.error.map(str::to_owned),
            result: ending.result.map(str::to_owned),
        });
        match ending.retry_at {
            Some(at) => requeue.push((hex(id.as_uuid()), at)),
            None if rows::get::<Option<i64>>(row, 6)?.is_some() => rearmed.push(key),
            None => {}
        }
    }
    if !requeue.is_empty() {
        sqlx::query(sql!("queue/requeue"))
            .bind(batch(&requeue))
            .execute(&mut **write)
            .await
            .map_err(failed(OPERATION))?;
    }
    insert_reports(write, &reports).await?;
    rearm(write, rearmed, now).await?;
    Ok(ended)
}

/// A row of `report`, in the order of its statement.
struct ReportRow {
    id: CorrelationId,
    key: i64,
    tenant: String,
    cause: i16,
    due: i64,
    attempt: u32,
    outcome: i16,
    next_attempt_at: Option<i64>,
    started_at: Option<i64>,
    finished_at: i64,
    executor: Option<Uuid>,
    error: Option<String>,
    result: Option<String>,
}

async fn insert_reports(write: &mut Transaction<'static, Sqlite>, reports: &[ReportRow]) -> StoreResult<()> {
    if reports.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = reports
        .iter()
        .map(|r| {
            (
                (hex(r.id.as_uuid()), r.key, &r.tenant, r.cause, r.due, r.attempt, r.outcome),
                (r.next_attempt_at, r.started_at, r.finished_at, r.executor.map(hex), &r.error, &r.result),
            )
        })
        .collect();
    sqlx::query(sql!("queue/report"))
        .bind(batch(&rows))
        .execute(&mut **write)
        .await
        .map_err(failed("write reports"))?;
    Ok(())
}

async fn rearm(write: &mut Transaction<'static, Sqlite>, keys: Vec<i64>, now: i64) -> StoreResult<()> {
    if keys.is_empty() {
        return Ok(());
    }
    sqlx::query(sql!("queue/rearm"))
        .bind(batch(&keys))
        .bind(now)
        .execute(&mut **write)
        .await
        .map_err(failed("set the next due time"))?;
    Ok(())
}

pub(super) async fn drop_claims(write: &mut Transaction<'static, Sqlite>, claims: &[ClaimId]) -> StoreResult<()> {
    if claims.is_empty() {
        return Ok(());
    }
    let claims: Vec<_> = claims.iter().copied().map(hex).collect();
    sqlx::query(sql!("queue/drop_claims"))
        .bind(batch(&claims))
        .execute(&mut **write)
        .await
        .map_err(failed("drop claims"))?;
    Ok(())
}
