//! The `roster` of a config: live sources of tenants, and how they are used.

use std::time::Duration;

use super::database;
use super::fields::{self, Fields, Text};
use super::node::{Entry, Node, Plain, Value};
use super::report::Report;
use crate::id::{NameError, check_name};
use crate::roster::{OnLeave, RosterSpec, Secret, SourceKind, SourceSpec};

/// Sources are not asked more often.
const LEAST_REFRESH: Duration = Duration::from_secs(1);
/// The most sources.
const MOST: usize = 32;

/// `None` if it is wrong.
pub(super) fn read(report: &mut Report<'_>, entry: Option<&Entry<'_>>) -> Option<RosterSpec> {
    let default = RosterSpec::default();
    let Some(entry) = entry else { return Some(default) };
    let fields = Fields::read(report, &entry.value, "roster", &["refresh", "max_drop", "on_leave", "sources"])?;
    let refresh = fields.get("refresh").map_or(Some(default.refresh), |e| fields::duration(report, e, LEAST_REFRESH));
    let max_drop = fields.get("max_drop").map_or(Some(default.max_drop), |entry| share(report, entry));
    let words = [("finish", OnLeave::Finish), ("cancel", OnLeave::Cancel)];
    let on_leave = fields.get("on_leave").map_or(Some(OnLeave::default()), |e| fields::word(report, e, &words));
    let sources = fields.require(report, "sources").and_then(|entry| sources(report, entry));
    Some(RosterSpec { sources: sources?, refresh: refresh?, max_drop: max_drop?, on_leave: on_leave? })
}

/// `0.3` or `30%`.
fn share(report: &mut Report<'_>, entry: &Entry<'_>) -> Option<f64> {
    let number = match &entry.value.value {
        Value::Scalar(scalar) => match scalar.resolve_number() {
            Plain::Int(number) => Some(number as f64),
            Plain::Float(number) => Some(number),
            _ => scalar.text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok()).map(|n| n / 100.0),
        },
        _ => {
            fields::wrong_type(report, &entry.value, &entry.key, "a number");
            return None;
        }
    };
    match number {
        Some(number) if (0.0..=1.0).contains(&number) => Some(number),
        _ => {
            let help = "write `max_drop: 0.3` or `max_drop: 30%`".to_owned();
            report.error(&entry.value.span, "`max_drop` must be a share from 0 to 1", Some(help));
            None
        }
    }
}

fn sources(report: &mut Report<'_>, entry: &Entry<'_>) -> Option<Vec<SourceSpec>> {
    let nodes = fields::list(report, &entry.value, "sources")?;
    if nodes.is_empty() || nodes.len() > MOST {
        let (message, help) = match nodes.len() {
            0 => ("`sources` must not be empty".to_owned(), fields::example("sources")),
            _ => (format!("`sources` has more than {MOST} entries"), Some("one query may ask for many".to_owned())),
        };
        report.error(&entry.value.span, message, help);
        return None;
    }
    let mut sources: Vec<SourceSpec> = Vec::new();
    let mut complete = true;
    for node in nodes {
        match source(report, node, &sources) {
            Some(source) => sources.push(source),
            None => complete = false,
        }
    }
    complete.then_some(sources)
}

fn source(report: &mut Report<'_>, node: &Node<'_>, others: &[SourceSpec]) -> Option<SourceSpec> {
    let fields = Fields::read(report, node, "a source", &["name", "sql", "http"])?;
    let name = fields.require(report, "name").and_then(|entry| name(report, entry, others));
    let kind = match (fields.get("sql"), fields.get("http")) {
        (Some(sql), None) => self::sql(report, &sql.value),
        (None, Some(http)) => self::http(report, &http.value),
        (Some(_), Some(http)) => {
            let help = "make two sources of it".to_owned();
            report.error(&http.key_span, "a source is one thing: `http` stands beside `sql`", Some(help));
            None
        }
        (None, None) if fields.is_meant("sql") || fields.is_meant("http") => None,
        (None, None) => {
            let help = "add `sql: {url: …, query: …}` or `http: {url: …}`".to_owned();
            report.error(&fields.anchor(), "a source needs `sql` or `http`", Some(help));
            None
        }
    };
    Some(SourceSpec { name: name?, kind: kind? })
}

fn name(report: &mut Report<'_>, entry: &Entry<'_>, others: &[SourceSpec]) -> Option<String> {
    let rule = |text: &str| -> Result<String, NameError> { check_name("source name", text).map(|()| text.to_owned()) };
    let name = fields::name(report, &entry.value, "name", rule)?;
    if others.iter().any(|other| other.name == name) {
        let help = "give each source a name of its own".to_owned();
        report.error(&entry.value.span, format!("the source `{name}` is there twice"), Some(help));
        return None;
    }
    Some(name)
}

fn sql(report: &mut Report<'_>, node: &Node<'_>) -> Option<SourceKind> {
    let fields = Fields::read(report, node, "`sql` of a source", &["url", "query"])?;
    let url = fields.require(report, "url").and_then(|entry| {
        let text = fields::text(report, &entry.value, "url")?;
        refuse_template(report, &text, "a source")?;
        if let Err((part, message, help)) = database::url(text.text) {
            let span = text.part(report, &part);
            // A source has one secret, so the URL as a whole is it.
            let help = if message.contains("password") { WHOLE_URL.to_owned() } else { help };
            report.error(&span, message, Some(help));
            return None;
        }
        Secret::parse(text.text).ok()
    });
    let query = fields.require(report, "query").and_then(|entry| {
        let text = fields::text(report, &entry.value, "query")?;
        if text.text.trim().is_empty() {
            report.error(&text.span(), "`query` must not be empty", fields::example("query"));
            return None;
        }
        refuse_template(report, &text, "a source")?;
        Some(text.text.to_owned())
    });
    Some(SourceKind::Sql { url: url?, query: query? })
}

const WHOLE_URL: &str = "put the URL into the environment or a file, and write `url: env:NAME` or `url: file:PATH`";

fn http(report: &mut Report<'_>, node: &Node<'_>) -> Option<SourceKind> {
    let fields = Fields::read(report, node, "`http` of a source", &["url", "bearer"])?;
    let url = fields.require(report, "url").and_then(|entry| {
        let text = fields::text(report, &entry.value, "url")?;
        plain_url(report, &text, "a source")
    });
    let bearer = match fields.get("bearer") {
        Some(entry) => bearer(report, entry).map(Some),
        None => Some(None),
    };
    Some(SourceKind::Http { url: url?, bearer: bearer? })
}

/// A URL that is the same for all; `what` it belongs to.
pub(super) fn plain_url(report: &mut Report<'_>, text: &Text<'_, '_>, what: &str) -> Option<String> {
    refuse_template(report, text, what)?;
    let template = super::templates::parse(report, text)?;
    if let Err((part, message, help)) = super::url::check(&template) {
        let span = text.part(report, &part);
        let help = match (message.contains("credentials"), help.contains("{{")) {
            (true, _) => "write `bearer: env:NAME`".to_owned(),
            (_, true) => "write it as in `https://crm.internal/tenants`".to_owned(),
            _ => help,
        };
        report.error(&span, message, Some(help));
        return None;
    }
    Some(text.text.to_owned())
}

/// Where the token for the `Authorization` header is.
pub(super) fn bearer(report: &mut Report<'_>, entry: &Entry<'_>) -> Option<Secret> {
    let text = fields::text(report, &entry.value, "bearer")?;
    let plain = "`bearer` says where the token is, not what it is: a config is stored and shown";
    reference(report, &text, plain, "write `bearer: env:NAME` or `bearer: file:PATH`, which the scheduler looks up")
}

/// A reference to a secret; `plain` is what is wrong with the secret itself, and `help` what would be right.
pub(super) fn reference(report: &mut Report<'_>, text: &Text<'_, '_>, plain: &str, help: &str) -> Option<Secret> {
    match Secret::parse(text.text) {
        Ok(Secret::Plain(_)) => {
            report.error(&text.span(), plain, Some(help.to_owned()));
            None
        }
        Ok(secret) => Some(secret),
        Err(error) => {
            report.error(&text.span(), "this is no reference to a secret", Some(error.to_string()));
            None
        }
    }
}

/// `what` is there once for all tenants.
pub(super) fn refuse_template(report: &mut Report<'_>, text: &Text<'_, '_>, what: &str) -> Option<()> {
    let Some(at) = text.text.find("{{") else { return Some(()) };
    let span = text.part(report, &(at..at + 2));
    let help = match what {
        "a source" => "a source is asked for all tenants at once: write the text out",
        _ => "a message is about many tenants at once: write the text out",
    };
    report.error(&span, format!("{what} has no templates"), Some(help.to_owned()));
    None
}
