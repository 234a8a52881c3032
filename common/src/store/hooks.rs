//! What the store keeps of hooks: up to which report they were told, and the state of each.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;

use super::{Recorded, StoreResult};
use crate::hook::{HookReport, Overdue};
use crate::id::JobKey;
use crate::lease::Term;

/// How hooks stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HooksKept {
    /// Up to which `seq` the reports are in the states; `None` before the first.
    pub seq: Option<i64>,
    /// The hooks, in order of their names.
    pub hooks: Vec<HookKept>,
}

/// What is kept of a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookKept {
    /// How people see it.
    pub view: HookView,
    /// A [`crate::hook::HookState`] as JSON.
    pub state: String,
}

/// How a hook stands, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HookView {
    /// Its name.
    pub hook: String,
    /// How often the delivery of its message failed; 0 if none is under way.
    pub tries: u32,
    /// Why the last try failed; null if none has since the last message was delivered.
    pub error: Option<String>,
    /// When a message was last delivered; null if never.
    #[serde(serialize_with = "crate::run::rfc3339_opt")]
    pub delivered_at: Option<Timestamp>,
}

/// Some reports in order.
#[derive(Clone, Debug, PartialEq)]
pub struct HookTail {
    /// The store's clock.
    pub now: Timestamp,
    /// Everything up to this `seq` was looked at.
    pub seq: i64,
    /// How many reports were looked at.
    pub looked_at: u32,
    /// Those that a hook may want to know of.
    pub reports: Vec<HookReport>,
}

/// A change of what is kept, as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HooksRecord {
    /// Up to which `seq` the reports are in the states now.
    pub seq: i64,
    /// Jobs that are dead.
    pub dead: Vec<JobKey>,
    /// Jobs that are not.
    pub alive: Vec<JobKey>,
    /// The names of all hooks: what is kept of others is forgotten.
    pub names: Vec<String>,
    /// The hooks that have changed.
    pub changed: Vec<HookChange>,
}

/// A change of a hook.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookChange {
    /// Its name.
    pub name: String,
    /// Its state as JSON.
    pub state: String,
    /// How often the delivery of its message failed.
    pub tries: u32,
    /// Why the last try failed.
    pub error: Option<String>,
    /// Whether a message was delivered just now.
    pub delivered: bool,
}

/// What the leader's notifier needs, and what people see of it.
#[async_trait]
pub trait Hooks: Send + Sync {
    /// How the hooks stand.
    async fn hooks_kept(&self) -> StoreResult<HooksKept>;

    /// Of the reports with a `seq` above `after`, of which `limit` are looked at, those that a hook may want to know of:
    /// dead runs, due times without a run, first attempts that started `late_after` or more after their time, and the
    /// successes of jobs that are known to be dead or died in these reports.
    async fn hook_tail(&self, after: i64, late_after: Duration, limit: u32) -> StoreResult<HookTail>;

    /// What is overdue at this moment by `late_after` or more: items in line that have not started, of those that are
    /// next, and active jobs at which the leader has not looked. `limit` of each at most, and of each line.
    async fn overdue(&self, late_after: Duration, limit: u32) -> StoreResult<Vec<Overdue>>;

    /// Keeps a change, all of it or nothing, if the term still stands (invariant I3).
    async fn record_hooks(&self, term: &Term, record: &HooksRecord) -> StoreResult<Recorded>;
}
