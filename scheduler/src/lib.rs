//! The scheduler: elects one leader among its replicas, and does the leader's work.
//!
//! Owns who leads and for how long ([`LeaderTerm`]), the fan-out of due work, the rescue of runs whose executor is gone,
//! the end of items that nobody ran in time, the pruning of old reports, the tenants of live sources, and
//! telling hooks. Must not know
//! how a run is executed, how the store keeps anything, or what the keys of a config mean.
//!
//! Replicas are alike. Each one alternates between follower and leader (see `elector`); while it leads, six services
//! run, each of them a `tick` that can be called alone and a loop that only waits between two ticks:
//!
//! | service | does | how often |
//! |---|---|---|
//! | `dispatcher` | puts what is due within the look-ahead into the queue | 0.7 s |
//! | `rescuer` | takes back the runs of executors that are gone | 1 s |
//! | `sweeper` | ends items that nobody ran in time | 1 s |
//! | `pruner` | deletes reports past their age | 1 min |
//! | `notifier` | tells hooks what became of runs | 1 s |
//! | `reconciler` | keeps tenants and jobs as the config in force and its live sources say | as the config says |
//!
//! Beside them, leader or not, a replica may serve [`callbacks`]: the reports of endpoints that answered 202.
//!
//! Invariants: a service asks [`LeaderTerm::trusted`] before each write (I4), and the store checks the term within each
//! write (I3). The first makes a late write rare, the second makes it harmless.
//!
//! On failure: a store that does not answer costs the lease when the trust window ends, and nothing else; work that was
//! fanned out before goes on without a leader.

pub mod args;
pub mod callbacks;
mod dispatcher;
mod duties;
mod elector;
mod measure;
mod notifier;
mod options;
mod outbound;
mod pruner;
mod reconciler;
mod rescuer;
mod scheduler;
mod secret;
mod service;
mod store_watch;
mod sweeper;
mod term;
#[cfg(test)]
mod testing;
mod zone_data;

pub use options::SchedulerOptions;
pub use reconciler::Planner;
pub use scheduler::Scheduler;
pub use term::{End, LeaderTerm};
