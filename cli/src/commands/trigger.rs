//! `leasehold trigger`: a run now.

use clap::Args;
use leasehold_common::id::{JobName, TenantId};
use leasehold_common::store::Store;

use crate::failure::Failure;
use crate::out;

/// Run a job of a tenant now, beside its schedule; prints the correlation id of the run.
///
/// `leasehold runs show` takes that id. The schedule stays as it is, and the overlap rule of the job holds here too.
/// A job that is paused runs all the same.
#[derive(Args, Debug)]
pub(crate) struct TriggerArgs {
    /// The job
    #[arg(value_name = "JOB")]
    job: JobName,

    /// Whose job
    #[arg(short, long, value_name = "TENANT")]
    tenant: TenantId,

    /// Run it whatever else of the job is running, against its overlap rule
    #[arg(long)]
    beside: bool,
}

impl TriggerArgs {
    /// The tenant, if it is about one and no other.
    pub(crate) fn tenant(&self) -> Option<&TenantId> {
        Some(&self.tenant)
    }
}

/// Prints the correlation id alone, for scripts.
pub(crate) async fn run(store: &dyn Store, args: &TriggerArgs) -> Result<(), Failure> {
    match store.trigger(&args.tenant, &args.job, args.beside).await? {
        Some(id) => out::print(&format!("{id}\n")),
        None => Err(Failure::NotFound(format!("tenant {} has no job {}", args.tenant, args.job))),
    }
}
