//! The process group of a program, and the guard that ends it if this process dies.
//!
//! The guard is a shell that leads the group from before the program starts. It reads from a pipe that nobody writes to
//! and that this process alone holds open: when that closes, however the executor came to its end, the guard kills the
//! group. A parent-death signal would not do, since the kernel sends it at the end of the *thread* that started the
//! program, and to the program alone and not to what that started.
//!
//! Invariants: the program joins a group that is guarded already; while a [`Group`] lives its number is not given to
//! another group, since the guard has it and is not waited for before.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

const SHELL: &str = "/bin/sh";

/// Ignores what is sent to the group to stop it, says that it stands, and waits for the end of the pipe.
const GUARD: &str = "trap '' HUP INT QUIT PIPE ALRM TERM USR1 USR2 TSTP TTIN TTOU; echo; read -r end; kill -KILL 0";

/// How long a guard may take to stand.
const PATIENCE: Duration = Duration::from_secs(10);

/// A guarded process group. Dropped, it is killed.
#[derive(Debug)]
pub struct Group {
    id: Pid,
    /// Held, so that the number stays taken until the group has been killed.
    _guard: Child,
    /// Held open: the guard kills the group when it closes.
    _lifeline: Option<ChildStdin>,
}

impl Group {
    /// Makes a group with nobody but its guard in it.
    ///
    /// # Errors
    /// If no shell can be started.
    pub async fn start() -> io::Result<Self> {
        let mut guard = Command::new(SHELL)
            .args(["-c", GUARD])
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let id = guard.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let id = id.ok_or(io::ErrorKind::NotFound)?;
        if let Some(mut stdout) = guard.stdout.take() {
            // It must not be ended by what is meant for the program.
            timeout(PATIENCE, stdout.read_exact(&mut [0])).await??;
        }
        Ok(Self { id, _lifeline: guard.stdin.take(), _guard: guard })
    }

    /// The number that a program needs to join.
    #[must_use]
    pub fn id(&self) -> Pid {
        self.id
    }

    /// Sends a signal to all in it.
    pub fn signal(&self, signal: Signal) {
        // That nobody is left to hear it is what is wanted.
        let _ = kill_process_group(self.id, signal);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    const DEADLINE: Duration = Duration::from_secs(20);

    fn member(group: &Group) -> Child {
        let mut sleep = Command::new("sleep");
        sleep.arg("300").process_group(group.id().as_raw_pid()).kill_on_drop(true).spawn().unwrap()
    }

    #[tokio::test]
    async fn the_guard_ends_the_group_when_nobody_holds_the_pipe_whatever_the_group_was_told_before() {
        let mut group = Group::start().await.unwrap();
        for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT, Signal::USR1, Signal::TSTP] {
            group.signal(signal);
        }
        let mut member = member(&group);
        drop(group._lifeline.take());
        let status = timeout(DEADLINE, member.wait()).await.unwrap().unwrap();
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()));
        let guard = timeout(DEADLINE, group._guard.wait()).await.unwrap().unwrap();
        assert_eq!(guard.signal(), Some(Signal::KILL.as_raw()));
    }

    #[tokio::test]
    async fn a_dropped_group_is_killed() {
        let group = Group::start().await.unwrap();
        let mut member = member(&group);
        drop(group);
        let status = timeout(DEADLINE, member.wait()).await.unwrap().unwrap();
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()));
    }
}
