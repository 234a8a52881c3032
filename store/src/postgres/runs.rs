//! Runs and reports as people ask for them.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use leasehold_common::id::{CorrelationId, JobKey, JobName, RunKind, TenantId};
use leasehold_common::run::{Report, RunState, RunStory, RunView};
use leasehold_common::store::{Cancelled, Enqueue, JobHistory, RunFilter, Runs, StoreResult};
use uuid::Uuid;

use super::once::enqueue_on_postgres;
use super::{PgStore, rows};
use crate::clock::{at, us};
use crate::rows::{ended_run, matches, merge, story};

/// A run that waits may move on (ahead, ready, running) while a cancel looks at it. Each pass follows it one step.
const CANCEL_PASSES: u32 = 4;

#[async_trait]
impl Runs for PgStore {
    async fn reports(&self, after: i64, filter: &RunFilter, limit: u32) -> StoreResult<(Vec<Report>, i64)> {
        let rows = sqlx::query(sql!("runs/reports"))
            .bind(after)
            .bind(i64::from(limit))
            .fetch_all(&self.view)
            .await
            .map_err(self.failed("read reports"))?;
        let mut reports = rows.iter().map(rows::report).collect::<StoreResult<Vec<_>>>()?;
        let seen = reports.last().map_or(after, |report| report.seq);
        reports.retain(|report| matches(filter, report));
        Ok((reports, seen))
    }

    async fn last_seq(&self) -> StoreResult<i64> {
        sqlx::query_scalar(sql!("runs/last_seq")).fetch_one(&self.view).await.map_err(self.failed("read reports"))
    }

    async fn runs(&self, filter: &RunFilter, limit: u32) -> StoreResult<Vec<RunView>> {
        const OPERATION: &str = "list runs";
        let tenants: Vec<_> = filter.tenants.iter().map(TenantId::as_str).collect();
        let jobs: Vec<_> = filter.jobs.iter().map(JobName::as_str).collect();
        let states: Vec<_> = filter.states.iter().map(|state| i32::from(state.code())).collect();
        let outcomes: Vec<_> = filter.outcomes.iter().map(|outcome| outcome.code()).collect();
        let mut live = Vec::new();
        if filter.outcomes.is_empty() && filter.states.iter().any(|s| *s != RunState::Ended) | states.is_empty() {
            let rows = sqlx::query(sql!("runs/live"))
                .bind(&tenants)
                .bind(&jobs)
                .bind(&states)
                .bind(i64::from(limit))
                .fetch_all(&self.view)
                .await
                .map_err(self.failed(OPERATION))?;
            live = rows.iter().map(rows::live_run).collect::<StoreResult<_>>()?;
        }
        let mut ended = Vec::new();
        if states.is_empty() || filter.states.contains(&RunState::Ended) {
            let rows = sqlx::query(sql!("runs/ended"))
                .bind(&tenants)
                .bind(&jobs)
                .bind(&outcomes)
                .bind(i64::from(limit))
                .fetch_all(&self.view)
                .await
                .map_err(self.failed(OPERATION))?;
            ended = rows.iter().map(|row| rows::report(row).map(ended_run)).collect::<StoreResult<_>>()?;
        }
        Ok(merge(live, ended, limit))
    }

    async fn run(&self, id: CorrelationId) -> StoreResult<Option<RunStory>> {
        const OPERATION: &str = "read the run";
        let live = sqlx::query(sql!("runs/live_by_id"))
            .bind(id.job().as_i64())
            .bind(id.as_uuid())
            .fetch_optional(&self.view)
            .await
            .map_err(self.failed(OPERATION))?;
        let reports = sqlx::query(sql!("runs/reports_of"))
            .bind(id.job().as_i64())
            .bind(id.as_uuid())
            .fetch_all(&self.view)
            .await
            .map_err(self.failed(OPERATION))?;
        let live = live.as_ref().map(rows::live_run).transpose()?;
        let reports = reports.iter().map(rows::report).collect::<StoreResult<Vec<_>>>()?;
        let progress = self.progress_of(id).await?;
        let links = sqlx::query(sql!("dead/links"))
            .bind(id.job().as_i64())
            .bind(id.as_uuid())
            .fetch_one(&self.view)
            .await
            .map_err(self.failed(OPERATION))?;
        Ok(story(live, reports, progress, rows::links(&links)?))
    }

    async fn trigger(&self, tenant: &TenantId, job: &JobName, beside: bool) -> StoreResult<Option<CorrelationId>> {
        const OPERATION: &str = "trigger the job";
        loop {
            let found = sqlx::query(sql!("runs/job_key"))
                .bind(tenant.as_str())
                .bind(job.as_str())
                .fetch_optional(&self.work)
                .await
                .map_err(self.failed(OPERATION))?;
            let Some(row) = found else { return Ok(None) };
            let (key, now): (i64, i64) = (rows::get(&row, 0)?, rows::get(&row, 1)?);
            let id = CorrelationId::new(at(now), RunKind::unscheduled(rand::random()), JobKey::from_i64(key));
            // Another trigger of the same millisecond may have drawn the same kind: then draw again.
            let taken: bool = sqlx::query_scalar(sql!("runs/id_taken"))
                .bind(key)
                .bind(id.as_uuid())
                .fetch_one(&self.work)
                .await
                .map_err(self.failed(OPERATION))?;
            if taken {
                continue;
            }
            let of_tenant = self.work.is_of_tenant();
            let written = sqlx::query(if of_tenant { sql!("runs/trigger_of_tenant") } else { sql!("runs/trigger") })
                .bind(id.as_uuid())
                .bind(key)
                .bind(now)
                .bind(beside)
                .execute(&self.work)
                .await
                .map_err(self.failed(OPERATION))?
                .rows_affected();
            if written > 0 {
                self.hint().await;
                return Ok(Some(id));
            }
        }
    }

    async fn enqueue(&self, request: &Enqueue) -> StoreResult<Option<CorrelationId>> {
        enqueue_on_postgres(&self.work, request).await
    }

    async fn backfill(&self, key: JobKey, due: &[Timestamp], pause: Duration) -> StoreResult<Option<u64>> {
        let ids: Vec<_> = due.iter().map(|due| CorrelationId::new(*due, RunKind::BACKFILL, key).as_uuid()).collect();
        let times: Vec<_> = due.iter().map(|due| due.as_microsecond()).collect();
        let row = self
            .settled(|| async {
                sqlx::query(sql!("runs/backfill"))
                    .bind(key.as_i64())
                    .bind(&ids)
                    .bind(&times)
                    .bind(us(pause))
                    .fetch_one(&self.work)
                    .await
                    .map_err(self.failed("backfill the job"))
            })
            .await?;
        if rows::get::<i64>(&row, 0)? == 0 {
            return Ok(None);
        }
        self.hint().await;
        Ok(Some(rows::get::<i64>(&row, 1)?.unsigned_abs()))
    }

    async fn history(
        &self,
        tenant: &TenantId,
        job: &JobName,
        from: Timestamp,
        to: Timestamp,
    ) -> StoreResult<Option<JobHistory>> {
        let failed = self.failed("read the history of the job");
        // One snapshot for all of it: a run that ends meanwhile is seen once.
        let mut read =
            self.view.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await.map_err(&failed)?;
        let found = sqlx::query(sql!("runs/history_job"))
            .bind(tenant.as_str())
            .bind(job.as_str())
            .fetch_optional(&mut *read)
            .await
            .map_err(&failed)?;
        let Some(row) = found else { return Ok(None) };
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
        read.commit().await.map_err(&failed)?;
        rows::history(&row, rows::get(&row, 7)?, (&versions, &reports, &live)).map(Some)
    }

    async fn cancel(&self, id: CorrelationId) -> StoreResult<Cancelled> {
        const OPERATION: &str = "cancel the run";
        let key = id.job().as_i64();
        for _ in 0..CANCEL_PASSES {
            let requested = sqlx::query(sql!("runs/request_cancel"))
                .bind(id.as_uuid())
                .execute(&self.work)
                .await
                .map_err(self.failed(OPERATION))?
                .rows_affected();
            if requested > 0 {
                // What its executor hands over from now on is ended by the rescuer; what it has handed over ends here.
                let ended = self.cancel_open(id).await?;
                return Ok(if ended { Cancelled::Ended } else { Cancelled::Requested });
            }
            let ended = self.cancel_waiting(key, id.as_uuid(), crate::CANCELLED_ON_REQUEST).await?;
            if ended > 0 {
                if self.promote(&[key]).await? > 0 {
                    self.hint().await;
                }
                return Ok(Cancelled::Ended);
            }
        }
        let reported: bool = sqlx::query_scalar(sql!("runs/was_reported"))
            .bind(key)
            .bind(id.as_uuid())
            .fetch_one(&self.work)
            .await
            .map_err(self.failed(OPERATION))?;
        Ok(if reported { Cancelled::AlreadyEnded } else { Cancelled::NotFound })
    }
}

impl PgStore {
    /// Ends a run that waits, in line or for its retry. Answers how many there were.
    pub(super) async fn cancel_waiting(&self, key: i64, id: Uuid, error: &str) -> StoreResult<u64> {
        self.settled(|| async {
            let ended: i64 = sqlx::query_scalar(sql!("runs/cancel_waiting"))
                .bind(key)
                .bind(id)
                .bind(error)
                .fetch_one(&self.work)
                .await
                .map_err(self.failed("cancel the run"))?;
            Ok(ended.unsigned_abs())
        })
        .await
    }
}
