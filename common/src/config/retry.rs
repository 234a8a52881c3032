//! The `retry` of a job.

use std::time::Duration;

use super::draft::LEAST;
use super::fields::{self, Fields};
use super::node::{Entry, Node};
use super::report::Report;
use super::source::Span;
use crate::retry::{Backoff, RetryPolicy};

/// The most attempts; more would outlive whoever wrote them.
const MAX_ATTEMPTS: u32 = 1_000;

/// `None` if it is wrong.
pub(super) fn read(report: &mut Report<'_>, node: &Node<'_>) -> Option<RetryPolicy> {
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
