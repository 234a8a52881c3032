//! Which parts of the process are alive and ready.
//!
//! Each long-running part takes a [`Part`] and reports by it. The process is *ready* while all parts are (and there is
//! one: without any it is still starting), and *alive* while none is stuck: a part that promised a sign of life within some time and gave none, or one that panicked.
//! An orchestrator restarts what is not alive, so being unable to reach the store is never a lack of life.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

/// The health of a process. Cheap to clone; all clones are one.
#[derive(Clone, Default)]
pub struct Health {
    parts: Arc<Mutex<BTreeMap<&'static str, State>>>,
}

struct State {
    ready: bool,
    detail: String,
    life: Life,
}

enum Life {
    /// Gives no signs of life.
    Unwatched,
    /// Gave one at `last` and promised the next within `within`.
    Watched { last: Instant, within: Duration },
    /// Panicked.
    Dead,
}

impl State {
    fn alive(&self, now: Instant) -> bool {
        match self.life {
            Life::Unwatched => true,
            Life::Watched { last, within } => now.duration_since(last) <= within,
            Life::Dead => false,
        }
    }
}

/// The health of all parts at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// Whether no part is stuck.
    pub alive: bool,
    /// Whether there are parts, and all are ready.
    pub ready: bool,
    /// Each part, by name.
    pub parts: BTreeMap<&'static str, PartSnapshot>,
}

/// The health of one part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartSnapshot {
    /// Whether it gives signs of life.
    pub alive: bool,
    /// Whether it can do its work.
    pub ready: bool,
    /// What it says about itself.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

impl Health {
    /// No parts yet, hence alive and not ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a part, not ready until it says so. With `within`, it promises to call [`Part::beat`] at least that
    /// often. A name is taken by the last one that asks for it.
    #[must_use]
    pub fn part(&self, name: &'static str, within: Option<Duration>) -> Part {
        let life = match within {
            Some(within) => Life::Watched { last: Instant::now(), within },
            None => Life::Unwatched,
        };
        self.lock().insert(name, State { ready: false, detail: "starting".to_owned(), life });
        Part { health: self.clone(), name }
    }

    /// How the parts are.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let now = Instant::now();
        let parts: BTreeMap<_, _> = self
            .lock()
            .iter()
            .map(|(name, state)| {
                let part = PartSnapshot { alive: state.alive(now), ready: state.ready, detail: state.detail.clone() };
                (*name, part)
            })
            .collect();
        let ready = !parts.is_empty() && parts.values().all(|part| part.ready && part.alive);
        Snapshot { alive: parts.values().all(|part| part.alive), ready, parts }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, State>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.snapshot(), f)
    }
}

/// One part's pen. When it is dropped the part is not ready any more; dropped by a panic, it is dead.
#[derive(Debug)]
pub struct Part {
    health: Health,
    name: &'static str,
}

impl Part {
    /// Gives a sign of life.
    pub fn beat(&self) {
        self.update(|state| {
            if let Life::Watched { last, .. } = &mut state.life {
                *last = Instant::now();
            }
        });
    }

    /// Says that the part can do its work, and how it is.
    pub fn ready(&self, detail: impl Into<String>) {
        self.set(true, detail.into());
    }

    /// Says that it cannot, and why.
    pub fn not_ready(&self, why: impl Into<String>) {
        self.set(false, why.into());
    }

    fn set(&self, ready: bool, detail: String) {
        self.update(|state| (state.ready, state.detail) = (ready, detail));
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        if let Some(state) = self.health.lock().get_mut(self.name) {
            change(state);
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let (detail, life) = match std::thread::panicking() {
            true => ("panicked", Life::Dead),
            false => ("stopped", Life::Unwatched),
        };
        self.update(|state| *state = State { ready: false, detail: detail.to_owned(), life });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ready_when_every_part_is() {
        let health = Health::new();
        assert!(health.snapshot().alive && !health.snapshot().ready, "it is still starting");
        let (store, elector) = (health.part("store", None), health.part("elector", None));
        store.ready("");
        assert!(!health.snapshot().ready);
        elector.ready("leader");
        assert!(health.snapshot().ready);
        store.not_ready("connection refused");
        let snapshot = health.snapshot();
        assert!(!snapshot.ready && snapshot.alive);
        assert_eq!(snapshot.parts["store"].detail, "connection refused");
        drop(elector);
        assert_eq!(health.snapshot().parts["elector"].detail, "stopped");
        assert!(health.snapshot().alive);
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_breaks_its_promise_is_stuck_until_it_beats_again() {
        let health = Health::new();
        let part = health.part("elector", Some(Duration::from_secs(5)));
        part.ready("");
        tokio::time::advance(Duration::from_secs(5)).await;
        assert!(health.snapshot().alive);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!health.snapshot().alive && !health.snapshot().ready);
        part.beat();
        assert!(health.snapshot().alive && health.snapshot().ready);
    }

    #[tokio::test]
    async fn a_part_that_panics_is_dead() {
        let health = Health::new();
        let part = health.part("dispatcher", None);
        let panicked = tokio::spawn(async move {
            part.ready("");
            panic!("on purpose");
        });
        assert!(panicked.await.is_err());
        assert!(!health.snapshot().alive);
    }
}
