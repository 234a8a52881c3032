//! `leasehold breakers`: endpoints that are down.

use clap::{Args, Subcommand};
use leasehold_common::store::{BreakerState, BreakerView, Store};

use crate::cli::{Format, GlobalOutputArgs};
use crate::failure::Failure;
use crate::out;
use crate::render::style::{Palette, Tone};
use crate::render::table::{Cell, Column, table};
use crate::render::text::one_line;

/// Show the endpoints that are down and what waits for them, or let it go.
///
/// A breaker opens when calls of an endpoint fail in a row since nothing answers, or a gateway says 502, 503 or 504. What
/// calls the endpoint then waits; from time to time one run goes through, and the first that gets an answer closes it.
#[derive(Args, Debug)]
pub(crate) struct BreakersArgs {
    #[command(subcommand)]
    command: Option<BreakersCommand>,

    #[command(flatten)]
    output: GlobalOutputArgs,
}

#[derive(Debug, Subcommand)]
enum BreakersCommand {
    /// Show the breakers that are not closed; the same as no subcommand
    List,
    /// Close a breaker now: what waits goes on
    ///
    /// If the endpoint is still down, the breaker opens again.
    Close {
        /// Host and port, as `leasehold breakers` shows them
        #[arg(value_name = "HOST:PORT")]
        endpoint: String,
    },
}

/// Shows the breakers, or closes one.
pub(crate) async fn run(store: &dyn Store, args: &BreakersArgs) -> Result<(), Failure> {
    if let Some(BreakersCommand::Close { endpoint }) = &args.command {
        let endpoint = endpoint.to_lowercase();
        return match store.close_breaker(&endpoint).await? {
            true => out::print(&format!("closed the breaker of {endpoint}\n")),
            false => Err(Failure::Refused(format!(
                "there is no open breaker of {endpoint:?}: `leasehold breakers` lists them"
            ))),
        };
    }
    let breakers = store.breakers().await?;
    match args.output.output {
        Format::Json => out::print_json(&breakers),
        Format::Table => out::print(&list(&breakers, Palette::stdout())),
    }
}

fn list(breakers: &[BreakerView], palette: Palette) -> String {
    const COLUMNS: [Column; 6] = [
        Column::left("ENDPOINT"),
        Column::left("STATE"),
        Column::right("OPENED"),
        Column::left("NEXT PROBE"),
        Column::right("WAITING"),
        Column::left("ERROR"),
    ];
    if breakers.is_empty() {
        return "Every endpoint answers, as far as is known.\n".to_owned();
    }
    let rows: Vec<_> = breakers
        .iter()
        .map(|breaker| {
            let state = match breaker.state {
                BreakerState::Open => Cell::toned(Tone::Bad, "open"),
                BreakerState::Probing => Cell::toned(Tone::Warn, "probing"),
            };
            vec![
                breaker.endpoint.as_str().into(),
                state,
                format!("{:.0}, {} times", breaker.opened_at, breaker.times).into(),
                format!("{:.0}", breaker.retry_at).into(),
                breaker.waiting.to_string().into(),
                one_line(&breaker.error).into(),
            ]
        })
        .collect();
    table(&COLUMNS, &rows, palette)
}
