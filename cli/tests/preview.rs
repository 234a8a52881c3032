//! What a config and an expression will do, before they do it: `preview` and `next --dst`.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use serde_json::{Value, json};
use support::Place;

const CONFIG: &str = r#"version: 1
tenants:
  - {id: acme, timezone: America/New_York}
  - {id: globex, timezone: UTC}
jobs:
  - {name: report, cron: "0 2 * * *", timezone: "{{ tenant.timezone }}", handler: a}
  - {name: poll, cron: "*/30 1-2 * * *", handler: a}
  - {name: sync, every: 10m, handler: a}
"#;

fn preview(args: &[&str]) -> support::Ran {
    let place = Place::empty();
    place.write("leasehold.yaml", CONFIG);
    place.run(&[&["preview", "leasehold.yaml"], args].concat())
}

#[test]
fn a_forecast_for_scripts_has_the_promised_shape() {
    let args = ["--from", "2026-11-21T01:00:00Z", "--to", "2026-11-21T04:00:00Z", "-o", "json"];
    let told = preview(&args).ok().json();
    let fields: Vec<&String> = told.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["at_most", "busiest", "fires", "from", "hours", "jobs", "tenants", "to"]);
    assert_eq!((&told["from"], &told["to"]), (&json!("2026-11-21T01:00:00Z"), &json!("2026-11-21T04:00:00Z")));
    assert_eq!((&told["tenants"], &told["jobs"]), (&json!(2), &json!(6)));
    assert_eq!(told["at_most"], json!(["sync"]));
    let hours = told["hours"].as_array().unwrap();
    assert_eq!(hours.len(), 3);
    assert_eq!(hours[0]["hour"], "2026-11-21T01:00:00Z");
    // Two tenants poll twice an hour, and sync six times; one of them reports at 02:00 UTC.
    assert_eq!(hours.iter().map(|hour| &hour["fires"]).collect::<Vec<_>>(), [&json!(16), &json!(17), &json!(12)]);
    assert_eq!(told["busiest"]["minute"], "2026-11-21T02:00:00Z");
    let shares = told["busiest"]["jobs"].as_array().unwrap();
    assert_eq!(shares[0], json!({"job": "poll", "fires": 2}));
    let sum = |of: &[Value]| of.iter().map(|of| of["fires"].as_u64().unwrap()).sum::<u64>();
    assert_eq!((json!(sum(hours)), json!(sum(shares))), (told["fires"].clone(), told["busiest"]["fires"].clone()));
}

#[test]
fn a_forecast_for_people_is_a_table_also_in_a_pipe() {
    let ran = preview(&["--from", "2026-11-21T01:00:00Z", "--to", "2026-11-21T04:00:00Z"]).ok();
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines[0], "from 2026-11-21 01:00 up to 2026-11-21 04:00: 2 tenants, 6 jobs");
    assert_eq!(lines[1], "HOUR (UTC)        FIRES  PEAK MINUTE");
    assert!(lines[3].starts_with("2026-11-21 02:00     17  02:00 ") && lines[3].ends_with('█'), "{}", ran.stdout);
    assert!(ran.stdout.contains("\ntotal 45; the busiest minute is 2026-11-21 02:00, with "), "{}", ran.stdout);
    assert!(ran.stdout.ends_with("sync: counted from the end of each run, so these are the most there can be\n"));
}

#[test]
fn a_day_from_now_is_the_default() {
    let told = preview(&["-o", "json"]).ok().json();
    let hours = told["hours"].as_array().unwrap().len();
    assert!((24..=25).contains(&hours), "{hours}");
}

#[test]
fn what_cannot_be_previewed_is_invalid_input() {
    for (args, because) in [
        (["--from", "2026-11-21T01:00:00Z", "--to", "2026-11-21T01:00:00Z"], "error: --to must be at least a minute"),
        (["--from", "2026-11-21T01:00:00Z", "--to", "2027-11-21T01:00:00Z"], "is more than 31 days"),
        (["--from", "2026-11-21", "--to", "2026-11-22"], "write an instant with its offset"),
    ] {
        let ran = preview(&args);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{args:?}");
        assert!(ran.stderr.contains(because), "{args:?}: {}", ran.stderr);
    }
    let place = Place::empty();
    place.write("leasehold.yaml", &CONFIG.replace("0 2 * * *", "0 25 * * *"));
    let ran = place.run(&["preview", "leasehold.yaml"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
    assert!(ran.stderr.contains("hour field: `25`"), "{}", ran.stderr);
    assert_eq!(place.run(&["preview", "nowhere.yaml"]).code, 2);
}

fn next(args: &[&str]) -> support::Ran {
    Place::empty().run(&[&["next"], args].concat())
}

#[test]
fn clock_changes_for_scripts_have_the_promised_shape() {
    let berlin = ["30 2 * * *", "--tz", "Europe/Berlin", "--from", "2027-01-01T00:00:00Z", "--dst", "-o", "json"];
    assert_eq!(
        next(&berlin).ok().json(),
        json!({
            "zone": "Europe/Berlin",
            "changes": [
                {
                    "at": "2027-03-28T01:00:00Z",
                    "from_offset": "+01:00",
                    "to_offset": "+02:00",
                    "fires": [
                        {"at": "2027-03-27T01:30:00Z", "local": "2027-03-27T02:30:00+01:00", "note": null},
                        {
                            "at": "2027-03-28T01:00:00Z",
                            "local": "2027-03-28T03:00:00+02:00",
                            "note": "moved",
                            "moved_from": ["2027-03-28T02:30:00"]
                        },
                        {"at": "2027-03-29T00:30:00Z", "local": "2027-03-29T02:30:00+02:00", "note": null}
                    ],
                    "skipped": [],
                    "repeated": []
                },
                {
                    "at": "2027-10-31T01:00:00Z",
                    "from_offset": "+02:00",
                    "to_offset": "+01:00",
                    "fires": [{"at": "2027-10-31T00:30:00Z", "local": "2027-10-31T02:30:00+02:00", "note": null}],
                    "skipped": [],
                    "repeated": [{"at": "2027-10-31T01:30:00Z", "local": "2027-10-31T02:30:00+01:00"}]
                }
            ]
        })
    );
    let policy = |policy: &str, of: &str| {
        let told = next(&[&berlin[..], &["--policy", policy]].concat()).ok().json();
        told["changes"].as_array().unwrap().iter().map(|change| change[of].clone()).collect::<Vec<_>>()
    };
    assert_eq!(policy("skip", "skipped"), [json!(["2027-03-28T02:30:00"]), json!([])]);
    assert_eq!(policy("literal", "fires")[1][1]["note"], "again");
    let tokyo = next(&["@daily", "--tz", "Asia/Tokyo", "--dst", "-o", "json"]).ok().json();
    assert_eq!(tokyo, json!({"zone": "Asia/Tokyo", "changes": []}));
}

#[test]
fn the_policy_decides_what_comes_next() {
    let march = ["30 2 * * *", "--tz", "America/New_York", "--from", "2026-03-08T00:00:00Z", "-n", "1", "-o", "json"];
    let with = |policy: &str| next(&[&march[..], &["--policy", policy]].concat()).ok().json();
    assert_eq!(with("once"), json!(["2026-03-08T07:00:00Z"]));
    assert_eq!(with("skip"), json!(["2026-03-09T06:30:00Z"]));
    for args in [&["@daily", "--policy", "twice"][..], &["@daily", "--dst", "-n", "3"]] {
        assert_eq!(next(args).code, 2, "{args:?}");
    }
}

#[test]
fn clock_changes_for_people_say_what_happens() {
    let text = next(&["30 2 * * *", "--tz", "Europe/Berlin", "--from", "2027-01-01T00:00:00Z", "--dst"]).ok().stdout;
    assert!(text.contains("\n2027-03-28 02:00 clocks go forward to 03:00\n"), "{text}");
    assert!(text.contains("2027-03-28T01:00:00Z  moved from 02:30, skipped by the clocks\n"), "{text}");
    let text = next(&["@daily", "--tz", "UTC", "--from", "2027-01-01T00:00:00Z", "--dst"]).ok().stdout;
    assert!(text.ends_with("\nthe clocks of UTC do not change after 2027-01-01T00:00:00Z\n"), "{text}");
}
