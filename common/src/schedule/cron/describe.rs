//! A schedule in words: `at 02:00 every day`, `every 15 minutes on Monday to Friday`.
//!
//! Words follow the fields, not their effect: `0 12 1 * MON` is described by both of its day fields. Text for people,
//! with no promise to stay the same.

use super::field::{Field, MONTHS, WEEKDAYS};
use super::item::{Form, Parts, Steps};
use super::parse::Fields;

/// Up to so many times of a day are listed; more are described by their fields.
const LISTED_TIMES: usize = 6;

pub(super) fn describe(fields: &Fields) -> String {
    let mut words = vec![time(fields)];
    let days = days(fields);
    // "every minute every day" says nothing that "every minute" does not.
    if days != EVERY_DAY || every(&fields.hour, 24).is_none() {
        words.push(days);
    }
    let mut words = words.join(" ");
    if !fields.month.all {
        words.push_str(&format!(", in {}", list(&fields.month, Field::Month)));
    }
    if let Some(years) = fields.year.as_ref().filter(|y| !y.all) {
        words.push_str(&format!(", in {}", list(years, Field::Year)));
    }
    words
}

const EVERY_DAY: &str = "every day";

fn time(fields: &Fields) -> String {
    let Fields { second, minute, hour, .. } = fields;
    if let Some(times) = clock_times(fields) {
        return format!("at {}", join(&times, "and"));
    }
    let on_the_minute = points(second).is_some_and(|s| s == [0]);
    let in_hours = match hour.all {
        true => String::new(),
        false => format!(" during {}", counted("hour", hour, Field::Hour)),
    };
    if on_the_minute {
        if let Some(n) = every(minute, 60) {
            return format!("{}{in_hours}", each(n, "minute"));
        }
        return format!("at {} of {}", counted("minute", minute, Field::Minute), hours(hour));
    }
    let seconds = match every(second, 60) {
        Some(n) => each(n, "second"),
        None => format!("at {}", counted("second", second, Field::Second)),
    };
    match (minute.all, every(minute, 60)) {
        (true, _) if every(second, 60).is_some() => format!("{seconds}{in_hours}"),
        (true, _) => format!("{seconds} of every minute{in_hours}"),
        (false, Some(n)) => format!("{seconds} of {}{in_hours}", each(n, "minute")),
        (false, None) => {
            let minutes = counted("minute", minute, Field::Minute);
            format!("{seconds} of {minutes} of {}", hours(hour))
        }
    }
}

fn hours(hour: &Parts) -> String {
    match every(hour, 24) {
        Some(1) => "every hour".to_owned(),
        Some(n) => format!("every {} hour", ordinal(n)),
        None => counted("hour", hour, Field::Hour),
    }
}

/// All times of a day, when they are few: `02:00`, or `02:00:30` where seconds matter.
fn clock_times(fields: &Fields) -> Option<Vec<String>> {
    let (seconds, minutes, hours) = (points(&fields.second)?, points(&fields.minute)?, points(&fields.hour)?);
    if seconds.len() * minutes.len() * hours.len() > LISTED_TIMES {
        return None;
    }
    let mut times = Vec::new();
    for hour in &hours {
        for minute in &minutes {
            for second in &seconds {
                times.push(match seconds == [0] {
                    true => format!("{hour:02}:{minute:02}"),
                    false => format!("{hour:02}:{minute:02}:{second:02}"),
                });
            }
        }
    }
    Some(times)
}

/// The values of a field that lists single ones, in order.
fn points(parts: &Parts) -> Option<Vec<u16>> {
    let mut values = parts.spans.iter().map(|s| (s.low == s.high).then_some(s.low)).collect::<Option<Vec<_>>>()?;
    values.sort_unstable();
    values.dedup();
    Some(values)
}

/// The step of a field that is a `*` with a step which divides it evenly; 1 for `*`.
fn every(parts: &Parts, size: u16) -> Option<u16> {
    match parts.spans.as_slice() {
        [Steps { low: 0, high, step }] if *high + 1 == size && size.is_multiple_of(*step) => Some(*step),
        _ => None,
    }
}

fn each(n: u16, unit: &str) -> String {
    match n {
        1 => format!("every {unit}"),
        n => format!("every {n} {unit}s"),
    }
}

fn days(fields: &Fields) -> String {
    let (dates, weekdays) = (&fields.month_day, &fields.weekday);
    match (dates.all, weekdays.all) {
        (true, true) => EVERY_DAY.to_owned(),
        (false, true) => format!("on {}", dates_in_words(dates)),
        (true, false) => format!("on {}", list(weekdays, Field::DayOfWeek)),
        (false, false) => {
            let (dates, on) = (dates_in_words(dates), list(weekdays, Field::DayOfWeek));
            match fields.both_days || fields.month_day.star || weekdays.star {
                true => format!("on {dates} if it is {on}"),
                false => format!("on {dates} and on {on}"),
            }
        }
    }
}

fn dates_in_words(dates: &Parts) -> String {
    let mut words = Vec::new();
    if !dates.spans.is_empty() {
        words.push(format!("{} of the month", counted("day", dates, Field::DayOfMonth)));
    }
    words.extend(dates.forms.iter().map(|f| form(*f)));
    join(&words, "and")
}

fn form(form: Form) -> String {
    match form {
        Form::BeforeLast(0) => "the last day of the month".to_owned(),
        Form::BeforeLast(1) => "the day before the last of the month".to_owned(),
        Form::BeforeLast(n) => format!("the day {n} days before the last of the month"),
        Form::LastWorkday => "the last Monday to Friday of the month".to_owned(),
        Form::Nearest(day) => format!("the Monday to Friday nearest to the {}", ordinal(u16::from(day))),
        Form::Nth(weekday, n) => format!("the {} {} of the month", ordinal(u16::from(n)), weekday_name(weekday.into())),
        Form::LastOf(weekday) => format!("the last {} of the month", weekday_name(weekday.into())),
    }
}

/// `hour 9`, `hours 9 to 17`, `every 5th minute from 3 to 59`.
fn counted(unit: &str, parts: &Parts, field: Field) -> String {
    let (even, stepped): (Vec<Steps>, Vec<Steps>) = parts.spans.iter().partition(|s| s.step == 1);
    let mut words = Vec::new();
    if !even.is_empty() {
        let plain: Vec<String> = even.iter().map(|s| span(*s, field)).collect();
        let one = matches!(even.as_slice(), [s] if s.low == s.high);
        let plural = if one { "" } else { "s" };
        words.push(format!("{unit}{plural} {}", join(&plain, "and")));
    }
    words.extend(stepped.iter().map(|s| {
        let Steps { low, high, step } = *s;
        format!("every {} {unit} from {low} to {high}", ordinal(step))
    }));
    join(&words, "and")
}

/// The parts of a field: `1, 5 to 7 and every 2nd from 10 to 20`.
fn list(parts: &Parts, field: Field) -> String {
    let spans = parts.spans.iter().map(|s| span(*s, field));
    let forms = parts.forms.iter().map(|f| form(*f));
    join(&spans.chain(forms).collect::<Vec<_>>(), "and")
}

fn span(steps: Steps, field: Field) -> String {
    let Steps { low, high, step } = steps;
    let name = |v| value(v, field);
    match step {
        1 if low == high => name(low),
        1 => format!("{} to {}", name(low), name(high)),
        n => format!("every {} from {} to {}", ordinal(n), name(low), name(high)),
    }
}

fn value(value: u16, field: Field) -> String {
    match field {
        Field::Month => month_name(value),
        Field::DayOfWeek => weekday_name(value),
        _ => value.to_string(),
    }
}

fn month_name(month: u16) -> String {
    const REST: [&str; 12] = ["uary", "ruary", "ch", "il", "", "e", "y", "ust", "tember", "ober", "ember", "ember"];
    let at = usize::from(month).wrapping_sub(1);
    name(MONTHS.get(at), REST.get(at))
}

fn weekday_name(weekday: u16) -> String {
    const REST: [&str; 7] = ["day", "day", "sday", "nesday", "rsday", "day", "urday"];
    let at = usize::from(weekday % 7);
    name(WEEKDAYS.get(at), REST.get(at))
}

/// `MON` and `day` make `Monday`.
fn name(short: Option<&&str>, rest: Option<&&str>) -> String {
    let short = short.copied().unwrap_or_default();
    let (first, second) = short.split_at_checked(1).unwrap_or_default();
    format!("{first}{}{}", second.to_ascii_lowercase(), rest.copied().unwrap_or_default())
}

fn ordinal(n: u16) -> String {
    let suffix = match (n % 100, n % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    format!("{n}{suffix}")
}

/// `a, b and c`.
fn join(words: &[String], last: &str) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., end] => format!("{} {last} {end}", rest.join(", ")),
    }
}
