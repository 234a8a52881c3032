//! What becomes of an answer.

use super::*;
use leasehold_common::endpoint::Statuses;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

#[tokio::test]
async fn a_2xx_answer_is_success_with_its_body_as_the_result() {
    let server = Server::default();
    assert_eq!(call(&server, "POST", "/json").await, Ok(json!({ "synced": 3 })));
    assert_eq!(call(&server, "POST", "/text").await, Ok(json!("done")));
    assert_eq!(call(&server, "POST", "/empty").await, Ok(Value::Null));
    assert_eq!(call(&server, "POST", "/bytes").await, Ok(json!("a\u{fffd}b\u{fffd}")));
}

#[tokio::test]
async fn every_other_answer_is_a_failure_that_says_what_it_was() {
    let server = Server::default();
    let broken = call(&server, "POST", "/broken?token=secret").await.unwrap_err();
    assert!(broken.retry && broken.after.is_none());
    assert!(
        broken.message.ends_with("/broken: answered 502 Bad Gateway: up\u{fffd}stream \u{fffd} is away"),
        "{broken}"
    );
    assert!(!broken.message.contains("secret"), "{broken}");
    let refused = call(&server, "POST", "/status/422").await.unwrap_err();
    assert!(!refused.retry && refused.message.ends_with("answered 422 Unprocessable Entity: so it is"), "{refused}");
    let later = call(&server, "POST", "/status/429").await.unwrap_err();
    assert!(later.retry, "{later}");
}

#[tokio::test]
async fn the_rules_of_the_job_say_what_a_status_means() {
    let server = Server::default();
    let address = server.start().await;
    let list = |texts: &[&str]| texts.iter().map(|text| text.parse::<Statuses>().unwrap()).collect();
    let responses = Responses { success: list(&["404"]), retry: list(&["409"]), fail: list(&["503"]) };
    for (status, result) in
        [(404, Ok(json!("so it is"))), (409, Err(true)), (503, Err(false)), (500, Err(true)), (403, Err(false))]
    {
        let spec = HttpSpec {
            responses: responses.clone(),
            ..HttpSpec::new("POST", format!("http://{address}/status/{status}"))
        };
        let answer = inner().call(&HttpCall::compile(&spec).unwrap(), context()).await;
        assert_eq!(answer.map_err(|error| error.retry), result, "{status}");
    }
}

#[tokio::test]
async fn a_wait_that_is_asked_for_comes_with_the_failure() {
    let busy = call(&Server::default(), "POST", "/busy").await.unwrap_err();
    assert_eq!((busy.retry, busy.after), (true, Some(Duration::from_secs(120))));
}

#[tokio::test]
async fn an_endless_answer_is_read_only_so_far() {
    let Ok(Value::String(text)) = call(&Server::default(), "POST", "/endless").await else { panic!("no text") };
    assert!(text.starts_with("xxx") && text.contains(" bytes left out]") && text.len() < 20_000, "{}", text.len());
    assert!(text.ends_with("xxx [… not read on after 1 MiB]"), "{}", &text[text.len() - 60..]);
}

/// An endpoint that sends these bytes, whatever it is asked, and then closes the connection if it is told to.
async fn raw(bytes: &'static [u8], closes: bool) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut open = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 64 * 1024];
            let _ = stream.read(&mut request).await.unwrap();
            stream.write_all(bytes).await.unwrap();
            if !closes {
                open.push(stream);
            }
        }
    });
    address
}

#[tokio::test]
async fn an_answer_that_never_ends_is_cut_when_its_time_is_up() {
    let address = raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart", false).await;
    let mut response = reqwest::get(format!("http://{address}/")).await.unwrap();
    assert_eq!(response.chunk().await.unwrap().unwrap(), "part");
    let body = answer::read_until(&mut response, Instant::now()).await;
    let result = answer::judge("x", &Responses::default(), 0, &response, body);
    assert_eq!(result, Ok(json!(" [… not read on after a minute]")));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_failure_and_a_stated_failure_stays_what_it_is() {
    for (bytes, retry, what) in [
        (&b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart"[..], true, "answered 200 OK, and then "),
        (
            b"HTTP/1.1 400 Bad\r\ncontent-length: 100\r\n\r\nno \0 such",
            false,
            "answered 400 Bad Request: no \u{fffd} such",
        ),
        (b"SSH-2.0-x\r\n", true, "POST http://"),
        (b"", true, "POST http://"),
    ] {
        let call = compile("POST", &format!("http://{}/", raw(bytes, true).await), &[]).unwrap();
        let error = inner().call(&call, context()).await.unwrap_err();
        assert!(error.message.contains(what) && error.retry == retry, "{error}");
    }
}
