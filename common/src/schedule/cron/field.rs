//! The seven fields of an expression: their names, ranges and words.

use std::fmt;

/// A field of a cron expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// 0 to 59; in expressions of six and seven fields.
    Second,
    /// 0 to 59.
    Minute,
    /// 0 to 23.
    Hour,
    /// 1 to 31.
    DayOfMonth,
    /// 1 to 12, or JAN to DEC.
    Month,
    /// 0 to 7, or SUN to SAT; both 0 and 7 are Sunday.
    DayOfWeek,
    /// 1970 to 9999; in expressions of seven fields.
    Year,
}

pub(super) const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];

pub(super) const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

impl Field {
    /// The fields that an expression of `count` fields has, in order.
    pub(super) fn of_expression(count: usize) -> Option<&'static [Self]> {
        use Field::{DayOfMonth, DayOfWeek, Hour, Minute, Month, Second, Year};
        const ALL: [Field; 7] = [Second, Minute, Hour, DayOfMonth, Month, DayOfWeek, Year];
        match count {
            5 => ALL.get(1..6),
            6 => ALL.get(..6),
            7 => Some(&ALL),
            _ => None,
        }
    }

    /// The name in messages: `minute`, `day-of-month`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day-of-month",
            Self::Month => "month",
            Self::DayOfWeek => "day-of-week",
            Self::Year => "year",
        }
    }

    /// The smallest value.
    pub(super) fn min(self) -> u16 {
        match self {
            Self::Second | Self::Minute | Self::Hour | Self::DayOfWeek => 0,
            Self::DayOfMonth | Self::Month => 1,
            Self::Year => 1970,
        }
    }

    /// The largest value. For weekdays that is 7, the second name of Sunday.
    pub(super) fn max(self) -> u16 {
        match self {
            Self::Second | Self::Minute => 59,
            Self::Hour => 23,
            Self::DayOfMonth => 31,
            Self::Month => 12,
            Self::DayOfWeek => 7,
            Self::Year => 9999,
        }
    }

    /// The largest value that `*` and `H` reach: every weekday once, so 6.
    pub(super) fn star_max(self) -> u16 {
        match self {
            Self::DayOfWeek => 6,
            _ => self.max(),
        }
    }

    /// The names that may stand for values, with the value of the first.
    pub(super) fn names(self) -> (&'static [&'static str], u16) {
        match self {
            Self::Month => (&MONTHS, 1),
            Self::DayOfWeek => (&WEEKDAYS, 0),
            _ => (&[], 0),
        }
    }

    pub(super) fn is_day(self) -> bool {
        matches!(self, Self::DayOfMonth | Self::DayOfWeek)
    }

    /// What the field takes, for messages.
    pub(super) fn takes(self) -> &'static str {
        match self {
            Self::Second | Self::Minute => "0 to 59",
            Self::Hour => "0 to 23",
            Self::DayOfMonth => "1 to 31",
            Self::Month => "1 to 12 or JAN to DEC",
            Self::DayOfWeek => "0 to 7 or SUN to SAT",
            Self::Year => "1970 to 9999",
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
