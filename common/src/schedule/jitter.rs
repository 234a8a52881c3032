//! Jitter: each due time a little later, by a hash of the job and the time.
//!
//! The delay is below the jitter, below the distance to the next time, and below the distance to the end of the
//! schedule. So delayed times keep the order of the others, and nothing is due where nothing may be.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::Schedule;
use super::spread::{mix, reduce};

/// A jitter of a job on a schedule.
pub(super) struct Jitter<'a> {
    pub(super) schedule: &'a Schedule,
    pub(super) jitter: Duration,
    pub(super) key: u64,
}

impl Jitter<'_> {
    /// The first delayed time strictly after `after`.
    pub(super) fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let back = SignedDuration::try_from(self.jitter).ok()?;
        // Whatever is not later than this is due by `after`, delayed or not.
        let horizon = after.checked_sub(back).unwrap_or(Timestamp::MIN);
        let mut time = self.schedule.next_after(horizon)?;
        if time <= after {
            // Each time is due before the next one comes: of those that have come, only the last may still be due.
            time = self.last_until(time, after);
            if let Some(due) = self.delayed(time).filter(|due| *due > after) {
                return Some(due);
            }
            time = self.schedule.next_after(time)?;
        }
        self.delayed(time)
    }

    /// The last time of the schedule that is not after `end`; `first` is one. Halves what is left with each step, so
    /// that an hour's jitter on a schedule of every second costs twelve of them.
    fn last_until(&self, first: Timestamp, end: Timestamp) -> Timestamp {
        let (mut last, mut bound) = (first, end);
        while let Some(next) = self.schedule.next_after(last).filter(|next| *next <= end) {
            last = next;
            let middle = last.checked_add(bound.duration_since(last) / 2).unwrap_or(last);
            match self.schedule.next_after(middle) {
                Some(later) if later <= end => last = later,
                _ => bound = middle.max(last),
            }
        }
        last
    }

    fn delayed(&self, time: Timestamp) -> Option<Timestamp> {
        let at = time.as_millisecond();
        let limits = [self.schedule.next_after(time), self.schedule.end()];
        let room = limits.into_iter().flatten().map(|limit| limit.as_millisecond() - at).min();
        let jitter = i64::try_from(self.jitter.as_millis()).unwrap_or(i64::MAX);
        let most = room.map_or(jitter, |room| room.min(jitter)).max(0);
        let delay = reduce(mix(mix(self.key) ^ at.cast_unsigned()), most.unsigned_abs());
        Timestamp::from_millisecond(at.checked_add(i64::try_from(delay).ok()?)?).ok()
    }
}
