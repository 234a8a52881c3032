//! Layers on top of each other: JSON merge patches (RFC 7396) over the tree of the file, so that each value keeps its
//! place.
//!
//! Maps are merged key by key, everything else replaces, and null takes a value away. What a job does, and when, is said
//! by one key of several: a layer that names one of them takes the others away, as `every` does with `cron`.
//!
//! Invariants: a later layer wins; what a layer does not name stays as it was, shared and not copied; each key of the
//! result knows the layer that it comes from.

use std::sync::Arc;

use super::node::{Entry, Node, Rank, Ref, Value};

/// The keys of which one says when a job is due. `anchor` says more of `every`.
const WHEN: &[&str] = &["cron", "every", "at", "spread", "schedules"];
const ANCHOR: &str = "anchor";
/// The keys of which one says what it does.
const WHAT: &[&str] = &["http", "command", "sql", "handler"];

/// A layer on top of a job, or the first one.
///
/// In `defaults` and in the job itself a null that takes nothing away stays, and is a mistake: a value was forgotten.
/// Layers above are written for jobs that they do not see.
pub(super) fn layered<'t>(base: Option<&Ref<'t>>, patch: &Ref<'t>, layer: Rank) -> Ref<'t> {
    let keeps_nulls = layer <= Rank::JOB;
    let (Value::Map(entries), below) = (&patch.value, base.map(|base| &base.value)) else { return Arc::clone(patch) };
    let mut merged = match below {
        Some(Value::Map(below)) => below.clone(),
        _ => Vec::new(),
    };
    let named = |key: &str| {
        entries.iter().any(|entry| entry.key == key && !matches!(entry.value.value, Value::Null | Value::Invalid))
    };
    // Whether a null takes something away is decided before the groups are.
    let there: Vec<bool> = entries.iter().map(|entry| merged.iter().any(|below| below.key == entry.key)).collect();
    for group in [WHEN, WHAT] {
        if group.iter().any(|key| named(key)) {
            let is_of_group = |key: &str| group.contains(&key) || (group == WHEN && key == ANCHOR);
            merged.retain(|below| !is_of_group(&below.key) || (below.key != ANCHOR && named(&below.key)));
        }
    }
    for (entry, there) in entries.iter().zip(there) {
        put(&mut merged, entry, layer, keeps_nulls && !there);
    }
    Arc::new(Node::new(patch.span.clone(), Value::Map(merged)))
}

/// A patch on top of any value. `None` if nothing is left.
pub(super) fn merged<'t>(base: Option<&Ref<'t>>, patch: &Ref<'t>, layer: Rank, keeps_nulls: bool) -> Ref<'t> {
    let Value::Map(entries) = &patch.value else { return Arc::clone(patch) };
    let mut merged = match base.map(|base| &base.value) {
        Some(Value::Map(below)) => below.clone(),
        _ => Vec::new(),
    };
    for entry in entries {
        put(&mut merged, entry, layer, keeps_nulls);
    }
    Arc::new(Node::new(patch.span.clone(), Value::Map(merged)))
}

/// One key on top of a map.
fn put<'t>(map: &mut Vec<Entry<'t>>, entry: &Entry<'t>, layer: Rank, keeps_nulls: bool) {
    let below = map.iter().position(|below| below.key == entry.key);
    if let Value::Null = entry.value.value {
        match below {
            Some(position) => drop(map.remove(position)),
            None if keeps_nulls => map.push(entry.with(Arc::clone(&entry.value), layer)),
            None => {}
        }
        return;
    }
    let value = merged(below.map(|position| &map[position].value), &entry.value, layer, keeps_nulls);
    let entry = entry.with(value, layer);
    match below {
        Some(position) => map[position] = entry,
        None => map.push(entry),
    }
}

/// A text that is equal for nodes that say the same.
pub(super) fn print(node: &Node<'_>) -> String {
    let mut out = String::new();
    write(node, &mut out);
    out
}

fn write(node: &Node<'_>, out: &mut String) {
    let length = |out: &mut String, text: &str| {
        out.push_str(&text.len().to_string());
        out.push(':');
        out.push_str(text);
    };
    match &node.value {
        Value::Null => out.push('~'),
        Value::Invalid => out.push('?'),
        Value::Scalar(scalar) => {
            out.push(if scalar.plain { 'p' } else { 'q' });
            length(out, &scalar.text);
        }
        Value::List(items) => {
            out.push('[');
            items.iter().for_each(|item| write(item, out));
            out.push(']');
        }
        Value::Map(entries) => {
            out.push('{');
            for entry in entries {
                length(out, &entry.key);
                write(&entry.value, out);
            }
            out.push('}');
        }
    }
}
