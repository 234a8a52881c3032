//! Aligned columns without lines, for a terminal and for `awk` alike.
//!
//! Widths are counted as a terminal shows the text, so colours and wide characters do not break the alignment. The
//! last column is never padded.

use unicode_width::UnicodeWidthStr;

use super::style::{Palette, Tone};
use super::text::one_line;

/// Between two columns.
const GAP: &str = "  ";

/// A column: its title, and on which side its cells stand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    title: &'static str,
    right: bool,
    least: usize,
}

impl Column {
    /// A column of words.
    pub(crate) const fn left(title: &'static str) -> Self {
        Self { title, right: false, least: 0 }
    }

    /// A column of numbers.
    pub(crate) const fn right(title: &'static str) -> Self {
        Self { title, right: true, least: 0 }
    }

    /// The same column at least this wide: for tables whose rows come one by one.
    pub(crate) const fn at_least(mut self, width: usize) -> Self {
        self.least = width;
        self
    }
}

/// One cell, its text made harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A cell with a tone.
    pub(crate) fn toned(tone: Tone, text: impl AsRef<str>) -> Self {
        Self { text: one_line(text.as_ref()), tone }
    }

    fn width(&self) -> usize {
        self.text.width()
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(Tone::Plain, text)
    }
}

/// Columns with widths that only grow.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    columns: Vec<(Column, usize)>,
    palette: Palette,
}

impl Layout {
    /// Columns as wide as their titles.
    pub(crate) fn new(columns: &[Column], palette: Palette) -> Self {
        Self { columns: columns.iter().map(|c| (*c, c.title.width().max(c.least))).collect(), palette }
    }

    /// Makes room for a row.
    pub(crate) fn fit(&mut self, row: &[Cell]) {
        for ((_, width), cell) in self.columns.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }

    /// The line of titles.
    pub(crate) fn titles(&self) -> String {
        let titles: Vec<Cell> = self.columns.iter().map(|(c, _)| Cell::toned(Tone::Dim, c.title)).collect();
        self.line(&titles)
    }

    /// One row, with its line feed.
    pub(crate) fn line(&self, row: &[Cell]) -> String {
        let last = row.iter().rposition(|cell| !cell.text.is_empty()).unwrap_or(0);
        let mut out = String::new();
        for (at, ((column, width), cell)) in self.columns.iter().zip(row).enumerate().take(last + 1) {
            if at > 0 {
                out.push_str(GAP);
            }
            let space = " ".repeat(width.saturating_sub(cell.width()));
            let text = self.palette.paint(cell.tone, &cell.text);
            match (column.right, at == last) {
                (true, _) => out.extend([space.as_str(), &text]),
                (false, false) => out.extend([text.as_str(), &space]),
                (false, true) => out.push_str(&text),
            }
        }
        out.push('\n');
        out
    }
}

/// A whole table with its titles.
pub(crate) fn table(columns: &[Column], rows: &[Vec<Cell>], palette: Palette) -> String {
    let mut layout = Layout::new(columns, palette);
    for row in rows {
        layout.fit(row);
    }
    let mut out = layout.titles();
    for row in rows {
        out.push_str(&layout.line(row));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [Column::left("NAME"), Column::right("RUNS"), Column::left("NOTE")];

    #[test]
    fn columns_are_aligned_and_lines_end_without_spaces() {
        let rows =
            [vec!["acme".into(), "7".into(), "".into()], vec!["日本".into(), "1234567".into(), "a\x1b\n".into()]];
        let text = table(&COLUMNS, &rows, Palette::plain());
        assert_eq!(text, "NAME     RUNS  NOTE\nacme        7\n日本  1234567  a\\u{1b}\\n\n");
    }

    #[test]
    fn colours_do_not_count_as_width() {
        let row = vec![Cell::toned(Tone::Good, "ok"), "1".into(), "x".into()];
        let plain = table(&COLUMNS, std::slice::from_ref(&row), Palette::plain());
        let coloured = table(&COLUMNS, &[row], Palette::coloured());
        assert_ne!(plain, coloured);
        assert!(
            coloured.contains("\x1b[32mok\x1b[0m     1  x\n") || coloured.contains("ok\x1b[0m       1  x\n"),
            "{coloured:?}"
        );
    }

    #[test]
    fn widths_only_grow() {
        let mut layout = Layout::new(&[Column::left("A").at_least(3), Column::left("B")], Palette::plain());
        assert_eq!(layout.line(&["x".into(), "y".into()]), "x    y\n");
        layout.fit(&["wider".into(), "y".into()]);
        assert_eq!(layout.line(&["x".into(), "y".into()]), "x      y\n");
    }
}
