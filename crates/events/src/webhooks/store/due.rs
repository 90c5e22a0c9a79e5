//! Finding deliveries by their time, and removing them.

use chrono::{DateTime, Utc};
use stylobate_core::WebhookDeliveryId;
use stylobate_db::{Conn, Error, Sql, Tx};
use uuid::Uuid;

/// Up to `most` deliveries that are due and that nobody is at, at most `each` of an endpoint, so that one with many does not keep
/// the others waiting.
pub(crate) async fn due(
    conn: &mut Conn,
    now: DateTime<Utc>,
    each: i64,
    most: i64,
) -> Result<Vec<WebhookDeliveryId>, Error> {
    // The endpoints that are owed anything, one step of the index each.
    let rows: Vec<(Uuid,)> = conn
        .q(Sql::Per {
            pg: "WITH RECURSIVE owed (endpoint_id) AS (
                    (SELECT endpoint_id FROM webhook_deliveries WHERE state = 'pending' ORDER BY endpoint_id LIMIT 1)
                    UNION ALL
                    SELECT (SELECT d.endpoint_id FROM webhook_deliveries d WHERE d.state = 'pending'
                            AND d.endpoint_id > owed.endpoint_id ORDER BY d.endpoint_id LIMIT 1)
                    FROM owed WHERE owed.endpoint_id IS NOT NULL)
                 SELECT d.id FROM owed CROSS JOIN LATERAL (
                    SELECT id, due_at FROM webhook_deliveries WHERE endpoint_id = owed.endpoint_id AND state = 'pending'
                    AND due_at <= $1 AND (lease_until IS NULL OR lease_until <= $1) ORDER BY due_at LIMIT 0 + $2) d
                 ORDER BY d.due_at, d.id LIMIT 0 + $3",
            lite: "WITH RECURSIVE owed (endpoint_id) AS (
                    SELECT * FROM (SELECT endpoint_id FROM webhook_deliveries WHERE state = 'pending' ORDER BY endpoint_id LIMIT 1)
                    UNION ALL
                    SELECT (SELECT d.endpoint_id FROM webhook_deliveries d WHERE d.state = 'pending'
                            AND d.endpoint_id > owed.endpoint_id ORDER BY d.endpoint_id LIMIT 1)
                    FROM owed WHERE owed.endpoint_id IS NOT NULL)
                 SELECT d.id FROM owed CROSS JOIN webhook_deliveries d WHERE d.id IN (
                    SELECT id FROM webhook_deliveries WHERE endpoint_id = owed.endpoint_id AND state = 'pending'
                    AND due_at <= $1 AND (lease_until IS NULL OR lease_until <= $1) ORDER BY due_at LIMIT 0 + $2)
                 ORDER BY d.due_at, d.id LIMIT 0 + $3",
        })
        .bind(now)
        .bind(each)
        .bind(most)
        .all()
        .await?;
    Ok(rows.into_iter().map(|(id,)| id.into()).collect())
}

/// Removes up to `most` deliveries that were finished before `time`.
pub(crate) async fn remove_finished(tx: &mut Tx, time: DateTime<Utc>, most: i64) -> Result<u64, Error> {
    tx.q("DELETE FROM webhook_deliveries WHERE id IN (
            SELECT id FROM webhook_deliveries WHERE finished_at < $1 ORDER BY finished_at LIMIT 0 + $2)")
        .bind(time)
        .bind(most)
        .run()
        .await
}

/// Endpoints that are gone and have left deliveries behind.
pub(crate) async fn orphaned(conn: &mut Conn) -> Result<Vec<Uuid>, Error> {
    let rows: Vec<(Uuid,)> = conn
        .q(Sql::Per {
            pg: "WITH RECURSIVE owned (endpoint_id) AS (
                    (SELECT endpoint_id FROM webhook_deliveries ORDER BY endpoint_id LIMIT 1)
                    UNION ALL
                    SELECT (SELECT d.endpoint_id FROM webhook_deliveries d WHERE d.endpoint_id > owned.endpoint_id
                            ORDER BY d.endpoint_id LIMIT 1)
                    FROM owned WHERE owned.endpoint_id IS NOT NULL)
                 SELECT endpoint_id FROM owned WHERE endpoint_id IS NOT NULL
                 AND NOT EXISTS (SELECT 1 FROM webhook_endpoints e WHERE e.id = owned.endpoint_id)",
            lite: "WITH RECURSIVE owned (endpoint_id) AS (
                    SELECT * FROM (SELECT endpoint_id FROM webhook_deliveries ORDER BY endpoint_id LIMIT 1)
                    UNION ALL
                    SELECT (SELECT d.endpoint_id FROM webhook_deliveries d WHERE d.endpoint_id > owned.endpoint_id
                            ORDER BY d.endpoint_id LIMIT 1)
                    FROM owned WHERE owned.endpoint_id IS NOT NULL)
                 SELECT endpoint_id FROM owned WHERE endpoint_id IS NOT NULL
                 AND NOT EXISTS (SELECT 1 FROM webhook_endpoints e WHERE e.id = owned.endpoint_id)",
        })
        .all()
        .await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// Removes up to `most` deliveries of an endpoint.
pub(crate) async fn remove_of(tx: &mut Tx, endpoint: Uuid, most: i64) -> Result<u64, Error> {
    tx.q("DELETE FROM webhook_deliveries WHERE id IN (SELECT id FROM webhook_deliveries WHERE endpoint_id = $1 LIMIT 0 + $2)")
        .bind(endpoint)
        .bind(most)
        .run()
        .await
}
