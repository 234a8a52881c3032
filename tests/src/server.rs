//! Private servers, started on demand, once a test binary, and ended with it.
//!
//! A server is the child of a small shell that reads its standard input and ends the server when that closes: so it
//! goes away with the test process, however that ends, and nothing else is ever killed.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A running server. Dropping it ends the server and removes its folder.
#[derive(Debug)]
pub struct Server {
    /// Where it listens on 127.0.0.1.
    pub port: u16,
    /// Its folder.
    pub folder: PathBuf,
    /// Its process id.
    pub pid: u32,
    stdin: Option<ChildStdin>,
    shell: Child,
}

impl Server {
    /// Ends the server at once, as a crash would, and keeps its folder for [`Postgres::start_in`].
    pub fn crash(self) {
        std::fs::write(self.folder.join("keep"), "").unwrap();
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.pid).unwrap()).unwrap();
        // PostgreSQL's "immediate" mode: no checkpoint, recovery at the next start.
        rustix::process::kill_process(pid, rustix::process::Signal::QUIT).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stdin.take());
        self.shell.wait().ok();
    }
}

/// A port that is free now.
#[must_use]
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Starts `argv` under the watching shell. `stop` is the signal that ends it quickly and cleanly.
fn start(argv: &[String], folder: &Path, port: u16, stop: &str) -> Server {
    // The server's process id comes on the first line; the rest of its output goes to its own log.
    let script = format!(
        r#""$@" >"$FOLDER/log" 2>&1 </dev/null & pid=$!; echo $pid; exec >/dev/null 2>&1
           cat >/dev/null; kill -{stop} $pid 2>/dev/null; wait $pid; [ -e "$FOLDER/keep" ] || rm -rf "$FOLDER""#
    );
    let mut shell = Command::new("sh")
        .args(["-c", &script, "sh"])
        .args(argv)
        .env("FOLDER", folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("sh starts");
    let stdin = shell.stdin.take();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(shell.stdout.take().unwrap()), &mut line).unwrap();
    Server { port, folder: folder.to_owned(), pid: line.trim().parse().expect("a process id"), stdin, shell }
}

fn wait_for_port(server: &Server, what: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while std::net::TcpStream::connect(("127.0.0.1", server.port)).is_err() {
        if Instant::now() > deadline {
            let log = std::fs::read_to_string(server.folder.join("log")).unwrap_or_default();
            panic!("{what} did not start:\n{log}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Finds a program on the PATH or in one of Debian's folders for PostgreSQL.
fn find(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        folders.extend(versions.flatten().map(|version| version.path().join("bin")));
    }
    folders
        .iter()
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("{program} is not installed; tests/run installs what is missing"))
}

/// PostgreSQL refuses to run as root: then it runs as the user of Debian's package.
fn unprivileged(mut argv: Vec<String>) -> Vec<String> {
    if rustix::process::geteuid().is_root() {
        let as_postgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"];
        argv.splice(0..0, as_postgres.map(str::to_owned));
    }
    argv
}

fn run(argv: &[String]) {
    let output = Command::new(&argv[0]).args(&argv[1..]).output().unwrap_or_else(|e| panic!("{argv:?}: {e}"));
    assert!(output.status.success(), "{argv:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A folder for a server, owned by who runs it.
fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("leasehold-{name}-{}", uuid::Uuid::now_v7().simple()));
    std::fs::create_dir(&folder).unwrap();
    if rustix::process::geteuid().is_root() {
        run(&["chown".to_owned(), "postgres".to_owned(), folder.display().to_string()]);
    }
    folder
}

/// How a PostgreSQL server is set up.
#[derive(Clone, Debug, Default)]
pub struct Postgres {
    /// Whether commits are durable; tests that do not crash the server need not wait for the disk.
    pub durable: bool,
    /// Certificate and key, for TLS.
    pub tls: Option<(PathBuf, PathBuf)>,
}

impl Postgres {
    /// Starts a server of its own.
    #[must_use]
    pub fn start(&self) -> Server {
        let folder = folder("postgres");
        let data = folder.join("data").display().to_string();
        let initdb = [find("initdb").display().to_string()]
            .into_iter()
            .chain(["-D", &data, "-U", "leasehold", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"].map(str::to_owned))
            .collect();
        run(&unprivileged(initdb));
        self.start_in(&folder, free_port())
    }

    /// Starts a server on a folder that was initialised before, for restarts.
    #[must_use]
    pub fn start_in(&self, folder: &Path, port: u16) -> Server {
        std::fs::remove_file(folder.join("keep")).ok();
        let data = folder.join("data").display().to_string();
        let mut settings = vec![
            "listen_addresses=127.0.0.1".to_owned(),
            format!("unix_socket_directories={}", folder.display()),
            format!("port={port}"),
            "max_connections=200".to_owned(),
        ];
        if !self.durable {
            settings.extend(["fsync=off", "synchronous_commit=off", "full_page_writes=off"].map(str::to_owned));
        }
        if let Some((certificate, key)) = &self.tls {
            settings.push("ssl=on".to_owned());
            settings.push(format!("ssl_cert_file={}", certificate.display()));
            settings.push(format!("ssl_key_file={}", key.display()));
        }
        let mut argv = vec![find("postgres").display().to_string(), "-D".to_owned(), data];
        argv.extend(settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting]));
        let server = start(&unprivileged(argv), folder, port, "INT");
        wait_for_port(&server, "PostgreSQL");
        server
    }
}

/// The PostgreSQL server that all tests of one binary share, each with a database of its own.
pub fn postgres() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| Postgres::default().start())
}

/// Starts a Redis server of its own; `extra` is appended to its arguments.
#[must_use]
pub fn redis(port: u16, extra: &[&str]) -> Server {
    let folder = folder("redis");
    let mut argv = vec![find("redis-server").display().to_string()];
    let own = [
        "--bind".to_owned(),
        "127.0.0.1".to_owned(),
        "--port".to_owned(),
        port.to_string(),
        "--dir".to_owned(),
        folder.display().to_string(),
        "--save".to_owned(),
        String::new(),
        "--appendonly".to_owned(),
        "no".to_owned(),
    ];
    argv.extend(own);
    argv.extend(extra.iter().map(|&argument| argument.to_owned()));
    let server = start(&unprivileged(argv), &folder, port, "KILL");
    if !extra.contains(&"--tls-port") {
        wait_for_port(&server, "Redis");
    }
    server
}
