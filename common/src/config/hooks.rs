//! The `hooks` of a config: who is told what becomes of runs.
//!
//! Invariants: nothing of a hook is a template, so that no text of a tenant decides where a message goes, what a header
//! says or what a program is called with; no secret stands in a config, only where to find one.

use std::collections::BTreeMap;
use std::time::Duration;

use super::draft::LEAST;
use super::fields::{self, Fields};
use super::node::{Entry, Node};
use super::overrides::refuse_unknown_job;
use super::report::Report;
use super::{command, http, roster};
use crate::hook::{HookEvent, HookRequest, HookSpec, HookTarget};
use crate::id::{NameError, check_name};
use crate::roster::Secret;

/// The most hooks.
const MOST: usize = 32;

const KEYS: &[&str] = &["name", "on", "tenants", "jobs", "late_after", "every", "timeout", "http", "command"];

/// Headers that every message has.
const OWN_HEADERS: [&str; 4] = ["content-type", "webhook-id", "webhook-timestamp", "webhook-signature"];

/// `None` if any is wrong. `jobs` are the names that there are.
pub(super) fn read(report: &mut Report<'_>, entry: Option<&Entry<'_>>, jobs: &[&str]) -> Option<Vec<HookSpec>> {
    let Some(entry) = entry else { return Some(Vec::new()) };
    let nodes = fields::list(report, &entry.value, "hooks")?;
    if nodes.len() > MOST {
        let help = "one hook may be told of all events".to_owned();
        report.error(&entry.value.span, format!("`hooks` has more than {MOST} entries"), Some(help));
        return None;
    }
    let mut hooks: Vec<HookSpec> = Vec::new();
    let mut complete = true;
    for node in nodes {
        match hook(report, node, &hooks, jobs) {
            Some(hook) => hooks.push(hook),
            None => complete = false,
        }
    }
    complete.then_some(hooks)
}

fn hook(report: &mut Report<'_>, node: &Node<'_>, others: &[HookSpec], known: &[&str]) -> Option<HookSpec> {
    let fields = Fields::read(report, node, "a hook", KEYS)?;
    let name = fields.require(report, "name").and_then(|entry| name(report, entry, others));
    let on = fields.require(report, "on").and_then(|entry| events(report, entry));
    let tenants =
        fields.get("tenants").map_or(Some(Vec::new()), |e| names(report, e, "`tenants` of a hook", |_, _, _| {}));
    let jobs = fields.get("jobs").map_or(Some(Vec::new()), |entry| {
        names(report, entry, "`jobs` of a hook", |report, name, node| {
            refuse_unknown_job(report, name, &node.span, known);
        })
    });
    let mut time = |key, default: Duration| {
        fields.get(key).map_or(Some(default), |entry| fields::duration(report, entry, Duration::from_secs(1)))
    };
    let late_after = time("late_after", HookSpec::DEFAULT_LATE_AFTER);
    let every = time("every", HookSpec::DEFAULT_EVERY);
    let timeout = fields.get("timeout").map_or(Some(HookSpec::DEFAULT_TIMEOUT), |entry| timeout(report, entry));
    let target = target(report, &fields);
    Some(HookSpec {
        name: name?,
        on: on?,
        tenants: tenants?,
        jobs: jobs?,
        late_after: late_after?,
        every: every?,
        timeout: timeout?,
        target: target?,
    })
}

fn name(report: &mut Report<'_>, entry: &Entry<'_>, others: &[HookSpec]) -> Option<String> {
    let rule = |text: &str| -> Result<String, NameError> { check_name("hook name", text).map(|()| text.to_owned()) };
    let name = fields::name(report, &entry.value, "name", rule)?;
    if others.iter().any(|other| other.name == name) {
        let help = "give each hook a name of its own".to_owned();
        report.error(&entry.value.span, format!("the hook `{name}` is there twice"), Some(help));
        return None;
    }
    Some(name)
}

fn events(report: &mut Report<'_>, entry: &Entry<'_>) -> Option<Vec<HookEvent>> {
    let items = fields::list(report, &entry.value, "on")?;
    if items.is_empty() {
        report.error(&entry.value.span, "`on` must not be empty", fields::example("on"));
        return None;
    }
    let words = HookEvent::ALL.map(|event| (event.as_str(), event));
    let mut events = Vec::new();
    let mut complete = true;
    for item in items {
        match fields::word_of(report, item, "an entry of `on`", &words) {
            Some(event) if events.contains(&event) => {
                let help = Some("remove one of the two".to_owned());
                report.error(&item.span, format!("`{}` is there twice", event.as_str()), help);
                complete = false;
            }
            Some(event) => events.push(event),
            None => complete = false,
        }
    }
    complete.then_some(events)
}

/// Names in a list that is not empty.
fn names<T: std::str::FromStr<Err = NameError>>(
    report: &mut Report<'_>,
    entry: &Entry<'_>,
    what: &str,
    check: impl Fn(&mut Report<'_>, &str, &Node<'_>),
) -> Option<Vec<T>> {
    let items = fields::list(report, &entry.value, what)?;
    if items.is_empty() {
        let help = "name at least one, or leave the key out to mean all".to_owned();
        report.error(&entry.value.span, format!("{what} must not be empty"), Some(help));
        return None;
    }
    let (errors, what) = (report.errors(), format!("an entry of `{}`", entry.key));
    let found: Vec<_> = items
        .iter()
        .filter_map(|item| {
            let name = fields::name(report, item, &what, |text| text.parse().map(|name: T| (name, text.to_owned())));
            let (name, text) = name?;
            check(report, &text, item);
            Some(name)
        })
        .collect();
    (report.errors() == errors).then_some(found)
}

fn timeout(report: &mut Report<'_>, entry: &Entry<'_>) -> Option<Duration> {
    let time = fields::duration(report, entry, LEAST)?;
    if time > HookSpec::MAX_TIMEOUT {
        let help = format!("write at most `{}`", crate::duration::format(HookSpec::MAX_TIMEOUT));
        report.error(&entry.value.span, "a message must be delivered sooner", Some(help));
        return None;
    }
    Some(time)
}

fn target(report: &mut Report<'_>, fields: &Fields<'_, '_>) -> Option<HookTarget> {
    match (fields.get("http"), fields.get("command")) {
        (Some(entry), None) => request(report, &entry.value).map(HookTarget::Http),
        (None, Some(entry)) => program(report, &entry.value).map(HookTarget::Command),
        (Some(_), Some(command)) => {
            let help = "make two hooks of it".to_owned();
            report.error(&command.key_span, "a hook tells one: `command` stands beside `http`", Some(help));
            None
        }
        (None, None) if fields.is_meant("http") || fields.is_meant("command") => None,
        (None, None) => {
            let help = "add `http: {url: …}` or `command: {argv: […]}`".to_owned();
            report.error(&fields.anchor(), "a hook needs `http` or `command`", Some(help));
            None
        }
    }
}

fn request(report: &mut Report<'_>, node: &Node<'_>) -> Option<HookRequest> {
    let fields = Fields::read(report, node, "`http` of a hook", &["url", "bearer", "headers", "sign"])?;
    let url = fields.require(report, "url").and_then(|entry| url(report, entry));
    let bearer = match fields.get("bearer") {
        Some(entry) => roster::bearer(report, entry).map(Some),
        None => Some(None),
    };
    let headers = fields.get("headers").map_or(Some(BTreeMap::new()), |entry| headers(report, entry));
    let secrets = fields.get("sign").map_or(Some(Vec::new()), |entry| secrets(report, entry));
    Some(HookRequest { url: url?, bearer: bearer?, headers: headers?, secrets: secrets? })
}

/// A URL, or where to find one: that of a chat is a secret.
fn url(report: &mut Report<'_>, entry: &Entry<'_>) -> Option<Secret> {
    let text = fields::text(report, &entry.value, "url")?;
    match Secret::parse(text.text) {
        Ok(Secret::Plain(_)) => roster::plain_url(report, &text, "a hook").map(Secret::Plain),
        Ok(secret) => Some(secret),
        Err(error) => {
            report.error(&text.span(), "this is no reference to a secret", Some(error.to_string()));
            None
        }
    }
}

fn headers(report: &mut Report<'_>, entry: &Entry<'_>) -> Option<BTreeMap<String, String>> {
    let mut headers = BTreeMap::new();
    let mut complete = true;
    for header in fields::map(report, &entry.value, "headers")? {
        let name = http::header_name(report, header, &headers).filter(|name| {
            let own = OWN_HEADERS.contains(&name.as_str());
            if own {
                let message = format!("the header `{name}` is written by the scheduler");
                report.error(&header.key_span, message, Some("remove it".to_owned()));
            }
            !own
        });
        let value = http::header_text(report, header).and_then(|text| {
            roster::refuse_template(report, &text, "a hook")?;
            Some(text.text.to_owned())
        });
        match (name, value) {
            (Some(name), Some(value)) => drop(headers.insert(name, value)),
            _ => complete = false,
        }
    }
    complete.then_some(headers)
}

fn secrets(report: &mut Report<'_>, entry: &Entry<'_>) -> Option<Vec<Secret>> {
    let items = http::secrets(report, entry)?;
    let secrets: Vec<_> = items
        .iter()
        .map(|item| {
            let text = fields::text(report, item, "an entry of `secrets`")?;
            roster::reference(
                report,
                &text,
                "this says where a secret is, not what it is: a config is stored and shown",
                "write `env:NAME` or `file:PATH`, which the scheduler looks up",
            )
        })
        .collect();
    secrets.into_iter().collect()
}

fn program(report: &mut Report<'_>, node: &Node<'_>) -> Option<Vec<String>> {
    let fields = Fields::read(report, node, "`command` of a hook", &["argv"])?;
    let argv = fields.require(report, "argv").and_then(|entry| command::argv(report, entry))?;
    let texts: Vec<_> = argv
        .iter()
        .map(|text| {
            roster::refuse_template(report, text, "a hook")?;
            Some(text.text.to_owned())
        })
        .collect();
    texts.into_iter().collect()
}
