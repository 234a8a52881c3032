//! When a job is due: the keys of its schedule. `spec` knows what becomes of them for the zones of its tenants.

mod spec;

use std::num::NonZeroU32;
use std::time::Duration;

use crate::config::fields::{self, Fields};
use crate::config::node::{Entry, Rank, Value};
use crate::config::report::Report;
use crate::config::source::Span;
use crate::config::zones::{self, ZoneRule};
use crate::schedule::{CronExpr, DstPolicy, Moment, Window, Zone};

/// The least interval: below it the work is the scheduling.
const LEAST_INTERVAL: Duration = Duration::from_secs(1);
/// The least jitter.
const LEAST_JITTER: Duration = Duration::from_millis(1);
/// The most schedules of one job: each is asked for every due time.
const MOST: usize = 32;
/// The most runs that can be counted; nobody lives to see more.
const MOST_RUNS: u32 = 1_000_000_000;

/// The highest ceiling of a `spread`.
const MOST_PER_SECOND: u32 = 1_000_000;

/// The keys of which a job has one.
const OF_A_JOB: &[&str] = &["cron", "every", "at", "spread", "schedules"];
/// The keys of which an entry of `schedules` has one.
const OF_AN_ENTRY: &[&str] = &["cron", "every", "at", "spread"];

const ENTRY_KEYS: &[&str] = &["cron", "every", "anchor", "at", "spread", "timezone", "dst"];

/// When a job is due, before it is known for whom.
pub(super) struct Timing<'n, 't> {
    parts: Vec<Part>,
    /// Whether they are a list, if only of one.
    several: bool,
    start: Option<Bound>,
    end: Option<Bound>,
    max_runs: Option<u32>,
    jitter: Option<Duration>,
    /// The layer that says when it is due: what a lower one says of it may have no effect.
    layer: Rank,
    /// The zones that something is read in; parts and bounds name them by position.
    rules: Vec<ZoneRule<'n, 't>>,
}

struct Part {
    kind: Kind,
    zone: Option<usize>,
    dst: DstPolicy,
    span: Span,
}

enum Kind {
    Cron(String),
    Delay(Duration),
    Rate(Duration),
    At(Moment),
    Spread(Window, Option<NonZeroU32>),
}

/// The start or the end.
struct Bound {
    at: Moment,
    zone: Option<usize>,
    span: Span,
}

impl Kind {
    /// Why `timezone` has no effect, if so.
    fn ignores_zone(&self) -> Option<&'static str> {
        match self {
            Self::Delay(_) | Self::Rate(_) => Some("`every`, which no clock decides"),
            Self::At(at) if !at.is_civil() => Some("`at` with an offset"),
            _ => None,
        }
    }

    /// Why `dst` has no effect, if so.
    fn ignores_dst(&self) -> Option<&'static str> {
        match self {
            Self::Spread(..) => Some("`spread`, whose window is as long as clocks make it"),
            _ => self.ignores_zone(),
        }
    }
}

/// Zones and clock changes of a job, or of an entry of its list.
struct Clock<'n, 't> {
    zone: ZoneRule<'n, 't>,
    dst: DstPolicy,
}

impl<'n, 't> Clock<'n, 't> {
    /// What is not written is taken from `default`.
    fn read(report: &mut Report<'_>, fields: &Fields<'n, 't>, default: Option<&Self>) -> Option<Self> {
        let zone = match fields.get("timezone") {
            Some(entry) => zones::read(report, entry),
            None => Some(default.map_or(ZoneRule::Fixed(Zone::UTC), |clock| clock.zone.clone())),
        };
        let dst = match fields.get("dst") {
            Some(entry) => {
                let words = [("once", DstPolicy::Once), ("skip", DstPolicy::Skip), ("literal", DstPolicy::Literal)];
                fields::word(report, entry, &words)
            }
            None => Some(default.map_or_else(DstPolicy::default, |clock| clock.dst)),
        };
        Some(Self { zone: zone?, dst: dst? })
    }
}

/// Reads the schedule of a job.
pub(super) fn read<'n, 't>(report: &mut Report<'_>, job: &Fields<'n, 't>) -> Option<Timing<'n, 't>> {
    let clock = Clock::read(report, job, None);
    let start = bound(report, job, "start");
    let end = bound(report, job, "end");
    let max_runs = job.get("max_runs").map_or(Some(None), |entry| fields::count(report, entry, MOST_RUNS).map(Some));
    let mut jitter =
        job.get("jitter").map_or(Some(None), |entry| fields::duration(report, entry, LEAST_JITTER).map(Some));
    let chosen = choose(report, job, OF_A_JOB)?;
    let mut rules = Vec::new();
    let several = chosen.key == "schedules";
    let parts = if several {
        warn_of_anchor(report, job, chosen);
        entries(report, chosen, clock.as_ref(), &mut rules)
    } else {
        let kind = kind(report, job, chosen)?;
        if matches!(kind, Kind::Delay(_)) && jitter != Some(None) {
            refuse_jitter(report, job, chosen)?;
            jitter = Some(None);
        }
        clock.as_ref().map(|clock| vec![part(kind, chosen, clock, true, &mut rules)])
    };
    let (clock, start, end) = (clock?, start?, end?);
    let mut timing =
        Timing { parts: parts?, several, start, end, max_runs: max_runs?, jitter: jitter?, layer: chosen.layer, rules };
    timing.settle_zone(clock.zone);
    timing.warn_of_clock(report, job);
    timing.settle_max_runs(report, job);
    Some(timing)
}

/// The one key of some that is there.
fn choose<'n, 't>(report: &mut Report<'_>, fields: &Fields<'n, 't>, keys: &[&str]) -> Option<&'n Entry<'t>> {
    let mut found: Vec<_> = keys.iter().filter_map(|key| fields.get(key)).collect();
    found.sort_by_key(|entry| entry.key_span.start);
    let of_job = keys.contains(&"schedules");
    let what = if of_job { "a job" } else { "an entry of `schedules`" };
    match found.as_slice() {
        [one] => return Some(one),
        [first, second, ..] => {
            let message = format!("{what} has one schedule: `{}` stands beside `{}`", second.key, first.key);
            let help = if of_job {
                "remove one, or put several under `schedules`, or make two jobs of it"
            } else {
                "make two entries of it"
            };
            report.error(&second.key_span, message, Some(help.to_owned()));
            for entry in found.iter().filter(|entry| entry.key != "schedules") {
                kind(report, fields, entry);
            }
        }
        [] if keys.iter().any(|key| fields.is_meant(key)) => {}
        [] => {
            let all = if of_job {
                "`cron`, `every`, `at`, `spread` or `schedules`"
            } else {
                "`cron`, `every`, `at` or `spread`"
            };
            let help = "add `cron: \"0 2 * * *\"` or `every: 30s`";
            let help = if of_job { help } else { "add `cron: \"0 2 * * *\"`" };
            report.error(&fields.anchor(), format!("{what} needs {all}"), Some(help.to_owned()));
        }
    }
    None
}

fn kind(report: &mut Report<'_>, fields: &Fields<'_, '_>, entry: &Entry<'_>) -> Option<Kind> {
    warn_of_anchor(report, fields, entry);
    match entry.key.as_ref() {
        "cron" => cron_expr(report, entry).map(Kind::Cron),
        "at" => moment(report, entry).map(Kind::At),
        "spread" => spread(report, entry),
        _ => {
            let words = [("completion", Kind::Delay as fn(_) -> _), ("start", Kind::Rate)];
            let anchored = match fields.get("anchor") {
                Some(entry) => fields::word(report, entry, &words),
                None => Some(Kind::Delay as fn(_) -> _),
            };
            let interval = fields::duration(report, entry, LEAST_INTERVAL)?;
            Some(anchored?(interval))
        }
    }
}

fn warn_of_anchor(report: &mut Report<'_>, fields: &Fields<'_, '_>, chosen: &Entry<'_>) {
    if let Some(anchor) = fields.get("anchor")
        && fields.get("every").is_none()
        && anchor.layer >= chosen.layer
    {
        let message = format!("`anchor` has no effect on `{}`", chosen.key);
        report.warn(&anchor.key_span, message, Some("remove it: it belongs to `every`".to_owned()));
    }
}

fn cron_expr(report: &mut Report<'_>, entry: &Entry<'_>) -> Option<String> {
    let text = fields::text(report, &entry.value, "cron")?;
    // The seed is only that `H` is understood; which hash it stands for is decided for each tenant.
    match CronExpr::parse_seeded(text.text, 0) {
        Ok(_) => Some(text.text.to_owned()),
        Err(error) => {
            let span = error.span().map_or_else(|| text.span(), |span| text.part(report, &span));
            report.error(&span, error.to_string(), error.help());
            None
        }
    }
}

/// A point in time; a civil one in UTC for now.
pub(super) fn moment(report: &mut Report<'_>, entry: &Entry<'_>) -> Option<Moment> {
    let text = fields::text(report, &entry.value, &entry.key)?;
    // Which zone a civil time is in is known later.
    match Moment::parse(text.text, &Zone::UTC) {
        Ok(moment) => Some(moment),
        Err(error) => {
            report.error(&text.span(), error.to_string(), Some(error.help().to_owned()));
            None
        }
    }
}

/// A window alone, or a map of it with a ceiling.
fn spread(report: &mut Report<'_>, entry: &Entry<'_>) -> Option<Kind> {
    if !matches!(entry.value.value, Value::Map(_)) {
        return window(report, entry).map(|window| Kind::Spread(window, None));
    }
    let fields = Fields::read(report, &entry.value, "spread", &["window", "per_second"])?;
    let window = fields.require(report, "window").and_then(|entry| window(report, entry));
    let ceiling = match fields.get("per_second") {
        Some(entry) => fields::count(report, entry, MOST_PER_SECOND).map(NonZeroU32::new),
        None => Some(None),
    };
    Some(Kind::Spread(window?, ceiling?))
}

/// A part of the day.
pub(super) fn window(report: &mut Report<'_>, entry: &Entry<'_>) -> Option<Window> {
    let text = fields::text(report, &entry.value, &entry.key)?;
    match text.text.parse::<Window>() {
        Ok(window) => Some(window),
        Err(error) => {
            report.error(&text.span(), error.to_string(), Some(error.help().to_owned()));
            None
        }
    }
}

/// The start or the end, if it is there.
fn bound(report: &mut Report<'_>, job: &Fields<'_, '_>, key: &str) -> Option<Option<Bound>> {
    let Some(entry) = job.get(key) else { return Some(None) };
    let at = moment(report, entry)?;
    Some(Some(Bound { at, zone: None, span: entry.value.span.clone() }))
}

/// Jitter delays times that are known ahead; those that follow from the end of a run are nowhere in particular. What a
/// lower layer says of others is passed over.
fn refuse_jitter(report: &mut Report<'_>, job: &Fields<'_, '_>, chosen: &Entry<'_>) -> Option<()> {
    let Some(entry) = job.get("jitter").filter(|entry| entry.layer >= chosen.layer) else { return Some(()) };
    let message = "`jitter` does not go with `every`, whose due times follow from the end of each run";
    let help = "add `anchor: start`, which makes due times that are known ahead".to_owned();
    report.error(&entry.key_span, message, Some(help));
    None
}

/// The entries of `schedules`.
fn entries<'n, 't>(
    report: &mut Report<'_>,
    list: &'n Entry<'t>,
    default: Option<&Clock<'n, 't>>,
    rules: &mut Vec<ZoneRule<'n, 't>>,
) -> Option<Vec<Part>> {
    let nodes = fields::list(report, &list.value, "schedules")?;
    if nodes.is_empty() || nodes.len() > MOST {
        let (message, help) = match nodes.len() {
            0 => ("`schedules` must not be empty".to_owned(), fields::example("schedules")),
            _ => (format!("`schedules` has more than {MOST} entries"), Some("make several jobs of it".to_owned())),
        };
        report.error(&list.value.span, message, help);
        return None;
    }
    let mut parts = Vec::with_capacity(nodes.len());
    let mut complete = true;
    for node in nodes {
        let part = Fields::read(report, node, "a schedule", ENTRY_KEYS)
            .and_then(|fields| self::entry(report, &fields, default, rules));
        complete &= part.is_some();
        parts.extend(part);
    }
    complete.then_some(parts)
}

fn entry<'n, 't>(
    report: &mut Report<'_>,
    fields: &Fields<'n, 't>,
    default: Option<&Clock<'n, 't>>,
    rules: &mut Vec<ZoneRule<'n, 't>>,
) -> Option<Part> {
    let clock = Clock::read(report, fields, default);
    let chosen = choose(report, fields, OF_AN_ENTRY)?;
    let kind = kind(report, fields, chosen)?;
    if matches!(kind, Kind::Delay(_)) {
        let message = "`every` from completion cannot stand in `schedules`: the end of a run decides when it is due next, \
                       and the other schedules start runs too";
        let help = "add `anchor: start`, or make a job of its own of it".to_owned();
        report.error(&chosen.key_span, message, Some(help));
        return None;
    }
    warn_of_clock(report, fields, chosen.layer, kind.ignores_zone(), kind.ignores_dst());
    Some(part(kind, chosen, &clock?, fields.get("timezone").is_none(), rules))
}

/// `inherits` is whether the zone is the one of the job, which gets its position later.
fn part<'n, 't>(
    kind: Kind,
    entry: &Entry<'_>,
    clock: &Clock<'n, 't>,
    inherits: bool,
    rules: &mut Vec<ZoneRule<'n, 't>>,
) -> Part {
    let zone = (kind.ignores_zone().is_none() && !inherits).then(|| {
        rules.push(clock.zone.clone());
        rules.len() - 1
    });
    // What has no effect must not make equal definitions differ.
    let dst = if kind.ignores_dst().is_some() { DstPolicy::default() } else { clock.dst };
    Part { kind, zone, dst, span: entry.value.span.clone() }
}

fn warn_of_clock(report: &mut Report<'_>, fields: &Fields<'_, '_>, layer: Rank, zone: Option<&str>, dst: Option<&str>) {
    for (key, why) in [("timezone", zone), ("dst", dst)] {
        if let (Some(entry), Some(why)) = (fields.get(key).filter(|entry| entry.layer >= layer), why) {
            report.warn(&entry.key_span, format!("`{key}` has no effect on {why}"), Some("remove it".to_owned()));
        }
    }
}

impl<'n, 't> Timing<'n, 't> {
    /// Whether due times follow from the end of runs.
    pub(super) fn is_delay(&self) -> bool {
        self.parts.iter().any(|part| matches!(part.kind, Kind::Delay(_)))
    }

    /// Whether a key was written for this schedule: not by a layer below it, which was written for others.
    pub(super) fn is_concerned(&self, entry: &Entry<'_>) -> bool {
        entry.layer >= self.layer
    }

    /// Whether there is one due time.
    pub(super) fn is_once(&self) -> bool {
        matches!(self.parts.as_slice(), [Part { kind: Kind::At(_), .. }])
    }

    /// A single due time is one run in any case.
    fn settle_max_runs(&mut self, report: &mut Report<'_>, job: &Fields<'_, '_>) {
        if let Some(entry) = job.get("max_runs").filter(|_| self.is_once()) {
            if self.is_concerned(entry) {
                let message = "`max_runs` has no effect on `at`, which is due once";
                report.warn(&entry.key_span, message, Some("remove it".to_owned()));
            }
            self.max_runs = None;
        }
    }

    /// Gives the job's zone to all that is read in it; if there is none, the zone is not asked for.
    fn settle_zone(&mut self, rule: ZoneRule<'n, 't>) {
        let position = self.rules.len();
        let mut used = false;
        let parts = self.parts.iter_mut().filter(|part| part.kind.ignores_zone().is_none()).map(|part| &mut part.zone);
        let bounds = [&mut self.start, &mut self.end].into_iter().flatten();
        let bounds = bounds.filter(|bound| bound.at.is_civil()).map(|bound| &mut bound.zone);
        for zone in parts.chain(bounds).filter(|zone| zone.is_none()) {
            *zone = Some(position);
            used = true;
        }
        if used {
            self.rules.push(rule);
        }
    }

    fn warn_of_clock(&self, report: &mut Report<'_>, job: &Fields<'_, '_>) {
        let bounded = [&self.start, &self.end].into_iter().flatten().any(|bound| bound.at.is_civil());
        let (zone, dst) = match self.parts.as_slice() {
            [part] if !self.several => (part.kind.ignores_zone(), part.kind.ignores_dst()),
            parts => (
                parts.iter().all(|part| part.kind.ignores_zone().is_some()).then_some("any of `schedules`"),
                parts.iter().all(|part| part.kind.ignores_dst().is_some()).then_some("any of `schedules`"),
            ),
        };
        warn_of_clock(report, job, self.layer, zone.filter(|_| !bounded), dst);
    }
}
