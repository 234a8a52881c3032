//! The text of a config file and where its lines are.

use std::borrow::Cow;
use std::ops::Range;

/// A place in the text, in bytes. Always on character boundaries of the text it was made for.
pub(super) type Span = Range<usize>;

/// The place of what no file says.
pub(super) const NOWHERE: Span = usize::MAX / 2..usize::MAX / 2;

/// The text with the starts of its lines.
pub(super) struct Source<'t> {
    pub(super) name: &'t str,
    pub(super) text: &'t str,
    lines: Cow<'t, [usize]>,
}

impl<'t> Source<'t> {
    pub(super) fn new(name: &'t str, text: &'t str) -> Self {
        let bytes = text.as_bytes();
        let breaks = bytes.iter().enumerate().filter(|&(at, byte)| match byte {
            b'\n' => true,
            b'\r' => bytes.get(at + 1) != Some(&b'\n'),
            _ => false,
        });
        let lines: Vec<_> = std::iter::once(0).chain(breaks.map(|(at, _)| at + 1)).collect();
        Self { name, text, lines: Cow::Owned(lines) }
    }

    /// The same again, with the lines that [`Source::lines`] gave.
    pub(super) fn with_lines(name: &'t str, text: &'t str, lines: &'t [usize]) -> Self {
        Self { name, text, lines: Cow::Borrowed(lines) }
    }

    /// Where the lines start.
    pub(super) fn lines(&self) -> &[usize] {
        &self.lines
    }

    /// The line of a byte, from 1; `None` if it is not in the text.
    pub(super) fn line_of(&self, at: usize) -> Option<usize> {
        (at <= self.text.len()).then(|| self.line_at(at).0 + 1)
    }

    /// The line of a byte, from 0, and the bytes that the line takes without its line break.
    pub(super) fn line_at(&self, at: usize) -> (usize, Span) {
        let line = self.lines.partition_point(|start| *start <= at).saturating_sub(1);
        let start = self.lines[line];
        let end = self.lines.get(line + 1).copied().unwrap_or(self.text.len());
        let text = self.text[start..end].trim_end_matches(['\r', '\n']);
        (line, start..start + text.len())
    }

    /// The closest character boundary at or before a byte.
    pub(super) fn boundary(&self, at: usize) -> usize {
        (0..=at.min(self.text.len())).rev().find(|at| self.text.is_char_boundary(*at)).unwrap_or(0)
    }

    /// The text of a span; empty if it is out of bounds.
    pub(super) fn slice(&self, span: &Span) -> &'t str {
        self.text.get(span.clone()).unwrap_or("")
    }
}
