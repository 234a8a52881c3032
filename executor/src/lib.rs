//! The executor fleet, and the library for handlers written in Rust.
//!
//! An executor claims due runs from the store, runs their handlers, and reports how they ended. It is stateless and
//! never leads; any number of them share the work. It knows nothing of schedules.
//!
//! ```no_run
//! use leasehold_executor::{Executor, HandlerError, Payload, Tenant};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Deserialize)]
//! struct CountOrders {
//!     since: String,
//! }
//!
//! #[derive(Serialize)]
//! struct Counted {
//!     orders: u64,
//! }
//!
//! async fn count_orders(tenant: Tenant, Payload(input): Payload<CountOrders>) -> Result<Counted, HandlerError> {
//!     Ok(Counted { orders: 17 })
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     Executor::from_env()?.handler("count-orders", count_orders).run().await?;
//!     Ok(())
//! }
//! ```
//!
//! [`Handler`] says what a handler is and [`FromRun`] what its arguments may be; [`Executor::layer`] puts `tower`'s layers
//! around it. Inside another program, or on a store that is open already:
//!
//! ```no_run
//! # use leasehold_executor::{Executor, ExecutorOptions, HandlerError};
//! # async fn count_orders() -> Result<(), HandlerError> { Ok(()) }
//! # async fn example(shutdown: tokio_util::sync::CancellationToken) -> Result<(), Box<dyn std::error::Error>> {
//! let store = leasehold_store::open("sqlite:leasehold.db", &leasehold_store::Options::default()).await?;
//! let executor = Executor::new(store, ExecutorOptions::default()).handler("count-orders", count_orders);
//! executor.run_until(shutdown).await?;
//! # Ok(())
//! # }
//! ```
//!
//! | module | owns |
//! |---|---|
//! | `activator` | when due items become ready |
//! | `claimer` | when to claim and how much to take |
//! | `recipes` | what a claimed run does: definitions and tenants, cached |
//! | `runner` | one attempt, from its claim to its report |
//! | `verdict` | how an attempt's end is judged (pure) |
//! | `handler` | what a run does: `http`, `command`, `sql`, and Rust code by name; whose run it is |
//! | `reporter` | bringing reports to the store, many at once |
//! | `heartbeat` | keeping claims, and ending runs whose claim is lost |
//! | `charges` | telling the store what runs took, so that tenants share fairly |
//! | `notes` | what runs say of themselves while they run |
//! | `announcer` | the list of executors that people see |
//! | `misfits` | payloads that their handlers cannot read |
//! | `live` | claims, runs and slots of this process |
//! | `executor` | start, drain, stop |
//! | [`args`], [`program`] | the binary |

mod activator;
mod announcer;
pub mod args;
mod backoff;
mod breakers;
mod charges;
mod claimer;
mod executor;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod fake;
mod handler;
mod heartbeat;
mod live;
mod metric;
mod misfits;
mod notes;
mod options;
pub mod program;
mod recipes;
mod reporter;
mod runner;
mod start;
#[cfg(test)]
mod tests;
mod trace;
mod verdict;
mod wake;

pub use executor::{Executor, Summary};
pub use handler::{
    Attempt, Begun, Current, FromRun, Handler, HandlerError, HandlerService, Once, Open, Payload, Progress, RunContext,
    ScheduledFor, State, TenantDb, Wants, current, spawn, spawn_blocking,
};
pub use ipnet::IpNet;
pub use leasehold_common::definition::Tenant;
pub use leasehold_common::id::{CorrelationId, JobName, TenantId};
pub use leasehold_common::template::RunScope;
pub use leasehold_store::{PgTenantTransaction, PoolOptions, SqliteTenantTransaction, sqlx};
pub use options::ExecutorOptions;
pub use start::StartError;
pub use tokio_util::sync::CancellationToken;
