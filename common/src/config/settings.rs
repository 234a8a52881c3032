//! Where each setting of a job of a tenant comes from.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::Config;
use super::fields;
use super::jobs::LAYER_KEYS;
use super::layers::{Candidate, Layers};
use super::node::{Entry, Node, Rank, Ref, Value};
use super::report::Report;
use super::resolve::Asked;
use super::retry;
use crate::catalog::Member;
use crate::definition::{CatchUp, Definition, Overlap, Tenant};
use crate::duration;
use crate::id::{JobName, QueueName};
use crate::retry::RetryPolicy;

/// One setting of a job of a tenant, and where it comes from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Setting {
    /// The key, as in `retry.attempts`; what a tenant has for all its jobs begins with `tenant.`.
    pub key: String,
    /// The value as config has it; null if there is none.
    pub value: Json,
    /// The layer that says so.
    #[serde(flatten)]
    pub layer: Layer,
}

/// Where a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "layer", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Layer {
    /// Nobody said anything: Leasehold's own default.
    Builtin,
    /// `defaults` of the config.
    Defaults {
        /// The line in the file, from 1.
        line: Option<usize>,
    },
    /// The job itself.
    Job {
        /// The line in the file, from 1.
        line: Option<usize>,
    },
    /// The plan that the tenant is on.
    Plan {
        /// Its name.
        plan: String,
        /// The line in the file, from 1.
        line: Option<usize>,
    },
    /// The tenant itself.
    Tenant {
        /// The line in the file, from 1; `None` if a live source says it.
        line: Option<usize>,
    },
    /// An override that is in force.
    Override {
        /// Until when.
        #[serde(serialize_with = "crate::run::rfc3339")]
        until: Timestamp,
        /// Why.
        reason: String,
        /// The line in the file, from 1.
        line: Option<usize>,
    },
}

impl std::fmt::Display for Layer {
    /// `plan gold (line 12)`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let line = match self {
            Self::Builtin => return f.write_str("default"),
            Self::Defaults { line } => {
                f.write_str("defaults")?;
                line
            }
            Self::Job { line } => {
                f.write_str("job")?;
                line
            }
            Self::Plan { plan, line } => {
                write!(f, "plan {plan}")?;
                line
            }
            Self::Tenant { line } => {
                f.write_str("tenant")?;
                line
            }
            Self::Override { until, reason, line } => {
                write!(f, "override until {until}: {reason}")?;
                line
            }
        };
        line.map_or(Ok(()), |line| write!(f, " (line {line})"))
    }
}

impl Config {
    /// Every setting of a job of a tenant at an instant, with the layer that it comes from; what the tenant has for all
    /// its jobs stands last. Empty if there is no such job, or not for this tenant.
    #[must_use]
    pub fn layers(&self, member: &Member, job: &JobName, now: Timestamp) -> Vec<Setting> {
        let source = self.kept.source();
        let asked = Asked::new(&self.kept, &mut Report::of_errors(&source));
        let own = self.own(member);
        let candidate = Candidate { tenant: &member.tenant, own: &own };
        let groups = asked.layers.groups_at(std::slice::from_ref(&candidate), now);
        let found = groups.into_iter().find(|(spec, groups)| spec.name.as_ref() == Some(job) && !groups.is_empty());
        let Some((spec, groups)) = found else { return Vec::new() };
        let Some(group) = groups.first() else { return Vec::new() };
        let stack = asked.layers.stack(spec, &group.key, group.own.first().copied());
        let mut report = Report::of_errors(&source);
        let mut said = Said { report: &mut report, layers: &asked.layers, member, settings: Vec::new() };
        said.of_job(&stack.node);
        said.of_tenant(own.shared());
        said.settings
    }
}

/// Settings as they are found.
struct Said<'a, 'r, 't, 'n> {
    report: &'a mut Report<'r>,
    layers: &'a Layers<'n, 't>,
    member: &'a Member,
    settings: Vec<Setting>,
}

impl<'t> Said<'_, '_, 't, '_> {
    fn of_job(&mut self, node: &Ref<'t>) {
        let Value::Map(entries) = &node.value else { return };
        let get = |key: &str| entries.iter().find(|entry| entry.key == key);
        let retry = get("retry").and_then(|entry| retry::read(self.report, &entry.value)).unwrap_or_default();
        for key in LAYER_KEYS.iter().copied().chain(["total"]) {
            match get(key) {
                Some(entry) => self.flatten(key, entry),
                None => self.builtin(key, builtin(key, get)),
            }
            if key == "retry" {
                self.rest_of_retry(&retry);
            }
            if key == "http" && get(key).is_some() && !self.has("http.method") {
                self.builtin("http.method", Some(json!("POST")));
            }
        }
    }

    /// What is not written of a retry.
    fn rest_of_retry(&mut self, retry: &RetryPolicy) {
        let backoff = &retry.backoff;
        for (key, value) in [
            ("retry.attempts", json!(retry.attempts)),
            ("retry.backoff.initial", json!(duration::format(backoff.initial))),
            ("retry.backoff.max", json!(duration::format(backoff.max))),
            ("retry.backoff.factor", json!(backoff.factor)),
        ] {
            if !self.has(key) {
                self.builtin(key, Some(value));
            }
        }
    }

    fn has(&self, key: &str) -> bool {
        self.settings.iter().any(|setting| setting.key == key)
    }

    fn builtin(&mut self, key: &str, value: Option<Json>) {
        if let Some(value) = value {
            self.settings.push(Setting { key: key.to_owned(), value, layer: Layer::Builtin });
        }
    }

    /// A value; of a map each key is one.
    fn flatten(&mut self, key: &str, entry: &Entry<'t>) {
        if let Value::Map(entries) = &entry.value.value
            && !entries.is_empty()
        {
            entries.iter().for_each(|inner| self.flatten(&format!("{key}.{}", inner.key), inner));
            return;
        }
        let value = fields::json(self.report, &entry.value).unwrap_or_default();
        let layer = self.layer(entry);
        self.settings.push(Setting { key: key.to_owned(), value, layer });
    }

    fn layer(&self, entry: &Entry<'_>) -> Layer {
        let line = self.report.source.line_of(entry.key_span.start);
        match entry.layer {
            Rank::DEFAULTS => Layer::Defaults { line },
            Rank::PLAN => Layer::Plan { plan: self.member.plan.clone().unwrap_or_default(), line },
            Rank::TENANT => Layer::Tenant { line },
            rank => match rank.as_override().and_then(|at| self.layers.overrides.get(at)) {
                Some(layer) => Layer::Override { until: layer.until, reason: layer.reason.to_owned(), line },
                None => Layer::Job { line },
            },
        }
    }

    /// What the tenant has for all its jobs.
    fn of_tenant(&mut self, own: Option<&Ref<'t>>) {
        let shared = self.layers.plans.shared_with(self.member.plan.as_deref(), own);
        let entries: &[Entry<'t>] = match shared.as_ref().map(|node: &Ref<'t>| -> &Node<'t> { node }) {
            Some(Node { value: Value::Map(entries), .. }) => entries,
            _ => &[],
        };
        for key in super::plans::SHARED {
            let shown = format!("tenant.{key}");
            match entries.iter().find(|entry| entry.key == key) {
                Some(entry) => self.flatten(&shown, entry),
                None => {
                    self.builtin(&shown, Some(if key == "weight" { json!(Tenant::DEFAULT_WEIGHT) } else { Json::Null }))
                }
            }
        }
    }
}

/// What holds of a key that nobody has named; `None` if there is nothing to say.
fn builtin<'n, 't: 'n>(key: &str, get: impl Fn(&str) -> Option<&'n Entry<'t>>) -> Option<Json> {
    let has = |key| get(key).is_some();
    Some(match key {
        "enabled" => json!(true),
        "anchor" if has("every") => json!("completion"),
        "timezone" if !has("every") => json!("UTC"),
        "dst" if has("cron") || has("at") || has("schedules") => json!("once"),
        "on_blackout" if has("blackouts") => json!("skip"),
        "timeout" => json!(duration::format(Definition::DEFAULT_TIMEOUT)),
        "overlap" => json!(Overlap::default().as_str()),
        "catch_up" if !has("every") || has("anchor") => json!(CatchUp::default().as_str()),
        "queue" => json!(QueueName::default().as_str()),
        "priority" => json!(0),
        "concurrency" | "rate" | "expires" | "pause_after" => Json::Null,
        _ => return None,
    })
}
