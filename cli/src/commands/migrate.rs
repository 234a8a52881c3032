//! `leasehold migrate`: the schema of a store.

use crate::cli::StoreUrl;
use crate::connect;
use crate::failure::Failure;
use crate::out;
use crate::render::text::count;

/// Creates or upgrades the schema; does nothing if it is up to date.
pub(crate) async fn run(url: &StoreUrl) -> Result<(), Failure> {
    let store = connect::open(url, true).await?;
    let result = store.migrate().await;
    store.close().await;
    let text = match result? {
        0 => "the schema is up to date".to_owned(),
        steps => format!("the schema is up to date: ran {}", count(usize::try_from(steps).unwrap_or(0), "migration")),
    };
    out::print(&format!("{text}\n"))
}
