//! Runs that their endpoint reports later, and what runs say while they run.

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;
use leasehold_common::id::CorrelationId;
use leasehold_common::run::Progress;
use leasehold_common::store::{Attempt, Callback, Callbacks, Note, Opening, Settled, StoreResult, TokenHash};
use sqlx::{Sqlite, Transaction};
use uuid::Uuid;

use super::endings::{Ending, drop_claims, end_or_requeue};
use super::{SqliteStore, rows};
use crate::clock::{span_of, us};
use crate::error::failed;
use crate::json::{batch, hex};

#[async_trait]
impl Callbacks for SqliteStore {
    async fn expect(&self, tokens: &[(Attempt, TokenHash)]) -> StoreResult<Vec<Attempt>> {
        let rows: Vec<_> =
            tokens.iter().map(|(of, hash)| (hex(of.id.as_uuid()), of.attempt, hex(of.claim), bytes(hash))).collect();
        let kept = sqlx::query(sql!("callbacks/expect"))
            .bind(batch(&rows))
            .fetch_all(&self.write)
            .await
            .map_err(failed("keep the tokens of callbacks"))?;
        let attempt =
            |row| Ok(Attempt { id: rows::id(row, 0)?, attempt: rows::count(row, 1)?, claim: rows::get(row, 2)? });
        kept.iter().map(attempt).collect()
    }

    async fn open(&self, openings: &[Opening]) -> StoreResult<Vec<Settled>> {
        const OPERATION: &str = "leave runs open";
        let own: Vec<Uuid> = openings.iter().map(|_| Uuid::now_v7()).collect();
        let rows: Vec<_> = openings
            .iter()
            .zip(&own)
            .map(|(opening, own)| {
                let Attempt { id, attempt, claim } = opening.attempt;
                let spans = (us(opening.within), us(opening.total), opening.retry.map(us));
                (hex(id.as_uuid()), attempt, hex(claim), hex(*own), spans.0, spans.1, spans.2)
            })
            .collect();
        let rows = batch(&rows);
        let mut write = self.begin(OPERATION).await?;
        let now = self.now();
        let moved =
            sqlx::query(sql!("callbacks/move")).bind(&rows).fetch_all(&mut *write).await.map_err(failed(OPERATION))?;
        if moved.is_empty() {
            return Ok(openings.iter().map(|_| Settled::Stale).collect());
        }
        for statement in [sql!("callbacks/mint"), sql!("callbacks/open")] {
            sqlx::query(statement).bind(&rows).bind(now).execute(&mut *write).await.map_err(failed(OPERATION))?;
        }
        write.commit().await.map_err(failed(OPERATION))?;
        let moved: HashSet<Uuid> = moved.iter().map(|row| rows::get(row, 2)).collect::<StoreResult<_>>()?;
        Ok(own.iter().map(|own| crate::settled(moved.contains(own))).collect())
    }

    async fn callback(&self, id: CorrelationId, token: &TokenHash) -> StoreResult<Option<Callback>> {
        let row = sqlx::query(sql!("callbacks/find"))
            .bind(id.job().as_i64())
            .bind(id.as_uuid())
            .bind(token.as_slice())
            .bind(self.now())
            .fetch_optional(&self.read)
            .await
            .map_err(failed("look a token up"))?;
        row.map(|row| rows::callback(&row, id)).transpose()
    }

    async fn keep_open(&self, attempt: Attempt) -> StoreResult<Option<Duration>> {
        let left: Option<i64> = sqlx::query_scalar(sql!("callbacks/keep_open"))
            .bind(attempt.id.as_uuid())
            .bind(attempt.attempt)
            .bind(attempt.claim)
            .bind(self.now())
            .fetch_optional(&self.write)
            .await
            .map_err(failed("keep a run open"))?;
        Ok(left.map(span_of))
    }

    async fn note(&self, notes: &[Note]) -> StoreResult<()> {
        let rows: Vec<_> = notes
            .iter()
            .map(|note| {
                let Attempt { id, attempt, claim } = note.attempt;
                (hex(id.as_uuid()), attempt, hex(claim), note.percent, &note.message, &note.log)
            })
            .collect();
        sqlx::query(sql!("callbacks/note"))
            .bind(batch(&rows))
            .bind(self.now())
            .execute(&self.write)
            .await
            .map_err(failed("record what runs say"))?;
        Ok(())
    }
}

impl SqliteStore {
    /// What a run said of itself last.
    pub(super) async fn progress_of(&self, id: CorrelationId) -> StoreResult<Option<Progress>> {
        let row = sqlx::query(sql!("runs/progress"))
            .bind(id.as_uuid())
            .fetch_optional(&self.read)
            .await
            .map_err(failed("read the run"))?;
        row.map(|row| rows::progress(&row)).transpose()
    }
}

/// Ends a run that is open, whose endpoint nobody can ask. Answers how many may go that waited for it; `None`: it is not
/// open.
pub(super) async fn cancel_open(
    write: &mut Transaction<'static, Sqlite>,
    id: CorrelationId,
    now: i64,
) -> StoreResult<Option<u64>> {
    let row = sqlx::query(sql!("callbacks/open_claim"))
        .bind(id.as_uuid())
        .bind(now)
        .fetch_optional(&mut **write)
        .await
        .map_err(failed("cancel the run"))?;
    let Some(row) = row else { return Ok(None) };
    let report = rows::cancelled(&row, id)?;
    let ended = end_or_requeue(write, &[Ending::of(&report, now)], now).await?;
    drop_claims(write, &[report.claim]).await?;
    Ok(Some(ended.promoted))
}

/// A hash as `unhex` reads it.
fn bytes(hash: &TokenHash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
