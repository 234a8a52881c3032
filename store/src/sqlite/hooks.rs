//! Hooks.

use std::time::Duration;

use async_trait::async_trait;
use leasehold_common::hook::Overdue;
use leasehold_common::id::JobKey;
use leasehold_common::lease::Term;
use leasehold_common::store::{HookTail, Hooks, HooksKept, HooksRecord, Recorded, StoreResult};

use super::lease::fenced;
use super::{SqliteStore, rows};
use crate::clock::us;
use crate::error::failed;
use crate::json::batch;

const RECORD: &str = "record what became of hooks";

#[async_trait]
impl Hooks for SqliteStore {
    async fn hooks_kept(&self) -> StoreResult<HooksKept> {
        let rows = sqlx::query(sql!("hooks/kept")).fetch_all(&self.read).await.map_err(failed("read the hooks"))?;
        rows::hooks(&rows)
    }

    async fn hook_tail(&self, after: i64, late_after: Duration, limit: u32) -> StoreResult<HookTail> {
        let rows = sqlx::query(sql!("hooks/tail"))
            .bind(after)
            .bind(us(late_after))
            .bind(limit)
            .bind(self.now())
            .fetch_all(&self.read)
            .await
            .map_err(failed("read reports for hooks"))?;
        rows::hook_tail(&rows, after)
    }

    async fn overdue(&self, late_after: Duration, limit: u32) -> StoreResult<Vec<Overdue>> {
        let rows = sqlx::query(sql!("hooks/overdue"))
            .bind(self.now().saturating_sub(us(late_after)))
            .bind(limit)
            .fetch_all(&self.read)
            .await
            .map_err(failed("look for what is overdue"))?;
        rows.iter().map(rows::overdue).collect()
    }

    async fn record_hooks(&self, term: &Term, record: &HooksRecord) -> StoreResult<Recorded> {
        let keys = |keys: &[JobKey]| batch(&keys.iter().map(|key| key.as_i64()).collect::<Vec<_>>());
        let changed: Vec<_> = record
            .changed
            .iter()
            .map(|hook| (&hook.name, &hook.state, hook.tries, &hook.error, hook.delivered))
            .collect();
        let mut write = self.begin(RECORD).await?;
        let now = self.now();
        if !fenced(&mut write, term, now).await? {
            return Ok(Recorded::StaleTerm);
        }
        let statements = [
            (sql!("hooks/dead"), keys(&record.dead)),
            (sql!("hooks/alive"), keys(&record.alive)),
            (sql!("hooks/forget"), batch(&record.names)),
        ];
        for (statement, rows) in statements {
            sqlx::query(statement).bind(rows).execute(&mut *write).await.map_err(failed(RECORD))?;
        }
        sqlx::query(sql!("hooks/put"))
            .bind(batch(&changed))
            .bind(now)
            .execute(&mut *write)
            .await
            .map_err(failed(RECORD))?;
        sqlx::query(sql!("hooks/record")).bind(record.seq).execute(&mut *write).await.map_err(failed(RECORD))?;
        write.commit().await.map_err(failed(RECORD))?;
        Ok(Recorded::Done)
    }
}
