//! `leasehold roster`: the live sources of tenants.

use std::time::Duration;

use clap::{Args, Subcommand};
use leasehold_common::store::{SourceView, Store};
use leasehold_ops::args::positive_duration;
use tokio::time::Instant;

use crate::cli::{Format, GlobalOutputArgs};
use crate::failure::Failure;
use crate::out;
use crate::render::roster;
use crate::render::style::Palette;

/// How often a request is looked after.
const LOOK: Duration = Duration::from_millis(200);

/// Show the live sources of tenants, or ask them now.
///
/// Of each source: how many tenants are taken from it, when it was asked, and whether its answer could be used. Then the
/// tenants that were refused, each with the reason.
#[derive(Args, Debug)]
pub(crate) struct RosterArgs {
    #[command(subcommand)]
    command: Option<RosterCommand>,

    #[command(flatten)]
    output: GlobalOutputArgs,
}

#[derive(Debug, Subcommand)]
enum RosterCommand {
    /// Show the sources and what they say; the same as no subcommand
    List,
    /// Have the leader ask the sources now, and wait until it has
    ///
    /// Exit code 1 if a source fails, or is not believed since it leaves out too many of its tenants.
    Refresh {
        /// Believe the sources whatever they leave out, this once: for tenants that are meant to go
        #[arg(long)]
        allow_drop: bool,

        /// How long to wait for the leader
        #[arg(long, default_value = "2m", value_name = "DURATION", value_parser = positive_duration)]
        timeout: Duration,
    },
}

/// Shows the sources, or asks them.
pub(crate) async fn run(store: &dyn Store, args: &RosterArgs) -> Result<(), Failure> {
    let format = args.output.output;
    match args.command.as_ref().unwrap_or(&RosterCommand::List) {
        RosterCommand::List => show(&store.sources().await?, store, format).await,
        RosterCommand::Refresh { allow_drop, timeout } => {
            refresh(store, *allow_drop, *timeout).await?;
            let sources = store.sources().await?;
            show(&sources, store, format).await?;
            judge(&sources)
        }
    }
}

async fn show(sources: &[SourceView], store: &dyn Store, format: Format) -> Result<(), Failure> {
    match format {
        Format::Json => out::print_json(sources),
        Format::Table if sources.is_empty() => {
            leasehold_ops::say!("The config in force names no live sources, or no leader has asked them yet.");
            Ok(())
        }
        Format::Table => {
            let now = store.roster_state().await?.now;
            out::print(&roster::sources(sources, now, Palette::stdout()))
        }
    }
}

async fn refresh(store: &dyn Store, allow_drop: bool, timeout: Duration) -> Result<(), Failure> {
    if store.roster_state().await?.config.is_none() {
        let what = "there is no config in force: `leasehold apply` writes it";
        return Err(Failure::Refused(what.to_owned()));
    }
    let request = store.request_refresh(allow_drop).await?;
    let until = Instant::now() + timeout;
    while store.roster_state().await?.done < request {
        if Instant::now() >= until {
            return Err(Failure::Refused(format!(
                "no leader has asked the sources within {timeout:?}; it will when there is one: see `leasehold status`"
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// What came of it, as an exit code.
fn judge(sources: &[SourceView]) -> Result<(), Failure> {
    let bad: Vec<&str> = sources.iter().filter(|s| !s.is_good()).map(|source| source.source.as_str()).collect();
    if bad.is_empty() {
        return Ok(());
    }
    Err(Failure::Refused(format!("not all sources gave an answer that can be used: {}", bad.join(", "))))
}
