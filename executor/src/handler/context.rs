//! What a handler knows of its run.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use leasehold_common::definition::Tenant;
use leasehold_common::id::{CorrelationId, JobName};
use leasehold_common::template::{RunScope, Scope};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::HandlerError;
use super::current::Current;
use super::databases::{Databases, TenantDb};
use super::http::callback::Handover;
use super::once::{Held, Once};
use super::state::States;
use crate::breakers::Sight;
use crate::notes::Notebook;

/// One attempt of one run, as its handler sees it. It cannot be built without a tenant, so a handler never works for
/// nobody or for the wrong one by default.
#[derive(Clone, Debug)]
pub struct RunContext {
    tenant: Arc<Tenant>,
    job: JobName,
    run: RunScope,
    payload: Option<Arc<Value>>,
    cancellation: CancellationToken,
    until: Option<Instant>,
    databases: Option<Databases>,
    states: States,
    notebook: Notebook,
    handover: Option<Handover>,
    held: Option<Held>,
    sight: Sight,
}

impl RunContext {
    /// A context of one's own, to call a handler in a test.
    #[must_use]
    pub fn new(tenant: Arc<Tenant>, job: JobName, run: RunScope) -> Self {
        let cancellation = CancellationToken::new();
        Self {
            tenant,
            job,
            run,
            payload: None,
            cancellation,
            until: None,
            databases: None,
            states: States::default(),
            notebook: Notebook::default(),
            handover: None,
            held: None,
            sight: Sight::default(),
        }
    }

    /// The same with a payload.
    #[must_use]
    pub fn with_payload(mut self, payload: Option<Arc<Value>>) -> Self {
        self.payload = payload;
        self
    }

    /// The same, cancelled by `cancellation`.
    #[must_use]
    pub fn with_cancellation(mut self, cancellation: CancellationToken) -> Self {
        self.cancellation = cancellation;
        self
    }

    /// The same with a time limit from now on.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.until = Instant::now().checked_add(timeout);
        self
    }

    /// The same with connections to databases of tenants, as many as an executor has by default.
    #[must_use]
    pub fn with_tenant_databases(self) -> Self {
        self.with_databases(Databases::new(leasehold_store::PoolOptions::default()))
    }

    /// The same with a [`State`](super::State) for the handler.
    #[must_use]
    pub fn with_state<T: Any + Send + Sync>(mut self, state: T) -> Self {
        self.states.put(state);
        self
    }

    pub(crate) fn with_states(mut self, states: States) -> Self {
        self.states = states;
        self
    }

    pub(crate) fn with_held(mut self, held: Held) -> Self {
        self.held = Some(held);
        self
    }

    pub(crate) fn with_databases(mut self, databases: Databases) -> Self {
        self.databases = Some(databases);
        self
    }

    pub(crate) fn with_notebook(mut self, notebook: Notebook) -> Self {
        self.notebook = notebook;
        self
    }

    pub(crate) fn with_handover(mut self, handover: Handover) -> Self {
        self.handover = Some(handover);
        self
    }

    pub(crate) fn handover(&self) -> Option<&Handover> {
        self.handover.as_ref()
    }

    pub(crate) fn with_sight(mut self, sight: Sight) -> Self {
        self.sight = sight;
        self
    }

    /// What is seen of the endpoint.
    pub(crate) fn sight(&self) -> &Sight {
        &self.sight
    }

    pub(crate) fn notebook(&self) -> &Notebook {
        &self.notebook
    }

    /// Whose run it is.
    #[must_use]
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    pub(super) fn shared_tenant(&self) -> Arc<Tenant> {
        Arc::clone(&self.tenant)
    }

    /// What the executor was given of this type.
    #[must_use]
    pub fn state<T: Any>(&self) -> Option<&T> {
        self.states.get()
    }

    /// The job's name.
    #[must_use]
    pub fn job(&self) -> &JobName {
        &self.job
    }

    /// The run's id, the same over all attempts and in every report.
    #[must_use]
    pub fn correlation_id(&self) -> CorrelationId {
        self.run.correlation_id
    }

    /// The number of this attempt, 1 for the first.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.run.attempt
    }

    /// The due time, or the moment of the trigger. Work for "yesterday" is relative to this and not to the clock.
    #[must_use]
    pub fn scheduled_for(&self) -> Timestamp {
        self.run.scheduled_for
    }

    /// A key by which what the handler calls can tell a repeated attempt from a new run. It is the correlation id.
    #[must_use]
    pub fn idempotency_key(&self) -> String {
        self.run.correlation_id.to_string()
    }

    /// The job's payload, with its templates filled in.
    #[must_use]
    pub fn payload(&self) -> Option<&Value> {
        self.payload.as_deref()
    }

    /// The job's payload as a type of one's own; a job without a payload has `null`.
    ///
    /// # Errors
    /// A permanent [`HandlerError`] if it does not fit: another attempt would get the same payload.
    pub fn payload_as<T: DeserializeOwned>(&self) -> Result<T, HandlerError> {
        let payload = self.payload().unwrap_or(&Value::Null);
        T::deserialize(payload).map_err(|error| {
            let what = format!("the payload of job {} does not fit: {error}", self.job);
            HandlerError::permanent(what).code("payload")
        })
    }

    /// A token that is cancelled when the run must stop: its time is up, somebody cancelled it, the executor shuts
    /// down, or the run is no longer this executor's.
    #[must_use]
    pub fn cancellation(&self) -> &CancellationToken {
        &self.cancellation
    }

    /// How much is left of the job's timeout; `None` if there is none.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        self.until.map(|until| until.saturating_duration_since(Instant::now()))
    }

    /// The tenant's own database, by its `database` in the config. Connections are made on demand, bounded for the
    /// executor and for each tenant, and shared with tenants of the same server in turn.
    ///
    /// ```
    /// use leasehold_executor::{HandlerError, RunContext, sqlx};
    /// use serde_json::{Value, json};
    ///
    /// async fn purge(ctx: RunContext) -> Result<Value, HandlerError> {
    ///     let mut tx = ctx.database().await?.postgres().await?;
    ///     let gone = sqlx::query("DELETE FROM cart WHERE NOT paid").execute(&mut *tx).await?.rows_affected();
    ///     tx.commit().await?;
    ///     Ok(json!({ "carts": gone }))
    /// }
    /// ```
    ///
    /// # Errors
    /// A permanent one if the tenant has no database; another if the URL or the password cannot be found.
    pub async fn database(&self) -> Result<TenantDb, HandlerError> {
        let databases = self.databases.clone().ok_or_else(|| {
            HandlerError::permanent("this context has no databases; a test makes one with `with_tenant_databases`")
        })?;
        let place = databases.place(&self.tenant).await?;
        Ok(TenantDb { pools: databases.pools, place, limit: self.time_left() })
    }

    /// Does something once over all attempts of this run; see [`Once`] for what that can promise and what not.
    ///
    /// # Errors
    /// Those of [`Once::run`].
    pub async fn once<T, E>(&self, name: &str, work: impl Future<Output = Result<T, E>>) -> Result<T, HandlerError>
    where
        T: Serialize + DeserializeOwned,
        E: Into<HandlerError>,
    {
        Once::of(self).run(name, work).await
    }

    pub(super) fn held(&self) -> Option<&Held> {
        self.held.as_ref()
    }

    /// Who the run is, for [`super::current`].
    pub(crate) fn current(&self) -> Current {
        Current {
            tenant: Arc::clone(&self.tenant),
            job: self.job.clone(),
            correlation_id: self.run.correlation_id,
            attempt: self.run.attempt,
        }
    }

    /// Says how much of the run is done, 0 to 100, and what it is doing, for `leasehold runs show`. It is written at most
    /// once a second, and costs nothing in between; the beginning of a long message is kept.
    pub fn progress(&self, percent: u8, message: impl AsRef<str>) {
        self.notebook.progress(percent, message.as_ref());
    }

    /// Adds a line, or several, to the log of the run, of which `leasehold runs show` has the last 20. Written as
    /// [`RunContext::progress`] is.
    pub fn log(&self, line: impl AsRef<str>) {
        self.notebook.log(line.as_ref());
    }

    /// Waits until the run must stop.
    pub async fn cancelled(&self) {
        self.cancellation.cancelled().await;
    }

    pub(crate) fn scope(&self) -> Scope<'_> {
        Scope { tenant: &self.tenant, job: &self.job, run: Some(self.run) }
    }

    /// The due time as every handler writes it: RFC 3339, UTC, milliseconds.
    pub(crate) fn scheduled_for_text(&self) -> String {
        format!("{:.3}", self.run.scheduled_for)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use leasehold_common::id::TenantId;
    use serde::Deserialize;
    use serde_json::json;

    /// A first attempt of `acme`'s `sync-orders`.
    pub(crate) fn context() -> RunContext {
        let tenant = Tenant {
            plan: Some("enterprise".to_owned()),
            features: ["billing".to_owned()].into(),
            labels: [("region".to_owned(), "us/east 1".to_owned())].into(),
            ..Tenant::new(TenantId::new("acme").unwrap())
        };
        let run = RunScope {
            correlation_id: "019aa3e1-c07b-8000-8bd5-c3a6a4f5a1b2".parse().unwrap(),
            attempt: 1,
            scheduled_for: "2026-11-21T02:00:00.123Z".parse().unwrap(),
        };
        RunContext::new(Arc::new(tenant), JobName::new("sync-orders").unwrap(), run)
    }

    #[test]
    fn a_payload_is_read_as_a_type_and_a_misfit_is_permanent() {
        #[derive(Deserialize, Debug, PartialEq)]
        struct Input {
            limit: u32,
        }
        let with = |payload| context().with_payload(Some(Arc::new(payload))).payload_as::<Input>();
        assert_eq!(with(json!({ "limit": 3 })), Ok(Input { limit: 3 }));
        let misfit = with(json!({ "limit": "many" })).unwrap_err();
        assert!(!misfit.retry && misfit.message.contains("sync-orders"), "{misfit}");
        assert_eq!(context().payload_as::<Option<u8>>(), Ok(None));
    }
}
