//! The config in force and the live sources of tenants.

use async_trait::async_trait;
use leasehold_common::catalog::CatalogSnapshot;
use leasehold_common::id::TenantId;
use leasehold_common::lease::Term;
use leasehold_common::store::{ConfigInForce, Recorded, Roster, RosterRecord, RosterState, SourceView, StoreResult};

use super::{PgStore, rows};
use crate::roster::SourceRow;

#[async_trait]
impl Roster for PgStore {
    async fn roster_state(&self) -> StoreResult<RosterState> {
        let row =
            sqlx::query(sql!("roster/state")).fetch_one(&self.work).await.map_err(self.failed("read the roster"))?;
        rows::roster_state(&row)
    }

    async fn config(&self) -> StoreResult<Option<ConfigInForce>> {
        let row = sqlx::query(sql!("roster/config"))
            .fetch_optional(&self.view)
            .await
            .map_err(self.failed("read the config in force"))?;
        row.as_ref().map(rows::config_in_force).transpose()
    }

    async fn sources(&self) -> StoreResult<Vec<SourceView>> {
        let rows = sqlx::query(sql!("roster/sources"))
            .fetch_all(&self.view)
            .await
            .map_err(self.failed("list the sources of tenants"))?;
        rows.iter().map(rows::source).collect()
    }

    async fn origins(&self, after: Option<&TenantId>, limit: u32) -> StoreResult<Vec<(TenantId, String)>> {
        let rows = sqlx::query(sql!("roster/origins"))
            .bind(after.map_or("", TenantId::as_str))
            .bind(i64::from(limit))
            .fetch_all(&self.view)
            .await
            .map_err(self.failed("list tenants"))?;
        rows.iter().map(|row| Ok((rows::name(row, 0)?, rows::get(row, 1)?))).collect()
    }

    async fn snapshot_of(&self, tenants: &[TenantId]) -> StoreResult<CatalogSnapshot> {
        let ids: Vec<_> = tenants.iter().map(TenantId::as_str).collect();
        self.read_catalog(sql!("roster/tenants_of"), sql!("roster/jobs_of"), Some(&ids)).await
    }

    async fn record_sources(&self, term: &Term, record: &RosterRecord) -> StoreResult<Recorded> {
        let sources: Vec<SourceRow> = record.sources.iter().map(SourceRow::of).collect();
        let column = |of: fn(&SourceRow) -> &str| sources.iter().map(of).collect::<Vec<_>>();
        let number = |of: fn(&SourceRow) -> i64| sources.iter().map(of).collect::<Vec<_>>();
        let text = |of: fn(&SourceRow) -> Option<&str>| sources.iter().map(of).collect::<Vec<_>>();
        let stands: bool = sqlx::query_scalar(sql!("roster/record"))
            .bind(term.holder)
            .bind(term.epoch)
            .bind(column(|source| &source.0))
            .bind(number(|source| source.1))
            .bind(number(|source| source.2))
            .bind(column(|source| &source.3))
            .bind(text(|source| source.4.as_deref()))
            .bind(text(|source| source.5.as_deref()))
            .bind(sources.iter().map(|source| source.6).collect::<Vec<_>>())
            .bind(record.done)
            .bind(record.pass.map(|pass| pass.config))
            .bind(record.pass.map(|pass| pass.at.as_microsecond()))
            .fetch_one(&self.work)
            .await
            .map_err(self.failed("record the sources of tenants"))?;
        Ok(if stands { Recorded::Done } else { Recorded::StaleTerm })
    }

    async fn request_refresh(&self, allow_drop: bool) -> StoreResult<i64> {
        sqlx::query_scalar(sql!("roster/request"))
            .bind(allow_drop)
            .fetch_one(&self.work)
            .await
            .map_err(self.failed("ask for a refresh"))
    }
}
