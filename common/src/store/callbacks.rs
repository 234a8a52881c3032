//! Runs that their endpoint reports later, and what runs say while they run.
//!
//! An endpoint may answer that it has begun, and report the end by itself. Its token is good for one attempt; the store
//! has only the hash of it. Once the endpoint has taken the run over, the run is *open*: held by a claim of its own, with
//! the time by which a report must come as its lease, and by no executor.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::{ClaimId, Settled, StoreResult};
use crate::definition::DefinitionId;
use crate::id::{CorrelationId, JobName, TenantId};
use crate::run::Outcome;

/// The SHA-256 hash of a callback's token.
pub type TokenHash = [u8; 32];

/// An attempt, by what each write about it is guarded with (invariant I6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Attempt {
    /// The run.
    pub id: CorrelationId,
    /// The number of the attempt.
    pub attempt: u32,
    /// The claim that holds it.
    pub claim: ClaimId,
}

/// An attempt that its endpoint keeps open from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The attempt, held by its executor.
    pub attempt: Attempt,
    /// How long the endpoint may be silent.
    pub within: Duration,
    /// How long it may take in all.
    pub total: Duration,
    /// How long the next attempt waits if no report comes in time; `None` if there is none.
    pub retry: Option<Duration>,
}

/// What a token is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Callback {
    /// Its attempt runs.
    Live(Box<LiveCallback>),
    /// Its attempt is over, and ended like this, if that is still known.
    Over(Option<Outcome>),
}

/// The attempt of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveCallback {
    /// The attempt.
    pub attempt: Attempt,
    /// Whose it is.
    pub tenant: TenantId,
    /// The job's name.
    pub job: JobName,
    /// What the job is now.
    pub definition: DefinitionId,
    /// Earlier attempts that were given back.
    pub released: u32,
    /// How long ago the attempt started.
    pub running_for: Duration,
    /// How long ago the run's first attempt started.
    pub age: Duration,
    /// Whether the endpoint holds it; if not, its executor still waits for the answer to the request.
    pub open: bool,
}

/// What an attempt says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The attempt.
    pub attempt: Attempt,
    /// How much of it is done; `None` leaves what was said before.
    pub percent: Option<u8>,
    /// What it is doing; `None` leaves what was said before.
    pub message: Option<String>,
    /// The last lines of its log; `None` leaves what was said before.
    pub log: Option<String>,
}

/// Runs that their endpoint reports later, and what runs say while they run.
#[async_trait]
pub trait Callbacks: Send + Sync {
    /// Keeps the hashes of tokens, before any endpoint hears of one: it may report before it has answered. An older
    /// attempt's token is forgotten. Answers those that were kept; the others are not their claim's any longer.
    async fn expect(&self, tokens: &[(Attempt, TokenHash)]) -> StoreResult<Vec<Attempt>>;

    /// Takes runs from their executor (invariant I6) and leaves them open; the answers stand in the order of
    /// `openings`. One that somebody wants cancelled is left to the next rescue.
    async fn open(&self, openings: &[Opening]) -> StoreResult<Vec<Settled>>;

    /// What the token is good for; `None` if it is not the one of this run's latest attempt.
    async fn callback(&self, id: CorrelationId, token: &TokenHash) -> StoreResult<Option<Callback>>;

    /// The endpoint of an open run is alive: moves the time by which it must report. Answers how far away it is now;
    /// `None` if the run is not open any longer, or the time was over.
    async fn keep_open(&self, attempt: Attempt) -> StoreResult<Option<Duration>>;

    /// Records what attempts say of themselves, if their claims hold them.
    async fn note(&self, notes: &[Note]) -> StoreResult<()>;
}

/// Who holds the claim of an open run: nobody.
pub const NOBODY: Uuid = Uuid::nil();
