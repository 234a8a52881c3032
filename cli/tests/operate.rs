//! The operator's commands on a SQLite store, with every exit code.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::collections::BTreeSet;
use std::io::Read;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use support::{DEADLINE, Place, Running, leasehold, wait_for};

/// Jobs that are due in years, so that nothing happens that a test has not asked for.
const CONFIG: &str = r#"version: 1
tenants:
  - {id: acme, plan: enterprise, labels: {region: us}}
  - {id: globex}
jobs:
  - {name: sync, cron: "0 0 0 1 1 * 2098", command: {argv: ["true"]}}
  - {name: report, tenants: {plan: enterprise}, cron: "0 0 0 1 1 * 2098", command: {argv: ["true"]}}
"#;

/// A run that nobody will run.
const UNKNOWN: &str = "01a1fc96-f56e-8000-9938-183cc1766ad0";

/// The fields that scripts rely on, in order.
const REPORT: [&str; 17] = [
    "seq",
    "correlation_id",
    "tenant",
    "job",
    "cause",
    "scheduled_for",
    "attempt",
    "outcome",
    "next_attempt_at",
    "started_at",
    "finished_at",
    "duration_ms",
    "lateness_ms",
    "executor",
    "error",
    "error_code",
    "result",
];

/// The kinds of values in a JSON text, for snapshots of what changes from run to run.
fn shape(value: &Value) -> Value {
    match value {
        Value::Null => json!("null"),
        Value::Bool(_) => json!("bool"),
        Value::Number(_) => json!("number"),
        Value::String(_) => json!("string"),
        Value::Array(items) => items.iter().map(shape).take(1).collect(),
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), shape(value))).collect(),
    }
}

fn names(value: &Value, field: &str) -> Vec<String> {
    value.as_array().unwrap().iter().map(|item| item[field].as_str().unwrap().to_owned()).collect()
}

#[test]
fn without_a_store_a_command_is_wrong_usage() {
    let place = Place::empty();
    for args in [&["status"][..], &["watch"], &["migrate"], &["apply", "x.yaml"], &["trigger", "sync", "-t", "acme"]] {
        let ran = support::Ran::from(leasehold(place.path()).args(args).output().unwrap());
        assert_eq!(ran.code, 2, "{args:?}");
        assert!(ran.stderr.contains("--store") && ran.stderr.contains("LEASEHOLD_STORE"), "{}", ran.stderr);
    }
    assert_eq!(place.run(&["status", "--store", "mysql:x"]).code, 2);
    assert_eq!(place.run(&["conquer"]).code, 2);
}

#[test]
fn a_store_that_cannot_be_reached_is_code_3_and_one_line() {
    let place = Place::empty();
    for args in [&["status"][..], &["watch"], &["tenants"], &["migrate"]] {
        let ran = place.run(&[args, &["--store", "sqlite:/nowhere/at/all.db"]].concat());
        assert_eq!((ran.code, ran.stdout.as_str()), (3, ""), "{args:?}");
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    }
}

#[test]
fn a_store_without_a_schema_says_what_to_do() {
    let place = Place::empty();
    place.write("store.db", "");
    let ran = place.run(&["status"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("leasehold migrate"), "{}", ran.stderr);
}

#[test]
fn migrate_and_apply_can_be_repeated() {
    let place = Place::with(CONFIG);
    let again = place.run(&["migrate"]).ok();
    assert_eq!(again.stdout, "the schema is up to date\n");
    let again = place.run(&["apply", "leasehold.yaml"]).ok();
    assert_eq!(again.stdout, "nothing to do: the catalog is as the config says\n");
    let revision = place.run(&["status", "-o", "json"]).ok().json()["catalog"]["revision"].clone();
    assert_eq!(revision, 1);
}

#[test]
fn a_dry_run_prints_the_plan_and_writes_nothing() {
    let place = Place::empty();
    place.write("leasehold.yaml", CONFIG);
    place.run(&["migrate"]).ok();
    let dry = place.run(&["apply", "leasehold.yaml", "--dry-run"]).ok();
    insta::assert_snapshot!(dry.stdout);
    assert_eq!(place.run(&["tenants", "-o", "json"]).ok().json(), json!([]));
}

#[test]
fn a_large_removal_needs_a_word() {
    let place = Place::with(CONFIG);
    place.write("less.yaml", &CONFIG.replace("  - {id: globex}\n", ""));
    let refused = place.run(&["apply", "less.yaml"]);
    assert_eq!(refused.code, 1);
    assert!(
        refused.stderr.contains("1 of 3 jobs (33 %)") && refused.stderr.contains("--allow-removal"),
        "{}",
        refused.stderr
    );
    assert!(refused.stdout.contains("- remove job globex/sync"), "{}", refused.stdout);
    assert_eq!(place.run(&["jobs", "-o", "json"]).ok().json().as_array().unwrap().len(), 3);
    place.run(&["apply", "less.yaml", "--allow-removal"]).ok();
    assert_eq!(names(&place.run(&["jobs", "-o", "json"]).ok().json(), "job"), ["report", "sync"]);
}

#[test]
fn a_broken_config_changes_nothing() {
    let place = Place::with(CONFIG);
    place.write("broken.yaml", &CONFIG.replace("cron", "crno"));
    let ran = place.run(&["apply", "broken.yaml"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
    assert!(ran.stderr.contains("unknown key `crno`"), "{}", ran.stderr);
}

#[test]
fn tenants_are_listed_and_shown() {
    let place = Place::with(CONFIG);
    let list = place.run(&["tenants", "-o", "json"]).ok().json();
    let acme = json!({"id": "acme", "source": "", "plan": "enterprise", "labels": {"region": "us"}});
    assert_eq!(list, json!([acme, {"id": "globex", "source": ""}]));
    assert_eq!(place.run(&["tenants", "list", "-o", "json"]).ok().json(), list);
    assert_eq!(place.run(&["tenants", "show", "acme", "-o", "json"]).ok().json(), list[0]);
    insta::assert_snapshot!(place.run(&["tenants"]).ok().stdout);
    let unknown = place.run(&["tenants", "show", "initech"]);
    assert_eq!((unknown.code, unknown.stderr.as_str()), (4, "error: there is no tenant initech\n"));
    assert_eq!(place.run(&["tenants", "show", "../etc"]).code, 2);
}

#[test]
fn jobs_are_listed_and_shown() {
    let place = Place::with(CONFIG);
    let list = |args: &[&str]| place.run(&[&["jobs", "-o", "json"], args].concat()).ok().json();
    assert_eq!(names(&list(&[]), "job"), ["report", "sync", "sync"]);
    assert_eq!(names(&list(&["--job", "sync"]), "tenant"), ["acme", "globex"]);
    assert_eq!(names(&list(&["list", "--tenant", "globex"]), "job"), ["sync"]);
    let cut = place.run(&["jobs", "--limit", "1"]).ok();
    assert_eq!(cut.stdout.lines().count(), 2);
    assert!(cut.stderr.contains("more than these 1"), "{}", cut.stderr);
    let show = place.run(&["jobs", "show", "report", "--tenant", "acme"]).ok().stdout;
    assert!(show.contains("0 0 0 1 1 * 2098 UTC") && show.contains("next due     2098-01-01T00:00:00.000Z"), "{show}");
    insta::assert_json_snapshot!(shape(&list(&["--job", "report"])));
    assert_eq!(place.run(&["jobs", "show", "report", "--tenant", "globex"]).code, 4);
    assert_eq!(place.run(&["jobs", "--tenant", "acme", "show", "report", "--tenant", "acme"]).code, 2);
}

#[test]
fn a_triggered_run_has_a_story_and_can_be_cancelled_once() {
    let place = Place::with(CONFIG);
    let triggered = place.run(&["trigger", "sync", "--tenant", "acme"]).ok();
    let id = triggered.stdout.trim();
    assert_eq!(triggered.stdout, format!("{id}\n"));
    assert_eq!(id.len(), 36, "{id}");

    let story = place.run(&["runs", "show", id, "-o", "json"]).ok().json();
    assert_eq!(
        (&story["correlation_id"], &story["cause"], &story["reports"]),
        (&json!(id), &json!("trigger"), &json!([]))
    );
    assert_eq!(names(&place.run(&["runs", "-o", "json"]).ok().json(), "correlation_id"), [id]);
    assert_eq!(place.run(&["runs", "-o", "json", "--tenant", "globex"]).ok().json(), json!([]));
    assert_eq!(place.run(&["status", "-o", "json"]).ok().json()["queue"]["depth"], 1);

    place.run(&["runs", "cancel", id]).ok();
    let again = place.run(&["runs", "cancel", id]);
    assert_eq!(again.code, 1, "{}", again.stderr);
    let story = place.run(&["runs", "show", id]).ok().stdout;
    assert!(story.contains("cancelled on request"), "{story}");
    assert_eq!(
        names(&place.run(&["runs", "list", "--outcome", "cancelled", "-o", "json"]).ok().json(), "state"),
        ["ended"]
    );
}

#[test]
fn what_is_not_there_is_code_4() {
    let place = Place::with(CONFIG);
    for args in [
        &["trigger", "report", "--tenant", "globex"][..],
        &["trigger", "sync", "--tenant", "initech"],
        &["runs", "show", UNKNOWN],
        &["runs", "cancel", UNKNOWN],
        &["runs", "show", UNKNOWN, "-o", "json"],
    ] {
        let ran = place.run(args);
        assert_eq!((ran.code, ran.stdout.as_str()), (4, ""), "{args:?}: {}", ran.stderr);
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    }
    assert_eq!(place.run(&["runs", "show", "no-id"]).code, 2);
    assert_eq!(place.run(&["runs", "--outcome", "won"]).code, 2);
}

/// Ends a run by cancelling it before it starts, and answers its id.
fn cancelled_run(place: &Place, tenant: &str, job: &str) -> String {
    let id = place.run(&["trigger", job, "--tenant", tenant]).ok().stdout.trim().to_owned();
    place.run(&["runs", "cancel", &id]).ok();
    id
}

#[test]
fn watch_starts_now_or_where_it_is_told_and_has_exactly_the_promised_fields() {
    let place = Place::with(CONFIG);
    let before = cancelled_run(&place, "acme", "sync");
    let until = Instant::now() + DEADLINE;

    let all = Running::start(place.command(&["watch", "-o", "json", "--after", "0"]));
    let first = all.json(until);
    assert_eq!(first["correlation_id"], json!(before));
    let fields: BTreeSet<&str> = first.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields, BTreeSet::from(REPORT));
    assert_eq!(
        (&first["attempt"], &first["outcome"], &first["executor"]),
        (&json!(0), &json!("cancelled"), &Value::Null)
    );
    assert_eq!((&first["started_at"], &first["duration_ms"]), (&Value::Null, &Value::Null));

    let now = Running::start(place.command(&["watch", "-o", "json"]));
    let filtered =
        Running::start(place.command(&["watch", "-o", "json", "--after", "0", "--tenant", "globex", "--job", "sync"]));
    // Only a report that comes after its start proves that `now` has started.
    let later = wait_for("a report that a watch from now on sees", || {
        let id = cancelled_run(&place, "globex", "sync");
        let line = all.json(until);
        assert_eq!(line["correlation_id"], json!(id));
        now.try_line().map(|line| serde_json::from_str::<Value>(&line).unwrap())
    });
    assert!(later["seq"].as_i64() > first["seq"].as_i64(), "{later}");
    assert_eq!(filtered.json(until)["tenant"], "globex");

    for watch in [all, now, filtered] {
        watch.signal(Signal::INT);
        assert_eq!(watch.end().0.code(), Some(0));
    }
}

#[test]
fn lines_of_json_have_the_promised_order() {
    let place = Place::with(CONFIG);
    cancelled_run(&place, "acme", "sync");
    let watch = Running::start(place.command(&["watch", "-o", "json", "--after", "0"]));
    let line = watch.line(Instant::now() + DEADLINE).unwrap();
    let places: Vec<usize> = REPORT.iter().map(|name| line.find(&format!("\"{name}\":")).expect(name)).collect();
    assert!(places.is_sorted(), "{line}");
}

#[test]
fn watch_ends_quietly_when_its_reader_leaves_even_if_nothing_happens() {
    let place = Place::with(CONFIG);
    let mut watch = place.command(&["watch"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = watch.stdout.take().unwrap();
    let mut first = [0; 4];
    stdout.read_exact(&mut first).unwrap();
    drop(stdout);
    let status = wait_for("the end of a watch without a reader", || watch.try_wait().unwrap());
    let mut stderr = String::new();
    watch.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
}

#[test]
fn the_lease_kind_is_recorded() {
    let place = Place::with(CONFIG);
    assert!(place.run(&["lease", "kind"]).ok().stdout.starts_with("none"));
    assert_eq!(place.run(&["lease", "kind", "redis"]).ok().stdout, "redis\n");
    assert_eq!(place.run(&["lease", "kind"]).ok().stdout, "redis\n");
    assert_eq!(place.run(&["lease", "kind", "paper"]).code, 2);
}

#[test]
fn status_of_a_running_system_has_the_promised_shape() {
    let place = Place::empty();
    place.write("leasehold.yaml", CONFIG);
    let args = ["dev", "leasehold.yaml", "--ops-listen", ":0", "--queue", "default"];
    let dev = Running::start(place.command(&args));
    let status = wait_for("a leader and an executor", || {
        let ran = place.run(&["status", "-o", "json"]);
        (ran.code == 0).then(|| ran.json()).filter(|s| !s["leader"].is_null() && s["executors"] != json!([]))
    });
    insta::assert_json_snapshot!(shape(&status));
    assert_eq!(status["queue"]["depth"], 0);
    assert_eq!(status["next_due"], "2098-01-01T00:00:00.000Z");
    let overview = place.run(&["status"]).ok().stdout;
    assert!(overview.starts_with("Nothing needs attention.\n"), "{overview}");

    // A run that is asked for now is done at once, and its story says so.
    let id = place.run(&["trigger", "sync", "--tenant", "acme"]).ok().stdout.trim().to_owned();
    let story = wait_for("the run", || {
        Some(place.run(&["runs", "show", &id, "-o", "json"]).ok().json()).filter(|story| story["state"] == "ended")
    });
    assert_eq!((&story["outcome"], &story["reports"][0]["attempt"]), (&json!("succeeded"), &json!(1)), "{story}");
    let end = Instant::now() + Duration::from_secs(20);
    dev.signal(Signal::TERM);
    assert_eq!(dev.end().0.code(), Some(0));
    assert!(Instant::now() < end, "an idle system ends at once");
}

#[test]
fn dev_refuses_timings_that_do_not_fit_and_an_ops_port_that_is_taken() {
    let place = Place::empty();
    place.write("leasehold.yaml", CONFIG);
    let timing = place.run(&["dev", "leasehold.yaml", "--look-ahead", "11s", "--ops-listen", ":0"]);
    assert_eq!(timing.code, 2, "{}", timing.stderr);
    assert!(timing.stderr.contains("--look-ahead"), "{}", timing.stderr);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let port = place.run(&["dev", "leasehold.yaml", "--ops-listen", &address]);
    assert_eq!(port.code, 1, "{}", port.stderr);
    assert!(port.stderr.contains("in use"), "{}", port.stderr);
}
