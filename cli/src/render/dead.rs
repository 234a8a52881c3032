//! Dead letters, by error.

use jiff::Timestamp;
use leasehold_common::store::{DeadGroup, group_text};

use super::style::{Palette, Tone};
use super::table::{Cell, Column, table};
use super::text::clipped;
use super::time::relative;

const COLUMNS: [Column; 8] = [
    Column::right("RUNS"),
    Column::left("JOB"),
    Column::right("TENANTS"),
    Column::left("CODE"),
    Column::left("FIRST"),
    Column::left("LAST"),
    Column::left("GROUP"),
    Column::left("LATEST RUN, OF, AND ITS ERROR"),
];

/// As much of an error as fits a line of a list.
const ERROR: usize = 80;

/// Groups, one a line.
pub(crate) fn groups(groups: &[DeadGroup], now: Timestamp, palette: Palette) -> String {
    let rows: Vec<_> = groups
        .iter()
        .map(|group| {
            let error = clipped(group.sample_error.as_deref().unwrap_or_default(), ERROR);
            vec![
                Cell::toned(Tone::Bad, group.count.to_string()),
                group.job.as_str().into(),
                group.tenants.to_string().into(),
                group.error_code.as_deref().unwrap_or("-").into(),
                relative(group.first_at, now).into(),
                relative(group.last_at, now).into(),
                group_text(group.group).into(),
                format!("{} {} {error}", group.sample, group.sample_tenant).into(),
            ]
        })
        .collect();
    table(&COLUMNS, &rows, palette)
}
