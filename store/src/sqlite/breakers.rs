//! Circuit breakers. The gate of an endpoint keeps the promise (nobody passes, or one at a time); the row of the breaker says
//! why, and until when.

use async_trait::async_trait;
use leasehold_common::limit::GateId;
use leasehold_common::run::clip;
use leasehold_common::store::{BreakerView, Breakers, EndpointFailure, OPEN_FIRST, OPEN_MOST, StoreResult};
use sqlx::{Sqlite, Transaction};

use super::{SqliteStore, gates, rows};
use crate::clock::us;
use crate::error::failed;

const OPEN: &str = "open a breaker";
const CLOSE: &str = "close a breaker";

#[async_trait]
impl Breakers for SqliteStore {
    async fn endpoint_failed(&self, failure: &EndpointFailure) -> StoreResult<bool> {
        if failure.open {
            let mut write = self.begin(OPEN).await?;
            let opened: Option<i64> = sqlx::query_scalar(sql!("breakers/open"))
                .bind(&failure.endpoint)
                .bind(GateId::of_endpoint(&failure.endpoint).as_i64())
                .bind(us(OPEN_FIRST))
                .bind(us(OPEN_MOST))
                .bind(crate::breaker_chance())
                .bind(clip(&failure.error))
                .bind(failure.executor)
                .bind(self.now())
                .fetch_optional(&mut *write)
                .await
                .map_err(failed(OPEN))?;
            if let Some(gate) = opened {
                set_gate(&mut write, gate, Some(0)).await?;
            }
            write.commit().await.map_err(failed(OPEN))?;
        }
        sqlx::query_scalar(sql!("breakers/is_open"))
            .bind(&failure.endpoint)
            .fetch_one(&self.read)
            .await
            .map_err(failed("ask for a breaker"))
    }

    async fn close_breaker(&self, endpoint: &str) -> StoreResult<bool> {
        let mut write = self.begin(CLOSE).await?;
        if !close(&mut write, endpoint).await? {
            return Ok(false);
        }
        let woken = gates::wake_all_at(&mut write, GateId::of_endpoint(endpoint).as_i64(), self.now()).await?;
        write.commit().await.map_err(failed(CLOSE))?;
        if woken > 0 {
            self.hint();
        }
        Ok(true)
    }

    async fn breakers(&self) -> StoreResult<Vec<BreakerView>> {
        let found = sqlx::query(sql!("breakers/list")).fetch_all(&self.read).await.map_err(failed("list breakers"))?;
        found.iter().map(rows::breaker).collect()
    }
}

async fn set_gate(write: &mut Transaction<'static, Sqlite>, gate: i64, lim: Option<i64>) -> StoreResult<()> {
    let set = sqlx::query(sql!("breakers/set_gate")).bind(gate).bind(lim).execute(&mut **write).await;
    set.map(drop).map_err(failed("set the gate of an endpoint"))
}

async fn close(write: &mut Transaction<'static, Sqlite>, endpoint: &str) -> StoreResult<bool> {
    let gate: Option<i64> = sqlx::query_scalar(sql!("breakers/close"))
        .bind(endpoint)
        .fetch_optional(&mut **write)
        .await
        .map_err(failed(CLOSE))?;
    let Some(gate) = gate else { return Ok(false) };
    set_gate(write, gate, None).await?;
    Ok(true)
}

/// Breakers whose time has come let a run through, and gates of closed ones go. Answers how many.
pub(super) async fn probe(write: &mut Transaction<'static, Sqlite>, now: i64) -> StoreResult<u64> {
    let failed = failed("probe endpoints");
    let due: Vec<(String, i64, bool)> =
        sqlx::query_as(sql!("breakers/due")).bind(now).fetch_all(&mut **write).await.map_err(&failed)?;
    for (endpoint, gate, forgotten) in &due {
        if *forgotten {
            close(write, endpoint).await?;
            continue;
        }
        sqlx::query(sql!("breakers/probe")).bind(endpoint).execute(&mut **write).await.map_err(&failed)?;
        set_gate(write, *gate, Some(1)).await?;
    }
    let gone = sqlx::query(sql!("breakers/drop_gates")).execute(&mut **write).await.map_err(&failed)?;
    Ok(due.len() as u64 + gone.rows_affected())
}
