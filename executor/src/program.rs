//! The `main` of an executor binary: flags or environment, logs, metrics, health, signals, exit codes.
//!
//! `leasehold-executor` is this and nothing else; a binary with handlers of its own is this with the handlers.

use std::process::ExitCode;

use clap::Parser;
use leasehold_common::store::SharedStore;
use leasehold_ops::args::{LogArgs, OpsArgs, StoreArgs};
use leasehold_ops::health::Health;
use leasehold_ops::healthcheck::{self, Invocation};
use leasehold_ops::queues::Queues;
use leasehold_ops::server::OpsServer;
use leasehold_ops::{exit, recorder, server, telemetry};
use tokio_util::sync::CancellationToken;

use crate::args::ExecutorArgs;
use crate::executor::Executor;
use crate::options::ExecutorOptions;
use crate::start::StartError;

/// The ops port of an executor.
const OPS_PORT: u16 = 7072;

/// Claims due runs from the store, runs them and reports how they ended.
///
/// Start as many as you like: they share the work. SIGTERM drains: no more claims, and what runs may finish.
#[derive(Parser)]
#[command(version)]
pub(crate) struct Settings {
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    executor: ExecutorArgs,
    #[command(flatten)]
    ops: OpsArgs<OPS_PORT>,
    #[command(flatten)]
    log: LogArgs,
}

/// Parses the command line and runs an executor until SIGTERM or SIGINT and the drain that follows. `register` adds
/// handlers:
///
/// ```no_run
/// use std::process::ExitCode;
/// use leasehold_executor::{HandlerError, Tenant, program};
///
/// async fn sync_orders(tenant: Tenant) -> Result<(), HandlerError> {
///     Ok(())
/// }
///
/// #[tokio::main]
/// async fn main() -> ExitCode {
///     program::run(|executor| executor.handler("sync-orders", sync_orders)).await
/// }
/// ```
pub async fn run(register: impl FnOnce(Executor) -> Executor) -> ExitCode {
    match healthcheck::parse::<Settings, OPS_PORT>() {
        Invocation::Healthcheck(address) => healthcheck::run(address).await,
        Invocation::Run(settings) => match register(Executor::with_settings(settings)).run().await {
            Ok(_) => ExitCode::SUCCESS,
            Err(StartError::Store(error)) => exit::store_error(&error),
            Err(error @ (StartError::Settings(_) | StartError::NoState { .. })) => exit::failure(exit::USAGE, error),
            Err(error) => exit::failure(exit::FAILED, error),
        },
    }
}

impl Settings {
    /// The settings of the environment alone.
    pub(crate) fn from_env() -> Result<Self, StartError> {
        Self::try_parse_from(["leasehold-executor"]).map_err(|error| {
            if error.kind() == clap::error::ErrorKind::MissingRequiredArgument {
                let what = "LEASEHOLD_STORE is not set; it says where the store is, as in sqlite:leasehold.db or \
                            postgres://user@host/database";
                return StartError::Settings(what.to_owned());
            }
            // clap names the flag; the variable is called like it. What it says of usage and help means nothing here.
            let text = error.render().to_string();
            let what = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
            StartError::Settings(format!("in the environment: {what}"))
        })
    }

    pub(crate) fn options(&self) -> ExecutorOptions {
        self.executor.options()
    }

    /// Starts logging, opens the store, and serves metrics and health.
    pub(crate) async fn set_up(&self, health: &Health) -> Result<Surroundings, StartError> {
        telemetry::init(&self.log);
        let workdir = &self.executor.workdir;
        if !workdir.is_dir() {
            return Err(StartError::Settings(format!("--workdir {} is not a folder", workdir.display())));
        }
        let options =
            leasehold_store::Options { name: "leasehold-executor".to_owned(), create: false, ..Default::default() };
        let store = leasehold_store::open(&self.store.store, &options).await?;
        store.check_schema().await?;
        let failed = |error| StartError::Ops(error);
        let metrics =
            recorder::install("leasehold-executor", env!("CARGO_PKG_VERSION")).map_err(|error| failed(error.into()))?;
        let queues = Queues::of(store.clone()).route();
        let served = CancellationToken::new();
        let ops = server::serve(self.ops.ops_listen, health.clone(), metrics, queues, served)
            .await
            .map_err(|error| failed(error.into()))?;
        Ok(Surroundings { store, ops })
    }
}

/// What an executor has around it when it is a program of its own.
pub(crate) struct Surroundings {
    store: SharedStore,
    ops: OpsServer,
}

impl Surroundings {
    pub(crate) fn store(&self) -> SharedStore {
        SharedStore::clone(&self.store)
    }

    pub(crate) async fn take_down(self) {
        self.store.close().await;
        self.ops.stop().await;
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// A process has one environment: here it has no `LEASEHOLD_STORE`, as in every test.
    #[test]
    fn a_missing_store_is_named_by_its_variable() {
        let error = Settings::from_env().map(drop).unwrap_err().to_string();
        assert!(error.starts_with("LEASEHOLD_STORE is not set"), "{error}");
    }
}
