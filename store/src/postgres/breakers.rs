//! Circuit breakers. The gate of an endpoint keeps the promise (nobody passes, or one at a time); the row of the breaker says
//! why, and until when.

use async_trait::async_trait;
use leasehold_common::limit::GateId;
use leasehold_common::run::clip;
use leasehold_common::store::{BreakerView, Breakers, EndpointFailure, OPEN_FIRST, OPEN_MOST, StoreResult};

use super::gates::Freed;
use super::{PgStore, rows};
use crate::clock::us;

/// How many items line up at once when a breaker closes. The rescuer lets the others go.
const AT_ONCE: i64 = 1_000;

#[async_trait]
impl Breakers for PgStore {
    async fn endpoint_failed(&self, failure: &EndpointFailure) -> StoreResult<bool> {
        if failure.open {
            let (gate, chance) = (GateId::of_endpoint(&failure.endpoint).as_i64(), crate::breaker_chance());
            self.settled(|| async {
                sqlx::query(sql!("breakers/open"))
                    .bind(&failure.endpoint)
                    .bind(gate)
                    .bind(us(OPEN_FIRST))
                    .bind(us(OPEN_MOST))
                    .bind(chance)
                    .bind(clip(&failure.error))
                    .bind(failure.executor)
                    .execute(&self.work)
                    .await
                    .map_err(self.failed("open a breaker"))
            })
            .await?;
        }
        sqlx::query_scalar(sql!("breakers/is_open"))
            .bind(&failure.endpoint)
            .fetch_one(&self.work)
            .await
            .map_err(self.failed("ask for a breaker"))
    }

    async fn close_breaker(&self, endpoint: &str) -> StoreResult<bool> {
        let gate: Option<i64> = self
            .settled(|| async {
                sqlx::query_scalar(sql!("breakers/close"))
                    .bind(endpoint)
                    .fetch_optional(&self.work)
                    .await
                    .map_err(self.failed("close a breaker"))
            })
            .await?;
        let Some(gate) = gate else { return Ok(false) };
        let mut waiting = Freed::default();
        waiting.add(gate, AT_ONCE);
        if self.wake(&waiting).await? > 0 {
            self.hint().await;
        }
        Ok(true)
    }

    async fn breakers(&self) -> StoreResult<Vec<BreakerView>> {
        let found = sqlx::query(sql!("breakers/list"))
            .fetch_all(self.view.whole())
            .await
            .map_err(self.failed("list breakers"))?;
        found.iter().map(rows::breaker).collect()
    }
}

impl PgStore {
    /// Breakers whose time has come let a run through, and gates of closed ones go.
    pub(super) async fn probe(&self) -> StoreResult<()> {
        self.settled(|| async {
            for statement in [sql!("breakers/probe"), sql!("breakers/drop_gates")] {
                sqlx::query(statement).execute(&self.work).await.map_err(self.failed("probe endpoints"))?;
            }
            Ok(())
        })
        .await
    }
}
