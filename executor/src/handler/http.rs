//! The `http` handler: one request a run, and what its answer means.
//!
//! What the endpoint gets is a contract: docs/reference/handlers.md. Proxies of the environment are not used, and redirects
//! are followed only as far as the job says, each to an address that was checked: both could reach addresses that nobody
//! checked otherwise.
//!
//! On failure: whatever goes wrong, the message names the method and the target without query or credentials, since
//! it is stored and shown.

mod answer;
mod body;
pub(crate) mod callback;
mod redirect;
mod sign;

use std::sync::Arc;
use std::time::Duration;

use leasehold_common::definition::FRAMING_HEADERS;
use leasehold_common::endpoint::{CallbackSpec, HttpSpec, Responses};
use leasehold_common::template::{Escape, Template};
use leasehold_ops::webhook::Signer;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;
use url::Url;

use super::egress::{Egress, EgressError};
use super::{HandlerError, RunContext, chain};
use crate::breakers::Sight;
use crate::trace::traceparent;
use body::Sent;
use callback::Promise;
use redirect::Hop;
use sign::Signature;

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
    sent: Sent,
    signature: Option<Signature>,
    rules: Responses,
    redirects: u8,
    callback: Option<CallbackSpec>,
}

impl HttpCall {
    /// Checks the parts of an `http` handler.
    pub(crate) fn compile(spec: &HttpSpec) -> Result<Self, String> {
        let HttpSpec { method, url, headers, body, sign, responses, redirects, callback, breaker: _ } = spec;
        Ok(Self {
            method: Method::from_bytes(method.as_bytes()).map_err(|_| format!("{method:?} is not an HTTP method"))?,
            url: Template::parse(url).map_err(|error| format!("url {url:?}: {error}"))?,
            headers: headers.iter().map(|(name, value)| compile_header(name, value)).collect::<Result<_, _>>()?,
            sent: Sent::compile(body.as_ref())?,
            signature: sign.as_ref().map(Signature::compile).transpose()?,
            rules: responses.clone(),
            redirects: *redirects,
            callback: *callback,
        })
    }

    /// The first request of an attempt.
    async fn request(&self, context: &RunContext) -> Result<Request, HandlerError> {
        let text = self.url.render(&context.scope(), Escape::Url)?;
        let url = Url::parse(&text).map_err(|error| HandlerError::new(format!("url {text:?}: {error}")))?;
        let mut configured = HeaderMap::new();
        for (name, template) in &self.headers {
            let value = template.render(&context.scope(), Escape::None)?;
            configured.insert(name.clone(), header_value(name, &value)?);
        }
        let mut content_type = configured.remove(CONTENT_TYPE);
        let body = match self.sent.render(&self.method, context)? {
            Some((body, of_body)) => {
                content_type.get_or_insert(of_body);
                Some(body)
            }
            None => None,
        };
        let signer = match &self.signature {
            Some(signature) => Some(signature.signer(context).await?),
            None => None,
        };
        let promise = match (&self.callback, context.handover()) {
            (Some(_), Some(handover)) => Some(handover.promise().await?),
            (Some(_), None) => return Err(HandlerError::new("only an executor can wait for a callback")),
            (None, _) => None,
        };
        Ok(Request { method: self.method.clone(), url, configured, content_type, body, signer, promise })
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
        (name("traceparent"), traceparent(context.correlation_id(), context.attempt())),
    ]
}

/// One request on its way: the first, or one that follows a redirect.
#[derive(Debug)]
struct Request {
    method: Method,
    url: Url,
    /// The headers of the config but the type of the body.
    configured: HeaderMap,
    content_type: Option<HeaderValue>,
    body: Option<Vec<u8>>,
    signer: Option<Signer>,
    promise: Option<Promise>,
}

impl Request {
    /// How an error names it.
    fn target(&self) -> String {
        format!("{} {}", self.method, shown(&self.url))
    }

    fn headers(&self, context: &RunContext) -> Result<HeaderMap, HandlerError> {
        let mut headers = self.configured.clone();
        if let Some(content_type) = &self.content_type {
            headers.insert(CONTENT_TYPE, content_type.clone());
        }
        for (name, value) in identity(context) {
            let value = header_value(&name, &value)?;
            headers.insert(name, value);
        }
        if let Some(promise) = &self.promise {
            promise.tell(&mut headers)?;
        }
        if let Some(signer) = &self.signer {
            for (name, value) in signer.headers(self.body.as_deref().unwrap_or_default()) {
                headers.insert(name, HeaderValue::from_str(&value)?);
            }
        }
        Ok(headers)
    }

    fn build(&self, client: &Client, context: &RunContext) -> Result<RequestBuilder, HandlerError> {
        let request = client.request(self.method.clone(), self.url.clone()).headers(self.headers(context)?);
        Ok(match &self.body {
            Some(body) => request.body(body.clone()),
            None => request,
        })
    }

    /// The request that follows a redirect.
    fn follow(self, hop: Hop) -> Self {
        let mut next = Self { method: hop.method, url: hop.url, ..self };
        if !hop.keeps_body {
            (next.body, next.content_type) = (None, None);
        }
        if !hop.same_origin {
            (next.configured, next.signer, next.promise) = (HeaderMap::new(), None, None);
        }
        next
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
            .referer(false)
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
        let client = self.client.as_ref().map_err(HandlerError::new)?;
        let mut request = call.request(context).await?;
        self.egress.check_url(&request.url).map_err(refused)?;
        let mut redirects = 0;
        loop {
            let target = request.target();
            let failed = |why: &str| HandlerError::new(format!("{target}: {why}"));
            let built = request.build(client, context)?;
            let sight = Some(context.sight()).filter(|_| redirects == 0);
            sight.inspect(|sight| sight.asked());
            let sent = built.send().await;
            sight.inspect(|sight| see(sight, &sent));
            let mut response = sent.map_err(|error| {
                let code = code_of(&error);
                failed(&chain(&error.without_url())).code(code)
            })?;
            let hop = match redirects < call.redirects {
                true => redirect::next(response.status(), response.headers(), &request.url, &request.method),
                false => Ok(None),
            };
            let Some(hop) = hop.map_err(|why| failed(&why).code("http.redirect"))? else {
                let body = answer::read(&mut response).await;
                let status = response.status();
                let said = answer::judge(&target, &call.rules, call.redirects, &response, body)?;
                if let (Some(spec), 202, Some(handover)) = (call.callback, status.as_u16(), context.handover()) {
                    if request.promise.is_none() {
                        return Err(failed(
                            "answered 202 after a redirect to another origin, which got no callback token",
                        ));
                    }
                    handover.take(spec);
                }
                return Ok(said);
            };
            // Dropping the answer closes its connection, whatever else it would have said.
            drop(response);
            let refused = |why| failed(&format!("redirected to {}: {why}", shown(&hop.url))).code("egress.refused");
            self.egress.check_url(&hop.url).map_err(refused)?;
            request = request.follow(hop);
            redirects += 1;
        }
    }
}

fn refused(error: EgressError) -> HandlerError {
    HandlerError::from(error).code("egress.refused")
}

/// Why there was no answer, in a word.
fn code_of(error: &reqwest::Error) -> &'static str {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if inner.is::<EgressError>() {
            return "egress.refused";
        }
        source = inner.source();
    }
    match error {
        error if error.is_connect() => "http.connect",
        error if error.is_timeout() => "http.timeout",
        _ => "http.broken",
    }
}

/// What is seen of the endpoint. That its address is refused here says nothing about it.
fn see(sight: &Sight, sent: &Result<Response, reqwest::Error>) {
    match sent {
        Ok(response) if matches!(response.status().as_u16(), 502..=504) => sight.down(),
        Err(error) if code_of(error) != "egress.refused" => sight.down(),
        _ => sight.up(),
    }
}

/// The URL without credentials and query, which may hold secrets.
fn shown(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{host}{port}{}", url.scheme(), url.path()).chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests;
