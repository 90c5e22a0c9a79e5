use std::time::{Duration, Instant};

use stylobate_db::{Db, DbOptions, Error, Scope};
use stylobate_testkit::{TestDb, both_engines};

use crate::{NOTES, migrations::owner};

/// Waits, at most five seconds, until `n` connections are back in the pool.
async fn idle(db: &Db, n: u32) {
    let end = Instant::now() + Duration::from_secs(5);
    while db.pool_stats().idle < n {
        assert!(Instant::now() < end, "{:?}", db.pool_stats());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

both_engines!(reads_work_at_once_after_the_server_dropped_every_connection, &[&NOTES]);
async fn reads_work_at_once_after_the_server_dropped_every_connection(db: TestDb) {
    const ONE: &str = "SELECT value FROM counters WHERE id = 1";
    let mut readers = Vec::new();
    for _ in 0..8 {
        readers.push(db.read().await.unwrap());
    }
    drop(readers);
    idle(&db, 8).await;
    if db.engine() == stylobate_db::Engine::Postgres {
        let killed: Vec<(bool,)> = owner(&db)
            .await
            .read()
            .await
            .unwrap()
            .q("SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                WHERE datname = current_database() AND usename = 'stylobate_test_app'")
            .all()
            .await
            .unwrap();
        assert!(killed.len() >= 8);
        // The pool asks only connections that have been idle for longer than a second.
        tokio::time::sleep(Duration::from_millis(1_050)).await;
    }
    let mut readers = Vec::new();
    for _ in 0..8 {
        let mut reader = db.read().await.unwrap();
        assert_eq!(reader.q(ONE).scalar::<i64>().await.unwrap(), 0);
        readers.push(reader);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deadline_of_a_dropped_transaction_does_not_stop_later_reads() {
    let place = TestDb::sqlite(&[]).await;
    let timeout = Duration::from_millis(4);
    let options = DbOptions { connections_max: 1, statement_timeout: timeout, ..DbOptions::default() };
    let db = Db::connect(place.url(), options).await.unwrap();
    let count = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000) SELECT count(*) FROM n";
    for is_cancelled in [false, true] {
        let mut tx = db.begin_read(Scope::Platform("test")).await.unwrap();
        if is_cancelled {
            let endless =
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
            let cancelled = tokio::time::timeout(timeout, tx.q(endless).scalar::<i64>()).await;
            assert!(matches!(cancelled, Err(_) | Ok(Err(Error::Timeout))), "{cancelled:?}");
        }
        drop(tx);
        let end = Instant::now() + timeout * 3;
        while Instant::now() <= end {
            tokio::time::sleep(timeout).await;
        }
        let counted = db.read().await.unwrap().q(count).scalar::<i64>().await;
        assert_eq!(counted.unwrap(), 200_000);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_may_read_the_files_of_a_new_database() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new.db");
    let db = Db::connect(&format!("sqlite://{}", path.display()), DbOptions::default()).await.unwrap();
    db.transact(Scope::Platform("test"), async |tx| tx.q("CREATE TABLE t (id integer) STRICT").run().await)
        .await
        .unwrap();
    for name in ["new.db", "new.db-wal", "new.db-shm"] {
        let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

/// What only connecting can meet is an outage: nobody's statement is wrong.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_not_log_in_means_that_the_database_is_unavailable() {
    let place = TestDb::postgres(&[]).await;
    let (scheme, rest) = place.url().split_once("://").unwrap();
    let address = rest.rsplit_once('@').unwrap().1;
    for credentials in ["nobody_of_this_name:secret", "stylobate_test_app:another-password"] {
        let refused = Db::connect(&format!("{scheme}://{credentials}@{address}"), DbOptions::default()).await;
        let error = match refused {
            Err(error) => error,
            Ok(db) => db.begin_read(Scope::Platform("test")).await.err().unwrap(),
        };
        assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    }
    let gone = Db::connect(&format!("{}_gone", place.url()), DbOptions::default()).await;
    let error = match gone {
        Err(error) => error,
        Ok(db) => db.begin_read(Scope::Platform("test")).await.err().unwrap(),
    };
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
}
