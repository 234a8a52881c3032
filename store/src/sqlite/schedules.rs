//! Due times, fan-out, rescue and retention: what the leader writes, each under its term.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use leasehold_common::definition::DefinitionId;
use leasehold_common::id::{CorrelationId, JobKey, RunKind};
use leasehold_common::lease::Term;
use leasehold_common::run::Outcome;
use leasehold_common::store::{
    Dispatched, DueBatch, DueSet, Fanned, Item, Launch, Pruned, Rescued, Schedules, Skipped, StoreResult, Swept,
};
use sqlx::sqlite::SqliteRow;
use sqlx::{Sqlite, Transaction};
use uuid::Uuid;

use super::endings::{Ending, drop_claims, end_or_requeue, record_skipped};
use super::lease::fenced;
use super::overlaps::promote_all;
use super::{SqliteStore, breakers, gates, rows};
use crate::LATE_US;
use crate::clock::us;
use crate::error::failed;
use crate::json::{batch, hex};

#[async_trait]
impl Schedules for SqliteStore {
    async fn due(&self, set: DueSet, within: Duration, limit: u32) -> StoreResult<DueBatch> {
        let now = self.now();
        let late = now.saturating_sub(LATE_US);
        let (after, up_to) = match set {
            DueSet::OnTime => (late, i64::MAX),
            DueSet::Late => (i64::MIN, late),
        };
        let rows = sqlx::query(sql!("schedules/due"))
            .bind(after)
            .bind(up_to)
            .bind(i64::from(limit) + 1)
            .fetch_all(&self.read)
            .await
            .map_err(failed("look for due jobs"))?;
        let jobs = rows.iter().map(rows::due_job).collect::<StoreResult<_>>()?;
        Ok(crate::due_batch(jobs, now, within, limit))
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
        let advances: Vec<_> = launches.iter().map(advance_row).collect();
        let advanced: HashSet<i64> = sqlx::query_scalar(sql!("schedules/advance"))
            .bind(batch(&advances))
            .fetch_all(&mut *write)
            .await
            .map_err(failed(OPERATION))?
            .into_iter()
            .collect();
        let fan_out = FanOut::of(launches.iter().filter(|launch| advanced.contains(&launch.key.as_i64())), &fired);
        if !fan_out.items.is_empty() {
            sqlx::query(sql!("schedules/enqueue"))
                .bind(batch(&fan_out.items))
                .execute(&mut *write)
                .await
                .map_err(failed(OPERATION))?;
        }
        record_skipped(&mut write, fan_out.skipped.iter().copied(), crate::skip_reason, now).await?;
        write.commit().await.map_err(failed(OPERATION))?;
        if fan_out.items.iter().any(|item| item.3 <= now.saturating_add(crate::HINT_WITHIN_US)) {
            self.hint();
        }
        Ok(Dispatched::Done(fan_out.counts(advanced.len())))
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

    async fn sweep(&self, term: &Term, limit: u32) -> StoreResult<Swept> {
        self.sweep_late(term, limit).await
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
        let endings = lost_runs(&mut write, &claims, now).await?;
        let ended = end_or_requeue(&mut write, &endings, now).await?;
        drop_claims(&mut write, &claims).await?;
        let probing = breakers::probe(&mut write, now).await?;
        let woken = gates::wake_waiting(&mut write, now).await? + gates::wake_spent(&mut write, now).await?;
        let promoted = ended.promoted + promote_all(&mut write, now).await? + woken;
        if promoted + probing > 0 || !claims.is_empty() {
            write.commit().await.map_err(failed(OPERATION))?;
        }
        let is_dead = |e: &&Ending<'_>| e.retry_at.is_none() && ended.attempts.contains(&(e.id, e.attempt, e.claim));
        let dead = endings.iter().filter(is_dead).count() as u64;
        let requeued = ended.attempts.len() as u64 - dead;
        if requeued + promoted > 0 {
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
        let gone: Vec<Uuid> = sqlx::query_scalar(sql!("schedules/prune_reports"))
            .bind(now.saturating_sub(us(keep)))
            .bind(limit)
            .fetch_all(&mut *write)
            .await
            .map_err(failed(OPERATION))?;
        let reports = gone.len() as u64;
        if reports > 0 {
            let gone = batch(&gone.into_iter().map(hex).collect::<Vec<_>>());
            for statement in [sql!("schedules/prune_callbacks"), sql!("schedules/prune_progress")] {
                sqlx::query(statement).bind(&gone).execute(&mut *write).await.map_err(failed(OPERATION))?;
            }
            sqlx::query(sql!("schedules/mark_pruned"))
                .bind(now.saturating_sub(us(keep)))
                .execute(&mut *write)
                .await
                .map_err(failed(OPERATION))?;
        }
        sqlx::query(sql!("schedules/prune_executors"))
            .bind(now.saturating_sub(crate::FORGET_EXECUTOR_US))
            .execute(&mut *write)
            .await
            .map_err(failed(OPERATION))?;
        if reports < u64::from(limit) {
            // The last piece of a tick: once a tick is enough.
            prune_catalog(&mut write, limit).await?;
            for statement in [sql!("schedules/prune_enqueued"), sql!("schedules/prune_once")] {
                sqlx::query(statement)
                    .bind(now.saturating_sub(us(keep)))
                    .bind(limit)
                    .execute(&mut *write)
                    .await
                    .map_err(failed(OPERATION))?;
            }
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
        for statement in [
            sql!("schedules/prune_versions"),
            sql!("schedules/prune_tenants"),
            sql!("schedules/prune_definitions"),
            sql!("schedules/prune_gates"),
            sql!("schedules/prune_shares"),
        ] {
            sqlx::query(statement).execute(&mut **write).await.map_err(&failed)?;
        }
    }
    Ok(())
}

/// How the runs of these claims end, whose executors are gone.
async fn lost_runs(
    write: &mut Transaction<'static, Sqlite>,
    claims: &[Uuid],
    now: i64,
) -> StoreResult<Vec<Ending<'static>>> {
    if claims.is_empty() {
        return Ok(Vec::new());
    }
    let claims: Vec<_> = claims.iter().copied().map(hex).collect();
    let held = sqlx::query(sql!("queue/claimed_runs"))
        .bind(batch(&claims))
        .fetch_all(&mut **write)
        .await
        .map_err(failed("rescue lost runs"))?;
    held.iter().map(|row| lost_run(row, now)).collect()
}

/// id, claim, attempt, released, max attempts, cancel, open, wait until the retry of one that was open.
fn lost_run(row: &SqliteRow, now: i64) -> StoreResult<Ending<'static>> {
    let (attempt, released) = (rows::count(row, 2)?, rows::count(row, 3)?);
    let cancelled: bool = rows::get(row, 5)?;
    let (open, wait): (bool, Option<i64>) = (rows::get(row, 6)?, rows::get(row, 7)?);
    let left = !cancelled && attempt.saturating_sub(released) < rows::count(row, 4)? && (!open || wait.is_some());
    let (error, code) = match open {
        true => (crate::NOT_REPORTED, crate::TIMEOUT),
        false => (crate::LOST_EXECUTOR, crate::LOST),
    };
    Ok(Ending {
        id: rows::id(row, 0)?,
        claim: rows::get(row, 1)?,
        attempt,
        outcome: match (cancelled, left) {
            (true, _) => Outcome::Cancelled,
            (false, true) => Outcome::Failed,
            (false, false) => Outcome::Dead,
        },
        retry_at: left.then(|| now.saturating_add(wait.unwrap_or(0))),
        released: false,
        started_at: None,
        finished_at: now,
        error: Some(error),
        result: None,
        code: Some(code),
        fingerprint: Some(crate::fingerprint(Some(code), error)),
    })
}

/// id, key, due, not before, misfire at, expires at, catch-up.
type ItemRow = (String, i64, i64, i64, Option<i64>, Option<i64>, i16);

/// What launches that took effect write: due times that are later than any that fired before.
#[derive(Default)]
struct FanOut {
    items: Vec<ItemRow>,
    skipped: Vec<(JobKey, Skipped)>,
}

impl FanOut {
    fn of<'a>(launches: impl Iterator<Item = &'a Launch>, fired: &HashMap<i64, i64>) -> Self {
        let mut fan_out = Self::default();
        for launch in launches {
            let fired = fired.get(&launch.key.as_i64());
            let is_later = |due: Timestamp| fired.is_none_or(|fired| due.as_microsecond() > *fired);
            let items = launch.items.iter().filter(|item| is_later(item.due));
            fan_out.items.extend(items.map(|item| item_row(launch, item)));
            let skipped = launch.skipped.iter().filter(|row| is_later(row.last));
            fan_out.skipped.extend(skipped.map(|row| (launch.key, *row)));
        }
        fan_out
    }

    fn counts(&self, jobs: usize) -> Fanned {
        let sum = |outcome| {
            self.skipped.iter().filter(|(_, row)| row.outcome == outcome).map(|(_, row)| u64::from(row.count)).sum()
        };
        Fanned {
            jobs: jobs as u64,
            items: self.items.len() as u64,
            misfired: sum(Outcome::Misfired),
            paused: sum(Outcome::Paused),
            blacked_out: sum(Outcome::BlackedOut),
            gated: sum(Outcome::Gated),
        }
    }
}

fn item_row(launch: &Launch, item: &Item) -> ItemRow {
    (
        hex(CorrelationId::new(item.due, RunKind::SCHEDULED, launch.key).as_uuid()),
        launch.key.as_i64(),
        item.due.as_microsecond(),
        item.not_before.as_microsecond(),
        item.misfire_at.map(Timestamp::as_microsecond),
        item.expires_at.map(Timestamp::as_microsecond),
        launch.catch_up,
    )
}

/// key, version, expected, last due time queued, next, accounted, runs left, over.
type AdvanceRow = (i64, i32, i64, Option<i64>, Option<i64>, i64, Option<u32>, bool);

fn advance_row(launch: &Launch) -> AdvanceRow {
    (
        launch.key.as_i64(),
        launch.version,
        launch.expected.as_microsecond(),
        launch.items.iter().map(|item| item.due.as_microsecond()).max(),
        launch.next.map(Timestamp::as_microsecond),
        launch.accounted.as_microsecond(),
        launch.runs_left,
        launch.over,
    )
}
