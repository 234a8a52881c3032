//! When a job is due.
//!
//! Owns the schedule vocabulary: cron expressions ([`CronExpr`]), intervals, time zones ([`Zone`]), what happens
//! when clocks change ([`DstPolicy`]) and the arithmetic that turns all of that into instants. Everything here is
//! pure: no clock is read, no file is opened, and the zone data is the one that is compiled in.
//!
//! Must not know: jobs, tenants, stores, what was fired before. A caller says "strictly after this instant" and gets
//! the next one; iterating is calling again with the answer.
//!
//! Invariants, each held by a test:
//! - an answer is strictly later than the instant asked about;
//! - the answer depends on nothing but the arguments: from any instant between two consecutive due times, the next
//!   one is the same;
//! - no input text panics, and no question takes more than about a hundred microseconds, whether or not it has an
//!   answer.
//!
//! | module | owns |
//! |---|---|
//! | `cron` | the dialect: text to sets of seconds, minutes, hours, days, years; the search in civil time |
//! | `dst` | civil time to instants, and what becomes of times that a clock change skips or repeats |
//! | `zone` | validated IANA zones of the compiled-in database |
//! | `spread` | the hash that spreads work, stable over versions and machines |

mod cron;
mod dst;
mod spread;
mod zone;

use std::time::Duration;

use jiff::Timestamp;

pub use self::cron::{CronError, CronExpr, Fault, Field};
pub use self::dst::DstPolicy;
pub use self::spread::stable_spread;
pub use self::zone::{Zone, ZoneError, tzdb_version, tzdb_version_of_host};

/// What decides when a job is due.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Schedule {
    /// At the times that a cron expression names on the clocks of a zone.
    Cron {
        /// The expression.
        expr: CronExpr,
        /// On whose clocks.
        zone: Zone,
        /// What happens when those clocks change.
        dst: DstPolicy,
    },
    /// Fixed delay: this long after the end of the previous run.
    Every {
        /// From the completion of one run to the start of the next.
        interval: Duration,
    },
}

impl Schedule {
    /// The first due time strictly after `after`.
    ///
    /// `None` for [`Schedule::Every`], whose next due time is decided by the completion of a run, and for a cron
    /// expression that has no further due time before the year 10000.
    #[must_use]
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Cron { expr, zone, dst } => expr.next_after(after, zone.tz(), *dst),
            Self::Every { .. } => None,
        }
    }

    /// The delay between the end of one run and the next, for schedules that are anchored to completion.
    #[must_use]
    pub fn interval(&self) -> Option<Duration> {
        match self {
            Self::Cron { .. } => None,
            Self::Every { interval } => Some(*interval),
        }
    }
}
