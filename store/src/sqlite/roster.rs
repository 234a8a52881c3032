//! The config in force and the live sources of tenants.

use async_trait::async_trait;
use leasehold_common::catalog::CatalogSnapshot;
use leasehold_common::id::TenantId;
use leasehold_common::lease::Term;
use leasehold_common::store::{ConfigInForce, Recorded, Roster, RosterRecord, RosterState, SourceView, StoreResult};

use super::lease::fenced;
use super::{SqliteStore, rows};
use crate::error::failed;
use crate::json::batch;
use crate::roster::SourceRow;

const RECORD: &str = "record the sources of tenants";

#[async_trait]
impl Roster for SqliteStore {
    async fn roster_state(&self) -> StoreResult<RosterState> {
        let row = sqlx::query(sql!("roster/state"))
            .bind(self.now())
            .fetch_one(&self.read)
            .await
            .map_err(failed("read the roster"))?;
        rows::roster_state(&row)
    }

    async fn config(&self) -> StoreResult<Option<ConfigInForce>> {
        let row = sqlx::query(sql!("roster/config"))
            .fetch_optional(&self.read)
            .await
            .map_err(failed("read the config in force"))?;
        row.as_ref().map(rows::config_in_force).transpose()
    }

    async fn sources(&self) -> StoreResult<Vec<SourceView>> {
        let rows = sqlx::query(sql!("roster/sources"))
            .fetch_all(&self.read)
            .await
            .map_err(failed("list the sources of tenants"))?;
        rows.iter().map(rows::source).collect()
    }

    async fn origins(&self, after: Option<&TenantId>, limit: u32) -> StoreResult<Vec<(TenantId, String)>> {
        let rows = sqlx::query(sql!("roster/origins"))
            .bind(after.map_or("", TenantId::as_str))
            .bind(limit)
            .fetch_all(&self.read)
            .await
            .map_err(failed("list tenants"))?;
        rows.iter().map(|row| Ok((rows::name(row, 0)?, rows::get(row, 1)?))).collect()
    }

    async fn snapshot_of(&self, tenants: &[TenantId]) -> StoreResult<CatalogSnapshot> {
        self.read_catalog(sql!("roster/tenants_of"), sql!("roster/jobs_of"), Some(&batch(tenants))).await
    }

    async fn record_sources(&self, term: &Term, record: &RosterRecord) -> StoreResult<Recorded> {
        let sources: Vec<SourceRow> = record.sources.iter().map(SourceRow::of).collect();
        let sources = batch(&sources);
        let mut write = self.begin(RECORD).await?;
        let now = self.now();
        if !fenced(&mut write, term, now).await? {
            return Ok(Recorded::StaleTerm);
        }
        sqlx::query(sql!("roster/forget")).bind(&sources).execute(&mut *write).await.map_err(failed(RECORD))?;
        sqlx::query(sql!("roster/put_sources"))
            .bind(&sources)
            .bind(now)
            .execute(&mut *write)
            .await
            .map_err(failed(RECORD))?;
        sqlx::query(sql!("roster/record"))
            .bind(record.done)
            .bind(record.pass.map(|pass| pass.config))
            .bind(record.pass.map(|pass| pass.at.as_microsecond()))
            .execute(&mut *write)
            .await
            .map_err(failed(RECORD))?;
        write.commit().await.map_err(failed(RECORD))?;
        Ok(Recorded::Done)
    }

    async fn request_refresh(&self, allow_drop: bool) -> StoreResult<i64> {
        sqlx::query_scalar(sql!("roster/request"))
            .bind(allow_drop)
            .fetch_one(&self.write)
            .await
            .map_err(failed("ask for a refresh"))
    }
}
