//! The binary, with its config, over a store.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use leasehold_common::catalog;
use leasehold_common::id::{JobName, TenantId};
use leasehold_common::run::{Outcome, Report, RunState};
use leasehold_common::store::{Applied, SharedStore};
use serde_json::json;

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A store with the example's catalog.
async fn store(url: &str) -> SharedStore {
    let store = leasehold_store::open(url, &leasehold_store::Options::default()).await.unwrap();
    store.migrate().await.unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("leasehold.yaml");
    let checked = leasehold_common::config::load(&file).unwrap();
    assert!(checked.diagnostics.is_empty(), "{}", checked.diagnostics[0]);
    let stored = store.snapshot().await.unwrap();
    let plan = catalog::plan(&checked.config.unwrap().desired(stored.now, &[]), &stored, |_| None).unwrap();
    assert!(matches!(store.apply(&plan, None).await.unwrap(), Applied::Done { .. }));
    store
}

async fn run(store: &SharedStore, tenant: &str, job: &str) -> Report {
    let (tenant, job) = (TenantId::new(tenant).unwrap(), JobName::new(job).unwrap());
    let id = store.trigger(&tenant, &job, false).await.unwrap().unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let mut story = store.run(id).await.unwrap().unwrap();
        if story.run.state == RunState::Ended {
            return story.reports.pop().unwrap();
        }
        assert!(Instant::now() < deadline, "{story:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn the_handlers_of_the_config_run_for_their_tenants() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("billing.db").display());
    let store = store(&url).await;
    let executor = Command::new(env!("CARGO_BIN_EXE_custom-executor"))
        .env("LEASEHOLD_STORE", &url)
        .env("LEASEHOLD_OPS_LISTEN", "127.0.0.1:0")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _executor = Killed(executor);

    let acme = run(&store, "acme", "invoice").await;
    assert_eq!(acme.outcome, Outcome::Succeeded);
    let number = acme.correlation_id.to_string();
    assert_eq!(acme.result, Some(json!({ "tenant": "acme", "number": number, "seats": 40, "cents": 45_000 })));
    let globex = run(&store, "globex", "invoice").await;
    assert_eq!(globex.result.unwrap()["cents"], json!(3_750));

    let initech = run(&store, "initech", "invoice").await;
    assert_eq!((initech.outcome, initech.attempt), (Outcome::Dead, 1), "a permanent error is not tried again");
    assert_eq!(initech.error.as_deref(), Some("the tenant has no label `seats`"));

    let remind = run(&store, "acme", "remind").await;
    assert_eq!(remind.result, Some(json!({ "letters": 500 })));
}
