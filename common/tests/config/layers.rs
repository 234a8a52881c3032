//! Layers, overrides, limits and live tenants: what they make of a job, and what is said of mistakes in them.

use std::sync::Arc;

use jiff::Timestamp;
use leasehold_common::catalog::Member;
use leasehold_common::config::{Config, Layer};
use leasehold_common::definition::{Definition, Overlap};
use leasehold_common::limit::Limits;
use leasehold_common::roster::{OnLeave, Secret, SourceKind};
use serde_json::{Map, Value, json};

use crate::{assert_snapshot, check, good, said_of_texts};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// All kinds of layers over one job.
pub(crate) const LAYERED: &str = r#"
version: 1
roster: {sources: [{name: crm, http: {url: "https://crm.internal/tenants"}}]}
tenants:
  - {id: free, plan: starter}
  - {id: paying, plan: gold, timezone: Europe/Berlin}
  - {id: special, plan: gold, weight: 9, rate: null, jobs: {sync: {priority: -7, retry: {attempts: 9}}}}
  - {id: alone}
plans:
  gold:
    weight: 4
    concurrency: 10
    rate: 600/min
    jobs:
      sync: {every: 1m, payload: {limit: 500, deep: {a: 1}}, retry: {backoff: {max: 1m}}}
      report: {enabled: false}
  silver: {jobs: {sync: {cron: "*/5 * * * *", timezone: UTC}}}
defaults:
  timeout: 2m
  retry: {attempts: 5, backoff: {initial: 2s}}
  queue: shared
  payload: {source: leasehold}
jobs:
  - name: sync
    every: 10m
    anchor: start
    queue: null
    handler: sync
    payload: {limit: 100, deep: {b: 2}}
    concurrency: 2
    rate: 5/30s
    total: {concurrency: 50, rate: 1000/min}
    requires: {features: [crm, sync]}
  - {name: report, cron: "0 2 * * *", handler: report}
overrides:
  - {job: sync, tenants: {plan: gold}, from: 2026-12-01, until: "2026-12-03", reason: the CRM moves, set: {every: 1h, rate: null}}
  - {job: [sync, report], tenants: {id: special}, until: "2026-12-02T12:00Z", reason: slow, set: {queue: slow, enabled: true}}
"#;

/// The definition of a job of a tenant at an instant; `None` if it has none.
fn of(config: &Config, tenant: &str, job: &str, now: Timestamp) -> Option<Arc<Definition>> {
    let desired = config.desired(now, &[]);
    assert_eq!(desired.refused, []);
    let found = desired.jobs.iter().find(|found| found.tenant.as_str() == tenant && found.name.as_str() == job);
    found.map(|found| Arc::clone(&found.definition))
}

fn stored(definition: &Definition) -> Value {
    serde_json::from_str(&definition.to_json()).unwrap()
}

#[test]
fn the_last_layer_has_the_last_word() {
    let config = layered();
    let (early, late) = (at("2026-11-30T00:00:00Z"), at("2026-12-02T00:00:00Z"));
    let get = |tenant, now| stored(&of(&config, tenant, "sync", now).unwrap());

    let free = get("free", early);
    assert_eq!(free["schedule"], json!({"rate": {"interval": "10m"}}));
    assert_eq!(free["timeout"], "2m", "of defaults");
    assert_eq!(free["queue"], "default", "null takes what defaults say away");
    assert_eq!(free["payload"], json!({"source": "leasehold", "limit": 100, "deep": {"b": 2}}));
    assert_eq!(free["retry"], json!({"attempts": 5, "backoff": {"initial": "2s", "max": "5m", "factor": 2.0}}));
    assert_eq!(free["limits"], json!({"concurrency": 2, "rate": "5/30s"}));
    assert_eq!(free["total"], json!({"concurrency": 50, "rate": "1000/min"}));
    assert_eq!(free["requires"], json!(["crm", "sync"]));
    assert_eq!(get("alone", early), free);

    let paying = get("paying", early);
    assert_eq!(paying["schedule"], json!({"every": {"interval": "1m"}}), "a layer that says when says all of it");
    assert_eq!(paying["payload"], json!({"source": "leasehold", "limit": 500, "deep": {"a": 1, "b": 2}}));
    assert_eq!(paying["retry"]["backoff"], json!({"initial": "2s", "max": "1m", "factor": 2.0}));

    let special = get("special", early);
    assert_eq!((&special["priority"], &special["retry"]["attempts"]), (&json!(-7), &json!(9)));
    assert_eq!(special["queue"], "slow", "an override without `from` is in force at once");

    let paying = get("paying", late);
    assert_eq!(paying["schedule"], json!({"every": {"interval": "1h"}}));
    assert_eq!(paying["limits"], json!({"concurrency": 2}), "an override takes the rate away");
    assert_eq!(get("free", late), free, "its plan is not the one that the override selects");
}

fn layered() -> Config {
    good(LAYERED)
}

#[test]
fn a_job_that_is_not_enabled_is_not_there() {
    let config = layered();
    let report = |tenant, now| of(&config, tenant, "report", now).is_some();
    let (early, after) = (at("2026-12-02T11:59:59Z"), at("2026-12-02T12:00:00Z"));
    assert!(report("free", early) && report("alone", early));
    assert!(!report("paying", early));
    assert!(report("special", early) && !report("special", after), "until the override ends");
    let counts: Vec<_> = config.jobs().map(|(name, tenants)| format!("{name} {tenants}")).collect();
    assert_eq!(counts, ["sync 4", "report 2"]);
}

#[test]
fn overrides_begin_and_end_when_they_say() {
    let config = layered();
    let every =
        |now: &str| stored(&of(&config, "paying", "sync", at(now)).unwrap())["schedule"]["every"]["interval"].clone();
    assert_eq!(every("2026-11-30T23:59:59.999Z"), "1m");
    assert_eq!(every("2026-12-01T00:00:00Z"), "1h");
    assert_eq!(every("2026-12-02T23:59:59.999Z"), "1h");
    assert_eq!(every("2026-12-03T00:00:00Z"), "1m");

    let mut now = NOW;
    let mut changes = Vec::new();
    while let Some(next) = config.next_change(now) {
        changes.push(next.to_string());
        now = next;
    }
    assert_eq!(changes, ["2026-12-01T00:00:00Z", "2026-12-02T12:00:00Z", "2026-12-03T00:00:00Z"]);
    assert_eq!(config.ended_overrides(at("2026-12-02T11:00:00Z")), []);
    let ended = config.ended_overrides(at("2026-12-02T12:00:00Z"));
    assert_snapshot!(ended.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n"));
}

#[test]
fn tenants_have_what_their_plan_says_unless_they_say_it_themselves() {
    let config = layered();
    let desired = config.desired(NOW, &[]);
    let settings = |id: &str| {
        let tenant = &desired.tenants.iter().find(|tenant| tenant.id.as_str() == id).unwrap().tenant;
        (tenant.weight, tenant.limits)
    };
    let rate = "600/min".parse().ok();
    assert_eq!(settings("free"), (1, Limits::default()));
    assert_eq!(settings("paying"), (4, Limits { concurrency: Some(10), rate }));
    assert_eq!(settings("special"), (9, Limits { concurrency: Some(10), rate: None }));
}

#[test]
fn tenants_with_equal_layers_share_their_definitions() {
    let text = LAYERED.replace("  - {id: alone}\n", "  - {id: alone}\n  - {id: twin, plan: gold, jobs: {sync: {priority: -7, retry: {attempts: 9}}}}\n  - {id: same, plan: gold}\n");
    let config = good(&text);
    let get = |tenant| of(&config, tenant, "sync", NOW).unwrap();
    let desired = config.desired(NOW, &[]);
    let find = |tenant: &str| {
        let found = desired.jobs.iter().find(|job| job.tenant.as_str() == tenant && job.name.as_str() == "sync");
        Arc::clone(&found.unwrap().definition)
    };
    assert!(Arc::ptr_eq(&find("free"), &find("alone")));
    assert!(Arc::ptr_eq(&find("paying"), &find("same")), "of one plan");
    assert!(!Arc::ptr_eq(&find("paying"), &find("free")));
    assert_eq!(get("twin").priority, -7);
    // An override that says what is so anyway makes no new definition.
    let same = good(&format!(
        "{text}  - {{job: sync, tenants: {{id: free}}, until: \"2027-01-01\", reason: x, set: {{anchor: start}}}}\n"
    ));
    let jobs = same.desired(NOW, &[]).jobs;
    let find = |tenant: &str| Arc::clone(&jobs.iter().find(|job| job.tenant.as_str() == tenant).unwrap().definition);
    assert!(Arc::ptr_eq(&find("free"), &find("alone")));
}

fn row(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(row) => row,
        other => panic!("{other} is no row"),
    }
}

fn admitted(config: &Config, value: Value) -> Member {
    config.admit("crm", &row(value)).unwrap()
}

#[test]
fn live_tenants_are_read_like_those_of_the_file_and_a_little_less_strictly() {
    let config = layered();
    let strict = admitted(
        &config,
        json!({"id": "acme", "plan": "gold", "features": ["crm"], "timezone": "Europe/Berlin",
            "labels": {"tier": "1", "eu": "true"}, "weight": 2, "jobs": {"sync": {"priority": 3, "payload": {"n": 1}}}}),
    );
    assert_eq!((strict.tenant.weight, strict.tenant.limits.concurrency), (2, Some(10)), "the rest is the plan's");
    assert_eq!(strict.source, "crm");
    let lenient = admitted(
        &config,
        json!({"id": "acme", "plan": "gold", "features": "[\"crm\"]", "timezone": "Europe/Berlin", "created_at": 5,
            "labels": {"tier": 1, "eu": true}, "weight": "2", "rate": null, "concurrency": "",
            "jobs": "{\"sync\": {\"priority\": \"3\", \"payload\": {\"n\": 1}}}"}),
    );
    assert_eq!(lenient.tenant, strict.tenant);
    let jobs: Vec<_> = config.jobs_for(&[strict, lenient], NOW).jobs;
    assert!(Arc::ptr_eq(&jobs[0].definition, &jobs[1].definition), "the same in other words");
    assert_eq!(jobs[0].definition.priority, 3);
    assert_eq!(jobs[0].definition.payload.as_ref().unwrap()["n"], 1, "a number stays a number");
    let number = admitted(&config, json!({"id": 42, "jobs": {"unknown": {"every": "1m"}}}));
    assert_eq!(number.tenant.id.as_str(), "42");
}

#[test]
fn rows_that_do_not_fit_are_refused_alone() {
    let config = layered();
    let deep = (0..95).fold(json!(1), |inner, _| json!([inner]));
    let said: Vec<_> = [
        json!({}),
        json!({"id": null, "plan": "gold"}),
        json!({"id": "../etc"}),
        json!({"id": ["a"]}),
        json!({"id": "a", "timezone": "Mars/Base"}),
        json!({"id": "a", "features": "billing, reports"}),
        json!({"id": "a", "labels": ["x"]}),
        json!({"id": "a", "weight": 1001}),
        json!({"id": "a", "rate": "60 a minute"}),
        json!({"id": "a", "concurrency": 0}),
        json!({"id": "a", "jobs": {"sync": {"evry": "1m"}}}),
        json!({"id": "a", "jobs": {"sync": 5}}),
        json!({"id": "a", "database": {"url": "postgres://u:secret@db/app"}}),
        json!({"id": "a", "jobs": {"sync": {"payload": deep}}}),
        json!({"id": "x\u{1b}[2J".repeat(90)}),
        json!({"id": "a", "labels": {"x": "y".repeat(300_000)}}),
    ]
    .into_iter()
    .map(|value| {
        let refusal = config.admit("crm", &row(value)).unwrap_err();
        assert_eq!(refusal.source, "crm");
        assert!(refusal.reason.chars().all(|c| !c.is_control()), "{refusal:?}");
        format!("{}: {}", refusal.tenant.escape_default(), refusal.reason)
    })
    .collect();
    assert_snapshot!(said.join("\n"));
}

#[test]
fn a_live_tenant_for_which_a_job_does_not_fit_is_refused_alone() {
    let text = LAYERED.replace("handler: report}", "handler: report, timezone: \"{{ tenant.labels.zone }}\", payload: {to: \"{{ tenant.timezone }}\"}, tenants: {labels: {reports: \"yes\"}}}");
    let config = check(&text).config.unwrap();
    let reports = |id: &str, zone: Value, labels: Value| {
        let mut labels = labels;
        labels["reports"] = json!("yes");
        json!({"id": id, "timezone": zone, "labels": labels})
    };
    let members: Vec<_> = [
        reports("good", json!("UTC"), json!({"zone": "UTC"})),
        reports("no-label", json!("UTC"), json!({})),
        reports("bad-zone", json!("UTC"), json!({"zone": "Mars"})),
        reports("no-zone", json!(null), json!({"zone": "UTC"})),
        json!({"id": "type", "jobs": {"sync": {"timeout": 5}}}),
        json!({"id": "together", "jobs": {"sync": {"http": {"url": "http://h/"}, "jitter": "1s", "every": "5m"}}}),
        json!({"id": "unconcerned"}),
    ]
    .into_iter()
    .map(|value| admitted(&config, value))
    .collect();
    let answer = config.jobs_for(&members, NOW);
    let mut with_jobs: Vec<_> = answer.jobs.iter().map(|job| format!("{} {}", job.tenant, job.name)).collect();
    with_jobs.sort();
    assert_eq!(with_jobs, ["good report", "good sync", "unconcerned sync"]);
    let said: Vec<_> =
        answer.refused.iter().map(|found| format!("{} {}: {}", found.source, found.tenant, found.reason)).collect();
    assert_snapshot!(said.join("\n"));
    let desired = config.desired(NOW, &members);
    let tenants: Vec<_> = desired.tenants.iter().map(|tenant| tenant.id.as_str()).collect();
    assert_eq!(tenants, ["free", "paying", "special", "alone", "good", "unconcerned"]);
    assert_eq!(desired.refused, answer.refused, "and what is stored of them stays");
}

#[test]
fn the_first_source_wins_and_the_file_first_of_all() {
    let text = LAYERED
        .replace("sources: [", "sources: [{name: own, sql: {url: \"env:OWN\", query: \"SELECT id FROM customer\"}}, ");
    let config = good(&text);
    let member =
        |source: &str, id: &str, plan: &str| config.admit(source, &row(json!({"id": id, "plan": plan}))).unwrap();
    let live = [
        member("crm", "both", "silver"),
        member("crm", "free", "gold"),
        member("own", "both", "gold"),
        member("own", "new", "gold"),
        member("gone", "left", "gold"),
    ];
    let desired = config.desired(NOW, &live);
    let tenants: Vec<_> = desired
        .tenants
        .iter()
        .map(|found| format!("{}/{}/{}", found.source, found.id, found.plan.as_deref().unwrap_or("")))
        .collect();
    assert_eq!(tenants, ["/free/starter", "/paying/gold", "/special/gold", "/alone/", "own/both/gold", "own/new/gold"]);
    let of_new = desired.jobs.iter().filter(|job| job.tenant.as_str() == "new").count();
    assert_eq!(of_new, 1, "its plan has no reports");

    // By another config a stored tenant is another: it is made anew from its row.
    let heavier = good(&text.replace("weight: 4", "weight: 40"));
    let desired = heavier.desired(NOW, &live);
    assert_eq!(desired.tenants.iter().find(|found| found.id.as_str() == "new").unwrap().tenant.weight, 40);
}

#[test]
fn the_roster_arrives() {
    let roster = good(
        "version: 1\njobs: [{name: a, every: 1h, handler: a}]\nroster:\n  refresh: 5m\n  max_drop: 50%\n  on_leave: cancel\n  sources:\n    \
         - {name: crm, sql: {url: \"file:/run/secrets/crm\", query: \"SELECT 1\"}}\n    \
         - {name: web, http: {url: \"https://${HOST}/tenants\", bearer: \"env:TOKEN\"}}\n    \
         - {name: local, sql: {url: \"sqlite:crm.db\", query: \"SELECT 1\"}}\n",
    )
    .roster()
    .clone();
    assert_eq!((roster.refresh.as_secs(), roster.max_drop, roster.on_leave), (300, 0.5, OnLeave::Cancel));
    assert_eq!(
        roster.sources.iter().map(|source| source.kind.clone()).collect::<Vec<_>>(),
        [
            SourceKind::Sql { url: Secret::File("/run/secrets/crm".to_owned()), query: "SELECT 1".to_owned() },
            SourceKind::Http {
                url: "https://hooks.internal:8443/tenants".to_owned(),
                bearer: Some(Secret::Env("TOKEN".to_owned()))
            },
            SourceKind::Sql { url: Secret::Plain("sqlite:crm.db".to_owned()), query: "SELECT 1".to_owned() },
        ]
    );
    assert_eq!(good("version: 1\ntenants: [{id: a}]\njobs: [{name: a, every: 1h, handler: a}]\n").roster().sources, []);
}

#[test]
fn databases_are_filled_in_for_each_tenant() {
    let text = r#"
version: 1
tenants:
  - {id: acme, plan: shared, labels: {shard: "7"}}
  - {id: globex, plan: own}
  - {id: initech, plan: shared, labels: {shard: "8"}, database: {schema: special, password: null}}
  - {id: hooli}
plans:
  shared: {database: {url: "postgres://app@db-{{ tenant.labels.shard }}.internal/app", password: "env:DB_{{ tenant.labels.shard }}", schema: "t_{{ tenant.id }}"}}
  own: {database: {url: "file:/run/secrets/{{ tenant.id }}"}}
jobs: [{name: a, every: 1h, handler: a}]
"#;
    let desired = good(text).desired(NOW, &[]);
    let databases: Vec<_> =
        desired.tenants.iter().map(|tenant| serde_json::to_value(&tenant.tenant.database).unwrap()).collect();
    assert_eq!(
        databases,
        [
            json!({"url": "postgres://app@db-7.internal/app", "password": "env:DB_7", "schema": "t_acme"}),
            json!({"url": "file:/run/secrets/globex"}),
            json!({"url": "postgres://app@db-8.internal/app", "schema": "special"}),
            json!(null),
        ]
    );
}

#[test]
fn each_setting_knows_its_layer() {
    let config = layered();
    let now = at("2026-12-02T00:00:00Z");
    let member = config.desired(now, &[]).tenants.into_iter().find(|found| found.id.as_str() == "special").unwrap();
    let job = "sync".parse().unwrap();
    let lines: Vec<_> = config
        .layers(&member, &job, now)
        .into_iter()
        .map(|setting| format!("{} = {}  [{}]", setting.key, setting.value, setting.layer))
        .collect();
    assert_snapshot!(lines.join("\n"));
    let live = admitted(&config, json!({"id": "acme", "jobs": {"sync": {"priority": 3}}}));
    let settings = config.layers(&live, &job, now);
    let layer = |key: &str| settings.iter().find(|setting| setting.key == key).unwrap().layer.clone();
    assert_eq!(layer("priority"), Layer::Tenant { line: None });
    assert_eq!(layer("overlap"), Layer::Builtin);
    assert_eq!(config.layers(&live, &"none".parse().unwrap(), now), []);
}

#[test]
fn what_was_written_for_other_jobs_is_passed_over() {
    let defaults = "defaults: {timezone: Europe/Berlin, dst: skip, jitter: 5s, catch_up: all, expires: next, on_blackout: defer, max_runs: 5, anchor: start}\n";
    for job in ["every: 5m", "at: 2026-12-01", "spread: 01:00-02:00, jitter: null", "cron: \"@daily\""] {
        let config =
            good(&format!("version: 1\ntenants: [{{id: a}}]\n{defaults}jobs: [{{name: a, {job}, handler: a}}]\n"));
        assert_eq!(of(&config, "a", "a", NOW).unwrap().overlap, Overlap::Skip, "{job}");
    }
}

/// Parts of a config around one job.
fn around(parts: &str) -> String {
    format!(
        "version: 1\ntenants:\n  - {{id: acme, plan: gold, labels: {{region: us}}}}\n  - {{id: globex}}\n\
         jobs:\n  - {{name: sync, every: 30s, handler: sync}}\n  - {{name: report, cron: \"@daily\", handler: report}}\n{parts}\n"
    )
}

fn parts(cases: &[&str]) -> String {
    said_of_texts(&cases.iter().map(|parts| (*parts, around(parts))).collect::<Vec<_>>())
}

#[test]
fn mistakes_in_defaults() {
    assert_snapshot!(parts(&[
        "defaults: [a]",
        "defaults: {timout: 5m}",
        "defaults: {name: x, tenants: {id: acme}, total: {concurrency: 5}}",
        "defaults: {timeout: 5, retry: {attempts: 0}}",
        "defaults: {timeout: null}",
        "defaults: {every: 0s, handler: \"a b\"}",
        "defaults: {blackouts: [nights]}",
        "defaults: {payload: {a: \"{{ tenant.name }}\"}}",
        "defaults: {timezone: \"{{ tenant.timezone }}\", catch_up: sometimes}",
    ]));
}

#[test]
fn mistakes_in_plans() {
    assert_snapshot!(parts(&[
        "plans: [gold]",
        "plans: {gold: 5}",
        "plans: {\"a b\": {weight: 1}}",
        "plans: {gold: {wieght: 4}}",
        "plans: {gold: {weight: 0, concurrency: many, rate: 60}}",
        "plans: {golld: {weight: 2}}",
        "plans: {iron: {jobs: {snyc: {every: 1m}}}}",
        "plans: {iron: {jobs: [sync]}}",
        "plans: {iron: {jobs: {sync: 5}}}",
        "plans: {iron: {jobs: {sync: {name: other, evry: 5}}}}",
        "plans: {iron: {jobs: {sync: {every: 5}}}}",
        "plans: {iron: {jobs: {sync: {handler: null}}}}",
        "plans: {iron: {jobs: {sync: {timezone: UTC, jitter: 5s}, report: {every: 5m, expires: next}}}}",
        "plans: {iron: {jobs: {sync: {command: {argv: [a]}, http: {url: \"http://h/\"}}}}}",
        "plans: {gold: {jobs: {sync: {payload: {to: \"{{ tenant.timezone }}\"}}}}}",
        "plans: {iron: {database: {schema: \"{{ run.attempt }}\"}}}",
    ]));
}

#[test]
fn mistakes_in_what_a_tenant_may_use() {
    let tenants = |list: &str| format!("version: 1\njobs: [{{name: a, every: 5s, handler: a}}]\ntenants:\n{list}");
    let cases = [
        "  - {id: acme, weight: 1001, concurrency: 0, rate: 5}\n",
        "  - {id: acme, rate: 60/fortnight}\n",
        "  - {id: acme, jobs: {b: {every: 1m}}}\n",
        "  - {id: acme, jobs: {a: {every: 1m, tenants: {id: acme}}}}\n",
        "  - {id: acme, jobs: {a: {timeout: 5}}}\n  - {id: globex, jobs: {a: {timeout: 5}}}\n",
        "  - {id: acme, jobs: {a: {payload: \"{{ tenant.plan }}\"}}}\n",
        "  - {id: acme, jobs: {a: {enabled: \"no\", requires: reports}}}\n",
        "  - {id: acme, jobs: {a: {requires: {}}}}\n  - {id: globex, jobs: {a: {requires: {feature: [a]}}}}\n",
        "  - {id: acme, jobs: {a: {requires: {feature: reprots}}}}\n  - {id: globex, features: [reports]}\n",
        "  - {id: acme, database: {url: \"postgres://app:secret@db/app\"}}\n",
        "  - {id: acme, database: {url: \"postgres://db/app\", password: secret, schema: pg_catalog}}\n",
        "  - {id: acme, database: {url: \"mysql://db/app\", schema: \"a b\"}}\n",
        "  - {id: acme, database: {url: \"sqlite:acme.db\", schema: acme}}\n",
        "  - {id: acme, database: {schema: acme}}\n",
        "  - {id: acme, database: {url: \"env:A B\"}}\n",
        "  - {id: acme, database: {url: \"postgres://db/{{ tenant.plan }}\"}}\n",
        "  - {id: acme, labels: {db: \"x/../y\"}, database: {url: \"postgres://db/{{ tenant.labels.db }}\"}}\n",
        "  - {id: acme, database: {url: \"postgres://db/{{ job.name }}\"}}\n",
        "  - {id: leasehold, database: {url: \"postgres://db/app\", schema: \"{{ tenant.id }}\"}}\n",
    ];
    assert_snapshot!(said_of_texts(&cases.map(|list| (list, tenants(list)))));
}

#[test]
fn mistakes_in_overrides() {
    let over = |rest: &str| format!("overrides: [{{{rest}}}]");
    let sound = "until: \"2026-12-01T09:00Z\", reason: x, set: {enabled: false}";
    let cases = [
        "overrides: {job: sync}".to_owned(),
        over("{}").replace("{{}}", "{}"),
        over(&format!("job: snyc, {sound}")),
        over(&format!("job: [], {sound}")),
        over(&format!("job: {{name: sync}}, {sound}")),
        over(&format!("job: [sync, reprot], tenant: {{id: acme}}, {sound}")),
        over(&format!("job: sync, tenants: {{id: acmee}}, {sound}")),
        over(&format!("job: sync, tenants: {{id: globex, plan: gold}}, {sound}")),
        over(&format!("job: sync, from: 2026-12-01T10:00, {sound}")),
        over("job: sync, until: tomorrow, reason: x, set: {enabled: false}"),
        over("job: sync, until: 2026-12-01, reason: \" \", set: {}"),
        over("job: sync, until: 2026-12-01, reason: \"a\\nb\", set: {name: other, enabeld: false}"),
        over("job: sync, until: 2026-12-01, reason: x, set: {timeout: 5, jitter: 1s}"),
        over("job: [sync, report], until: 2026-12-01, reason: x, set: {timezone: Mars/Base}"),
        // Each of them is sound, but not both.
        "overrides:\n  - {job: report, until: 2026-12-01, reason: x, set: {jitter: 1s}}\n  - {job: report, from: 2026-11-01, until: 2027-01-01, reason: x, set: {every: 1m, jitter: 2s}}".to_owned(),
    ];
    let cases: Vec<_> = cases.iter().map(String::as_str).collect();
    assert_snapshot!(parts(&cases));
}

#[test]
fn mistakes_in_the_roster() {
    let source = |rest: &str| format!("roster: {{sources: [{{name: crm, {rest}}}]}}");
    let cases = [
        "roster: []".to_owned(),
        "roster: {refresh: 1m}".to_owned(),
        "roster: {sources: [], refresh: 10ms, max_drop: 30, on_leave: kill}".to_owned(),
        "roster: {sources: [{http: {url: \"http://h/\"}}, {name: a}], max_drop: most}".to_owned(),
        "roster: {sources: [{name: a, http: {url: \"http://h/\"}}, {name: a, http: {url: \"http://h/\"}}]}".to_owned(),
        source("sql: {url: \"postgres://u:secret@db/crm\", query: \"SELECT 1\"}, http: {url: \"http://h/\"}"),
        source("sql: {url: \"postgres://u:secret@db/crm\", query: \" \"}"),
        source("sql: {url: \"mysql://db/crm\", qery: \"SELECT 1\"}"),
        source("sql: {url: \"env:CRM\", query: \"SELECT '{{ tenant.id }}'\"}"),
        source("http: {url: \"http://u:secret@h/\", bearer: secret}"),
        source("http: {url: \"ftp://h/\", bearer: \"env:\"}"),
        source("http: {url: \"http://h/{{ tenant.id }}\", token: \"env:X\"}"),
        source("htp: {url: \"http://h/\"}"),
    ];
    let cases: Vec<_> = cases.iter().map(String::as_str).collect();
    assert_snapshot!(parts(&cases));
}
