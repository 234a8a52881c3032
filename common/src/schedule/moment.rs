//! Points in time as people name them: an instant with its offset, or what the clocks of a zone show.
//!
//! A civil time is kept as it was written, with its zone, and becomes an instant only when a schedule is compiled: so
//! new zone rules move it as they move every other schedule of that zone.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::dst::{CORRECTION, DstPolicy};
use super::zone::{Zone, ZoneError};

/// A point in time. Written as RFC 3339, or as a civil time with its zone in brackets:
/// `2026-12-01T09:00:00[Europe/Berlin]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Moment {
    /// The same everywhere.
    Instant(Timestamp),
    /// What the clocks of a zone show.
    Civil {
        /// Date and time of day.
        at: DateTime,
        /// On whose clocks.
        zone: Zone,
    },
}

/// Why a text is not a [`Moment`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MomentError {
    /// It does not look like one.
    #[error("`{0}` is not a date and time")]
    Shape(String),
    /// The calendar has no such day, or the day no such time.
    #[error("`{0}` is in no calendar")]
    Calendar(String),
    /// The zone in brackets.
    #[error(transparent)]
    Zone(#[from] ZoneError),
}

impl MomentError {
    /// What would be right.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::Calendar(_) => "hours go from 00 to 23, minutes and seconds to 59, and a month has 28 to 31 days",
            _ => "write it as in `2026-12-01T09:00`, or with an offset as in `2026-12-01T09:00Z` or `…+01:00`",
        }
    }
}

/// How a civil time meets the clocks of a zone.
pub(super) enum Shown {
    /// They show it; in the first pass, if they do so twice.
    At(Timestamp),
    /// They skip it.
    Lost {
        /// When they do.
        until: Timestamp,
        /// Whether that is no daylight saving but a correction.
        correction: bool,
    },
}

impl Shown {
    /// When the clocks first show or pass the time.
    pub(super) fn reached(&self) -> Timestamp {
        match self {
            Self::At(at) => *at,
            Self::Lost { until, .. } => *until,
        }
    }
}

/// When the clocks of a zone show a civil time. Never earlier for a later time. `None` at the ends of time only.
pub(super) fn shown(civil: DateTime, zone: &TimeZone) -> Option<Shown> {
    Some(match zone.to_ambiguous_timestamp(civil).offset() {
        AmbiguousOffset::Unambiguous { offset } => Shown::At(offset.to_timestamp(civil).ok()?),
        AmbiguousOffset::Fold { before, after } => {
            let first = before.to_timestamp(civil).ok()?;
            // Where the last change on record is none on the clock (Nuuk in October 2023), the rule for the years
            // after it makes up an earlier pass that never was.
            let was = zone.to_offset(first) == before;
            Shown::At(if was { first } else { after.to_timestamp(civil).ok()? })
        }
        AmbiguousOffset::Gap { before, after } => {
            // By the old offset the time is after the change; `preceding` excludes its argument.
            let past = before.to_timestamp(civil).ok()?.as_second();
            let change = zone.preceding(Timestamp::from_second(past + 1).ok()?).next()?;
            let jump = i64::from(after.seconds()) - i64::from(before.seconds());
            Shown::Lost { until: change.timestamp(), correction: jump >= CORRECTION }
        }
    })
}

impl Moment {
    /// Reads `2026-12-01`, `2026-12-01T09:00` or `2026-12-01T09:00:00`, in the zone, or the same with an offset
    /// (`Z`, `+01:00`), for which no zone matters. A date alone is its first moment.
    ///
    /// # Errors
    /// [`MomentError`].
    pub fn parse(text: &str, zone: &Zone) -> Result<Self, MomentError> {
        let quoted = || text.chars().take(40).collect::<String>();
        let shape = shape(text).ok_or_else(|| MomentError::Shape(quoted()))?;
        let calendar = || MomentError::Calendar(quoted());
        let [year, month, day, hour, minute, second] = shape.numbers;
        let [month, day, hour, minute, second] = [month, day, hour, minute, second].map(i8::try_from);
        let (Ok(month), Ok(day), Ok(hour), Ok(minute), Ok(second)) = (month, day, hour, minute, second) else {
            return Err(calendar());
        };
        let at = DateTime::new(year, month, day, hour, minute, second, 0).map_err(|_| calendar())?;
        match shape.offset {
            None => Ok(Self::Civil { at, zone: zone.clone() }),
            Some(seconds) => {
                let offset = Offset::from_seconds(seconds).map_err(|_| calendar())?;
                offset.to_timestamp(at).map(Self::Instant).map_err(|_| calendar())
            }
        }
    }

    /// Whether it depends on a zone.
    #[must_use]
    pub fn is_civil(&self) -> bool {
        matches!(self, Self::Civil { .. })
    }

    /// The same time on the clocks of another zone; an instant stays what it is.
    #[must_use]
    pub fn in_zone(&self, zone: &Zone) -> Self {
        match self {
            Self::Instant(at) => Self::Instant(*at),
            Self::Civil { at, .. } => Self::Civil { at: *at, zone: zone.clone() },
        }
    }

    /// When it has come: if clocks skip the time, when they do so, and if they repeat it, in the first pass.
    #[must_use]
    pub fn reached(&self) -> Option<Timestamp> {
        match self {
            Self::Instant(at) => Some(*at),
            Self::Civil { at, zone } => shown(*at, zone.tz()).map(|shown| shown.reached()),
        }
    }

    /// When something that is due at that time is due: once at most, whatever the policy. `None` if the clocks skip
    /// the time and the policy drops it.
    #[must_use]
    pub fn due(&self, dst: DstPolicy) -> Option<Timestamp> {
        let Self::Civil { at, zone } = self else { return self.reached() };
        match shown(*at, zone.tz())? {
            Shown::At(at) => Some(at),
            Shown::Lost { until, correction } => (dst == DstPolicy::Once && !correction).then_some(until),
        }
    }
}

/// A text that looks like a date and time.
struct Shape {
    /// Year, month, day, hour, minute, second.
    numbers: [i16; 6],
    /// In seconds.
    offset: Option<i32>,
}

fn shape(text: &str) -> Option<Shape> {
    let (date, rest) = text.split_at_checked(10)?;
    let [year, month, day] = digits(date, "dddd-dd-dd")?;
    let mut numbers = [year, month, day, 0, 0, 0];
    if rest.is_empty() {
        return Some(Shape { numbers, offset: None });
    }
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (time, offset) = rest.split_at(rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len()));
    [numbers[3], numbers[4], numbers[5]] = digits(time, "dd:dd:dd").or_else(|| {
        let [hour, minute] = digits(time, "dd:dd")?;
        Some([hour, minute, 0])
    })?;
    let offset = match offset {
        "" => None,
        "Z" | "z" => Some(0),
        _ => {
            let (sign, offset) = offset.split_at_checked(1)?;
            let [hours, minutes] = digits(offset, "dd:dd")?;
            if hours > 23 || minutes > 59 {
                return None;
            }
            let seconds = i32::from(hours) * 3600 + i32::from(minutes) * 60;
            Some(if sign == "-" { -seconds } else { seconds })
        }
    };
    Some(Shape { numbers, offset })
}

/// The numbers of a text of the form of a pattern, in which `d` is a digit and all else stands for itself.
fn digits<const N: usize>(text: &str, pattern: &str) -> Option<[i16; N]> {
    let fits = |(found, wanted): (u8, u8)| if wanted == b'd' { found.is_ascii_digit() } else { found == wanted };
    if text.len() != pattern.len() || !text.bytes().zip(pattern.bytes()).all(fits) {
        return None;
    }
    let mut numbers = text.split(['-', ':']).map(str::parse);
    let mut out = [0; N];
    for number in &mut out {
        *number = numbers.next()?.ok()?;
    }
    Some(out)
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instant(at) => write!(f, "{at}"),
            Self::Civil { at, zone } => write!(f, "{at}[{zone}]"),
        }
    }
}

impl FromStr for Moment {
    type Err = MomentError;

    /// Reads what [`fmt::Display`] writes.
    fn from_str(text: &str) -> Result<Self, MomentError> {
        match text.strip_suffix(']').and_then(|text| text.split_once('[')) {
            Some((at, zone)) => Self::parse(at, &Zone::parse(zone)?),
            None => Self::parse(text, &Zone::UTC),
        }
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
