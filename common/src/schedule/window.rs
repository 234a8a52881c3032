//! Daily windows: once a day at a place in the window that a hash decides.
//!
//! The place is a share of the window, and the window is taken as long as it is on that day: when clocks change within
//! it, all places move closer together or further apart, and the window stays evenly filled. So a window needs no rule
//! for lost times but one: if the clocks skip all of it, it is due right after them.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::moment::{Shown, shown};
use super::spread::{mix, reduce};

/// A part of the day, such as `22:00-04:00`, which crosses midnight. At most a whole day, `00:00-24:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Minutes from midnight, below 1440.
    start: u16,
    /// Minutes from midnight, in 1 to 1440; of the next day unless it is more than `start`.
    end: u16,
}

/// Why a text is not a [`Window`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WindowError {
    /// It does not look like one.
    #[error("`{0}` is not a part of the day")]
    Shape(String),
    /// It ends when it starts.
    #[error("the window `{0}` is empty")]
    Empty(String),
}

impl WindowError {
    /// What would be right.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::Shape(_) => "write it as in `00:00-04:00`, or `22:00-04:00` across midnight",
            Self::Empty(_) => "for the whole day write `00:00-24:00`",
        }
    }
}

/// Minutes of a whole day.
const DAY: u16 = 24 * 60;

/// Days to look at. The clocks that are furthest ahead of UTC and behind it are less than two days apart, so the due
/// time is found within them even where clocks once skipped or repeated a day.
const DAYS: usize = 8;

/// Keeps the place in a window apart from what else the same key decides.
const SALT: u64 = 0x5052_4541_4453_4c4f;

impl Window {
    /// How long it is where clocks do not change, in seconds.
    #[must_use]
    pub fn seconds(self) -> u32 {
        let minutes = if self.end > self.start { self.end - self.start } else { self.end + DAY - self.start };
        u32::from(minutes) * 60
    }

    /// The first due time strictly after `after` for a job with this key.
    pub(super) fn next_after(self, key: u64, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
        let today = zone.to_datetime(after).date();
        let before = |date: Date| date.yesterday().unwrap_or(date);
        let mut date = before(before(today));
        for _ in 0..DAYS {
            let due = self.due_on(date, key, zone);
            if let Some(due) = due.filter(|due| *due > after) {
                return Some(due);
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    /// When a job is due in the window that starts on a day. The window of the next day never starts before this one
    /// ends, so due times increase with the days.
    fn due_on(self, date: Date, key: u64, zone: &TimeZone) -> Option<Timestamp> {
        let (start, end) = self.on(date, zone)?;
        let from = start.reached();
        // Clocks change at whole seconds.
        let length = u64::try_from(end.as_second() - from.as_second()).ok()?.checked_mul(1000)?;
        match start {
            // A day that a correction left out never was.
            Shown::Lost { correction: true, .. } if length == 0 => None,
            _ => {
                let place = i64::try_from(reduce(mix(key ^ SALT), length)).ok()?;
                Timestamp::from_millisecond(from.as_millisecond().checked_add(place)?).ok()
            }
        }
    }

    /// From when to when the window that starts on a day is, the end excluded. Empty if the clocks skip all of it.
    pub(super) fn stretch(self, date: Date, zone: &TimeZone) -> Option<(Timestamp, Timestamp)> {
        self.on(date, zone).map(|(start, end)| (start.reached(), end))
    }

    fn on(self, date: Date, zone: &TimeZone) -> Option<(Shown, Timestamp)> {
        let last = if self.end > self.start && self.end < DAY { date } else { date.tomorrow().ok()? };
        let start = shown(date.to_datetime(time(self.start)), zone)?;
        let end = shown(last.to_datetime(time(self.end)), zone)?.reached();
        Some((start, end))
    }
}

fn time(minutes: u16) -> Time {
    let part = |number: u16| i8::try_from(number).unwrap_or(0);
    Time::new(part(minutes / 60 % 24), part(minutes % 60), 0, 0).unwrap_or(Time::MIN)
}

impl FromStr for Window {
    type Err = WindowError;

    fn from_str(text: &str) -> Result<Self, WindowError> {
        let quoted = || text.chars().take(40).collect::<String>();
        let read = || {
            let (start, end) = text.split_once('-')?;
            let (start, end) = (minutes(start.trim_ascii_end())?, minutes(end.trim_ascii_start())?);
            (start < DAY).then_some((start, if end == 0 { DAY } else { end }))
        };
        let (start, end) = read().ok_or_else(|| WindowError::Shape(quoted()))?;
        // `00:00-00:00` may mean nothing or everything.
        if start == end || start == 0 && end == DAY && !text.ends_with("24:00") {
            return Err(WindowError::Empty(quoted()));
        }
        Ok(Self { start, end })
    }
}

/// `HH:MM` up to `24:00`.
fn minutes(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let number =
        |text: &str| (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?;
    let (hour, minute): (u16, u16) = (number(hour)?, number(minute)?);
    let minutes = hour * 60 + minute;
    (minute < 60 && minutes <= DAY).then_some(minutes)
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { start, end } = self;
        write!(f, "{:02}:{:02}-{:02}:{:02}", start / 60, start % 60, end / 60, end % 60)
    }
}

impl Serialize for Window {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
