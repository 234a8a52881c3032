//! The vocabulary of Leasehold and its pure decisions.
//!
//! Everything here is data and arithmetic: what a job is, when it is due, what happens after an attempt,
//! how a config file becomes a catalog, and the traits behind which the stores stand. Nothing here reads a
//! clock by itself, opens a connection or spawns anything, so that every decision can be tested by calling it.

pub mod catalog;
pub mod clock;
pub mod command;
pub mod config;
pub mod definition;
pub mod duration;
pub mod endpoint;
pub mod hook;
pub mod id;
pub mod lease;
pub mod ledger;
pub mod limit;
pub mod need;
pub mod plan;
pub mod progress;
pub mod retry;
pub mod roster;
pub mod run;
pub mod schedule;
pub mod size;
pub mod statement;
pub mod store;
mod suggest;
pub mod template;
mod tenant;
