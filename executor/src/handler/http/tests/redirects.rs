//! Redirects, and what they must not reach or carry along.

use super::*;

const HEADERS: [(&str, &str); 3] =
    [("authorization", "Bearer hush"), ("x-api-key", "hush"), ("content-type", "text/x")];

/// A signed call with credentials that follows redirects.
fn follow(method: &str, url: &str, redirects: u8) -> (tempfile::TempDir, HttpCall) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let sign = Some(SignSpec { secrets: vec![format!("file:{}", file.display())] });
    let spec = HttpSpec { redirects, sign, ..spec(method, url, &HEADERS) };
    (folder, HttpCall::compile(&spec).unwrap())
}

#[tokio::test]
async fn no_redirect_is_followed_unless_the_job_says_so() {
    let server = Server::default();
    let redirect = call(&server, "POST", "/to/302/http://169.254.169.254/latest?key=hush").await.unwrap_err();
    assert!(redirect.retry);
    assert!(
        redirect.message.ends_with("302 Found to \"http://169.254.169.254/latest\"; redirects are not followed"),
        "{redirect}"
    );
    assert_eq!(server.all().len(), 1);
}

#[tokio::test]
async fn a_redirect_within_an_origin_keeps_everything() {
    let server = Server::default();
    let (_folder, call) = follow("POST", &format!("http://{}/to/307/to/308/json", server.start().await), 2);
    assert_eq!(inner().call(&call, context()).await, Ok(json!({ "synced": 3 })));
    let seen = server.all();
    assert_eq!(seen.len(), 3);
    for request in &seen {
        assert_eq!(request.method, Verb::POST);
        assert_eq!((request.header("authorization"), request.header("x-api-key")), ("Bearer hush", "hush"));
        assert_eq!(request.header("content-type"), "text/x");
        assert_eq!(request.json()["job"], json!("sync-orders"));
        assert!(request.header("webhook-signature").starts_with("v1,"));
    }
}

#[tokio::test]
async fn a_post_becomes_a_get_without_a_body_and_is_signed_as_such() {
    let server = Server::default();
    let (_folder, call) = follow("POST", &format!("http://{}/to/302/json", server.start().await), 1);
    inner().call(&call, context()).await.unwrap();
    let seen = server.seen();
    assert_eq!((seen.method.as_str(), seen.body.len(), seen.header("content-type")), ("GET", 0, ""));
    assert_eq!(seen.header("leasehold-correlation-id"), context().correlation_id().to_string());
    assert_ne!(seen.header("webhook-signature"), server.all()[0].header("webhook-signature"));
}

#[tokio::test]
async fn another_origin_gets_no_credentials_and_no_signature_also_not_on_the_way_back() {
    let (ours, theirs) = (Server::default(), Server::default());
    let (here, there) = (ours.start().await, theirs.start().await);
    let url = format!("http://{here}/to/307/http://{there}/to/307/http://{here}/json");
    let (_folder, call) = follow("POST", &url, 2);
    assert_eq!(inner().call(&call, context()).await, Ok(json!({ "synced": 3 })));
    let (first, other, back) = (&ours.all()[0], theirs.seen(), ours.seen());
    assert!(first.header("webhook-signature").starts_with("v1,"));
    for request in [other, back] {
        for name in
            ["authorization", "x-api-key", "webhook-id", "webhook-timestamp", "webhook-signature", "cookie", "referer"]
        {
            assert_eq!(request.header(name), "", "{name}");
        }
        assert_eq!(request.header("leasehold-tenant"), "acme");
        assert_eq!((request.header("content-type"), request.json()["attempt"].clone()), ("text/x", json!(1)));
    }
}

#[tokio::test]
async fn no_more_redirects_are_followed_than_the_job_says() {
    let server = Server::default();
    let (_folder, call) = follow("GET", &format!("http://{}/to/302/to/302/to/302/json", server.start().await), 2);
    let error = inner().call(&call, context()).await.unwrap_err();
    assert!(error.message.ends_with("302 Found to \"/json\"; no more than 2 redirects are followed"), "{error}");
    assert_eq!(server.all().len(), 3);
}

#[tokio::test]
async fn a_redirect_to_a_refused_address_is_refused_in_every_spelling() {
    let server = Server::default();
    let other = Server::default();
    let (address, port) = (server.start().await, other.start_at("127.0.0.2:0").await.port());
    // This one address is allowed, and no other.
    let handler = HttpHandler::new(Egress::new(&["127.0.0.1/32".parse().unwrap()]));
    let hosts = [
        "127.0.0.2",
        "0x7f.2",
        "2130706434",
        "0177.0.0.2",
        "127.2",
        "[::ffff:127.0.0.2]",
        "[::1]",
        "169.254.169.254",
        "[64:ff9b::7f00:2]",
    ];
    for (asked, host) in hosts.iter().enumerate() {
        let (_folder, call) = follow("GET", &format!("http://{address}/to/307/http://{host}:{port}/"), 5);
        let error = handler.call(&call, context()).await.unwrap_err();
        let why = error.message.split_once(": redirected to http://").map(|(_, why)| why).unwrap_or_default();
        assert!(why.contains("--allow-net"), "{host}: {error}");
        assert_eq!(server.all().len(), asked + 1);
    }
    for url in ["ftp://127.0.0.1/", "file:///etc/passwd"] {
        let (_folder, call) = follow("GET", &format!("http://{address}/to/307/{url}"), 5);
        let error = handler.call(&call, context()).await.unwrap_err();
        assert!(error.message.contains("http and https are possible"), "{error}");
    }
    assert!(other.all().is_empty());
}
