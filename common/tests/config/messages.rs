//! Every mistake with its message, word for word.

use std::fmt::Write;

use crate::{assert_snapshot, check, said, said_of_texts, with_jobs, with_line};

#[test]
fn ten_mistakes_make_ten_messages() {
    let text = r#"version: 1
tenants:
  - {id: acme, plan: enterprise, features: [reports], timezone: America/New_Yrok}
  - {id: globex, plann: starter}
  - {id: acme}
jobs:
  - name: sync-orders
    every: 30
    http: {method: POST, url: "http://127.0.0.1:9000/sync/{{ tenant.idd }}"}
    retry: {attempts: 0, backoff: {initial: 10s, max: 1s}}
  - name: nightly report
    tenants: {features: [reports]}
    cron: "0 25 * * *"
    timezone: "{{ tenant.timezone }}"
    command: {argv: []}
  - name: clean-up
    cron: "@daily"
    overlap: sometimes
"#;
    let checked = check(text);
    assert_snapshot!(said(text));
    let lines: Vec<_> = checked.diagnostics.iter().map(|found| (found.line, found.column)).collect();
    assert!(lines.is_sorted(), "{lines:?}");
}

fn lines(cases: &[&str]) -> String {
    said_of_texts(&cases.iter().map(|line| (*line, with_line(line))).collect::<Vec<_>>())
}

fn jobs(cases: &[(&str, &str)]) -> String {
    said_of_texts(&cases.iter().map(|(name, jobs)| (*name, with_jobs(jobs))).collect::<Vec<_>>())
}

fn texts(cases: &[(&str, &str)]) -> String {
    said_of_texts(&cases.iter().map(|(name, text)| (*name, (*text).to_owned())).collect::<Vec<_>>())
}

#[test]
fn the_shape_of_the_file() {
    assert_snapshot!(texts(&[
        ("empty", ""),
        ("only comments", "# nothing\n\n"),
        ("a list", "- version: 1\n"),
        ("text", "hello"),
        ("no version", "tenants: []\njobs: []\n"),
        ("another version", "version: 2\ntenants: [{id: a}]\njobs: []\n"),
        ("a version in quotes", "version: \"1\"\ntenants: [{id: a}]\njobs: []\n"),
        ("nothing to run", "version: 1\n"),
        ("values left out", "version: 1\ntenants:\njobs:\n"),
        ("an unknown key", "version: 1\ntenant: []\nschedules: []\ntenants: [{id: a}]\njobs: []\n"),
        ("a key twice", "version: 1\ntenants: [{id: a}]\nversion: 1\njobs: []\n"),
        ("wrong types", "version: 1\ntenants: {id: acme}\njobs: all\n"),
        ("two documents", "version: 1\n---\nversion: 1\n"),
        (
            "services",
            "version: 1\ntenants: [{id: a}]\njobs: []\ndev:\n  services:\n    - {name: api, argv: []}\n    - {name: api, argv: [\"./api\", 8080]}\n    - {name: web, argv: [\"./web\"]}\n    - {name: web, argv: [\"./web\"]}\n    - {nam: x}\n  service: []\n"
        ),
    ]));
}

#[test]
fn broken_yaml() {
    assert_snapshot!(texts(&[
        ("stars", "jobs:\n  - name: a\n    cron: * * * * *\n    every: 5\n"),
        ("a step", "jobs:\n  - cron: */5 * * * *  # often\n"),
        ("stars in brackets", "jobs: [{name: a, cron: * * * * *, handler: x}]\n"),
        ("a nickname", "jobs:\n  - cron: @daily\n"),
        (
            "a template alone",
            "version: 1\njobs:\n  - name: a\n    every: 5s\n    timezone: {{ tenant.timezone }}\n    handler: a\n"
        ),
        ("a template and more", "url: {{ tenant.id }}/x\n"),
        ("a template in a list", "version: 1\njobs: [{name: a, every: 5s, command: {argv: [./a, {{ tenant.id }}]}}]\n"),
        ("an alias of nothing", "version: 1\njobs: *all\ntenants: []\n"),
        ("a tab", "version: 1\njobs:\n\t- name: a\n"),
        ("a colon too many", "version: 1\njobs:\n  - name: a: b\n"),
        ("indentation", "version: 1\njobs:\n  - name: a\n   every: 5s\n"),
        ("an open bracket", "version: 1\njobs: [{name: a}\ntenants: []\n"),
        ("an open brace", "version: 1\njobs: [{name: a, every: 5s]\n"),
        ("an open quote", "version: 1\njobs: \"abc\ntenants: []\n"),
        ("an open quote at the end", "version: 1\njobs: \"abc\n"),
        ("an escape", "version: 1\njobs: \"\\d\"\n"),
        ("a percent sign", "version: 1\njobs: %x\n"),
        ("a control character", "version: 1\njobs: \u{1}\n"),
        ("a tag", "version: 1\njobs: !include jobs.yaml\n"),
        ("a map as a key", "version: 1\n{a: b}: c\n[x]: y\n"),
        ("an alias of itself", "version: 1\njobs: &a [*a]\ntenants: []\n"),
    ]));
}

#[test]
fn tenants() {
    let tenants = |list: &str| format!("version: 1\njobs: [{{name: a, every: 5s, handler: a}}]\ntenants:\n{list}");
    let cases = [
        ("no id", "  - {plan: starter}\n"),
        (
            "names",
            "  - {id: \"-rf\"}\n  - {id: ../etc}\n  - {id: \"\"}\n  - {id: Zürich}\n  - {id: a, plan: \"a b\", features: [\"x/y\"]}\n",
        ),
        (
            "a long name",
            "  - id: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
        ),
        ("twice", "  - {id: acme}\n  - {id: globex}\n  - {id: acme}\n"),
        ("numbers for text", "  - {id: 42, labels: {tier: 1, eu: true}}\n"),
        (
            "zones",
            "  - {id: a, timezone: Mars/Base}\n  - {id: b, timezone: \"\"}\n  - {id: c, timezone: local}\n  - {id: d, timezone: \"+02:00\"}\n  - {id: e, timezone: Berlin}\n",
        ),
        ("features as text", "  - {id: acme, features: billing}\n"),
        (
            "labels",
            "  - {id: a, labels: [eu]}\n  - {id: b, labels: {\"a b\": x}}\n  - {id: c, labels: {x: \"a\\nb\"}}\n  - {id: d, labels: {x: }}\n",
        ),
        ("a tenant that is text", "  - acme\n"),
    ];
    assert_snapshot!(said_of_texts(&cases.map(|(name, list)| (name, tenants(list)))));
}

#[test]
fn schedules() {
    assert_snapshot!(jobs(&[
        ("none", "  - {name: a, handler: a}\n"),
        ("both", "  - {name: a, handler: a, every: 5s, cron: \"0 2 * * *\"}\n"),
        (
            "cron",
            "  - {name: a, handler: a, cron: \"60 * * * *\"}\n  - {name: b, handler: a, cron: \"* * *\"}\n  - {name: c, handler: a, cron: '0 0 31 2 *'}\n  - {name: d, handler: a, cron: \"@reboot\"}\n  - {name: e, handler: a, cron: \"\"}\n  - {name: f, handler: a, cron: 5}\n  - {name: g, handler: a, cron: 0 2 * * Monday}\n"
        ),
        (
            "every",
            "  - {name: a, handler: a, every: 500ms}\n  - {name: b, handler: a, every: 0s}\n  - {name: c, handler: a, every: 1.5h}\n  - {name: d, handler: a, every: [5s]}\n  - {name: e, handler: a, every: -5}\n"
        ),
        (
            "zones",
            "  - {name: a, handler: a, cron: \"@daily\", timezone: Europe/Belrin}\n  - {name: b, handler: a, cron: \"@daily\", timezone: \"{{ tenant.timezone }}\"}\n  - {name: c, handler: a, cron: \"@daily\", timezone: \"{{ run.attempt }}\"}\n  - {name: d, handler: a, cron: \"@daily\", timezone: \"{{ tenant.id }}\"}\n"
        ),
        ("dst", "  - {name: a, handler: a, cron: \"@daily\", dst: twice}\n"),
        ("no effect", "  - {name: a, handler: a, every: 5s, timezone: UTC, dst: skip}\n"),
    ]));
}

#[test]
fn handlers() {
    let job = |rest: &str| format!("  - name: a\n    every: 5s\n    {rest}\n");
    let cases = [
        "payload: {}",
        "http: {url: \"http://h/\"}\n    command: {argv: [./a]}\n    handler: x",
        "http: \"http://h/\"",
        "http: {method: post}",
        "http: {url: \"ftp://h/\", method: FETCH}",
        "http: {url: \"http://{{ tenant.id }}.example.com/\"}",
        "http: {url: 'http://example.com/{{ tenant.name }}'}",
        "http: {url: \"http://h/{{ tenant.id }\"}",
        "http: {url: \"http://h/{{}}\"}",
        "http: {url: \"http://h/a b\"}",
        "http: {url: \"http://h/\", headers: {\"a b\": x, content-length: 5, X-A: a, x-a: b, x-b: \"a\\nb\", x-c: \"{{ job.nam }}\"}}",
        "http: {url: \"http://h/{{ tenant.labels.region }}?p={{ tenant.plan }}\"}",
        "command: [./a]",
        "command: {argv: ./report.sh --all}",
        "command: {argv: [\"\", x]}",
        "command: {argv: [./a, 5, [b], \"{{ tenant.timezone }}\", \"a\\0b\"]}",
        "handler: \"my handler\"",
        "handler: {name: x}",
        "handler: a\n    payload: {n: 99999999999999999999, f: .nan, ok: 1}",
    ];
    assert_snapshot!(said_of_texts(&cases.map(|rest| (rest, with_jobs(&job(rest))))));
}

#[test]
fn kinds_of_schedules() {
    let job = |rest: &str| with_jobs(&format!("  - name: a\n    handler: a\n    {rest}\n"));
    let cases = [
        "every: 5m\n    anchor: begin",
        "cron: \"@daily\"\n    anchor: start",
        "every: 5m\n    anchor: start\n    timezone: UTC\n    dst: skip",
        "at: tomorrow",
        "at: 2026",
        "at: 2026-02-30T09:00",
        "at: 2026-12-01T09:00:00.5",
        "at: 2026-12-01T09:00Z\n    timezone: UTC\n    dst: skip",
        "at: 2026-03-08T02:30\n    timezone: America/New_York\n    dst: skip",
        "at: 2011-12-30T12:00\n    timezone: Pacific/Apia",
        "at: 2026-12-01T09:00\n    timezone: \"{{ tenant.timezone }}\"",
        "spread: 0-4",
        "spread: 04:00-04:00",
        "spread: 00:00-04:00\n    dst: skip",
        "spread: 00:00-04:00\n    at: 2026-12-01",
        "schedules: []",
        "schedules: \"@daily\"",
        "schedules: [\"@daily\"]",
        "schedules: [{cron: \"@daily\"}, {every: 5m}]",
        "schedules: [{timezone: UTC}, {corn: \"@daily\"}, {cron: \"@daily\", at: 2026-12-01, start: 2026-12-01}]",
        "schedules: [{every: 5m, anchor: start, timezone: UTC}, {cron: \"61 * * * *\", timezone: Europe/Belrin}]\n    dst: skip",
        "schedules: [{at: 2026-12-01Z}, {at: 2026-12-01T02:30Z}]\n    timezone: UTC\n    anchor: start",
        "schedules: [{cron: \"@daily\"}]\n    cron: \"@hourly\"",
        "every: 5m\n    start: 2026-12-01\n    end: 2027-01-01\n    jitter: 5s",
        "cron: \"@daily\"\n    start: soon\n    end: 2026-13-01\n    jitter: 0s",
        "cron: \"@daily\"\n    start: 2026-12-01\n    end: 2026-12-01",
        "cron: \"0 9 * * *\"\n    start: 2026-12-01T09:01\n    end: 2026-12-02T09:00\n    jitter: 1m",
        "at: 2026-12-01\n    start: 2026-12-02",
        "at: 2026-12-01\n    end: 2026-12-01",
    ];
    assert_snapshot!(said_of_texts(&cases.map(|rest| (rest, job(rest)))));
    let many = "{cron: \"@daily\"}, ".repeat(33);
    assert!(said(&job(&format!("schedules: [{many}]"))).contains("`schedules` has more than 32 entries"));
}

#[test]
fn settings() {
    assert_snapshot!(lines(&[
        "timeout: 0s",
        "timeout: 30",
        "timeout: soon",
        "timeout:",
        "retry: 5",
        "retry: {attempt: 5}",
        "retry: {attempts: 0}",
        "retry: {attempts: 2.5}",
        "retry: {attempts: many}",
        "retry: {backoff: {initial: 0s, factor: 0.5}}",
        "retry: {backoff: {initial: 10m, max: 5m, factor: .inf}}",
        "retry: {backoff: {factor: two}}",
        "retry: {retry_on: timeout}",
        "retry: {retry_on: []}",
        "retry: {give_up_on: [http.404, \"no such order\"]}",
        "retry: {give_up_on: [{massage: x}]}",
        "retry: {give_up_on: [404]}",
        "retry: {deadline: 10ms}",
        "overlap: Skip",
        "overlap: queue",
        "queue: \"high prio\"",
        "priority: 40000",
        "priority: high",
        "tiemout: 5m",
        "concurency: 5",
        "concurrency: 0",
        "timeout: 5m\n    timeout: 6m",
        "name: other",
    ]));
}

#[test]
fn names_of_jobs() {
    assert_snapshot!(jobs(&[
        (
            "twice",
            "  - {name: a, every: 5s, handler: a}\n  - {name: b, every: 5s, handler: a}\n  - {name: a, every: 5s, handler: b}\n"
        ),
        ("none", "  - {every: 5s, handler: a}\n"),
        ("not a map", "  - nightly\n"),
        ("nothing", "  -\n"),
    ]));
}

#[test]
fn selectors() {
    let job = |selector: &str| with_jobs(&format!("  - {{name: a, every: 5s, handler: a, tenants: {selector}}}\n"));
    let cases = [
        "all",
        "[acme]",
        "{ids: [acme]}",
        "{id: []}",
        "{id: acmee}",
        "{id: [acme, initech]}",
        "{plan: enterprize}",
        "{plan: 5}",
        "{plan: {x: y}}",
        "{features: [billing, report]}",
        "{labels: {zone: us}}",
        "{labels: {region: eu}}",
        "{labels: {region: [us, eu]}}",
        "{features: [reports], plan: starter}",
        "{features: {}}",
    ];
    assert_snapshot!(said_of_texts(&cases.map(|selector| (selector, job(selector)))));
}

#[test]
fn values_that_tenants_lack() {
    let mut text = "version: 1\ntenants:\n".to_owned();
    for number in 1..=1_000 {
        let region = if number % 2 == 0 { ", labels: {region: us, up: \"..\"}" } else { "" };
        writeln!(text, "  - {{id: t{number}{region}}}").unwrap();
    }
    text.push_str(
        "jobs:\n  - name: a\n    every: 5s\n    http: {url: \"http://h/{{ tenant.labels.region }}/{{ tenant.id }}\"}\n",
    );
    text.push_str(
        "  - name: b\n    every: 5s\n    tenants: {id: [t1, t2]}\n    command: {argv: [a, \"{{ tenant.plan }}\"]}\n",
    );
    text.push_str("  - name: c\n    every: 5s\n    tenants: {labels: {region: us}}\n    http: {url: \"http://h/{{ tenant.labels.up }}/x\"}\n");
    text.push_str("  - name: d\n    cron: \"@daily\"\n    tenants: {labels: {region: us}}\n    timezone: \"{{ tenant.labels.region }}\"\n    handler: a\n");
    text.push_str("  - name: e\n    cron: \"@daily\"\n    tenants: {id: t7}\n    timezone: \"{{ tenant.timezone }}\"\n    handler: a\n");
    assert_snapshot!(said(&text));
}

#[test]
fn one_mistake_is_one_message() {
    let alone = |text: &str, message: &str| {
        let said: Vec<_> = check(text).diagnostics.into_iter().map(|found| found.message).collect();
        assert_eq!(said, [message], "{text}");
    };
    let job = "jobs:\n  - {name: a, every: 5s, command: {argv: [a, \"{{ tenant.plan }}\"]}}\n";
    alone(
        &format!("version: 1\ntenants: [{{id: a, plan: \"b c\"}}]\n{job}"),
        "a plan consists of ASCII letters, digits, '.', '_' and '-', and starts with a letter or a digit; found ' '",
    );
    alone(&format!("version: 1\ntenants: [{{id: a, plann: b}}]\n{job}"), "unknown key `plann` in a tenant");
    alone(&with_jobs("  - {nmae: a, every: 5s, handler: h}\n"), "unknown key `nmae` in a job");
    alone(&with_jobs("  - {name: a, evry: 5s, handler: h}\n"), "unknown key `evry` in a job");
    alone(&with_jobs("  - {name: a, every: 5s, handlers: h}\n"), "unknown key `handlers` in a job");
    alone(
        &with_jobs("  - {name: a, every: {{ x }}, handler: h}\n"),
        "text that starts with `{{` must be in quotes: YAML reads it as a map",
    );
    alone(
        &with_jobs("  - {name: a, every: ${X}, handler: h}\n"),
        "text with `${` must be in quotes inside of brackets",
    );
    alone(
        &with_jobs("  - {name: a, every: !duration 5s, handler: h}\n"),
        "the YAML tag `!duration` means nothing here",
    );
}

#[test]
fn the_environment() {
    assert_snapshot!(lines(&[
        "payload: \"https://${HOSTS}/x\"",
        "queue: ${}",
        "retry: {attempts: ${N:-7}, backoff: {}}",
        "payload: [a, x${N:-7}y]",
        "queue: \"${HOST\"",
        "queue: ${TRICK}",
        "timeout: ${TIMEOUT:-5x}",
        "${HOST}: x",
    ]));
}

#[test]
fn hostile_text_stays_text() {
    let long = format!("{}{}", "x".repeat(50_000), "y".repeat(50_000));
    let cases = [
        ("escape sequences", with_line("overlap: \"\\e[31mred\\e[0m\"")),
        ("escape sequences in names", with_line("\"\\e[31mred\": 1")),
        ("a raw control character", with_line("overlap: \"red\u{9b}31m\"")),
        ("raw controls in a comment", with_line("overlap: no # \u{7f}\u{85}\u{202e}evil\u{200b}")),
        ("a tab", with_line("overlap:\tno\t# tabs")),
        ("a bidirectional key", with_line("\"\u{202e}x\": 1")),
        ("a long line", with_line(&format!("queue: {long}!"))),
        ("a long line, in the middle", with_line(&format!("payload: {{a: {long}, a: 1, b: {long}}}"))),
        ("a long key", with_line(&format!("? {long}\n    : 1"))),
        ("Windows line ends", with_line("overlap: no").replace('\n', "\r\n")),
        ("old line ends and a byte-order mark", format!("\u{feff}{}", with_line("overlap: no").replace('\n', "\r"))),
        ("wide characters", with_line("payload: \"日本\" # 日本\n    overlap: 日本")),
    ];
    let said = said_of_texts(&cases);
    assert!(said.chars().all(|c| c == '\n' || !c.is_control()), "no control character may be printed");
    assert!(said.lines().all(|line| line.chars().count() < 700), "no endless line may be printed");
    assert_snapshot!(said);
}
