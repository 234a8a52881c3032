//! `check`, `next`, help and completions: what needs no store.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use serde_json::json;
use support::Place;

const GOOD: &str = r#"version: 1
tenants:
  - {id: acme, plan: enterprise, features: [reports], timezone: America/New_York}
  - {id: globex}
jobs:
  - name: sync
    every: 30s
    http: {method: POST, url: "https://example.com/{{ tenant.id }}"}
  - name: report
    tenants: {features: [reports]}
    cron: "0 2 * * *"
    timezone: "{{ tenant.timezone }}"
    command: {argv: ["./report.sh", "{{ tenant.id }}"]}
"#;

/// Ten different mistakes.
const BAD: &str = r#"version: 1
tenants:
  - {id: acme, plan: enterprise, timezone: America/New_Yrok}
  - {id: "../etc"}
  - {id: globex}
  - {id: globex}
jobs:
  - name: sync
    evry: 30s
    http: {method: POST, url: "https://example.com/{{ tenant.id }}"}
  - name: report
    cron: "0 25 * * *"
    command: {argv: ["./report.sh"]}
  - name: report
    every: soon
    command: {argv: ["./report.sh"]}
  - name: both
    every: 1m
    cron: "* * * * *"
    command: {argv: ["./report.sh"]}
  - name: unknown-variable
    every: 1m
    http: {method: POST, url: "https://example.com/{{ tenant.naem }}"}
  - name: nobody
    tenants: {plan: enterprize}
    every: 1m
    command: {argv: ["./report.sh"]}
  - name: no-handler
    every: 1m
"#;

#[test]
fn a_good_file_is_summed_up_in_one_line() {
    let place = Place::empty();
    place.write("leasehold.yaml", GOOD);
    let ran = place.run(&["check", "leasehold.yaml"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(ran.stdout, "leasehold.yaml: ok: 2 tenants, 2 jobs, 3 in all\n");
}

#[test]
fn every_mistake_is_found_in_one_go() {
    let place = Place::empty();
    place.write("leasehold.yaml", BAD);
    let ran = place.run(&["check", "leasehold.yaml"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
    let places = ran.stderr.matches(" --> leasehold.yaml:").count();
    assert!(places >= 10, "{places} places in\n{}", ran.stderr);
    insta::assert_snapshot!(ran.stderr);
}

#[test]
fn warnings_alone_are_no_failure() {
    let place = Place::empty();
    place.write("leasehold.yaml", &GOOD.replace("[reports]}\n    cron", "[exports]}\n    cron"));
    let ran = place.run(&["check", "leasehold.yaml"]).ok();
    assert!(ran.stderr.starts_with("warning: "), "{}", ran.stderr);
    assert!(ran.stdout.ends_with(", 1 warning\n"), "{}", ran.stdout);
}

#[test]
fn a_file_that_cannot_be_read_is_invalid_input() {
    let place = Place::empty();
    let ran = place.run(&["check", "nowhere.yaml"]);
    assert_eq!(ran.code, 2);
    assert_eq!(ran.stderr, "error: cannot read nowhere.yaml: No such file or directory (os error 2)\n");
}

#[test]
fn next_answers_instants_strictly_after_from() {
    let place = Place::empty();
    let next = |args: &[&str]| place.run(&[&["next"], args].concat()).ok().json();
    let from = ["--from", "2026-11-21T02:00:00Z", "-n", "2", "-o", "json"];
    let two = json!(["2026-11-21T02:05:00Z", "2026-11-21T02:10:00Z"]);
    assert_eq!(next(&[&["*/5 * * * *"], &from[..]].concat()), two);
    assert_eq!(next(&[&from[..], &["--", "*/5 * * * *"]].concat()), two);
    let march = ["30 2 * * *", "--tz", "America/New_York", "--from", "2026-03-08T00:00:00Z", "-n", "2", "-o", "json"];
    // 02:30 does not exist on 8 March: it runs right after the gap.
    assert_eq!(next(&march), json!(["2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"]));
    assert_eq!(next(&["0 0 0 1 1 * 2030", "-n", "5", "-o", "json"]), json!(["2030-01-01T00:00:00Z"]));
    assert_eq!(next(&["@daily", "-n", "0", "-o", "json"]), json!([]));
    assert_eq!(next(&["@hourly", "-o", "json"]).as_array().unwrap().len(), 10);
    let hashed = ["H H * * *", "--tenant", "acme", "--job", "sync", "-n", "1", "-o", "json"];
    assert_eq!(next(&hashed), next(&hashed));
}

#[test]
fn next_for_people() {
    let place = Place::empty();
    let args = ["next", "0 2 * * MON-FRI", "--tz", "Europe/Berlin", "--from", "2026-03-26T12:00:00Z", "-n", "3"];
    let ran = place.run(&args).ok();
    // The last column depends on the day on which this runs.
    let columns: Vec<&str> = ran.stdout.lines().map(|line| line.get(..55).unwrap_or(line).trim_end()).collect();
    insta::assert_snapshot!(columns.join("\n"));
}

#[test]
fn a_bad_expression_gets_a_reason_and_a_caret() {
    let place = Place::empty();
    let ran = place.run(&["next", "0 25 * * *", "-o", "json"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
    assert!(ran.stderr.contains("error: hour field: `25`"), "{}", ran.stderr);
    assert!(ran.stderr.contains("\n  0 25 * * *\n    ^^\n"), "{}", ran.stderr);
    for args in [
        vec!["next", "-5 * * * *"],
        vec!["next", "--", "-5 * * * *"],
        vec!["next", "H * * * *"],
        vec!["next", "* * * * *", "--tz", "Mars/Olympus"],
        vec!["next", "* * * * *", "--from", "2026-11-21 02:00"],
        vec!["next", "* * * * *", "-n", "-1"],
        vec!["next"],
    ] {
        let ran = place.run(&args);
        assert_eq!(ran.code, 2, "{args:?}");
        assert!(ran.stderr.starts_with("error: "), "{args:?}: {}", ran.stderr);
    }
}

#[test]
fn help_is_a_manual() {
    let place = Place::empty();
    let help = |args: &[&str]| place.run(args).ok().stdout;
    insta::assert_snapshot!("help", help(&["-h"]));
    insta::assert_snapshot!("help-apply", help(&["apply", "--help"]));
    insta::assert_snapshot!("help-watch", help(&["watch", "--help"]));
    insta::assert_snapshot!("help-next", help(&["next", "--help"]));
    insta::assert_snapshot!("help-runs", help(&["runs", "--help"]));
    for command in ["ledger", "pause", "backfill"] {
        insta::assert_snapshot!(format!("help-{command}"), help(&[command, "--help"]));
    }
}

#[test]
fn a_store_url_with_a_password_is_never_shown() {
    let place = Place::empty();
    let url = "postgres://leasehold:hunter2@127.0.0.1:1/leasehold";
    for args in [&["-h"][..], &["status", "--help"], &["dev", "--help"], &["status", "--nonsense"]] {
        let ran = support::Ran::from(place.command(args).env("LEASEHOLD_STORE", url).output().unwrap());
        assert!(!ran.stdout.contains("hunter2") && !ran.stderr.contains("hunter2"), "{args:?}");
    }
}

#[test]
fn completions_for_the_common_shells() {
    let place = Place::empty();
    for (shell, sign) in [("bash", "complete -F"), ("zsh", "#compdef leasehold"), ("fish", "complete -c leasehold")] {
        let ran = place.run(&["completions", shell]).ok();
        assert!(ran.stdout.contains(sign) && ran.stdout.contains("trigger"), "{shell}");
    }
}
