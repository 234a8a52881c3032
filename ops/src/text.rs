//! Hostile text made harmless for a terminal.
//!
//! Errors and results come from handlers, and names from configs: an escape sequence in one of them must not recolour
//! a terminal, retitle its window or answer on its behalf, and a line break must not forge a log line.

use std::fmt::{self, Write as _};

/// Displays a value with every character escaped that could do more than show itself.
///
/// ```
/// use leasehold_ops::text::Printable;
/// assert_eq!(Printable("ok\u{1b}[31m\nforged").to_string(), "ok\\u{1b}[31m\\nforged");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Printable<T>(pub T);

impl<T: fmt::Display> fmt::Display for Printable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping { inner: f }, "{}", self.0)
    }
}

/// Escapes what passes through it.
pub(crate) struct Escaping<'a, W: ?Sized> {
    pub(crate) inner: &'a mut W,
}

impl<W: fmt::Write + ?Sized> fmt::Write for Escaping<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut plain_from = 0;
        for (at, c) in text.char_indices().filter(|(_, c)| is_active(*c)) {
            self.inner.write_str(&text[plain_from..at])?;
            write!(self.inner, "{}", c.escape_default())?;
            plain_from = at + c.len_utf8();
        }
        self.inner.write_str(&text[plain_from..])
    }
}

/// Whether a terminal may do something else than draw this character: C0, DEL and C1 controls, line and paragraph
/// separators, and the marks that reorder what stands around them ("Trojan Source", CVE-2021-42574).
pub(crate) fn is_active(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_and_reordering_marks_are_escaped_and_letters_are_not() {
        assert_eq!(
            Printable("é\u{9b}2J\u{202e}x\r\n\t\0\u{7f}").to_string(),
            "é\\u{9b}2J\\u{202e}x\\r\\n\\t\\u{0}\\u{7f}"
        );
        assert_eq!(Printable("Größe 日本 🦀 'quoted' \\n").to_string(), "Größe 日本 🦀 'quoted' \\n");
    }
}
