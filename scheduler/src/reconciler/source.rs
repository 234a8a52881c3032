//! Asking a source.

use std::time::Duration;

use leasehold_common::roster::{SourceKind, SourceSpec};
use leasehold_store::AskLimits;
use serde_json::Value;

use super::answer::Answer;
use super::http;
use crate::outbound::Client;
use crate::secret;

/// A longer answer is refused.
pub(super) const MAX_BYTES: usize = 512 * 1024 * 1024;

/// Why a source gave no answer. Holds no secret: it is stored and shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct SourceError(String);

impl SourceError {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

/// What a source said.
#[derive(Debug)]
pub(super) enum Asked {
    /// What it said before.
    Unchanged,
    /// All its tenants, and by what it can be asked whether they have changed.
    Answer(Answer, Option<String>),
}

/// Asks a source for all its tenants; with the `etag` of its last answer, only if they have changed since.
pub(super) async fn ask(
    client: &Client,
    source: &SourceSpec,
    etag: Option<&str>,
    time: Duration,
) -> Result<Asked, SourceError> {
    match &source.kind {
        SourceKind::Sql { url, query } => {
            let url = secret::resolve("url", url).await.map_err(SourceError::new)?;
            let mut answer = Answer::default();
            let limits = AskLimits { time, bytes: MAX_BYTES };
            let mut take = |row| answer.take(&source.name, Value::Object(row));
            let asked = leasehold_store::ask_sql(&url, query, limits, &mut take).await;
            asked.map_err(|error| SourceError::new(error.to_string()))?;
            Ok(Asked::Answer(answer, None))
        }
        SourceKind::Http { url, bearer } => {
            let bearer = match bearer {
                Some(bearer) => Some(secret::resolve("bearer", bearer).await.map_err(SourceError::new)?),
                None => None,
            };
            match tokio::time::timeout(time, http::ask(client, &source.name, url, bearer.as_deref(), etag)).await {
                Ok(asked) => asked,
                Err(_) => Err(SourceError::new(format!("no whole answer within {time:?}"))),
            }
        }
    }
}
