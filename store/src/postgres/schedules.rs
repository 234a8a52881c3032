//! Due times, fan-out, rescue and retention: what the leader writes, each statement under its term.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use leasehold_common::definition::DefinitionId;
use leasehold_common::id::{CorrelationId, JobKey, RunKind};
use leasehold_common::lease::Term;
use leasehold_common::store::{Dispatched, DueBatch, DueJob, Launch, Pruned, Rescued, Schedules, StoreResult};
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::{PgStore, rows};
use crate::clock::{at, span, us};

#[async_trait]
impl Schedules for PgStore {
    async fn due(&self, within: Duration, limit: u32) -> StoreResult<DueBatch> {
        let rows = self
            .settled(|| async {
                sqlx::query(sql!("schedules/due"))
                    .bind(i64::from(limit) + 1)
                    .fetch_all(&self.work)
                    .await
                    .map_err(self.failed("look for due jobs"))
            })
            .await?;
        let now: i64 = rows.first().map_or(Ok(0), |row| rows::get(row, 0))?;
        let horizon = now.saturating_add(us(within));
        let mut jobs = rows.iter().filter_map(|row| due_job(row).transpose()).collect::<StoreResult<Vec<_>>>()?;
        let due = jobs.iter().take_while(|job| job.next_due.as_microsecond() <= horizon).count().min(limit as usize);
        let next_in = jobs.get(due).map(|job| span(horizon, job.next_due.as_microsecond()));
        jobs.truncate(due);
        Ok(DueBatch { now: at(now), jobs, next_in })
    }

    async fn dispatch(&self, term: &Term, launches: &[Launch]) -> StoreResult<Dispatched> {
        let batch = Batch::of(launches);
        let (stands, items, misfired) = self.settled(|| self.dispatch_once(term, &batch)).await?;
        if !stands {
            return Ok(Dispatched::StaleTerm);
        }
        if items > 0 && batch.is_due_within(crate::HINT_WITHIN_US) {
            self.hint().await;
        }
        Ok(Dispatched::Done { items, misfired })
    }

    async fn definitions(&self, ids: &[DefinitionId]) -> StoreResult<Vec<(DefinitionId, String)>> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
        let rows = self
            .settled(|| async {
                sqlx::query(sql!("schedules/definitions"))
                    .bind(&ids)
                    .fetch_all(&self.work)
                    .await
                    .map_err(self.failed("read definitions"))
            })
            .await?;
        rows.iter().map(|row| Ok((rows::definition_id(row, 0)?, rows::get(row, 1)?))).collect()
    }

    async fn rescue(&self, term: &Term, limit: u32) -> StoreResult<Rescued> {
        let (stands, requeued, dead) = self
            .settled(|| async {
                let row = sqlx::query(sql!("schedules/rescue"))
                    .bind(term.holder)
                    .bind(term.epoch)
                    .bind(i64::from(limit))
                    .bind(crate::LOST_EXECUTOR)
                    .fetch_one(&self.work)
                    .await
                    .map_err(self.failed("rescue lost runs"))?;
                counts(&row)
            })
            .await?;
        if requeued > 0 {
            self.hint().await;
        }
        Ok(if stands { Rescued::Done { requeued, dead } } else { Rescued::StaleTerm })
    }

    async fn prune(&self, term: &Term, keep: Duration, limit: u32) -> StoreResult<Pruned> {
        const OPERATION: &str = "prune old reports";
        let row = sqlx::query(sql!("schedules/prune"))
            .bind(term.holder)
            .bind(term.epoch)
            .bind(us(keep))
            .bind(i64::from(limit))
            .bind(crate::FORGET_EXECUTOR_US)
            .fetch_one(&self.work)
            .await
            .map_err(self.failed(OPERATION))?;
        if !rows::get::<bool>(&row, 0)? {
            return Ok(Pruned::StaleTerm);
        }
        let reports: i64 = rows::get(&row, 1)?;
        if reports.unsigned_abs() < u64::from(limit) {
            // The last piece of a tick: once a tick is enough.
            self.settled(|| self.prune_catalog(term, limit)).await?;
        }
        Ok(Pruned::Done { reports: reports.unsigned_abs() })
    }
}

impl PgStore {
    /// Deletes removed jobs that have no history left, and what nothing refers to after that.
    async fn prune_catalog(&self, term: &Term, limit: u32) -> StoreResult<()> {
        let failed = self.failed("prune the catalog");
        let mut write = self.work.begin().await.map_err(&failed)?;
        sqlx::query(sql!("schedules/lock_catalog")).execute(&mut *write).await.map_err(&failed)?;
        let jobs: i64 = sqlx::query_scalar(sql!("schedules/prune_catalog"))
            .bind(term.holder)
            .bind(term.epoch)
            .bind(i64::from(limit))
            .fetch_one(&mut *write)
            .await
            .map_err(&failed)?;
        if jobs > 0 {
            for statement in [sql!("schedules/prune_tenants"), sql!("schedules/prune_definitions")] {
                sqlx::query(statement).execute(&mut *write).await.map_err(&failed)?;
            }
        }
        write.commit().await.map_err(&failed)
    }

    async fn dispatch_once(&self, term: &Term, batch: &Batch) -> StoreResult<(bool, u64, u64)> {
        let row = sqlx::query(sql!("schedules/dispatch"))
            .bind(term.holder)
            .bind(term.epoch)
            .bind(&batch.keys)
            .bind(&batch.versions)
            .bind(&batch.expected)
            .bind(&batch.last)
            .bind(&batch.next)
            .bind(&batch.due.ids)
            .bind(&batch.due.keys)
            .bind(&batch.due.at)
            .bind(&batch.misfired.ids)
            .bind(&batch.misfired.keys)
            .bind(&batch.misfired.at)
            .bind(crate::MISFIRED_NO_LEADER)
            .fetch_one(&self.work)
            .await
            .map_err(self.failed("dispatch due jobs"))?;
        counts(&row)
    }
}

/// Whether the term stood, and two counts.
fn counts(row: &PgRow) -> StoreResult<(bool, u64, u64)> {
    let count = |index| Ok(rows::get::<i64>(row, index)?.unsigned_abs());
    Ok((rows::get(row, 0)?, count(1)?, count(2)?))
}

/// now, key, version, definition, next due; only the clock if nothing has a due time.
fn due_job(row: &PgRow) -> StoreResult<Option<DueJob>> {
    let Some(key) = rows::get::<Option<i64>>(row, 1)? else { return Ok(None) };
    Ok(Some(DueJob {
        key: JobKey::from_i64(key),
        version: rows::get(row, 2)?,
        definition: rows::definition_id(row, 3)?,
        next_due: rows::at(row, 4)?,
    }))
}

/// Launches as the parallel arrays of the statement.
#[derive(Default)]
struct Batch {
    keys: Vec<i64>,
    versions: Vec<i32>,
    expected: Vec<i64>,
    last: Vec<i64>,
    next: Vec<Option<i64>>,
    due: DueTimes,
    misfired: DueTimes,
}

#[derive(Default)]
struct DueTimes {
    ids: Vec<Uuid>,
    keys: Vec<i64>,
    at: Vec<i64>,
}

impl DueTimes {
    fn extend(&mut self, launch: &Launch, times: &[Timestamp]) {
        for due in times {
            self.ids.push(CorrelationId::new(*due, RunKind::SCHEDULED, launch.key).as_uuid());
            self.keys.push(launch.key.as_i64());
            self.at.push(due.as_microsecond());
        }
    }
}

impl Batch {
    /// A launch without a due time has nothing to say and is left out.
    fn of(launches: &[Launch]) -> Self {
        let mut batch = Self::default();
        for launch in launches {
            let times = launch.misfired.iter().chain(&launch.due).map(|due| due.as_microsecond());
            let Some(last) = times.max() else { continue };
            batch.keys.push(launch.key.as_i64());
            batch.versions.push(launch.version);
            batch.expected.push(launch.expected.as_microsecond());
            batch.last.push(last);
            batch.next.push(launch.next.map(|next| next.as_microsecond()));
            batch.due.extend(launch, &launch.due);
            batch.misfired.extend(launch, &launch.misfired);
        }
        batch
    }

    /// Whether an item is due so soon that sleeping executors should hear of it. By this machine's clock: a wrong
    /// answer costs a needless hint or one poll interval.
    fn is_due_within(&self, us: i64) -> bool {
        let soon = Timestamp::now().as_microsecond().saturating_add(us);
        self.due.at.iter().any(|due| *due <= soon)
    }
}
