//! The `database` of a tenant or plan: where the tenant's own data is.
//!
//! Invariants: no password stands in a config or in the store, only where to find one; what a template puts into a URL,
//! a reference or a schema is a name by the rule for names, so that no tenant's value leads to another database, file
//! or schema than the one that the template describes.

use std::ops::Range;

use super::fields::{self, Fields, Text};
use super::node::{Entry, Node};
use super::report::Report;
use super::templates;
use crate::definition::{Tenant, TenantDatabase};
use crate::id::{JobName, check_name};
use crate::roster::Secret;
use crate::template::{Escape, Scope, Template};

/// The longest name that PostgreSQL keeps apart from others, in bytes.
const LONGEST_SCHEMA: usize = 63;
/// Schemas that are not a tenant's.
const RESERVED: [&str; 2] = ["information_schema", "leasehold"];

/// A text that may have templates.
struct Pattern<'n, 't> {
    template: Template,
    text: Text<'n, 't>,
}

/// A `database` before it is known whose.
pub(super) struct Database<'n, 't> {
    url: Option<Pattern<'n, 't>>,
    password: Option<Pattern<'n, 't>>,
    schema: Option<Pattern<'n, 't>>,
    node: &'n Node<'t>,
}

/// Reads a `database`. `None` if it is wrong.
pub(super) fn read<'n, 't>(report: &mut Report<'_>, entry: &'n Entry<'t>) -> Option<Database<'n, 't>> {
    let errors = report.errors();
    let fields = Fields::read(report, &entry.value, "database", &["url", "password", "schema"])?;
    let mut pattern =
        |key, check: fn(&str) -> Result<(), Fault>| fields.get(key).and_then(|entry| pattern(report, entry, check));
    let (url, password) = (pattern("url", url), pattern("password", password));
    let schema = pattern("schema", schema);
    if let (Some(url), Some(schema)) = (&url, &schema)
        && url.text.text.starts_with("sqlite:")
    {
        let help = "remove it, or put the tenant into the path: `sqlite:data/{{ tenant.id }}.db`".to_owned();
        report.error(&schema.text.span(), "a SQLite database has no schemas", Some(help));
    }
    let database = Database { url, password, schema, node: &entry.value };
    (report.errors() == errors).then_some(database)
}

fn pattern<'n, 't>(
    report: &mut Report<'_>,
    entry: &'n Entry<'t>,
    check: fn(&str) -> Result<(), Fault>,
) -> Option<Pattern<'n, 't>> {
    let text = fields::text(report, &entry.value, &entry.key)?;
    let template = templates::parse(report, &text)?;
    for (variable, part) in template.spans() {
        if !variable.is_of_tenant() {
            let span = text.part(report, &part);
            let help = "a tenant has one database for all its jobs: use `tenant.id`, `tenant.plan` or a label";
            report.error(&span, format!("`{variable}` is not known here"), Some(help.to_owned()));
            return None;
        }
    }
    let literal = templates::without_variables(&template);
    if let Err((part, message, help)) = check(&literal) {
        // The place is exact as long as no variable changes lengths.
        let span = if literal == text.text { text.part(report, &part) } else { text.span() };
        report.error(&span, message, Some(help));
        return None;
    }
    Some(Pattern { template, text })
}

impl Database<'_, '_> {
    /// The database of a tenant. `None` if there is something wrong with its values, which is reported.
    pub(super) fn of(&self, report: &mut Report<'_>, tenant: &Tenant) -> Option<TenantDatabase> {
        let Some(url) = &self.url else {
            report.error(&self.node.span, "`database` needs `url`", fields::example("database"));
            return None;
        };
        let url = url.render(report, tenant, self::url);
        let mut optional = |pattern: &Option<Pattern<'_, '_>>, check| match pattern {
            Some(pattern) => pattern.render(report, tenant, check).map(Some),
            None => Some(None),
        };
        let (password, schema) = (optional(&self.password, password), optional(&self.schema, schema));
        Some(TenantDatabase { url: url?, password: password?, schema: schema? })
    }
}

impl Pattern<'_, '_> {
    fn render(&self, report: &mut Report<'_>, tenant: &Tenant, check: fn(&str) -> Result<(), Fault>) -> Option<String> {
        let span = self.text.span();
        for variable in self.template.variables() {
            let what = variable.as_attribute();
            let Some(value) = variable.of_tenant(tenant) else {
                let help = "give the tenant one, or a `database` of its own".to_owned();
                report.error(&span, format!("tenant {} has no {what}", tenant.id), Some(help));
                return None;
            };
            if let Err(error) = check_name("value in `database`", &value) {
                report.error(&span, format!("the {what} of tenant {}: {error}", tenant.id), None);
                return None;
            }
        }
        // No variable of a job is used.
        let job = JobName::new("none").ok()?;
        let rendered = self.template.render(&Scope { tenant, job: &job, run: None }, Escape::None).ok()?;
        if let Err((_, message, help)) = check(&rendered) {
            report.error(&span, format!("tenant {}: {message}", tenant.id), Some(help));
            return None;
        }
        Some(rendered)
    }
}

/// What is wrong: where in the text, what, and what would be right.
pub(super) type Fault = (Range<usize>, String, String);

fn fault(text: &str, message: impl Into<String>, help: impl Into<String>) -> Result<(), Fault> {
    Err((0..text.len(), message.into(), help.into()))
}

/// A reference, or the URL of a database without a password.
pub(super) fn url(text: &str) -> Result<(), Fault> {
    let rest = match Secret::parse(text) {
        Err(error) => return fault(text, "this is no reference to a secret", error.to_string()),
        Ok(Secret::Env(_) | Secret::File(_)) => return Ok(()),
        Ok(Secret::Plain(_)) => {
            text.split_once("://").filter(|(scheme, _)| matches!(*scheme, "postgres" | "postgresql"))
        }
    };
    if let Some(path) = text.strip_prefix("sqlite:") {
        if path.trim_start_matches('/').is_empty() || path.contains(char::is_control) {
            return fault(text, "the URL has no path", "write it as in `sqlite:data/acme.db`");
        }
        return Ok(());
    }
    let Some((scheme, rest)) = rest else {
        let help =
            "write `postgres://USER@HOST/DATABASE`, `sqlite:PATH`, or where to find one: `env:NAME`, `file:PATH`";
        return fault(text, "this is no URL of a database", help);
    };
    const ADVICE: &str = "put it into the environment or a file, and write `password: env:NAME` beside the URL, or the \
                          whole URL as `url: env:NAME`";
    let start = scheme.len() + 3;
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    if let Some((user, _)) = authority.rsplit_once('@').and_then(|(credentials, _)| credentials.split_once(':')) {
        let secret = start + user.len() + 1..start + authority.rfind('@').unwrap_or(authority.len());
        return Err((
            secret,
            "the URL holds a password, which would be stored and shown".to_owned(),
            ADVICE.to_owned(),
        ));
    }
    let parsed = match url::Url::parse(text) {
        Ok(parsed) => parsed,
        Err(error) => {
            return fault(text, format!("this is not a URL: {error}"), "write `postgres://USER@HOST/DATABASE`");
        }
    };
    if parsed.query_pairs().any(|(key, _)| key.eq_ignore_ascii_case("password") || key == "sslpassword") {
        return fault(text, "the URL holds a password, which would be stored and shown", ADVICE);
    }
    Ok(())
}

fn password(text: &str) -> Result<(), Fault> {
    match Secret::parse(text) {
        Ok(Secret::Plain(_)) => fault(
            text,
            "`password` says where the password is, not what it is: a config is stored and shown",
            "write `password: env:NAME` or `password: file:PATH`, which the executor looks up",
        ),
        Ok(_) => Ok(()),
        Err(error) => fault(text, "this is no reference to a secret", error.to_string()),
    }
}

fn schema(text: &str) -> Result<(), Fault> {
    let bad = |c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-' | '.');
    if text.is_empty() || text.starts_with(|c: char| !c.is_ascii_alphanumeric() && c != '_') || text.contains(bad) {
        let help = "a schema has ASCII letters, digits, `_`, `-` and `.`, the first a letter, a digit or `_`";
        return fault(text, "this is no name of a schema", help);
    }
    if text.len() > LONGEST_SCHEMA {
        let message = format!("the name of a schema has at most {LONGEST_SCHEMA} bytes, this one has {}", text.len());
        return fault(text, message, "PostgreSQL would cut it, and two tenants might get the same");
    }
    if text.to_ascii_lowercase().starts_with("pg_") || RESERVED.contains(&text.to_ascii_lowercase().as_str()) {
        return fault(text, format!("the schema `{text}` is no tenant's"), "name a schema of the tenant's own");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_without_secrets_pass() {
        for text in [
            "postgres://app@db.internal/app",
            "postgresql://db.internal:6432/app?sslmode=verify-full",
            "postgres:///app?host=/run/postgresql",
            "sqlite:data/acme.db",
            "env:DB_URL",
            "file:/run/secrets/db-url",
        ] {
            assert_eq!(url(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn urls_with_secrets_and_no_urls_are_refused() {
        for (text, message) in [
            ("postgres://app:pw@db/app", "holds a password"),
            ("postgres://app:p@w@db/app", "holds a password"),
            ("postgres://:pw@db/app", "holds a password"),
            ("postgres://db/app?password=pw", "holds a password"),
            ("postgres://db/app?PASSWORD=pw", "holds a password"),
            ("mysql://db/app", "no URL of a database"),
            ("db/app", "no URL of a database"),
            ("", "no URL of a database"),
            ("sqlite:", "no path"),
            ("sqlite://", "no path"),
            ("env:", "no reference"),
            ("postgres://db:port/app", "not a URL"),
        ] {
            let error = url(text).err().map(|(_, message, _)| message).unwrap_or_default();
            assert!(error.contains(message), "{text}: {error}");
        }
        assert_eq!(
            url("postgres://app:pw@db/app").err().map(|(span, ..)| span),
            Some(15..17),
            "the password is marked"
        );
    }

    #[test]
    fn schemas_are_names_and_none_of_the_system() {
        for good in ["acme", "t_acme", "_x", "42", "a.b-c", &"a".repeat(63)] {
            assert_eq!(schema(good), Ok(()), "{good}");
        }
        for bad in
            ["", "-a", "a b", "a\"b", "a;b", "Zürich", "pg_catalog", "PG_toast", "information_schema", "leasehold"]
        {
            assert!(schema(bad).is_err(), "{bad}");
        }
        assert!(schema(&"a".repeat(64)).is_err());
    }
}
