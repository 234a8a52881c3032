//! From a config to a changed catalog: the way that `apply` and `dev` share.
//!
//! Plans against a snapshot, shows the plan, and writes it if nobody changed the catalog meanwhile; otherwise plans
//! again. A plan that would remove a large share of the jobs is refused unless that was asked for: an empty or
//! half-written file must not end a platform's work.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use leasehold_common::catalog::{self, CatalogPlan, CatalogSnapshot, Desired, PlanError};
use leasehold_common::config::{self, Config, LoadError};
use leasehold_common::definition::{Definition, DefinitionId};
use leasehold_common::store::{Applied, Store};

use crate::failure::Failure;
use crate::render::check;
use crate::render::style::Palette;
use crate::render::text::count;

/// A plan that removes more of the jobs than this needs `--allow-removal`.
const REMOVAL_LIMIT: f64 = 0.3;

/// So many definitions are fetched at once.
const FETCH: usize = 500;

/// So often the catalog may change under our hands before we give up.
const TRIES: usize = 5;

/// Reads and checks a config, and prints what was found on stderr.
pub(crate) fn load(file: &Path) -> Result<Config, Failure> {
    let checked = config::load(file).map_err(unreadable)?;
    leasehold_ops::say_part!("{}", check::diagnostics(&checked, Palette::stderr()));
    checked.config.ok_or_else(|| {
        leasehold_ops::say!("{}", check::refusal(file, &checked.diagnostics, checked.omitted));
        Failure::InvalidTold
    })
}

/// The reason stands in the error's source.
pub(crate) fn unreadable(error: LoadError) -> Failure {
    let source = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
    Failure::Invalid(format!("{error}{source}"))
}

/// What an apply may do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Permission {
    /// Plan only.
    pub(crate) dry_run: bool,
    /// Remove any share of the jobs.
    pub(crate) removal: bool,
}

/// What an apply did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// The catalog was as the config says.
    Nothing,
    /// It would have to change, and was not to be.
    Planned,
    /// It has this revision now.
    Revision(i64),
}

/// Brings the catalog of the store to what is desired; `show` is given each plan before it is written.
pub(crate) async fn apply(
    store: &dyn Store,
    desired: &Desired,
    permission: Permission,
    mut show: impl FnMut(&CatalogPlan) -> Result<(), Failure>,
) -> Result<Done, Failure> {
    for _ in 0..TRIES {
        let plan = plan(store, desired).await?;
        if plan.is_empty() {
            return Ok(Done::Nothing);
        }
        show(&plan)?;
        refuse_removal(&plan, permission.removal)?;
        if permission.dry_run {
            return Ok(Done::Planned);
        }
        match store.apply(&plan, None).await? {
            Applied::Done { revision } => return Ok(Done::Revision(revision)),
            Applied::Conflict => {
                leasehold_ops::say!("the catalog was changed by somebody else in this moment: planning again")
            }
            Applied::StaleTerm => return Err(Failure::Refused("the store refused a write without a term".to_owned())),
        }
    }
    Err(Failure::Refused("the catalog keeps changing under our hands: try again when nobody else applies".to_owned()))
}

fn refuse_removal(plan: &CatalogPlan, allowed: bool) -> Result<(), Failure> {
    if allowed || plan.removal() <= REMOVAL_LIMIT {
        return Ok(());
    }
    Err(Failure::Refused(format!(
        "this would remove {} of {} ({:.0} %), more than {:.0} %: if that is meant, add --allow-removal",
        plan.remove_jobs.len(),
        count(plan.jobs_before, "job"),
        plan.removal() * 100.0,
        REMOVAL_LIMIT * 100.0,
    )))
}

/// Plans twice if need be: the first pass finds out which stored definitions the comparison wants to see.
async fn plan(store: &dyn Store, desired: &Desired) -> Result<CatalogPlan, Failure> {
    let stored = store.snapshot().await?;
    let wanted = RefCell::new(BTreeSet::new());
    let first = planned(desired, &stored, |id| {
        wanted.borrow_mut().insert(id);
        None
    })?;
    let wanted: Vec<DefinitionId> = wanted.into_inner().into_iter().collect();
    if wanted.is_empty() {
        return Ok(first);
    }
    let known = definitions(store, &wanted).await?;
    planned(desired, &stored, |id| known.get(&id).cloned())
}

fn planned(
    desired: &Desired,
    stored: &CatalogSnapshot,
    definition: impl Fn(DefinitionId) -> Option<Arc<Definition>>,
) -> Result<CatalogPlan, Failure> {
    catalog::plan(desired, stored, definition).map_err(|error: PlanError| Failure::Invalid(error.to_string()))
}

/// Definitions that a newer version wrote and this one cannot read are left out: the plan then takes their schedule
/// for changed, which is safe.
async fn definitions(
    store: &dyn Store,
    ids: &[DefinitionId],
) -> Result<HashMap<DefinitionId, Arc<Definition>>, Failure> {
    let mut known = HashMap::with_capacity(ids.len());
    for ids in ids.chunks(FETCH) {
        for (id, json) in store.definitions(ids).await? {
            if let Ok(definition) = serde_json::from_str(&json) {
                known.insert(id, Arc::new(definition));
            }
        }
    }
    Ok(known)
}
