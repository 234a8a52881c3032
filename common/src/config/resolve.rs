//! What a config says of some tenants at some time: the tenants of live sources, and the jobs of all.
//!
//! The nodes of the file are kept without its tenants, and read again for each question: what is asked for a thousand
//! tenants at once costs little more than for one. What was sound when the file was checked is sound still; what a live
//! tenant lacks is found here, and refuses that tenant alone.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value as Json};

use super::blackouts::{self, Blackouts};
use super::diagnostic::printable;
use super::draft::{Draft, Whom};
use super::fields::Fields;
use super::jobs::{self, JobSpec};
use super::layers::{Candidate, Group, Layers};
use super::node::{Entry, Keeper, Node, Ref, Value};
use super::plans;
use super::report::Report;
use super::rows;
use super::source::{NOWHERE, Source};
use super::tenants::{self, Around, Own, Roster, Seen};
use super::{Config, ConfigText, Diagnostic};
use crate::catalog::{Desired, DesiredJob, Member};
use crate::definition::{Definition, DefinitionId, Tenant};
use crate::id::{JobName, TenantId};
use crate::roster::{Refusal, RosterSpec};

/// The longest name of a tenant in a refusal, in characters.
const MAX_NAME: usize = 80;

/// The jobs of some tenants.
#[derive(Clone, Debug, Default)]
pub struct JobsFor {
    /// The jobs. A tenant that is refused has none here.
    pub jobs: Vec<DesiredJob>,
    /// Tenants for which the values of a job do not fit. What they had before should stay as it is.
    pub refused: Vec<Refusal>,
}

/// What a config keeps of its file.
pub(super) struct Kept {
    pub(super) text: ConfigText,
    lines: Vec<usize>,
    /// The top of the file, without its tenants.
    root: Ref<'static>,
    /// What the tenants of the file say of their jobs.
    own: HashMap<TenantId, Own<'static>>,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").field("name", &self.text.name).finish_non_exhaustive()
    }
}

impl Kept {
    /// The keys that a question needs.
    const KEYS: [&'static str; 5] = ["defaults", "plans", "jobs", "overrides", "blackouts"];

    pub(super) fn new(text: ConfigText, source: &Source<'_>, root: &Node<'_>, roster: &Roster<'_>) -> Self {
        let mut keeper = Keeper::default();
        let entries: Vec<Entry<'static>> = match &root.value {
            Value::Map(entries) => {
                let kept = entries.iter().filter(|entry| Self::KEYS.contains(&entry.key.as_ref()));
                kept.map(|entry| keeper.keep_entry(entry)).collect()
            }
            _ => Vec::new(),
        };
        let own = roster.tenants.iter().zip(&roster.own).filter(|(_, own)| !own.is_empty());
        let own = own.map(|(tenant, own)| (tenant.id.clone(), own.keep(&mut keeper))).collect();
        let root = Arc::new(Node::new(root.span.clone(), Value::Map(entries)));
        Self { text, lines: source.lines().to_vec(), root, own }
    }

    pub(super) fn source(&self) -> Source<'_> {
        Source::with_lines(&self.text.name, &self.text.text, &self.lines)
    }

    fn fields(&self) -> Fields<'_, 'static> {
        Fields::merged(&self.root, NOWHERE, Vec::new())
    }
}

/// The layers of a config, ready to be asked.
pub(super) struct Asked<'n> {
    pub(super) layers: Layers<'n, 'static>,
    blackouts: Blackouts<'n, 'static>,
}

impl<'n> Asked<'n> {
    pub(super) fn new(kept: &'n Kept, report: &mut Report<'_>) -> Self {
        let fields = kept.fields();
        let names = jobs::names(fields.get("jobs"));
        let plans = Layers::plans(report, &fields, &names);
        let layers = Layers::read(report, &fields, plans, &names);
        Self { layers, blackouts: blackouts::read(report, &fields) }
    }
}

impl Config {
    /// The text that it was read from, with what that took from the environment.
    #[must_use]
    pub fn text(&self) -> &ConfigText {
        &self.kept.text
    }

    /// The live sources of tenants.
    #[must_use]
    pub fn roster(&self) -> &RosterSpec {
        &self.roster
    }

    /// A tenant as a live source names it, with the layer of its plan applied.
    ///
    /// # Errors
    /// [`Refusal`], if anything does not fit: this tenant alone cannot be used.
    pub fn admit(&self, source: &str, row: &Map<String, Json>) -> Result<Member, Refusal> {
        let text = Json::Object(row.clone()).to_string();
        let refused = |reason| Refusal { source: source.to_owned(), tenant: name_in(row), reason };
        if text.len() > rows::MAX_ROW {
            let most = rows::MAX_ROW / 1024;
            return Err(refused(format!("the row has {} bytes, and {most} KiB are the most", text.len())));
        }
        let node = rows::tenant(row).map_err(refused)?;
        let (tenant, _) = self.tenant_of(&node).map_err(refused)?;
        Ok(Member { tenant, source: source.to_owned(), row: Some(text) })
    }

    /// Reads a tenant of a live source.
    fn tenant_of(&self, node: &Ref<'static>) -> Result<(Tenant, Own<'static>), String> {
        let source = self.kept.source();
        let mut report = Report::of_errors(&source);
        let fields = self.kept.fields();
        let names = jobs::names(fields.get("jobs"));
        // Of a hundred plans a tenant is on one.
        let plan = plan_in(node);
        let plans = plans::read(&mut report, fields.get("plans"), &names, |name| Some(name) == plan);
        let around = Around { plans: &plans, jobs: &names, others: true };
        let read = tenants::tenant(&mut report, node, around, &mut Seen::default());
        read.ok_or_else(|| report.first_error().unwrap_or_else(|| "it cannot be read".to_owned()))
    }

    /// What a live tenant says of its jobs.
    fn own_of(&self, member: &Member) -> Result<Own<'static>, String> {
        // Most say nothing, and need not be read.
        let Some(text) = member.row.as_deref().filter(|text| text.contains("\"jobs\"")) else {
            return Ok(Own::default());
        };
        let row: Map<String, Json> = serde_json::from_str(text).map_err(|error| error.to_string())?;
        self.tenant_of(&rows::tenant(&row)?).map(|(_, own)| own)
    }

    /// Every job that these tenants should have now, by job and in the order of the tenants. A tenant for which the values
    /// of a job do not fit is refused alone, and has no job in the answer.
    #[must_use]
    pub fn jobs_for(&self, members: &[Member], now: Timestamp) -> JobsFor {
        let nothing = Own::default();
        let mut refused: HashMap<usize, String> = HashMap::new();
        let mut read: HashMap<usize, Own<'static>> = HashMap::new();
        for (at, member) in members.iter().enumerate().filter(|(_, member)| !member.source.is_empty()) {
            match self.own_of(member) {
                Ok(own) if own.is_empty() => {}
                Ok(own) => drop(read.insert(at, own)),
                Err(reason) => drop(refused.insert(at, reason)),
            }
        }
        let own = |at: usize, member: &Member| match member.source.is_empty() {
            true => self.kept.own.get(&member.id),
            false => read.get(&at),
        };
        let candidates: Vec<Candidate<'_, 'static>> = members
            .iter()
            .enumerate()
            .map(|(at, member)| Candidate { tenant: &member.tenant, own: own(at, member).unwrap_or(&nothing) })
            .collect();
        let mut jobs = self.resolve(&candidates, now, &mut refused);
        if !refused.is_empty() {
            jobs.retain(|(at, _)| !refused.contains_key(at));
        }
        let mut refused: Vec<_> = refused.into_iter().collect();
        refused.sort_unstable();
        let refusal = |(at, reason): (usize, String)| {
            let member: &Member = &members[at];
            Refusal { source: member.source.clone(), tenant: member.id.to_string(), reason }
        };
        JobsFor {
            jobs: jobs.into_iter().map(|(_, job)| job).collect(),
            refused: refused.into_iter().map(refusal).collect(),
        }
    }

    /// The jobs of some tenants, each with the position of its tenant.
    fn resolve(
        &self,
        candidates: &[Candidate<'_, 'static>],
        now: Timestamp,
        refused: &mut HashMap<usize, String>,
    ) -> Vec<(usize, DesiredJob)> {
        let source = self.kept.source();
        let mut asked = Asked::new(&self.kept, &mut Report::of_errors(&source));
        let mut all = Vec::new();
        for (job, groups) in asked.layers.groups_at(candidates, now) {
            let mut of_job = OfJob {
                layers: &asked.layers,
                blackouts: &mut asked.blackouts,
                source: &source,
                job,
                candidates,
                known: HashMap::new(),
                found: Vec::new(),
            };
            groups.iter().for_each(|group| of_job.add(group, refused));
            of_job.found.sort_unstable_by_key(|(tenant, _)| *tenant);
            let Some(name) = &job.name else { continue };
            all.extend(of_job.found.into_iter().map(|(at, definition)| {
                let tenant = candidates[at].tenant.id.clone();
                (at, DesiredJob { tenant, name: name.clone(), definition })
            }));
        }
        all
    }

    /// The first instant after `now` at which an override begins or ends.
    #[must_use]
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let source = self.kept.source();
        let asked = Asked::new(&self.kept, &mut Report::of_errors(&source));
        asked.layers.overrides.iter().flat_map(|layer| layer.ends()).filter(|at| *at > now).min()
    }

    /// Warnings about overrides whose time has passed. A check has no clock, and so does not know.
    #[must_use]
    pub fn ended_overrides(&self, now: Timestamp) -> Vec<Diagnostic> {
        let source = self.kept.source();
        let asked = Asked::new(&self.kept, &mut Report::of_errors(&source));
        let mut report = Report::new(&source);
        for layer in asked.layers.overrides.iter().filter(|layer| layer.until <= now) {
            let message = format!("this override has ended at {}", layer.until);
            report.warn(&layer.until_span, message, Some("remove it, or write a later `until`".to_owned()));
        }
        report.finish().0
    }

    /// The catalog that the config describes at an instant: the tenants of the file and those of `live` that no earlier
    /// source names, with every job of each. Tenants for which a job is the same share its definition.
    ///
    /// Live tenants are made anew from what their source said of them; one that does not fit this config stays as it is.
    /// Those of a source that is no longer in the config go.
    #[must_use]
    pub fn desired(&self, now: Timestamp, live: &[Member]) -> Desired {
        let mut members: Vec<Member> = self.tenants.iter().cloned().map(Into::into).collect();
        let mut taken: HashSet<&TenantId> = self.tenants.iter().map(|tenant| &tenant.id).collect();
        for source in &self.roster.sources {
            for member in live.iter().filter(|member| member.source == source.name) {
                if taken.insert(&member.id) {
                    members.push(self.again(member));
                }
            }
        }
        let JobsFor { jobs, refused } = self.jobs_for(&members, now);
        let names: HashSet<&str> = refused.iter().map(|refusal| refusal.tenant.as_str()).collect();
        members.retain(|member| !names.contains(member.id.as_str()));
        Desired { tenants: members, jobs, recovery: self.recovery, refused }
    }

    /// A live tenant by this config, if it fits.
    fn again(&self, member: &Member) -> Member {
        let row = member.row.as_deref().and_then(|text| serde_json::from_str(text).ok());
        row.and_then(|row| self.admit(&member.source, &row).ok()).unwrap_or_else(|| member.clone())
    }

    /// What a tenant says of its jobs, wherever it comes from.
    pub(super) fn own(&self, member: &Member) -> Own<'static> {
        match member.source.is_empty() {
            true => self.kept.own.get(&member.id).cloned().unwrap_or_default(),
            false => self.own_of(member).unwrap_or_default(),
        }
    }
}

/// The tenants of one job, group by group.
struct OfJob<'a, 'n> {
    layers: &'a Layers<'n, 'static>,
    blackouts: &'a mut Blackouts<'n, 'static>,
    source: &'a Source<'a>,
    job: &'a JobSpec<'n, 'static>,
    candidates: &'a [Candidate<'a, 'static>],
    /// Definitions that other groups came to as well.
    known: HashMap<DefinitionId, Arc<Definition>>,
    found: Vec<(usize, Arc<Definition>)>,
}

impl OfJob<'_, '_> {
    fn add(&mut self, group: &Group<'_, 'static>, refused: &mut HashMap<usize, String>) {
        let Some(name) = &self.job.name else { return };
        let stack = self.layers.stack(self.job, &group.key, group.own.first().copied());
        let fields = stack.fields();
        let mut report = Report::of_errors(self.source);
        let draft = Draft::read(&mut report, &fields, self.blackouts);
        if let Some(reason) = report.first_error() {
            let reason = format!("job {name}: {reason}");
            refused.extend(group.tenants.iter().map(|&tenant| (tenant, reason.clone())));
            return;
        }
        if !draft.is_enabled() || self.define(&draft, name, &group.tenants).is_ok() {
            return;
        }
        // Somebody does not fit: each for itself.
        for &tenant in &group.tenants {
            if let Err(reason) = self.define(&draft, name, &[tenant]) {
                refused.entry(tenant).or_insert_with(|| format!("job {name}: {reason}"));
            }
        }
    }

    /// All of them, or none and why.
    fn define(&mut self, draft: &Draft<'_, '_>, name: &JobName, tenants: &[usize]) -> Result<(), String> {
        let mut report = Report::of_errors(self.source);
        let whom: Vec<&Tenant> = tenants.iter().map(|&tenant| self.candidates[tenant].tenant).collect();
        let whom = Whom { job: name, tenants: &whom, all: whom.len() };
        let defined = draft.define(&mut report, whom, self.blackouts);
        if let Some(reason) = report.first_error() {
            return Err(reason);
        }
        let share = |definition: Arc<Definition>| Arc::clone(self.known.entry(definition.id()).or_insert(definition));
        let definitions: Vec<_> = defined.definitions.into_iter().map(share).collect();
        let found =
            defined.tenants.into_iter().map(|(at, definition)| (tenants[at], Arc::clone(&definitions[definition])));
        self.found.extend(found);
        Ok(())
    }
}

/// What a source calls a tenant, for people.
fn name_in(row: &Map<String, Json>) -> String {
    let name = match row.get("id") {
        None | Some(Json::Null) => "without an id".to_owned(),
        Some(Json::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    printable(&name.chars().take(MAX_NAME).collect::<String>())
}

/// The plan that a row names.
fn plan_in<'a>(row: &'a Node<'_>) -> Option<&'a str> {
    let Value::Map(entries) = &row.value else { return None };
    match &entries.iter().find(|entry| entry.key == "plan")?.value.value {
        Value::Scalar(scalar) => Some(&scalar.text),
        _ => None,
    }
}
