//! Work items: activation, claims, heartbeats and reports.

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;
use leasehold_common::definition::Tenant;
use leasehold_common::id::{CorrelationId, JobName, TenantId};
use leasehold_common::run::Outcome;
use leasehold_common::store::{
    Activated, AttemptReport, Charge, ClaimId, ClaimRequest, Claimed, ClaimedRun, ExecutorInfo, Extended, Lane, Queue,
    QueueDepth, Served, Settled, StoreResult,
};
use sqlx::sqlite::SqliteRow;
use sqlx::{Sqlite, Transaction};
use uuid::Uuid;

use super::endings::{Ending, Unstarted, drop_claims, end_or_requeue, record_unstarted};
use super::overlaps::Contested;
use super::{SqliteStore, overlaps, rows};
use crate::LATE_US;
use crate::clock::{span_of, us};
use crate::error::failed;
use crate::json::{batch, hex};

#[async_trait]
impl Queue for SqliteStore {
    async fn activate(&self, limit: u32) -> StoreResult<Activated> {
        let ahead = self.ahead().await?;
        let on_time = match ahead.next {
            Some(next) if next <= self.now() => self.activate_on_time(limit).await?,
            _ => 0,
        };
        if on_time >= u64::from(limit) {
            return Ok(Activated { moved: on_time, next_in: Some(Duration::ZERO) });
        }
        let recovered = if ahead.late && self.may_recover(ahead.last_turn) { self.recover().await? } else { 0 };
        let ahead = if on_time + recovered > 0 { self.ahead().await? } else { ahead };
        let next_in = Self::until(self.now(), ahead.next);
        let turn_in = ahead.late.then_some(crate::RECOVERY_TURN);
        Ok(Activated { moved: on_time + recovered, next_in: next_in.into_iter().chain(turn_in).min() })
    }

    async fn claim(&self, request: &ClaimRequest) -> StoreResult<Claimed> {
        const OPERATION: &str = "claim work";
        let claim = Uuid::now_v7();
        let mut claimed = Claimed { claim, items: Vec::new(), dismissed: 0, ended: Vec::new() };
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
        let (mut dismissed, mut contested) = (Vec::new(), Vec::new());
        for candidate in candidates {
            taken.push((candidate.key, hex(candidate.run.id.as_uuid())));
            if started.contains(&candidate.run.id) {
                claimed.items.push(candidate.run);
                continue;
            }
            match candidate.outcome_if_not_started() {
                Some(Outcome::Overlapped) => contested.push(candidate.contested()),
                Some(outcome) => dismissed.push(candidate.dismiss(outcome)),
                None => {}
            }
        }
        claimed.dismissed = (dismissed.len() + contested.len()) as u64;
        let freed = record_unstarted(&mut write, &dismissed, now).await?;
        let resolved = overlaps::resolve(&mut write, &contested, now).await?;
        claimed.ended = dismissed.iter().map(|run| run.outcome).chain(resolved.ended).collect();
        sqlx::query(sql!("queue/take")).bind(batch(&taken)).execute(&mut *write).await.map_err(failed(OPERATION))?;
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
        if freed + resolved.promoted > 0 {
            self.hint();
        }
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
        let retried = endings.iter().any(|ending| ending.retry_at.is_some_and(|at| at <= now + crate::HINT_WITHIN_US));
        if retried || ended.promoted > 0 {
            self.hint();
        }
        Ok(reports
            .iter()
            .map(|report| match ended.attempts.contains(&(report.id, report.attempt, report.claim)) {
                true => Settled::Recorded,
                false => Settled::Stale,
            })
            .collect())
    }

    async fn charge(&self, _charges: &[Charge], _served: &[Served]) -> StoreResult<()> {
        Ok(())
    }

    async fn queues(&self) -> StoreResult<Vec<QueueDepth>> {
        Ok(Vec::new())
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

/// What is ahead.
struct Ahead {
    /// When the next item that is on time may run; items that wait for a run of their job do not count.
    next: Option<i64>,
    /// Whether there are late items.
    late: bool,
    /// The second in which late items became ready last.
    last_turn: i64,
}

impl SqliteStore {
    async fn ahead(&self) -> StoreResult<Ahead> {
        let row = sqlx::query(sql!("queue/next_ahead"))
            .bind(self.now().saturating_sub(LATE_US))
            .fetch_one(&self.read)
            .await
            .map_err(failed("look for due items"))?;
        Ok(Ahead { next: rows::get(&row, 0)?, late: rows::get(&row, 1)?, last_turn: rows::get(&row, 2)? })
    }

    async fn activate_on_time(&self, limit: u32) -> StoreResult<u64> {
        const OPERATION: &str = "activate due items";
        let mut write = self.begin(OPERATION).await?;
        let now = self.now();
        let mut moved = 0;
        for statement in [sql!("queue/activate_insert"), sql!("queue/activate_delete")] {
            moved = sqlx::query(statement)
                .bind(now)
                .bind(now.saturating_sub(LATE_US))
                .bind(limit)
                .execute(&mut *write)
                .await
                .map_err(failed(OPERATION))?
                .rows_affected();
        }
        write.commit().await.map_err(failed(OPERATION))?;
        Ok(moved)
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
    overlap: i16,
    catch_up: i16,
    /// How many items of the job may wait for its run.
    buffer: u32,
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
                lane: Lane { queue: rows::name(row, 3)?, priority: rows::get(row, 4)? },
                tag: rows::get(row, 20)?,
                cost: span_of(rows::get(row, 21)?),
            },
            dismissal: rows::get::<Option<i16>>(row, 16)?.and_then(Outcome::from_code),
            token: rows::get::<Option<i64>>(row, 12)?.is_some(),
            overlap: rows::get(row, 7)?,
            catch_up: rows::get(row, 17)?,
            buffer: rows::count(row, 19)?,
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
            token: self.token && !matches!(outcome, Outcome::Cancelled | Outcome::Superseded),
            error: crate::dismissal_reason(outcome),
        }
    }

    fn contested(self) -> Contested {
        Contested {
            id: self.run.id,
            key: self.key,
            tenant: self.run.tenant,
            cause: self.run.cause,
            due: self.run.scheduled_for.as_microsecond(),
            overlap: self.overlap,
            catch_up: self.catch_up,
            buffer: self.buffer,
            token: self.token,
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
