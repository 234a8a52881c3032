//! How a scheduler works.

use std::time::Duration;

use leasehold_common::lease::LeaseTiming;

/// How a scheduler works. The timings must have passed [`LeaseTiming::check`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchedulerOptions {
    /// How the lease is kept.
    pub timing: LeaseTiming,
    /// How long before its due time work is put into the queue.
    pub look_ahead: Duration,
    /// How long reports are kept.
    pub keep: Duration,
    /// How long a source of tenants may take to answer.
    pub roster_timeout: Duration,
    /// Whether programs of hooks may run.
    pub hook_commands: bool,
    /// For tests of a fail-over only: how long to stand still between the decision to write and the write, so that a
    /// leader can be stopped there and its write be attempted after another one took over.
    pub pause_before_dispatch: Option<Duration>,
}

impl Default for SchedulerOptions {
    fn default() -> Self {
        Self {
            timing: LeaseTiming {
                ttl: Duration::from_secs(10),
                renew: Duration::from_secs(3),
                retry: Duration::from_secs(1),
            },
            look_ahead: Duration::from_secs(15),
            keep: Duration::from_secs(30 * 86_400),
            roster_timeout: Duration::from_secs(60),
            hook_commands: false,
            pause_before_dispatch: None,
        }
    }
}
