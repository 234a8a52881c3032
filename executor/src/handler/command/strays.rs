//! Processes that left the group of their program, found by a variable that only this attempt's programs have.
//!
//! A program can leave its group, by `setsid` or as daemons do, and can close its output, but it keeps the environment
//! that it was started with, unless it was made to start with another one. Where there is no `/proc`, nothing is found.
//! The mark is drawn: correlation ids are computed, so that two installations on one machine may have the same.

use std::fs;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::time::Instant;

const MARK: &str = "LEASEHOLD_MARK";

/// Each round ends what was there when it began; a stray that forks meanwhile is found by the next one, as is one that
/// takes its time to end.
const ROUNDS: usize = 50;
const BETWEEN: Duration = Duration::from_millis(10);

/// A run that took no longer is taken to have started only processes of higher numbers than its own: looking at every
/// process of the machine would cost more than the run.
const SHORT: Duration = Duration::from_secs(1);

/// By what the processes of an attempt are known.
#[derive(Debug)]
pub(super) struct Mark {
    variable: String,
    /// The first process of the run.
    first: Pid,
    started: Instant,
}

impl Mark {
    /// A new one.
    pub(super) fn draw(first: Pid) -> Self {
        Self { variable: format!("{MARK}={:032x}", rand::random::<u128>()), first, started: Instant::now() }
    }

    /// The variable that programs get, and its value.
    pub(super) fn variable(&self) -> (&str, &str) {
        self.variable.split_once('=').unwrap_or((MARK, ""))
    }

    /// Kills every process with the mark. Blocks for some milliseconds.
    pub(super) fn end_all(&self) {
        for _ in 0..ROUNDS {
            if self.end_round() == 0 {
                return;
            }
            thread::sleep(BETWEEN);
        }
        tracing::warn!("what the program left behind has not ended yet, or starts new processes all the time");
    }

    fn end_round(&self) -> usize {
        let Ok(entries) = fs::read_dir("/proc") else { return 0 };
        let least = if self.started.elapsed() < SHORT { self.first.as_raw_pid() } else { 0 };
        let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let others = numbers.filter(|number: &i32| *number > least);
        others.filter_map(Pid::from_raw).filter(|pid| self.end(*pid).is_some()).count()
    }

    /// Kills the process if it has the mark.
    fn end(&self, pid: Pid) -> Option<()> {
        let environment = || fs::read(format!("/proc/{}/environ", pid.as_raw_pid())).ok();
        if !self.is_in(&environment()?) {
            return None;
        }
        kill_if(pid, || environment().is_some_and(|environment| self.is_in(&environment)))
    }

    fn is_in(&self, environment: &[u8]) -> bool {
        environment.split(|byte| *byte == 0).any(|variable| variable == self.variable.as_bytes())
    }
}

/// Kills the process if it is still the one that is meant, which is looked at while its number cannot change hands.
#[cfg(target_os = "linux")]
fn kill_if(pid: Pid, is_meant: impl Fn() -> bool) -> Option<()> {
    use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};
    let process = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    if !is_meant() {
        return None;
    }
    pidfd_send_signal(process, Signal::KILL).ok()
}

#[cfg(not(target_os = "linux"))]
fn kill_if(pid: Pid, is_meant: impl Fn() -> bool) -> Option<()> {
    if !is_meant() {
        return None;
    }
    rustix::process::kill_process(pid, Signal::KILL).ok()
}
