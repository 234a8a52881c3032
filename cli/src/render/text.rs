//! Text that Leasehold did not write, cut to size for a terminal.

use leasehold_ops::text::Printable;

/// Text on one line, with line breaks, control characters and reordering marks as escapes.
pub(crate) fn one_line(text: &str) -> String {
    Printable(text).to_string()
}

/// Text on several lines, each made harmless; an empty text has none.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = String> {
    text.lines().map(one_line)
}

/// The first `max` characters, with an ellipsis if there were more.
pub(crate) fn clipped(text: &str, max: usize) -> String {
    if text.char_indices().nth(max).is_none() {
        return text.to_owned();
    }
    let keep = text.char_indices().nth(max.saturating_sub(1)).map_or(0, |(at, _)| at);
    format!("{}…", &text[..keep])
}

/// `1 job`, `2 jobs`.
pub(crate) fn count(number: usize, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        _ => format!("{number} {thing}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_command_a_terminal_is_shown_and_not_obeyed() {
        assert_eq!(one_line("a\x1b[2J\nb\u{202e}"), "a\\u{1b}[2J\\nb\\u{202e}");
        assert_eq!(lines("a\x07\nb").collect::<Vec<_>>(), ["a\\u{7}", "b"]);
    }

    #[test]
    fn clipping_counts_characters_and_says_that_it_did() {
        assert_eq!(clipped("äöü", 3), "äöü");
        assert_eq!(clipped("äöüß", 3), "äö…");
        assert_eq!(clipped("", 3), "");
    }

    #[test]
    fn one_is_no_plural() {
        assert_eq!((count(1, "job"), count(0, "job")), ("1 job".to_owned(), "0 jobs".to_owned()));
    }
}
