//! Templates in a config: their mistakes, and the tenants that lack what they ask for.

use std::fmt::Write;

use super::fields::Text;
use super::report::Report;
use crate::definition::Tenant;
use crate::id::{JobName, TenantId};
use crate::template::{Escape, RenderError, Template, Variable};

/// How many tenants a message names.
const NAMED: usize = 5;

/// A template of a job, kept until it is known for which tenants it must hold.
pub(super) struct Used<'n, 't> {
    pub(super) template: Template,
    pub(super) text: Text<'n, 't>,
    pub(super) escape: Escape,
}

/// Parses and reports.
pub(super) fn parse(report: &mut Report<'_>, text: &Text<'_, '_>) -> Option<Template> {
    match Template::parse(text.text) {
        Ok(template) => Some(template),
        Err(error) => {
            let span = text.part(report, &error.span());
            report.error(&span, error.to_string(), Some(error.help()));
            None
        }
    }
}

/// The text with a letter for each variable.
pub(super) fn without_variables(template: &Template) -> String {
    let text = template.as_str();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for (_, part) in template.spans() {
        out.push_str(&text[at..part.start]);
        out.push('x');
        at = part.end;
    }
    out.push_str(&text[at..]);
    out.replace("{{{{", "{{")
}

/// What to do where the tenants of a job lack something.
pub(super) const GIVE_OR_NARROW: &str = "give every tenant that the job applies to one, or narrow the job's `tenants`";

/// Reports the tenants for which a template cannot be rendered, one error for each variable. `help` is for those that
/// lack a value.
pub(super) fn check_tenants(
    report: &mut Report<'_>,
    used: &Used<'_, '_>,
    job: &JobName,
    tenants: &[&Tenant],
    help: &str,
) {
    let mut lacking: Vec<(&Variable, _, Named)> = Vec::new();
    for (variable, part) in used.template.spans() {
        if variable.is_optional() && !lacking.iter().any(|(known, ..)| *known == variable) {
            lacking.push((variable, part, Named::default()));
        }
    }
    if lacking.is_empty() {
        return; // it holds for everybody
    }
    let mut dots = Named::default();
    let mut odd: Option<(RenderError, Named)> = None;
    for &tenant in tenants {
        let mut complete = true;
        for (variable, _, named) in &mut lacking {
            if variable.is_missing_for(tenant) {
                named.add(&tenant.id);
                complete = false;
            }
        }
        match used.template.check(tenant, job, used.escape) {
            Err(RenderError::DotSegment { .. }) if complete => dots.add(&tenant.id),
            Err(error @ RenderError::NotAName { .. }) if complete => {
                odd.get_or_insert_with(|| (error, Named::default())).1.add(&tenant.id);
            }
            _ => {}
        }
    }
    for (variable, part, named) in lacking {
        let Some(names) = named.list() else { continue };
        let span = used.text.part(report, &part);
        let has_no = if named.count == 1 { "has no" } else { "have no" };
        let what = variable.as_attribute();
        report.error(&span, format!("{names} {has_no} {what}"), Some(help.to_owned()));
    }
    if let Some((error, named)) = odd {
        let more = if named.count > 1 { format!(", and those of {} more", named.count - 1) } else { String::new() };
        let help = "it could lead to another place than the one that is meant; use a value that is a name".to_owned();
        report.error(&used.text.span(), format!("{error}{more}"), Some(help));
    }
    if let Some(names) = dots.list() {
        let help = "such a segment would lead to another path".to_owned();
        report.error(&used.text.span(), format!("this makes a `.` or `..` path segment for {names}"), Some(help));
    }
}

/// Some tenants, of which a few are named.
#[derive(Default)]
pub(super) struct Named {
    first: Vec<TenantId>,
    count: usize,
}

impl Named {
    pub(super) fn add(&mut self, id: &TenantId) {
        if self.first.len() < NAMED {
            self.first.push(id.clone());
        }
        self.count += 1;
    }

    /// How many they are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// `tenant acme`, `tenants a, b and c`, `tenants a, b, c, d, e and 95 more`; `None` if there are none.
    pub(super) fn list(&self) -> Option<String> {
        let (last, others) = self.first.split_last()?;
        let mut out = if self.count == 1 { "tenant ".to_owned() } else { "tenants ".to_owned() };
        let names = |ids: &[TenantId]| ids.iter().map(TenantId::as_str).collect::<Vec<_>>().join(", ");
        // Writing to a string does not fail.
        let _ = match (self.count - self.first.len(), others.len()) {
            (0, 0) => write!(out, "{last}"),
            (0, _) => write!(out, "{} and {last}", names(others)),
            (more, _) => write!(out, "{} and {more} more", names(&self.first)),
        };
        Some(out)
    }
}
