//! What every Leasehold process needs to be operated.
//!
//! Owns the flags that all binaries share, logs, signals, health, metrics, the ops server and the exit codes. Must not
//! know what a process does: parts of it report their health by name, and the server shows it.
//!
//! | module | owns |
//! |---|---|
//! | [`args`] | `--store`, `--log`, `--log-format`, `--ops-listen`, and how durations and addresses are written |
//! | [`exit`] | the exit codes that scripts rely on |
//! | [`health`] | which parts of the process are alive and ready |
//! | [`healthcheck`] | the client of `/readyz` for containers without a shell |
//! | [`host`] | the name of this machine |
//! | [`recorder`] | metrics |
//! | [`server`] | `/livez`, `/readyz`, `/metrics` |
//! | [`shutdown`] | signals |
//! | [`telemetry`] | logs |
//! | [`text`] | hostile text made harmless for a terminal |

pub mod args;
pub mod exit;
pub mod health;
pub mod healthcheck;
pub mod host;
mod process;
pub mod recorder;
pub mod server;
pub mod shutdown;
pub mod telemetry;
pub mod text;
