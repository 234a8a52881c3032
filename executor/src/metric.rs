//! The names of what an executor measures. They are documented in docs/reference/metrics.md.
//!
//! Never labelled by tenant or job: there may be a million of those.

use leasehold_common::store::Claimed;
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram};

pub(crate) const RUNS: &str = "leasehold_runs_total";
pub(crate) const CLAIM: &str = "leasehold_claim_seconds";
pub(crate) const SETTLE: &str = "leasehold_settle_seconds";
pub(crate) const RUN: &str = "leasehold_run_seconds";
pub(crate) const LATENESS: &str = "leasehold_run_lateness_seconds";
pub(crate) const SLOTS: &str = "leasehold_slots";
pub(crate) const BUSY: &str = "leasehold_slots_busy";
pub(crate) const UNSETTLED: &str = "leasehold_reports_waiting";
pub(crate) const CLAIMED: &str = "leasehold_claimed_total";
pub(crate) const DISMISSED: &str = "leasehold_dismissed_total";
pub(crate) const ACTIVATED: &str = "leasehold_activated_total";
pub(crate) const STALE: &str = "leasehold_stale_reports_total";
pub(crate) const LOST: &str = "leasehold_lost_claims_total";
pub(crate) const STORE_ERRORS: &str = "leasehold_executor_store_errors_total";
pub(crate) const BREAKER_TRIPS: &str = "leasehold_breaker_trips_total";
pub(crate) const MISFITS: &str = "leasehold_payload_misfits";

/// What becomes of items that leave the line without a run; `waits` for a run of their job, for
/// room under a limit, for their endpoint, or for an executor that can run them.
const DISMISSALS: [&str; 9] =
    ["dead", "overlapped", "misfired", "cancelled", "paused", "gated", "expired", "superseded", "waits"];

/// The store calls whose failures are counted.
const CALLS: [&str; 5] = ["activate", "claim", "definitions", "extend", "settle"];

/// Counts a store call that failed.
pub(crate) fn store_error(call: &'static str) {
    counter!(STORE_ERRORS, "call" => call).increment(1);
}

/// Describes the metrics to the recorder, if there is one. Counters start at zero, so that an alert on an increase
/// sees the first one.
pub(crate) fn describe() {
    for outcome in ["succeeded", "failed", "dead", "cancelled", "released"] {
        counter!(RUNS, "outcome" => outcome).increment(0);
    }
    for outcome in DISMISSALS {
        counter!(DISMISSED, "outcome" => outcome).increment(0);
    }
    for name in [CLAIMED, ACTIVATED, STALE, LOST, BREAKER_TRIPS] {
        counter!(name).increment(0);
    }
    for call in CALLS {
        counter!(STORE_ERRORS, "call" => call).increment(0);
    }
    describe_counter!(RUNS, "Attempts that ended and were recorded, by outcome");
    describe_histogram!(CLAIM, Unit::Seconds, "How long the store took to answer a claim");
    describe_histogram!(SETTLE, Unit::Seconds, "How long the store took to record a batch of reports");
    describe_histogram!(RUN, Unit::Seconds, "How long an attempt took");
    describe_histogram!(LATENESS, Unit::Seconds, "How long after its due time a scheduled run's first attempt started");
    describe_gauge!(SLOTS, "How many runs this executor runs at once");
    describe_gauge!(BUSY, "How many it runs now");
    describe_gauge!(UNSETTLED, "Reports that wait to be recorded");
    describe_counter!(CLAIMED, "Runs claimed");
    describe_counter!(DISMISSED, "Items that left the line at a claim without a run, by outcome");
    describe_counter!(ACTIVATED, "Items made ready");
    describe_counter!(STALE, "Reports that came too late: the run was no longer this executor's");
    describe_counter!(LOST, "Claims that were lost while runs were under way");
    describe_counter!(BREAKER_TRIPS, "How often this executor opened the breaker of an endpoint");
    describe_gauge!(MISFITS, "Definitions whose payload did not fit its handler when this executor started");
    describe_counter!(STORE_ERRORS, "Store calls that failed, by call");
}

/// Counts the items that a claim took out of the line without a run.
pub(crate) fn dismissed(claimed: &Claimed) {
    for outcome in &claimed.ended {
        counter!(DISMISSED, "outcome" => outcome.as_str()).increment(1);
    }
    counter!(DISMISSED, "outcome" => "waits").increment(claimed.dismissed.saturating_sub(claimed.ended.len() as u64));
}
