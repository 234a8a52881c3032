//! Runs that their endpoint reports later, and what runs say while they run.

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;
use leasehold_common::id::CorrelationId;
use leasehold_common::run::Progress;
use leasehold_common::store::{
    Attempt, Callback, Callbacks, NOBODY, Note, Opening, Queue as _, Settled, StoreResult, TokenHash,
};
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::{PgStore, int, rows};
use crate::clock::{span_of, us};

#[async_trait]
impl Callbacks for PgStore {
    async fn expect(&self, tokens: &[(Attempt, TokenHash)]) -> StoreResult<Vec<Attempt>> {
        let guards = Guards::of(tokens.iter().map(|(attempt, _)| attempt));
        let hashes: Vec<_> = tokens.iter().map(|(_, hash)| hash.to_vec()).collect();
        self.settled(|| async {
            let rows = sqlx::query(sql!("callbacks/expect"))
                .bind(&guards.ids)
                .bind(&guards.attempts)
                .bind(&guards.claims)
                .bind(&hashes)
                .fetch_all(&self.work)
                .await
                .map_err(self.failed("keep the tokens of callbacks"))?;
            rows.iter().map(attempt_of).collect()
        })
        .await
    }

    async fn open(&self, openings: &[Opening]) -> StoreResult<Vec<Settled>> {
        let guards = Guards::of(openings.iter().map(|opening| &opening.attempt));
        let own: Vec<_> = openings.iter().map(|_| Uuid::now_v7()).collect();
        let within: Vec<_> = openings.iter().map(|opening| us(opening.within)).collect();
        let total: Vec<_> = openings.iter().map(|opening| us(opening.total)).collect();
        let retry: Vec<_> = openings.iter().map(|opening| opening.retry.map(us)).collect();
        let opened: HashSet<Attempt> = self
            .settled(|| async {
                let rows = sqlx::query(sql!("callbacks/open"))
                    .bind(&guards.ids)
                    .bind(&guards.attempts)
                    .bind(&guards.claims)
                    .bind(&own)
                    .bind(&within)
                    .bind(&total)
                    .bind(&retry)
                    .fetch_all(&self.work)
                    .await
                    .map_err(self.failed("leave runs open"))?;
                rows.iter().map(attempt_of).collect()
            })
            .await?;
        Ok(openings.iter().map(|opening| crate::settled(opened.contains(&opening.attempt))).collect())
    }

    async fn callback(&self, id: CorrelationId, token: &TokenHash) -> StoreResult<Option<Callback>> {
        let row = sqlx::query(sql!("callbacks/find"))
            .bind(id.job().as_i64())
            .bind(id.as_uuid())
            .bind(token.as_slice())
            .fetch_optional(&self.work)
            .await
            .map_err(self.failed("look a token up"))?;
        row.map(|row| rows::callback(&row, id)).transpose()
    }

    async fn keep_open(&self, attempt: Attempt) -> StoreResult<Option<Duration>> {
        let left: Option<i64> = sqlx::query_scalar(sql!("callbacks/keep_open"))
            .bind(attempt.id.as_uuid())
            .bind(int(attempt.attempt))
            .bind(attempt.claim)
            .fetch_optional(&self.work)
            .await
            .map_err(self.failed("keep a run open"))?;
        Ok(left.map(span_of))
    }

    async fn note(&self, notes: &[Note]) -> StoreResult<()> {
        let guards = Guards::of(notes.iter().map(|note| &note.attempt));
        let percents: Vec<_> = notes.iter().map(|note| note.percent.map(i16::from)).collect();
        let messages: Vec<_> = notes.iter().map(|note| note.message.as_deref()).collect();
        let logs: Vec<_> = notes.iter().map(|note| note.log.as_deref()).collect();
        self.settled(|| async {
            sqlx::query(sql!("callbacks/note"))
                .bind(&guards.ids)
                .bind(&guards.attempts)
                .bind(&guards.claims)
                .bind(&percents)
                .bind(&messages)
                .bind(&logs)
                .execute(&self.work)
                .await
                .map_err(self.failed("record what runs say"))?;
            Ok(())
        })
        .await
    }
}

impl PgStore {
    /// Ends a run that is open, whose endpoint nobody can ask. `false`: it is not open.
    pub(super) async fn cancel_open(&self, id: CorrelationId) -> StoreResult<bool> {
        let row = sqlx::query(sql!("callbacks/open_claim"))
            .bind(id.as_uuid())
            .fetch_optional(&self.work)
            .await
            .map_err(self.failed("cancel the run"))?;
        let Some(row) = row else { return Ok(false) };
        let report = rows::cancelled(&row, id)?;
        // The row was seen through the tenant's own view, if this is about a tenant; what a run holds is everybody's.
        let claim = report.claim;
        let answers = self.of_everybody().settle(NOBODY, &[report], &[claim]).await?;
        Ok(answers == [Settled::Recorded])
    }

    /// What a run said of itself last.
    pub(super) async fn progress_of(&self, id: CorrelationId) -> StoreResult<Option<Progress>> {
        let row = sqlx::query(sql!("runs/progress"))
            .bind(id.as_uuid())
            .fetch_optional(&self.view)
            .await
            .map_err(self.failed("read the run"))?;
        row.map(|row| rows::progress(&row)).transpose()
    }
}

/// id, attempt, claim.
fn attempt_of(row: &PgRow) -> StoreResult<Attempt> {
    Ok(Attempt { id: rows::id(row, 0)?, attempt: rows::count(row, 1)?, claim: rows::get(row, 2)? })
}

/// Attempts as parallel arrays.
struct Guards {
    ids: Vec<Uuid>,
    attempts: Vec<i32>,
    claims: Vec<Uuid>,
}

impl Guards {
    fn of<'a>(attempts: impl Iterator<Item = &'a Attempt>) -> Self {
        let mut guards = Self { ids: Vec::new(), attempts: Vec::new(), claims: Vec::new() };
        for attempt in attempts {
            guards.ids.push(attempt.id.as_uuid());
            guards.attempts.push(int(attempt.attempt));
            guards.claims.push(attempt.claim);
        }
        guards
    }
}
