//! When a job is due.
//!
//! Owns the schedule vocabulary: cron expressions ([`CronExpr`]), intervals, points in time ([`Moment`]), daily windows
//! ([`Window`]), time zones ([`Zone`]), what happens when clocks change ([`DstPolicy`]) and the arithmetic that turns
//! all of that into instants. Everything here is
//! pure: no clock is read, no file is opened, and the zone data is the one that is compiled in.
//!
//! Must not know: jobs, tenants, stores, what was fired before. A caller says "strictly after this instant" and gets
//! the next one; iterating is calling again with the answer.
//!
//! Invariants, each held by a test:
//! - an answer is strictly later than the instant asked about;
//! - every due time is a whole millisecond, as correlation ids are;
//! - the answer depends on nothing but the arguments: from any instant between two consecutive due times, the next
//!   one is the same;
//! - no input text panics, and no question takes more than about a hundred microseconds, whether or not it has an
//!   answer. A list asks each of its schedules; jitter asks twice for each halving of itself down to the distance of two
//!   times, some twenty-five questions for an hour's jitter on every second.
//!
//! | module | owns |
//! |---|---|
//! | `cron` | the dialect: text to sets of seconds, minutes, hours, days, years; the search in civil time |
//! | `dst` | civil time to instants, and what becomes of times that a clock change skips or repeats |
//! | `change` | what a clock change does to an expression, for people |
//! | `moment` | points in time as people name them, and when the clocks of a zone show them |
//! | `rate` | the grid of a fixed rate |
//! | `window` | once a day, somewhere in a window |
//! | `jitter` | a small delay of each due time |
//! | `zone` | validated IANA zones of the compiled-in database |
//! | `spread` | the hash that spreads work, stable over versions and machines |
//! | `blackout`, `days` | named times in which jobs do not run, on some days of the week or all |

mod blackout;
mod change;
mod cron;
mod days;
mod dst;
mod jitter;
mod moment;
mod rate;
mod spread;
mod window;
mod zone;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

pub use self::blackout::{Blackout, BlackoutTime, blacked_out};
pub use self::change::{ClockChange, Effect, Fire};
pub use self::cron::{CronError, CronExpr, Fault, Field};
pub use self::days::{Days, DaysError};
pub use self::dst::DstPolicy;
use self::jitter::Jitter;
pub use self::moment::{Moment, MomentError};
pub use self::spread::stable_spread;
pub use self::window::{Window, WindowError};
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
    /// Fixed rate: on a grid that no run moves. [`Schedule::rate`] makes one.
    Rate {
        /// From one due time to the next.
        interval: Duration,
        /// From 1970-01-01T00:00:00Z to the first point of the grid.
        phase: Duration,
    },
    /// Once.
    At {
        /// When; `None` for a time that clocks skip.
        due: Option<Timestamp>,
    },
    /// Once a day, somewhere in a window.
    Spread {
        /// The window.
        window: Window,
        /// On whose clocks.
        zone: Zone,
        /// The hash that decides where.
        key: u64,
    },
    /// Whenever one of several is due. Due times of more than one are one due time.
    Any(
        /// None of them a fixed delay.
        Vec<Schedule>,
    ),
    /// The due times from one instant up to another.
    Within {
        /// The schedule. Of a fixed delay the planner keeps the limits.
        schedule: Box<Schedule>,
        /// The first instant that may be one.
        start: Option<Timestamp>,
        /// The first instant after them.
        end: Option<Timestamp>,
    },
    /// Each due time a little later.
    Jittered {
        /// Not a fixed delay.
        schedule: Box<Schedule>,
        /// Every delay is below it.
        jitter: Duration,
        /// The hash that, with the time, decides how much.
        key: u64,
    },
}

impl Schedule {
    /// A fixed rate whose grid is placed by the hash of a key.
    #[must_use]
    pub fn rate(interval: Duration, key: u64) -> Self {
        Self::Rate { interval, phase: rate::phase(key, interval) }
    }

    /// The first due time strictly after `after`.
    ///
    /// `None` for [`Schedule::Every`], whose next due time is decided by the completion of a run, and for a schedule
    /// that has no further due time before the year 10000.
    #[must_use]
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Cron { expr, zone, dst } => expr.next_after(after, zone.tz(), *dst),
            Self::Every { .. } => None,
            Self::Rate { interval, phase } => rate::next_after(*interval, *phase, after),
            Self::At { due } => due.filter(|due| *due > after),
            Self::Spread { window, zone, key } => window.next_after(*key, zone.tz(), after),
            Self::Any(schedules) => schedules.iter().filter_map(|schedule| schedule.next_after(after)).min(),
            Self::Within { schedule, start, end } => {
                let from = start.map_or(after, |start| after.max(just_before(start)));
                schedule.next_after(from).filter(|due| end.is_none_or(|end| *due < end))
            }
            Self::Jittered { schedule, jitter, key } => {
                Jitter { schedule, jitter: *jitter, key: *key }.next_after(after)
            }
        }
    }

    /// The delay between the end of one run and the next, for schedules that are anchored to completion.
    #[must_use]
    pub fn interval(&self) -> Option<Duration> {
        match self {
            Self::Every { interval } => Some(*interval),
            Self::Within { schedule, .. } => schedule.interval(),
            _ => None,
        }
    }

    /// The first instant that may be due, if one was set.
    #[must_use]
    pub fn start(&self) -> Option<Timestamp> {
        match self {
            Self::Within { start, .. } => *start,
            _ => None,
        }
    }

    /// Which schedules of a list are due exactly then, by their positions from 0. Empty for a schedule that is no list,
    /// and where jitter hides them.
    #[must_use]
    pub fn sources(&self, due: Timestamp) -> Vec<usize> {
        let is_due = |schedule: &Self| schedule.next_after(just_before(due)) == Some(due);
        match self {
            Self::Any(schedules) => {
                schedules.iter().enumerate().filter(|(_, one)| is_due(one)).map(|(position, _)| position).collect()
            }
            Self::Within { schedule, .. } if is_due(self) => schedule.sources(due),
            _ => Vec::new(),
        }
    }

    /// The instant from which nothing is due any more, if one was set.
    #[must_use]
    pub fn end(&self) -> Option<Timestamp> {
        match self {
            Self::Within { end, .. } => *end,
            _ => None,
        }
    }
}

fn just_before(at: Timestamp) -> Timestamp {
    at.checked_sub(SignedDuration::from_nanos(1)).unwrap_or(at)
}
