//! What becomes of due times that cannot simply run: `overlap`, `catch_up`, `expires`, `on_blackout`, `pause_after`.
//!
//! Invariant: what has no effect is warned of and left out, so that it does not make equal definitions differ.

use std::time::Duration;

use super::fields::{self, Fields};
use super::node::{Entry, Value};
use super::report::Report;
use super::timing::Timing;
use crate::definition::{CatchUp, Definition, Expiry, OnBlackout, Overlap};
use crate::suggest;

/// The least time in which a run must start: executors that missed a hint look every second.
const LEAST: Duration = Duration::from_secs(1);
/// The most items of a job that wait for each other.
const MOST_BUFFERED: u32 = 10_000;
/// The most dead runs in a row before a job pauses itself.
const MOST_DEAD: u32 = 1_000;

const OVERLAPS: [(&str, Overlap); 5] = [
    ("skip", Overlap::Skip),
    ("buffer_one", Overlap::BufferOne),
    ("buffer_all", Overlap::BufferAll),
    ("allow", Overlap::Allow),
    ("cancel_previous", Overlap::CancelPrevious),
];

const CATCH_UPS: [(&str, CatchUp); 3] = [
    ("last", CatchUp::Last),
    ("skip", CatchUp::Skip { grace: CatchUp::DEFAULT_GRACE }),
    ("all", CatchUp::All { within: CatchUp::DEFAULT_WITHIN }),
];

/// The policies of a job.
pub(super) struct Policies {
    pub(super) overlap: Overlap,
    pub(super) buffer: u32,
    pub(super) catch_up: CatchUp,
    pub(super) expires: Option<Expiry>,
    pub(super) on_blackout: OnBlackout,
    pub(super) pause_after: Option<u32>,
}

/// Reads the policies of a job. Without `timing`, which is wrong then, nothing is said of what goes with it.
pub(super) fn read(report: &mut Report<'_>, job: &Fields<'_, '_>, timing: Option<&Timing<'_, '_>>) -> Option<Policies> {
    let overlap = job
        .get("overlap")
        .map_or(Some((Overlap::default(), Definition::DEFAULT_BUFFER)), |entry| overlap(report, entry));
    let catch_up = job.get("catch_up").map_or(Some(CatchUp::default()), |entry| catch_up(report, entry, timing));
    let expires = job.get("expires").map_or(Some(None), |entry| expires(report, entry, timing));
    let on_blackout =
        job.get("on_blackout").map_or(Some(OnBlackout::default()), |entry| on_blackout(report, job, entry, timing));
    let pause_after =
        job.get("pause_after").map_or(Some(None), |entry| fields::count(report, entry, MOST_DEAD).map(Some));
    let (overlap, buffer) = overlap?;
    Some(Policies {
        overlap,
        buffer,
        catch_up: catch_up?,
        expires: expires?,
        on_blackout: on_blackout?,
        pause_after: pause_after?,
    })
}

/// A word alone, or a map of it as `policy` and what goes with it.
struct Choice<'n, 't, T> {
    /// `None` if it is wrong.
    word: Option<T>,
    fields: Option<Fields<'n, 't>>,
}

impl<'n, 't, T: Copy> Choice<'n, 't, T> {
    fn read(
        report: &mut Report<'_>,
        entry: &'n Entry<'t>,
        what: &'static str,
        keys: &'static [&'static str],
        words: &[(&'static str, T)],
    ) -> Self {
        match &entry.value.value {
            Value::Map(_) => {
                let fields = Fields::read(report, &entry.value, what, keys);
                let policy = fields.as_ref().and_then(|fields| fields.require(report, "policy"));
                Self { word: policy.and_then(|entry| fields::word(report, entry, words)), fields }
            }
            Value::Scalar(_) => Self { word: fields::word(report, entry, words), fields: None },
            _ => {
                fields::wrong_type(report, &entry.value, what, "text or a map");
                Self { word: None, fields: None }
            }
        }
    }

    /// The entry of a key that goes with one of the words.
    fn with(&self, report: &mut Report<'_>, key: &str, owner: &str, owns: fn(T) -> bool) -> Option<&'n Entry<'t>> {
        let entry = self.fields.as_ref()?.get(key)?;
        if self.word.is_some_and(|word| !owns(word)) {
            let help = format!("write `policy: {owner}`, or remove it");
            report.error(&entry.key_span, format!("`{key}` goes with `{owner}` only"), Some(help));
            return None;
        }
        Some(entry)
    }
}

fn overlap(report: &mut Report<'_>, entry: &Entry<'_>) -> Option<(Overlap, u32)> {
    let errors = report.errors();
    let choice = Choice::read(report, entry, "overlap", &["policy", "limit"], &OVERLAPS);
    let limit = choice
        .with(report, "limit", "buffer_all", |word| word == Overlap::BufferAll)
        .and_then(|entry| fields::count(report, entry, MOST_BUFFERED));
    (report.errors() == errors).then_some((choice.word?, limit.unwrap_or(Definition::DEFAULT_BUFFER)))
}

fn catch_up(report: &mut Report<'_>, entry: &Entry<'_>, timing: Option<&Timing<'_, '_>>) -> Option<CatchUp> {
    let errors = report.errors();
    let choice = Choice::read(report, entry, "catch_up", &["policy", "grace", "within"], &CATCH_UPS);
    let grace = choice
        .with(report, "grace", "skip", |word| matches!(word, CatchUp::Skip { .. }))
        .and_then(|entry| fields::duration(report, entry, LEAST));
    let within = choice
        .with(report, "within", "all", |word| matches!(word, CatchUp::All { .. }))
        .and_then(|entry| fields::duration(report, entry, LEAST));
    if report.errors() > errors {
        return None;
    }
    if let Some(timing) = timing.filter(|timing| timing.is_delay()) {
        if timing.is_concerned(entry) {
            let message = "`catch_up` has no effect on `every`, whose due times follow from the end of each run";
            report.warn(&entry.key_span, message, Some("remove it".to_owned()));
        }
        return Some(CatchUp::default());
    }
    Some(match choice.word? {
        CatchUp::Last => CatchUp::Last,
        CatchUp::Skip { grace: default } => CatchUp::Skip { grace: grace.unwrap_or(default) },
        CatchUp::All { within: default } => CatchUp::All { within: within.unwrap_or(default) },
    })
}

fn expires(report: &mut Report<'_>, entry: &Entry<'_>, timing: Option<&Timing<'_, '_>>) -> Option<Option<Expiry>> {
    let Value::Scalar(scalar) = &entry.value.value else {
        fields::wrong_type(report, &entry.value, "expires", "a duration or `next`");
        return None;
    };
    if scalar.text == "next" {
        return until_next(report, entry, timing);
    }
    if scalar.text.starts_with(char::is_alphabetic) {
        let help = match suggest::closest(&scalar.text, ["next"]) {
            Some(meant) => Some(format!("did you mean `{meant}`?")),
            None => fields::example("expires"),
        };
        report.error(&entry.value.span, "`expires` must be a duration or `next`", help);
        return None;
    }
    fields::duration(report, entry, LEAST).map(|after| Some(Expiry::After(after)))
}

fn until_next(report: &mut Report<'_>, entry: &Entry<'_>, timing: Option<&Timing<'_, '_>>) -> Option<Option<Expiry>> {
    let concerned = timing.is_none_or(|timing| timing.is_concerned(entry));
    if !concerned && timing.is_some_and(|timing| timing.is_delay() || timing.is_once()) {
        return Some(None);
    }
    if timing.is_some_and(Timing::is_delay) {
        let message = "`expires: next` does not go with `every`, whose next due time follows from the end of the run";
        let help = "write a duration, as in `expires: 10m`, or add `anchor: start`".to_owned();
        report.error(&entry.value.span, message, Some(help));
        return None;
    }
    if timing.is_some_and(Timing::is_once) {
        let message = "`expires: next` has no effect on `at`, which is due once";
        let help = "write a duration, as in `expires: 10m`, or remove it".to_owned();
        report.warn(&entry.key_span, message, Some(help));
        return Some(None);
    }
    Some(Some(Expiry::Next))
}

fn on_blackout(
    report: &mut Report<'_>,
    job: &Fields<'_, '_>,
    entry: &Entry<'_>,
    timing: Option<&Timing<'_, '_>>,
) -> Option<OnBlackout> {
    let written = fields::word(report, entry, &[("skip", OnBlackout::Skip), ("defer", OnBlackout::Defer)])?;
    let named = job.get("blackouts").map(|entry| &entry.value.value);
    let none = match named {
        None => !job.is_meant("blackouts"),
        Some(Value::List(items)) => items.is_empty(),
        Some(_) => false,
    };
    let why = if none {
        "without `blackouts`"
    } else if timing.is_some_and(Timing::is_delay) {
        "on `every`, which always waits for the end of a blackout"
    } else {
        return Some(written);
    };
    if timing.is_none_or(|timing| timing.is_concerned(entry)) {
        report.warn(&entry.key_span, format!("`on_blackout` has no effect {why}"), Some("remove it".to_owned()));
    }
    Some(OnBlackout::default())
}
