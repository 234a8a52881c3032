//! Days of the week: `mon-fri`, `sat,sun`, `Friday`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use jiff::civil::Weekday;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Some days of the week, at least one; all of them by default. Serialises as a list such as `["sat","sun"]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Days(
    /// Bit 0 is Monday. Never empty.
    u8,
);

/// Why a text is not [`Days`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DaysError {
    /// It names none.
    #[error("no day of the week is named")]
    Empty,
    /// A part of it is not the name of a day.
    #[error("`{0}` is not a day of the week")]
    Unknown(String),
}

impl DaysError {
    /// What would be right.
    #[must_use]
    pub fn help(&self) -> &'static str {
        "write names such as `sat` or `Saturday`, and ranges such as `mon-fri`"
    }
}

/// The full names, from Monday. The first three letters are the short ones.
const NAMES: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

impl Days {
    /// The whole week.
    pub const ALL: Self = Self(0b111_1111);

    /// Whether a day is one of them.
    #[must_use]
    pub fn contain(self, day: Weekday) -> bool {
        self.0 & (1 << day.to_monday_zero_offset()) != 0
    }

    /// Whether they are the whole week.
    #[must_use]
    pub fn are_all(&self) -> bool {
        *self == Self::ALL
    }

    /// The days of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// From one day to another, both included; across the end of the week if the other comes before it.
    fn range(first: u8, last: u8) -> Self {
        let length = (last + 7 - first) % 7;
        Self((0..=length).fold(0, |days, n| days | 1 << ((first + n) % 7)))
    }

    /// Their short names, from Monday.
    fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES.iter().enumerate().filter(move |(day, _)| self.0 & (1 << day) != 0).map(|(_, name)| &name[..3])
    }
}

impl Default for Days {
    fn default() -> Self {
        Self::ALL
    }
}

impl FromStr for Days {
    type Err = DaysError;

    /// Reads names of days and ranges of them, with commas between: three letters or the whole name, in any case.
    /// `fri-mon` are four days.
    fn from_str(text: &str) -> Result<Self, DaysError> {
        if text.trim_ascii().is_empty() {
            return Err(DaysError::Empty);
        }
        text.split(',').map(part).reduce(|all, part| Ok(all?.and(part?))).unwrap_or(Err(DaysError::Empty))
    }
}

fn part(text: &str) -> Result<Days, DaysError> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Ok(Days::range(day(first)?, day(last)?))
}

/// From Monday, 0.
fn day(text: &str) -> Result<u8, DaysError> {
    let text = text.trim_ascii();
    let is = |name: &str| text.eq_ignore_ascii_case(name) || text.eq_ignore_ascii_case(&name[..3]);
    let found = NAMES.iter().position(|name| is(name)).and_then(|day| u8::try_from(day).ok());
    found.ok_or_else(|| DaysError::Unknown(text.chars().take(40).collect()))
}

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, name) in self.names().enumerate() {
            write!(f, "{}{name}", if n == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl Serialize for Days {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.names())
    }
}

impl<'de> Deserialize<'de> for Days {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::<Cow<'de, str>>::deserialize(deserializer)?;
        names
            .iter()
            .map(|name| name.parse())
            .reduce(|all: Result<Self, DaysError>, day| Ok(all?.and(day?)))
            .unwrap_or(Err(DaysError::Empty))
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn names_and_ranges_are_read() {
        for (text, days) in [
            ("sat,sun", "sat,sun"),
            ("Sunday, Saturday", "sat,sun"),
            ("MON-FRI", "mon,tue,wed,thu,fri"),
            ("monday - wed", "mon,tue,wed"),
            ("fri-mon", "mon,fri,sat,sun"),
            ("thu-thu", "thu"),
            ("mon-sun", "mon,tue,wed,thu,fri,sat,sun"),
            ("sun-sat", "mon,tue,wed,thu,fri,sat,sun"),
            ("tue,tue,mon-wed", "mon,tue,wed"),
        ] {
            let read: Days = text.parse().unwrap();
            assert_eq!(read.to_string(), days, "{text}");
            assert_eq!(days.parse::<Days>().unwrap(), read);
        }
        for (text, because) in [
            ("", "no day of the week is named"),
            (" ", "no day of the week is named"),
            ("mo", "`mo` is not a day of the week"),
            ("sat,", "`` is not a day of the week"),
            ("mon-", "`` is not a day of the week"),
            ("mon-wed-fri", "`wed-fri` is not a day of the week"),
            ("montag", "`montag` is not a day of the week"),
            ("1", "`1` is not a day of the week"),
        ] {
            assert_eq!(text.parse::<Days>().unwrap_err().to_string(), because, "{text}");
        }
    }

    #[test]
    fn a_list_is_written_and_read() {
        let weekend: Days = "sat,sun".parse().unwrap();
        assert_eq!(serde_json::to_string(&weekend).unwrap(), r#"["sat","sun"]"#);
        assert_eq!(serde_json::from_str::<Days>(r#"["sun","saturday"]"#).unwrap(), weekend);
        assert_eq!(serde_json::from_str::<Days>(r#"["mon-sun"]"#).unwrap(), Days::default());
        assert!(serde_json::from_str::<Days>("[]").unwrap_err().to_string().starts_with("no day of the week"));
        assert!(weekend.contain(Weekday::Sunday) && !weekend.contain(Weekday::Monday));
        assert!(!weekend.are_all() && weekend.and("mon-fri".parse().unwrap()).are_all());
    }
}
