//! The duties of a leader: its services, side by side.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use leasehold_common::store::{Schedules, SharedStore};
use tokio::task::JoinSet;

use crate::dispatcher::Dispatcher;
use crate::elector::Duties;
use crate::notifier::Notifier;
use crate::options::SchedulerOptions;
use crate::pruner::Pruner;
use crate::reconciler::Reconciler;
use crate::rescuer::Rescuer;
use crate::service::drive;
use crate::sweeper::Sweeper;
use crate::term::{End, LeaderTerm};

pub(crate) struct LeaderDuties {
    pub(crate) store: Arc<dyn Schedules>,
    /// The same store as a whole, for the reconciler and the notifier; none in tests of the other services.
    pub(crate) whole: Option<SharedStore>,
    pub(crate) options: SchedulerOptions,
}

#[async_trait]
impl Duties for LeaderDuties {
    /// A service that panics ends the term for all: a leader that does half of its work is worse than a new one.
    async fn run(&self, term: LeaderTerm) {
        let mut services = self.start(&term);
        while let Some(ended) = services.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, term = term.term().epoch, "a service of the leader broke down");
                term.end(End::Failed);
            }
        }
    }
}

impl LeaderDuties {
    fn start(&self, term: &LeaderTerm) -> JoinSet<()> {
        let mut services = JoinSet::new();
        let dispatcher = Dispatcher::new(Arc::clone(&self.store), &self.options);
        services.spawn(drive(dispatcher, Duration::ZERO, term.clone()));
        let rescuer = Rescuer::new(Arc::clone(&self.store));
        services.spawn(drive(rescuer, Duration::ZERO, term.clone()));
        let sweeper = Sweeper::new(Arc::clone(&self.store));
        services.spawn(drive(sweeper, Duration::ZERO, term.clone()));
        let pruner = Pruner::new(Arc::clone(&self.store), self.options.keep);
        services.spawn(drive(pruner, Pruner::first_pause(), term.clone()));
        if let Some(store) = &self.whole {
            let reconciler = Reconciler::new(Arc::clone(store), self.options.roster_timeout);
            services.spawn(drive(reconciler, Duration::ZERO, term.clone()));
            let notifier = Notifier::new(Arc::clone(store), self.options.hook_commands);
            services.spawn(drive(notifier, Duration::ZERO, term.clone()));
        }
        services
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use leasehold_common::clock::BootClock;
    use tokio::time::{sleep, timeout};

    use super::*;
    use crate::testing::{FakeSchedules, term, until};

    #[tokio::test(start_paused = true)]
    async fn all_services_work_until_the_term_ends_and_one_that_panics_ends_it() {
        let store = FakeSchedules::new();
        store.old.store(1, Ordering::SeqCst);
        store.lost.store(1, Ordering::SeqCst);
        store.overdue.store(1, Ordering::SeqCst);
        let definition = store.define_cron(1, "* * * * *");
        store.add(1, definition, store.now());
        let duties = LeaderDuties { store: store.clone(), whole: None, options: SchedulerOptions::default() };
        let term = term(&BootClock::manual());
        let running = tokio::spawn({
            let term = term.clone();
            async move { duties.run(term).await }
        });
        until("all have worked", || {
            let left = [&store.old, &store.lost, &store.overdue].map(|left| left.load(Ordering::SeqCst));
            left == [0; 3] && !store.queued().is_empty()
        })
        .await;
        sleep(Duration::from_secs(10)).await;
        assert_eq!(term.why_ended(), None);

        store.broken.store(true, Ordering::SeqCst);
        let ended = timeout(Duration::from_secs(10), running).await;
        assert!(matches!(ended, Ok(Ok(()))), "{ended:?}");
        assert_eq!(term.why_ended(), Some(End::Failed));
    }
}
