//! A fresh store for each test, with a clock that the test moves.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use leasehold_common::store::SharedStore;
use leasehold_store::{Options, WallClock};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, SqliteConnection};
use tokio::sync::OnceCell;

use crate::roles::ByRole;
use crate::server;

/// A migrated store of one test.
pub struct Fixture {
    /// The store.
    pub store: SharedStore,
    /// Where it is, for other processes.
    pub url: String,
    clock: Clock,
    _folder: Option<tempfile::TempDir>,
}

enum Clock {
    Sqlite(WallClock),
    Postgres { url: String, shift_us: AtomicI64 },
}

impl Fixture {
    /// A SQLite file.
    pub async fn sqlite() -> Self {
        let fixture = Self::sqlite_unmigrated().await;
        fixture.store.migrate().await.unwrap();
        fixture
    }

    /// A database of its own on the shared PostgreSQL server.
    pub async fn postgres() -> Self {
        Self::on_postgres(postgres_copy(postgres_template().await).await).await
    }

    /// The same, where each part of the store is used by a login with the rights that it needs and no others.
    pub async fn postgres_by_role() -> Self {
        let fixture = Self::postgres().await;
        let by_role = ByRole::open(&fixture.url).await;
        fixture.behind(|_| by_role)
    }

    /// A SQLite file without a schema.
    pub async fn sqlite_unmigrated() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("leasehold.db").display());
        let clock = WallClock::default();
        let store = leasehold_store::open(&url, &Options { clock: clock.clone(), ..Options::default() }).await.unwrap();
        Self { store, url, clock: Clock::Sqlite(clock), _folder: Some(folder) }
    }

    /// An empty database on the shared PostgreSQL server.
    pub async fn postgres_unmigrated() -> Self {
        Self::on_postgres(postgres_database(server::postgres()).await).await
    }

    async fn on_postgres(url: String) -> Self {
        let store = leasehold_store::open(&url, &Options::default()).await.unwrap();
        let clock = Clock::Postgres { url: url.clone(), shift_us: AtomicI64::new(0) };
        Self { store, url, clock, _folder: None }
    }

    /// The same store with something in front of it.
    #[must_use]
    pub fn behind(mut self, wrap: impl FnOnce(SharedStore) -> SharedStore) -> Self {
        self.store = wrap(self.store);
        self
    }

    /// A store handle of another process on the same store, with the same clock.
    pub async fn another(&self) -> SharedStore {
        let clock = match &self.clock {
            Clock::Sqlite(clock) => clock.clone(),
            Clock::Postgres { .. } => WallClock::default(),
        };
        leasehold_store::open(&self.url, &Options { clock, ..Options::default() }).await.unwrap()
    }

    /// Whether this is PostgreSQL.
    #[must_use]
    pub fn is_postgres(&self) -> bool {
        matches!(self.clock, Clock::Postgres { .. })
    }

    /// A connection past the store, to PostgreSQL.
    pub async fn pg(&self) -> PgConnection {
        assert!(self.is_postgres());
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        connection.execute("SET search_path = leasehold").await.unwrap();
        connection
    }

    /// A connection past the store, to SQLite.
    pub async fn lite(&self) -> SqliteConnection {
        let path = self.url.strip_prefix("sqlite:").expect("a SQLite store");
        SqliteConnection::connect(&format!("sqlite://{path}")).await.unwrap()
    }

    /// One number, past the store; `query` is in SQL that both dialects understand.
    pub async fn number(&self, query: &str) -> i64 {
        let query = AssertSqlSafe(query.to_owned());
        if self.is_postgres() {
            sqlx::query_scalar(query).fetch_one(&mut self.pg().await).await.unwrap()
        } else {
            sqlx::query_scalar(query).fetch_one(&mut self.lite().await).await.unwrap()
        }
    }

    /// Changes rows past the store.
    pub async fn execute(&self, statement: &str) {
        let statement = AssertSqlSafe(statement.to_owned());
        if self.is_postgres() {
            self.pg().await.execute(statement).await.unwrap();
        } else {
            self.lite().await.execute(statement).await.unwrap();
        }
    }

    /// Moves the store's clock.
    pub async fn advance(&self, by: Duration) {
        match &self.clock {
            Clock::Sqlite(clock) => clock.advance(by),
            Clock::Postgres { url, shift_us } => {
                let by = i64::try_from(by.as_micros()).unwrap();
                let shift = shift_us.fetch_add(by, Ordering::SeqCst) + by;
                let mut connection = PgConnection::connect(url).await.unwrap();
                for (name, volatility, clock) in
                    [("now_us", "STABLE", "statement_timestamp"), ("clock_us", "VOLATILE", "clock_timestamp")]
                {
                    let function = format!(
                        "CREATE OR REPLACE FUNCTION leasehold.{name}() RETURNS bigint LANGUAGE sql {volatility}
                         AS $$ SELECT (extract(epoch FROM {clock}()) * 1000000)::bigint + {shift} $$"
                    );
                    connection.execute(AssertSqlSafe(function)).await.unwrap();
                }
                connection.close().await.unwrap();
            }
        }
    }
}

fn base(server: &server::Server) -> String {
    format!("postgres://leasehold@127.0.0.1:{}", server.port)
}

async fn create_database(server: &server::Server, options: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("t{}", NEXT.fetch_add(1, Ordering::SeqCst));
    let mut admin = crate::wait::until("PostgreSQL accepts connections", || {
        let url = format!("{}/postgres", base(server));
        async move { PgConnection::connect(&url).await }
    })
    .await;
    admin.execute(AssertSqlSafe(format!("CREATE DATABASE {name} {options}"))).await.unwrap();
    admin.close().await.unwrap();
    name
}

/// Creates an empty database and answers its URL.
pub async fn postgres_database(server: &server::Server) -> String {
    format!("{}/{}", base(server), create_database(server, "").await)
}

/// The name of a migrated database on the shared server that nobody uses: copying it is quicker than migrating anew.
async fn postgres_template() -> &'static str {
    static TEMPLATE: OnceCell<String> = OnceCell::const_new();
    TEMPLATE
        .get_or_init(|| async {
            let name = create_database(server::postgres(), "").await;
            let url = format!("{}/{name}", base(server::postgres()));
            let store = leasehold_store::open(&url, &Options::default()).await.unwrap();
            store.migrate().await.unwrap();
            store.close().await;
            // A server process outlives its closed connection by a moment, and a database in use cannot be copied.
            let mut admin = PgConnection::connect(&format!("{}/postgres", base(server::postgres()))).await.unwrap();
            while sqlx::query_scalar::<_, i64>("SELECT count(*) FROM pg_stat_activity WHERE datname = $1")
                .bind(&name)
                .fetch_one(&mut admin)
                .await
                .unwrap()
                > 0
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            name
        })
        .await
}

async fn postgres_copy(template: &str) -> String {
    let name = create_database(server::postgres(), &format!("TEMPLATE {template}")).await;
    // A copy does not have the rights on the database itself that the migration has granted.
    let mut admin = PgConnection::connect(&format!("{}/postgres", base(server::postgres()))).await.unwrap();
    let grant = format!("GRANT CREATE ON DATABASE {name} TO leasehold_migrator");
    admin.execute(AssertSqlSafe(grant)).await.unwrap();
    admin.close().await.unwrap();
    format!("{}/{name}", base(server::postgres()))
}
