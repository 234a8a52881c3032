//! Addresses that must not be reached, behind names above all.

use std::collections::VecDeque;
use std::io;

use super::*;
use crate::handler::egress::Lookup;
use async_trait::async_trait;

/// Answers something else each time, as whoever owns a name can.
#[derive(Clone, Debug)]
struct Rebinding {
    answers: Arc<Mutex<VecDeque<Vec<&'static str>>>>,
}

impl Rebinding {
    fn new(answers: &[&[&'static str]]) -> Self {
        Self { answers: Arc::new(Mutex::new(answers.iter().map(|answer| answer.to_vec()).collect())) }
    }

    fn left(&self) -> usize {
        self.answers.lock().unwrap().len()
    }

    /// A handler that may reach 127.0.0.1 and nothing else of this machine.
    fn handler(&self) -> HttpHandler {
        HttpHandler::new(Egress::new(&["127.0.0.1/32".parse().unwrap()]).with_lookup(self.clone()))
    }
}

#[async_trait]
impl Lookup for Rebinding {
    async fn lookup(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        assert_eq!(name, "rebind.example");
        let answer = self.answers.lock().unwrap().pop_front().ok_or(io::ErrorKind::NotFound)?;
        Ok(answer.into_iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 0)).collect())
    }
}

/// A server on 127.0.0.1 and one on 127.0.0.2, on the same port.
async fn two_servers() -> (Server, Server, u16) {
    let (good, bad) = (Server::default(), Server::default());
    loop {
        let port = good.start().await.port();
        let address = format!("127.0.0.2:{port}");
        if std::net::TcpListener::bind(&address).is_ok() {
            bad.start_at(&address).await;
            return (good, bad, port);
        }
    }
}

#[tokio::test]
async fn inner_addresses_are_refused_in_the_url_and_behind_a_name() {
    let server = Server::default();
    let port = server.start().await.port();
    let handler = HttpHandler::new(Egress::default());
    for host in ["127.0.0.1", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]", "localhost", "LOCALHOST"] {
        let call = compile("POST", &format!("http://{host}:{port}/"), &[]).unwrap();
        let error = handler.call(&call, context()).await.unwrap_err();
        assert!(error.message.contains("--allow-net"), "{host}: {error}");
    }
    assert!(server.all().is_empty());
    let call = compile("POST", &format!("http://localhost:{port}/"), &[]).unwrap();
    inner().call(&call, context()).await.unwrap();
    assert_eq!(server.all().len(), 1);
}

#[tokio::test]
async fn a_name_is_resolved_once_and_the_address_that_was_checked_is_the_one_connected_to() {
    let (good, bad, port) = two_servers().await;
    let names = Rebinding::new(&[&["127.0.0.1"], &["127.0.0.2"], &["127.0.0.2", "127.0.0.1"], &["::ffff:127.0.0.2"]]);
    let handler = names.handler();
    // A connection that stays open would be used again, and no name asked for.
    let call = compile("POST", &format!("http://rebind.example:{port}/close"), &[]).unwrap();
    assert_eq!(handler.call(&call, context()).await, Ok(json!("closed")));
    assert_eq!(names.left(), 3, "a second resolution could answer something else");
    let refused = handler.call(&call, context()).await.unwrap_err();
    assert!(refused.message.contains("rebind.example (127.0.0.2) is a loopback address"), "{refused}");
    assert_eq!(handler.call(&call, context()).await, Ok(json!("closed")), "the allowed one of two");
    assert!(handler.call(&call, context()).await.is_err());
    assert_eq!((names.left(), good.all().len(), bad.all().len()), (0, 2, 0));
}

#[tokio::test]
async fn a_redirect_to_a_name_that_was_rebound_is_refused() {
    let (good, bad, port) = two_servers().await;
    let names = Rebinding::new(&[&["127.0.0.2"]]);
    let url = format!("http://127.0.0.1:{port}/to/307/http://rebind.example:{port}/json");
    let call = HttpCall::compile(&HttpSpec { redirects: 3, ..HttpSpec::new("POST", url) }).unwrap();
    let error = names.handler().call(&call, context()).await.unwrap_err();
    assert!(error.message.contains("rebind.example (127.0.0.2) is a loopback address"), "{error}");
    assert_eq!((names.left(), good.all().len(), bad.all().len()), (0, 1, 0));
}
