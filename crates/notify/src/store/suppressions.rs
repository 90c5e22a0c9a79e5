use std::collections::HashSet;

use chrono::{DateTime, Utc};
use stylobate_core::{Direction, Page, PageLimit, SuppressionId};
use stylobate_db::{Conn, Error, Keyset, KeysetKey, Scope, SqlBuilder, Tx};
use uuid::Uuid;

use super::{bad_row, lane, tenant_of};
use crate::{Medium, NotifierError, Suppression};

#[derive(sqlx::FromRow)]
struct SuppressionRow {
    id: Uuid,
    lane: Uuid,
    medium: String,
    destination: String,
    reason: String,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
}

impl TryFrom<SuppressionRow> for Suppression {
    type Error = Error;

    fn try_from(row: SuppressionRow) -> Result<Self, Error> {
        Ok(Self {
            id: row.id.into(),
            tenant_id: tenant_of(row.lane),
            medium: Medium::of(&row.medium).ok_or(bad_row("notify_suppressions.medium", row.id))?,
            destination: row.destination,
            reason: row.reason,
            created_at: row.created_at,
            expires_at: row.expires_at,
        })
    }
}

/// Where nothing is sent to.
pub(crate) struct Suppressed(HashSet<(Uuid, Vec<u8>)>);

impl Suppressed {
    /// Whether nothing is sent to an address that is said in `lane`.
    pub(crate) fn has(&self, lane: Uuid, address_key: &[u8]) -> bool {
        [lane, Uuid::nil()].iter().any(|lane| self.0.contains(&(*lane, address_key.to_vec())))
    }
}

/// What is suppressed among addresses, each with the lane that something is said to it in.
pub(crate) async fn among(
    conn: &mut Conn,
    addresses: impl IntoIterator<Item = (Uuid, &[u8])>,
    now: DateTime<Utc>,
) -> Result<Suppressed, Error> {
    let (mut lanes, keys): (HashSet<Uuid>, HashSet<Vec<u8>>) =
        addresses.into_iter().map(|(lane, key)| (lane, key.to_vec())).unzip();
    if keys.is_empty() {
        return Ok(Suppressed(HashSet::new()));
    }
    lanes.insert(Uuid::nil());
    let mut sql = conn.builder("SELECT lane, address_key FROM notify_suppressions WHERE lane IN ");
    sql.list(lanes).push(" AND address_key IN ").list(keys);
    sql.push(" AND (expires_at IS NULL OR expires_at > ").value(now).push(")");
    Ok(Suppressed(conn.q_build(sql).all().await?.into_iter().collect()))
}

/// Notes that nothing is sent to an address for a while, without anybody's say: what somebody noted stays as it is, and no wait
/// becomes shorter.
pub(crate) async fn put_by_itself(
    tx: &mut Tx,
    lane: Uuid,
    address_key: Vec<u8>,
    new: &Suppression,
) -> Result<(), Error> {
    let mut sql = insert_or_replace(tx, lane, address_key, new);
    sql.push(
        " WHERE notify_suppressions.expires_at <= excluded.created_at \
         OR (notify_suppressions.reason = excluded.reason AND notify_suppressions.expires_at < excluded.expires_at)",
    );
    tx.q_build(sql).run().await?;
    Ok(())
}

/// Notes that nothing is sent to an address; what was noted before is replaced, and keeps its id.
pub(crate) async fn put(
    tx: &mut Tx,
    lane: Uuid,
    address_key: Vec<u8>,
    new: &Suppression,
) -> Result<SuppressionId, Error> {
    let mut sql = insert_or_replace(tx, lane, address_key, new);
    sql.push(" RETURNING id");
    let (id,): (Uuid,) = tx.q_build(sql).one().await?;
    Ok(id.into())
}

fn insert_or_replace(tx: &Tx, lane: Uuid, address_key: Vec<u8>, new: &Suppression) -> SqlBuilder {
    let mut sql = tx.builder(
        "INSERT INTO notify_suppressions (id, lane, medium, address_key, destination, reason, created_at, expires_at) VALUES (",
    );
    sql.value(new.id.as_uuid()).push(", ").value(lane).push(", ").value(new.medium.as_str());
    sql.push(", ").value(address_key).push(", ").value(new.destination.clone());
    sql.push(", ").value(new.reason.clone()).push(", ").value(new.created_at);
    sql.push(", ").value(new.expires_at).push(
        ") ON CONFLICT (lane, medium, address_key) DO UPDATE SET reason = excluded.reason, created_at = excluded.created_at, \
         expires_at = excluded.expires_at",
    );
    sql
}

pub(crate) async fn list(
    conn: &mut Conn,
    scope: Scope,
    limit: PageLimit,
    cursor: Option<&str>,
) -> Result<Page<Suppression>, NotifierError> {
    let keyset = Keyset::new("created_at", "created_at", "id", true, Direction::Desc, limit, cursor)?;
    let mut sql = conn.builder(
        "SELECT id, lane, medium, destination, reason, created_at, expires_at FROM notify_suppressions WHERE lane = ",
    );
    sql.value(lane(scope.tenant()));
    keyset.push(&mut sql);
    let rows = conn.q_build(sql).all::<SuppressionRow>().await?;
    let Page { items, next_cursor, total } =
        keyset.page(rows, |row| (KeysetKey::Time(row.created_at), row.id));
    let items = items.into_iter().map(Suppression::try_from);
    Ok(Page { items: items.collect::<Result<_, Error>>()?, next_cursor, total })
}

pub(crate) async fn delete(tx: &mut Tx, scope: Scope, id: SuppressionId) -> Result<bool, Error> {
    let mut sql = tx.builder("DELETE FROM notify_suppressions WHERE id = ");
    sql.value(id.as_uuid()).push(" AND lane = ").value(lane(scope.tenant()));
    Ok(tx.q_build(sql).run().await? == 1)
}

pub(crate) async fn remove_expired(tx: &mut Tx, now: DateTime<Utc>) -> Result<u64, Error> {
    tx.q("DELETE FROM notify_suppressions WHERE expires_at <= $1").bind(now).run().await
}

/// Removes up to `most` suppressions of a lane. Returns how many.
pub(crate) async fn remove_of(tx: &mut Tx, lane: Uuid, most: i64) -> Result<u64, Error> {
    tx.q("DELETE FROM notify_suppressions WHERE id IN \
          (SELECT id FROM notify_suppressions WHERE lane = $1 ORDER BY created_at, id LIMIT 0 + $2)")
        .bind(lane)
        .bind(most)
        .run()
        .await
}
