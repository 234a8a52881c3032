//! Where each setting of a job comes from, by a file alone and by what was applied.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use serde_json::{Value, json};
use support::Place;

const CONFIG: &str = r#"version: 1
tenants:
  - {id: acme, plan: gold, timezone: Europe/Berlin}
  - {id: globex, plan: iron, jobs: {sync: {priority: 3}}}
plans:
  gold: {weight: 4, jobs: {sync: {timeout: 10m}, report: {enabled: false}}}
defaults:
  retry: {attempts: 7}
jobs:
  - {name: sync, cron: "0 0 0 1 1 * 2098", command: {argv: ["true"]}, payload: {to: "{{ tenant.id }}"}}
  - {name: report, cron: "0 0 0 1 1 * 2098", command: {argv: ["true"]}}
overrides:
  - {job: sync, tenants: {plan: gold}, until: 2097-01-01, reason: slow, set: {queue: slow}}
  - {job: sync, until: 2020-01-01, reason: long over, set: {queue: old}}
"#;

/// The layer of each setting, by key.
fn layers(explained: &Value) -> Vec<(String, Value, String)> {
    let settings = explained["layers"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    settings.map(|setting| (text(&setting["key"]), setting["value"].clone(), text(&setting["layer"]))).collect()
}

fn assert_layers(explained: &Value, expected: &[(&str, Value, &str)]) {
    let layers = layers(explained);
    for (key, value, layer) in expected {
        let expected = ((*key).to_owned(), value.clone(), (*layer).to_owned());
        assert!(layers.contains(&expected), "{expected:?} in {layers:?}");
    }
}

#[test]
fn a_file_is_explained_without_a_store() {
    let place = Place::empty();
    place.write("leasehold.yaml", CONFIG);
    let of = |job: &str, tenant: &str| {
        place.run(&["explain", job, "-t", tenant, "--config", "leasehold.yaml", "-o", "json"])
    };
    let acme = of("sync", "acme").ok().json();
    assert_layers(
        &acme,
        &[
            ("timeout", json!("10m"), "plan"),
            ("retry.attempts", json!(7), "defaults"),
            ("queue", json!("slow"), "override"),
            ("payload.to", json!("{{ tenant.id }}"), "job"),
            ("overlap", json!("skip"), "builtin"),
            ("tenant.weight", json!(4), "plan"),
        ],
    );
    let queue = acme["layers"].as_array().unwrap().iter().find(|setting| setting["key"] == "queue").unwrap();
    assert_eq!((&queue["reason"], &queue["until"]), (&json!("slow"), &json!("2097-01-01T00:00:00.000Z")));
    assert_eq!((&acme["version"], &acme["next_due"]), (&Value::Null, &json!("2098-01-01T00:00:00.000Z")));
    assert_layers(
        &of("sync", "globex").ok().json(),
        &[("priority", json!(3), "tenant"), ("queue", json!("default"), "builtin")],
    );
    let disabled = of("report", "acme");
    assert_eq!(disabled.code, 4);
    assert!(
        disabled.stderr.contains("has no job report: `enabled` is false by plan gold (line 6)"),
        "{}",
        disabled.stderr
    );
    assert_eq!(of("sync", "initech").code, 4);
    let table = place.run(&["explain", "sync", "-t", "acme", "--config", "leasehold.yaml"]).ok().stdout;
    assert!(table.contains("override until 2097-01-01T00:00:00Z: slow (line 13)"), "{table}");
    assert!(!table.contains("400 days"), "nobody has looked into a history: {table}");
}

#[test]
fn what_was_applied_is_explained_from_the_store() {
    let place = Place::with(CONFIG);
    std::fs::remove_file(place.path().join("leasehold.yaml")).unwrap();
    let explained = place.run(&["explain", "sync", "-t", "acme", "-o", "json"]).ok().json();
    assert_layers(&explained, &[("timeout", json!("10m"), "plan"), ("queue", json!("slow"), "override")]);
    assert_eq!(explained["version"], 1);
    let disabled = place.run(&["explain", "report", "-t", "acme"]);
    assert_eq!(disabled.code, 4);
    assert!(disabled.stderr.contains("`enabled` is false by plan gold"), "{}", disabled.stderr);
}

#[test]
fn overrides_that_have_ended_are_warned_of() {
    let place = Place::empty();
    place.write("leasehold.yaml", CONFIG);
    let checked = place.run(&["check", "leasehold.yaml"]).ok();
    assert!(checked.stderr.contains("warning: this override has ended at 2020-01-01T00:00:00Z"), "{}", checked.stderr);
    assert!(checked.stdout.ends_with("3 in all, 1 warning\n"), "{}", checked.stdout);
}

#[test]
fn a_roster_is_counted() {
    let place = Place::empty();
    place.write(
        "leasehold.yaml",
        "version: 1\nroster: {sources: [{name: crm, http: {url: \"http://127.0.0.1:9/\"}}]}\njobs: [{name: a, every: 1h, handler: a}]\n",
    );
    let checked = place.run(&["check", "leasehold.yaml"]).ok();
    assert_eq!(
        (checked.stdout.as_str(), checked.stderr.as_str()),
        ("leasehold.yaml: ok: 0 tenants, 1 job, 0 in all, and the tenants of 1 live source\n", "")
    );
    let preview = place.run(&["preview", "leasehold.yaml"]).ok();
    assert!(preview.stderr.contains("live sources are not counted"), "{}", preview.stderr);
}
