//! The `hooks` of a config: what they become, and what is said about mistakes.

use std::time::Duration;

use leasehold_common::hook::{HookEvent, HookTarget};

use crate::{assert_snapshot, check, good, said_of_texts};

fn with_hooks(hooks: &str) -> String {
    format!("version: 1\ntenants: [{{id: acme}}]\njobs: [{{name: sync, every: 30s, handler: sync}}]\nhooks:\n{hooks}\n")
}

#[test]
fn everything_arrives() {
    let config = good(&with_hooks(
        "  - {name: ops, on: [dead, late], tenants: [acme], jobs: [sync], late_after: 1m, every: 10m, timeout: 3s, \
         http: {url: \"env:OPS_URL\", bearer: \"file:/run/t\", headers: {X-Team: ops}, sign: {secrets: [\"env:A\", \"env:B\"]}}}\n  \
         - {name: pager, on: [missing, recovered], command: {argv: [./page.sh, --all]}}",
    ));
    let [ops, pager] = config.hooks() else { panic!("{:?}", config.hooks()) };
    assert_eq!(ops.on, [HookEvent::Dead, HookEvent::Late]);
    assert_eq!((ops.tenants.len(), ops.jobs.len()), (1, 1));
    assert_eq!([ops.late_after, ops.every, ops.timeout].map(|time| time.as_secs()), [60, 600, 3]);
    let HookTarget::Http(request) = &ops.target else { panic!("{:?}", ops.target) };
    assert_eq!(request.url.to_string(), "env:OPS_URL");
    assert_eq!(request.headers["x-team"], "ops");
    assert_eq!(request.secrets.len(), 2);
    assert_eq!(pager.target, HookTarget::Command(vec!["./page.sh".to_owned(), "--all".to_owned()]));
    assert_eq!([pager.late_after, pager.every], [Duration::from_secs(300); 2]);
    assert_eq!(check(&with_hooks("  []")).counts(), (0, 0));
}

#[test]
fn mistakes_in_hooks() {
    let hook = |fields: &str| with_hooks(&format!("  - {{name: ops, on: [dead], {fields}}}"));
    let http = |fields: &str| hook(&format!("http: {{{fields}}}"));
    assert_snapshot!(said_of_texts(&[
        ("not a list", with_hooks("  name: ops")),
        ("nothing but a name", with_hooks("  - {name: ops}")),
        ("no events", with_hooks("  - {name: ops, on: [], command: {argv: [a]}}")),
        ("events that are none", with_hooks("  - {name: ops, on: [dead, ded, late, late], command: {argv: [a]}}")),
        ("one word", with_hooks("  - {name: ops, on: dead, command: {argv: [a]}}")),
        (
            "a name twice",
            with_hooks(
                "  - {name: a, on: [dead], command: {argv: [a]}}\n  - {name: a, on: [dead], command: {argv: [a]}}"
            )
        ),
        ("both", hook("http: {url: \"http://h/\"}, command: {argv: [a]}")),
        ("an unknown key", hook("htpp: {url: \"http://h/\"}, when: now")),
        ("an unknown job", hook("jobs: [snyc], command: {argv: [a]}")),
        ("nobody", hook("tenants: [], jobs: [], command: {argv: [a]}")),
        ("no name of a tenant", hook("tenants: [\"a b\"], command: {argv: [a]}")),
        ("times", hook("late_after: 5, every: 0s, timeout: 1h, command: {argv: [a]}")),
        ("no address", http("")),
        ("a template", http("url: \"http://h/{{ tenant.id }}\"")),
        ("credentials", http("url: \"http://u:p@h/\"")),
        ("no web", http("url: \"ftp://h/\"")),
        ("no reference", http("url: \"env:\"")),
        ("secrets that are written out", http("url: \"http://h/\", bearer: hush, sign: {secrets: [whsec_hush]}")),
        ("no secrets", http("url: \"http://h/\", sign: {secrets: []}")),
        (
            "headers",
            http(
                "url: \"http://h/\", headers: {webhook-id: a, \"a b\": c, x-a: \"{{ job.name }}\", Host: h, x-b: \"a\\nb\"}"
            )
        ),
        ("an empty command", hook("command: {argv: []}")),
        ("a command with a template", hook("command: {argv: [a, \"{{ tenant.id }}\"], shell: true}")),
    ]));
}
