//! What every store must do, whichever it is.
//!
//! A case is an `async fn case(f: &Fixture)`; `both!` makes one named test of it for each store
//! (`lease::stale_term_writes_nothing::postgres`), and a case that no macro names is dead code and fails the build.
//! `postgres!` is for what only a server with concurrent writers can show. Each test has a store of its own.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

macro_rules! both {
    ($($case:ident),+ $(,)?) => { $(
        mod $case {
            use leasehold_tests::stores::Fixture;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                super::$case(&Fixture::sqlite().await.at_five_past().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                super::$case(&Fixture::postgres_by_role().await.at_five_past().await).await;
            }
        }
    )+ };
}

macro_rules! postgres {
    ($($case:ident),+ $(,)?) => { $(
        mod $case {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                super::$case(&leasehold_tests::stores::Fixture::postgres_by_role().await.at_five_past().await).await;
            }
        }
    )+ };
}

#[path = "conformance/activate.rs"]
mod activate;
#[path = "conformance/backfill.rs"]
mod backfill;
#[path = "conformance/breakers.rs"]
mod breakers;
#[path = "conformance/callbacks.rs"]
mod callbacks;
#[path = "conformance/cancel.rs"]
mod cancel;
#[path = "conformance/capable.rs"]
mod capable;
#[path = "conformance/catalog.rs"]
mod catalog;
#[path = "conformance/catch_up.rs"]
mod catch_up;
#[path = "conformance/claim.rs"]
mod claim;
#[path = "conformance/dead.rs"]
mod dead;
#[path = "conformance/dispatch.rs"]
mod dispatch;
#[path = "conformance/edits.rs"]
mod edits;
#[path = "conformance/enqueue.rs"]
mod enqueue;
#[path = "conformance/every.rs"]
mod every;
#[path = "conformance/extend.rs"]
mod extend;
#[path = "conformance/fair.rs"]
mod fair;
#[path = "conformance/faults.rs"]
mod faults;
#[path = "conformance/gated.rs"]
mod gated;
#[path = "conformance/hooks.rs"]
mod hooks;
#[path = "conformance/lease.rs"]
mod lease;
#[path = "conformance/ledger.rs"]
mod ledger;
#[path = "conformance/limits.rs"]
mod limits;
#[path = "conformance/mixed.rs"]
mod mixed;
#[path = "conformance/once.rs"]
mod once;
#[path = "conformance/overlap.rs"]
mod overlap;
#[path = "conformance/pauses.rs"]
mod pauses;
#[path = "conformance/prune.rs"]
mod prune;
#[path = "conformance/rates.rs"]
mod rates;
#[path = "conformance/reports.rs"]
mod reports;
#[path = "conformance/rescue.rs"]
mod rescue;
#[path = "conformance/roster.rs"]
mod roster;
#[path = "conformance/schema.rs"]
mod schema;
#[path = "conformance/settle.rs"]
mod settle;
#[path = "conformance/statements.rs"]
mod statements;
#[path = "conformance/time.rs"]
mod time;
#[path = "conformance/trigger.rs"]
mod trigger;
#[path = "conformance/views.rs"]
mod views;
