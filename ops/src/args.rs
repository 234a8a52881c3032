//! Flags that several binaries share, each with its `LEASEHOLD_*` twin.
//!
//! Values of flags that may hold a password are never shown in `--help` or in an error.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use clap::{ArgMatches, Args, Command, FromArgMatches, ValueEnum};

/// Where the store is.
#[derive(Args, Clone)]
pub struct StoreArgs {
    /// The store: `sqlite:PATH` or `postgres://USER@HOST/DATABASE`
    #[arg(
        long,
        env = "LEASEHOLD_STORE",
        hide_env_values = true,
        value_name = "sqlite:PATH | postgres://USER@HOST/DATABASE"
    )]
    pub store: String,
}

impl std::fmt::Debug for StoreArgs {
    /// The URL may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreArgs").finish_non_exhaustive()
    }
}

/// How the process logs.
#[derive(Args, Clone, Debug)]
pub struct LogArgs {
    /// Which events to log: a level, or levels by module as in `info,leasehold_scheduler=debug`
    #[arg(long, env = "LEASEHOLD_LOG", default_value = "info", value_name = "FILTER", value_parser = log_filter)]
    pub log: String,

    /// How log lines look, on stderr
    #[arg(long, env = "LEASEHOLD_LOG_FORMAT", default_value = "text", value_name = "FORMAT")]
    pub log_format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Where the process can be looked at. `PORT` is the default port on the loopback address.
#[derive(Clone, Copy, Debug)]
pub struct OpsArgs<const PORT: u16 = 7070> {
    /// The address to listen on.
    pub ops_listen: SocketAddr,
}

#[derive(Args)]
struct Listen {
    /// Where to serve /livez, /readyz and /metrics; `:0` picks a free port and prints it
    #[arg(long, env = "LEASEHOLD_OPS_LISTEN", value_name = "ADDR:PORT", value_parser = listen_address)]
    ops_listen: SocketAddr,
}

/// By hand, since a derived default is one static for every `PORT`.
impl<const PORT: u16> Args for OpsArgs<PORT> {
    fn augment_args(command: Command) -> Command {
        let default = loopback(PORT).to_string();
        Listen::augment_args(command).mut_arg("ops_listen", |arg| arg.required(false).default_value(default))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<const PORT: u16> FromArgMatches for OpsArgs<PORT> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self { ops_listen: Listen::from_arg_matches(matches)?.ops_listen })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// A value parser for durations: `500ms`, `10s`, `5m`, `1h30m`, `2d`.
pub fn duration(text: &str) -> Result<Duration, leasehold_common::duration::DurationError> {
    leasehold_common::duration::parse(text)
}

/// A value parser for durations longer than zero.
pub fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text) {
        Ok(Duration::ZERO) => Err("must be longer than zero".to_owned()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(error.to_string()),
    }
}

/// A value parser for addresses to listen on: `127.0.0.1:7071`, `[::1]:7071`, `localhost:7071`, or `:7071` for the
/// loopback address. Other addresses must be written out, so that nobody opens a port to the network by leaving
/// something away.
pub fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let port_only = text.strip_prefix("localhost:").or_else(|| text.strip_prefix(':'));
    let address = match port_only {
        Some(port) => port.parse().ok().map(loopback),
        None => text.parse().ok(),
    };
    address
        .ok_or_else(|| "write an address and a port, as in 127.0.0.1:7071, 0.0.0.0:7071, [::1]:7071 or :0".to_owned())
}

fn log_filter(text: &str) -> Result<String, String> {
    match tracing_subscriber::EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{error}; write a level (error, warn, info, debug, trace) or MODULE=LEVEL,…")),
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
        store: StoreArgs,
        #[command(flatten)]
        log: LogArgs,
        #[command(flatten)]
        ops: OpsArgs<7071>,
    }

    #[test]
    fn the_binary_sets_the_default_port() {
        let binary = Binary::try_parse_from(["binary", "--store", "sqlite:x.db"]).unwrap();
        assert_eq!(binary.ops.ops_listen.to_string(), "127.0.0.1:7071");
        assert_eq!((binary.store.store.as_str(), binary.log.log.as_str()), ("sqlite:x.db", "info"));
        assert_eq!(binary.log.log_format, LogFormat::Text);
    }

    #[test]
    fn a_missing_store_names_both_forms() {
        let error = Binary::try_parse_from(["binary"]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("sqlite:PATH") && text.contains("postgres://"), "{text}");
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn a_password_is_not_shown() {
        let binary = Binary::try_parse_from(["binary", "--store", "postgres://u:secret@h/d"]).unwrap();
        assert!(!format!("{binary:?}").contains("secret"));
    }

    #[test]
    fn addresses_without_a_host_mean_loopback() {
        for (text, address) in [
            (":0", "127.0.0.1:0"),
            (":7071", "127.0.0.1:7071"),
            ("localhost:80", "127.0.0.1:80"),
            ("0.0.0.0:1", "0.0.0.0:1"),
            ("[::1]:9", "[::1]:9"),
        ] {
            assert_eq!(listen_address(text).unwrap().to_string(), address);
        }
        for bad in ["", ":", "7071", "127.0.0.1", ":65536", "example.com:80", "::1:80x"] {
            assert!(listen_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn wrong_values_are_usage_errors() {
        for args in [["--log", "a=b=c"], ["--log-format", "xml"], ["--ops-listen", "nowhere"]] {
            let error = Binary::try_parse_from(["binary", "--store", "s"].into_iter().chain(args)).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{args:?}");
        }
        assert!(positive_duration("0s").is_err());
        assert_eq!(positive_duration("5m"), Ok(Duration::from_secs(300)));
    }
}
