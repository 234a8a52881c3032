//! What an executor is told at its start.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use leasehold_common::clock::BootClock;
use leasehold_common::id::QueueName;
use leasehold_store::PoolOptions;
use url::Url;

/// How an executor works. [`Default`] is what the binary's flags default to.
#[derive(Clone, Debug)]
pub struct ExecutorOptions {
    /// How many runs it runs at once; at least 1.
    pub slots: u32,
    /// The queues it serves.
    pub queues: Vec<QueueName>,
    /// How long a claim lasts without a heartbeat: as long as it takes to notice that this executor died. Heartbeats
    /// come three times as often.
    pub claim_ttl: Duration,
    /// How long running work may go on after the shutdown was asked for.
    pub drain_timeout: Duration,
    /// How long a run that was told to stop may take to do so before it is ended by force.
    pub stop_grace: Duration,
    /// How often it looks for work without being told. Losing a hint costs this much time.
    pub poll: Duration,
    /// Whether it runs programs.
    pub allow_commands: bool,
    /// Networks beyond the public internet that `http` handlers may reach.
    pub allow_net: Vec<IpNet>,
    /// Where endpoints that answer 202 report, as they see it; without it, jobs with `callback` fail.
    pub public_url: Option<Url>,
    /// Where programs run, and what a relative program path is relative to.
    pub workdir: PathBuf,
    /// Whether a program may be started in a folder that is not below [`ExecutorOptions::workdir`].
    pub allow_any_cwd: bool,
    /// Variables of the executor's own environment that programs get beside PATH, HOME, LANG and TZ.
    pub command_env: Vec<String>,
    /// How many connections to databases of tenants there may be.
    pub tenant_databases: PoolOptions,
    /// What claims are trusted by; tests set it.
    pub clock: BootClock,
}

impl Default for ExecutorOptions {
    fn default() -> Self {
        Self {
            slots: 16,
            queues: vec![QueueName::default()],
            claim_ttl: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(30),
            stop_grace: Duration::from_secs(5),
            poll: Duration::from_secs(1),
            allow_commands: false,
            allow_net: Vec::new(),
            public_url: None,
            workdir: PathBuf::from("."),
            allow_any_cwd: false,
            command_env: Vec::new(),
            tenant_databases: PoolOptions::default(),
            clock: BootClock::System,
        }
    }
}
