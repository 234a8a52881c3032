//! From civil time to instants: what becomes of times that a clock change skips or repeats.
//!
//! A zone is a row of segments, each from one transition to the next with one offset. Inside a segment civil time
//! runs evenly; between two it jumps forward (a gap: civil times that never are) or back (a fold: civil times that
//! are twice). The search walks segments and decides at each seam.
//!
//! The rules of [`DstPolicy::Once`] are those of Debian's cron(8):
//! - a schedule with `*` in minute or hour follows the clock: it runs whenever the clock shows a time that fits;
//! - any other names fixed times, and each runs when the clock first reaches *or passes* it: what a gap skipped runs
//!   right after the gap, what a fold repeats runs in the first pass only;
//! - a jump of three hours or more is a correction of the clock, not daylight saving: the new time simply holds.
//!
//! Seen as one sentence: fixed times run against the furthest time that the clock has shown so far, which corrections
//! reset.
//!
//! Invariant: every answer is strictly later than the question, whatever the zone. That the answer does not depend on
//! where one asks from needs segments longer than three hours; the shortest of the compiled-in database is five days.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::cron::CronExpr;

/// What happens to due times when clocks change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DstPolicy {
    /// Every due time runs once: fixed times that a gap skips run right after it, those that a fold repeats run in
    /// the first pass. Schedules with `*` in minute or hour follow the clock. Debian's cron does this.
    #[default]
    Once,
    /// As [`DstPolicy::Once`], but what a gap skips is skipped.
    Skip,
    /// Whatever the clock shows: what a gap skips is skipped, what a fold repeats runs twice.
    Literal,
}

/// A jump from here on is a correction. For cron(8), less than three hours is daylight saving and more than three a
/// correction; exactly three, as at Casey station almost every year, is a correction here.
pub(super) const CORRECTION: i64 = 3 * 3600;

/// No clock on record was further from UTC than this (Manila before 1845: 15 h 56 min).
const FURTHEST: i64 = 16 * 3600;

/// Due times in a row that fell into gaps, until the search ends. A year has at most a few gaps, and in twenty-eight
/// years every shape of a year comes by: after a hundred, the schedule only ever names times that are skipped.
const LOST: usize = 100;

/// How a schedule meets a seam.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// Runs whenever the clock shows a fitting time.
    Clock,
    /// Runs when the clock first shows a fitting time.
    Fixed,
    /// Runs when the clock first shows or passes a fitting time.
    FixedCaughtUp,
}

/// A stretch of time with one offset.
struct Segment<'a> {
    zone: &'a TimeZone,
    /// Seconds to add to an instant for civil time.
    offset: i64,
    /// The transition that ends it, and the offset that follows.
    end: Option<(i64, i64)>,
}

impl<'a> Segment<'a> {
    /// The segment that an instant lies in.
    fn at(zone: &'a TimeZone, instant: i64) -> Option<Self> {
        let at = Timestamp::from_second(instant).ok()?;
        Some(Self { zone, offset: i64::from(zone.to_offset(at).seconds()), end: transition_after(zone, at) })
    }

    /// The segment that follows, which starts at `instant` with `offset`.
    fn next(&self, (instant, offset): (i64, i64)) -> Option<Self> {
        Some(Self { zone: self.zone, offset, end: transition_after(self.zone, Timestamp::from_second(instant).ok()?) })
    }
}

fn transition_after(zone: &TimeZone, at: Timestamp) -> Option<(i64, i64)> {
    let next = zone.following(at).next()?;
    Some((next.timestamp().as_second(), i64::from(next.offset().seconds())))
}

/// The first due time of `expr` strictly after `after`.
pub(super) fn next_after(expr: &CronExpr, after: Timestamp, zone: &TimeZone, policy: DstPolicy) -> Option<Timestamp> {
    let pace = match policy {
        DstPolicy::Literal => Pace::Clock,
        _ if expr.follows_clock() => Pace::Clock,
        DstPolicy::Skip => Pace::Fixed,
        DstPolicy::Once => Pace::FixedCaughtUp,
    };
    // Rounded down: `as_second` rounds towards zero, which differs before 1970.
    let now = after.as_second() - i64::from(after.subsec_nanosecond() < 0);
    let found = search(expr, now, zone, pace)?;
    Timestamp::from_second(found).ok()
}

fn search(expr: &CronExpr, now: i64, zone: &TimeZone, pace: Pace) -> Option<i64> {
    let mut segment = Segment::at(zone, now)?;
    // The civil time to search from: nothing before it is due any more.
    let mut low = now + segment.offset + 1;
    if pace != Pace::Clock {
        low = low.max(furthest_shown(zone, now, segment.offset));
    }
    for _ in 0..LOST {
        let due = expr.civil_at_or_after(low)?;
        loop {
            let Some(seam @ (instant, offset)) = segment.end.filter(|(instant, _)| due >= instant + segment.offset)
            else {
                return Some(due - segment.offset);
            };
            // Nothing fits between `low` and `due`, so segments that show only such times need no look. Far from
            // `due`, that is all of them except one that repeats times before `low`.
            let resumes = instant + offset;
            let correction = (offset - segment.offset).abs() >= CORRECTION;
            let repeats = resumes < low && (pace == Pace::Clock || correction);
            if !repeats && due - resumes > 3 * FURTHEST {
                segment = Segment::at(zone, due - FURTHEST)?;
                continue;
            }
            segment = segment.next(seam)?;
            if repeats {
                low = resumes;
                break;
            }
            if resumes > due {
                if pace == Pace::FixedCaughtUp && !correction {
                    return Some(instant);
                }
                low = resumes;
                break;
            }
        }
    }
    None
}

/// The furthest civil time shown before the segment around `now` began, if that is still ahead of the clock.
fn furthest_shown(zone: &TimeZone, now: i64, offset: i64) -> i64 {
    let shown = || {
        // The common case costs one look: no transition in the last three hours, no fold to wait out.
        let earlier = Timestamp::from_second(now - CORRECTION).ok()?;
        if i64::from(zone.to_offset(earlier).seconds()) == offset {
            return None;
        }
        // `preceding` excludes its argument, and `now` itself may be the transition.
        let start = zone.preceding(Timestamp::from_second(now + 1).ok()?).next()?.timestamp();
        let before = zone.to_offset(Timestamp::from_second(start.as_second() - 1).ok()?);
        let before = i64::from(before.seconds());
        (before - offset < CORRECTION).then(|| start.as_second() + before)
    };
    shown().unwrap_or(i64::MIN)
}
