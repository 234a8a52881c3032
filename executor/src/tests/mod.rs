//! The executor as a whole, over a store in memory. Time is tokio's paused clock unless a test says otherwise: it
//! jumps to the next timer whenever nothing can run.
#![expect(clippy::unwrap_used, reason = "tests")]

mod attempts;
mod charges;
mod claims;
mod drain;
mod notes;
mod payloads;
mod reports;

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use leasehold_ops::health::Health;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::fake::Fake;
use crate::{Executor, ExecutorOptions, HandlerError, RunContext, StartError, Summary};

/// An executor that runs in the background.
struct Running {
    health: Health,
    shutdown: CancellationToken,
    executor: JoinHandle<Result<Summary, StartError>>,
}

impl Running {
    async fn stop(self) -> Summary {
        self.shutdown.cancel();
        self.executor.await.unwrap().unwrap()
    }
}

fn start(fake: &Arc<Fake>, options: ExecutorOptions, register: impl FnOnce(Executor) -> Executor) -> Running {
    let health = Health::new();
    let shutdown = CancellationToken::new();
    let executor = Executor::new(Arc::clone(fake) as _, options)
        .health(&health)
        .handler("ok", ok)
        .handler("hang", hang)
        .handler("stubborn", stubborn)
        .handler("panic", panic);
    let executor = tokio::spawn(register(executor).run_until(shutdown.clone()));
    Running { health, shutdown, executor }
}

fn start_plain(fake: &Arc<Fake>) -> Running {
    start(fake, ExecutorOptions::default(), |executor| executor)
}

async fn ok(context: RunContext) -> Result<Value, HandlerError> {
    Ok(json!({ "tenant": context.tenant().id, "attempt": context.attempt() }))
}

/// Ends when it is told to.
async fn hang(context: RunContext) -> Result<Value, HandlerError> {
    context.cancelled().await;
    Err(HandlerError::new("told to stop"))
}

/// Does not even end then.
async fn stubborn(_: RunContext) -> Result<Value, HandlerError> {
    pending().await
}

async fn panic(_: RunContext) -> Result<Value, HandlerError> {
    panic!("at the disco\0")
}

const SECOND: Duration = Duration::from_secs(1);
