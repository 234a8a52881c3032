//! What is sent: the body that a run has by default, or one from a template.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_common::definition::Tenant;
use leasehold_common::endpoint::BodySpec;
use leasehold_common::id::TenantId;
use leasehold_common::schedule::Zone;
use leasehold_common::template::Body;
use reqwest::Method;
use reqwest::header::HeaderValue;
use serde::Serialize;
use serde_json::Value;

use crate::handler::{HandlerError, RunContext};

/// What a request sends.
#[derive(Debug)]
pub(super) enum Sent {
    /// All that is known of the run.
    Usual,
    /// A text of the job's own.
    Own { body: Body, content_type: HeaderValue },
}

impl Sent {
    pub(super) fn compile(spec: Option<&BodySpec>) -> Result<Self, String> {
        let Some(BodySpec { text, content_type }) = spec else { return Ok(Self::Usual) };
        let body = Body::parse(text, content_type).map_err(|error| format!("body: {error}"))?;
        let content_type =
            HeaderValue::from_str(content_type).map_err(|_| format!("{content_type:?} is no content type"))?;
        Ok(Self::Own { body, content_type })
    }

    /// The content of one request, and its type.
    pub(super) fn render(
        &self,
        method: &Method,
        context: &RunContext,
    ) -> Result<Option<(Vec<u8>, HeaderValue)>, HandlerError> {
        match self {
            Self::Own { body, content_type } => {
                let text = body.render(&context.scope(), context.payload())?;
                Ok(Some((text.into_bytes(), content_type.clone())))
            }
            Self::Usual if has_usual(method, context) => {
                let json = HeaderValue::from_static(BodySpec::DEFAULT_TYPE);
                Ok(Some((serde_json::to_vec(&Envelope::of(context))?, json)))
            }
            Self::Usual => Ok(None),
        }
    }
}

/// GET, HEAD and DELETE have no body by custom, and some servers refuse one.
fn has_usual(method: &Method, context: &RunContext) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::DELETE) || context.payload().is_some()
}

/// The usual body.
#[derive(Serialize)]
struct Envelope<'a> {
    correlation_id: String,
    tenant: TenantBody<'a>,
    job: &'a str,
    attempt: u32,
    scheduled_for: String,
    payload: Option<&'a Value>,
}

/// Every field always, so that endpoints need not guess.
#[derive(Serialize)]
struct TenantBody<'a> {
    id: &'a TenantId,
    plan: &'a Option<String>,
    features: &'a BTreeSet<String>,
    timezone: &'a Option<Zone>,
    labels: &'a BTreeMap<String, String>,
}

impl<'a> Envelope<'a> {
    fn of(context: &'a RunContext) -> Self {
        let Tenant { id, plan, features, timezone, labels, .. } = context.tenant();
        Self {
            correlation_id: context.correlation_id().to_string(),
            tenant: TenantBody { id, plan, features, timezone, labels },
            job: context.job().as_str(),
            attempt: context.attempt(),
            scheduled_for: context.scheduled_for_text(),
            payload: context.payload(),
        }
    }
}
