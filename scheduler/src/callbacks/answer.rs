//! What an endpoint is answered: JSON, and problems as RFC 9457 has them.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use leasehold_common::run::Outcome;
use serde_json::{Value, json};

/// How long an endpoint should wait before it tries again.
const AGAIN: HeaderValue = HeaderValue::from_static("5");

/// See the module.
#[derive(Debug)]
pub(super) enum Answer {
    /// The report is recorded, and the attempt ended like this.
    Recorded(Outcome),
    /// The attempt was recorded like this before.
    RecordedEarlier(Option<Outcome>),
    /// The run is kept open for so long; `None`: the answer to the request is still waited for.
    Alive(Option<Duration>),
    /// There is no such run for whoever asks.
    Unknown,
    /// The attempt is over.
    Over(Option<Outcome>),
    /// The body is not what it should be.
    Malformed(String),
    /// The body is too large.
    Large,
    /// The body came too slowly.
    Slow,
    /// The store does not answer.
    Away,
    /// The run moves on again and again.
    Busy,
}

impl Answer {
    /// The label of the metric.
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::Recorded(_) | Self::Alive(_) => "heard",
            Self::RecordedEarlier(_) => "repeated",
            Self::Unknown => "unknown",
            Self::Over(_) => "over",
            Self::Malformed(_) | Self::Large | Self::Slow => "refused",
            Self::Away | Self::Busy => "away",
        }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let (status, title, detail) = match self {
            Self::Recorded(outcome) => return good(json!({ "status": "recorded", "outcome": outcome })),
            Self::RecordedEarlier(outcome) => {
                return good(json!({ "status": "recorded_earlier", "outcome": outcome }));
            }
            Self::Alive(left) => {
                let deadline_in_s = left.map(|left| left.as_secs());
                return good(json!({ "status": "open", "deadline_in_s": deadline_in_s }));
            }
            Self::Unknown => (
                StatusCode::NOT_FOUND,
                "No such run",
                "There is no run with this id for this token. A token is good for one attempt of one run.".to_owned(),
            ),
            Self::Over(outcome) => return over(outcome),
            Self::Malformed(why) => (StatusCode::UNPROCESSABLE_ENTITY, "The body is not understood", why),
            Self::Large => {
                (StatusCode::PAYLOAD_TOO_LARGE, "The body is too large", "At most 256 KiB are read.".to_owned())
            }
            Self::Slow => (StatusCode::REQUEST_TIMEOUT, "The body came too slowly", String::new()),
            Self::Away | Self::Busy => {
                (StatusCode::SERVICE_UNAVAILABLE, "Try again", "The report could not be recorded now.".to_owned())
            }
        };
        problem(status, &json!({ "title": title, "status": status.as_u16(), "detail": detail }))
    }
}

fn good(body: Value) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

fn over(outcome: Option<Outcome>) -> Response {
    let status = StatusCode::CONFLICT;
    let detail = "It has ended otherwise: by its deadline, a cancel, or another report. Stop working on it.";
    let body = json!({
        "title": "The attempt is over", "status": status.as_u16(), "detail": detail, "outcome": outcome,
    });
    problem(status, &body)
}

fn problem(status: StatusCode, body: &Value) -> Response {
    let kind = HeaderValue::from_static("application/problem+json");
    let head = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    let mut response = (status, head, body.to_string()).into_response();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, AGAIN);
    }
    response
}
