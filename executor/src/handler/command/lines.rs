//! The lines of a program's output: those that tell its progress, `::progress 40 halfway`, are taken out of the output;
//! all others go into the log of the run, too.
//!
//! Invariants: memory does not grow with a line; what is no progress stays in the output byte for byte. What stands in a
//! line that is not ended yet may be kept back until the program ends or the line does, if it may become progress.

use leasehold_common::progress::LINE_MAX;

use crate::notes::Notebook;

/// How a line begins that tells the progress.
const PROGRESS: &[u8] = b"::progress ";

/// See the module.
pub(super) struct Lines {
    notebook: Notebook,
    /// The line so far, as far as it is looked at.
    line: Vec<u8>,
    /// Whether all of the line so far is in the output already.
    kept: bool,
}

impl Lines {
    pub(super) fn new(notebook: Notebook) -> Self {
        Self { notebook, line: Vec::new(), kept: false }
    }

    /// Takes what was read, and hands on what is output.
    pub(super) fn push(&mut self, bytes: &[u8], mut keep: impl FnMut(&[u8])) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE_MAX.saturating_sub(self.line.len());
            let may_be_progress = !self.kept && begins_alike(&self.line, part) && part.len() <= room;
            if !may_be_progress {
                if !self.kept {
                    keep(&self.line);
                    self.kept = true;
                }
                keep(part);
            }
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                self.end(&mut keep);
            }
        }
    }

    /// The line, or the output, has come to its end.
    pub(super) fn end(&mut self, mut keep: impl FnMut(&[u8])) {
        let line = std::mem::take(&mut self.line);
        let kept = std::mem::take(&mut self.kept);
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches(['\n', '\r']);
        match progress(text).filter(|_| !kept) {
            Some((percent, message)) => self.notebook.progress(percent, message),
            None => {
                if !kept {
                    keep(&line);
                }
                if !text.trim().is_empty() {
                    self.notebook.output(text);
                }
            }
        }
    }
}

/// Whether a line of these two parts begins as progress does, as far as it is there.
fn begins_alike(line: &[u8], part: &[u8]) -> bool {
    PROGRESS.iter().zip(line.iter().chain(part)).all(|(a, b)| a == b)
}

/// `::progress 40 message`; a percentage is a whole number, and may have its sign behind it.
fn progress(line: &str) -> Option<(u8, &str)> {
    let rest = line.as_bytes().strip_prefix(PROGRESS).map(|rest| &line[line.len() - rest.len()..])?.trim_start();
    let (number, message) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let percent: u8 = number.strip_suffix('%').unwrap_or(number).parse().ok()?;
    (percent <= 100).then(|| (percent, message.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The output, percent, message and log of these pieces.
    fn read(pieces: &[&str]) -> (String, Option<u8>, Option<String>, Option<String>) {
        let notebook = Notebook::default();
        let mut output = Vec::new();
        let mut lines = Lines::new(notebook.clone());
        for piece in pieces {
            lines.push(piece.as_bytes(), |bytes| output.extend_from_slice(bytes));
        }
        lines.end(|bytes| output.extend_from_slice(bytes));
        let (percent, message, log) = notebook.last();
        (String::from_utf8_lossy(&output).into_owned(), percent, message, log)
    }

    #[test]
    fn progress_is_taken_out_of_the_output_however_it_is_read() {
        let whole = "{\n::progress 40 half way\r\n\"a\": 1}\n";
        let said =
            ("{\n\"a\": 1}\n".to_owned(), Some(40), Some("half way".to_owned()), Some("{\n\"a\": 1}".to_owned()));
        assert_eq!(read(&[whole]), said);
        let bytes: Vec<String> = whole.chars().map(String::from).collect();
        assert_eq!(read(&bytes.iter().map(String::as_str).collect::<Vec<_>>()), said);
        assert_eq!(read(&["::progress 100%"]), (String::new(), Some(100), None, None), "without an end of the line");
    }

    #[test]
    fn what_is_no_progress_is_output() {
        for line in
            ["::progress\n", "::progress many\n", "::progress 101 x\n", " ::progress 4 x\n", ":", "::progress -1"]
        {
            let (output, percent, message, log) = read(&[line]);
            assert_eq!((output.as_str(), percent, message), (line, None, None));
            assert_eq!(log.as_deref(), Some(line.trim_end()));
        }
    }

    #[test]
    fn a_long_line_is_output_and_neither_kept_back_nor_kept_whole() {
        let long = format!("::progress 4 {}\nlast\n", "é".repeat(LINE_MAX));
        for piece in [1, 7, 4_096] {
            let bytes = long.as_bytes();
            let mut output = Vec::new();
            let mut lines = Lines::new(Notebook::default());
            for part in bytes.chunks(piece) {
                lines.push(part, |bytes| output.extend_from_slice(bytes));
                assert!(lines.line.len() <= LINE_MAX);
            }
            lines.end(|bytes| output.extend_from_slice(bytes));
            assert_eq!(output, bytes, "{piece}");
        }
    }
}
