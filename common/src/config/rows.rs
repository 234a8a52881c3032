//! Rows of live sources as nodes, so that one set of rules reads the tenants of files and of sources.
//!
//! What a database or an endpoint says is taken a little less strictly than a file: lists and maps may be JSON text,
//! numbers may be text and the other way round, null and empty text are nothing, and unknown keys are passed over.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::node::{Entry, Node, Rank, Ref, Scalar, Value};
use super::source::NOWHERE;

/// The keys that are lists or maps.
const NESTED: [&str; 4] = ["features", "labels", "database", "jobs"];
const KEYS: [&str; 10] =
    ["id", "plan", "features", "timezone", "labels", "weight", "concurrency", "rate", "database", "jobs"];
/// The deepest nesting: a definition that is made of it must be readable again.
const MAX_HEIGHT: usize = 90;
/// The longest row, as JSON, in bytes.
pub(super) const MAX_ROW: usize = 256 * 1024;

/// The keys of a tenant in a row. Else what is wrong with it.
pub(super) fn tenant(row: &Map<String, Json>) -> Result<Ref<'static>, String> {
    let mut entries = Vec::with_capacity(row.len());
    for key in KEYS {
        let value = match row.get(key) {
            None | Some(Json::Null) => continue,
            Some(Json::String(text)) if text.trim().is_empty() && key != "id" => continue,
            Some(Json::String(text)) if NESTED.contains(&key) => {
                let read: Json = serde_json::from_str(text).map_err(|error| {
                    let wanted = if key == "features" { "a list" } else { "a map" };
                    format!("`{key}` is text that is no JSON ({error}); send {wanted}, or {wanted} as JSON text")
                })?;
                node(&read)
            }
            Some(value) => node(value),
        };
        if matches!(value.value, Value::Null) {
            continue;
        }
        if value.height > MAX_HEIGHT {
            return Err(format!("`{key}` is nested more than {MAX_HEIGHT} levels deep"));
        }
        entries.push(entry(key, value));
    }
    Ok(Arc::new(Node::new(NOWHERE, Value::Map(entries))))
}

fn entry(key: &str, value: Ref<'static>) -> Entry<'static> {
    Entry { key: Cow::Owned(key.to_owned()), key_span: NOWHERE, value, layer: Rank::default() }
}

/// Any JSON as a node.
pub(super) fn node(value: &Json) -> Ref<'static> {
    // That it does not stand in the file as it is counts as substituted: numbers may be text.
    let scalar = |text: String, plain| Value::Scalar(Scalar { text: Cow::Owned(text), plain, substituted: true });
    let value = match value {
        Json::Null => Value::Null,
        Json::Bool(value) => scalar(value.to_string(), true),
        Json::Number(number) => scalar(number.to_string(), true),
        Json::String(text) => scalar(text.clone(), false),
        Json::Array(items) => Value::List(items.iter().map(node).collect()),
        Json::Object(map) => Value::Map(map.iter().map(|(key, value)| entry(key, node(value))).collect()),
    };
    Arc::new(Node::new(NOWHERE, value))
}
