//! Which tenants a job applies to.
//!
//! All keys of a selector must match, and so must all entries of `features` and `labels`; a list of ids or plans
//! means any of them. No selector means everybody.

use std::collections::{BTreeSet, HashSet};

use super::fields::{self, Fields, Text};
use super::node::{Entry, Value};
use super::report::Report;
use super::source::Span;
use super::tenants::{Roster, label_value};
use crate::definition::Tenant;
use crate::suggest;

/// A selector as it was written.
#[derive(Default)]
pub(super) struct Selector<'n, 't> {
    ids: Option<Vec<Text<'n, 't>>>,
    plans: Option<Vec<Text<'n, 't>>>,
    features: Vec<Text<'n, 't>>,
    labels: Vec<Label<'n, 't>>,
    span: Option<Span>,
}

struct Label<'n, 't> {
    entry: &'n Entry<'t>,
    value: String,
}

/// What the tenants have, to tell which part of a selector finds nobody. Made once for all jobs.
pub(super) struct Attributes<'a> {
    ids: HashSet<&'a str>,
    plans: BTreeSet<&'a str>,
    pub(super) features: BTreeSet<&'a str>,
    labels: BTreeSet<&'a str>,
    pairs: HashSet<(&'a str, &'a str)>,
}

impl<'a> Attributes<'a> {
    /// Whether there is no tenant.
    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    pub(super) fn of(tenants: &'a [Tenant]) -> Self {
        Self {
            ids: tenants.iter().map(|tenant| tenant.id.as_str()).collect(),
            plans: tenants.iter().filter_map(|tenant| tenant.plan.as_deref()).collect(),
            features: tenants.iter().flat_map(|tenant| tenant.features.iter().map(String::as_str)).collect(),
            labels: tenants.iter().flat_map(|tenant| tenant.labels.keys().map(String::as_str)).collect(),
            pairs: tenants
                .iter()
                .flat_map(|tenant| tenant.labels.iter().map(|(k, v)| (k.as_str(), v.as_str())))
                .collect(),
        }
    }
}

/// Reads the `tenants` of a job. `None` if it is wrong: then nothing is known about whom the job applies to.
pub(super) fn read<'n, 't>(report: &mut Report<'_>, entry: Option<&'n Entry<'t>>) -> Option<Selector<'n, 't>> {
    let Some(entry) = entry else { return Some(Selector::default()) };
    let errors = report.errors();
    let fields = Fields::read(report, &entry.value, "a selector", &["id", "plan", "features", "labels"])?;
    let selector = Selector {
        ids: fields.get("id").map(|entry| values(report, entry)),
        plans: fields.get("plan").map(|entry| values(report, entry)),
        features: fields.get("features").map(|entry| values(report, entry)).unwrap_or_default(),
        labels: fields.get("labels").map(|entry| labels(report, entry)).unwrap_or_default(),
        span: Some(entry.key_span.clone()),
    };
    (report.errors() == errors).then_some(selector)
}

/// A list of texts, or one alone.
fn values<'n, 't>(report: &mut Report<'_>, entry: &'n Entry<'t>) -> Vec<Text<'n, 't>> {
    let items = match &entry.value.value {
        Value::List(items) => items,
        Value::Map(_) | Value::Null => {
            fields::wrong_type(report, &entry.value, &entry.key, "text or a list of texts");
            return Vec::new();
        }
        _ => return fields::text(report, &entry.value, &entry.key).into_iter().collect(),
    };
    if items.is_empty() {
        empty(report, entry);
    }
    let what = format!("an entry of `{}`", entry.key);
    items.iter().filter_map(|item| fields::text(report, item, &what)).collect()
}

fn labels<'n, 't>(report: &mut Report<'_>, entry: &'n Entry<'t>) -> Vec<Label<'n, 't>> {
    let Some(labels) = fields::map(report, &entry.value, "labels") else { return Vec::new() };
    if labels.is_empty() {
        empty(report, entry);
    }
    labels.iter().filter_map(|entry| Some(Label { entry, value: label_value(report, entry)? })).collect()
}

/// An empty list could mean everybody or nobody.
fn empty(report: &mut Report<'_>, entry: &Entry<'_>) {
    let help = "name at least one, or leave the key out to set no condition".to_owned();
    report.error(&entry.value.span, format!("`{}` of a selector must not be empty", entry.key), Some(help));
}

impl Selector<'_, '_> {
    /// Whether it chooses tenants by their ids.
    pub(super) fn names_ids(&self) -> bool {
        self.ids.is_some()
    }

    /// The plans of which a tenant must be on any; `None` if its plan does not matter.
    pub(super) fn plans(&self) -> Option<impl Iterator<Item = &str>> {
        Some(self.plans.as_ref()?.iter().map(|text| text.text))
    }

    /// The positions of the tenants that match, in order. Linear in the number of tenants.
    pub(super) fn matching(&self, tenants: &[&Tenant]) -> Vec<usize> {
        let ids = set(self.ids.as_deref());
        let plans = set(self.plans.as_deref());
        let fits = |tenant: &Tenant| {
            ids.as_ref().is_none_or(|ids| ids.contains(tenant.id.as_str()))
                && plans.as_ref().is_none_or(|plans| tenant.plan.as_deref().is_some_and(|plan| plans.contains(plan)))
                && self.features.iter().all(|feature| tenant.features.contains(feature.text))
                && self.labels.iter().all(|label| tenant.labels.get(label.entry.key.as_ref()) == Some(&label.value))
        };
        tenants.iter().enumerate().filter(|(_, tenant)| fits(tenant)).map(|(index, _)| index).collect()
    }

    /// Warns of what no tenant has, or else of parts that no tenant has together.
    /// `never` is what follows.
    pub(super) fn warn(
        &self,
        report: &mut Report<'_>,
        roster: &Roster<'_>,
        have: &Attributes<'_>,
        matched: &[usize],
        never: &str,
    ) {
        if !roster.complete || roster.tenants.is_empty() {
            return;
        }
        let before = report.warnings();
        self.warn_of_names(report, roster, have);
        self.warn_of_labels(report, have);
        if matched.is_empty()
            && report.warnings() == before
            && let Some(span) = &self.span
        {
            let help = "all keys of a selector must match, and all entries of `features` and `labels`".to_owned();
            report.warn(span, format!("no tenant matches this selector, {never}"), Some(help));
        }
    }

    fn warn_of_names(&self, report: &mut Report<'_>, roster: &Roster<'_>, have: &Attributes<'_>) {
        for id in self.ids.iter().flatten().filter(|id| !have.ids.contains(id.text)) {
            let help = suggestion(report, id.text, roster.tenants.iter().map(|tenant| tenant.id.as_str()));
            report.warn(&id.span(), format!("there is no tenant `{}`", id.text), help);
        }
        for plan in self.plans.iter().flatten().filter(|plan| !have.plans.contains(plan.text)) {
            let help = suggestion(report, plan.text, have.plans.iter().copied());
            report.warn(&plan.span(), format!("no tenant is on the plan `{}`", plan.text), help);
        }
        for feature in self.features.iter().filter(|feature| !have.features.contains(feature.text)) {
            let help = suggestion(report, feature.text, have.features.iter().copied());
            report.warn(&feature.span(), format!("no tenant has the feature `{}`", feature.text), help);
        }
    }

    fn warn_of_labels(&self, report: &mut Report<'_>, have: &Attributes<'_>) {
        for Label { entry, value } in &self.labels {
            let key = entry.key.as_ref();
            if !have.labels.contains(key) {
                let help = suggestion(report, key, have.labels.iter().copied());
                report.warn(&entry.key_span, format!("no tenant has the label `{key}`"), help);
            } else if !have.pairs.contains(&(key, value.as_str())) {
                let message = format!("no tenant has the label `{key}` with the value `{value}`");
                report.warn(&entry.value.span, message, None);
            }
        }
    }
}

/// A suggestion is worth looking at so many names, and not at a hundred thousand for each of a thousand jobs.
const SUGGEST_AMONG: usize = 1_000;

/// "Did you mean", among names that tenants and users have made up.
pub(super) fn suggestion<'a>(report: &Report<'_>, word: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    if report.is_crowded() {
        return None;
    }
    suggest::closest(word, names.take(SUGGEST_AMONG)).map(|meant| format!("did you mean `{meant}`?"))
}

fn set<'a>(texts: Option<&[Text<'a, '_>]>) -> Option<HashSet<&'a str>> {
    Some(texts?.iter().map(|text| text.text).collect())
}
