//! The `tenants` of a config.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::fields::{self, Fields};
use super::jobs;
use super::merge;
use super::node::{Entry, Keeper, Ref};
use super::plans::{self, Plans};
use super::report::Report;
use crate::definition::Tenant;
use crate::id::{NameError, TenantId, check_name};
use crate::schedule::{Zone, ZoneError};

/// The longest value of a label, in bytes.
const MAX_LABEL_VALUE: usize = 256;

/// What earlier tenants had: where their ids stand, and what their zones came to. A hundred thousand tenants are in
/// few zones, and to find the one that was meant costs more than to know it.
#[derive(Default)]
pub(super) struct Seen {
    ids: HashMap<TenantId, usize>,
    zones: HashMap<String, Result<Zone, ZoneError>>,
}

/// The tenants that could be read.
pub(super) struct Roster<'t> {
    pub(super) tenants: Vec<Tenant>,
    /// What each says of its jobs.
    pub(super) own: Vec<Own<'t>>,
    /// Whether these are all that there are: if not, that a selector finds nobody means nothing.
    pub(super) complete: bool,
}

/// What a tenant says of its jobs and of what it may use. Mostly nothing.
#[derive(Clone, Default)]
pub(super) struct Own<'t> {
    jobs: Vec<OwnJob<'t>>,
    /// What it may use, if it says anything of that.
    shared: Option<Ref<'t>>,
}

/// What a tenant says of one job.
#[derive(Clone)]
pub(super) struct OwnJob<'t> {
    name: String,
    pub(super) layer: Ref<'t>,
    /// Equal for those that say the same.
    pub(super) print: String,
}

impl<'t> Own<'t> {
    /// What it says of a job.
    pub(super) fn of(&self, job: &str) -> Option<&OwnJob<'t>> {
        self.jobs.iter().find(|own| own.name == job)
    }

    /// Whether it says nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty() && self.shared.is_none()
    }

    /// What it says of what the tenant may use.
    pub(super) fn shared(&self) -> Option<&Ref<'t>> {
        self.shared.as_ref()
    }

    /// The same without its text.
    pub(super) fn keep(&self, keeper: &mut Keeper) -> Own<'static> {
        let keep = |own: &OwnJob<'t>, keeper: &mut Keeper| OwnJob {
            name: own.name.clone(),
            layer: keeper.keep(&own.layer),
            print: own.print.clone(),
        };
        let jobs = self.jobs.iter().map(|own| keep(own, keeper)).collect();
        Own { jobs, shared: self.shared.as_ref().map(|shared| keeper.keep(shared)) }
    }
}

/// What all tenants of a reading have in common.
#[derive(Clone, Copy)]
pub(super) struct Around<'a, 'n, 't> {
    pub(super) plans: &'a Plans<'n, 't>,
    /// The names of the jobs that there are.
    pub(super) jobs: &'a [&'a str],
    /// Whether other jobs may be named: a live source need not know what the file has.
    pub(super) others: bool,
}

pub(super) fn read<'t>(
    report: &mut Report<'_>,
    entry: Option<&Entry<'t>>,
    around: Around<'_, '_, 't>,
    live: bool,
) -> Roster<'t> {
    let mut roster = Roster { tenants: Vec::new(), own: Vec::new(), complete: !live };
    let Some(entry) = entry else { return roster };
    let errors = report.errors();
    let mut seen = Seen::default();
    for node in fields::list(report, &entry.value, "tenants").unwrap_or_default() {
        let Some((tenant, own)) = tenant(report, node, around, &mut seen) else { continue };
        roster.tenants.push(tenant);
        roster.own.push(own);
    }
    roster.complete &= report.errors() == errors;
    roster
}

const KEYS: &[&str] =
    &["id", "plan", "features", "timezone", "labels", "weight", "concurrency", "rate", "database", "jobs"];

/// A tenant with any mistake is left out: what it lacks by mistake must not be reported as lacking.
pub(super) fn tenant<'t>(
    report: &mut Report<'_>,
    node: &Ref<'t>,
    around: Around<'_, '_, 't>,
    seen: &mut Seen,
) -> Option<(Tenant, Own<'t>)> {
    let errors = report.errors();
    let fields = Fields::read(report, node, "a tenant", KEYS)?;
    let id = fields.require(report, "id").and_then(|entry| id(report, entry, seen));
    let plan = fields.get("plan").and_then(|entry| {
        let name = fields::name(report, &entry.value, "plan", plan_name)?;
        around.plans.warn_of_slip(report, &name, &entry.value.span);
        Some(name)
    });
    let features = fields.get("features").map(|entry| features(report, entry)).unwrap_or_default();
    let timezone = fields.get("timezone").and_then(|entry| timezone(report, entry, &mut seen.zones));
    let labels = fields.get("labels").map(|entry| labels(report, entry)).unwrap_or_default();
    let jobs = fields.get("jobs").map(|entry| own_jobs(report, entry, around)).unwrap_or_default();
    let shared = plans::shared(&fields, node);
    if report.errors() > errors {
        shared.iter().for_each(|shared| plans::check(report, shared));
        return None;
    }
    let mut tenant = Tenant { plan, features, timezone, labels, ..Tenant::new(id?) };
    around.plans.settle(report, &mut tenant, shared.as_ref())?;
    Some((tenant, Own { jobs, shared }))
}

fn id(report: &mut Report<'_>, entry: &Entry<'_>, seen: &mut Seen) -> Option<TenantId> {
    let id = fields::name(report, &entry.value, "id", |text| TenantId::new(text))?;
    if let Some(first) = seen.ids.get(&id) {
        let line = report.source.line_at(*first).0 + 1;
        let help = format!("the first one is in line {line}; give each tenant an id of its own");
        report.error(&entry.value.span, format!("the tenant `{id}` is there twice"), Some(help));
        return None;
    }
    seen.ids.insert(id.clone(), entry.value.span.start);
    Some(id)
}

fn own_jobs<'t>(report: &mut Report<'_>, entry: &Entry<'t>, around: Around<'_, '_, 't>) -> Vec<OwnJob<'t>> {
    let entries = fields::map(report, &entry.value, "`jobs` of a tenant").unwrap_or_default();
    let sound = jobs::check_layers(report, entries, "a job of a tenant", around.jobs, around.others);
    let own = |entry: &Entry<'t>| OwnJob {
        name: entry.key.to_string(),
        layer: Arc::clone(&entry.value),
        print: merge::print(&entry.value),
    };
    sound.into_iter().map(own).collect()
}

fn plan_name(text: &str) -> Result<String, NameError> {
    check_name("plan", text).map(|()| text.to_owned())
}

fn feature_name(text: &str) -> Result<String, NameError> {
    check_name("feature", text).map(|()| text.to_owned())
}

fn features(report: &mut Report<'_>, entry: &Entry<'_>) -> BTreeSet<String> {
    let items = fields::list(report, &entry.value, "features").unwrap_or_default();
    items.iter().filter_map(|item| fields::name(report, item, "an entry of `features`", feature_name)).collect()
}

fn timezone(
    report: &mut Report<'_>,
    entry: &Entry<'_>,
    known: &mut HashMap<String, Result<Zone, ZoneError>>,
) -> Option<Zone> {
    let text = fields::text(report, &entry.value, "timezone")?;
    if !known.contains_key(text.text) {
        known.insert(text.text.to_owned(), Zone::parse(text.text));
    }
    match known.get(text.text)? {
        Ok(zone) => Some(zone.clone()),
        Err(error) => {
            super::zones::report_bad_zone(report, &text.span(), error);
            None
        }
    }
}

fn labels(report: &mut Report<'_>, entry: &Entry<'_>) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for label in fields::map(report, &entry.value, "labels").unwrap_or_default() {
        if let Err(error) = check_name("label name", &label.key) {
            report.error(&label.key_span, error.to_string(), None);
            continue;
        }
        if let Some(value) = label_value(report, label) {
            labels.insert(label.key.to_string(), value);
        }
    }
    labels
}

/// Labels reach headers, program arguments and logs: no control characters, and not endless.
pub(super) fn label_value(report: &mut Report<'_>, label: &Entry<'_>) -> Option<String> {
    let value = fields::text(report, &label.value, &format!("the value of the label `{}`", label.key))?;
    if value.text.len() > MAX_LABEL_VALUE {
        let message =
            format!("the value of a label has at most {MAX_LABEL_VALUE} bytes, this one has {}", value.text.len());
        report.error(&value.span(), message, None);
        return None;
    }
    if value.text.contains(char::is_control) {
        report.error(&value.span(), "the value of a label must not contain control characters", None);
        return None;
    }
    Some(value.text.to_owned())
}
