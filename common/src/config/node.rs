//! The tree of a YAML file: values with the places they were written at.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use super::source::{Source, Span};

/// A node; shared, since an alias is the node that it names, and since layers share what they do not change.
pub(super) type Ref<'t> = Arc<Node<'t>>;

/// The layer of settings that a key comes from; of two, the larger one has the last word. What was not merged with
/// anything has the least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Rank(u32);

impl Rank {
    pub(super) const DEFAULTS: Self = Self(1);
    pub(super) const JOB: Self = Self(2);
    pub(super) const PLAN: Self = Self(3);
    pub(super) const TENANT: Self = Self(4);

    /// The override at a position of the list.
    pub(super) fn of_override(position: usize) -> Self {
        Self(u32::try_from(position).unwrap_or(u32::MAX).saturating_add(5))
    }

    /// The position of the override that it stands for, if it does.
    pub(super) fn as_override(self) -> Option<usize> {
        usize::try_from(self.0.checked_sub(5)?).ok()
    }
}

/// A value and where it stands.
pub(super) struct Node<'t> {
    /// Braces and quotes included; a block collection runs from its first key or dash to its end.
    pub(super) span: Span,
    pub(super) value: Value<'t>,
    /// What it costs to use it once more through an alias.
    pub(super) weight: usize,
    /// Levels of collections from here down; 0 for a scalar.
    pub(super) height: usize,
}

pub(super) enum Value<'t> {
    Null,
    Scalar(Scalar<'t>),
    List(Vec<Ref<'t>>),
    Map(Vec<Entry<'t>>),
    /// It was reported; whoever meets it says nothing more.
    Invalid,
}

/// A key with its value. Keys of a map are distinct.
#[derive(Clone)]
pub(super) struct Entry<'t> {
    pub(super) key: Cow<'t, str>,
    pub(super) key_span: Span,
    pub(super) value: Ref<'t>,
    pub(super) layer: Rank,
}

pub(super) struct Scalar<'t> {
    pub(super) text: Cow<'t, str>,
    /// Without quotes: may be a number, `true`, `false` or `null`.
    pub(super) plain: bool,
    /// Holds the value of an environment variable, so that places in the text are not places in the file.
    pub(super) substituted: bool,
}

/// What a scalar without quotes stands for, by the core schema of YAML 1.2.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Plain {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text,
}

impl<'t> Node<'t> {
    pub(super) fn new(span: Span, value: Value<'t>) -> Self {
        let (weight, height) = match &value {
            Value::Null | Value::Invalid => (1, 0),
            Value::Scalar(scalar) => (1 + scalar.text.len() / 64, 0),
            Value::List(items) => measure(items.iter()),
            Value::Map(entries) => measure(entries.iter().map(|entry| &entry.value)),
        };
        Self { span, value, weight, height }
    }

    /// What the node is, for "must be …, not …".
    pub(super) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
            Value::Invalid => "invalid",
            Value::Scalar(scalar) => match scalar.resolve() {
                Plain::Null => "nothing",
                Plain::Bool(_) => "true or false",
                Plain::Int(_) | Plain::Float(_) => "a number",
                Plain::Text => "text",
            },
        }
    }

    /// The place in the file of a part of the scalar's text; the whole scalar if the two differ by escapes, folding
    /// or substitution.
    pub(super) fn inner(&self, source: &Source<'_>, part: &Span) -> Span {
        let Value::Scalar(scalar) = &self.value else { return self.span.clone() };
        if scalar.substituted {
            return self.span.clone();
        }
        let quotes = usize::from(!scalar.plain);
        let start = self.span.start + quotes;
        let as_written = source.slice(&(start..self.span.end.saturating_sub(quotes).max(start)));
        if as_written == scalar.text { start + part.start..start + part.end } else { self.span.clone() }
    }
}

fn measure<'a, 't: 'a>(children: impl Iterator<Item = &'a Ref<'t>>) -> (usize, usize) {
    children.fold((1, 1), |(weight, height), child| (weight + child.weight, height.max(child.height + 1)))
}

impl<'t> Entry<'t> {
    /// The key with another value.
    pub(super) fn with(&self, value: Ref<'t>, layer: Rank) -> Self {
        Self { key: self.key.clone(), key_span: self.key_span.clone(), value, layer }
    }
}

/// Makes nodes that outlive their text. What was shared stays shared.
#[derive(Default)]
pub(super) struct Keeper {
    kept: HashMap<*const (), Ref<'static>>,
}

impl Keeper {
    /// The node; `'static`, and otherwise the same. The nodes given to one keeper must live as long as it does.
    pub(super) fn keep(&mut self, node: &Ref<'_>) -> Ref<'static> {
        let address = Arc::as_ptr(node).cast();
        if let Some(kept) = self.kept.get(&address) {
            return Arc::clone(kept);
        }
        let value = match &node.value {
            Value::Null => Value::Null,
            Value::Invalid => Value::Invalid,
            Value::Scalar(scalar) => Value::Scalar(Scalar {
                text: Cow::Owned(scalar.text.to_string()),
                plain: scalar.plain,
                substituted: scalar.substituted,
            }),
            Value::List(items) => Value::List(items.iter().map(|item| self.keep(item)).collect()),
            Value::Map(entries) => Value::Map(entries.iter().map(|entry| self.keep_entry(entry)).collect()),
        };
        let kept = Arc::new(Node::new(node.span.clone(), value));
        self.kept.insert(address, Arc::clone(&kept));
        kept
    }

    pub(super) fn keep_entry(&mut self, entry: &Entry<'_>) -> Entry<'static> {
        let value = self.keep(&entry.value);
        Entry { key: Cow::Owned(entry.key.to_string()), key_span: entry.key_span.clone(), value, layer: entry.layer }
    }
}

impl Scalar<'_> {
    /// What the scalar stands for: text, if it is quoted.
    pub(super) fn resolve(&self) -> Plain {
        if self.plain { resolve(&self.text) } else { Plain::Text }
    }

    /// The same where a number is wanted: the environment may give one within quotes, as YAML demands them around
    /// `${…}` in brackets.
    pub(super) fn resolve_number(&self) -> Plain {
        if self.plain || self.substituted { resolve(&self.text) } else { Plain::Text }
    }
}

/// YAML 1.2.2, section 10.3.2. `yes`, `no`, `on` and `off` are text.
fn resolve(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Null,
        "true" | "True" | "TRUE" => return Plain::Bool(true),
        "false" | "False" | "FALSE" => return Plain::Bool(false),
        _ => {}
    }
    if let Some(number) = integer(text) {
        return Plain::Int(number);
    }
    float(text).map_or(Plain::Text, Plain::Float)
}

fn integer(text: &str) -> Option<i128> {
    if let Some(digits) = text.strip_prefix("0x") {
        return only(digits, |b| b.is_ascii_hexdigit()).and_then(|digits| i128::from_str_radix(digits, 16).ok());
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return only(digits, |b| b.is_ascii_digit()).and_then(|digits| i128::from_str_radix(digits, 8).ok());
    }
    only(text.strip_prefix(['-', '+']).unwrap_or(text), |b| b.is_ascii_digit())?;
    text.parse().ok()
}

fn only(text: &str, allowed: impl Fn(u8) -> bool) -> Option<&str> {
    (!text.is_empty() && text.bytes().all(allowed)).then_some(text)
}

fn float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    match unsigned {
        ".inf" | ".Inf" | ".INF" => {
            return Some(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY });
        }
        ".nan" | ".NaN" | ".NAN" if unsigned.len() == text.len() => return Some(f64::NAN),
        _ => {}
    }
    // Rust also reads `inf`, `nan` and `infinity`, which are text here.
    let looks_like_one = unsigned.starts_with(|c: char| c == '.' || c.is_ascii_digit())
        && unsigned.bytes().any(|b| b.is_ascii_digit())
        && unsigned.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+'));
    if looks_like_one { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_follow_the_core_schema() {
        for (text, value) in [
            ("", Plain::Null),
            ("~", Plain::Null),
            ("True", Plain::Bool(true)),
            ("yes", Plain::Text),
            ("no", Plain::Text),
            ("42", Plain::Int(42)),
            ("-7", Plain::Int(-7)),
            ("+7", Plain::Int(7)),
            ("007", Plain::Int(7)),
            ("0x1F", Plain::Int(31)),
            ("0o17", Plain::Int(15)),
            ("0x", Plain::Text),
            ("0o9", Plain::Text),
            ("-", Plain::Text),
            ("1_000", Plain::Text),
            ("1.5", Plain::Float(1.5)),
            (".5", Plain::Float(0.5)),
            ("5.", Plain::Float(5.0)),
            ("1e3", Plain::Float(1000.0)),
            ("-.inf", Plain::Float(f64::NEG_INFINITY)),
            ("inf", Plain::Text),
            ("nan", Plain::Text),
            (".", Plain::Text),
            ("e5", Plain::Text),
            ("1.2.3", Plain::Text),
            ("12:30", Plain::Text),
            ("* * * * *", Plain::Text),
            ("5m", Plain::Text),
        ] {
            assert_eq!(resolve(text), value, "{text}");
        }
        assert!(matches!(resolve(".nan"), Plain::Float(f) if f.is_nan()));
        assert!(matches!(resolve("999999999999999999999999999999999999999999"), Plain::Float(_)));
    }
}
