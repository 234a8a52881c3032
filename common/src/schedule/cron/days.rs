//! Which days of a month a schedule runs on.
//!
//! All that the day fields can say depends on two facts about a month: how many days it has (28 to 31) and the
//! weekday it starts on. So the answer for each of the 28 shapes is worked out once, as a set of days in 32 bits, and
//! the search only looks it up.

use super::item::Form;

/// The day fields of an expression.
#[derive(Clone, Debug)]
pub(super) struct DayRule {
    /// Bits 1 to 31; meaningless unless `month_days_plain`.
    pub(super) month_days: u64,
    /// Bits 0 (Sunday) to 6; meaningless unless `weekdays_plain`.
    pub(super) weekdays: u32,
    pub(super) month_forms: Vec<Form>,
    pub(super) weekday_forms: Vec<Form>,
    /// Whether both fields must match (AND) or one suffices (OR).
    ///
    /// OR is for two restricted fields. Debian's cron takes a field for unrestricted if its text *starts* with `*`:
    /// `*/2` keeps its set of days and makes it an AND, as does `*,10`; `10,*` does not. A leading `+` asks for AND.
    pub(super) both: bool,
    pub(super) month_days_plain: bool,
    pub(super) weekdays_plain: bool,
}

/// For each shape of a month, the days that match: bit 1 is the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DayTable([[u32; 7]; 4]);

impl DayTable {
    pub(super) fn new(rule: &DayRule) -> Self {
        let mut table = [[0; 7]; 4];
        for (length, row) in (28..).zip(&mut table) {
            for (first, days) in (0..).zip(row) {
                let month = Shape { length, first };
                let (by_date, by_weekday) = (rule.by_date(month), rule.by_weekday(month));
                *days = if rule.both { by_date & by_weekday } else { by_date | by_weekday };
            }
        }
        Self(table)
    }

    /// The days of a month of `length` days (28 to 31) that starts on weekday `first` (0 = Sunday).
    pub(super) fn days(&self, length: u8, first: u8) -> u32 {
        let row = self.0.get(usize::from(length.wrapping_sub(28)));
        row.and_then(|r| r.get(usize::from(first))).copied().unwrap_or(0)
    }
}

/// What the days of a month depend on.
#[derive(Clone, Copy)]
struct Shape {
    length: u8,
    /// 0 = Sunday.
    first: u8,
}

impl Shape {
    /// Bits 1 to the last day.
    fn all(self) -> u32 {
        (u32::MAX >> (31 - self.length)) & !1
    }

    /// The weekday (0 = Sunday) of a day from 1.
    fn weekday(self, day: u8) -> u8 {
        (self.first + day - 1) % 7
    }

    /// All days of one weekday.
    fn each(self, weekday: u8) -> u32 {
        let first = 1 + (7 + weekday - self.first) % 7;
        // Days 1, 8, 15, 22 and 29, moved to start at `first`.
        (0x2040_8102_u32 << (first - 1)) & self.all()
    }

    /// The Monday to Friday nearest to `day` in this month (OCPS 1.3, section 4.3), if the month has that day.
    fn nearest(self, day: u8) -> u32 {
        if day > self.length {
            return 0;
        }
        let moved = match self.weekday(day) {
            6 if day == 1 => 3,
            6 => day - 1,
            0 if day == self.length => day - 2,
            0 => day + 1,
            _ => day,
        };
        1 << moved
    }

    fn form(self, form: Form) -> u32 {
        match form {
            Form::BeforeLast(n) => (1_u32 << self.length) >> n & self.all(),
            Form::LastWorkday => match self.weekday(self.length) {
                6 => 1 << (self.length - 1),
                0 => 1 << (self.length - 2),
                _ => 1 << self.length,
            },
            Form::Nearest(day) => self.nearest(day),
            Form::Nth(weekday, n) => {
                let first = 1 + (7 + weekday - self.first) % 7;
                1_u32.checked_shl(u32::from(first + 7 * (n - 1))).unwrap_or(0) & self.all()
            }
            Form::LastOf(weekday) => {
                let days = self.each(weekday);
                days & (1_u32 << (31 - days.leading_zeros()))
            }
        }
    }
}

impl DayRule {
    fn by_date(&self, month: Shape) -> u32 {
        let plain = match self.month_days_plain {
            true => u32::try_from(self.month_days).unwrap_or(0) & month.all(),
            false => 0,
        };
        self.month_forms.iter().fold(plain, |days, form| days | month.form(*form))
    }

    fn by_weekday(&self, month: Shape) -> u32 {
        let plain = match self.weekdays_plain {
            true => (0..7).filter(|w| self.weekdays & (1 << w) != 0).fold(0, |days, w| days | month.each(w)),
            false => 0,
        };
        self.weekday_forms.iter().fold(plain, |days, form| days | month.form(*form))
    }
}
