//! Tenants and jobs.

use async_trait::async_trait;
use jiff::Timestamp;
use leasehold_common::catalog::{CatalogPlan, CatalogSnapshot, FirstDues, Member, PutJob, Recovery};
use leasehold_common::id::{JobKey, JobName, TenantId};
use leasehold_common::lease::Term;
use leasehold_common::limit::Gate;
use leasehold_common::run::{Cause, Outcome};
use leasehold_common::store::{Applied, Catalog, HandledJob, JobVersion, JobView, StoreResult};
use sqlx::sqlite::SqliteRow;
use sqlx::{Sqlite, Transaction};

use super::endings::{Unstarted, record_skipped, record_unstarted};
use super::lease::fenced;
use super::overlaps::take;
use super::{SqliteStore, rows};
use crate::clock::{at, us};
use crate::error::failed;
use crate::json::{batch, hex};
use crate::past::{Past, changed_jobs};

const APPLY: &str = "apply the catalog";

#[async_trait]
impl Catalog for SqliteStore {
    async fn snapshot(&self) -> StoreResult<CatalogSnapshot> {
        self.read_catalog(sql!("catalog/all_tenants"), sql!("catalog/all_jobs"), None).await
    }

    async fn apply(&self, plan: &CatalogPlan, term: Option<&Term>) -> StoreResult<Applied> {
        let changed = batch(&changed_jobs(plan));
        let past = self.past(plan, &changed).await?;
        let mut write = self.begin(APPLY).await?;
        let now = self.now();
        if let Some(term) = term
            && !fenced(&mut write, term, now).await?
        {
            return Ok(Applied::StaleTerm);
        }
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
        if let Some(recovery) = plan.recovery {
            sqlx::query(sql!("catalog/set_recovery"))
                .bind(recovery.total)
                .bind(recovery.per_tenant)
                .execute(&mut *write)
                .await
                .map_err(failed(APPLY))?;
        }
        match &plan.config {
            Some(config) => sqlx::query(sql!("catalog/put_config"))
                .bind(revision)
                .bind(config.at.as_microsecond())
                .bind(config.text.hash())
                .bind(serde_json::to_string(&config.text).unwrap_or_default()),
            None => sqlx::query(sql!("catalog/keep_config")).bind(plan.revision),
        }
        .execute(&mut *write)
        .await
        .map_err(failed(APPLY))?;
        put_tenants(&mut write, plan, revision).await?;
        put_gates(&mut write, plan).await?;
        account(&mut write, &past, &changed, now).await?;
        let stop: Vec<_> = plan.stop.iter().map(|key| key.as_i64()).collect();
        run(&mut write, sql!("catalog/stop_runs"), &batch(&stop)).await?;
        put_jobs(&mut write, plan, now).await?;
        run(&mut write, sql!("catalog/pass_token"), &changed).await?;
        void_items(&mut write, &changed, now).await?;
        sqlx::query(sql!("catalog/release_items")).execute(&mut *write).await.map_err(failed(APPLY))?;
        run_with(&mut write, sql!("catalog/lower_watermarks"), &changed, now).await?;
        write.commit().await.map_err(failed(APPLY))?;
        Ok(Applied::Done { revision })
    }

    async fn tenants(&self, after: Option<&TenantId>, limit: u32) -> StoreResult<Vec<Member>> {
        let rows = sqlx::query(sql!("catalog/tenants"))
            .bind(after.map_or("", TenantId::as_str))
            .bind(limit)
            .fetch_all(&self.read)
            .await
            .map_err(failed("list tenants"))?;
        rows.iter().map(rows::member).collect()
    }

    async fn jobs(&self, tenant: Option<&TenantId>, job: Option<&JobName>, limit: u32) -> StoreResult<Vec<JobView>> {
        let rows = sqlx::query(sql!("catalog/jobs"))
            .bind(tenant.map(TenantId::as_str))
            .bind(job.map(JobName::as_str))
            .bind(limit)
            .fetch_all(&self.read)
            .await
            .map_err(failed("list jobs"))?;
        let now = self.now();
        rows.iter().map(|row| rows::job(row, now)).collect()
    }

    async fn pause(&self, jobs: &[JobKey], reason: &str, until: Option<Timestamp>) -> StoreResult<u64> {
        self.pause_jobs(jobs, reason, until).await
    }

    async fn resume(&self, jobs: &[JobKey]) -> StoreResult<u64> {
        self.resume_jobs(jobs).await
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

    async fn handled_jobs(&self, handlers: &[String], limit: u32) -> StoreResult<Vec<HandledJob>> {
        let rows = sqlx::query(sql!("catalog/handled_jobs"))
            .bind(batch(handlers))
            .bind(limit)
            .fetch_all(&self.read)
            .await
            .map_err(failed("read the jobs of handlers"))?;
        rows.iter().map(rows::handled_job).collect()
    }
}

impl SqliteStore {
    /// Reads the catalog, or what these statements take of it.
    pub(super) async fn read_catalog(
        &self,
        tenants: &'static str,
        jobs: &'static str,
        of: Option<&str>,
    ) -> StoreResult<CatalogSnapshot> {
        const OPERATION: &str = "read the catalog";
        let (mut tenants, mut jobs) = (sqlx::query(tenants), sqlx::query(jobs));
        if let Some(ids) = of {
            (tenants, jobs) = (tenants.bind(ids), jobs.bind(ids));
        }
        let mut read = self.read.begin().await.map_err(failed(OPERATION))?;
        let catalog = sqlx::query(sql!("catalog/revision")).fetch_one(&mut *read).await.map_err(failed(OPERATION))?;
        let tenants = tenants.fetch_all(&mut *read).await.map_err(failed(OPERATION))?;
        let jobs = jobs.fetch_all(&mut *read).await.map_err(failed(OPERATION))?;
        Ok(CatalogSnapshot {
            revision: rows::get(&catalog, 0)?,
            now: at(self.now()),
            tenants: tenants.iter().map(rows::member).collect::<StoreResult<_>>()?,
            jobs: jobs.iter().map(rows::stored_job).collect::<StoreResult<_>>()?,
            recovery: Recovery { total: rows::count(&catalog, 1)?, per_tenant: rows::count(&catalog, 2)? },
            config: rows::get(&catalog, 3)?,
        })
    }

    /// What this plan leaves behind, counted before the write begins.
    async fn past(&self, plan: &CatalogPlan, changed: &str) -> StoreResult<Past> {
        let rows =
            sqlx::query(sql!("catalog/accounts")).bind(changed).fetch_all(&self.read).await.map_err(failed(APPLY))?;
        let accounts = rows.iter().map(rows::account).collect::<StoreResult<_>>()?;
        Past::count(plan, accounts, at(self.now())).await
    }
}

/// Runs a statement whose one parameter is a batch.
async fn run(write: &mut Transaction<'static, Sqlite>, statement: &'static str, batch: &str) -> StoreResult<()> {
    sqlx::query(statement).bind(batch).execute(&mut **write).await.map_err(failed(APPLY))?;
    Ok(())
}

/// Runs a statement that takes a batch and a number.
async fn run_with(
    write: &mut Transaction<'static, Sqlite>,
    statement: &'static str,
    batch: &str,
    number: i64,
) -> StoreResult<()> {
    sqlx::query(statement).bind(batch).bind(number).execute(&mut **write).await.map_err(failed(APPLY))?;
    Ok(())
}

async fn put_tenants(write: &mut Transaction<'static, Sqlite>, plan: &CatalogPlan, revision: i64) -> StoreResult<()> {
    let rows: Vec<_> = plan
        .put_tenants
        .iter()
        .map(|member| {
            let attributes = serde_json::to_string(&member.tenant).unwrap_or_default();
            (member.id.as_str(), attributes, member.weight, &member.source, &member.row)
        })
        .collect();
    run_with(write, sql!("catalog/put_tenants"), &batch(&rows), revision).await?;
    run_with(write, sql!("catalog/remove_tenants"), &batch(&plan.remove_tenants), revision).await
}

/// What gates allow, and which of them jobs pass that stay as they are otherwise.
async fn put_gates(write: &mut Transaction<'static, Sqlite>, plan: &CatalogPlan) -> StoreResult<()> {
    let gates: Vec<_> = plan
        .put_gates
        .iter()
        .map(|Gate { id, limits }| {
            let rate = limits.rate;
            (id.as_i64(), limits.concurrency, rate.map(|rate| rate.count()), rate.map(|rate| us(rate.per())))
        })
        .collect();
    run(write, sql!("catalog/put_gates"), &batch(&gates)).await?;
    let cleared: Vec<_> = plan.clear_gates.iter().map(|gate| gate.as_i64()).collect();
    run(write, sql!("catalog/clear_gates"), &batch(&cleared)).await?;
    let jobs: Vec<_> =
        plan.regate.iter().map(|job| (job.key.as_i64(), job.gated, crate::gates_json(&job.gates))).collect();
    run(write, sql!("catalog/regate_jobs"), &batch(&jobs)).await
}

/// Records what becomes of due times that no leader came to before this plan changes or removes their jobs.
async fn account(write: &mut Transaction<'static, Sqlite>, past: &Past, changed: &str, now: i64) -> StoreResult<()> {
    let rows =
        sqlx::query(sql!("catalog/accounts")).bind(changed).fetch_all(&mut **write).await.map_err(failed(APPLY))?;
    let accounts = rows.iter().map(rows::account).collect::<StoreResult<_>>()?;
    record_skipped(write, past.rows(&accounts, at(now)).into_iter(), crate::skip_reason, now).await
}

async fn put_jobs(write: &mut Transaction<'static, Sqlite>, plan: &CatalogPlan, now: i64) -> StoreResult<()> {
    let definitions: Vec<_> = plan.definitions.iter().map(|(id, body)| (hex(id.as_uuid()), body.to_json())).collect();
    run(write, sql!("catalog/put_definitions"), &batch(&definitions)).await?;
    let removed: Vec<_> = plan.remove_jobs.iter().map(|job| job.key.as_i64()).collect();
    run(write, sql!("catalog/remove_jobs"), &batch(&removed)).await?;

    let mut dues = FirstDues::at(at(now));
    let jobs = batch(&plan.put_jobs.iter().map(|job| job_row(job, &mut dues)).collect::<Vec<_>>());
    let written = sqlx::query(sql!("catalog/put_jobs")).bind(&jobs).bind(now).execute(&mut **write).await;
    let written = written.map_err(failed(APPLY))?.rows_affected();
    crate::all_written(written, plan.put_jobs.iter().filter(|job| job.reschedule).count())?;
    run(write, sql!("catalog/amend_jobs"), &jobs).await?;

    let closed: Vec<_> = plan.put_jobs.iter().map(|job| job.key.as_i64()).chain(removed).collect();
    run_with(write, sql!("catalog/close_versions"), &batch(&closed), now).await?;
    run_with(write, sql!("catalog/open_versions"), &jobs, now).await
}

/// A job as `put_jobs` takes it: key, tenant, name, version, definition, queue, prio, overlap, max attempts, every, reschedule, next due, buffer,
/// pause after, max runs, gated, gates.
fn job_row(job: &PutJob, dues: &mut FirstDues) -> serde_json::Value {
    let definition = &job.definition;
    let next_due = if job.reschedule { dues.of(job).map(Timestamp::as_microsecond) } else { None };
    serde_json::json!([
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
        u8::from(job.reschedule),
        next_due,
        definition.buffer,
        definition.pause_after,
        definition.schedule.max_runs(),
        job.gated,
        crate::gates_json(&job.gates),
    ])
}

/// Takes out of the queue what the change has made void (invariant I13). What was due already is reported.
async fn void_items(write: &mut Transaction<'static, Sqlite>, changed: &str, now: i64) -> StoreResult<()> {
    let rows =
        sqlx::query(sql!("catalog/void_items")).bind(changed).fetch_all(&mut **write).await.map_err(failed(APPLY))?;
    let mut items = Vec::with_capacity(rows.len());
    let mut due = Vec::new();
    for row in &rows {
        let item = void_item(row)?;
        items.push((item.key, hex(item.id.as_uuid())));
        if item.due <= now || item.attempt > 0 || item.cause != Cause::Schedule {
            due.push(item);
        }
    }
    take(write, &items).await?;
    record_unstarted(write, &due, now).await?;
    Ok(())
}

/// key, id, tenant, cause, due, attempt, no token (the change has set the next due time), active.
fn void_item(row: &SqliteRow) -> StoreResult<Unstarted> {
    let outcome = if rows::get(row, 7)? { Outcome::Superseded } else { Outcome::Cancelled };
    Unstarted::read(row, outcome, crate::dismissal_reason(outcome))
}
