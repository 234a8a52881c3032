//! What jobs need and no live executor can do: from what the store counts to what people are told. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};

use leasehold_common::limit::GateId;
use leasehold_common::store::{ExecutorView, QueueDepth, Unserved};

/// What the store counts.
pub(crate) enum Row {
    /// A need, and how many jobs have it.
    Jobs(String, u64),
    /// The gate of a need, and how many items wait there.
    Waiting(i64, u64),
}

/// What none of these executors can do or serve. Nothing while there is none; and what they can do is not known while one
/// of them does not say.
pub(crate) fn unserved(rows: Vec<Row>, queues: &[QueueDepth], executors: &[ExecutorView]) -> Vec<Unserved> {
    let live: Vec<_> = executors.iter().filter(|executor| !executor.draining).collect();
    if live.is_empty() {
        return Vec::new();
    }
    let mut unserved = Vec::new();
    let abilities: Option<Vec<&Vec<String>>> = live.iter().map(|executor| executor.abilities.as_ref()).collect();
    if let Some(abilities) = abilities {
        let able: HashSet<&String> = abilities.into_iter().flatten().collect();
        let (mut jobs, mut waiting) = (BTreeMap::new(), HashMap::new());
        for row in rows {
            match row {
                Row::Jobs(need, count) => drop(jobs.insert(need, count)),
                Row::Waiting(gate, count) => drop(waiting.insert(gate, count)),
            }
        }
        for (need, jobs) in jobs.into_iter().filter(|(need, _)| !able.contains(need)) {
            let waiting = waiting.get(&GateId::of_need(&need).as_i64()).copied().unwrap_or(0);
            unserved.push(Unserved { need, jobs, waiting });
        }
    }
    let served: HashSet<&str> = live.iter().flat_map(|executor| executor.queues.iter().map(String::as_str)).collect();
    let idle = queues.iter().filter(|queue| queue.depth > 0 && !served.contains(queue.queue.as_str()));
    unserved.extend(idle.map(|queue| Unserved {
        need: format!("queue:{}", queue.queue),
        jobs: 0,
        waiting: queue.depth,
    }));
    unserved
}
