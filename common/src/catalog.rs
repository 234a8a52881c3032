//! From what a config wants and what the store has to the plan that closes the gap.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use crate::config::ConfigText;
use crate::definition::{Definition, DefinitionId, ScheduleError, Tenant};
use crate::id::{JobKey, JobName, TenantId};
use crate::limit::{self, Gate, GateId, Limits};
use crate::roster::Refusal;
use crate::schedule::stable_spread;

/// What a config describes: every tenant, and every job of each.
#[derive(Clone, Debug, Default)]
pub struct Desired {
    /// The tenants, each id once.
    pub tenants: Vec<Member>,
    /// The jobs, each (tenant, name) once; their tenants are in `tenants`.
    pub jobs: Vec<DesiredJob>,
    /// How fast what was missed is made up for.
    pub recovery: Recovery,
    /// Live tenants whose values do not fit. They are not among `tenants`, and what is stored of them stays.
    pub refused: Vec<Refusal>,
}

/// A tenant and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Member {
    /// What it is, with all layers of config applied.
    #[serde(flatten)]
    pub tenant: Tenant,
    /// The roster source that names it; empty for the config file itself.
    pub source: String,
    /// What the source said of it, as JSON: from this and the config it can be made anew.
    #[serde(skip)]
    pub row: Option<String>,
}

impl From<Tenant> for Member {
    /// A tenant of the config file.
    fn from(tenant: Tenant) -> Self {
        Self { tenant, source: String::new(), row: None }
    }
}

impl Deref for Member {
    type Target = Tenant;

    fn deref(&self) -> &Tenant {
        &self.tenant
    }
}

/// How many items a second become ready that an outage left behind ([`crate::store::LATE`]), so that work that is on
/// time keeps its share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// In total.
    pub total: u32,
    /// Of one tenant.
    pub per_tenant: u32,
}

impl Default for Recovery {
    fn default() -> Self {
        Self { total: 500, per_tenant: 50 }
    }
}

/// A job of one tenant.
#[derive(Clone, Debug)]
pub struct DesiredJob {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its name.
    pub name: JobName,
    /// What it is; shared by all tenants for which it is the same.
    pub definition: Arc<Definition>,
}

/// The catalog as the store has it.
#[derive(Clone, Debug)]
pub struct CatalogSnapshot {
    /// Grows with each change.
    pub revision: i64,
    /// The store's clock when it was read.
    pub now: Timestamp,
    /// Active tenants.
    pub tenants: Vec<Member>,
    /// All jobs, the removed ones too.
    pub jobs: Vec<StoredJob>,
    /// The recovery budget.
    pub recovery: Recovery,
    /// The hash of the config that was applied last ([`ConfigText::hash`]); `None` if there was none yet.
    pub config: Option<String>,
}

/// A job as the store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredJob {
    /// Its key.
    pub key: JobKey,
    /// Whose it is.
    pub tenant: TenantId,
    /// Its name.
    pub name: JobName,
    /// Its version.
    pub version: i32,
    /// What it is.
    pub definition: DefinitionId,
    /// Whether it is active; a removed job keeps its row for the sake of its history.
    pub active: bool,
    /// Whether its tenant lacks a feature that it requires.
    pub gated: bool,
    /// The gates that its runs pass, in the order of their ids.
    pub gates: Vec<GateId>,
}

/// What to write. Made by [`plan`], written by the store in one transaction.
#[derive(Clone, Debug, Default)]
pub struct CatalogPlan {
    /// The revision it was made from.
    pub revision: i64,
    /// Tenants that are new or changed.
    pub put_tenants: Vec<Member>,
    /// Tenants that go.
    pub remove_tenants: Vec<TenantId>,
    /// Definitions that jobs of this plan refer to.
    pub definitions: Vec<(DefinitionId, Arc<Definition>)>,
    /// Jobs that are new, changed or back again.
    pub put_jobs: Vec<PutJob>,
    /// Jobs that go.
    pub remove_jobs: Vec<RemoveJob>,
    /// Jobs that stay as they are, of tenants that changed what their jobs may do.
    pub regate: Vec<Regate>,
    /// Gates that limit something.
    pub put_gates: Vec<Gate>,
    /// Gates that limit nothing (any longer), if they are there.
    pub clear_gates: Vec<GateId>,
    /// The recovery budget, if it changes.
    pub recovery: Option<Recovery>,
    /// The config, if it is another one than before.
    pub config: Option<PlannedConfig>,
    /// Jobs that go and whose runs are asked to stop.
    pub stop: Vec<JobKey>,
    /// The same for people, in order of tenant and job.
    pub changes: Vec<Change>,
    /// How many active jobs there were before.
    pub jobs_before: usize,
}

/// The config that a plan was made from.
#[derive(Clone, Debug)]
pub struct PlannedConfig {
    /// The config.
    pub text: ConfigText,
    /// The instant for which it was read: what it says may change with time.
    pub at: Timestamp,
}

/// A job to write.
#[derive(Clone, Debug)]
pub struct PutJob {
    /// Its key.
    pub key: JobKey,
    /// Whose it is.
    pub tenant: TenantId,
    /// Its name.
    pub name: JobName,
    /// The new version.
    pub version: i32,
    /// What it is from now on.
    pub definition: Arc<Definition>,
    /// The id of `definition`.
    pub definition_id: DefinitionId,
    /// What it was before, as far as that is known and it was active.
    pub previous: Option<Arc<Definition>>,
    /// Whether its tenant lacks a feature that it requires.
    pub gated: bool,
    /// The gates that its runs pass, in the order of their ids.
    pub gates: Vec<GateId>,
    /// `false`: its due times stay as they were, with all that is queued. Otherwise what was queued of the old schedule
    /// and has not started is purged, and [`PutJob::first_due`] is next.
    pub reschedule: bool,
}

impl PutJob {
    /// When it is first due if it is written now. Whatever is asked of a schedule was checked by [`plan`].
    #[must_use]
    pub fn first_due(&self, now: Timestamp) -> Option<Timestamp> {
        let schedule = self.definition.schedule.compile(self.key).ok()?;
        match schedule.interval() {
            Some(interval) => now.checked_add(stable_spread(self.key.bits(), interval)).ok(),
            None => schedule.next_after(now),
        }
    }
}

/// When jobs are first due if they are written at one instant. Those that share a definition share the answer, unless
/// the schedule means another one for each of them: compiling it a million times takes longer than writing the jobs.
#[derive(Debug)]
pub struct FirstDues {
    now: Timestamp,
    known: HashMap<DefinitionId, Option<Timestamp>>,
}

impl FirstDues {
    /// For this instant.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self { now, known: HashMap::new() }
    }

    /// [`PutJob::first_due`].
    pub fn of(&mut self, job: &PutJob) -> Option<Timestamp> {
        let schedule = &job.definition.schedule;
        if schedule.is_seeded() || schedule.interval().is_some() {
            return job.first_due(self.now);
        }
        *self.known.entry(job.definition_id).or_insert_with(|| job.first_due(self.now))
    }
}

/// A job that goes.
#[derive(Clone, Debug)]
pub struct RemoveJob {
    /// Its key.
    pub key: JobKey,
    /// Whose it was.
    pub tenant: TenantId,
    /// What it was, as far as that is known.
    pub previous: Option<Arc<Definition>>,
}

/// What a job may do, if that alone changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Regate {
    /// The job.
    pub key: JobKey,
    /// Whether its tenant lacks a feature that it requires.
    pub gated: bool,
    /// The gates that its runs pass, in the order of their ids.
    pub gates: Vec<GateId>,
}

/// One line of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What happens.
    pub kind: ChangeKind,
    /// To whom.
    pub tenant: TenantId,
    /// To which job; `None` for the tenant itself.
    pub job: Option<JobName>,
}

/// What happens to a tenant or job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is new.
    Add,
    /// Its settings change.
    Change,
    /// It goes; its history is kept.
    Remove,
}

impl fmt::Display for ChangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Add => "add",
            Self::Change => "change",
            Self::Remove => "remove",
        })
    }
}

impl CatalogPlan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.regate.is_empty() && self.recovery.is_none() && self.config.is_none()
    }

    /// Writes the config too, if it is not the one that is in force.
    pub fn put_config(&mut self, text: &ConfigText, stored: &CatalogSnapshot) {
        if stored.config.as_ref() != Some(&text.hash()) {
            self.config = Some(PlannedConfig { text: text.clone(), at: stored.now });
        }
    }

    /// Asks what runs of tenants that go to stop.
    pub fn stop_leaving(&mut self) {
        let leaving: HashSet<&TenantId> = self.remove_tenants.iter().collect();
        let jobs = self.remove_jobs.iter().filter(|job| leaving.contains(&job.tenant));
        self.stop = jobs.map(|job| job.key).collect();
    }

    /// The share of the jobs there were that this plan removes, 0.0 to 1.0.
    #[must_use]
    pub fn removal(&self) -> f64 {
        if self.jobs_before == 0 { 0.0 } else { self.remove_jobs.len() as f64 / self.jobs_before as f64 }
    }

    /// How many jobs are added, changed and removed.
    #[must_use]
    pub fn job_counts(&self) -> (usize, usize, usize) {
        let count = |kind| self.changes.iter().filter(|c| c.kind == kind && c.job.is_some()).count();
        (count(ChangeKind::Add), count(ChangeKind::Change), count(ChangeKind::Remove))
    }
}

/// Why a plan could not be made.
#[derive(Debug, Clone, thiserror::Error)]
#[error("job {job} of tenant {tenant}: {source}")]
pub struct PlanError {
    tenant: TenantId,
    job: JobName,
    source: ScheduleError,
}

impl PlanError {
    /// Whose job it is.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }
}

/// Compares and plans. `stored_definition` gives the stored definition of an id, to tell whether a change touches
/// the schedule; an id that it does not know counts as a changed schedule.
///
/// Applying the same config twice gives an empty plan the second time.
pub fn plan(
    desired: &Desired,
    stored: &CatalogSnapshot,
    stored_definition: impl Fn(DefinitionId) -> Option<Arc<Definition>>,
) -> Result<CatalogPlan, PlanError> {
    let mut plan = CatalogPlan {
        revision: stored.revision,
        jobs_before: stored.jobs.iter().filter(|job| job.active).count(),
        recovery: (desired.recovery != stored.recovery).then_some(desired.recovery),
        ..CatalogPlan::default()
    };
    plan_tenants(desired, stored, &mut plan);

    let by_name: HashMap<(&TenantId, &JobName), &StoredJob> =
        stored.jobs.iter().map(|job| ((&job.tenant, &job.name), job)).collect();
    let mut keys: HashSet<JobKey> = stored.jobs.iter().map(|job| job.key).collect();
    let mut ids: HashMap<*const Definition, DefinitionId> = HashMap::new();
    let mut definitions: BTreeMap<DefinitionId, Arc<Definition>> = BTreeMap::new();
    let mut kept: HashSet<JobKey> = HashSet::new();
    let members: HashMap<&TenantId, &Member> = desired.tenants.iter().map(|member| (&member.id, member)).collect();
    let mut gates = Gates::default();
    plan.put_tenants
        .iter()
        .for_each(|member| gates.add(Gate { id: GateId::of_tenant(&member.id), limits: member.limits }));

    for job in &desired.jobs {
        let Some(member) = members.get(&job.tenant) else { continue }; // a desired job has its tenant
        let id = *ids.entry(Arc::as_ptr(&job.definition)).or_insert_with(|| job.definition.id());
        let before = by_name.get(&(&job.tenant, &job.name)).copied();
        if let Some(before) = before {
            kept.insert(before.key);
            let now = Regate::of(member, job, before.key);
            if before.active && before.definition == id {
                if (now.gated, &now.gates) != (before.gated, &before.gates) {
                    plan.regate.push(now);
                }
                continue;
            }
        }
        let key = before.map_or_else(|| new_key(job, &mut keys), |before| before.key);
        let previous = before.filter(|before| before.active).and_then(|before| stored_definition(before.definition));
        let reschedule = !previous.as_ref().is_some_and(|old| old.same_due_times(&job.definition));
        let seeded = || job.definition.schedule.is_seeded();
        if reschedule && (!definitions.contains_key(&id) || seeded()) {
            job.definition.schedule.compile(key).map_err(|source| PlanError {
                tenant: job.tenant.clone(),
                job: job.name.clone(),
                source,
            })?;
        }
        definitions.entry(id).or_insert_with(|| Arc::clone(&job.definition));
        plan.changes.push(Change {
            kind: if before.is_some_and(|before| before.active) { ChangeKind::Change } else { ChangeKind::Add },
            tenant: job.tenant.clone(),
            job: Some(job.name.clone()),
        });
        limit::possible_gates(member, &job.name, key, &job.definition).into_iter().for_each(|gate| gates.add(gate));
        let Regate { gated, gates, .. } = Regate::of(member, job, key);
        plan.put_jobs.push(PutJob {
            key,
            gated,
            gates,
            tenant: job.tenant.clone(),
            name: job.name.clone(),
            version: before.map_or(1, |before| before.version + 1),
            definition: Arc::clone(&job.definition),
            definition_id: id,
            previous,
            reschedule,
        });
    }

    let refused: HashSet<&str> = desired.refused.iter().map(|refusal| refusal.tenant.as_str()).collect();
    let goes = |job: &&StoredJob| job.active && !kept.contains(&job.key) && !refused.contains(job.tenant.as_str());
    for job in stored.jobs.iter().filter(goes) {
        let previous = stored_definition(job.definition);
        plan.remove_jobs.push(RemoveJob { key: job.key, tenant: job.tenant.clone(), previous });
        plan.changes.push(Change { kind: ChangeKind::Remove, tenant: job.tenant.clone(), job: Some(job.name.clone()) });
    }
    plan.definitions = definitions.into_iter().collect();
    (plan.put_gates, plan.clear_gates) = gates.done();
    plan.changes.sort_by(|a, b| (&a.tenant, &a.job).cmp(&(&b.tenant, &b.job)));
    Ok(plan)
}

impl Regate {
    fn of(member: &Member, job: &DesiredJob, key: JobKey) -> Self {
        let gated = job.definition.is_gated(member);
        Self { key, gated, gates: limit::gates(member, &job.name, key, &job.definition) }
    }
}

/// The gates of what a plan changes, each once.
#[derive(Default)]
struct Gates(BTreeMap<GateId, Limits>);

impl Gates {
    fn add(&mut self, gate: Gate) {
        self.0.insert(gate.id, gate.limits);
    }

    fn done(self) -> (Vec<Gate>, Vec<GateId>) {
        let (mut put, mut clear) = (Vec::new(), Vec::new());
        for (id, limits) in self.0 {
            if limits.is_none() { clear.push(id) } else { put.push(Gate { id, limits }) }
        }
        (put, clear)
    }
}

fn plan_tenants(desired: &Desired, stored: &CatalogSnapshot, plan: &mut CatalogPlan) {
    let before: HashMap<&TenantId, &Member> = stored.tenants.iter().map(|tenant| (&tenant.id, tenant)).collect();
    let wanted: BTreeSet<&TenantId> = desired.tenants.iter().map(|tenant| &tenant.id).collect();
    for tenant in &desired.tenants {
        let kind = match before.get(&tenant.id) {
            Some(old) if *old == tenant => continue,
            Some(_) => ChangeKind::Change,
            None => ChangeKind::Add,
        };
        plan.put_tenants.push(tenant.clone());
        plan.changes.push(Change { kind, tenant: tenant.id.clone(), job: None });
    }
    let refused: HashSet<&str> = desired.refused.iter().map(|refusal| refusal.tenant.as_str()).collect();
    let goes = |tenant: &&Member| !wanted.contains(&tenant.id) && !refused.contains(tenant.id.as_str());
    for tenant in stored.tenants.iter().filter(goes) {
        plan.remove_tenants.push(tenant.id.clone());
        plan.changes.push(Change { kind: ChangeKind::Remove, tenant: tenant.id.clone(), job: None });
    }
}

/// Draws the key of a new job; in the rare case that another job has it, the next salt decides.
fn new_key(job: &DesiredJob, taken: &mut HashSet<JobKey>) -> JobKey {
    let mut salt = 0;
    loop {
        let key = JobKey::new(&job.tenant, &job.name, salt);
        if taken.insert(key) {
            return key;
        }
        salt += 1;
    }
}
