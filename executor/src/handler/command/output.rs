//! What a program writes, read in the background so that it never waits for a reader.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::lines::Lines;
use crate::handler::tail::Tail;
use crate::notes::Notebook;

/// Both outputs.
pub(super) struct Output {
    stdout: Capture,
    stderr: Capture,
}

impl Output {
    pub(super) fn of(child: &mut Child, notebook: &Notebook) -> Self {
        Self {
            stdout: Capture::start(child.stdout.take(), notebook.clone()),
            stderr: Capture::start(child.stderr.take(), notebook.clone()),
        }
    }

    /// Waits until nobody holds them open any more.
    pub(super) async fn ended(&mut self) {
        self.stdout.ended().await;
        self.stderr.ended().await;
    }

    /// The same, for some time at most; whether it came to it.
    pub(super) async fn ended_within(&mut self, limit: Duration) -> bool {
        timeout(limit, self.ended()).await.is_ok()
    }

    /// Standard output and standard error, as far as they have been read.
    pub(super) fn take(self) -> (Tail, Tail) {
        (self.stdout.take(), self.stderr.take())
    }
}

/// What happened, with the error output, or with the output if the program wrote no error.
pub(super) fn with_output(what: String, stderr: Tail, stdout: Tail) -> String {
    let text = Some(stderr.into_text()).filter(|text| !text.is_empty()).unwrap_or_else(|| stdout.into_text());
    match text.is_empty() {
        true => what,
        false => format!("{what}: {text}"),
    }
}

/// Reads a pipe to its end in the background and keeps both ends of what comes.
struct Capture {
    tail: Arc<Mutex<Tail>>,
    reader: AbortOnDropHandle<()>,
}

impl Capture {
    fn start(pipe: Option<impl AsyncRead + Unpin + Send + 'static>, notebook: Notebook) -> Self {
        let tail = Arc::new(Mutex::new(Tail::default()));
        let reader = tokio::spawn(drain(pipe, Arc::clone(&tail), notebook));
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

async fn drain(pipe: Option<impl AsyncRead + Unpin>, tail: Arc<Mutex<Tail>>, notebook: Notebook) {
    let Some(mut pipe) = pipe else { return };
    let keep = |bytes: &[u8]| tail.lock().unwrap_or_else(PoisonError::into_inner).push(bytes);
    let mut lines = Lines::new(notebook);
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = pipe.read(&mut buffer).await {
        lines.push(&buffer[..read], keep);
    }
    lines.end(keep);
}

/// Writes the program's input in the background, and closes it.
pub(super) fn feed(stdin: Option<ChildStdin>, input: Option<String>) -> Option<AbortOnDropHandle<()>> {
    let (mut stdin, input) = (stdin?, input?);
    Some(AbortOnDropHandle::new(tokio::spawn(async move {
        // A program may end without having read it.
        let _ = stdin.write_all(input.as_bytes()).await;
    })))
}
