//! The `blackouts` of a config, and those that a job names. `left` knows what they leave of a job's due times.

mod left;

use std::collections::HashMap;

pub(super) use self::left::warn_of_nothing_left;
use super::fields::{self, Fields};
use super::node::{Entry, Node, Value};
use super::report::Report;
use super::selector::suggestion;
use super::source::Span;
use super::timing;
use super::zones::{self, ZoneRule};
use crate::definition::Tenant;
use crate::id::{JobName, check_name};
use crate::schedule::{Blackout, BlackoutTime, Days, Moment, Window, Zone};

/// The most blackouts of one job: each is asked for every due time.
const MOST: usize = 32;
/// How many names a message lists.
const LISTED: usize = 10;

/// What stands at the top of the file.
#[derive(Default)]
pub(super) struct Blackouts<'n, 't> {
    declared: Vec<Declared<'n, 't>>,
    /// Where each name is in `declared`.
    by_name: HashMap<&'n str, usize>,
    /// Whether the map could be read: if not, that a name is not there means nothing.
    complete: bool,
}

struct Declared<'n, 't> {
    name: &'n str,
    key_span: Span,
    /// `None` if it is wrong.
    rule: Option<Rule<'n, 't>>,
    /// Whether a job names it.
    named: bool,
}

/// A blackout before it is known for whom.
pub(super) struct Rule<'n, 't> {
    name: &'n str,
    when: When,
    zone: ZoneRule<'n, 't>,
}

enum When {
    Once {
        from: Moment,
        to: Moment,
        /// Where the second one stands.
        span: Span,
    },
    Daily {
        window: Window,
        days: Days,
    },
}

/// Reads the map at the top of the file.
pub(super) fn read<'n, 't>(report: &mut Report<'_>, config: &Fields<'n, 't>) -> Blackouts<'n, 't> {
    let mut blackouts = Blackouts { complete: !config.is_meant("blackouts"), ..Blackouts::default() };
    let Some(entry) = config.get("blackouts") else { return blackouts };
    let Some(entries) = fields::map(report, &entry.value, "`blackouts` of the config") else {
        blackouts.complete = false;
        return blackouts;
    };
    for entry in entries {
        let errors = report.errors();
        if let Err(error) = check_name("blackout name", &entry.key) {
            report.error(&entry.key_span, error.to_string(), None);
        }
        let name: &'n str = &entry.key;
        let rule = rule(report, name, &entry.value).filter(|_| report.errors() == errors);
        blackouts.by_name.insert(name, blackouts.declared.len());
        blackouts.declared.push(Declared { name, key_span: entry.key_span.clone(), rule, named: false });
    }
    blackouts
}

fn rule<'n, 't>(report: &mut Report<'_>, name: &'n str, node: &'n Node<'t>) -> Option<Rule<'n, 't>> {
    let fields = Fields::read(report, node, "a blackout", &["from", "to", "daily", "days", "timezone"])?;
    let zone = match fields.get("timezone") {
        Some(entry) => zones::read(report, entry),
        None => Some(ZoneRule::Fixed(Zone::UTC)),
    };
    let mut rule = Rule { name, when: when(report, &fields)?, zone: zone? };
    rule.settle_zone(report, &fields);
    let known = match &rule.zone {
        ZoneRule::Fixed(zone) => Some(rule.in_zone(zone)),
        // Which of two civil times is the later one, every clock can tell.
        ZoneRule::Template { .. } if rule.is_civil() == Some(true) => Some(rule.in_zone(&Zone::UTC)),
        ZoneRule::Template { .. } => None,
    };
    known.is_none_or(|blackout| rule.check_order(report, &blackout)).then_some(rule)
}

/// Either a stretch of time or a part of the day.
fn when(report: &mut Report<'_>, fields: &Fields<'_, '_>) -> Option<When> {
    let (from, to, daily) = (fields.get("from"), fields.get("to"), fields.get("daily"));
    match (from.or(to), daily) {
        (Some(once), Some(daily)) => {
            let message = format!("a blackout has `from` and `to`, or `daily`: `{}` stands beside `daily`", once.key);
            report.error(&once.key_span, message, Some("make two blackouts of it".to_owned()));
            [from, to].into_iter().flatten().for_each(|entry| drop(timing::moment(report, entry)));
            self::daily(report, fields, daily);
            None
        }
        (None, Some(daily)) => self::daily(report, fields, daily),
        (Some(_), None) => once(report, fields),
        (None, None) if ["from", "to", "daily"].into_iter().any(|key| fields.is_meant(key)) => None,
        (None, None) => {
            let help = fields::example("a blackout");
            report.error(&fields.anchor(), "a blackout needs `from` and `to`, or `daily`", help);
            None
        }
    }
}

fn once(report: &mut Report<'_>, fields: &Fields<'_, '_>) -> Option<When> {
    if let Some(entry) = fields.get("days") {
        let help = "remove it: from one time to another is a single stretch".to_owned();
        report.error(&entry.key_span, "`days` goes with `daily` only", Some(help));
    }
    let from = fields.require(report, "from").and_then(|entry| timing::moment(report, entry));
    let to = fields.require(report, "to");
    let span = to.map(|entry| entry.value.span.clone());
    let to = to.and_then(|entry| timing::moment(report, entry));
    Some(When::Once { from: from?, to: to?, span: span? })
}

fn daily(report: &mut Report<'_>, fields: &Fields<'_, '_>, entry: &Entry<'_>) -> Option<When> {
    let window = timing::window(report, entry);
    let days = fields.get("days").map_or(Some(Days::ALL), |entry| days(report, entry));
    Some(When::Daily { window: window?, days: days? })
}

/// A list of days, or all of them in one text.
fn days(report: &mut Report<'_>, entry: &Entry<'_>) -> Option<Days> {
    let items = match &entry.value.value {
        Value::List(items) => items,
        Value::Scalar(_) => return some_days(report, &entry.value, "days"),
        _ => {
            fields::wrong_type(report, &entry.value, "days", "text or a list of days");
            return None;
        }
    };
    if items.is_empty() {
        report.error(&entry.value.span, "`days` must not be empty", fields::example("days"));
        return None;
    }
    let days: Vec<_> = items.iter().map(|item| some_days(report, item, "an entry of `days`")).collect();
    days.into_iter().reduce(|all, days| Some(all?.and(days?))).flatten()
}

fn some_days(report: &mut Report<'_>, node: &Node<'_>, what: &str) -> Option<Days> {
    let text = fields::text(report, node, what)?;
    match text.text.parse() {
        Ok(days) => Some(days),
        Err(error) => {
            let error: crate::schedule::DaysError = error;
            report.error(&text.span(), error.to_string(), Some(error.help().to_owned()));
            None
        }
    }
}

impl Rule<'_, '_> {
    /// Whether all its times are civil, or none is; `None` if it has one of each.
    fn is_civil(&self) -> Option<bool> {
        match &self.when {
            When::Once { from, to, .. } => (from.is_civil() == to.is_civil()).then_some(from.is_civil()),
            When::Daily { .. } => Some(true),
        }
    }

    /// Instants have no zone to ask for.
    fn settle_zone(&mut self, report: &mut Report<'_>, fields: &Fields<'_, '_>) {
        if let Some(entry) = fields.get("timezone").filter(|_| self.is_civil() == Some(false)) {
            let message = "`timezone` has no effect on `from` and `to` with offsets";
            report.warn(&entry.key_span, message, Some("remove it".to_owned()));
            self.zone = ZoneRule::Fixed(Zone::UTC);
        }
    }

    fn in_zone(&self, zone: &Zone) -> Blackout {
        let when = match &self.when {
            When::Once { from, to, .. } => BlackoutTime::Once { from: from.in_zone(zone), to: to.in_zone(zone) },
            When::Daily { window, days } => BlackoutTime::Daily { window: *window, days: *days, zone: zone.clone() },
        };
        Blackout { name: self.name.to_owned(), when }
    }

    /// Reports a stretch that ends before it begins. `blackout` is an answer of [`Rule::in_zone`].
    fn check_order(&self, report: &mut Report<'_>, blackout: &Blackout) -> bool {
        let (When::Once { span, .. }, BlackoutTime::Once { from, to }) = (&self.when, &blackout.when) else {
            return true;
        };
        match (from.reached(), to.reached()) {
            (Some(from), Some(to)) if from < to => return true,
            (Some(from), Some(to)) => {
                report.error(span, "`to` is not after `from`", Some(format!("they are {from} and {to}")));
            }
            _ => {
                let help = "write years before 9999".to_owned();
                report.error(span, "`from` or `to` is beyond all calendars", Some(help));
            }
        }
        false
    }

    /// Its zone for each tenant of a job; reports those for which there is none.
    pub(super) fn zones(&self, report: &mut Report<'_>, job: &JobName, tenants: &[&Tenant]) -> Vec<Option<Zone>> {
        let help = format!(
            "the job `{job}` names this blackout: give every tenant that it applies to one, or narrow its `tenants`"
        );
        zones::of_tenants(report, &self.zone, job, tenants, &help)
    }

    /// The blackout in one of its zones; reports what is wrong only there.
    pub(super) fn resolve(&self, report: &mut Report<'_>, zone: &Zone) -> Blackout {
        let blackout = self.in_zone(zone);
        self.check_order(report, &blackout);
        blackout
    }
}

impl<'n, 't> Blackouts<'n, 't> {
    /// The blackouts that a job names, for [`Blackouts::rules`]. `None` if they are wrong.
    pub(super) fn of_job(&mut self, report: &mut Report<'_>, job: &Fields<'_, '_>) -> Option<Vec<usize>> {
        let Some(entry) = job.get("blackouts") else { return Some(Vec::new()) };
        let errors = report.errors();
        let items = fields::list(report, &entry.value, "blackouts")?;
        if items.len() > MOST {
            let help = "several stretches of time that have the same jobs may be fewer, longer ones".to_owned();
            report.error(&entry.value.span, format!("`blackouts` has more than {MOST} entries"), Some(help));
        }
        let mut found = Vec::new();
        for item in items {
            let Some(text) = fields::text(report, item, "an entry of `blackouts`") else { continue };
            match self.by_name.get(text.text) {
                Some(position) if found.contains(position) => {
                    let help = "remove one of the two".to_owned();
                    report.error(&text.span(), format!("the blackout `{}` is named twice", text.text), Some(help));
                }
                Some(&position) => {
                    self.declared[position].named = true;
                    found.push(position);
                }
                None if self.complete => {
                    let help = self.help_for(report, text.text);
                    report.error(&text.span(), format!("there is no blackout `{}`", text.text), Some(help));
                }
                None => {}
            }
        }
        (report.errors() == errors).then_some(found)
    }

    /// What may have been meant, or what there is.
    fn help_for(&self, report: &Report<'_>, name: &str) -> String {
        let names = || self.declared.iter().map(|declared| declared.name);
        if let Some(help) = suggestion(report, name, names()) {
            return help;
        }
        let listed: Vec<_> = names().take(LISTED).collect();
        let more = self.declared.len() - listed.len();
        match (listed.as_slice(), more) {
            ([], _) => {
                "name it at the top of the file, as in `blackouts: {nights: {daily: \"02:00-03:00\"}}`".to_owned()
            }
            (names, 0) => format!("the blackouts are {}", names.join(", ")),
            (names, more) => format!("the blackouts are {} and {more} more", names.join(", ")),
        }
    }

    /// The sound ones of some of them.
    pub(super) fn rules(&self, positions: &[usize]) -> Vec<&Rule<'n, 't>> {
        positions.iter().filter_map(|position| self.declared.get(*position)?.rule.as_ref()).collect()
    }

    /// Warns of those that no job names.
    pub(super) fn warn_of_unused(&self, report: &mut Report<'_>) {
        for unused in self.declared.iter().filter(|declared| !declared.named && declared.rule.is_some()) {
            let help = format!("write `blackouts: [{}]` in a job, or remove it", unused.name);
            report.warn(&unused.key_span, format!("no job names the blackout `{}`", unused.name), Some(help));
        }
    }
}
