//! Whose run the code that asks is working on, for libraries far below a handler that get no context.
//!
//! The identity belongs to the handler's future and not to a thread: it is there while the future is polled, and gone in
//! between, when it ends, when it panics and when it is dropped. Another run on the same thread never sees it. Where
//! code leaves the future (`tokio::spawn`, `spawn_blocking`, a thread) there is none; [`spawn`] and [`spawn_blocking`]
//! take it along.

use std::sync::Arc;

use leasehold_common::definition::Tenant;
use leasehold_common::id::{CorrelationId, JobName};
use tokio::task::JoinHandle;
use tracing::{Instrument as _, Span};

tokio::task_local! {
    static CURRENT: Current;
}

/// Whose run it is. See [`current`].
#[derive(Clone, Debug)]
pub struct Current {
    pub(super) tenant: Arc<Tenant>,
    pub(super) job: JobName,
    pub(super) correlation_id: CorrelationId,
    pub(super) attempt: u32,
}

impl Current {
    /// The tenant.
    #[must_use]
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// The job's name.
    #[must_use]
    pub fn job(&self) -> &JobName {
        &self.job
    }

    /// The run's id.
    #[must_use]
    pub fn correlation_id(&self) -> CorrelationId {
        self.correlation_id
    }

    /// The number of the attempt, 1 for the first.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Runs a future as this run's: for tests of code that asks for [`current`].
    pub async fn scope<F: Future>(self, future: F) -> F::Output {
        CURRENT.scope(self, future).await
    }
}

/// Whose run the code that asks is working on; `None` outside of a run.
///
/// Inside of what a handler started by itself with `tokio::spawn`, `tokio::task::spawn_blocking` or a thread it is `None`
/// too, never somebody else: start such work with [`spawn`] and [`spawn_blocking`].
#[must_use]
pub fn current() -> Option<Current> {
    CURRENT.try_with(Clone::clone).ok()
}

/// As `tokio::spawn`, with the run's identity and in its span.
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    match current() {
        Some(current) => tokio::spawn(current.scope(future).in_current_span()),
        None => tokio::spawn(future.in_current_span()),
    }
}

/// As `tokio::task::spawn_blocking`, with the run's identity and in its span.
pub fn spawn_blocking<F, R>(work: F) -> JoinHandle<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    let (current, span) = (current(), Span::current());
    tokio::task::spawn_blocking(move || {
        let work = || span.in_scope(work);
        match current {
            Some(current) => CURRENT.sync_scope(current, work),
            None => work(),
        }
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::super::context::tests::context;
    use super::*;

    fn who() -> Option<String> {
        current().map(|current| current.tenant().id.to_string())
    }

    #[tokio::test]
    async fn it_is_there_below_and_gone_after() {
        let scope = context().current().scope(async {
            tokio::task::yield_now().await;
            let here = current().unwrap();
            assert_eq!((here.job().as_str(), here.attempt()), ("sync-orders", 1));
            (who(), spawn(async { who() }).await.unwrap(), spawn_blocking(who).await.unwrap())
        });
        let acme = || Some("acme".to_owned());
        assert_eq!(scope.await, (acme(), acme(), acme()));
        assert_eq!(who(), None);
        assert_eq!(spawn(async { who() }).await.unwrap(), None);
    }

    /// One thread, so that whatever stayed behind would be met.
    #[tokio::test(flavor = "current_thread")]
    async fn a_panic_a_dropped_handler_and_a_plain_task_leave_nothing_behind() {
        let panics = tokio::spawn(context().current().scope(async { panic!("on purpose") }));
        assert!(panics.await.is_err());
        assert_eq!(who(), None);

        let (told, begun) = tokio::sync::oneshot::channel();
        let hangs = tokio::spawn(context().current().scope(async move {
            told.send(who()).unwrap();
            std::future::pending::<()>().await;
        }));
        assert_eq!(begun.await.unwrap().as_deref(), Some("acme"));
        assert_eq!(tokio::spawn(async { who() }).await.unwrap(), None, "while it is there, another one sees nothing");
        hangs.abort();
        assert!(hangs.await.unwrap_err().is_cancelled());
        assert_eq!(who(), None);

        let escaped = context().current().scope(async { tokio::spawn(async { who() }).await });
        assert_eq!(escaped.await.unwrap(), None, "what leaves the handler by itself is nobody's");
        let panics = context().current().scope(async { spawn_blocking(|| panic!("on purpose")).await });
        assert!(panics.await.is_err());
        assert_eq!(tokio::task::spawn_blocking(who).await.unwrap(), None);
    }
}
