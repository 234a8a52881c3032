//! What endpoints say, and what becomes of the attempt by it. Pure: the rules are those of any handler's word.

use std::time::Duration;

use leasehold_common::retry::{Failure, Next, RetryPolicy};
use leasehold_common::run::{Outcome, clip, clip_code, result_text};
use leasehold_common::store::Verdict;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// How an attempt ended, by the word of its endpoint.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReportWord {
    outcome: Said,
    #[serde(default)]
    result: Value,
    error: Option<String>,
    /// What kind of error it is, in a word.
    code: Option<String>,
    /// Whether another attempt may help.
    #[serde(default = "yes")]
    retry: bool,
    #[serde(default, deserialize_with = "wait")]
    retry_after: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Said {
    Succeeded,
    Failed,
}

/// How far an attempt is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProgressWord {
    pub(super) percent: Option<u8>,
    pub(super) message: Option<String>,
    /// More lines for the log.
    pub(super) log: Option<String>,
}

/// What is recorded.
#[derive(Debug, PartialEq)]
pub(super) struct Heard {
    pub(super) verdict: Verdict,
    pub(super) outcome: Outcome,
    pub(super) result: Option<String>,
    pub(super) error: Option<String>,
    pub(super) code: Option<String>,
}

/// The code of an error that the endpoint gave none.
const REPORTED: &str = "reported";

fn yes() -> bool {
    true
}

/// Seconds, or a length as config has it.
fn wait<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a number of seconds, or a length of time as in \"5m\"")]
    enum Wait {
        Seconds(u64),
        Length(String),
    }
    match Option::<Wait>::deserialize(from)? {
        None => Ok(None),
        Some(Wait::Seconds(seconds)) => Ok(Some(Duration::from_secs(seconds))),
        Some(Wait::Length(text)) => {
            leasehold_common::duration::parse(&text).map(Some).map_err(serde::de::Error::custom)
        }
    }
}

impl ReportWord {
    /// The rule. `failures` counts the attempts that have failed if this one has; `left` is what is left of the run's
    /// deadline; `chance` is drawn from 0.0..1.0.
    pub(super) fn hear(&self, policy: &RetryPolicy, failures: u32, left: Option<Duration>, chance: f64) -> Heard {
        let result = result_text(self.result.clone());
        if self.outcome == Said::Succeeded {
            return Heard { verdict: Verdict::Succeeded, outcome: Outcome::Succeeded, result, error: None, code: None };
        }
        let code = clip_code(self.code.as_deref().filter(|code| !code.trim().is_empty()).unwrap_or(REPORTED));
        let error = self.error.as_deref().filter(|error| !error.trim().is_empty());
        let message = error.unwrap_or("the endpoint reported a failure, and no reason");
        let (retry, asked) = (self.retry, self.retry_after);
        let next = policy.next(&Failure { code: Some(&code), message, retry, asked, failures, left }, chance);
        let (verdict, outcome) = match next {
            Next::Retry(wait) => (Verdict::Retry(wait), Outcome::Failed),
            Next::Dead | Next::TooLate => (Verdict::Dead, Outcome::Dead),
        };
        let error = match next {
            Next::TooLate => clip(&format!("{message}; {}", Next::TOO_LATE)),
            _ => clip(message),
        };
        Heard { verdict, outcome, result, error: Some(error), code: Some(code) }
    }

    /// Whether an attempt that is over has ended as this says.
    pub(super) fn agrees(&self, outcome: Outcome) -> bool {
        match self.outcome {
            Said::Succeeded => outcome == Outcome::Succeeded,
            Said::Failed => matches!(outcome, Outcome::Failed | Outcome::Dead),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn word(json: &str) -> ReportWord {
        serde_json::from_str(json).unwrap()
    }

    fn heard(json: &str, failures: u32) -> Heard {
        word(json).hear(&RetryPolicy::default(), failures, None, 0.0)
    }

    #[test]
    fn an_endpoint_is_heard_as_any_handler_is() {
        let done = heard(r#"{"outcome": "succeeded", "result": {"rows": 3}, "error": "no matter"}"#, 1);
        assert_eq!((done.verdict, done.outcome, done.error), (Verdict::Succeeded, Outcome::Succeeded, None));
        assert_eq!(done.result.as_deref(), Some(r#"{"rows":3}"#));
        let failed = heard(r#"{"outcome": "failed", "error": "no\u0000"}"#, 2);
        assert_eq!((failed.verdict, failed.outcome), (Verdict::Retry(Duration::from_secs(2)), Outcome::Failed));
        assert_eq!(failed.error.as_deref(), Some("no\u{fffd}"));
        assert_eq!(failed.code.as_deref(), Some("reported"));
        let coded = heard(r#"{"outcome": "failed", "code": "order.unknown"}"#, 1);
        assert_eq!(coded.code.as_deref(), Some("order.unknown"));
        assert_eq!(heard(r#"{"outcome": "failed"}"#, 3).outcome, Outcome::Dead, "the last attempt");
        assert_eq!(heard(r#"{"outcome": "failed", "retry": false}"#, 1).outcome, Outcome::Dead);
        assert!(heard(r#"{"outcome": "failed", "error": " "}"#, 1).error.unwrap().contains("no reason"));
    }

    #[test]
    fn it_may_ask_for_a_wait() {
        for (after, seconds) in [("90", 90), ("\"5m\"", 300), ("\"2h\"", 3_600), ("null", 1)] {
            let heard = heard(&format!(r#"{{"outcome": "failed", "retry_after": {after}}}"#), 1);
            assert_eq!(heard.verdict, Verdict::Retry(Duration::from_secs(seconds)), "{after}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for json in [
            "{}",
            r#"{"outcome": "done"}"#,
            r#"{"outcome": "failed", "retry_after": "soon"}"#,
            r#"{"outcome": "failed", "retry_after": -1}"#,
            r#"{"outcome": "failed", "retries": false}"#,
        ] {
            assert!(serde_json::from_str::<ReportWord>(json).is_err(), "{json}");
        }
        assert!(serde_json::from_str::<ProgressWord>(r#"{"percent": 256}"#).is_err());
    }

    #[test]
    fn a_repeated_report_agrees_with_what_was_recorded() {
        let (good, bad) = (word(r#"{"outcome": "succeeded"}"#), word(r#"{"outcome": "failed"}"#));
        assert!(good.agrees(Outcome::Succeeded) && !good.agrees(Outcome::Failed) && !good.agrees(Outcome::Cancelled));
        assert!(bad.agrees(Outcome::Failed) && bad.agrees(Outcome::Dead) && !bad.agrees(Outcome::Succeeded));
    }
}
