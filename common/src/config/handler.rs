//! What a job does: `http`, `command`, `sql` or `handler`.

use super::command;
use super::fields::{self, Fields, Text};
use super::http;
use super::node::Entry;
use super::report::Report;
use super::statements;
use super::templates::{self, Used};
use crate::definition::HandlerSpec;
use crate::id::{NameError, check_name};
use crate::template::{Escape, Template};

/// The keys of which a job has one.
const KINDS: [&str; 4] = ["http", "command", "sql", "handler"];

/// Reads the one handler of a job; its templates are added to `used`.
pub(super) fn read<'n, 't>(
    report: &mut Report<'_>,
    job: &Fields<'n, 't>,
    used: &mut Vec<Used<'n, 't>>,
) -> Option<HandlerSpec> {
    let found: Vec<_> = KINDS.into_iter().filter_map(|key| job.get(key)).collect();
    match found.as_slice() {
        [] if KINDS.into_iter().any(|key| job.is_meant(key)) => {}
        [] => {
            let help =
                "add `http: {url: …}`, `command: {argv: […]}`, `sql: {statement: …}` or `handler: NAME`".to_owned();
            report.error(&job.anchor(), "a job needs one of `http`, `command`, `sql` and `handler`", Some(help));
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
        "http" => http::read(report, &entry.value, used).map(HandlerSpec::Http),
        "command" => command::read(report, &entry.value, used).map(HandlerSpec::Command),
        "sql" => statements::read(report, &entry.value, used).map(|statements| HandlerSpec::Sql { statements }),
        _ => {
            let name = fields::name(report, &entry.value, "handler", handler_name)?;
            Some(HandlerSpec::Named { name })
        }
    }
}

fn handler_name(text: &str) -> Result<String, NameError> {
    check_name("handler name", text).map(|()| text.to_owned())
}

/// Keeps the template of a text; gives the text.
pub(super) fn with_template<'n, 't>(
    report: &mut Report<'_>,
    text: Text<'n, 't>,
    used: &mut Vec<Used<'n, 't>>,
) -> Option<String> {
    let template: Template = templates::parse(report, &text)?;
    let value = text.text.to_owned();
    used.push(Used { template, text, escape: Escape::None });
    Some(value)
}
