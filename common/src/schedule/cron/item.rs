//! One field's text to its parts: values, ranges and steps for the `cron` crate, and the forms it does not know.
//!
//! This is where malformed text is refused. The crate behind it is more lenient in some places and stricter in
//! others, so nothing reaches it that this module has not understood.

use std::ops::Range;

use super::error::{CronError, Fault};
use super::field::Field;
use crate::schedule::spread::{mix, reduce};

/// What one field says.
#[derive(Clone, Debug, Default)]
pub(super) struct Parts {
    /// Its values, ranges and steps, bounds checked.
    pub(super) spans: Vec<Steps>,
    /// The forms that depend on the month.
    pub(super) forms: Vec<Form>,
    /// The text starts with `*` (or is `?`, or `H/n`, which is `*/n` with another phase). Debian's cron decides by
    /// that first character alone whether a field restricts its days and whether a job follows the clock.
    pub(super) star: bool,
    /// Every value: `*` or `?`, and nothing else.
    pub(super) all: bool,
}

/// `low`, and every `step` on from there, up to `high`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Steps {
    pub(super) low: u16,
    pub(super) high: u16,
    pub(super) step: u16,
}

impl Steps {
    fn one(value: u16) -> Self {
        Self { low: value, high: value, step: 1 }
    }

    pub(super) fn values(self) -> impl Iterator<Item = u16> {
        (self.low..=self.high).step_by(usize::from(self.step.max(1)))
    }
}

/// A day that is found from the shape of its month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `L` (0), `L-n`: so many days before the last of the month.
    BeforeLast(u8),
    /// `LW`: the last Monday to Friday of the month.
    LastWorkday,
    /// `nW`: the Monday to Friday nearest to a day, within its month.
    Nearest(u8),
    /// `w#n`: the nth weekday (0 = Sunday) of the month.
    Nth(u8, u8),
    /// `wL`, `w#L`: the last such weekday of the month.
    LastOf(u8),
}

/// A field's text, with what is needed to complain about it and to hash for it.
#[derive(Clone, Copy)]
pub(super) struct FieldText<'a> {
    pub(super) field: Field,
    pub(super) text: &'a str,
    /// Where the text starts in the expression.
    pub(super) offset: usize,
    /// What `H` is the hash of.
    pub(super) seed: Option<u64>,
}

impl<'a> FieldText<'a> {
    /// Reads the field.
    pub(super) fn parse(self) -> Result<Parts, CronError> {
        let mut parts = Parts {
            star: self.text.starts_with('*') || self.text == "?" || self.text.starts_with("H/"),
            all: self.text == "*" || self.text == "?",
            ..Parts::default()
        };
        let listed = self.text.contains(',');
        let mut offset = self.offset;
        for item in self.text.split(',') {
            let item_text = Self { text: item, offset, ..self };
            if item.is_empty() {
                return Err(self.refuse(Fault::EmptyListItem));
            }
            item_text.item(listed, &mut parts)?;
            offset += item.len() + 1;
        }
        Ok(parts)
    }

    /// Reads one part of a list.
    fn item(self, listed: bool, parts: &mut Parts) -> Result<(), CronError> {
        let text = self.text;
        if text.contains('+') {
            return Err(self.refuse(Fault::Plus));
        }
        if text.contains('?') {
            if text != "?" || listed || !self.field.is_day() {
                return Err(self.refuse(Fault::QuestionMark));
            }
            parts.spans.push(self.whole());
            return Ok(());
        }
        if is_hash(text) {
            parts.spans.push(self.hash()?);
            return Ok(());
        }
        if let Some(form) = self.form(listed)? {
            parts.forms.push(form);
            return Ok(());
        }
        parts.spans.push(self.steps()?);
        Ok(())
    }

    /// The forms of L, W and #, or `None` when the text is none of them.
    fn form(self, listed: bool) -> Result<Option<Form>, CronError> {
        let nearest = self.text.strip_suffix('W').is_some_and(|d| d == "L" || number(d).is_some());
        match self.field {
            Field::DayOfMonth => self.month_day_form(listed),
            _ if nearest => Err(self.refuse(Fault::Nearest)),
            Field::DayOfWeek => self.weekday_form(),
            _ if self.text.contains('#') => Err(self.refuse(Fault::Nth)),
            _ if self.text == "L" || self.text == "LW" => Err(self.refuse(Fault::Last {
                right: "it in the day-of-month field, or behind a weekday in the day-of-week field",
            })),
            _ => Ok(None),
        }
    }

    fn month_day_form(self, listed: bool) -> Result<Option<Form>, CronError> {
        let text = self.text;
        if text.contains('#') {
            return Err(self.refuse(Fault::Nth));
        }
        let nearest = text.strip_suffix('W').filter(|d| *d == "L" || !has_letters(d));
        if let Some(day) = nearest {
            // OCPS 1.3, section 4.3: a modifier of a single day, not for ranges or lists.
            if listed {
                return Err(self.refuse(Fault::Nearest));
            }
            if day == "L" {
                return Ok(Some(Form::LastWorkday));
            }
            let Some(day) = number(day) else {
                return Err(self.refuse(Fault::Nearest));
            };
            return Ok(Some(Form::Nearest(self.narrow(self.in_range(day)?))));
        }
        let Some(rest) = text.strip_prefix('L') else {
            return Ok(None);
        };
        if rest.is_empty() {
            return Ok(Some(Form::BeforeLast(0)));
        }
        match rest.strip_prefix('-').and_then(number) {
            Some(n @ 1..=30) => Ok(Some(Form::BeforeLast(self.narrow(n)))),
            _ => Err(self.refuse(Fault::Last { right: "`L`, `L-1` to `L-30`, or `LW`" })),
        }
    }

    fn weekday_form(self) -> Result<Option<Form>, CronError> {
        let text = self.text;
        if let Some((day, nth)) = text.split_once('#') {
            let day = self.weekday(day).ok_or_else(|| self.refuse(Fault::Nth))?;
            return match (nth, number(nth)) {
                ("L", _) => Ok(Some(Form::LastOf(day))),
                (_, Some(n @ 1..=5)) => Ok(Some(Form::Nth(day, self.narrow(n)))),
                _ => Err(self.refuse(Fault::Nth)),
            };
        }
        // No weekday's name ends in L, so a last L is always the form.
        let Some(day) = text.strip_suffix('L') else {
            return Ok(None);
        };
        match self.weekday(day) {
            Some(day) => Ok(Some(Form::LastOf(day))),
            // A word such as JUL is no attempt at the form.
            None if has_letters(day) => Ok(None),
            None => Err(self.refuse(Fault::Last {
                right: "a weekday in front, as in `5L` or `FRIL`, for the last one of the month",
            })),
        }
    }

    /// A value, a range or `*`, with or without a step.
    fn steps(self) -> Result<Steps, CronError> {
        let (base, step) = match self.text.split_once('/') {
            None => (self.text, None),
            Some((base, step)) => (base, Some(step)),
        };
        if base.is_empty() {
            return Err(self.refuse(Fault::StepOfNothing {
                right: format!("`*/{}`", step.filter(|s| number(s).is_some()).unwrap_or("5")),
            }));
        }
        let step = step.map(|s| self.step(s)).transpose()?;
        let range = if base == "*" {
            self.whole()
        } else if base.contains('-') {
            self.range(base)?
        } else {
            let value = self.value(base)?;
            if let Some(step) = step {
                // OCPS 1.0 revision 2, section 6.2: a step needs `*` or a full range.
                return Err(
                    self.refuse(Fault::StepOfValue { right: format!("`{base}-{}/{step}`", self.field.star_max()) })
                );
            }
            Steps::one(value)
        };
        Ok(Steps { step: step.unwrap_or(1), ..range })
    }

    fn range(self, text: &str) -> Result<Steps, CronError> {
        let example = match self.field {
            Field::Month => "APR-SEP",
            Field::DayOfWeek => "MON-FRI",
            Field::Year => "2027-2030",
            _ => "1-5",
        };
        let (from, to) = text.split_once('-').unwrap_or((text, ""));
        if from.is_empty() || to.is_empty() {
            return Err(self.refuse(Fault::HalfRange { example }));
        }
        if to.contains('-') {
            return Err(self.refuse(self.not_understood()));
        }
        let low = self.value(from)?;
        let mut high = self.value(to)?;
        // OCPS 1.0, section 4.2: the name SUN is 0 or 7. Only 7 makes sense at the end of a range.
        if self.field == Field::DayOfWeek && high == 0 && low > 0 && has_letters(to) {
            high = 7;
        }
        if low > high {
            return Err(self.refuse(Fault::Backwards { right: self.forwards(low, high) }));
        }
        Ok(Steps { low, high, step: 1 })
    }

    /// What `low-high` most likely meant: both sides of the wrap, or the other order.
    fn forwards(self, low: u16, high: u16) -> String {
        let (min, max) = (self.field.min(), self.field.max());
        match self.field {
            Field::Year => format!("`{high}-{low}`"),
            // The week wraps through Sunday, whose second name is 7.
            Field::DayOfWeek if high == 0 => format!("`{low}-7`"),
            Field::DayOfWeek if high == 1 => format!("`{low}-7,1`"),
            Field::DayOfWeek => format!("`{low}-7,1-{high}`"),
            _ => format!("`{high}-{low}`, or `{low}-{max},{min}-{high}` for a range across the end"),
        }
    }

    /// `H`, `H(a-b)`, each with or without `/n`.
    fn hash(self) -> Result<Steps, CronError> {
        let fault = || {
            self.refuse(Fault::Hash {
                right: match self.field {
                    Field::Year => "years as numbers: they cannot be hashed".to_owned(),
                    field => format!("`H`, `H({}-{})`, or one of them with a step", field.min(), field.star_max()),
                },
            })
        };
        if self.field == Field::Year {
            return Err(fault());
        }
        let rest = self.text.strip_prefix('H').unwrap_or_default();
        let (within, step) = match rest.split_once('/') {
            None => (rest, None),
            Some((within, step)) => (within, Some(self.step(step)?)),
        };
        let range = if within.is_empty() {
            // The last days of the month are left out, as Jenkins does: the 30th would skip February.
            let high = match self.field {
                Field::DayOfMonth => 28,
                field => field.star_max(),
            };
            Steps { high, ..self.whole() }
        } else {
            let inner = within.strip_prefix('(').and_then(|w| w.strip_suffix(')')).ok_or_else(fault)?;
            if !inner.contains('-') {
                return Err(fault());
            }
            self.range(inner)?
        };
        let Some(seed) = self.seed else {
            return Err(self.refuse(Fault::NeedsSeed));
        };
        let size = range.high - range.low + 1;
        // A step beyond the range would leave some phases without any value.
        let choices = step.map_or(size, |s| s.min(size));
        let low = range.low + self.pick(seed, choices);
        Ok(match step {
            None => Steps::one(low),
            Some(step) => Steps { low, step, ..range },
        })
    }

    /// A stable choice in `0..n`; another one in each field, so that minute and hour are independent.
    fn pick(self, seed: u64, n: u16) -> u16 {
        let salt = match self.field {
            Field::Second => 1,
            Field::Minute => 2,
            Field::Hour => 3,
            Field::DayOfMonth => 4,
            Field::Month => 5,
            Field::DayOfWeek => 6,
            Field::Year => 7,
        };
        u16::try_from(reduce(mix(mix(seed).wrapping_add(salt)), u64::from(n))).unwrap_or(0)
    }

    fn step(self, text: &str) -> Result<u16, CronError> {
        match number(text) {
            None | Some(0) => Err(self.refuse(Fault::Step)),
            Some(step) => Ok(step),
        }
    }

    /// A number or a name.
    fn value(self, text: &str) -> Result<u16, CronError> {
        if let Some(value) = number(text) {
            return self.in_range(value);
        }
        let (names, first) = self.field.names();
        if let Some(value) = (first..).zip(names).find(|(_, n)| n.eq_ignore_ascii_case(text)) {
            return Ok(value.0);
        }
        let takes = self.field.takes();
        Err(self.refuse(match text.bytes().all(|b| b.is_ascii_alphabetic()) {
            true => Fault::Word { takes },
            false => self.not_understood(),
        }))
    }

    fn in_range(self, value: u16) -> Result<u16, CronError> {
        let takes = self.field.takes();
        match (self.field.min()..=self.field.max()).contains(&value) {
            true => Ok(value),
            false => Err(self.refuse(Fault::OutOfRange { takes })),
        }
    }

    /// A weekday as 0 to 6, or `None` for anything else.
    fn weekday(self, text: &str) -> Option<u8> {
        self.value(text).ok().map(|d| self.narrow(d % 7))
    }

    /// Values of day fields fit a byte: 31 at most.
    fn narrow(self, value: u16) -> u8 {
        u8::try_from(value).unwrap_or(u8::MAX)
    }

    fn whole(self) -> Steps {
        Steps { low: self.field.min(), high: self.field.star_max(), step: 1 }
    }

    fn not_understood(self) -> Fault {
        Fault::NotUnderstood { takes: self.field.takes() }
    }

    fn refuse(self, fault: Fault) -> CronError {
        let span: Range<usize> = self.offset..self.offset + self.text.len();
        CronError::Item { field: self.field, text: self.text.to_owned(), fault, span }
    }
}

/// Whether an item is a form of `H`: no name starts with that letter, so the first one tells.
pub(super) fn is_hash(item: &str) -> bool {
    item.starts_with('H')
}

/// A number of any length; beyond 65535 all are equally out of range.
fn number(text: &str) -> Option<u16> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u16::MAX))
}

fn has_letters(text: &str) -> bool {
    text.bytes().any(|b| b.is_ascii_alphabetic())
}
