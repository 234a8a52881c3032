//! Blackouts: how they are written, what is wrong with them, and jobs for which they leave nothing.

use std::sync::Arc;

use jiff::Timestamp;
use leasehold_common::definition::OnBlackout;

use crate::{assert_snapshot, check, definition, good, said, said_of_lines, said_of_texts, with_blackouts, with_jobs};

#[test]
fn blackouts_arrive() {
    let stored = |lines: &str| serde_json::to_value(&*definition(lines)).unwrap();
    let all = stored("cron: \"@daily\"\n    blackouts: [weekend, year-end, nights]\n    on_blackout: defer");
    assert_eq!(all["on_blackout"], "defer");
    assert_eq!(
        all["blackouts"],
        serde_json::json!([
            {"name": "weekend", "daily": {"window": "00:00-24:00", "days": ["sat", "sun"], "zone": "UTC"}},
            {"name": "year-end", "once": {
                "from": "2026-12-24T00:00:00[Europe/Berlin]", "to": "2027-01-02T08:00:00[Europe/Berlin]"}},
            {"name": "nights", "daily": {
                "window": "02:00-03:00", "days": ["mon", "tue", "wed", "thu", "fri"], "zone": "UTC"}},
        ])
    );
    for lines in ["", "    blackouts: []\n", "    blackouts: [nights]\n    on_blackout: skip\n"] {
        let definition = definition(&format!("cron: \"@daily\"\n{lines}"));
        assert_eq!(definition.on_blackout, OnBlackout::Skip);
        assert_eq!(definition.blackouts.len(), usize::from(lines.contains("nights")), "{lines}");
    }
}

/// One blackout, written in some way, as the job of the first tenant has it.
fn one_blackout(written: &str) -> String {
    let job = "  - {name: a, cron: \"@hourly\", handler: a, blackouts: [x]}\n";
    let config = good(&format!("{}blackouts:\n  x: {written}\n", with_jobs(job)));
    serde_json::to_string(&config.desired(Timestamp::UNIX_EPOCH, &[]).jobs[0].definition.blackouts[0].when).unwrap()
}

#[test]
fn a_blackout_is_written_in_these_ways() {
    for (written, stored) in [
        (
            "{from: 2026-12-24T08:00Z, to: 2026-12-24T10:00+01:00}",
            r#"{"once":{"from":"2026-12-24T08:00:00Z","to":"2026-12-24T09:00:00Z"}}"#,
        ),
        (
            "{from: 2026-12-24T08:00Z, to: 2026-12-25, timezone: asia/tokyo}",
            r#"{"once":{"from":"2026-12-24T08:00:00Z","to":"2026-12-25T00:00:00[Asia/Tokyo]"}}"#,
        ),
        ("{daily: 22:00-04:00}", r#"{"daily":{"window":"22:00-04:00","zone":"UTC"}}"#),
        (
            "{daily: 22:00-04:00, days: fri-mon, timezone: Asia/Tokyo}",
            r#"{"daily":{"window":"22:00-04:00","days":["mon","fri","sat","sun"],"zone":"Asia/Tokyo"}}"#,
        ),
        (
            "{daily: 22:00-04:00, days: \"Sunday, tue-wed\"}",
            r#"{"daily":{"window":"22:00-04:00","days":["tue","wed","sun"],"zone":"UTC"}}"#,
        ),
        (
            "{daily: 22:00-04:00, days: [sun, tue-wed]}",
            r#"{"daily":{"window":"22:00-04:00","days":["tue","wed","sun"],"zone":"UTC"}}"#,
        ),
        ("{daily: 22:00-04:00, days: [mon-sun]}", r#"{"daily":{"window":"22:00-04:00","zone":"UTC"}}"#),
    ] {
        assert_eq!(one_blackout(written), stored, "{written}");
    }
}

#[test]
fn the_zone_of_a_blackout_may_come_from_the_tenant() {
    let text = "version: 1\ntenants:\n  - {id: a, timezone: Europe/Berlin}\n  - {id: b, timezone: Asia/Tokyo}\n  \
        - {id: c, timezone: europe/berlin}\nblackouts:\n  x: {daily: 02:00-03:00, timezone: \"{{ tenant.timezone }}\"}\n  \
        y: {from: 2026-12-24, to: 2026-12-25, timezone: \"{{ tenant.timezone }}\"}\njobs:\n  \
        - {name: j, every: 5m, blackouts: [x, y], handler: h}\n";
    let jobs = good(text).desired(Timestamp::UNIX_EPOCH, &[]).jobs;
    for (job, zone) in jobs.iter().zip(["Europe/Berlin", "Asia/Tokyo", "Europe/Berlin"]) {
        let stored = format!(
            r#"[{{"name":"x","daily":{{"window":"02:00-03:00","zone":"{zone}"}}}},{{"name":"y","once":{{"from":"2026-12-24T00:00:00[{zone}]","to":"2026-12-25T00:00:00[{zone}]"}}}}]"#
        );
        assert_eq!(serde_json::to_string(&job.definition.blackouts).unwrap(), stored);
    }
    assert!(Arc::ptr_eq(&jobs[0].definition, &jobs[2].definition), "equal definitions are one");
}

#[test]
fn mistakes_in_the_blackouts_of_a_job() {
    let many = format!("every: 5m\n    blackouts: [{}]", "nights, ".repeat(33));
    assert!(said(&with_blackouts(&many)).contains("`blackouts` has more than 32 entries"));
    assert_snapshot!(said_of_lines(&[
        "every: 5m\n    blackouts: nights",
        "every: 5m\n    blackouts: {nights: {daily: 02:00-03:00}}",
        "every: 5m\n    blackouts:",
        "every: 5m\n    blackouts: [nigths, holidays, 5]",
        "every: 5m\n    blackouts: [nights, weekend, nights]",
        "every: 5m\n    blackout: [nights]\n    on_blackout: skip",
        "cron: \"@daily\"\n    on_blackout: defer",
        "cron: \"@daily\"\n    on_blackout: skip\n    blackouts: []",
        "cron: \"@daily\"\n    on_blackout: wait\n    blackouts: [nights]",
        "cron: \"@daily\"\n    on_blackout: 5\n    blackouts: [nights]",
        "every: 5m\n    on_blackout: defer\n    blackouts: [nights]",
    ]));
    let warned = check(&with_blackouts("every: 5m\n    on_blackout: defer\n    blackouts: [nights]"));
    let plain = definition("every: 5m\n    blackouts: [nights]");
    assert_eq!(warned.config.unwrap().desired(Timestamp::UNIX_EPOCH, &[]).jobs[0].definition.id(), plain.id());
}

#[test]
fn mistakes_in_blackouts() {
    let job = "  - {name: a, cron: \"@daily\", handler: a, blackouts: [x]}\n";
    let cases = [
        "blackouts: [x]",
        "blackouts:",
        "blackouts: {x: 02:00-03:00}",
        "blackouts: {x: {}}",
        "blackouts: {x: }",
        "blackouts: {x: {timezone: UTC}}",
        "blackouts: {x: {form: 2026-12-24, to: 2026-12-25}}",
        "blackouts: {x: {from: 2026-12-24}}",
        "blackouts: {x: {to: 2026-12-24}}",
        "blackouts: {x: {from: soon, to: 2026}}",
        "blackouts: {x: {from: 2026-12-25, to: 2026-12-24}}",
        "blackouts: {x: {from: 2026-12-25, to: 2026-12-25, timezone: \"{{ tenant.labels.zone }}\"}}",
        "blackouts: {x: {from: 2026-12-25T00:00Z, to: 2026-12-25T00:00+02:00}}",
        "blackouts: {x: {from: 2026-12-25, to: 9999-12-31, timezone: America/New_York}}",
        "blackouts: {x: {from: 2026-03-08T02:10, to: 2026-03-08T02:50, timezone: America/New_York}}",
        "blackouts: {x: {from: 2026-12-25, to: 2026-12-26, days: sat}}",
        "blackouts: {x: {from: 2026-12-24T00:00Z, to: 2026-12-25T00:00Z, timezone: UTC}}",
        "blackouts: {x: {daily: 02:00-03:00, from: 2026-13-01, days: [son]}}",
        "blackouts: {x: {daily: 2-3}}",
        "blackouts: {x: {daily: 02:00-02:00}}",
        "blackouts: {x: {daily: 200}}",
        "blackouts: {x: {daily: [02:00-03:00]}}",
        "blackouts: {x: {daily: 02:00-03:00, days: []}}",
        "blackouts: {x: {daily: 02:00-03:00, days: [mon, 2, munday]}}",
        "blackouts: {x: {daily: 02:00-03:00, days: mon-}}",
        "blackouts: {x: {daily: 02:00-03:00, days: 1}}",
        "blackouts: {x: {daily: 02:00-03:00, days: {from: mon}}}",
        "blackouts: {x: {daily: 02:00-03:00, timezone: Europe/Belrin}}",
        "blackouts: {x: {daily: 02:00-03:00, timezone: \"{{ run.attempt }}\"}}",
        "blackouts: {x: {daily: 02:00-03:00}, \"a b\": {daily: 02:00-03:00}}",
        "blackouts: {x: {daily: 02:00-03:00}, x: {daily: 03:00-04:00}}",
        "blackouts: {x: {daily: 02:00-03:00}, y: {daily: 03:00-04:00}}",
        "blackout: {x: {daily: 02:00-03:00}}",
    ];
    let cases: Vec<_> = cases.iter().map(|top| (*top, format!("{}{top}\n", with_jobs(job)))).collect();
    assert_snapshot!(said_of_texts(&cases));
}

#[test]
fn mistakes_that_only_tenants_make() {
    let text = "version: 1\ntenants:\n  - {id: a, timezone: America/New_York, labels: {zone: Mars/Base}}\n  \
        - {id: b, timezone: Europe/Berlin}\n  - {id: c}\nblackouts:\n  \
        x: {daily: 02:00-03:00, timezone: \"{{ tenant.timezone }}\"}\n  \
        y: {daily: 02:00-03:00, timezone: \"{{ tenant.labels.zone }}\"}\n  \
        z: {from: 2026-03-08T02:10, to: 2026-03-08T02:50, timezone: \"{{ tenant.timezone }}\"}\n  \
        half: {from: 2026-12-24T00:00Z, to: 2026-12-24T00:30, timezone: \"{{ tenant.timezone }}\"}\njobs:\n  \
        - {name: one, every: 5m, blackouts: [x], handler: h, tenants: {id: [b, c]}}\n  \
        - {name: two, every: 5m, blackouts: [x, y], handler: h}\n  \
        - {name: three, every: 5m, blackouts: [z, half], handler: h, tenants: {id: [a, b]}}\n";
    assert_snapshot!(said(text));
}

#[test]
fn jobs_that_never_run() {
    let case = |tenants: &str, blackouts: &str, job: &str| {
        format!(
            "version: 1\ntenants: [{tenants}]\nblackouts: {{{blackouts}}}\njobs:\n  - {{name: j, handler: h, {job}}}\n"
        )
    };
    let two = "{id: a, timezone: Europe/Berlin}, {id: b, timezone: UTC}";
    let night = "night: {daily: 02:00-03:00, timezone: Europe/Berlin}";
    let halves = "am: {daily: 00:00-12:00}, pm: {daily: 12:00-24:00}";
    assert_snapshot!(said_of_texts(&[
        ("utc", case("{id: a}", "night: {daily: 02:00-03:00}", "cron: \"30 2 * * *\", blackouts: [night]")),
        (
            "once a year, right after clocks have skipped the time",
            case("{id: a}", night, "cron: \"30 2 * * *\", timezone: Europe/Berlin, blackouts: [night]"),
        ),
        (
            "for one of the tenants",
            case(
                two,
                night,
                "cron: \"30 2 * * *\", timezone: \"{{ tenant.timezone }}\", dst: skip, blackouts: [night]"
            ),
        ),
        (
            "at a time of its own for each tenant",
            case(two, "night: {daily: 02:00-03:00}", "spread: 02:00-02:45, blackouts: [night]"),
        ),
        (
            "every second of a few",
            case(
                "{id: a}",
                "x: {from: 2026-12-24, to: 2026-12-25}",
                "schedules: [{at: 2026-12-24}, {at: 2026-12-24T23:59}], blackouts: [x]"
            )
        ),
        (
            "within its limits",
            case(
                "{id: a}",
                "x: {from: 2026-12-24, to: 2026-12-31}",
                "cron: \"* * * * *\", start: 2026-12-25, end: 2026-12-28, blackouts: [x]"
            )
        ),
        ("each second", case("{id: a}", halves, "cron: \"* * * * * *\", blackouts: [am, pm]")),
        ("deferred for ever", case("{id: a}", halves, "cron: \"@hourly\", blackouts: [am, pm], on_blackout: defer")),
        ("put off for ever", case("{id: a}", halves, "every: 5m, blackouts: [am, pm]")),
    ]));
    for (blackouts, job) in [
        ("night: {daily: 02:00-03:00}", "cron: \"30 2 * * *\", blackouts: [night], on_blackout: defer"),
        ("night: {daily: 02:00-03:00}", "cron: \"0 2,3 * * *\", blackouts: [night]"),
        ("night: {daily: 00:00-23:55}", "cron: \"*/5 * * * *\", blackouts: [night]"),
        ("week: {daily: 00:00-24:00, days: mon-sat}", "cron: \"@daily\", blackouts: [week]"),
        ("most: {daily: 00:00-23:59}", "every: 5m, blackouts: [most]"),
        ("long: {from: 2020-01-01, to: 9998-01-01}", "every: 5m, blackouts: [long]"),
        ("am: {daily: 00:00-12:00}, pm: {daily: 12:00-24:00, days: mon-sat}", "every: 5m, blackouts: [am, pm]"),
    ] {
        good(&case("{id: a}", blackouts, job));
    }
    // Where tenants differ, those of the second half of the window run.
    let tenants = (0..40).map(|n| format!("{{id: t{n}}}")).collect::<Vec<_>>().join(", ");
    let text = case(&tenants, "night: {daily: 02:00-03:00}", "spread: 02:00-04:00, blackouts: [night]");
    let found = check(&text).diagnostics;
    assert_eq!(found.len(), 1);
    let (_, more) = found[0].message.split_once(" and ").unwrap();
    let more: usize = more.split(' ').next().unwrap().parse().unwrap();
    assert!((5..25).contains(&more), "{}", found[0].message);
}
