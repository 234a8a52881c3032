//! Which layers a job of a tenant has, and who has the same ones: tenants with equal layers are read once.
//!
//! `defaults`, the job, what the tenant's plan says of it, what the tenant says of it, and the overrides that are in
//! force, in the order of the file. The last word counts.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::blackouts::Blackouts;
use super::draft::{Draft, Whom};
use super::fields::Fields;
use super::jobs::{self, Defaults, JobSpec};
use super::merge;
use super::node::{Entry, Rank, Ref, Value};
use super::overrides::{self, Override};
use super::plans::{self, Plans};
use super::report::Report;
use super::selector::Attributes;
use super::source::Span;
use super::tenants::{Own, OwnJob, Roster};
use crate::definition::Tenant;
use crate::id::JobName;

/// All layers of a config but those of its tenants.
pub(super) struct Layers<'n, 't> {
    pub(super) plans: Plans<'n, 't>,
    pub(super) jobs: Vec<JobSpec<'n, 't>>,
    pub(super) overrides: Vec<Override<'n, 't>>,
    defaults: Option<Defaults<'n, 't>>,
}

/// The layers on top of a job that some tenants have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Key<'a> {
    /// The plan, if it says something of the job.
    pub(super) plan: Option<usize>,
    /// What the tenants say of it.
    own: Option<&'a str>,
    /// The overrides, in order.
    pub(super) overrides: Vec<usize>,
}

/// Tenants with the same layers.
pub(super) struct Group<'a, 't> {
    pub(super) key: Key<'a>,
    /// The same, each with its place.
    pub(super) own: Vec<&'a Ref<'t>>,
    /// The tenants, by position.
    pub(super) tenants: Vec<usize>,
}

/// A tenant and what it says of its jobs.
#[derive(Clone, Copy)]
pub(super) struct Candidate<'a, 't> {
    pub(super) tenant: &'a Tenant,
    pub(super) own: &'a Own<'t>,
}

/// A job with its layers merged.
pub(super) struct Stack<'t> {
    pub(super) node: Ref<'t>,
    /// Where the last layer stands.
    anchor: Span,
    meant: Vec<&'static str>,
}

impl<'t> Stack<'t> {
    /// Its keys.
    pub(super) fn fields(&self) -> Fields<'_, 't> {
        Fields::merged(&self.node, self.anchor.clone(), self.meant.clone())
    }
}

/// Groups in the order in which they come up.
#[derive(Default)]
struct Groups<'a, 't> {
    groups: Vec<Group<'a, 't>>,
    by_key: HashMap<Key<'a>, usize>,
}

impl<'a, 't> Groups<'a, 't> {
    fn group(&mut self, key: Key<'a>, own: Option<&'a OwnJob<'t>>) -> &mut Group<'a, 't> {
        let next = self.groups.len();
        let at = *self.by_key.entry(key.clone()).or_insert(next);
        if at == next {
            self.groups.push(Group { key, own: Vec::new(), tenants: Vec::new() });
        }
        let group = &mut self.groups[at];
        if let Some(own) = own
            && group.own.last().is_none_or(|last| !Arc::ptr_eq(last, &own.layer))
        {
            group.own.push(&own.layer);
        }
        group
    }
}

impl<'n, 't> Layers<'n, 't> {
    /// The plans alone, which tenants ask for.
    pub(super) fn plans(report: &mut Report<'_>, config: &Fields<'n, 't>, jobs: &[&str]) -> Plans<'n, 't> {
        plans::read(report, config.get("plans"), jobs, |_| true)
    }

    /// All of them.
    pub(super) fn read(report: &mut Report<'_>, config: &Fields<'n, 't>, plans: Plans<'n, 't>, names: &[&str]) -> Self {
        let defaults = jobs::defaults(report, config.get("defaults"));
        let jobs = jobs::read(report, config.get("jobs"), defaults.as_ref());
        let overrides = overrides::read(report, config.get("overrides"), names);
        Self { plans, jobs, overrides, defaults }
    }

    /// The job with some layers on top.
    pub(super) fn stack(&self, job: &JobSpec<'n, 't>, key: &Key<'_>, own: Option<&Ref<'t>>) -> Stack<'t> {
        let mut stack = Stack { node: Arc::clone(&job.base), anchor: job.anchor.clone(), meant: job.meant.clone() };
        let name = job.name.as_ref().map_or("", JobName::as_str);
        let of_plan = key.plan.and_then(|plan| self.plans.all().get(plan)?.of(name)).map(|entry| &entry.value);
        stack.put(of_plan, Rank::PLAN);
        stack.put(own, Rank::TENANT);
        for &at in &key.overrides {
            let layer = &self.overrides[at];
            stack.put(Some(layer.set), Rank::of_override(at));
            stack.meant.extend(&layer.meant);
        }
        stack
    }

    /// Those overrides of some that are about each tenant, in order.
    fn overriding(
        &self,
        tenants: &[&Tenant],
        wanted: impl Fn(&Override<'_, '_>) -> bool,
    ) -> HashMap<usize, Vec<usize>> {
        let mut of_tenant: HashMap<usize, Vec<usize>> = HashMap::new();
        for (at, layer) in self.overrides.iter().enumerate().filter(|(_, layer)| wanted(layer)) {
            for tenant in layer.selector.matching(tenants) {
                of_tenant.entry(tenant).or_default().push(at);
            }
        }
        of_tenant
    }

    /// Those of a job.
    fn of_job(&self, all: Option<&Vec<usize>>, job: &str) -> Vec<usize> {
        all.into_iter().flatten().copied().filter(|&at| self.overrides[at].names(job)).collect()
    }

    /// The part of a key that does not depend on time.
    fn key<'a>(&self, candidate: &Candidate<'a, 't>, job: &str) -> (Key<'a>, Option<&'a OwnJob<'t>>) {
        let own = candidate.own.of(job);
        let plan = self.plans.position(candidate.tenant.plan.as_deref());
        let plan = plan.filter(|&plan| self.plans.all()[plan].of(job).is_some());
        (Key { plan, own: own.map(|own| own.print.as_str()), overrides: Vec::new() }, own)
    }

    /// The tenants of each job at an instant, by what they have in common.
    pub(super) fn groups_at<'a>(
        &self,
        candidates: &[Candidate<'a, 't>],
        now: Timestamp,
    ) -> Vec<(&JobSpec<'n, 't>, Vec<Group<'a, 't>>)> {
        let tenants: Vec<&Tenant> = candidates.iter().map(|candidate| candidate.tenant).collect();
        let overriding = self.overriding(&tenants, |layer| layer.is_on(now));
        let of_job = |job: &JobSpec<'n, 't>| {
            let mut groups = Groups::default();
            let name = job.name.as_ref().map_or("", JobName::as_str);
            for tenant in job.selector.iter().flat_map(|selector| selector.matching(&tenants)) {
                let (key, own) = self.key(&candidates[tenant], name);
                let overrides = self.of_job(overriding.get(&tenant), name);
                groups.group(Key { overrides, ..key }, own).tenants.push(tenant);
            }
            groups.groups
        };
        self.jobs.iter().map(|job| (job, of_job(job))).collect()
    }

    /// Reports what is wrong with any job in any of its variants. Answers the names of the jobs, and to how many tenants
    /// each applies.
    pub(super) fn check(
        &self,
        report: &mut Report<'_>,
        roster: &Roster<'t>,
        blackouts: &mut Blackouts<'_, '_>,
    ) -> Vec<(JobName, usize)> {
        report.expect_repeats();
        let have = Attributes::of(&roster.tenants);
        self.overrides.iter().for_each(|layer| layer.warn(report, roster, &have));
        self.check_alone(report, blackouts);
        let tenants: Vec<&Tenant> = roster.tenants.iter().collect();
        let overriding = self.overriding(&tenants, |_| true);
        let count = |job| self.check_job(report, roster, &have, &overriding, blackouts, job);
        self.jobs.iter().filter_map(count).collect()
    }

    fn check_job(
        &self,
        report: &mut Report<'_>,
        roster: &Roster<'t>,
        have: &Attributes<'_>,
        overriding: &HashMap<usize, Vec<usize>>,
        blackouts: &mut Blackouts<'_, '_>,
        job: &JobSpec<'n, 't>,
    ) -> Option<(JobName, usize)> {
        let tenants: Vec<&Tenant> = roster.tenants.iter().collect();
        let matched = job.selector.as_ref().map(|selector| selector.matching(&tenants)).unwrap_or_default();
        if let Some(selector) = &job.selector {
            selector.warn(report, roster, have, &matched, "so the job never runs");
        }
        // The name is only a value of templates here; without one the other mistakes can still be found.
        let shown = job.name.clone().or_else(|| JobName::new("job").ok())?;
        let mut groups = Groups::default();
        self.add_all_variants(&mut groups, shown.as_str());
        for &tenant in &matched {
            let candidate = Candidate { tenant: tenants[tenant], own: &roster.own[tenant] };
            let (key, own) = self.key(&candidate, shown.as_str());
            let overrides = self.of_job(overriding.get(&tenant), shown.as_str());
            if overrides.is_empty() {
                groups.group(key, own).tenants.push(tenant);
                continue;
            }
            for overrides in overrides::sets_over_time(&self.overrides, &overrides) {
                groups.group(Key { overrides, ..key.clone() }, own).tenants.push(tenant);
            }
        }
        let mut count = 0;
        for group in &groups.groups {
            let whom: Vec<&Tenant> = group.tenants.iter().map(|&tenant| tenants[tenant]).collect();
            let whom = Whom { job: &shown, tenants: &whom, all: matched.len() };
            let mut check = |report: &mut Report<'_>| {
                self.check_group(report, job, group, whom, roster.complete.then_some(have), blackouts)
            };
            // What has no effect for nobody is no news.
            let is_thought_of = group.tenants.is_empty() && !group.key.overrides.is_empty();
            let enabled = if is_thought_of { report.without_warnings(check) } else { check(report) };
            if enabled && group.key.overrides.is_empty() {
                count += group.tenants.len();
            }
        }
        Some((job.name.clone()?, count))
    }

    /// Whether it is to run.
    fn check_group(
        &self,
        report: &mut Report<'_>,
        job: &JobSpec<'n, 't>,
        group: &Group<'_, 't>,
        whom: Whom<'_>,
        have: Option<&Attributes<'_>>,
        blackouts: &mut Blackouts<'_, '_>,
    ) -> bool {
        let stack = self.stack(job, &group.key, group.own.first().copied());
        let errors = report.errors();
        let fields = stack.fields();
        let draft = Draft::read(report, &fields, blackouts);
        if let Some(have) = have.filter(|have| !have.is_empty()) {
            draft.warn_of_features(report, have);
        }
        if report.errors() > errors {
            // Whoever says the same made the same mistake, each at a place of its own.
            for own in group.own.iter().skip(1) {
                Draft::read(report, &self.stack(job, &group.key, Some(own)).fields(), blackouts);
            }
        }
        draft.define(report, whom, blackouts);
        draft.is_enabled()
    }

    /// The job alone, with each plan and with the overrides of all who are on it, whoever that is now.
    fn add_all_variants<'a>(&self, groups: &mut Groups<'a, 't>, job: &str) {
        let says =
            |plan: &str| self.plans.position(Some(plan)).is_some_and(|at| self.plans.all()[at].of(job).is_some());
        let plans = (0..self.plans.all().len()).filter(|at| self.plans.all()[*at].of(job).is_some());
        for plan in std::iter::once(None).chain(plans.map(Some)) {
            groups.group(Key { plan, ..Key::default() }, None);
            let name = plan.map(|plan| self.plans.all()[plan].name);
            let matches = |wanted: &str| name.map_or_else(|| !says(wanted), |name| name == wanted);
            for (at, layer) in self.overrides.iter().enumerate() {
                if layer.names(job) && layer.is_about(matches) {
                    groups.group(Key { plan, overrides: vec![at], ..Key::default() }, None);
                }
            }
        }
    }

    /// A default that every job replaces is wrong all the same, and so is an override of tenants that are not known yet.
    /// What must stand beside it is taken as given.
    fn check_alone(&self, report: &mut Report<'_>, blackouts: &mut Blackouts<'_, '_>) {
        let defaults = self.defaults.iter().map(|layer| (layer.node, &layer.meant, Rank::DEFAULTS));
        let overrides = self.overrides.iter().map(|layer| (layer.set, &layer.meant, Rank::of_override(0)));
        for (node, meant, rank) in defaults.chain(overrides) {
            let node = merge::layered(None, node, rank);
            let mut meant = meant.clone();
            meant.extend(["cron", "handler", "blackouts"]);
            let fields = Fields::merged(&node, node.span.clone(), meant);
            report.without_warnings(|report| Draft::read(report, &fields, blackouts));
        }
    }
}

impl<'t> Stack<'t> {
    fn put(&mut self, layer: Option<&Ref<'t>>, rank: Rank) {
        let Some(layer) = layer.filter(|layer| jobs::is_layer(layer)) else { return };
        self.node = merge::layered(Some(&self.node), layer, rank);
        self.anchor = match &layer.value {
            Value::Map(entries) => {
                entries.first().map_or_else(|| layer.span.clone(), |entry: &Entry<'_>| entry.key_span.clone())
            }
            _ => layer.span.clone(),
        };
    }
}
