//! The config file: what a check says word for word, what it makes of a good file, and what no file can do to it.

#![expect(clippy::unwrap_used, reason = "tests")]

mod blackouts;
mod bounds;
mod commands;
mod hooks;
mod http;
mod laws;
mod layers;
mod manual;
mod merging;
mod messages;
mod policies;
mod rules;

use std::fmt::Write;
use std::sync::Arc;

use jiff::Timestamp;
use leasehold_common::config::{self, Checked, Config};
use leasehold_common::definition::Definition;

/// The text must be the one that is on record.
macro_rules! assert_snapshot {
    ($text:expr) => {{
        let text = $text;
        insta::with_settings!({ omit_expression => true }, { insta::assert_snapshot!(text) });
    }};
}

use assert_snapshot;

/// An environment with two variables.
fn env(name: &str) -> Option<String> {
    match name {
        "HOST" => Some("hooks.internal:8443".to_owned()),
        "TRICK" => Some("x\"}\njobs: []\nversion: 9 # {a: [".to_owned()),
        _ => None,
    }
}

fn check(text: &str) -> Checked {
    let checked = config::check("leasehold.yaml", text, &env);
    let errors = checked.counts().0;
    assert_eq!(checked.config.is_some(), errors == 0, "there is a config if and only if there is no error");
    checked
}

/// Everything that a check says, as it is printed.
fn said(text: &str) -> String {
    let checked = check(text);
    let mut out = String::new();
    for diagnostic in &checked.diagnostics {
        writeln!(out, "{diagnostic}\n").unwrap();
    }
    if checked.omitted > 0 {
        writeln!(out, "and {} more", checked.omitted).unwrap();
    }
    out
}

/// A config with two tenants around some jobs.
fn with_jobs(jobs: &str) -> String {
    format!(
        "version: 1\n\
         tenants:\n\
         \x20 - {{id: acme, plan: enterprise, features: [billing, reports], timezone: America/New_York, labels: {{region: us}}}}\n\
         \x20 - {{id: globex, plan: starter, features: [billing]}}\n\
         jobs:\n{jobs}"
    )
}

/// A sound job with one more line.
fn with_line(line: &str) -> String {
    with_jobs(&format!("  - name: sync\n    every: 30s\n    handler: sync\n    {line}\n"))
}

/// The example that the manual starts with.
const EXAMPLE: &str = r#"
version: 1
tenants:
  - {id: acme, plan: enterprise, features: [billing, reports], timezone: America/New_York, labels: {region: us}}
  - {id: globex, plan: starter, features: [billing]}
jobs:
  - name: sync-orders
    every: 30s                       # counted from the completion of the previous run
    http: {method: POST, url: "http://127.0.0.1:9000/sync/{{ tenant.id }}"}
    timeout: 20s
    retry: {attempts: 5, backoff: {initial: 1s, max: 5m, factor: 2}}
  - name: nightly-report
    tenants: {features: [reports]}
    cron: "0 2 * * *"
    timezone: "{{ tenant.timezone }}"
    command: {argv: ["./report.sh", "{{ tenant.id }}"]}
"#;

/// An example with all policies.
const POLICIES: &str = include_str!("../../../examples/policies.yaml");

/// The config of a text that must be faultless.
fn good(text: &str) -> Config {
    let checked = check(text);
    assert_eq!(said(text), "");
    checked.config.unwrap()
}

/// A config with some blackouts and a job that has these lines; a job beside it names them all.
fn with_blackouts(lines: &str) -> String {
    let jobs = format!(
        "  - name: a\n    handler: a\n    {lines}\n  - {{name: all, every: 1h, handler: a, blackouts: [year-end, nights, weekend]}}\n"
    );
    format!(
        "{}blackouts:\n  year-end: {{from: 2026-12-24, to: 2027-01-02T08:00, timezone: Europe/Berlin}}\n  \
         nights: {{daily: 02:00-03:00, days: mon-fri}}\n  weekend: {{daily: 00:00-24:00, days: [sat, sun]}}\n",
        with_jobs(&jobs)
    )
}

/// The first definition of a job with these lines.
fn definition(lines: &str) -> Arc<Definition> {
    Arc::clone(&good(&with_blackouts(lines)).desired(Timestamp::UNIX_EPOCH, &[]).jobs[0].definition)
}

/// Everything that is said of jobs with these lines, each under its lines.
fn said_of_lines(cases: &[&str]) -> String {
    said_of_texts(&cases.iter().map(|lines| (*lines, with_blackouts(lines))).collect::<Vec<_>>())
}

/// Several configs, each under its name, with all that is said about them.
fn said_of_texts(cases: &[(&str, String)]) -> String {
    let mut out = String::new();
    for (name, text) in cases {
        let said = said(text);
        assert!(!said.is_empty(), "nothing is said about: {name}");
        writeln!(out, "=== {name}\n{said}").unwrap();
    }
    out
}
