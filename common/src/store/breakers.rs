//! Circuit breakers: endpoints that are down, and what waits for them.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::StoreResult;

/// How long a breaker stays open the first time; each probe that fails doubles it.
pub const OPEN_FIRST: Duration = Duration::from_secs(5);

/// How long it stays open at most, before the quarter that chance adds or takes.
pub const OPEN_MOST: Duration = Duration::from_secs(300);

/// What an executor says of an endpoint that did not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointFailure {
    /// Host and port ([`crate::need::endpoint`]).
    pub endpoint: String,
    /// Whether the breaker shall open: it has failed often enough, or a probe has. If not, this only asks.
    pub open: bool,
    /// Who says so.
    pub executor: Uuid,
    /// What went wrong.
    pub error: String,
}

/// Whether runs are let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// None.
    Open,
    /// One at a time, to find out.
    Probing,
}

/// A breaker that is not closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BreakerView {
    /// Host and port.
    pub endpoint: String,
    /// Whether runs are let through.
    pub state: BreakerState,
    /// When it opened first.
    #[serde(serialize_with = "crate::run::rfc3339")]
    pub opened_at: Timestamp,
    /// From when on a run is let through as a probe.
    #[serde(serialize_with = "crate::run::rfc3339")]
    pub retry_at: Timestamp,
    /// How often it has opened since it was closed.
    pub times: u32,
    /// Items that wait for the endpoint.
    pub waiting: u64,
    /// What went wrong last.
    pub error: String,
    /// The executor that said so.
    pub executor: Uuid,
}

/// What jobs need and no live executor can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unserved {
    /// What it is: `command`, `handler:NAME` or `queue:NAME`.
    pub need: String,
    /// Active jobs that need it.
    pub jobs: u64,
    /// Items that are due and wait for it.
    pub waiting: u64,
}

/// Circuit breakers, one for each endpoint that is down. While it is open, what calls the endpoint waits outside the line;
/// then the leader's rescuer lets one run go at a time, until one finds that the endpoint answers.
#[async_trait]
pub trait Breakers: Send + Sync {
    /// Answers whether the breaker is open or probing, and opens it if asked to. One that is open already stays as it is.
    async fn endpoint_failed(&self, failure: &EndpointFailure) -> StoreResult<bool>;

    /// Closes the breaker; what waits lines up again, in pieces. Answers whether there was one.
    async fn close_breaker(&self, endpoint: &str) -> StoreResult<bool>;

    /// All that are not closed, by endpoint.
    async fn breakers(&self) -> StoreResult<Vec<BreakerView>>;
}
