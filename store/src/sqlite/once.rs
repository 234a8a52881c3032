//! Enqueued runs with their payloads, and what attempts do once.

use leasehold_common::id::{CorrelationId, JobKey, RunKind};
use leasehold_common::store::{Enqueue, OnceBegun, OnceKey, StoreResult};
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::{SqliteStore, rows};
use crate::clock::{WallClock, at};
use crate::enqueue;
use crate::error::failed;
use crate::json::{batch, hex};

/// Enqueues a run on a connection to the store's own SQLite file, within whatever transaction is open there: the run is
/// there if that commits, and never was if it does not. Begin it with `BEGIN IMMEDIATE`: a transaction that reads first
/// may find that it can no longer write. Executors find the run at their next poll. `None` if the tenant has no such job.
///
/// # Errors
/// `ErrorKind::Invalid` if something of the request is out of its bounds.
pub async fn enqueue_on_sqlite(
    connection: &mut SqliteConnection,
    request: &Enqueue,
) -> StoreResult<Option<CorrelationId>> {
    enqueue_at(connection, request, WallClock::default().now_us()).await
}

pub(super) async fn enqueue_at(
    connection: &mut SqliteConnection,
    request: &Enqueue,
    now: i64,
) -> StoreResult<Option<CorrelationId>> {
    let failed = failed(enqueue::OPERATION);
    let (payload, key) = (enqueue::payload(request)?, enqueue::key(request)?);
    let (mut due, expires) = enqueue::times(request, now)?;
    let job: Option<i64> = sqlx::query_scalar(sql!("runs/job_key"))
        .bind(request.tenant.as_str())
        .bind(request.job.as_str())
        .fetch_optional(&mut *connection)
        .await
        .map_err(&failed)?;
    let Some(job) = job else { return Ok(None) };
    loop {
        let id = CorrelationId::new(at(due), RunKind::enqueued(rand::random()), JobKey::from_i64(job));
        let fresh = sqlx::query(sql!("runs/enqueue"))
            .bind(job)
            .bind(id.as_uuid())
            .bind(key)
            .bind(&payload)
            .bind(now)
            .execute(&mut *connection)
            .await
            .map_err(&failed)?;
        if fresh.rows_affected() > 0 {
            sqlx::query(sql!("runs/enqueue_item"))
                .bind(job)
                .bind(id.as_uuid())
                .bind(due)
                .bind(request.priority)
                .bind(expires)
                .execute(&mut *connection)
                .await
                .map_err(&failed)?;
            return Ok(Some(id));
        }
        let known: Option<Uuid> = sqlx::query_scalar(sql!("runs/enqueued_as"))
            .bind(job)
            .bind(key)
            .fetch_optional(&mut *connection)
            .await
            .map_err(&failed)?;
        if let Some(known) = known {
            return Ok(Some(CorrelationId::from_uuid(known)));
        }
        // Another run of this millisecond has drawn the same id.
        due = due.saturating_add(1_000);
    }
}

impl SqliteStore {
    pub(super) async fn own_payloads(&self, runs: &[CorrelationId]) -> StoreResult<Vec<(CorrelationId, String)>> {
        let runs: Vec<_> = runs.iter().map(|id| (id.job().as_i64(), hex(id.as_uuid()))).collect();
        let rows = sqlx::query(sql!("queue/payloads"))
            .bind(batch(&runs))
            .fetch_all(&self.read)
            .await
            .map_err(failed("read payloads"))?;
        rows.iter().map(|row| Ok((rows::id(row, 0)?, rows::get(row, 1)?))).collect()
    }

    pub(super) async fn begin_for(&self, key: &OnceKey) -> StoreResult<OnceBegun> {
        const OPERATION: &str = "begin something once";
        let mut write = self.begin(OPERATION).await?;
        let job: Option<i64> = sqlx::query_scalar(sql!("queue/held_run"))
            .bind(key.id.as_uuid())
            .bind(key.claim)
            .bind(key.attempt)
            .fetch_optional(&mut *write)
            .await
            .map_err(failed(OPERATION))?;
        let Some(job) = job else { return Ok(OnceBegun::Stale) };
        let was = sqlx::query(sql!("queue/begun_once"))
            .bind(job)
            .bind(&key.scope)
            .bind(&key.name)
            .bind(key.id.as_uuid())
            .fetch_optional(&mut *write)
            .await
            .map_err(failed(OPERATION))?;
        let begun = match &was {
            Some(row) => rows::begun_once(row, 0, rows::get(row, 5)?)?.unwrap_or(OnceBegun::First),
            None => OnceBegun::First,
        };
        if matches!(begun, OnceBegun::First | OnceBegun::Unfinished { .. }) {
            sqlx::query(sql!("queue/begin_once"))
                .bind(key.id.as_uuid())
                .bind(key.attempt)
                .bind(&key.scope)
                .bind(&key.name)
                .bind(self.now())
                .execute(&mut *write)
                .await
                .map_err(failed(OPERATION))?;
            write.commit().await.map_err(failed(OPERATION))?;
        }
        Ok(begun)
    }

    pub(super) async fn finish(&self, key: &OnceKey, result: &str) -> StoreResult<bool> {
        let done = sqlx::query(sql!("queue/finish_once"))
            .bind(key.id.as_uuid())
            .bind(key.claim)
            .bind(key.attempt)
            .bind(&key.scope)
            .bind(&key.name)
            .bind(result)
            .bind(self.now())
            .execute(&self.write)
            .await
            .map_err(failed("record what was done once"))?;
        Ok(done.rows_affected() > 0)
    }
}
