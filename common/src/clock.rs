//! The local clock that leases are trusted by.
//!
//! It answers one question: how much time has passed in this process, *including* time the machine was suspended
//! (invariant I4). Wall-clock time for due times always comes from the store, never from here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Time since some fixed moment in the past. Never runs backwards.
#[derive(Clone, Debug)]
pub enum BootClock {
    /// The machine's clock.
    System,
    /// A clock that a test moves.
    Manual(Arc<AtomicU64>),
}

impl BootClock {
    /// A clock that stands still until [`BootClock::advance`] moves it.
    #[must_use]
    pub fn manual() -> Self {
        Self::Manual(Arc::new(AtomicU64::new(0)))
    }

    /// Moves a manual clock. The machine's own clock cannot be moved: there the call does nothing.
    pub fn advance(&self, by: Duration) {
        if let Self::Manual(now) = self {
            now.fetch_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX), Ordering::SeqCst);
        }
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> BootInstant {
        match self {
            Self::Manual(now) => BootInstant(Duration::from_nanos(now.load(Ordering::SeqCst))),
            Self::System => BootInstant(system_now()),
        }
    }
}

/// `std::time::Instant` stands still during suspend on Linux (`CLOCK_MONOTONIC`): a laptop lid or a paused virtual
/// machine would stretch a lease. `CLOCK_BOOTTIME` does not.
#[cfg(target_os = "linux")]
fn system_now() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// On macOS, `CLOCK_MONOTONIC` does count suspended time.
#[cfg(not(target_os = "linux"))]
fn system_now() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// A moment on a [`BootClock`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootInstant(Duration);

impl BootInstant {
    /// The moment `by` later.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(by))
    }

    /// How long from `self` until `later`; zero if it is not later.
    #[must_use]
    pub fn until(self, later: Self) -> Duration {
        later.0.saturating_sub(self.0)
    }
}
