//! What becomes of deliveries.
//!
//! On PostgreSQL lists of ordinals are compared as arrays: a join with them may be planned as a scan of the whole table.
//!
//! Two relays may have the same delivery in hand. So each of these changes only what is still owed, and whoever changes which
//! rows wait behind a hold has the hold's row first.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use stylobate_db::{Engine, Error, Sql, Tx};

use crate::sink::Place;

/// What came of a delivery, as it is written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Ending {
    /// It has arrived, or there is nothing left of it.
    Done,
    /// It failed and waits.
    Held { attempts: i64, due_at: DateTime<Utc>, error: String },
    /// It is given up.
    Dead { attempts: i64, error: String },
    /// The sink has removed the delivery itself.
    Removed,
}

/// Numbers as a document.
pub(crate) fn document(numbers: &[i64]) -> String {
    serde_json::to_string(numbers).unwrap_or_default()
}

/// Writes the ends of deliveries to `subscriber`.
pub(crate) async fn settle(
    tx: &mut Tx,
    subscriber: &str,
    ends: &[(Place, Ending)],
    now: DateTime<Utc>,
) -> Result<(), Error> {
    // Of those for which anything changes about what waits. Many ends are none of them.
    let waiting: BTreeSet<i64> = ends
        .iter()
        .filter(|(place, end)| place.is_held || !matches!(end, Ending::Done | Ending::Removed))
        .map(|(place, _)| place.aggregate)
        .collect();
    if !waiting.is_empty() {
        lock(tx, subscriber, &waiting.into_iter().collect::<Vec<_>>()).await?;
    }
    let done = |is_held| {
        ends.iter()
            .filter(move |(place, end)| place.is_held == is_held && *end == Ending::Done)
            .map(|(place, _)| place)
    };
    let ordinals: Vec<i64> = done(false).map(|place| place.ordinal).collect();
    if !ordinals.is_empty() {
        tx.q(DONE).bind(subscriber.to_owned()).bind(document(&ordinals)).run().await?;
    }
    let ordinals: Vec<i64> = done(true).map(|place| place.ordinal).collect();
    if !ordinals.is_empty() {
        let aggregates: BTreeSet<i64> = done(true).map(|place| place.aggregate).collect();
        let aggregates = document(&aggregates.into_iter().collect::<Vec<_>>());
        tx.q(DONE_HELD).bind(subscriber.to_owned()).bind(aggregates).bind(document(&ordinals)).run().await?;
    }
    for (place, end) in ends {
        if let Ending::Dead { attempts, error } = end {
            bury(tx, subscriber, *place, *attempts, error, now).await?;
        }
    }
    // Before others of their aggregates are held: a hold stays with what is earlier, as long as that is owed.
    let touched: BTreeSet<i64> = ends
        .iter()
        .filter(|(place, end)| place.is_held && !matches!(end, Ending::Held { .. }))
        .map(|(place, _)| place.aggregate)
        .collect();
    if !touched.is_empty() {
        advance(tx, subscriber, &touched.into_iter().collect::<Vec<_>>(), now).await?;
    }
    let failed: Vec<&(Place, Ending)> =
        ends.iter().filter(|(_, end)| matches!(end, Ending::Held { .. })).collect();
    if !failed.is_empty() {
        hold(tx, subscriber, &failed).await?;
    }
    Ok(())
}

pub(crate) const DONE: Sql = Sql::Per {
    pg: "DELETE FROM event_deliveries WHERE subscriber = $1 AND ordinal = ANY (ARRAY(
                 SELECT CAST(value AS bigint) FROM json_array_elements_text(CAST($2 AS json))))",
    lite: "DELETE FROM event_deliveries WHERE subscriber = $1 AND ordinal IN (SELECT value FROM json_each($2))",
};

/// An ordinal belongs to one aggregate, so no pairs need to be compared.
const DONE_HELD: Sql = Sql::Per {
    pg: "DELETE FROM event_held WHERE subscriber = $1
         AND aggregate_id = ANY (ARRAY(SELECT CAST(value AS bigint) FROM json_array_elements_text(CAST($2 AS json))))
         AND ordinal = ANY (ARRAY(SELECT CAST(value AS bigint) FROM json_array_elements_text(CAST($3 AS json))))",
    lite: "DELETE FROM event_held WHERE subscriber = $1 AND aggregate_id IN (SELECT value FROM json_each($2))
           AND ordinal IN (SELECT value FROM json_each($3))",
};

/// Removes one delivery wherever it is. Returns whether it was still owed.
pub(crate) async fn remove(tx: &mut Tx, subscriber: &str, place: Place) -> Result<bool, Error> {
    let removed = if place.is_held {
        tx.q("DELETE FROM event_held WHERE subscriber = $1 AND ordinal = $2 AND aggregate_id = $3")
            .bind(subscriber.to_owned())
            .bind(place.ordinal)
            .bind(place.aggregate)
            .run()
            .await?
    } else {
        tx.q("DELETE FROM event_deliveries WHERE subscriber = $1 AND ordinal = $2")
            .bind(subscriber.to_owned())
            .bind(place.ordinal)
            .run()
            .await?
    };
    Ok(removed > 0)
}

/// Gives a delivery up, if it is still owed.
async fn bury(
    tx: &mut Tx,
    subscriber: &str,
    place: Place,
    attempts: i64,
    error: &str,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let other = Place { is_held: !place.is_held, ..place };
    if !remove(tx, subscriber, place).await? && !remove(tx, subscriber, other).await? {
        return Ok(());
    }
    tx.q("INSERT INTO event_dead_letters (subscriber, ordinal, tenant_id, id, attempts, error, parked_at)
          SELECT $1, e.ordinal, NULLIF(e.lane, $6), e.id, $3, $4, $5 FROM events AS e WHERE e.ordinal = $2
          ON CONFLICT (subscriber, ordinal) DO UPDATE SET attempts = excluded.attempts, error = excluded.error,
              parked_at = excluded.parked_at")
        .bind(subscriber.to_owned())
        .bind(place.ordinal)
        .bind(attempts)
        .bind(error.to_owned())
        .bind(now)
        .bind(uuid::Uuid::nil())
        .run()
        .await?;
    Ok(())
}

/// Moves ready deliveries to those that wait, by one statement where others may remove them at the same time.
async fn move_to_held(tx: &mut Tx, subscriber: &str, ordinals: &[i64]) -> Result<(), Error> {
    let ordinals = document(ordinals);
    if tx.engine() == Engine::Postgres {
        tx.q("WITH gone AS (
                  DELETE FROM event_deliveries WHERE subscriber = $1 AND ordinal = ANY (ARRAY(
                 SELECT CAST(value AS bigint) FROM json_array_elements_text(CAST($2 AS json))))
                  RETURNING subscriber, aggregate_id, ordinal
              )
              INSERT INTO event_held (subscriber, aggregate_id, ordinal) SELECT subscriber, aggregate_id, ordinal FROM gone
              ON CONFLICT (subscriber, aggregate_id, ordinal) DO NOTHING")
            .bind(subscriber.to_owned())
            .bind(ordinals)
            .run()
            .await?;
        return Ok(());
    }
    tx.q("INSERT INTO event_held (subscriber, aggregate_id, ordinal)
          SELECT subscriber, aggregate_id, ordinal FROM event_deliveries
          WHERE subscriber = $1 AND ordinal IN (SELECT value FROM json_each($2))
          ON CONFLICT (subscriber, aggregate_id, ordinal) DO NOTHING")
        .bind(subscriber.to_owned())
        .bind(ordinals.clone())
        .run()
        .await?;
    tx.q(DONE).bind(subscriber.to_owned()).bind(ordinals).run().await?;
    Ok(())
}

/// Has aggregates wait for an event of theirs that failed. A hold for an earlier one stands.
async fn hold(tx: &mut Tx, subscriber: &str, failed: &[&(Place, Ending)]) -> Result<(), Error> {
    let ready: Vec<i64> =
        failed.iter().filter(|(place, _)| !place.is_held).map(|(place, _)| place.ordinal).collect();
    if !ready.is_empty() {
        move_to_held(tx, subscriber, &ready).await?;
    }
    for some in failed.chunks(200) {
        let mut sql = tx
            .builder("INSERT INTO event_holds (subscriber, aggregate_id, ordinal, attempts, due_at, error) ");
        sql.push("SELECT h.subscriber, h.aggregate_id, h.ordinal, f.attempts, f.due_at, f.error FROM event_held AS h JOIN (");
        for (n, (place, end)) in some.iter().enumerate() {
            let Ending::Held { attempts, due_at, error } = end else { continue };
            sql.push(if n == 0 { "SELECT " } else { " UNION ALL SELECT " });
            sql.push_sql(Sql::Per { pg: "CAST(", lite: "" }).value(place.aggregate);
            sql.push_sql(Sql::Per { pg: " AS bigint)", lite: "" }).push(" AS aggregate_id, ");
            sql.push_sql(Sql::Per { pg: "CAST(", lite: "" }).value(place.ordinal);
            sql.push_sql(Sql::Per { pg: " AS bigint)", lite: "" }).push(" AS ordinal, ");
            sql.push_sql(Sql::Per { pg: "CAST(", lite: "" }).value(*attempts);
            sql.push_sql(Sql::Per { pg: " AS bigint)", lite: "" }).push(" AS attempts, ");
            sql.push_sql(Sql::Per { pg: "CAST(", lite: "" }).value(*due_at);
            sql.push_sql(Sql::Per { pg: " AS timestamptz)", lite: "" }).push(" AS due_at, ");
            sql.push_sql(Sql::Per { pg: "CAST(", lite: "" }).value(error.clone());
            sql.push_sql(Sql::Per { pg: " AS text)", lite: "" }).push(" AS error");
        }
        sql.push(") AS f ON f.aggregate_id = h.aggregate_id AND f.ordinal = h.ordinal WHERE h.subscriber = ");
        sql.value(subscriber.to_owned());
        sql.push(
            " ON CONFLICT (subscriber, aggregate_id) DO UPDATE SET ordinal = excluded.ordinal, \
             attempts = excluded.attempts, due_at = excluded.due_at, error = excluded.error \
             WHERE event_holds.ordinal >= excluded.ordinal",
        );
        tx.q_build(sql).run().await?;
    }
    Ok(())
}

/// The holds of `aggregates`, so that nobody else changes what waits behind them until the transaction ends.
async fn lock(tx: &mut Tx, subscriber: &str, aggregates: &[i64]) -> Result<Vec<i64>, Error> {
    let rows: Vec<(i64,)> = tx
        .q(Sql::Per {
            pg: "SELECT aggregate_id FROM event_holds WHERE subscriber = $1 AND aggregate_id = ANY (ARRAY(
                 SELECT CAST(value AS bigint) FROM json_array_elements_text(CAST($2 AS json))))
                 ORDER BY aggregate_id FOR UPDATE",
            lite: "SELECT aggregate_id FROM event_holds WHERE subscriber = $1 AND aggregate_id IN
                       (SELECT value FROM json_each($2))",
        })
        .bind(subscriber.to_owned())
        .bind(document(aggregates))
        .all()
        .await?;
    Ok(rows.into_iter().map(|(aggregate,)| aggregate).collect())
}

/// Puts ready deliveries that are behind a hold with those that wait, so that no relay comes across them again.
pub(crate) async fn park(tx: &mut Tx, subscriber: &str, behind: &[Place]) -> Result<(), Error> {
    let aggregates: BTreeSet<i64> = behind.iter().map(|place| place.aggregate).collect();
    let held = lock(tx, subscriber, &aggregates.into_iter().collect::<Vec<_>>()).await?;
    let ordinals: Vec<i64> =
        behind.iter().filter(|place| held.contains(&place.aggregate)).map(|place| place.ordinal).collect();
    if ordinals.is_empty() {
        return Ok(());
    }
    move_to_held(tx, subscriber, &ordinals).await
}

/// Has holds whose head is gone wait for the next one, which may be tried at once, and removes those behind which nothing is left.
pub(crate) async fn advance(
    tx: &mut Tx,
    subscriber: &str,
    aggregates: &[i64],
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let held = document(&lock(tx, subscriber, aggregates).await?);
    tx.q(Sql::Per {
        pg: "DELETE FROM event_holds WHERE subscriber = $1 AND aggregate_id = ANY (ARRAY(
                 SELECT CAST(value AS bigint) FROM json_array_elements_text(CAST($2 AS json))))
             AND NOT EXISTS (SELECT 1 FROM event_held AS h WHERE h.subscriber = event_holds.subscriber
                 AND h.aggregate_id = event_holds.aggregate_id)",
        lite: "DELETE FROM event_holds WHERE subscriber = $1 AND aggregate_id IN (SELECT value FROM json_each($2))
               AND NOT EXISTS (SELECT 1 FROM event_held AS h WHERE h.subscriber = event_holds.subscriber
                   AND h.aggregate_id = event_holds.aggregate_id)",
    })
    .bind(subscriber.to_owned())
    .bind(held.clone())
    .run()
    .await?;
    tx.q(Sql::Per {
        pg: "UPDATE event_holds SET attempts = 0, due_at = $3, ordinal = (SELECT min(h.ordinal) FROM event_held AS h
                 WHERE h.subscriber = event_holds.subscriber AND h.aggregate_id = event_holds.aggregate_id)
             WHERE subscriber = $1 AND aggregate_id = ANY (ARRAY(
                 SELECT CAST(value AS bigint) FROM json_array_elements_text(CAST($2 AS json))))
             AND NOT EXISTS (SELECT 1 FROM event_held AS h WHERE h.subscriber = event_holds.subscriber
                 AND h.aggregate_id = event_holds.aggregate_id AND h.ordinal = event_holds.ordinal)",
        lite: "UPDATE event_holds SET attempts = 0, due_at = $3, ordinal = (SELECT min(h.ordinal) FROM event_held AS h
                   WHERE h.subscriber = event_holds.subscriber AND h.aggregate_id = event_holds.aggregate_id)
               WHERE subscriber = $1 AND aggregate_id IN (SELECT value FROM json_each($2))
               AND NOT EXISTS (SELECT 1 FROM event_held AS h WHERE h.subscriber = event_holds.subscriber
                   AND h.aggregate_id = event_holds.aggregate_id AND h.ordinal = event_holds.ordinal)",
    })
    .bind(subscriber.to_owned())
    .bind(held)
    .bind(now)
    .run()
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use stylobate_db::{Db, Scope};
    use stylobate_testkit::TestDb;

    use super::*;
    use crate::MIGRATIONS;

    const SCOPE: Scope = Scope::Platform("tests");
    const READY: Place = Place { ordinal: 2, aggregate: 7, is_held: false };

    /// Aggregate 7 waits for event 1; event 2 of it is ready, as another relay has seen it.
    async fn fill(db: &Db) {
        let fill = async |tx: &mut Tx| {
            for statement in [
                "INSERT INTO event_holds (subscriber, aggregate_id, ordinal, attempts, due_at, error) VALUES ('all', 7, 1, 1, $1, '')",
                "INSERT INTO event_held (subscriber, aggregate_id, ordinal) SELECT 'all', 7, 1 WHERE $1 = $1",
                "INSERT INTO event_deliveries (subscriber, ordinal, aggregate_id) SELECT 'all', 2, 7 WHERE $1 = $1",
            ] {
                tx.q(statement).bind(DateTime::<Utc>::UNIX_EPOCH).run().await?;
            }
            Ok::<_, Error>(())
        };
        db.transact(SCOPE, fill).await.unwrap();
    }

    /// SQLite has one writer at a time.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn whoever_changes_what_waits_has_the_hold_first() {
        let db = TestDb::postgres(&[&MIGRATIONS]).await;
        fill(&db).await;
        let mut first = db.begin(SCOPE).await.unwrap();
        assert_eq!(lock(&mut first, "all", &[7]).await.unwrap(), [7]);
        for end in [
            Ending::Held { attempts: 1, due_at: DateTime::UNIX_EPOCH, error: String::new() },
            Ending::Dead { attempts: 1, error: String::new() },
        ] {
            let mut second = db.begin(SCOPE).await.unwrap();
            let ends = [(READY, end)];
            let settling = settle(&mut second, "all", &ends, DateTime::UNIX_EPOCH);
            // It waits for the hold. However long it had: nothing of what it changes is locked by then.
            assert!(tokio::time::timeout(Duration::from_millis(300), settling).await.is_err());
            let mut third = db.begin(SCOPE).await.unwrap();
            let skipping =
                "SELECT ordinal FROM event_deliveries WHERE subscriber = 'all' FOR UPDATE SKIP LOCKED";
            let free: Vec<(i64,)> = third.q(skipping).all().await.unwrap();
            assert_eq!(free, [(2,)]);
            third.rollback().await.unwrap();
            drop(second);
        }
        // Who has it goes on without the two waiting for each other.
        park(&mut first, "all", &[READY]).await.unwrap();
        first.commit().await.unwrap();
    }
}
