//! The `leasehold` command: everything in one process for development, and the operator's tool.
//!
//! Owns the words a person types and the text a person reads: arguments, exit codes, tables, JSON on stdout. It
//! decides nothing about schedules, queues or leadership; what it shows comes from a store, and what it changes goes
//! through one method of a store.
//!
//! | module | owns |
//! |---|---|
//! | `cli` | the arguments |
//! | `commands` | one file for each subcommand |
//! | `apply` | from a config to a changed catalog, for `apply` and `dev` |
//! | `follow` | the tail of reports, for `watch` and `dev` |
//! | `instant` | instants, lengths and rates as people type them |
//! | `render` | tables, colours, times in words, hostile text made harmless |
//! | `failure` | exit codes |
//!
//! What holds everywhere: data goes to stdout and talk to stderr; a reader that goes away (a closed pipe) is no
//! error; nothing that came from a handler reaches a terminal unescaped.

mod apply;
mod cli;
mod commands;
mod connect;
mod failure;
mod follow;
mod instant;
mod out;
mod render;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;
use crate::failure::Failure;

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Refused(format!("cannot start: {error}")))
        .and_then(|runtime| {
            let result = runtime.block_on(commands::run(cli));
            // What still blocks a thread (a read of standard input, say) must not keep the process alive.
            runtime.shutdown_background();
            result
        });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}
