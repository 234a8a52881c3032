//! How many jobs of one definition start a second at most (`spread` with `per_second`).
//!
//! A window is filled evenly on average; by chance some seconds are fuller than others, and a window that is too short
//! for its tenants overflows. What is above the ceiling starts later, in the order in which it is planned.
//!
//! Kept in memory, for as long as this process leads: the next leader starts with an empty slate, and for the look-ahead
//! the starts of both may add up.

use std::num::{NonZeroU32, NonZeroUsize};

use jiff::{SignedDuration, Timestamp};
use leasehold_common::definition::DefinitionId;
use leasehold_common::store::Item;
use lru::LruCache;

/// Definitions that are remembered: those that fill a window right now.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(1_024).unwrap();

pub(super) struct Ceilings {
    /// When the next job of a definition may start.
    next: LruCache<DefinitionId, Timestamp>,
}

impl Ceilings {
    pub(super) fn new() -> Self {
        Self { next: LruCache::new(CAPACITY) }
    }

    /// Puts items off until they are within the ceiling.
    pub(super) fn hold(&mut self, definition: DefinitionId, most: NonZeroU32, items: &mut [Item]) {
        let step = SignedDuration::from_micros(i64::from(1_000_000_u32.div_ceil(most.get())));
        for item in items {
            let free = self.next.get(&definition).copied().unwrap_or(Timestamp::MIN);
            let wait = free.duration_since(item.not_before).max(SignedDuration::ZERO);
            for at in [Some(&mut item.not_before), item.misfire_at.as_mut(), item.expires_at.as_mut()] {
                at.into_iter().for_each(|at| *at = at.checked_add(wait).unwrap_or(*at));
            }
            self.next.put(definition, item.not_before.checked_add(step).unwrap_or(Timestamp::MAX));
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn no_second_has_more_than_the_ceiling_and_nothing_is_lost() {
        let definition = DefinitionId::from_uuid(uuid::Uuid::nil());
        let at = |ms| Timestamp::from_millisecond(ms).unwrap();
        let mut ceilings = Ceilings::new();
        let mut starts = Vec::new();
        for ms in [0, 0, 0, 0, 0, 100, 4_000, 4_001] {
            let mut items = [Item { due: at(ms), not_before: at(ms), misfire_at: None, expires_at: Some(at(ms + 10)) }];
            ceilings.hold(definition, NonZeroU32::new(2).unwrap(), &mut items);
            assert_eq!(items[0].due, at(ms));
            assert_eq!(items[0].expires_at.unwrap(), items[0].not_before + SignedDuration::from_millis(10));
            starts.push(items[0].not_before.as_millisecond());
        }
        assert_eq!(starts, [0, 500, 1_000, 1_500, 2_000, 2_500, 4_000, 4_500]);
    }
}
