//! The end of a long output, in bounded memory.

use leasehold_common::run::TEXT_MAX;
use serde_json::Value;

/// What is kept: less than an error may have in all, so that what is said in front of it is not cut off again.
pub(crate) const KEPT: usize = TEXT_MAX - 1024;

/// Keeps the last [`KEPT`] bytes of what is pushed.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    bytes: Vec<u8>,
    dropped: usize,
}

impl Tail {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        // Twice the size before cutting, so that each byte is moved at most once on average.
        if self.bytes.len() >= 2 * KEPT {
            self.cut();
        }
    }

    fn cut(&mut self) {
        let excess = self.bytes.len().saturating_sub(KEPT);
        self.bytes.drain(..excess);
        self.dropped += excess;
    }

    /// The kept end as text fit for every store: broken UTF-8 and NUL bytes replaced, outer white space trimmed, and
    /// what was left out said in front.
    pub(crate) fn into_text(mut self) -> String {
        self.cut();
        let mut dropped = self.dropped;
        let mut bytes = self.bytes.as_slice();
        if dropped > 0 {
            // The cut may have gone through a character: its remaining bytes are no broken UTF-8 of the program.
            let continuation = bytes.iter().take(3).take_while(|byte| **byte & 0xc0 == 0x80).count();
            bytes = &bytes[continuation..];
            dropped += continuation;
        }
        let text = String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}");
        let text = text.trim();
        // A replacement is longer than what it replaces.
        let mut excess = text.len().saturating_sub(KEPT);
        while !text.is_char_boundary(excess) {
            excess += 1;
        }
        match dropped + excess {
            0 => text.to_owned(),
            dropped => format!("[… {dropped} bytes left out] {}", &text[excess..]),
        }
    }

    /// The output as a result: JSON if all of it is JSON, else its end as text, null if it is empty.
    pub(crate) fn into_result(mut self) -> Value {
        self.cut();
        if self.dropped == 0
            && let Ok(value) = serde_json::from_slice(&self.bytes)
        {
            return value;
        }
        match self.into_text() {
            text if text.is_empty() => Value::Null,
            text => Value::String(text),
        }
    }
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
    }

    #[test]
    fn nul_bytes_and_broken_utf8_are_replaced() {
        assert_eq!(tail(&[b"a\0b\xff\xfec"]).into_text(), "a\u{fffd}b\u{fffd}\u{fffd}c");
    }

    #[test]
    fn memory_is_bounded_and_the_end_is_kept_with_whole_characters() {
        let mut tail = Tail::default();
        let chunk = "é".repeat(4_001);
        for _ in 0..7_000 {
            tail.push(chunk.as_bytes());
            assert!(tail.bytes.len() < 2 * KEPT + chunk.len());
        }
        tail.push(b"!");
        let text = tail.into_text();
        assert!(text.starts_with("[… 5599"), "{}", &text[..40]);
        assert!(text.ends_with("éé!") && !text.contains('\u{fffd}'));
        assert!(text.len() < KEPT + 60);
    }

    #[test]
    fn replacements_do_not_make_it_longer() {
        let text = tail(&[&[0xff; 3 * KEPT], b"end"]).into_text();
        assert!(text.len() < KEPT + 60 && text.starts_with("[… ") && text.ends_with("\u{fffd}end"), "{}", text.len());
    }

    #[test]
    fn long_json_that_was_cut_is_text() {
        let long = serde_json::to_vec(&vec![1; 20_000]).unwrap_or_default();
        assert!(matches!(tail(&[&long]).into_result(), Value::String(text) if text.ends_with("1,1]")));
    }
}
