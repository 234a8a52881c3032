//! What every Leasehold process needs to be operated.
//!
//! Owns the flags that all binaries share, logs, signals, health, metrics, the ops server and the exit codes. Must not
//! know what a process does: parts of it report their health by name, and the server shows it.
//!
//! | module | owns |
//! |---|---|
//! | [`args`] | `--store`, `--log`, `--log-format`, `--ops-listen`, and how durations and addresses are written |
//! | [`exit`] | the exit codes that scripts rely on |
//! | [`group`] | the process group of a program, and its end if this process dies |
//! | [`health`] | which parts of the process are alive and ready |
//! | [`healthcheck`] | the client of `/readyz` for containers without a shell |
//! | [`host`] | the name of this machine |
//! | [`queues`] | `/queues` and `/queues/NAME`, and how the queues stand as metrics |
//! | [`recorder`] | metrics |
//! | [`secret`] | secrets by reference, looked up at each use |
//! | [`server`] | `/livez`, `/readyz`, `/metrics` |
//! | [`shutdown`] | signals |
//! | [`telemetry`] | logs |
//! | [`text`] | hostile text made harmless for a terminal |
//! | [`webhook`] | signatures of messages and requests |

/// `eprintln!` that does not mind a standard error that nobody reads any longer: a log collector that restarts must not
/// end the process whose talk it collects.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => {{
        use ::std::io::Write as _;
        let _ = ::std::writeln!(::std::io::stderr(), $($text)*);
    }};
}

/// [`say!`] without the end of the line.
#[macro_export]
macro_rules! say_part {
    ($($text:tt)*) => {{
        use ::std::io::Write as _;
        let _ = ::std::write!(::std::io::stderr(), $($text)*);
    }};
}

pub mod args;
pub mod exit;
pub mod group;
pub mod health;
pub mod healthcheck;
pub mod host;
mod process;
pub mod queues;
pub mod recorder;
pub mod secret;
pub mod server;
pub mod shutdown;
pub mod telemetry;
pub mod text;
pub mod webhook;
