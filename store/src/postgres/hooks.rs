//! Hooks.

use std::time::Duration;

use async_trait::async_trait;
use leasehold_common::hook::Overdue;
use leasehold_common::id::JobKey;
use leasehold_common::lease::Term;
use leasehold_common::store::{HookChange, HookTail, Hooks, HooksKept, HooksRecord, Recorded, StoreResult};

use super::{PgStore, rows};
use crate::clock::us;

#[async_trait]
impl Hooks for PgStore {
    async fn hooks_kept(&self) -> StoreResult<HooksKept> {
        let rows =
            sqlx::query(sql!("hooks/kept")).fetch_all(&self.view).await.map_err(self.failed("read the hooks"))?;
        rows::hooks(&rows)
    }

    async fn hook_tail(&self, after: i64, late_after: Duration, limit: u32) -> StoreResult<HookTail> {
        let rows = sqlx::query(sql!("hooks/tail"))
            .bind(after)
            .bind(us(late_after))
            .bind(i64::from(limit))
            .fetch_all(&self.view)
            .await
            .map_err(self.failed("read reports for hooks"))?;
        rows::hook_tail(&rows, after)
    }

    async fn overdue(&self, late_after: Duration, limit: u32) -> StoreResult<Vec<Overdue>> {
        let rows = sqlx::query(sql!("hooks/overdue"))
            .bind(us(late_after))
            .bind(i64::from(limit))
            .fetch_all(&self.view)
            .await
            .map_err(self.failed("look for what is overdue"))?;
        rows.iter().map(rows::overdue).collect()
    }

    async fn record_hooks(&self, term: &Term, record: &HooksRecord) -> StoreResult<Recorded> {
        let keys = |keys: &[JobKey]| keys.iter().map(|key| key.as_i64()).collect::<Vec<_>>();
        let text = |of: fn(&HookChange) -> &str| record.changed.iter().map(of).collect::<Vec<_>>();
        let stands: bool = sqlx::query_scalar(sql!("hooks/record"))
            .bind(term.holder)
            .bind(term.epoch)
            .bind(record.seq)
            .bind(keys(&record.dead))
            .bind(keys(&record.alive))
            .bind(&record.names)
            .bind(text(|hook| &hook.name))
            .bind(text(|hook| &hook.state))
            .bind(record.changed.iter().map(|hook| i32::try_from(hook.tries).unwrap_or(i32::MAX)).collect::<Vec<_>>())
            .bind(record.changed.iter().map(|hook| hook.error.as_deref()).collect::<Vec<_>>())
            .bind(record.changed.iter().map(|hook| hook.delivered).collect::<Vec<_>>())
            .fetch_one(&self.work)
            .await
            .map_err(self.failed("record what became of hooks"))?;
        Ok(if stands { Recorded::Done } else { Recorded::StaleTerm })
    }
}
