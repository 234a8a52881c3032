//! The scheduler's flags, for its own binary and for `leasehold dev`.

use std::fmt;
use std::time::Duration;

use clap::Args;
use leasehold_common::lease::{LeaseTiming, TimingError};
use leasehold_ops::args::{duration, positive_duration};

use crate::options::SchedulerOptions;

/// How to lead and what to fan out.
#[derive(Args, Clone)]
pub struct SchedulerArgs {
    /// How long the lease lasts without renewal: a dead leader is replaced within this time and --lease-retry
    #[arg(long, env = "LEASEHOLD_LEASE_TTL", default_value = "10s", value_name = "DURATION", value_parser = positive_duration)]
    pub lease_ttl: Duration,

    /// How often the leader renews its lease, at most a third of --lease-ttl
    #[arg(long, env = "LEASEHOLD_LEASE_RENEW", default_value = "3s", value_name = "DURATION", value_parser = positive_duration)]
    pub lease_renew: Duration,

    /// How often a follower tries to get the lease
    #[arg(long, env = "LEASEHOLD_LEASE_RETRY", default_value = "1s", value_name = "DURATION", value_parser = positive_duration)]
    pub lease_retry: Duration,

    /// How long before its due time work is put into the queue; longer than --lease-ttl + --lease-retry
    #[arg(long, env = "LEASEHOLD_LOOK_AHEAD", default_value = "15s", value_name = "DURATION", value_parser = duration)]
    pub look_ahead: Duration,

    /// A Redis lock that elects the leader, `redis://…` or `rediss://…` [default: the store's own lease]
    #[arg(long, env = "LEASEHOLD_LEASE", hide_env_values = true, value_name = "URL")]
    pub lease: Option<String>,

    /// How long completion reports are kept
    #[arg(long, env = "LEASEHOLD_KEEP", default_value = "30d", value_name = "DURATION", value_parser = positive_duration)]
    pub keep: Duration,

    /// How long a source of tenants may take to answer
    #[arg(long, env = "LEASEHOLD_ROSTER_TIMEOUT", default_value = "1m", value_name = "DURATION", value_parser = positive_duration)]
    pub roster_timeout: Duration,

    /// Run the programs of hooks (`hooks` with `command`)
    #[arg(long, env = "LEASEHOLD_ALLOW_HOOK_COMMANDS", value_parser = clap::builder::BoolishValueParser::new())]
    pub allow_hook_commands: bool,

    /// For tests of a fail-over only, see [`SchedulerOptions::pause_before_dispatch`].
    #[arg(long, env = "LEASEHOLD_TEST_PAUSE_BEFORE_DISPATCH", hide = true, value_parser = duration)]
    pub test_pause_before_dispatch: Option<Duration>,
}

impl fmt::Debug for SchedulerArgs {
    /// Leaves the URL of the lease out: it may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SchedulerArgs")
            .field("lease_ttl", &self.lease_ttl)
            .field("lease_renew", &self.lease_renew)
            .field("lease_retry", &self.lease_retry)
            .field("look_ahead", &self.look_ahead)
            .field("keep", &self.keep)
            .field("roster_timeout", &self.roster_timeout)
            .field("allow_hook_commands", &self.allow_hook_commands)
            .finish_non_exhaustive()
    }
}

impl SchedulerArgs {
    /// The URL of the lease; `None` for the store's own. A variable that is set to nothing counts as not set.
    #[must_use]
    pub fn lease_url(&self) -> Option<&str> {
        self.lease.as_deref().filter(|url| !url.is_empty())
    }

    /// The options, if the timings fit together.
    pub fn options(&self) -> Result<SchedulerOptions, TimingError> {
        let timing = LeaseTiming { ttl: self.lease_ttl, renew: self.lease_renew, retry: self.lease_retry };
        timing.check(self.look_ahead)?;
        Ok(SchedulerOptions {
            timing,
            look_ahead: self.look_ahead,
            keep: self.keep,
            roster_timeout: self.roster_timeout,
            hook_commands: self.allow_hook_commands,
            pause_before_dispatch: self.test_pause_before_dispatch,
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Binary {
        #[command(flatten)]
        scheduler: SchedulerArgs,
    }

    fn parse(args: &[&str]) -> SchedulerArgs {
        Binary::try_parse_from(["binary"].iter().chain(args)).unwrap().scheduler
    }

    #[test]
    fn the_defaults_are_those_of_the_options() {
        assert_eq!(parse(&[]).options(), Ok(SchedulerOptions::default()));
    }

    #[test]
    fn a_look_ahead_that_a_dead_leader_could_outlast_is_refused() {
        let refused = parse(&["--look-ahead", "11s"]).options().unwrap_err();
        assert!(refused.to_string().contains("--look-ahead"), "{refused}");
        let fitting = ["--lease-ttl", "2s", "--lease-renew", "500ms", "--lease-retry", "200ms", "--look-ahead", "3s"];
        assert_eq!(parse(&fitting).options().unwrap().timing.ttl, Duration::from_secs(2));
    }

    #[test]
    fn wrong_durations_are_usage_errors_and_the_lease_url_is_not_shown() {
        let error = Binary::try_parse_from(["binary", "--lease-ttl", "0s"]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert_eq!(parse(&["--lease", ""]).lease_url(), None);
        let args = parse(&["--lease", "redis://:secret@h"]);
        assert_eq!(args.lease_url(), Some("redis://:secret@h"));
        assert!(!format!("{args:?}").contains("secret"));
    }
}
