//! The live sources of tenants.

use jiff::Timestamp;
use leasehold_common::store::{Held, SourceView};

use super::style::{Palette, Tone};
use super::table::{Cell, Column, table};
use super::text::{count, one_line};
use super::time::relative;

/// What to do about an answer that is not believed.
const ADVICE: &str = "if that is meant: `leasehold roster refresh --allow-drop`";

/// A table of the sources, why some of them are not used, and the tenants that were refused.
pub(crate) fn sources(sources: &[SourceView], now: Timestamp, palette: Palette) -> String {
    const COLUMNS: [Column; 6] = [
        Column::left("SOURCE"),
        Column::right("TENANTS"),
        Column::right("REFUSED"),
        Column::right("ASKED"),
        Column::right("LAST GOOD"),
        Column::left("STATE"),
    ];
    let ago = |at: Option<Timestamp>| at.map_or_else(|| "never".to_owned(), |at| relative(at, now));
    let rows: Vec<_> = sources
        .iter()
        .map(|source| {
            vec![
                source.source.as_str().into(),
                source.tenants.to_string().into(),
                match source.refused {
                    0 => "0".into(),
                    refused => Cell::toned(Tone::Warn, refused.to_string()),
                },
                ago(source.asked_at).into(),
                ago(source.good_at).into(),
                state(source),
            ]
        })
        .collect();
    let mut out = table(&COLUMNS, &rows, palette);
    for source in sources {
        if let Some(trouble) = trouble(source) {
            out.push_str(&format!("\n{} {trouble}\n", palette.paint(Tone::Bad, "!")));
        }
    }
    out.push_str(&refusals(sources, palette));
    out
}

fn state(source: &SourceView) -> Cell {
    if source.error.is_some() {
        Cell::toned(Tone::Bad, "failing")
    } else if source.held.is_some() {
        Cell::toned(Tone::Bad, "held back")
    } else {
        Cell::toned(Tone::Good, "good")
    }
}

/// Why the last answer of a source is not used.
pub(crate) fn trouble(source: &SourceView) -> Option<String> {
    let name = one_line(&source.source);
    if let Some(error) = &source.error {
        return Some(format!("source {name} fails, and its last tenants stay: {}", one_line(error)));
    }
    let Held { gone, of } = source.held?;
    Some(format!("source {name} leaves out {gone} of its {of} tenants and is not believed; {ADVICE}"))
}

fn refusals(sources: &[SourceView], palette: Palette) -> String {
    const COLUMNS: [Column; 3] = [Column::left("REFUSED"), Column::left("SOURCE"), Column::left("REASON")];
    let shown: Vec<_> = sources.iter().flat_map(|source| &source.refusals).collect();
    if shown.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<Cell>> = shown
        .iter()
        .map(|refusal| vec![(&refusal.tenant).into(), (&refusal.source).into(), (&refusal.reason).into()])
        .collect();
    let mut out = format!("\n{}", table(&COLUMNS, &rows, palette));
    let more = sources.iter().map(|source| source.refused).sum::<u64>().saturating_sub(shown.len() as u64);
    if more > 0 {
        let more = count(usize::try_from(more).unwrap_or(usize::MAX), "more");
        out.push_str(&palette.paint(Tone::Dim, &format!("… and {}\n", more.trim_end_matches('s'))));
    }
    out
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use leasehold_common::roster::Refusal;

    use super::*;

    #[test]
    fn sources_come_with_what_is_wrong_and_refused_tenants_with_the_reason() {
        let now: Timestamp = "2026-11-21T02:00:00Z".parse().unwrap();
        let at = |text: &str| Some(text.parse().unwrap());
        let good = SourceView {
            source: "crm".to_owned(),
            asked_at: at("2026-11-21T01:59:30Z"),
            good_at: at("2026-11-21T01:59:30Z"),
            tenants: 1200,
            refused: 3,
            refusals: vec![Refusal {
                source: "crm".to_owned(),
                tenant: "a b\u{1b}[2J".to_owned(),
                reason: "an id has no spaces".to_owned(),
            }],
            ..SourceView::default()
        };
        let failing = SourceView {
            source: "billing".to_owned(),
            asked_at: at("2026-11-21T01:59:30Z"),
            error: Some("no connection to db:5432".to_owned()),
            ..SourceView::default()
        };
        let held = SourceView {
            source: "legacy".to_owned(),
            asked_at: at("2026-11-21T01:59:30Z"),
            good_at: at("2026-11-20T01:59:30Z"),
            tenants: 10,
            held: Some(Held { gone: 9, of: 10 }),
            ..SourceView::default()
        };
        insta::assert_snapshot!(sources(&[good, failing, held], now, Palette::plain()));
    }
}
