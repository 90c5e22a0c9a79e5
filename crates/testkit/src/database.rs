use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use stylobate_db::{Db, DbOptions, MigrationSet, Participant, migrate};

/// The environment variable with the address of a PostgreSQL server on which tests may create databases and roles.
/// `cargo xtask test` and `cargo xtask services up` provide one.
pub const POSTGRES_URL: &str = "STYLOBATE_TEST_POSTGRES_URL";

/// The role tests work as: no superuser, no owner, bound by row-level security.
const APP_ROLE: &str = "stylobate_test_app";

/// A fresh migrated database, gone with the value. It takes no events: open a second handle with
/// [`open`](Self::open) for a test about participants.
pub struct TestDb {
    db: Db,
    url: String,
    // Dropped last: the file or database under the handle.
    place: Arc<Place>,
}

enum Place {
    Folder { _folder: tempfile::TempDir },
    Database { server: String, name: String },
}

impl Deref for TestDb {
    type Target = Db;

    fn deref(&self) -> &Db {
        &self.db
    }
}

impl TestDb {
    /// A fresh SQLite file.
    pub async fn sqlite(sets: &[&MigrationSet]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = format!("sqlite://{}/test.db", folder.path().display());
        let db = connect(&url, &[]).await;
        migrate(&db, sets).await.expect("the migrations to apply on SQLite");
        Self { db, url, place: Arc::new(Place::Folder { _folder: folder }) }
    }

    /// A fresh PostgreSQL database, used as a role that row-level security binds.
    ///
    /// # Panics
    /// When no server is named by [`POSTGRES_URL`]: a test that needs a server fails without it.
    pub async fn postgres(sets: &[&MigrationSet]) -> Self {
        let server = std::env::var(POSTGRES_URL).unwrap_or_else(|_| {
            panic!("{POSTGRES_URL} is not set: run `cargo xtask test`, or `cargo xtask services up`")
        });
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("stylobate_t{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut admin = PgConnection::connect(&server).await.expect("the PostgreSQL server to answer");
        // Creating a role twice at once fails with a unique violation in the catalogue; either way it is there.
        let role = format!("CREATE ROLE {APP_ROLE} LOGIN PASSWORD 'app' NOSUPERUSER NOBYPASSRLS");
        let _ = sqlx::query(AssertSqlSafe(role)).execute(&mut admin).await;
        run(&mut admin, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
        run(&mut admin, format!("CREATE DATABASE {name}")).await;
        admin.close().await.expect("the connection to close");

        let owner = connect(&with_database(&server, &name, None), &[]).await;
        migrate(&owner, sets).await.expect("the migrations to apply on PostgreSQL");
        owner.grant(sets, APP_ROLE).await.expect("the grants to apply");
        owner.close().await;
        let url = with_database(&server, &name, Some((APP_ROLE, "app")));
        let db = connect(&url, &[]).await;
        Self { db, url, place: Arc::new(Place::Database { server, name }) }
    }

    /// The address of the database, as the role that tests work as.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A handle as the owner of the tables, for what the role that tests work as may not do: to change the schema, to damage
    /// rows past its constraints.
    pub async fn open_as_owner(&self) -> Db {
        match &*self.place {
            Place::Folder { .. } => self.open(&[]).await,
            Place::Database { server, name } => connect(&with_database(server, name, None), &[]).await,
        }
    }

    /// A second handle on the same database whose transactions `participants` take part in.
    pub async fn open(&self, participants: &[Arc<dyn Participant>]) -> Db {
        connect(&self.url, participants).await
    }
}

async fn run(admin: &mut PgConnection, statement: String) {
    sqlx::query(AssertSqlSafe(statement)).execute(admin).await.expect("the administrator's statement to run");
}

async fn connect(url: &str, participants: &[Arc<dyn Participant>]) -> Db {
    let options = DbOptions { connections_max: 8, ..DbOptions::default() };
    let mut builder = Db::builder(url, options);
    let takes = |which: fn(&stylobate_db::Takes) -> bool| participants.iter().any(|one| which(&one.takes()));
    if participants.is_empty() || !takes(|takes| takes.events) {
        builder = builder.without_events();
    }
    if participants.is_empty() {
        builder = builder.without_audit();
    }
    for participant in participants {
        builder = builder.participant(Arc::clone(participant));
    }
    builder.connect().await.expect("the test database to answer")
}

/// The same server with another database, and with other credentials when given.
fn with_database(server: &str, name: &str, credentials: Option<(&str, &str)>) -> String {
    let (scheme, rest) = server.split_once("://").expect("a database address");
    let (authority, tail) = rest.split_once('/').unwrap_or((rest, ""));
    let query = tail.split_once('?').map_or(String::new(), |(_, query)| format!("?{query}"));
    let authority = match credentials {
        Some((user, password)) => {
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            format!("{user}:{password}@{host}")
        }
        None => authority.to_owned(),
    };
    format!("{scheme}://{authority}/{name}{query}")
}

impl Drop for Place {
    fn drop(&mut self) {
        let Self::Database { server, name } = self else { return };
        let (server, statement) = (server.clone(), format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        // A destructor cannot wait on the test's own runtime.
        let cleaner = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                if let Ok(mut admin) = PgConnection::connect(&server).await {
                    let _ = sqlx::query(AssertSqlSafe(statement)).execute(&mut admin).await;
                }
            });
        });
        let _ = cleaner.join();
    }
}
