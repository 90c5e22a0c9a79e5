use std::collections::HashSet;

use chrono::{DateTime, Utc};
use stylobate_core::MessageId;
use stylobate_db::{Conn, Engine, Error, Tx};
use uuid::Uuid;

/// A message to be kept until it is delivered.
#[derive(Debug, Clone)]
pub(crate) struct NewMessage {
    pub(crate) id: MessageId,
    pub(crate) lane: Uuid,
    pub(crate) kind: String,
    pub(crate) topic: String,
    pub(crate) person: Option<Uuid>,
    pub(crate) email_sealed: Option<Vec<u8>>,
    pub(crate) digest: Option<Vec<u8>>,
    pub(crate) values_sealed: Vec<u8>,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) is_planned: bool,
    pub(crate) now: DateTime<Utc>,
    pub(crate) expires_at: Option<DateTime<Utc>>,
}

/// Keeps messages: at least one. Returns those of whose kind there was none with their key already.
pub(crate) async fn insert(tx: &mut Tx, new: Vec<NewMessage>) -> Result<HashSet<Uuid>, Error> {
    let mut sql = tx.builder(
        "INSERT INTO notify_messages (id, lane, kind, topic, recipient_person, recipient_email_sealed, digest, locale, values_sealed, \
         idempotency_key, state, due_at, created_at, expires_at, finished_at) VALUES ",
    );
    for (n, one) in new.into_iter().enumerate() {
        let state = if one.is_planned { "planned" } else { "accepted" };
        sql.push(if n == 0 { "(" } else { ", (" }).value(one.id.as_uuid()).push(", ").value(one.lane);
        sql.push(", ").value(one.kind).push(", ").value(one.topic).push(", ").value(one.person);
        sql.push(", ").value(one.email_sealed).push(", ").value(one.digest);
        sql.push(", NULL, ").value(one.values_sealed).push(", ").value(one.idempotency_key);
        sql.push(", ").value(state).push(", ").value(one.now).push(", ").value(one.now);
        sql.push(", ").value(one.expires_at).push(", NULL)");
    }
    sql.push(
        " ON CONFLICT (lane, kind, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING RETURNING id",
    );
    let rows: Vec<(Uuid,)> = tx.q_build(sql).all().await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// A message that waits to be planned.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct Waiting {
    pub(crate) id: Uuid,
    pub(crate) lane: Uuid,
    pub(crate) kind: String,
    pub(crate) topic: String,
    pub(crate) recipient_person: Option<Uuid>,
    pub(crate) recipient_email_sealed: Option<Vec<u8>>,
    pub(crate) digest: Option<Vec<u8>>,
    pub(crate) values_sealed: Option<Vec<u8>>,
    pub(crate) due_at: DateTime<Utc>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) expires_at: Option<DateTime<Utc>>,
}

/// Those of `ids` that wait to be planned.
pub(crate) async fn waiting(conn: &mut Conn, ids: &[MessageId]) -> Result<Vec<Waiting>, Error> {
    let mut sql = conn.builder(
        "SELECT id, lane, kind, topic, recipient_person, recipient_email_sealed, digest, values_sealed, due_at, created_at, \
         expires_at FROM notify_messages WHERE state || '' = 'accepted' AND id IN ",
    );
    sql.list(ids.iter().map(|id| id.as_uuid()));
    conn.q_build(sql).all().await
}

/// Takes messages for planning, with the locale that they will be in. Returns those that nobody else was quicker with: nobody else
/// plans them until the transaction ends.
pub(crate) async fn take(tx: &mut Tx, ids: Vec<Uuid>, locale: Option<String>) -> Result<Vec<Uuid>, Error> {
    let mut sql = tx.builder("UPDATE notify_messages SET state = 'planned', locale = ");
    sql.value(locale).push(" WHERE state || '' = 'accepted' AND id IN ").list(ids).push(" RETURNING id");
    let rows: Vec<(Uuid,)> = tx.q_build(sql).all().await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// Comes back to a message at `due_at`.
pub(crate) async fn put_off(tx: &mut Tx, id: Uuid, due_at: DateTime<Utc>) -> Result<(), Error> {
    tx.q("UPDATE notify_messages SET due_at = $2 WHERE id = $1 AND state || '' = 'accepted'")
        .bind(id)
        .bind(due_at)
        .run()
        .await?;
    Ok(())
}

/// What is about to be said in a lane.
#[derive(Clone)]
pub(crate) struct Saying {
    pub(crate) message: Uuid,
    pub(crate) lane: Uuid,
    pub(crate) digest: Vec<u8>,
    /// From when on it would be said twice.
    pub(crate) since: DateTime<Utc>,
}

/// The messages of `all` that say what was said by another, that is no double itself.
pub(crate) async fn doubles(conn: &mut Conn, all: Vec<Saying>) -> Result<HashSet<Uuid>, Error> {
    if all.is_empty() {
        return Ok(HashSet::new());
    }
    let mut sql = conn.builder("WITH asked (id, lane, digest, since) AS (VALUES ");
    sql.each(", ", all, |sql, Saying { message, lane, digest, since }| {
        sql.push("(").value(message).push(", ").value(lane);
        sql.push(", ").value(digest).push(", ").value(since).push(")");
    });
    // With a limit neither engine makes a join of it, and each is looked up by the index.
    sql.push(
        ") SELECT id FROM asked WHERE (SELECT CAST(1 AS bigint) FROM notify_messages m WHERE m.digest = asked.digest \
         AND m.lane = asked.lane AND m.id <> asked.id AND m.created_at > asked.since AND m.state <> 'accepted' LIMIT 1) IS NOT NULL",
    );
    let rows: Vec<(Uuid,)> = conn.q_build(sql).all().await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// Notes that nobody is told: such a message keeps no other from being sent. Call it for those that have a digest: PostgreSQL would look
/// for them by the index of digests, from end to end.
pub(crate) async fn forget_digests(tx: &mut Tx, ids: Vec<Uuid>) -> Result<(), Error> {
    let mut sql = tx.builder("UPDATE notify_messages SET digest = NULL WHERE id IN ");
    sql.list(ids);
    tx.q_build(sql).run().await?;
    Ok(())
}

/// Makes whoever else is about to end deliveries of one of these messages wait until this transaction ends: of two that end at once
/// each would find the other pending.
pub(crate) async fn lock(tx: &mut Tx, ids: Vec<Uuid>) -> Result<(), Error> {
    // On SQLite there is one writer anyway.
    if tx.engine() == Engine::Postgres && !ids.is_empty() {
        let mut sql = tx.builder("SELECT id FROM notify_messages WHERE id IN ");
        sql.list(ids).push(" ORDER BY id FOR UPDATE");
        tx.q_build(sql).all::<(Uuid,)>().await?;
    }
    Ok(())
}

/// Forgets what messages said, once nothing of them is pending. Whoever ends a delivery has [locked](lock) its message before.
pub(crate) async fn finish(tx: &mut Tx, ids: Vec<Uuid>, now: DateTime<Utc>) -> Result<(), Error> {
    let mut sql = tx.builder("UPDATE notify_messages SET state = 'done', finished_at = ");
    sql.value(now).push(", values_sealed = NULL, recipient_email_sealed = NULL WHERE id IN ").list(ids);
    sql.push(
        " AND state || '' = 'planned' AND NOT EXISTS (SELECT 1 FROM notify_deliveries d \
         WHERE d.message_id = notify_messages.id AND d.state || '' = 'pending')",
    );
    tx.q_build(sql).run().await?;
    Ok(())
}

/// The same for up to `most` that were planned and of which nothing is pending.
pub(crate) async fn finish_planned(tx: &mut Tx, now: DateTime<Utc>, most: i64) -> Result<u64, Error> {
    tx.q("UPDATE notify_messages SET state = 'done', finished_at = $1, values_sealed = NULL, recipient_email_sealed = NULL
          WHERE id IN (SELECT m.id FROM notify_messages m WHERE m.state = 'planned'
            AND NOT EXISTS (SELECT 1 FROM notify_deliveries d WHERE d.message_id = m.id AND d.state || '' = 'pending')
            ORDER BY m.created_at LIMIT 0 + $2) AND state = 'planned'")
        .bind(now)
        .bind(most)
        .run()
        .await
}
