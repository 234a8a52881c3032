//! The executor fleet, and the library for handlers written in Rust.
//!
//! An executor claims due runs from the store, runs their handlers, and reports how they ended. It is stateless and
//! never leads; any number of them share the work. It knows nothing of schedules.
//!
//! ```no_run
//! use leasehold_executor::{Executor, ExecutorOptions, HandlerError, RunContext};
//! use serde_json::{Value, json};
//!
//! async fn count_orders(ctx: RunContext) -> Result<Value, HandlerError> {
//!     Ok(json!({ "tenant": ctx.tenant().id, "orders": 17 }))
//! }
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let store = leasehold_store::open("sqlite:leasehold.db", &leasehold_store::Options::default()).await?;
//! let shutdown = leasehold_ops::shutdown::on_signal();
//! Executor::new(store, ExecutorOptions::default()).handler("count-orders", count_orders).run(shutdown).await;
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
//! | `announcer` | the list of executors that people see |
//! | `live` | claims, runs and slots of this process |
//! | `executor` | start, drain, stop |
//! | [`args`], [`program`] | the binary |

mod activator;
mod announcer;
pub mod args;
mod backoff;
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
mod options;
pub mod program;
mod recipes;
mod reporter;
mod runner;
#[cfg(test)]
mod tests;
mod trace;
mod verdict;
mod wake;

pub use executor::{Executor, Summary};
pub use handler::{Current, Handler, HandlerError, RunContext, TenantDb, current, spawn, spawn_blocking};
pub use ipnet::IpNet;
pub use leasehold_store::{PgTenantTransaction, PoolOptions, SqliteTenantTransaction, sqlx};
pub use options::ExecutorOptions;
