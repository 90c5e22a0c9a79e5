use chrono::{DateTime, Utc};
use stylobate_core::{Direction, EventId, Page, TenantId, WebhookDeliveryId, WebhookEndpointId};
use stylobate_db::{Conn, Error, Keyset, KeysetKey, Scope, Tx};
use uuid::Uuid;

use super::{bad_row, push_scope};
use crate::webhooks::{DeliveryQuery, DeliveryState, WebhookDelivery, WebhooksError, outcome::Outcome};

const COLUMNS: &str = "id, tenant_id, endpoint_id, event_id, type, state, attempts, due_at, response_status, response_excerpt, \
     error, created_at, attempted_at, finished_at";

#[derive(sqlx::FromRow)]
struct DeliveryRow {
    id: Uuid,
    tenant_id: Uuid,
    endpoint_id: Uuid,
    event_id: Uuid,
    #[sqlx(rename = "type")]
    kind: String,
    state: String,
    attempts: i64,
    due_at: DateTime<Utc>,
    response_status: Option<i64>,
    response_excerpt: Option<String>,
    error: Option<String>,
    created_at: DateTime<Utc>,
    attempted_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    #[sqlx(default)]
    body: Option<String>,
}

impl TryFrom<DeliveryRow> for WebhookDelivery {
    type Error = Error;

    fn try_from(row: DeliveryRow) -> Result<Self, Error> {
        let state = DeliveryState::of(&row.state).ok_or(bad_row("webhook_deliveries.state", row.id))?;
        Ok(Self {
            id: row.id.into(),
            tenant_id: row.tenant_id.into(),
            endpoint_id: row.endpoint_id.into(),
            event_id: row.event_id.into(),
            kind: row.kind,
            state,
            attempts: small(row.attempts),
            due_at: Some(row.due_at).filter(|_| state == DeliveryState::Pending),
            response_status: row.response_status.and_then(|status| status.try_into().ok()),
            response_excerpt: row.response_excerpt,
            error: row.error,
            created_at: row.created_at,
            attempted_at: row.attempted_at,
            finished_at: row.finished_at,
            body: row.body,
        })
    }
}

/// A stored number that never is negative or large.
fn small(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A delivery to be made.
#[derive(Debug, Clone)]
pub(crate) struct NewDelivery {
    pub(crate) id: WebhookDeliveryId,
    pub(crate) tenant: TenantId,
    pub(crate) endpoint: WebhookEndpointId,
    pub(crate) event: EventId,
    pub(crate) kind: String,
    pub(crate) body: String,
    pub(crate) now: DateTime<Utc>,
}

/// The generation of a delivery that was asked for once.
pub(crate) const FIRST: i64 = 1;

/// Makes deliveries, but those of an event that their endpoint is owed already. Returns which were made.
pub(crate) async fn insert(tx: &mut Tx, new: &[NewDelivery]) -> Result<Vec<WebhookDeliveryId>, Error> {
    let mut sql = tx.builder(
        "INSERT INTO webhook_deliveries (id, tenant_id, endpoint_id, event_id, type, body, state, attempts, claims, generation, \
         asked_at, due_at, created_at) VALUES ",
    );
    for (n, one) in new.iter().enumerate() {
        sql.push(if n == 0 { "(" } else { ", (" }).value(one.id.as_uuid());
        sql.push(", ").value(one.tenant.as_uuid()).push(", ").value(one.endpoint.as_uuid());
        sql.push(", ").value(one.event.as_uuid()).push(", ").value(one.kind.clone());
        sql.push(", ").value(one.body.clone()).push(", 'pending', 0, 0, ").value(FIRST).push(", ");
        sql.value(one.now).push(", ").value(one.now).push(", ").value(one.now).push(")");
    }
    sql.push(" ON CONFLICT (endpoint_id, event_id) DO NOTHING RETURNING id");
    let rows: Vec<(Uuid,)> = tx.q_build(sql).all().await?;
    Ok(rows.into_iter().map(|(id,)| id.into()).collect())
}

/// A delivery in `scope`, with its body.
pub(crate) async fn find(
    conn: &mut Conn,
    scope: Scope,
    id: WebhookDeliveryId,
) -> Result<Option<WebhookDelivery>, Error> {
    let mut sql = conn.builder("SELECT ");
    sql.push(COLUMNS).push(", body FROM webhook_deliveries WHERE id = ").value(id.as_uuid());
    push_scope(&mut sql, scope);
    conn.q_build(sql).opt::<DeliveryRow>().await?.map(WebhookDelivery::try_from).transpose()
}

pub(crate) async fn list(
    conn: &mut Conn,
    scope: Scope,
    query: &DeliveryQuery,
) -> Result<Page<WebhookDelivery>, WebhooksError> {
    let cursor = query.cursor.as_deref();
    let keyset = Keyset::new("created_at", "created_at", "id", true, Direction::Desc, query.limit, cursor)?;
    let mut sql = conn.builder("SELECT ");
    sql.push(COLUMNS).push(" FROM webhook_deliveries WHERE endpoint_id = ").value(query.endpoint.as_uuid());
    push_scope(&mut sql, scope);
    if let Some(state) = query.state {
        sql.push(" AND state = ").value(state.as_str());
    }
    keyset.push(&mut sql);
    let rows = conn.q_build(sql).all::<DeliveryRow>().await?;
    let Page { items, next_cursor, total } =
        keyset.page(rows, |row| (KeysetKey::Time(row.created_at), row.id));
    let items = items.into_iter().map(WebhookDelivery::try_from);
    Ok(Page { items: items.collect::<Result<_, Error>>()?, next_cursor, total })
}

/// Makes a delivery pending and due, as if it had never been tried, and returns its new generation; `None` when it is gone.
/// Whoever is at it writes nothing any more about it.
pub(crate) async fn reopen(
    tx: &mut Tx,
    id: WebhookDeliveryId,
    now: DateTime<Utc>,
) -> Result<Option<i64>, Error> {
    tx.q("UPDATE webhook_deliveries SET state = 'pending', attempts = 0, claims = claims + 1, generation = generation + 1,
              asked_at = $2, due_at = $2, lease_until = NULL, finished_at = NULL WHERE id = $1 RETURNING generation")
        .bind(id.as_uuid())
        .bind(now)
        .scalar_opt()
        .await
}

/// A pending delivery, as an attempt needs it.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct Owed {
    pub(crate) id: Uuid,
    pub(crate) endpoint_id: Uuid,
    pub(crate) event_id: Uuid,
    #[sqlx(rename = "type")]
    pub(crate) kind: String,
    pub(crate) body: String,
    pub(crate) attempts: i64,
    pub(crate) claims: i64,
    pub(crate) generation: i64,
    pub(crate) asked_at: DateTime<Utc>,
    pub(crate) due_at: DateTime<Utc>,
    pub(crate) lease_until: Option<DateTime<Utc>>,
}

impl Owed {
    /// How often it was tried.
    pub(crate) fn attempts(&self) -> u32 {
        small(self.attempts)
    }
}

pub(crate) async fn owed(conn: &mut Conn, id: WebhookDeliveryId) -> Result<Option<Owed>, Error> {
    conn.q("SELECT id, endpoint_id, event_id, type, body, attempts, claims, generation, asked_at, due_at, lease_until
            FROM webhook_deliveries WHERE id = $1 AND state = 'pending'")
        .bind(id.as_uuid())
        .opt()
        .await
}

/// Begins an attempt; `None` when somebody else was quicker, or it was asked for anew.
pub(crate) async fn claim(
    tx: &mut Tx,
    owed: &Owed,
    now: DateTime<Utc>,
    lease_until: DateTime<Utc>,
) -> Result<Option<Owed>, Error> {
    let claimed = tx
        .q("UPDATE webhook_deliveries SET attempts = attempts + 1, claims = claims + 1, lease_until = $4, attempted_at = $3
            WHERE id = $1 AND state = 'pending' AND claims = $2 AND attempts = $5")
        .bind(owed.id)
        .bind(owed.claims)
        .bind(now)
        .bind(lease_until)
        .bind(owed.attempts)
        .run()
        .await?;
    let next = Owed { attempts: owed.attempts + 1, claims: owed.claims + 1, ..owed.clone() };
    Ok((claimed == 1).then_some(next))
}

/// How an attempt left its delivery.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Left {
    /// To be tried again then.
    Pending(DateTime<Utc>),
    /// Finished.
    Finished(DeliveryState),
}

/// Writes what came of the attempt `owed`; `false` when it is not the last one any more.
pub(crate) async fn settle(
    tx: &mut Tx,
    owed: &Owed,
    outcome: &Outcome,
    left: Left,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let (state, due_at, finished_at) = match left {
        Left::Pending(due_at) => (DeliveryState::Pending, due_at, None),
        Left::Finished(state) => (state, owed.due_at, Some(now)),
    };
    let settled = tx
        .q("UPDATE webhook_deliveries SET state = $3, due_at = $4, finished_at = $5, response_status = $6, response_excerpt = $7,
            error = $8, lease_until = NULL WHERE id = $1 AND claims = $2 AND state = 'pending'")
        .bind(owed.id)
        .bind(owed.claims)
        .bind(state.as_str())
        .bind(due_at)
        .bind(finished_at)
        .bind(outcome.status.map(i64::from))
        .bind(outcome.excerpt.clone())
        .bind(outcome.error)
        .run()
        .await?;
    Ok(settled == 1)
}

/// Puts off or finishes a delivery without an attempt, for what `why` says, with the attempts that `owed` has; `false` when it is
/// another one by now.
pub(crate) async fn set_aside(
    tx: &mut Tx,
    owed: &Owed,
    why: &Outcome,
    left: Left,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let (state, due_at, finished_at) = match left {
        Left::Pending(due_at) => (DeliveryState::Pending, due_at, None),
        Left::Finished(state) => (state, owed.due_at, Some(now)),
    };
    let changed = tx
        .q("UPDATE webhook_deliveries SET state = $3, due_at = $4, finished_at = $5, error = $6, attempts = $7, lease_until = NULL
            WHERE id = $1 AND claims = $2 AND state = 'pending'")
        .bind(owed.id)
        .bind(owed.claims)
        .bind(state.as_str())
        .bind(due_at)
        .bind(finished_at)
        .bind(why.error)
        .bind(owed.attempts)
        .run()
        .await?;
    Ok(changed == 1)
}
