//! What happens after a failed attempt.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How often a run is tried and how long it waits in between.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Attempts in all, the first included; at least 1. Crashed executors count (invariant I11).
    pub attempts: u32,
    /// The waits.
    pub backoff: Backoff,
    /// If any: only errors that one of these fits are tried again, also those that would end a run at once otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retry_on: Vec<ErrorPattern>,
    /// Errors after which no other attempt is made, whatever else is said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub give_up_on: Vec<ErrorPattern>,
    /// How long after the start of the first attempt the last one may run.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::duration::text_opt")]
    pub deadline: Option<Duration>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts: 3, backoff: Backoff::default(), retry_on: Vec::new(), give_up_on: Vec::new(), deadline: None }
    }
}

/// A failure, as far as the rules look at it.
#[derive(Clone, Copy, Debug)]
pub struct Failure<'a> {
    /// What kind of error it is.
    pub code: Option<&'a str>,
    /// Its message.
    pub message: &'a str,
    /// Whether whoever failed thinks that another attempt may help.
    pub retry: bool,
    /// The wait that whoever was called has asked for.
    pub asked: Option<Duration>,
    /// How many attempts have failed, this one included; attempts that a draining executor gave back do not count.
    pub failures: u32,
    /// How much is left of the deadline, if there is one.
    pub left: Option<Duration>,
}

/// What follows a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another attempt, after this wait.
    Retry(Duration),
    /// Nothing.
    Dead,
    /// Nothing, since the deadline would be over by then.
    TooLate,
}

impl Next {
    /// What is added to the error then.
    pub const TOO_LATE: &'static str = "not tried again, since the deadline of the run would be over";
}

/// Which errors a rule is about. `*` stands for any text, also none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorPattern {
    /// Those with such a code: `http.5*`.
    Code(String),
    /// Those with such a message: `*no such order*`.
    Message(String),
}

impl ErrorPattern {
    /// Whether the rule is about an error.
    #[must_use]
    pub fn fits(&self, code: Option<&str>, message: &str) -> bool {
        match self {
            Self::Code(pattern) => code.is_some_and(|code| like(pattern, code)),
            Self::Message(pattern) => like(pattern, message),
        }
    }
}

impl fmt::Display for ErrorPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(pattern) => f.pad(pattern),
            Self::Message(pattern) => write!(f, "message: {pattern:?}"),
        }
    }
}

/// Whether a text is what a pattern with `*` says. Takes no longer than the product of both lengths.
fn like(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Exponential backoff: the wait after the n-th failure is `initial * factor^(n-1)`, at most `max`, and then up to a
/// quarter longer by chance, so that a thousand runs that failed together do not come back together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Backoff {
    /// The wait after the first failure.
    #[serde(with = "crate::duration::text")]
    pub initial: Duration,
    /// The longest wait, before chance is added.
    #[serde(with = "crate::duration::text")]
    pub max: Duration,
    /// By how much each wait is longer than the one before; at least 1.
    pub factor: f64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { initial: Duration::from_secs(1), max: Duration::from_secs(300), factor: 2.0 }
    }
}

impl Backoff {
    /// The wait after the `failures`-th failure (1 for the first). `chance` is drawn from 0.0..1.0 by the caller.
    #[must_use]
    pub fn delay(&self, failures: u32, chance: f64) -> Duration {
        let exponent = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
        let max = self.max.as_secs_f64();
        let plain = self.initial.as_secs_f64() * self.factor.max(1.0).powi(exponent);
        let plain = if plain.is_finite() { plain.min(max) } else { max };
        Duration::from_secs_f64(plain * (1.0 + 0.25 * chance.clamp(0.0, 1.0)))
    }
}

impl RetryPolicy {
    /// Whether another attempt may follow such an error. `retry` is what whoever failed thinks.
    #[must_use]
    fn may_follow(&self, code: Option<&str>, message: &str, retry: bool) -> bool {
        let any = |patterns: &[ErrorPattern]| patterns.iter().any(|pattern| pattern.fits(code, message));
        !any(&self.give_up_on) && if self.retry_on.is_empty() { retry } else { any(&self.retry_on) }
    }

    /// What follows a failure. `chance` is drawn from 0.0..1.0 by the caller.
    #[must_use]
    pub fn next(&self, failure: &Failure<'_>, chance: f64) -> Next {
        if !self.may_follow(failure.code, failure.message, failure.retry) {
            return Next::Dead;
        }
        match (self.after_failure_asking(failure.asked, failure.failures, chance), failure.left) {
            (Some(wait), Some(left)) if wait >= left => Next::TooLate,
            (Some(wait), _) => Next::Retry(wait),
            (None, _) => Next::Dead,
        }
    }

    /// The wait before the next attempt, or `None` if there is none. `failures` counts the attempts that have
    /// failed, this one included; attempts that a draining executor gave back do not count.
    #[must_use]
    pub fn after_failure(&self, failures: u32, chance: f64) -> Option<Duration> {
        (failures < self.attempts).then(|| self.backoff.delay(failures, chance))
    }

    /// The longest wait that whoever was called can ask for.
    pub const ASKED_MAX: Duration = Duration::from_secs(3_600);

    /// The same, if whoever was called has asked for a wait: the longer of the two, and up to a quarter more than it has
    /// asked for, since all that it sent away should not come back at once.
    #[must_use]
    fn after_failure_asking(&self, asked: Option<Duration>, failures: u32, chance: f64) -> Option<Duration> {
        let asked = asked.unwrap_or_default().min(Self::ASKED_MAX).mul_f64(1.0 + 0.25 * chance.clamp(0.0, 1.0));
        self.after_failure(failures, chance).map(|wait| wait.max(asked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_the_limit_and_chance_adds_a_quarter_at_most() {
        let backoff = Backoff { initial: Duration::from_secs(1), max: Duration::from_secs(10), factor: 2.0 };
        let waits: Vec<u64> = (1..=6).map(|n| backoff.delay(n, 0.0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 10, 10]);
        assert_eq!(backoff.delay(3, 1.0), Duration::from_secs(5));
        assert_eq!(backoff.delay(u32::MAX, 1.0), Duration::from_millis(12_500));
    }

    #[test]
    fn the_last_attempt_is_followed_by_none() {
        let policy = RetryPolicy::default();
        assert!(policy.after_failure(1, 0.5).is_some());
        assert!(policy.after_failure(2, 0.5).is_some());
        assert_eq!(policy.after_failure(3, 0.5), None);
        assert_eq!(RetryPolicy { attempts: 1, ..policy }.after_failure(1, 0.5), None);
    }

    #[test]
    fn patterns_fit_codes_and_messages() {
        for (pattern, text, fits) in [
            ("http.503", "http.503", true),
            ("http.503", "http.5030", false),
            ("http.5*", "http.503", true),
            ("http.5*", "http.404", false),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "acb", false),
            ("ab*ba", "aba", false),
            ("*é*", "caf\u{e9}s", true),
        ] {
            assert_eq!(like(pattern, text), fits, "{pattern:?} {text:?}");
        }
        assert!(!ErrorPattern::Code("*".to_owned()).fits(None, "x"), "an error without a code");
        assert!(ErrorPattern::Message("*no such order*".to_owned()).fits(None, "404: no such order 7"));
    }

    #[test]
    fn rules_say_which_errors_are_tried_again() {
        let code = |pattern: &str| vec![ErrorPattern::Code(pattern.to_owned())];
        let policy = RetryPolicy { give_up_on: code("http.4*"), ..RetryPolicy::default() };
        assert!(!policy.may_follow(Some("http.404"), "", true));
        assert!(policy.may_follow(Some("http.503"), "", true) && !policy.may_follow(Some("http.503"), "", false));
        let policy = RetryPolicy { retry_on: code("http.4*"), ..RetryPolicy::default() };
        assert!(policy.may_follow(Some("http.404"), "", false), "the job knows better than the handler");
        assert!(!policy.may_follow(Some("http.503"), "", true) && !policy.may_follow(None, "", true));
        let policy = RetryPolicy { retry_on: code("*"), give_up_on: code("http.404"), ..RetryPolicy::default() };
        assert!(policy.may_follow(Some("http.503"), "", true) && !policy.may_follow(Some("http.404"), "", true));
    }
}
