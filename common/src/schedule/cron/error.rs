//! Why an expression is refused.
//!
//! Every message is one sentence that names the field, what was found and what would be right; the span lets a
//! caller draw a caret under it.

use std::ops::Range;

use super::field::Field;

/// Why a text is not an expression. Spans are byte ranges of that text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CronError {
    /// Nothing was written.
    #[error("the expression is empty: write five fields (minute hour day-of-month month day-of-week) or @daily")]
    Empty,
    /// Far longer than any expression has reason to be.
    #[error("the expression is {length} bytes long: {MAX_LENGTH} are enough for any")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// Whitespace that looks right and is not, or a character that no expression has.
    #[error("{}: {}", place(*.field, *.position), character(*.found))]
    Character {
        /// The field it stands in or follows, when the number of fields allows to say.
        field: Option<Field>,
        /// The number of that field, counted from 1.
        position: usize,
        /// The character.
        found: char,
        /// Where it stands.
        span: Range<usize>,
    },
    /// Too few or too many fields.
    #[error("the expression has {found} {}: write five (minute hour day-of-month month day-of-week), six (seconds first) or seven (year last)", fields(*.found))]
    FieldCount {
        /// How many were found.
        found: usize,
        /// All of them.
        span: Range<usize>,
    },
    /// An unknown word behind an `@`.
    #[error(
        "`{text}` is not a nickname: there are @hourly, @daily, @midnight, @weekly, @monthly, @yearly and @annually"
    )]
    Nickname {
        /// What was written.
        text: String,
        /// Where.
        span: Range<usize>,
    },
    /// `@reboot`: a scheduler of many hosts has no boot to wait for.
    #[error("`@reboot` names no time: a scheduler that runs on many hosts has no boot of its own to wait for")]
    Reboot {
        /// Where.
        span: Range<usize>,
    },
    /// A part of a field that does not say what it should.
    #[error("{field} field: `{text}` {fault}")]
    Item {
        /// The field.
        field: Field,
        /// The part of it that is wrong; the whole field for an empty part of a list.
        text: String,
        /// What is wrong, and what would be right.
        fault: Fault,
        /// Where the part stands.
        span: Range<usize>,
    },
    /// Well-formed, and no calendar ever has such a day.
    #[error("`{text}` never fires: {why}")]
    NeverFires {
        /// The expression.
        text: String,
        /// What never comes.
        why: &'static str,
        /// The fields that exclude each other.
        span: Range<usize>,
    },
}

/// What is wrong with a part of a field. Displays as the end of a sentence that starts with that part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// A comma with nothing on one side.
    #[error("has a comma with nothing beside it: write values with one comma between each two")]
    EmptyListItem,
    /// A number outside the field's range.
    #[error("is out of range: the field takes {takes}")]
    OutOfRange {
        /// What the field takes.
        takes: &'static str,
    },
    /// A range whose start is after its end.
    #[error("is a range that runs backwards: write {right}")]
    Backwards {
        /// The two halves of the wrap-around, or the values in order.
        right: String,
    },
    /// A range without a start or an end.
    #[error("is half a range: write both ends, as in `{example}`")]
    HalfRange {
        /// A range of this field.
        example: &'static str,
    },
    /// A step without anything in front.
    #[error("has a step of nothing: write {right}")]
    StepOfNothing {
        /// The step over the whole field.
        right: String,
    },
    /// A step behind a single value.
    #[error("has a step of a single value: write {right}")]
    StepOfValue {
        /// A range from that value.
        right: String,
    },
    /// A step that is zero or no number.
    #[error("has a step that is not a whole number from 1: write one, as in `*/5`")]
    Step,
    /// Letters that are no name of the field.
    #[error("is not a name or number of the field, which takes {takes}")]
    Word {
        /// What the field takes.
        takes: &'static str,
    },
    /// `?` outside the day fields, or beside something else.
    #[error("has a `?`, which may only stand alone in the day-of-month or day-of-week field: write `*`")]
    QuestionMark,
    /// `+` anywhere but at the start of the weekday field.
    #[error("has a `+`, which may only start the day-of-week field: write it as in `+MON`")]
    Plus,
    /// `L` or `LW` or `L-n` or `nL` where it has no meaning or in a wrong form.
    #[error("is not a form of L: write {right}")]
    Last {
        /// The forms that the field has.
        right: &'static str,
    },
    /// `W` in a wrong form, in a list, or on another field.
    #[error("is not a form of W: write one day alone, as in `15W`, or `LW`, in the day-of-month field")]
    Nearest,
    /// `#` in a wrong form or on another field.
    #[error("is not a form of #: write a weekday and 1 to 5 or L, as in `MON#1`, in the day-of-week field")]
    Nth,
    /// `H` in a wrong form or in the year field.
    #[error("is not a form of H: write {right}")]
    Hash {
        /// The forms that the field has.
        right: String,
    },
    /// `H` where no job is known to take the hash of.
    #[error("needs a seed: H stands for a hash of tenant and job, so name both")]
    NeedsSeed,
    /// Anything else.
    #[error("is not understood: the field takes {takes}, `*`, ranges, steps and lists of them")]
    NotUnderstood {
        /// What the field takes.
        takes: &'static str,
    },
}

/// Longer texts are refused before they are looked at.
pub(super) const MAX_LENGTH: usize = 1024;

impl CronError {
    /// The bytes of the expression that are wrong, to draw a caret under. `None` when it is the whole.
    #[must_use]
    pub fn span(&self) -> Option<Range<usize>> {
        match self {
            Self::Empty | Self::TooLong { .. } => None,
            Self::Character { span, .. }
            | Self::FieldCount { span, .. }
            | Self::Nickname { span, .. }
            | Self::Reboot { span }
            | Self::Item { span, .. }
            | Self::NeverFires { span, .. } => Some(span.clone()),
        }
    }

    /// The field that is wrong, when it is one.
    #[must_use]
    pub fn field(&self) -> Option<Field> {
        match self {
            Self::Character { field, .. } => *field,
            Self::Item { field, .. } => Some(*field),
            _ => None,
        }
    }

    /// Advice beyond the message: the form that the user most likely meant.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Character { .. } => {
                Some("text copied from a web page or a word processor often carries such characters".to_owned())
            }
            Self::FieldCount { found: 4, .. } => Some("is a field missing? `* * * * *` is every minute".to_owned()),
            Self::FieldCount { .. } => None,
            Self::Nickname { text, .. } => nickname_help(text),
            Self::Reboot { .. } => Some("to run soon after a start, trigger the job by hand".to_owned()),
            Self::Item { field, text, fault, .. } => item_help(*field, text, fault),
            Self::NeverFires { .. } => Some("for the last day of a month write `L`".to_owned()),
            Self::Empty | Self::TooLong { .. } => None,
        }
    }
}

fn nickname_help(text: &str) -> Option<String> {
    let first = text.split([' ', '\t']).next().unwrap_or(text);
    let lower = first.to_ascii_lowercase();
    if super::parse::nickname(&lower).is_some() {
        return Some(match first == lower {
            true => format!("a nickname stands alone: write `{lower}`"),
            false => format!("nicknames are written in lower case: `{lower}`"),
        });
    }
    (lower == "@every").then(|| "for a fixed delay use `every: 5m` instead of `cron:`".to_owned())
}

fn item_help(field: Field, text: &str, fault: &Fault) -> Option<String> {
    match fault {
        Fault::OutOfRange { .. } => match (field, text) {
            (Field::Minute | Field::Second, "60") => Some("the next full one is 0".to_owned()),
            (Field::Hour, "24") => Some("midnight is hour 0".to_owned()),
            _ => None,
        },
        Fault::Word { .. } => word_help(field, text),
        Fault::NeedsSeed => Some("`next` takes --tenant and --job".to_owned()),
        Fault::Last { .. } if field == Field::DayOfWeek && text == "L" => Some(
            "Quartz reads a lone L as Saturday: write `SAT` for that, `SATL` for the last one of a month".to_owned(),
        ),
        _ => None,
    }
}

/// `Monday` was meant as `MON`, `l` as `L`.
fn word_help(field: Field, text: &str) -> Option<String> {
    let upper = text.to_ascii_uppercase();
    if field == Field::DayOfMonth && (upper == "L" || upper == "LW" || upper.ends_with('W')) && upper != text {
        return Some(format!("L and W are written in capitals: `{upper}`"));
    }
    let start = upper.get(..3)?;
    let (names, _) = field.names();
    (text.len() > 3 && text.bytes().all(|b| b.is_ascii_alphabetic()) && names.contains(&start))
        .then(|| format!("names have three letters: `{start}`"))
}

fn fields(count: usize) -> &'static str {
    if count == 1 { "field" } else { "fields" }
}

fn place(field: Option<Field>, position: usize) -> String {
    match field {
        Some(field) => format!("{field} field"),
        None => format!("field {position}"),
    }
}

/// Names a character that a reader could not tell from another.
fn character(found: char) -> String {
    let code = u32::from(found);
    let name = match found {
        '\n' => "a line feed",
        '\r' => "a carriage return",
        '\u{a0}' => "a no-break space",
        '\u{202f}' => "a narrow no-break space",
        '\u{3000}' => "an ideographic space",
        '\u{200b}' => "a zero-width space",
        '\u{feff}' => "a byte-order mark",
        '\u{2013}' => "an en dash",
        '\u{2212}' => "a minus sign",
        c if c.is_whitespace() => "a space of another kind",
        c if c.is_control() => "a control character",
        _ => "",
    };
    let what = match name {
        "" => format!("`{found}` (U+{code:04X}) has no meaning in an expression"),
        name => format!("{name} (U+{code:04X}) stands where it has no meaning"),
    };
    let right = match found {
        '\u{2013}' | '\u{2212}' => "write ranges with `-`",
        c if c.is_whitespace() || name == "a zero-width space" => "separate fields with spaces or tabs",
        _ => "write digits, names, and the signs * , - / ? # + L W H",
    };
    format!("{what}: {right}")
}
