//! Tenants and jobs.

use std::collections::HashSet;

use async_trait::async_trait;
use jiff::Timestamp;
use leasehold_common::catalog::{CatalogPlan, CatalogSnapshot, FirstDues, Member, PutJob, Recovery};
use leasehold_common::id::{JobKey, JobName, TenantId};
use leasehold_common::lease::Term;
use leasehold_common::limit::Gate;
use leasehold_common::run::Outcome;
use leasehold_common::store::{Applied, Catalog, HandledJob, JobVersion, JobView, StoreResult};
use sqlx::{Postgres, Transaction};
use uuid::Uuid;

use super::schedules::SkippedRows;
use super::{PgStore, int, rows};
use crate::clock::{at, us};
use crate::past::{Past, changed_jobs};

const APPLY: &str = "apply the catalog";

/// Rows a statement: large enough that round trips do not count, small enough for the server's memory.
const CHUNK: usize = 20_000;

/// So many jobs are paused or resumed one by one, which meets no other statement in another order of locks; more of them
/// in pieces, which are repeated if they do.
const ONE_BY_ONE: usize = 100;

/// Jobs of one such piece.
const PIECE: usize = 500;

fn pieces(jobs: &[JobKey]) -> impl Iterator<Item = Vec<i64>> {
    let size = if jobs.len() <= ONE_BY_ONE { 1 } else { PIECE };
    jobs.chunks(size).map(|piece| piece.iter().map(|key| key.as_i64()).collect())
}

#[async_trait]
impl Catalog for PgStore {
    async fn snapshot(&self) -> StoreResult<CatalogSnapshot> {
        self.read_catalog(sql!("catalog/all_tenants"), sql!("catalog/all_jobs"), None).await
    }

    async fn apply(&self, plan: &CatalogPlan, term: Option<&Term>) -> StoreResult<Applied> {
        self.repeated(|| self.apply_once(plan, term)).await
    }

    async fn tenants(&self, after: Option<&TenantId>, limit: u32) -> StoreResult<Vec<Member>> {
        let rows = sqlx::query(sql!("catalog/tenants"))
            .bind(after.map_or("", TenantId::as_str))
            .bind(i64::from(limit))
            .fetch_all(&self.view)
            .await
            .map_err(self.failed("list tenants"))?;
        rows.iter().map(rows::member).collect()
    }

    async fn jobs(&self, tenant: Option<&TenantId>, job: Option<&JobName>, limit: u32) -> StoreResult<Vec<JobView>> {
        let rows = sqlx::query(sql!("catalog/jobs"))
            .bind(tenant.map(TenantId::as_str))
            .bind(job.map(JobName::as_str))
            .bind(i64::from(limit))
            .fetch_all(&self.view)
            .await
            .map_err(self.failed("list jobs"))?;
        rows.iter().map(|row| rows::job(row, rows::get(row, 11)?)).collect()
    }

    async fn pause(&self, jobs: &[JobKey], reason: &str, until: Option<Timestamp>) -> StoreResult<u64> {
        let until = until.map(Timestamp::as_microsecond);
        let mut paused = 0;
        for keys in pieces(jobs) {
            paused += self.repeated(|| self.pause_once(&keys, reason, until)).await?;
        }
        Ok(paused)
    }

    async fn resume(&self, jobs: &[JobKey]) -> StoreResult<u64> {
        let mut resumed = 0;
        for keys in pieces(jobs) {
            resumed += self.repeated(|| self.resume_once(&keys)).await?;
        }
        Ok(resumed)
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

    async fn handled_jobs(&self, handlers: &[String], limit: u32) -> StoreResult<Vec<HandledJob>> {
        let rows = sqlx::query(sql!("catalog/handled_jobs"))
            .bind(handlers)
            .bind(i64::from(limit))
            .fetch_all(&self.view)
            .await
            .map_err(self.failed("read the jobs of handlers"))?;
        rows.iter().map(rows::handled_job).collect()
    }
}

impl PgStore {
    /// Reads the catalog, or what these statements take of it.
    pub(super) async fn read_catalog(
        &self,
        tenants: &'static str,
        jobs: &'static str,
        of: Option<&[&str]>,
    ) -> StoreResult<CatalogSnapshot> {
        let failed = self.failed("read the catalog");
        let (mut tenants, mut jobs) = (sqlx::query(tenants), sqlx::query(jobs));
        if let Some(ids) = of {
            (tenants, jobs) = (tenants.bind(ids), jobs.bind(ids));
        }
        // One snapshot for all three reads.
        let mut read =
            self.view.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await.map_err(&failed)?;
        let row = sqlx::query(sql!("catalog/revision")).fetch_one(&mut *read).await.map_err(&failed)?;
        let tenants = tenants.fetch_all(&mut *read).await.map_err(&failed)?;
        let jobs = jobs.fetch_all(&mut *read).await.map_err(&failed)?;
        read.commit().await.map_err(&failed)?;
        Ok(CatalogSnapshot {
            revision: rows::get(&row, 0)?,
            now: at(rows::get(&row, 1)?),
            tenants: tenants.iter().map(rows::member).collect::<StoreResult<_>>()?,
            jobs: jobs.iter().map(rows::stored_job).collect::<StoreResult<_>>()?,
            recovery: Recovery { total: rows::count(&row, 2)?, per_tenant: rows::count(&row, 3)? },
            config: rows::get(&row, 4)?,
        })
    }

    async fn pause_once(&self, keys: &[i64], reason: &str, until: Option<i64>) -> StoreResult<u64> {
        let failed = self.failed("pause jobs");
        let mut write = self.work.begin().await.map_err(&failed)?;
        let tokens = self.hold_tokens(&mut write, keys).await?;
        let paused = sqlx::query(sql!("catalog/pause"))
            .bind(keys)
            .bind(reason)
            .bind(until)
            .bind(tokens)
            .execute(&mut *write)
            .await
            .map_err(&failed)?;
        write.commit().await.map_err(&failed)?;
        Ok(paused.rows_affected())
    }

    async fn resume_once(&self, keys: &[i64]) -> StoreResult<u64> {
        let failed = self.failed("resume jobs");
        let mut write = self.work.begin().await.map_err(&failed)?;
        let tokens = self.hold_tokens(&mut write, keys).await?;
        let resumed =
            sqlx::query(sql!("catalog/resume")).bind(keys).bind(tokens).execute(&mut *write).await.map_err(&failed)?;
        write.commit().await.map_err(&failed)?;
        Ok(resumed.rows_affected())
    }

    /// Which of these jobs have their interval token in flight, where it stays until this transaction ends.
    async fn hold_tokens(&self, write: &mut Transaction<'static, Postgres>, keys: &[i64]) -> StoreResult<Vec<i64>> {
        let failed = self.failed("look for interval tokens");
        sqlx::query(sql!("catalog/lock_items")).bind(keys).execute(&mut **write).await.map_err(&failed)?;
        self.lock_runs(write, keys, &[]).await.map_err(&failed)?;
        sqlx::query_scalar(sql!("catalog/tokens")).bind(keys).fetch_all(&mut **write).await.map_err(&failed)
    }

    async fn apply_once(&self, plan: &CatalogPlan, term: Option<&Term>) -> StoreResult<Applied> {
        let failed = self.failed(APPLY);
        let changed = changed_jobs(plan);
        let past = self.past(plan, &changed).await?;
        let mut write = self.work.begin().await.map_err(&failed)?;
        if let Some(term) = term {
            let stands = sqlx::query(sql!("lease/fence"))
                .bind(term.holder)
                .bind(term.epoch)
                .fetch_optional(&mut *write)
                .await
                .map_err(&failed)?;
            if stands.is_none() {
                return Ok(Applied::StaleTerm);
            }
        }
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

        if let Some(recovery) = plan.recovery {
            sqlx::query(sql!("catalog/set_recovery"))
                .bind(int(recovery.total))
                .bind(int(recovery.per_tenant))
                .execute(&mut *write)
                .await
                .map_err(&failed)?;
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
        .map_err(&failed)?;

        let stop: Vec<i64> = plan.stop.iter().map(|key| key.as_i64()).collect();
        sqlx::query(sql!("catalog/lock_items")).bind(&changed).execute(&mut *write).await.map_err(&failed)?;
        self.put_gates(&mut write, plan).await?;
        let held = self.lock_runs(&mut write, &changed, &stop).await.map_err(&failed)?;
        // Whatever this plan says of time counts from here.
        let now: i64 =
            sqlx::query_scalar("SELECT leasehold.clock_us()").fetch_one(&mut *write).await.map_err(&failed)?;
        let past = self.account(&mut write, &past, &changed, now).await?;

        self.regate_jobs(&mut write, plan).await?;
        self.put_jobs(&mut write, plan, &held, now).await?;
        sqlx::query(sql!("catalog/pass_token")).bind(&held).execute(&mut *write).await.map_err(&failed)?;
        sqlx::query(sql!("catalog/void_items"))
            .bind(&changed)
            .bind([crate::dismissal_reason(Outcome::Cancelled), crate::dismissal_reason(Outcome::Superseded)])
            .bind(now)
            .fetch_one(&mut *write)
            .await
            .map_err(&failed)?;
        let regated: Vec<i64> = plan.regate.iter().map(|job| job.key.as_i64()).collect();
        let put: Vec<i64> = plan.put_jobs.iter().map(|job| job.key.as_i64()).collect();
        sqlx::query(sql!("catalog/release_items"))
            .bind([regated, put].concat())
            .execute(&mut *write)
            .await
            .map_err(&failed)?;
        sqlx::query(sql!("catalog/lower_watermarks"))
            .bind(&changed)
            .bind(now)
            .execute(&mut *write)
            .await
            .map_err(&failed)?;
        if !past.ids.is_empty() {
            sqlx::query(sql!("catalog/report_past"))
                .bind(&past.ids)
                .bind(&past.keys)
                .bind(&past.last)
                .bind(&past.first)
                .bind(&past.counts)
                .bind(&past.outcomes)
                .bind(&past.errors)
                .bind(now)
                .execute(&mut *write)
                .await
                .map_err(&failed)?;
        }
        write.commit().await.map_err(&failed)?;
        Ok(Applied::Done { revision })
    }

    /// Locks what runs of these jobs, and the jobs. Before it, `catalog/lock_items` has waited for claims that are starting
    /// work of theirs. Answers the jobs that have a scheduled run in flight. Asks what runs of `stop` to stop.
    async fn lock_runs(
        &self,
        write: &mut Transaction<'static, Postgres>,
        jobs: &[i64],
        stop: &[i64],
    ) -> Result<Vec<i64>, sqlx::Error> {
        let held: Vec<i64> = sqlx::query_scalar(sql!("catalog/lock_tokens")).bind(jobs).fetch_all(&mut **write).await?;
        if !stop.is_empty() {
            sqlx::query(sql!("catalog/stop_runs")).bind(stop).execute(&mut **write).await?;
        }
        sqlx::query(sql!("catalog/lock_jobs")).bind(jobs).execute(&mut **write).await?;
        Ok(held.into_iter().collect::<HashSet<_>>().into_iter().collect())
    }

    /// What this plan leaves behind, counted before anything is locked.
    async fn past(&self, plan: &CatalogPlan, changed: &[i64]) -> StoreResult<Past> {
        let failed = self.failed(APPLY);
        let rows = sqlx::query(sql!("catalog/accounts")).bind(changed).fetch_all(&self.work).await.map_err(&failed)?;
        let accounts = rows.iter().map(rows::account).collect::<StoreResult<_>>()?;
        let now: i64 =
            sqlx::query_scalar("SELECT leasehold.clock_us()").fetch_one(&self.work).await.map_err(&failed)?;
        Past::count(plan, accounts, at(now)).await
    }

    /// The same, up to this instant and with the jobs locked.
    async fn account(
        &self,
        write: &mut Transaction<'static, Postgres>,
        past: &Past,
        changed: &[i64],
        now: i64,
    ) -> StoreResult<SkippedRows> {
        let rows = sqlx::query(sql!("catalog/accounts"))
            .bind(changed)
            .fetch_all(&mut **write)
            .await
            .map_err(self.failed(APPLY))?;
        let accounts = rows.iter().map(rows::account).collect::<StoreResult<_>>()?;
        let mut skipped = SkippedRows::default();
        past.rows(&accounts, at(now)).iter().for_each(|(key, row)| skipped.push(*key, row));
        Ok(skipped)
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
                chunk.iter().map(|member| serde_json::to_string(&member.tenant).unwrap_or_default()).collect();
            let weights: Vec<_> = chunk.iter().map(|member| int(member.weight)).collect();
            let sources: Vec<_> = chunk.iter().map(|member| member.source.as_str()).collect();
            let roster_rows: Vec<_> = chunk.iter().map(|member| member.row.as_deref()).collect();
            sqlx::query(sql!("catalog/put_tenants"))
                .bind(ids)
                .bind(attributes)
                .bind(revision)
                .bind(weights)
                .bind(sources)
                .bind(roster_rows)
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

    /// What gates allow. They are locked after what is queued and before what runs, as everywhere.
    async fn put_gates(&self, write: &mut Transaction<'static, Postgres>, plan: &CatalogPlan) -> StoreResult<()> {
        let failed = self.failed(APPLY);
        let put = plan.put_gates.iter().map(|gate| gate.id);
        let all: Vec<_> = put.chain(plan.clear_gates.iter().copied()).map(|gate| gate.as_i64()).collect();
        sqlx::query(sql!("catalog/lock_gates")).bind(all).execute(&mut **write).await.map_err(&failed)?;
        for chunk in plan.put_gates.chunks(CHUNK) {
            let rate = |gate: &Gate| gate.limits.rate;
            sqlx::query(sql!("catalog/put_gates"))
                .bind(chunk.iter().map(|gate| gate.id.as_i64()).collect::<Vec<_>>())
                .bind(chunk.iter().map(|gate| gate.limits.concurrency.map(int)).collect::<Vec<_>>())
                .bind(chunk.iter().map(|gate| rate(gate).map(|rate| int(rate.count()))).collect::<Vec<_>>())
                .bind(chunk.iter().map(|gate| rate(gate).map(|rate| us(rate.per()))).collect::<Vec<_>>())
                .execute(&mut **write)
                .await
                .map_err(&failed)?;
        }
        let cleared: Vec<_> = plan.clear_gates.iter().map(|gate| gate.as_i64()).collect();
        sqlx::query(sql!("catalog/clear_gates")).bind(cleared).execute(&mut **write).await.map_err(&failed)?;
        Ok(())
    }

    /// Which gates jobs pass that stay as they are otherwise.
    async fn regate_jobs(&self, write: &mut Transaction<'static, Postgres>, plan: &CatalogPlan) -> StoreResult<()> {
        let failed = self.failed(APPLY);
        for chunk in plan.regate.chunks(CHUNK) {
            sqlx::query(sql!("catalog/regate_jobs"))
                .bind(chunk.iter().map(|job| job.key.as_i64()).collect::<Vec<_>>())
                .bind(chunk.iter().map(|job| job.gated).collect::<Vec<_>>())
                .bind(chunk.iter().map(|job| crate::gates_json(&job.gates)).collect::<Vec<_>>())
                .execute(&mut **write)
                .await
                .map_err(&failed)?;
        }
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
        now: i64,
    ) -> StoreResult<()> {
        let failed = self.failed(APPLY);
        let gone: Vec<i64> = plan.remove_jobs.iter().map(|job| job.key.as_i64()).collect();
        sqlx::query(sql!("catalog/remove_jobs")).bind(&gone).execute(&mut **write).await.map_err(&failed)?;
        sqlx::query(sql!("catalog/close_versions"))
            .bind(&gone)
            .bind(now)
            .execute(&mut **write)
            .await
            .map_err(&failed)?;
        for chunk in plan.put_jobs.chunks(CHUNK) {
            let (new, kept): (Vec<_>, Vec<_>) = chunk.iter().partition(|job| job.reschedule);
            let new = Jobs::of(&new, now);
            let written = sqlx::query(sql!("catalog/put_jobs"))
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
                .bind(&new.buffers)
                .bind(&new.pause_after)
                .bind(&new.max_runs)
                .bind(now)
                .bind(held)
                .bind(&new.gated)
                .bind(&new.gates)
                .execute(&mut **write)
                .await
                .map_err(&failed)?;
            crate::all_written(written.rows_affected(), new.keys.len())?;
            let kept = Jobs::of(&kept, now);
            sqlx::query(sql!("catalog/amend_jobs"))
                .bind(&kept.keys)
                .bind(&kept.versions)
                .bind(&kept.definitions)
                .bind(&kept.queues)
                .bind(&kept.prios)
                .bind(&kept.overlaps)
                .bind(&kept.max_attempts)
                .bind(&kept.buffers)
                .bind(&kept.pause_after)
                .bind(&kept.gated)
                .bind(&kept.gates)
                .execute(&mut **write)
                .await
                .map_err(&failed)?;
            for jobs in [&new, &kept] {
                sqlx::query(sql!("catalog/close_versions"))
                    .bind(jobs.known())
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
    buffers: Vec<i32>,
    pause_after: Vec<Option<i32>>,
    max_runs: Vec<Option<i32>>,
    gated: Vec<bool>,
    gates: Vec<Option<String>>,
}

impl<'a> Jobs<'a> {
    /// Those that were there before.
    fn known(&self) -> Vec<i64> {
        let jobs = self.keys.iter().zip(&self.versions);
        jobs.filter(|(_, version)| **version > 1).map(|(key, _)| *key).collect()
    }

    fn of(jobs: &[&'a PutJob], now: i64) -> Self {
        let mut dues = FirstDues::at(at(now));
        let mut first = |job: &PutJob| dues.of(job).map(Timestamp::as_microsecond);
        Self {
            keys: jobs.iter().map(|job| job.key.as_i64()).collect(),
            tenants: jobs.iter().map(|job| job.tenant.as_str()).collect(),
            names: jobs.iter().map(|job| job.name.as_str()).collect(),
            versions: jobs.iter().map(|job| job.version).collect(),
            definitions: jobs.iter().map(|job| job.definition_id.as_uuid()).collect(),
            queues: jobs.iter().map(|job| job.definition.queue.as_str()).collect(),
            prios: jobs.iter().map(|job| job.definition.priority).collect(),
            overlaps: jobs.iter().map(|job| job.definition.overlap.code()).collect(),
            max_attempts: jobs.iter().map(|job| int(job.definition.retry.attempts)).collect(),
            every: jobs.iter().map(|job| job.definition.schedule.interval().map(us)).collect(),
            next_due: jobs.iter().map(|job| job.reschedule.then(|| first(job)).flatten()).collect(),
            buffers: jobs.iter().map(|job| int(job.definition.buffer)).collect(),
            pause_after: jobs.iter().map(|job| job.definition.pause_after.map(int)).collect(),
            max_runs: jobs.iter().map(|job| job.definition.schedule.max_runs().map(int)).collect(),
            gated: jobs.iter().map(|job| job.gated).collect(),
            gates: jobs.iter().map(|job| crate::gates_json(&job.gates)).collect(),
        }
    }
}
