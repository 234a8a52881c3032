//! Signals.
//!
//! The first SIGTERM or SIGINT asks the process to drain; a second one ends it at once, for whoever cannot wait.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::exit;

/// Answers a token that is cancelled by the first SIGTERM or SIGINT. Must be called within a tokio runtime; signals
/// that arrive after it returns are not lost.
#[must_use]
pub fn on_signal() -> CancellationToken {
    let token = CancellationToken::new();
    match listen() {
        Ok((terminate, interrupt)) => {
            tokio::spawn(follow(terminate, interrupt, token.clone()));
        }
        Err(error) => tracing::error!(%error, "cannot listen for signals: this process will not drain when stopped"),
    }
    token
}

fn listen() -> io::Result<(Signal, Signal)> {
    Ok((signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?))
}

async fn follow(mut terminate: Signal, mut interrupt: Signal, token: CancellationToken) {
    let name = next(&mut terminate, &mut interrupt).await;
    tracing::info!(signal = name, "shutting down; a second signal ends the process at once");
    token.cancel();
    let name = next(&mut terminate, &mut interrupt).await;
    tracing::warn!(signal = name, "second signal: ending at once");
    std::process::exit(exit::FAILED.into());
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}
