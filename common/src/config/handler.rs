//! What a job does: `http`, `command` or `handler`.

use std::collections::BTreeMap;

use super::fields::{self, Fields, Text};
use super::node::{Entry, Node};
use super::report::Report;
use super::templates::{self, Used};
use super::url;
use crate::definition::{FRAMING_HEADERS, HandlerSpec};
use crate::id::{NameError, check_name};
use crate::template::{Escape, Template};

const METHODS: [(&str, &str); 7] = [
    ("GET", "GET"),
    ("POST", "POST"),
    ("PUT", "PUT"),
    ("PATCH", "PATCH"),
    ("DELETE", "DELETE"),
    ("HEAD", "HEAD"),
    ("OPTIONS", "OPTIONS"),
];

/// Reads the one handler of a job; its templates are added to `used`.
pub(super) fn read<'n, 't>(
    report: &mut Report<'_>,
    job: &Fields<'n, 't>,
    used: &mut Vec<Used<'n, 't>>,
) -> Option<HandlerSpec> {
    let found: Vec<_> = ["http", "command", "handler"].into_iter().filter_map(|key| job.get(key)).collect();
    match found.as_slice() {
        [] if ["http", "command", "handler"].into_iter().any(|key| job.is_meant(key)) => {}
        [] => {
            let help = "add `http: {url: …}`, `command: {argv: […]}` or `handler: NAME`".to_owned();
            report.error(&job.anchor(), "a job needs one of `http`, `command` and `handler`", Some(help));
        }
        [_] => {}
        [first, others @ ..] => {
            for other in others {
                let message = format!("a job does one thing: `{}` stands beside `{}`", other.key, first.key);
                report.error(&other.key_span, message, Some("remove one, or make two jobs of it".to_owned()));
            }
        }
    }
    let specs: Vec<_> = found.iter().map(|entry| one(report, entry, used)).collect();
    match specs.len() {
        1 => specs.into_iter().next().flatten(),
        _ => None,
    }
}

fn one<'n, 't>(report: &mut Report<'_>, entry: &'n Entry<'t>, used: &mut Vec<Used<'n, 't>>) -> Option<HandlerSpec> {
    match entry.key.as_ref() {
        "http" => http(report, &entry.value, used),
        "command" => command(report, &entry.value, used),
        _ => {
            let name = fields::name(report, &entry.value, "handler", handler_name)?;
            Some(HandlerSpec::Named { name })
        }
    }
}

fn handler_name(text: &str) -> Result<String, NameError> {
    check_name("handler name", text).map(|()| text.to_owned())
}

fn http<'n, 't>(report: &mut Report<'_>, node: &'n Node<'t>, used: &mut Vec<Used<'n, 't>>) -> Option<HandlerSpec> {
    let fields = Fields::read(report, node, "http", &["method", "url", "headers"])?;
    let method = match fields.get("method") {
        Some(entry) => fields::word(report, entry, &METHODS),
        None => Some("POST"),
    };
    let url = fields.require(report, "url").and_then(|entry| target(report, entry, used));
    let headers = fields.get("headers").map_or(Some(BTreeMap::new()), |entry| headers(report, entry, used));
    Some(HandlerSpec::Http { method: method?.to_owned(), url: url?, headers: headers? })
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
fn header_name(report: &mut Report<'_>, header: &Entry<'_>, others: &BTreeMap<String, String>) -> Option<String> {
    let name = header.key.to_ascii_lowercase();
    let bad = |c: char| !c.is_ascii_alphanumeric() && !"!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || name.contains(bad) {
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
    let text = fields::text(report, &header.value, &format!("the value of the header `{}`", header.key))?;
    if let Some((at, found)) = text.text.char_indices().find(|(_, c)| c.is_control() && *c != '\t') {
        let span = text.part(report, &(at..at + found.len_utf8()));
        let help = "write it on one line; in a block `|`, use `>-` or quotes instead".to_owned();
        report.error(&span, "the value of a header must not contain line breaks or control characters", Some(help));
        return None;
    }
    with_template(report, text, used)
}

fn command<'n, 't>(report: &mut Report<'_>, node: &'n Node<'t>, used: &mut Vec<Used<'n, 't>>) -> Option<HandlerSpec> {
    let fields = Fields::read(report, node, "command", &["argv"])?;
    let entry = fields.require(report, "argv")?;
    let argv: Vec<_> = argv(report, entry)?.into_iter().map(|text| with_template(report, text, used)).collect();
    Some(HandlerSpec::Command { argv: argv.into_iter().collect::<Option<_>>()? })
}

/// The elements of an `argv`: at least one, and what an operating system takes as arguments.
pub(super) fn argv<'n, 't>(report: &mut Report<'_>, entry: &'n Entry<'t>) -> Option<Vec<Text<'n, 't>>> {
    let items = fields::list(report, &entry.value, "argv")?;
    if items.is_empty() {
        let help = "write the program and its arguments, as in `argv: [\"./report.sh\", \"--all\"]`".to_owned();
        report.error(&entry.value.span, "`argv` must not be empty", Some(help));
        return None;
    }
    let texts: Vec<_> = items.iter().map(|item| argument(report, item)).collect();
    let texts = texts.into_iter().collect::<Option<Vec<_>>>()?;
    if let Some(program) = texts.first().filter(|program| program.text.trim().is_empty()) {
        report.error(&program.span(), "the first entry of `argv` names the program and must not be empty", None);
        return None;
    }
    Some(texts)
}

fn argument<'n, 't>(report: &mut Report<'_>, item: &'n Node<'t>) -> Option<Text<'n, 't>> {
    let text = fields::text(report, item, "an entry of `argv`")?;
    if text.text.contains('\0') {
        report.error(&text.span(), "an entry of `argv` must not contain a NUL character", None);
        return None;
    }
    Some(text)
}

/// Keeps the template of a text; gives the text.
fn with_template<'n, 't>(report: &mut Report<'_>, text: Text<'n, 't>, used: &mut Vec<Used<'n, 't>>) -> Option<String> {
    let template: Template = templates::parse(report, &text)?;
    let value = text.text.to_owned();
    used.push(Used { template, text, escape: Escape::None });
    Some(value)
}
