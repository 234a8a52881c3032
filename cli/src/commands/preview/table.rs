//! The forecast for people: a row and a bar for each hour.

use jiff::Timestamp;

use super::forecast::{Busiest, Hour, Summary};
use crate::render::style::{Palette, Tone};
use crate::render::table::{Cell, Column, table};
use crate::render::text::count;

/// The longest bar.
const BAR: u64 = 40;

const COLUMNS: [Column; 4] =
    [Column::left("HOUR (UTC)"), Column::right("FIRES"), Column::left("PEAK MINUTE"), Column::left("")];

/// The whole text.
pub(super) fn text(summary: &Summary, palette: Palette) -> String {
    let most = summary.hours.iter().map(|hour| hour.fires).max().unwrap_or(0);
    let rows: Vec<Vec<Cell>> = summary.hours.iter().map(|hour| row(hour, most)).collect();
    let title = format!(
        "from {} up to {}: {}, {}\n",
        minute(summary.from),
        minute(summary.to),
        grouped(summary.tenants as u64, "tenant"),
        grouped(summary.jobs as u64, "job"),
    );
    let mut out = palette.paint(Tone::Dim, &title);
    out.push_str(&table(&COLUMNS, &rows, palette));
    out.push_str(&format!("\ntotal {}", number(summary.fires)));
    if let Some(busiest) = &summary.busiest {
        out.push_str(&format!("; the busiest minute is {}\n", shares(busiest)));
    } else {
        out.push('\n');
    }
    if !summary.at_most.is_empty() {
        out.push_str(&palette.paint(Tone::Dim, &at_most(summary)));
    }
    out
}

fn row(hour: &Hour, most: u64) -> Vec<Cell> {
    let peak =
        hour.peak.map_or_else(String::new, |peak| format!("{} {}", peak.minute.strftime("%H:%M"), number(peak.fires)));
    vec![
        minute(hour.hour).into(),
        number(hour.fires).into(),
        peak.into(),
        Cell::toned(Tone::Plain, bar(hour.fires, most)),
    ]
}

fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

/// In eighths of a cell; what is not nothing shows.
fn bar(fires: u64, most: u64) -> String {
    if fires == 0 {
        return String::new();
    }
    let eighths = u64::try_from(u128::from(fires) * u128::from(BAR * 8) / u128::from(most.max(1))).unwrap_or(0).max(1);
    let mut bar: String = (0..eighths / 8).map(|_| '█').collect();
    bar.extend(['▏', '▎', '▍', '▌', '▋', '▊', '▉'].get(usize::try_from(eighths % 8).unwrap_or(0).wrapping_sub(1)));
    bar
}

/// `2026-11-21 02:00, with 1,000: nightly-report 800, sync 200`.
fn shares(busiest: &Busiest) -> String {
    let mut jobs: Vec<String> =
        busiest.jobs.iter().map(|share| format!("{} {}", share.job, number(share.fires))).collect();
    if busiest.more_jobs > 0 {
        jobs.push(format!("and {}", count(busiest.more_jobs, "more job")));
    }
    format!("{}, with {}: {}", minute(busiest.peak.minute), number(busiest.peak.fires), jobs.join(", "))
}

fn at_most(summary: &Summary) -> String {
    let (named, more) = summary.at_most.split_at(summary.at_most.len().min(3));
    let names = named.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let more = if more.is_empty() { String::new() } else { format!(" and {}", count(more.len(), "more job")) };
    format!("{names}{more}: counted from the end of each run, so these are the most there can be\n")
}

fn grouped(value: u64, thing: &str) -> String {
    format!("{} {thing}{}", number(value), if value == 1 { "" } else { "s" })
}

/// `1,234,567`.
fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use leasehold_common::id::JobName;

    use super::super::forecast::Forecast;
    use super::*;

    fn name(text: &str) -> JobName {
        JobName::new(text).unwrap()
    }

    #[test]
    fn each_hour_is_a_row_with_a_bar() {
        let report = [vec![0; 43], vec![1_200, 0, 0, 0, 0], vec![10; 60], vec![0; 60], vec![3; 12]].concat();
        let sync: Vec<u64> = vec![5; 180];
        let forecast = Forecast {
            from: "2026-11-21T23:17:00Z".parse().unwrap(),
            to: "2026-11-22T02:17:00Z".parse().unwrap(),
            tenants: 1_200,
            jobs: 2_400,
            minutes: [(name("nightly-report"), report), (name("sync"), sync)].into(),
            at_most: vec![name("sync")],
        };
        insta::assert_snapshot!(text(&forecast.summary(), Palette::plain()));
    }

    #[test]
    fn nothing_is_said_of_a_minute_that_is_not_there() {
        let forecast = Forecast {
            from: "2026-11-21T23:00:00Z".parse().unwrap(),
            to: "2026-11-22T00:00:00Z".parse().unwrap(),
            tenants: 1,
            jobs: 1,
            minutes: [(name("a"), vec![0; 60])].into(),
            at_most: Vec::new(),
        };
        let text = text(&forecast.summary(), Palette::plain());
        assert!(text.ends_with("2026-11-21 23:00      0\n\ntotal 0\n"), "{text}");
    }

    #[test]
    fn numbers_have_groups_of_three() {
        let cases = [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345, "12,345"), (1_234_567, "1,234,567")];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn bars_are_scaled_to_the_largest_and_what_is_not_nothing_shows() {
        assert_eq!(bar(0, 10), "");
        assert_eq!(bar(10, 10).chars().count(), 40);
        assert_eq!(bar(5, 10), "█".repeat(20));
        assert_eq!(bar(1, 1_000_000), "▏");
        assert_eq!(bar(3, 64), "█▉");
        assert_eq!(bar(u64::MAX, u64::MAX).chars().count(), 40);
    }
}
