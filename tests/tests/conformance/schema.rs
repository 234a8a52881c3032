//! Migrations, and whether a store is the one that a program knows.

use leasehold_common::store::{ErrorKind, RunFilter};
use leasehold_tests::stores::Fixture;

async fn says_to_migrate(f: &Fixture) {
    let error = f.store.check_schema().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Schema);
    assert!(error.to_string().contains("`leasehold migrate`"), "{error}");
    let error = f.store.reports(0, &RunFilter::default(), 1).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Schema, "{error}");

    assert!(f.store.migrate().await.unwrap() > 0);
    f.store.check_schema().await.unwrap();
    assert_eq!(f.store.migrate().await.unwrap(), 0, "the second time there is nothing to do");
    f.store.check_schema().await.unwrap();
}

async fn accepts_a_newer_store(f: &Fixture) {
    let (table, checksum) =
        if f.is_postgres() { ("leasehold.migration", "'\\x00'::bytea") } else { ("_sqlx_migrations", "x'00'") };
    f.execute(&format!(
        "INSERT INTO {table} (version, description, success, checksum, execution_time)
         VALUES (99991231000000, 'of a newer version', true, {checksum}, 1)"
    ))
    .await;
    f.store.check_schema().await.unwrap();
    assert_eq!(f.store.migrate().await.unwrap(), 0);
    f.store.status().await.unwrap();
}

async fn migrates_once_with_many_at_it(f: &Fixture) {
    let mut calls = Vec::new();
    for _ in 0..4 {
        let store = f.another().await;
        calls.push(tokio::spawn(async move {
            store.migrate().await.unwrap();
            store.check_schema().await.unwrap();
        }));
    }
    for call in calls {
        call.await.unwrap();
    }
    assert_eq!(f.store.migrate().await.unwrap(), 0);
    let status = f.store.status().await.unwrap();
    assert_eq!(status.catalog.revision, 0);
}

/// An older program finds a store that a migration of it is missing from.
async fn tells_how_far_behind_the_store_is(f: &Fixture) {
    let table = if f.is_postgres() { "leasehold.migration" } else { "_sqlx_migrations" };
    f.execute(&format!("UPDATE {table} SET success = (1 = 0)")).await;
    let error = f.store.check_schema().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Schema);
}

both!(accepts_a_newer_store, tells_how_far_behind_the_store_is);

macro_rules! unmigrated {
    ($($case:ident),+) => { $(
        mod $case {
            use leasehold_tests::stores::Fixture;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                super::$case(&Fixture::sqlite_unmigrated().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                super::$case(&Fixture::postgres_unmigrated().await).await;
            }
        }
    )+ };
}

unmigrated!(says_to_migrate, migrates_once_with_many_at_it);
