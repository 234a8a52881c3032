//! Payloads of enqueued runs, and what attempts do once.

use leasehold_common::id::CorrelationId;
use leasehold_common::store::{ErrorKind, OnceBegun, OnceKey, StoreError, StoreResult};
use sqlx::PgExecutor;
use uuid::Uuid;

use super::{PgStore, int, rows};
use crate::enqueue;
use leasehold_common::store::Enqueue;

/// Tries to begin what another run is just beginning.
const TRIES: u32 = 5;

/// What `leasehold.enqueue` answers for a tenant or a job that is not there.
const UNDEFINED_OBJECT: &str = "42704";

/// Enqueues a run on a connection to PostgreSQL, within whatever transaction is open there: the run is there if that
/// commits, and never was if it does not. The same as `SELECT leasehold.enqueue(…)`. `None` if the tenant has no such job;
/// on PostgreSQL the transaction has failed then.
///
/// # Errors
/// [`ErrorKind::Invalid`] if something of the request is out of its bounds.
pub async fn enqueue_on_postgres(
    connection: impl PgExecutor<'_>,
    request: &Enqueue,
) -> StoreResult<Option<CorrelationId>> {
    let payload = enqueue::payload(request)?;
    let made = sqlx::query_scalar::<_, Uuid>(sql!("runs/enqueue"))
        .bind(request.tenant.as_str())
        .bind(request.job.as_str())
        .bind(payload)
        .bind(enqueue::options(request))
        .fetch_one(connection)
        .await;
    match made {
        Ok(id) => Ok(Some(CorrelationId::from_uuid(id))),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(UNDEFINED_OBJECT) => Ok(None),
        Err(error) => Err(crate::error::failed(enqueue::OPERATION)(error)),
    }
}

impl PgStore {
    pub(super) async fn own_payloads(&self, runs: &[CorrelationId]) -> StoreResult<Vec<(CorrelationId, String)>> {
        let keys: Vec<_> = runs.iter().map(|id| id.job().as_i64()).collect();
        let ids: Vec<_> = runs.iter().map(|id| id.as_uuid()).collect();
        self.settled(|| async {
            let rows = sqlx::query(sql!("queue/payloads"))
                .bind(&keys)
                .bind(&ids)
                .fetch_all(&self.work)
                .await
                .map_err(self.failed("read payloads"))?;
            rows.iter().map(|row| Ok((rows::id(row, 0)?, rows::get(row, 1)?))).collect()
        })
        .await
    }

    pub(super) async fn begin(&self, key: &OnceKey) -> StoreResult<OnceBegun> {
        const OPERATION: &str = "begin something once";
        for _ in 0..TRIES {
            let row = self
                .settled(|| async {
                    sqlx::query(sql!("queue/begin_once"))
                        .bind(key.id.as_uuid())
                        .bind(key.claim)
                        .bind(int(key.attempt))
                        .bind(&key.scope)
                        .bind(&key.name)
                        .fetch_one(&self.work)
                        .await
                        .map_err(self.failed(OPERATION))
                })
                .await?;
            if !rows::get::<bool>(&row, 0)? {
                return Ok(OnceBegun::Stale);
            }
            if rows::get::<bool>(&row, 1)? {
                return Ok(OnceBegun::First);
            }
            if let Some(begun) = rows::begun_once(&row, 3, rows::get(&row, 2)?)? {
                return Ok(begun);
            }
            // Another run has begun it since this statement looked.
        }
        Err(StoreError::new(ErrorKind::Conflict, OPERATION, "other runs begin it all the time"))
    }

    pub(super) async fn finish(&self, key: &OnceKey, result: &str) -> StoreResult<bool> {
        self.settled(|| async {
            let done = sqlx::query(sql!("queue/finish_once"))
                .bind(key.id.as_uuid())
                .bind(key.claim)
                .bind(int(key.attempt))
                .bind(&key.scope)
                .bind(&key.name)
                .bind(result)
                .execute(&self.work)
                .await
                .map_err(self.failed("record what was done once"))?;
            Ok(done.rows_affected() > 0)
        })
        .await
    }
}
