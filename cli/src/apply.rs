//! From a config to a changed catalog: the way that `apply` and `dev` share.
//!
//! Plans against a snapshot, shows the plan, and writes it if nobody changed the catalog meanwhile; otherwise plans
//! again. A plan that would remove a large share of the jobs is refused unless that was asked for: an empty or
//! half-written file must not end a platform's work.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use leasehold_common::catalog::{CatalogPlan, Member};
use leasehold_common::config::{self, Config, LoadError};
use leasehold_common::roster::{OnLeave, Refusal};
use leasehold_common::store::{Applied, Store};
use leasehold_scheduler::Planner;

use crate::failure::Failure;
use crate::render::check;
use crate::render::style::Palette;
use crate::render::text::{count, one_line};

/// A plan that removes more of the jobs than this needs `--allow-removal`.
const REMOVAL_LIMIT: f64 = 0.3;

/// So often the catalog may change under our hands before we give up: a leader that reconciles a large roster changes
/// it for a minute, batch by batch.
const TRIES: u32 = 30;

/// The pause before each further try grows by this much.
const PAUSE: Duration = Duration::from_millis(150);

/// So many refused tenants are told.
const TOLD: usize = 10;

/// Reads and checks a config, and prints what was found on stderr.
pub(crate) fn load(file: &Path) -> Result<Config, Failure> {
    let checked = config::load(file).map_err(unreadable)?;
    leasehold_ops::say_part!("{}", check::diagnostics(&checked, Palette::stderr()));
    let config = checked.config.ok_or_else(|| {
        leasehold_ops::say!("{}", check::refusal(file, &checked.diagnostics, checked.omitted));
        Failure::InvalidTold
    })?;
    leasehold_ops::say_part!("{}", check::some(&config.ended_overrides(Timestamp::now()), Palette::stderr()));
    Ok(config)
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

/// Brings the catalog of the store to what the config says; `show` is given each plan before it is written.
pub(crate) async fn apply(
    store: &dyn Store,
    config: &Config,
    permission: Permission,
    mut show: impl FnMut(&CatalogPlan) -> Result<(), Failure>,
) -> Result<Done, Failure> {
    let mut planner = Planner::default();
    for tried in 0..TRIES {
        let plan = plan(store, &mut planner, config).await?;
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
                leasehold_ops::say!("the catalog was changed by somebody else in this moment: planning again");
                tokio::time::sleep(PAUSE * tried).await;
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

/// Plans the tenants of the file, and those that live sources named last: the leader asks the sources anew.
async fn plan(store: &dyn Store, planner: &mut Planner, config: &Config) -> Result<CatalogPlan, Failure> {
    let stored = store.snapshot().await?;
    let live: Vec<Member> = stored.tenants.iter().filter(|member| !member.source.is_empty()).cloned().collect();
    let desired = config.desired(stored.now, &live);
    tell_refused(&desired.refused);
    let stored = Arc::new(stored);
    let planned = planner.plan(store, Arc::new(desired), Arc::clone(&stored)).await?;
    let mut plan = planned.map_err(|error| Failure::Invalid(error.to_string()))?;
    plan.put_config(config.text(), &stored);
    if config.roster().on_leave == OnLeave::Cancel {
        plan.stop_leaving();
    }
    Ok(plan)
}

/// Tenants for which a job does not fit stay as they are. That is told, and does not keep the rest from being applied.
fn tell_refused(refused: &[Refusal]) {
    if refused.is_empty() {
        return;
    }
    leasehold_ops::say!(
        "{} of live sources do not fit this config and stay as they are:",
        count(refused.len(), "tenant")
    );
    for refusal in refused.iter().take(TOLD) {
        leasehold_ops::say!("  {} ({}): {}", refusal.tenant, refusal.source, one_line(&refusal.reason));
    }
}
