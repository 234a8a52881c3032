//! `{{ path }}` templates: text with values of the tenant, the job and the run.
//!
//! Owns the little language and its escaping; must not know what a text is used for. There is no logic and there are
//! no filters: a template is literal text and variables, and each variable is one of a fixed list.
//!
//! - `{{ tenant.id }}` is a variable; spaces inside the braces are free.
//! - `{{{{` is a literal `{{`. A `}}` outside a variable is literal as it stands.
//! - Rendering never parses a value again: a value that looks like a template stays text.
//! - With [`Escape::Url`] every byte of a value but ASCII letters, digits, `-`, `.`, `_`, `~` is percent-encoded, and
//!   a result with a `.` or `..` path segment is refused (URL parsers resolve those even when they are encoded), so a
//!   value never adds or removes a path segment and never reaches the query, the fragment or the host.
//!
//! On failure: a text that is no template is refused when the config is checked, with the place; a value that a
//! tenant does not have is a [`RenderError`] that names both.

mod body;

use std::fmt;
use std::ops::Range;

use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::definition::Tenant;
use crate::id::{CorrelationId, JobName, NameError, TenantId, check_name};
use crate::suggest;

pub(crate) use body::variables as body_variables;
pub use body::{Body, BodyError, PAYLOAD_VARIABLES, Syntax};

/// Everything but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The variables that exist, as a user writes them. `NAME` stands for the name of a label.
pub const VARIABLES: [&str; 8] = [
    "tenant.id",
    "tenant.plan",
    "tenant.timezone",
    "tenant.labels.NAME",
    "job.name",
    "run.correlation_id",
    "run.attempt",
    "run.scheduled_for",
];

const LABEL: &str = "tenant.labels.";

/// A parsed template. Displays as the text that it was parsed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Variable(Variable, Range<usize>),
}

/// A value that a template asks for. Displays as its path, `tenant.labels.region`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Variable {
    /// `tenant.id`
    TenantId,
    /// `tenant.plan`; a tenant may have none.
    TenantPlan,
    /// `tenant.timezone`; a tenant may have none.
    TenantTimezone,
    /// `tenant.labels.NAME`; a tenant may have no such label.
    TenantLabel(String),
    /// `job.name`
    JobName,
    /// `run.correlation_id`
    RunCorrelationId,
    /// `run.attempt`, from 1
    RunAttempt,
    /// `run.scheduled_for`, RFC 3339 in UTC
    RunScheduledFor,
    /// `payload`, or a value in it: `payload.limit`, `payload.regions.0`. In a [`Body`] only.
    Payload(String),
}

/// How values are written into the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// As they are: program arguments, header values.
    None,
    /// Percent-encoded: URLs.
    Url,
    /// As they are, and refused unless they are names by the rule for names: references, paths.
    Name,
}

/// Where the values come from.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// Whose job it is.
    pub tenant: &'a Tenant,
    /// The job.
    pub job: &'a JobName,
    /// The run; `None` while there is none, as when a config is checked.
    pub run: Option<RunScope>,
}

/// The values of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunScope {
    /// Its id.
    pub correlation_id: CorrelationId,
    /// The number of this attempt, from 1.
    pub attempt: u32,
    /// The nominal instant of the occurrence.
    pub scheduled_for: Timestamp,
}

/// Why a text is not a template. Spans are byte ranges of that text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// A `{{` without its `}}`.
    #[error("the `{{{{` has no `}}}}` after it")]
    Unclosed {
        /// The two braces.
        span: Range<usize>,
    },
    /// Nothing between the braces.
    #[error("there is no variable between the braces")]
    Empty {
        /// From brace to brace.
        span: Range<usize>,
    },
    /// Something between the braces that is no variable.
    #[error("there is no template variable `{name}`")]
    Unknown {
        /// What was written.
        name: String,
        /// Where.
        span: Range<usize>,
        /// The closest variable, if one is close.
        suggestion: Option<&'static str>,
    },
}

impl TemplateError {
    /// The bytes of the text that are wrong, to draw a caret under.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        match self {
            Self::Unclosed { span } | Self::Empty { span } | Self::Unknown { span, .. } => span.clone(),
        }
    }

    /// What would be right.
    #[must_use]
    pub fn help(&self) -> String {
        self.help_among(&VARIABLES.join(", "))
    }

    /// The same where other variables can be used.
    pub(crate) fn help_among(&self, variables: &str) -> String {
        match self {
            Self::Unclosed { .. } => {
                "close it, as in `{{ tenant.id }}`; two literal braces are written `{{{{`".to_owned()
            }
            Self::Unknown { suggestion: Some(meant), .. } => {
                format!("did you mean `{meant}`? There are {variables}")
            }
            Self::Empty { .. } | Self::Unknown { .. } => format!("there are {variables}"),
        }
    }
}

/// Why a template could not be rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// The tenant does not have the value.
    #[error("tenant {tenant} has no {}", .variable.as_attribute())]
    Missing {
        /// What was asked for.
        variable: Variable,
        /// Of whom.
        tenant: TenantId,
    },
    /// A value of a run was asked for where there is no run.
    #[error("`{variable}` is known only while a run is carried out")]
    NoRun {
        /// What was asked for.
        variable: Variable,
    },
    /// The payload does not have the value.
    #[error("the payload of job {job} has no `{name}`")]
    NoPayload {
        /// What was asked for.
        name: String,
        /// Of which job.
        job: JobName,
    },
    /// A value is not what it must be in this place: a name.
    #[error("the {} of tenant {tenant} cannot be used here: {error}", .variable.as_attribute())]
    NotAName {
        /// Which value.
        variable: Variable,
        /// Whose.
        tenant: TenantId,
        /// What is wrong with it.
        error: NameError,
    },
    /// A value turned a path segment into `.` or `..`.
    #[error("the values of tenant {tenant} make a `.` or `..` segment in the path of the URL")]
    DotSegment {
        /// Whose values.
        tenant: TenantId,
    },
}

impl Template {
    /// Parses a text.
    ///
    /// # Errors
    /// [`TemplateError`], for the first place that is wrong.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        Self::parse_with(text, variable)
    }

    fn parse_with(
        text: &str,
        variable: impl Fn(&str, Range<usize>) -> Result<Variable, TemplateError>,
    ) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut at = 0;
        while let Some(found) = text[at..].find("{{") {
            let open = at + found;
            literal.push_str(&text[at..open]);
            let inner = open + 2;
            if text[inner..].starts_with("{{") {
                literal.push_str("{{");
                at = inner + 2;
                continue;
            }
            let Some(length) = text[inner..].find("}}") else {
                return Err(TemplateError::Unclosed { span: open..inner });
            };
            at = inner + length + 2;
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(Part::Variable(variable(text, inner..inner + length)?, open..at));
        }
        literal.push_str(&text[at..]);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// Writes the text with all values in place.
    ///
    /// # Errors
    /// [`RenderError`]: the tenant lacks a value, there is no run to take one from, or values make a dot segment in a
    /// URL.
    pub fn render(&self, scope: &Scope<'_>, escape: Escape) -> Result<String, RenderError> {
        self.render_with(scope, escape, |variable| Err(RenderError::NoRun { variable: variable.clone() }))
    }

    /// Whether the template can be rendered for a tenant once there is a run.
    ///
    /// # Errors
    /// The [`RenderError`] that every run of this tenant would meet.
    pub fn check(&self, tenant: &Tenant, job: &JobName, escape: Escape) -> Result<(), RenderError> {
        self.render_with(&Scope { tenant, job, run: None }, escape, |_| Ok("run".to_owned())).map(drop)
    }

    /// The first variable that a tenant has no value for; values of a run count as present.
    #[must_use]
    pub fn missing_for(&self, tenant: &Tenant) -> Option<&Variable> {
        self.variables().find(|variable| variable.is_missing_for(tenant))
    }

    /// The variables in order of appearance.
    pub fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.spans().map(|(variable, _)| variable)
    }

    /// The variables with the bytes of the text that each takes, braces included.
    pub fn spans(&self) -> impl Iterator<Item = (&Variable, Range<usize>)> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable(variable, span) => Some((variable, span.clone())),
            Part::Literal(_) => None,
        })
    }

    /// The text that the template was parsed from.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn render_with(
        &self,
        scope: &Scope<'_>,
        escape: Escape,
        without_run: impl Fn(&Variable) -> Result<String, RenderError>,
    ) -> Result<String, RenderError> {
        let mut out = String::with_capacity(self.text.len() + 32);
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Variable(variable, _) => {
                    let value = variable.value(scope, &without_run)?;
                    match escape {
                        Escape::None => out.push_str(&value),
                        Escape::Name => out.push_str(variable.as_name(&value, scope.tenant)?),
                        Escape::Url => out.extend(utf8_percent_encode(&value, RESERVED)),
                    }
                }
            }
        }
        if escape == Escape::Url && has_dot_segment(&out) {
            return Err(RenderError::DotSegment { tenant: scope.tenant.id.clone() });
        }
        Ok(out)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl Variable {
    /// Whether a tenant may be without it.
    #[must_use]
    pub fn is_optional(&self) -> bool {
        matches!(self, Self::TenantPlan | Self::TenantTimezone | Self::TenantLabel(_))
    }

    /// Whether this tenant is without it.
    #[must_use]
    pub fn is_missing_for(&self, tenant: &Tenant) -> bool {
        match self {
            Self::TenantPlan => tenant.plan.is_none(),
            Self::TenantTimezone => tenant.timezone.is_none(),
            Self::TenantLabel(name) => !tenant.labels.contains_key(name),
            _ => false,
        }
    }

    /// Whether it belongs to the run, and so is unknown before there is one.
    #[must_use]
    pub fn is_of_run(&self) -> bool {
        matches!(self, Self::RunCorrelationId | Self::RunAttempt | Self::RunScheduledFor)
    }

    /// Whether it is a value of the tenant alone.
    #[must_use]
    pub fn is_of_tenant(&self) -> bool {
        !self.is_of_run() && !matches!(self, Self::JobName | Self::Payload(_))
    }

    /// The value, if it is one of the tenant and the tenant has it.
    #[must_use]
    pub fn of_tenant(&self, tenant: &Tenant) -> Option<String> {
        match self {
            Self::TenantId => Some(tenant.id.to_string()),
            Self::TenantPlan => tenant.plan.clone(),
            Self::TenantTimezone => tenant.timezone.as_ref().map(|zone| zone.name().to_owned()),
            Self::TenantLabel(name) => tenant.labels.get(name).cloned(),
            _ => None,
        }
    }

    fn as_name<'v>(&self, value: &'v str, tenant: &Tenant) -> Result<&'v str, RenderError> {
        match check_name("value", value) {
            Ok(()) => Ok(value),
            Err(error) => Err(RenderError::NotAName { variable: self.clone(), tenant: tenant.id.clone(), error }),
        }
    }

    /// What a tenant without it lacks: `timezone`, ``label `region` ``.
    pub(crate) fn as_attribute(&self) -> String {
        match self {
            Self::TenantPlan => "plan".to_owned(),
            Self::TenantTimezone => "timezone".to_owned(),
            Self::TenantLabel(name) => format!("label `{name}`"),
            other => other.to_string(),
        }
    }

    fn value(
        &self,
        scope: &Scope<'_>,
        without_run: impl Fn(&Self) -> Result<String, RenderError>,
    ) -> Result<String, RenderError> {
        let missing = || RenderError::Missing { variable: self.clone(), tenant: scope.tenant.id.clone() };
        let of_run = |write: fn(RunScope) -> String| scope.run.map_or_else(|| without_run(self), |run| Ok(write(run)));
        match self {
            Self::TenantId | Self::TenantPlan | Self::TenantTimezone | Self::TenantLabel(_) => {
                self.of_tenant(scope.tenant).ok_or_else(missing)
            }
            Self::JobName => Ok(scope.job.to_string()),
            Self::RunCorrelationId => of_run(|run| run.correlation_id.to_string()),
            Self::RunAttempt => of_run(|run| run.attempt.to_string()),
            Self::RunScheduledFor => of_run(|run| run.scheduled_for.to_string()),
            Self::Payload(name) => Err(RenderError::NoPayload { name: name.clone(), job: scope.job.clone() }),
        }
    }
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TenantId => "tenant.id",
            Self::TenantPlan => "tenant.plan",
            Self::TenantTimezone => "tenant.timezone",
            Self::TenantLabel(name) => return write!(f, "{LABEL}{name}"),
            Self::JobName => "job.name",
            Self::RunCorrelationId => "run.correlation_id",
            Self::RunAttempt => "run.attempt",
            Self::RunScheduledFor => "run.scheduled_for",
            Self::Payload(name) if name.is_empty() => "payload",
            Self::Payload(name) => return write!(f, "payload.{name}"),
        })
    }
}

/// Writes the values into every text of a JSON value; keys and everything else stay as they are. What is rendered stays
/// text, and a text that is no template, which no config makes, stays as it is.
///
/// # Errors
/// [`RenderError`], as for each of the texts.
pub fn render_json(value: &serde_json::Value, scope: &Scope<'_>) -> Result<serde_json::Value, RenderError> {
    use serde_json::Value;
    Ok(match value {
        Value::String(text) if text.contains("{{") => match Template::parse(text) {
            Ok(template) => Value::String(template.render(scope, Escape::None)?),
            Err(_) => value.clone(),
        },
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| render_json(item, scope)).collect::<Result<_, _>>()?)
        }
        Value::Object(map) => {
            let render = |(key, value): (&String, &Value)| Ok((key.clone(), render_json(value, scope)?));
            Value::Object(map.iter().map(render).collect::<Result<_, RenderError>>()?)
        }
        other => other.clone(),
    })
}

/// Reads the variable at `inner`, the bytes between the braces.
fn variable(text: &str, inner: Range<usize>) -> Result<Variable, TemplateError> {
    let raw = &text[inner.clone()];
    let name = raw.trim();
    if name.is_empty() {
        return Err(TemplateError::Empty { span: inner.start - 2..inner.end + 2 });
    }
    if let Some(label) = name.strip_prefix(LABEL)
        && !label.is_empty()
        && !label.contains(char::is_whitespace)
    {
        return Ok(Variable::TenantLabel(label.to_owned()));
    }
    Ok(match name {
        "tenant.id" => Variable::TenantId,
        "tenant.plan" => Variable::TenantPlan,
        "tenant.timezone" => Variable::TenantTimezone,
        "job.name" => Variable::JobName,
        "run.correlation_id" => Variable::RunCorrelationId,
        "run.attempt" => Variable::RunAttempt,
        "run.scheduled_for" => Variable::RunScheduledFor,
        _ => {
            let start = inner.start + (raw.len() - raw.trim_start().len());
            return Err(TemplateError::Unknown {
                name: name.to_owned(),
                span: start..start + name.len(),
                suggestion: suggest(name),
            });
        }
    })
}

fn suggest(name: &str) -> Option<&'static str> {
    // `tenant.label.x`, `tenant.labels`, `labels.x` and `tenant_id` are worth more than letters in common.
    if name.split('.').any(|part| part == "label" || part == "labels") {
        return Some("tenant.labels.NAME");
    }
    let whole = suggest::closest(name, VARIABLES);
    whole.or_else(|| {
        VARIABLES.into_iter().find(|known| {
            let (_, last) = known.split_once('.').unwrap_or(("", known));
            last == name || known.replace('.', "_") == name
        })
    })
}

/// Whether the path of a rendered URL has a segment that a URL parser would resolve away.
pub(crate) fn has_dot_segment(url: &str) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    path.split(['/', '\\']).any(|segment| {
        segment.len() <= 6 && matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..")
    })
}
