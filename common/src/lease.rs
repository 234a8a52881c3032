//! Leadership in data: terms, who leads, and how long a leader may trust itself.
//!
//! A term is (holder, epoch). The store mints the epoch and checks it in every statement that the leader writes
//! (invariant I3), so a leader that lost its lease without noticing cannot change anything. The trust window below is
//! what keeps it from *trying*: it is the promise of invariant I4.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::BootInstant;

/// What elects the leader. The store records the kind, so that replicas with different settings cannot lead side by
/// side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseKind {
    /// The lease row of the store.
    Store,
    /// A lock in Redis; the store still mints and checks the term.
    Redis,
}

impl LeaseKind {
    /// The word in the store, in flags and in messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Redis => "redis",
        }
    }
}

impl fmt::Display for LeaseKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for LeaseKind {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "store" => Ok(Self::Store),
            "redis" => Ok(Self::Redis),
            _ => Err(()),
        }
    }
}

/// A scheduler process that would lead.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Drawn at random when the process starts, so that a restarted process is never mistaken for its predecessor.
    pub holder: Uuid,
    /// Its host name, for people.
    pub host: String,
    /// Its process id, for people.
    pub pid: u32,
    /// What elected it.
    pub kind: LeaseKind,
}

/// A leadership: only the one with the highest epoch may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Term {
    /// Whose it is.
    pub holder: Uuid,
    /// Grows by at least one with every election.
    pub epoch: i64,
}

/// The answer to an attempt to be elected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acquired {
    /// Elected.
    Elected(Term),
    /// Somebody else leads.
    Held,
    /// The store records another kind of lease than the candidate's: it must stay a follower.
    OtherKind(LeaseKind),
}

/// The answer to a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// The lease runs for another TTL from now.
    Renewed,
    /// The term has ended.
    Lost,
}

/// The lease as it stands in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Leader {
    /// The holder's random id.
    pub holder: Uuid,
    /// Its host name.
    pub host: String,
    /// Its process id.
    pub pid: u32,
    /// Its epoch.
    pub term: i64,
    /// Milliseconds until the lease expires, on the store's clock. Negative: nobody leads since then.
    pub expires_in_ms: i64,
    /// Since when it leads.
    #[serde(serialize_with = "crate::run::rfc3339")]
    pub elected_at: Timestamp,
    /// What elected it.
    pub kind: LeaseKind,
}

/// How a lease is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTiming {
    /// How long a lease lasts without renewal.
    pub ttl: Duration,
    /// How often the leader renews it.
    pub renew: Duration,
    /// How often a follower tries to get it.
    pub retry: Duration,
}

/// The timings do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimingError {
    /// Renewals would come too late.
    #[error(
        "--lease-renew ({renew:?}) must be at most a third of --lease-ttl ({ttl:?}), so that one failed renewal does not cost the lease"
    )]
    RenewTooSlow {
        /// As set.
        renew: Duration,
        /// As set.
        ttl: Duration,
    },
    /// Nobody would take over for a long time.
    #[error(
        "--lease-retry ({retry:?}) must be at most --lease-ttl ({ttl:?}), or an expired lease stays unclaimed for long"
    )]
    RetryTooSlow {
        /// As set.
        retry: Duration,
        /// As set.
        ttl: Duration,
    },
    /// A zero interval.
    #[error("--lease-ttl, --lease-renew and --lease-retry must be longer than zero")]
    Zero,
    /// A dead leader would delay due work.
    #[error(
        "--look-ahead ({look_ahead:?}) must be longer than --lease-ttl + --lease-retry ({least:?}), so that a dead leader delays nothing that was fanned out before"
    )]
    LookAheadTooShort {
        /// As set.
        look_ahead: Duration,
        /// TTL + retry.
        least: Duration,
    },
}

impl LeaseTiming {
    /// The part of the TTL that the leader does not trust: it covers the difference in speed between two clocks and
    /// the time a statement needs to arrive. A tenth of the TTL, at least 10 ms.
    #[must_use]
    pub fn margin(&self) -> Duration {
        (self.ttl / 10).max(Duration::from_millis(10)).min(self.ttl / 2)
    }

    /// Checks the timings against each other and against the look-ahead.
    pub fn check(&self, look_ahead: Duration) -> Result<(), TimingError> {
        if self.ttl.is_zero() || self.renew.is_zero() || self.retry.is_zero() {
            return Err(TimingError::Zero);
        }
        if self.renew > self.ttl / 3 {
            return Err(TimingError::RenewTooSlow { renew: self.renew, ttl: self.ttl });
        }
        if self.retry > self.ttl {
            return Err(TimingError::RetryTooSlow { retry: self.retry, ttl: self.ttl });
        }
        let least = self.ttl + self.retry;
        if look_ahead <= least {
            return Err(TimingError::LookAheadTooShort { look_ahead, least });
        }
        Ok(())
    }
}

/// Until when a leader may act on its own word (invariant I4): a renewal counts from the moment *before* it was sent,
/// since the store may have granted it at any time after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrustWindow {
    until: BootInstant,
}

impl TrustWindow {
    /// The window that a successful renewal sent at `sent` opens.
    #[must_use]
    pub fn from_renewal(sent: BootInstant, timing: &LeaseTiming) -> Self {
        Self { until: sent.after(timing.ttl.saturating_sub(timing.margin())) }
    }

    /// Whether the leader may act at `now`.
    #[must_use]
    pub fn holds(&self, now: BootInstant) -> bool {
        now < self.until
    }

    /// How long it still holds.
    #[must_use]
    pub fn left(&self, now: BootInstant) -> Duration {
        now.until(self.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::BootClock;

    const TIMING: LeaseTiming =
        LeaseTiming { ttl: Duration::from_secs(10), renew: Duration::from_secs(3), retry: Duration::from_secs(1) };

    #[test]
    fn trust_ends_a_margin_before_the_ttl_counted_from_before_the_request() {
        let clock = BootClock::manual();
        let sent = clock.now();
        clock.advance(Duration::from_secs(4)); // the answer took its time
        let window = TrustWindow::from_renewal(sent, &TIMING);
        assert!(window.holds(clock.now()));
        clock.advance(Duration::from_millis(4_999));
        assert!(window.holds(clock.now()));
        clock.advance(Duration::from_millis(1));
        assert!(!window.holds(clock.now()));
        assert_eq!(window.left(clock.now()), Duration::ZERO);
    }

    #[test]
    fn timings_that_cannot_work_are_refused() {
        assert_eq!(TIMING.check(Duration::from_secs(15)), Ok(()));
        assert!(matches!(TIMING.check(Duration::from_secs(11)), Err(TimingError::LookAheadTooShort { .. })));
        let slow = LeaseTiming { renew: Duration::from_secs(4), ..TIMING };
        assert!(matches!(slow.check(Duration::from_secs(15)), Err(TimingError::RenewTooSlow { .. })));
        let lazy = LeaseTiming { retry: Duration::from_secs(11), ..TIMING };
        assert!(matches!(lazy.check(Duration::from_secs(60)), Err(TimingError::RetryTooSlow { .. })));
        let zero = LeaseTiming { retry: Duration::ZERO, ..TIMING };
        assert_eq!(zero.check(Duration::from_secs(15)), Err(TimingError::Zero));
    }
}
