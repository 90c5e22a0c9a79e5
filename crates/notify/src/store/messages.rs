use chrono::{DateTime, Utc};
use stylobate_core::MessageId;
use stylobate_db::{Conn, Error, Tx};
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

/// Keeps a message; `false` when there is one of its kind with its key already.
pub(crate) async fn insert(tx: &mut Tx, new: NewMessage) -> Result<bool, Error> {
    let state = if new.is_planned { "planned" } else { "accepted" };
    let inserted = tx
        .q("INSERT INTO notify_messages (id, lane, kind, topic, recipient_person, recipient_email_sealed, digest, locale,
                values_sealed, idempotency_key, state, due_at, created_at, expires_at, finished_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, NULL, $8, $9, $10, $11, $11, $12, NULL)
            ON CONFLICT (lane, kind, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING")
        .bind(new.id.as_uuid())
        .bind(new.lane)
        .bind(new.kind)
        .bind(new.topic)
        .bind(new.person)
        .bind(new.email_sealed)
        .bind(new.digest)
        .bind(new.values_sealed)
        .bind(new.idempotency_key)
        .bind(state)
        .bind(new.now)
        .bind(new.expires_at)
        .run()
        .await?;
    Ok(inserted == 1)
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

pub(crate) async fn waiting(conn: &mut Conn, id: MessageId) -> Result<Option<Waiting>, Error> {
    conn.q("SELECT id, lane, kind, topic, recipient_person, recipient_email_sealed, digest, values_sealed, due_at, created_at,
                expires_at
            FROM notify_messages WHERE id = $1 AND state || '' = 'accepted'")
        .bind(id.as_uuid())
        .opt()
        .await
}

/// Takes a message for planning, with the locale that it will be in; `false` when somebody else was quicker. Nobody else plans it
/// until the transaction ends.
pub(crate) async fn take(tx: &mut Tx, id: Uuid, locale: Option<String>) -> Result<bool, Error> {
    let taken = tx
        .q("UPDATE notify_messages SET state = 'planned', locale = $2 WHERE id = $1 AND state || '' = 'accepted'")
        .bind(id)
        .bind(locale)
        .run()
        .await?;
    Ok(taken == 1)
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

/// Whether the same was said since `since`, by a message that is no double itself.
pub(crate) async fn said_before(
    conn: &mut Conn,
    id: Uuid,
    lane: Uuid,
    digest: &[u8],
    since: DateTime<Utc>,
) -> Result<bool, Error> {
    let found: Option<i64> = conn
        .q("SELECT CAST(1 AS bigint) FROM notify_messages WHERE digest = $1 AND lane = $2 AND id <> $3 AND created_at > $4
            AND state <> 'accepted' LIMIT 1")
        .bind(digest.to_vec())
        .bind(lane)
        .bind(id)
        .bind(since)
        .scalar_opt()
        .await?;
    Ok(found.is_some())
}

/// Notes that nobody is told: a message keeps no other from being sent then.
pub(crate) async fn forget_digest(tx: &mut Tx, id: Uuid) -> Result<(), Error> {
    tx.q("UPDATE notify_messages SET digest = NULL WHERE id = $1").bind(id).run().await?;
    Ok(())
}

/// Forgets what a message said, once nothing of it is pending. Two deliveries that end at once may both find the other pending:
/// [`finish_planned`] comes after them.
pub(crate) async fn finish(tx: &mut Tx, id: Uuid, now: DateTime<Utc>) -> Result<bool, Error> {
    let finished = tx
        .q("UPDATE notify_messages SET state = 'done', finished_at = $2, values_sealed = NULL, recipient_email_sealed = NULL
            WHERE id = $1 AND state || '' = 'planned'
            AND NOT EXISTS (SELECT 1 FROM notify_deliveries d WHERE d.message_id = $1 AND d.state || '' = 'pending')")
        .bind(id)
        .bind(now)
        .run()
        .await?;
    Ok(finished == 1)
}

/// The same for up to `most` that were planned and of which nothing is pending.
pub(crate) async fn finish_planned(tx: &mut Tx, now: DateTime<Utc>, most: i64) -> Result<u64, Error> {
    tx.q("UPDATE notify_messages SET state = 'done', finished_at = $1, values_sealed = NULL, recipient_email_sealed = NULL
          WHERE id IN (SELECT m.id FROM notify_messages m WHERE m.state = 'planned'
            AND NOT EXISTS (SELECT 1 FROM notify_deliveries d WHERE d.message_id = m.id AND d.state || '' = 'pending')
            ORDER BY m.created_at LIMIT $2) AND state = 'planned'")
        .bind(now)
        .bind(most)
        .run()
        .await
}
