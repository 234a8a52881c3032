//! Pauses: when a job stops being due, by whose word, and how it comes back.
//!
//! A paused job is still looked at when the pause ends: the planner then accounts for what was due meanwhile. What is
//! queued already is left, and the claim ends it.

use jiff::Timestamp;
use leasehold_common::id::JobKey;
use leasehold_common::store::StoreResult;
use sqlx::{Sqlite, Transaction};

use super::SqliteStore;
use crate::FOREVER;
use crate::error::failed;
use crate::json::batch;

impl SqliteStore {
    pub(super) async fn pause_jobs(&self, jobs: &[JobKey], reason: &str, until: Option<Timestamp>) -> StoreResult<u64> {
        const OPERATION: &str = "pause jobs";
        let mut write = self.begin(OPERATION).await?;
        let paused = sqlx::query(sql!("catalog/pause"))
            .bind(keys(jobs))
            .bind(reason)
            .bind(until.map_or(FOREVER, Timestamp::as_microsecond))
            .bind(self.now())
            .execute(&mut *write)
            .await
            .map_err(failed(OPERATION))?;
        write.commit().await.map_err(failed(OPERATION))?;
        Ok(paused.rows_affected())
    }

    pub(super) async fn resume_jobs(&self, jobs: &[JobKey]) -> StoreResult<u64> {
        const OPERATION: &str = "resume jobs";
        let mut write = self.begin(OPERATION).await?;
        let resumed = sqlx::query(sql!("catalog/resume"))
            .bind(keys(jobs))
            .bind(self.now())
            .execute(&mut *write)
            .await
            .map_err(failed(OPERATION))?;
        write.commit().await.map_err(failed(OPERATION))?;
        Ok(resumed.rows_affected())
    }
}

fn keys(jobs: &[JobKey]) -> String {
    batch(&jobs.iter().map(|key| key.as_i64()).collect::<Vec<_>>())
}

/// Pauses those of these jobs, each with a run that just died, that have had as many dead runs in a row as their
/// `pause_after` says.
pub(super) async fn pause_failing(write: &mut Transaction<'static, Sqlite>, jobs: &[i64], now: i64) -> StoreResult<()> {
    const OPERATION: &str = "pause jobs that fail";
    if jobs.is_empty() {
        return Ok(());
    }
    let failing: Vec<(i64, i64, i64)> = sqlx::query_as(sql!("queue/failing"))
        .bind(batch(jobs))
        .bind(now)
        .fetch_all(&mut **write)
        .await
        .map_err(failed(OPERATION))?;
    for (key, after, since) in failing {
        sqlx::query(sql!("queue/pause_failing"))
            .bind(key)
            .bind(after)
            .bind(since)
            .bind(now)
            .execute(&mut **write)
            .await
            .map_err(failed(OPERATION))?;
    }
    Ok(())
}
