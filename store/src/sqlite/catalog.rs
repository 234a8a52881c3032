//! Tenants and jobs.

use async_trait::async_trait;
use leasehold_common::catalog::{CatalogPlan, CatalogSnapshot, FirstDue, PutJob};
use leasehold_common::definition::Tenant;
use leasehold_common::id::{JobName, TenantId};
use leasehold_common::run::Outcome;
use leasehold_common::store::{Applied, Catalog, JobVersion, JobView, StoreResult};
use sqlx::sqlite::SqliteRow;
use sqlx::{Sqlite, Transaction};

use super::endings::{Unstarted, record_unstarted};
use super::{SqliteStore, rows};
use crate::clock::{at, us};
use crate::error::failed;
use crate::json::{batch, hex};

const APPLY: &str = "apply the catalog";

#[async_trait]
impl Catalog for SqliteStore {
    async fn snapshot(&self) -> StoreResult<CatalogSnapshot> {
        const OPERATION: &str = "read the catalog";
        let mut read = self.read.begin().await.map_err(failed(OPERATION))?;
        let revision =
            sqlx::query_scalar(sql!("catalog/revision")).fetch_one(&mut *read).await.map_err(failed(OPERATION))?;
        let tenants =
            sqlx::query(sql!("catalog/all_tenants")).fetch_all(&mut *read).await.map_err(failed(OPERATION))?;
        let jobs = sqlx::query(sql!("catalog/all_jobs")).fetch_all(&mut *read).await.map_err(failed(OPERATION))?;
        Ok(CatalogSnapshot {
            revision,
            now: at(self.now()),
            tenants: tenants.iter().map(|row| rows::tenant(row, 0)).collect::<StoreResult<_>>()?,
            jobs: jobs.iter().map(rows::stored_job).collect::<StoreResult<_>>()?,
        })
    }

    async fn apply(&self, plan: &CatalogPlan) -> StoreResult<Applied> {
        let mut write = self.begin(APPLY).await?;
        let now = self.now();
        let bumped = sqlx::query(sql!("catalog/bump"))
            .bind(plan.revision)
            .execute(&mut *write)
            .await
            .map_err(failed(APPLY))?
            .rows_affected();
        if bumped == 0 {
            return Ok(Applied::Conflict);
        }
        let revision = plan.revision + 1;
        put_tenants(&mut write, plan, revision).await?;
        put_jobs(&mut write, plan, now).await?;
        let rescheduled = plan.put_jobs.iter().filter(|job| job.reschedule.is_some()).map(|job| job.key.as_i64());
        let changed: Vec<i64> = rescheduled.chain(plan.remove_jobs.iter().map(|key| key.as_i64())).collect();
        run(&mut write, sql!("catalog/pass_token"), batch(&changed)).await?;
        void_items(&mut write, &changed, now).await?;
        run_with(&mut write, sql!("catalog/lower_watermarks"), batch(&changed), now).await?;
        write.commit().await.map_err(failed(APPLY))?;
        Ok(Applied::Done { revision })
    }

    async fn tenants(&self, after: Option<&TenantId>, limit: u32) -> StoreResult<Vec<Tenant>> {
        let rows = sqlx::query(sql!("catalog/tenants"))
            .bind(after.map_or("", TenantId::as_str))
            .bind(limit)
            .fetch_all(&self.read)
            .await
            .map_err(failed("list tenants"))?;
        rows.iter().map(|row| rows::tenant(row, 0)).collect()
    }

    async fn jobs(&self, tenant: Option<&TenantId>, job: Option<&JobName>, limit: u32) -> StoreResult<Vec<JobView>> {
        let rows = sqlx::query(sql!("catalog/jobs"))
            .bind(tenant.map(TenantId::as_str))
            .bind(job.map(JobName::as_str))
            .bind(limit)
            .fetch_all(&self.read)
            .await
            .map_err(failed("list jobs"))?;
        rows.iter().map(rows::job).collect()
    }

    async fn job_versions(&self, tenant: &TenantId, job: &JobName) -> StoreResult<Vec<JobVersion>> {
        let rows = sqlx::query(sql!("catalog/job_versions"))
            .bind(tenant.as_str())
            .bind(job.as_str())
            .fetch_all(&self.read)
            .await
            .map_err(failed("read job versions"))?;
        rows.iter().map(rows::job_version).collect()
    }
}

/// Runs a statement whose one parameter is a batch.
async fn run(write: &mut Transaction<'static, Sqlite>, statement: &'static str, batch: String) -> StoreResult<()> {
    sqlx::query(statement).bind(batch).execute(&mut **write).await.map_err(failed(APPLY))?;
    Ok(())
}

/// Runs a statement that takes a batch and a number.
async fn run_with(
    write: &mut Transaction<'static, Sqlite>,
    statement: &'static str,
    batch: String,
    number: i64,
) -> StoreResult<()> {
    sqlx::query(statement).bind(batch).bind(number).execute(&mut **write).await.map_err(failed(APPLY))?;
    Ok(())
}

async fn put_tenants(write: &mut Transaction<'static, Sqlite>, plan: &CatalogPlan, revision: i64) -> StoreResult<()> {
    let rows: Vec<_> = plan
        .put_tenants
        .iter()
        .map(|tenant| (tenant.id.as_str(), serde_json::to_string(tenant).unwrap_or_default()))
        .collect();
    run_with(write, sql!("catalog/put_tenants"), batch(&rows), revision).await?;
    let gone = batch(&plan.remove_tenants);
    run_with(write, sql!("catalog/remove_tenants"), gone, revision).await
}

async fn put_jobs(write: &mut Transaction<'static, Sqlite>, plan: &CatalogPlan, now: i64) -> StoreResult<()> {
    let definitions: Vec<_> = plan.definitions.iter().map(|(id, body)| (hex(id.as_uuid()), body.to_json())).collect();
    run(write, sql!("catalog/put_definitions"), batch(&definitions)).await?;
    run(
        write,
        sql!("catalog/remove_jobs"),
        batch(&plan.remove_jobs.iter().map(|key| key.as_i64()).collect::<Vec<_>>()),
    )
    .await?;

    let jobs = batch(&plan.put_jobs.iter().map(|job| job_row(job, now)).collect::<Vec<_>>());
    run(write, sql!("catalog/put_jobs"), jobs.clone()).await?;
    run(write, sql!("catalog/amend_jobs"), jobs.clone()).await?;

    let put = plan.put_jobs.iter().map(|job| job.key);
    let closed: Vec<_> = put.chain(plan.remove_jobs.iter().copied()).map(|key| key.as_i64()).collect();
    run_with(write, sql!("catalog/close_versions"), batch(&closed), now).await?;
    run_with(write, sql!("catalog/open_versions"), jobs, now).await
}

type JobRow<'a> = (i64, &'a str, &'a str, i32, String, &'a str, i16, i16, u32, Option<i64>, u8, Option<i64>);

/// key, tenant, name, version, definition, queue, prio, overlap, max attempts, every, reschedule, next due.
fn job_row(job: &PutJob, now: i64) -> JobRow<'_> {
    let definition = &job.definition;
    let next_due = match job.reschedule {
        Some(FirstDue::At(due)) => Some(due.as_microsecond()),
        Some(FirstDue::After(wait)) => Some(now.saturating_add(us(wait))),
        Some(FirstDue::Never) | None => None,
    };
    (
        job.key.as_i64(),
        job.tenant.as_str(),
        job.name.as_str(),
        job.version,
        hex(job.definition_id.as_uuid()),
        definition.queue.as_str(),
        definition.priority,
        definition.overlap.code(),
        definition.retry.attempts,
        definition.schedule.interval().map(us),
        u8::from(job.reschedule.is_some()),
        next_due,
    )
}

/// Takes out of the queue what the change has made void (invariant I13). What was due already is reported.
async fn void_items(write: &mut Transaction<'static, Sqlite>, changed: &[i64], now: i64) -> StoreResult<()> {
    let rows = sqlx::query(sql!("catalog/void_items"))
        .bind(batch(changed))
        .fetch_all(&mut **write)
        .await
        .map_err(failed(APPLY))?;
    let mut items = Vec::with_capacity(rows.len());
    let mut due = Vec::new();
    for row in &rows {
        let (item, not_before) = void_item(row)?;
        items.push((item.key, hex(item.id.as_uuid())));
        if not_before <= now || item.attempt > 0 || item.cause != leasehold_common::run::Cause::Schedule {
            due.push(item);
        }
    }
    run(write, sql!("queue/take"), batch(&items)).await?;
    run(write, sql!("queue/take_ahead"), batch(&items)).await?;
    record_unstarted(write, &due, now).await
}

/// key, id, tenant, cause, due, attempt, not before.
fn void_item(row: &SqliteRow) -> StoreResult<(Unstarted, i64)> {
    let item = Unstarted {
        key: rows::get(row, 0)?,
        id: rows::id(row, 1)?,
        tenant: rows::name::<TenantId>(row, 2)?,
        cause: rows::cause(row, 3)?,
        due: rows::get(row, 4)?,
        attempt: rows::count(row, 5)?,
        outcome: Outcome::Cancelled,
        token: false, // the change has set the next due time
        error: crate::dismissal_reason(Outcome::Cancelled),
    };
    Ok((item, rows::get(row, 6)?))
}
