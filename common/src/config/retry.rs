//! The `retry` of a job.

use std::time::Duration;

use super::draft::LEAST;
use super::fields::{self, Fields};
use super::node::{Entry, Node, Ref, Value};
use super::report::Report;
use super::source::Span;
use crate::retry::{Backoff, ErrorPattern, RetryPolicy};

/// The most attempts; more would outlive whoever wrote them.
const MAX_ATTEMPTS: u32 = 1_000;

const KEYS: &[&str] = &["attempts", "backoff", "retry_on", "give_up_on", "deadline"];

/// A deadline that is over before a first attempt can do anything helps nobody.
const SHORTEST_DEADLINE: Duration = Duration::from_secs(1);

/// `None` if it is wrong.
pub(super) fn read(report: &mut Report<'_>, node: &Node<'_>) -> Option<RetryPolicy> {
    let fields = Fields::read(report, node, "retry", KEYS)?;
    let default = RetryPolicy::default();
    let attempts = fields.get("attempts").map_or(Some(default.attempts), |entry| {
        let number = fields::integer(report, entry, 1..=MAX_ATTEMPTS.into())?;
        u32::try_from(number).ok()
    });
    let backoff = fields.get("backoff").map_or(Some(default.backoff), |entry| backoff(report, &entry.value));
    let mut patterns = |key, what| fields.get(key).map_or(Some(Vec::new()), |entry| patterns(report, entry, what));
    let retry_on = patterns("retry_on", "an entry of `retry_on`");
    let give_up_on = patterns("give_up_on", "an entry of `give_up_on`");
    let deadline = match fields.get("deadline") {
        Some(entry) => fields::duration(report, entry, SHORTEST_DEADLINE).map(Some),
        None => Some(None),
    };
    Some(RetryPolicy {
        attempts: attempts?,
        backoff: backoff?,
        retry_on: retry_on?,
        give_up_on: give_up_on?,
        deadline: deadline?,
    })
}

/// Which errors a rule is about.
fn patterns(report: &mut Report<'_>, entry: &Entry<'_>, what: &'static str) -> Option<Vec<ErrorPattern>> {
    let items = fields::list(report, &entry.value, &entry.key)?;
    if items.is_empty() {
        let help = format!("name one, or take `{}` away", entry.key);
        report.error(&entry.value.span, format!("`{}` names no error", entry.key), Some(help));
        return None;
    }
    let found: Vec<_> = items.iter().map(|item| pattern(report, item, what)).collect();
    found.into_iter().collect()
}

fn pattern(report: &mut Report<'_>, item: &Ref<'_>, what: &'static str) -> Option<ErrorPattern> {
    if let Value::Map(_) = &item.value {
        let fields = Fields::read(report, item, what, &["message"])?;
        let entry = fields.require(report, "message")?;
        let text = fields::text(report, &entry.value, "message")?;
        return Some(ErrorPattern::Message(text.text.to_owned()));
    }
    let text = fields::text(report, item, what)?;
    let is_code = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '*');
    if text.text.is_empty() || !text.text.chars().all(is_code) {
        let message = format!("{:?} is not the code of an error", text.text);
        let help = "codes look like `http.503`, `timeout` or `exit.2`, and `http.5*` is all that begin so; write \
                    `{message: \"*no such order*\"}` for a text";
        report.error(&item.span, message, Some(help.to_owned()));
        return None;
    }
    Some(ErrorPattern::Code(text.text.to_owned()))
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
