//! `leasehold next --dst`: what the next clock changes do to an expression.

use std::io::{self, Write};

use jiff::civil::DateTime;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};
use leasehold_common::schedule::{ClockChange, CronExpr, DstPolicy, Effect, Zone};
use serde::Serialize;

use crate::render::style::{Palette, Tone};
use crate::render::table::{Cell, Column, Layout};
use crate::render::text::one_line;

/// So many changes are shown.
const CHANGES: usize = 2;

/// From so long before a change to as long after it.
const REACH: SignedDuration = SignedDuration::from_hours(24);

/// Rows before a change, and from it on, in a table.
const ROWS: usize = 12;

/// The question.
pub(super) struct Asked<'a> {
    pub(super) expr: &'a CronExpr,
    pub(super) zone: &'a Zone,
    pub(super) policy: DstPolicy,
    pub(super) from: Timestamp,
}

impl Asked<'_> {
    fn changes(&self) -> impl Iterator<Item = (ClockChange, Effect)> {
        let effect = |change: ClockChange| (change, change.effect(self.expr, self.zone, self.policy, REACH));
        self.zone.changes_after(self.from).take(CHANGES).map(effect)
    }
}

/// The answer for scripts.
#[derive(Serialize)]
pub(super) struct Told {
    zone: Zone,
    changes: Vec<ToldChange>,
}

#[derive(Serialize)]
struct ToldChange {
    at: Timestamp,
    from_offset: String,
    to_offset: String,
    /// Every due time from a day before to a day after.
    fires: Vec<ToldFire>,
    /// What the clocks skip and does not run, as on the clock.
    skipped: Vec<DateTime>,
    /// The second passes of what runs in the first one only.
    repeated: Vec<ToldTime>,
}

#[derive(Serialize)]
struct ToldTime {
    at: Timestamp,
    local: String,
}

#[derive(Serialize)]
struct ToldFire {
    #[serde(flatten)]
    time: ToldTime,
    /// `moved`: it stands for times that the clocks skip; `again`: the second of two passes.
    note: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    moved_from: Vec<DateTime>,
}

/// The answer for scripts.
pub(super) fn told(asked: &Asked<'_>) -> Told {
    let time =
        |at: Timestamp| ToldTime { at, local: local(at, asked.zone).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string() };
    let changes = asked.changes().map(|(change, effect)| ToldChange {
        at: change.at,
        from_offset: offset(change.before),
        to_offset: offset(change.after),
        repeated: effect.repeated.iter().copied().map(time).collect(),
        fires: effect
            .fires
            .into_iter()
            .map(|fire| ToldFire {
                time: time(fire.at),
                note: match (fire.moved_from.is_empty(), fire.again) {
                    (false, _) => Some("moved"),
                    (true, true) => Some("again"),
                    (true, false) => None,
                },
                moved_from: fire.moved_from,
            })
            .collect(),
        skipped: effect.skipped,
    });
    Told { zone: asked.zone.clone(), changes: changes.collect() }
}

fn local(at: Timestamp, zone: &Zone) -> jiff::Zoned {
    at.to_zoned(zone.tz().clone())
}

/// `+02:00`; with seconds for local mean time.
fn offset(offset: Offset) -> String {
    let seconds = offset.seconds().unsigned_abs();
    let sign = if offset.is_negative() { '-' } else { '+' };
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let rest = if rest == 0 { String::new() } else { format!(":{rest:02}") };
    format!("{sign}{hours:02}:{minutes:02}{rest}")
}

/// The answer for people.
pub(super) fn write(out: &mut impl Write, asked: &Asked<'_>, policy: &str, palette: Palette) -> io::Result<()> {
    let Asked { expr, zone, from, .. } = asked;
    let title = format!("{}, by the clocks of {zone}, with `dst: {policy}`\n", one_line(&expr.describe()));
    out.write_all(palette.paint(Tone::Dim, &title).as_bytes())?;
    let mut any = false;
    for (change, effect) in asked.changes() {
        any = true;
        writeln!(out, "\n{}", sentence(&change))?;
        out.write_all(table(&change, &effect, zone, palette).as_bytes())?;
    }
    if !any {
        writeln!(out, "\nthe clocks of {zone} do not change after {from}")?;
    }
    Ok(())
}

/// `2027-03-28 02:00 clocks go forward to 03:00`.
fn sentence(change: &ClockChange) -> String {
    let (before, after) = (change.shown_before(), change.shown_after());
    let way = if after > before { "forward" } else { "back" };
    let to = if after.date() == before.date() { clock(after) } else { format!("{} {}", after.date(), clock(after)) };
    format!("{} {} clocks go {way} to {to}", before.date(), clock(before))
}

/// `02:30`; with seconds where there are any.
fn clock(time: DateTime) -> String {
    time.strftime(if time.second() == 0 { "%H:%M" } else { "%H:%M:%S" }).to_string()
}

/// What stands in one row, in the order of the clocks.
struct Row {
    at: Timestamp,
    cells: [Cell; 3],
}

fn table(change: &ClockChange, effect: &Effect, zone: &Zone, palette: Palette) -> String {
    let rows = rows(change, effect, zone);
    if rows.is_empty() {
        return "nothing is due from a day before to a day after\n".to_owned();
    }
    let columns = [Column::left("LOCAL").at_least(31), Column::left("UTC").at_least(20), Column::left("NOTE")];
    let layout = Layout::new(&columns, palette);
    let since = rows.partition_point(|row| row.at < change.at);
    let (first, end) = (since.saturating_sub(ROWS), rows.len().min(since + ROWS));
    let more = |count: usize, word: &str| match count {
        0 => String::new(),
        _ => palette.paint(Tone::Dim, &format!("… {count} more {word}\n")),
    };
    let mut text = layout.titles();
    text.push_str(&more(first, "before"));
    rows[first..end].iter().for_each(|row| text.push_str(&layout.line(&row.cells)));
    text.push_str(&more(rows.len() - end, "after"));
    text
}

fn rows(change: &ClockChange, effect: &Effect, zone: &Zone) -> Vec<Row> {
    let time = |at: Timestamp| local(at, zone).strftime("%a %Y-%m-%d %H:%M:%S %:z").to_string();
    let skipped = effect.skipped.iter().map(|civil| Row {
        at: change.at,
        cells: [
            civil.strftime("%a %Y-%m-%d %H:%M:%S").to_string().into(),
            "-".into(),
            Cell::toned(Tone::Warn, "skipped by the clocks, does not run"),
        ],
    });
    let fires = effect.fires.iter().map(|fire| {
        let note = match (fire.moved_from.as_slice(), fire.again) {
            ([], false) => String::new(),
            ([], true) => "shown for the second time, runs again".to_owned(),
            (moved, _) => format!("moved from {}, skipped by the clocks", list(moved)),
        };
        Row { at: fire.at, cells: [time(fire.at).into(), fire.at.to_string().into(), Cell::toned(Tone::Warn, note)] }
    });
    let repeated = effect.repeated.iter().map(|at| Row {
        at: *at,
        cells: [time(*at).into(), "-".into(), Cell::toned(Tone::Warn, "shown for the second time, does not run again")],
    });
    let mut rows: Vec<Row> = skipped.chain(fires).chain(repeated).collect();
    rows.sort_by_key(|row| row.at);
    rows
}

/// `02:00, 02:20 and 02:40`, or so many of them.
fn list(times: &[DateTime]) -> String {
    let times: Vec<String> = times.iter().copied().map(clock).collect();
    match times.as_slice() {
        [one] => one.clone(),
        [head @ .., last] if head.len() < 6 => format!("{} and {last}", head.join(", ")),
        [first, .., last] => format!("{} times from {first} to {last}", times.len()),
        [] => String::new(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn asked<T>(text: &str, name: &str, policy: DstPolicy, ask: impl FnOnce(&Asked<'_>) -> T) -> T {
        let (expr, zone) = (text.parse().unwrap(), Zone::parse(name).unwrap());
        ask(&Asked { expr: &expr, zone: &zone, policy, from: "2027-01-01T00:00:00Z".parse().unwrap() })
    }

    fn shown(text: &str, name: &str, policy: DstPolicy) -> String {
        let mut out = Vec::new();
        asked(text, name, policy, |asked| write(&mut out, asked, "once", Palette::plain())).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn both_changes_are_shown_with_what_they_do() {
        insta::assert_snapshot!(shown("30 2 * * *", "Europe/Berlin", DstPolicy::Once));
    }

    #[test]
    fn what_does_not_run_has_a_line() {
        let text = shown("0,30 2 * * *", "Europe/Berlin", DstPolicy::Skip);
        assert!(
            text.contains("Sun 2027-03-28 02:30:00          -                     skipped by the clocks"),
            "{text}"
        );
        let text = shown("30 2 * * *", "Europe/Berlin", DstPolicy::Literal);
        assert!(
            text.contains("02:30:00 +01:00   2027-10-31T01:30:00Z  shown for the second time, runs again"),
            "{text}"
        );
    }

    #[test]
    fn a_table_of_many_rows_keeps_those_at_the_change() {
        let text = shown("*/15 * * * *", "America/New_York", DstPolicy::Once);
        assert!(text.contains("… 84 more before\n") && text.contains(" more after\n"), "{text}");
        assert!(text.contains("Sun 2027-03-14 03:00:00 -04:00"), "{text}");
        let text = shown("0-59 2 * * *", "America/New_York", DstPolicy::Once);
        assert!(text.contains("moved from 60 times from 02:00 to 02:59, skipped by the clocks"), "{text}");
    }

    #[test]
    fn a_zone_without_changes_says_so() {
        let text = shown("30 2 * * *", "Asia/Tokyo", DstPolicy::Once);
        assert!(text.ends_with("\n\nthe clocks of Asia/Tokyo do not change after 2027-01-01T00:00:00Z\n"), "{text}");
        let told = asked("30 2 * * *", "Asia/Tokyo", DstPolicy::Once, told);
        assert_eq!(serde_json::to_string(&told).unwrap(), r#"{"zone":"Asia/Tokyo","changes":[]}"#);
    }

    #[test]
    fn a_change_that_ends_on_another_day_names_both() {
        let change = ClockChange {
            at: "2011-12-30T10:00:00Z".parse().unwrap(),
            before: Offset::constant(-10),
            after: Offset::constant(14),
        };
        assert_eq!(sentence(&change), "2011-12-30 00:00 clocks go forward to 2011-12-31 00:00");
        assert_eq!(offset(Offset::from_seconds(-2_670).unwrap()), "-00:44:30");
    }
}
