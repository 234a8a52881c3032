//! The clock of a store that has no server: the machine's wall clock, which only tests can shift.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;

/// Wall-clock time, in microseconds since 1970.
#[derive(Clone, Debug, Default)]
pub struct WallClock {
    shift_us: Arc<AtomicI64>,
}

impl WallClock {
    /// The time now.
    pub(crate) fn now_us(&self) -> i64 {
        Timestamp::now().as_microsecond().saturating_add(self.shift_us.load(Ordering::SeqCst))
    }

    /// Sets the clock `by` ahead of where it stands, for tests. All clones move with it.
    pub fn advance(&self, by: Duration) {
        self.shift_us.fetch_add(us(by), Ordering::SeqCst);
    }
}

/// A duration in microseconds, as the stores keep spans.
pub(crate) fn us(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4)
}

/// A stored instant. One outside the range of jiff (years -9999 to 9999) can only be damage: it becomes the limit.
pub(crate) fn at(us: i64) -> Timestamp {
    Timestamp::from_microsecond(us).unwrap_or(if us < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

/// The time from `now` until `then`; zero if it has passed.
pub(crate) fn span(now: i64, then: i64) -> Duration {
    Duration::from_micros(u64::try_from(then.saturating_sub(now)).unwrap_or(0))
}

/// A stored span of time.
pub(crate) fn span_of(us: i64) -> Duration {
    span(0, us)
}
