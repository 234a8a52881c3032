//! `leasehold next`: when a cron expression fires.

mod changes;

use std::io::{self, BufWriter, Write};

use clap::Args;
use jiff::Timestamp;
use leasehold_common::id::{JobKey, JobName, TenantId};
use leasehold_common::schedule::{CronError, CronExpr, DstPolicy, Zone};
use unicode_width::UnicodeWidthStr;

use self::changes::Asked;
use crate::cli::{Format, OutputArgs};
use crate::failure::Failure;
use crate::out;
use crate::render::style::{Palette, Tone};
use crate::render::table::{Cell, Column, Layout};
use crate::render::text::one_line;
use crate::render::time::relative;

/// Show when a cron expression fires.
///
/// Takes five fields (minute hour day-of-month month day-of-week), six (seconds first), seven (year last), or a
/// nickname such as @daily. `--` may stand before the expression.
#[derive(Args, Debug)]
pub(crate) struct NextArgs {
    /// The cron expression, in quotes
    #[arg(value_name = "EXPR", allow_hyphen_values = true)]
    expr: String,

    /// The time zone in which it is read, by its IANA name
    #[arg(long = "tz", value_name = "ZONE", default_value = "UTC")]
    zone: Zone,

    /// Show what comes strictly after this instant (RFC 3339) [default: now]
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    from: Option<Timestamp>,

    /// How many to show
    #[arg(short = 'n', value_name = "N", default_value_t = 10)]
    count: u32,

    /// Show what the next two clock changes do to it, from a day before each to a day after
    #[arg(long, conflicts_with = "count")]
    dst: bool,

    /// What happens when clocks change, as `dst` in a config
    #[arg(long, value_name = "POLICY", default_value = POLICIES[0], value_parser = POLICIES)]
    policy: String,

    /// The tenant whose hash `H` stands for
    #[arg(long, value_name = "TENANT", requires = "job")]
    tenant: Option<TenantId>,

    /// The job whose hash `H` stands for
    #[arg(long, value_name = "JOB", requires = "tenant")]
    job: Option<JobName>,

    #[command(flatten)]
    output: OutputArgs,
}

/// The words for [`DstPolicy`], the default first.
const POLICIES: [&str; 3] = ["once", "skip", "literal"];

/// RFC 3339 with an offset: a time without one would be somebody's local time.
pub(crate) fn instant(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| "write an instant with its offset, as in 2026-11-21T02:00:00Z".to_owned())
}

impl NextArgs {
    fn parse(&self) -> Result<CronExpr, CronError> {
        match (&self.tenant, &self.job) {
            (Some(tenant), Some(job)) => CronExpr::parse_seeded(&self.expr, JobKey::new(tenant, job, 0).bits()),
            _ => CronExpr::parse(&self.expr),
        }
    }

    fn policy(&self) -> DstPolicy {
        match self.policy.as_str() {
            "skip" => DstPolicy::Skip,
            "literal" => DstPolicy::Literal,
            _ => DstPolicy::Once,
        }
    }
}

/// Prints the instants, or why there are none.
pub(crate) fn run(args: &NextArgs) -> Result<(), Failure> {
    let expr = args.parse().map_err(|error| {
        leasehold_ops::say_part!("{}", refusal(&args.expr, &error, Palette::stderr()));
        Failure::InvalidTold
    })?;
    let now = Timestamp::now();
    let mut at = args.from.unwrap_or(now);
    if args.dst {
        return tell_changes(args, &expr, at);
    }
    let fires = std::iter::from_fn(|| {
        at = expr.next_after(at, args.zone.tz(), args.policy())?;
        Some(at)
    })
    .take(args.count as usize);
    let mut out = BufWriter::new(io::stdout().lock());
    match args.output.output {
        Format::Json => write_json(&mut out, fires)?,
        Format::Table => write_table(&mut out, fires, &args.zone, now, &expr)?,
    }
    Ok(out.flush()?)
}

fn tell_changes(args: &NextArgs, expr: &CronExpr, from: Timestamp) -> Result<(), Failure> {
    let asked = Asked { expr, zone: &args.zone, policy: args.policy(), from };
    match args.output.output {
        Format::Json => out::print_json(&changes::told(&asked)),
        Format::Table => {
            let mut text = Vec::new();
            changes::write(&mut text, &asked, &args.policy, Palette::stdout())?;
            out::print(&String::from_utf8_lossy(&text))
        }
    }
}

fn write_json(out: &mut impl Write, fires: impl Iterator<Item = Timestamp>) -> io::Result<()> {
    out.write_all(b"[")?;
    for (n, at) in fires.enumerate() {
        write!(out, "{}\n  \"{at}\"", if n == 0 { "" } else { "," })?;
    }
    out.write_all(b"\n]\n")
}

fn write_table(
    out: &mut impl Write,
    fires: impl Iterator<Item = Timestamp>,
    zone: &Zone,
    now: Timestamp,
    expr: &CronExpr,
) -> io::Result<()> {
    let palette = Palette::stdout();
    let columns = [Column::left("LOCAL").at_least(31), Column::left("UTC").at_least(20), Column::left("WHEN")];
    let layout = Layout::new(&columns, palette);
    let title = format!("{}, by the clocks of {zone}\n", one_line(&expr.describe()));
    out.write_all(palette.paint(Tone::Dim, &title).as_bytes())?;
    out.write_all(layout.titles().as_bytes())?;
    for at in fires {
        let local = at.to_zoned(zone.tz().clone()).strftime("%a %Y-%m-%d %H:%M:%S %:z").to_string();
        let row = [local.into(), at.to_string().into(), Cell::toned(Tone::Dim, relative(at, now))];
        out.write_all(layout.line(&row).as_bytes())?;
    }
    Ok(())
}

/// The reason, the expression with a caret under what is wrong, and advice if there is any.
fn refusal(text: &str, error: &CronError, palette: Palette) -> String {
    let mut out = format!("{}: {}\n", palette.paint(Tone::Bad, "error"), one_line(&error.to_string()));
    if let Some((before, marked, after)) =
        error.span().and_then(|span| Some((text.get(..span.start)?, text.get(span.clone())?, text.get(span.end..)?)))
    {
        let [before, marked, after] = [before, marked, after].map(one_line);
        let carets = "^".repeat(marked.width().max(1));
        out.push_str(&format!("  {before}{marked}{after}\n  {}{carets}\n", " ".repeat(before.width())));
    }
    if let Some(help) = error.help() {
        out.push_str(&format!("help: {}\n", one_line(&help)));
    }
    out
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        refusal(text, &CronExpr::parse(text).unwrap_err(), Palette::plain())
    }

    #[test]
    fn the_caret_stands_under_what_is_wrong() {
        let text = told("0 25 * * *");
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with("error: hour field: `25`"), "{text}");
        assert_eq!(lines[1..3], ["  0 25 * * *", "    ^^"]);
    }

    #[test]
    fn a_hostile_expression_is_shown_and_not_obeyed() {
        let text = told("0 \x1b[2J * * *");
        assert!(!text.contains('\x1b'), "{text:?}");
    }

    #[test]
    fn the_array_is_json_whether_or_not_anything_is_in_it() {
        for count in 0..3 {
            let mut out = Vec::new();
            write_json(&mut out, std::iter::repeat_n(Timestamp::UNIX_EPOCH, count)).unwrap();
            let read: Vec<String> = serde_json::from_slice(&out).unwrap();
            assert_eq!(read, vec!["1970-01-01T00:00:00Z"; count]);
        }
    }
}
