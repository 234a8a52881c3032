//! Shares: what tenants are charged for their runs, and how queues stand.
//!
//! Places in line are dealt where items become ready (`activate.sql`, `trigger.sql`); here they are corrected. A charge
//! that fails costs a moment of fairness and nothing else.

use leasehold_common::store::{Charge, QueueDepth, Served, StoreResult};
use sqlx::postgres::PgRow;

use super::{PgStore, int, rows};
use crate::clock::us;

/// How many waiting items of tenants get new places at once.
const RETAG: i64 = 20_000;

/// Tenants whose waiting items have places that are wrong by more than twice.
#[derive(Default)]
struct Wrong {
    queues: Vec<String>,
    priorities: Vec<i16>,
    tenants: Vec<String>,
}

impl PgStore {
    pub(super) async fn charge_shares(&self, charges: &[Charge], served: &[Served]) -> StoreResult<()> {
        if charges.is_empty() && served.is_empty() {
            return Ok(());
        }
        let rows = self
            .settled(|| async {
                sqlx::query(sql!("queue/charge"))
                    .bind(charges.iter().map(|charge| charge.lane.queue.as_str()).collect::<Vec<_>>())
                    .bind(charges.iter().map(|charge| charge.lane.priority).collect::<Vec<_>>())
                    .bind(charges.iter().map(|charge| charge.tenant.as_str()).collect::<Vec<_>>())
                    .bind(charges.iter().map(|charge| int(charge.runs)).collect::<Vec<_>>())
                    .bind(charges.iter().map(|charge| us(charge.spent)).collect::<Vec<_>>())
                    .bind(charges.iter().map(|charge| us(charge.estimated)).collect::<Vec<_>>())
                    .bind(served.iter().map(|served| served.lane.queue.as_str()).collect::<Vec<_>>())
                    .bind(served.iter().map(|served| served.lane.priority).collect::<Vec<_>>())
                    .bind(served.iter().map(|served| served.tag).collect::<Vec<_>>())
                    .fetch_all(&self.work)
                    .await
                    .map_err(self.failed("charge tenants"))
            })
            .await?;
        let mut wrong = Wrong::default();
        for row in &rows {
            wrong.queues.push(rows::get(row, 0)?);
            wrong.priorities.push(rows::get(row, 1)?);
            wrong.tenants.push(rows::get(row, 2)?);
        }
        if wrong.tenants.is_empty() { Ok(()) } else { self.retag(&wrong).await }
    }

    async fn retag(&self, wrong: &Wrong) -> StoreResult<()> {
        self.settled(|| async {
            sqlx::query(sql!("queue/retag"))
                .bind(&wrong.queues)
                .bind(&wrong.priorities)
                .bind(&wrong.tenants)
                .bind(RETAG)
                .execute(&self.work)
                .await
                .map_err(self.failed("deal new places"))?;
            Ok(())
        })
        .await
    }

    pub(super) async fn queue_depths(&self) -> StoreResult<Vec<QueueDepth>> {
        let rows =
            sqlx::query(sql!("queue/queues")).fetch_all(&self.view).await.map_err(self.failed("read the queues"))?;
        rows.iter().map(depth).collect()
    }
}

/// queue, depth, oldest age, limited, running.
fn depth(row: &PgRow) -> StoreResult<QueueDepth> {
    Ok(QueueDepth {
        queue: rows::name(row, 0)?,
        depth: rows::get::<i64>(row, 1)?.unsigned_abs(),
        oldest_age_ms: rows::get::<Option<i64>>(row, 2)?.map(|age| age.max(0)),
        limited: rows::get::<i64>(row, 3)?.unsigned_abs(),
        running: rows::get::<i64>(row, 4)?.unsigned_abs(),
    })
}
