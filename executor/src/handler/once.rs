//! What a handler does once over all attempts of its run, although it may itself run more than once.
//!
//! The store keeps two notes: *begun*, written before, and *done*, with the result, written after. Both are guarded by the
//! attempt's claim, so that a handler whose run is somebody else's by now writes neither (invariant I6).
//!
//! It cannot make two systems one: an executor that dies between the effect and its note leaves *begun* behind, and nobody
//! but the system that was called knows whether the effect took place.

use std::fmt;

use jiff::Timestamp;
use leasehold_common::id::CorrelationId;
use leasehold_common::store::{ClaimId, OnceBegun, OnceKey, SharedStore};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::extract::FromRun;
use super::{HandlerError, RunContext};

/// The longest scope or name, in bytes.
const NAME_MAX: usize = 255;

/// The largest result, in bytes of JSON.
const RESULT_MAX: usize = 256 * 1024;

/// By what a run is this executor's.
#[derive(Clone)]
pub(crate) struct Held {
    pub(crate) store: SharedStore,
    pub(crate) claim: ClaimId,
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("claim", &self.claim).finish_non_exhaustive()
    }
}

/// Does things once: an argument of a handler. Within the run, or within a [scope](Once::within) of one's own.
///
/// ```
/// use leasehold_executor::{Begun, HandlerError, Once, Payload};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Deserialize)] struct Order { number: String }
/// # #[derive(Serialize, Deserialize)] struct Receipt;
/// # async fn charge(_: &Order) -> Result<Receipt, HandlerError> { Ok(Receipt) }
/// # async fn look_up(_: &Order) -> Result<Option<Receipt>, HandlerError> { Ok(None) }
///
/// // Simple: if an attempt dies between the charge and its note, the next one charges again.
/// async fn bill(Payload(order): Payload<Order>, once: Once) -> Result<Receipt, HandlerError> {
///     once.run("charge", async { charge(&order).await }).await
/// }
///
/// // Careful: the second attempt sees that the first one began, and asks before it repeats.
/// async fn bill_with_care(Payload(order): Payload<Order>, once: Once) -> Result<Receipt, HandlerError> {
///     match once.within(&order.number).begin("charge").await? {
///         Begun::Done(receipt) => Ok(receipt),
///         Begun::First(open) => open.finish(charge(&order).await?).await,
///         Begun::Unfinished { open, .. } => match look_up(&order).await? {
///             Some(receipt) => open.finish(receipt).await,
///             None => open.finish(charge(&order).await?).await,
///         },
///     }
/// }
/// # fn is_a_handler<M>(_: impl leasehold_executor::Handler<M>) {}
/// # is_a_handler(bill);
/// # is_a_handler(bill_with_care);
/// ```
///
/// What it promises:
///
/// - What is noted as done is not run again, and its result is given back, for as long as reports are kept.
/// - Two attempts, or two runs with the same scope, do not run it at the same time: the second one fails, to be retried.
///   That holds while claims do; a process that stood still may come to itself in the midst of its effect.
/// - An executor that dies in between leaves it *begun*: whether it happened is unknown. [`Once::run`] does it again,
///   [`Once::begin`] lets the caller decide.
#[derive(Clone, Debug)]
pub struct Once {
    held: Option<Held>,
    run: CorrelationId,
    attempt: u32,
    scope: String,
}

/// What came of [`Once::begin`].
#[derive(Debug)]
pub enum Begun<T> {
    /// Nobody has begun it before: do it, and then say so.
    First(Open),
    /// An attempt has begun it and did not say that it is done: whether it happened is unknown.
    Unfinished {
        /// The run that began it.
        run: CorrelationId,
        /// Its attempt.
        attempt: u32,
        /// When.
        at: Timestamp,
        /// It is this attempt's now: say what came of it, or leave it.
        open: Open,
    },
    /// It is done; this came of it.
    Done(T),
}

/// Something that was begun and waits for its note. Dropped, it stays begun.
#[derive(Debug)]
pub struct Open {
    held: Held,
    key: OnceKey,
}

impl Once {
    pub(super) fn of(context: &RunContext) -> Self {
        let run = context.correlation_id();
        Self { held: context.held().cloned(), run, attempt: context.attempt(), scope: run.to_string() }
    }

    /// Within something else than the run: an order's number, say. All runs of the job for this tenant share it.
    #[must_use]
    pub fn within(&self, scope: impl Into<String>) -> Self {
        // No scope of somebody's own is the id of a run.
        Self { scope: format!("={}", scope.into()), ..self.clone() }
    }

    /// Does it, unless it is done already: then the result that it had. If an attempt before began it and did not finish, it
    /// is done again: what happens in between may then happen twice.
    ///
    /// # Errors
    /// That of `work`, and nothing is noted; one to be retried if another run is at it; or the store's.
    pub async fn run<T, E>(&self, name: &str, work: impl Future<Output = Result<T, E>>) -> Result<T, HandlerError>
    where
        T: Serialize + DeserializeOwned,
        E: Into<HandlerError>,
    {
        match self.begin(name).await? {
            Begun::Done(done) => Ok(done),
            Begun::First(open) | Begun::Unfinished { open, .. } => open.finish(work.await.map_err(Into::into)?).await,
        }
    }

    /// Notes that it begins, and tells what was noted before.
    ///
    /// # Errors
    /// One to be retried if another run is at it, or if the run is not this executor's any longer; a permanent one if what
    /// was noted is no `T`; or the store's.
    pub async fn begin<T: DeserializeOwned>(&self, name: &str) -> Result<Begun<T>, HandlerError> {
        let Some(held) = self.held.clone() else {
            return Err(HandlerError::permanent(
                "this context has no store; `leasehold-testkit` runs handlers over one",
            ));
        };
        for (what, text) in [("scope", self.scope.as_str()), ("name", name)] {
            if text.is_empty() || text.len() > NAME_MAX || text.contains('\0') {
                let why =
                    format!("the {what} of something that is done once has 1 to {NAME_MAX} bytes, none of them NUL");
                return Err(HandlerError::permanent(why));
            }
        }
        let key = OnceKey {
            id: self.run,
            claim: held.claim,
            attempt: self.attempt,
            scope: self.scope.clone(),
            name: name.to_owned(),
        };
        let begun = held.store.begin_once(&key).await?;
        let open = Open { held, key };
        match begun {
            OnceBegun::First => Ok(Begun::First(open)),
            OnceBegun::Unfinished { run, attempt, at } => Ok(Begun::Unfinished { run, attempt, at, open }),
            OnceBegun::Done { result } => serde_json::from_str(&result)
                .map(Begun::Done)
                .map_err(|error| HandlerError::permanent(format!("what came of {name:?} is of another type: {error}"))),
            OnceBegun::Busy { run } => Err(HandlerError::new(format!("run {run} is at {name:?} just now"))),
            OnceBegun::Stale => Err(lost(name)),
        }
    }
}

impl Open {
    /// Notes that it is done, and what came of it.
    ///
    /// # Errors
    /// If it cannot be noted: then it stays begun, although it is done. One to be retried, but for a result that is no JSON
    /// or larger than 256 KiB.
    pub async fn finish<T: Serialize>(self, result: T) -> Result<T, HandlerError> {
        let name = &self.key.name;
        let text = serde_json::to_string(&result)
            .map_err(|error| HandlerError::permanent(format!("what came of {name:?} is no JSON: {error}")))?;
        if text.len() > RESULT_MAX {
            return Err(HandlerError::permanent(format!("what came of {name:?} is larger than {RESULT_MAX} bytes")));
        }
        match self.held.store.finish_once(&self.key, &text).await? {
            true => Ok(result),
            false => Err(lost(name)),
        }
    }
}

fn lost(name: &str) -> HandlerError {
    HandlerError::new(format!("the run is not this executor's any longer: nothing is noted of {name:?}"))
}

impl FromRun for Once {
    async fn from_run(context: &RunContext) -> Result<Self, HandlerError> {
        Ok(Self::of(context))
    }
}
