//! Calls to the lease that may never come back.

use std::time::Duration;

use leasehold_common::store::{ErrorKind, StoreError, StoreResult};
use tokio::time::timeout;

/// When a call that nobody waits for any more is broken off.
const GIVE_UP: Duration = Duration::from_secs(60);

/// Waits at most `patience` for an answer. A call without one goes on by itself for a while, since a store call that is
/// dropped half way can leave a connection in the middle of a transaction; what it answers later is not heard.
pub(super) async fn within<T: Send + 'static>(
    patience: Duration,
    operation: &'static str,
    call: impl Future<Output = StoreResult<T>> + Send + 'static,
) -> StoreResult<T> {
    let call = tokio::spawn(timeout(GIVE_UP, call));
    match timeout(patience, call).await {
        Ok(Ok(Ok(answer))) => answer,
        Ok(Err(panic)) => Err(StoreError::new(ErrorKind::Unavailable, operation, panic)),
        Err(_) | Ok(Ok(Err(_))) => {
            Err(StoreError::new(ErrorKind::Unavailable, operation, format!("no answer within {patience:?}")))
        }
    }
}
