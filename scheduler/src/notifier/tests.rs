//! Delivering: a program, and an endpoint that does not answer as it should.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use leasehold_common::hook::{HookEvent, HookRequest, HookSpec, HookTarget, Pending};
use leasehold_common::roster::Secret;

use super::outlet::Outlet;
use super::pause_after;

fn hook(target: HookTarget) -> HookSpec {
    HookSpec {
        name: "ops".to_owned(),
        on: vec![HookEvent::Dead],
        tenants: Vec::new(),
        jobs: Vec::new(),
        late_after: HookSpec::DEFAULT_LATE_AFTER,
        every: HookSpec::DEFAULT_EVERY,
        timeout: HookSpec::DEFAULT_TIMEOUT,
        target,
    }
}

fn shell(script: &str) -> HookSpec {
    hook(HookTarget::Command(["/bin/sh", "-c", script].map(str::to_owned).to_vec()))
}

fn message() -> Pending {
    serde_json::from_str(r#"{"id": "msg_1", "body": "{\"text\": \"`reboot` $(reboot)\"}"}"#).unwrap()
}

async fn deliver(hook: &HookSpec) -> Result<(), String> {
    Outlet::new(true).deliver(hook, &message()).await
}

#[tokio::test]
async fn a_program_reads_the_message_and_gets_nothing_else_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("said");
    let script = format!("cat > '{0}'; echo >> '{0}'; env >> '{0}'", path.display());
    assert_eq!(deliver(&shell(&script)).await, Ok(()));
    let said = std::fs::read_to_string(path).unwrap();
    assert!(said.starts_with(&message().body), "{said}");
    let names: Vec<_> = said.lines().skip(1).filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    let known = ["PATH", "HOME", "LANG", "TZ", "LEASEHOLD_HOOK", "LEASEHOLD_MESSAGE_ID", "PWD", "OLDPWD", "SHLVL", "_"];
    assert!(names.contains(&"LEASEHOLD_MESSAGE_ID") && names.iter().all(|name| known.contains(name)), "{names:?}");
}

#[tokio::test]
async fn a_program_that_fails_says_why_and_one_that_hangs_is_ended() {
    let failed = deliver(&shell("echo no route >&2; exit 3")).await.unwrap_err();
    assert_eq!(failed, "/bin/sh: exit status: 3: no route");
    assert!(
        deliver(&hook(HookTarget::Command(vec!["/no/such".to_owned()]))).await.unwrap_err().contains("cannot start")
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alive");
    let hangs = HookSpec {
        timeout: Duration::from_millis(300),
        ..shell(&format!("(sleep 2; touch '{}') & sleep 60", path.display()))
    };
    assert_eq!(deliver(&hangs).await, Err("not delivered within 300ms".to_owned()));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!path.exists(), "what it has started ends with it");
}

#[tokio::test]
async fn programs_run_only_if_they_may() {
    let refused = Outlet::new(false).deliver(&shell("true"), &message()).await.unwrap_err();
    assert!(refused.contains("--allow-hook-commands"), "{refused}");
}

#[tokio::test]
async fn anything_but_2xx_is_no_delivery_and_secrets_are_not_shown() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let status = async |axum::extract::Path(status): axum::extract::Path<u16>| StatusCode::from_u16(status).unwrap();
    let router = Router::new().route("/{status}", post(status));
    let server = tokio::spawn(axum::serve(listener, router).into_future());
    let to = |url: String, secrets: Vec<Secret>| {
        hook(HookTarget::Http(HookRequest { url: Secret::Plain(url), bearer: None, headers: BTreeMap::new(), secrets }))
    };
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        Secret::File(path.display().to_string())
    };
    for status in [200, 202, 204] {
        assert_eq!(deliver(&to(format!("http://{address}/{status}?token=hush"), Vec::new())).await, Ok(()));
    }
    for status in [302, 400, 410, 503] {
        let error = deliver(&to(format!("http://{address}/{status}?token=hush"), Vec::new())).await.unwrap_err();
        assert!(error.contains(&status.to_string()) && !error.contains("hush"), "{error}");
    }
    let bad = to(format!("http://{address}/200"), vec![file("short", "whsec_hush".to_owned())]);
    let error = deliver(&bad).await.unwrap_err();
    assert!(error.contains("sign with file:") && !error.contains("hush"), "{error}");
    let mut secret = to(String::new(), Vec::new());
    let HookTarget::Http(request) = &mut secret.target else { return };
    request.url = file("url", format!("http://{address}/500/hush\n"));
    let error = deliver(&secret).await.unwrap_err();
    assert!(error.contains("answered 404") && error.contains("file:") && !error.contains("hush"), "{error}");
    server.abort();
}

#[test]
fn pauses_grow_to_the_longest() {
    let total: Duration = (0..14).map(pause_after).sum();
    assert!(pause_after(0) <= Duration::from_secs(1) && pause_after(60) <= Duration::from_secs(300));
    assert!(total >= Duration::from_secs(900), "{total:?}");
}
