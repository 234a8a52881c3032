//! Expressions as data: to be written as text for the engine, and to be matched against a clock without it.

use jiff::civil::{Date, DateTime, Weekday};
use proptest::prelude::*;

#[derive(Clone, Debug)]
pub(crate) enum Item {
    Star,
    StarStep(i8),
    Value(i8),
    Range(i8, i8),
    RangeStep(i8, i8, i8),
}

/// A day that depends on its month.
#[derive(Clone, Debug)]
pub(crate) enum Form {
    Last,
    BeforeLast(i8),
    LastWorkday,
    Nearest(i8),
    Nth(i8, i8),
    LastOf(i8),
}

#[derive(Clone, Debug)]
pub(crate) enum Part {
    Item(Item),
    Form(Form),
}

#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) second: Option<Vec<Item>>,
    pub(crate) minute: Vec<Item>,
    pub(crate) hour: Vec<Item>,
    pub(crate) month_day: Vec<Part>,
    pub(crate) month: Vec<Item>,
    pub(crate) weekday: Vec<Part>,
    pub(crate) plus: bool,
}

impl Item {
    fn text(&self) -> String {
        match self {
            Self::Star => "*".to_owned(),
            Self::StarStep(n) => format!("*/{n}"),
            Self::Value(v) => v.to_string(),
            Self::Range(a, b) => format!("{a}-{b}"),
            Self::RangeStep(a, b, n) => format!("{a}-{b}/{n}"),
        }
    }

    fn has(&self, value: i8, min: i8) -> bool {
        match *self {
            Self::Star => true,
            Self::StarStep(n) => (value - min) % n == 0,
            Self::Value(v) => value == v,
            Self::Range(a, b) => (a..=b).contains(&value),
            Self::RangeStep(a, b, n) => (a..=b).contains(&value) && (value - a) % n == 0,
        }
    }
}

impl Form {
    fn text(&self) -> String {
        match self {
            Self::Last => "L".to_owned(),
            Self::BeforeLast(n) => format!("L-{n}"),
            Self::LastWorkday => "LW".to_owned(),
            Self::Nearest(d) => format!("{d}W"),
            Self::Nth(d, n) => format!("{d}#{n}"),
            Self::LastOf(d) => format!("{d}L"),
        }
    }

    fn has(&self, date: Date) -> bool {
        let works = |d: Date| !matches!(d.weekday(), Weekday::Saturday | Weekday::Sunday);
        let last = date.last_of_month();
        match *self {
            Self::Last => date == last,
            Self::BeforeLast(n) => last.day() - n == date.day(),
            Self::LastWorkday => works(date) && (date.day() + 1..=last.day()).all(|d| !works(on(date, d))),
            Self::Nearest(day) => {
                // The closest by distance within the month, in the direction that the weekend suggests.
                day <= last.day()
                    && (1..=last.day())
                        .map(|d| on(date, d))
                        .filter(|d| works(*d))
                        .min_by_key(|d| (d.day() - day).abs())
                        .is_some_and(|nearest| nearest == date)
            }
            Self::Nth(weekday, n) => is(date, weekday) && (date.day() + 6) / 7 == n,
            Self::LastOf(weekday) => is(date, weekday) && date.day() + 7 > last.day(),
        }
    }
}

fn on(date: Date, day: i8) -> Date {
    Date::new(date.year(), date.month(), day).unwrap()
}

fn is(date: Date, weekday: i8) -> bool {
    date.weekday().to_sunday_zero_offset() == weekday % 7
}

impl Spec {
    pub(crate) fn text(&self) -> String {
        let items = |items: &[Item]| items.iter().map(Item::text).collect::<Vec<_>>().join(",");
        let parts = |parts: &[Part]| {
            let texts = parts.iter().map(|p| match p {
                Part::Item(item) => item.text(),
                Part::Form(form) => form.text(),
            });
            texts.collect::<Vec<_>>().join(",")
        };
        let plus = if self.plus { "+" } else { "" };
        let second = self.second.as_ref().map(|s| items(s) + " ").unwrap_or_default();
        format!(
            "{second}{} {} {} {} {plus}{}",
            items(&self.minute),
            items(&self.hour),
            parts(&self.month_day),
            items(&self.month),
            parts(&self.weekday),
        )
    }

    /// Makes it run every day, in the hours before six, on full minutes.
    pub(crate) fn at_night(&mut self) {
        self.second = None;
        self.month_day = vec![Part::Item(Item::Star)];
        self.month = vec![Item::Star];
        self.weekday = vec![Part::Item(Item::Star)];
        self.plus = false;
        for item in &mut self.hour {
            match item {
                Item::Star | Item::StarStep(_) => {}
                Item::Value(v) => *v %= 6,
                Item::Range(a, b) | Item::RangeStep(a, b, _) => {
                    *a %= 4;
                    *b = (*b % 6).max(*a);
                }
            }
        }
    }

    /// Debian's rule: `*` at the start of minute or hour.
    pub(crate) fn follows_clock(&self) -> bool {
        let star = |items: &[Item]| matches!(items.first(), Some(Item::Star | Item::StarStep(_)));
        star(&self.minute) || star(&self.hour)
    }

    pub(crate) fn matches(&self, at: DateTime) -> bool {
        let any = |items: &[Item], v, min| items.iter().any(|i| i.has(v, min));
        let second = match &self.second {
            Some(items) => any(items, at.second(), 0),
            None => at.second() == 0,
        };
        second && any(&self.minute, at.minute(), 0) && any(&self.hour, at.hour(), 0) && self.matches_day(at.date())
    }

    pub(crate) fn matches_day(&self, date: Date) -> bool {
        let star = |parts: &[Part]| matches!(parts.first(), Some(Part::Item(Item::Star | Item::StarStep(_))));
        let by_date = self.month_day.iter().any(|p| match p {
            Part::Item(item) => item.has(date.day(), 1),
            Part::Form(form) => form.has(date),
        });
        let weekday = date.weekday().to_sunday_zero_offset();
        let by_weekday = self.weekday.iter().any(|p| match p {
            // Both numbers of Sunday; and `*/n` counts 0 to 6.
            Part::Item(item @ (Item::Star | Item::StarStep(_))) => item.has(weekday, 0),
            Part::Item(item) => item.has(weekday, 0) || weekday == 0 && item.has(7, 0),
            Part::Form(form) => form.has(date),
        });
        let both = self.plus || star(&self.month_day) || star(&self.weekday);
        let day = if both { by_date && by_weekday } else { by_date || by_weekday };
        day && self.month.iter().any(|i| i.has(date.month(), 1))
    }
}

fn item(min: i8, max: i8) -> impl Strategy<Value = Item> {
    let range = (min..=max, min..=max).prop_map(|(a, b)| (a.min(b), a.max(b)));
    prop_oneof![
        2 => Just(Item::Star),
        2 => (1..=max).prop_map(Item::StarStep),
        6 => (min..=max).prop_map(Item::Value),
        2 => range.clone().prop_map(|(a, b)| Item::Range(a, b)),
        1 => (range, 1..=max).prop_map(|((a, b), n)| Item::RangeStep(a, b, n)),
    ]
}

fn items(min: i8, max: i8) -> impl Strategy<Value = Vec<Item>> {
    prop::collection::vec(item(min, max), 1..3)
}

fn month_day() -> impl Strategy<Value = Vec<Part>> {
    let plain = item(1, 31).prop_map(Part::Item);
    let form = prop_oneof![Just(Form::Last), (1..=30_i8).prop_map(Form::BeforeLast)].prop_map(Part::Form);
    // W stands alone.
    let alone = prop_oneof![Just(Form::LastWorkday), (1..=31_i8).prop_map(Form::Nearest)].prop_map(Part::Form);
    prop_oneof![
        3 => Just(vec![Part::Item(Item::Star)]),
        4 => prop::collection::vec(prop_oneof![3 => plain, 1 => form], 1..3),
        1 => alone.prop_map(|f| vec![f]),
    ]
}

fn weekday() -> impl Strategy<Value = Vec<Part>> {
    let plain = item(0, 7).prop_map(Part::Item);
    let form = prop_oneof![(0..=7_i8, 1..=5_i8).prop_map(|(d, n)| Form::Nth(d, n)), (0..=7_i8).prop_map(Form::LastOf),]
        .prop_map(Part::Form);
    prop_oneof![
        3 => Just(vec![Part::Item(Item::Star)]),
        4 => prop::collection::vec(prop_oneof![3 => plain, 1 => form], 1..3),
    ]
}

/// Any expression without nicknames, years and H.
pub(crate) fn spec() -> impl Strategy<Value = Spec> {
    let month = prop_oneof![3 => Just(vec![Item::Star]), 2 => items(1, 12)];
    let second = prop::option::weighted(0.2, items(0, 59));
    (second, items(0, 59), items(0, 23), month_day(), month, weekday(), prop::bool::weighted(0.15)).prop_map(
        |(second, minute, hour, month_day, month, weekday, plus)| Spec {
            second,
            minute,
            hour,
            month_day,
            month,
            weekday,
            plus,
        },
    )
}
