//! What was counted, minute by minute, and what can be said of it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use leasehold_common::id::JobName;
use serde::Serialize;

/// So many jobs of the busiest minute are named.
const NAMED: usize = 5;

/// Runs by job and minute, of a stretch of whole minutes.
#[derive(Debug)]
pub(super) struct Forecast {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) tenants: usize,
    /// Jobs of all tenants.
    pub(super) jobs: usize,
    /// For each job name, the runs of all tenants in each minute.
    pub(super) minutes: BTreeMap<JobName, Vec<u64>>,
    /// Jobs whose runs are counted at most as often as they can be.
    pub(super) at_most: Vec<JobName>,
}

/// The forecast by hours.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) tenants: usize,
    pub(super) jobs: usize,
    pub(super) fires: u64,
    pub(super) hours: Vec<Hour>,
    /// The minute with the most runs; none if there are no runs.
    pub(super) busiest: Option<Busiest>,
    /// Jobs that count from the end of their runs: they are counted as if runs took no time.
    pub(super) at_most: Vec<JobName>,
}

/// One hour by UTC, or as much of it as was asked for.
#[derive(Debug, Serialize)]
pub(super) struct Hour {
    pub(super) hour: Timestamp,
    pub(super) fires: u64,
    /// The first minute with the most runs; none if there are no runs.
    pub(super) peak: Option<Peak>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Peak {
    pub(super) minute: Timestamp,
    pub(super) fires: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Busiest {
    #[serde(flatten)]
    pub(super) peak: Peak,
    /// The jobs with the most runs in it, the most first.
    pub(super) jobs: Vec<Share>,
    /// How many more jobs have runs in it.
    pub(super) more_jobs: usize,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Share {
    pub(super) job: JobName,
    pub(super) fires: u64,
}

impl Forecast {
    fn minute(&self, position: usize) -> Timestamp {
        let minutes = i64::try_from(position).unwrap_or(i64::MAX);
        self.from.checked_add(SignedDuration::from_mins(minutes)).unwrap_or(self.to)
    }

    /// By hours.
    pub(super) fn summary(&self) -> Summary {
        let length = self.minutes.values().map(Vec::len).max().unwrap_or(0);
        let all: Vec<u64> =
            (0..length).map(|at| self.minutes.values().filter_map(|minutes| minutes.get(at)).sum()).collect();
        let hours = self.hours(&all);
        let busiest = hours.iter().filter_map(|hour| hour.peak).reduce(|a, b| if b.fires > a.fires { b } else { a });
        Summary {
            from: self.from,
            to: self.to,
            tenants: self.tenants,
            jobs: self.jobs,
            fires: all.iter().sum(),
            busiest: busiest.map(|peak| self.busiest(peak)),
            hours,
            at_most: self.at_most.clone(),
        }
    }

    fn hours(&self, all: &[u64]) -> Vec<Hour> {
        let hour_of = |at: usize| {
            let second = self.minute(at).as_second();
            Timestamp::from_second(second.div_euclid(3600) * 3600).unwrap_or(self.from)
        };
        let mut hours: Vec<Hour> = Vec::new();
        for (at, fires) in all.iter().copied().enumerate() {
            let hour = hour_of(at);
            if hours.last().is_none_or(|last| last.hour != hour) {
                hours.push(Hour { hour, fires: 0, peak: None });
            }
            let Some(last) = hours.last_mut() else { continue };
            last.fires += fires;
            if fires > last.peak.map_or(0, |peak| peak.fires) {
                last.peak = Some(Peak { minute: self.minute(at), fires });
            }
        }
        hours
    }

    fn busiest(&self, peak: Peak) -> Busiest {
        let at = usize::try_from(peak.minute.duration_since(self.from).as_mins()).unwrap_or(0);
        let mut jobs: Vec<Share> = self
            .minutes
            .iter()
            .map(|(job, minutes)| Share { job: job.clone(), fires: minutes.get(at).copied().unwrap_or(0) })
            .filter(|share| share.fires > 0)
            .collect();
        jobs.sort_by_key(|share| std::cmp::Reverse(share.fires));
        let more_jobs = jobs.len().saturating_sub(NAMED);
        jobs.truncate(NAMED);
        Busiest { peak, jobs, more_jobs }
    }
}
