//! Why an executor cannot start.

use leasehold_common::store::StoreError;

/// An executor cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting is missing or malformed.
    #[error("{0}")]
    Settings(String),
    /// A handler has a [`State`](crate::State) that the executor was not given.
    #[error("the handler {handler:?} needs State<{state}>; give it to the executor with `state`")]
    NoState {
        /// The handler's name.
        handler: String,
        /// The type.
        state: &'static str,
    },
    /// The store is not there, or its schema is another one.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Metrics and health cannot be served.
    #[error(transparent)]
    Ops(#[from] Box<dyn std::error::Error + Send + Sync>),
}
