//! Handlers as services of `tower`, so that layers go around them.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use serde_json::Value;
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt as _, service_fn};

use super::extract::Wants;
use super::function::Handler;
use super::{BoxError, HandlerError, RunContext};

/// A registered handler: from a run to its result. What a layer of [`Executor::layer`](crate::Executor::layer) is put
/// around.
#[derive(Clone, Debug)]
pub struct HandlerService(BoxCloneSyncService<RunContext, Value, HandlerError>);

impl Service<RunContext> for HandlerService {
    type Response = Value;
    type Error = HandlerError;
    type Future = BoxFuture<'static, Result<Value, HandlerError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), HandlerError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, context: RunContext) -> Self::Future {
        self.0.call(context)
    }
}

impl HandlerService {
    fn new<M: 'static>(handler: Arc<impl Handler<M>>) -> Self {
        Self(BoxCloneSyncService::new(service_fn(move |context| {
            let handler = Arc::clone(&handler);
            async move { handler.run(context).await }
        })))
    }

    fn layered<L>(self, layer: &L) -> Self
    where
        L: Layer<Self>,
        L::Service: Service<RunContext, Response = Value> + Clone + Send + Sync + 'static,
        <L::Service as Service<RunContext>>::Error: Into<BoxError>,
        <L::Service as Service<RunContext>>::Future: Send + 'static,
    {
        Self(BoxCloneSyncService::new(layer.layer(self).map_err(HandlerError::from_boxed)))
    }
}

/// A handler as an executor keeps it.
#[derive(Clone, Debug)]
pub(crate) struct Registered {
    service: HandlerService,
    pub(crate) wants: Wants,
}

impl Registered {
    pub(crate) fn new<M: 'static>(handler: impl Handler<M>) -> Self {
        let mut wants = Wants::default();
        handler.wants(&mut wants);
        Self { service: HandlerService::new(Arc::new(handler)), wants }
    }

    pub(crate) fn layered<L>(self, layer: &L) -> Self
    where
        L: Layer<HandlerService>,
        L::Service: Service<RunContext, Response = Value> + Clone + Send + Sync + 'static,
        <L::Service as Service<RunContext>>::Error: Into<BoxError>,
        <L::Service as Service<RunContext>>::Future: Send + 'static,
    {
        Self { service: self.service.layered(layer), wants: self.wants }
    }

    pub(crate) async fn run(&self, context: RunContext) -> Result<Value, HandlerError> {
        self.service.clone().oneshot(context).await
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use serde_json::json;
    use tower::limit::ConcurrencyLimitLayer;
    use tower::timeout::TimeoutLayer;

    use super::super::context::tests::context;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_layer_of_tower_ends_a_handler_in_time() {
        let slow = Registered::new(async || {
            tokio::time::sleep(Duration::from_secs(10)).await;
            Ok::<_, HandlerError>("done")
        });
        let hasty = slow.clone().layered(&TimeoutLayer::new(Duration::from_secs(1)));
        let error = hasty.run(context()).await.unwrap_err();
        assert!(error.retry && error.message.contains("timed out"), "{error}");
        let patient = slow.layered(&TimeoutLayer::new(Duration::from_secs(60)));
        assert_eq!(patient.run(context()).await.unwrap(), json!("done"));
    }

    #[tokio::test]
    async fn an_error_is_the_same_behind_layers() {
        let refuses = async || Err::<(), _>(HandlerError::permanent("no").retry_after(Duration::from_secs(7)));
        let layered = Registered::new(refuses)
            .layered(&TimeoutLayer::new(Duration::from_secs(60)))
            .layered(&ConcurrencyLimitLayer::new(1));
        let error = layered.run(context()).await.unwrap_err();
        assert_eq!(error, HandlerError::permanent("no").retry_after(Duration::from_secs(7)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_of_tower_holds_over_all_runs_of_a_handler() {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let seen = Arc::clone(&most);
        let limited = Registered::new(move || {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_secs(1)).await;
                now.fetch_sub(1, Ordering::SeqCst);
                Ok::<_, HandlerError>(())
            }
        })
        .layered(&ConcurrencyLimitLayer::new(2));
        let runs = (0..9).map(|_| limited.run(context()));
        for ran in futures_util::future::join_all(runs).await {
            ran.unwrap();
        }
        assert_eq!(seen.load(Ordering::SeqCst), 2);
    }
}
