//! Handlers: what a run does.
//!
//! A handler gets a [`RunContext`] and answers a JSON result or a [`HandlerError`]. It knows neither the queue nor
//! retries: its word is turned into a verdict by the runner. Three kinds come with every executor, [`http`], [`command`]
//! and [`sql`]; the others are Rust code that a binary registers by name. Whose run it is, code far below learns from
//! [`current`].
//!
//! A handler may run more than once for one run (a crash, a lost claim): [`RunContext::idempotency_key`] stays the
//! same over all attempts.

pub(crate) mod command;
pub(crate) mod context;
pub(crate) mod current;
pub(crate) mod databases;
pub(crate) mod egress;
pub(crate) mod http;
mod secret;
pub(crate) mod sql;
pub(crate) mod tail;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

pub use context::RunContext;
pub use current::{Current, current, spawn, spawn_blocking};
pub use databases::TenantDb;

/// Code that a job of kind `handler: NAME` runs.
///
/// Implemented by async functions and closures:
///
/// ```
/// use leasehold_executor::{Handler, HandlerError, RunContext};
/// use serde_json::{Value, json};
///
/// async fn greet(ctx: RunContext) -> Result<Value, HandlerError> {
///     Ok(json!({ "hello": ctx.tenant().id }))
/// }
///
/// fn is_a_handler(_: impl Handler) {}
/// is_a_handler(greet);
/// ```
///
/// A handler that blocks its thread cannot be stopped and keeps others from running: put such work on
/// [`spawn_blocking`].
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Runs once. Should end soon after [`RunContext::cancelled`]; if it does not, it is dropped.
    async fn run(&self, context: RunContext) -> Result<Value, HandlerError>;
}

#[async_trait]
impl<F, Fut> Handler for F
where
    F: Fn(RunContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Value, HandlerError>> + Send,
{
    async fn run(&self, context: RunContext) -> Result<Value, HandlerError> {
        self(context).await
    }
}

/// A handler could not do its work.
///
/// Any error converts into it by `?`, with its sources, and is retried by the job's rules:
///
/// ```
/// # use leasehold_executor::HandlerError;
/// fn parse(text: &str) -> Result<u32, HandlerError> {
///     Ok(text.parse()?)
/// }
/// assert!(parse("x").is_err_and(|error| error.retry));
/// ```
///
/// Like `anyhow::Error`, it does not implement [`std::error::Error`] itself: the conversion would be ambiguous.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandlerError {
    /// What went wrong, for people. The end of a very long text is kept.
    pub message: String,
    /// Whether another attempt may help. If not, the run is dead at once, whatever attempts are left.
    pub retry: bool,
    /// How long the next attempt should wait at least, if what was called has said so. The job's own wait counts if it is
    /// longer, and no wait is longer than an hour for this reason.
    pub after: Option<Duration>,
}

impl HandlerError {
    /// Another attempt may help, if the job has one left.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), retry: true, after: None }
    }

    /// No attempt can help.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self { message: message.into(), retry: false, after: None }
    }

    /// The same, and the next attempt should wait for so long.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.after = Some(wait);
        self
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.message)
    }
}

impl<E: std::error::Error> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self::new(chain(&error))
    }
}

/// An error with its sources: `a: b: c`. A source that its parent's text names already is left out.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let part = error.to_string();
        if !text.contains(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot sync")]
    struct Outer(#[source] std::fmt::Error);

    #[test]
    fn any_error_becomes_a_retried_failure_with_its_sources() {
        let error = HandlerError::from(Outer(std::fmt::Error));
        assert!(error.retry);
        assert!(error.message.starts_with("cannot sync: an error occurred"), "{error}");
        assert!(!HandlerError::permanent("no such order").retry);
    }
}
