use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use stylobate_db::{Conn, Engine, Error, Tx};
use uuid::Uuid;

use crate::Types;

/// Writes down that `name` is to hear `types` from now on, beside those that it hears already.
pub(crate) async fn register(
    tx: &mut Tx,
    name: &str,
    types: &Types,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    tx.q("INSERT INTO event_subscribers (name, lease_beat, created_at) VALUES ($1, 0, $2) ON CONFLICT (name) DO NOTHING")
        .bind(name.to_owned())
        .bind(now)
        .run()
        .await?;
    let names: Vec<String> = match types {
        Types::All => vec!["*".to_owned()],
        Types::Named(names) => names.clone(),
    };
    for kind in names {
        tx.q("INSERT INTO event_subscriptions (subscriber, type, asked_at) VALUES ($1, $2, $3) \
              ON CONFLICT (type, subscriber) DO UPDATE SET asked_at = excluded.asked_at")
            .bind(name.to_owned())
            .bind(kind)
            .bind(now)
            .run()
            .await?;
    }
    Ok(())
}

/// Removes the subscriptions that no program has asked for since `before`, of subscribers of which others were asked for later.
pub(crate) async fn forget_types(tx: &mut Tx, name: &str, before: DateTime<Utc>) -> Result<u64, Error> {
    tx.q("DELETE FROM event_subscriptions WHERE subscriber = $1 AND asked_at < $2")
        .bind(name.to_owned())
        .bind(before)
        .run()
        .await
}

/// When a program last asked for any of its types.
pub(crate) async fn last_asked(conn: &mut Conn, name: &str) -> Result<Option<DateTime<Utc>>, Error> {
    conn.q("SELECT asked_at FROM event_subscriptions WHERE subscriber = $1 ORDER BY asked_at DESC LIMIT 1")
        .bind(name.to_owned())
        .scalar_opt()
        .await
}

/// Removes a subscriber, unless there has been a sign of life since `seen`. What it was owed goes step by step: see [`forget`].
pub(crate) async fn remove(tx: &mut Tx, name: &str, seen: Pulse) -> Result<bool, Error> {
    let removed = tx
        .q("DELETE FROM event_subscribers WHERE name = $1 AND lease_beat = $2")
        .bind(name.to_owned())
        .bind(seen.lease_beat)
        .run()
        .await?;
    if removed > 0 {
        tx.q("DELETE FROM event_subscriptions WHERE subscriber = $1").bind(name.to_owned()).run().await?;
    }
    Ok(removed > 0)
}

/// Removes up to `most` rows of each kind of what was owed to a subscriber that there is no longer, and nothing of one that has
/// come back. Returns how many.
pub(crate) async fn forget(tx: &mut Tx, name: &str, most: i64) -> Result<u64, Error> {
    // Who comes back in a transaction beside this one waits for it, or has come before: its row is seen then.
    let is_back = match tx.engine() {
        Engine::Postgres => {
            tx.q("LOCK TABLE event_subscribers IN SHARE ROW EXCLUSIVE MODE").run().await?;
            is_there(tx, name).await?
        }
        // One writer at a time.
        Engine::Sqlite => is_there(tx, name).await?,
    };
    if is_back {
        return Ok(0);
    }
    let mut gone = 0;
    for statement in [
        "DELETE FROM event_deliveries WHERE subscriber = $1 AND ordinal IN \
         (SELECT ordinal FROM event_deliveries WHERE subscriber = $1 ORDER BY ordinal LIMIT 0 + $2)",
        "DELETE FROM event_held WHERE subscriber = $1 AND (aggregate_id, ordinal) IN \
         (SELECT aggregate_id, ordinal FROM event_held WHERE subscriber = $1 ORDER BY aggregate_id, ordinal LIMIT 0 + $2)",
        "DELETE FROM event_holds WHERE subscriber = $1 AND aggregate_id IN \
         (SELECT aggregate_id FROM event_holds WHERE subscriber = $1 ORDER BY aggregate_id LIMIT 0 + $2)",
        "DELETE FROM event_dead_letters WHERE subscriber = $1 AND ordinal IN \
         (SELECT ordinal FROM event_dead_letters WHERE subscriber = $1 ORDER BY ordinal LIMIT 0 + $2)",
    ] {
        gone += tx.q(statement).bind(name.to_owned()).bind(most).run().await?;
    }
    Ok(gone)
}

async fn is_there(conn: &mut Conn, name: &str) -> Result<bool, Error> {
    let found: Option<i64> = conn
        .q("SELECT CAST(1 AS bigint) FROM event_subscribers WHERE name = $1")
        .bind(name.to_owned())
        .scalar_opt()
        .await?;
    Ok(found.is_some())
}

macro_rules! stray_names {
    ($table:literal) => {
        concat!(
            "WITH RECURSIVE names (name) AS (SELECT min(subscriber) FROM ", $table,
            " UNION ALL SELECT (SELECT min(d.subscriber) FROM ", $table,
            " AS d WHERE d.subscriber > names.name) FROM names WHERE names.name IS NOT NULL)
             SELECT name FROM names WHERE name IS NOT NULL AND name NOT IN (SELECT s.name FROM event_subscribers AS s)"
        )
    };
}

/// The names under which something is owed though there is no such subscriber: a transaction that began before it was removed
/// may have committed after.
pub(crate) async fn strays(conn: &mut Conn) -> Result<Vec<String>, Error> {
    let mut found = BTreeSet::new();
    // From one name to the next, so that the number of rows does not matter.
    for statement in
        [stray_names!("event_deliveries"), stray_names!("event_held"), stray_names!("event_dead_letters")]
    {
        let rows: Vec<(String,)> = conn.q(statement).all().await?;
        found.extend(rows.into_iter().map(|(name,)| name));
    }
    Ok(found.into_iter().collect())
}

pub(crate) async fn names(conn: &mut Conn) -> Result<Vec<String>, Error> {
    let rows: Vec<(String,)> = conn.q("SELECT name FROM event_subscribers ORDER BY name").all().await?;
    Ok(rows.into_iter().map(|(name,)| name).collect())
}

/// Who works for a subscriber, and the last sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct Pulse {
    pub(crate) lease_token: Option<Uuid>,
    pub(crate) lease_beat: i64,
}

pub(crate) async fn pulse(conn: &mut Conn, name: &str) -> Result<Option<Pulse>, Error> {
    conn.q("SELECT lease_token, lease_beat FROM event_subscribers WHERE name = $1")
        .bind(name.to_owned())
        .opt()
        .await
}

/// Takes the lease from whoever `seen` says has it, unless there has been a sign of life since.
pub(crate) async fn take(tx: &mut Tx, name: &str, seen: Pulse, token: Uuid) -> Result<bool, Error> {
    let taken = tx
        .q("UPDATE event_subscribers SET lease_token = $2, lease_beat = lease_beat + 1 \
            WHERE name = $1 AND lease_beat = $3 AND (lease_token = $4 OR (lease_token IS NULL AND $5))")
        .bind(name.to_owned())
        .bind(token)
        .bind(seen.lease_beat)
        .bind(seen.lease_token.unwrap_or_default())
        .bind(seen.lease_token.is_none())
        .run()
        .await?;
    Ok(taken > 0)
}

/// Says that the relay with `token` lives, and when it last delivered something. Returns whether it still has the lease.
pub(crate) async fn beat(
    tx: &mut Tx,
    name: &str,
    token: Uuid,
    delivered_at: Option<DateTime<Utc>>,
) -> Result<bool, Error> {
    let beaten = tx
        .q("UPDATE event_subscribers SET lease_beat = lease_beat + 1, last_delivered_at = COALESCE($3, last_delivered_at) \
            WHERE name = $1 AND lease_token = $2")
        .bind(name.to_owned())
        .bind(token)
        .bind(delivered_at)
        .run()
        .await?;
    Ok(beaten > 0)
}

/// Gives the lease back.
pub(crate) async fn release(
    tx: &mut Tx,
    name: &str,
    token: Uuid,
    delivered_at: Option<DateTime<Utc>>,
) -> Result<(), Error> {
    tx.q("UPDATE event_subscribers SET lease_token = NULL, lease_beat = lease_beat + 1, \
          last_delivered_at = COALESCE($3, last_delivered_at) WHERE name = $1 AND lease_token = $2")
        .bind(name.to_owned())
        .bind(token)
        .bind(delivered_at)
        .run()
        .await?;
    Ok(())
}
