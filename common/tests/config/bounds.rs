//! What no file can do: explode, hide an error, take for ever, or make the check panic.

use std::collections::HashSet;
use std::fmt::Write;
use std::sync::Arc;

use jiff::Timestamp;
use leasehold_common::config::{self, LoadError};
use proptest::prelude::*;

use crate::laws::hold;
use crate::layers::LAYERED;
use crate::{EXAMPLE, POLICIES, check, good, said, with_jobs};

#[test]
fn aliases_cannot_be_made_to_explode() {
    let mut bomb = "version: 1\ntenants: []\njobs: []\nx0: &x0 [a, a, a, a, a, a, a, a, a, a]\n".to_owned();
    for level in 1..30 {
        let last = format!("*x{}", level - 1);
        writeln!(bomb, "x{level}: &x{level} [{}]", vec![last; 10].join(", ")).unwrap();
    }
    assert!(said(&bomb).contains("aliases repeat more than 1000000 values"), "{}", said(&bomb));
    let mut deep = format!("version: 1\nx0: &x0 {}{}\n", "[".repeat(90), "]".repeat(90));
    for level in 1..50 {
        writeln!(deep, "x{level}: &x{level} [*x{}]", level - 1).unwrap();
    }
    assert!(said(&deep).contains("nested more than 100 levels deep"));
    for open in ["[", "{a: ", "- ", "? "] {
        let deep = open.repeat(20_000);
        assert!(check(&deep).config.is_none(), "{open}");
    }
}

#[test]
fn a_hundred_mistakes_are_shown_and_the_rest_is_counted() {
    let mut text = with_jobs("");
    for number in 0..250 {
        writeln!(text, "  - {{name: j{number}, every: 5s, timezone: UTC}}").unwrap();
    }
    let checked = check(&text);
    assert_eq!(checked.counts(), (100, 100), "errors do not crowd out warnings, nor the other way round");
    assert_eq!(checked.omitted, 300);
    let mut text = with_jobs("");
    for number in 0..12_000 {
        writeln!(text, "  - {{name: j{number}, every: 5s, timezone: UTC, handler: h}}").unwrap();
    }
    text.push_str("  - {name: last}\n");
    let checked = check(&text);
    assert_eq!(checked.counts().0, 2, "an error behind any number of warnings is shown");
    assert_eq!(checked.counts().1 + checked.omitted, 12_000);
}

#[test]
fn a_hundred_thousand_tenants_are_no_trouble() {
    let mut text = "version: 1\njobs: [{name: a, every: 1h, handler: a}]\ntenants:\n".to_owned();
    for number in 0..100_000 {
        writeln!(text, "- {{id: t{number}}}").unwrap();
    }
    assert_eq!(good(&text).desired(Timestamp::UNIX_EPOCH, &[]).jobs.len(), 100_000);
}

/// Counts and not times: work that grew with the square of the tenants would not end here.
#[test]
fn many_tenants_with_many_jobs_share_their_definitions() {
    let mut text = "version: 1\ntenants:\n".to_owned();
    for number in 0..20_000 {
        let zone = ["Europe/Berlin", "Asia/Tokyo", "America/New_York"][number % 3];
        writeln!(
            text,
            "  - {{id: t{number}, plan: p{}, features: [a, b], timezone: {zone}, labels: {{region: us}}}}",
            number % 5
        )
        .unwrap();
    }
    text.push_str("jobs:\n");
    for number in 0..9 {
        writeln!(text, "  - {{name: j{number}, cron: \"0 {number} * * *\", timezone: \"{{{{ tenant.timezone }}}}\", http: {{url: \"http://h/{{{{ tenant.labels.region }}}}\"}}}}").unwrap();
    }
    text.push_str("  - {name: some, every: 30s, tenants: {plan: [p1, p2]}, handler: h}\n");
    let config = good(&text);
    let desired = config.desired(Timestamp::UNIX_EPOCH, &[]);
    assert_eq!(desired.tenants.len(), 20_000);
    assert_eq!(desired.jobs.len(), 188_000);
    let definitions: HashSet<_> = desired.jobs.iter().map(|job| Arc::as_ptr(&job.definition)).collect();
    assert_eq!(definitions.len(), 9 * 3 + 1);
}

/// Counts and not times, likewise: work for each tenant and layer would not end here.
#[test]
fn a_hundred_thousand_tenants_with_layers_share_their_definitions() {
    let mut text = "version: 1\nroster: {sources: [{name: crm, http: {url: \"http://h/\"}}]}\nplans:\n".to_owned();
    for plan in 0..5 {
        writeln!(
            text,
            "  p{plan}: {{weight: {}, rate: 60/min, jobs: {{j{plan}: {{timeout: 7m}}, j9: {{enabled: false}}}}}}",
            plan + 1
        )
        .unwrap();
    }
    text.push_str("defaults: {timezone: \"{{ tenant.timezone }}\", retry: {attempts: 5}}\njobs:\n");
    for job in 0..10 {
        writeln!(text, "  - {{name: j{job}, cron: \"0 {job} * * *\", http: {{url: \"http://h/{{{{ tenant.labels.region }}}}\"}}, payload: {{t: \"{{{{ tenant.id }}}}\"}}}}").unwrap();
    }
    text.push_str("overrides:\n");
    for number in 0..20 {
        writeln!(
            text,
            "  - {{job: j{}, tenants: {{plan: p{}}}, until: 2100-01-01, reason: r, set: {{queue: q{number}}}}}",
            number % 10,
            number % 5
        )
        .unwrap();
    }
    let config = good(&text);
    let members: Vec<_> = (0..100_000)
        .map(|number| {
            let zone = ["Europe/Berlin", "Asia/Tokyo"][number % 2];
            let own = if number % 10 == 0 { r#"{"j8": {"priority": 1}}"# } else { "{}" };
            let row = serde_json::json!({"id": format!("t{number}"), "plan": format!("p{}", number % 5), "timezone": zone,
                "labels": {"region": "us"}, "jobs": own});
            config.admit("crm", row.as_object().unwrap()).unwrap()
        })
        .collect();
    assert_eq!(members.iter().map(|member| u64::from(member.weight)).sum::<u64>(), 300_000);
    let answer = config.jobs_for(&members, Timestamp::UNIX_EPOCH);
    assert_eq!((answer.jobs.len(), answer.refused.len()), (900_000, 0));
    let definitions: HashSet<_> = answer.jobs.iter().map(|job| Arc::as_ptr(&job.definition)).collect();
    let (few, jobs, zones) = (definitions.len(), 9, 2);
    assert!((jobs * zones..=jobs * zones * 12).contains(&few), "{few} definitions");
}

#[test]
fn mistakes_in_every_line_are_counted_without_end() {
    let mut text = "version: 1\njobs: [{name: a, every: 1h, handler: a}]\ntenants:\n".to_owned();
    for number in 0..20_000 {
        writeln!(text, "- {{id: t{number}, timezone: Europe/Belrin, featurs: [a], labels: {{\"a b\": c}}}}").unwrap();
    }
    let checked = check(&text);
    assert_eq!((checked.counts(), checked.omitted), ((100, 0), 59_900));
}

#[test]
fn files_that_hold_no_text_are_refused() {
    let folder = std::env::temp_dir().join(format!("leasehold-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("leasehold.yaml");
    std::fs::write(&path, b"version: 1\ntenants: [\xff]\n").unwrap();
    let error = config::load(&path).unwrap_err();
    assert!(matches!(error, LoadError::NotText { line: 2, .. }), "{error:?}");
    std::fs::write(&path, EXAMPLE).unwrap();
    assert_eq!(config::load(&path).unwrap().counts(), (0, 0));
    let missing = config::load(&folder.join("none.yaml")).unwrap_err();
    assert!(matches!(missing, LoadError::Read { .. }), "{missing:?}");
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Pieces of configs, to get past the parser more often than wild bytes do.
const PIECES: [&str; 62] = [
    "version: 1\n",
    "tenants:\n",
    "  - ",
    "{",
    "}",
    "[",
    "]",
    ": ",
    ", ",
    "\n",
    "    ",
    "id",
    "name",
    "cron",
    "every",
    "http",
    "url",
    "\"{{ tenant.labels.x }}\"",
    "{{",
    "}}",
    "${X:-",
    "${",
    "&a ",
    "*a",
    "* * * * *",
    "|\n",
    "'",
    "\"",
    "\\",
    "é",
    "\t",
    "# ",
    "---\n",
    "!!str ",
    "? ",
    "timezone",
    "jobs:\n",
    "payload",
    "0x1",
    "\r\n",
    "blackouts",
    "from",
    "to",
    "daily",
    "days",
    "2026-12-24",
    "22:00-04:00",
    "overlap",
    "policy",
    "recovery",
    "plans",
    "defaults",
    "overrides",
    "roster",
    "sources",
    "until",
    "set",
    "database",
    "requires",
    "concurrency",
    "rate",
    "null",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        hold(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_mixture_of_pieces_panics(pieces in proptest::collection::vec(proptest::sample::select(&PIECES[..]), 0..60)) {
        hold(&pieces.concat());
    }

}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn no_damage_to_a_good_config_panics(
        good in proptest::sample::select(&[EXAMPLE, POLICIES, LAYERED][..]), at in 0.0..1.0_f64, cut in 0..40_usize,
        piece in proptest::sample::select(&PIECES[..]),
    ) {
        let at = (at * good.len() as f64) as usize;
        if let (Some(before), Some(after)) = (good.get(..at), good.get((at + cut).min(good.len())..)) {
            hold(&format!("{before}{piece}{after}"));
        }
    }
}
