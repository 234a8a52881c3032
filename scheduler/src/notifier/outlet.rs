//! Delivering a message: a request, or a program.
//!
//! Text of tenants is in the message alone, and the message is a body or standard input: never a URL, a header, an
//! argument or a variable.
//!
//! On failure: the error says what went wrong, and shows no secret and nothing of a URL that is one.

use std::process::Stdio;
use std::time::Duration;

use leasehold_common::hook::{HookRequest, HookSpec, HookTarget, Pending};
use leasehold_common::roster::Secret;
use leasehold_ops::group::Group;
use leasehold_ops::webhook::{Key, Signer};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStderr, Command};
use tokio::time::timeout;
use url::Url;

use crate::outbound::{self, Client, chain, shown};
use crate::secret;

/// What a program gets of the scheduler's environment.
const KEPT: [&str; 4] = ["PATH", "HOME", "LANG", "TZ"];

/// So much of what a program says is kept, in bytes.
const SAID: usize = 2_000;

/// How long what a program has left behind may keep its standard error open.
const LAST_OUTPUT: Duration = Duration::from_millis(500);

/// The ways out.
#[derive(Clone, Debug)]
pub(super) struct Outlet {
    client: Client,
    commands: bool,
}

impl Outlet {
    pub(super) fn new(commands: bool) -> Self {
        Self { client: Client::new(), commands }
    }

    /// Delivers a message, or says why not.
    pub(super) async fn deliver(&self, hook: &HookSpec, message: &Pending) -> Result<(), String> {
        let delivering = async {
            match &hook.target {
                HookTarget::Http(request) => self.send(request, message).await,
                HookTarget::Command(argv) if self.commands => run(&hook.name, argv, message).await,
                HookTarget::Command(_) => {
                    Err("this scheduler runs no programs: start it with --allow-hook-commands".to_owned())
                }
            }
        };
        let late = |_| Err(format!("not delivered within {}", leasehold_common::duration::format(hook.timeout)));
        timeout(hook.timeout, delivering).await.unwrap_or_else(late)
    }

    async fn send(&self, request: &HookRequest, message: &Pending) -> Result<(), String> {
        let client = self.client.0.as_ref().map_err(Clone::clone)?;
        let text = secret::resolve("url", &request.url).await?;
        let url = Url::parse(text.trim()).map_err(|error| format!("the URL is wrong: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("the URL must start with `http://` or `https://`".to_owned());
        }
        let target = match &request.url {
            Secret::Plain(_) => shown(&url),
            reference => reference.to_string(),
        };
        let headers = headers(request, message).await?;
        let sent = client.post(url).headers(headers).body(message.body.clone()).send().await;
        let response = sent.map_err(|error| format!("POST {target}: {}", chain(&error.without_url())))?;
        match response.status() {
            status if status.is_success() => Ok(()),
            status if status.is_redirection() => {
                Err(format!("POST {target}: answered {status}; redirects are not followed"))
            }
            status => Err(format!("POST {target}: answered {status}")),
        }
    }
}

async fn headers(request: &HookRequest, message: &Pending) -> Result<HeaderMap, String> {
    let value = |text: &str| HeaderValue::from_str(text).map_err(|error| error.to_string());
    let mut headers = HeaderMap::new();
    for (name, text) in &request.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string())?;
        headers.insert(name, value(text)?);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(bearer) = &request.bearer {
        headers.insert("authorization", outbound::bearer(&secret::resolve("bearer", bearer).await?)?);
    }
    let mut keys = Vec::with_capacity(request.secrets.len());
    for reference in &request.secrets {
        let what = format!("sign with {reference}");
        let text = secret::resolve(&what, reference).await?;
        keys.push(Key::parse(&text).map_err(|why| format!("{what}: {why}"))?);
    }
    let signed = !keys.is_empty();
    for (name, text) in Signer::new(message.id.clone(), keys).headers(message.body.as_bytes()) {
        if signed || name != "webhook-signature" {
            headers.insert(name, value(&text)?);
        }
    }
    Ok(headers)
}

/// Runs a program that reads the message from its standard input. What it has started ends with it, and so does it when
/// this is dropped or the scheduler dies.
async fn run(hook: &str, argv: &[String], message: &Pending) -> Result<(), String> {
    let Some((program, arguments)) = argv.split_first() else { return Err("no program is named".to_owned()) };
    let group = Group::start().await.map_err(|error| format!("cannot guard {program} by /bin/sh: {error}"))?;
    let kept = KEPT.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(kept)
        .env("LEASEHOLD_HOOK", hook)
        .env("LEASEHOLD_MESSAGE_ID", &message.id)
        .process_group(group.id().as_raw_pid())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("cannot start {program}: {error}"))?;
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A program need not read what it is told.
            let _ = stdin.write_all(message.body.as_bytes()).await;
        }
    };
    // It ends with the group, at the latest.
    let said = tokio::spawn(listen(stderr));
    let (status, ()) = tokio::join!(child.wait(), feed);
    let status = status.map_err(|error| format!("cannot wait for {program}: {error}"))?;
    if status.success() {
        return Ok(());
    }
    let said = timeout(LAST_OUTPUT, said).await.ok().and_then(Result::ok).unwrap_or_default();
    Err(format!("{program}: {status}: {said}").trim_end_matches([':', ' ', '\n']).to_owned())
}

/// The beginning of what a program says.
async fn listen(stderr: Option<ChildStderr>) -> String {
    let (mut said, mut piece) = (Vec::new(), [0; 1024]);
    if let Some(mut stderr) = stderr {
        while let Ok(read @ 1..) = stderr.read(&mut piece).await {
            said.extend_from_slice(&piece[..read.min(SAID.saturating_sub(said.len()))]);
        }
    }
    String::from_utf8_lossy(&said).into_owned()
}
