//! What a check of a config found.

use std::path::Path;

use leasehold_common::config::{Checked, Config, Diagnostic, Severity};

use super::style::{Palette, Tone};
use super::text::{count, one_line};

/// Every diagnostic, with an empty line behind each.
pub(crate) fn diagnostics(checked: &Checked, palette: Palette) -> String {
    let mut out = some(&checked.diagnostics, palette);
    if checked.omitted > 0 {
        out.push_str(&format!("… and {}\n\n", count(checked.omitted, "more message")));
    }
    out
}

/// Some diagnostics, likewise.
pub(crate) fn some(diagnostics: &[Diagnostic], palette: Palette) -> String {
    diagnostics.iter().map(|found| diagnostic(found, palette)).collect()
}

fn diagnostic(found: &Diagnostic, palette: Palette) -> String {
    let text = found.to_string();
    let (tone, word) = match found.severity {
        Severity::Error => (Tone::Bad, "error"),
        Severity::Warning => (Tone::Warn, "warning"),
    };
    match text.strip_prefix(word) {
        Some(rest) => format!("{}{rest}\n\n", palette.paint(tone, word)),
        None => format!("{text}\n\n"),
    }
}

/// `leasehold.yaml: 3 errors, 1 warning`.
pub(crate) fn refusal(file: &Path, diagnostics: &[Diagnostic], omitted: usize) -> String {
    let errors = diagnostics.iter().filter(|found| found.severity == Severity::Error).count();
    let mut out = format!("{}: {}", name(file), count(errors, "error"));
    if errors < diagnostics.len() {
        out.push_str(&format!(", {}", count(diagnostics.len() - errors, "warning")));
    }
    if omitted > 0 {
        out.push_str(&format!(", and {omitted} more"));
    }
    out
}

/// `leasehold.yaml: ok: 5 tenants, 2 jobs, which make 10`; warnings are counted behind it.
pub(crate) fn summary(file: &Path, config: &Config, warnings: usize) -> String {
    let all: usize = config.jobs().map(|(_, tenants)| tenants).sum();
    let mut out = format!(
        "{}: ok: {}, {}, {all} in all",
        name(file),
        count(config.tenants().len(), "tenant"),
        count(config.jobs().len(), "job"),
    );
    let sources = config.roster().sources.len();
    if sources > 0 {
        out.push_str(&format!(", and the tenants of {}", count(sources, "live source")));
    }
    if warnings > 0 {
        out.push_str(&format!(", {}", count(warnings, "warning")));
    }
    out
}

fn name(file: &Path) -> String {
    one_line(&file.display().to_string())
}
