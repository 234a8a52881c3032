//! Dead letters.

use async_trait::async_trait;
use leasehold_common::store::{DeadCount, DeadFilter, DeadGroup, DeadLetters, Redriven, StoreResult};
use uuid::Uuid;

use super::{PgStore, rows};
use crate::dead::Step;

/// What every statement begins with.
struct Filter<'a> {
    runs: Vec<Uuid>,
    tenants: Vec<&'a str>,
    jobs: Vec<&'a str>,
}

impl<'a> Filter<'a> {
    fn of(filter: &'a DeadFilter) -> Self {
        Self {
            runs: filter.runs.iter().map(|run| run.as_uuid()).collect(),
            tenants: filter.tenants.iter().map(|tenant| tenant.as_str()).collect(),
            jobs: filter.jobs.iter().map(|job| job.as_str()).collect(),
        }
    }
}

/// A statement with the filter bound.
macro_rules! filtered {
    ($statement:literal, $filter:expr) => {{
        let Filter { runs, tenants, jobs } = Filter::of($filter);
        sqlx::query(sql!($statement)).bind(runs).bind(tenants).bind(jobs).bind(&$filter.codes).bind($filter.group)
    }};
}

#[async_trait]
impl DeadLetters for PgStore {
    async fn dead_groups(&self, filter: &DeadFilter, limit: u32) -> StoreResult<Vec<DeadGroup>> {
        let rows = filtered!("dead/groups", filter)
            .bind(i64::from(limit))
            .fetch_all(&self.view)
            .await
            .map_err(self.failed("read dead letters"))?;
        rows.iter().map(rows::dead_group).collect()
    }

    async fn dead_count(&self, filter: &DeadFilter) -> StoreResult<DeadCount> {
        let row =
            filtered!("dead/count", filter).fetch_one(&self.view).await.map_err(self.failed("count dead letters"))?;
        Ok(DeadCount { count: rows::get::<i64>(&row, 0)?.unsigned_abs(), upto: rows::get(&row, 1)? })
    }

    async fn redrive(&self, filter: &DeadFilter, after: i64, upto: i64, limit: u32) -> StoreResult<Redriven> {
        const OPERATION: &str = "redrive dead letters";
        let rows = filtered!("dead/candidates", filter)
            .bind(after)
            .bind(upto)
            .bind(i64::from(limit))
            .fetch_all(&self.work)
            .await
            .map_err(self.failed(OPERATION))?;
        let step = Step::of(rows.iter().map(rows::candidate).collect::<StoreResult<_>>()?, limit);
        let seqs: Vec<i64> = step.chosen.iter().map(|candidate| candidate.seq).collect();
        let redriven: i64 = self
            .settled(|| async {
                // Drawn anew for each try: an id may be taken by now.
                let ids: Vec<Uuid> = step.chosen.iter().map(|candidate| candidate.draw().as_uuid()).collect();
                sqlx::query_scalar(sql!("dead/redrive"))
                    .bind(&seqs)
                    .bind(ids)
                    .fetch_one(&self.work)
                    .await
                    .map_err(self.failed(OPERATION))
            })
            .await?;
        if redriven > 0 {
            self.hint().await;
        }
        Ok(Redriven { redriven: redriven.unsigned_abs(), gone: step.gone, next: step.next })
    }

    async fn discard(&self, filter: &DeadFilter, upto: i64) -> StoreResult<u64> {
        self.settled(|| async {
            let done = filtered!("dead/discard", filter)
                .bind(upto)
                .execute(&self.work)
                .await
                .map_err(self.failed("discard dead letters"))?;
            Ok(done.rows_affected())
        })
        .await
    }
}
