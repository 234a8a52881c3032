//! `${NAME}` and `${NAME:-default}` in values.
//!
//! Substitution happens in scalars after the YAML is parsed, so no value adds a key, an entry or a line; it never
//! happens in keys or comments, nor twice. `$${` is a literal `${`; a `$` without a brace is literal.

use std::borrow::Cow;
use std::ops::Range;

/// Why a text could not be completed: where, what, and what would be right.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EnvError {
    pub(super) span: Range<usize>,
    pub(super) message: String,
    pub(super) help: String,
}

/// Puts the values of the environment in place. Borrowed if there was nothing to do.
pub(super) fn substitute<'t>(
    text: Cow<'t, str>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Cow<'t, str>, EnvError> {
    if !text.contains("${") {
        return Ok(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(found) = text[at..].find("${") {
        let open = at + found;
        if text[at..open].ends_with('$') {
            out.push_str(&text[at..open]);
            out.push('{');
            at = open + 2;
            continue;
        }
        out.push_str(&text[at..open]);
        let inner = open + 2;
        let Some(length) = text[inner..].find('}') else {
            return Err(EnvError {
                span: open..inner,
                message: "the `${` has no `}` after it".to_owned(),
                help: "close it, as in `${NAME}`; a literal `${` is written `$${`".to_owned(),
            });
        };
        at = inner + length + 1;
        out.push_str(&value(&text[inner..inner + length], open..at, env)?);
    }
    out.push_str(&text[at..]);
    Ok(Cow::Owned(out))
}

/// The value of what stands between the braces.
fn value(inner: &str, span: Range<usize>, env: &dyn Fn(&str) -> Option<String>) -> Result<String, EnvError> {
    let (name, default) = inner.split_once(":-").map_or((inner, None), |(name, default)| (name, Some(default)));
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts_well || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(EnvError {
            span,
            message: format!("`${{{inner}}}` does not name an environment variable"),
            help: "write `${NAME}` or `${NAME:-default}`; a literal `${` is written `$${`".to_owned(),
        });
    }
    match (env(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(EnvError {
            span,
            message: format!("the environment variable `{name}` is not set"),
            help: format!("set it, or write a default: `${{{name}:-…}}`; a literal `${{` is written `$${{`"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str) -> Result<String, EnvError> {
        let env = |name: &str| match name {
            "HOST" => Some("db.internal".to_owned()),
            "EMPTY" => Some(String::new()),
            "TRICK" => Some("${HOST}\nkey: value # {{ tenant.id }}".to_owned()),
            _ => None,
        };
        substitute(Cow::Borrowed(text), &env).map(Cow::into_owned)
    }

    #[test]
    fn values_defaults_and_literals() {
        for (text, out) in [
            ("http://${HOST}/x", "http://db.internal/x"),
            ("${HOST}${HOST}", "db.internaldb.internal"),
            ("${NONE:-here}", "here"),
            ("${NONE:-}", ""),
            ("${EMPTY:-here}", "here"),
            ("${EMPTY}", ""),
            ("${HOST:-other}", "db.internal"),
            ("$${HOST}", "${HOST}"),
            ("$HOST $ $$ }", "$HOST $ $$ }"),
            ("${TRICK}", "${HOST}\nkey: value # {{ tenant.id }}"),
            ("é${NONE:-ü}é", "éüé"),
        ] {
            assert_eq!(with(text).as_deref(), Ok(out), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_completed_is_refused_with_its_place() {
        for (text, span) in [("a${NONE}b", 1..8), ("é${", 2..4), ("${}", 0..3), ("${1X}", 0..5), ("${HOST?no}", 0..10)]
        {
            assert_eq!(with(text).map_err(|error| error.span), Err(span), "{text}");
        }
    }
}
