//! Fixed rate: due times on a grid that no run and no restart moves.
//!
//! The grid is `phase + n * interval` from 1970-01-01T00:00:00Z, in whole milliseconds. The phase is a hash of the
//! job's key, so that jobs of one interval are spread over it; `spread` says what keeps it stable.

use std::time::Duration;

use jiff::Timestamp;

use super::spread::{mix, reduce};

/// The interval in milliseconds; never zero.
fn step(interval: Duration) -> i64 {
    i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1)
}

/// Where in the interval the grid of a job lies: in `[0, interval)`.
pub(super) fn phase(key: u64, interval: Duration) -> Duration {
    Duration::from_millis(reduce(mix(key), step(interval).unsigned_abs()))
}

/// The first point of the grid strictly after `after`.
pub(super) fn next_after(interval: Duration, phase: Duration, after: Timestamp) -> Option<Timestamp> {
    let (step, phase) = (step(interval), i64::try_from(phase.as_millis()).ok()?);
    let past = floor_millisecond(after).checked_sub(phase)?.rem_euclid(step);
    Timestamp::from_millisecond(floor_millisecond(after).checked_add(step - past)?).ok()
}

/// Rounded down: `as_millisecond` rounds towards zero, which differs before 1970.
fn floor_millisecond(at: Timestamp) -> i64 {
    at.as_millisecond() - i64::from(at.subsec_nanosecond() % 1_000_000 < 0)
}
