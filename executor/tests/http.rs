//! `http` jobs of a whole executor: what its environment gives and does not give, and what is stored of it.
#![expect(unreachable_pub, dead_code, clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::IntoResponse;
use common::{Fixture, definition, job};
use leasehold_common::definition::{Definition, HandlerSpec};
use leasehold_common::endpoint::{HttpSpec, SignSpec};
use leasehold_common::retry::{Backoff, RetryPolicy};
use leasehold_common::run::Outcome;
use leasehold_executor::ExecutorOptions;

const HOUR: Duration = Duration::from_secs(3_600);

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

type Seen = Arc<Mutex<Vec<HashMap<String, String>>>>;

/// An endpoint that fails the first request to a path with the status that the path names, and takes all others.
async fn endpoint() -> (SocketAddr, Seen) {
    let seen = Seen::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (kept, asked) = (Arc::clone(&seen), Arc::new(AtomicU32::new(0)));
    let router = axum::Router::new().fallback(move |uri: Uri, headers: HeaderMap| async move {
        let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        kept.lock().unwrap().push(headers.collect());
        match uri.path().trim_start_matches('/').parse::<u16>() {
            Ok(status) if asked.fetch_add(1, Ordering::Relaxed) == 0 => {
                (StatusCode::from_u16(status).unwrap(), [("retry-after", "1")]).into_response()
            }
            _ => StatusCode::OK.into_response(),
        }
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, seen)
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn http(address: SocketAddr, path: &str) -> HttpSpec {
    HttpSpec::new("POST", format!("http://{address}/{path}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_the_environment_sign_and_its_proxies_are_ignored() {
    let (address, seen) = endpoint().await;
    let fixture = Fixture::new().await;
    let sign = |name: &str| Some(SignSpec { secrets: vec![format!("env:{name}")] });
    let signed = HandlerSpec::Http(HttpSpec { sign: sign("HOOK_SECRET"), ..http(address, "") });
    let missing = HandlerSpec::Http(HttpSpec { sign: sign("NOT_SET"), ..http(address, "") });
    let wrong = HandlerSpec::Http(HttpSpec { sign: sign("HTTP_PROXY"), ..http(address, "") });
    let jobs = [("signed", signed), ("missing", missing), ("wrong", wrong)];
    fixture.apply(jobs.map(|(name, handler)| (job(name), definition(handler))), HOUR).await;
    // Nobody listens there.
    const PROXY: &str = "http://127.0.0.1:1";
    let mut command = Command::new(env!("CARGO_BIN_EXE_leasehold-executor"));
    command
        .args(["--store", &format!("sqlite:{}", fixture.folder.path().join("leasehold.db").display())])
        .args(["--ops-listen", "127.0.0.1:0", "--allow-net", "127.0.0.0/8"])
        .env_clear()
        .env("HOOK_SECRET", SECRET)
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"] {
        command.env(name, PROXY);
    }
    let _executor = Killed(command.spawn().unwrap());

    let story = fixture.story(fixture.trigger("signed").await).await;
    assert_eq!((story[0].outcome, story.len()), (Outcome::Succeeded, 1), "{story:?}");
    let request = seen.lock().unwrap().pop().unwrap();
    assert_eq!(request["webhook-id"], request["leasehold-correlation-id"]);
    assert!(request["webhook-signature"].starts_with("v1,"));

    for (name, why) in
        [("missing", "no environment variable NOT_SET"), ("wrong", "env:HTTP_PROXY: what is there is no secret")]
    {
        let story = fixture.story(fixture.trigger(name).await).await;
        let attempts: Vec<_> = story.iter().map(|report| report.outcome).collect();
        assert_eq!(attempts, [Outcome::Failed, Outcome::Dead], "another attempt may find it");
        let error = story[1].error.as_deref().unwrap();
        assert!(error.contains(why) && !error.contains(PROXY), "{error}");
    }
    assert!(seen.lock().unwrap().is_empty());
    let stored = std::fs::read(fixture.folder.path().join("leasehold.db")).unwrap();
    let wal = std::fs::read(fixture.folder.path().join("leasehold.db-wal")).unwrap_or_default();
    let holds =
        |text: &str| [&stored, &wal].iter().any(|file| file.windows(text.len()).any(|part| part == text.as_bytes()));
    assert!(holds("env:HOOK_SECRET") && !holds(&SECRET[6..]), "the store knows where the secret is, and not what");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_says_whether_and_when_to_come_again() {
    let (busy, seen) = endpoint().await;
    let (refusing, refused) = endpoint().await;
    let fixture = Fixture::new().await;
    // Without the endpoint's word the second attempt would come at once.
    let retry = RetryPolicy {
        attempts: 3,
        backoff: Backoff { initial: Duration::from_millis(1), max: Duration::from_millis(1), factor: 1.0 },
        ..RetryPolicy::default()
    };
    let of = |spec: HttpSpec| Definition { retry: retry.clone(), ..definition(HandlerSpec::Http(spec)) };
    fixture.apply([(job("busy"), of(http(busy, "503"))), (job("wrong"), of(http(refusing, "422")))], HOUR).await;
    let running = fixture
        .start(ExecutorOptions { allow_net: vec!["127.0.0.0/8".parse().unwrap()], ..Default::default() }, |executor| {
            executor
        });
    let story = fixture.story(fixture.trigger("busy").await).await;
    let outcomes: Vec<_> = story.iter().map(|report| report.outcome).collect();
    assert_eq!(outcomes, [Outcome::Failed, Outcome::Succeeded], "{story:?}");
    let wait = story[0].next_attempt_at.unwrap().duration_since(story[0].finished_at);
    assert!(wait >= Duration::from_secs(1).try_into().unwrap(), "{wait}");
    {
        let seen = seen.lock().unwrap();
        let spans: Vec<&str> = seen.iter().map(|request| request["traceparent"].as_str()).collect();
        assert!(spans.len() == 2 && spans[0][..36] == spans[1][..36] && spans[0] != spans[1], "{spans:?}");
    }
    let story = fixture.story(fixture.trigger("wrong").await).await;
    assert_eq!((story.len(), story[0].outcome, story[0].attempt), (1, Outcome::Dead, 1), "{story:?}");
    assert_eq!(refused.lock().unwrap().len(), 1);
    running.stop().await;
}
