//! Tells hooks what became of runs.
//!
//! Owns when reports are read for hooks, and when a delivery is tried again. Must not know what makes a message of
//! events: that is pure (`leasehold_common::hook`).
//!
//! A tick reads the reports that are new, adds what they are to the states of the hooks, makes messages of what is to be
//! told, and records all of it at once under the term; a message is sent after it was recorded. Deliveries run beside the
//! ticks, each in a task of its own, one for each hook: a hook that hangs holds up nobody. What became of one is recorded
//! by the next tick.
//!
//! Invariants: what is recorded goes with the `seq` up to which it was read, so that a new leader goes on where this one
//! was, and misses nothing and counts nothing twice; a message that may have been sent is sent again with its id until it
//! is known to be delivered, so each comes at least once.
//!
//! On failure: if it is not known what was recorded, the state is read anew; a hook that fails is tried again after
//! growing pauses, and given up after [`MOST_TRIES`], which the next message tells.

mod outlet;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::Duration;

use leasehold_common::hook::{DeadJobs, HookEvent, HookSpec, HookState, Pending, events};
use leasehold_common::store::{HookChange, HookTail, HooksRecord, Recorded, RosterState, SharedStore, StoreResult};
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::outlet::Outlet;
use crate::measure;
use crate::service::{Service, Ticked};
use crate::term::LeaderTerm;

/// How often new reports are looked for.
const LOOK: Duration = Duration::from_secs(1);

/// So many reports are read at once.
const REPORTS: u32 = 2_000;

/// How often is looked for what is overdue.
const LOOK_OVERDUE: Duration = Duration::from_secs(10);

/// So much that is overdue is looked at, of each line.
const OVERDUE: u32 = 1_000;

/// How often is recorded how far the reports were read, if there is nothing else to record.
const RECORD: Duration = Duration::from_secs(10);

/// After so many tries a message is given up: with these pauses after half an hour or more.
const MOST_TRIES: u32 = 15;

/// The pauses between two tries double from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

pub(crate) struct Notifier {
    store: SharedStore,
    outlet: Outlet,
    /// The revision of the config that was looked at last, and its hooks.
    seen: Option<i64>,
    hooks: Vec<HookSpec>,
    /// What the store has, as far as it is known.
    kept: Option<Kept>,
    deliveries: JoinSet<Delivery>,
    /// The message of each hook that is being delivered, or was and that is not recorded.
    under_way: HashMap<String, Option<Result<(), String>>>,
    /// When a hook that failed is tried again.
    not_before: HashMap<String, Instant>,
    looked: Option<Instant>,
    recorded: Option<Instant>,
}

/// What the store has.
#[derive(Clone, Debug, Default)]
struct Kept {
    seq: i64,
    states: HashMap<String, Hook>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Hook {
    state: HookState,
    /// Why the last try failed.
    error: Option<String>,
}

/// What became of a try.
struct Delivery {
    hook: String,
    result: Result<(), String>,
}

/// What one tick did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// How many reports it looked at.
    pub(crate) reports: u32,
    /// How many messages it made.
    pub(crate) messages: u32,
}

impl Notifier {
    pub(crate) fn new(store: SharedStore, commands: bool) -> Self {
        Self {
            store,
            outlet: Outlet::new(commands),
            seen: None,
            hooks: Vec::new(),
            kept: None,
            deliveries: JoinSet::new(),
            under_way: HashMap::new(),
            not_before: HashMap::new(),
            looked: None,
            recorded: None,
        }
    }

    /// Takes note of the config in force.
    async fn load(&mut self, roster: &RosterState) -> StoreResult<()> {
        if self.seen == roster.config {
            return Ok(());
        }
        let Some(stored) = self.store.config().await? else { return Ok(()) };
        let revision = stored.revision;
        let read = tokio::task::spawn_blocking(move || stored.text.check()).await;
        // That it cannot be read is told by the reconciler.
        if let Some(config) = read.ok().and_then(|checked| checked.config) {
            self.hooks = config.hooks().to_vec();
            self.kept = None;
            self.hooks.iter().for_each(|hook| measure::hook_begins(&hook.name));
        }
        self.seen = Some(revision);
        Ok(())
    }

    /// What the store has of these hooks. Without any so far, what was reported before is no news.
    async fn read(&self) -> StoreResult<(Kept, bool)> {
        let stored = self.store.hooks_kept().await?;
        let seq = match stored.seq.filter(|_| !stored.hooks.is_empty()) {
            Some(seq) => seq,
            None => self.store.last_seq().await?,
        };
        let differs = stored.hooks.len() != self.hooks.len();
        let mut kept = Kept { seq, states: HashMap::new() };
        for hook in stored.hooks {
            let name = hook.view.hook;
            let state = serde_json::from_str(&hook.state).unwrap_or_else(|error| {
                tracing::error!(hook = name, %error, "what is kept of a hook cannot be read: it begins anew");
                HookState::default()
            });
            kept.states.insert(name, Hook { state, error: hook.view.error });
        }
        kept.states.retain(|name, _| self.hooks.iter().any(|hook| hook.name == *name));
        Ok((kept, differs))
    }

    async fn notify(&mut self, term: &LeaderTerm) -> StoreResult<Ticked<Summary>> {
        let (before, differs) = match self.kept.take() {
            Some(kept) => (kept, false),
            None => self.read().await?,
        };
        let mut kept = before.clone();
        for hook in &self.hooks {
            kept.states.entry(hook.name.clone()).or_default();
        }
        let delivered = self.settle(&mut kept);
        let tail = self.tail(kept.seq).await?;
        let jobs = self.add(&mut kept, &tail);
        self.stand(&mut kept, &tail).await?;
        let mut summary = Summary { reports: tail.looked_at, messages: 0 };
        for spec in &self.hooks {
            let Some(hook) = kept.states.get_mut(&spec.name) else { continue };
            let id = || format!("msg_{}", uuid::Uuid::now_v7().simple());
            summary.messages += u32::from(hook.state.make(spec, tail.now, id));
        }
        let changed: Vec<HookChange> = kept
            .states
            .iter()
            .filter(|(name, hook)| before.states.get(*name) != Some(hook) || delivered.contains(name))
            .map(|(name, hook)| hook.change(name, delivered.contains(name)))
            .collect();
        let (dead, alive) = jobs.changes();
        let moved = kept.seq > before.seq && self.recorded.is_none_or(|then| then.elapsed() >= RECORD);
        if differs || moved || !changed.is_empty() || !dead.is_empty() || !alive.is_empty() {
            if !term.trusted() {
                return Ok(Ticked::Untrusted);
            }
            let names = self.hooks.iter().map(|hook| hook.name.clone()).collect();
            let record = HooksRecord { seq: kept.seq, dead, alive, names, changed };
            if self.store.record_hooks(term.term(), &record).await? == Recorded::StaleTerm {
                return Ok(Ticked::StaleTerm);
            }
            self.recorded = Some(Instant::now());
        }
        // What is recorded need not be known any longer.
        self.under_way.retain(|_, result| result.is_none());
        self.start(&kept);
        self.kept = Some(kept);
        Ok(Ticked::Done(summary))
    }

    /// Takes note of what became of deliveries. Answers the hooks whose message was delivered.
    fn settle(&mut self, kept: &mut Kept) -> Vec<String> {
        while let Some(ended) = self.deliveries.try_join_next() {
            match ended {
                Ok(Delivery { hook, result }) => {
                    measure::hook_delivery(&hook, if result.is_ok() { "delivered" } else { "failed" });
                    measure::hook_failing(&hook, result.is_err());
                    self.under_way.insert(hook, Some(result));
                }
                Err(error) => {
                    tracing::error!(%error, "a delivery broke down");
                    // Nobody knows which one: what is sent again has its id.
                    self.under_way.retain(|_, result| result.is_some());
                }
            }
        }
        let mut delivered = Vec::new();
        for (name, result) in &self.under_way {
            let (Some(result), Some(hook)) = (result, kept.states.get_mut(name)) else { continue };
            match result {
                Ok(()) => {
                    if hook.error.take().is_some() {
                        tracing::info!(hook = name, "a hook works again");
                    }
                    hook.state.delivered();
                    self.not_before.remove(name);
                    delivered.push(name.clone());
                }
                Err(error) => {
                    if hook.error.is_none() {
                        tracing::warn!(hook = name, error, "a hook fails; trying again");
                    }
                    hook.error = Some(error.clone());
                    let tries = hook.state.pending.as_ref().map_or(0, |pending| pending.tries);
                    self.not_before.insert(name.clone(), Instant::now() + pause_after(tries));
                    if hook.state.failed(error.clone(), MOST_TRIES) {
                        tracing::error!(hook = name, error, tries = MOST_TRIES, "a message of a hook is given up");
                        measure::hook_delivery(name, "dropped");
                    }
                }
            }
        }
        delivered
    }

    async fn tail(&self, after: i64) -> StoreResult<HookTail> {
        self.store.hook_tail(after, self.patience(), REPORTS).await
    }

    /// The shortest delay that any hook calls late.
    fn patience(&self) -> Duration {
        self.hooks.iter().map(|hook| hook.late_after).min().unwrap_or(HookSpec::DEFAULT_LATE_AFTER)
    }

    /// Adds what the reports are to the hooks. Answers which jobs are dead now.
    fn add(&self, kept: &mut Kept, tail: &HookTail) -> DeadJobs {
        let mut jobs = DeadJobs::default();
        kept.seq = kept.seq.max(tail.seq);
        for read in &tail.reports {
            let recovered = jobs.take(read);
            let report = &read.report;
            for spec in self.hooks.iter().filter(|spec| spec.concerns(&report.tenant, &report.job)) {
                let Some(hook) = kept.states.get_mut(&spec.name) else { continue };
                for event in events(report, recovered, spec.late_after).filter(|event| spec.wants(*event)) {
                    hook.state.add(event, report);
                }
            }
        }
        jobs
    }

    /// Looks for what is overdue, now and then.
    async fn stand(&mut self, kept: &mut Kept, tail: &HookTail) -> StoreResult<()> {
        let wanted = |hook: &HookSpec| hook.wants(HookEvent::Late) || hook.wants(HookEvent::Missing);
        if !self.hooks.iter().any(wanted) || self.looked.is_some_and(|then| then.elapsed() < LOOK_OVERDUE) {
            return Ok(());
        }
        let overdue = self.store.overdue(self.patience(), OVERDUE).await?;
        self.looked = Some(Instant::now());
        for spec in &self.hooks {
            let Some(hook) = kept.states.get_mut(&spec.name) else { continue };
            hook.state.stand(spec, tail.now, &overdue);
        }
        Ok(())
    }

    /// Starts the deliveries whose time has come.
    fn start(&mut self, kept: &Kept) {
        for spec in &self.hooks {
            let pending = kept.states.get(&spec.name).and_then(|hook| hook.state.pending.clone());
            let Some(pending) = pending.filter(|_| !self.under_way.contains_key(&spec.name)) else { continue };
            if self.not_before.get(&spec.name).is_some_and(|then| Instant::now() < *then) {
                continue;
            }
            self.under_way.insert(spec.name.clone(), None);
            let (outlet, spec) = (self.outlet.clone(), spec.clone());
            self.deliveries.spawn(deliver(outlet, spec, pending));
        }
    }
}

async fn deliver(outlet: Outlet, spec: HookSpec, pending: Pending) -> Delivery {
    let result = outlet.deliver(&spec, &pending).await;
    Delivery { hook: spec.name, result }
}

fn pause_after(tries: u32) -> Duration {
    let longest = FIRST_PAUSE.saturating_mul(1 << tries.min(16)).min(LONGEST_PAUSE);
    longest.mul_f64(rand::random_range(0.5..=1.0))
}

impl Hook {
    fn change(&self, name: &str, delivered: bool) -> HookChange {
        HookChange {
            name: name.to_owned(),
            // Numbers, texts and maps with texts as keys: writing them cannot fail.
            state: serde_json::to_string(&self.state).unwrap_or_default(),
            tries: self.state.pending.as_ref().map_or(0, |pending| pending.tries),
            error: self.error.clone(),
            delivered,
        }
    }
}

impl Drop for Notifier {
    /// What a leader sees is not known to a follower.
    fn drop(&mut self) {
        self.hooks.iter().for_each(|hook| measure::hook_failing(&hook.name, false));
    }
}

impl Service for Notifier {
    const NAME: &'static str = "notifier";
    type Summary = Summary;

    async fn tick(&mut self, term: &LeaderTerm) -> StoreResult<Ticked<Summary>> {
        if !term.trusted() {
            return Ok(Ticked::Untrusted);
        }
        let roster = self.store.roster_state().await?;
        self.load(&roster).await?;
        // Without hooks there is nothing to do but to forget those that were.
        let idle = self.hooks.is_empty() && (self.seen.is_none() || self.kept.is_some());
        if idle {
            return Ok(Ticked::Done(Summary::default()));
        }
        self.notify(term).await
    }

    /// Looks again at once if there may be more.
    fn pause(&self, summary: &Summary) -> Duration {
        if summary.reports >= REPORTS { Duration::ZERO } else { LOOK }
    }
}
