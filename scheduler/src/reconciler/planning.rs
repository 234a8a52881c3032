//! A plan with the stored definitions that it wants to see.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use leasehold_common::catalog::{self, CatalogPlan, CatalogSnapshot, Desired, PlanError};
use leasehold_common::definition::{Definition, DefinitionId};
use leasehold_common::store::{ErrorKind, Schedules, StoreError, StoreResult};

/// So many definitions are fetched at once.
const FETCH: usize = 500;

/// So many definitions are remembered from one plan to the next.
const REMEMBERED: usize = 20_000;

/// Makes plans, and remembers the definitions that they wanted to see.
#[derive(Debug, Default)]
pub struct Planner {
    known: HashMap<DefinitionId, Arc<Definition>>,
}

impl Planner {
    /// Plans twice if need be: the first pass finds out which stored definitions the comparison wants to see. Works off
    /// the threads that serve connections.
    ///
    /// # Errors
    /// If the store does not answer. That there is no plan is an answer.
    pub async fn plan(
        &mut self,
        store: &(impl Schedules + ?Sized),
        desired: Arc<Desired>,
        stored: Arc<CatalogSnapshot>,
    ) -> StoreResult<Result<CatalogPlan, PlanError>> {
        if self.known.len() > REMEMBERED {
            self.known.clear();
        }
        loop {
            let (desired, stored, known) = (Arc::clone(&desired), Arc::clone(&stored), std::mem::take(&mut self.known));
            let work = move || {
                let missing = RefCell::new(BTreeSet::new());
                let plan = catalog::plan(&desired, &stored, |id| {
                    let found = known.get(&id).cloned();
                    if found.is_none() {
                        missing.borrow_mut().insert(id);
                    }
                    found
                });
                (plan, missing.into_inner(), known)
            };
            let broken = |error| StoreError::new(ErrorKind::Unavailable, "plan the catalog", error);
            let (plan, missing, known) = tokio::task::spawn_blocking(work).await.map_err(broken)?;
            self.known = known;
            if missing.is_empty() || !self.learn(store, missing).await? {
                return Ok(plan);
            }
        }
    }

    /// Answers whether there was anything to learn. Definitions that a newer version wrote and this one cannot read are
    /// left out: a plan then takes their schedule for changed, which is safe.
    async fn learn(&mut self, store: &(impl Schedules + ?Sized), ids: BTreeSet<DefinitionId>) -> StoreResult<bool> {
        let (ids, mut learnt) = (ids.into_iter().collect::<Vec<_>>(), false);
        for ids in ids.chunks(FETCH) {
            for (id, json) in store.definitions(ids).await? {
                if let Ok(definition) = serde_json::from_str(&json) {
                    self.known.insert(id, Arc::new(definition));
                    learnt = true;
                }
            }
        }
        Ok(learnt)
    }
}
