//! How runs end: the writes that settle, rescue, claim, cancel and apply share. Each runs inside its caller's
//! transaction; a run that ends is reported and gives its job the interval token back in one place (invariants I7, I9).

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};

use leasehold_common::definition::Overlap;
use leasehold_common::id::{CorrelationId, JobKey, RunKind, TenantId};
use leasehold_common::run::{Cause, Outcome};
use leasehold_common::store::{AttemptReport, ClaimId, Skipped, StoreResult, Verdict};
use sqlx::sqlite::SqliteRow;
use sqlx::{Sqlite, Transaction};
use uuid::Uuid;

use super::overlaps::promote;
use super::pauses::pause_failing;
use super::{gates, rows};
use crate::clock::us;
use crate::error::failed;
use crate::json::{batch, hex};

/// A run that ends without this attempt having started.
pub(super) struct Unstarted {
    pub(super) id: CorrelationId,
    pub(super) key: i64,
    pub(super) tenant: TenantId,
    pub(super) cause: Cause,
    pub(super) due: i64,
    pub(super) attempt: u32,
    pub(super) outcome: Outcome,
    /// Whether its item held the interval token: the job's interval starts again now.
    pub(super) token: bool,
    pub(super) error: &'static str,
}

impl Unstarted {
    /// key, id, tenant, cause, due, attempt, token.
    pub(super) fn read(row: &SqliteRow, outcome: Outcome, error: &'static str) -> StoreResult<Self> {
        Ok(Self {
            key: rows::get(row, 0)?,
            id: rows::id(row, 1)?,
            tenant: rows::name::<TenantId>(row, 2)?,
            cause: rows::cause(row, 3)?,
            due: rows::get(row, 4)?,
            attempt: rows::count(row, 5)?,
            outcome,
            token: rows::get::<Option<i64>>(row, 6)?.is_some(),
            error,
        })
    }
}

/// Reports runs that end without having started (again), and gives their jobs the next due time. What waits for such a
/// run may go: answers how many items do.
pub(super) async fn record_unstarted(
    write: &mut Transaction<'static, Sqlite>,
    runs: &[Unstarted],
    now: i64,
) -> StoreResult<u64> {
    const OPERATION: &str = "record runs that did not start";
    if runs.is_empty() {
        return Ok(0);
    }
    let waiting: Vec<_> = runs.iter().filter(|run| run.attempt > 0).map(|run| hex(run.id.as_uuid())).collect();
    let mut rearmed: Vec<i64> = runs.iter().filter(|run| run.token).map(|run| run.key).collect();
    if !waiting.is_empty() {
        let ended: Vec<(i64, Option<i64>)> = sqlx::query_as(sql!("queue/end_unclaimed"))
            .bind(batch(&waiting))
            .fetch_all(&mut **write)
            .await
            .map_err(failed(OPERATION))?;
        rearmed.extend(ended.iter().filter(|(_, token)| token.is_some()).map(|(key, _)| key));
    }
    let reports: Vec<ReportRow> = runs
        .iter()
        .map(|run| ReportRow {
            id: run.id,
            key: run.key,
            tenant: run.tenant.as_str().to_owned(),
            cause: run.cause.code(),
            due: run.due,
            attempt: run.attempt,
            outcome: run.outcome.code(),
            next_attempt_at: None,
            started_at: None,
            finished_at: now,
            executor: None,
            error: Some(run.error.to_owned()),
            result: None,
            code: (run.outcome == Outcome::Dead).then(|| crate::NO_ATTEMPT_LEFT.to_owned()),
            fingerprint: (run.outcome == Outcome::Dead).then(crate::no_attempt_left),
        })
        .collect();
    insert_reports(write, &reports).await?;
    rearm(write, rearmed, now).await?;
    let keys: Vec<i64> = runs.iter().map(|run| run.key).collect();
    promote(write, &keys, now).await
}

/// Reports due times of jobs that do not run. Those in a row that end alike are one report.
pub(super) async fn record_skipped(
    write: &mut Transaction<'static, Sqlite>,
    skipped: impl Iterator<Item = (JobKey, Skipped)>,
    reason: fn(Outcome) -> &'static str,
    now: i64,
) -> StoreResult<()> {
    let rows: Vec<_> = skipped
        .map(|(key, row)| {
            let id = CorrelationId::new(row.last, RunKind::SCHEDULED, key);
            let first = (row.count > 1).then(|| row.first.as_microsecond());
            let (last, outcome) = (row.last.as_microsecond(), row.outcome);
            (hex(id.as_uuid()), key.as_i64(), last, first, row.count, outcome.code(), reason(outcome))
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(sql!("schedules/report_skipped"))
        .bind(batch(&rows))
        .bind(now)
        .execute(&mut **write)
        .await
        .map_err(failed("record due times that do not run"))?;
    Ok(())
}

/// How one attempt ended, with all instants on the store's clock.
pub(super) struct Ending<'a> {
    pub(super) id: CorrelationId,
    pub(super) claim: ClaimId,
    pub(super) attempt: u32,
    pub(super) outcome: Outcome,
    pub(super) retry_at: Option<i64>,
    /// Whether the attempt was given back and does not count.
    pub(super) released: bool,
    /// `None`: when it was claimed.
    pub(super) started_at: Option<i64>,
    pub(super) finished_at: i64,
    pub(super) error: Option<&'a str>,
    pub(super) result: Option<&'a str>,
    pub(super) code: Option<&'a str>,
    /// Of a run that is dead.
    pub(super) fingerprint: Option<i64>,
}

impl<'a> Ending<'a> {
    pub(super) fn of(report: &'a AttemptReport, now: i64) -> Self {
        let finished_at = now.saturating_sub(us(report.ended_ago));
        let (outcome, retry_at) = match report.verdict {
            Verdict::Succeeded => (Outcome::Succeeded, None),
            Verdict::Retry(wait) => (Outcome::Failed, Some(now.saturating_add(us(wait)))),
            Verdict::Dead => (Outcome::Dead, None),
            Verdict::Cancelled => (Outcome::Cancelled, None),
            Verdict::Released => (Outcome::Failed, Some(now)),
        };
        Self {
            id: report.id,
            claim: report.claim,
            attempt: report.attempt,
            outcome,
            retry_at,
            released: report.verdict == Verdict::Released,
            started_at: Some(finished_at.saturating_sub(us(report.duration))),
            finished_at,
            error: report.error.as_deref(),
            result: report.result.as_deref(),
            code: report.code.as_deref(),
            fingerprint: crate::fingerprint_of(report, outcome),
        }
    }
}

/// An attempt of a run, by its token. A batch may hold an old one, by a claim that was lost, beside the current one.
type Attempt = (CorrelationId, u32, ClaimId);

/// What ended.
#[derive(Default)]
pub(super) struct Ended {
    /// The attempts that were guarded rightly; whatever is missing here was stale (invariants I6, I7).
    pub(super) attempts: HashSet<Attempt>,
    /// Jobs with a run that is over and that others may have waited for.
    freed: Vec<i64>,
    /// Jobs with a scheduled run that died.
    failed: Vec<i64>,
    /// How many items waited for a run that is over, or for its room under a limit, and may go now.
    pub(super) promoted: u64,
    /// Gates that runs held, and how many of each.
    held: BTreeMap<i64, u32>,
}

/// Ends attempts: those that are guarded rightly leave `running` or go back into the queue, and are reported. What
/// waits for a run that is over may go, and a job that fails too often pauses itself.
pub(super) async fn end_or_requeue(
    write: &mut Transaction<'static, Sqlite>,
    endings: &[Ending<'_>],
    now: i64,
) -> StoreResult<Ended> {
    let mut ended = Ended::default();
    let mut rest: Vec<&Ending<'_>> = endings.iter().collect();
    while !rest.is_empty() {
        // Rows come back without their claim: a pass takes each (id, attempt) once, mostly all there are.
        let mut pass: HashMap<(CorrelationId, u32), &Ending<'_>> = HashMap::with_capacity(rest.len());
        rest.retain(|ending| match pass.entry((ending.id, ending.attempt)) {
            Entry::Vacant(place) => {
                place.insert(ending);
                false
            }
            Entry::Occupied(first) => first.get().claim != ending.claim,
        });
        end_or_requeue_pass(write, &pass, &mut ended, now).await?;
    }
    pause_failing(write, &ended.failed, now).await?;
    ended.promoted = promote(write, &ended.freed, now).await? + gates::give_back(write, &ended.held, now).await?;
    Ok(ended)
}

/// Which of the runs that would get another attempt somebody asked to cancel.
async fn cancelled<'a>(
    write: &mut Transaction<'static, Sqlite>,
    retried: impl Iterator<Item = &'a &'a Ending<'a>>,
) -> StoreResult<HashSet<CorrelationId>> {
    let ids: Vec<_> = retried.map(|ending| hex(ending.id.as_uuid())).collect();
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let ids: Vec<Uuid> = sqlx::query_scalar(sql!("queue/cancelled"))
        .bind(batch(&ids))
        .fetch_all(&mut **write)
        .await
        .map_err(failed("settle reports"))?;
    Ok(ids.into_iter().map(CorrelationId::from_uuid).collect())
}

async fn end_or_requeue_pass(
    write: &mut Transaction<'static, Sqlite>,
    by_attempt: &HashMap<(CorrelationId, u32), &Ending<'_>>,
    ended: &mut Ended,
    now: i64,
) -> StoreResult<()> {
    const OPERATION: &str = "settle reports";
    let guard = |e: &Ending<'_>| (hex(e.id.as_uuid()), hex(e.claim), i64::from(e.attempt), i64::from(e.released));
    let cancelled = cancelled(write, by_attempt.values().filter(|e| e.retry_at.is_some())).await?;
    let retry_at = |e: &Ending<'_>| e.retry_at.filter(|_| !cancelled.contains(&e.id));
    let over: Vec<_> = by_attempt.values().filter(|e| retry_at(e).is_none()).map(|e| guard(e)).collect();
    let back: Vec<_> = by_attempt.values().filter(|e| retry_at(e).is_some()).map(|e| guard(e)).collect();

    let mut rows = Vec::new();
    for (guards, statement) in [(over, sql!("queue/finish")), (back, sql!("queue/give_back"))] {
        if !guards.is_empty() {
            let matched =
                sqlx::query(statement).bind(batch(&guards)).fetch_all(&mut **write).await.map_err(failed(OPERATION))?;
            rows.extend(matched);
        }
    }

    let (mut reports, mut requeue, mut rearmed) = (Vec::with_capacity(rows.len()), Vec::new(), Vec::new());
    for row in &rows {
        let id = rows::id(row, 0)?;
        let attempt = rows::count(row, 5)?;
        let Some(ending) = by_attempt.get(&(id, attempt)) else { continue };
        ended.attempts.insert((id, attempt, ending.claim));
        let key: i64 = rows::get(row, 1)?;
        let outcome = if retry_at(ending) == ending.retry_at { ending.outcome } else { Outcome::Cancelled };
        let cause = rows::cause(row, 3)?;
        reports.push(ReportRow {
            id,
            key,
            tenant: rows::get(row, 2)?,
            cause: cause.code(),
            due: rows::get(row, 4)?,
            attempt,
            outcome: outcome.code(),
            next_attempt_at: retry_at(ending),
            started_at: Some(ending.started_at.map_or_else(|| rows::get(row, 8), Ok)?),
            finished_at: ending.finished_at,
            executor: rows::get(row, 7)?,
            error: ending.error.map(str::to_owned),
            result: ending.result.map(str::to_owned),
            code: ending.code.map(str::to_owned),
            fingerprint: ending.fingerprint.filter(|_| outcome == Outcome::Dead),
        });
        for gate in gates::needs(row, 10)? {
            *ended.held.entry(gate).or_default() += 1;
        }
        if let Some(at) = retry_at(ending) {
            requeue.push((hex(id.as_uuid()), at));
            continue;
        }
        if rows::get::<Option<i64>>(row, 6)?.is_some() {
            rearmed.push(key);
        }
        if rows::get::<i16>(row, 9)? != Overlap::Allow.code() {
            ended.freed.push(key);
        }
        if outcome == Outcome::Dead && cause == Cause::Schedule {
            ended.failed.push(key);
        }
    }
    if !requeue.is_empty() {
        sqlx::query(sql!("queue/requeue"))
            .bind(batch(&requeue))
            .execute(&mut **write)
            .await
            .map_err(failed(OPERATION))?;
    }
    insert_reports(write, &reports).await?;
    rearm(write, rearmed, now).await
}

/// A row of `report`, in the order of its statement.
struct ReportRow {
    id: CorrelationId,
    key: i64,
    tenant: String,
    cause: i16,
    due: i64,
    attempt: u32,
    outcome: i16,
    next_attempt_at: Option<i64>,
    started_at: Option<i64>,
    finished_at: i64,
    executor: Option<Uuid>,
    error: Option<String>,
    result: Option<String>,
    code: Option<String>,
    fingerprint: Option<i64>,
}

async fn insert_reports(write: &mut Transaction<'static, Sqlite>, reports: &[ReportRow]) -> StoreResult<()> {
    if reports.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = reports
        .iter()
        .map(|r| {
            (
                (hex(r.id.as_uuid()), r.key, &r.tenant, r.cause, r.due, r.attempt, r.outcome),
                (r.next_attempt_at, r.started_at, r.finished_at, r.executor.map(hex)),
                (&r.error, &r.result, &r.code, r.fingerprint),
            )
        })
        .collect();
    sqlx::query(sql!("queue/report"))
        .bind(batch(&rows))
        .execute(&mut **write)
        .await
        .map_err(failed("write reports"))?;
    Ok(())
}

/// Sets the next due time of interval jobs whose token came back.
pub(super) async fn rearm(write: &mut Transaction<'static, Sqlite>, keys: Vec<i64>, now: i64) -> StoreResult<()> {
    if keys.is_empty() {
        return Ok(());
    }
    sqlx::query(sql!("queue/rearm"))
        .bind(batch(&keys))
        .bind(now)
        .execute(&mut **write)
        .await
        .map_err(failed("set the next due time"))?;
    Ok(())
}

pub(super) async fn drop_claims(write: &mut Transaction<'static, Sqlite>, claims: &[ClaimId]) -> StoreResult<()> {
    if claims.is_empty() {
        return Ok(());
    }
    let claims: Vec<_> = claims.iter().copied().map(hex).collect();
    sqlx::query(sql!("queue/drop_claims"))
        .bind(batch(&claims))
        .execute(&mut **write)
        .await
        .map_err(failed("drop claims"))?;
    Ok(())
}
