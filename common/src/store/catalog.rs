//! Who the tenants are and which jobs they have.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;

use super::StoreResult;
use crate::catalog::{CatalogPlan, CatalogSnapshot, Member};
use crate::definition::DefinitionId;
use crate::id::{JobKey, JobName, TenantId};
use crate::lease::Term;

/// A job that is paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PauseView {
    /// Since when.
    #[serde(serialize_with = "crate::run::rfc3339")]
    pub since: Timestamp,
    /// Until when; null if nobody has said.
    #[serde(serialize_with = "crate::run::rfc3339_opt")]
    pub until: Option<Timestamp>,
    /// Why.
    pub reason: String,
}

/// A job in a list.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JobView {
    /// Its key.
    #[serde(skip)]
    pub key: JobKey,
    /// Whose it is.
    pub tenant: TenantId,
    /// Its name.
    pub job: JobName,
    /// Its version, 1 for the first.
    pub version: i32,
    /// What it is, as JSON.
    pub definition: serde_json::Value,
    /// Its next due time; null while a run decides it.
    #[serde(serialize_with = "crate::run::rfc3339_opt")]
    pub next_due: Option<Timestamp>,
    /// Its last due time that was fanned out.
    #[serde(serialize_with = "crate::run::rfc3339_opt")]
    pub last_fired: Option<Timestamp>,
    /// Its pause, if it is paused.
    pub paused: Option<PauseView>,
    /// How many runs it has left, if that is limited.
    pub runs_left: Option<u32>,
}

/// A job version and the time in which it was in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobVersion {
    /// 1 for the first.
    pub version: i32,
    /// What the job was.
    pub definition: DefinitionId,
    /// From when on.
    pub valid_from: Timestamp,
    /// Until when; `None` for the current one.
    pub valid_to: Option<Timestamp>,
}

/// The catalog: who the tenants are and which jobs they have.
#[async_trait]
pub trait Catalog: Send + Sync {
    /// All of it, as a plan needs it.
    async fn snapshot(&self) -> StoreResult<CatalogSnapshot>;

    /// Writes a plan in one transaction, if the catalog still has the revision it was made from. Purges what was
    /// fanned out from schedules that change or go (invariant I13).
    /// With a term, only if it still stands (invariant I3): what a leader writes by itself.
    async fn apply(&self, plan: &CatalogPlan, term: Option<&Term>) -> StoreResult<Applied>;

    /// Tenants in order of their ids, after `after`.
    async fn tenants(&self, after: Option<&TenantId>, limit: u32) -> StoreResult<Vec<Member>>;

    /// Active jobs in order of tenant and name.
    async fn jobs(&self, tenant: Option<&TenantId>, job: Option<&JobName>, limit: u32) -> StoreResult<Vec<JobView>>;

    /// Pauses those of these jobs that are not paused, at once, until an instant or [`Catalog::resume`]. What has
    /// started goes on. Answers how many. Each job for itself: if it fails, some may be paused.
    async fn pause(&self, jobs: &[JobKey], reason: &str, until: Option<Timestamp>) -> StoreResult<u64>;

    /// Ends the pause of those of these jobs that are paused. Answers how many.
    async fn resume(&self, jobs: &[JobKey]) -> StoreResult<u64>;

    /// The versions of a job, oldest first; empty if there never was such a job.
    async fn job_versions(&self, tenant: &TenantId, job: &JobName) -> StoreResult<Vec<JobVersion>>;

    /// Of each definition that names one of these handlers, one job that has it now.
    async fn handled_jobs(&self, handlers: &[String], limit: u32) -> StoreResult<Vec<HandledJob>>;
}

/// A job that names a handler, for all that share its definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandledJob {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its name.
    pub job: JobName,
    /// What it is, as JSON text.
    pub definition: String,
}

/// The answer to an apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The catalog has this revision now.
    Done {
        /// The new revision.
        revision: i64,
    },
    /// Somebody else changed the catalog in between: plan again.
    Conflict,
    /// The term has ended: nothing was written.
    StaleTerm,
}
