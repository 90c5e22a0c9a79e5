mod tables;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

pub use tables::{OWNERS, Row};

use crate::Engine;

/// Where one installation keeps everything. It is gone with the value.
pub struct Place {
    engine: Engine,
    folder: TempDir,
    database: Option<Database>,
}

struct Database {
    /// The superuser's address of the server's maintenance database.
    server: String,
    name: String,
}

/// Plain roles of a throwaway server on loopback: the owner of the tables, and whom the control plane connects as.
const ROLES: [&str; 2] = ["stylobate_tests_owner", "stylobate_tests_app"];

impl Place {
    /// An empty place.
    ///
    /// # Panics
    /// When PostgreSQL is wanted and `STYLOBATE_TEST_POSTGRES_URL` does not lead to it as a superuser.
    pub async fn new(engine: Engine) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let database = match engine {
            Engine::Sqlite => None,
            Engine::Postgres => Some(Database::create().await),
        };
        Self { engine, folder, database }
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// A folder for the data and anything else of a test.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What a program has to be told to work here.
    #[must_use]
    pub fn environment(&self) -> BTreeMap<String, String> {
        let mut environment = BTreeMap::from([("DATA_DIR".to_owned(), self.data().display().to_string())]);
        if let Some(database) = &self.database {
            environment.insert("DATABASE_URL".into(), database.url(Some(ROLES[1]), None));
            environment.insert("DATABASE_MIGRATION_URL".into(), database.url(Some(ROLES[0]), None));
        }
        environment
    }

    /// As [`environment`](Self::environment), with the database behind `port` of loopback.
    #[must_use]
    pub fn environment_through(&self, port: u16) -> BTreeMap<String, String> {
        let mut environment = self.environment();
        if let Some(database) = &self.database {
            environment.insert("DATABASE_URL".into(), database.url(Some(ROLES[1]), Some(port)));
            environment.insert("DATABASE_MIGRATION_URL".into(), database.url(Some(ROLES[0]), Some(port)));
        }
        environment
    }

    /// The PostgreSQL database as somebody who may do everything, which no server should be.
    #[must_use]
    pub fn superuser_url(&self) -> Option<String> {
        self.database.as_ref().map(|database| database.url(None, None))
    }

    /// Host and port of the PostgreSQL server.
    #[must_use]
    pub fn postgres_address(&self) -> Option<String> {
        self.database.as_ref().map(|database| split(&database.server).1.to_owned())
    }

    pub(crate) fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    /// Makes `person` a member of a second organisation as well, with the code `other`.
    pub async fn join_other_org(&self, person: &str) {
        let tenant = self.id(uuid::Uuid::from_u128(0x0191_e000_0000_7000_8000_0000_0000_00f0));
        let person = self.id(person.parse().expect("an id"));
        let now = self.long_ago();
        let (yes, no) = match self.engine {
            Engine::Sqlite => ("1", "0"),
            Engine::Postgres => ("true", "false"),
        };
        self.sql(&format!(
            "INSERT INTO orgs (id, code, code_folded, name, is_active, is_default, created_at, updated_at, version)
                 VALUES ({tenant}, 'other', 'other', 'Other', {yes}, {no}, {now}, {now}, 1) ON CONFLICT DO NOTHING;
             INSERT INTO memberships (tenant_id, person_id, status, created_at, updated_at)
                 VALUES ({tenant}, {person}, 'active', {now}, {now});"
        ))
        .await;
    }

    /// Has everybody's password be their own, as after a mailed link.
    pub async fn own_passwords(&self) {
        self.sql("UPDATE credentials SET chosen_by_other = false").await;
    }

    /// Runs statements behind the program's back: as a superuser on PostgreSQL, in the file on SQLite.
    ///
    /// # Panics
    /// When one fails.
    pub async fn sql(&self, statements: &str) {
        let text = AssertSqlSafe(statements.to_owned());
        match &self.database {
            Some(database) => {
                let mut connection =
                    PgConnection::connect(&database.url(None, None)).await.expect("PostgreSQL");
                sqlx::raw_sql(text).execute(&mut connection).await.expect(statements);
            }
            None => {
                let options = SqliteConnectOptions::new()
                    .filename(self.data().join("control-plane.db"))
                    .busy_timeout(crate::PATIENCE);
                let mut connection = SqliteConnection::connect_with(&options).await.expect("the SQLite file");
                sqlx::raw_sql(text).execute(&mut connection).await.expect(statements);
                connection.close().await.expect("the file to close");
            }
        }
    }

    /// The one number that a query gives, read behind the program's back.
    ///
    /// # Panics
    /// When it fails.
    pub async fn count(&self, query: &str) -> i64 {
        let sql = AssertSqlSafe(query.to_owned());
        match &self.database {
            Some(database) => {
                let mut connection =
                    PgConnection::connect(&database.url(None, None)).await.expect("PostgreSQL");
                sqlx::query_scalar(sql).fetch_one(&mut connection).await.expect(query)
            }
            None => {
                let options = SqliteConnectOptions::new()
                    .filename(self.data().join("control-plane.db"))
                    .busy_timeout(crate::PATIENCE);
                let mut connection = SqliteConnection::connect_with(&options).await.expect("the SQLite file");
                let number = sqlx::query_scalar(sql).fetch_one(&mut connection).await;
                connection.close().await.expect("the file to close");
                number.expect(query)
            }
        }
    }

    /// Every `table.column` in which an id is, as such or within a text or bytes, read behind the program's back.
    ///
    /// # Panics
    /// When they cannot be read.
    pub async fn places_of(&self, id: uuid::Uuid) -> Vec<String> {
        let bytes = id.simple();
        let mut found = Vec::new();
        match &self.database {
            Some(database) => {
                let columns = "SELECT c.table_name::text, c.column_name::text FROM information_schema.columns c \
                               JOIN information_schema.tables t USING (table_schema, table_name) \
                               WHERE table_schema = 'public' AND t.table_type = 'BASE TABLE'";
                let mut connection =
                    PgConnection::connect(&database.url(None, None)).await.expect("PostgreSQL");
                let all: Vec<(String, String)> =
                    sqlx::query_as(columns).fetch_all(&mut connection).await.expect("the columns");
                for (table, column) in all {
                    let sql = format!(
                        "SELECT EXISTS (SELECT 1 FROM {table} AS t WHERE t.\"{column}\"::text LIKE '%{id}%' \
                         OR t.\"{column}\"::text LIKE '%{bytes}%')"
                    );
                    let holds: Result<bool, _> =
                        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut connection).await;
                    found.extend(holds.expect("a column").then(|| format!("{table}.{column}")));
                }
            }
            None => {
                let columns = "SELECT t.name, c.name FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.type = 'table'";
                let options = SqliteConnectOptions::new()
                    .filename(self.data().join("control-plane.db"))
                    .busy_timeout(crate::PATIENCE);
                let mut connection = SqliteConnection::connect_with(&options).await.expect("the SQLite file");
                let all: Vec<(String, String)> =
                    sqlx::query_as(columns).fetch_all(&mut connection).await.expect("the columns");
                for (table, column) in all {
                    // Letters of either case are one to LIKE here.
                    let sql = format!(
                        "SELECT EXISTS (SELECT 1 FROM {table} AS t WHERE CAST(t.\"{column}\" AS text) LIKE '%{id}%' \
                         OR hex(t.\"{column}\") LIKE '%{bytes}%')"
                    );
                    let holds: Result<bool, _> =
                        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut connection).await;
                    found.extend(holds.expect("a column").then(|| format!("{table}.{column}")));
                }
                connection.close().await.expect("the file to close");
            }
        }
        found
    }

    /// The stored hash of a person's password, read behind the program's back.
    ///
    /// # Panics
    /// When there is none.
    pub async fn password_hash(&self, email: &str) -> String {
        let sql =
            "SELECT c.hash FROM credentials c JOIN people p ON p.id = c.person_id WHERE p.email_key = $1";
        match &self.database {
            Some(database) => {
                let mut connection =
                    PgConnection::connect(&database.url(None, None)).await.expect("PostgreSQL");
                sqlx::query_scalar(sql).bind(email).fetch_one(&mut connection).await.expect("a hash")
            }
            None => {
                let options = SqliteConnectOptions::new()
                    .filename(self.data().join("control-plane.db"))
                    .busy_timeout(crate::PATIENCE);
                let mut connection = SqliteConnection::connect_with(&options).await.expect("the SQLite file");
                let hash = sqlx::query_scalar(sql).bind(email).fetch_one(&mut connection).await;
                connection.close().await.expect("the file to close");
                hash.expect("a hash")
            }
        }
    }

    /// A time before everything that a test does, in SQL.
    #[must_use]
    pub fn long_ago(&self) -> &'static str {
        match self.engine {
            Engine::Sqlite => "'2026-01-01T00:00:00.000000+00:00'",
            Engine::Postgres => "'2026-01-01T00:00:00Z'",
        }
    }

    /// An id as a literal of this engine's SQL.
    #[must_use]
    pub fn id(&self, id: uuid::Uuid) -> String {
        match self.engine {
            Engine::Postgres => format!("'{id}'::uuid"),
            Engine::Sqlite => format!("X'{}'", id.simple()),
        }
    }
}

impl Database {
    async fn create() -> Self {
        let server = std::env::var("STYLOBATE_TEST_POSTGRES_URL").unwrap_or_else(|_| {
            panic!(
                "STYLOBATE_TEST_POSTGRES_URL is not set: run `cargo xtask test`, or `cargo xtask services up`"
            )
        });
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("stylobate_b{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut admin = PgConnection::connect(&server).await.expect("the PostgreSQL server to answer");
        for role in ROLES {
            // Creating a role twice at once fails with a unique violation in the catalogue; either way it is there.
            let create = format!("CREATE ROLE {role} LOGIN PASSWORD '{role}' NOSUPERUSER NOBYPASSRLS");
            let _ = sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut admin).await;
        }
        for statement in [
            format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
            format!("CREATE DATABASE {name} OWNER {}", ROLES[0]),
        ] {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut admin).await.expect("a fresh database");
        }
        admin.close().await.expect("the connection to close");
        Self { server, name }
    }

    fn url(&self, role: Option<&str>, port: Option<u16>) -> String {
        let (superuser, address) = split(&self.server);
        let credentials = role.map_or(superuser.to_owned(), |role| format!("{role}:{role}"));
        let address = port.map_or(address.to_owned(), |port| format!("127.0.0.1:{port}"));
        format!("postgres://{credentials}@{address}/{}", self.name)
    }
}

/// Credentials and address of `postgres://credentials@address/database?options`.
fn split(url: &str) -> (&str, &str) {
    let rest = url.split_once("://").expect("a database address").1;
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    authority.rsplit_once('@').expect("credentials in the database address")
}

impl Drop for Database {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        // A destructor cannot wait on the test's own runtime.
        let cleaner = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                if let Ok(mut admin) = PgConnection::connect(&server).await {
                    let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                    let _ = sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut admin).await;
                }
            });
        });
        let _ = cleaner.join();
    }
}
