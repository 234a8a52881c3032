//! How the queues stand: `/queues` and `/queues/NAME` for autoscalers, and the same numbers as metrics.
//!
//! The store is asked when somebody wants to know, once a second at most however many do, and never otherwise. While it
//! does not answer, `/queues` says so with 503, and the metrics are left out: nothing stale is ever shown, so that nobody
//! scales by it.

use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use leasehold_common::id::QueueName;
use leasehold_common::store::{Queue, QueueDepth};
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

/// How long an answer is good.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// How long the store may take. Those who ask give up sooner or later themselves.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the store said last, or why it did not.
type Answer = Result<Arc<Vec<QueueDepth>>, Arc<str>>;

/// How the queues of a store stand. Cheap to clone; all clones share their answers.
#[derive(Clone, Default)]
pub struct Queues {
    /// Empty until there is one.
    store: Arc<OnceLock<Arc<dyn Queue>>>,
    /// Held while the store is asked: whoever comes meanwhile gets the same answer.
    last: Arc<Mutex<Option<(Instant, Answer)>>>,
}

impl std::fmt::Debug for Queues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queues").finish_non_exhaustive()
    }
}

impl Queues {
    /// The queues of this store.
    #[must_use]
    pub fn of(store: Arc<dyn Queue>) -> Self {
        let queues = Self::default();
        queues.opened(store);
        queues
    }

    /// The store is there now. Only the first one counts.
    pub fn opened(&self, store: Arc<dyn Queue>) {
        let _ = self.store.set(store);
    }

    /// The routes `/queues` and `/queues/NAME`.
    pub fn route(&self) -> Router {
        Router::new().route("/queues", get(all)).route("/queues/{name}", get(one)).with_state(self.clone())
    }

    /// The gauges, as lines for `/metrics`; none while the store does not answer.
    pub(crate) async fn exposition(&self) -> String {
        self.ask().await.map(|queues| exposition(&queues)).unwrap_or_default()
    }

    async fn ask(&self) -> Answer {
        let mut last = self.last.lock().await;
        if let Some((at, answer)) = &*last
            && at.elapsed() < GOOD_FOR
        {
            return answer.clone();
        }
        let answer = self.ask_now().await;
        *last = Some((Instant::now(), answer.clone()));
        answer
    }

    /// The call runs in a task of its own: a client that hangs up must not drop it half way.
    async fn ask_now(&self) -> Answer {
        let Some(store) = self.store.get().map(Arc::clone) else {
            return Err("the store is not open yet".into());
        };
        let call = tokio::spawn(async move { store.queues().await });
        match timeout(PATIENCE, call).await {
            Ok(Ok(Ok(queues))) => Ok(Arc::new(queues)),
            Ok(Ok(Err(error))) => Err(error.to_string().into()),
            Ok(Err(_)) => Err("the call panicked".into()),
            Err(_) => Err("the store does not answer".into()),
        }
    }
}

async fn all(State(queues): State<Queues>) -> Response {
    match queues.ask().await {
        Ok(queues) => answer(StatusCode::OK, json!({ "queues": *queues })),
        Err(error) => away(&error),
    }
}

/// One queue, for scalers that read a single number: it is there also while it has nothing.
async fn one(State(queues): State<Queues>, Path(name): Path<String>) -> Response {
    let queue = match name.parse::<QueueName>() {
        Ok(queue) => queue,
        Err(error) => return answer(StatusCode::NOT_FOUND, json!({ "error": error.to_string() })),
    };
    let found = match queues.ask().await {
        Ok(queues) => queues.iter().find(|found| found.queue == queue).cloned(),
        Err(error) => return away(&error),
    };
    let found = found.unwrap_or(QueueDepth { queue, depth: 0, oldest_age_ms: None, limited: 0, running: 0 });
    let QueueDepth { queue, depth, oldest_age_ms, limited, running } = found;
    let work = depth.saturating_add(running);
    answer(
        StatusCode::OK,
        json!({
            "queue": queue, "depth": depth, "oldest_age_ms": oldest_age_ms, "limited": limited, "running": running,
            "work": work,
        }),
    )
}

fn away(error: &str) -> Response {
    answer(StatusCode::SERVICE_UNAVAILABLE, json!({ "error": error }))
}

fn answer(status: StatusCode, body: serde_json::Value) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

/// What a gauge shows of a queue.
type Shown = fn(&QueueDepth) -> f64;

/// Names of queues have no character that a label would have to escape.
fn exposition(queues: &[QueueDepth]) -> String {
    let gauges: [(&str, &str, Shown); 4] = [
        ("leasehold_queue_depth", "Items that are due and may be claimed.", |queue| queue.depth as f64),
        ("leasehold_queue_oldest_age_seconds", "How long the oldest of them has been due.", |queue| {
            queue.oldest_age_ms.unwrap_or(0) as f64 / 1_000.0
        }),
        ("leasehold_queue_limited", "Items that are due and wait for room under a limit.", |queue| {
            queue.limited as f64
        }),
        ("leasehold_queue_running", "Runs that executors have claimed.", |queue| queue.running as f64),
    ];
    let mut out = String::new();
    for (name, help, shown) in gauges {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge");
        for queue in queues {
            let _ = writeln!(out, "{name}{{queue=\"{}\"}} {}", queue.queue, shown(queue));
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use async_trait::async_trait;
    use leasehold_common::definition::Tenant;
    use leasehold_common::id::{CorrelationId, TenantId};
    use leasehold_common::store::{
        Activated, AttemptReport, Charge, ClaimId, ClaimRequest, Claimed, ErrorKind, ExecutorInfo, Extended, OnceBegun,
        OnceKey, Served, Settled, StoreError, StoreResult,
    };
    use tokio::time::sleep;
    use uuid::Uuid;

    use super::*;

    /// A store that takes its time, counts how often it is asked, and is away when told so.
    #[derive(Default)]
    struct Fake {
        asked: AtomicU32,
        away: AtomicBool,
    }

    #[async_trait]
    impl Queue for Fake {
        async fn queues(&self) -> StoreResult<Vec<QueueDepth>> {
            let depth = self.asked.fetch_add(1, Ordering::SeqCst);
            sleep(Duration::from_millis(300)).await;
            if self.away.load(Ordering::SeqCst) {
                return Err(StoreError::new(ErrorKind::Unavailable, "count", "away"));
            }
            let queue = QueueName::default();
            Ok(vec![QueueDepth { queue, depth: depth.into(), oldest_age_ms: None, limited: 0, running: 0 }])
        }
        async fn activate(&self, _: u32) -> StoreResult<Activated> {
            unreachable!()
        }
        async fn claim(&self, _: &ClaimRequest) -> StoreResult<Claimed> {
            unreachable!()
        }
        async fn extend(&self, _: Uuid, _: &[ClaimId], _: Duration) -> StoreResult<Extended> {
            unreachable!()
        }
        async fn settle(&self, _: Uuid, _: &[AttemptReport], _: &[ClaimId]) -> StoreResult<Vec<Settled>> {
            unreachable!()
        }
        async fn charge(&self, _: &[Charge], _: &[Served]) -> StoreResult<()> {
            unreachable!()
        }
        async fn announce(&self, _: &ExecutorInfo) -> StoreResult<()> {
            unreachable!()
        }
        async fn retire(&self, _: Uuid) -> StoreResult<()> {
            unreachable!()
        }
        async fn payloads(&self, _: &[CorrelationId]) -> StoreResult<Vec<(CorrelationId, String)>> {
            unreachable!()
        }
        async fn begin_once(&self, _: &OnceKey) -> StoreResult<OnceBegun> {
            unreachable!()
        }
        async fn finish_once(&self, _: &OnceKey, _: &str) -> StoreResult<bool> {
            unreachable!()
        }
        async fn tenants_by_id(&self, _: &[TenantId]) -> StoreResult<Vec<(Tenant, i64)>> {
            unreachable!()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_store_is_asked_once_a_second_however_many_ask() {
        let store = Arc::new(Fake::default());
        let queues = Queues::of(Arc::clone(&store) as _);
        let asks: Vec<_> = (0..50)
            .map(|_| {
                let queues = queues.clone();
                tokio::spawn(async move { queues.ask().await.unwrap()[0].depth })
            })
            .collect();
        for ask in asks {
            assert_eq!(ask.await.unwrap(), 0);
        }
        sleep(GOOD_FOR / 2).await;
        assert_eq!(queues.ask().await.unwrap()[0].depth, 0);
        sleep(GOOD_FOR).await;
        assert_eq!(queues.ask().await.unwrap()[0].depth, 1);
        assert_eq!(store.asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_known_is_not_shown() {
        let queues = Queues::default();
        assert_eq!(queues.ask().await.unwrap_err().as_ref(), "the store is not open yet");
        let store = Arc::new(Fake::default());
        queues.opened(Arc::clone(&store) as _);
        sleep(2 * GOOD_FOR).await;
        assert!(queues.exposition().await.contains("leasehold_queue_depth{queue=\"default\"}"));
        store.away.store(true, Ordering::SeqCst);
        sleep(2 * GOOD_FOR).await;
        assert_eq!(queues.ask().await.unwrap_err().as_ref(), "cannot count: away");
        assert_eq!(queues.exposition().await, "");
        store.away.store(false, Ordering::SeqCst);
        sleep(2 * GOOD_FOR).await;
        assert!(queues.ask().await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_hangs_up_does_not_drop_the_call() {
        let store = Arc::new(Fake::default());
        let queues = Queues::of(Arc::clone(&store) as _);
        assert!(timeout(Duration::from_millis(10), queues.ask()).await.is_err());
        assert!(queues.ask().await.is_ok());
    }

    #[test]
    fn each_queue_has_a_line_for_each_gauge() {
        let queue = |name: &str, oldest_age_ms| QueueDepth {
            queue: name.parse().unwrap(),
            depth: 3,
            oldest_age_ms,
            limited: 2,
            running: 1,
        };
        let text = exposition(&[queue("default", Some(1_500)), queue("reports", None)]);
        for line in [
            "# TYPE leasehold_queue_depth gauge",
            "leasehold_queue_depth{queue=\"default\"} 3",
            "leasehold_queue_oldest_age_seconds{queue=\"default\"} 1.5",
            "leasehold_queue_oldest_age_seconds{queue=\"reports\"} 0",
            "leasehold_queue_limited{queue=\"reports\"} 2",
            "leasehold_queue_running{queue=\"default\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
        }
    }
}
