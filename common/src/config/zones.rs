//! Time zones of jobs: the words for bad ones, and zones that a template takes from the tenant.

use std::collections::HashMap;

use super::fields::{self, Text};
use super::node::Entry;
use super::report::Report;
use super::source::Span;
use super::templates::{self, Used};
use crate::definition::Tenant;
use crate::id::JobName;
use crate::schedule::{Zone, ZoneError};
use crate::template::{Escape, Scope, Template};

/// The zone that a schedule is read in.
#[derive(Clone)]
pub(super) enum ZoneRule<'n, 't> {
    Fixed(Zone),
    /// One for each tenant.
    Template {
        template: Template,
        text: Text<'n, 't>,
    },
}

/// Reports a text that is no zone. The error's own text is "what: what would be right".
pub(super) fn report_bad_zone(report: &mut Report<'_>, span: &Span, error: &ZoneError) {
    let text = error.to_string();
    let (message, help) = match (error, text.rsplit_once(": ")) {
        (_, Some((message, help))) => (message.to_owned(), help.to_owned()),
        (_, None) => (text, "write an IANA name such as `Europe/Berlin`, or `UTC`".to_owned()),
    };
    report.error(span, message, Some(help));
}

/// Reads the `timezone` of a job.
pub(super) fn read<'n, 't>(report: &mut Report<'_>, entry: &'n Entry<'t>) -> Option<ZoneRule<'n, 't>> {
    let text = fields::text(report, &entry.value, "timezone")?;
    if !text.text.contains("{{") {
        return match Zone::parse(text.text) {
            Ok(zone) => Some(ZoneRule::Fixed(zone)),
            Err(error) => {
                report_bad_zone(report, &text.span(), &error);
                None
            }
        };
    }
    let template = templates::parse(report, &text)?;
    for (variable, part) in template.spans() {
        if variable.is_of_run() {
            let span = text.part(report, &part);
            let help = "a zone can come from `tenant.timezone` or a label, `tenant.labels.NAME`".to_owned();
            report.error(&span, format!("`{variable}` is not known when the schedule is made"), Some(help));
            return None;
        }
    }
    Some(ZoneRule::Template { template, text })
}

/// The zone of each tenant, by position; reports those that lack a value, with `help`, and those whose values make no
/// zone.
pub(super) fn of_tenants(
    report: &mut Report<'_>,
    rule: &ZoneRule<'_, '_>,
    job: &JobName,
    tenants: &[&Tenant],
    help: &str,
) -> Vec<Option<Zone>> {
    let (template, text) = match rule {
        ZoneRule::Fixed(zone) => return vec![Some(zone.clone()); tenants.len()],
        ZoneRule::Template { template, text } => (template, text),
    };
    let used = Used { template: template.clone(), text: text.clone(), escape: Escape::None };
    templates::check_tenants(report, &used, job, tenants, help);
    let mut known: HashMap<String, Option<Zone>> = HashMap::new();
    let mut bad = templates::Named::default();
    let mut first_bad = None;
    let mut zones = Vec::with_capacity(tenants.len());
    for &tenant in tenants {
        let Ok(name) = template.render(&Scope { tenant, job, run: None }, Escape::None) else {
            zones.push(None);
            continue;
        };
        let zone = known.entry(name.clone()).or_insert_with_key(|name| Zone::parse(name).ok()).clone();
        if zone.is_none() {
            bad.add(&tenant.id);
            first_bad.get_or_insert(name);
        }
        zones.push(zone);
    }
    if let (Some(names), Some(value)) = (bad.list(), first_bad) {
        let help = format!("the first one gets `{value}`; zones are IANA names such as `Europe/Berlin`, or `UTC`");
        report.error(&text.span(), format!("this gives no time zone for {names}"), Some(help));
    }
    zones
}
