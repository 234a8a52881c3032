//! Collects what is found, in any order, and hands it out in order of position, bounded.
//!
//! The same text is read once for each set of layers that it is a part of: what is said of one place again is one
//! finding.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::diagnostic::{Diagnostic, Severity, printable};
use super::source::{Source, Span};

/// How many diagnostics of one severity are handed out; the rest is counted.
pub const MAX_SHOWN: usize = 100;
/// How many of one severity are kept until they can be sorted. Nobody reads a file with more mistakes than this to
/// learn which of them is really the first.
const MAX_KEPT: usize = 10_000;

/// A mistake as it is found.
struct Finding {
    severity: Severity,
    span: Span,
    message: String,
    help: Option<String>,
}

/// The findings of one check.
pub(super) struct Report<'t> {
    pub(super) source: &'t Source<'t>,
    findings: Vec<Finding>,
    /// How many there are, each once.
    found: [usize; 2],
    /// How often something was said.
    said: [usize; 2],
    /// What was said, while texts are read several times.
    known: Option<HashSet<u64>>,
    /// Warnings are not wanted.
    muted: bool,
}

impl<'t> Report<'t> {
    pub(super) fn new(source: &'t Source<'t>) -> Self {
        Self { source, findings: Vec::new(), found: [0; 2], said: [0; 2], known: None, muted: false }
    }

    /// One that wants no warnings.
    pub(super) fn of_errors(source: &'t Source<'t>) -> Self {
        Self { muted: true, ..Self::new(source) }
    }

    /// From now on the same may be said several times.
    pub(super) fn expect_repeats(&mut self) {
        self.known.get_or_insert_default();
    }

    /// Does something whose warnings are not wanted.
    pub(super) fn without_warnings<T>(&mut self, act: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.muted, true);
        let result = act(self);
        self.muted = before;
        result
    }

    /// Whether nobody wants warnings.
    pub(super) fn is_muted(&self) -> bool {
        self.muted
    }

    /// The first error in a sentence, with its place in the file if it has one.
    pub(super) fn first_error(&self) -> Option<String> {
        let finding = self.findings.iter().find(|finding| finding.severity == Severity::Error)?;
        let place = self.source.line_of(finding.span.start);
        let place = place.map_or_else(String::new, |line| format!(" ({}:{line})", self.source.name));
        let help = finding.help.as_ref().map_or_else(String::new, |help| format!("; {help}"));
        Some(printable(&format!("{}{place}{help}", finding.message)))
    }

    /// Something that makes the config unusable.
    pub(super) fn error(&mut self, span: &Span, message: impl Into<String>, help: Option<String>) {
        self.push(Severity::Error, span, message.into(), help);
    }

    /// Something that may not be what was meant.
    pub(super) fn warn(&mut self, span: &Span, message: impl Into<String>, help: Option<String>) {
        self.push(Severity::Warning, span, message.into(), help);
    }

    /// How many errors there are; one that is found again counts again.
    pub(super) fn errors(&self) -> usize {
        self.said[index(Severity::Error)]
    }

    /// How many warnings there are, likewise.
    pub(super) fn warnings(&self) -> usize {
        self.said[index(Severity::Warning)]
    }

    /// Whether there is so much already that looking for suggestions is wasted: most of it is never shown.
    pub(super) fn is_crowded(&self) -> bool {
        self.found.iter().any(|count| *count > MAX_KEPT / 10)
    }

    /// Whether something was found on the line of a byte already.
    pub(super) fn has_on_line(&self, at: usize) -> bool {
        let line = self.source.line_at(at).0;
        self.findings.iter().any(|finding| self.source.line_at(finding.span.start).0 == line)
    }

    fn push(&mut self, severity: Severity, span: &Span, message: String, help: Option<String>) {
        if self.muted && severity == Severity::Warning {
            return;
        }
        self.said[index(severity)] += 1;
        if let Some(known) = &mut self.known {
            let mut hash = DefaultHasher::new();
            (span.start, span.end, index(severity), &message).hash(&mut hash);
            if !known.insert(hash.finish()) {
                return;
            }
        }
        let count = &mut self.found[index(severity)];
        *count += 1;
        if *count <= MAX_KEPT {
            self.findings.push(Finding { severity, span: span.clone(), message, help });
        }
    }

    /// The diagnostics in order of position, at most [`MAX_SHOWN`] of each severity, and how many were left out.
    pub(super) fn finish(mut self) -> (Vec<Diagnostic>, usize) {
        let kept = self.findings.len();
        let place = |f: &Finding| (f.span.start, f.severity, f.span.end);
        self.findings.sort_by(|a, b| place(a).cmp(&place(b)).then_with(|| a.message.cmp(&b.message)));
        // A value behind an alias is read once for each use.
        self.findings.dedup_by(|a, b| place(a) == place(b) && a.message == b.message);
        let mut left_out = self.found.iter().sum::<usize>() - kept;
        let mut shown = [0_usize; 2];
        let mut diagnostics = Vec::new();
        for Finding { severity, span, message, help } in &self.findings {
            let count = &mut shown[index(*severity)];
            if *count == MAX_SHOWN {
                left_out += 1;
                continue;
            }
            *count += 1;
            diagnostics.push(Diagnostic::new(*severity, self.source, span, message, help.as_deref()));
        }
        (diagnostics, left_out)
    }
}

fn index(severity: Severity) -> usize {
    match severity {
        Severity::Error => 0,
        Severity::Warning => 1,
    }
}
