//! What a run says of itself while it runs, within bounds.
//!
//! Invariants: nothing grows with what a run says; what is kept has neither NUL characters, which PostgreSQL refuses, nor
//! line breaks within a line.

use std::collections::VecDeque;

/// How many lines of a log are kept.
pub const LINES: usize = 20;

/// The longest line of a log, and the longest message, in bytes.
pub const LINE_MAX: usize = 400;

/// The last lines of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogTail(VecDeque<String>);

impl LogTail {
    /// The lines that were kept as a text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut tail = Self::default();
        tail.push(text);
        tail
    }

    /// Adds a text, line by line.
    pub fn push(&mut self, text: &str) {
        for line in text.lines() {
            if self.0.len() == LINES {
                self.0.pop_front();
            }
            self.0.push_back(one_line(line));
        }
    }

    /// The lines as a text; `None` if there are none.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        let lines: Vec<&str> = self.0.iter().map(String::as_str).collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }
}

/// A message as it is kept: one line, the beginning of a long one.
#[must_use]
pub fn one_line(text: &str) -> String {
    let mut line = String::new();
    for c in text.chars() {
        let c = if c.is_control() && c != '\t' { '\u{fffd}' } else { c };
        if line.len() + c.len_utf8() > LINE_MAX {
            line.push('…');
            break;
        }
        line.push(c);
    }
    line
}

/// A percentage as it is kept.
#[must_use]
pub fn percent(percent: u8) -> u8 {
    percent.min(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept() {
        let mut log = LogTail::default();
        assert_eq!(log.text(), None);
        for n in 0..=LINES {
            log.push(&format!("line {n}\n"));
        }
        let text = log.text().unwrap_or_default();
        assert!(text.starts_with("line 1\n") && text.ends_with("\nline 20"), "{text}");
        assert_eq!(LogTail::of(&text), log);
    }

    #[test]
    fn lines_are_bounded_and_without_control_characters() {
        assert_eq!(one_line("a\0b\u{1b}[2J\tc\r"), "a\u{fffd}b\u{fffd}[2J\tc\u{fffd}");
        let long = one_line(&"é".repeat(LINE_MAX));
        assert!(long.len() <= LINE_MAX + '…'.len_utf8() && long.ends_with("é…"), "{}", long.len());
        assert_eq!((percent(40), percent(255)), (40, 100));
    }
}
