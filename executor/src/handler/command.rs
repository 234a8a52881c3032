//! The `command` handler: one program a run; exit status 0 is success.
//!
//! The program gets its arguments as they stand (no shell, nothing is split), a clean environment with what says
//! whose run it is, and a process group of its own. Its standard output is the result, its standard error the error,
//! of both the end is kept. What the program gets is a contract: docs/reference/handlers.md.
//!
//! Invariants: nothing of the group outlives the run, also when the run is dropped half way; memory does not grow with
//! the output; a grandchild that keeps the pipes open, even one that left the group, delays the run by
//! twice [`LAST_OUTPUT`] at most.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use leasehold_common::template::{Escape, Template};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::tail::Tail;
use super::{HandlerError, RunContext};
use crate::trace::traceparent;

/// How long the output of what a program left behind is waited for.
const LAST_OUTPUT: Duration = Duration::from_millis(500);

/// What a program sees of the executor's own environment.
const KEPT: [&str; 4] = ["PATH", "HOME", "LANG", "TZ"];

/// Runs programs.
#[derive(Debug)]
pub(crate) struct CommandHandler {
    /// Absolute: a relative `argv[0]` and the programs' working directory.
    workdir: PathBuf,
    /// How long a program may take to end after SIGTERM.
    grace: Duration,
    kept: Vec<(&'static str, OsString)>,
}

impl CommandHandler {
    pub(crate) fn new(workdir: &Path, grace: Duration) -> Self {
        let kept = KEPT.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))).collect();
        Self { workdir: std::path::absolute(workdir).unwrap_or_else(|_| workdir.to_owned()), grace, kept }
    }

    /// Runs the program to its end, or ends it when the run must stop.
    pub(crate) async fn call(&self, argv: &[Template], context: RunContext) -> Result<Value, HandlerError> {
        let argv: Vec<String> =
            argv.iter().map(|part| part.render(&context.scope(), Escape::None)).collect::<Result<_, _>>()?;
        let (program, arguments) =
            argv.split_first().ok_or_else(|| HandlerError::permanent("the command has no program"))?;
        let mut child = self
            .command(program, arguments, &context)
            .spawn()
            .map_err(|error| HandlerError::new(format!("cannot start {program}: {error}")))?;
        let group = Group::of(&child);
        let stdout = Capture::start(child.stdout.take());
        let stderr = Capture::start(child.stderr.take());
        let (status, stopped) = self.wait(&mut child, &group, &context).await?;
        let (stdout, stderr) = finish(group, stdout, stderr).await;
        match stopped {
            Some(how) => Err(HandlerError::new(with_output(how.to_owned(), stderr, stdout))),
            None if status.success() => Ok(stdout.into_result()),
            None => Err(HandlerError::new(with_output(describe(status), stderr, stdout))),
        }
    }

    fn command(&self, program: &str, arguments: &[String], context: &RunContext) -> Command {
        let mut command = Command::new(self.resolve(program));
        command
            .args(arguments)
            .current_dir(&self.workdir)
            .env_clear()
            .envs(self.kept.iter().map(|(name, value)| (name, value)))
            .envs(identity(context))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        command
    }

    /// A program with a slash is a path, relative to the working directory; any other is looked up in PATH.
    fn resolve(&self, program: &str) -> PathBuf {
        match program.contains('/') {
            true => self.workdir.join(program),
            false => PathBuf::from(program),
        }
    }

    /// Waits for the program's end; when the run must stop, SIGTERM and then SIGKILL bring it about, and the answer
    /// says which it took.
    async fn wait(
        &self,
        child: &mut Child,
        group: &Group,
        context: &RunContext,
    ) -> Result<(ExitStatus, Option<&'static str>), HandlerError> {
        let lost = |error: io::Error| HandlerError::new(format!("cannot wait for the program: {error}"));
        tokio::select! {
            biased;
            status = child.wait() => return Ok((status.map_err(lost)?, None)),
            () = context.cancelled() => {}
        }
        group.signal(Signal::TERM);
        if let Ok(status) = timeout(self.grace, child.wait()).await {
            return Ok((status.map_err(lost)?, Some("the program ended after SIGTERM")));
        }
        group.signal(Signal::KILL);
        Ok((child.wait().await.map_err(lost)?, Some("the program was killed, since it did not end after SIGTERM")))
    }
}

/// What says whose run this is.
fn identity(context: &RunContext) -> Vec<(&'static str, String)> {
    let mut variables = vec![
        ("LEASEHOLD_TENANT", context.tenant().id.to_string()),
        ("LEASEHOLD_JOB", context.job().to_string()),
        ("LEASEHOLD_CORRELATION_ID", context.correlation_id().to_string()),
        ("LEASEHOLD_ATTEMPT", context.attempt().to_string()),
        ("LEASEHOLD_SCHEDULED_FOR", context.scheduled_for_text()),
        ("TRACEPARENT", traceparent(context.correlation_id())),
    ];
    if let Some(payload) = context.payload() {
        variables.push(("LEASEHOLD_PAYLOAD", payload.to_string()));
    }
    variables
}

/// The program's process group. Dropped, it kills what is left of it.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)))
    }

    fn signal(&self, signal: Signal) {
        // That nobody is left to hear it is what is wanted.
        let _ = self.0.map(|group| kill_process_group(group, signal));
    }
}

impl Drop for Group {
    /// The program itself has been waited for by now, or is about to be. The number of its group cannot have been
    /// given to another one meanwhile if a member is left, and if none is, the kernel would have to have gone once
    /// around all numbers since.
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// Collects what is left of the output, and ends what is left of the group.
async fn finish(group: Group, mut stdout: Capture, mut stderr: Capture) -> (Tail, Tail) {
    // Most programs are alone in their group, and their pipes close with them.
    if !both_ended(&mut stdout, &mut stderr).await {
        group.signal(Signal::KILL);
        both_ended(&mut stdout, &mut stderr).await;
    }
    drop(group);
    (stdout.take(), stderr.take())
}

async fn both_ended(stdout: &mut Capture, stderr: &mut Capture) -> bool {
    let both = async {
        stdout.ended().await;
        stderr.ended().await;
    };
    timeout(LAST_OUTPUT, both).await.is_ok()
}

/// Reads a pipe to its end in the background and keeps the tail.
struct Capture {
    tail: Arc<Mutex<Tail>>,
    reader: AbortOnDropHandle<()>,
}

impl Capture {
    fn start(pipe: Option<impl AsyncRead + Unpin + Send + 'static>) -> Self {
        let tail = Arc::new(Mutex::new(Tail::default()));
        let reader = tokio::spawn(drain(pipe, Arc::clone(&tail)));
        Self { tail, reader: AbortOnDropHandle::new(reader) }
    }

    async fn ended(&mut self) {
        if !self.reader.is_finished() {
            // A reader cannot fail: it ends when the pipe does.
            let _ = (&mut self.reader).await;
        }
    }

    fn take(self) -> Tail {
        std::mem::take(&mut *self.tail.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn drain(pipe: Option<impl AsyncRead + Unpin>, tail: Arc<Mutex<Tail>>) {
    let Some(mut pipe) = pipe else { return };
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = pipe.read(&mut buffer).await {
        tail.lock().unwrap_or_else(PoisonError::into_inner).push(&buffer[..read]);
    }
}

/// What happened, with the end of the error output, or of the output if the program wrote no error.
fn with_output(what: String, stderr: Tail, stdout: Tail) -> String {
    let text = Some(stderr.into_text()).filter(|text| !text.is_empty()).unwrap_or_else(|| stdout.into_text());
    match text.is_empty() {
        true => what,
        false => format!("{what}: {text}"),
    }
}

/// `exit status: 3`, or `signal: 9 (SIGKILL)` in the words of the standard library.
fn describe(status: ExitStatus) -> String {
    format!("the program ended with {status}")
}

#[cfg(test)]
mod tests;
