//! Room for connections: how many there may be, and who waits.
//!
//! A slot is a pool of sqlx's with one connection, so that a transaction owns what it runs on and a connection that
//! breaks is replaced. The slots are counted here: in use or idle, by place and by tenant. Whoever finds no room closes
//! the connection that has been idle for longest, of whatever place, or waits.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use leasehold_common::id::TenantId;
use sqlx::postgres::PgPool;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::{Place, PoolOptions};

/// What must be equal for one tenant to use a connection of another.
#[derive(Clone, PartialEq, Eq)]
struct Key {
    url: String,
    password: Option<String>,
}

impl Key {
    fn of(place: &Place) -> Self {
        Self { url: place.url.clone(), password: place.password.clone() }
    }
}

/// An idle connection.
struct Idle {
    key: Key,
    pool: PgPool,
    last: TenantId,
    since: Instant,
}

#[derive(Default)]
struct State {
    /// In use or idle.
    open: usize,
    in_use: HashMap<TenantId, usize>,
    /// The one that has been idle for longest comes first.
    idle: VecDeque<Idle>,
    sweeping: bool,
}

/// See the module.
pub(super) struct Slots {
    options: PoolOptions,
    state: Mutex<State>,
    freed: Notify,
}

impl std::fmt::Debug for Slots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slots").field("options", &self.options).field("open", &self.open()).finish_non_exhaustive()
    }
}

/// The right to one connection. Dropped, it is given back, and the connection with it is not kept.
pub(super) struct Slot {
    slots: Arc<Slots>,
    tenant: TenantId,
    key: Key,
}

/// What came with a slot.
pub(super) enum Found {
    /// A connection that was idle, and whose it was.
    Idle(PgPool, TenantId),
    /// Room to make one.
    Room,
}

/// What a look for room came to.
enum Look {
    Found(Found),
    /// Room, once this one is closed.
    After(PgPool),
    Full,
}

impl Slots {
    pub(super) fn new(options: PoolOptions) -> Self {
        let PoolOptions { total, per_tenant, idle } = options;
        let options = PoolOptions { total: total.max(1), per_tenant: per_tenant.max(1), idle };
        Self { options, state: Mutex::default(), freed: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn open(&self) -> usize {
        self.state().open
    }

    pub(super) fn idle(&self) -> usize {
        self.state().idle.len()
    }

    /// Waits for room.
    pub(super) async fn take(self: &Arc<Self>, place: &Place) -> (Slot, Found) {
        let key = Key::of(place);
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            // Heard from here on, so that what is freed after the look below is not missed.
            freed.as_mut().enable();
            let look = self.look(&place.tenant, &key);
            let slot = || Slot { slots: Arc::clone(self), tenant: place.tenant.clone(), key: key.clone() };
            match look {
                Look::Found(found) => return (slot(), found),
                Look::After(other) => {
                    let slot = slot();
                    other.close().await;
                    return (slot, Found::Room);
                }
                Look::Full => freed.await,
            }
        }
    }

    fn look(&self, tenant: &TenantId, key: &Key) -> Look {
        let mut state = self.state();
        if state.in_use.get(tenant).is_some_and(|n| *n >= self.options.per_tenant as usize) {
            return Look::Full;
        }
        // The one used last is the most likely to be alive.
        let look = if let Some(at) = state.idle.iter().rposition(|idle| idle.key == *key)
            && let Some(idle) = state.idle.remove(at)
        {
            Look::Found(Found::Idle(idle.pool, idle.last))
        } else if state.open < self.options.total as usize {
            state.open += 1;
            Look::Found(Found::Room)
        } else if let Some(oldest) = state.idle.pop_front() {
            Look::After(oldest.pool)
        } else {
            return Look::Full;
        };
        *state.in_use.entry(tenant.clone()).or_default() += 1;
        look
    }

    fn leave(&self, tenant: &TenantId) {
        let mut state = self.state();
        if let Some(n) = state.in_use.get_mut(tenant) {
            *n -= 1;
            if *n == 0 {
                state.in_use.remove(tenant);
            }
        }
    }

    /// Closes what has been idle for too long, as long as anything is idle.
    async fn sweep(self: Arc<Self>) {
        loop {
            let (over, next) = {
                let mut state = self.state();
                let now = Instant::now();
                let mut over = Vec::new();
                while state.idle.front().is_some_and(|idle| now >= idle.since + self.options.idle) {
                    over.extend(state.idle.pop_front());
                }
                state.open -= over.len();
                let next = state.idle.front().map(|idle| idle.since + self.options.idle);
                state.sweeping = next.is_some();
                (over, next)
            };
            if !over.is_empty() {
                self.freed.notify_waiters();
            }
            for idle in over {
                idle.pool.close().await;
            }
            match next {
                Some(next) => sleep_until(next).await,
                None => return,
            }
        }
    }
}

impl Slot {
    /// Gives the right back and keeps the connection for whoever comes next.
    pub(super) fn keep(self, pool: PgPool) {
        let slots = Arc::clone(&self.slots);
        let start = {
            let mut state = slots.state();
            let idle = Idle { key: self.key.clone(), pool, last: self.tenant.clone(), since: Instant::now() };
            state.idle.push_back(idle);
            state.open += 1; // which dropping `self` takes back
            !std::mem::replace(&mut state.sweeping, true)
        };
        drop(self);
        if start {
            tokio::spawn(slots.sweep());
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.leave(&self.tenant);
        self.slots.state().open -= 1;
        self.slots.freed.notify_waiters();
    }
}
