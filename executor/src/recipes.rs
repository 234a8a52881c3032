//! What the runs of a claim do: their definitions, compiled, and their tenants, both cached.
//!
//! Definitions are content-addressed, so a cached one is never stale; a tenant is good while its revision is the one
//! the claim names. What is missing for a whole claim is fetched in one call of each kind. Runs that were enqueued may have a
//! payload of their own.
//!
//! On failure: what cannot be found or read is an answer ([`Recipe::error`], no tenant), since only its own run
//! suffers; an error is that the store could not be asked.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use leasehold_common::definition::{Definition, DefinitionId, HandlerSpec, Tenant};
use leasehold_common::id::{CorrelationId, TenantId};
use leasehold_common::need;
use leasehold_common::retry::RetryPolicy;
use leasehold_common::run::Cause;
use leasehold_common::store::{ClaimedRun, SharedStore, StoreResult};
use lru::LruCache;
use serde_json::Value;

use crate::handler::command::CommandCall;
use crate::handler::http::HttpCall;
use crate::handler::sql::SqlCall;

/// A few megabytes each.
const RECIPES_KEPT: NonZeroUsize = NonZeroUsize::new(4_096).unwrap();
const TENANTS_KEPT: NonZeroUsize = NonZeroUsize::new(20_000).unwrap();

/// A definition, ready to run.
#[derive(Debug)]
pub(crate) struct Recipe {
    /// What to do, or why nothing can be done.
    pub(crate) action: Result<Action, String>,
    /// The host and port that it calls, if a breaker shall watch over it.
    pub(crate) endpoint: Option<String>,
    pub(crate) payload: Option<Arc<Value>>,
    /// Whether texts in the payload are templates.
    pub(crate) templated: bool,
    pub(crate) timeout: Duration,
    pub(crate) retry: RetryPolicy,
}

/// What to do.
#[derive(Debug)]
pub(crate) enum Action {
    Http(HttpCall),
    Command(CommandCall),
    Sql(SqlCall),
    Named(String),
}

impl Recipe {
    fn compile(json: &str) -> Self {
        match serde_json::from_str::<Definition>(json) {
            Ok(definition) => Self {
                action: compile(&definition.handler),
                endpoint: need::endpoint(&definition.handler),
                payload: definition.payload.map(Arc::new),
                templated: definition.templated,
                timeout: definition.timeout,
                retry: definition.retry,
            },
            Err(error) => Self::error(format!("this version cannot read the job's definition: {error}")),
        }
    }

    /// Nothing can be done; retried by the rules that a job has when it names none, since another executor may be of
    /// another mind.
    fn error(message: String) -> Self {
        Self {
            action: Err(message),
            endpoint: None,
            payload: None,
            templated: false,
            timeout: Definition::DEFAULT_TIMEOUT,
            retry: RetryPolicy::default(),
        }
    }

    /// The recipe of a definition that the store does not have.
    pub(crate) fn unknown(id: DefinitionId) -> Self {
        Self::error(format!("the store has no definition {}", id.as_uuid()))
    }
}

fn compile(handler: &HandlerSpec) -> Result<Action, String> {
    match handler {
        HandlerSpec::Http(spec) => HttpCall::compile(spec).map(Action::Http),
        HandlerSpec::Command(spec) => CommandCall::compile(spec).map(Action::Command),
        HandlerSpec::Sql { statements } => SqlCall::compile(statements).map(Action::Sql),
        HandlerSpec::Named { name } => Ok(Action::Named(name.clone())),
    }
}

/// A claimed run with all it takes to run it.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) run: ClaimedRun,
    pub(crate) recipe: Arc<Recipe>,
    /// `None`: the catalog no longer has it.
    pub(crate) tenant: Option<Arc<Tenant>>,
    /// What was handed over with this run, instead of the job's payload.
    pub(crate) payload: Option<Arc<Value>>,
}

/// The caches.
pub(crate) struct Recipes {
    store: SharedStore,
    recipes: Mutex<LruCache<DefinitionId, Arc<Recipe>>>,
    tenants: Mutex<LruCache<TenantId, (Arc<Tenant>, i64)>>,
}

impl Recipes {
    pub(crate) fn new(store: SharedStore) -> Self {
        Self {
            store,
            recipes: Mutex::new(LruCache::new(RECIPES_KEPT)),
            tenants: Mutex::new(LruCache::new(TENANTS_KEPT)),
        }
    }

    /// Gives each run its recipe and tenant, in the order of the runs.
    pub(crate) async fn prepare(&self, runs: &[ClaimedRun]) -> StoreResult<Vec<Prepared>> {
        let recipes = self.recipes_of(runs).await?;
        let tenants = self.tenants_of(runs).await?;
        let payloads = self.payloads_of(runs).await?;
        let prepare = |run: &ClaimedRun| Prepared {
            run: run.clone(),
            recipe: match recipes.get(&run.definition) {
                Some(recipe) => Arc::clone(recipe),
                None => Arc::new(Recipe::unknown(run.definition)),
            },
            tenant: tenants.get(&run.tenant).cloned(),
            payload: payloads.get(&run.id).cloned(),
        };
        Ok(runs.iter().map(prepare).collect())
    }

    /// What was handed over with runs; nothing is asked if none was enqueued.
    async fn payloads_of(&self, runs: &[ClaimedRun]) -> StoreResult<HashMap<CorrelationId, Arc<Value>>> {
        let may_have_one = |run: &&ClaimedRun| matches!(run.cause, Cause::Enqueue | Cause::Redrive);
        let enqueued: Vec<_> = runs.iter().filter(may_have_one).map(|run| run.id).collect();
        if enqueued.is_empty() {
            return Ok(HashMap::new());
        }
        let found = self.store.payloads(&enqueued).await?.into_iter();
        // The store took it for JSON.
        Ok(found.filter_map(|(id, text)| Some((id, Arc::new(serde_json::from_str(&text).ok()?)))).collect())
    }

    async fn recipes_of(&self, runs: &[ClaimedRun]) -> StoreResult<HashMap<DefinitionId, Arc<Recipe>>> {
        let mut found = HashMap::new();
        let mut missing = Vec::new();
        {
            let mut cache = lock(&self.recipes);
            for run in runs {
                if found.contains_key(&run.definition) {
                    continue;
                }
                match cache.get(&run.definition) {
                    Some(recipe) => drop(found.insert(run.definition, Arc::clone(recipe))),
                    None => missing.push(run.definition),
                }
            }
        }
        missing.sort_unstable();
        missing.dedup();
        if !missing.is_empty() {
            for (id, json) in self.store.definitions(&missing).await? {
                let recipe = Arc::new(Recipe::compile(&json));
                lock(&self.recipes).put(id, Arc::clone(&recipe));
                found.insert(id, recipe);
            }
        }
        Ok(found)
    }

    async fn tenants_of(&self, runs: &[ClaimedRun]) -> StoreResult<HashMap<TenantId, Arc<Tenant>>> {
        let mut found = HashMap::new();
        let mut missing = Vec::new();
        {
            let mut cache = lock(&self.tenants);
            for run in runs {
                if found.contains_key(&run.tenant) {
                    continue;
                }
                match cache.get(&run.tenant) {
                    Some((tenant, revision)) if *revision >= run.tenant_revision => {
                        found.insert(run.tenant.clone(), Arc::clone(tenant));
                    }
                    _ => missing.push(run.tenant.clone()),
                }
            }
        }
        missing.sort_unstable();
        missing.dedup();
        if !missing.is_empty() {
            for (tenant, revision) in self.store.tenants_by_id(&missing).await? {
                let tenant = Arc::new(tenant);
                lock(&self.tenants).put(tenant.id.clone(), (Arc::clone(&tenant), revision));
                found.insert(tenant.id.clone(), tenant);
            }
        }
        Ok(found)
    }
}

fn lock<T>(cache: &Mutex<T>) -> MutexGuard<'_, T> {
    cache.lock().unwrap_or_else(PoisonError::into_inner)
}
