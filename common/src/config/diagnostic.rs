//! What a check says: one sentence, the place, the line with a caret, and what would be right.
//!
//! The file is hostile text: nothing of it reaches a terminal as it stands. Control characters, and characters that
//! turn or hide text, are shown as escapes; long lines are shown as a window around the caret.

use std::fmt;

use serde::Serialize;

use super::source::{Source, Span};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The config cannot be used.
    Error,
    /// It can be, and is perhaps not what was meant.
    Warning,
}

/// One mistake, or something that looks like one. Displays as several lines for a terminal, without colour:
///
/// ```text
/// error: unknown key `cronn` in a job
///  --> leasehold.yaml:7:5
///   |
/// 7 |     cronn: "0 2 * * *"
///   |     ^^^^^
/// help: did you mean `cron`?
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// The name of the file as it was given.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// One sentence. Text of the file in it is made safe to print.
    pub message: String,
    /// The line of the file, made safe to print.
    pub snippet: Option<Snippet>,
    /// What would be right.
    pub help: Option<String>,
}

/// A line of the file, or a window of a long one, and what to underline in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Snippet {
    /// The text.
    pub text: String,
    /// How many characters of `text` stand before the caret.
    pub caret: usize,
    /// How many characters to underline, at least 1.
    pub width: usize,
}

/// How many characters of a line are shown; longer ones as a window of that size.
const WINDOW: usize = 120;
/// Lengths at which a message or help is cut.
const MAX_MESSAGE: usize = 600;

impl Diagnostic {
    pub(super) fn new(severity: Severity, source: &Source<'_>, span: &Span, message: &str, help: Option<&str>) -> Self {
        let (line, bounds) = source.line_at(span.start);
        let start = source.boundary(span.start.clamp(bounds.start, bounds.end));
        let end = source.boundary(span.end.clamp(start, bounds.end));
        Self {
            severity,
            file: printable(source.name),
            line: line + 1,
            column: column(source.slice(&(bounds.start..start))),
            message: printable(message),
            snippet: Some(Snippet::new(
                source.slice(&(bounds.start..start)),
                source.slice(&(start..end)),
                source.slice(&(end..bounds.end)),
            )),
            help: help.map(printable),
        }
    }
}

/// The column that follows a piece of a line; a byte-order mark takes none.
fn column(before: &str) -> usize {
    before.trim_start_matches('\u{feff}').chars().count() + 1
}

impl Snippet {
    fn new(before: &str, marked: &str, after: &str) -> Self {
        let before = before.trim_start_matches('\u{feff}');
        let fits = (before.len() + marked.len() + after.len()) <= WINDOW;
        let before_size = if fits { before.len() } else { WINDOW / 2 };
        let (before, cut_before) = last(before, before_size);
        let room = WINDOW.saturating_sub(before.chars().count());
        let (marked, cut_marked) = first(marked, room);
        let (after, cut_after) = first(after, room.saturating_sub(marked.chars().count()));
        let mut text = String::new();
        if cut_before {
            text.push('…');
        }
        text.push_str(&visible(before));
        let caret = text.chars().count();
        text.push_str(&visible(marked));
        let width = (text.chars().count() - caret).max(1);
        text.push_str(&visible(after));
        if cut_marked || cut_after {
            text.push('…');
        }
        Self { text: text.trim_end().to_owned(), caret, width }
    }
}

/// The first characters, and whether there were more.
fn first(text: &str, count: usize) -> (&str, bool) {
    text.char_indices().nth(count).map_or((text, false), |(at, _)| (&text[..at], true))
}

/// The last characters, and whether there were more.
fn last(text: &str, count: usize) -> (&str, bool) {
    if count == 0 {
        return ("", !text.is_empty());
    }
    text.char_indices().rev().nth(count - 1).map_or((text, false), |(at, _)| (&text[at..], at > 0))
}

/// Text of the file, safe to print, with tabs as four spaces.
fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => out.push_str("    "),
            c => push_visible(&mut out, c),
        }
    }
    out
}

/// A sentence, safe to print, and cut if some text of the file in it is very long.
pub(super) fn printable(text: &str) -> String {
    let (text, cut) = first(text, MAX_MESSAGE);
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|c| push_visible(&mut out, c));
    if cut {
        out.push('…');
    }
    out
}

fn push_visible(out: &mut String, c: char) {
    if is_unsafe(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
}

/// Control characters, line separators, and what turns, hides or joins text (Unicode's bidirectional controls and
/// other default-ignorable format characters).
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{kind}: {}\n --> {}:{}:{}", self.message, self.file, self.line, self.column)?;
        if let Some(snippet) = &self.snippet {
            let number = self.line.to_string();
            let margin = " ".repeat(number.len());
            let indent = " ".repeat(snippet.caret);
            let carets = "^".repeat(snippet.width);
            let gap = if snippet.text.is_empty() { "" } else { " " };
            write!(f, "\n{margin} |\n{number} |{gap}{}\n{margin} | {indent}{carets}", snippet.text)?;
        }
        if let Some(help) = &self.help {
            write!(f, "\nhelp: {help}")?;
        }
        Ok(())
    }
}
