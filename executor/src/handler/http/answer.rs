//! What an answer means: its body within limits, the rules of the job, and the wait that it asks for.
//!
//! Invariants: neither memory nor time grow with the answer; a failure that an endpoint states is one, whatever becomes of
//! the rest of its answer.

use std::time::{Duration, SystemTime};

use leasehold_common::endpoint::{Meaning, Responses};
use reqwest::header::{DATE, HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::SHOWN;
use crate::handler::tail::Tail;
use crate::handler::{HandlerError, chain};

/// How much of an answer is read. What comes after it is not looked at.
const BODY_MAX: usize = 1024 * 1024;

/// For how long an answer is read after its head.
const BODY_TIME: Duration = Duration::from_secs(60);

/// The body of an answer, as far as it was read.
#[derive(Debug)]
pub(super) struct Read {
    tail: Tail,
    end: End,
}

/// How reading ended.
#[derive(Debug)]
enum End {
    /// With the body.
    Whole,
    /// At a limit.
    Cut(&'static str),
    /// With the connection.
    Broken(String),
}

/// Reads the body; what is left of it after the limits is given up with the connection.
pub(super) async fn read(response: &mut Response) -> Read {
    read_until(response, Instant::now() + BODY_TIME).await
}

pub(super) async fn read_until(response: &mut Response, deadline: Instant) -> Read {
    let mut tail = Tail::default();
    let mut read = 0;
    let end = loop {
        match timeout_at(deadline, response.chunk()).await {
            Err(_) => break End::Cut("after a minute"),
            Ok(Err(error)) => break End::Broken(chain(&error.without_url())),
            Ok(Ok(None)) => break End::Whole,
            Ok(Ok(Some(chunk))) => {
                read += chunk.len();
                tail.push(&chunk);
                if read > BODY_MAX {
                    break End::Cut("after 1 MiB");
                }
            }
        }
    };
    Read { tail, end }
}

/// The result of the run, or why there is none.
pub(super) fn judge(
    target: &str,
    rules: &Responses,
    redirects: u8,
    response: &Response,
    body: Read,
) -> Result<Value, HandlerError> {
    let (status, headers) = (response.status(), response.headers());
    let meaning = rules.meaning(status.as_u16());
    if meaning == Meaning::Success {
        return result(body).map_err(|why| {
            HandlerError::new(format!("{target}: answered {status}, and then {why}")).code("http.broken")
        });
    }
    let mut message = format!("{target}: answered {status}");
    if let Some(note) = redirect_note(status, headers, redirects) {
        message.push_str(&note);
    }
    let text = body.tail.into_text();
    if !text.is_empty() {
        message.push_str(&format!(": {text}"));
    }
    let code = format!("http.{}", status.as_u16());
    if meaning == Meaning::Fail {
        return Err(HandlerError::permanent(message).code(code));
    }
    let error = HandlerError::new(message).code(code);
    Err(match retry_after(headers, SystemTime::now()) {
        Some(wait) => error.retry_after(wait),
        None => error,
    })
}

/// JSON if all of it was read and is JSON, else the end of what was read.
fn result(body: Read) -> Result<Value, String> {
    match body.end {
        End::Whole => Ok(body.tail.into_result()),
        End::Cut(when) => Ok(Value::String(format!("{} [… not read on {when}]", body.tail.into_text()))),
        End::Broken(why) => Err(why),
    }
}

fn redirect_note(status: StatusCode, headers: &HeaderMap, redirects: u8) -> Option<String> {
    let to = headers.get(LOCATION).filter(|_| status.is_redirection() && status != StatusCode::NOT_MODIFIED)?;
    let to: String = String::from_utf8_lossy(to.as_bytes()).chars().take(SHOWN).collect();
    let to = to.split(['?', '#']).next().unwrap_or_default();
    Some(match redirects {
        0 => format!(" to {to:?}; redirects are not followed"),
        _ => format!(" to {to:?}; no more than {redirects} redirects are followed"),
    })
}

/// The wait that an answer asks for (RFC 9110, section 10.2.3): seconds, or an instant, which is compared with the
/// answer's own date, since the clocks of two machines may differ.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date = headers.get(DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
    let at = httpdate::parse_http_date(text).ok()?;
    Some(at.duration_since(date.unwrap_or(now)).unwrap_or_default())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use reqwest::header::HeaderName;
    use std::time::UNIX_EPOCH;

    fn wait(headers: &[(HeaderName, &str)]) -> Option<u64> {
        let headers = headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        // 2015-10-21T07:27:00Z by this machine's clock
        retry_after(&headers, UNIX_EPOCH + Duration::from_secs(1_445_412_420)).map(|wait| wait.as_secs())
    }

    #[test]
    fn waits_are_seconds_or_dates() {
        for (text, seconds) in [
            ("120", Some(120)),
            ("0", Some(0)),
            (" 7 ", Some(7)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Wed, 21 Oct 2015 07:28:00 GMT", Some(60)),
            ("Wednesday, 21-Oct-15 07:28:00 GMT", Some(60)),
            ("Wed Oct 21 07:28:00 2015", Some(60)),
            ("Wed, 21 Oct 2015 07:00:00 GMT", Some(0)),
            ("-5", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(wait(&[(RETRY_AFTER, text)]), seconds, "{text:?}");
        }
        assert_eq!(wait(&[]), None);
    }

    #[test]
    fn a_date_is_compared_with_the_endpoints_own_clock() {
        let at = (RETRY_AFTER, "Wed, 21 Oct 2015 07:28:00 GMT");
        assert_eq!(wait(&[at.clone(), (DATE, "Wed, 21 Oct 2015 07:27:50 GMT")]), Some(10));
        assert_eq!(wait(&[at.clone(), (DATE, "Wed, 21 Oct 2015 09:00:00 GMT")]), Some(0));
        assert_eq!(wait(&[at, (DATE, "nonsense")]), Some(60));
    }
}
