//! A lock in Redis that elects the leader; the store mints and checks the term.
//!
//! The lock never authorises a write: whoever holds it asks the store for a new epoch, and every write is fenced by
//! that epoch in the store. So a lock that Redis forgets (restart without persistence, failover, eviction) costs an
//! extra election and never a double write. A leader needs both: it renews the lock and the term, and loses its
//! leadership with either. With Redis gone nobody can be elected, and the leader's renewals fail until its trust
//! window ends.

use std::time::Duration;

use async_trait::async_trait;
use leasehold_common::lease::{Acquired, Candidate, Renewal, Term};
use leasehold_common::store::{ErrorKind, Lease, SharedStore, StoreError, StoreResult};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{RedisError, Script};
use uuid::Uuid;

/// The braces keep all keys of one lease on one node of a cluster.
const LOCK: &str = "leasehold:{leader}:lock";

/// A renewal that takes longer is as good as failed; the elector tries again well within the lease.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(1);

/// See the module.
pub(crate) struct RedisLock {
    redis: ConnectionManager,
    store: SharedStore,
    acquire: Script,
    renew: Script,
    release: Script,
}

impl RedisLock {
    pub(crate) async fn open(url: &str, store: &SharedStore) -> StoreResult<Self> {
        const OPERATION: &str = "open the Redis lock";
        let client = redis::Client::open(url).map_err(|error| {
            StoreError::new(
                ErrorKind::Invalid,
                OPERATION,
                format!("{error}; the URL must look like redis://host:6379 or rediss://user:password@host:6380/0"),
            )
        })?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(RESPONSE_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            .set_number_of_retries(1)
            .set_max_delay(Duration::from_millis(500));
        let redis = ConnectionManager::new_with_config(client, config).await.map_err(failed(OPERATION))?;
        Ok(Self {
            redis,
            store: store.clone(),
            acquire: Script::new(include_str!("../lua/lock/acquire.lua")),
            renew: Script::new(include_str!("../lua/lock/renew.lua")),
            release: Script::new(include_str!("../lua/lock/release.lua")),
        })
    }

    async fn release(&self, holder: Uuid) -> StoreResult<()> {
        let _: i64 = self
            .release
            .key(LOCK)
            .arg(holder.to_string())
            .invoke_async(&mut self.redis.clone())
            .await
            .map_err(failed("release the Redis lock"))?;
        Ok(())
    }
}

#[async_trait]
impl Lease for RedisLock {
    async fn acquire(&self, candidate: &Candidate, ttl: Duration) -> StoreResult<Acquired> {
        let locked: i64 = self
            .acquire
            .key(LOCK)
            .arg(candidate.holder.to_string())
            .arg(millis(ttl))
            .invoke_async(&mut self.redis.clone())
            .await
            .map_err(failed("acquire the Redis lock"))?;
        if locked == 0 {
            return Ok(Acquired::Held);
        }
        let minted = self.store.acquire(candidate, ttl).await;
        if !matches!(minted, Ok(Acquired::Elected(_))) {
            // No term, no leadership: do not keep others from it until the lock expires.
            self.release(candidate.holder).await.ok();
        }
        minted
    }

    async fn renew(&self, term: &Term, ttl: Duration) -> StoreResult<Renewal> {
        let extended: i64 = self
            .renew
            .key(LOCK)
            .arg(term.holder.to_string())
            .arg(millis(ttl))
            .invoke_async(&mut self.redis.clone())
            .await
            .map_err(failed("renew the Redis lock"))?;
        if extended == 0 {
            return Ok(Renewal::Lost);
        }
        self.store.renew(term, ttl).await
    }

    async fn resign(&self, term: &Term) -> StoreResult<()> {
        // The term first: after it nobody writes under it, whatever becomes of the lock.
        let resigned = self.store.resign(term).await;
        self.release(term.holder).await?;
        resigned
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

fn failed(operation: &'static str) -> impl Fn(RedisError) -> StoreError {
    move |error| {
        let kind = match error.kind() {
            redis::ErrorKind::InvalidClientConfig | redis::ErrorKind::AuthenticationFailed => ErrorKind::Invalid,
            _ => ErrorKind::Unavailable,
        };
        StoreError::new(kind, operation, error)
    }
}
