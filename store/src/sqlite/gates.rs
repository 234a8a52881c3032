//! Limits: what passes the gates of jobs, and what waits for room.
//!
//! A run passes every gate of its job when it is claimed, or it leaves the line and waits at the first that has no room.
//! Room for runs at once comes back when a run ends, room for starts when one leaves the window of the rate; whatever
//! makes room lets the first of those that wait line up again. They hold nothing until they are claimed, so that two
//! limits never wait for each other. What is let go in vain, or not at all, the leader's rescuer makes up for.
//!
//! Everything here runs inside its caller's transaction, which is the lock of the gates.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_common::limit::{Rate, Window};
use leasehold_common::store::StoreResult;
use sqlx::sqlite::SqliteRow;
use sqlx::{Sqlite, Transaction};

use super::rows;
use crate::clock::{span_of, us};
use crate::error::{corrupt, failed};
use crate::json::batch;

const OPERATION: &str = "keep limits";

/// The most items that one call lets go.
const LET_GO: u32 = 10_000;

/// For each item that left without using the room that it was let go for, so many others get their chance: it may meet
/// many that cannot use it either.
const INSTEAD: u32 = 4;

/// One limit.
struct Gate {
    limit: Option<u32>,
    in_use: u32,
    rate: Option<Rate>,
    window: Window,
    /// Whether items wait for room here.
    waited: bool,
    /// So many were let in by this call and have not started yet.
    admitted: u32,
    /// So many may go.
    wake: u32,
}

impl Gate {
    /// id, limit, in use, starts, per, recent, waited.
    fn read(row: &SqliteRow) -> StoreResult<(i64, Self)> {
        let starts = rows::count_opt(row, 3)?;
        let per = rows::get::<Option<i64>>(row, 4)?.map(span_of);
        let recent = serde_json::from_str(rows::get(row, 5)?).map_err(|error| corrupt(OPERATION, error.to_string()))?;
        let gate = Self {
            limit: rows::count_opt(row, 1)?,
            in_use: rows::count(row, 2)?,
            rate: starts.zip(per).and_then(|(starts, per)| Rate::new(starts, per)),
            window: Window::new(recent),
            waited: rows::get(row, 6)?,
            admitted: 0,
            wake: 0,
        };
        Ok((rows::get(row, 0)?, gate))
    }

    /// How many more may run at once.
    fn places(&self) -> u32 {
        self.limit.map_or(u32::MAX, |limit| limit.saturating_sub(self.in_use))
    }

    fn room(&self, now: i64) -> u32 {
        self.places().min(self.rate.map_or(u32::MAX, |rate| self.window.room(rate, now)))
    }

    fn start(&mut self, now: i64) {
        self.in_use = self.in_use.saturating_add(1);
        match self.rate {
            Some(rate) => self.window.take(rate, now, 1),
            None => self.window = Window::default(),
        }
    }

    /// When somebody who waits may start, if the rate says that. Who waits for a run to end is let go by that. If there
    /// is room, it is for those who were let go already: what they start leaves the window a time from now.
    fn alarm(&self, now: i64) -> Option<i64> {
        let rate = self.rate.filter(|_| self.waited && self.places() > 0)?;
        Some(self.window.next(rate, now).unwrap_or_else(|| now.saturating_add(us(rate.per()))))
    }
}

/// The gates that a transaction deals with.
pub(super) struct Gates {
    gates: BTreeMap<i64, Gate>,
    now: i64,
}

impl Gates {
    /// Those of these gates that there are. Costs nothing if none is asked for.
    pub(super) async fn read(
        write: &mut Transaction<'static, Sqlite>,
        ids: impl IntoIterator<Item = i64>,
        now: i64,
    ) -> StoreResult<Self> {
        let ids: BTreeSet<i64> = ids.into_iter().collect();
        if ids.is_empty() {
            return Ok(Self { gates: BTreeMap::new(), now });
        }
        let ids: Vec<_> = ids.into_iter().collect();
        let found = sqlx::query(sql!("queue/gates"))
            .bind(batch(&ids))
            .fetch_all(&mut **write)
            .await
            .map_err(failed(OPERATION))?;
        Ok(Self { gates: found.iter().map(Gate::read).collect::<StoreResult<_>>()?, now })
    }

    /// Lets a run in if every gate that it needs has room: answers which of them it passes, as the store keeps them.
    /// The error is the first gate without room.
    pub(super) fn admit(&mut self, needs: &[i64]) -> Result<Option<String>, i64> {
        let now = self.now;
        let full = needs.iter().find(|id| self.gates.get(id).is_some_and(|gate| gate.room(now) <= gate.admitted));
        if let Some(id) = full {
            return Err(*id);
        }
        let mut passed = Vec::new();
        for id in needs {
            if let Some(gate) = self.gates.get_mut(id) {
                gate.admitted += 1;
                passed.push(*id);
            }
        }
        Ok((!passed.is_empty()).then(|| batch(&passed)))
    }

    /// A run that was let in has started. Answers the gates that it has passed.
    pub(super) fn started(&mut self, needs: &[i64]) -> Vec<i64> {
        let mut passed = Vec::new();
        for id in needs {
            if let Some(gate) = self.gates.get_mut(id) {
                gate.start(self.now);
                passed.push(*id);
            }
        }
        passed
    }

    /// An item has left the line without a start: others may use the room that it does not. `at`: where it waits now.
    pub(super) fn missed(&mut self, needs: &[i64], at: Option<i64>) {
        for id in needs {
            let Some(gate) = self.gates.get_mut(id) else { continue };
            match at == Some(*id) {
                true => gate.waited = true,
                false => gate.wake = gate.wake.saturating_add(INSTEAD),
            }
        }
    }

    /// So many runs no longer hold a gate.
    fn freed(&mut self, id: i64, count: u32) {
        if let Some(gate) = self.gates.get_mut(&id) {
            gate.in_use = gate.in_use.saturating_sub(count);
            gate.wake = gate.wake.saturating_add(count);
        }
    }

    /// Lets everybody go for whom there is room.
    fn wake_all(&mut self) {
        for gate in self.gates.values_mut() {
            gate.wake = u32::MAX;
        }
    }

    /// Writes what has changed, and lets items line up again. Answers how many.
    pub(super) async fn write(mut self, write: &mut Transaction<'static, Sqlite>) -> StoreResult<u64> {
        if self.gates.is_empty() {
            return Ok(0);
        }
        let woken = self.line_up(write).await?;
        let passed: Vec<_> = self
            .gates
            .iter()
            .map(|(id, gate)| (id, gate.in_use, batch(gate.window.entries()), gate.alarm(self.now)))
            .collect();
        sqlx::query(sql!("queue/put_passed"))
            .bind(batch(&passed))
            .execute(&mut **write)
            .await
            .map_err(failed(OPERATION))?;
        Ok(woken)
    }

    /// Lets those line up again who may go.
    async fn line_up(&mut self, write: &mut Transaction<'static, Sqlite>) -> StoreResult<u64> {
        let mut left = LET_GO;
        for (id, gate) in &mut self.gates {
            let wake = gate.wake.min(gate.room(self.now)).min(left);
            if !gate.waited || wake == 0 {
                continue;
            }
            let failed = failed(OPERATION);
            let woken =
                sqlx::query(sql!("queue/wake")).bind(*id).bind(wake).execute(&mut **write).await.map_err(&failed)?;
            left = left.saturating_sub(u32::try_from(woken.rows_affected()).unwrap_or(u32::MAX));
            gate.waited =
                sqlx::query_scalar(sql!("queue/waits")).bind(*id).fetch_one(&mut **write).await.map_err(&failed)?;
        }
        Ok(u64::from(LET_GO - left))
    }
}

/// Takes items out of the line for which gates have no room: key, id, gate.
pub(super) async fn turn_away(
    write: &mut Transaction<'static, Sqlite>,
    items: &[(i64, String, i64)],
) -> StoreResult<()> {
    if items.is_empty() {
        return Ok(());
    }
    sqlx::query(sql!("queue/turn_away")).bind(batch(items)).execute(&mut **write).await.map_err(failed(OPERATION))?;
    Ok(())
}

/// Gives back what runs held: so many of each gate. Answers how many items may go for it.
pub(super) async fn give_back(
    write: &mut Transaction<'static, Sqlite>,
    held: &BTreeMap<i64, u32>,
    now: i64,
) -> StoreResult<u64> {
    let mut gates = Gates::read(write, held.keys().copied(), now).await?;
    for (id, count) in held {
        gates.freed(*id, *count);
    }
    gates.write(write).await
}

/// Lets items go at every gate that has room for them: limits that were raised or removed, and what was let go in vain.
pub(super) async fn wake_waiting(write: &mut Transaction<'static, Sqlite>, now: i64) -> StoreResult<u64> {
    let ids: Vec<i64> =
        sqlx::query_scalar(sql!("queue/limited_gates")).fetch_all(&mut **write).await.map_err(failed(OPERATION))?;
    wake(write, ids, now).await
}

/// Lets those line up whose time is over, so that a claim ends them.
pub(super) async fn wake_spent(write: &mut Transaction<'static, Sqlite>, now: i64) -> StoreResult<u64> {
    let woken = sqlx::query(sql!("queue/wake_spent"))
        .bind(now)
        .bind(LET_GO)
        .execute(&mut **write)
        .await
        .map_err(failed(OPERATION))?;
    Ok(woken.rows_affected())
}

/// Lets items go at gates whose rate has room again.
pub(super) async fn wake_due(write: &mut Transaction<'static, Sqlite>, now: i64) -> StoreResult<u64> {
    let ids: Vec<i64> = sqlx::query_scalar(sql!("queue/due_gates"))
        .bind(now)
        .fetch_all(&mut **write)
        .await
        .map_err(failed(OPERATION))?;
    wake(write, ids, now).await
}

/// Lets items go at one gate, as far as it has room.
pub(super) async fn wake_all_at(write: &mut Transaction<'static, Sqlite>, gate: i64, now: i64) -> StoreResult<u64> {
    wake(write, vec![gate], now).await
}

async fn wake(write: &mut Transaction<'static, Sqlite>, ids: Vec<i64>, now: i64) -> StoreResult<u64> {
    let mut gates = Gates::read(write, ids, now).await?;
    gates.wake_all();
    gates.write(write).await
}

/// The gates of a job or of a run, as the store keeps them.
pub(super) fn needs(row: &SqliteRow, index: usize) -> StoreResult<Vec<i64>> {
    match rows::get::<Option<&str>>(row, index)? {
        Some(text) => serde_json::from_str(text).map_err(|error| corrupt(OPERATION, error.to_string())),
        None => Ok(Vec::new()),
    }
}
