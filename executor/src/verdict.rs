//! From how an attempt ended to what is reported of it. Pure.

use std::time::Duration;

use leasehold_common::retry::RetryPolicy;
use leasehold_common::retry::{Failure, Next};
use leasehold_common::run::{clip, clip_code, result_text};
use leasehold_common::store::Verdict;
use serde_json::Value;

use crate::handler::HandlerError;
use crate::live::StopCause;

/// How an attempt ended.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The handler answered by itself.
    Returned(Result<Value, HandlerError>),
    /// Its time was up.
    TimedOut {
        /// The job's timeout.
        limit: Duration,
        /// What it said when it was told; `None` if it had to be ended by force.
        said: Option<Result<Value, HandlerError>>,
    },
    /// It was told to stop.
    Stopped {
        /// Why.
        cause: StopCause,
        /// What it said when it was told; `None` if it had to be ended by force.
        said: Option<Result<Value, HandlerError>>,
    },
}

impl Ending {
    /// Whether the handler did its work, even if it was told to stop meanwhile.
    pub(crate) fn is_success(&self) -> bool {
        matches!(self, Self::Returned(Ok(_)) | Self::Stopped { said: Some(Ok(_)), .. })
    }
}

/// What is reported.
#[derive(Debug, PartialEq)]
pub(crate) struct Judgement {
    pub(crate) verdict: Verdict,
    pub(crate) result: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) code: Option<String>,
}

/// What the rule goes by, beside how the attempt ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Circumstances<'a> {
    pub(crate) retry: &'a RetryPolicy,
    /// The attempts that have failed if this one has.
    pub(crate) failures: u32,
    /// How much is left of the run's deadline, if it has one.
    pub(crate) left: Option<Duration>,
    /// Drawn from 0.0..1.0.
    pub(crate) chance: f64,
}

/// The rule.
pub(crate) fn judge(ending: Ending, circumstances: Circumstances<'_>) -> Judgement {
    match ending {
        Ending::Returned(Ok(value)) => success(value),
        Ending::Returned(Err(error)) => failure(&error, circumstances),
        Ending::TimedOut { limit, said } => {
            let limit = leasehold_common::duration::format(limit);
            let error = HandlerError::new(ended(format!("timed out after {limit}"), said)).code("timeout");
            failure(&error, circumstances)
        }
        // It was done just in time: that is the truth, and doing it once more would be wrong.
        Ending::Stopped { said: Some(Ok(value)), .. } => success(value),
        Ending::Stopped { cause: StopCause::Cancelled, said } => {
            let code = if said.is_some() { "cancelled" } else { "cancelled.forced" };
            stopped(Verdict::Cancelled, "cancelled on request", said, code)
        }
        Ending::Stopped { cause: StopCause::Drained, said } => {
            stopped(Verdict::Released, "the executor had to stop", said, "released")
        }
    }
}

fn success(value: Value) -> Judgement {
    Judgement { verdict: Verdict::Succeeded, result: result_text(value), error: None, code: None }
}

fn failure(error: &HandlerError, circumstances: Circumstances<'_>) -> Judgement {
    let Circumstances { retry, failures, left, chance } = circumstances;
    let code = error.code.as_deref().map(clip_code);
    let (message, asked) = (error.message.as_str(), error.after);
    let failure = Failure { code: code.as_deref(), message, retry: error.retry, asked, failures, left };
    let (verdict, message) = match retry.next(&failure, chance) {
        Next::Retry(wait) => (Verdict::Retry(wait), clip(message)),
        Next::Dead => (Verdict::Dead, clip(message)),
        Next::TooLate => (Verdict::Dead, clip(&format!("{message}; {}", Next::TOO_LATE))),
    };
    Judgement { verdict, result: None, error: Some(message), code }
}

fn stopped(verdict: Verdict, what: &str, said: Option<Result<Value, HandlerError>>, code: &str) -> Judgement {
    Judgement { verdict, result: None, error: Some(clip(&ended(what.to_owned(), said))), code: Some(code.to_owned()) }
}

/// What happened, and what the handler said to it.
fn ended(what: String, said: Option<Result<Value, HandlerError>>) -> String {
    match said {
        Some(Err(error)) => format!("{what}; {error}"),
        Some(Ok(_)) => what,
        None => format!("{what}; the handler did not stop and was ended by force"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leasehold_common::retry::ErrorPattern;
    use serde_json::json;

    fn rule(ending: Ending, failures: u32) -> Judgement {
        with(ending, &RetryPolicy::default(), failures, 0.0)
    }

    fn with(ending: Ending, retry: &RetryPolicy, failures: u32, chance: f64) -> Judgement {
        judge(ending, Circumstances { retry, failures, left: None, chance })
    }

    fn failed(retry: bool) -> Result<Value, HandlerError> {
        Err(HandlerError { retry, ..HandlerError::new("no") })
    }

    fn stop(cause: StopCause, said: Option<Result<Value, HandlerError>>) -> Ending {
        Ending::Stopped { cause, said }
    }

    #[test]
    fn failures_are_retried_until_the_last_attempt_unless_the_handler_knows_better() {
        let after = |n| rule(Ending::Returned(failed(true)), n).verdict;
        assert_eq!(after(1), Verdict::Retry(Duration::from_secs(1)));
        assert_eq!(after(2), Verdict::Retry(Duration::from_secs(2)));
        assert_eq!(after(3), Verdict::Dead);
        assert_eq!(rule(Ending::Returned(failed(false)), 1).verdict, Verdict::Dead);
    }

    #[test]
    fn a_wait_that_was_asked_for_is_kept_within_an_hour_and_makes_no_attempt() {
        let policy = RetryPolicy::default();
        let after = |seconds, failures, chance| {
            let error = HandlerError::new("busy").retry_after(Duration::from_secs(seconds));
            with(Ending::Returned(Err(error)), &policy, failures, chance).verdict
        };
        assert_eq!(after(60, 1, 0.0), Verdict::Retry(Duration::from_secs(60)));
        assert_eq!(after(60, 1, 1.0), Verdict::Retry(Duration::from_secs(75)));
        assert_eq!(after(0, 2, 0.0), Verdict::Retry(Duration::from_secs(2)), "the job's own wait is longer");
        assert_eq!(after(u64::MAX, 1, 0.0), Verdict::Retry(RetryPolicy::ASKED_MAX));
        assert_eq!(after(60, 3, 0.0), Verdict::Dead);
        let permanent = HandlerError::permanent("no").retry_after(Duration::from_secs(60));
        assert_eq!(rule(Ending::Returned(Err(permanent)), 1).verdict, Verdict::Dead);
    }

    #[test]
    fn the_rules_of_the_job_look_at_the_code() {
        let policy =
            RetryPolicy { give_up_on: vec![ErrorPattern::Code("order.*".to_owned())], ..RetryPolicy::default() };
        let error = HandlerError::new("no such order").code("order.unknown");
        let given_up = with(Ending::Returned(Err(error)), &policy, 1, 0.0);
        assert_eq!((given_up.verdict, given_up.code.as_deref()), (Verdict::Dead, Some("order.unknown")));
        let policy = RetryPolicy { retry_on: vec![ErrorPattern::Code("timeout".to_owned())], ..policy };
        let late = || Ending::TimedOut { limit: Duration::from_secs(1), said: None };
        assert_eq!(with(late(), &policy, 1, 0.0).verdict, Verdict::Retry(Duration::from_secs(1)));
        assert_eq!(with(Ending::Returned(failed(true)), &policy, 1, 0.0).verdict, Verdict::Dead);
    }

    #[test]
    fn no_wait_ends_after_the_deadline() {
        let with = |left| {
            let policy = RetryPolicy::default();
            let left = Some(Duration::from_millis(left));
            judge(Ending::Returned(failed(true)), Circumstances { retry: &policy, failures: 1, left, chance: 0.0 })
        };
        assert_eq!(with(1_001).verdict, Verdict::Retry(Duration::from_secs(1)));
        let over = with(1_000);
        assert_eq!(over.verdict, Verdict::Dead);
        assert!(over.error.is_some_and(|error| error.contains("deadline")));
    }

    #[test]
    fn a_time_out_is_a_failure_whatever_the_handler_says_to_it() {
        let limit = Duration::from_secs(20);
        let late = rule(Ending::TimedOut { limit, said: Some(Ok(json!(1))) }, 1);
        assert_eq!(late.verdict, Verdict::Retry(Duration::from_secs(1)));
        assert_eq!(late.error.as_deref(), Some("timed out after 20s"));
        // Even if what it says would end the run: it may only say so because it was told to stop.
        let told = rule(Ending::TimedOut { limit, said: Some(failed(false)) }, 1);
        assert_eq!(told.verdict, Verdict::Retry(Duration::from_secs(1)));
        let forced = rule(Ending::TimedOut { limit, said: None }, 3);
        assert_eq!(forced.verdict, Verdict::Dead);
        assert!(forced.error.is_some_and(|error| error.contains("by force")));
    }

    #[test]
    fn a_stopped_run_is_cancelled_or_released_unless_it_was_done() {
        assert_eq!(rule(stop(StopCause::Cancelled, Some(failed(false))), 3).verdict, Verdict::Cancelled);
        let forced = rule(stop(StopCause::Cancelled, None), 1);
        assert_eq!((forced.verdict, forced.code.as_deref()), (Verdict::Cancelled, Some("cancelled.forced")));
        assert_eq!(rule(stop(StopCause::Drained, Some(failed(true))), 3).verdict, Verdict::Released);
        assert_eq!(rule(stop(StopCause::Drained, None), 1).verdict, Verdict::Released);
        for cause in [StopCause::Cancelled, StopCause::Drained] {
            assert_eq!(rule(stop(cause, Some(Ok(json!(7)))), 1).verdict, Verdict::Succeeded);
        }
    }
}
