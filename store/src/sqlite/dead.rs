//! Dead letters.

use async_trait::async_trait;
use leasehold_common::id::CorrelationId;
use leasehold_common::store::{DeadCount, DeadFilter, DeadGroup, DeadLetters, Redriven, StoreResult};
use uuid::Uuid;

use super::{SqliteStore, rows};
use crate::dead::Step;
use crate::error::failed;
use crate::json::{batch, hex};

/// A statement with the filter bound, with which every one of them begins.
macro_rules! filtered {
    ($statement:literal, $filter:expr) => {{
        let runs: Vec<_> = $filter.runs.iter().map(|run| hex(run.as_uuid())).collect();
        sqlx::query(sql!($statement))
            .bind(batch(&runs))
            .bind(batch(&$filter.tenants))
            .bind(batch(&$filter.jobs))
            .bind(batch(&$filter.codes))
            .bind($filter.group)
    }};
}

#[async_trait]
impl DeadLetters for SqliteStore {
    async fn dead_groups(&self, filter: &DeadFilter, limit: u32) -> StoreResult<Vec<DeadGroup>> {
        let rows = filtered!("dead/groups", filter)
            .bind(limit)
            .fetch_all(&self.read)
            .await
            .map_err(failed("read dead letters"))?;
        rows.iter().map(rows::dead_group).collect()
    }

    async fn dead_count(&self, filter: &DeadFilter) -> StoreResult<DeadCount> {
        let row = filtered!("dead/count", filter).fetch_one(&self.read).await.map_err(failed("count dead letters"))?;
        Ok(DeadCount { count: rows::get::<i64>(&row, 0)?.unsigned_abs(), upto: rows::get(&row, 1)? })
    }

    async fn redrive(&self, filter: &DeadFilter, after: i64, upto: i64, limit: u32) -> StoreResult<Redriven> {
        const OPERATION: &str = "redrive dead letters";
        let mut write = self.begin(OPERATION).await?;
        let now = self.now();
        let found = filtered!("dead/candidates", filter)
            .bind(after)
            .bind(upto)
            .bind(limit)
            .fetch_all(&mut *write)
            .await
            .map_err(failed(OPERATION))?;
        let step = Step::of(found.iter().map(rows::candidate).collect::<StoreResult<_>>()?, limit);
        let drawn: Vec<(i64, CorrelationId)> =
            step.chosen.iter().map(|candidate| (candidate.seq, candidate.draw())).collect();
        let wanted: Vec<_> = drawn.iter().map(|(seq, id)| (*seq, hex(id.as_uuid()))).collect();
        let made: Vec<Uuid> = sqlx::query_scalar(sql!("dead/redrive"))
            .bind(batch(&wanted))
            .bind(now)
            .fetch_all(&mut *write)
            .await
            .map_err(failed(OPERATION))?;
        let made: Vec<_> = drawn
            .iter()
            .filter(|(_, id)| made.contains(&id.as_uuid()))
            .map(|(seq, id)| (*seq, hex(id.as_uuid())))
            .collect();
        for query in [
            sqlx::query(sql!("dead/carry")).bind(batch(&made)).bind(now),
            sqlx::query(sql!("dead/mark")).bind(batch(&made)),
        ] {
            query.execute(&mut *write).await.map_err(failed(OPERATION))?;
        }
        write.commit().await.map_err(failed(OPERATION))?;
        if !made.is_empty() {
            self.hint();
        }
        Ok(Redriven { redriven: made.len() as u64, gone: step.gone, next: step.next })
    }

    async fn discard(&self, filter: &DeadFilter, upto: i64) -> StoreResult<u64> {
        const OPERATION: &str = "discard dead letters";
        let mut write = self.begin(OPERATION).await?;
        let done =
            filtered!("dead/discard", filter).bind(upto).execute(&mut *write).await.map_err(failed(OPERATION))?;
        write.commit().await.map_err(failed(OPERATION))?;
        Ok(done.rows_affected())
    }
}
