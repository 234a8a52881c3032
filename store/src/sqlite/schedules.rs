//! Due times, fan-out, rescue and retention: what the leader writes, each under its term.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use leasehold_common::definition::DefinitionId;
use leasehold_common::id::{CorrelationId, RunKind};
use leasehold_common::lease::Term;
use leasehold_common::run::Outcome;
use leasehold_common::store::{Dispatched, DueBatch, DueJob, Launch, Pruned, Rescued, Schedules, StoreResult};
use sqlx::sqlite::SqliteRow;
use sqlx::{Sqlite, Transaction};
use uuid::Uuid;

use super::endings::{Ending, drop_claims, end_or_requeue};
use super::lease::fenced;
use super::{SqliteStore, rows};
use crate::clock::{at, span, us};
use crate::error::failed;
use crate::json::{batch, hex};

#[async_trait]
impl Schedules for SqliteStore {
    async fn due(&self, within: Duration, limit: u32) -> StoreResult<DueBatch> {
        let now = self.now();
        let horizon = now.saturating_add(us(within));
        let rows = sqlx::query(sql!("schedules/due"))
            .bind(i64::from(limit) + 1)
            .fetch_all(&self.read)
            .await
            .map_err(failed("look for due jobs"))?;
        let mut jobs = rows.iter().map(due_job).collect::<StoreResult<Vec<_>>>()?;
        let due = jobs.iter().take_while(|job| job.next_due.as_microsecond() <= horizon).count().min(limit as usize);
        let next_in = jobs.get(due).map(|job| span(horizon, job.next_due.as_microsecond()));
        jobs.truncate(due);
        Ok(DueBatch { now: at(now), jobs, next_in })
    }

    async fn dispatch(&self, term: &Term, launches: &[Launch]) -> StoreResult<Dispatched> {
        const OPERATION: &str = "dispatch due jobs";
        let mut write = self.begin(OPERATION).await?;
        let now = self.now();
        if !fenced(&mut write, term, now).await? {
            return Ok(Dispatched::StaleTerm);
        }
        let keys: Vec<_> = launches.iter().map(|launch| launch.key.as_i64()).collect();
        let fired: HashMap<i64, i64> = sqlx::query_as(sql!("schedules/watermarks"))
            .bind(batch(&keys))
            .fetch_all(&mut *write)
            .await
            .map_err(failed(OPERATION))?
            .into_iter()
            .collect();
        let advances: Vec<_> = launches.iter().filter_map(advance_row).collect();
        let advanced: HashSet<i64> = sqlx::query_scalar(sql!("schedules/advance"))
            .bind(batch(&advances))
            .fetch_all(&mut *write)
            .await
            .map_err(failed(OPERATION))?
            .into_iter()
            .collect();
        let current = || launches.iter().filter(|launch| advanced.contains(&launch.key.as_i64()));
        let rows = |times: fn(&Launch) -> &[Timestamp]| -> Vec<(String, i64, i64)> {
            current().flat_map(|launch| due_rows(launch, times(launch), fired.get(&launch.key.as_i64()))).collect()
        };

        let items = rows(|launch| &launch.due);
        sqlx::query(sql!("schedules/enqueue"))
            .bind(batch(&items))
            .execute(&mut *write)
            .await
            .map_err(failed(OPERATION))?;

        let misfired = rows(|launch| &launch.misfired);
        if !misfired.is_empty() {
            sqlx::query(sql!("schedules/misfire"))
                .bind(batch(&misfired))
                .bind(now)
                .bind(crate::MISFIRED_NO_LEADER)
                .execute(&mut *write)
                .await
                .map_err(failed(OPERATION))?;
        }
        write.commit().await.map_err(failed(OPERATION))?;
        if items.iter().any(|(_, _, due)| *due <= now.saturating_add(crate::HINT_WITHIN_US)) {
            self.hint();
        }
        Ok(Dispatched::Done { items: items.len() as u64, misfired: misfired.len() as u64 })
    }

    async fn definitions(&self, ids: &[DefinitionId]) -> StoreResult<Vec<(DefinitionId, String)>> {
        let ids: Vec<_> = ids.iter().map(|id| hex(id.as_uuid())).collect();
        let rows = sqlx::query(sql!("schedules/definitions"))
            .bind(batch(&ids))
            .fetch_all(&self.read)
            .await
            .map_err(failed("read definitions"))?;
        rows.iter().map(|row| Ok((rows::definition_id(row, 0)?, rows::get(row, 1)?))).collect()
    }

    async fn rescue(&self, term: &Term, limit: u32) -> StoreResult<Rescued> {
        const OPERATION: &str = "rescue lost runs";
        let mut write = self.begin(OPERATION).await?;
        let now = self.now();
        if !fenced(&mut write, term, now).await? {
            return Ok(Rescued::StaleTerm);
        }
        let claims: Vec<Uuid> = sqlx::query_scalar(sql!("schedules/expired_claims"))
            .bind(now)
            .bind(limit)
            .fetch_all(&mut *write)
            .await
            .map_err(failed(OPERATION))?;
        if claims.is_empty() {
            return Ok(Rescued::Done { requeued: 0, dead: 0 });
        }
        let hexes: Vec<_> = claims.iter().copied().map(hex).collect();
        let held = sqlx::query(sql!("queue/claimed_runs"))
            .bind(batch(&hexes))
            .fetch_all(&mut *write)
            .await
            .map_err(failed(OPERATION))?;
        let mut endings = Vec::with_capacity(held.len());
        for row in &held {
            let (attempt, released) = (rows::count(row, 2)?, rows::count(row, 3)?);
            let cancelled: bool = rows::get(row, 5)?;
            let left = !cancelled && attempt.saturating_sub(released) < rows::count(row, 4)?;
            endings.push(Ending {
                id: rows::id(row, 0)?,
                claim: rows::get(row, 1)?,
                attempt,
                outcome: match (cancelled, left) {
                    (true, _) => Outcome::Cancelled,
                    (false, true) => Outcome::Failed,
                    (false, false) => Outcome::Dead,
                },
                retry_at: left.then_some(now),
                released: false,
                started_at: None,
                finished_at: now,
                error: Some(crate::LOST_EXECUTOR),
                result: None,
            });
        }
        let ended = end_or_requeue(&mut write, &endings, now).await?;
        drop_claims(&mut write, &claims).await?;
        write.commit().await.map_err(failed(OPERATION))?;
        let dead =
            endings.iter().filter(|e| e.retry_at.is_none() && ended.contains(&(e.id, e.attempt, e.claim))).count()
                as u64;
        let requeued = ended.len() as u64 - dead;
        if requeued > 0 {
            self.hint();
        }
        Ok(Rescued::Done { requeued, dead })
    }

    async fn prune(&self, term: &Term, keep: Duration, limit: u32) -> StoreResult<Pruned> {
        const OPERATION: &str = "prune old reports";
        let mut write = self.begin(OPERATION).await?;
        let now = self.now();
        if !fenced(&mut write, term, now).await? {
            return Ok(Pruned::StaleTerm);
        }
        let reports = sqlx::query(sql!("schedules/prune_reports"))
            .bind(now.saturating_sub(us(keep)))
            .bind(limit)
            .execute(&mut *write)
            .await
            .map_err(failed(OPERATION))?
            .rows_affected();
        sqlx::query(sql!("schedules/prune_executors"))
            .bind(now.saturating_sub(crate::FORGET_EXECUTOR_US))
            .execute(&mut *write)
            .await
            .map_err(failed(OPERATION))?;
        if reports < u64::from(limit) {
            // The last piece of a tick: once a tick is enough.
            prune_catalog(&mut write, limit).await?;
        }
        write.commit().await.map_err(failed(OPERATION))?;
        Ok(Pruned::Done { reports })
    }
}

/// Deletes removed jobs that have no history left, and what nothing refers to after that.
async fn prune_catalog(write: &mut Transaction<'static, Sqlite>, limit: u32) -> StoreResult<()> {
    let failed = failed("prune the catalog");
    let jobs = sqlx::query(sql!("schedules/prune_jobs")).bind(limit).execute(&mut **write).await.map_err(&failed)?;
    if jobs.rows_affected() > 0 {
        for statement in
            [sql!("schedules/prune_versions"), sql!("schedules/prune_tenants"), sql!("schedules/prune_definitions")]
        {
            sqlx::query(statement).execute(&mut **write).await.map_err(&failed)?;
        }
    }
    Ok(())
}

/// key, version, definition, next due.
fn due_job(row: &SqliteRow) -> StoreResult<DueJob> {
    Ok(DueJob {
        key: rows::key(row, 0)?,
        version: rows::get(row, 1)?,
        definition: rows::definition_id(row, 2)?,
        next_due: rows::at(row, 3)?,
    })
}

/// id, key, due of those due times that are later than any that fired before.
fn due_rows<'a>(
    launch: &'a Launch,
    times: &'a [Timestamp],
    fired: Option<&'a i64>,
) -> impl Iterator<Item = (String, i64, i64)> + 'a {
    let later = times.iter().filter(move |due| fired.is_none_or(|fired| due.as_microsecond() > *fired));
    later.map(|due| {
        let id = CorrelationId::new(*due, RunKind::SCHEDULED, launch.key);
        (hex(id.as_uuid()), launch.key.as_i64(), due.as_microsecond())
    })
}

/// key, version, expected, last due, next. A launch without a due time has nothing to say.
fn advance_row(launch: &Launch) -> Option<(i64, i32, i64, i64, Option<i64>)> {
    let times = launch.misfired.iter().chain(&launch.due).map(|due| due.as_microsecond());
    Some((
        launch.key.as_i64(),
        launch.version,
        launch.expected.as_microsecond(),
        times.max()?,
        launch.next.map(|next| next.as_microsecond()),
    ))
}
