//! The manual of the config file is true: its examples check, and its messages are the ones that are printed.

use leasehold_common::catalog::Recovery;
use leasehold_common::config::{self, Checked};
use leasehold_common::definition::{CatchUp, Definition, Overlap, Tenant};
use leasehold_common::duration;
use leasehold_common::hook::HookSpec;
use leasehold_common::retry::RetryPolicy;
use leasehold_common::roster::RosterSpec;
use leasehold_common::template::{PAYLOAD_VARIABLES, VARIABLES};

const MANUAL: &str = include_str!("../../../docs/reference/config.md");

const SCHEDULES: &str = include_str!("../../../docs/reference/schedules.md");

const PLANS: &str = include_str!("../../../docs/how-to/plans-and-overrides.md");

const SCHEMA: &str = include_str!("../../../docs/reference/leasehold.schema.json");

/// The fenced blocks of a page: what stands behind the opening fence, and the text.
fn blocks(page: &str) -> Vec<(&str, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(&str, String)> = None;
    for line in page.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(kind)) => open = Some((kind, String::new())),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some((_, text)), None) => *text = format!("{text}{line}\n"),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

/// A whole config, or a part of one put in its place.
fn complete(block: &str) -> String {
    const TENANT: &str = "tenants: [{id: acme, plan: a, features: [b, reports], timezone: UTC, labels: {c: d}, database: {url: \"env:DB\"}}]";
    let first = block.lines().next().unwrap_or_default();
    match first.split(':').next() {
        Some("version") => block.to_owned(),
        Some("tenants") => format!("version: 1\njobs: [{{name: a, every: 1h, handler: a}}]\n{block}"),
        Some("recovery" | "defaults" | "hooks") => {
            format!("version: 1\n{TENANT}\njobs: [{{name: example, every: 1h, handler: a}}]\n{block}")
        }
        Some("blackouts") if first == "blackouts:" => {
            let names: Vec<_> = block.lines().skip(1).filter_map(|line| line.trim().split_once(": ")).collect();
            let names = names.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
            format!("version: 1\n{TENANT}\njobs: [{{name: a, every: 1h, handler: a, blackouts: [{names}]}}]\n{block}")
        }
        _ => {
            let mut job: String = block.lines().map(|line| format!("    {line}\n")).collect();
            if !["http:", "command:", "sql:", "handler:"].iter().any(|key| block.contains(key)) {
                job.push_str("    handler: a\n");
            }
            format!("version: 1\n{TENANT}\njobs:\n  - name: example\n{job}")
        }
    }
}

fn check(text: &str) -> Checked {
    config::check("leasehold.yaml", text, &|_| None)
}

fn said(checked: &Checked) -> String {
    checked.diagnostics.iter().map(|found| format!("{found}\n")).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_first_example_is_the_one_that_other_tests_use() {
    assert_eq!(blocks(MANUAL)[0].1.trim(), crate::EXAMPLE.trim());
}

#[test]
fn every_example_is_faultless() {
    // Of the schedules, the block at the top shows the kinds under each other.
    let (_, policies) = SCHEDULES.split_once("\n## Policies\n").unwrap();
    let (manual, policies) = (blocks(MANUAL), blocks(policies));
    assert!(manual.len() >= 20 && policies.len() >= 4, "{} and {} examples", manual.len(), policies.len());
    let plans = blocks(PLANS);
    let examples = manual.into_iter().chain(policies).chain(plans).filter(|(kind, _)| *kind == "yaml");
    for (_, block) in examples {
        let checked = check(&complete(&block));
        assert_eq!(said(&checked), "", "in the example\n{block}");
        assert!(checked.config.is_some());
    }
    assert_eq!(said(&check(crate::POLICIES)), "");
}

#[test]
fn the_messages_are_the_ones_that_are_printed() {
    let blocks = blocks(MANUAL);
    let wrong: Vec<_> = blocks.windows(2).filter(|pair| pair[0].0 == "yaml wrong").collect();
    assert_eq!(wrong.len(), 1);
    for pair in wrong {
        assert_eq!(pair[1].0, "text", "a wrong example is followed by what is said about it");
        assert_eq!(said(&check(&pair[0].1)), pair[1].1);
    }
}

#[test]
fn the_tables_name_what_there_is() {
    for variable in VARIABLES.into_iter().chain(PAYLOAD_VARIABLES) {
        assert!(MANUAL.contains(&format!("| `{variable}` |")), "{variable} is not in the manual");
    }
    for (what, text, count) in [
        ("the config", "version: 1\n~x: y\n".to_owned(), 11),
        ("a tenant", "version: 1\ntenants: [{~x: y}]\n".to_owned(), 10),
        ("a plan", "version: 1\nplans: {a: {~x: y}}\n".to_owned(), 5),
        ("an override", "version: 1\noverrides: [{~x: y}]\n".to_owned(), 6),
        ("`roster`", "version: 1\nroster: {~x: y}\n".to_owned(), 4),
        ("`database`", "version: 1\ntenants: [{database: {~x: y}}]\n".to_owned(), 3),
        ("`requires`", job("requires: {~x: y}"), 2),
        ("a job", job("~x: y"), 34),
        ("a blackout", "version: 1\nblackouts: {a: {~x: y}}\n".to_owned(), 5),
        ("`overlap`", job("overlap: {~x: y}"), 2),
        ("`catch_up`", job("catch_up: {~x: y}"), 3),
        ("`command`", job("command: {~x: y}"), 5),
        ("`resources`", job("command: {resources: {~x: y}}"), 5),
        ("`recovery`", "version: 1\nrecovery: {~x: y}\n".to_owned(), 2),
        ("a hook", "version: 1\nhooks: [{~x: y}]\n".to_owned(), 9),
    ] {
        let keys = keys_of(what, &text);
        for key in &keys {
            assert!(MANUAL.contains(&format!("\n| `{key}` | ")), "the key {key} of {what} is not in the manual");
        }
        assert_eq!(keys.len(), count, "{what}");
    }
}

#[test]
fn the_tables_name_every_word() {
    let words = |key: &str| {
        let text = job(&format!("{key}: none-of-them"));
        let start = format!("`{key}` must be one of ");
        let words = check(&text).diagnostics.into_iter().find_map(|f| Some(f.message.strip_prefix(&start)?.to_owned()));
        words.unwrap().split(", ").map(str::to_owned).collect::<Vec<_>>()
    };
    for (key, count) in [("overlap", 5), ("catch_up", 3)] {
        let words = words(key);
        assert_eq!(words.len(), count, "{key}");
        for (page, text) in [("config.md", MANUAL), ("schedules.md", SCHEDULES)] {
            let (_, table) = text.split_once(&format!("\n| `{key}` | ")).unwrap();
            // The first table with that head: in the manual the one of jobs has a row of that name.
            let table = table.split_once(&format!("\n| `{key}` | ")).map_or(table, |(_, table)| table);
            let table = table.split_once("\n\n").unwrap().0;
            let named = table.lines().filter(|line| line.starts_with("| `")).count();
            assert_eq!(named, count, "{key} in {page}");
            for word in &words {
                assert!(table.contains(&format!("\n| {word} ")), "{word} of {key} is not in {page}");
            }
        }
    }
}

/// A config with a job that has these keys too.
fn job(rest: &str) -> String {
    format!("version: 1\njobs: [{{name: a, every: 1h, {rest}}}]\n")
}

/// The keys of one kind of map, as the check lists them for a key that it does not know.
fn keys_of(what: &str, text: &str) -> Vec<String> {
    let start = format!("the keys of {what} are ");
    let help = check(text).diagnostics.into_iter().find_map(|found| Some(found.help?.strip_prefix(&start)?.to_owned()));
    let mut keys: Vec<_> = help.unwrap().split(", ").map(str::to_owned).collect();
    keys.sort();
    keys
}

#[test]
fn the_schema_for_editors_knows_the_same_keys() {
    let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
    for (what, pointer, text) in [
        ("the config", "", "version: 1\n~x: y\n".to_owned()),
        ("a tenant", "/$defs/tenant", "version: 1\ntenants: [{~x: y}]\n".to_owned()),
        ("`dev`", "/properties/dev", "version: 1\ndev: {~x: y}\n".to_owned()),
        ("a service", "/$defs/service", "version: 1\ndev: {services: [{~x: y}]}\n".to_owned()),
        ("a job", "/$defs/job", job("~x: y")),
        ("`defaults`", "/$defs/layer", "version: 1\ndefaults: {~x: y}\n".to_owned()),
        ("a plan", "/$defs/plan", "version: 1\nplans: {a: {~x: y}}\n".to_owned()),
        ("an override", "/$defs/override", "version: 1\noverrides: [{~x: y}]\n".to_owned()),
        ("`roster`", "/properties/roster", "version: 1\nroster: {~x: y}\n".to_owned()),
        ("a source", "/$defs/source", "version: 1\nroster: {sources: [{~x: y}]}\n".to_owned()),
        (
            "`sql` of a source",
            "/$defs/source/properties/sql",
            "version: 1\nroster: {sources: [{sql: {~x: y}}]}\n".to_owned(),
        ),
        (
            "`http` of a source",
            "/$defs/source/properties/http",
            "version: 1\nroster: {sources: [{http: {~x: y}}]}\n".to_owned(),
        ),
        ("`database`", "/$defs/database", "version: 1\ntenants: [{database: {~x: y}}]\n".to_owned()),
        ("`requires`", "/$defs/requires", job("requires: {~x: y}")),
        ("`total` of a job", "/$defs/job/properties/total", job("total: {~x: y}")),
        ("`sql` of a job", "/$defs/sql", job("sql: {~x: y}")),
        ("a statement", "/$defs/statement", job("sql: {statements: [{~x: y}]}")),
        ("a schedule", "/$defs/schedule", "version: 1\njobs: [{name: a, schedules: [{~x: y}]}]\n".to_owned()),
        ("a selector", "/$defs/selector", job("tenants: {~x: y}")),
        ("a blackout", "/$defs/blackout", "version: 1\nblackouts: {a: {~x: y}}\n".to_owned()),
        ("`overlap`", "/$defs/overlap", job("overlap: {~x: y}")),
        ("`catch_up`", "/$defs/catch_up", job("catch_up: {~x: y}")),
        ("a hook", "/$defs/hook", "version: 1\nhooks: [{~x: y}]\n".to_owned()),
        ("`http` of a hook", "/$defs/hook/properties/http", "version: 1\nhooks: [{http: {~x: y}}]\n".to_owned()),
        (
            "`command` of a hook",
            "/$defs/hook/properties/command",
            "version: 1\nhooks: [{command: {~x: y}}]\n".to_owned(),
        ),
        ("`recovery`", "/properties/recovery", "version: 1\nrecovery: {~x: y}\n".to_owned()),
        ("`http`", "/$defs/http", job("http: {~x: y}")),
        ("`sign`", "/$defs/http/properties/sign", job("http: {sign: {~x: y}}")),
        ("`responses`", "/$defs/http/properties/responses", job("http: {responses: {~x: y}}")),
        ("`command`", "/$defs/job/properties/command", job("command: {~x: y}")),
        ("`resources`", "/$defs/resources", job("command: {resources: {~x: y}}")),
        ("`retry`", "/$defs/retry", job("retry: {~x: y}")),
        ("`backoff`", "/$defs/backoff", job("retry: {backoff: {~x: y}}")),
    ] {
        let properties = schema.pointer(pointer).unwrap()["properties"].as_object().unwrap();
        let mut keys: Vec<_> = properties.keys().cloned().collect();
        keys.sort();
        assert_eq!(keys, keys_of(what, &text), "{what}");
        assert_eq!(schema.pointer(pointer).unwrap()["additionalProperties"], false, "{what}");
    }
}

#[test]
fn the_defaults_are_the_ones_in_the_tables() {
    let (retry, recovery) = (RetryPolicy::default(), Recovery::default());
    for (key, default) in [
        ("timeout", duration::format(Definition::DEFAULT_TIMEOUT)),
        ("attempts", retry.attempts.to_string()),
        ("backoff.initial", duration::format(retry.backoff.initial)),
        ("backoff.max", duration::format(retry.backoff.max)),
        ("backoff.factor", retry.backoff.factor.to_string()),
        ("overlap", Overlap::default().as_str().to_owned()),
        ("limit", Definition::DEFAULT_BUFFER.to_string()),
        ("grace", duration::format(CatchUp::DEFAULT_GRACE)),
        ("within", duration::format(CatchUp::DEFAULT_WITHIN)),
        ("total", recovery.total.to_string()),
        ("per_tenant", recovery.per_tenant.to_string()),
        ("weight", Tenant::DEFAULT_WEIGHT.to_string()),
        ("late_after", duration::format(HookSpec::DEFAULT_LATE_AFTER)),
        ("every", duration::format(HookSpec::DEFAULT_EVERY)),
        ("timeout", duration::format(HookSpec::DEFAULT_TIMEOUT)),
        ("refresh", duration::format(RosterSpec::DEFAULT_REFRESH)),
        ("max_drop", RosterSpec::DEFAULT_MAX_DROP.to_string()),
    ] {
        let mut rows = MANUAL.lines().filter(|line| line.starts_with(&format!("| `{key}` |")));
        assert!(rows.any(|row| row.contains(&format!("| `{default}` |"))), "no row of {key} says {default}");
    }
}
