//! The `jobs` of a config.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::Job;
use super::fields::{self, Fields};
use super::handler;
use super::node::{Entry, Node};
use super::report::Report;
use super::selector::{self, Attributes};
use super::source::Span;
use super::templates::{self, Used};
use super::tenants::Roster;
use super::zones::{self, ZoneRule};
use crate::definition::{Definition, HandlerSpec, Overlap, ScheduleSpec};
use crate::id::{JobName, QueueName};
use crate::retry::{Backoff, RetryPolicy};
use crate::schedule::{CronExpr, DstPolicy, Zone};

/// The least interval: below it the work is the scheduling.
const LEAST_INTERVAL: Duration = Duration::from_secs(1);
/// The least of every other duration.
const LEAST: Duration = Duration::from_millis(1);
/// The most attempts; more would outlive whoever wrote them.
const MAX_ATTEMPTS: u32 = 1_000;

const KEYS: &[&str] = &[
    "name", "tenants", "cron", "every", "timezone", "dst", "http", "command", "handler", "payload", "timeout", "retry",
    "overlap", "queue", "priority",
];

/// When a job is due, before it is known for whom.
enum Timing<'n, 't> {
    Every(Duration),
    Cron { expr: String, zone: ZoneRule<'n, 't>, dst: DstPolicy },
}

/// The parts of a definition that are the same for all tenants.
struct Body {
    handler: HandlerSpec,
    payload: Option<serde_json::Value>,
    timeout: Duration,
    retry: RetryPolicy,
    overlap: Overlap,
    queue: QueueName,
    priority: i16,
}

pub(super) fn read(report: &mut Report<'_>, entry: Option<&Entry<'_>>, roster: &Roster) -> Vec<Job> {
    let Some(entry) = entry else { return Vec::new() };
    let have = Attributes::of(&roster.tenants);
    let mut seen = HashMap::new();
    let nodes = fields::list(report, &entry.value, "jobs").unwrap_or_default();
    nodes.iter().filter_map(|node| job(report, node, roster, &have, &mut seen)).collect()
}

fn job(
    report: &mut Report<'_>,
    node: &Node<'_>,
    roster: &Roster,
    have: &Attributes<'_>,
    seen: &mut HashMap<JobName, usize>,
) -> Option<Job> {
    let fields = Fields::read(report, node, "a job", KEYS)?;
    let name = fields.require(report, "name").and_then(|entry| job_name(report, entry, seen));
    let selector = selector::read(report, fields.get("tenants"));
    let mut used = Vec::new();
    let timing = timing(report, &fields);
    let body = body(report, &fields, &mut used);

    let matched = selector.as_ref().map(|selector| selector.matching(&roster.tenants)).unwrap_or_default();
    if let Some(selector) = &selector {
        selector.warn(report, roster, have, &matched);
    }
    // The name is only a value of templates here; without one the other mistakes can still be found.
    let shown = name.clone().or_else(|| JobName::new("job").ok())?;
    for used in &used {
        templates::check_tenants(report, used, &shown, &roster.tenants, &matched);
    }
    if let Some(Timing::Cron { zone: ZoneRule::Template { template, text }, .. }) = &timing {
        let used = Used { template: template.clone(), text: text.clone(), escape: crate::template::Escape::None };
        templates::check_tenants(report, &used, &shown, &roster.tenants, &matched);
    }
    let zones = match &timing {
        Some(Timing::Cron { zone, .. }) => zones::of_tenants(report, zone, &shown, &roster.tenants, &matched),
        _ => Vec::new(),
    };
    Some(assemble(name?, timing?, body?, &matched, zones))
}

/// Makes one definition for each zone and notes which tenant has which.
fn assemble(name: JobName, timing: Timing<'_, '_>, body: Body, matched: &[usize], zones: Vec<Option<Zone>>) -> Job {
    let define = |schedule: ScheduleSpec| {
        Arc::new(Definition {
            schedule,
            handler: body.handler.clone(),
            payload: body.payload.clone(),
            timeout: body.timeout,
            retry: body.retry.clone(),
            overlap: body.overlap,
            queue: body.queue.clone(),
            priority: body.priority,
        })
    };
    match timing {
        Timing::Every(interval) => {
            let definitions = vec![define(ScheduleSpec::Every { interval })];
            Job { name, definitions, tenants: matched.iter().map(|&tenant| (tenant, 0)).collect() }
        }
        Timing::Cron { expr, dst, .. } => {
            let mut definitions = Vec::new();
            let mut by_zone: HashMap<String, usize> = HashMap::new();
            let mut tenants = Vec::with_capacity(matched.len());
            for (&tenant, zone) in matched.iter().zip(zones) {
                let Some(zone) = zone else { continue }; // reported: the config is not used
                let index = by_zone.get(zone.name()).copied().unwrap_or_else(|| {
                    by_zone.insert(zone.name().to_owned(), definitions.len());
                    definitions.push(define(ScheduleSpec::Cron { expr: expr.clone(), zone, dst }));
                    definitions.len() - 1
                });
                tenants.push((tenant, index));
            }
            Job { name, definitions, tenants }
        }
    }
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

fn timing<'n, 't>(report: &mut Report<'_>, job: &Fields<'n, 't>) -> Option<Timing<'n, 't>> {
    let zone = match job.get("timezone") {
        Some(entry) => zones::read(report, entry),
        None => Some(ZoneRule::Fixed(Zone::UTC)),
    };
    let dst = job.get("dst").map_or(Some(DstPolicy::default()), |entry| {
        let words = [("once", DstPolicy::Once), ("skip", DstPolicy::Skip), ("literal", DstPolicy::Literal)];
        fields::word(report, entry, &words)
    });
    match (job.get("cron"), job.get("every")) {
        (Some(cron), None) => Some(Timing::Cron { expr: cron_expr(report, cron)?, zone: zone?, dst: dst? }),
        (None, Some(every)) => {
            for key in ["timezone", "dst"] {
                if let Some(entry) = job.get(key) {
                    let message = format!("`{key}` has no effect on `every`, which no clock decides");
                    report.warn(&entry.key_span, message, Some("remove it".to_owned()));
                }
            }
            fields::duration(report, every, LEAST_INTERVAL).map(Timing::Every)
        }
        (Some(cron), Some(every)) => {
            let (first, second) =
                if cron.key_span.start < every.key_span.start { (cron, every) } else { (every, cron) };
            let message = format!("a job has one schedule: `{}` stands beside `{}`", second.key, first.key);
            report.error(&second.key_span, message, Some("remove one, or make two jobs of it".to_owned()));
            cron_expr(report, cron);
            fields::duration(report, every, LEAST_INTERVAL);
            None
        }
        (None, None) if job.is_meant("cron") || job.is_meant("every") => None,
        (None, None) => {
            let help = "add `cron: \"0 2 * * *\"` or `every: 30s`".to_owned();
            report.error(&job.anchor(), "a job needs `cron` or `every`", Some(help));
            None
        }
    }
}

fn cron_expr(report: &mut Report<'_>, entry: &Entry<'_>) -> Option<String> {
    let text = fields::text(report, &entry.value, "cron")?;
    // The seed is only that `H` is understood; which hash it stands for is decided for each tenant.
    match CronExpr::parse_seeded(text.text, 0) {
        Ok(_) => Some(text.text.to_owned()),
        Err(error) => {
            let span = error.span().map_or_else(|| text.span(), |span| text.part(report, &span));
            report.error(&span, error.to_string(), error.help());
            None
        }
    }
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
    let overlap = job.get("overlap").map_or(Some(Overlap::default()), |entry| {
        fields::word(report, entry, &[("skip", Overlap::Skip), ("allow", Overlap::Allow)])
    });
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
        overlap: overlap?,
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
