//! The `http` handler: one request a run; a 2xx answer is success.
//!
//! What the endpoint gets is a contract: docs/reference/handlers.md. Redirects
//! are not followed and proxies of the environment are not used: both would reach addresses that nobody checked.
//!
//! On failure: whatever goes wrong, the message names the method and the target without query or credentials, since
//! it is stored and shown.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use leasehold_common::definition::{FRAMING_HEADERS, Tenant};
use leasehold_common::id::TenantId;
use leasehold_common::schedule::Zone;
use leasehold_common::template::{Escape, Template};
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Response, StatusCode};
use serde::Serialize;
use serde_json::Value;
use url::Url;

use super::egress::Egress;
use super::tail::Tail;
use super::{HandlerError, RunContext, chain};
use crate::trace::traceparent;

/// How much of an answer is read. What comes after it is not looked at.
const BODY_MAX: usize = 1024 * 1024;

/// How long setting up a connection may take; the job's timeout bounds the whole.
const CONNECT: Duration = Duration::from_secs(10);

/// Idle connections are given up before most servers do, so that a request seldom meets a closing one.
const IDLE: Duration = Duration::from_secs(15);

/// How much of a URL is shown in an error, so that it leaves room for the answer.
const SHOWN: usize = 300;

/// A request with its templates parsed.
#[derive(Debug)]
pub(crate) struct HttpCall {
    method: Method,
    url: Template,
    headers: Vec<(HeaderName, Template)>,
}

impl HttpCall {
    /// Checks the parts of an `http` handler.
    pub(crate) fn compile<'a>(
        method: &str,
        url: &str,
        headers: impl IntoIterator<Item = (&'a String, &'a String)>,
    ) -> Result<Self, String> {
        let headers = headers.into_iter().map(|(name, value)| compile_header(name, value)).collect::<Result<_, _>>()?;
        Ok(Self {
            method: Method::from_bytes(method.as_bytes()).map_err(|_| format!("{method:?} is not an HTTP method"))?,
            url: Template::parse(url).map_err(|error| format!("url {url:?}: {error}"))?,
            headers,
        })
    }

    fn headers(&self, context: &RunContext) -> Result<HeaderMap, HandlerError> {
        let mut headers = HeaderMap::new();
        for (name, template) in &self.headers {
            let value = template.render(&context.scope(), Escape::None)?;
            headers.insert(name.clone(), header_value(name, &value)?);
        }
        for (name, value) in identity(context) {
            let value = header_value(&name, &value)?;
            headers.insert(name, value);
        }
        Ok(headers)
    }
}

fn compile_header(name: &str, value: &str) -> Result<(HeaderName, Template), String> {
    let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{name:?} is not a header name"))?;
    if FRAMING_HEADERS.contains(&parsed.as_str()) {
        return Err(format!("the header {name} frames the request and cannot be set"));
    }
    let template = Template::parse(value).map_err(|error| format!("header {name}: {error}"))?;
    Ok((parsed, template))
}

/// A value with CR, LF or another control character is refused: it could start a header of its own.
fn header_value(name: &HeaderName, value: &str) -> Result<HeaderValue, HandlerError> {
    HeaderValue::from_bytes(value.as_bytes())
        .map_err(|_| HandlerError::new(format!("the value of header {name} has a line break or control character")))
}

/// What says whose run this is. Set last, so that no config can say otherwise.
fn identity(context: &RunContext) -> [(HeaderName, String); 7] {
    let name = HeaderName::from_static;
    [
        (name("leasehold-tenant"), context.tenant().id.to_string()),
        (name("leasehold-job"), context.job().to_string()),
        (name("leasehold-correlation-id"), context.correlation_id().to_string()),
        (name("leasehold-attempt"), context.attempt().to_string()),
        (name("leasehold-scheduled-for"), context.scheduled_for_text()),
        (name("idempotency-key"), context.idempotency_key()),
        (name("traceparent"), traceparent(context.correlation_id())),
    ]
}

/// The request's body.
#[derive(Serialize)]
struct Body<'a> {
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

impl<'a> Body<'a> {
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

/// The client that all `http` runs share.
#[derive(Debug)]
pub(crate) struct HttpHandler {
    egress: Egress,
    /// The error is what every run then fails with.
    client: Result<Client, String>,
}

impl HttpHandler {
    pub(crate) fn new(egress: Egress) -> Self {
        let client = Client::builder()
            .dns_resolver(Arc::new(egress.clone()))
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .pool_idle_timeout(IDLE)
            .user_agent(concat!("leasehold/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| format!("no HTTP client: {}", chain(&error)));
        Self { egress, client }
    }

    /// Sends the request, and gives it up when the run must stop.
    pub(crate) async fn call(&self, call: &HttpCall, context: RunContext) -> Result<Value, HandlerError> {
        tokio::select! {
            biased;
            () = context.cancelled() => Err(HandlerError::new("the request was given up")),
            answer = self.send(call, &context) => answer,
        }
    }

    async fn send(&self, call: &HttpCall, context: &RunContext) -> Result<Value, HandlerError> {
        let text = call.url.render(&context.scope(), Escape::Url)?;
        let url = Url::parse(&text).map_err(|error| HandlerError::new(format!("url {text:?}: {error}")))?;
        self.egress.check_url(&url)?;
        let target = format!("{} {}", call.method, shown(&url));
        let client = self.client.as_ref().map_err(HandlerError::new)?;
        let mut request = client.request(call.method.clone(), url);
        if sends_body(&call.method, context) {
            request = request.json(&Body::of(context));
        }
        let failed = |error: reqwest::Error| HandlerError::new(format!("{target}: {}", chain(&error.without_url())));
        let mut response = request.headers(call.headers(context)?).send().await.map_err(failed)?;
        let body = read(&mut response).await.map_err(failed)?;
        judge(&target, &response, body)
    }
}

/// GET, HEAD and DELETE have no body by custom, and some servers refuse one.
fn sends_body(method: &Method, context: &RunContext) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::DELETE) || context.payload().is_some()
}

async fn read(response: &mut Response) -> Result<Tail, reqwest::Error> {
    let mut tail = Tail::default();
    let mut read = 0;
    while let Some(chunk) = response.chunk().await? {
        read += chunk.len();
        tail.push(&chunk);
        if read > BODY_MAX {
            break; // dropping the response closes the connection
        }
    }
    Ok(tail)
}

fn judge(target: &str, response: &Response, body: Tail) -> Result<Value, HandlerError> {
    let status = response.status();
    if status.is_success() {
        return Ok(body.into_result());
    }
    let location = response
        .headers()
        .get(header::LOCATION)
        .map(|to| String::from_utf8_lossy(to.as_bytes()).chars().take(SHOWN).collect::<String>());
    let mut message = format!("{target}: answered {status}");
    if let Some(to) = location.filter(|_| status.is_redirection() && status != StatusCode::NOT_MODIFIED) {
        message.push_str(&format!(" to {to:?}; redirects are not followed"));
    }
    let text = body.into_text();
    if !text.is_empty() {
        message.push_str(&format!(": {text}"));
    }
    Err(HandlerError::new(message))
}

/// The URL without credentials and query, which may hold secrets.
fn shown(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{host}{port}{}", url.scheme(), url.path()).chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests;
