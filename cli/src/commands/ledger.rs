//! `leasehold ledger`: what was expected of a job, compared with what is recorded.

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use leasehold_common::id::{JobName, TenantId};
use leasehold_common::ledger::{Ledger, compare_since, reaches_back};
use leasehold_common::store::Store;
use serde::Serialize;

use crate::cli::{Format, OutputArgs};
use crate::failure::Failure;
use crate::instant::Past;
use crate::out;
use crate::render::ledger;
use crate::render::style::Palette;
use crate::render::text::count;
use crate::render::time::instant;

/// So far back unless another time is named.
const DEFAULT_BACK: SignedDuration = SignedDuration::from_hours(24);

/// So often the history is asked for once more because rows reach further back.
const WIDER: usize = 4;

/// Compare what was expected of a job with what is recorded
///
/// Ends with exit code 1 if anything is missing. What was expected is computed again from the job's schedules and the times in which they were in force, never read
/// from what is recorded. Due times in a row of which the same became are one line.
#[derive(Args, Debug)]
pub(crate) struct LedgerArgs {
    /// Whose job
    #[arg(short, long, value_name = "TENANT")]
    tenant: TenantId,

    /// The job
    #[arg(short, long, value_name = "JOB")]
    job: JobName,

    /// From then on: RFC 3339 with its offset, or how long ago [default: 24h]
    #[arg(long, value_name = "INSTANT")]
    from: Option<Past>,

    /// Before then: RFC 3339 with its offset, or how long ago [default: now]
    #[arg(long, value_name = "INSTANT")]
    to: Option<Past>,

    #[command(flatten)]
    output: OutputArgs,
}

impl LedgerArgs {
    /// The tenant, if it is about one and no other.
    pub(crate) fn tenant(&self) -> Option<&TenantId> {
        Some(&self.tenant)
    }
}

/// The ledger of a job, for scripts.
#[derive(Serialize)]
struct JobLedger<'a> {
    tenant: &'a TenantId,
    job: &'a JobName,
    #[serde(flatten)]
    ledger: &'a Ledger,
}

/// Prints the ledger, and fails if it has holes.
pub(crate) async fn run(store: &dyn Store, args: &LedgerArgs) -> Result<(), Failure> {
    let LedgerArgs { tenant, job, .. } = args;
    let now = store.status().await?.now;
    let from = args.from.map_or(now - DEFAULT_BACK, |from| from.from(now));
    let to = args.to.map_or(Timestamp::MAX, |to| to.from(now));
    if from >= to {
        return Err(Failure::Invalid(format!("--from {from} is not before --to {to}")));
    }
    let Some(ledger) = read(store, tenant, job, from, to).await? else {
        return Err(Failure::NotFound(format!("tenant {tenant} never had a job {job}")));
    };
    match args.output.output {
        Format::Json => out::print_json(&JobLedger { tenant, job, ledger: &ledger })?,
        Format::Table => out::print(&ledger::table(&ledger, Palette::stdout()))?,
    }
    say_limits(&ledger);
    verdict(&ledger, tenant, job)
}

/// Asks for the history, further back if rows reach into it from before, and compares. `None` if there never was such
/// a job.
pub(crate) async fn read(
    store: &dyn Store,
    tenant: &TenantId,
    job: &JobName,
    from: Timestamp,
    to: Timestamp,
) -> Result<Option<Ledger>, Failure> {
    let mut known_from = from;
    let Some(mut history) = store.history(tenant, job, from, to).await? else { return Ok(None) };
    for _ in 0..WIDER {
        let back = reaches_back(&history, known_from, to);
        if back >= known_from {
            break;
        }
        let Some(wider) = store.history(tenant, job, back, to).await? else { return Ok(None) };
        (known_from, history) = (back, wider);
    }
    Ok(Some(compare_since(&history, known_from, from, to)))
}

/// What was left out of the comparison.
fn say_limits(ledger: &Ledger) {
    if let Some(from) = ledger.clamped_from {
        leasehold_ops::say!("Reports of the time before {} are no longer kept: compared from then on.", instant(from));
    }
    if let Some(to) = ledger.truncated_at {
        leasehold_ops::say!("There are too many due times for one look: compared up to {}.", instant(to));
    }
}

fn verdict(ledger: &Ledger, tenant: &TenantId, job: &JobName) -> Result<(), Failure> {
    if ledger.missing > 0 {
        let missing = count(usize::try_from(ledger.missing).unwrap_or(usize::MAX), "due time");
        return Err(Failure::Refused(format!("nothing is known of {missing} of {tenant}/{job}")));
    }
    match ledger.unreadable.first() {
        None => Ok(()),
        Some(one) => Err(Failure::Refused(format!(
            "version {} of {tenant}/{job} cannot be read, so nothing can be said of its time: {}",
            one.version, one.reason
        ))),
    }
}
