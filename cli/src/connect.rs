//! Opening the store that `--store` names.

use std::future::Future;

use leasehold_common::id::TenantId;
use leasehold_common::store::{SharedStore, for_tenant};
use leasehold_store::Options;

use crate::cli::StoreUrl;
use crate::failure::Failure;

/// A command asks one thing at a time.
const CONNECTIONS: u32 = 2;

/// Opens the store, whatever its schema. Only `migrate` creates a SQLite file.
pub(crate) async fn open(store: &StoreUrl, create: bool) -> Result<SharedStore, Failure> {
    let options = Options { name: "leasehold".to_owned(), connections: CONNECTIONS, create, ..Options::default() };
    Ok(leasehold_store::open(store.url()?, &options).await?)
}

/// Opens the store, checks its schema, does the work and closes the connections.
pub(crate) async fn with_store<F>(url: &StoreUrl, work: impl FnOnce(SharedStore) -> F) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    let store = open(url, false).await?;
    let result = match store.check_schema().await {
        Ok(()) => work(store.clone()).await,
        Err(error) => Err(error.into()),
    };
    store.close().await;
    result
}

/// The same for what is about one tenant: where the store can, it shows and changes the rows of that tenant alone.
pub(crate) async fn with_store_of<F>(
    url: &StoreUrl,
    tenant: Option<&TenantId>,
    work: impl FnOnce(SharedStore) -> F,
) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    with_store(url, |store| {
        work(match tenant {
            Some(tenant) => for_tenant(&store, tenant),
            None => store,
        })
    })
    .await
}
