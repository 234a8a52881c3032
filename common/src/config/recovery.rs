//! The `recovery` of a config: how fast what an outage left behind becomes ready.

use super::fields::{self, Fields};
use super::node::Entry;
use super::report::Report;
use super::source::Span;
use crate::catalog::Recovery;

/// The most items a second; more is no limit.
const MOST: u32 = 1_000_000;

/// `None` if it is wrong.
pub(super) fn read(report: &mut Report<'_>, entry: Option<&Entry<'_>>) -> Option<Recovery> {
    let Some(entry) = entry else { return Some(Recovery::default()) };
    let fields = Fields::read(report, &entry.value, "recovery", &["total", "per_tenant"])?;
    let mut rate = |key| match fields.get(key) {
        Some(entry) => fields::count(report, entry, MOST).map(|rate| Some((rate, entry.value.span.clone()))),
        None => Some(None),
    };
    let (total, per_tenant) = (rate("total"), rate("per_tenant"));
    together(report, total?, per_tenant?)
}

type Rate = Option<(u32, Span)>;

/// A default gives way to what was written, so that only two written rates can contradict each other.
fn together(report: &mut Report<'_>, total: Rate, per_tenant: Rate) -> Option<Recovery> {
    let default = Recovery::default();
    let (total, per_tenant) = match (total, per_tenant) {
        (Some((total, _)), Some((per_tenant, span))) if per_tenant > total => {
            let help = format!("write at most `per_tenant: {total}`");
            report.error(&span, "`per_tenant` is more than `total`: a tenant's share is a part of it", Some(help));
            return None;
        }
        (Some((total, _)), Some((per_tenant, _))) => (total, per_tenant),
        (Some((total, _)), None) => (total, default.per_tenant.min(total)),
        (None, Some((per_tenant, _))) => (default.total.max(per_tenant), per_tenant),
        (None, None) => (default.total, default.per_tenant),
    };
    Some(Recovery { total, per_tenant })
}
