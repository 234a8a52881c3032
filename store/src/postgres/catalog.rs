//! Tenants and jobs.

use std::collections::HashSet;

use async_trait::async_trait;
use jiff::Timestamp;
use leasehold_common::catalog::{CatalogPlan, CatalogSnapshot, FirstDue, PutJob};
use leasehold_common::definition::Tenant;
use leasehold_common::id::{JobKey, JobName, TenantId};
use leasehold_common::run::Outcome;
use leasehold_common::store::{Applied, Catalog, JobVersion, JobView, StoreResult};
use sqlx::{Postgres, Transaction};
use uuid::Uuid;

use super::{PgStore, rows};
use crate::clock::{at, us};

const APPLY: &str = "apply the catalog";

/// Rows a statement: large enough that round trips do not count, small enough for the server's memory.
const CHUNK: usize = 20_000;

#[async_trait]
impl Catalog for PgStore {
    async fn snapshot(&self) -> StoreResult<CatalogSnapshot> {
        const OPERATION: &str = "read the catalog";
        let failed = self.failed(OPERATION);
        // One snapshot for all three reads.
        let mut read =
            self.view.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await.map_err(&failed)?;
        let row = sqlx::query(sql!("catalog/revision")).fetch_one(&mut *read).await.map_err(&failed)?;
        let tenants = sqlx::query(sql!("catalog/all_tenants")).fetch_all(&mut *read).await.map_err(&failed)?;
        let jobs = sqlx::query(sql!("catalog/all_jobs")).fetch_all(&mut *read).await.map_err(&failed)?;
        read.commit().await.map_err(&failed)?;
        Ok(CatalogSnapshot {
            revision: rows::get(&row, 0)?,
            now: at(rows::get(&row, 1)?),
            tenants: tenants.iter().map(|row| rows::tenant(row, 0)).collect::<StoreResult<_>>()?,
            jobs: jobs.iter().map(rows::stored_job).collect::<StoreResult<_>>()?,
        })
    }

    async fn apply(&self, plan: &CatalogPlan) -> StoreResult<Applied> {
        self.repeated(|| self.apply_once(plan)).await
    }

    async fn tenants(&self, after: Option<&TenantId>, limit: u32) -> StoreResult<Vec<Tenant>> {
        let rows = sqlx::query(sql!("catalog/tenants"))
            .bind(after.map_or("", TenantId::as_str))
            .bind(i64::from(limit))
            .fetch_all(&self.view)
            .await
            .map_err(self.failed("list tenants"))?;
        rows.iter().map(|row| rows::tenant(row, 0)).collect()
    }

    async fn jobs(&self, tenant: Option<&TenantId>, job: Option<&JobName>, limit: u32) -> StoreResult<Vec<JobView>> {
        let rows = sqlx::query(sql!("catalog/jobs"))
            .bind(tenant.map(TenantId::as_str))
            .bind(job.map(JobName::as_str))
            .bind(i64::from(limit))
            .fetch_all(&self.view)
            .await
            .map_err(self.failed("list jobs"))?;
        rows.iter().map(rows::job).collect()
    }

    async fn job_versions(&self, tenant: &TenantId, job: &JobName) -> StoreResult<Vec<JobVersion>> {
        let rows = sqlx::query(sql!("catalog/job_versions"))
            .bind(tenant.as_str())
            .bind(job.as_str())
            .fetch_all(&self.view)
            .await
            .map_err(self.failed("read job versions"))?;
        rows.iter().map(rows::job_version).collect()
    }
}

impl PgStore {
    async fn apply_once(&self, plan: &CatalogPlan) -> StoreResult<Applied> {
        let failed = self.failed(APPLY);
        let mut write = self.work.begin().await.map_err(&failed)?;
        let bumped = sqlx::query(sql!("catalog/bump"))
            .bind(plan.revision)
            .execute(&mut *write)
            .await
            .map_err(&failed)?
            .rows_affected();
        if bumped == 0 {
            return Ok(Applied::Conflict);
        }
        let revision = plan.revision + 1;
        self.put_tenants(&mut write, plan, revision).await?;
        self.put_definitions(&mut write, plan).await?;

        let rescheduled = plan.put_jobs.iter().filter(|job| job.reschedule.is_some()).map(|job| job.key);
        let changed: Vec<i64> = rescheduled.chain(plan.remove_jobs.iter().copied()).map(JobKey::as_i64).collect();
        sqlx::query(sql!("catalog/lock_items")).bind(&changed).execute(&mut *write).await.map_err(&failed)?;
        let held: HashSet<i64> = sqlx::query_scalar(sql!("catalog/lock_tokens"))
            .bind(&changed)
            .fetch_all(&mut *write)
            .await
            .map_err(&failed)?
            .into_iter()
            .collect();
        let held: Vec<i64> = held.into_iter().collect();

        self.put_jobs(&mut write, plan, &held).await?;
        sqlx::query(sql!("catalog/pass_token")).bind(&held).execute(&mut *write).await.map_err(&failed)?;
        sqlx::query(sql!("catalog/void_items"))
            .bind(&changed)
            .bind(crate::dismissal_reason(Outcome::Cancelled))
            .fetch_one(&mut *write)
            .await
            .map_err(&failed)?;
        sqlx::query(sql!("catalog/lower_watermarks")).bind(&changed).execute(&mut *write).await.map_err(&failed)?;
        write.commit().await.map_err(&failed)?;
        Ok(Applied::Done { revision })
    }

    async fn put_tenants(
        &self,
        write: &mut Transaction<'static, Postgres>,
        plan: &CatalogPlan,
        revision: i64,
    ) -> StoreResult<()> {
        for chunk in plan.put_tenants.chunks(CHUNK) {
            let ids: Vec<_> = chunk.iter().map(|tenant| tenant.id.as_str()).collect();
            let attributes: Vec<_> =
                chunk.iter().map(|tenant| serde_json::to_string(tenant).unwrap_or_default()).collect();
            sqlx::query(sql!("catalog/put_tenants"))
                .bind(ids)
                .bind(attributes)
                .bind(revision)
                .execute(&mut **write)
                .await
                .map_err(self.failed(APPLY))?;
        }
        let gone: Vec<_> = plan.remove_tenants.iter().map(TenantId::as_str).collect();
        sqlx::query(sql!("catalog/remove_tenants"))
            .bind(gone)
            .bind(revision)
            .execute(&mut **write)
            .await
            .map_err(self.failed(APPLY))?;
        Ok(())
    }

    async fn put_definitions(&self, write: &mut Transaction<'static, Postgres>, plan: &CatalogPlan) -> StoreResult<()> {
        for chunk in plan.definitions.chunks(CHUNK) {
            let ids: Vec<_> = chunk.iter().map(|(id, _)| id.as_uuid()).collect();
            let bodies: Vec<_> = chunk.iter().map(|(_, body)| body.to_json()).collect();
            sqlx::query(sql!("catalog/put_definitions"))
                .bind(ids)
                .bind(bodies)
                .execute(&mut **write)
                .await
                .map_err(self.failed(APPLY))?;
        }
        Ok(())
    }

    async fn put_jobs(
        &self,
        write: &mut Transaction<'static, Postgres>,
        plan: &CatalogPlan,
        held: &[i64],
    ) -> StoreResult<()> {
        let failed = self.failed(APPLY);
        let gone: Vec<i64> = plan.remove_jobs.iter().map(|key| key.as_i64()).collect();
        sqlx::query(sql!("catalog/remove_jobs")).bind(&gone).execute(&mut **write).await.map_err(&failed)?;
        let now: i64 =
            sqlx::query_scalar("SELECT leasehold.clock_us()").fetch_one(&mut **write).await.map_err(&failed)?;
        sqlx::query(sql!("catalog/close_versions"))
            .bind(&gone)
            .bind(now)
            .execute(&mut **write)
            .await
            .map_err(&failed)?;
        for chunk in plan.put_jobs.chunks(CHUNK) {
            let (new, kept): (Vec<_>, Vec<_>) = chunk.iter().partition(|job| job.reschedule.is_some());
            let new = Jobs::of(&new, now);
            sqlx::query(sql!("catalog/put_jobs"))
                .bind(&new.keys)
                .bind(&new.tenants)
                .bind(&new.names)
                .bind(&new.versions)
                .bind(&new.definitions)
                .bind(&new.queues)
                .bind(&new.prios)
                .bind(&new.overlaps)
                .bind(&new.max_attempts)
                .bind(&new.every)
                .bind(&new.next_due)
                .bind(held)
                .execute(&mut **write)
                .await
                .map_err(&failed)?;
            let kept = Jobs::of(&kept, now);
            sqlx::query(sql!("catalog/amend_jobs"))
                .bind(&kept.keys)
                .bind(&kept.versions)
                .bind(&kept.definitions)
                .bind(&kept.queues)
                .bind(&kept.prios)
                .bind(&kept.overlaps)
                .bind(&kept.max_attempts)
                .execute(&mut **write)
                .await
                .map_err(&failed)?;
            for jobs in [&new, &kept] {
                sqlx::query(sql!("catalog/close_versions"))
                    .bind(&jobs.keys)
                    .bind(now)
                    .execute(&mut **write)
                    .await
                    .map_err(&failed)?;
                sqlx::query(sql!("catalog/open_versions"))
                    .bind(&jobs.keys)
                    .bind(&jobs.versions)
                    .bind(&jobs.definitions)
                    .bind(now)
                    .execute(&mut **write)
                    .await
                    .map_err(&failed)?;
            }
        }
        Ok(())
    }
}

/// Jobs as the parallel arrays of the statements.
struct Jobs<'a> {
    keys: Vec<i64>,
    tenants: Vec<&'a str>,
    names: Vec<&'a str>,
    versions: Vec<i32>,
    definitions: Vec<Uuid>,
    queues: Vec<&'a str>,
    prios: Vec<i16>,
    overlaps: Vec<i16>,
    max_attempts: Vec<i32>,
    every: Vec<Option<i64>>,
    next_due: Vec<Option<i64>>,
}

impl<'a> Jobs<'a> {
    fn of(jobs: &[&'a PutJob], now: i64) -> Self {
        let next_due = |job: &PutJob| match job.reschedule {
            Some(FirstDue::At(due)) => Some(Timestamp::as_microsecond(due)),
            Some(FirstDue::After(wait)) => Some(now.saturating_add(us(wait))),
            Some(FirstDue::Never) | None => None,
        };
        Self {
            keys: jobs.iter().map(|job| job.key.as_i64()).collect(),
            tenants: jobs.iter().map(|job| job.tenant.as_str()).collect(),
            names: jobs.iter().map(|job| job.name.as_str()).collect(),
            versions: jobs.iter().map(|job| job.version).collect(),
            definitions: jobs.iter().map(|job| job.definition_id.as_uuid()).collect(),
            queues: jobs.iter().map(|job| job.definition.queue.as_str()).collect(),
            prios: jobs.iter().map(|job| job.definition.priority).collect(),
            overlaps: jobs.iter().map(|job| job.definition.overlap.code()).collect(),
            max_attempts: jobs
                .iter()
                .map(|job| i32::try_from(job.definition.retry.attempts).unwrap_or(i32::MAX))
                .collect(),
            every: jobs.iter().map(|job| job.definition.schedule.interval().map(us)).collect(),
            next_due: jobs.iter().map(|job| next_due(job)).collect(),
        }
    }
}
