//! The real binaries as child processes.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::wait;

/// The path of a binary of this workspace, beside the test that asks.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let folder = here.parent().and_then(Path::parent).unwrap();
    let path = folder.join(name);
    assert!(path.is_file(), "{} is not built; run `cargo build --workspace --bins` first", path.display());
    path
}

/// A running process of ours. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    /// What it is, for messages.
    pub name: String,
    /// Where its standard error goes.
    pub log: PathBuf,
    child: Child,
}

impl Drop for Process {
    fn drop(&mut self) {
        // Killed processes that are stopped still die.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Process {
    /// Starts a binary; its output goes to files in `folder`.
    #[must_use]
    pub fn start(name: &str, folder: &Path, program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let log = folder.join(format!("{name}.log"));
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        writeln!(file, "--- {program} {arguments:?}").unwrap();
        let child = Command::new(binary(program))
            .args(arguments)
            .envs(environment.iter().copied())
            .env("RUST_BACKTRACE", "1")
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Self { name: name.to_owned(), log, child }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Ends it without a chance to clean up.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end and waits for it.
    pub async fn terminate(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        let name = self.name.clone();
        let child = &mut self.child;
        let deadline = Instant::now() + wait::PATIENCE;
        loop {
            match child.try_wait().unwrap() {
                Some(status) => return status,
                None if Instant::now() > deadline => panic!("{name} does not end"),
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// What it has written so far.
    #[must_use]
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits for the line that says where it serves its ops endpoints, and answers that address.
    pub async fn ops(&self) -> String {
        const SAYS: &str = "ops listening on http://";
        wait::until(&format!("{} serves its ops endpoints", self.name), || async {
            let output = self.output();
            let at = output.rfind(SAYS).ok_or_else(|| output.clone())?;
            let address: String = output[at + SAYS.len()..]
                .chars()
                .take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ':'))
                .collect();
            Ok::<_, String>(address)
        })
        .await
    }
}

/// Runs `leasehold` to its end.
#[must_use]
pub fn leasehold(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(binary("leasehold")).args(arguments).current_dir(folder).stdin(Stdio::null()).output().unwrap()
}

/// Runs `leasehold`, which must succeed, and answers its standard output.
#[must_use]
pub fn leasehold_ok(folder: &Path, arguments: &[&str]) -> String {
    let output = leasehold(folder, arguments);
    assert!(
        output.status.success(),
        "leasehold {arguments:?} failed ({}):\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Fetches a page of an ops endpoint, without a library: status and body.
pub async fn get(address: &str, path: &str) -> std::io::Result<(u16, String)> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let status = answer.split_whitespace().nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    Ok((status, body))
}

/// The sum of a metric over all its labels; 0 if it is not there.
pub async fn metric(address: &str, name: &str) -> f64 {
    let (_, body) = get(address, "/metrics").await.unwrap_or_default();
    body.lines()
        .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}
