//! The schema of each dialect, embedded, and whether a store has it.

use std::collections::HashSet;

use leasehold_common::store::{ErrorKind, StoreError, StoreResult};
use sqlx::migrate::{MigrateError, Migrator};

/// The migrations of SQLite.
pub(crate) fn sqlite() -> Migrator {
    let mut migrator = sqlx::migrate!("../migrations/sqlite");
    migrator.set_ignore_missing(true);
    migrator
}

/// The migrations of Postgres, kept track of inside the schema `leasehold`.
pub(crate) fn postgres() -> Migrator {
    let mut migrator = sqlx::migrate!("../migrations/postgres");
    // A newer version may have migrated already: during a rolling upgrade both versions run.
    migrator.set_ignore_missing(true);
    migrator.dangerous_set_table_name("leasehold.migration");
    migrator.create_schema("leasehold");
    migrator
}

/// Compares what was applied with what this program knows. A store that is ahead is fine: migrations only expand
/// until no older version runs.
pub(crate) fn check(migrator: &Migrator, applied: &[i64]) -> StoreResult<()> {
    let applied: HashSet<i64> = applied.iter().copied().collect();
    let missing = migrator.iter().filter(|migration| !applied.contains(&migration.version)).count();
    if missing == 0 {
        return Ok(());
    }
    let what = if applied.is_empty() {
        "the store has no Leasehold schema yet; run `leasehold migrate`".to_owned()
    } else {
        format!("the store's schema is {missing} migration(s) behind this program; run `leasehold migrate`")
    };
    Err(StoreError::new(ErrorKind::Schema, "use the store", what))
}

/// `map_err(failed)` for a migration run.
pub(crate) fn failed(error: MigrateError) -> StoreError {
    match error {
        MigrateError::Execute(error) => crate::error::failed("migrate the store")(error),
        other => StoreError::new(ErrorKind::Schema, "migrate the store", other),
    }
}
