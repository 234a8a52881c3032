//! Both ends of a long output, in bounded memory: the beginning in brief, and the end, where the reason usually stands.

use leasehold_common::run::TEXT_MAX;
use serde_json::Value;

/// What is kept: less than an error may have in all, so that what is said in front of it is not cut off again.
pub(crate) const KEPT: usize = TEXT_MAX - 1024;

/// How much of it is the beginning.
const HEAD: usize = 2 * 1024;

/// How much of it is the end.
const END: usize = KEPT - HEAD;

/// Keeps the first [`HEAD`] and the last [`END`] bytes of what is pushed.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    head: Vec<u8>,
    end: Vec<u8>,
    dropped: usize,
}

impl Tail {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let (first, rest) = bytes.split_at(bytes.len().min(HEAD - self.head.len()));
        self.head.extend_from_slice(first);
        self.end.extend_from_slice(rest);
        // Twice the size before cutting, so that each byte is moved at most once on average.
        if self.end.len() >= 2 * END {
            self.cut();
        }
    }

    fn cut(&mut self) {
        let excess = self.end.len().saturating_sub(END);
        self.end.drain(..excess);
        self.dropped += excess;
    }

    /// Both kept ends as text fit for every store: broken UTF-8 and NUL bytes replaced, outer white space trimmed, and
    /// what was left out said between them.
    pub(crate) fn into_text(mut self) -> String {
        self.cut();
        if self.dropped == 0 {
            self.head.append(&mut self.end);
            let text = clean(&self.head);
            let text = text.trim();
            return match text.len() {
                ..=KEPT => text.to_owned(),
                // A replacement is longer than what it replaces.
                _ => both_ends(text, text, 0),
            };
        }
        // The cut may have gone through characters: what remains of them is no broken UTF-8 of the program.
        let half = self.head.utf8_chunks().last().map_or(0, |chunk| chunk.invalid().len());
        let head = &self.head[..self.head.len() - half];
        let other = self.end.iter().take(3).take_while(|byte| **byte & 0xc0 == 0x80).count();
        let end = &self.end[other..];
        both_ends(clean(head).trim_start(), clean(end).trim_end(), self.dropped + half + other)
    }

    /// The output as a result: JSON if all of it is JSON, else its ends as text, null if it is empty.
    pub(crate) fn into_result(mut self) -> Value {
        self.cut();
        if self.dropped == 0 {
            self.head.append(&mut self.end);
            if let Ok(value) = serde_json::from_slice(&self.head) {
                return value;
            }
        }
        match self.into_text() {
            text if text.is_empty() => Value::Null,
            text => Value::String(text),
        }
    }
}

fn clean(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}")
}

/// The first [`HEAD`] bytes of one text and the last [`END`] of another, which may be the same and is longer then than
/// both.
fn both_ends(head: &str, end: &str, dropped: usize) -> String {
    let mut until = head.len().min(HEAD);
    while !head.is_char_boundary(until) {
        until -= 1;
    }
    let mut from = end.len().saturating_sub(END);
    while !end.is_char_boundary(from) {
        from += 1;
    }
    let cut = match dropped {
        0 => written(&head[until..from]),
        dropped => dropped + written(&end[..from]) + written(&head[until..]),
    };
    format!("{} [… {cut} bytes left out] {}", &head[..until], &end[from..])
}

/// How many bytes of the program became this text.
fn written(text: &str) -> usize {
    text.chars().map(|c| if c == '\u{fffd}' { 1 } else { c.len_utf8() }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tail(chunks: &[&[u8]]) -> Tail {
        let mut tail = Tail::default();
        chunks.iter().for_each(|chunk| tail.push(chunk));
        tail
    }

    #[test]
    fn json_stays_json_and_everything_else_is_text() {
        assert_eq!(tail(&[b" {\"a\":", b"1}\n"]).into_result(), json!({ "a": 1 }));
        assert_eq!(tail(&[b"done\n"]).into_result(), json!("done"));
        assert_eq!(tail(&[]).into_result(), Value::Null);
        assert_eq!(tail(&[b" \n"]).into_result(), Value::Null);
        let list = json!(vec![1; 6_000]);
        assert_eq!(tail(&[list.to_string().as_bytes()]).into_result(), list);
    }

    #[test]
    fn nul_bytes_and_broken_utf8_are_replaced() {
        assert_eq!(tail(&[b"a\0b\xff\xfec"]).into_text(), "a\u{fffd}b\u{fffd}\u{fffd}c");
    }

    #[test]
    fn memory_is_bounded_and_both_ends_are_kept_with_whole_characters() {
        let mut tail = tail(&[b" <"]);
        let chunk = "é".repeat(4_001);
        for _ in 0..7_000 {
            tail.push(chunk.as_bytes());
            assert!(tail.head.len() + tail.end.len() < HEAD + 2 * END + chunk.len());
        }
        tail.push(b"!\n");
        let text = tail.into_text();
        assert!(text.starts_with("<éé") && text.ends_with("éé!") && !text.contains('\u{fffd}'), "{text:.40}");
        let (_, said) = text.split_once("é [… ").unwrap_or_default();
        let said = said.split_once(" bytes left out] é").map(|(number, _)| number.parse());
        // What is there, what is said to be missing, and the white space that was trimmed are all there was.
        let marker = format!(" [… {} bytes left out] ", 56_000_000).len();
        assert_eq!(said, Some(Ok(7_000 * chunk.len() + 4 - (text.len() - marker) - 2)));
        assert!(text.len() < KEPT + 60);
    }

    #[test]
    fn nothing_is_lost_or_said_to_be_up_to_the_bound() {
        let text = "x".repeat(KEPT);
        assert_eq!(tail(&[text.as_bytes()]).into_text(), text);
        let longer = tail(&[text.as_bytes(), b"y"]).into_text();
        assert!(longer.starts_with('x') && longer.ends_with('y') && longer.contains(" [… 1 bytes left out] "));
    }

    #[test]
    fn replacements_do_not_make_it_longer() {
        for size in [KEPT - 3, 3 * KEPT] {
            let text = tail(&[&vec![0xff; size], b"end"]).into_text();
            assert!(text.len() < KEPT + 60 && text.ends_with("\u{fffd}end"), "{}", text.len());
            let (head, rest) = text.split_once(" [… ").unwrap_or_default();
            let (cut, end) = rest.split_once(" bytes left out] ").unwrap_or_default();
            assert_eq!(cut.parse(), Ok(size + 3 - written(head) - written(end)));
        }
    }

    #[test]
    fn long_json_that_was_cut_is_text() {
        let long = serde_json::to_vec(&vec![1; 20_000]).unwrap_or_default();
        assert!(matches!(tail(&[&long]).into_result(), Value::String(text) if text.ends_with("1,1]")));
    }
}
