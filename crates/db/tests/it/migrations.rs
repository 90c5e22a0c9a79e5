use std::time::Duration;

use stylobate_db::{
    Db, DbOptions, Engine, Error, Migration, MigrationSet, Scope, migrate, migrate_to, migration_states,
};
use stylobate_testkit::{TestDb, both_engines};

use crate::NOTES;

static BROKEN: MigrationSet = MigrationSet {
    name: "broken",
    append_only: &[],
    migrations: &[Migration {
        name: "20260202000000_broken",
        postgres: ("CREATE TABLE half (id bigint); SELECT nonsense;", "-- irreversible"),
        sqlite: ("CREATE TABLE half (id integer); SELECT nonsense;", "-- irreversible"),
    }],
};

static ONE_WAY: MigrationSet = MigrationSet {
    name: "one_way",
    append_only: &[],
    migrations: &[Migration {
        name: "20260303000000_one_way",
        postgres: ("CREATE TABLE one_way (id bigint);", "-- irreversible: the rows cannot be made again"),
        sqlite: ("CREATE TABLE one_way (id integer);", "-- irreversible: the rows cannot be made again"),
    }],
};

static TICKETS: MigrationSet = MigrationSet {
    name: "tickets",
    append_only: &[],
    migrations: &[Migration {
        name: "20260404000000_tickets",
        postgres: (
            "CREATE TABLE IF NOT EXISTS tickets(id bigserial PRIMARY KEY, name text);
             CREATE UNLOGGED TABLE ticket_cache (id bigint);",
            "DROP TABLE tickets; DROP TABLE ticket_cache;",
        ),
        sqlite: ("CREATE TABLE tickets (id integer PRIMARY KEY, name text) STRICT;", "DROP TABLE tickets;"),
    }],
};

/// A handle that owns the tables on PostgreSQL as well.
pub(crate) async fn owner(db: &TestDb) -> Db {
    let url = match db.engine() {
        stylobate_db::Engine::Sqlite => db.url().to_owned(),
        stylobate_db::Engine::Postgres => {
            let server = std::env::var(stylobate_testkit::POSTGRES_URL).unwrap();
            let (base, _) = server.rsplit_once('/').unwrap();
            let (_, name) = db.url().rsplit_once('/').unwrap();
            format!("{base}/{name}")
        }
    };
    Db::connect(&url, DbOptions::default()).await.unwrap()
}

both_engines!(every_migration_can_be_undone_and_applied_again, &[&NOTES]);
async fn every_migration_can_be_undone_and_applied_again(db: TestDb) {
    let db = owner(&db).await;
    let applied = async || -> Vec<bool> {
        migration_states(&db, &[&NOTES]).await.unwrap().iter().map(|state| state.is_applied).collect()
    };
    migrate_to(&db, &[&NOTES], 0).await.unwrap();
    assert!(applied().await.iter().all(|is_applied| !is_applied));
    migrate(&db, &[&NOTES]).await.unwrap();
    migrate(&db, &[&NOTES]).await.unwrap();
    assert!(applied().await.iter().all(|is_applied| *is_applied));
}

// A29
both_engines!(a_failing_migration_changes_nothing, &[&NOTES]);
async fn a_failing_migration_changes_nothing(db: TestDb) {
    let db = owner(&db).await;
    let result = migrate(&db, &[&BROKEN]).await;
    assert!(matches!(&result, Err(Error::Migrate { set, .. }) if set == "broken"), "{result:?}");
    let half = db.read().await.unwrap().q("SELECT count(*) FROM half").scalar::<i64>().await;
    assert!(half.is_err(), "the table of the failed migration exists");
}

both_engines!(an_irreversible_migration_is_not_undone, &[&NOTES, &ONE_WAY]);
async fn an_irreversible_migration_is_not_undone(db: TestDb) {
    let db = owner(&db).await;
    let result = migrate_to(&db, &[&NOTES, &ONE_WAY], 0).await;
    assert!(matches!(result, Err(Error::Irreversible { set: "one_way", .. })), "{result:?}");
    assert!(migration_states(&db, &[&NOTES]).await.unwrap().iter().all(|state| state.is_applied));
}

// A29
both_engines!(processes_may_migrate_at_once, &[]);
async fn processes_may_migrate_at_once(db: TestDb) {
    let owner = owner(&db).await;
    let runs: Vec<_> = (0..6)
        .map(|_| {
            let db = owner.clone();
            tokio::spawn(async move { migrate(&db, &[&NOTES]).await })
        })
        .collect();
    for run in runs {
        run.await.unwrap().unwrap();
    }
}

both_engines!(migrations_of_a_newer_program_are_tolerated, &[&NOTES, &ONE_WAY]);
async fn migrations_of_a_newer_program_are_tolerated(db: TestDb) {
    static OLDER: MigrationSet = MigrationSet { name: "one_way", append_only: &[], migrations: &[] };
    let db = owner(&db).await;
    migrate(&db, &[&NOTES, &OLDER]).await.unwrap();
    let states = migration_states(&db, &[&OLDER]).await.unwrap();
    assert!(states.iter().any(|state| state.set == "one_way" && state.name.is_empty() && state.is_applied));
}

both_engines!(migrations_are_listed_while_somebody_migrates, &[&NOTES]);
async fn migrations_are_listed_while_somebody_migrates(db: TestDb) {
    let mut migrating = db.begin(Scope::Platform("test")).await.unwrap();
    if db.engine() == Engine::Postgres {
        // The lock of all migrations.
        migrating.q("SELECT pg_advisory_xact_lock($1)").bind(0x7374_796c_6f62_6174_i64).run().await.unwrap();
    }
    let states = tokio::time::timeout(Duration::from_secs(4), migration_states(&db, &[&NOTES])).await;
    assert!(states.expect("listing waits for the lock").unwrap().iter().all(|state| state.is_applied));
    migrating.rollback().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_reaches_the_tables_of_the_sets_alone() {
    let db = TestDb::postgres(&[&NOTES, &TICKETS]).await;
    let owner = owner(&db).await;
    let may = async |db: &Db, statement: &'static str| -> bool {
        let done = db.transact(Scope::Platform("test"), async |tx| tx.q(statement).run().await).await;
        assert!(matches!(done, Ok(_) | Err(Error::Forbidden)), "{statement}: {done:?}");
        done.is_ok()
    };
    assert!(may(&owner, "CREATE TABLE strangers (id bigint)").await);
    assert!(may(&owner, "GRANT ALL ON notes_migrations TO stylobate_test_app").await);
    owner.grant(&[&NOTES, &TICKETS], "stylobate_test_app").await.unwrap();
    for statement in [
        "DELETE FROM notes",
        "SELECT count(*) FROM db_migrations",
        "SELECT count(*) FROM notes_migrations",
        "INSERT INTO tickets (name) VALUES ('a')",
        "INSERT INTO ticket_cache (id) VALUES (1)",
        "INSERT INTO note_history (id) VALUES (1)",
    ] {
        assert!(may(&db, statement).await, "{statement}");
    }
    for statement in [
        "SELECT count(*) FROM strangers",
        "INSERT INTO strangers (id) VALUES (1)",
        "DELETE FROM db_migrations",
        "DELETE FROM notes_migrations",
        "UPDATE tickets_migrations SET version = 1",
        "DELETE FROM note_history",
    ] {
        assert!(!may(&db, statement).await, "{statement}");
    }
}
