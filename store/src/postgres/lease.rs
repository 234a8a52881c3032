//! The lease row.

use std::time::Duration;

use async_trait::async_trait;
use leasehold_common::lease::{Acquired, Candidate, Renewal, Term};
use leasehold_common::store::{Lease, StoreResult};

use super::PgStore;
use crate::clock::us;

#[async_trait]
impl Lease for PgStore {
    async fn acquire(&self, candidate: &Candidate, ttl: Duration) -> StoreResult<Acquired> {
        let epoch: Option<i64> = sqlx::query_scalar(sql!("lease/acquire"))
            .bind(candidate.kind.as_str())
            .bind(candidate.holder)
            .bind(&candidate.host)
            .bind(i32::try_from(candidate.pid).unwrap_or(0))
            .bind(us(ttl))
            .fetch_optional(&self.vital)
            .await
            .or_else(lost)
            .map_err(self.failed("acquire the lease"))?;
        if let Some(epoch) = epoch {
            return Ok(Acquired::Elected(Term { holder: candidate.holder, epoch }));
        }
        match self.recorded_kind().await? {
            Some(kind) if kind != candidate.kind => Ok(Acquired::OtherKind(kind)),
            _ => Ok(Acquired::Held),
        }
    }

    async fn renew(&self, term: &Term, ttl: Duration) -> StoreResult<Renewal> {
        let renewed: Option<i64> = sqlx::query_scalar(sql!("lease/renew"))
            .bind(term.holder)
            .bind(term.epoch)
            .bind(us(ttl))
            .fetch_optional(&self.vital)
            .await
            .map_err(self.failed("renew the lease"))?;
        Ok(if renewed.is_some() { Renewal::Renewed } else { Renewal::Lost })
    }

    async fn resign(&self, term: &Term) -> StoreResult<()> {
        sqlx::query(sql!("lease/resign"))
            .bind(term.holder)
            .bind(term.epoch)
            .execute(&self.vital)
            .await
            .map_err(self.failed("resign the lease"))?;
        Ok(())
    }
}

/// Of several candidates that write the very first row at once, all but one may fail over its second unique index,
/// which `ON CONFLICT` does not look at: they have lost.
fn lost(error: sqlx::Error) -> Result<Option<i64>, sqlx::Error> {
    match error.as_database_error() {
        Some(database) if database.is_unique_violation() => Ok(None),
        _ => Err(error),
    }
}
