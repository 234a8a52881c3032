//! What both stores write of the sources of tenants.

use leasehold_common::store::{REFUSALS_KEPT, SourceRecord};
use serde::Serialize;

/// name, tenants, refused, refusals as JSON, error, held as JSON, whether it was good.
#[derive(Serialize)]
pub(crate) struct SourceRow(
    pub(crate) String,
    pub(crate) i64,
    pub(crate) i64,
    pub(crate) String,
    pub(crate) Option<String>,
    pub(crate) Option<String>,
    pub(crate) bool,
);

impl SourceRow {
    pub(crate) fn of(record: &SourceRecord) -> Self {
        let kept = &record.refusals[..record.refusals.len().min(REFUSALS_KEPT)];
        // Strings and numbers: writing them cannot fail.
        let refusals = serde_json::to_string(kept).unwrap_or_default();
        let held = record.held.map(|held| serde_json::to_string(&held).unwrap_or_default());
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        Self(
            record.source.clone(),
            count(record.tenants),
            count(record.refused),
            refusals,
            record.error.clone(),
            held,
            record.is_good(),
        )
    }
}
