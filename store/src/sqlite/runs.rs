//! Runs and reports as people ask for them.

use async_trait::async_trait;
use leasehold_common::id::{CorrelationId, JobKey, JobName, RunKind, TenantId};
use leasehold_common::run::{Outcome, Report, RunState, RunStory, RunView};
use leasehold_common::store::{Cancelled, RunFilter, Runs, StoreResult};
use sqlx::sqlite::SqliteRow;

use super::endings::{Unstarted, record_unstarted};
use super::{SqliteStore, rows};
use crate::clock::at;
use crate::error::failed;
use crate::json::{batch, hex};
use crate::rows::{ended_run, matches, merge, story};

#[async_trait]
impl Runs for SqliteStore {
    async fn reports(&self, after: i64, filter: &RunFilter, limit: u32) -> StoreResult<(Vec<Report>, i64)> {
        let rows = sqlx::query(sql!("runs/reports"))
            .bind(after)
            .bind(limit)
            .fetch_all(&self.read)
            .await
            .map_err(failed("read reports"))?;
        let mut reports = rows.iter().map(rows::report).collect::<StoreResult<Vec<_>>>()?;
        let seen = reports.last().map_or(after, |report| report.seq);
        reports.retain(|report| matches(filter, report));
        Ok((reports, seen))
    }

    async fn last_seq(&self) -> StoreResult<i64> {
        sqlx::query_scalar(sql!("runs/last_seq")).fetch_one(&self.read).await.map_err(failed("read reports"))
    }

    async fn runs(&self, filter: &RunFilter, limit: u32) -> StoreResult<Vec<RunView>> {
        const OPERATION: &str = "list runs";
        let tenants = batch(&filter.tenants);
        let jobs = batch(&filter.jobs);
        let states: Vec<_> = filter.states.iter().map(|state| state.code()).collect();
        let outcomes: Vec<_> = filter.outcomes.iter().map(|outcome| outcome.code()).collect();
        let mut live = Vec::new();
        if filter.outcomes.is_empty() && (states.is_empty() || states.iter().any(|s| *s != RunState::Ended.code())) {
            let rows = sqlx::query(sql!("runs/live"))
                .bind(&tenants)
                .bind(&jobs)
                .bind(batch(&states))
                .bind(limit)
                .fetch_all(&self.read)
                .await
                .map_err(failed(OPERATION))?;
            live = rows.iter().map(rows::live_run).collect::<StoreResult<_>>()?;
        }
        let mut ended = Vec::new();
        if states.is_empty() || states.contains(&RunState::Ended.code()) {
            let rows = sqlx::query(sql!("runs/ended"))
                .bind(&tenants)
                .bind(&jobs)
                .bind(batch(&outcomes))
                .bind(limit)
                .fetch_all(&self.read)
                .await
                .map_err(failed(OPERATION))?;
            ended = rows.iter().map(|row| rows::report(row).map(ended_run)).collect::<StoreResult<_>>()?;
        }
        Ok(merge(live, ended, limit))
    }

    async fn run(&self, id: CorrelationId) -> StoreResult<Option<RunStory>> {
        const OPERATION: &str = "read the run";
        let live = sqlx::query(sql!("runs/live_by_id"))
            .bind(id.job().as_i64())
            .bind(id.as_uuid())
            .fetch_optional(&self.read)
            .await
            .map_err(failed(OPERATION))?;
        let reports = sqlx::query(sql!("runs/reports_of"))
            .bind(id.job().as_i64())
            .bind(id.as_uuid())
            .fetch_all(&self.read)
            .await
            .map_err(failed(OPERATION))?;
        let live = live.as_ref().map(rows::live_run).transpose()?;
        let reports = reports.iter().map(rows::report).collect::<StoreResult<Vec<_>>>()?;
        Ok(story(live, reports))
    }

    async fn trigger(&self, tenant: &TenantId, job: &JobName) -> StoreResult<Option<CorrelationId>> {
        const OPERATION: &str = "trigger the job";
        let key: Option<i64> = sqlx::query_scalar(sql!("runs/job_key"))
            .bind(tenant.as_str())
            .bind(job.as_str())
            .fetch_optional(&self.read)
            .await
            .map_err(failed(OPERATION))?;
        let Some(key) = key else { return Ok(None) };
        loop {
            let now = self.now();
            let id = CorrelationId::new(at(now), RunKind::unscheduled(rand::random()), JobKey::from_i64(key));
            let mut write = self.begin(OPERATION).await?;
            // Another trigger of the same millisecond may have drawn the same kind: then draw again.
            let taken: bool = sqlx::query_scalar(sql!("runs/id_taken"))
                .bind(key)
                .bind(id.as_uuid())
                .fetch_one(&mut *write)
                .await
                .map_err(failed(OPERATION))?;
            if taken {
                continue;
            }
            let written = sqlx::query(sql!("runs/trigger"))
                .bind(id.as_uuid())
                .bind(key)
                .bind(now)
                .execute(&mut *write)
                .await
                .map_err(failed(OPERATION))?
                .rows_affected();
            write.commit().await.map_err(failed(OPERATION))?;
            if written == 0 {
                return Ok(None); // removed in between
            }
            self.hint();
            return Ok(Some(id));
        }
    }

    async fn cancel(&self, id: CorrelationId) -> StoreResult<Cancelled> {
        const OPERATION: &str = "cancel the run";
        let key = id.job().as_i64();
        let mut write = self.begin(OPERATION).await?;
        let now = self.now();
        let requested = sqlx::query(sql!("runs/request_cancel"))
            .bind(id.as_uuid())
            .execute(&mut *write)
            .await
            .map_err(failed(OPERATION))?
            .rows_affected();
        if requested > 0 {
            write.commit().await.map_err(failed(OPERATION))?;
            return Ok(Cancelled::Requested);
        }
        let waiting = sqlx::query(sql!("runs/waiting_run"))
            .bind(key)
            .bind(id.as_uuid())
            .fetch_optional(&mut *write)
            .await
            .map_err(failed(OPERATION))?;
        let Some(row) = waiting else {
            let reported: bool = sqlx::query_scalar(sql!("runs/was_reported"))
                .bind(key)
                .bind(id.as_uuid())
                .fetch_one(&mut *write)
                .await
                .map_err(failed(OPERATION))?;
            return Ok(if reported { Cancelled::AlreadyEnded } else { Cancelled::NotFound });
        };
        let run = waiting_run(&row, crate::CANCELLED_ON_REQUEST)?;
        for statement in [sql!("queue/take"), sql!("queue/take_ahead")] {
            sqlx::query(statement)
                .bind(batch(&[(key, hex(id.as_uuid()))]))
                .execute(&mut *write)
                .await
                .map_err(failed(OPERATION))?;
        }
        record_unstarted(&mut write, &[run], now).await?;
        write.commit().await.map_err(failed(OPERATION))?;
        Ok(Cancelled::Ended)
    }
}

/// key, id, tenant, cause, due, attempt, token: a run that ends as cancelled before it starts (again).
fn waiting_run(row: &SqliteRow, error: &'static str) -> StoreResult<Unstarted> {
    Ok(Unstarted {
        key: rows::get(row, 0)?,
        id: rows::id(row, 1)?,
        tenant: rows::name::<TenantId>(row, 2)?,
        cause: rows::cause(row, 3)?,
        due: rows::get(row, 4)?,
        attempt: rows::count(row, 5)?,
        outcome: Outcome::Cancelled,
        token: rows::get::<Option<i64>>(row, 6)?.is_some(),
        error,
    })
}
