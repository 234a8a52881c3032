//! Work items: activation, heartbeats and reports. Claims are in `claims.rs`.

use std::time::Duration;

use async_trait::async_trait;
use leasehold_common::definition::Tenant;
use leasehold_common::id::{CorrelationId, TenantId};
use leasehold_common::store::{
    Activated, AttemptReport, Charge, ClaimId, ClaimRequest, Claimed, ExecutorInfo, Extended, OnceBegun, OnceKey,
    Queue, QueueDepth, Served, Settled, StoreResult,
};
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::endings::{Ending, drop_claims, end_or_requeue};
use super::line::line_up;
use super::{SqliteStore, gates, rows};
use crate::LATE_US;
use crate::clock::us;
use crate::error::failed;
use crate::json::{batch, hex};

/// How soon an executor looks again for items that wait for a rate, at the earliest.
const WAKE_LEAST: Duration = Duration::from_millis(50);

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
        let due = ahead.wake_at.is_some_and(|at| at <= self.now());
        let woken = if due { self.wake_due().await? } else { 0 };
        let moved = on_time + recovered + woken;
        let ahead = if moved > 0 || due { self.ahead().await? } else { ahead };
        let next_in = Self::until(self.now(), ahead.next);
        let turn_in = ahead.late.then_some(crate::RECOVERY_TURN);
        let wake_in = Self::until(self.now(), ahead.wake_at).map(|wait| wait.max(WAKE_LEAST));
        Ok(Activated { moved, next_in: next_in.into_iter().chain(turn_in).chain(wake_in).min() })
    }

    async fn claim(&self, request: &ClaimRequest) -> StoreResult<Claimed> {
        self.claim_ready(request).await
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

    async fn charge(&self, charges: &[Charge], served: &[Served]) -> StoreResult<()> {
        self.charge_all(charges, served).await
    }

    async fn queues(&self) -> StoreResult<Vec<QueueDepth>> {
        let now = self.now();
        let queues = sqlx::query(sql!("queue/queues"))
            .bind(now)
            .fetch_all(&self.read)
            .await
            .map_err(failed("count what waits in the queues"))?;
        queues.iter().map(|row| queue_depth(row, now)).collect()
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
            .bind(batch(&info.abilities))
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

    async fn payloads(&self, runs: &[CorrelationId]) -> StoreResult<Vec<(CorrelationId, String)>> {
        self.own_payloads(runs).await
    }

    async fn begin_once(&self, key: &OnceKey) -> StoreResult<OnceBegun> {
        self.begin_for(key).await
    }

    async fn finish_once(&self, key: &OnceKey, result: &str) -> StoreResult<bool> {
        self.finish(key, result).await
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

/// queue, depth, oldest `not_before`, limited, running.
fn queue_depth(row: &SqliteRow, now: i64) -> StoreResult<QueueDepth> {
    let number = |index| rows::get::<i64>(row, index).map(|number| u64::try_from(number).unwrap_or(0));
    Ok(QueueDepth {
        queue: rows::name(row, 0)?,
        depth: number(1)?,
        oldest_age_ms: rows::get::<Option<i64>>(row, 2)?.map(|oldest| ((now - oldest) / 1_000).max(0)),
        limited: number(3)?,
        running: number(4)?,
    })
}

/// What is ahead.
struct Ahead {
    /// When the next item that is on time may run; items that wait for a run of their job do not count.
    next: Option<i64>,
    /// Whether there are late items.
    late: bool,
    /// The second in which late items became ready last.
    last_turn: i64,
    /// When items may go that wait for a rate.
    wake_at: Option<i64>,
}

impl SqliteStore {
    async fn ahead(&self) -> StoreResult<Ahead> {
        let row = sqlx::query(sql!("queue/next_ahead"))
            .bind(self.now().saturating_sub(LATE_US))
            .fetch_one(&self.read)
            .await
            .map_err(failed("look for due items"))?;
        Ok(Ahead {
            next: rows::get(&row, 0)?,
            late: rows::get(&row, 1)?,
            last_turn: rows::get(&row, 2)?,
            wake_at: rows::get(&row, 3)?,
        })
    }

    async fn activate_on_time(&self, limit: u32) -> StoreResult<u64> {
        const OPERATION: &str = "activate due items";
        let mut write = self.begin(OPERATION).await?;
        let now = self.now();
        let due: Vec<(i64, Uuid)> = sqlx::query_as(sql!("queue/due_items"))
            .bind(now)
            .bind(now.saturating_sub(LATE_US))
            .bind(limit)
            .fetch_all(&mut *write)
            .await
            .map_err(failed(OPERATION))?;
        if due.is_empty() {
            return Ok(0);
        }
        let items = batch(&due.into_iter().map(|(key, id)| (key, hex(id))).collect::<Vec<_>>());
        let moved = line_up(&mut write, &items, i64::MAX, now).await?; // all of them: they were just read
        write.commit().await.map_err(failed(OPERATION))?;
        Ok(moved)
    }

    /// Lets items go that waited for a rate.
    async fn wake_due(&self) -> StoreResult<u64> {
        const OPERATION: &str = "let go what waited for a rate";
        let mut write = self.begin(OPERATION).await?;
        let woken = gates::wake_due(&mut write, self.now()).await?;
        write.commit().await.map_err(failed(OPERATION))?;
        if woken > 0 {
            self.hint();
        }
        Ok(woken)
    }
}
