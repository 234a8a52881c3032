//! A job of some tenants with all layers merged: typed values out of it, what can be said against it, and the
//! definitions that it comes to.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::blackouts::{self, Blackouts, Rule};
use super::fields::{self, Fields, Text};
use super::handler;
use super::http;
use super::limits;
use super::node::{Entry, Node, Plain, Value};
use super::policies::{self, Policies};
use super::report::Report;
use super::retry;
use super::selector::{Attributes, suggestion};
use super::statements;
use super::templates::{self, GIVE_OR_NARROW, Used};
use super::timing::{self, Timing};
use crate::definition::{Definition, HandlerSpec, OnBlackout, ScheduleSpec, Tenant};
use crate::id::{JobName, QueueName};
use crate::limit::Limits;
use crate::retry::RetryPolicy;
use crate::schedule::{Blackout, Zone};
use crate::template::Escape;

/// The least of a duration.
pub(super) const LEAST: Duration = Duration::from_millis(1);

/// What was read of a job; what is `None` is wrong.
pub(super) struct Draft<'m, 't> {
    timing: Option<Timing<'m, 't>>,
    blackouts: Option<Vec<usize>>,
    policies: Option<Policies>,
    body: Option<Body>,
    requires: Option<Vec<Text<'m, 't>>>,
    used: Vec<Used<'m, 't>>,
    /// Where `blackouts` stands.
    blackouts_key: Option<&'m Entry<'t>>,
    /// Where `sql` stands.
    sql_key: Option<&'m Entry<'t>>,
    enabled: Option<bool>,
}

/// The parts of a definition that are the same for all tenants.
struct Body {
    handler: HandlerSpec,
    payload: Option<serde_json::Value>,
    templated: bool,
    timeout: Duration,
    retry: RetryPolicy,
    queue: QueueName,
    priority: i16,
    limits: Limits,
    total: Limits,
}

/// When a job is due and when it does not run, for the zones of some tenants.
struct Times {
    schedule: ScheduleSpec,
    blackouts: Vec<Blackout>,
}

/// Definitions, and which tenant has which, both by position.
#[derive(Default)]
pub(super) struct Defined {
    pub(super) definitions: Vec<Arc<Definition>>,
    pub(super) tenants: Vec<(usize, usize)>,
}

/// For whom a draft is looked at.
#[derive(Clone, Copy)]
pub(super) struct Whom<'a> {
    pub(super) job: &'a JobName,
    pub(super) tenants: &'a [&'a Tenant],
    /// How many tenants have the job in one way or another.
    pub(super) all: usize,
}

impl<'m, 't> Draft<'m, 't> {
    /// Reads a job.
    pub(super) fn read(report: &mut Report<'_>, job: &Fields<'m, 't>, blackouts: &mut Blackouts<'_, '_>) -> Self {
        let mut used = Vec::new();
        let timing = timing::read(report, job);
        let named = blackouts.of_job(report, job);
        let policies = policies::read(report, job, timing.as_ref());
        let body = body(report, job, &mut used);
        let requires = limits::requires(report, job.get("requires"));
        let enabled = job.get("enabled").map_or(Some(true), |entry| fields::boolean(report, entry));
        let (blackouts_key, sql_key) = (job.get("blackouts"), job.get("sql"));
        Self { timing, blackouts: named, policies, body, requires, used, blackouts_key, sql_key, enabled }
    }

    /// Whether it is to run at all.
    pub(super) fn is_enabled(&self) -> bool {
        self.enabled != Some(false)
    }

    /// Reports what is wrong for some tenants, and makes their definitions as far as nothing is.
    pub(super) fn define(&self, report: &mut Report<'_>, whom: Whom<'_>, blackouts: &Blackouts<'_, '_>) -> Defined {
        for used in &self.used {
            templates::check_tenants(report, used, whom.job, whom.tenants, GIVE_OR_NARROW);
        }
        if let Some(body) = &self.body {
            statements::check_databases(report, self.sql_key, &body.handler, whom.tenants);
        }
        let rules = self.blackouts.as_deref().map(|named| blackouts.rules(named)).unwrap_or_default();
        let times = self.timing.as_ref().map(|timing| times(report, timing, &rules, whom));
        if let (Some(timing), Some((times, assigned)), Some(policies)) = (&self.timing, &times, &self.policies) {
            let waits = timing.is_delay() || policies.on_blackout == OnBlackout::Defer;
            self.warn_of_nothing_left(report, waits, whom, (times, assigned));
        }
        let (Some((times, tenants)), Some(body), Some(policies), Some(requires)) =
            (times, &self.body, &self.policies, &self.requires)
        else {
            return Defined::default();
        };
        let define = |times| Arc::new(body.define(times, policies, requires));
        Defined { definitions: times.into_iter().map(define).collect(), tenants }
    }

    fn warn_of_nothing_left(
        &self,
        report: &mut Report<'_>,
        waits: bool,
        whom: Whom<'_>,
        (times, assigned): (&[Times], &[(usize, usize)]),
    ) {
        let Some(entry) = self.blackouts_key else { return };
        let jobs = assigned.iter().map(|&(tenant, index)| {
            let Times { schedule, blackouts } = &times[index];
            (&whom.tenants[tenant].id, schedule, blackouts.as_slice())
        });
        blackouts::warn_of_nothing_left(report, &entry.key_span, whom.job, waits, whom.all, jobs);
    }

    /// Warns of a required feature that no tenant has.
    pub(super) fn warn_of_features(&self, report: &mut Report<'_>, have: &Attributes<'_>) {
        for feature in self.requires.iter().flatten().filter(|feature| !have.features.contains(feature.text)) {
            let help = suggestion(report, feature.text, have.features.iter().copied());
            report.warn(&feature.span(), format!("no tenant has the feature `{}`", feature.text), help);
        }
    }
}

impl Body {
    fn define(&self, times: Times, policies: &Policies, requires: &[Text<'_, '_>]) -> Definition {
        Definition {
            schedule: times.schedule,
            handler: self.handler.clone(),
            payload: self.payload.clone(),
            templated: self.templated,
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
            limits: self.limits,
            total: self.total,
            requires: limits::names(requires),
        }
    }
}

/// The times for each set of zones, and which tenant has which.
fn times(
    report: &mut Report<'_>,
    timing: &Timing<'_, '_>,
    blackouts: &[&Rule<'_, '_>],
    whom: Whom<'_>,
) -> (Vec<Times>, Vec<(usize, usize)>) {
    let mut zones = timing.zones(report, whom.job, whom.tenants);
    let of_schedule = zones.len();
    zones.extend(blackouts.iter().map(|rule| rule.zones(report, whom.job, whom.tenants)));
    let mut times = Vec::new();
    let mut by_zones: HashMap<Vec<&Zone>, usize> = HashMap::new();
    let mut assigned = Vec::with_capacity(whom.tenants.len());
    for tenant in 0..whom.tenants.len() {
        let here = zones.iter().map(|zones| zones.get(tenant).and_then(Option::as_ref)).collect::<Option<Vec<_>>>();
        let Some(here) = here else { continue }; // reported
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

fn body<'m, 't>(report: &mut Report<'_>, job: &Fields<'m, 't>, used: &mut Vec<Used<'m, 't>>) -> Option<Body> {
    let handler = handler::read(report, job, used);
    let (payload, templated) = match job.get("payload") {
        Some(entry) => {
            let templated = payload_templates(report, &entry.value, used);
            (fields::json(report, &entry.value).map(Some), templated)
        }
        None => (Some(None), Some(false)),
    };
    if let (Some(handler), Some(payload)) = (&handler, &payload) {
        statements::check_payload(report, job.get("sql"), handler, payload.as_ref());
        http::check_payload(report, job.get("http"), handler, payload.as_ref());
    }
    let timeout = match job.get("timeout") {
        Some(entry) => fields::duration(report, entry, LEAST),
        None => Some(Definition::DEFAULT_TIMEOUT),
    };
    let retry = job.get("retry").map_or(Some(RetryPolicy::default()), |entry| retry::read(report, &entry.value));
    let queue = job.get("queue").map_or(Some(QueueName::default()), |entry| {
        fields::name(report, &entry.value, "queue", |text| QueueName::new(text))
    });
    let priority = job.get("priority").map_or(Some(0), |entry| {
        let number = fields::integer(report, entry, i16::MIN.into()..=i16::MAX.into())?;
        i16::try_from(number).ok()
    });
    let limits = limits::read(report, job);
    let total = limits::total(report, job.get("total"));
    Some(Body {
        handler: handler?,
        payload: payload?.filter(|payload| !payload.is_null()),
        templated: templated?,
        timeout: timeout?,
        retry: retry?,
        queue: queue?,
        priority: priority?,
        limits: limits?,
        total: total?,
    })
}

/// Keeps the templates in the texts of a payload, and tells whether there are any. Keys are taken as they stand.
fn payload_templates<'m, 't>(
    report: &mut Report<'_>,
    node: &'m Node<'t>,
    used: &mut Vec<Used<'m, 't>>,
) -> Option<bool> {
    let mut of_children = |children: &mut dyn Iterator<Item = &'m Node<'t>>| {
        let found: Vec<_> = children.map(|child| payload_templates(report, child, used)).collect();
        found.into_iter().try_fold(false, |any, found| Some(any | found?))
    };
    match &node.value {
        Value::List(items) => of_children(&mut items.iter().map(AsRef::as_ref)),
        Value::Map(entries) => of_children(&mut entries.iter().map(|entry| entry.value.as_ref())),
        Value::Scalar(scalar) if scalar.text.contains("{{") && scalar.resolve() == Plain::Text => {
            let text = fields::text(report, node, "a text of `payload`")?;
            let template = templates::parse(report, &text)?;
            used.push(Used { template, text, escape: Escape::None });
            Some(true)
        }
        _ => Some(false),
    }
}
