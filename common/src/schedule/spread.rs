//! The hash that spreads work in time: first fires of interval jobs, and `H` in cron expressions.
//!
//! Invariant: the same key gives the same answer in every version and on every machine, because a restart or an
//! upgrade must not move a job. So the mixing function is written out here, in integers, and tests pin its values;
//! the standard library's hashers promise no such thing.

use std::time::Duration;

/// Mixes all bits of a key into all bits of the answer.
///
/// The finaliser of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014), one
/// step of the generator that is seeded with `key`. A bijection, so distinct keys never collide before reduction.
pub(super) fn mix(key: u64) -> u64 {
    let mut z = key.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Reduces a mixed hash to `0..n`, evenly, without the bias of a remainder. Zero for `n == 0`.
pub(super) fn reduce(hash: u64, n: u64) -> u64 {
    // The product of two 64-bit numbers shifted by 64 is below n, so the conversion cannot fail.
    u64::try_from((u128::from(hash) * u128::from(n)) >> 64).unwrap_or(0)
}

/// Where in its first interval a new interval job fires first: in `(0, interval]`, in whole microseconds.
///
/// A stable hash of `key`, so that ten thousand jobs that are created at once do not fire at once, and so that every
/// replica and every version computes the same moment. Intervals under a microsecond are returned as they are.
#[must_use]
pub fn stable_spread(key: u64, interval: Duration) -> Duration {
    let micros = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX);
    if micros == 0 {
        return interval;
    }
    Duration::from_micros(reduce(mix(key), micros) + 1)
}
