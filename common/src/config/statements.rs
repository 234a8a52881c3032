//! The `sql` of a job: statements that run in the tenant's own database.
//!
//! Invariant: a value is bound, and never becomes part of the text of a statement.

use super::fields::{self, Fields, Text};
use super::node::{Entry, Node, Plain, Value};
use super::report::Report;
use super::templates::{self, Named, Used};
use crate::definition::{HandlerSpec, Tenant};
use crate::statement::{SqlParam, SqlStatement};
use crate::template::{Escape, Template, TemplateError};

/// What begins, ends or leaves the transaction that the statements of a job are.
const TRANSACTION: [&str; 9] =
    ["begin", "start", "commit", "end", "rollback", "abort", "savepoint", "release", "prepare"];

/// Reads the statements; the templates of their parameters are added to `used`.
pub(super) fn read<'n, 't>(
    report: &mut Report<'_>,
    node: &'n Node<'t>,
    used: &mut Vec<Used<'n, 't>>,
) -> Option<Vec<SqlStatement>> {
    const WHAT: &str = "`sql` of a job";
    let fields = Fields::read(report, node, WHAT, &["statement", "statements", "params"])?;
    let Some(list) = fields.get("statements") else {
        return Some(vec![one(report, &fields, used)?]);
    };
    if let Some(other) = fields.get("statement").or_else(|| fields.get("params")) {
        let message = format!("`{}` stands beside `statements`", other.key);
        let help = "put it into the list, as in `statements: [{statement: \"DELETE FROM cart WHERE …\", params: […]}]`";
        report.error(&other.key_span, message, Some(help.to_owned()));
        return None;
    }
    let items = fields::list(report, &list.value, "statements")?;
    if items.is_empty() {
        report.error(&list.value.span, "`statements` must not be empty", fields::example("statements"));
        return None;
    }
    let read: Vec<_> = items.iter().map(|item| entry_of_list(report, item, used)).collect();
    read.into_iter().collect()
}

fn entry_of_list<'n, 't>(
    report: &mut Report<'_>,
    node: &'n Node<'t>,
    used: &mut Vec<Used<'n, 't>>,
) -> Option<SqlStatement> {
    if let Value::Map(_) = &node.value {
        let fields = Fields::read(report, node, "a statement", &["statement", "params"])?;
        return one(report, &fields, used);
    }
    let text = fields::text(report, node, "an entry of `statements`")?;
    Some(SqlStatement { statement: sql(report, &text)?, params: Vec::new() })
}

fn one<'n, 't>(report: &mut Report<'_>, fields: &Fields<'n, 't>, used: &mut Vec<Used<'n, 't>>) -> Option<SqlStatement> {
    let statement = fields
        .require(report, "statement")
        .and_then(|entry| fields::text(report, &entry.value, "statement"))
        .and_then(|text| sql(report, &text).map(|sql| (sql, text)));
    let params = match fields.get("params") {
        Some(entry) => params(report, entry, used),
        None => Some(Vec::new()),
    };
    let ((statement, text), params) = (statement?, params?);
    let most = highest(&statement);
    if params.len() > most {
        let message = format!("there are {} `params`, and the statement uses {most}", params.len());
        report.error(&text.span(), message, Some("`$1` in the statement is the first of them".to_owned()));
        return None;
    }
    Some(SqlStatement { statement, params })
}

/// The text of a statement.
fn sql(report: &mut Report<'_>, text: &Text<'_, '_>) -> Option<String> {
    if text.text.trim().is_empty() || text.text.contains('\0') {
        report.error(
            &text.span(),
            "a statement must not be empty or have NUL characters",
            fields::example("statement"),
        );
        return None;
    }
    let pasted = match Template::parse(text.text) {
        Ok(template) => template.spans().next().map(|(_, span)| span),
        // Arrays of arrays have such braces too.
        Err(TemplateError::Unknown { name, span, .. }) => {
            let is_path = name.starts_with(|c: char| c.is_ascii_alphabetic())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
            is_path.then_some(span)
        }
        Err(_) => None,
    };
    if let Some(span) = pasted {
        let span = text.part(report, &span);
        let help = "write `$1` here and the template into `params`, as in `params: [\"{{ tenant.id }}\"]`".to_owned();
        report.error(&span, "values are bound and never become part of the text of a statement", Some(help));
        return None;
    }
    let first = first_word(text.text);
    if TRANSACTION.contains(&first.as_str()) {
        let help = "the statements of a job are one transaction, which is committed after the last of them".to_owned();
        report.error(&text.span(), format!("a job cannot say {} itself", first.to_uppercase()), Some(help));
        return None;
    }
    Some(text.text.to_owned())
}

/// The first word in lower case, after comments.
fn first_word(mut sql: &str) -> String {
    loop {
        sql = sql.trim_start_matches(|c: char| c.is_whitespace() || c == ';');
        sql = if let Some(comment) = sql.strip_prefix("--") {
            comment.split_once('\n').map_or("", |(_, rest)| rest)
        } else if let Some(comment) = sql.strip_prefix("/*") {
            comment.split_once("*/").map_or("", |(_, rest)| rest)
        } else {
            return sql.chars().take_while(char::is_ascii_alphabetic).collect::<String>().to_ascii_lowercase();
        };
    }
}

/// The highest `$N` that a text may use: one in quotes or in a comment counts too.
fn highest(sql: &str) -> usize {
    let number = |rest: &str| rest.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok());
    sql.split('$').skip(1).filter_map(number).max().unwrap_or(0)
}

fn params<'n, 't>(
    report: &mut Report<'_>,
    entry: &'n Entry<'t>,
    used: &mut Vec<Used<'n, 't>>,
) -> Option<Vec<SqlParam>> {
    let items = fields::list(report, &entry.value, "params")?;
    let read: Vec<_> = items.iter().map(|item| param(report, item, used)).collect();
    read.into_iter().collect()
}

fn param<'n, 't>(report: &mut Report<'_>, node: &'n Node<'t>, used: &mut Vec<Used<'n, 't>>) -> Option<SqlParam> {
    const WHAT: &str = "an entry of `params`";
    match &node.value {
        Value::Map(_) => {
            let fields = Fields::read(report, node, WHAT, &["payload"])?;
            let entry = fields.require(report, "payload")?;
            let text = fields::text(report, &entry.value, "the name of a value of the payload")?;
            Some(SqlParam::Payload(text.text.to_owned()))
        }
        Value::List(_) => {
            fields::wrong_type(report, node, WHAT, "text, a number, true, false, null or {payload: NAME}");
            None
        }
        Value::Scalar(scalar) if !scalar.substituted && scalar.resolve() != Plain::Text => {
            fields::json(report, node).map(SqlParam::Value)
        }
        Value::Null => Some(SqlParam::Value(serde_json::Value::Null)),
        _ => {
            let text = fields::text(report, node, WHAT)?;
            let template = templates::parse(report, &text)?;
            let value = text.text.to_owned();
            used.push(Used { template, text, escape: Escape::None });
            Some(SqlParam::Text(value))
        }
    }
}

/// Reports values of the payload that it does not have.
pub(super) fn check_payload(
    report: &mut Report<'_>,
    entry: Option<&Entry<'_>>,
    handler: &HandlerSpec,
    payload: Option<&serde_json::Value>,
) {
    let (Some(entry), HandlerSpec::Sql { statements }) = (entry, handler) else { return };
    for param in statements.iter().flat_map(|statement| &statement.params) {
        if let SqlParam::Payload(name) = param
            && SqlParam::find(payload, name).is_none()
        {
            let help = "name a key of `payload`, or a place in it as in `/limits/0`".to_owned();
            report.error(&entry.key_span, format!("the payload has no `{name}`"), Some(help));
        }
    }
}

/// Reports the tenants that have no database to run statements in.
pub(super) fn check_databases(
    report: &mut Report<'_>,
    entry: Option<&Entry<'_>>,
    handler: &HandlerSpec,
    tenants: &[&Tenant],
) {
    let (Some(entry), HandlerSpec::Sql { .. }) = (entry, handler) else { return };
    let mut without = Named::default();
    tenants.iter().filter(|tenant| tenant.database.is_none()).for_each(|tenant| without.add(&tenant.id));
    let Some(names) = without.list() else { return };
    let has_no = if without.count() == 1 { "has no" } else { "have no" };
    let help = "give the tenants or their plan one, as in `database: {url: \"postgres://app@db.internal/app\", schema: \
                \"{{ tenant.id }}\"}`, or narrow the job's `tenants`";
    report.error(&entry.key_span, format!("{names} {has_no} `database` to run statements in"), Some(help.to_owned()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_stands_behind_comments() {
        for (sql, word) in [
            ("COMMIT", "commit"),
            (" -- no\n/* nor */ ; Begin;", "begin"),
            ("commit_log()", "commit"),
            ("SELECT 1", "select"),
            ("-- all", ""),
            ("/* open", ""),
        ] {
            assert_eq!(first_word(sql), word, "{sql}");
        }
    }

    #[test]
    fn parameters_are_counted_by_the_highest() {
        for (sql, most) in
            [("SELECT 1", 0), ("$2 $1", 2), ("$10::int", 10), ("'$5'", 5), ("$tag$ x $tag$", 0), ("$", 0)]
        {
            assert_eq!(highest(sql), most, "{sql}");
        }
    }
}
