//! The order of the line: places in virtual time, dealt when items become ready, and corrected by what runs really take.
//!
//! Weighted fair queueing: a tenant's places follow one another, a mean run time apart (divided by its weight), and
//! begin no earlier than a moment before the time to which the lane has been served. What is lost or wrong here costs
//! a moment of fairness and nothing else.

use std::collections::BTreeMap;

use leasehold_common::id::TenantId;
use leasehold_common::store::{Charge, Lane, Served, StoreResult};
use sqlx::sqlite::SqliteRow;
use sqlx::{Sqlite, Transaction};

use super::{SqliteStore, rows};
use crate::LATE_US;
use crate::clock::us;
use crate::error::failed;
use crate::json::batch;

/// How much earlier than the lane was served places may begin. `queue/deal.sql` spells it out.
const BURST_US: i64 = 1_000_000;

/// The most items that get a new place in one transaction.
const RETAG: i64 = 20_000;

/// A run counts for a millisecond at least.
const LEAST: i64 = 1_000;

/// The longest run time that is told apart, in microseconds: sums stay far from the largest number.
const LONGEST: i64 = 30 * 86_400 * 1_000_000;

/// Gives items in `ahead` their places and makes them ready: `items` is a batch of (key, id) in order. Those with a
/// `not_before` after `up_to` are left. Answers how many became ready.
pub(super) async fn line_up(
    write: &mut Transaction<'static, Sqlite>,
    items: &str,
    up_to: i64,
    now: i64,
) -> StoreResult<u64> {
    let failed = failed("give items their places");
    sqlx::query(sql!("queue/open_lanes")).bind(items).bind(now).execute(&mut **write).await.map_err(&failed)?;
    sqlx::query(sql!("queue/deal")).bind(items).bind(up_to).execute(&mut **write).await.map_err(&failed)?;
    sqlx::query(sql!("queue/activate_insert")).bind(items).bind(up_to).execute(&mut **write).await.map_err(&failed)?;
    let moved = sqlx::query(sql!("queue/activate_delete"))
        .bind(items)
        .bind(up_to)
        .execute(&mut **write)
        .await
        .map_err(&failed)?;
    Ok(moved.rows_affected())
}

/// Run times, added up.
#[derive(Default)]
struct Spent {
    runs: u32,
    spent: i64,
    estimated: i64,
}

impl Spent {
    fn add(&mut self, charge: &Charge) {
        let longest = LONGEST.saturating_mul(i64::from(charge.runs.max(1)));
        self.runs = self.runs.saturating_add(charge.runs);
        // To claim and settle a run is work, too.
        let least = LEAST.saturating_mul(i64::from(charge.runs));
        self.spent = self.spent.saturating_add(us(charge.spent).clamp(least, longest));
        self.estimated = self.estimated.saturating_add(us(charge.estimated).min(longest));
    }

    fn mean(&self) -> i64 {
        self.spent / i64::from(self.runs.max(1))
    }

    /// How much a running mean keeps of what it was: seven eighths for each run.
    fn kept(&self) -> f64 {
        0.875_f64.powi(i32::try_from(self.runs).unwrap_or(i32::MAX))
    }
}

/// The charges of one call, by whom they are for, in the order of keys.
#[derive(Default)]
struct Bill<'a> {
    shares: BTreeMap<(&'a Lane, &'a TenantId), Spent>,
    lanes: BTreeMap<&'a Lane, (Option<i64>, Spent)>,
}

impl<'a> Bill<'a> {
    fn of(charges: &'a [Charge], served: &'a [Served]) -> Self {
        let mut bill = Self::default();
        for charge in charges.iter().filter(|charge| charge.runs > 0) {
            bill.shares.entry((&charge.lane, &charge.tenant)).or_default().add(charge);
            bill.lanes.entry(&charge.lane).or_default().1.add(charge);
        }
        for Served { lane, tag } in served {
            let furthest = &mut bill.lanes.entry(lane).or_default().0;
            *furthest = (*furthest).max(Some(*tag));
        }
        bill
    }
}

/// A share whose waiting items have places that are far from what its runs take.
struct Wrong {
    queue: String,
    prio: i16,
    tenant: String,
    est: i64,
}

impl SqliteStore {
    pub(super) async fn charge_all(&self, charges: &[Charge], served: &[Served]) -> StoreResult<()> {
        let failed = failed("charge what runs took");
        let bill = Bill::of(charges, served);
        if bill.lanes.is_empty() {
            return Ok(());
        }
        let mut write = self.begin("charge what runs took").await?;
        let now = self.now();
        let lanes: Vec<_> = bill
            .lanes
            .iter()
            .map(|(lane, (tag, spent))| {
                let mean = (spent.runs > 0).then(|| spent.mean());
                (lane.queue.as_str(), lane.priority, tag, mean, spent.kept())
            })
            .collect();
        sqlx::query(sql!("queue/charge_lanes"))
            .bind(batch(&lanes))
            .bind(now)
            .execute(&mut *write)
            .await
            .map_err(&failed)?;
        let shares: Vec<_> = bill
            .shares
            .iter()
            .map(|((lane, tenant), spent)| {
                let beyond = spent.spent.saturating_sub(spent.estimated);
                (lane.queue.as_str(), lane.priority, tenant.as_str(), beyond, spent.mean(), spent.kept())
            })
            .collect();
        let charged = sqlx::query(sql!("queue/charge_shares"))
            .bind(batch(&shares))
            .fetch_all(&mut *write)
            .await
            .map_err(&failed)?;
        for wrong in charged.iter().filter_map(|row| wrong(row).transpose()) {
            retag(&mut write, &wrong?).await?;
        }
        let whose: Vec<_> = bill.shares.keys().map(|(l, tenant)| (l.queue.as_str(), l.priority, tenant)).collect();
        sqlx::query(sql!("queue/forgive"))
            .bind(batch(&whose))
            .bind(now)
            .bind(now.saturating_sub(LATE_US))
            .execute(&mut *write)
            .await
            .map_err(&failed)?;
        write.commit().await.map_err(&failed)
    }
}

/// queue, prio, tenant, est, cost. `None` if the places are near enough.
fn wrong(row: &SqliteRow) -> StoreResult<Option<Wrong>> {
    let (est, cost): (i64, i64) = (rows::get(row, 3)?, rows::get(row, 4)?);
    if cost <= est.saturating_mul(2) && est <= cost.saturating_mul(2) {
        return Ok(None);
    }
    Ok(Some(Wrong { queue: rows::get(row, 0)?, prio: rows::get(row, 1)?, tenant: rows::get(row, 2)?, est }))
}

/// Deals the waiting items of a tenant their places anew, from the first on that is wrong, and at most [`RETAG`] of them:
/// the next charge goes on.
async fn retag(write: &mut Transaction<'static, Sqlite>, share: &Wrong) -> StoreResult<()> {
    let failed = failed("deal places anew");
    let row = sqlx::query(sql!("queue/out_of_place"))
        .bind(&share.queue)
        .bind(share.prio)
        .bind(&share.tenant)
        .bind(share.est)
        .bind(RETAG)
        .fetch_one(&mut **write)
        .await
        .map_err(&failed)?;
    let items: i64 = rows::get(&row, 0)?;
    let (mut end, mut tail, mut cost) = (rows::get::<i64>(&row, 5)?, None, share.est);
    if items > 0 {
        let first: i64 = rows::get(&row, 1)?;
        let (taken, taken_by_some): (i64, i64) = (rows::get(&row, 2)?, rows::get(&row, 3)?);
        let (served, weight): (i64, i64) = (rows::get(&row, 4)?, rows::get(&row, 6)?);
        let step = (share.est / weight.max(1)).max(1);
        let start = end.saturating_sub(taken).max(served.saturating_sub(BURST_US));
        sqlx::query(sql!("queue/retag"))
            .bind(&share.queue)
            .bind(share.prio)
            .bind(&share.tenant)
            .bind(share.est)
            .bind(first)
            .bind(RETAG)
            .bind(start)
            .bind(step)
            .execute(&mut **write)
            .await
            .map_err(&failed)?;
        end = start + step.saturating_mul(items.min(RETAG)) + (taken - taken_by_some);
        match items > RETAG {
            true => cost = 0,
            false => tail = Some(end),
        }
    }
    sqlx::query(sql!("queue/set_share"))
        .bind(&share.queue)
        .bind(share.prio)
        .bind(&share.tenant)
        .bind(end)
        .bind(tail)
        .bind(cost)
        .execute(&mut **write)
        .await
        .map_err(&failed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_that_the_statement_spells_out_is_ours() {
        assert!(sql!("queue/deal").contains(&format!("v - {BURST_US},")));
    }
}
