//! Runs and reports as people ask for them.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use leasehold_common::id::{CorrelationId, JobKey, JobName, RunKind, TenantId};
use leasehold_common::run::{Outcome, Report, RunState, RunStory, RunView};
use leasehold_common::store::{Cancelled, Enqueue, JobHistory, RunFilter, Runs, StoreResult};

use super::callbacks::cancel_open;
use super::endings::{Unstarted, record_unstarted};
use super::line::line_up;
use super::once::enqueue_at;
use super::overlaps::take;
use super::{SqliteStore, rows};
use crate::clock::{at, us};
use crate::enqueue;
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
        let progress = self.progress_of(id).await?;
        let links = sqlx::query(sql!("dead/links"))
            .bind(id.job().as_i64())
            .bind(id.as_uuid())
            .fetch_one(&self.read)
            .await
            .map_err(failed(OPERATION))?;
        Ok(story(live, reports, progress, rows::links(&links)?))
    }

    async fn trigger(&self, tenant: &TenantId, job: &JobName, beside: bool) -> StoreResult<Option<CorrelationId>> {
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
                .bind(beside)
                .execute(&mut *write)
                .await
                .map_err(failed(OPERATION))?
                .rows_affected();
            if written == 0 {
                return Ok(None); // removed in between
            }
            line_up(&mut write, &batch(&[(key, hex(id.as_uuid()))]), now, now).await?;
            write.commit().await.map_err(failed(OPERATION))?;
            self.hint();
            return Ok(Some(id));
        }
    }

    async fn enqueue(&self, request: &Enqueue) -> StoreResult<Option<CorrelationId>> {
        let mut write = self.begin(enqueue::OPERATION).await?;
        let made = enqueue_at(&mut write, request, self.now()).await?;
        write.commit().await.map_err(failed(enqueue::OPERATION))?;
        self.hint();
        Ok(made)
    }

    async fn backfill(&self, key: JobKey, due: &[Timestamp], pause: Duration) -> StoreResult<Option<u64>> {
        const OPERATION: &str = "backfill the job";
        let id = |due: &Timestamp| CorrelationId::new(*due, RunKind::BACKFILL, key);
        let runs: BTreeMap<_, _> = due.iter().map(|due| (hex(id(due).as_uuid()), due.as_microsecond())).collect();
        let runs: Vec<_> = runs.into_iter().collect();
        let mut write = self.begin(OPERATION).await?;
        let active: bool = sqlx::query_scalar(sql!("runs/job_active"))
            .bind(key.as_i64())
            .fetch_one(&mut *write)
            .await
            .map_err(failed(OPERATION))?;
        if !active {
            return Ok(None);
        }
        let queued = sqlx::query(sql!("runs/backfill"))
            .bind(key.as_i64())
            .bind(batch(&runs))
            .bind(self.now())
            .bind(us(pause))
            .execute(&mut *write)
            .await
            .map_err(failed(OPERATION))?
            .rows_affected();
        write.commit().await.map_err(failed(OPERATION))?;
        self.hint();
        Ok(Some(queued))
    }

    async fn history(
        &self,
        tenant: &TenantId,
        job: &JobName,
        from: Timestamp,
        to: Timestamp,
    ) -> StoreResult<Option<JobHistory>> {
        let failed = failed("read the history of the job");
        // One snapshot for all of it: a run that ends meanwhile is seen once.
        let mut read = self.read.begin().await.map_err(&failed)?;
        let found = sqlx::query(sql!("runs/history_job"))
            .bind(tenant.as_str())
            .bind(job.as_str())
            .fetch_optional(&mut *read)
            .await
            .map_err(&failed)?;
        let Some(row) = found else { return Ok(None) };
        let now = self.now();
        let key: i64 = rows::get(&row, 0)?;
        let versions =
            sqlx::query(sql!("runs/history_versions")).bind(key).fetch_all(&mut *read).await.map_err(&failed)?;
        let reports = sqlx::query(sql!("runs/history_reports"))
            .bind(key)
            .bind(from.as_microsecond())
            .bind(to.as_microsecond())
            .fetch_all(&mut *read)
            .await
            .map_err(&failed)?;
        let live = sqlx::query(sql!("runs/history_live")).bind(key).fetch_all(&mut *read).await.map_err(&failed)?;
        rows::history(&row, now, (&versions, &reports, &live)).map(Some)
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
            let ended = cancel_open(&mut write, id, now).await?;
            write.commit().await.map_err(failed(OPERATION))?;
            if ended.is_some_and(|promoted| promoted > 0) {
                self.hint();
            }
            return Ok(if ended.is_some() { Cancelled::Ended } else { Cancelled::Requested });
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
        let run = Unstarted::read(&row, Outcome::Cancelled, crate::CANCELLED_ON_REQUEST)?;
        take(&mut write, &[(key, hex(id.as_uuid()))]).await?;
        let promoted = record_unstarted(&mut write, &[run], now).await?;
        write.commit().await.map_err(failed(OPERATION))?;
        if promoted > 0 {
            self.hint();
        }
        Ok(Cancelled::Ended)
    }
}
