use chrono::{DateTime, Utc};
use stylobate_core::{EventId, TenantId};
use stylobate_db::{Conn, Error, Keyset, SqlBuilder, Tx};

use crate::record::EventRow;

/// A dead letter and its event.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct DeadRow {
    pub(crate) subscriber: String,
    pub(crate) attempts: i64,
    pub(crate) error: String,
    pub(crate) parked_at: DateTime<Utc>,
    #[sqlx(flatten)]
    pub(crate) event: EventRow,
}

/// Adds the list of the dead letters of a tenant, or of all.
pub(crate) fn push_list(
    sql: &mut SqlBuilder,
    subscriber: Option<&str>,
    tenant: Option<TenantId>,
    keyset: &Keyset,
) {
    sql.push(
        "SELECT d.subscriber, d.attempts, d.error, d.parked_at, e.ordinal, e.id, e.lane, a.aggregate, \
         e.sequence, e.type, e.version, e.occurred_at, e.written_at, e.actor_kind, e.actor_id, e.trace, e.data \
         FROM event_dead_letters AS d JOIN events AS e ON e.ordinal = d.ordinal \
         LEFT JOIN event_aggregates AS a ON a.id = e.aggregate_id WHERE 1 = 1",
    );
    if let Some(tenant) = tenant {
        sql.push(" AND d.tenant_id = ").value(tenant.as_uuid());
    }
    if let Some(subscriber) = subscriber {
        sql.push(" AND d.subscriber = ").value(subscriber.to_owned());
    }
    keyset.push(sql);
}

pub(crate) async fn list(
    conn: &mut Conn,
    subscriber: Option<&str>,
    tenant: Option<TenantId>,
    keyset: &Keyset,
) -> Result<Vec<DeadRow>, Error> {
    let mut sql = conn.builder("");
    push_list(&mut sql, subscriber, tenant, keyset);
    conn.q_build(sql).all().await
}

/// What a dead letter is of.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct Parked {
    ordinal: i64,
    pub(crate) id: uuid::Uuid,
    pub(crate) tenant_id: Option<uuid::Uuid>,
}

/// Up to `most` dead letters of `subscriber`, the oldest events first: those of one event, or of a tenant, or all.
pub(crate) async fn find(
    conn: &mut Conn,
    subscriber: &str,
    event: Option<EventId>,
    tenant: Option<TenantId>,
    most: i64,
) -> Result<Vec<Parked>, Error> {
    let mut sql = conn.builder("SELECT ordinal, id, tenant_id FROM event_dead_letters WHERE subscriber = ");
    sql.value(subscriber.to_owned());
    if let Some(event) = event {
        sql.push(" AND id = ").value(event.as_uuid());
    }
    if let Some(tenant) = tenant {
        sql.push(" AND tenant_id = ").value(tenant.as_uuid());
    }
    sql.push(" ORDER BY ordinal").limit(most);
    conn.q_build(sql).all().await
}

/// Removes a dead letter. Returns whether it was there.
pub(crate) async fn remove(tx: &mut Tx, subscriber: &str, parked: &Parked) -> Result<bool, Error> {
    let removed = tx
        .q("DELETE FROM event_dead_letters WHERE subscriber = $1 AND ordinal = $2")
        .bind(subscriber.to_owned())
        .bind(parked.ordinal)
        .run()
        .await?;
    Ok(removed > 0)
}

/// Removes up to `most` dead letters that were given up before `before`, whoever's they are. Returns how many.
pub(crate) async fn remove_old(tx: &mut Tx, before: DateTime<Utc>, most: i64) -> Result<u64, Error> {
    tx.q("DELETE FROM event_dead_letters WHERE (subscriber, ordinal) IN \
          (SELECT subscriber, ordinal FROM event_dead_letters WHERE parked_at < $1 ORDER BY parked_at LIMIT 0 + $2)")
        .bind(before)
        .bind(most)
        .run()
        .await
}

/// Owes a dead letter once more. Returns whether it was there.
pub(crate) async fn replay(tx: &mut Tx, subscriber: &str, parked: &Parked) -> Result<bool, Error> {
    if !remove(tx, subscriber, parked).await? {
        return Ok(false);
    }
    tx.q("INSERT INTO event_deliveries (subscriber, ordinal, aggregate_id) \
          SELECT $1, e.ordinal, e.aggregate_id FROM events AS e WHERE e.ordinal = $2 \
          ON CONFLICT (subscriber, ordinal) DO NOTHING")
        .bind(subscriber.to_owned())
        .bind(parked.ordinal)
        .run()
        .await?;
    Ok(true)
}
