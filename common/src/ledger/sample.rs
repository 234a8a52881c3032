//! Histories for tests.
#![expect(clippy::unwrap_used, reason = "tests")]

use jiff::{SignedDuration, Timestamp};

use crate::definition::DefinitionId;
use crate::id::{CorrelationId, JobKey, JobName, RunKind, TenantId};
use crate::run::{Cause, Outcome, Report};
use crate::store::{JobHistory, JobVersion};

pub(super) fn at(text: &str) -> Timestamp {
    match text.len() {
        8 => format!("2026-11-21T{text}Z").parse().unwrap(),
        _ => text.parse().unwrap(),
    }
}

pub(super) fn cron(expr: &str, zone: &str) -> String {
    format!(r#"{{"schedule":{{"cron":{{"expr":"{expr}","zone":"{zone}"}}}}}}"#)
}

/// A report of one due time.
pub(super) fn one(due: Timestamp, outcome: Outcome) -> Report {
    row(due, due, 1, outcome)
}

/// A row of several.
pub(super) fn row(first: Timestamp, last: Timestamp, count: u32, outcome: Outcome) -> Report {
    let (tenant, job) = (TenantId::new("acme").unwrap(), JobName::new("sync").unwrap());
    let started = matches!(outcome, Outcome::Succeeded | Outcome::Dead);
    Report {
        seq: 1,
        correlation_id: CorrelationId::new(last, RunKind::SCHEDULED, JobKey::new(&tenant, &job, 0)),
        tenant,
        job,
        cause: Cause::Schedule,
        scheduled_for: last,
        count,
        scheduled_from: (count > 1).then_some(first),
        attempt: u32::from(started),
        outcome,
        next_attempt_at: None,
        started_at: started.then_some(last),
        finished_at: last + SignedDuration::from_millis(40),
        duration_ms: started.then_some(40),
        lateness_ms: 20,
        executor: None,
        error: (!started).then(|| format!("it is {outcome}")),
        error_code: None,
        result: None,
    }
}

/// A history of one version that is in force since `from`, with nothing recorded.
pub(super) fn history(json: &str, from: Timestamp, now: Timestamp) -> JobHistory {
    JobHistory {
        key: JobKey::from_i64(7),
        now,
        active: true,
        versions: vec![(version(1, from, None), json.to_owned())],
        reports: Vec::new(),
        live: Vec::new(),
        accounted: now,
        next_due: Some(now),
        pause: None,
        pruned_before: None,
    }
}

pub(super) fn version(number: i32, from: Timestamp, to: Option<Timestamp>) -> JobVersion {
    let definition = DefinitionId::from_uuid(uuid::Uuid::nil());
    JobVersion { version: number, definition, valid_from: from, valid_to: to }
}

/// Reports of one outcome, a minute apart, both ends included.
pub(super) fn minutes(from: &str, to: &str, outcome: Outcome) -> impl Iterator<Item = Report> {
    let (first, last) = (at(from).as_second(), at(to).as_second());
    (first..=last).step_by(60).map(move |second| one(Timestamp::from_second(second).unwrap(), outcome))
}
