//! The body of a request as a template.
//!
//! Knows the variables of every template, and the payload: `{{ payload }}` is all of it, `{{ payload.limit }}` and
//! `{{ payload.regions.0 }}` are values in it.
//!
//! Invariant: no value changes the structure of a body whose content type is known. In JSON a value between quotes is
//! escaped, and one outside of quotes is written as JSON, so that what is rendered is always JSON; values in forms are
//! percent-encoded, those in XML and HTML are escaped.

use std::borrow::Cow;
use std::ops::Range;

use percent_encoding::utf8_percent_encode;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::{Part, RESERVED, RenderError, Scope, Template, TemplateError, VARIABLES, Variable, variable};

/// The variables that only a body has. `NAME` stands for a key, or keys and positions with dots between them.
pub const PAYLOAD_VARIABLES: [&str; 2] = ["payload", "payload.NAME"];

/// How values are written into a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// As JSON.
    Json,
    /// Percent-encoded, as in a URL.
    Form,
    /// With `&`, `<`, `>` and quotes as entities.
    Xml,
    /// As they are.
    Plain,
}

impl Syntax {
    /// The syntax of a content type.
    #[must_use]
    pub fn of(content_type: &str) -> Self {
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/json" | "text/json" => Self::Json,
            "application/x-www-form-urlencoded" => Self::Form,
            "application/xml" | "text/xml" | "text/html" => Self::Xml,
            other if other.ends_with("+json") => Self::Json,
            other if other.ends_with("+xml") => Self::Xml,
            _ => Self::Plain,
        }
    }
}

/// A parsed body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    template: Template,
    syntax: Syntax,
}

/// Why a text is no body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// It is no template.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// It is not JSON, whatever the values are.
    #[error("the body is not JSON: {0}")]
    Json(String),
}

impl Body {
    /// Parses a text of this content type.
    ///
    /// # Errors
    /// [`BodyError`], if the text is no template, or is to be JSON and never could be.
    pub fn parse(text: &str, content_type: &str) -> Result<Self, BodyError> {
        let body = Self { template: Template::parse_with(text, with_payload)?, syntax: Syntax::of(content_type) };
        if body.syntax == Syntax::Json {
            body.check_json()?;
        }
        Ok(body)
    }

    /// The template, to ask for its variables.
    #[must_use]
    pub fn template(&self) -> &Template {
        &self.template
    }

    /// The names of the values that the payload must have, and where they are asked for.
    pub fn asked(&self) -> impl Iterator<Item = (&str, Range<usize>)> {
        self.template.spans().filter_map(|(variable, span)| match variable {
            Variable::Payload(name) if !name.is_empty() => Some((name.as_str(), span)),
            _ => None,
        })
    }

    /// The value of a payload that a name means: keys of maps and positions in lists, with dots between them.
    #[must_use]
    pub fn find<'p>(payload: Option<&'p Value>, name: &str) -> Option<&'p Value> {
        name.split('.').try_fold(payload?, |value, part| match value {
            Value::Object(map) => map.get(part),
            Value::Array(items) => items.get(part.parse::<usize>().ok()?),
            _ => None,
        })
    }

    /// Writes the text with all values in place.
    ///
    /// # Errors
    /// [`RenderError`]: the tenant or the payload lacks a value, or there is no run to take one from.
    pub fn render(&self, scope: &Scope<'_>, payload: Option<&Value>) -> Result<String, RenderError> {
        let mut out = String::with_capacity(self.template.text.len() + 64);
        let mut quotes = Quotes::default();
        for part in &self.template.parts {
            match part {
                Part::Literal(text) => {
                    quotes.follow(text);
                    out.push_str(text);
                }
                Part::Variable(variable, _) => {
                    let value = value(variable, scope, payload)?;
                    self.syntax.write(&value, quotes.open, &mut out);
                }
            }
        }
        Ok(out)
    }

    /// With a letter for each value between quotes, and `null` for each of the others.
    fn check_json(&self) -> Result<(), BodyError> {
        let mut text = String::new();
        let mut quotes = Quotes::default();
        for part in &self.template.parts {
            match part {
                Part::Literal(literal) => {
                    quotes.follow(literal);
                    text.push_str(literal);
                }
                Part::Variable(..) => text.push_str(if quotes.open { "x" } else { "null" }),
            }
        }
        serde_json::from_str::<IgnoredAny>(&text).map(drop).map_err(|error| {
            let message = error.to_string();
            // The place is one in another text.
            BodyError::Json(message.split(" at line ").next().unwrap_or_default().to_owned())
        })
    }
}

impl Syntax {
    fn write(self, value: &Value, in_quotes: bool, out: &mut String) {
        match self {
            Self::Json if in_quotes => {
                let quoted = Value::String(plain(value).into_owned()).to_string();
                out.push_str(&quoted[1..quoted.len() - 1]);
            }
            Self::Json => out.push_str(&value.to_string()),
            Self::Form => out.extend(utf8_percent_encode(&plain(value), RESERVED)),
            Self::Xml => plain(value).chars().for_each(|c| write_xml(c, out)),
            Self::Plain => out.push_str(&plain(value)),
        }
    }
}

fn write_xml(c: char, out: &mut String) {
    match c {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '"' => out.push_str("&quot;"),
        '\'' => out.push_str("&#39;"),
        other => out.push(other),
    }
}

/// A value as text: nothing for null, and JSON for what is no single value.
fn plain(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Null => Cow::Borrowed(""),
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_string()),
    }
}

/// Whether a place in a JSON text is between quotes.
#[derive(Default)]
struct Quotes {
    open: bool,
    escaped: bool,
}

impl Quotes {
    fn follow(&mut self, text: &str) {
        for byte in text.bytes() {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.open => self.escaped = true,
                b'"' => self.open = !self.open,
                _ => {}
            }
        }
    }
}

fn value<'v>(
    variable: &Variable,
    scope: &Scope<'_>,
    payload: Option<&'v Value>,
) -> Result<Cow<'v, Value>, RenderError> {
    match variable {
        Variable::Payload(name) if name.is_empty() => Ok(Cow::Borrowed(payload.unwrap_or(&Value::Null))),
        Variable::Payload(name) => Body::find(payload, name)
            .map(Cow::Borrowed)
            .ok_or_else(|| RenderError::NoPayload { name: name.clone(), job: scope.job.clone() }),
        Variable::RunAttempt if scope.run.is_some() => Ok(Cow::Owned(scope.run.map(|run| run.attempt).into())),
        other => {
            let without_run = |variable: &Variable| Err(RenderError::NoRun { variable: variable.clone() });
            other.value(scope, without_run).map(|text| Cow::Owned(Value::String(text)))
        }
    }
}

/// Reads a variable, also one of the payload.
fn with_payload(text: &str, inner: Range<usize>) -> Result<Variable, TemplateError> {
    let name = text[inner.clone()].trim();
    if name == "payload" {
        return Ok(Variable::Payload(String::new()));
    }
    if let Some(path) = name.strip_prefix("payload.")
        && path.split('.').all(|part| !part.is_empty() && !part.contains(char::is_whitespace))
    {
        return Ok(Variable::Payload(path.to_owned()));
    }
    variable(text, inner)
}

/// What can stand between the braces of a body.
pub(crate) fn variables() -> String {
    let all: Vec<_> = VARIABLES.into_iter().chain(PAYLOAD_VARIABLES).collect();
    all.join(", ")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::definition::Tenant;
    use crate::id::{JobName, TenantId};
    use crate::template::RunScope;
    use serde_json::json;

    const JSON: &str = "application/json";

    fn tenant() -> Tenant {
        let labels = [("note".to_owned(), "a \"b\"\\\n<c> & 'd'=e".to_owned())].into();
        Tenant { labels, ..Tenant::new(TenantId::new("acme").unwrap()) }
    }

    fn render(text: &str, content_type: &str, payload: Option<&Value>) -> Result<String, RenderError> {
        let run = RunScope {
            correlation_id: "019aa3e1-c07b-8000-8bd5-c3a6a4f5a1b2".parse().unwrap(),
            attempt: 2,
            scheduled_for: "2026-11-21T02:00:00Z".parse().unwrap(),
        };
        let (tenant, job) = (tenant(), JobName::new("sync").unwrap());
        let scope = Scope { tenant: &tenant, job: &job, run: Some(run) };
        Body::parse(text, content_type).unwrap().render(&scope, payload)
    }

    #[test]
    fn values_outside_of_quotes_are_json_and_those_inside_are_text() {
        let payload = json!({ "limit": 3, "name": "x", "regions": ["eu", "us"], "deep": { "a": [null, true] } });
        for (text, out) in [
            ("{{ payload }}", payload.to_string()),
            (r#"{"n": {{ payload.limit }}, "t": "{{ payload.limit }}"}"#, r#"{"n": 3, "t": "3"}"#.to_owned()),
            (r#"[{{ payload.name }}, "{{payload.name}}y"]"#, r#"["x", "xy"]"#.to_owned()),
            (r#"{"{{ tenant.id }}": {{ tenant.id }}}"#, r#"{"acme": "acme"}"#.to_owned()),
            (r#"[{{ run.attempt }}, "{{ run.attempt }}"]"#, r#"[2, "2"]"#.to_owned()),
            (r#"[{{ payload.regions.1 }}, {{ payload.deep }}]"#, r#"["us", {"a":[null,true]}]"#.to_owned()),
            (r#""\\{{ payload.name }}\"{{ payload.regions }}""#, r#""\\x\"[\"eu\",\"us\"]""#.to_owned()),
            (r#"{"braces": "{{{{ }}"}"#, r#"{"braces": "{{ }}"}"#.to_owned()),
        ] {
            assert_eq!(render(text, JSON, Some(&payload)).as_deref(), Ok(out.as_str()), "{text}");
        }
        assert_eq!(render("{{ payload }}", JSON, None).as_deref(), Ok("null"));
    }

    #[test]
    fn no_value_breaks_out_of_its_place() {
        let note = "{{ tenant.labels.note }}";
        let json =
            render(&format!("{{\"a\": \"{note}\", \"b\": {note}}}"), "application/vnd.x+json; charset=utf-8", None);
        let json: Value = serde_json::from_str(&json.unwrap()).unwrap();
        assert_eq!((&json["a"], &json["b"]), (&json!("a \"b\"\\\n<c> & 'd'=e"), &json!("a \"b\"\\\n<c> & 'd'=e")));
        for (content_type, out) in [
            ("application/x-www-form-urlencoded", "note=a%20%22b%22%5C%0A%3Cc%3E%20%26%20%27d%27%3De"),
            ("text/XML; charset=utf-8", "note=a &quot;b&quot;\\\n&lt;c&gt; &amp; &#39;d&#39;=e"),
            ("application/soap+xml", "note=a &quot;b&quot;\\\n&lt;c&gt; &amp; &#39;d&#39;=e"),
            ("text/plain", "note=a \"b\"\\\n<c> & 'd'=e"),
        ] {
            assert_eq!(render(&format!("note={note}"), content_type, None).as_deref(), Ok(out), "{content_type}");
        }
    }

    #[test]
    fn what_never_could_be_json_is_refused() {
        for text in [
            "",
            "{{ tenant.id }} {{ tenant.id }}",
            "{\"a\": {{ payload.a }}",
            "{ {{ tenant.id }}: 1}",
            "-{{ payload.a }}",
            "\"\\{{ tenant.id }}\"",
            "\"\\u00{{ tenant.id }}\"",
            "{\"a\": x}",
        ] {
            assert!(matches!(Body::parse(text, JSON), Err(BodyError::Json(_))), "{text}");
            assert!(Body::parse(text, "text/plain").is_ok(), "{text}");
        }
        let Err(BodyError::Json(message)) = Body::parse("{\"a\": x}", JSON) else { panic!("it is JSON") };
        assert_eq!(message, "expected value");
    }

    #[test]
    fn what_the_payload_lacks_is_said() {
        let payload = json!({ "a": { "b": 1 }, "list": [1] });
        for name in ["c", "a.c", "a.b.c", "list.1", "list.x", "list.-1"] {
            let error = render(&format!("{{{{ payload.{name} }}}}"), JSON, Some(&payload)).unwrap_err();
            assert_eq!(error.to_string(), format!("the payload of job sync has no `{name}`"));
        }
        let asked = Body::parse("[{{ payload }}, {{ payload.a.b }}, {{ tenant.id }}]", JSON).unwrap();
        assert_eq!(asked.asked().collect::<Vec<_>>(), [("a.b", 16..33)]);
    }

    #[test]
    fn the_payload_is_in_bodies_only() {
        for name in PAYLOAD_VARIABLES {
            let text = format!("{{{{ {name} }}}}");
            assert!(Body::parse(&text, JSON).is_ok());
            assert!(matches!(Template::parse(&text), Err(TemplateError::Unknown { .. })));
        }
        for text in ["{{ payload. }}", "{{ payload..a }}", "{{ payload.a b }}", "{{ payloads }}"] {
            assert!(matches!(Body::parse(text, JSON), Err(BodyError::Template(_))), "{text}");
        }
    }
}
