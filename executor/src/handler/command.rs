//! The `command` handler: one program a run; exit status 0 is success.
//!
//! The program gets its arguments as they stand (no shell, nothing is split), a clean environment with what says
//! whose run it is, the payload on its standard input, a temporary folder, and a guarded process group. Its standard
//! output is the result, its standard error the error, of both the beginning and the end are kept. What the program
//! gets is a contract: docs/reference/handlers.md.
//!
//! | module | owns |
//! |---|---|
//! | `call` | templates |
//! | `environment` | variables |
//! | `limits` | what the kernel limits, and where programs are found |
//! | `strays` | what left the group |
//! | `scratch` | temporary folders |
//! | `output` | reading what it writes |
//! | `lines` | what lines of it are for the people who look: progress, and the log |
//! | `ending` | what its end means (pure) |
//!
//! Invariants: nothing of the group outlives the run, also when the run is dropped half way or the executor is killed;
//! what left the group does not outlive the run as long as it kept its environment; memory does not grow with the
//! output; what keeps the pipes open delays the run by twice [`LAST_OUTPUT`] at most, or, when it is stopped, by the grace
//! and that.

mod call;
mod ending;
mod environment;
mod limits;
mod lines;
mod output;
mod scratch;
mod strays;

use std::io;
use std::path::{Component, Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use leasehold_ops::group::Group;
use rustix::process::Signal;
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

pub(crate) use self::call::CommandCall;
use self::call::Order;
use self::ending::Stopped;
use self::environment::{Environment, Variables};
use self::output::{Output, feed, with_output};
use self::scratch::{Folder, Scratch};
use self::strays::Mark;
use super::{HandlerError, RunContext};
use crate::options::ExecutorOptions;

/// How long the output of what a program left behind is waited for.
const LAST_OUTPUT: Duration = Duration::from_millis(500);

/// Runs programs.
#[derive(Debug)]
pub(crate) struct CommandHandler {
    /// Absolute: what a relative program and a job's `cwd` are relative to.
    workdir: PathBuf,
    any_cwd: bool,
    /// How long a program may take to end after SIGTERM.
    grace: Duration,
    environment: Environment,
    scratch: Arc<Scratch>,
}

impl CommandHandler {
    pub(crate) fn new(options: &ExecutorOptions) -> Self {
        let workdir = &options.workdir;
        Self {
            workdir: std::path::absolute(workdir).unwrap_or_else(|_| workdir.to_owned()),
            any_cwd: options.allow_any_cwd,
            grace: options.stop_grace,
            environment: Environment::of(|name| std::env::var_os(name), &options.command_env),
            scratch: Arc::new(Scratch::new(std::env::temp_dir())),
        }
    }

    /// Runs the program to its end, or ends it when the run must stop.
    pub(crate) async fn call(&self, call: &CommandCall, context: RunContext) -> Result<Value, HandlerError> {
        let order = call.order(&context)?;
        let cwd = self.cwd(order.cwd.as_deref()).await?;
        let mut site = self.site().await?;
        let said = self.run(call, &order, &cwd, &context, &mut site).await;
        site.clear().await;
        said
    }

    /// The folder that the program starts in.
    async fn cwd(&self, below: Option<&str>) -> Result<PathBuf, HandlerError> {
        let Some(below) = below else { return Ok(self.workdir.clone()) };
        let leads_out = |part: Component<'_>| !matches!(part, Component::Normal(_) | Component::CurDir);
        if !self.any_cwd && Path::new(below).components().any(leads_out) {
            return Err(HandlerError::new(format!(
                "the cwd {below:?} leads out of this executor's working directory; write a path below it, without `..`, \
                 or start the executor with --allow-any-cwd"
            )));
        }
        let cwd = self.workdir.join(below);
        match tokio::fs::metadata(&cwd).await {
            Ok(found) if found.is_dir() => Ok(cwd),
            Ok(_) => Err(HandlerError::new(format!("the cwd {} is not a folder", cwd.display()))),
            Err(error) => Err(HandlerError::new(format!("the cwd {}: {error}", cwd.display()))),
        }
    }

    async fn site(&self) -> Result<Site, HandlerError> {
        let scratch = Arc::clone(&self.scratch);
        let folder = spawn_blocking(move || scratch.folder()).await.map_err(io::Error::other).and_then(|made| made);
        let failed =
            |error| HandlerError::new(format!("cannot make a folder in {}: {error}", std::env::temp_dir().display()));
        Ok(Site { group: None, left: Some(Left { folder: folder.map_err(failed)?, mark: None }) })
    }

    async fn run(
        &self,
        call: &CommandCall,
        order: &Order,
        cwd: &Path,
        context: &RunContext,
        site: &mut Site,
    ) -> Result<Value, HandlerError> {
        let group = tokio::select! {
            biased;
            () = context.cancelled() => return Err(HandlerError::new("the program had not been started")),
            group = Group::start() => group,
        };
        let group =
            group.map_err(|error| HandlerError::new(format!("cannot guard the program by /bin/sh: {error}")))?;
        let mark = Arc::new(Mark::draw(group.id()));
        let mut variables = self.environment.of_run(&order.env, context, site.temporary());
        let (name, value) = mark.variable();
        variables.insert(name.into(), value.into());
        let group = site.guard(group, mark);
        let mut child = self
            .command(call, order, &variables)?
            .current_dir(cwd)
            .process_group(group.id().as_raw_pid())
            .stdin(context.payload().map_or_else(Stdio::null, |_| Stdio::piped()))
            .spawn()
            .map_err(|error| cannot_start(&order.program, &error))?;
        let _feeder = feed(child.stdin.take(), context.payload().map(|payload| format!("{payload}\n")));
        let mut output = Output::of(&mut child, context.notebook());
        let (status, stopped) = self.wait(&mut child, group, &mut output, context).await?;
        site.finish(&mut output).await;
        let (stdout, stderr) = output.take();
        if let Some(stopped) = stopped {
            return Err(HandlerError::new(with_output(stopped.describe().to_owned(), stderr, stdout)));
        }
        if status.success() {
            return Ok(stdout.into_result());
        }
        let mut error = ending::failure(status, call);
        error.message = with_output(error.message, stderr, stdout);
        Err(error)
    }

    fn command(&self, call: &CommandCall, order: &Order, variables: &Variables) -> Result<Command, HandlerError> {
        let program = limits::find(&order.program, &self.workdir, variables)
            .map_err(|error| cannot_start(&order.program, &error))?;
        let mut command = match call.resources() {
            none if none.is_none() => {
                let mut command = Command::new(program);
                command.arg0(&order.program);
                command
            }
            resources => {
                let limiter = limits::limiter(resources, self.environment.path()).map_err(|error| {
                    HandlerError::new(format!(
                        "the job limits `resources`, and prlimit, which does that, cannot be started: {error}; install \
                         util-linux where this executor runs, or take `resources` away"
                    ))
                })?;
                let (prlimit, options) = limiter;
                let mut command = Command::new(prlimit);
                command.args(options).arg(program);
                command
            }
        };
        command
            .args(&order.arguments)
            .env_clear()
            .envs(variables)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        Ok(command)
    }

    /// Waits for the program's end; when the run must stop, SIGTERM and then SIGKILL bring it about, and the answer
    /// says which it took.
    async fn wait(
        &self,
        child: &mut Child,
        group: &Group,
        output: &mut Output,
        context: &RunContext,
    ) -> Result<(ExitStatus, Option<Stopped>), HandlerError> {
        let lost = |error: io::Error| HandlerError::new(format!("cannot wait for the program: {error}"));
        tokio::select! {
            biased;
            status = child.wait() => return Ok((status.map_err(lost)?, None)),
            () = context.cancelled() => {}
        }
        group.signal(Signal::TERM);
        // What the program has started may take as long as the program itself.
        let all = async {
            let status = child.wait().await;
            output.ended().await;
            status
        };
        if let Ok(status) = timeout(self.grace, all).await {
            return Ok((status.map_err(lost)?, Some(Stopped::Told)));
        }
        let stopped = if matches!(child.try_wait(), Ok(Some(_))) { Stopped::RestKilled } else { Stopped::Killed };
        group.signal(Signal::KILL);
        Ok((child.wait().await.map_err(lost)?, Some(stopped)))
    }
}

fn cannot_start(program: &str, error: &io::Error) -> HandlerError {
    HandlerError::new(format!("cannot start {program}: {error}")).code("command.start")
}

/// What has to be cleared away after a run, whichever way it ends. Dropped, it is cleared in the background.
struct Site {
    group: Option<Group>,
    left: Option<Left>,
}

/// The part that takes a moment.
struct Left {
    folder: Folder,
    /// `None`: nothing has been started.
    mark: Option<Arc<Mark>>,
}

impl Left {
    /// Blocks.
    fn clear(self) {
        if let Some(mark) = &self.mark {
            mark.end_all();
        }
        drop(self.folder);
    }
}

impl Site {
    fn temporary(&self) -> &Path {
        self.left.as_ref().map_or(Path::new("/tmp"), |left| left.folder.path())
    }

    fn guard(&mut self, group: Group, mark: Arc<Mark>) -> &Group {
        if let Some(left) = &mut self.left {
            left.mark = Some(mark);
        }
        self.group.insert(group)
    }

    /// Waits for the last output, and ends whoever keeps the pipes open.
    async fn finish(&self, output: &mut Output) {
        // Most programs are alone in their group, and their pipes close with them.
        if output.ended_within(LAST_OUTPUT).await {
            return;
        }
        if let Some(group) = &self.group {
            group.signal(Signal::KILL);
        }
        if let Some(mark) = self.left.as_ref().and_then(|left| left.mark.clone()) {
            // That it panicked would have been logged; it has no other way to fail.
            let _ = spawn_blocking(move || mark.end_all()).await;
        }
        output.ended_within(LAST_OUTPUT).await;
    }

    async fn clear(mut self) {
        self.group = None;
        if let Some(left) = self.left.take() {
            let _ = spawn_blocking(move || left.clear()).await;
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // First: what is killed writes no more.
        self.group = None;
        let Some(left) = self.left.take() else { return };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || left.clear())),
            Err(_) => left.clear(),
        }
    }
}

#[cfg(test)]
mod tests;
