//! `healthcheck`: the client of `/readyz`, for containers that have neither a shell nor curl.

use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Command, FromArgMatches, Parser};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::args::OpsArgs;
use crate::exit;

/// How long an answer may take. Below the time limits that orchestrators set by default.
const PATIENCE: Duration = Duration::from_secs(3);

/// More than any answer of the ops server's `/readyz`.
const ANSWER_MAX: u64 = 64 * 1024;

/// What a command line asks for.
#[derive(Clone, Debug)]
pub enum Invocation<C> {
    /// The program itself.
    Run(C),
    /// Whether the program that listens here is ready.
    Healthcheck(SocketAddr),
}

/// Parses the command line of a program that has, beside its flags, the subcommand `healthcheck [--ops-listen ADDR]`.
/// Ends the process on `--help`, `--version` and usage errors, as [`Parser::parse`] does. `PORT` is the program's
/// default ops port.
#[must_use]
pub fn parse<C: Parser, const PORT: u16>() -> Invocation<C> {
    try_parse_from::<C, PORT>(std::env::args_os()).unwrap_or_else(|error| error.exit())
}

/// As [`parse`], for a given command line.
pub fn try_parse_from<C: Parser, const PORT: u16>(
    args: impl IntoIterator<Item = OsString>,
) -> Result<Invocation<C>, clap::Error> {
    let about = "Ask the process at --ops-listen whether it is ready: exit code 0 or 1";
    let healthcheck = OpsArgs::<PORT>::augment_args(Command::new("healthcheck").about(about));
    // The program's own required flags mean nothing to the subcommand, which a derived parser cannot express.
    let command =
        C::command().subcommand(healthcheck).subcommand_negates_reqs(true).args_conflicts_with_subcommands(true);
    let matches = command.try_get_matches_from(args)?;
    Ok(match matches.subcommand_matches("healthcheck") {
        Some(matches) => Invocation::Healthcheck(OpsArgs::<PORT>::from_arg_matches(matches)?.ops_listen),
        None => Invocation::Run(C::from_arg_matches(&matches)?),
    })
}

/// Asks the ops server at `address` whether its process is ready: exit code 0 if it is, 1 if it is not or does not
/// answer, with the reason on stderr.
pub async fn run(address: SocketAddr) -> ExitCode {
    let address = reachable(address);
    match timeout(PATIENCE, get_readyz(address)).await {
        Ok(Ok(Answer { ready: true, .. })) => ExitCode::SUCCESS,
        Ok(Ok(answer)) => exit::failure(exit::FAILED, format_args!("not ready: {}", answer.body.trim())),
        Ok(Err(error)) => exit::failure(exit::FAILED, format_args!("http://{address}/readyz: {error}")),
        Err(_) => exit::failure(exit::FAILED, format_args!("http://{address}/readyz: no answer within {PATIENCE:?}")),
    }
}

/// A process that listens on every address is asked on the loopback one.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

struct Answer {
    ready: bool,
    body: String,
}

/// HTTP/1.0: the answer ends where the connection does, and is never chunked.
async fn get_readyz(address: SocketAddr) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("GET /readyz HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX).read_to_end(&mut answer).await?;
    read_answer(&String::from_utf8_lossy(&answer))
}

fn read_answer(answer: &str) -> io::Result<Answer> {
    let not_http = || io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP");
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(not_http)?;
    let mut words = head.split_ascii_whitespace();
    words.next().filter(|word| word.starts_with("HTTP/")).ok_or_else(not_http)?;
    let status = words.next().ok_or_else(not_http)?;
    Ok(Answer { ready: status == "200", body: body.to_owned() })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::args::StoreArgs;

    #[derive(Debug, Parser)]
    struct Binary {
        #[command(flatten)]
        store: StoreArgs,
        #[command(flatten)]
        ops: OpsArgs<7072>,
    }

    fn invoke(args: &[&str]) -> Result<Invocation<Binary>, clap::Error> {
        try_parse_from::<Binary, 7072>(["binary"].iter().chain(args).map(OsString::from))
    }

    #[test]
    fn the_subcommand_needs_none_of_the_flags_of_the_program() {
        let Ok(Invocation::Healthcheck(address)) = invoke(&["healthcheck"]) else { panic!("not a healthcheck") };
        assert_eq!(address.to_string(), "127.0.0.1:7072");
        let Ok(Invocation::Healthcheck(address)) = invoke(&["healthcheck", "--ops-listen", ":9"]) else {
            panic!("not a healthcheck")
        };
        assert_eq!(address.to_string(), "127.0.0.1:9");
    }

    #[test]
    fn without_the_subcommand_it_is_the_program() {
        let Ok(Invocation::Run(binary)) = invoke(&["--store", "sqlite:x", "--ops-listen", ":1"]) else {
            panic!("not the program")
        };
        assert_eq!((binary.store.store.as_str(), binary.ops.ops_listen.port()), ("sqlite:x", 1));
        assert_eq!(invoke(&[]).unwrap_err().exit_code(), 2);
        assert_eq!(invoke(&["health"]).unwrap_err().exit_code(), 2);
    }

    #[test]
    fn only_200_is_ready() {
        assert!(read_answer("HTTP/1.0 200 OK\r\na: b\r\n\r\n{}").unwrap().ready);
        let answer = read_answer("HTTP/1.1 503 Service Unavailable\r\n\r\n{\"ready\":false}").unwrap();
        assert!(!answer.ready);
        assert_eq!(answer.body, "{\"ready\":false}");
        assert!(read_answer("SSH-2.0-OpenSSH\r\n\r\n").is_err());
        assert!(read_answer("").is_err());
    }

    #[test]
    fn listening_everywhere_is_asked_on_loopback() {
        assert_eq!(reachable("0.0.0.0:7071".parse().unwrap()).to_string(), "127.0.0.1:7071");
        assert_eq!(reachable("[::]:7071".parse().unwrap()).to_string(), "[::1]:7071");
        assert_eq!(reachable("10.0.0.1:7071".parse().unwrap()).to_string(), "10.0.0.1:7071");
    }
}
