//! The `jobs` of a config.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::Job;
use super::blackouts::{self, Blackouts, Rule};
use super::fields::{self, Fields};
use super::handler;
use super::node::{Entry, Node};
use super::policies::{self, Policies};
use super::report::Report;
use super::selector::{self, Attributes};
use super::source::Span;
use super::templates::{self, GIVE_OR_NARROW, Used};
use super::tenants::Roster;
use super::timing::{self, Timing};
use crate::definition::{Definition, HandlerSpec, OnBlackout, ScheduleSpec, Tenant};
use crate::id::{JobName, QueueName};
use crate::limit::Limits;
use crate::retry::{Backoff, RetryPolicy};
use crate::schedule::{Blackout, Zone};

/// The least of a duration.
const LEAST: Duration = Duration::from_millis(1);
/// The most attempts; more would outlive whoever wrote them.
const MAX_ATTEMPTS: u32 = 1_000;

const KEYS: &[&str] = &[
    "name",
    "tenants",
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
    "handler",
    "payload",
    "timeout",
    "retry",
    "overlap",
    "catch_up",
    "expires",
    "pause_after",
    "queue",
    "priority",
];

/// The parts of a definition that are the same for all tenants.
struct Body {
    handler: HandlerSpec,
    payload: Option<serde_json::Value>,
    timeout: Duration,
    retry: RetryPolicy,
    queue: QueueName,
    priority: i16,
}

/// When a job is due and when it does not run, for the zones of some tenants.
struct Times {
    schedule: ScheduleSpec,
    blackouts: Vec<Blackout>,
}

impl Body {
    fn define(&self, times: Times, policies: &Policies) -> Definition {
        Definition {
            schedule: times.schedule,
            handler: self.handler.clone(),
            payload: self.payload.clone(),
            timeout: self.timeout,
            retry: self.retry.clone(),
            overlap: policies.overlap,
            queue: self.queue.clone(),
            priority: self.priority,
            buffer: policies.buffer,
            catch_up: policies.catch_up,
            expires: policies.expires,
            blackouts: times.blackouts,
            on_blackout: policies.on_blackout,
            pause_after: policies.pause_after,
            limits: Limits::default(),
            total: Limits::default(),
            requires: BTreeSet::new(),
        }
    }
}

pub(super) fn read(
    report: &mut Report<'_>,
    entry: Option<&Entry<'_>>,
    roster: &Roster,
    blackouts: &mut Blackouts<'_, '_>,
) -> Vec<Job> {
    let Some(entry) = entry else { return Vec::new() };
    let have = Attributes::of(&roster.tenants);
    let mut seen = HashMap::new();
    let nodes = fields::list(report, &entry.value, "jobs").unwrap_or_default();
    nodes.iter().filter_map(|node| job(report, node, roster, &have, blackouts, &mut seen)).collect()
}

fn job(
    report: &mut Report<'_>,
    node: &Node<'_>,
    roster: &Roster,
    have: &Attributes<'_>,
    blackouts: &mut Blackouts<'_, '_>,
    seen: &mut HashMap<JobName, usize>,
) -> Option<Job> {
    let fields = Fields::read(report, node, "a job", KEYS)?;
    let name = fields.require(report, "name").and_then(|entry| job_name(report, entry, seen));
    let selector = selector::read(report, fields.get("tenants"));
    let mut used = Vec::new();
    let timing = timing::read(report, &fields);
    let named = blackouts.of_job(report, &fields);
    let policies = policies::read(report, &fields, timing.as_ref());
    let body = body(report, &fields, &mut used);

    let matched = selector.as_ref().map(|selector| selector.matching(&roster.tenants)).unwrap_or_default();
    if let Some(selector) = &selector {
        selector.warn(report, roster, have, &matched);
    }
    // The name is only a value of templates here; without one the other mistakes can still be found.
    let shown = name.clone().or_else(|| JobName::new("job").ok())?;
    for used in &used {
        templates::check_tenants(report, used, &shown, &roster.tenants, &matched, GIVE_OR_NARROW);
    }
    let rules = named.as_deref().map(|named| blackouts.rules(named)).unwrap_or_default();
    let times = timing.as_ref().map(|timing| times(report, timing, &rules, &shown, &roster.tenants, &matched));
    if let (Some(timing), Some((times, assigned)), Some(policies)) = (&timing, &times, &policies) {
        let waits = timing.is_delay() || policies.on_blackout == OnBlackout::Defer;
        warn_of_nothing_left(report, &fields, &shown, waits, &roster.tenants, (times, assigned));
    }
    let (name, (times, tenants), body, policies) = (name?, times?, body?, policies?);
    let definitions = times.into_iter().map(|times| Arc::new(body.define(times, &policies))).collect();
    Some(Job { name, definitions, tenants })
}

fn warn_of_nothing_left(
    report: &mut Report<'_>,
    job: &Fields<'_, '_>,
    name: &JobName,
    waits: bool,
    tenants: &[Tenant],
    (times, assigned): (&[Times], &[(usize, usize)]),
) {
    let Some(entry) = job.get("blackouts") else { return };
    let jobs = assigned.iter().map(|&(tenant, index)| {
        let Times { schedule, blackouts } = &times[index];
        (&tenants[tenant].id, schedule, blackouts.as_slice())
    });
    blackouts::warn_of_nothing_left(report, &entry.key_span, name, waits, jobs);
}

/// The times for each set of zones, and which tenant has which.
fn times(
    report: &mut Report<'_>,
    timing: &Timing<'_, '_>,
    blackouts: &[&Rule<'_, '_>],
    job: &JobName,
    tenants: &[Tenant],
    matched: &[usize],
) -> (Vec<Times>, Vec<(usize, usize)>) {
    let mut zones = timing.zones(report, job, tenants, matched);
    let of_schedule = zones.len();
    zones.extend(blackouts.iter().map(|rule| rule.zones(report, job, tenants, matched)));
    let mut times = Vec::new();
    let mut by_zones: HashMap<Vec<&Zone>, usize> = HashMap::new();
    let mut assigned = Vec::with_capacity(matched.len());
    for (position, &tenant) in matched.iter().enumerate() {
        let here = zones.iter().map(|zones| zones.get(position).and_then(Option::as_ref)).collect::<Option<Vec<_>>>();
        let Some(here) = here else { continue }; // reported: the config is not used
        let index = by_zones.get(&here).copied().unwrap_or_else(|| {
            let (of_schedule, of_blackouts) = here.split_at(of_schedule);
            let schedule = timing.spec(of_schedule);
            timing.check(report, &schedule);
            let blackouts = blackouts.iter().zip(of_blackouts).map(|(rule, zone)| rule.resolve(report, zone)).collect();
            times.push(Times { schedule, blackouts });
            by_zones.insert(here, times.len() - 1);
            times.len() - 1
        });
        assigned.push((tenant, index));
    }
    let mut sharing = vec![0; times.len()];
    assigned.iter().for_each(|&(_, index)| sharing[index] += 1);
    timing.check_ceiling(report, sharing.into_iter().max().unwrap_or(0));
    (times, assigned)
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

fn body<'n, 't>(report: &mut Report<'_>, job: &Fields<'n, 't>, used: &mut Vec<Used<'n, 't>>) -> Option<Body> {
    let handler = handler::read(report, job, used);
    let payload = match job.get("payload") {
        Some(entry) => fields::json(report, &entry.value).map(Some),
        None => Some(None),
    };
    let timeout = match job.get("timeout") {
        Some(entry) => fields::duration(report, entry, LEAST),
        None => Some(Definition::DEFAULT_TIMEOUT),
    };
    let retry = job.get("retry").map_or(Some(RetryPolicy::default()), |entry| retry(report, &entry.value));
    let queue = job.get("queue").map_or(Some(QueueName::default()), |entry| {
        fields::name(report, &entry.value, "queue", |text| QueueName::new(text))
    });
    let priority = job.get("priority").map_or(Some(0), |entry| {
        let number = fields::integer(report, entry, i16::MIN.into()..=i16::MAX.into())?;
        i16::try_from(number).ok()
    });
    Some(Body {
        handler: handler?,
        payload: payload?.filter(|payload| !payload.is_null()),
        timeout: timeout?,
        retry: retry?,
        queue: queue?,
        priority: priority?,
    })
}

fn retry(report: &mut Report<'_>, node: &Node<'_>) -> Option<RetryPolicy> {
    let fields = Fields::read(report, node, "retry", &["attempts", "backoff"])?;
    let default = RetryPolicy::default();
    let attempts = fields.get("attempts").map_or(Some(default.attempts), |entry| {
        let number = fields::integer(report, entry, 1..=MAX_ATTEMPTS.into())?;
        u32::try_from(number).ok()
    });
    let backoff = fields.get("backoff").map_or(Some(default.backoff), |entry| backoff(report, &entry.value));
    Some(RetryPolicy { attempts: attempts?, backoff: backoff? })
}

fn backoff(report: &mut Report<'_>, node: &Node<'_>) -> Option<Backoff> {
    let fields = Fields::read(report, node, "backoff", &["initial", "max", "factor"])?;
    let default = Backoff::default();
    let mut wait = |key| match fields.get(key) {
        Some(entry) => fields::duration(report, entry, LEAST).map(|wait| Some((wait, entry.value.span.clone()))),
        None => Some(None),
    };
    let (initial, max) = (wait("initial"), wait("max"));
    let factor = fields.get("factor").map_or(Some(default.factor), |entry| factor(report, entry));
    let (initial, max) = waits(report, initial?, max?, &default)?;
    Some(Backoff { initial, max, factor: factor? })
}

type Wait = Option<(Duration, Span)>;

/// A default gives way to what was written, so that only two written waits can contradict each other.
fn waits(report: &mut Report<'_>, initial: Wait, max: Wait, default: &Backoff) -> Option<(Duration, Duration)> {
    match (initial, max) {
        (Some((initial, _)), Some((max, span))) if max < initial => {
            let least = crate::duration::format(initial);
            let help = format!("write at least `max: {least}`");
            report.error(&span, "`max` is less than `initial`: waits grow from `initial` to `max`", Some(help));
            None
        }
        (Some((initial, _)), Some((max, _))) => Some((initial, max)),
        (Some((initial, _)), None) => Some((initial, default.max.max(initial))),
        (None, Some((max, _))) => Some((default.initial.min(max), max)),
        (None, None) => Some((default.initial, default.max)),
    }
}

fn factor(report: &mut Report<'_>, entry: &Entry<'_>) -> Option<f64> {
    let factor = fields::number(report, entry)?;
    if factor.is_finite() && factor >= 1.0 {
        return Some(factor);
    }
    let help = "write `factor: 1` for equal waits, `factor: 2` for waits that double".to_owned();
    report.error(&entry.value.span, "`factor` must be a number from 1", Some(help));
    None
}
