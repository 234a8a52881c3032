//! What happens after a failed attempt.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How often a run is tried and how long it waits in between.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Attempts in all, the first included; at least 1. Crashed executors count (invariant I11).
    pub attempts: u32,
    /// The waits.
    pub backoff: Backoff,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts: 3, backoff: Backoff::default() }
    }
}

/// Exponential backoff: the wait after the n-th failure is `initial * factor^(n-1)`, at most `max`, and then up to a
/// quarter longer by chance, so that a thousand runs that failed together do not come back together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Backoff {
    /// The wait after the first failure.
    #[serde(with = "crate::duration::text")]
    pub initial: Duration,
    /// The longest wait, before chance is added.
    #[serde(with = "crate::duration::text")]
    pub max: Duration,
    /// By how much each wait is longer than the one before; at least 1.
    pub factor: f64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { initial: Duration::from_secs(1), max: Duration::from_secs(300), factor: 2.0 }
    }
}

impl Backoff {
    /// The wait after the `failures`-th failure (1 for the first). `chance` is drawn from 0.0..1.0 by the caller.
    #[must_use]
    pub fn delay(&self, failures: u32, chance: f64) -> Duration {
        let exponent = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
        let max = self.max.as_secs_f64();
        let plain = self.initial.as_secs_f64() * self.factor.max(1.0).powi(exponent);
        let plain = if plain.is_finite() { plain.min(max) } else { max };
        Duration::from_secs_f64(plain * (1.0 + 0.25 * chance.clamp(0.0, 1.0)))
    }
}

impl RetryPolicy {
    /// The wait before the next attempt, or `None` if there is none. `failures` counts the attempts that have
    /// failed, this one included; attempts that a draining executor gave back do not count.
    #[must_use]
    pub fn after_failure(&self, failures: u32, chance: f64) -> Option<Duration> {
        (failures < self.attempts).then(|| self.backoff.delay(failures, chance))
    }

    /// The longest wait that whoever was called can ask for.
    pub const ASKED_MAX: Duration = Duration::from_secs(3_600);

    /// The same, if whoever was called has asked for a wait: the longer of the two, and up to a quarter more than it has
    /// asked for, since all that it sent away should not come back at once.
    #[must_use]
    pub fn after_failure_asking(&self, asked: Option<Duration>, failures: u32, chance: f64) -> Option<Duration> {
        let asked = asked.unwrap_or_default().min(Self::ASKED_MAX).mul_f64(1.0 + 0.25 * chance.clamp(0.0, 1.0));
        self.after_failure(failures, chance).map(|wait| wait.max(asked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_the_limit_and_chance_adds_a_quarter_at_most() {
        let backoff = Backoff { initial: Duration::from_secs(1), max: Duration::from_secs(10), factor: 2.0 };
        let waits: Vec<u64> = (1..=6).map(|n| backoff.delay(n, 0.0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 10, 10]);
        assert_eq!(backoff.delay(3, 1.0), Duration::from_secs(5));
        assert_eq!(backoff.delay(u32::MAX, 1.0), Duration::from_millis(12_500));
    }

    #[test]
    fn the_last_attempt_is_followed_by_none() {
        let policy = RetryPolicy { attempts: 3, backoff: Backoff::default() };
        assert!(policy.after_failure(1, 0.5).is_some());
        assert!(policy.after_failure(2, 0.5).is_some());
        assert_eq!(policy.after_failure(3, 0.5), None);
        assert_eq!(RetryPolicy { attempts: 1, ..policy }.after_failure(1, 0.5), None);
    }
}
