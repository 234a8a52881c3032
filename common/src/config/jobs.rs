//! The `jobs` of a config as they stand there; `layers` puts other layers on top, and `draft` reads what comes out.

use std::collections::HashMap;

use super::fields::{self, Fields};
use super::merge;
use super::node::{Entry, Node, Rank, Ref, Value};
use super::report::Report;
use super::selector::{self, Selector};
use super::source::Span;
use crate::id::JobName;

/// The keys of a job that no layer has.
const OWN_KEYS: usize = 3;

const KEYS: &[&str] = &[
    "name",
    "tenants",
    "total",
    "enabled",
    "cron",
    "every",
    "anchor",
    "at",
    "spread",
    "schedules",
    "timezone",
    "dst",
    "start",
    "end",
    "max_runs",
    "jitter",
    "blackouts",
    "on_blackout",
    "http",
    "command",
    "sql",
    "handler",
    "payload",
    "requires",
    "concurrency",
    "rate",
    "timeout",
    "retry",
    "overlap",
    "catch_up",
    "expires",
    "pause_after",
    "queue",
    "priority",
];

/// The keys of a job that a layer may have: all but those that say which job it is.
pub(super) const LAYER_KEYS: &[&str] = KEYS.split_at(OWN_KEYS).1;

/// A job before other layers than `defaults` are put on top.
pub(super) struct JobSpec<'n, 't> {
    /// `None` if it is wrong.
    pub(super) name: Option<JobName>,
    /// For whom it is; `None` if that is wrong.
    pub(super) selector: Option<Selector<'n, 't>>,
    /// What it is, over `defaults`.
    pub(super) base: Ref<'t>,
    /// Where it begins.
    pub(super) anchor: Span,
    /// Keys that unknown ones most likely stand for.
    pub(super) meant: Vec<&'static str>,
}

/// `defaults`, if they can be used.
pub(super) struct Defaults<'n, 't> {
    pub(super) node: &'n Ref<'t>,
    pub(super) meant: Vec<&'static str>,
}

/// Reads `defaults`; their values are looked at where a job has them.
pub(super) fn defaults<'n, 't>(report: &mut Report<'_>, entry: Option<&'n Entry<'t>>) -> Option<Defaults<'n, 't>> {
    let entry = entry?;
    let fields = Fields::read(report, &entry.value, "defaults", LAYER_KEYS)?;
    Some(Defaults { node: &entry.value, meant: fields.meant().to_vec() })
}

/// The names of jobs as they are written, for those that are named elsewhere.
pub(super) fn names<'n>(entry: Option<&'n Entry<'_>>) -> Vec<&'n str> {
    let Some(Value::List(nodes)) = entry.map(|entry| &entry.value.value) else { return Vec::new() };
    let name = |node: &'n Ref<'_>| {
        let Value::Map(entries) = &node.value else { return None };
        match &entries.iter().find(|entry| entry.key == "name")?.value.value {
            Value::Scalar(scalar) => Some(scalar.text.as_ref()),
            _ => None,
        }
    };
    nodes.iter().filter_map(name).collect()
}

/// Reads the list.
pub(super) fn read<'n, 't>(
    report: &mut Report<'_>,
    entry: Option<&'n Entry<'t>>,
    defaults: Option<&Defaults<'n, 't>>,
) -> Vec<JobSpec<'n, 't>> {
    let Some(entry) = entry else { return Vec::new() };
    let mut seen = HashMap::new();
    let nodes = fields::list(report, &entry.value, "jobs").unwrap_or_default();
    nodes.iter().filter_map(|node| job(report, node, defaults, &mut seen)).collect()
}

fn job<'n, 't>(
    report: &mut Report<'_>,
    node: &'n Ref<'t>,
    defaults: Option<&Defaults<'n, 't>>,
    seen: &mut HashMap<JobName, usize>,
) -> Option<JobSpec<'n, 't>> {
    let fields = Fields::read(report, node, "a job", KEYS)?;
    let name = fields.require(report, "name").and_then(|entry| job_name(report, entry, seen));
    let selector = selector::read(report, fields.get("tenants"));
    let below = defaults.map(|defaults| merge::layered(None, defaults.node, Rank::DEFAULTS));
    let mut meant = fields.meant().to_vec();
    meant.extend(defaults.iter().flat_map(|defaults| &defaults.meant));
    Some(JobSpec {
        name,
        selector,
        base: merge::layered(below.as_ref(), node, Rank::JOB),
        anchor: fields.anchor(),
        meant,
    })
}

fn job_name(report: &mut Report<'_>, entry: &Entry<'_>, seen: &mut HashMap<JobName, usize>) -> Option<JobName> {
    let name = fields::name(report, &entry.value, "name", |text| JobName::new(text))?;
    if let Some(first) = seen.get(&name) {
        let line = report.source.line_at(*first).0 + 1;
        let help = format!("the first one is in line {line}; give each job a name of its own");
        report.error(&entry.value.span, format!("the job `{name}` is there twice"), Some(help));
        return None;
    }
    seen.insert(name.clone(), entry.value.span.start);
    Some(name)
}

/// Checks the keys of the layers that a plan or a tenant has for jobs. `what` is `a job of a plan`; `known` are the jobs
/// that there are, unless others may be named.
pub(super) fn check_layers<'n, 't>(
    report: &mut Report<'_>,
    entries: &'n [Entry<'t>],
    what: &'static str,
    known: &[&str],
    others: bool,
) -> Vec<&'n Entry<'t>> {
    let mut sound = Vec::new();
    for entry in entries {
        if !known.contains(&entry.key.as_ref()) {
            if !others {
                super::overrides::refuse_unknown_job(report, &entry.key, &entry.key_span, known);
            }
            continue;
        }
        if Fields::read(report, &entry.value, what, LAYER_KEYS).is_some() {
            sound.push(entry);
        }
    }
    sound
}

/// Whether a node can be a layer.
pub(super) fn is_layer(node: &Node<'_>) -> bool {
    matches!(node.value, Value::Map(_))
}
