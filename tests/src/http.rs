//! A small HTTP server that remembers what it was asked.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What somebody asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// `POST /path`.
    pub line: String,
    /// By name in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: String,
}

/// What it answers.
#[derive(Clone, Debug)]
pub struct Answer {
    status: &'static str,
    body: String,
    etag: Option<String>,
}

impl Answer {
    /// 200 with this body.
    #[must_use]
    pub fn json(body: &Value) -> Self {
        Self { status: "200 OK", body: body.to_string(), etag: None }
    }

    /// 202.
    #[must_use]
    pub fn accepted() -> Self {
        Self { status: "202 Accepted", body: String::new(), etag: None }
    }

    /// With another status, as in `503 Service Unavailable`.
    #[must_use]
    pub fn status(status: &'static str) -> Self {
        Self { status, body: String::new(), etag: None }
    }

    /// With this tag: whoever has it already is told so with 304.
    #[must_use]
    pub fn etag(mut self, tag: &str) -> Self {
        self.etag = Some(tag.to_owned());
        self
    }
}

/// A server on a free port of 127.0.0.1; it ends with the test's runtime.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Where it listens.
    pub port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// Which of these have their answer.
    answered: Arc<Mutex<Vec<usize>>>,
    answer: Arc<Mutex<Answer>>,
    takes: Arc<Mutex<Duration>>,
    /// Whether it hangs up without an answer.
    fails: Arc<AtomicBool>,
}

impl Endpoint {
    /// Starts it. It answers everything with 200 and `{"ok": true}`, until [`Endpoint::answer`] says otherwise.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let answer = Arc::new(Mutex::new(Answer::json(&serde_json::json!({"ok": true}))));
        let endpoint = Self {
            port: listener.local_addr().unwrap().port(),
            asked: Arc::default(),
            answered: Arc::default(),
            answer,
            takes: Arc::default(),
            fails: Arc::default(),
        };
        let server = endpoint.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(server.clone().reply(stream));
            }
        });
        endpoint
    }

    /// Answers everything with this from now on.
    pub fn answer(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    /// Takes so long for each answer from now on.
    pub fn take(&self, time: Duration) {
        *self.takes.lock().unwrap() = time;
    }

    /// Hangs up without an answer from now on, or no longer.
    pub fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }

    /// What was asked and answered so far.
    #[must_use]
    pub fn answered(&self) -> Vec<Asked> {
        let asked = self.asked.lock().unwrap();
        self.answered.lock().unwrap().iter().map(|index| asked[*index].clone()).collect()
    }

    /// How often it was asked so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    /// What was asked so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Answers one request and closes. A client that sends something else learns nothing.
    async fn reply(self, mut stream: TcpStream) -> std::io::Result<()> {
        if self.fails.load(Ordering::SeqCst) {
            return Ok(());
        }
        let mut reader = BufReader::new(&mut stream);
        let mut line = String::new();
        reader.read_line(&mut line).await?;
        let mut headers = BTreeMap::new();
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).await?;
            let Some((name, value)) = header.trim_end().split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body).await?;
        let line = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
        let Answer { status, body: answer, etag } = self.answer.lock().unwrap().clone();
        let known = etag.is_some() && headers.get("if-none-match") == etag.as_ref();
        let index = {
            let mut asked = self.asked.lock().unwrap();
            asked.push(Asked { line, headers, body: String::from_utf8_lossy(&body).into_owned() });
            asked.len() - 1
        };
        let takes = *self.takes.lock().unwrap();
        if !takes.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(takes) => {}
                _ = stream.read_u8() => return Ok(()), // the caller is gone
            }
        }
        let tag = etag.map(|etag| format!("ETag: {etag}\r\n")).unwrap_or_default();
        let head = match known {
            true => format!("HTTP/1.1 304 Not Modified\r\n{tag}Connection: close\r\n\r\n"),
            false => format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{tag}Content-Length: {}\r\nConnection: close\r\n\r\n{answer}",
                answer.len()
            ),
        };
        stream.write_all(head.as_bytes()).await?;
        self.answered.lock().unwrap().push(index);
        Ok(())
    }
}

/// Posts JSON with the token of a callback, without a library: status, head and body.
pub async fn post(url: &str, token: &str, body: &str) -> (u16, String, String) {
    let (address, path) = url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).expect("a URL");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /{path} HTTP/1.1\r\nHost: {address}\r\nLeasehold-Callback-Token: {token}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // A server that refuses a body need not read it.
    stream.write_all(body.as_bytes()).await.ok();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok();
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split_whitespace().nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    (status, head.to_ascii_lowercase(), body.to_owned())
}
