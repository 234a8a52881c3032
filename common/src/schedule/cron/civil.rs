//! The search in civil time: clocks and calendars without zones.
//!
//! Civil time is a count of seconds, as if the clock were UTC. All sets are bits, so a step of the search is a mask
//! and a count of trailing zeros. The calendar is the proleptic Gregorian one; it repeats after 400 years, and a year
//! has one of only fourteen shapes (leap or not, and the weekday it starts on). A schedule keeps which of the
//! fourteen have any day for it, so that rare days (a Monday, 29 February) cost a look at one number per year, and
//! an impossible one is known when it is parsed.

use super::days::{DayRule, DayTable};

const DAY: i64 = 86_400;
/// The last year that instants reach.
const LAST_YEAR: i64 = 9999;
/// The first year that expressions can name.
const FIRST_YEAR: i64 = 1970;

/// Which seconds of a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Clock {
    pub(super) seconds: u64,
    pub(super) minutes: u64,
    pub(super) hours: u32,
}

impl Clock {
    /// The first matching second of the day that is not before `second`.
    fn at_or_after(&self, second: u32) -> Option<u32> {
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let hours = u64::from(self.hours);
        if hours & (1 << hour) != 0 {
            if self.minutes & (1 << minute) != 0
                && let Some(s) = from(self.seconds, second)
            {
                return Some(hour * 3600 + minute * 60 + s);
            }
            if let Some(m) = from(self.minutes, minute + 1) {
                return Some(hour * 3600 + m * 60 + self.seconds.trailing_zeros());
            }
        }
        let h = from(hours, hour + 1)?;
        Some(h * 3600 + self.minutes.trailing_zeros() * 60 + self.seconds.trailing_zeros())
    }

    /// The first matching second of any day. No set is ever empty.
    fn first(&self) -> i64 {
        let (h, m, s) = (self.hours.trailing_zeros(), self.minutes.trailing_zeros(), self.seconds.trailing_zeros());
        i64::from(h * 3600 + m * 60 + s)
    }
}

/// The lowest bit of `set` from `low` on.
fn from(set: u64, low: u32) -> Option<u32> {
    let rest = set & u64::MAX.checked_shl(low)?;
    (rest != 0).then(|| rest.trailing_zeros())
}

/// The years that an expression names, when it does not leave them open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Years(Box<[u64; Self::WORDS]>);

impl Years {
    const WORDS: usize = ((LAST_YEAR - FIRST_YEAR) as usize) / 64 + 1;

    pub(super) fn new(years: impl Iterator<Item = u16>) -> Self {
        let mut words = Box::new([0; Self::WORDS]);
        for year in years {
            let at = usize::from(year).saturating_sub(FIRST_YEAR as usize);
            if let Some(word) = words.get_mut(at / 64) {
                *word |= 1 << (at % 64);
            }
        }
        Self(words)
    }

    fn iter(&self) -> impl Iterator<Item = i64> {
        let mut year = FIRST_YEAR - 1;
        std::iter::from_fn(move || {
            year = self.at_or_after(year + 1)?;
            Some(year)
        })
    }

    fn at_or_after(&self, year: i64) -> Option<i64> {
        let at = usize::try_from(year - FIRST_YEAR).unwrap_or(0);
        let (word, bit) = (at / 64, u32::try_from(at % 64).unwrap_or(0));
        let head = from(*self.0.get(word)?, bit).map(|b| (word, b));
        let found = head.or_else(|| {
            let rest = self.0.iter().enumerate().skip(word + 1);
            rest.map(|(w, set)| (w, from(*set, 0))).find_map(|(w, b)| Some((w, b?)))
        });
        let (word, bit) = found?;
        Some(FIRST_YEAR + i64::try_from(word).ok()? * 64 + i64::from(bit))
    }
}

/// Which days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Calendar {
    table: DayTable,
    /// Bits 1 to 12.
    months: u32,
    /// Which of the fourteen shapes of a year have a day: bit `7 * leap + weekday of 1 January`.
    shapes: u32,
    /// Only years that have a day, if years are named at all.
    years: Option<Years>,
}

impl Calendar {
    pub(super) fn new(rule: &DayRule, months: u32, years: Option<Years>) -> Self {
        let mut calendar = Self { table: DayTable::new(rule), months, shapes: 0, years: None };
        for leap in [false, true] {
            for first in 0..7 {
                if calendar.first_in_year(leap, first, 1, 1).is_some() {
                    calendar.shapes |= shape_bit(leap, first);
                }
            }
        }
        calendar.years = years.map(|years| {
            let fits = |y: &i64| calendar.shapes & shape_bit(is_leap(*y), weekday(year_start(*y))) != 0;
            Years::new(years.iter().filter(fits).filter_map(|y| u16::try_from(y).ok()))
        });
        calendar
    }

    /// Why no day ever matches, if none does.
    pub(super) fn emptiness(&self) -> Option<&'static str> {
        if self.shapes == 0 {
            return Some("no month it names ever has a day that fits both day fields");
        }
        let years = self.years.as_ref()?;
        years.iter().next().is_none().then_some("none of the years it names has such a day")
    }

    /// The first matching day, counted from 1970-01-01, that is not before `day`.
    fn at_or_after(&self, day: i64) -> Option<i64> {
        let (year, month, date) = date_of(day);
        if self.has_year(year) {
            let first = weekday(year_start(year));
            if let Some(found) = self.first_in_year(is_leap(year), first, month, date) {
                return Some(year_start(year) + found);
            }
        }
        let year = self.next_year(year + 1)?;
        let start = year_start(year);
        Some(start + self.first_in_year(is_leap(year), weekday(start), 1, 1)?)
    }

    fn has_year(&self, year: i64) -> bool {
        year <= LAST_YEAR && self.years.as_ref().is_none_or(|y| y.at_or_after(year) == Some(year))
    }

    /// The first year from `year` on that has a matching day.
    fn next_year(&self, mut year: i64) -> Option<i64> {
        if let Some(years) = &self.years {
            return years.at_or_after(year);
        }
        let mut first = weekday(year_start(year));
        while year <= LAST_YEAR {
            let leap = is_leap(year);
            if self.shapes & shape_bit(leap, first) != 0 {
                return Some(year);
            }
            first = (first + 1 + u8::from(leap)) % 7;
            year += 1;
        }
        None
    }

    /// The first matching day from a date on in a year of a shape, counted from its 1 January.
    fn first_in_year(&self, leap: bool, first: u8, month: u32, date: u32) -> Option<i64> {
        let mut months = self.months & (u32::MAX << month);
        while months != 0 {
            let m = months.trailing_zeros();
            let before = days_before(leap, m);
            let start = u8::try_from((u32::from(first) + before) % 7).unwrap_or(0);
            let mut days = self.table.days(month_length(leap, m), start);
            if m == month {
                days &= u32::MAX << date;
            }
            if days != 0 {
                return Some(i64::from(before + days.trailing_zeros() - 1));
            }
            months &= months - 1;
        }
        None
    }
}

/// The first civil second that matches both, not before `civil` (seconds from 1970-01-01T00:00:00, as on the clock).
pub(super) fn at_or_after(clock: &Clock, calendar: &Calendar, civil: i64) -> Option<i64> {
    let (day, second) = (civil.div_euclid(DAY), civil.rem_euclid(DAY));
    let found = calendar.at_or_after(day)?;
    if found == day {
        if let Some(second) = clock.at_or_after(u32::try_from(second).unwrap_or(0)) {
            return Some(day * DAY + i64::from(second));
        }
        return Some(calendar.at_or_after(day + 1)? * DAY + clock.first());
    }
    Some(found * DAY + clock.first())
}

fn shape_bit(leap: bool, first: u8) -> u32 {
    1 << (7 * u32::from(leap) + u32::from(first))
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Days from 1970-01-01 to 1 January of a year: 365 a year, and the leap days before it.
fn year_start(year: i64) -> i64 {
    let before = year - 1;
    let leap_days = before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400);
    // 477 leap days before 1970.
    (year - 1970) * 365 + leap_days - 477
}

/// 0 = Sunday. 1970-01-01 was a Thursday.
fn weekday(day: i64) -> u8 {
    u8::try_from((day + 4).rem_euclid(7)).unwrap_or(0)
}

fn date_of(day: i64) -> (i64, u32, u32) {
    // 146 097 days are 400 years. The estimate is right or one too large or small at a year's edge.
    let mut year = 1970 + (day * 400).div_euclid(146_097);
    while year_start(year) > day {
        year -= 1;
    }
    while year_start(year + 1) <= day {
        year += 1;
    }
    let of_year = u32::try_from(day - year_start(year)).unwrap_or(0);
    let leap = is_leap(year);
    // A month has at most 31 days, so this month or the next one is it.
    let mut month = of_year / 31 + 1;
    if month < 12 && of_year >= days_before(leap, month + 1) {
        month += 1;
    }
    (year, month, of_year - days_before(leap, month) + 1)
}

fn days_before(leap: bool, month: u32) -> u32 {
    const BEFORE: [u32; 13] = [0, 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let days = BEFORE.get(month as usize).copied().unwrap_or(0);
    days + u32::from(leap && month > 2)
}

fn month_length(leap: bool, month: u32) -> u8 {
    match month {
        2 => 28 + u8::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}
