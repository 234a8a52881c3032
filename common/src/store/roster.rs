//! What the store keeps of live rosters: the config in force, how each source stands, and whether somebody wants them
//! asked again.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;

use super::StoreResult;
use crate::catalog::CatalogSnapshot;
use crate::config::ConfigText;
use crate::id::TenantId;
use crate::lease::Term;
use crate::roster::Refusal;

/// So many refusals of a source are kept; they are counted in full.
pub const REFUSALS_KEPT: usize = 100;

/// What tells the leader whether there is anything to reconcile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RosterState {
    /// The store's clock.
    pub now: Timestamp,
    /// The revision of the catalog by which the config in force was written; `None` before the first.
    pub config: Option<i64>,
    /// The number of the latest request to ask the sources.
    pub asked: i64,
    /// Up to which request any share of the tenants of a source may go.
    pub drop_allowed: i64,
    /// Up to which request the sources were asked.
    pub done: i64,
    /// The latest pass over all tenants that was finished.
    pub pass: Option<Pass>,
}

/// A pass over all tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// The config that it was made with, as in [`RosterState::config`].
    pub config: i64,
    /// The instant for which it was made.
    pub at: Timestamp,
}

/// The config that was applied last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigInForce {
    /// The config.
    pub text: ConfigText,
    /// The revision of the catalog by which it was written.
    pub revision: i64,
    /// The instant for which it was planned.
    pub at: Timestamp,
}

/// How a live source of tenants stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SourceView {
    /// Its name.
    pub source: String,
    /// When it was last asked; null if never.
    #[serde(serialize_with = "crate::run::rfc3339_opt")]
    pub asked_at: Option<Timestamp>,
    /// When it last gave an answer that could be used; null if never.
    #[serde(serialize_with = "crate::run::rfc3339_opt")]
    pub good_at: Option<Timestamp>,
    /// How many tenants are taken from it.
    pub tenants: u64,
    /// How many tenants of its last answer cannot be used.
    pub refused: u64,
    /// The first of them.
    pub refusals: Vec<Refusal>,
    /// Why its last answer could not be used; null if it could.
    pub error: Option<String>,
    /// How many of its tenants its last answer left out, if these are so many that it was not believed.
    pub held: Option<Held>,
}

impl SourceView {
    /// Whether its last answer could be used.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.error.is_none() && self.held.is_none()
    }
}

/// An answer that was not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Held {
    /// So many tenants would go.
    pub gone: u64,
    /// Of so many.
    pub of: u64,
}

/// What came of asking a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceRecord {
    /// Its name.
    pub source: String,
    /// How many tenants are taken from it.
    pub tenants: u64,
    /// How many tenants of its last answer cannot be used.
    pub refused: u64,
    /// The first of them; what is more than [`REFUSALS_KEPT`] is not kept.
    pub refusals: Vec<Refusal>,
    /// Why its answer could not be used.
    pub error: Option<String>,
    /// If it was not believed.
    pub held: Option<Held>,
}

impl SourceRecord {
    /// Whether it gave an answer that could be used.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.error.is_none() && self.held.is_none()
    }
}

/// What came of asking all sources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RosterRecord {
    /// All there are, in the order of the config. What the store knows of others is forgotten.
    pub sources: Vec<SourceRecord>,
    /// Up to which request this answers.
    pub done: i64,
    /// The pass over all tenants that is finished with it, if it was one.
    pub pass: Option<Pass>,
}

/// The answer to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It is kept.
    Done,
    /// The term has ended: nothing was written.
    StaleTerm,
}

/// What the leader's reconciler needs, and what people see of it.
#[async_trait]
pub trait Roster: Send + Sync {
    /// Whether there is anything to reconcile. Cheap: a leader asks every second.
    async fn roster_state(&self) -> StoreResult<RosterState>;

    /// The config that was applied last; `None` if there was none yet.
    async fn config(&self) -> StoreResult<Option<ConfigInForce>>;

    /// The sources, in the order of the config.
    async fn sources(&self) -> StoreResult<Vec<SourceView>>;

    /// Ids of tenants and the sources they come from, in order of the ids, after `after`.
    async fn origins(&self, after: Option<&TenantId>, limit: u32) -> StoreResult<Vec<(TenantId, String)>>;

    /// The part of the catalog that is about these tenants: a plan made from it touches no others.
    async fn snapshot_of(&self, tenants: &[TenantId]) -> StoreResult<CatalogSnapshot>;

    /// Keeps what came of asking the sources, if the term still stands (invariant I3).
    async fn record_sources(&self, term: &Term, record: &RosterRecord) -> StoreResult<Recorded>;

    /// Asks the leader to ask the sources now. With `allow_drop`, any share of the tenants of a source may go. Answers
    /// the number of the request: it is answered when [`RosterState::done`] has reached it.
    async fn request_refresh(&self, allow_drop: bool) -> StoreResult<i64>;
}
