//! Pauses, backfills, explanations and the ledger, on a SQLite store.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::time::Instant;

use rustix::process::Signal;
use serde_json::{Value, json};
use support::{DEADLINE, Place, Running, wait_for};

/// Two jobs that are due in years, one that is due every second, and one that waits for itself.
const CONFIG: &str = r#"version: 1
tenants:
  - {id: acme, plan: enterprise, timezone: Europe/Berlin}
  - {id: globex, plan: free}
  - {id: initech}
jobs:
  - {name: sync, cron: "0 0 0 1 1 * 2098", timezone: "{{ tenant.timezone }}", tenants: {plan: enterprise}, command: {argv: ["true"]}}
  - {name: report, cron: "0 0 0 1 1 * 2098", tenants: {plan: [enterprise, free]}, command: {argv: ["true"]}}
  - {name: tick, cron: "* * * * * *", tenants: {id: initech}, command: {argv: ["true"]}}
  - {name: chain, every: 1d, tenants: {id: initech}, command: {argv: ["true"]}}
"#;

fn json_of(place: &Place, args: &[&str]) -> Value {
    place.run(&[args, &["-o", "json"]].concat()).ok().json()
}

/// Tenant and job of those that are paused.
fn paused(place: &Place) -> Vec<String> {
    let jobs = json_of(place, &["jobs"]);
    let paused = jobs.as_array().unwrap().iter().filter(|job| !job["paused"].is_null());
    paused.map(|job| format!("{}/{}", job["tenant"].as_str().unwrap(), job["job"].as_str().unwrap())).collect()
}

#[test]
fn jobs_are_paused_and_resumed_by_selector() {
    let place = Place::with(CONFIG);
    let dry = place.run(&["pause", "--plan", "enterprise", "--reason", "upgrade", "--dry-run"]).ok();
    assert_eq!(dry.stdout, "acme/report\nacme/sync\n2 jobs match\ndry run: nothing was paused\n");
    assert_eq!(paused(&place), [""; 0]);

    let ran = place.run(&["pause", "-t", "acme", "-j", "sync", "--reason", "upgrade"]).ok();
    assert_eq!(ran.stdout, "1 job matches\npaused 1\n");
    assert_eq!(paused(&place), ["acme/sync"]);
    let all = place.run(&["pause", "--all", "--reason", "the store moves", "--for", "2h"]).ok();
    assert!(all.stdout.starts_with("5 jobs match\npaused 4 until "), "{}", all.stdout);
    assert!(all.stdout.ends_with("; 1 was paused before\n"), "{}", all.stdout);
    assert_eq!(json_of(&place, &["status"])["catalog"]["paused"], 5);

    let list = place.run(&["jobs"]).ok().stdout;
    assert!(list.contains("until it is resumed: upgrade") && list.contains("Z: the store moves"), "{list}");
    let shown = json_of(&place, &["jobs", "show", "sync", "-t", "acme"]);
    assert_eq!((&shown["paused"]["reason"], &shown["paused"]["until"]), (&json!("upgrade"), &Value::Null));

    let resumed =
        json_of(&place, &["resume", "--job", "report", "--job", "tick", "--plan", "enterprise", "--plan", "free"]);
    assert_eq!(resumed, json!({"matched": 2, "changed": 2, "until": null}));
    assert_eq!(paused(&place), ["acme/sync", "initech/chain", "initech/tick"]);
    assert_eq!(place.run(&["resume", "--all"]).ok().stdout, "5 jobs match\nresumed 3; 2 were not paused\n");
    assert_eq!(paused(&place), [""; 0]);
}

#[test]
fn a_pause_needs_a_selector_a_reason_and_an_end_in_the_future() {
    let place = Place::with(CONFIG);
    for args in [
        &["pause", "--reason", "x"][..],
        &["pause", "--all"],
        &["pause", "--all", "--reason", ""],
        &["pause", "--all", "--tenant", "acme", "--reason", "x"],
        &["pause", "--all", "--reason", "x", "--until", "2026-01-01T00:00:00"],
        &["pause", "--all", "--reason", "x", "--until", "2020-01-01T00:00:00Z"],
        &["pause", "--all", "--reason", "x", "--for", "0s"],
        &["pause", "--all", "--reason", "x", "--for", "1h", "--until", "2098-01-01T00:00:00Z"],
        &["resume"],
    ] {
        assert_eq!(place.run(args).code, 2, "{args:?}");
    }
    for args in [&["pause", "-t", "nobody", "--reason", "x"][..], &["resume", "--plan", "platinum"]] {
        let ran = place.run(args);
        assert_eq!((ran.code, ran.stderr.as_str()), (4, "error: no active job matches\n"), "{args:?}");
    }
    assert_eq!(paused(&place), [""; 0]);
}

#[test]
fn a_backfill_is_shown_first_and_never_made_twice() {
    let place = Place::with(CONFIG);
    let range =
        ["backfill", "-t", "initech", "-j", "tick", "--from", "2026-01-01T00:00:00Z", "--to", "2026-01-01T00:00:05Z"];
    let with = |more: &[&str]| place.run(&[&range[..], more].concat());
    let shown = "initech/tick: 5 due times, from 2026-01-01T00:00:00.000Z to 2026-01-01T00:00:04.000Z; at 2/m they take \
                 2m, or longer if runs wait for each other\n";
    let plain = with(&["--rate", "2/m"]).ok().stdout;
    assert_eq!(plain, format!("{shown}nothing was queued: add --yes to do so\n"));
    assert_eq!(with(&["--rate", "2/m", "--dry-run"]).ok().stdout, format!("{shown}dry run: nothing was queued\n"));
    assert_eq!(json_of(&place, &["runs", "--tenant", "initech"]), json!([]));

    assert!(with(&["--yes"]).ok().stdout.ends_with("\nqueued 5 runs\n"));
    let runs = json_of(&place, &["runs", "--tenant", "initech"]);
    let causes: Vec<&str> = runs.as_array().unwrap().iter().map(|run| run["cause"].as_str().unwrap()).collect();
    assert_eq!(causes, ["backfill"; 5]);
    assert!(with(&["-y"]).ok().stdout.ends_with("\nqueued 0 runs; 5 backfilled before\n"));
    let again = json_of(&place, &[&range[..], &["-y"]].concat());
    assert_eq!((&again["count"], &again["queued"], &again["takes_ms"]), (&json!(5), &json!(0), &json!(4000)));
}

#[test]
fn a_backfill_that_cannot_be_meant_is_refused() {
    let place = Place::with(CONFIG);
    let of = |job: &str, from: &str, to: &str| {
        place.run(&["backfill", "-t", "initech", "-j", job, "--from", from, "--to", to, "-y"])
    };
    let delay = of("chain", "24h", "0s");
    assert_eq!(delay.code, 1);
    assert!(delay.stderr.contains("initech/chain runs an interval after the end of each run"), "{}", delay.stderr);
    let many = of("tick", "24h", "0s");
    assert_eq!(many.code, 1);
    assert!(many.stderr.contains("86400 due times: at most 10000"), "{}", many.stderr);
    assert_eq!(of("tick", "1h", "2h").code, 2);
    assert_eq!(of("tick", "2098-01-01T00:00:00Z", "2098-01-02T00:00:00Z").code, 2, "the future is not backfilled");
    assert_eq!(of("none", "1h", "0s").code, 4);
    assert_eq!(json_of(&place, &["runs"]), json!([]));
}

#[test]
fn a_job_is_explained() {
    let place = Place::with(CONFIG);
    place.run(&["pause", "-t", "acme", "-j", "sync", "--reason", "upgrade"]).ok();
    let text = place.run(&["explain", "sync", "-t", "acme"]).ok().stdout;
    for part in [
        "schedule     0 0 0 1 1 * 2098 Europe/Berlin\n",
        "time zone    Europe/Berlin, which is the tenant's own\n",
        ", until it is resumed: upgrade\n",
        "\nSETTING ",
        "\ncommand.argv ",
        "  job (line 7)\n",
        "Wed 2098-01-01 00:00:00 +01:00  2097-12-31T23:00:00.000Z",
        "  paused\n",
        "\nNothing was due in the last 400 days.\n",
    ] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
    let job = json_of(&place, &["explain", "chain", "-t", "initech"]);
    assert_eq!((&job["version"], &job["next"][0]["at"]), (&json!(1), &job["next_due"]));
    assert_eq!(place.run(&["explain", "chain", "-t", "acme"]).code, 4);
}

#[test]
fn the_ledger_says_what_became_of_every_due_time() {
    let place = Place::with(CONFIG);
    let ledger = |more: &[&str]| place.run(&[&["ledger", "-t", "initech", "-j", "tick"], more].concat());
    assert_eq!(place.run(&["ledger", "-t", "acme", "-j", "tick"]).code, 4);
    assert_eq!(ledger(&["--from", "1h", "--to", "2h"]).code, 2);
    assert_eq!(ledger(&["--from", "2026-01-01"]).code, 2);

    // Nobody leads: what was due is pending, and from the pause on it is known to be paused.
    let pending = wait_for("a due time", || Some(ledger(&["-o", "json"]).ok().json()).filter(|l| l["expected"] != 0));
    assert_eq!((&pending["pending"], &pending["missing"]), (&pending["expected"], &json!(0)));
    place.run(&["pause", "-t", "initech", "--reason", "upgrade"]).ok();
    let open = wait_for("a due time in the pause", || {
        let ledger = ledger(&["-o", "json"]).ok().json();
        ledger["entries"].as_array().unwrap().last().cloned().filter(|entry| entry["outcome"] == "paused")
    });
    assert_eq!((&open["open"], &open["detail"]), (&json!(true), &json!("recorded when the pause ends")));
    place.run(&["resume", "-t", "initech"]).ok();

    let dev = Running::start(place.command(&["dev", "leasehold.yaml", "--ops-listen", ":0"]));
    let until = Instant::now() + DEADLINE;
    while !dev.line(until).expect("a report").contains("succeeded") {}
    let done = wait_for("everything that was due to be accounted for", || {
        let ledger = ledger(&["-o", "json"]).ok().json();
        let outcomes: Vec<_> = ledger["entries"].as_array().unwrap().iter().map(|e| e["outcome"].clone()).collect();
        (ledger["pending"] == 0 && outcomes.contains(&json!("succeeded"))).then_some(ledger)
    });
    assert_eq!((&done["missing"], &done["accounted"]), (&json!(0), &done["expected"]), "{done}");
    assert_eq!(
        (&done["tenant"], &done["job"], &done["basis"]),
        (&json!("initech"), &json!("tick"), &json!("schedule"))
    );
    let outcomes: Vec<_> = done["entries"].as_array().unwrap().iter().map(|e| e["outcome"].as_str().unwrap()).collect();
    assert!(outcomes.contains(&"paused"), "{done}");
    let text = ledger(&[]).ok().stdout;
    assert!(text.starts_with("FROM (UTC)") && text.contains(", missing 0"), "{text}");
    let chain = json_of(&place, &["ledger", "-t", "initech", "-j", "chain"]);
    assert_eq!((&chain["basis"], &chain["missing"]), (&json!("completions"), &json!(0)));
    let explained = place.run(&["explain", "tick", "-t", "initech"]).ok().stdout;
    assert!(explained.contains("\nThe last due time, "), "{explained}");
    dev.signal(Signal::TERM);
    assert_eq!(dev.end().0.code(), Some(0));
}

#[test]
fn a_run_is_triggered_beside_others_and_while_its_job_is_paused() {
    let place = Place::with(CONFIG);
    place.run(&["pause", "--all", "--reason", "upgrade"]).ok();
    let id = place.run(&["trigger", "report", "-t", "globex", "--beside"]).ok().stdout;
    let story = json_of(&place, &["runs", "show", id.trim()]);
    assert_eq!((&story["cause"], &story["job"]), (&json!("trigger"), &json!("report")));
}
