//! What the tests stand on: private, throw-away servers on free ports, stores on them, and waiting with a deadline.
//!
//! Nothing here talks to a server that it did not start itself.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should stop, loudly")]

#[macro_use]
mod each_trait;

pub mod faulty;
pub mod fleet;
pub mod http;
pub mod jobs;
pub mod proxy;
pub mod roles;
pub mod server;
pub mod steps;
pub mod stores;
pub mod tls;
pub mod wait;
