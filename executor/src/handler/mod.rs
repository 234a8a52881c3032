//! Handlers: what a run does.
//!
//! A handler gets a [`RunContext`] and answers a JSON result or a [`HandlerError`]. It knows neither the queue nor
//! retries: its word is turned into a verdict by the runner. Three kinds come with every executor, [`http`], [`command`]
//! and [`sql`]; the others are Rust code that a binary registers by name: [`function`] makes handlers of async functions,
//! [`extract`] says what their arguments may be, and [`service`] is where layers of `tower` go around them. Whose run it is,
//! code far below learns from [`current`].
//!
//! A handler may run more than once for one run (a crash, a lost claim): [`RunContext::idempotency_key`] stays the
//! same over all attempts.

pub(crate) mod command;
pub(crate) mod context;
pub(crate) mod current;
pub(crate) mod databases;
pub(crate) mod egress;
mod error;
pub(crate) mod extract;
mod function;
pub(crate) mod http;
pub(crate) mod once;
mod secret;
pub(crate) mod service;
pub(crate) mod sql;
pub(crate) mod state;
pub(crate) mod tail;

pub use context::RunContext;
pub use current::{Current, current, spawn, spawn_blocking};
pub use databases::TenantDb;
pub use error::HandlerError;
pub(crate) use error::{BoxError, chain};
pub use extract::{Attempt, FromRun, Payload, Progress, ScheduledFor, State, Wants};
pub use function::Handler;
pub use once::{Begun, Once, Open};
pub use service::HandlerService;
