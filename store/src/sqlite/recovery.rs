//! What an outage left behind: items that became late while nobody ran them. The leader ends those that are not to run
//! any longer; the others become ready at the rate of the recovery budget, so that work on time keeps its share.

use leasehold_common::id::JobKey;
use leasehold_common::lease::Term;
use leasehold_common::run::Outcome;
use leasehold_common::store::{Skipped, StoreResult, Swept};
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::endings::{rearm, record_skipped};
use super::lease::fenced;
use super::line::line_up;
use super::overlaps::take;
use super::{SqliteStore, rows};
use crate::LATE_US;
use crate::error::failed;
use crate::json::{batch, hex};

const RECOVER: &str = "recover late items";

/// Shares of the budget are those of a second.
const SECOND_US: i64 = 1_000_000;

impl SqliteStore {
    /// Makes this second's share of late items ready, if nobody has yet. Answers how many.
    pub(super) async fn recover(&self) -> StoreResult<u64> {
        let seen = self.now();
        let late: Vec<(i64, Uuid)> = sqlx::query_as(sql!("queue/late_items"))
            .bind(seen.saturating_sub(LATE_US))
            .fetch_all(&self.read)
            .await
            .map_err(failed(RECOVER))?;
        let late = batch(&late.into_iter().map(|(key, id)| (key, hex(id))).collect::<Vec<_>>());
        let mut write = self.begin(RECOVER).await?;
        let now = self.now();
        let turn = sqlx::query(sql!("queue/take_turn"))
            .bind(now / SECOND_US)
            .execute(&mut *write)
            .await
            .map_err(failed(RECOVER))?;
        if turn.rows_affected() == 0 {
            return Ok(0);
        }
        let moved = line_up(&mut write, &late, now.saturating_sub(LATE_US), now).await?;
        write.commit().await.map_err(failed(RECOVER))?;
        Ok(moved)
    }

    /// Whether this second's share of late items is still there.
    pub(super) fn may_recover(&self, last_turn: i64) -> bool {
        self.now() / SECOND_US != last_turn
    }

    pub(super) async fn sweep_late(&self, term: &Term, limit: u32) -> StoreResult<Swept> {
        const OPERATION: &str = "end items that nobody ran in time";
        let mut write = self.begin(OPERATION).await?;
        let now = self.now();
        if !fenced(&mut write, term, now).await? {
            return Ok(Swept::StaleTerm);
        }
        let rows = sqlx::query(sql!("schedules/unclaimed"))
            .bind(now)
            .bind(now.saturating_sub(LATE_US))
            .bind(limit)
            .fetch_all(&mut *write)
            .await
            .map_err(failed(OPERATION))?;
        let swept = Sweep::of(&rows)?;
        if !swept.items.is_empty() {
            take(&mut write, &swept.items).await?;
            let skipped = swept.skipped.iter().copied();
            record_skipped(&mut write, skipped, crate::dismissal_reason, now).await?;
            rearm(&mut write, swept.tokens, now).await?;
            write.commit().await.map_err(failed(OPERATION))?;
        }
        let ended = |outcome| {
            swept.skipped.iter().filter(|(_, row)| row.outcome == outcome).map(|(_, row)| u64::from(row.count)).sum()
        };
        Ok(Swept::Done {
            misfired: ended(Outcome::Misfired),
            expired: ended(Outcome::Expired),
            seen: rows.len() as u64,
        })
    }
}

/// What a sweep ends.
#[derive(Default)]
struct Sweep {
    items: Vec<(i64, String)>,
    skipped: Vec<(JobKey, Skipped)>,
    /// Jobs whose interval token an item held.
    tokens: Vec<i64>,
}

impl Sweep {
    /// key, id, due, token, outcome; in the order of job and due time. Those in a row that end alike become one.
    fn of(rows: &[SqliteRow]) -> StoreResult<Self> {
        let mut sweep = Self::default();
        let mut before = None;
        for row in rows {
            let key = rows::key(row, 0)?;
            let outcome = rows::get::<Option<i16>>(row, 4)?.and_then(Outcome::from_code);
            let goes_on = before.replace((key, outcome)) == Some((key, outcome));
            let Some(outcome) = outcome else { continue };
            let due = rows::at(row, 2)?;
            sweep.items.push((key.as_i64(), hex(rows::id(row, 1)?.as_uuid())));
            if rows::get::<Option<i64>>(row, 3)?.is_some() {
                sweep.tokens.push(key.as_i64());
            }
            match sweep.skipped.last_mut().filter(|_| goes_on) {
                Some((_, skipped)) => (skipped.last, skipped.count) = (due, skipped.count + 1),
                None => sweep.skipped.push((key, Skipped { outcome, first: due, last: due, count: 1 })),
            }
        }
        Ok(sweep)
    }
}
