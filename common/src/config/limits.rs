//! What runs may use: `concurrency`, `rate`, `total`, `weight`, and the features that a job `requires`.

use std::collections::BTreeSet;

use super::fields::{self, Fields, Text};
use super::node::{Entry, Plain, Value};
use super::report::Report;
use crate::definition::Tenant;
use crate::id::check_name;
use crate::limit::{Limits, Rate};

/// The most runs at once that a limit names; more is none.
const MOST: u32 = 1_000_000;

/// `concurrency` and `rate`, as far as they are there. `None` if one is wrong.
pub(super) fn read(report: &mut Report<'_>, fields: &Fields<'_, '_>) -> Option<Limits> {
    let concurrency =
        fields.get("concurrency").map_or(Some(None), |entry| fields::count(report, entry, MOST).map(Some));
    let rate = fields.get("rate").map_or(Some(None), |entry| rate(report, entry).map(Some));
    Some(Limits { concurrency: concurrency?, rate: rate? })
}

fn rate(report: &mut Report<'_>, entry: &Entry<'_>) -> Option<Rate> {
    if let Value::Scalar(scalar) = &entry.value.value
        && let Plain::Int(number) = scalar.resolve_number()
    {
        let help = format!("write `{number}/min` or `{number}/s`");
        report.error(&entry.value.span, "`rate` is a number of starts in a time", Some(help));
        return None;
    }
    let text = fields::text(report, &entry.value, &entry.key)?;
    match text.text.parse() {
        Ok(rate) => Some(rate),
        Err(error) => {
            let error: crate::limit::RateError = error;
            let error = error.to_string();
            let (message, help) = error.split_once("; ").unwrap_or((&error, ""));
            report.error(&text.span(), message, Some(help.to_owned()));
            None
        }
    }
}

/// What the runs of a job of all tenants together may use.
pub(super) fn total(report: &mut Report<'_>, entry: Option<&Entry<'_>>) -> Option<Limits> {
    let Some(entry) = entry else { return Some(Limits::default()) };
    let fields = Fields::read(report, &entry.value, "`total` of a job", &["concurrency", "rate"])?;
    read(report, &fields)
}

/// A tenant's share beside others.
pub(super) fn weight(report: &mut Report<'_>, entry: Option<&Entry<'_>>) -> Option<u32> {
    entry.map_or(Some(1), |entry| fields::count(report, entry, Tenant::MAX_WEIGHT))
}

/// The features without which a job does not run, each with its place.
pub(super) fn requires<'n, 't>(report: &mut Report<'_>, entry: Option<&'n Entry<'t>>) -> Option<Vec<Text<'n, 't>>> {
    let Some(entry) = entry else { return Some(Vec::new()) };
    let errors = report.errors();
    let fields = Fields::read(report, &entry.value, "requires", &["feature", "features"])?;
    let mut required: Vec<_> = fields.get("feature").and_then(|entry| feature(report, entry)).into_iter().collect();
    if let Some(entry) = fields.get("features") {
        for item in fields::list(report, &entry.value, "features").unwrap_or_default() {
            required.extend(named(report, item, "an entry of `features`"));
        }
    }
    if required.is_empty() && report.errors() == errors {
        report.error(&entry.value.span, "`requires` names no feature", fields::example("requires"));
    }
    (report.errors() == errors).then_some(required)
}

fn feature<'n, 't>(report: &mut Report<'_>, entry: &'n Entry<'t>) -> Option<Text<'n, 't>> {
    if let Value::List(_) = entry.value.value {
        let help = "write `features: […]` for several".to_owned();
        report.error(&entry.value.span, "`feature` must be text, not a list", Some(help));
        return None;
    }
    named(report, &entry.value, "feature")
}

fn named<'n, 't>(report: &mut Report<'_>, node: &'n super::node::Node<'t>, what: &str) -> Option<Text<'n, 't>> {
    fields::name(report, node, what, |text| check_name("feature", text))?;
    fields::text(report, node, what)
}

/// The features by name.
pub(super) fn names(required: &[Text<'_, '_>]) -> BTreeSet<String> {
    required.iter().map(|text| text.text.to_owned()).collect()
}
