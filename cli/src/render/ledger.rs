//! What was expected, compared with what is recorded.

use leasehold_common::ledger::{Entry, Ledger, Standing};

use super::style::{Palette, Tone};
use super::table::{self, Cell, Column};
use super::text::clipped;
use super::time::{instant, length};

const COLUMNS: [Column; 5] = [
    Column::left("FROM (UTC)"),
    Column::left("TO (UTC)"),
    Column::right("COUNT"),
    Column::left("OUTCOME"),
    Column::left("DETAIL"),
];

/// As much of a reason as fits a line.
const DETAIL: usize = 100;

/// Later than this, a person may want to know.
const LATE_MS: i64 = 5_000;

/// One line for due times in a row, then the sums.
pub(crate) fn table(ledger: &Ledger, palette: Palette) -> String {
    let rows: Vec<_> = ledger.entries.iter().map(row).collect();
    let mut out = if rows.is_empty() { String::new() } else { table::table(&COLUMNS, &rows, palette) };
    out.push_str(&sums(ledger));
    out.push('\n');
    out
}

/// `expected 288, accounted for 288, missing 0`; what there seldom is comes behind it.
fn sums(ledger: &Ledger) -> String {
    let mut out =
        format!("expected {}, accounted for {}, missing {}", ledger.expected, ledger.accounted, ledger.missing);
    for (number, what) in [(ledger.pending, "pending"), (ledger.unexpected, "unexpected")] {
        if number > 0 {
            out.push_str(&format!(", {what} {number}"));
        }
    }
    out
}

fn row(entry: &Entry) -> Vec<Cell> {
    let tone = Tone::of_standing(entry.outcome);
    vec![
        instant(entry.from).into(),
        instant(entry.to).into(),
        entry.count.to_string().into(),
        Cell::toned(tone, entry.outcome.as_str()),
        Cell::toned(if tone == Tone::Bad { Tone::Bad } else { Tone::Dim }, detail(entry)),
    ]
}

fn detail(entry: &Entry) -> String {
    let mut parts = Vec::new();
    if entry.unexpected {
        parts.push("not expected".to_owned());
    }
    match entry.schedules.as_slice() {
        [] => {}
        [one] => parts.push(format!("schedule {}", one + 1)),
        several => {
            let numbers: Vec<_> = several.iter().map(|one| (one + 1).to_string()).collect();
            parts.push(format!("schedules {}", numbers.join(" and ")));
        }
    }
    if let (Some(late), Standing::Ended(_)) = (entry.lateness_ms.filter(|late| *late >= LATE_MS), entry.outcome) {
        parts.push(format!("up to {} late", length(late)));
    }
    parts.extend(entry.detail.as_deref().map(|detail| clipped(detail, DETAIL)));
    parts.join("; ")
}

impl Tone {
    /// How what became of a due time looks.
    pub(crate) fn of_standing(standing: Standing) -> Self {
        match standing {
            Standing::Ended(outcome) => Self::of_outcome(outcome),
            Standing::Live(state) => Self::of_state(state),
            Standing::Pending => Self::Dim,
            Standing::Missing => Self::Bad,
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use leasehold_common::run::{Outcome, RunState};

    use super::*;

    fn entry(from: &str, to: &str, count: u64, outcome: Standing, detail: Option<&str>) -> Entry {
        let at = |time: &str| format!("2026-11-21T{time}:00Z").parse().unwrap();
        Entry {
            from: at(from),
            to: at(to),
            count,
            outcome,
            open: false,
            unexpected: false,
            version: Some(1),
            schedules: Vec::new(),
            lateness_ms: None,
            detail: detail.map(str::to_owned),
        }
    }

    #[test]
    fn due_times_in_a_row_are_a_line_and_the_sums_come_last() {
        let ended = Standing::Ended;
        let mut entries = vec![
            entry("02:00", "02:03", 4, ended(Outcome::Succeeded), None),
            entry("02:04", "02:08", 5, ended(Outcome::Misfired), Some("nobody ran it in time\x1b[2J")),
            entry("02:09", "02:09", 1, Standing::Missing, None),
            entry("02:10", "02:10", 1, ended(Outcome::Superseded), Some("the schedule was changed")),
            entry("02:11", "02:11", 1, Standing::Live(RunState::Running), None),
            entry("02:12", "02:12", 1, Standing::Pending, Some("the leader has not come to it yet")),
        ];
        entries[0].schedules = vec![0, 2];
        entries[1].lateness_ms = Some(200_000);
        entries[3].unexpected = true;
        let ledger =
            Ledger { expected: 12, accounted: 10, missing: 1, pending: 1, unexpected: 1, entries, ..Ledger::default() };
        insta::assert_snapshot!(table(&ledger, Palette::plain()));
    }

    #[test]
    fn where_nothing_was_due_only_the_sums_are_said() {
        let text = table(&Ledger::default(), Palette::plain());
        assert_eq!(text, "expected 0, accounted for 0, missing 0\n");
    }
}
