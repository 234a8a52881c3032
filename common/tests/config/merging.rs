//! The laws of layers: those of JSON merge patches, whatever the values are.

use std::fmt::Write;
use std::sync::Arc;

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::{check, good};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

/// RFC 7396, section 2, word for word.
fn merge_patch(target: Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut target = match target {
        Value::Object(target) => target,
        _ => Map::new(),
    };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            let merged = merge_patch(target.remove(name).unwrap_or(Value::Null), value);
            target.insert(name.clone(), merged);
        }
    }
    Value::Object(target)
}

/// Maps of maps, lists and scalars over few keys, so that layers meet.
fn payload() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        2 => Just(Value::Null),
        2 => (0..5_i32).prop_map(|number| json!(number)),
        1 => "[a-c{}: ]{0,4}".prop_filter("no template", |text| !text.contains("{{")).prop_map(Value::String),
        1 => any::<bool>().prop_map(Value::Bool),
    ];
    let value = leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
            3 => prop::collection::btree_map("[a-d]", inner, 0..4).prop_map(|map| json!(map)),
        ]
    });
    prop::collection::btree_map("[a-d]", value, 0..4).prop_map(|map| json!(map))
}

/// One without nulls, as the first layer is.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            Value::Object(map.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, without_nulls(v))).collect())
        }
        // In lists they are values.
        other => other,
    }
}

/// A config with a payload in every layer; JSON is YAML.
fn layered(layers: &[Value; 5]) -> String {
    let [defaults, job, plan, tenant, set] = layers;
    format!(
        "version: 1\ntenants: [{{id: a, plan: p, jobs: {{j: {{payload: {tenant}}}}}}}]\nplans: {{p: {{jobs: {{j: {{payload: {plan}}}}}}}}}\n\
         defaults: {{payload: {defaults}}}\njobs: [{{name: j, every: 1h, handler: h, payload: {job}}}]\n\
         overrides: [{{job: j, until: 2100-01-01, reason: r, set: {{payload: {set}}}}}]\n"
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn layers_are_merge_patches(a in payload(), b in payload(), c in payload(), d in payload(), e in payload()) {
        let layers = [without_nulls(a), without_nulls(b), c, d, e];
        let config = good(&layered(&layers));
        let merged = config.desired(NOW, &[]).jobs[0].definition.payload.clone();
        let expected = layers.iter().fold(json!({}), merge_patch);
        prop_assert_eq!(merged, Some(expected));
        // A live tenant that says the same has the same.
        let row = json!({"id": "b", "plan": "p", "jobs": {"j": {"payload": layers[3]}}});
        let Value::Object(row) = row else { unreachable!() };
        let live = config.admit("crm", &row).unwrap();
        let of_live = config.jobs_for(&[live], NOW).jobs;
        prop_assert_eq!(&of_live[0].definition, &config.desired(NOW, &[]).jobs[0].definition);
    }

    #[test]
    fn a_layer_twice_is_a_layer_once(a in payload(), b in payload()) {
        let empty = json!({});
        let (a, b) = (without_nulls(a), b);
        let once = good(&layered(&[a.clone(), empty.clone(), b.clone(), empty.clone(), empty.clone()]));
        let twice = good(&layered(&[a, empty, b.clone(), b.clone(), b]));
        let definition = |config: &leasehold_common::config::Config| config.desired(NOW, &[]).jobs[0].definition.id();
        prop_assert_eq!(definition(&once), definition(&twice));
    }

    /// Which of several tenants stands first in the file decides nothing but the order of the answer.
    #[test]
    fn the_order_of_tenants_does_not_matter(
        tenants in prop::collection::vec((0..3_usize, 0..3_usize, any::<bool>()), 1..8), order in any::<prop::sample::Index>(),
    ) {
        let lines: Vec<_> = tenants.iter().enumerate().map(|(number, (plan, priority, zone))| {
            let zone = if *zone { ", timezone: Asia/Tokyo" } else { ", timezone: Europe/Berlin" };
            let own = if *priority > 0 { format!(", jobs: {{j: {{priority: {priority}}}}}") } else { String::new() };
            format!("  - {{id: t{number}, plan: p{plan}{zone}{own}}}\n")
        }).collect();
        let config = |lines: &[String]| {
            let mut text = format!("version: 1\ntenants:\n{}", lines.concat());
            text.push_str("plans: {p1: {weight: 2, jobs: {j: {cron: \"@hourly\"}}}, p2: {jobs: {j: {timeout: 1m}}}}\n");
            text.push_str("jobs: [{name: j, cron: \"@daily\", timezone: \"{{ tenant.timezone }}\", handler: h}]\n");
            text.push_str("overrides: [{job: j, tenants: {plan: p2}, until: 2100-01-01, reason: r, set: {queue: q}}]\n");
            good_or_unused(&text)
        };
        let mut moved = lines.clone();
        moved.rotate_left(order.index(lines.len()));
        let (one, other) = (config(&lines).desired(NOW, &[]), config(&moved).desired(NOW, &[]));
        let sorted = |desired: &leasehold_common::catalog::Desired| {
            let mut jobs: Vec<_> = desired.jobs.iter().map(|job| (job.tenant.clone(), job.definition.id())).collect();
            jobs.sort();
            jobs
        };
        prop_assert_eq!(sorted(&one), sorted(&other));
        // Equal definitions are one.
        for a in &one.jobs {
            for b in &one.jobs {
                prop_assert_eq!(a.definition == b.definition, Arc::ptr_eq(&a.definition, &b.definition));
            }
        }
    }
}

/// A config that may warn of plans that nobody is on.
fn good_or_unused(text: &str) -> leasehold_common::config::Config {
    let checked = check(text);
    let mut said = String::new();
    checked.diagnostics.iter().for_each(|found| writeln!(said, "{found}").unwrap());
    checked.config.unwrap_or_else(|| panic!("{said}"))
}

#[test]
fn a_group_of_keys_goes_together() {
    let cases = [
        ("every: 5m, anchor: start", "every: 1m", json!({"every": {"interval": "1m"}})),
        (
            "every: 5m, anchor: start",
            "jitter: 1s, priority: 1",
            json!({"jittered": {"schedule": {"rate": {"interval": "5m"}}, "jitter": "1s"}}),
        ),
        ("every: 5m", "anchor: start", json!({"rate": {"interval": "5m"}})),
        ("every: 5m, anchor: start", "anchor: null", json!({"every": {"interval": "5m"}})),
        ("every: 5m", "cron: \"0 1 * * *\"", json!({"cron": {"expr": "0 1 * * *", "zone": "UTC", "dst": "once"}})),
        ("cron: \"0 1 * * *\", timezone: Asia/Tokyo", "every: 5m", json!({"every": {"interval": "5m"}})),
        (
            "spread: {window: 01:00-02:00, per_second: 5}",
            "spread: {per_second: 7}",
            json!({"spread": {"window": "01:00-02:00", "zone": "UTC", "per_second": 7}}),
        ),
        (
            "schedules: [{cron: \"0 1 * * *\"}, {every: 1h, anchor: start}]",
            "schedules: [{spread: 01:00-02:00}]",
            json!({"spread": {"window": "01:00-02:00", "zone": "UTC"}}),
        ),
    ];
    for (job, layer, schedule) in cases {
        let text = format!(
            "version: 1\ntenants: [{{id: a, jobs: {{j: {{{layer}}}}}}}]\njobs: [{{name: j, {job}, handler: h}}]\n"
        );
        let definition = Arc::clone(&good(&text).desired(NOW, &[]).jobs[0].definition);
        assert_eq!(serde_json::to_value(&definition.schedule).unwrap(), schedule, "{job} with {layer}");
    }
    let handler = |layer: &str| {
        let text = format!(
            "version: 1\ntenants: [{{id: a, jobs: {{j: {{{layer}}}}}}}]\n\
             jobs: [{{name: j, every: 1h, http: {{method: PUT, url: \"http://h/\", headers: {{x-a: b}}}}}}]\n"
        );
        let definition = Arc::clone(&good(&text).desired(NOW, &[]).jobs[0].definition);
        serde_json::to_value(&definition.handler).unwrap()
    };
    assert_eq!(handler("command: {argv: [x]}"), json!({"command": {"argv": ["x"]}}));
    assert_eq!(handler("handler: x"), json!({"named": {"name": "x"}}));
    let http = &handler("http: {headers: {x-c: d}}")["http"];
    assert_eq!((&http["method"], &http["headers"]), (&json!("PUT"), &json!({"x-a": "b", "x-c": "d"})));
}
