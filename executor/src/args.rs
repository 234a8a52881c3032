//! The executor's flags, each with its `LEASEHOLD_*` twin. They can be flattened into another command.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use ipnet::IpNet;
use leasehold_common::command::{VariableError, check_variable};
use leasehold_common::id::QueueName;
use leasehold_ops::args::duration;
use leasehold_store::PoolOptions;
use url::Url;

use crate::options::ExecutorOptions;

/// The shortest claim: heartbeats come three times as often, and a store needs some time to answer.
const CLAIM_TTL_MIN: Duration = Duration::from_secs(1);

/// The most slots. An executor is a process, not a cluster.
const SLOTS_MAX: i64 = 100_000;

/// How an executor works.
#[derive(Args, Clone, Debug)]
pub struct ExecutorArgs {
    /// How many runs it runs at once
    #[arg(long, env = "LEASEHOLD_SLOTS", default_value_t = 16, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=SLOTS_MAX))]
    pub slots: u32,

    /// How long a claim lasts without a heartbeat; the runs of a dead executor are rescued after this
    #[arg(long, env = "LEASEHOLD_CLAIM_TTL", default_value = "30s", value_name = "DURATION", value_parser = claim_ttl)]
    pub claim_ttl: Duration,

    /// How long running work may go on after a SIGTERM before it is stopped and given back
    #[arg(long, env = "LEASEHOLD_DRAIN_TIMEOUT", default_value = "30s", value_name = "DURATION", value_parser = duration)]
    pub drain_timeout: Duration,

    /// A queue that it serves; may be given more than once
    #[arg(
        long = "queue",
        env = "LEASEHOLD_QUEUE",
        default_value = "default",
        value_name = "NAME",
        value_delimiter = ','
    )]
    pub queues: Vec<QueueName>,

    /// Run programs (jobs with `command`)
    #[arg(long, env = "LEASEHOLD_ALLOW_COMMANDS", value_parser = clap::builder::BoolishValueParser::new())]
    pub allow_commands: bool,

    /// A network beyond the public internet that `http` jobs may reach, as in 10.1.0.0/16; may be given more than once
    #[arg(long, env = "LEASEHOLD_ALLOW_NET", value_name = "CIDR", value_parser = network, value_delimiter = ',')]
    pub allow_net: Vec<IpNet>,

    /// Where endpoints that answer 202 report: the address under which they reach the schedulers' --callback-listen
    #[arg(long, env = "LEASEHOLD_PUBLIC_URL", value_name = "URL", value_parser = public_url)]
    pub public_url: Option<Url>,

    /// Where programs run, and what a relative program path is relative to
    #[arg(long, env = "LEASEHOLD_WORKDIR", default_value = ".", value_name = "DIR")]
    pub workdir: PathBuf,

    /// Let the `cwd` of a program lead out of --workdir
    #[arg(long, env = "LEASEHOLD_ALLOW_ANY_CWD", value_parser = clap::builder::BoolishValueParser::new())]
    pub allow_any_cwd: bool,

    /// A variable of this executor's own environment that programs get too; may be given more than once
    #[arg(long, env = "LEASEHOLD_COMMAND_ENV", value_name = "NAME", value_parser = variable, value_delimiter = ',')]
    pub command_env: Vec<String>,

    /// The most connections to databases of tenants, in use or idle
    #[arg(long, env = "LEASEHOLD_TENANT_CONNECTIONS", default_value_t = 32, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub tenant_connections: u32,

    /// The most of them that are in use for one tenant
    #[arg(long, env = "LEASEHOLD_CONNECTIONS_PER_TENANT", default_value_t = 4, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub connections_per_tenant: u32,

    /// How long an idle connection to a tenant's database is kept
    #[arg(long, env = "LEASEHOLD_TENANT_IDLE", default_value = "60s", value_name = "DURATION", value_parser = duration)]
    pub tenant_idle: Duration,
}

impl ExecutorArgs {
    /// The options that these flags mean.
    #[must_use]
    pub fn options(&self) -> ExecutorOptions {
        ExecutorOptions {
            slots: self.slots,
            queues: self.queues.clone(),
            claim_ttl: self.claim_ttl,
            drain_timeout: self.drain_timeout,
            allow_commands: self.allow_commands,
            allow_net: self.allow_net.clone(),
            public_url: self.public_url.clone(),
            workdir: self.workdir.clone(),
            allow_any_cwd: self.allow_any_cwd,
            command_env: self.command_env.clone(),
            tenant_databases: PoolOptions {
                total: self.tenant_connections,
                per_tenant: self.connections_per_tenant,
                idle: self.tenant_idle,
            },
            ..ExecutorOptions::default()
        }
    }
}

fn claim_ttl(text: &str) -> Result<Duration, String> {
    let ttl = duration(text).map_err(|error| error.to_string())?;
    match ttl < CLAIM_TTL_MIN {
        true => Err("must be at least 1s".to_owned()),
        false => Ok(ttl),
    }
}

/// The name of a variable that programs may get.
fn variable(name: &str) -> Result<String, String> {
    check_variable(name).map(|()| name.to_owned()).map_err(|error| match error {
        VariableError::Malformed(_) => format!("{error}; write its name alone, as in AWS_REGION"),
        VariableError::Reserved(_) => error.to_string(),
    })
}

/// Where callbacks are served: a URL to which a path can be added.
fn public_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let plain = |url: &Url| url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    url.filter(plain)
        .ok_or_else(|| "write a URL without credentials and query, as in https://jobs.example.com".to_owned())
}

/// A network, or one address.
fn network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse::<IpAddr>().map(IpNet::from).ok();
    text.parse().ok().or_else(address).ok_or_else(|| {
        "write a network or an address, as in 10.1.0.0/16, 127.0.0.0/8, ::1/128 or 192.168.1.7".to_owned()
    })
}
