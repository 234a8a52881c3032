//! Cron expressions: the dialect, and the search for the next civil time that fits one.
//!
//! The dialect is the Open Cron Pattern Specification 1.0 with seconds, years, nicknames, `L`, `W`, `#`, `?`, `+` and
//! `H`; docs/reference/schedules.md is its reference. Where the specification is silent, Debian's cron decides.
//!
//! `item` reads a part of a field, `parse` the whole, `days` and `civil` know the calendar. Must not know: zones.

mod civil;
mod days;
mod describe;
mod error;
mod field;
mod item;
mod parse;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

pub use self::error::{CronError, Fault};
pub use self::field::Field;
use self::parse::Compiled;
use super::dst::{self, DstPolicy};

/// A parsed cron expression. Cheap to clone.
///
/// Two expressions are equal when their texts are and, with `H`, when the hash came to the same times.
#[derive(Clone, PartialEq, Eq)]
pub struct CronExpr(Arc<Inner>);

#[derive(PartialEq, Eq)]
struct Inner {
    text: Box<str>,
    seed: Option<u64>,
    compiled: Compiled,
}

impl CronExpr {
    /// Reads an expression that has no `H`.
    ///
    /// # Errors
    /// [`CronError`], naming the field, what was found and what would be right. An expression that no calendar ever
    /// fits (`0 0 30 2 *`) is refused too.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        Self::read(text, None)
    }

    /// Reads an expression in which `H` stands for a stable hash of `seed`.
    ///
    /// # Errors
    /// As [`CronExpr::parse`].
    pub fn parse_seeded(text: &str, seed: u64) -> Result<Self, CronError> {
        // Without H the seed means nothing, and must not make equal expressions differ.
        Self::read(text, Some(seed).filter(|_| Self::uses_hash(text)))
    }

    fn read(text: &str, seed: Option<u64>) -> Result<Self, CronError> {
        let compiled = parse::compile(text, seed)?;
        Ok(Self(Arc::new(Inner { text: text.into(), seed, compiled })))
    }

    /// Whether a text has an `H`, so that it takes a seed to parse. Says nothing about whether it is valid.
    #[must_use]
    pub fn uses_hash(text: &str) -> bool {
        parse::uses_hash(text)
    }

    /// The text it was read from.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Whether the schedule follows the clock through its changes, instead of naming fixed times: `*` starts its
    /// minute or hour field.
    #[must_use]
    pub fn follows_clock(&self) -> bool {
        self.0.compiled.follows_clock
    }

    /// The first due time strictly after `after`, on the clocks of `zone`; `None` if there is none before the
    /// year 10000, or if a hundred in a row fall into times that the clocks skip and the policy drops.
    #[must_use]
    pub fn next_after(&self, after: Timestamp, zone: &TimeZone, dst: DstPolicy) -> Option<Timestamp> {
        dst::next_after(self, after, zone, dst)
    }

    /// The schedule in words, such as `at 02:00 every day`.
    #[must_use]
    pub fn describe(&self) -> String {
        // Read again rather than kept: few expressions are ever described, and a million are held.
        match parse::fields(&self.0.text, self.0.seed) {
            Ok(fields) => describe::describe(&fields),
            Err(_) => self.0.text.to_string(),
        }
    }

    /// The first civil second not before `civil` that fits; both count from 1970-01-01T00:00:00 as on the clock.
    pub(super) fn civil_at_or_after(&self, civil: i64) -> Option<i64> {
        let Compiled { clock, calendar, .. } = &self.0.compiled;
        civil::at_or_after(clock, calendar, civil)
    }
}

// What it compiled to follows from these two.
impl std::hash::Hash for CronExpr {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (&self.0.text, self.0.seed).hash(state);
    }
}

impl fmt::Display for CronExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl fmt::Debug for CronExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CronExpr({:?})", self.0.text)
    }
}

impl FromStr for CronExpr {
    type Err = CronError;

    fn from_str(text: &str) -> Result<Self, CronError> {
        Self::parse(text)
    }
}
