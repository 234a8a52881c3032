//! The `overrides` of a config: other settings for some jobs of some tenants, for a time and for a reason.
//!
//! A check has no clock, so it looks at every set of overrides that is ever in force at once, and at each alone.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::fields::{self, Fields, Text};
use super::jobs::LAYER_KEYS;
use super::node::{Entry, Node, Ref, Value};
use super::report::Report;
use super::selector::{self, Selector};
use super::source::Span;
use super::timing;
use crate::definition::Tenant;

/// The most overrides: they are meant to go again.
const MOST: usize = 1_000;
/// The longest reason, in bytes.
const MAX_REASON: usize = 500;

/// An override.
pub(super) struct Override<'n, 't> {
    /// The names of its jobs.
    jobs: Vec<Text<'n, 't>>,
    pub(super) selector: Selector<'n, 't>,
    from: Option<Timestamp>,
    pub(super) until: Timestamp,
    /// Where `until` stands.
    pub(super) until_span: Span,
    pub(super) reason: &'n str,
    /// The settings.
    pub(super) set: &'n Ref<'t>,
    pub(super) meant: Vec<&'static str>,
}

/// Reads the list. `exists` knows the names of jobs; what is wrong is left out.
pub(super) fn read<'n, 't>(
    report: &mut Report<'_>,
    entry: Option<&'n Entry<'t>>,
    jobs: &[&str],
) -> Vec<Override<'n, 't>> {
    let Some(entry) = entry else { return Vec::new() };
    let nodes = fields::list(report, &entry.value, "overrides").unwrap_or_default();
    if nodes.len() > MOST {
        let help = "one override may name several jobs, and select many tenants".to_owned();
        report.error(&entry.value.span, format!("`overrides` has more than {MOST} entries"), Some(help));
        return Vec::new();
    }
    nodes.iter().filter_map(|node| one(report, node, jobs)).collect()
}

fn one<'n, 't>(report: &mut Report<'_>, node: &'n Node<'t>, known: &[&str]) -> Option<Override<'n, 't>> {
    let errors = report.errors();
    let keys = &["job", "tenants", "from", "until", "reason", "set"];
    let fields = Fields::read(report, node, "an override", keys)?;
    let jobs = fields.require(report, "job").map(|entry| jobs(report, entry, known));
    let selector = selector::read(report, fields.get("tenants"));
    let from = match fields.get("from") {
        Some(entry) => instant(report, entry).map(Some),
        None => Some(None),
    };
    let until = fields.require(report, "until");
    let until = until.and_then(|entry| Some((instant(report, entry)?, entry.value.span.clone())));
    let reason = fields.require(report, "reason").and_then(|entry| reason(report, entry));
    let set = fields.require(report, "set");
    let meant = set.and_then(|entry| settings(report, entry));
    if let (Some(Some(from)), Some((until, span))) = (from, &until)
        && *until <= from
    {
        report.error(span, "`until` is not after `from`", Some(format!("they are {until} and {from}")));
    }
    if report.errors() > errors {
        return None;
    }
    let (until, until_span) = until?;
    Some(Override {
        jobs: jobs?,
        selector: selector?,
        from: from?,
        until,
        until_span,
        reason: reason?,
        set: &set?.value,
        meant: meant?,
    })
}

/// One name, or a list.
fn jobs<'n, 't>(report: &mut Report<'_>, entry: &'n Entry<'t>, known: &[&str]) -> Vec<Text<'n, 't>> {
    let texts: Vec<_> = match &entry.value.value {
        Value::List(items) if items.is_empty() => {
            report.error(&entry.value.span, "`job` must not be empty", fields::example("an entry of `job`"));
            return Vec::new();
        }
        Value::List(items) => items.iter().filter_map(|item| fields::text(report, item, "an entry of `job`")).collect(),
        Value::Map(_) | Value::Null => {
            fields::wrong_type(report, &entry.value, "job", "text or a list of texts");
            return Vec::new();
        }
        _ => fields::text(report, &entry.value, "job").into_iter().collect(),
    };
    for text in &texts {
        refuse_unknown_job(report, text.text, &text.span(), known);
    }
    texts
}

/// Reports the name of a job that does not exist.
pub(super) fn refuse_unknown_job(report: &mut Report<'_>, name: &str, span: &Span, known: &[&str]) {
    if !known.contains(&name) {
        let help = selector::suggestion(report, name, known.iter().copied());
        report.error(span, format!("there is no job `{name}`"), help);
    }
}

/// A point in time; without an offset, in UTC.
fn instant(report: &mut Report<'_>, entry: &Entry<'_>) -> Option<Timestamp> {
    let at = timing::moment(report, entry)?.reached();
    if at.is_none() {
        let help = "write years before 9999".to_owned();
        report.error(&entry.value.span, format!("`{}` is beyond all calendars", entry.key), Some(help));
    }
    at
}

fn reason<'n>(report: &mut Report<'_>, entry: &'n Entry<'_>) -> Option<&'n str> {
    let text = fields::text(report, &entry.value, "reason")?;
    let help = || Some("say in a sentence why, for whoever asks in a month".to_owned());
    if text.text.trim().is_empty() {
        report.error(&text.span(), "`reason` must not be empty", help());
        return None;
    }
    if text.text.len() > MAX_REASON || text.text.contains(char::is_control) {
        let message = format!("`reason` is one line of at most {MAX_REASON} bytes");
        report.error(&text.span(), message, help());
        return None;
    }
    Some(text.text)
}

fn settings(report: &mut Report<'_>, entry: &Entry<'_>) -> Option<Vec<&'static str>> {
    let fields = Fields::read(report, &entry.value, "set", LAYER_KEYS)?;
    if matches!(&entry.value.value, Value::Map(entries) if entries.is_empty()) {
        report.error(&entry.value.span, "`set` must not be empty", fields::example("set"));
        return None;
    }
    Some(fields.meant().to_vec())
}

impl Override<'_, '_> {
    /// Whether it is about a job.
    pub(super) fn names(&self, job: &str) -> bool {
        self.jobs.iter().any(|name| name.text == job)
    }

    /// Whether it is in force.
    pub(super) fn is_on(&self, now: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= now) && now < self.until
    }

    /// When it begins and ends.
    pub(super) fn ends(&self) -> impl Iterator<Item = Timestamp> {
        self.from.into_iter().chain([self.until])
    }

    /// Whether it is about whoever is on a plan that `matches`, and not about a few tenants by their ids.
    pub(super) fn is_about(&self, matches: impl Fn(&str) -> bool) -> bool {
        !self.selector.names_ids() && self.selector.plans().is_none_or(|mut plans| plans.any(matches))
    }

    /// Warns if it finds nobody.
    pub(super) fn warn(
        &self,
        report: &mut Report<'_>,
        roster: &super::tenants::Roster<'_>,
        have: &selector::Attributes<'_>,
    ) {
        let tenants: Vec<&Tenant> = roster.tenants.iter().collect();
        let matched = self.selector.matching(&tenants);
        self.selector.warn(report, roster, have, &matched, "so the override never applies");
    }
}

/// The sets of some overrides that are in force at the same time, at any time, each once; nothing among them.
pub(super) fn sets_over_time(overrides: &[Override<'_, '_>], some: &[usize]) -> BTreeSet<Vec<usize>> {
    let ends: BTreeSet<Timestamp> = some.iter().flat_map(|&at| overrides[at].ends()).collect();
    let before = [Timestamp::MIN].into_iter();
    let mut sets: BTreeSet<Vec<usize>> =
        before.chain(ends).map(|now| some.iter().copied().filter(|&at| overrides[at].is_on(now)).collect()).collect();
    sets.insert(Vec::new());
    sets
}
