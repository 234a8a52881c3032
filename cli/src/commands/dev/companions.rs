//! Programs that run beside `dev`: the services of the config.
//!
//! Each runs in the config's folder and in a process group of its own, so that Ctrl-C reaches `dev` alone and what a
//! companion has started ends with it. Its output appears on stderr under its name. Its standard input stays open as
//! long as `dev` lives, so that a companion that reads it to its end never outlives even a killed `dev`.
//!
//! A companion that does not start or that exits is reported, and the rest goes on without it.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use leasehold_common::config::Service;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::render::text::one_line;

/// How long a companion may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(2);

/// This name as `argv[0]` means this very binary.
const SELF: &str = "leasehold";

/// The running companions.
pub(crate) struct Companions {
    running: Vec<JoinHandle<()>>,
    stop: CancellationToken,
}

impl Companions {
    /// Starts them all.
    pub(crate) fn start(services: &[Service], folder: &Path) -> Self {
        let stop = CancellationToken::new();
        let running = services.iter().filter_map(|service| start(service, folder, &stop)).collect();
        Self { running, stop }
    }

    /// Ends them all and waits for it.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        for companion in self.running {
            // A companion's own task does nothing that could panic; if it did, the group is killed on drop.
            let _ = companion.await;
        }
    }
}

fn start(service: &Service, folder: &Path, stop: &CancellationToken) -> Option<JoinHandle<()>> {
    match spawn(service, folder) {
        Ok(child) => Some(tokio::spawn(attend(service.name.clone(), child, stop.clone()))),
        Err(error) => {
            say(&service.name, &format!("cannot start {}: {error}", service.argv.join(" ")));
            None
        }
    }
}

fn spawn(service: &Service, folder: &Path) -> io::Result<Child> {
    let (program, arguments) = service.argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let program = match program.as_str() {
        SELF => std::env::current_exe()?,
        path if path.contains('/') => folder.join(path),
        name => name.into(),
    };
    Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

/// The process group of a companion; what is left of it is killed when this is dropped.
struct Group(Option<Pid>);

impl Group {
    fn signal(&self, signal: Signal) {
        // That nobody is left to hear it is what is wanted.
        let _ = self.0.map(|group| kill_process_group(group, signal));
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

async fn attend(name: String, mut child: Child, stop: CancellationToken) {
    let group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
    // Taken, since waiting for the child would close it.
    let _open = child.stdin.take();
    let stdout = tokio::spawn(echo(name.clone(), child.stdout.take()));
    let stderr = tokio::spawn(echo(name.clone(), child.stderr.take()));
    tokio::select! {
        status = child.wait() => {
            let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            say(&name, &format!("has ended ({how}), and is not started again"));
        }
        () = stop.cancelled() => {
            group.signal(Signal::TERM);
            // Whoever has not ended by then is killed with its group.
            let _ = timeout(GRACE, child.wait()).await;
        }
    }
    drop(group);
    let _ = timeout(GRACE, async { tokio::join!(stdout, stderr) }).await;
}

/// Copies lines to stderr under the companion's name.
async fn echo(name: String, pipe: Option<impl AsyncRead + Unpin>) {
    let Some(pipe) = pipe else { return };
    let mut reader = BufReader::new(pipe);
    let mut line = Vec::new();
    while let Ok(1..) = reader.read_until(b'\n', &mut line).await {
        say(&name, String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
}

fn say(name: &str, text: &str) {
    leasehold_ops::say!("[{name}] {}", one_line(text));
}
