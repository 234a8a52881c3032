//! The rules of time beside the schedule: what each key means, what is wrong with it, and where it has no effect.

use std::time::Duration;

use jiff::Timestamp;
use leasehold_common::catalog::Recovery;
use leasehold_common::config::Severity;
use leasehold_common::definition::{CatchUp, Definition, Expiry, Overlap, TimingSpec};
use leasehold_common::id::JobKey;
use proptest::prelude::*;

use crate::{assert_snapshot, check, definition, good, said_of_lines, said_of_texts, with_blackouts, with_jobs};

#[test]
fn overlaps_arrive() {
    for (lines, overlap, buffer) in [
        ("overlap: skip", Overlap::Skip, 100),
        ("overlap: buffer_one", Overlap::BufferOne, 100),
        ("overlap: buffer_all", Overlap::BufferAll, 100),
        ("overlap: allow", Overlap::Allow, 100),
        ("overlap: cancel_previous", Overlap::CancelPrevious, 100),
        ("overlap: {policy: cancel_previous}", Overlap::CancelPrevious, 100),
        ("overlap: {policy: buffer_all}", Overlap::BufferAll, 100),
        ("overlap: {policy: buffer_all, limit: 1}", Overlap::BufferAll, 1),
        ("overlap: {policy: buffer_all, limit: 10000}", Overlap::BufferAll, 10_000),
        ("overlap: {policy: \"${NONE:-buffer_all}\", limit: \"${NONE:-7}\"}", Overlap::BufferAll, 7),
    ] {
        for schedule in ["cron: \"@daily\"", "every: 5m"] {
            let definition = definition(&format!("{schedule}\n    {lines}"));
            assert_eq!((definition.overlap, definition.buffer), (overlap, buffer), "{lines}");
        }
    }
    // The words are those of the store.
    for overlap in [Overlap::Skip, Overlap::BufferOne, Overlap::BufferAll, Overlap::Allow, Overlap::CancelPrevious] {
        let lines = format!("cron: \"@daily\"\n    overlap: {}", overlap.as_str());
        assert_eq!(definition(&lines).overlap, overlap);
        assert_eq!(serde_json::to_value(overlap).unwrap(), overlap.as_str());
    }
}

#[test]
fn mistakes_in_overlap() {
    assert_snapshot!(said_of_lines(&[
        "every: 5m\n    overlap: sometimes",
        "every: 5m\n    overlap: bufer_all",
        "every: 5m\n    overlap: 5",
        "every: 5m\n    overlap: [skip]",
        "every: 5m\n    overlap:",
        "every: 5m\n    overlap: {}",
        "every: 5m\n    overlap: {limit: 50}",
        "every: 5m\n    overlap: {policy: buffer_all, limit: 0}",
        "every: 5m\n    overlap: {policy: buffer_all, limit: 10001}",
        "every: 5m\n    overlap: {policy: buffer_all, limit: many}",
        "every: 5m\n    overlap: {policy: buffer_one, limit: 5}",
        "every: 5m\n    overlap: {policy: buffered, limit: 0, max: 5}",
        "every: 5m\n    overlap: {polcy: skip}",
    ]));
}

#[test]
fn catch_ups_arrive() {
    let secs = Duration::from_secs;
    for (lines, catch_up) in [
        ("catch_up: last", CatchUp::Last),
        ("catch_up: skip", CatchUp::Skip { grace: secs(60) }),
        ("catch_up: all", CatchUp::All { within: secs(24 * 3600) }),
        ("catch_up: {policy: last}", CatchUp::Last),
        ("catch_up: {policy: skip}", CatchUp::Skip { grace: CatchUp::DEFAULT_GRACE }),
        ("catch_up: {policy: skip, grace: 5m}", CatchUp::Skip { grace: secs(300) }),
        ("catch_up: {policy: all}", CatchUp::All { within: CatchUp::DEFAULT_WITHIN }),
        ("catch_up: {policy: all, within: 7d}", CatchUp::All { within: secs(7 * 86_400) }),
    ] {
        for schedule in ["cron: \"@daily\"", "every: 5m\n    anchor: start", "at: 2026-12-01", "spread: 00:00-04:00"] {
            assert_eq!(definition(&format!("{schedule}\n    {lines}")).catch_up, catch_up, "{schedule} {lines}");
        }
    }
}

#[test]
fn mistakes_in_catch_up() {
    assert_snapshot!(said_of_lines(&[
        "cron: \"@daily\"\n    catch_up: latest",
        "cron: \"@daily\"\n    catch_up: true",
        "cron: \"@daily\"\n    catch_up: [all]",
        "cron: \"@daily\"\n    catch_up:",
        "cron: \"@daily\"\n    catch_up: {within: 1h}",
        "cron: \"@daily\"\n    catch_up: {policy: skip, within: 1h}",
        "cron: \"@daily\"\n    catch_up: {policy: all, grace: 1h}",
        "cron: \"@daily\"\n    catch_up: {policy: last, grace: 1h, within: 1h}",
        "cron: \"@daily\"\n    catch_up: {policy: skip, grace: 500ms}",
        "cron: \"@daily\"\n    catch_up: {policy: all, within: 3600}",
        "cron: \"@daily\"\n    catch_up: {policy: al, within: ever, limit: 5}",
        "every: 5m\n    catch_up: skip",
    ]));
    // What has no effect makes no other definition.
    let warned = check(&with_blackouts("every: 5m\n    catch_up: {policy: all, within: 1h}"));
    assert_eq!(warned.counts(), (0, 1));
    assert_eq!(
        warned.config.unwrap().desired(Timestamp::UNIX_EPOCH, &[]).jobs[0].definition.id(),
        definition("every: 5m").id()
    );
}

#[test]
fn expiries_arrive() {
    let after = |secs| Some(Expiry::After(Duration::from_secs(secs)));
    for (lines, expires) in [
        ("cron: \"@daily\"\n    expires: 10m", after(600)),
        ("cron: \"@daily\"\n    expires: next", Some(Expiry::Next)),
        ("every: 5m\n    expires: 1s", after(1)),
        ("every: 5m\n    anchor: start\n    expires: next", Some(Expiry::Next)),
        ("schedules: [{at: 2026-12-01}, {at: 2026-12-02}]\n    expires: \"next\"", Some(Expiry::Next)),
        ("at: 2026-12-01\n    expires: 1h30m", after(5400)),
    ] {
        assert_eq!(definition(lines).expires, expires, "{lines}");
    }
}

#[test]
fn mistakes_in_expires() {
    assert_snapshot!(said_of_lines(&[
        "cron: \"@daily\"\n    expires: 10",
        "cron: \"@daily\"\n    expires: 500ms",
        "cron: \"@daily\"\n    expires: 0s",
        "cron: \"@daily\"\n    expires: Next",
        "cron: \"@daily\"\n    expires: soon",
        "cron: \"@daily\"\n    expires: 10 minutes",
        "cron: \"@daily\"\n    expires: {after: 10m}",
        "cron: \"@daily\"\n    expires:",
        "every: 5m\n    expires: next",
        "at: 2026-12-01\n    expires: next",
    ]));
    let warned = check(&with_blackouts("at: 2026-12-01\n    expires: next"));
    assert_eq!(warned.config.unwrap().desired(Timestamp::UNIX_EPOCH, &[]).jobs[0].definition.expires, None);
}

#[test]
fn limits_go_with_every_kind() {
    let bounds = "    start: 2026-12-01\n    end: 2027-12-01\n    timezone: Asia/Tokyo";
    for schedule in ["cron: \"@daily\"", "every: 5m", "every: 5m\n    anchor: start", "spread: 00:00-04:00"] {
        let bare = definition(schedule);
        assert_eq!(bare.schedule.max_runs(), None, "{schedule}");
        let counted = definition(&format!("{schedule}\n    max_runs: 3"));
        assert_eq!(counted.schedule.max_runs(), Some(3), "{schedule}");
        assert_eq!(counted.schedule.interval(), bare.schedule.interval(), "{schedule}");
        let bounded = definition(&format!("{schedule}\n{bounds}\n    max_runs: 1000000000"));
        assert_eq!(bounded.schedule.max_runs(), Some(1_000_000_000), "{schedule}");
    }
    let jittered = |lines: &str| {
        let definition = definition(&format!("cron: \"@daily\"\n    jitter: 30s\n    {lines}"));
        serde_json::to_string(&definition.schedule).unwrap()
    };
    // The bounds are those of the exact times; the runs are counted outside.
    assert_eq!(
        jittered("start: 2026-12-01\n    max_runs: 3"),
        r#"{"within":{"schedule":{"jittered":{"schedule":{"within":{"schedule":{"cron":{"expr":"@daily","zone":"UTC","dst":"once"}},"start":"2026-12-01T00:00:00[UTC]"}},"jitter":"30s"}},"max_runs":3}}"#
    );
    assert_eq!(
        jittered("max_runs: 3"),
        r#"{"within":{"schedule":{"jittered":{"schedule":{"cron":{"expr":"@daily","zone":"UTC","dst":"once"}},"jitter":"30s"}},"max_runs":3}}"#
    );
}

#[test]
fn mistakes_in_limits() {
    assert_snapshot!(said_of_lines(&[
        "cron: \"@daily\"\n    max_runs: 0",
        "cron: \"@daily\"\n    max_runs: 1000000001",
        "cron: \"@daily\"\n    max_runs: -1",
        "cron: \"@daily\"\n    max_runs: 2.5",
        "cron: \"@daily\"\n    max_runs: once",
        "cron: \"@daily\"\n    max_runs: [1]",
        "cron: \"@daily\"\n    max_runs:",
        "at: 2026-12-01\n    max_runs: 1",
        "every: 5m\n    start: 2026-12-02\n    end: 2026-12-01",
        "every: 5m\n    start: soon\n    max_runs: 0",
        "every: 5m\n    start: 2026-12-02Z\n    jitter: 5s",
        "every: 5m\n    start: 2026-12-02T00:00Z\n    timezone: UTC",
        "cron: \"@daily\"\n    pause_after: 0",
        "cron: \"@daily\"\n    pause_after: 1001",
        "cron: \"@daily\"\n    pause_after: 5m",
        "cron: \"@daily\"\n    pause_after: {runs: 5}",
    ]));
    for dead in [1, 1000] {
        assert_eq!(definition(&format!("every: 5m\n    pause_after: {dead}")).pause_after, Some(dead));
    }
}

#[test]
fn the_recovery_budget_arrives() {
    for (written, total, per_tenant) in [
        ("", 500, 50),
        ("recovery: {}", 500, 50),
        ("recovery: {total: 20}", 20, 20),
        ("recovery: {total: 1000}", 1000, 50),
        ("recovery: {per_tenant: 5}", 500, 5),
        ("recovery: {per_tenant: 700}", 700, 700),
        ("recovery: {total: 7, per_tenant: 7}", 7, 7),
        ("recovery: {total: 1000000, per_tenant: \"${NONE:-1}\"}", 1_000_000, 1),
    ] {
        let config = good(&format!("{}{written}\n", with_jobs("  - {name: a, every: 5m, handler: a}\n")));
        assert_eq!(config.desired(Timestamp::UNIX_EPOCH, &[]).recovery, Recovery { total, per_tenant }, "{written}");
    }
    let cases = [
        "recovery: 500",
        "recovery:",
        "recovery: {total: 0, per_tenant: 1000001}",
        "recovery: {total: fast, per_tenant: 1.5}",
        "recovery: {total: 10, per_tenant: 11}",
        "recovery: {per_tenants: 10}",
        "recover: {total: 10}",
    ];
    let job = "  - {name: a, every: 5m, handler: a}\n";
    let cases: Vec<_> = cases.iter().map(|top| (*top, format!("{}{top}\n", with_jobs(job)))).collect();
    assert_snapshot!(said_of_texts(&cases));
}

/// Definitions as they were stored before there were policies.
#[test]
fn configs_without_policies_make_the_definitions_that_they_always_made() {
    for (lines, json) in [
        (
            "every: 30s",
            r#"{"schedule":{"every":{"interval":"30s"}},"handler":{"named":{"name":"a"}},"timeout":"5m","retry":{"attempts":3,"backoff":{"initial":"1s","max":"5m","factor":2.0}},"overlap":"skip","queue":"default","priority":0}"#,
        ),
        (
            "every: 5m\n    anchor: start\n    start: 2026-12-01\n    jitter: 30s\n    overlap: allow",
            r#"{"schedule":{"jittered":{"schedule":{"within":{"schedule":{"rate":{"interval":"5m"}},"start":"2026-12-01T00:00:00[UTC]"}},"jitter":"30s"}},"handler":{"named":{"name":"a"}},"timeout":"5m","retry":{"attempts":3,"backoff":{"initial":"1s","max":"5m","factor":2.0}},"overlap":"allow","queue":"default","priority":0}"#,
        ),
    ] {
        assert_eq!(definition(lines).to_json(), json, "{lines}");
    }
}

/// One line, or none.
fn line(lines: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop::sample::select(lines)
}

/// Jobs with policies of every kind.
fn jobs() -> impl Strategy<Value = String> {
    (
        line(&[
            "cron: \"0 2 * * *\"\n    jitter: 30s",
            "cron: \"H H * * *\"",
            "every: 5m",
            "every: 5m\n    anchor: start",
            "spread: 22:00-04:00",
            "at: 2026-12-01T09:00",
            "schedules: [{cron: \"@daily\"}, {every: 1h, anchor: start}]\n    jitter: 1m",
        ]),
        line(&["", "start: 2026-11-01", "end: 2030-01-01T00:00Z", "start: 2026-11-01\n    end: 2027-01-01"]),
        line(&["", "max_runs: 1", "max_runs: 1000000000"]),
        line(&["", "timezone: Europe/Berlin", "timezone: \"{{ tenant.timezone }}\""]),
        line(&[
            "",
            "overlap: allow",
            "overlap: buffer_one",
            "overlap: {policy: buffer_all, limit: 7}",
            "overlap: cancel_previous",
        ]),
        line(&[
            "",
            "catch_up: last",
            "catch_up: {policy: skip, grace: 1m30s}",
            "catch_up: all",
            "catch_up: {policy: all, within: 2d}",
        ]),
        line(&["", "expires: 10m", "expires: next"]),
        line(&["", "blackouts: []", "blackouts: [nights]", "blackouts: [year-end, weekend, nights]"]),
        line(&["", "on_blackout: skip", "on_blackout: defer"]),
        line(&["", "pause_after: 1", "pause_after: 1000"]),
    )
        .prop_map(|(a, b, c, d, e, f, g, h, i, j)| {
            [a, b, c, d, e, f, g, h, i, j]
                .into_iter()
                .filter(|line| !line.is_empty())
                .collect::<Vec<_>>()
                .join("\n    ")
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_a_config_makes_is_read_again_as_it_was(lines in jobs()) {
        let text = with_blackouts(&lines).replace("plan: starter", "plan: starter, timezone: Asia/Tokyo");
        let checked = check(&text);
        let refused = lines.contains("expires: next") && lines.starts_with("every: 5m") && !lines.contains("anchor");
        prop_assert_eq!(checked.config.is_none(), refused, "{}: {:?}", lines, checked.diagnostics);
        if let Some(config) = checked.config {
            for job in config.desired(Timestamp::UNIX_EPOCH, &[]).jobs {
                let json = job.definition.to_json();
                let again: Definition = serde_json::from_str(&json).unwrap();
                prop_assert_eq!(&again, job.definition.as_ref());
                prop_assert_eq!(&again.to_json(), &json);
                prop_assert_eq!(again.id(), job.definition.id());
                let timing: TimingSpec = serde_json::from_str(&json).unwrap();
                prop_assert_eq!(&timing, &job.definition.timing());
                prop_assert!(timing.compile(JobKey::new(&job.tenant, &job.name, 0)).is_ok(), "{}", json);
                let counted = lines.contains("max_runs") && !lines.starts_with("at") && job.name.as_str() == "a";
                prop_assert_eq!(again.schedule.max_runs().is_some(), counted);
            }
        }
        prop_assert!(checked.diagnostics.iter().all(|found| refused || found.severity == Severity::Warning));
    }
}

#[test]
fn a_ceiling_of_a_window_arrives_and_a_window_that_is_too_short_is_warned_of() {
    let text = |spread: &str| {
        format!("version: 1\ntenants: [{{id: a}}, {{id: b}}]\njobs:\n  - {{name: j, spread: {spread}, handler: h}}\n")
    };
    let no = |_: &str| None;
    let checked = leasehold_common::config::check("c.yaml", &text("{window: 01:00-02:00, per_second: 20}"), &no);
    assert!(checked.diagnostics.is_empty(), "{:?}", checked.diagnostics);
    let desired = checked.config.unwrap().desired(Timestamp::UNIX_EPOCH, &[]);
    assert_eq!(desired.jobs[0].definition.schedule.per_second().unwrap().get(), 20);
    for bad in ["{per_second: 20}", "{window: 01:00-02:00, per_second: 0}", "{window: 01:00-02:00, most: 1}", "[1]"] {
        assert!(leasehold_common::config::check("c.yaml", &text(bad), &no).config.is_none(), "{bad}");
    }
    let tenants: String = (0..61).map(|n| format!("{{id: t{n}}}, ")).collect();
    let text = format!(
        "version: 1\ntenants: [{tenants}]\njobs:\n  - {{name: j, spread: {{window: 01:00-01:01, per_second: 1}}, handler: h}}\n"
    );
    let warnings = leasehold_common::config::check("c.yaml", &text, &no).diagnostics;
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].to_string().contains("room for 60 runs at 1 a second, and 61 tenants share it"),
        "{}",
        warnings[0]
    );
}
