//! The whole expression: nicknames, the split into fields, and the sets that the fields come to.
//!
//! The `cron` crate parses and expands plain fields (values, ranges, steps, lists). It numbers weekdays from 1 =
//! Sunday, stops at the year 2100 and refuses steps beyond a field's largest value, so fields are rewritten to what
//! it takes, and years are expanded here.

use std::ops::Range;
use std::str::FromStr;

use ::cron::TimeUnitSpec;

use super::civil::{Calendar, Clock, Years};
use super::days::DayRule;
use super::error::{CronError, MAX_LENGTH};
use super::field::Field;
use super::item::{FieldText, Parts, Steps};

/// What an expression comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Compiled {
    /// Which seconds of a day.
    pub(super) clock: Clock,
    /// Which days.
    pub(super) calendar: Calendar,
    /// `*` starts the minute or the hour: the schedule follows the clock through its changes.
    pub(super) follows_clock: bool,
}

/// The fields of an expression, for those who want to put it into words.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    pub(super) second: Parts,
    pub(super) minute: Parts,
    pub(super) hour: Parts,
    pub(super) month_day: Parts,
    pub(super) month: Parts,
    pub(super) weekday: Parts,
    /// `+` in front of the weekday field.
    pub(super) both_days: bool,
    pub(super) year: Option<Parts>,
}

/// The five fields that a nickname stands for (OCPS 1.1, section 4.1).
pub(super) fn nickname(text: &str) -> Option<&'static str> {
    Some(match text {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        _ => return None,
    })
}

/// Whether any field has an `H`.
pub(super) fn uses_hash(text: &str) -> bool {
    tokens(text)
        .iter()
        .flat_map(|(_, field)| field.split(','))
        .any(|item| super::item::is_hash(item.strip_prefix('+').unwrap_or(item)))
}

/// Reads an expression.
pub(super) fn compile(text: &str, seed: Option<u64>) -> Result<Compiled, CronError> {
    let fields = fields(text, seed)?;
    let sets = sets(&fields, text)?;
    let day_rule = DayRule {
        month_days: mask(sets.days_of_month()),
        weekdays: narrow(mask(sets.days_of_week()) >> 1),
        month_forms: fields.month_day.forms.clone(),
        weekday_forms: fields.weekday.forms.clone(),
        both: fields.both_days || fields.month_day.star || fields.weekday.star,
        month_days_plain: !fields.month_day.spans.is_empty(),
        weekdays_plain: !fields.weekday.spans.is_empty(),
    };
    let calendar = Calendar::new(&day_rule, narrow(mask(sets.months())), years(fields.year.as_ref()));
    if let Some(why) = calendar.emptiness() {
        return Err(CronError::NeverFires { text: text.trim_matches(BLANKS).to_owned(), why, span: day_span(text) });
    }
    Ok(Compiled {
        clock: Clock {
            seconds: mask(sets.seconds()),
            minutes: mask(sets.minutes()),
            hours: narrow(mask(sets.hours())),
        },
        calendar,
        follows_clock: fields.minute.star || fields.hour.star,
    })
}

/// Reads the fields, each by itself.
pub(super) fn fields(text: &str, seed: Option<u64>) -> Result<Fields, CronError> {
    if text.len() > MAX_LENGTH {
        return Err(CronError::TooLong { length: text.len() });
    }
    check_characters(text)?;
    let mut found = tokens(text);
    let Some((first_at, first)) = found.first().copied() else {
        return Err(CronError::Empty);
    };
    let span = whole_span(&found);
    let mut expanded = None;
    if first.starts_with('@') {
        if first == "@reboot" && found.len() == 1 {
            return Err(CronError::Reboot { span });
        }
        expanded = nickname(first).filter(|_| found.len() == 1);
        let Some(five) = expanded else {
            return Err(CronError::Nickname { text: text.get(first_at..span.end).unwrap_or(first).to_owned(), span });
        };
        found = tokens(five);
    }
    let Some(names) = Field::of_expression(found.len()) else {
        return Err(CronError::FieldCount { found: found.len(), span });
    };
    let mut fields = Fields::default();
    if found.len() == 5 {
        fields.second.spans.push(Steps { low: 0, high: 0, step: 1 });
    }
    for (&field, &(offset, text)) in names.iter().zip(&found) {
        let mut field_text = FieldText {
            field,
            text,
            // A nickname's fields stand nowhere in the text, and are never wrong.
            offset: if expanded.is_some() { 0 } else { offset },
            seed,
        };
        if let (Field::DayOfWeek, Some(rest)) = (field, text.strip_prefix('+')) {
            fields.both_days = true;
            field_text.text = rest;
            field_text.offset += 1;
        }
        let parts = field_text.parse()?;
        match field {
            Field::Second => fields.second = parts,
            Field::Minute => fields.minute = parts,
            Field::Hour => fields.hour = parts,
            Field::DayOfMonth => fields.month_day = parts,
            Field::Month => fields.month = parts,
            Field::DayOfWeek => fields.weekday = parts,
            Field::Year => fields.year = Some(parts),
        }
    }
    Ok(fields)
}

/// OCPS 1.0, section 4.3: space and tab, nothing else, separate fields.
const BLANKS: [char; 2] = [' ', '\t'];

/// The fields with the byte each starts at.
fn tokens(text: &str) -> Vec<(usize, &str)> {
    split(text, |c| BLANKS.contains(&c))
}

fn split(text: &str, blank: impl Fn(char) -> bool) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut offset = 0;
    for piece in text.split(blank) {
        if !piece.is_empty() {
            found.push((offset, piece));
        }
        offset +=
            piece.len() + text.get(offset + piece.len()..).and_then(|r| r.chars().next()).map_or(0, char::len_utf8);
    }
    found
}

fn whole_span(found: &[(usize, &str)]) -> Range<usize> {
    let start = found.first().map_or(0, |(at, _)| *at);
    let end = found.last().map_or(start, |(at, text)| at + text.len());
    start..end
}

/// From the day-of-month field to the end: the fields that can exclude each other.
fn day_span(text: &str) -> Range<usize> {
    let found = tokens(text);
    let whole = whole_span(&found);
    let first = match found.len() {
        5 => 2,
        6 | 7 => 3,
        _ => 0,
    };
    found.get(first).map_or(whole.start, |(at, _)| *at)..whole.end
}

/// Refuses look-alikes of spaces and signs, and everything else that no expression has, before they are mistaken
/// for a part of a field.
fn check_characters(text: &str) -> Result<(), CronError> {
    let wrong = text.char_indices().find(|(_, c)| !(c.is_ascii_graphic() || BLANKS.contains(c)));
    let Some((at, found)) = wrong else {
        return Ok(());
    };
    // A wrong space still shows where the user meant a field to end.
    let is_space = |c: char| c.is_whitespace() || c == '\u{200b}' || c == '\u{feff}';
    let meant = split(text, is_space);
    let position = meant.iter().filter(|(start, _)| *start <= at).count().max(1);
    Err(CronError::Character {
        field: Field::of_expression(meant.len()).and_then(|f| f.get(position - 1)).copied(),
        position,
        found,
        span: at..at + found.len_utf8(),
    })
}

/// Has the `cron` crate expand the plain parts. A field without any is left open, and its set is not used.
fn sets(fields: &Fields, text: &str) -> Result<::cron::Schedule, CronError> {
    let plain = [
        listing(&fields.second.spans, Field::Second),
        listing(&fields.minute.spans, Field::Minute),
        listing(&fields.hour.spans, Field::Hour),
        listing(&fields.month_day.spans, Field::DayOfMonth),
        listing(&fields.month.spans, Field::Month),
        listing(&fields.weekday.spans, Field::DayOfWeek),
    ]
    .join(" ");
    // Everything in it was checked, so this cannot fail; and if the crate ever changes its mind, the user gets a
    // refusal instead of a panic.
    ::cron::Schedule::from_str(&plain).map_err(|_| CronError::NeverFires {
        text: text.to_owned(),
        why: "the cron parser refuses it",
        span: 0..text.len(),
    })
}

/// A field as the `cron` crate reads it.
fn listing(spans: &[Steps], field: Field) -> String {
    if spans.is_empty() {
        return "*".to_owned();
    }
    let items: Vec<String> = spans.iter().map(|s| item(*s, field)).collect();
    items.join(",")
}

fn item(steps: Steps, field: Field) -> String {
    // Sunday is 1 there. As the end of a range it is one past Saturday, which the crate has no number for.
    if field == Field::DayOfWeek {
        let days: Vec<String> = steps.values().map(|d| (d % 7 + 1).to_string()).collect();
        return days.join(",");
    }
    let Steps { low, high, step } = steps;
    match step {
        1 if low == high => low.to_string(),
        1 => format!("{low}-{high}"),
        // A step that leaves the range at once, which the crate may refuse.
        _ if step > high - low => low.to_string(),
        _ => format!("{low}-{high}/{step}"),
    }
}

/// The crate's ordinals as bits.
fn mask(set: &impl TimeUnitSpec) -> u64 {
    set.iter().fold(0, |bits, ordinal| bits | 1_u64.checked_shl(ordinal).unwrap_or(0))
}

/// Sets of hours, months and days fit 32 bits.
fn narrow(mask: u64) -> u32 {
    u32::try_from(mask & u64::from(u32::MAX)).unwrap_or(0)
}

fn years(parts: Option<&Parts>) -> Option<Years> {
    let parts = parts.filter(|p| !p.all)?;
    Some(Years::new(parts.spans.iter().flat_map(|s| s.values())))
}
