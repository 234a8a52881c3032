//! Where a tenant's own data is, and the way there.
//!
//! The config says where (`database`), filled in for each tenant when it is checked, with references instead of secrets.
//! Here the references are followed, at each use: a secret that was changed counts from the next connection on, and none
//! is kept.

use std::time::Duration;

use leasehold_common::definition::{Tenant, TenantDatabase};
use leasehold_common::roster::Secret;
use leasehold_ops::secret::{SecretError, look_up};
use leasehold_store::{PgTenantTransaction, Place, PoolOptions, SqliteTenantTransaction, TenantDbError, TenantPools};

use super::HandlerError;

/// The connections of this executor to databases of tenants.
#[derive(Clone, Debug)]
pub(crate) struct Databases {
    pub(super) pools: TenantPools,
}

impl Databases {
    pub(crate) fn new(options: PoolOptions) -> Self {
        Self { pools: TenantPools::new(options) }
    }

    /// Follows the references of a tenant's database.
    pub(super) async fn place(&self, tenant: &Tenant) -> Result<Place, HandlerError> {
        let id = &tenant.id;
        let Some(TenantDatabase { url, password, schema }) = &tenant.database else {
            let what = format!("tenant {id} has no database; give it or its plan a `database` in the config");
            return Err(HandlerError::permanent(what).code("sql"));
        };
        let found = async |key: &str, text: &str| {
            secret(text).await.map_err(|what| {
                HandlerError::new(format!("`{key}` of the database of tenant {id}: {what}")).code("secret")
            })
        };
        Ok(Place {
            tenant: id.clone(),
            url: found("url", url).await?,
            password: match password {
                Some(password) => Some(found("password", password).await?),
                None => None,
            },
            schema: schema.clone(),
        })
    }
}

/// The value that a text is or refers to. The error names the reference and never a value.
async fn secret(text: &str) -> Result<String, String> {
    let secret = Secret::parse(text).map_err(|error| error.to_string())?;
    look_up(&secret).await.map_err(|error| match error {
        SecretError::NotSet(name) => format!("the environment variable {name} is not set in this executor"),
        SecretError::File { path, why } => format!("cannot read {path}: {why}"),
    })
}

/// The database of the tenant whose run it is. See [`super::RunContext::database`].
#[derive(Clone, Debug)]
pub struct TenantDb {
    pub(super) pools: TenantPools,
    pub(super) place: Place,
    /// What is left of the job's timeout.
    pub(super) limit: Option<Duration>,
}

impl TenantDb {
    /// A transaction in a PostgreSQL database. It sees the tenant's schema and no other by its plain names, has the
    /// tenant's id in the setting `leasehold.tenant`, and dereferences to the connection:
    /// `sqlx::query("…").execute(&mut *transaction)`. All of that ends with it, and nothing that is set on the connection
    /// is left for the next tenant. Not committed, it is rolled back.
    ///
    /// # Errors
    /// If the database is not PostgreSQL or has no such schema, or no connection can be made.
    pub async fn postgres(&self) -> Result<PgTenantTransaction, HandlerError> {
        self.pools.postgres(&self.place, self.limit).await.map_err(failed)
    }

    /// A transaction in a SQLite database, which must exist. Not committed, it is rolled back.
    ///
    /// # Errors
    /// If the database is not SQLite, or the file is not there or busy.
    pub async fn sqlite(&self) -> Result<SqliteTenantTransaction, HandlerError> {
        self.pools.sqlite(&self.place, self.limit).await.map_err(failed)
    }
}

/// Its own word on whether another attempt may help counts, and not that of any error.
pub(super) fn failed(error: TenantDbError) -> HandlerError {
    let code = error.code.map(|code| format!("sql.{code}")).unwrap_or_else(|| "sql".to_owned());
    HandlerError { message: error.message, retry: error.retry, after: None, code: Some(code) }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use leasehold_common::id::TenantId;

    fn tenant(database: Option<TenantDatabase>) -> Tenant {
        Tenant { database, ..Tenant::new(TenantId::new("acme").unwrap()) }
    }

    fn at(url: &str, password: Option<&str>) -> Option<TenantDatabase> {
        Some(TenantDatabase { url: url.to_owned(), password: password.map(str::to_owned), schema: None })
    }

    #[tokio::test]
    async fn references_are_followed_at_each_use() {
        let databases = Databases::new(PoolOptions::default());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "one\n").unwrap();
        let tenant = tenant(at("postgres://u@h/d", Some(&format!("file:{}", file.path().display()))));
        let password = async || databases.place(&tenant).await.unwrap().password;
        assert_eq!(password().await.as_deref(), Some("one"));
        std::fs::write(&file, "two").unwrap();
        assert_eq!(password().await.as_deref(), Some("two"));
    }

    #[tokio::test]
    async fn what_is_missing_is_named() {
        let databases = Databases::new(PoolOptions::default());
        let error = databases.place(&tenant(None)).await.unwrap_err();
        assert!(!error.retry && error.message.contains("tenant acme has no database"), "{error}");
        for (url, password, part) in [
            ("env:LEASEHOLD_TEST_NOT_SET", None, "LEASEHOLD_TEST_NOT_SET is not set"),
            ("postgres://u@h/d", Some("file:does/not/exist"), "cannot read does/not/exist"),
        ] {
            let error = databases.place(&tenant(at(url, password))).await.unwrap_err();
            assert!(error.retry && error.message.contains(part), "{error}");
        }
    }
}
