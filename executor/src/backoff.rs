//! How long to wait before the store is asked again.

use std::time::Duration;

/// Waits that double up to a limit, each up to a quarter longer by chance, so that a fleet that lost its store
/// together does not come back together.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    max: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(50);

    pub(crate) fn up_to(max: Duration) -> Self {
        Self { next: Self::FIRST.min(max), max }
    }

    pub(crate) fn reset(&mut self) {
        self.next = Self::FIRST.min(self.max);
    }

    /// The next wait.
    pub(crate) fn wait(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.max);
        jittered(wait)
    }
}

/// Up to a quarter longer, by chance.
pub(crate) fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(1.0 + 0.25 * rand::random::<f64>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_limit_and_start_anew() {
        let mut backoff = Backoff::up_to(Duration::from_millis(150));
        for plain in [50, 100, 150, 150] {
            let wait = backoff.wait();
            let plain = Duration::from_millis(plain);
            assert!(wait >= plain && wait <= plain.mul_f64(1.25), "{wait:?}");
        }
        backoff.reset();
        assert!(backoff.wait() < Duration::from_millis(70));
    }
}
