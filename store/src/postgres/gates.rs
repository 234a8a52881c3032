//! Gates: what has no room under a limit is parked outside the line, and let go when there is room again.
//!
//! Permits are counted by the statements that take and give them back (claim, settle, rescue), under the lock of the
//! gate. What is here decides nothing: it moves items out of the line and back into it. A failure leaves items where
//! they are, and the leader's rescuer finds those that nobody let go.

use std::collections::BTreeMap;
use std::time::Duration;

use leasehold_common::store::StoreResult;
use uuid::Uuid;

use super::{PgStore, rows};

/// How far from the head of a line others are looked for that the same gates bar.
const NEAR: i64 = 256;

/// At how many gates one call of the rescuer looks, and how many items of each it lets go.
const GATES: i64 = 1_000;
const ITEMS: i64 = 10_000;

/// How many items of each of them it asks whether anybody still needs them.
const SPENT: i64 = 100;

/// The least time after which a rate is looked at again, so that a fast one is used in handfuls.
const WAKE_PAUSE: Duration = Duration::from_millis(50);

/// How often items that somebody has locked are tried again, and the pause before the first time.
const WAKE_TRIES: u32 = 8;
const SHORT_PAUSE: Duration = Duration::from_millis(1);

/// Items that a claim found no room for.
#[derive(Default)]
pub(super) struct Limited {
    pub(super) keys: Vec<i64>,
    pub(super) ids: Vec<Uuid>,
    pub(super) gates: Vec<i64>,
    pub(super) queues: Vec<String>,
    /// What some of them need that the executor cannot do.
    pub(super) lacking: Vec<i64>,
}

/// What a park did.
pub(super) struct Parked {
    /// Items that left the line.
    pub(super) parked: u64,
    /// Items that have room by now.
    pub(super) roomy: u64,
    /// Gates of the items that have room, for others if not for these.
    pub(super) open: Vec<i64>,
}

/// Permits that became free, by gate.
#[derive(Default)]
pub(super) struct Freed(BTreeMap<i64, i64>);

impl Freed {
    pub(super) fn add(&mut self, gate: i64, permits: i64) {
        *self.0.entry(gate).or_default() += permits;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl PgStore {
    /// Takes items out of the line that no gate has room for.
    pub(super) async fn park(&self, limited: &Limited) -> StoreResult<Parked> {
        self.settled(|| async {
            let row = sqlx::query(sql!("queue/park"))
                .bind(&limited.keys)
                .bind(&limited.ids)
                .bind(&limited.gates)
                .bind(&limited.queues)
                .bind(NEAR)
                .bind(&limited.lacking)
                .fetch_one(&self.work)
                .await
                .map_err(self.failed("park items that a limit has no room for"))?;
            Ok(Parked {
                parked: rows::get::<i64>(&row, 0)?.unsigned_abs(),
                roomy: rows::get::<i64>(&row, 1)?.unsigned_abs(),
                open: rows::get(&row, 2)?,
            })
        })
        .await
    }

    /// Lets as many items go as permits became free, if there is room. Answers how many. Items that somebody has locked
    /// right now are tried again for a while.
    pub(super) async fn wake(&self, freed: &Freed) -> StoreResult<u64> {
        let (mut woken, mut short) = (0, None);
        for tries in 0..WAKE_TRIES {
            let freed = short.as_ref().unwrap_or(freed);
            if freed.is_empty() {
                break;
            }
            if tries > 0 {
                tokio::time::sleep(SHORT_PAUSE * tries).await;
            }
            let (now, left) = self.wake_once(freed).await?;
            woken += now;
            short = Some(left);
        }
        Ok(woken)
    }

    /// How many items go, and of how many each gate was left short.
    async fn wake_once(&self, freed: &Freed) -> StoreResult<(u64, Freed)> {
        let gates: Vec<i64> = freed.0.keys().copied().collect();
        let permits: Vec<i64> = freed.0.values().copied().collect();
        let rows = self
            .settled(|| async {
                sqlx::query(sql!("queue/wake"))
                    .bind(&gates)
                    .bind(&permits)
                    .fetch_all(&self.work)
                    .await
                    .map_err(self.failed("let items go that have room"))
            })
            .await?;
        let (mut woken, mut short) = (0, Freed::default());
        for row in &rows {
            woken += rows::get::<i64>(row, 1)?.unsigned_abs();
            match rows::get(row, 2)? {
                0 => {}
                left => short.add(rows::get(row, 0)?, left),
            }
        }
        Ok((woken, short))
    }

    /// Lets items go whose rate allows starts again. Answers how many, and when to look again.
    pub(super) async fn wake_timed(&self) -> StoreResult<(u64, Option<Duration>)> {
        self.settled(|| async {
            let row = sqlx::query(sql!("queue/wake_timed"))
                .fetch_one(&self.work)
                .await
                .map_err(self.failed("let items go that may start"))?;
            let next = rows::get::<Option<i64>>(&row, 1)?.map(wake_in);
            Ok((rows::get::<i64>(&row, 0)?.unsigned_abs(), next))
        })
        .await
    }

    /// Lets items go that have room and that nobody let go: limits were raised, or whoever freed a permit crashed. A
    /// piece of the gates, and if there are more, another one from somewhere. Answers how many items.
    pub(super) async fn wake_all(&self) -> StoreResult<u64> {
        self.probe().await?;
        let (mut woken, seen) = self.wake_from(i64::MIN).await?;
        if seen >= GATES.unsigned_abs() {
            woken += self.wake_from(rand::random_range(0..=i64::MAX)).await?.0;
        }
        Ok(woken)
    }

    /// How many items go, and at how many gates some waited.
    async fn wake_from(&self, gate: i64) -> StoreResult<(u64, u64)> {
        let gates: Vec<i64> = self
            .settled(|| async {
                sqlx::query_scalar(sql!("queue/limited_gates"))
                    .bind(gate)
                    .bind(GATES)
                    .fetch_all(&self.work)
                    .await
                    .map_err(self.failed("look for items that wait for room"))
            })
            .await?;
        if gates.is_empty() {
            return Ok((0, 0));
        }
        let spent = self
            .settled(|| async {
                let spent = sqlx::query(sql!("queue/wake_spent")).bind(&gates).bind(SPENT).execute(&self.work).await;
                Ok(spent.map_err(self.failed("let items go whose time is over"))?.rows_affected())
            })
            .await?;
        let seen = gates.len() as u64;
        let all = Freed(gates.into_iter().map(|gate| (gate, ITEMS)).collect());
        Ok((spent + self.wake(&all).await?, seen))
    }
}

/// How long until a gate is looked at again, from microseconds until its time.
pub(super) fn wake_in(us: i64) -> Duration {
    Duration::from_micros(us.max(0).unsigned_abs()).max(WAKE_PAUSE)
}
