//! What becomes of items whose job has a run already: they end, wait for it, or take its place, as the overlap policy of
//! their job says. The rule itself, that such runs never overlap, is the unique index on `running` (invariant I8).
//!
//! An item that waits is in `ahead` with the largest `not_before` there is, and goes when the run that it waits for is
//! over. Each function runs inside its caller's transaction.

use std::collections::HashMap;

use leasehold_common::id::{CorrelationId, TenantId};
use leasehold_common::run::{Cause, Outcome};
use leasehold_common::store::StoreResult;
use sqlx::{Sqlite, Transaction};

use super::endings::{Unstarted, record_unstarted};
use crate::error::failed;
use crate::json::{batch, hex};
use crate::{LATE_US, TOOK_ITS_PLACE};

const OPERATION: &str = "queue what waits for a run";

/// The codes of [`leasehold_common::definition::Overlap`] for items that may wait.
const BUFFER_ONE: i16 = 2;
const BUFFER_ALL: i16 = 3;
const CANCEL_PREVIOUS: i16 = 4;

/// An item that could not start since its job has a run.
pub(super) struct Contested {
    pub(super) id: CorrelationId,
    pub(super) key: i64,
    pub(super) tenant: TenantId,
    pub(super) cause: Cause,
    pub(super) due: i64,
    pub(super) overlap: i16,
    pub(super) catch_up: i16,
    /// How many items of its job may wait.
    pub(super) buffer: u32,
    /// Whether it holds the interval token.
    pub(super) token: bool,
}

impl Contested {
    fn ended(&self, outcome: Outcome, error: &'static str) -> Unstarted {
        Unstarted {
            id: self.id,
            key: self.key,
            tenant: self.tenant.clone(),
            cause: self.cause,
            due: self.due,
            attempt: 0,
            outcome,
            token: self.token,
            error,
        }
    }

    /// Whether it makes up for what an outage left behind, all of which is to run.
    fn makes_up(&self, now: i64) -> bool {
        self.cause == Cause::Schedule && self.catch_up == ALL && self.due < now.saturating_sub(LATE_US)
    }
}

/// The code of [`leasehold_common::definition::CatchUp::All`].
const ALL: i16 = 2;

/// What becomes of contested items.
#[derive(Default)]
struct Verdicts<'a> {
    /// These wait.
    park: Vec<&'a Contested>,
    /// These wait, one of each job, and whatever else of it waits or runs goes.
    replace: HashMap<i64, &'a Contested>,
    /// These end.
    ended: Vec<Unstarted>,
}

/// Decides on contested items in the order of their due times, with how many of each job wait already.
fn decide<'a>(contested: &[&'a Contested], mut parked: HashMap<i64, u32>, now: i64) -> Verdicts<'a> {
    let mut verdicts = Verdicts::default();
    for item in contested {
        let waiting = parked.entry(item.key).or_default();
        let waits = match item.overlap {
            CANCEL_PREVIOUS => {
                let earlier = verdicts.replace.insert(item.key, item);
                verdicts.ended.extend(earlier.map(|item| item.ended(Outcome::Superseded, TOOK_ITS_PLACE)));
                continue;
            }
            BUFFER_ONE => *waiting == 0,
            BUFFER_ALL => matches!(item.cause, Cause::Backfill | Cause::Redrive) || *waiting < item.buffer,
            _ => item.makes_up(now),
        };
        if waits {
            *waiting += 1;
            verdicts.park.push(item);
        } else {
            verdicts.ended.push(item.ended(Outcome::Overlapped, crate::dismissal_reason(Outcome::Overlapped)));
        }
    }
    verdicts
}

/// What became of contested items.
#[derive(Default)]
pub(super) struct Resolved {
    /// How many items may go after all.
    pub(super) promoted: u64,
    /// How those that ended did.
    pub(super) ended: Vec<Outcome>,
}

/// Lets contested items wait or ends them. They are still in `ready`; the caller takes them out.
pub(super) async fn resolve(
    write: &mut Transaction<'static, Sqlite>,
    contested: &[Contested],
    now: i64,
) -> StoreResult<Resolved> {
    if contested.is_empty() {
        return Ok(Resolved::default());
    }
    let mut in_order: Vec<_> = contested.iter().collect();
    in_order.sort_by_key(|item| (item.due, item.id));
    let parked = parked(write, contested).await?;
    let mut verdicts = decide(&in_order, parked, now);
    park(write, &verdicts.park).await?;
    if !verdicts.replace.is_empty() {
        let keys: Vec<_> = verdicts.replace.keys().copied().collect();
        verdicts.ended.extend(end_previous(write, &batch(&keys)).await?);
        park(write, &verdicts.replace.into_values().collect::<Vec<_>>()).await?;
    }
    let freed = record_unstarted(write, &verdicts.ended, now).await?;
    // What they wait for may have ended in this very batch.
    let keys: Vec<_> = contested.iter().map(|item| item.key).collect();
    let promoted = freed + promote(write, &keys, now).await?;
    Ok(Resolved { promoted, ended: verdicts.ended.iter().map(|run| run.outcome).collect() })
}

/// How many items of each of these jobs wait.
async fn parked(write: &mut Transaction<'static, Sqlite>, contested: &[Contested]) -> StoreResult<HashMap<i64, u32>> {
    let keys: Vec<_> = contested.iter().map(|item| item.key).collect();
    let counts: Vec<(i64, u32)> = sqlx::query_as(sql!("queue/parked"))
        .bind(batch(&keys))
        .fetch_all(&mut **write)
        .await
        .map_err(failed(OPERATION))?;
    Ok(counts.into_iter().collect())
}

async fn park(write: &mut Transaction<'static, Sqlite>, items: &[&Contested]) -> StoreResult<()> {
    if items.is_empty() {
        return Ok(());
    }
    let items: Vec<_> = items.iter().map(|item| (item.key, hex(item.id.as_uuid()))).collect();
    sqlx::query(sql!("queue/park")).bind(batch(&items)).execute(&mut **write).await.map_err(failed(OPERATION))?;
    Ok(())
}

/// Makes room for items of these jobs under `cancel_previous`: what waits ends, what runs is cancelled. Answers what
/// ended, which the caller reports.
async fn end_previous(write: &mut Transaction<'static, Sqlite>, keys: &str) -> StoreResult<Vec<Unstarted>> {
    let failed = failed(OPERATION);
    let parked = sqlx::query(sql!("queue/take_parked")).bind(keys).fetch_all(&mut **write).await.map_err(&failed)?;
    let mut ended = parked
        .iter()
        .map(|row| Unstarted::read(row, Outcome::Superseded, TOOK_ITS_PLACE))
        .collect::<StoreResult<Vec<_>>>()?;
    sqlx::query(sql!("queue/cancel_previous")).bind(keys).execute(&mut **write).await.map_err(&failed)?;
    let retries =
        sqlx::query(sql!("queue/waiting_previous")).bind(keys).fetch_all(&mut **write).await.map_err(&failed)?;
    let retries = retries
        .iter()
        .map(|row| Unstarted::read(row, Outcome::Cancelled, TOOK_ITS_PLACE))
        .collect::<StoreResult<Vec<_>>>()?;
    take(write, &retries.iter().map(|run| (run.key, hex(run.id.as_uuid()))).collect::<Vec<_>>()).await?;
    ended.extend(retries);
    Ok(ended)
}

/// Takes items out of the line.
pub(super) async fn take_ready(write: &mut Transaction<'static, Sqlite>, items: &[(i64, String)]) -> StoreResult<()> {
    if items.is_empty() {
        return Ok(());
    }
    let failed = failed("take items out of the line");
    sqlx::query(sql!("queue/take")).bind(batch(items)).execute(&mut **write).await.map_err(failed)?;
    Ok(())
}

/// Takes items out of the queue, wherever they are in it.
pub(super) async fn take(write: &mut Transaction<'static, Sqlite>, items: &[(i64, String)]) -> StoreResult<()> {
    if items.is_empty() {
        return Ok(());
    }
    let items = batch(items);
    for statement in [sql!("queue/take"), sql!("queue/take_ahead")] {
        sqlx::query(statement)
            .bind(&items)
            .execute(&mut **write)
            .await
            .map_err(failed("take items out of the queue"))?;
    }
    Ok(())
}

/// Lets the oldest item of each job go that waits for a run, if none is left to wait for. Answers how many go.
pub(super) async fn promote(write: &mut Transaction<'static, Sqlite>, keys: &[i64], now: i64) -> StoreResult<u64> {
    if keys.is_empty() {
        return Ok(0);
    }
    let promoted = sqlx::query(sql!("queue/promote"))
        .bind(batch(keys))
        .bind(now)
        .execute(&mut **write)
        .await
        .map_err(failed("let go what waited for a run"))?;
    Ok(promoted.rows_affected())
}

/// [`promote`] for all jobs.
pub(super) async fn promote_all(write: &mut Transaction<'static, Sqlite>, now: i64) -> StoreResult<u64> {
    let promoted = sqlx::query(sql!("queue/promote_all"))
        .bind(now)
        .bind(now.saturating_sub(LATE_US))
        .execute(&mut **write)
        .await
        .map_err(failed("let go what waited for a run"))?;
    Ok(promoted.rows_affected())
}
