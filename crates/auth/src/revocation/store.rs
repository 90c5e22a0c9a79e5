use chrono::{DateTime, Utc};
use stylobate_core::{PersonId, SessionId, TenantId};
use stylobate_db::{Conn, Error, Tx};
use uuid::Uuid;

use super::{Revocation, Revocations};

/// A live row: what was revoked, and until when that matters.
pub(crate) type Row = (Revocation, DateTime<Utc>);

type Columns = (String, Uuid, Option<i64>, DateTime<Utc>);

/// Writes a revocation, and adds it to `live` once the transaction has committed.
pub(crate) async fn insert(
    tx: &mut Tx,
    live: &Revocations,
    revocation: Revocation,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<(), Error> {
    let (kind, id, epoch) = match revocation {
        Revocation::Session(id) => ("session", id.as_uuid(), None),
        Revocation::Subject(id, epoch) => ("subject", id.as_uuid(), Some(epoch)),
        // No kinds of their own: a process of an older version stops at a kind that it does not know, and reads these as
        // subjects of whom it has nothing. Ids of all kinds are different.
        Revocation::ApiKey(id, version) => ("subject", id.as_uuid(), Some(version)),
        Revocation::Service(id, version) => ("subject", id.as_uuid(), Some(version)),
        // A kind of its own: a process of an older version that knew nothing of it would go on letting sessions in. It stops at the
        // kind, so that its memory is stale, and reads their rows.
        Revocation::Tenant(id) => ("tenant", id.as_uuid(), None),
    };
    // `created_at` moves with the row, so that other processes find a subject's second revocation as well.
    tx.q("INSERT INTO revocations (kind, id, epoch, created_at, expires_at) VALUES ($1, $2, $3, $4, $5) \
          ON CONFLICT (kind, id) DO UPDATE \
          SET epoch = excluded.epoch, created_at = excluded.created_at, expires_at = excluded.expires_at")
        .bind(kind)
        .bind(id)
        .bind(epoch)
        .bind(now)
        .bind(expires_at)
        .run()
        .await?;
    let live = live.clone();
    tx.on_commit(move || live.add(revocation, expires_at));
    Ok(())
}

/// Reads every revocation that still concerns a token.
pub(crate) async fn find_all_live(conn: &mut Conn, now: DateTime<Utc>) -> Result<Vec<Row>, Error> {
    let rows = conn
        .q("SELECT kind, id, epoch, expires_at FROM revocations WHERE expires_at > $1")
        .bind(now)
        .all::<Columns>()
        .await?;
    rows.into_iter().map(row).collect()
}

/// Reads the revocations written since `since`.
pub(crate) async fn find_since(conn: &mut Conn, since: DateTime<Utc>) -> Result<Vec<Row>, Error> {
    let rows = conn
        .q("SELECT kind, id, epoch, expires_at FROM revocations WHERE created_at >= $1")
        .bind(since)
        .all::<Columns>()
        .await?;
    rows.into_iter().map(row).collect()
}

/// Deletes up to `rows_max` revocations that concern no token any more since `from` or later. Returns how many, and the
/// latest of those times: the next batch begins there.
pub(crate) async fn sweep(
    tx: &mut Tx,
    now: DateTime<Utc>,
    from: DateTime<Utc>,
    rows_max: i64,
) -> Result<(u64, DateTime<Utc>), Error> {
    let ended = tx
        .q("DELETE FROM revocations WHERE (kind, id) IN \
              (SELECT kind, id FROM revocations WHERE expires_at >= $1 AND expires_at <= $2 \
               ORDER BY expires_at LIMIT 0 + $3) \
            RETURNING expires_at")
        .bind(from)
        .bind(now)
        .bind(rows_max)
        .all::<(DateTime<Utc>,)>()
        .await?;
    let latest = ended.iter().map(|(at,)| *at).max().unwrap_or(from);
    Ok((ended.len() as u64, latest))
}

fn row((kind, id, epoch, expires_at): Columns) -> Result<Row, Error> {
    let revocation = match (kind.as_str(), epoch) {
        ("session", _) => Revocation::Session(SessionId::from_uuid(id)),
        // Of an API key or a service account as well: what counts is the id.
        ("subject", Some(epoch)) => Revocation::Subject(PersonId::from_uuid(id), epoch),
        ("tenant", _) => Revocation::Tenant(TenantId::from_uuid(id)),
        // A kind of a newer version: its writer's processes know it, this one cannot honour it and must not go on.
        _ => return Err(Error::BadRow { column: "revocations.kind".into(), source: kind.into() }),
    };
    Ok((revocation, expires_at))
}
