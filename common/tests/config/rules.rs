//! What a good config means: selectors, defaults, sharing, the environment.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use leasehold_common::config::{Config, Service};
use leasehold_common::definition::{HandlerSpec, Overlap, ScheduleSpec};
use leasehold_common::endpoint::HttpSpec;
use leasehold_common::retry::RetryPolicy;
use leasehold_common::schedule::{DstPolicy, Zone};

use crate::{EXAMPLE, assert_snapshot, env, good, with_jobs, with_line};

/// The tenants of a job, in order.
fn tenants_of(config: &Config, job: &str) -> Vec<String> {
    config
        .desired(Timestamp::UNIX_EPOCH, &[])
        .jobs
        .iter()
        .filter(|found| found.name.as_str() == job)
        .map(|job| job.tenant.to_string())
        .collect()
}

#[test]
fn a_good_config_becomes_a_catalog() {
    let desired = good(EXAMPLE).desired(Timestamp::UNIX_EPOCH, &[]);
    let jobs: Vec<_> =
        desired.jobs.iter().map(|job| format!("{} {} {}", job.tenant, job.name, job.definition.to_json())).collect();
    assert_snapshot!(jobs.join("\n"));
    let shared = desired.jobs.iter().filter(|job| job.name.as_str() == "sync-orders").collect::<Vec<_>>();
    assert!(Arc::ptr_eq(&shared[0].definition, &shared[1].definition), "equal definitions are one");
    assert_eq!(desired.tenants.len(), 2);
    assert_eq!(desired.tenants[0].labels["region"], "us");
}

#[test]
fn defaults_are_as_the_manual_says() {
    let config = good(&with_jobs("  - {name: a, cron: \"@daily\", command: {argv: [\"./a\"]}}\n"));
    let definition = &config.desired(Timestamp::UNIX_EPOCH, &[]).jobs[0].definition;
    assert_eq!(definition.timeout, Duration::from_secs(300));
    assert_eq!(definition.retry, RetryPolicy::default());
    assert_eq!((definition.overlap, definition.priority, definition.queue.as_str()), (Overlap::Skip, 0, "default"));
    assert_eq!(definition.payload, None);
    let expected = ScheduleSpec::Cron { expr: "@daily".to_owned(), zone: Zone::UTC, dst: DstPolicy::Once };
    assert_eq!(definition.schedule, expected, "the zone is UTC and not the tenant's, unless the job says so");
    let http = good(&with_line("tenants: {id: acme}").replace("handler: sync", "http: {url: \"http://h/\"}"));
    let HandlerSpec::Http(HttpSpec { method, .. }) =
        &http.desired(Timestamp::UNIX_EPOCH, &[]).jobs[0].definition.handler
    else {
        panic!("not http")
    };
    assert_eq!(method, "POST");
}

#[test]
fn every_setting_arrives() {
    let config = good(&with_jobs(
        "  - name: all\n    tenants: {id: acme}\n    cron: \"0 2 * * *\"\n    timezone: europe/berlin\n    dst: literal\n    \
         http: {method: PUT, url: \"https://${HOST}/{{ tenant.id }}\", headers: {X-Plan: \"{{ tenant.plan }}\"}}\n    \
         payload: {n: 1, f: 1.5, yes: yes, t: true, none: null, list: [a, \"1\"], text: \"${PORT:-80}\"}\n    \
         timeout: 1h30m\n    retry: {attempts: \"${N:-7}\", backoff: {initial: 10m, factor: 1.5}}\n    overlap: allow\n    \
         queue: slow\n    priority: -5\n",
    ));
    assert_snapshot!(config.desired(Timestamp::UNIX_EPOCH, &[]).jobs[0].definition.to_json());
}

#[test]
fn a_wait_that_was_written_wins_over_the_default_of_the_other() {
    for (backoff, initial, max) in [
        ("{initial: 10m}", 600_000, 600_000),
        ("{max: 500ms}", 500, 500),
        ("{initial: 2s, max: 2s}", 2_000, 2_000),
        ("{}", 1_000, 300_000),
    ] {
        let config = good(&with_line(&format!("retry: {{backoff: {backoff}}}")));
        let waits = &config.desired(Timestamp::UNIX_EPOCH, &[]).jobs[0].definition.retry.backoff;
        assert_eq!((waits.initial.as_millis(), waits.max.as_millis()), (initial, max), "{backoff}");
    }
}

#[test]
fn selectors_choose_by_these_rules() {
    let tenants = "version: 1\ntenants:\n\
        \x20 - {id: a, plan: gold, features: [x, y], labels: {region: us, tier: one}}\n\
        \x20 - {id: b, plan: gold, features: [x], labels: {region: us}}\n\
        \x20 - {id: c, plan: iron, features: [y], labels: {region: eu, tier: one}}\n\
        \x20 - {id: d}\n";
    for (selector, matching) in [
        ("", "abcd"),
        ("tenants: {}", "abcd"),
        ("tenants: {id: b}", "b"),
        ("tenants: {id: [d, a]}", "ad"),
        ("tenants: {plan: gold}", "ab"),
        ("tenants: {plan: [iron, gold]}", "abc"),
        ("tenants: {features: x}", "ab"),
        ("tenants: {features: [x, y]}", "a"),
        ("tenants: {labels: {region: us}}", "ab"),
        ("tenants: {labels: {region: us, tier: one}}", "a"),
        ("tenants: {plan: [gold, iron], features: [y]}", "ac"),
        ("tenants: {id: [a, b, c], labels: {tier: one}, plan: iron}", "c"),
    ] {
        let config = good(&format!("{tenants}jobs:\n  - name: j\n    every: 5s\n    handler: h\n    {selector}\n"));
        assert_eq!(tenants_of(&config, "j").concat(), matching, "{selector}");
    }
}

#[test]
fn definitions_differ_by_zone_and_by_nothing_else() {
    let text = "version: 1\ntenants:\n\
        \x20 - {id: a, timezone: Europe/Berlin}\n  - {id: b, timezone: Asia/Tokyo}\n  - {id: c, timezone: europe/berlin}\n\
        jobs:\n  - {name: j, cron: \"0 2 * * *\", timezone: \"{{ tenant.timezone }}\", handler: h}\n";
    let jobs = good(text).desired(Timestamp::UNIX_EPOCH, &[]).jobs;
    assert!(Arc::ptr_eq(&jobs[0].definition, &jobs[2].definition));
    assert!(!Arc::ptr_eq(&jobs[0].definition, &jobs[1].definition));
    assert_eq!(jobs[0].definition.id(), jobs[2].definition.id());
}

#[test]
fn services_and_aliases_arrive() {
    let config = good(
        "version: 1\ntenants: [{id: a}]\ndev: {services: [{name: api, argv: [\"./api\", \"{{ as it stands }}\"]}]}\n\
         jobs:\n  - {name: a, every: 5s, handler: h, retry: &often {attempts: 9}}\n  - {name: b, every: 5s, handler: h, retry: *often}\n",
    );
    assert_eq!(
        config.services,
        [Service { name: "api".to_owned(), argv: vec!["./api".to_owned(), "{{ as it stands }}".to_owned()] }]
    );
    assert!(config.desired(Timestamp::UNIX_EPOCH, &[]).jobs.iter().all(|job| job.definition.retry.attempts == 9));
}

#[test]
fn what_the_environment_says_is_never_yaml() {
    let config = good(&with_line("payload:\n      a: ${TRICK}\n      b: \"${TRICK}\"\n      n: ${N:-5}"));
    let payload = config.desired(Timestamp::UNIX_EPOCH, &[]).jobs[0].definition.payload.clone().unwrap();
    assert_eq!(payload["a"], env("TRICK").unwrap());
    assert_eq!(payload["b"], env("TRICK").unwrap());
    assert_eq!(payload["n"], 5, "without quotes it may be a number");
    assert_eq!(config.jobs().len(), 1);
}

/// The schedules of a job for both tenants of [`with_jobs`], as they are stored.
fn schedules(rest: &str) -> Vec<String> {
    let config = good(&with_jobs(&format!("  - name: a\n    handler: a\n    {rest}\n")));
    let jobs = config.desired(Timestamp::UNIX_EPOCH, &[]).jobs;
    jobs.iter().map(|job| serde_json::to_string(&job.definition.schedule).unwrap()).collect()
}

#[test]
fn kinds_of_schedules_arrive() {
    for (rest, stored) in [
        ("every: 5m\n    anchor: completion", r#"{"every":{"interval":"5m"}}"#),
        (
            "every: 5m\n    start: 2026-12-01\n    end: 2027-01-01\n    max_runs: 3\n    timezone: Asia/Tokyo",
            r#"{"within":{"schedule":{"every":{"interval":"5m"}},"start":"2026-12-01T00:00:00[Asia/Tokyo]","end":"2027-01-01T00:00:00[Asia/Tokyo]","max_runs":3}}"#,
        ),
        ("every: 5m\n    anchor: start", r#"{"rate":{"interval":"5m"}}"#),
        (
            "at: 2026-12-01T09:00\n    timezone: europe/berlin",
            r#"{"at":{"at":"2026-12-01T09:00:00[Europe/Berlin]","dst":"once"}}"#,
        ),
        ("at: \"2026-12-01T09:00+01:00\"", r#"{"at":{"at":"2026-12-01T08:00:00Z","dst":"once"}}"#),
        ("spread: 22:00-04:00\n    timezone: Asia/Tokyo", r#"{"spread":{"window":"22:00-04:00","zone":"Asia/Tokyo"}}"#),
        (
            "schedules: [{cron: \"0 9 * * *\"}, {cron: \"0 9 * * *\", timezone: Asia/Tokyo, dst: literal}, {every: 1h, anchor: start}]\n    timezone: Europe/Berlin\n    dst: skip",
            r#"{"any":[{"cron":{"expr":"0 9 * * *","zone":"Europe/Berlin","dst":"skip"}},{"cron":{"expr":"0 9 * * *","zone":"Asia/Tokyo","dst":"literal"}},{"rate":{"interval":"1h"}}]}"#,
        ),
        ("schedules: [{spread: 00:00-24:00}]", r#"{"spread":{"window":"00:00-24:00","zone":"UTC"}}"#),
        (
            "every: 5m\n    anchor: start\n    start: 2026-12-01\n    end: 2027-01-01T00:00Z\n    timezone: Asia/Tokyo\n    jitter: 30s",
            r#"{"jittered":{"schedule":{"within":{"schedule":{"rate":{"interval":"5m"}},"start":"2026-12-01T00:00:00[Asia/Tokyo]","end":"2027-01-01T00:00:00Z"}},"jitter":"30s"}}"#,
        ),
    ] {
        assert_eq!(schedules(rest), [stored, stored], "{rest}");
    }
}

#[test]
fn every_zone_of_a_list_may_come_from_the_tenant() {
    let text = "version: 1\ntenants:\n  - {id: a, timezone: Europe/Berlin}\n  - {id: b, timezone: Asia/Tokyo}\njobs:\n  \
        - {name: j, schedules: [{at: 2026-12-01}, {spread: 01:00-02:00, timezone: UTC}], timezone: \"{{ tenant.timezone }}\", handler: h}\n";
    let jobs = good(text).desired(Timestamp::UNIX_EPOCH, &[]).jobs;
    for (job, zone) in jobs.iter().zip(["Europe/Berlin", "Asia/Tokyo"]) {
        let stored = format!(
            r#"{{"any":[{{"at":{{"at":"2026-12-01T00:00:00[{zone}]","dst":"once"}}}},{{"spread":{{"window":"01:00-02:00","zone":"UTC"}}}}]}}"#
        );
        assert_eq!(serde_json::to_string(&job.definition.schedule).unwrap(), stored);
    }
}
