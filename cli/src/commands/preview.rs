//! `leasehold preview`: how many runs a config makes in each hour, before anybody applies it.

mod count;
mod forecast;
mod table;

use std::path::PathBuf;

use clap::Args;
use jiff::{SignedDuration, Timestamp};

use crate::apply;
use crate::cli::{Format, OutputArgs};
use crate::failure::Failure;
use crate::out;
use crate::render::style::Palette;

/// Show how many runs a config makes in each hour
///
/// Counts the due times of all jobs of all tenants, so that a thundering herd is seen before it is there. Needs no
/// store. Whole minutes are counted: both ends are rounded down to one.
#[derive(Args, Debug)]
pub(crate) struct PreviewArgs {
    /// The config file
    #[arg(value_name = "CONFIG")]
    file: PathBuf,

    /// From this instant on (RFC 3339) [default: now]
    #[arg(long, value_name = "INSTANT", value_parser = super::next::instant)]
    from: Option<Timestamp>,

    /// Up to this instant, which is excluded; at most 31 days later [default: 24 hours later]
    #[arg(long, value_name = "INSTANT", value_parser = super::next::instant)]
    to: Option<Timestamp>,

    #[command(flatten)]
    output: OutputArgs,
}

/// The longest stretch.
const LONGEST: SignedDuration = SignedDuration::from_hours(31 * 24);

/// Prints the forecast.
pub(crate) fn run(args: &PreviewArgs) -> Result<(), Failure> {
    let (from, to) = stretch(args.from.unwrap_or_else(Timestamp::now), args.to)?;
    let config = apply::load(&args.file)?;
    if !config.roster().sources.is_empty() {
        leasehold_ops::say!("The tenants of live sources are not counted: only the store knows them.");
    }
    let desired = config.desired(from, &[]);
    let forecast = count::forecast(&desired, from, to)?;
    match args.output.output {
        Format::Json => out::print_json(&forecast.summary()),
        Format::Table => out::print(&table::text(&forecast.summary(), Palette::stdout())),
    }
}

/// In whole minutes.
fn stretch(from: Timestamp, to: Option<Timestamp>) -> Result<(Timestamp, Timestamp), Failure> {
    let minute = |at: Timestamp| Timestamp::from_second(at.as_second().div_euclid(60) * 60).unwrap_or(at);
    let from = minute(from);
    let to = minute(to.or(from.checked_add(SignedDuration::from_hours(24)).ok()).unwrap_or(from));
    let length = to.duration_since(from);
    if length <= SignedDuration::ZERO {
        return Err(Failure::Invalid(format!("--to must be at least a minute after --from: they are {to} and {from}")));
    }
    if length > LONGEST {
        return Err(Failure::Invalid(format!("from {from} to {to} is more than 31 days: ask for a part of it")));
    }
    Ok((from, to))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_has_whole_minutes_and_at_most_31_days() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let from = at("2026-11-21T02:00:59.5Z");
        assert_eq!(stretch(from, None).unwrap(), (at("2026-11-21T02:00:00Z"), at("2026-11-22T02:00:00Z")));
        let to = at("2026-12-22T02:00:30Z");
        assert_eq!(stretch(from, Some(to)).unwrap().1, at("2026-12-22T02:00:00Z"));
        for (to, because) in [
            ("2026-11-21T02:00:59.9Z", "--to must be at least a minute after --from"),
            ("2026-11-20T02:00:00Z", "--to must be at least a minute after --from"),
            ("2026-12-22T02:01:00Z", "is more than 31 days"),
        ] {
            let error = stretch(from, Some(at(to))).unwrap_err().to_string();
            assert!(error.contains(because), "{error}");
        }
        let before_1970 = stretch(at("1969-12-31T23:59:30Z"), None).unwrap().0;
        assert_eq!(before_1970, at("1969-12-31T23:59:00Z"));
    }
}
