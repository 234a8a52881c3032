//! The `tenants` of a config.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::fields::{self, Fields};
use super::node::{Entry, Node};
use super::report::Report;
use crate::definition::Tenant;
use crate::id::{NameError, TenantId, check_name};
use crate::schedule::{Zone, ZoneError};

/// The longest value of a label, in bytes.
const MAX_LABEL_VALUE: usize = 256;

/// What earlier tenants had: where their ids stand, and what their zones came to. A hundred thousand tenants are in
/// few zones, and to find the one that was meant costs more than to know it.
#[derive(Default)]
struct Seen {
    ids: HashMap<TenantId, usize>,
    zones: HashMap<String, Result<Zone, ZoneError>>,
}

/// The tenants that could be read.
#[derive(Default)]
pub(super) struct Roster {
    pub(super) tenants: Vec<Tenant>,
    /// Whether all of them could be: if not, that a selector finds nobody means nothing.
    pub(super) complete: bool,
}

pub(super) fn read(report: &mut Report<'_>, entry: Option<&Entry<'_>>) -> Roster {
    let Some(entry) = entry else { return Roster { tenants: Vec::new(), complete: true } };
    let errors = report.errors();
    let mut tenants = Vec::new();
    let mut seen = Seen::default();
    for node in fields::list(report, &entry.value, "tenants").unwrap_or_default() {
        let Some(tenant) = tenant(report, node, &mut seen) else { continue };
        tenants.push(tenant);
    }
    Roster { tenants, complete: report.errors() == errors }
}

/// A tenant with any mistake is left out: what it lacks by mistake must not be reported as lacking.
fn tenant(report: &mut Report<'_>, node: &Node<'_>, seen: &mut Seen) -> Option<Tenant> {
    let errors = report.errors();
    let fields = Fields::read(report, node, "a tenant", &["id", "plan", "features", "timezone", "labels"])?;
    let id = fields.require(report, "id").and_then(|entry| {
        let id = fields::name(report, &entry.value, "id", |text| TenantId::new(text))?;
        if let Some(first) = seen.ids.get(&id) {
            let line = report.source.line_at(*first).0 + 1;
            let help = format!("the first one is in line {line}; give each tenant an id of its own");
            report.error(&entry.value.span, format!("the tenant `{id}` is there twice"), Some(help));
            return None;
        }
        seen.ids.insert(id.clone(), entry.value.span.start);
        Some(id)
    });
    let plan = fields.get("plan").and_then(|entry| fields::name(report, &entry.value, "plan", plan_name));
    let features = fields.get("features").map(|entry| features(report, entry)).unwrap_or_default();
    let timezone = fields.get("timezone").and_then(|entry| timezone(report, entry, &mut seen.zones));
    let labels = fields.get("labels").map(|entry| labels(report, entry)).unwrap_or_default();
    if report.errors() > errors {
        return None;
    }
    Some(Tenant { plan, features, timezone, labels, ..Tenant::new(id?) })
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
