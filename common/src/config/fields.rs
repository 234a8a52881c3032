//! Reading typed values out of the tree, with one sentence for each way in which they do not fit.

use std::ops::RangeInclusive;
use std::time::Duration;

pub(super) use super::examples::example;
use super::node::{Entry, Node, Plain, Ref, Value};
use super::report::Report;
use super::source::Span;
use crate::duration;
use crate::id::NameError;
use crate::suggest;

/// Keys of a job that no layer has: who runs it, and what all tenants together may use.
const OF_JOB_ALONE: &[&str] = &["name", "tenants", "total"];

/// The entries of a map whose keys are known.
pub(super) struct Fields<'n, 't> {
    what: &'static str,
    /// Where to point for something that concerns the whole map.
    anchor: Span,
    entries: &'n [Entry<'t>],
    /// Keys that unknown ones most likely stand for: they are not missing as well.
    meant: Vec<&'static str>,
}

impl<'n, 't> Fields<'n, 't> {
    /// Takes a node as a map with `known` keys and reports every other key. `what` is `a job`, `a tenant`, ….
    pub(super) fn read(
        report: &mut Report<'_>,
        node: &'n Node<'t>,
        what: &'static str,
        known: &'static [&'static str],
    ) -> Option<Self> {
        let entries = match &node.value {
            Value::Map(entries) => entries,
            Value::Invalid => return None,
            _ => {
                let message = format!("{} must be a map, not {}", quoted(what), node.kind());
                report.error(&node.span, message, example(what));
                return None;
            }
        };
        let mut meant = Vec::new();
        for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_ref())) {
            let what = quoted(what);
            let closest = if report.is_crowded() { None } else { suggest::closest_key(&entry.key, known) };
            meant.extend(closest);
            let help = match closest {
                Some(meant) => format!("did you mean `{meant}`?"),
                None if OF_JOB_ALONE.contains(&entry.key.as_ref()) && known.contains(&"timeout") => {
                    format!("`{}` stands in the job itself", entry.key)
                }
                None => format!("the keys of {what} are {}", known.join(", ")),
            };
            report.error(&entry.key_span, format!("unknown key `{}` in {what}", entry.key), Some(help));
        }
        let anchor = entries.first().map_or_else(|| node.span.clone(), |entry| entry.key_span.clone());
        Some(Self { what, anchor, entries, meant })
    }

    /// A job that was put together from layers, each of which was read before. `anchor` is where to point for something
    /// that concerns all of it; `meant` as the layers found it.
    pub(super) fn merged(node: &'n Node<'t>, anchor: Span, meant: Vec<&'static str>) -> Self {
        let entries = match &node.value {
            Value::Map(entries) => entries.as_slice(),
            _ => &[],
        };
        Self { what: "a job", anchor, entries, meant }
    }

    /// The keys that unknown ones most likely stand for.
    pub(super) fn meant(&self) -> &[&'static str] {
        &self.meant
    }

    pub(super) fn get(&self, key: &str) -> Option<&'n Entry<'t>> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// The entry, reported if it is not there.
    pub(super) fn require(&self, report: &mut Report<'_>, key: &str) -> Option<&'n Entry<'t>> {
        let found = self.get(key);
        if found.is_none() && !self.is_meant(key) {
            report.error(&self.anchor(), format!("{} needs `{key}`", quoted(self.what)), example(key));
        }
        found
    }

    /// Whether an unknown key, which was reported, most likely stands for this one.
    pub(super) fn is_meant(&self, key: &str) -> bool {
        self.meant.contains(&key)
    }

    /// Where to point for something that concerns the whole map: its first key.
    pub(super) fn anchor(&self) -> Span {
        self.anchor.clone()
    }
}

/// A scalar that is text.
#[derive(Clone)]
pub(super) struct Text<'n, 't> {
    pub(super) text: &'n str,
    node: &'n Node<'t>,
}

impl Text<'_, '_> {
    /// The place of the whole value.
    pub(super) fn span(&self) -> Span {
        self.node.span.clone()
    }

    /// Whether the text stands in the file, and does not come from the environment in part.
    fn is_as_written(&self) -> bool {
        matches!(&self.node.value, Value::Scalar(scalar) if !scalar.substituted)
    }

    /// The place of a part of the text.
    pub(super) fn part(&self, report: &Report<'_>, part: &Span) -> Span {
        self.node.inner(report.source, part)
    }
}

/// The text of a node. `what` is the key, or `an entry of …`.
pub(super) fn text<'n, 't>(report: &mut Report<'_>, node: &'n Node<'t>, what: &str) -> Option<Text<'n, 't>> {
    if let Value::Scalar(scalar) = &node.value {
        if scalar.substituted || scalar.resolve() == Plain::Text {
            return Some(Text { text: &scalar.text, node });
        }
        // A number in quotes is text, but still no expression and no URL.
        let help = match what {
            "cron" | "url" | "timezone" | "at" | "spread" | "start" | "end" | "from" | "to" | "daily" | "days"
            | "overlap" | "catch_up" | "policy" | "on_blackout" | "an entry of `days`" => example(what),
            _ => Some(format!("put it in quotes: `\"{}\"`", scalar.text)),
        };
        report.error(&node.span, format!("{} must be text, not {}", quoted(what), node.kind()), help);
        return None;
    }
    wrong_type(report, node, what, "text");
    None
}

/// The items of a list.
pub(super) fn list<'n, 't>(report: &mut Report<'_>, node: &'n Node<'t>, what: &str) -> Option<&'n [Ref<'t>]> {
    if let Value::List(items) = &node.value {
        return Some(items);
    }
    wrong_type(report, node, what, "a list");
    None
}

/// The entries of a map with free keys.
pub(super) fn map<'n, 't>(report: &mut Report<'_>, node: &'n Node<'t>, what: &str) -> Option<&'n [Entry<'t>]> {
    if let Value::Map(entries) = &node.value {
        return Some(entries);
    }
    wrong_type(report, node, what, "a map");
    None
}

/// Says what a value must be and is not.
pub(super) fn wrong_type(report: &mut Report<'_>, node: &Node<'_>, what: &str, wanted: &str) {
    match &node.value {
        Value::Invalid => {}
        Value::Null => {
            let help = "write a value, or leave the key out".to_owned();
            report.error(&node.span, format!("{} has no value", quoted(what)), Some(help));
        }
        _ => {
            let message = format!("{} must be {wanted}, not {}", quoted(what), node.kind());
            report.error(&node.span, message, example(what));
        }
    }
}

/// Keys stand in backquotes; phrases such as `an entry of argv` do not.
fn quoted(what: &str) -> String {
    if what.contains(' ') { what.to_owned() } else { format!("`{what}`") }
}

/// A whole number within limits.
pub(super) fn integer(report: &mut Report<'_>, entry: &Entry<'_>, limits: RangeInclusive<i128>) -> Option<i128> {
    let (key, node) = (&entry.key, &entry.value);
    let value = match &node.value {
        Value::Scalar(scalar) => scalar.resolve_number(),
        _ => Plain::Text,
    };
    match value {
        Plain::Int(number) if limits.contains(&number) => Some(number),
        Plain::Int(_) | Plain::Float(_) => {
            let (low, high) = limits.into_inner();
            let message = format!("`{key}` must be a whole number from {low} to {high}");
            report.error(&node.span, message, example(key));
            None
        }
        _ => {
            wrong_type(report, node, key, "a whole number");
            None
        }
    }
}

/// A whole number from 1 up to `most`.
pub(super) fn count(report: &mut Report<'_>, entry: &Entry<'_>, most: u32) -> Option<u32> {
    u32::try_from(integer(report, entry, 1..=most.into())?).ok()
}

/// A number of any kind.
pub(super) fn number(report: &mut Report<'_>, entry: &Entry<'_>) -> Option<f64> {
    let value = match &entry.value.value {
        Value::Scalar(scalar) => scalar.resolve_number(),
        _ => Plain::Text,
    };
    match value {
        Plain::Int(number) => Some(number as f64),
        Plain::Float(number) => Some(number),
        _ => {
            wrong_type(report, &entry.value, &entry.key, "a number");
            None
        }
    }
}

/// True or false.
pub(super) fn boolean(report: &mut Report<'_>, entry: &Entry<'_>) -> Option<bool> {
    let value = match &entry.value.value {
        Value::Scalar(scalar) => scalar.resolve_number(),
        _ => Plain::Text,
    };
    if let Plain::Bool(value) = value {
        return Some(value);
    }
    wrong_type(report, &entry.value, &entry.key, "true or false");
    None
}

/// A duration of at least `least`.
pub(super) fn duration(report: &mut Report<'_>, entry: &Entry<'_>, least: Duration) -> Option<Duration> {
    let (key, node) = (&entry.key, &entry.value);
    let Value::Scalar(scalar) = &node.value else {
        wrong_type(report, node, key, "a duration");
        return None;
    };
    if let Plain::Int(number) = scalar.resolve_number() {
        let help =
            if number > 0 { format!("write `{number}s` or `{number}m`") } else { "write it as in `30s`".to_owned() };
        report.error(&node.span, format!("`{key}` is a duration and needs a unit"), Some(help));
        return None;
    }
    match duration::parse(&scalar.text) {
        Ok(duration) if duration >= least => Some(duration),
        Ok(_) => {
            let least = match least.as_millis() {
                ..=1 => "more than zero".to_owned(),
                _ => format!("at least {}", duration::format(least)),
            };
            report.error(&node.span, format!("`{key}` must be {least}"), example(key));
            None
        }
        Err(error) => {
            report.error(
                &node.span,
                format!("`{key}`: {}", first_clause(&error.to_string())),
                Some(DURATIONS.to_owned()),
            );
            None
        }
    }
}

const DURATIONS: &str = "write a whole number with a unit, such as 500ms, 10s, 5m, 1h30m or 2d";

/// The message of an error without the advice behind the semicolon.
fn first_clause(message: &str) -> &str {
    message.split_once("; ").map_or(message, |(first, _)| first)
}

/// One of some words.
pub(super) fn word<T: Copy>(report: &mut Report<'_>, entry: &Entry<'_>, words: &[(&'static str, T)]) -> Option<T> {
    word_of(report, &entry.value, &entry.key, words)
}

/// One of some words. `what` is the key, or `an entry of …`.
pub(super) fn word_of<T: Copy>(
    report: &mut Report<'_>,
    node: &Node<'_>,
    what: &str,
    words: &[(&'static str, T)],
) -> Option<T> {
    let text = text(report, node, what)?;
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text.text) {
        return Some(*value);
    }
    let all = words.iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    let meant = suggest::closest(text.text, words.iter().map(|(word, _)| *word));
    let help = meant.map(|word| format!("did you mean `{word}`?"));
    report.error(&text.span(), format!("{} must be one of {all}", quoted(what)), help);
    None
}

/// A name by the rule for names.
pub(super) fn name<T>(
    report: &mut Report<'_>,
    node: &Node<'_>,
    what: &str,
    check: impl Fn(&str) -> Result<T, NameError>,
) -> Option<T> {
    let text = text(report, node, what)?;
    match check(text.text) {
        Ok(name) => Some(name),
        Err(error) => {
            let span = match &error {
                NameError::Character { found, .. } => text
                    .text
                    .find(*found)
                    .map_or_else(|| text.span(), |at| text.part(report, &(at..at + found.len_utf8()))),
                _ => text.span(),
            };
            let close = slug(text.text);
            let help = (text.is_as_written() && check(&close).is_ok()).then(|| format!("write it as in `{close}`"));
            report.error(&span, error.to_string(), help);
            None
        }
    }
}

/// The name that is closest to a text by the rule for names; perhaps none.
fn slug(text: &str) -> String {
    let dashed: String =
        text.chars().map(|c| if c.is_alphanumeric() || matches!(c, '.' | '_') { c } else { '-' }).collect();
    dashed.trim_matches(['-', '.', '_']).to_owned()
}

/// Any value as JSON.
pub(super) fn json(report: &mut Report<'_>, node: &Node<'_>) -> Option<serde_json::Value> {
    use serde_json::Value as Json;
    Some(match &node.value {
        Value::Invalid => return None,
        Value::Null => Json::Null,
        Value::List(items) => {
            let items: Vec<_> = items.iter().map(|item| json(report, item)).collect();
            Json::Array(items.into_iter().collect::<Option<_>>()?)
        }
        Value::Map(entries) => {
            let entries: Vec<_> =
                entries.iter().map(|entry| Some((entry.key.to_string(), json(report, &entry.value)?))).collect();
            Json::Object(entries.into_iter().collect::<Option<_>>()?)
        }
        Value::Scalar(scalar) => match scalar.resolve() {
            Plain::Null => Json::Null,
            Plain::Bool(value) => Json::Bool(value),
            Plain::Text => Json::String(scalar.text.to_string()),
            Plain::Int(number) => match serde_json::Number::from_i128(number) {
                Some(number) => Json::Number(number),
                None => return no_json(report, node),
            },
            Plain::Float(number) => match serde_json::Number::from_f64(number) {
                Some(number) => Json::Number(number),
                None => return no_json(report, node),
            },
        },
    })
}

fn no_json(report: &mut Report<'_>, node: &Node<'_>) -> Option<serde_json::Value> {
    let help = "JSON has whole numbers of 64 bits and finite decimals; put anything else in quotes".to_owned();
    report.error(&node.span, "JSON has no such number", Some(help));
    None
}
