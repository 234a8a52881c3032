//! A TCP proxy that can lose what a server answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// No answer that matters is this short (bytes); PostgreSQL's ReadyForQuery has six.
const PING_ANSWER: usize = 16;

/// A proxy in front of a server on 127.0.0.1.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// Where it listens.
    pub port: u16,
    lose: Arc<AtomicBool>,
}

impl Proxy {
    /// Starts one in front of `port`.
    pub async fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self { port: listener.local_addr().unwrap().port(), lose: Arc::default() };
        let lose = Arc::clone(&proxy.lose);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                tokio::spawn(pass(client, server, Arc::clone(&lose)));
            }
        });
        proxy
    }

    /// The next thing of substance that a server answers is not passed on; its connection breaks instead. Answers to
    /// pings, which a pool sends on its own, pass.
    pub fn lose_next_answer(&self) {
        self.lose.store(true, Ordering::SeqCst);
    }

    /// Whether that has happened.
    #[must_use]
    pub fn has_lost(&self) -> bool {
        !self.lose.load(Ordering::SeqCst)
    }
}

/// Passes bytes both ways until either side closes.
async fn pass(client: TcpStream, server: TcpStream, lose: Arc<AtomicBool>) -> std::io::Result<()> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let mut asking = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = tokio::select! {
            read = from_server.read(&mut buffer) => read?,
            _ = &mut asking => 0,
        };
        if read == 0 || (read > PING_ANSWER && lose.swap(false, Ordering::SeqCst)) {
            asking.abort();
            return Ok(());
        }
        to_client.write_all(&buffer[..read]).await?;
    }
}
