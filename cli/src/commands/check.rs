//! `leasehold check`: every mistake in a config file.

use std::path::Path;

use jiff::Timestamp;
use leasehold_common::config;

use crate::apply::unreadable;
use crate::failure::Failure;
use crate::out;
use crate::render::check;
use crate::render::style::Palette;

/// Prints what was found on stderr, and the summary on stdout if the config can be used.
pub(crate) fn run(file: &Path) -> Result<(), Failure> {
    let checked = config::load(file).map_err(unreadable)?;
    leasehold_ops::say_part!("{}", check::diagnostics(&checked, Palette::stderr()));
    let Some(config) = &checked.config else {
        leasehold_ops::say!("{}", check::refusal(file, &checked.diagnostics, checked.omitted));
        return Err(Failure::InvalidTold);
    };
    let ended = config.ended_overrides(Timestamp::now());
    leasehold_ops::say_part!("{}", check::some(&ended, Palette::stderr()));
    let warnings = checked.counts().1 + ended.len();
    out::print(&format!("{}\n", check::summary(file, config, warnings)))
}
