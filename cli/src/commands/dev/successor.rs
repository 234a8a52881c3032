//! Taking over from a `dev` that died.
//!
//! A killed process leaves its lease behind, and the next one would wait for its end. The store of a config is one
//! file on one machine: if the holder ran here and its process is gone, its term is resigned in its name. Should the
//! guess be wrong, fencing makes it harmless: the holder finds its term ended and stands for election again.

use leasehold_common::lease::{Leader, Term};
use leasehold_common::store::Store;
use leasehold_ops::host;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use crate::failure::Failure;

/// Resigns the term of a leader whose process is gone.
pub(crate) async fn relieve_the_dead(store: &dyn Store) -> Result<(), Failure> {
    if let Some(leader) = store.status().await?.leader.filter(|leader| leader.expires_in_ms > 0 && is_dead(leader)) {
        tracing::info!(term = leader.term, pid = leader.pid, "the leader before has died: ending its term");
        store.resign(&Term { holder: leader.holder, epoch: leader.term }).await?;
    }
    Ok(())
}

fn is_dead(leader: &Leader) -> bool {
    let pid = i32::try_from(leader.pid).ok().and_then(Pid::from_raw);
    leader.host == host::name() && pid.is_some_and(|pid| test_kill_process(pid) == Err(Errno::SRCH))
}
