//! The lease row.

use std::time::Duration;

use async_trait::async_trait;
use leasehold_common::lease::{Acquired, Candidate, Renewal, Term};
use leasehold_common::store::{Lease, StoreResult};
use sqlx::{Sqlite, Transaction};

use super::SqliteStore;
use crate::clock::us;
use crate::error::failed;

#[async_trait]
impl Lease for SqliteStore {
    async fn acquire(&self, candidate: &Candidate, ttl: Duration) -> StoreResult<Acquired> {
        let epoch: Option<i64> = sqlx::query_scalar(sql!("lease/acquire"))
            .bind(candidate.kind.as_str())
            .bind(candidate.holder)
            .bind(&candidate.host)
            .bind(candidate.pid)
            .bind(self.now())
            .bind(us(ttl))
            .fetch_optional(&self.write)
            .await
            .map_err(failed("acquire the lease"))?;
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
            .bind(self.now())
            .bind(us(ttl))
            .fetch_optional(&self.write)
            .await
            .map_err(failed("renew the lease"))?;
        Ok(if renewed.is_some() { Renewal::Renewed } else { Renewal::Lost })
    }

    async fn resign(&self, term: &Term) -> StoreResult<()> {
        sqlx::query(sql!("lease/resign"))
            .bind(term.holder)
            .bind(term.epoch)
            .bind(self.now())
            .execute(&self.write)
            .await
            .map_err(failed("resign the lease"))?;
        Ok(())
    }
}

/// Whether the term still stands, inside the transaction that writes under it (invariant I3).
pub(super) async fn fenced(write: &mut Transaction<'static, Sqlite>, term: &Term, now: i64) -> StoreResult<bool> {
    let stands: Option<i64> = sqlx::query_scalar(sql!("lease/fence"))
        .bind(term.holder)
        .bind(term.epoch)
        .bind(now)
        .fetch_optional(&mut **write)
        .await
        .map_err(failed("check the term"))?;
    Ok(stands.is_some())
}
