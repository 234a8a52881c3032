//! Due times, fan-out, rescue and retention: what the leader writes, each statement under its term.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use leasehold_common::definition::DefinitionId;
use leasehold_common::id::{CorrelationId, JobKey, RunKind};
use leasehold_common::lease::Term;
use leasehold_common::run::Outcome;
use leasehold_common::store::{
    Dispatched, DueBatch, DueSet, Fanned, Launch, Pruned, Rescued, Schedules, Skipped, StoreResult, Swept,
};
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::{PgStore, int, rows};
use crate::clock::us;

/// Of how many jobs one call of the rescuer lets go what waits.
const PROMOTE_JOBS: i64 = 10_000;

#[async_trait]
impl Schedules for PgStore {
    async fn due(&self, set: DueSet, within: Duration, limit: u32) -> StoreResult<DueBatch> {
        let rows = self
            .settled(|| async {
                sqlx::query(sql!("schedules/due"))
                    .bind(i64::from(limit) + 1)
                    .bind(set == DueSet::Late)
                    .fetch_all(&self.work)
                    .await
                    .map_err(self.failed("look for due jobs"))
            })
            .await?;
        let now: i64 = rows.first().map_or(Ok(0), |row| rows::get(row, 9))?;
        let mut jobs = Vec::with_capacity(rows.len());
        for row in &rows {
            // Only the clock is there if nothing has a due time.
            if rows::get::<Option<i64>>(row, 0)?.is_some() {
                jobs.push(rows::due_job(row)?);
            }
        }
        Ok(crate::due_batch(jobs, now, within, limit))
    }

    async fn dispatch(&self, term: &Term, launches: &[Launch]) -> StoreResult<Dispatched> {
        let batch = Batch::of(launches);
        let Some(fanned) = self.settled(|| self.dispatch_once(term, &batch)).await? else {
            return Ok(Dispatched::StaleTerm);
        };
        if fanned.items > 0 && batch.is_due_within(crate::HINT_WITHIN_US) {
            self.hint().await;
        }
        Ok(Dispatched::Done(fanned))
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

    async fn sweep(&self, term: &Term, limit: u32) -> StoreResult<Swept> {
        self.settled(|| async {
            let row = sqlx::query(sql!("schedules/sweep"))
                .bind(term.holder)
                .bind(term.epoch)
                .bind(i64::from(limit))
                .bind([crate::dismissal_reason(Outcome::Misfired), crate::dismissal_reason(Outcome::Expired)])
                .fetch_one(&self.work)
                .await
                .map_err(self.failed("end what was missed"))?;
            if !rows::get::<bool>(&row, 0)? {
                return Ok(Swept::StaleTerm);
            }
            Ok(Swept::Done { misfired: count(&row, 1)?, expired: count(&row, 2)?, seen: count(&row, 3)? })
        })
        .await
    }

    async fn rescue(&self, term: &Term, limit: u32) -> StoreResult<Rescued> {
        let row = self
            .settled(|| async {
                sqlx::query(sql!("schedules/rescue"))
                    .bind(term.holder)
                    .bind(term.epoch)
                    .bind(i64::from(limit))
                    .bind(crate::LOST_EXECUTOR)
                    .bind(crate::LOST)
                    .bind(crate::fingerprint(Some(crate::LOST), crate::LOST_EXECUTOR))
                    .bind(crate::NOT_REPORTED)
                    .bind(crate::TIMEOUT)
                    .bind(crate::fingerprint(Some(crate::TIMEOUT), crate::NOT_REPORTED))
                    .fetch_one(&self.work)
                    .await
                    .map_err(self.failed("rescue lost runs"))
            })
            .await?;
        if !rows::get::<bool>(&row, 0)? {
            return Ok(Rescued::StaleTerm);
        }
        let (requeued, dead) = (count(&row, 1)?, count(&row, 2)?);
        self.pause_failing(&rows::get::<Vec<i64>>(&row, 3)?).await?;
        let mut promoted = match rows::get::<Option<bool>>(&row, 4)? {
            Some(true) => self.promote_all().await?,
            _ => 0,
        };
        promoted += self.wake_all().await?;
        if requeued + promoted > 0 {
            self.hint().await;
        }
        Ok(Rescued::Done { requeued, dead })
    }

    async fn prune(&self, term: &Term, keep: Duration, limit: u32) -> StoreResult<Pruned> {
        const OPERATION: &str = "prune old reports";
        sqlx::query(sql!("schedules/mark_pruned"))
            .bind(us(keep))
            .execute(&self.work)
            .await
            .map_err(self.failed(OPERATION))?;
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
            for statement in [sql!("schedules/prune_enqueued"), sql!("schedules/prune_once")] {
                sqlx::query(statement)
                    .bind(us(keep))
                    .bind(i64::from(limit))
                    .execute(&self.work)
                    .await
                    .map_err(self.failed(OPERATION))?;
            }
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

    /// `None`: the term has ended.
    async fn dispatch_once(&self, term: &Term, batch: &Batch) -> StoreResult<Option<Fanned>> {
        let row = sqlx::query(sql!("schedules/dispatch"))
            .bind(term.holder)
            .bind(term.epoch)
            .bind(&batch.keys)
            .bind(&batch.versions)
            .bind(&batch.expected)
            .bind(&batch.last)
            .bind(&batch.next)
            .bind(&batch.accounted)
            .bind(&batch.runs_left)
            .bind(&batch.over)
            .bind(&batch.catch_up)
            .bind(&batch.items.ids)
            .bind(&batch.items.keys)
            .bind(&batch.items.due)
            .bind(&batch.items.not_before)
            .bind(&batch.items.misfire_at)
            .bind(&batch.items.expires_at)
            .bind(&batch.skipped.ids)
            .bind(&batch.skipped.keys)
            .bind(&batch.skipped.last)
            .bind(&batch.skipped.first)
            .bind(&batch.skipped.counts)
            .bind(&batch.skipped.outcomes)
            .bind(&batch.skipped.errors)
            .fetch_one(&self.work)
            .await
            .map_err(self.failed("dispatch due jobs"))?;
        if !rows::get::<bool>(&row, 0)? {
            return Ok(None);
        }
        Ok(Some(Fanned {
            jobs: count(&row, 1)?,
            items: count(&row, 2)?,
            misfired: count(&row, 3)?,
            paused: count(&row, 4)?,
            blacked_out: count(&row, 5)?,
            gated: count(&row, 6)?,
        }))
    }

    /// Pauses those of the jobs whose latest runs were all dead.
    pub(super) async fn pause_failing(&self, keys: &[i64]) -> StoreResult<()> {
        if keys.is_empty() {
            return Ok(());
        }
        let paused = sqlx::query(sql!("queue/pause_failing"))
            .bind(keys)
            .execute(&self.work)
            .await
            .map_err(self.failed("pause failing jobs"))?
            .rows_affected();
        if paused > 0 {
            tracing::warn!(jobs = paused, "jobs paused themselves after too many dead runs in a row");
        }
        Ok(())
    }

    /// Lets go what waits for a run of these jobs that is over. Answers how many items.
    pub(super) async fn promote(&self, keys: &[i64]) -> StoreResult<u64> {
        self.settled(|| async {
            let promoted = sqlx::query(sql!("queue/promote")).bind(keys).execute(&self.work).await;
            Ok(promoted.map_err(self.failed("let waiting items go"))?.rows_affected())
        })
        .await
    }

    /// The same for all jobs of which nothing is in line: a piece of them, and if there are more, another one from
    /// somewhere, so that each is reached in a few calls, however many there are.
    async fn promote_all(&self) -> StoreResult<u64> {
        let (mut promoted, seen) = self.promote_from(0).await?;
        if seen >= PROMOTE_JOBS.unsigned_abs() {
            promoted += self.promote_from(rand::random_range(0..=i64::MAX >> 1)).await?.0;
        }
        Ok(promoted)
    }

    /// How many items go, and how many jobs were looked at.
    async fn promote_from(&self, key: i64) -> StoreResult<(u64, u64)> {
        self.settled(|| async {
            let row = sqlx::query(sql!("queue/promote_all"))
                .bind(key)
                .bind(PROMOTE_JOBS)
                .fetch_one(&self.work)
                .await
                .map_err(self.failed("let waiting items go"))?;
            Ok((count(&row, 0)?, count(&row, 1)?))
        })
        .await
    }
}

/// A count that a statement answers.
fn count(row: &PgRow, index: usize) -> StoreResult<u64> {
    Ok(rows::get::<i64>(row, index)?.unsigned_abs())
}

/// Launches as the parallel arrays of the statement.
#[derive(Default)]
struct Batch {
    keys: Vec<i64>,
    versions: Vec<i32>,
    expected: Vec<i64>,
    last: Vec<Option<i64>>,
    next: Vec<Option<i64>>,
    accounted: Vec<i64>,
    runs_left: Vec<Option<i32>>,
    over: Vec<bool>,
    catch_up: Vec<i16>,
    items: Items,
    skipped: SkippedRows,
}

#[derive(Default)]
struct Items {
    ids: Vec<Uuid>,
    keys: Vec<i64>,
    due: Vec<i64>,
    not_before: Vec<i64>,
    misfire_at: Vec<Option<i64>>,
    expires_at: Vec<Option<i64>>,
}

/// Rows of due times that do not run, as the parallel arrays of the statements that write them.
#[derive(Default)]
pub(super) struct SkippedRows {
    pub(super) ids: Vec<Uuid>,
    pub(super) keys: Vec<i64>,
    pub(super) last: Vec<i64>,
    pub(super) first: Vec<Option<i64>>,
    pub(super) counts: Vec<i32>,
    pub(super) outcomes: Vec<i16>,
    pub(super) errors: Vec<&'static str>,
}

impl SkippedRows {
    pub(super) fn push(&mut self, key: JobKey, row: &Skipped) {
        self.ids.push(CorrelationId::new(row.last, RunKind::SCHEDULED, key).as_uuid());
        self.keys.push(key.as_i64());
        self.last.push(row.last.as_microsecond());
        self.first.push((row.count > 1).then(|| row.first.as_microsecond()));
        self.counts.push(int(row.count));
        self.outcomes.push(row.outcome.code());
        self.errors.push(crate::skip_reason(row.outcome));
    }
}

impl Batch {
    fn of(launches: &[Launch]) -> Self {
        let us = |at: Timestamp| at.as_microsecond();
        let mut batch = Self::default();
        // Jobs are locked in the order of their keys, as by everybody who locks several.
        let mut launches: Vec<_> = launches.iter().collect();
        launches.sort_unstable_by_key(|launch| launch.key);
        for launch in launches {
            batch.keys.push(launch.key.as_i64());
            batch.versions.push(launch.version);
            batch.expected.push(us(launch.expected));
            batch.last.push(launch.items.last().map(|item| us(item.due)));
            batch.next.push(launch.next.map(us));
            batch.accounted.push(us(launch.accounted));
            batch.runs_left.push(launch.runs_left.map(int));
            batch.over.push(launch.over);
            batch.catch_up.push(launch.catch_up);
            for item in &launch.items {
                batch.items.ids.push(CorrelationId::new(item.due, RunKind::SCHEDULED, launch.key).as_uuid());
                batch.items.keys.push(launch.key.as_i64());
                batch.items.due.push(us(item.due));
                batch.items.not_before.push(us(item.not_before));
                batch.items.misfire_at.push(item.misfire_at.map(us));
                batch.items.expires_at.push(item.expires_at.map(us));
            }
            launch.skipped.iter().for_each(|row| batch.skipped.push(launch.key, row));
        }
        batch
    }

    /// Whether an item is due so soon that sleeping executors should hear of it. By this machine's clock: a wrong
    /// answer costs a needless hint or one poll interval.
    fn is_due_within(&self, us: i64) -> bool {
        let soon = Timestamp::now().as_microsecond().saturating_add(us);
        self.items.not_before.iter().any(|due| *due <= soon)
    }
}
