//! Migrations: every crate has a set of its own, in a table of its own, and all sets run under one lock.

use std::{borrow::Cow, collections::BTreeSet};

use sqlx::{
    AssertSqlSafe, SqlSafeStr as _,
    migrate::{AppliedMigration, Migrate, MigrateError, MigrationType, Migrator},
};

use crate::{Db, Engine, Error, Scope, Sql, Tx, conn::Inner};

/// One step of a schema, written for both engines.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// `YYYYMMDDhhmmss_purpose`: the digits are its version.
    pub name: &'static str,
    /// The PostgreSQL scripts, up and down.
    pub postgres: (&'static str, &'static str),
    /// The SQLite scripts, up and down.
    pub sqlite: (&'static str, &'static str),
}

/// The first line of a down script that has no way back.
const IRREVERSIBLE: &str = "-- irreversible";

impl Migration {
    /// Its version: the digits before the first underscore of its name.
    #[must_use]
    pub fn version(&self) -> i64 {
        self.name.split('_').next().and_then(|digits| digits.parse().ok()).unwrap_or_default()
    }

    fn scripts(&self, engine: Engine) -> (&'static str, &'static str) {
        match engine {
            Engine::Postgres => self.postgres,
            Engine::Sqlite => self.sqlite,
        }
    }
}

/// The migrations of one crate, oldest first; make it with [`migration_set!`](crate::migration_set).
#[derive(Debug, Clone, Copy)]
pub struct MigrationSet {
    /// The crate's short name: its table is `<name>_migrations`.
    pub name: &'static str,
    /// Tables whose rows are never changed or removed: the server's role gets no privilege to do so.
    pub append_only: &'static [&'static str],
    /// The steps.
    pub migrations: &'static [Migration],
}

/// Declares a crate's [`MigrationSet`] from the files `migrations/{postgres,sqlite}/<name>.{up,down}.sql` in its folder.
///
/// ```text
/// stylobate_db::migration_set! {
///     /// The tables of notes.
///     pub MIGRATIONS = "notes" append_only ["note_history"];
///     "20261121000001_notes",
/// }
/// ```
#[macro_export]
macro_rules! migration_set {
    ($(#[$doc:meta])* $vis:vis $set:ident = $name:literal $(append_only [$($table:literal),* $(,)?])?; $($migration:literal),+ $(,)?) => {
        $(#[$doc])*
        $vis static $set: $crate::MigrationSet = $crate::MigrationSet {
            name: $name,
            append_only: &[$($($table),*)?],
            migrations: &[$($crate::Migration {
                name: $migration,
                postgres: (
                    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/postgres/", $migration, ".up.sql")),
                    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/postgres/", $migration, ".down.sql")),
                ),
                sqlite: (
                    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/sqlite/", $migration, ".up.sql")),
                    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/sqlite/", $migration, ".down.sql")),
                ),
            }),+],
        };
    };
}

impl MigrationSet {
    fn table(&self) -> String {
        format!("{}_migrations", self.name)
    }

    /// The tables that its PostgreSQL scripts create, as they write them: unquoted names, which are lower case.
    fn tables(&self) -> impl Iterator<Item = &'static str> {
        self.migrations.iter().flat_map(|migration| {
            let mut words = migration.postgres.0.split_whitespace();
            std::iter::from_fn(move || {
                while let Some(word) = words.next() {
                    let mut after = words.clone();
                    if !word.eq_ignore_ascii_case("CREATE") {
                        continue;
                    }
                    let mut kind = after.next();
                    if kind.is_some_and(|word| word.eq_ignore_ascii_case("UNLOGGED")) {
                        kind = after.next();
                    }
                    if !kind.is_some_and(|word| word.eq_ignore_ascii_case("TABLE")) {
                        continue;
                    }
                    let mut name = after.next();
                    // IF NOT EXISTS
                    if name.is_some_and(|word| word.eq_ignore_ascii_case("IF")) {
                        name = after.nth(2);
                    }
                    return name.map(|name| name.split('(').next().unwrap_or(name).trim_matches('"'));
                }
                None
            })
        })
    }

    fn migrator(&self, engine: Engine) -> Migrator {
        let step = |migration: &Migration, kind, text: &'static str| {
            let purpose = migration.name.split_once('_').map_or("", |(_, purpose)| purpose);
            let sql = text.into_sql_str();
            // Without a transaction of sqlx's: ours is open, and holds all sets together.
            sqlx::migrate::Migration::new(migration.version(), Cow::Borrowed(purpose), kind, sql, true)
        };
        let mut steps = Vec::with_capacity(self.migrations.len() * 2);
        for migration in self.migrations {
            let (up, down) = migration.scripts(engine);
            steps.push(step(migration, MigrationType::ReversibleUp, up));
            steps.push(step(migration, MigrationType::ReversibleDown, down));
        }
        let mut migrator = Migrator::with_migrations(steps);
        migrator.dangerous_set_table_name(self.table());
        // An older version of the program must run on a schema that a newer one has expanded.
        migrator.set_ignore_missing(true);
        // Our own transaction holds the lock for all sets; the one of sqlx does nothing on SQLite.
        migrator.set_locking(false);
        migrator
    }
}

/// Whether one migration has been applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationState {
    /// Its set.
    pub set: &'static str,
    /// Its version; one that this program does not know has an empty name.
    pub version: i64,
    /// Its name.
    pub name: &'static str,
    /// Whether the database has it.
    pub is_applied: bool,
}

/// Applies everything that is missing, set after set, all or nothing. Safe to run from any number of processes at once.
///
/// # Errors
/// [`Error::Migrate`] naming the set; the database is then as before.
pub async fn migrate(db: &Db, sets: &[&MigrationSet]) -> Result<(), Error> {
    migrate_to(db, sets, i64::MAX).await
}

/// Applies what is missing up to `version` and undoes what is newer, all or nothing.
///
/// # Errors
/// [`Error::Irreversible`] when a step to undo has no way back, [`Error::Migrate`] naming the set that failed.
pub async fn migrate_to(db: &Db, sets: &[&MigrationSet], version: i64) -> Result<(), Error> {
    let mut tx = locked(db).await?;
    let sets = with_own_set(sets);
    for set in sets.iter().rev() {
        undo(&mut tx, set, version).await?;
    }
    for set in &sets {
        let migrator = set.migrator(db.engine());
        let run: Result<(), MigrateError> = match *tx_link(&mut tx) {
            #[cfg(feature = "postgres")]
            Inner::Postgres(ref mut link) => migrator.run_direct(Some(version), link.raw()?, false).await,
            #[cfg(feature = "sqlite")]
            Inner::Sqlite(ref mut link) => migrator.run_direct(Some(version), link.raw()?, false).await,
        };
        run.map_err(|error| failed(set, error))?;
    }
    tx.commit().await
}

/// Tells which migrations the database has, and which it would get. Waits for no migration that is running.
///
/// # Errors
/// As [`Db::begin_read`].
pub async fn migration_states(db: &Db, sets: &[&MigrationSet]) -> Result<Vec<MigrationState>, Error> {
    let mut tx = db.begin_read(Scope::Platform("migration states")).await?;
    let mut states = Vec::new();
    for set in with_own_set(sets) {
        let mut applied = applied(&mut tx, set).await?;
        for migration in set.migrations {
            let version = migration.version();
            let is_applied = applied.remove(&version);
            states.push(MigrationState { set: set.name, version, name: migration.name, is_applied });
        }
        let unknown = applied.into_iter();
        states.extend(unknown.map(|version| MigrationState {
            set: set.name,
            version,
            name: "",
            is_applied: true,
        }));
    }
    tx.rollback().await?;
    Ok(states)
}

/// Tells the same of a database that does not exist: everything is missing.
#[must_use]
pub fn migration_states_of_nothing(sets: &[&MigrationSet]) -> Vec<MigrationState> {
    let state = |set: &MigrationSet, migration: &Migration| {
        let (version, name) = (migration.version(), migration.name);
        MigrationState { set: set.name, version, name, is_applied: false }
    };
    let sets = with_own_set(sets);
    sets.iter().flat_map(|set| set.migrations.iter().map(|migration| state(set, migration))).collect()
}

impl Db {
    /// Whether there is something to connect to at `url`, without making it: `false` only for an SQLite file that does not
    /// exist, which [`connect`](Self::connect) would create.
    ///
    /// # Errors
    /// [`Error::Url`] for an address that SQLite does not understand.
    pub fn exists(url: &str) -> Result<bool, Error> {
        #[cfg(feature = "sqlite")]
        if url.starts_with("sqlite:") {
            return crate::sqlite::exists(url);
        }
        let _ = url;
        Ok(true)
    }

    /// Lets the role `role` work on the tables of `sets` without owning them: all four verbs, but on append-only tables
    /// only reading and adding, and on the tables that list the migrations only reading. Other tables of the schema are
    /// left alone. Does nothing on SQLite, which has no roles.
    ///
    /// # Errors
    /// [`Error::Forbidden`] when this connection may not grant, otherwise as [`begin`](Self::begin).
    pub async fn grant(&self, sets: &[&MigrationSet], role: &str) -> Result<(), Error> {
        if self.engine() == Engine::Sqlite {
            return Ok(());
        }
        let sets = with_own_set(sets);
        let ours: BTreeSet<&str> = sets.iter().flat_map(|set| set.tables()).collect();
        let listings: BTreeSet<String> = sets.iter().map(|set| set.table()).collect();
        let mut tx = locked(self).await?;
        // An owner that works on its own tables has every right already, and must be able to migrate.
        let is_owner = tx.q("SELECT current_user::text = $1").bind(role).scalar::<bool>().await?;
        let role = quoted(role);
        let mut statements = Vec::new();
        let tables: Vec<(String, String)> = tx
            .q("SELECT schemaname::text, tablename::text FROM pg_tables WHERE schemaname = current_schema()")
            .all()
            .await?;
        for (schema, table) in &tables {
            let name = format!("{}.{}", quoted(schema), quoted(table));
            if listings.contains(table) && !is_owner {
                statements.push(format!("REVOKE ALL ON {name} FROM {role}"));
                statements.push(format!("GRANT SELECT ON {name} TO {role}"));
            } else if ours.contains(table.as_str()) {
                statements.push(format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO {role}"));
            }
        }
        // Sequences that belong to a column, as those of `bigserial` do.
        let sequences: Vec<(String, String, String)> = tx
            .q("SELECT n.nspname::text, s.relname::text, t.relname::text FROM pg_class s \
                JOIN pg_namespace n ON n.oid = s.relnamespace \
                JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = s.oid AND d.deptype IN ('a', 'i') \
                JOIN pg_class t ON d.refclassid = 'pg_class'::regclass AND t.oid = d.refobjid \
                WHERE s.relkind = 'S' AND n.nspname = current_schema()")
            .all()
            .await?;
        for (schema, sequence, table) in &sequences {
            if ours.contains(table.as_str()) {
                let name = format!("{}.{}", quoted(schema), quoted(sequence));
                statements.push(format!("GRANT USAGE, SELECT ON SEQUENCE {name} TO {role}"));
            }
        }
        for table in sets.iter().flat_map(|set| set.append_only) {
            statements.push(format!("REVOKE UPDATE, DELETE, TRUNCATE ON {table} FROM {role}"));
        }
        for statement in statements {
            execute(&mut tx, statement).await?;
        }
        tx.commit().await
    }
}

/// A name of PostgreSQL as an identifier.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Row-level security rests on this crate's own set, so it always comes first.
fn with_own_set<'a>(sets: &[&'a MigrationSet]) -> Vec<&'a MigrationSet> {
    let mut all: Vec<&'a MigrationSet> = vec![&crate::MIGRATIONS];
    all.extend(sets.iter().copied().filter(|set| set.name != crate::MIGRATIONS.name));
    all
}

/// An arbitrary constant: "stylobat" in ASCII.
#[cfg(feature = "postgres")]
const MIGRATION_LOCK: i64 = 0x7374_796c_6f62_6174;

/// A transaction that no other migration runs beside: BEGIN IMMEDIATE on SQLite, an advisory lock on PostgreSQL.
async fn locked(db: &Db) -> Result<Tx, Error> {
    let mut tx = db.begin(Scope::Platform("migrate")).await?;
    tx.statement_timeout = std::time::Duration::from_secs(3_600);
    match *tx_link(&mut tx) {
        #[cfg(feature = "postgres")]
        Inner::Postgres(_) => {
            tx.q("SELECT set_config('statement_timeout', '0', true), set_config('lock_timeout', '0', true)")
                .run()
                .await?;
            tx.q("SELECT pg_advisory_xact_lock($1)").bind(MIGRATION_LOCK).run().await?;
        }
        #[cfg(feature = "sqlite")]
        Inner::Sqlite(ref mut link) => link.lift_limit(),
    }
    Ok(tx)
}

fn tx_link(tx: &mut Tx) -> &mut Inner {
    &mut tx.inner
}

async fn applied(tx: &mut Tx, set: &MigrationSet) -> Result<BTreeSet<i64>, Error> {
    let exists = tx
        .q(Sql::Per {
            pg: "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema() AND tablename = $1",
            lite: "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = $1",
        })
        .bind(set.table())
        .scalar::<i64>()
        .await?;
    if exists == 0 {
        return Ok(BTreeSet::new());
    }
    let table = set.table();
    let listed: Result<Vec<AppliedMigration>, MigrateError> = match *tx_link(tx) {
        #[cfg(feature = "postgres")]
        Inner::Postgres(ref mut link) => link.raw()?.list_applied_migrations(&table).await,
        #[cfg(feature = "sqlite")]
        Inner::Sqlite(ref mut link) => link.raw()?.list_applied_migrations(&table).await,
    };
    let listed = listed.map_err(|error| failed(set, error))?;
    Ok(listed.into_iter().map(|migration| migration.version).collect())
}

async fn undo(tx: &mut Tx, set: &MigrationSet, version: i64) -> Result<(), Error> {
    let applied = applied(tx, set).await?;
    let engine = tx.engine();
    let newer: Vec<&Migration> = set
        .migrations
        .iter()
        .rev()
        .filter(|migration| migration.version() > version && applied.contains(&migration.version()))
        .collect();
    for migration in &newer {
        if migration.scripts(engine).1.starts_with(IRREVERSIBLE) {
            return Err(Error::Irreversible { set: set.name, version: migration.version() });
        }
    }
    for migration in newer {
        execute(tx, migration.scripts(engine).1.to_owned())
            .await
            .map_err(|error| Error::Migrate { set: set.name.to_owned(), source: Box::new(error) })?;
        let table = set.table();
        execute(tx, format!("DELETE FROM {table} WHERE version = {}", migration.version())).await?;
    }
    Ok(())
}

/// Runs a script of ours: text from this program, never from input.
async fn execute(tx: &mut Tx, script: String) -> Result<(), Error> {
    match tx_link(tx) {
        #[cfg(feature = "postgres")]
        Inner::Postgres(link) => {
            sqlx::raw_sql(AssertSqlSafe(script)).execute(link.raw()?).await?;
        }
        #[cfg(feature = "sqlite")]
        Inner::Sqlite(link) => {
            sqlx::raw_sql(AssertSqlSafe(script)).execute(link.raw()?).await?;
        }
        #[cfg(not(any(feature = "postgres", feature = "sqlite")))]
        _ => {}
    }
    Ok(())
}

fn failed(set: &MigrationSet, error: MigrateError) -> Error {
    Error::Migrate { set: set.name.to_owned(), source: Box::new(error) }
}
