//! Every metric of the scheduler, in one place. docs/reference/metrics.md lists them for users.
//!
//! Counters are set to zero at the start, so that an alert on an increase sees the first one.

use std::time::Duration;

use leasehold_common::store::{Fanned, SourceRecord};
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::term::End;

/// The services that write under a term, as in the label `service`.
const SERVICES: [&str; 6] = ["dispatcher", "rescuer", "sweeper", "pruner", "reconciler", "notifier"];

/// What becomes of due times before any executor has them, as in the label `outcome`.
const OUTCOMES: [&str; 6] = ["queued", "misfired", "paused", "blacked_out", "expired", "gated"];

/// Says what the metrics mean, and begins them.
pub(crate) fn begin() {
    describe();
    gauge!("leasehold_leader").set(0.0);
    gauge!("leasehold_term").set(0.0);
    gauge!("leasehold_unplannable_jobs").set(0.0);
    counter!("leasehold_elections_total").increment(0);
    counter!("leasehold_dispatched_items_total").increment(0);
    counter!("leasehold_pruned_reports_total").increment(0);
    for reason in [End::Lost, End::Untrusted, End::StaleTerm, End::Failed] {
        counter!("leasehold_lease_lost_total", "reason" => reason.as_str()).increment(0);
    }
    for outcome in OUTCOMES {
        due_times(outcome, 0);
    }
    for service in SERVICES {
        counter!("leasehold_stale_term_total", "service" => service).increment(0);
        counter!("leasehold_service_errors_total", "service" => service).increment(0);
    }
    for to in ["requeued", "dead"] {
        counter!("leasehold_rescued_runs_total", "to" => to).increment(0);
    }
}

/// An endpoint has said something, and was answered.
pub(crate) fn callback(word: &'static str, answer: &'static str) {
    counter!("leasehold_callbacks_total", "word" => word, "answer" => answer).increment(1);
}

fn describe() {
    describe_counter!(
        "leasehold_callbacks_total",
        "What endpoints that answered 202 said, by what they were answered."
    );
    describe_gauge!("leasehold_leader", "1 while this replica leads.");
    describe_gauge!("leasehold_term", "The last term of this replica; 0 before its first.");
    describe_counter!("leasehold_elections_total", "Terms that this replica began.");
    describe_counter!("leasehold_lease_lost_total", "Terms that ended otherwise than by shutdown, by reason.");
    describe_counter!("leasehold_stale_term_total", "Writes refused because their term was over, by service.");
    describe_histogram!("leasehold_lease_renew_seconds", "Time from a renewal of the lease to its answer.");
    describe_counter!("leasehold_dispatched_items_total", "Runs put into the queue.");
    describe_counter!("leasehold_due_times_total", "Due times that the leader dealt with, by outcome.");
    describe_histogram!("leasehold_dispatch_seconds", "Time of one dispatch transaction.");
    describe_gauge!("leasehold_dispatch_lag_seconds", "How far past its due time the oldest undispatched job is.");
    describe_gauge!("leasehold_unplannable_jobs", "Jobs that are due and whose definition cannot be read.");
    describe_counter!("leasehold_rescued_runs_total", "Runs taken back from executors that are gone.");
    describe_counter!("leasehold_pruned_reports_total", "Reports deleted because of their age.");
    describe_gauge!("leasehold_roster_tenants", "Tenants that are taken from a source, by source.");
    describe_gauge!("leasehold_roster_refused", "Tenants of a source that cannot be used, by source.");
    describe_counter!("leasehold_roster_failures_total", "Answers of a source that could not be used, by source.");
    describe_gauge!("leasehold_roster_last_success_timestamp_seconds", "When a source last gave a good answer.");
    describe_histogram!("leasehold_roster_seconds", "Time from asking the sources to the last write.");
    describe_counter!("leasehold_hook_deliveries_total", "Tries to deliver a message, by hook and outcome.");
    describe_gauge!("leasehold_hook_failing", "1 while the last try of a hook failed, by hook.");
    describe_counter!("leasehold_service_errors_total", "Ticks of a leader's service that failed, by service.");
}

pub(crate) fn elected(epoch: i64) {
    gauge!("leasehold_leader").set(1.0);
    gauge!("leasehold_term").set(epoch as f64);
    counter!("leasehold_elections_total").increment(1);
}

pub(crate) fn stepped_down(why: End) {
    gauge!("leasehold_leader").set(0.0);
    // What a leader sees is not known to a follower.
    gauge!("leasehold_dispatch_lag_seconds").set(0.0);
    gauge!("leasehold_unplannable_jobs").set(0.0);
    if why != End::Shutdown {
        counter!("leasehold_lease_lost_total", "reason" => why.as_str()).increment(1);
    }
}

pub(crate) fn renewal(took: Duration) {
    histogram!("leasehold_lease_renew_seconds").record(took);
}

pub(crate) fn stale_term(service: &'static str) {
    counter!("leasehold_stale_term_total", "service" => service).increment(1);
}

pub(crate) fn service_error(service: &'static str) {
    counter!("leasehold_service_errors_total", "service" => service).increment(1);
}

pub(crate) fn dispatched(fanned: &Fanned, took: Duration) {
    counter!("leasehold_dispatched_items_total").increment(fanned.items);
    due_times("queued", fanned.items);
    due_times("misfired", fanned.misfired);
    due_times("paused", fanned.paused);
    due_times("blacked_out", fanned.blacked_out);
    due_times("gated", fanned.gated);
    histogram!("leasehold_dispatch_seconds").record(took);
}

pub(crate) fn swept(misfired: u64, expired: u64) {
    due_times("misfired", misfired);
    due_times("expired", expired);
}

fn due_times(outcome: &'static str, count: u64) {
    counter!("leasehold_due_times_total", "outcome" => outcome).increment(count);
}

pub(crate) fn backlog(lag: Duration, unplannable: usize) {
    gauge!("leasehold_dispatch_lag_seconds").set(lag.as_secs_f64());
    gauge!("leasehold_unplannable_jobs").set(unplannable as f64);
}

pub(crate) fn rescued(requeued: u64, dead: u64) {
    counter!("leasehold_rescued_runs_total", "to" => "requeued").increment(requeued);
    counter!("leasehold_rescued_runs_total", "to" => "dead").increment(dead);
}

/// How the sources stand after they were asked.
pub(crate) fn roster(sources: &[SourceRecord], took: Duration) {
    if !sources.is_empty() {
        histogram!("leasehold_roster_seconds").record(took);
    }
    for record in sources {
        let source = record.source.clone();
        gauge!("leasehold_roster_tenants", "source" => source.clone()).set(record.tenants as f64);
        gauge!("leasehold_roster_refused", "source" => source.clone()).set(record.refused as f64);
        counter!("leasehold_roster_failures_total", "source" => source.clone()).increment(0);
        if record.is_good() {
            let now = jiff::Timestamp::now().as_second() as f64;
            gauge!("leasehold_roster_last_success_timestamp_seconds", "source" => source).set(now);
        }
    }
}

/// What a leader sees is not known to a follower.
pub(crate) fn roster_over(source: &str) {
    gauge!("leasehold_roster_tenants", "source" => source.to_owned()).set(0.0);
    gauge!("leasehold_roster_refused", "source" => source.to_owned()).set(0.0);
}

pub(crate) fn roster_failed(source: &str) {
    counter!("leasehold_roster_failures_total", "source" => source.to_owned()).increment(1);
}

/// What becomes of the messages of hooks, as in the label `outcome`.
const DELIVERIES: [&str; 3] = ["delivered", "failed", "dropped"];

pub(crate) fn hook_begins(hook: &str) {
    for outcome in DELIVERIES {
        counter!("leasehold_hook_deliveries_total", "hook" => hook.to_owned(), "outcome" => outcome).increment(0);
    }
    hook_failing(hook, false);
}

pub(crate) fn hook_delivery(hook: &str, outcome: &'static str) {
    counter!("leasehold_hook_deliveries_total", "hook" => hook.to_owned(), "outcome" => outcome).increment(1);
}

/// What a leader sees is not known to a follower: then none fails.
pub(crate) fn hook_failing(hook: &str, failing: bool) {
    gauge!("leasehold_hook_failing", "hook" => hook.to_owned()).set(if failing { 1.0 } else { 0.0 });
}

pub(crate) fn pruned(reports: u64) {
    counter!("leasehold_pruned_reports_total").increment(reports);
}
