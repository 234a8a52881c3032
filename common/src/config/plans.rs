//! The `plans` of a config, and the settings that plans and tenants have in common: what a tenant may use, where its data
//! is, and how its jobs differ.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::database::{self, Database};
use super::fields::{self, Fields};
use super::jobs;
use super::limits;
use super::merge;
use super::node::{Entry, Node, Rank, Ref, Value};
use super::report::Report;
use super::selector::suggestion;
use super::source::Span;
use crate::definition::{Tenant, TenantDatabase};
use crate::id::check_name;
use crate::limit::Limits;

/// The settings of a tenant that its plan may have too, but for its jobs.
pub(super) const SHARED: [&str; 4] = ["weight", "concurrency", "rate", "database"];

const KEYS: &[&str] = &["weight", "concurrency", "rate", "database", "jobs"];

/// What stands at the top of the file.
#[derive(Default)]
pub(super) struct Plans<'n, 't> {
    plans: Vec<Plan<'n, 't>>,
    by_name: HashMap<&'n str, usize>,
    /// Names that tenants have and `plans` has not, of which was spoken.
    strange: RefCell<HashSet<String>>,
}

/// A plan.
pub(super) struct Plan<'n, 't> {
    pub(super) name: &'n str,
    /// What it says of its tenants.
    shared: Ref<'t>,
    /// The same, read; `None` if it is wrong.
    own: Option<Settings>,
    /// What it says of their jobs.
    jobs: Vec<&'n Entry<'t>>,
}

/// What a tenant may use.
#[derive(Clone, Copy)]
struct Settings {
    weight: u32,
    limits: Limits,
}

/// Reads the map at the top of the file, or those of it that are wanted. `jobs` are the names of the jobs that there are.
pub(super) fn read<'n, 't>(
    report: &mut Report<'_>,
    entry: Option<&'n Entry<'t>>,
    jobs: &[&str],
    wanted: impl Fn(&str) -> bool,
) -> Plans<'n, 't> {
    let mut plans = Plans::default();
    let Some(entry) = entry else { return plans };
    let entries = fields::map(report, &entry.value, "plans").unwrap_or_default();
    for entry in entries.iter().filter(|entry| wanted(&entry.key)) {
        if let Err(error) = check_name("plan", &entry.key) {
            report.error(&entry.key_span, error.to_string(), None);
        }
        if let Some(plan) = plan(report, entry, jobs) {
            plans.by_name.insert(plan.name, plans.plans.len());
            plans.plans.push(plan);
        }
    }
    plans
}

fn plan<'n, 't>(report: &mut Report<'_>, entry: &'n Entry<'t>, known: &[&str]) -> Option<Plan<'n, 't>> {
    let fields = Fields::read(report, &entry.value, "a plan", KEYS)?;
    let shared = shared(&fields, &entry.value).unwrap_or_else(|| nothing(&entry.value));
    let (own, _) = read_shared(report, &shared);
    let jobs = fields.get("jobs").and_then(|entry| fields::map(report, &entry.value, "`jobs` of a plan"));
    let jobs = jobs::check_layers(report, jobs.unwrap_or_default(), "a job of a plan", known, false);
    Some(Plan { name: &entry.key, shared, own, jobs })
}

/// The part of a map that plans and tenants share.
pub(super) fn shared<'t>(fields: &Fields<'_, 't>, node: &Node<'t>) -> Option<Ref<'t>> {
    let entries: Vec<_> = SHARED.iter().filter_map(|key| fields.get(key)).cloned().collect();
    (!entries.is_empty()).then(|| Arc::new(Node::new(node.span.clone(), Value::Map(entries))))
}

fn nothing<'t>(node: &Node<'t>) -> Ref<'t> {
    Arc::new(Node::new(node.span.clone(), Value::Map(Vec::new())))
}

/// Its values; the `database` apart, since it is known only for a tenant.
fn read_shared<'n, 't>(report: &mut Report<'_>, shared: &'n Ref<'t>) -> (Option<Settings>, Option<Database<'n, 't>>) {
    let fields = Fields::merged(shared, shared.span.clone(), Vec::new());
    let weight = limits::weight(report, fields.get("weight"));
    let limits = limits::read(report, &fields);
    let database = fields.get("database").and_then(|entry| database::read(report, entry));
    let settings = weight.zip(limits).map(|(weight, limits)| Settings { weight, limits });
    (settings, database)
}

/// Reports what is wrong in the settings of a tenant that cannot be used anyway.
pub(super) fn check(report: &mut Report<'_>, shared: &Ref<'_>) {
    read_shared(report, shared);
}

impl<'n, 't> Plans<'n, 't> {
    /// All of them, in the order of the file.
    pub(super) fn all(&self) -> &[Plan<'n, 't>] {
        &self.plans
    }

    /// The position of a plan.
    pub(super) fn position(&self, name: Option<&str>) -> Option<usize> {
        self.by_name.get(name?).copied()
    }

    /// Whether there is such a plan.
    pub(super) fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// Warns of a plan that is nearly called like one of these. Plans are free words: any other is none of ours.
    pub(super) fn warn_of_slip(&self, report: &mut Report<'_>, name: &str, span: &Span) {
        if self.plans.is_empty() || self.has(name) || report.is_muted() {
            return;
        }
        if !self.strange.borrow_mut().insert(name.to_owned()) {
            return;
        }
        if let Some(help) = suggestion(report, name, self.plans.iter().map(|plan| plan.name)) {
            report.warn(span, format!("`plans` has no `{name}`, so nothing of it applies"), Some(help));
        }
    }

    /// What a tenant may use: its plan's map with its own on top.
    pub(super) fn shared_with(&self, plan: Option<&str>, own: Option<&Ref<'t>>) -> Option<Ref<'t>> {
        let below = self.position(plan).map(|at| merge::merged(None, &self.plans[at].shared, Rank::PLAN, true));
        match own {
            Some(own) => Some(merge::merged(below.as_ref(), own, Rank::TENANT, below.is_none())),
            None => below,
        }
    }

    /// Gives a tenant what its plan and it itself say of what it may use.
    pub(super) fn settle(&self, report: &mut Report<'_>, tenant: &mut Tenant, own: Option<&Ref<'t>>) -> Option<()> {
        let plan = self.position(tenant.plan.as_deref()).map(|at| &self.plans[at]);
        // A hundred thousand tenants are on few plans.
        if let Some(Plan { own: Some(settings), shared, .. }) = plan
            && own.is_none()
            && !has_database(shared)
        {
            (tenant.weight, tenant.limits) = (settings.weight, settings.limits);
            return Some(());
        }
        let Some(shared) = self.shared_with(tenant.plan.as_deref(), own) else { return Some(()) };
        let errors = report.errors();
        let (settings, database) = read_shared(report, &shared);
        let settings = settings?;
        let database: Option<TenantDatabase> = database.and_then(|database| database.of(report, tenant));
        (tenant.weight, tenant.limits, tenant.database) = (settings.weight, settings.limits, database);
        (report.errors() == errors).then_some(())
    }
}

fn has_database(shared: &Ref<'_>) -> bool {
    matches!(&shared.value, Value::Map(entries) if entries.iter().any(|entry| entry.key == "database"))
}

impl<'n, 't> Plan<'n, 't> {
    /// What it says of a job.
    pub(super) fn of(&self, job: &str) -> Option<&'n Entry<'t>> {
        self.jobs.iter().find(|entry| entry.key == job).copied()
    }
}
