//! The `http` of a job: the request, its signature, and what answers mean.
//!
//! Invariants: no tenant's value decides where a request goes or what a body is; no secret stands in a config, only where
//! to find one, and no tenant's value leads to another secret than the template describes.

use std::collections::BTreeMap;
use std::time::Duration;

use super::draft::LEAST;
use super::fields::{self, Fields, Text};
use super::handler;
use super::node::{Entry, Node, Plain, Ref, Value};
use super::report::Report;
use super::templates::{self, Used};
use super::url;
use crate::definition::{FRAMING_HEADERS, HandlerSpec};
use crate::endpoint::{BodySpec, CallbackSpec, HttpSpec, Meaning, Responses, SignSpec, Statuses};
use crate::roster::Secret;
use crate::template::{self, Body, BodyError, Escape};

const METHODS: [(&str, &str); 7] = [
    ("GET", "GET"),
    ("POST", "POST"),
    ("PUT", "PUT"),
    ("PATCH", "PATCH"),
    ("DELETE", "DELETE"),
    ("HEAD", "HEAD"),
    ("OPTIONS", "OPTIONS"),
];

const KEYS: &[&str] =
    &["method", "url", "headers", "body", "content_type", "sign", "responses", "redirects", "callback", "breaker"];

/// The header that `content_type` is for.
const CONTENT_TYPE: &str = "content-type";

/// Reads the request; its templates are added to `used`.
pub(super) fn read<'n, 't>(
    report: &mut Report<'_>,
    node: &'n Node<'t>,
    used: &mut Vec<Used<'n, 't>>,
) -> Option<HttpSpec> {
    let fields = Fields::read(report, node, "http", KEYS)?;
    let method = match fields.get("method") {
        Some(entry) => fields::word(report, entry, &METHODS),
        None => Some("POST"),
    };
    let url = fields.require(report, "url").and_then(|entry| target(report, entry, used));
    let headers = fields.get("headers").map_or(Some(BTreeMap::new()), |entry| headers(report, entry, used));
    let body = body(report, &fields, used);
    let sign = match fields.get("sign") {
        Some(entry) => sign(report, entry, used).map(Some),
        None => Some(None),
    };
    let responses = fields.get("responses").map_or(Some(Responses::default()), |entry| responses(report, entry));
    let redirects = fields.get("redirects").map_or(Some(0), |entry| {
        u8::try_from(fields::integer(report, entry, 0..=HttpSpec::MAX_REDIRECTS.into())?).ok()
    });
    let callback = match fields.get("callback") {
        Some(entry) => callback(report, entry).map(Some),
        None => Some(None),
    };
    let breaker = fields.get("breaker").map_or(Some(true), |entry| fields::boolean(report, entry));
    Some(HttpSpec {
        method: method?.to_owned(),
        url: url?,
        headers: headers?,
        body: body?,
        sign: sign?,
        responses: responses?,
        redirects: redirects?,
        callback: callback?,
        breaker: breaker?,
    })
}

/// `callback: 1h`, or a map.
fn callback(report: &mut Report<'_>, entry: &Entry<'_>) -> Option<CallbackSpec> {
    let (within, total) = match &entry.value.value {
        Value::Map(_) => {
            let fields = Fields::read(report, &entry.value, "callback", &["within", "total"])?;
            let within = fields.require(report, "within").and_then(|entry| bounded(report, entry));
            match fields.get("total") {
                Some(entry) => {
                    let total = bounded(report, entry)?;
                    if within.is_some_and(|within| total < within) {
                        let help =
                            "`within` is how long the endpoint may be silent, `total` how long it may take in all";
                        report.error(&entry.value.span, "`total` is less than `within`", Some(help.to_owned()));
                        return None;
                    }
                    (within?, total)
                }
                None => (within?, CallbackSpec::DEFAULT_TOTAL.max(within?)),
            }
        }
        _ => {
            let within = bounded(report, entry)?;
            (within, CallbackSpec::DEFAULT_TOTAL.max(within))
        }
    };
    Some(CallbackSpec { within, total })
}

fn bounded(report: &mut Report<'_>, entry: &Entry<'_>) -> Option<Duration> {
    let time = fields::duration(report, entry, LEAST)?;
    if time > CallbackSpec::MAX {
        let most = crate::duration::format(CallbackSpec::MAX);
        let help = format!("write at most `{most}`");
        report.error(&entry.value.span, "a run cannot stay open for so long", Some(help));
        return None;
    }
    Some(time)
}

/// The body, if there is one of its own; `None` if it is wrong.
fn body<'n, 't>(
    report: &mut Report<'_>,
    fields: &Fields<'n, 't>,
    used: &mut Vec<Used<'n, 't>>,
) -> Option<Option<BodySpec>> {
    let content_type = fields.get("content_type");
    let Some(entry) = fields.get("body") else {
        if let Some(entry) = content_type {
            let help = "remove it, or say what is sent in `body`".to_owned();
            report.error(&entry.key_span, "`content_type` is that of `body`, and there is none", Some(help));
            return None;
        }
        return Some(None);
    };
    let set = fields.get("headers").and_then(|entry| match &entry.value.value {
        Value::Map(headers) => headers.iter().find(|header| header.key.eq_ignore_ascii_case(CONTENT_TYPE)),
        _ => None,
    });
    if let Some(header) = set {
        let help = "write `content_type` beside `body`: it decides how values are written into it".to_owned();
        report.error(&header.key_span, format!("`{}` stands beside `body`", header.key), Some(help));
        return None;
    }
    let content_type = match content_type {
        Some(entry) => media_type(report, entry)?,
        None => BodySpec::DEFAULT_TYPE.to_owned(),
    };
    let text = fields::text(report, &entry.value, "body")?;
    let body = match Body::parse(text.text, &content_type) {
        Ok(body) => body,
        Err(BodyError::Template(error)) => {
            let span = text.part(report, &error.span());
            let help = error.help_among(&template::body_variables());
            report.error(&span, error.to_string(), Some(help));
            return None;
        }
        Err(error @ BodyError::Json(_)) => {
            let help = "a body is JSON unless it has another `content_type`; a value outside of quotes is written as JSON, \
                        quotes included";
            report.error(&text.span(), error.to_string(), Some(help.to_owned()));
            return None;
        }
    };
    let spec = BodySpec { text: text.text.to_owned(), content_type };
    used.push(Used { template: body.template().clone(), text, escape: Escape::None });
    Some(Some(spec))
}

/// A type and a subtype, perhaps with parameters, that can stand in a header.
fn media_type(report: &mut Report<'_>, entry: &Entry<'_>) -> Option<String> {
    let text = fields::text(report, &entry.value, "content_type")?;
    let is_token = |text: &str| !text.is_empty() && text.chars().all(is_token);
    let essence = text.text.split(';').next().unwrap_or_default().trim();
    let is_media_type = essence.split_once('/').is_some_and(|(of, sub)| is_token(of) && is_token(sub));
    if !is_media_type || !text.text.chars().all(|c| c == ' ' || c.is_ascii_graphic()) {
        report.error(&text.span(), "this is not a content type", fields::example("content_type"));
        return None;
    }
    Some(text.text.to_owned())
}

fn sign<'n, 't>(report: &mut Report<'_>, entry: &'n Entry<'t>, used: &mut Vec<Used<'n, 't>>) -> Option<SignSpec> {
    let items = secrets(report, entry)?;
    let secrets: Vec<_> = items.iter().map(|item| secret(report, item, used)).collect();
    Some(SignSpec { secrets: secrets.into_iter().collect::<Option<_>>()? })
}

/// The entries of the `secrets` of a `sign`.
pub(super) fn secrets<'n, 't>(report: &mut Report<'_>, entry: &'n Entry<'t>) -> Option<&'n [Ref<'t>]> {
    let fields = Fields::read(report, &entry.value, "sign", &["secrets"])?;
    let list = fields.require(report, "secrets")?;
    let items = fields::list(report, &list.value, "secrets")?;
    if items.is_empty() || items.len() > SignSpec::MAX_SECRETS {
        let message = format!("`secrets` names 1 to {} secrets", SignSpec::MAX_SECRETS);
        report.error(&list.value.span, message, fields::example("secrets"));
        return None;
    }
    Some(items)
}

fn secret<'n, 't>(report: &mut Report<'_>, node: &'n Node<'t>, used: &mut Vec<Used<'n, 't>>) -> Option<String> {
    let text = fields::text(report, node, "an entry of `secrets`")?;
    let template = templates::parse(report, &text)?;
    if let Some((variable, part)) = template.spans().find(|(variable, _)| variable.is_of_run()) {
        let span = text.part(report, &part);
        let help = "the secrets of a job are the same for all its runs: use values of the tenant".to_owned();
        report.error(&span, format!("`{variable}` is not known here"), Some(help));
        return None;
    }
    let message = match Secret::parse(&templates::without_variables(&template)) {
        Ok(Secret::Env(_) | Secret::File(_)) => {
            let reference = text.text.to_owned();
            used.push(Used { template, text, escape: Escape::Name });
            return Some(reference);
        }
        Ok(Secret::Plain(_)) => "this says where a secret is, not what it is: a config is stored and shown".to_owned(),
        Err(error) => error.to_string(),
    };
    let help = "write `env:NAME` or `file:PATH`, which the executor looks up".to_owned();
    report.error(&text.span(), message, Some(help));
    None
}

fn responses(report: &mut Report<'_>, entry: &Entry<'_>) -> Option<Responses> {
    let fields = Fields::read(report, &entry.value, "responses", &["success", "retry", "fail"])?;
    let mut seen: Vec<(Meaning, Statuses)> = Vec::new();
    let mut complete = true;
    for meaning in Meaning::ALL {
        let Some(entry) = fields.get(meaning.as_str()) else { continue };
        let what = format!("`{}` of `responses`", entry.key);
        let Some(items) = fields::list(report, &entry.value, &what) else {
            complete = false;
            continue;
        };
        for item in items {
            match statuses(report, item, meaning, &seen) {
                Some(statuses) => seen.push((meaning, statuses)),
                None => complete = false,
            }
        }
    }
    let list = |wanted| seen.iter().filter(|(meaning, _)| *meaning == wanted).map(|(_, range)| *range).collect();
    let responses =
        Responses { success: list(Meaning::Success), retry: list(Meaning::Retry), fail: list(Meaning::Fail) };
    complete.then_some(responses)
}

fn statuses(
    report: &mut Report<'_>,
    node: &Node<'_>,
    meaning: Meaning,
    seen: &[(Meaning, Statuses)],
) -> Option<Statuses> {
    let what = format!("an entry of `{}`", meaning.as_str());
    let text = match &node.value {
        Value::Scalar(scalar) if matches!(scalar.resolve_number(), Plain::Int(_) | Plain::Text) => &scalar.text,
        _ => {
            fields::wrong_type(report, node, &what, "a status or a range");
            return None;
        }
    };
    let statuses: Statuses = match text.parse() {
        Ok(statuses) => statuses,
        Err(error) => {
            report.error(&node.span, format!("{what}: {error}"), fields::example("responses"));
            return None;
        }
    };
    let other = seen.iter().find(|(other, range)| *other != meaning && range.conflicts_with(statuses));
    if let Some((other, range)) = other {
        let message = format!("`{statuses}` of `{}` overlaps `{range}` of `{}`", meaning.as_str(), other.as_str());
        let help =
            "of two lists, the smaller range decides; make one a part of the other, or keep them apart".to_owned();
        report.error(&node.span, message, Some(help));
        return None;
    }
    Some(statuses)
}

/// Reports values of the payload that the body asks for and the payload does not have.
pub(super) fn check_payload(
    report: &mut Report<'_>,
    entry: Option<&Entry<'_>>,
    handler: &HandlerSpec,
    payload: Option<&serde_json::Value>,
) {
    let (Some(entry), HandlerSpec::Http(HttpSpec { body: Some(spec), .. })) = (entry, handler) else { return };
    let Ok(body) = Body::parse(&spec.text, &spec.content_type) else { return };
    let Value::Map(entries) = &entry.value.value else { return };
    let Some(entry) = entries.iter().find(|entry| entry.key == "body") else { return };
    let Some(text) = fields::text(report, &entry.value, "body") else { return };
    for (name, part) in body.asked() {
        if Body::find(payload, name).is_none() {
            let span = text.part(report, &part);
            let help = "name a key of `payload`, and what is below it after a dot, as in `payload.limits.0`".to_owned();
            report.error(&span, format!("the payload has no `{name}`"), Some(help));
        }
    }
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

fn target<'n, 't>(report: &mut Report<'_>, entry: &'n Entry<'t>, used: &mut Vec<Used<'n, 't>>) -> Option<String> {
    let text = fields::text(report, &entry.value, "url")?;
    let template = templates::parse(report, &text)?;
    if let Err((part, message, help)) = url::check(&template) {
        let span = text.part(report, &part);
        report.error(&span, message, Some(help));
        return None;
    }
    let url = text.text.to_owned();
    used.push(Used { template, text, escape: Escape::Url });
    Some(url)
}

fn headers<'n, 't>(
    report: &mut Report<'_>,
    entry: &'n Entry<'t>,
    used: &mut Vec<Used<'n, 't>>,
) -> Option<BTreeMap<String, String>> {
    let entries = fields::map(report, &entry.value, "headers")?;
    let mut headers = BTreeMap::new();
    let mut complete = true;
    for header in entries {
        let name = header_name(report, header, &headers);
        let value = header_value(report, header, used);
        match (name, value) {
            (Some(name), Some(value)) => drop(headers.insert(name, value)),
            _ => complete = false,
        }
    }
    complete.then_some(headers)
}

/// The name in lower case, as HTTP/2 sends it: names are case-insensitive.
pub(super) fn header_name(
    report: &mut Report<'_>,
    header: &Entry<'_>,
    others: &BTreeMap<String, String>,
) -> Option<String> {
    let name = header.key.to_ascii_lowercase();
    if name.is_empty() || !name.chars().all(is_token) {
        let help = "names consist of letters, digits and hyphens, as in `x-source`".to_owned();
        report.error(&header.key_span, format!("`{}` is not a name of a header", header.key), Some(help));
        return None;
    }
    if FRAMING_HEADERS.contains(&name.as_str()) {
        report.error(
            &header.key_span,
            format!("the header `{name}` is written by the executor"),
            Some("remove it".to_owned()),
        );
        return None;
    }
    if others.contains_key(&name) {
        let help = "names of headers are the same in upper and lower case; remove one of the two".to_owned();
        report.error(&header.key_span, format!("the header `{name}` is there twice"), Some(help));
        return None;
    }
    Some(name)
}

fn header_value<'n, 't>(
    report: &mut Report<'_>,
    header: &'n Entry<'t>,
    used: &mut Vec<Used<'n, 't>>,
) -> Option<String> {
    let text = header_text(report, header)?;
    handler::with_template(report, text, used)
}

/// Text that stays within its header.
pub(super) fn header_text<'n, 't>(report: &mut Report<'_>, header: &'n Entry<'t>) -> Option<Text<'n, 't>> {
    let text = fields::text(report, &header.value, &format!("the value of the header `{}`", header.key))?;
    if let Some((at, found)) = text.text.char_indices().find(|(_, c)| c.is_control() && *c != '\t') {
        let span = text.part(report, &(at..at + found.len_utf8()));
        let help = "write it on one line; in a block `|`, use `>-` or quotes instead".to_owned();
        report.error(&span, "the value of a header must not contain line breaks or control characters", Some(help));
        return None;
    }
    Some(text)
}
