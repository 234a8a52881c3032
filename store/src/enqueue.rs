//! What an application hands over, as the stores take it.

use std::time::Duration;

use leasehold_common::store::{Enqueue, EnqueueDue, ErrorKind, StoreError, StoreResult};
use serde_json::json;

pub(crate) const OPERATION: &str = "enqueue a run";

/// The payload as text, if it is not too large.
pub(crate) fn payload(request: &Enqueue) -> StoreResult<Option<String>> {
    let Some(payload) = &request.payload else { return Ok(None) };
    let text = payload.to_string();
    if text.len() > Enqueue::PAYLOAD_MAX {
        let most = Enqueue::PAYLOAD_MAX;
        return Err(invalid(format!("a payload has at most {most} bytes, this one has {}", text.len())));
    }
    Ok(Some(text))
}

/// The options of `leasehold.enqueue`.
pub(crate) fn options(request: &Enqueue) -> String {
    let mut options = serde_json::Map::new();
    match request.due {
        EnqueueDue::Now => {}
        EnqueueDue::At(at) => drop(options.insert("at".to_owned(), json!(at.to_string()))),
        EnqueueDue::In(delay) => drop(options.insert("delay".to_owned(), span(delay))),
    }
    if let Some(key) = &request.key {
        options.insert("key".to_owned(), json!(key));
    }
    if let Some(priority) = request.priority {
        options.insert("priority".to_owned(), json!(priority));
    }
    if let Some(expires) = request.expires {
        options.insert("expires".to_owned(), span(expires));
    }
    serde_json::Value::Object(options).to_string()
}

/// As PostgreSQL reads an interval.
fn span(duration: Duration) -> serde_json::Value {
    json!(format!("{}.{:06} seconds", duration.as_secs(), duration.subsec_micros()))
}

/// When a run is due and until when it may run, in microseconds: what `leasehold.enqueue` does by itself, with its bounds.
pub(crate) fn times(request: &Enqueue, now: i64) -> StoreResult<(i64, Option<i64>)> {
    let due = match request.due {
        EnqueueDue::Now => now,
        EnqueueDue::At(at) => at.as_microsecond().max(now),
        EnqueueDue::In(delay) => now.saturating_add(crate::clock::us(delay)),
    };
    if due > now.saturating_add(crate::clock::us(Enqueue::WAIT_MAX)) {
        return Err(invalid("a run is due within ten years".to_owned()));
    }
    if request.expires == Some(Duration::ZERO) {
        return Err(invalid("`expires` must be above zero".to_owned()));
    }
    Ok((due, request.expires.map(|expires| due.saturating_add(crate::clock::us(expires)))))
}

/// The key, if it has a length that keys have.
pub(crate) fn key(request: &Enqueue) -> StoreResult<Option<&str>> {
    match request.key.as_deref() {
        Some(key) if key.is_empty() || key.chars().count() > Enqueue::KEY_MAX || key.contains('\0') => {
            Err(invalid(format!("a key has 1 to {} characters, none of them NUL", Enqueue::KEY_MAX)))
        }
        key => Ok(key),
    }
}

fn invalid(what: String) -> StoreError {
    StoreError::new(ErrorKind::Invalid, OPERATION, what)
}
