//! What the end of a program means. Pure.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use leasehold_common::command::{Resources, TRY_AGAIN};
use leasehold_common::{duration, size};
use rustix::process::Signal;
use std::time::Duration;

use super::call::CommandCall;
use super::limits::CPU_GRACE;
use crate::handler::HandlerError;

/// What it took to stop a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    /// It and all it had started ended by themselves when they were told to.
    Told,
    /// It did, but what it had started did not.
    RestKilled,
    /// It did not.
    Killed,
}

impl Stopped {
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Told => "the program ended after SIGTERM",
            Self::RestKilled => "the program ended after SIGTERM; what it had started did not and was killed",
            Self::Killed => "the program was killed, since it did not end after SIGTERM",
        }
    }
}

/// The failure that a status other than 0 means, before what the program said is added to it.
pub(super) fn failure(status: ExitStatus, call: &CommandCall) -> HandlerError {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    let mut message = format!("the program ended with {status}");
    let word = match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit.{code}"),
        (None, Some(signal)) => format!("signal.{signal}"),
        (None, None) => "command".to_owned(),
    };
    match code {
        Some(TRY_AGAIN) => message.push_str(" (try again)"),
        Some(code) if call.is_permanent(code) => {
            let message = format!("{message}, after which no other attempt is made");
            return HandlerError::permanent(message).code(word);
        }
        _ => {}
    }
    if let Some(hint) = hint(status, call.resources()) {
        message.push_str(&format!(" ({hint})"));
    }
    HandlerError::new(message).code(word)
}

/// Which limit ended it, as far as that can be known: the kernel says so for CPU time and the size of files. Where a
/// shell is the program it tells the end of its own program by a status of 128 and the number of the signal.
fn hint(status: ExitStatus, resources: &Resources) -> Option<String> {
    let of_shell = status.code().filter(|code| (129..=192).contains(code)).map(|code| code - 128);
    let signal = Signal::from_named_raw(status.signal().or(of_shell)?)?;
    let own = match signal {
        Signal::XCPU => resources.cpu.map(|limit| format!("its CPU time of {} is used up", seconds(limit))),
        Signal::XFSZ => resources.file_size.map(|limit| format!("it wrote a file beyond {}", size::format(limit))),
        Signal::KILL => Some(killed(resources)),
        Signal::SEGV | Signal::ABORT | Signal::BUS => {
            resources.memory.map(|limit| format!("its memory is limited to {}", size::format(limit)))
        }
        _ => None,
    };
    match (own, of_shell) {
        (Some(own), Some(_)) => Some(format!("as after {}: {own}", name(signal))),
        (None, Some(_)) => Some(format!("as after {}", name(signal))),
        (own, None) => own,
    }
}

/// Nothing of ours sent it.
fn killed(resources: &Resources) -> String {
    let out_of_memory = "by somebody else, or by the kernel for want of memory";
    match resources.cpu {
        Some(limit) => format!("{out_of_memory}, or because of CPU time beyond {}", seconds(limit + CPU_GRACE)),
        None => out_of_memory.to_owned(),
    }
}

fn seconds(number: u64) -> String {
    duration::format(Duration::from_secs(number))
}

/// `SIGXCPU`, from the words of the standard library: `signal: 24 (SIGXCPU)`.
fn name(signal: Signal) -> String {
    let text = ExitStatus::from_raw(signal.as_raw()).to_string();
    let name = text.split_once('(').and_then(|(_, rest)| rest.split_once(')'));
    name.map_or_else(|| format!("signal {}", signal.as_raw()), |(name, _)| name.to_owned())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use leasehold_common::command::{CommandSpec, ExitCodes};

    fn call() -> CommandCall {
        let resources =
            Resources { cpu: Some(60), memory: Some(512 << 20), file_size: Some(100 << 20), ..Resources::default() };
        let permanent_exit_codes = vec![ExitCodes { first: 2, last: 2 }, ExitCodes { first: 64, last: 78 }];
        CommandCall::compile(&CommandSpec { resources, permanent_exit_codes, ..CommandSpec::new(["x"]) }).unwrap()
    }

    fn of(raw: i32) -> (String, bool) {
        let error = failure(ExitStatus::from_raw(raw), &call());
        (error.message, error.retry)
    }

    fn exit(code: i32) -> (String, bool) {
        of(code << 8)
    }

    #[test]
    fn a_status_decides_whether_another_attempt_is_made() {
        assert_eq!(exit(1), ("the program ended with exit status: 1".to_owned(), true));
        let permanent = "the program ended with exit status: 65, after which no other attempt is made".to_owned();
        assert_eq!(exit(65), (permanent, false));
        assert!(!exit(2).1 && exit(3).1 && !exit(78).1 && exit(79).1);
        assert_eq!(exit(75), ("the program ended with exit status: 75 (try again)".to_owned(), true));
    }

    #[test]
    fn the_limit_that_ended_it_is_named() {
        for (said, text) in [
            (of(24), "signal: 24 (SIGXCPU) (its CPU time of 1m is used up)"),
            (exit(152), "exit status: 152 (as after SIGXCPU: its CPU time of 1m is used up)"),
            (of(25), "signal: 25 (SIGXFSZ) (it wrote a file beyond 100MiB)"),
            (of(9), "for want of memory, or because of CPU time beyond 1m5s)"),
            (of(11), "signal: 11 (SIGSEGV) (its memory is limited to 512MiB)"),
            (of(15), "the program ended with signal: 15 (SIGTERM)"),
            (exit(143), "the program ended with exit status: 143 (as after SIGTERM)"),
            (exit(255), "the program ended with exit status: 255"),
        ] {
            assert!(said.0.ends_with(text) && said.1, "{text}: {said:?}");
        }
    }
}
