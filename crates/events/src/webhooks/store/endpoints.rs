use chrono::{DateTime, Utc};
use stylobate_core::{Direction, Page, TenantId, WebhookEndpointId};
use stylobate_db::{Conn, Error, Keyset, KeysetKey, Scope, Sql, Tx};
use uuid::Uuid;

use super::{bad_row, push_scope};
use crate::webhooks::{
    DisabledReason, EndpointQuery, SignatureStyle, WebhookEndpoint, WebhooksError, sealed::SealedSecrets,
};

const COLUMNS: &str = "id, tenant_id, url, description, types, signature, secret_sealed, previous_secret_sealed, previous_until, \
     is_enabled, disabled_reason, failing_since, created_at, updated_at";

#[derive(sqlx::FromRow)]
struct EndpointRow {
    id: Uuid,
    tenant_id: Uuid,
    url: String,
    description: String,
    types: String,
    signature: String,
    secret_sealed: Vec<u8>,
    previous_secret_sealed: Option<Vec<u8>>,
    previous_until: Option<DateTime<Utc>>,
    is_enabled: bool,
    disabled_reason: Option<String>,
    failing_since: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// An endpoint, with its secrets as they are stored.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) endpoint: WebhookEndpoint,
    pub(crate) secrets: SealedSecrets,
}

impl TryFrom<EndpointRow> for Stored {
    type Error = Error;

    fn try_from(row: EndpointRow) -> Result<Self, Error> {
        let bad = |column| bad_row(column, row.id);
        let reason = row.disabled_reason.as_deref();
        let reason =
            reason.map(|text| DisabledReason::of(text).ok_or(bad("webhook_endpoints.disabled_reason")));
        let endpoint = WebhookEndpoint {
            id: row.id.into(),
            tenant_id: row.tenant_id.into(),
            types: types_of(&row.types).ok_or(bad("webhook_endpoints.types"))?,
            signature: SignatureStyle::of(&row.signature).ok_or(bad("webhook_endpoints.signature"))?,
            is_enabled: row.is_enabled,
            disabled_reason: reason.transpose()?,
            failing_since: row.failing_since,
            previous_secret_until: row.previous_until,
            created_at: row.created_at,
            updated_at: row.updated_at,
            url: row.url,
            description: row.description,
        };
        let previous = row.previous_secret_sealed.zip(row.previous_until);
        Ok(Self { endpoint, secrets: SealedSecrets { current: row.secret_sealed, previous } })
    }
}

fn types_of(column: &str) -> Option<Vec<String>> {
    serde_json::from_str(column).ok()
}

/// Writing texts as JSON cannot fail.
fn types_column(types: &[String]) -> String {
    serde_json::to_string(types).unwrap_or_default()
}

/// Makes whoever else adds an endpoint to `tenant` wait until this transaction ends.
pub(crate) async fn lock_tenant(tx: &mut Tx, tenant: TenantId) -> Result<(), Error> {
    // On SQLite there is one writer anyway.
    tx.q(Sql::Per {
        pg: "SELECT CAST(count(*) AS bigint) FROM (SELECT pg_advisory_xact_lock(hashtextextended('webhook_endpoints:' || $1, 0))) lock",
        lite: "SELECT length($1)",
    })
    .bind(tenant.to_string())
    .scalar::<i64>()
    .await?;
    Ok(())
}

pub(crate) async fn count(conn: &mut Conn, tenant: TenantId) -> Result<usize, Error> {
    let count: i64 = conn
        .q("SELECT count(*) FROM webhook_endpoints WHERE tenant_id = $1")
        .bind(tenant.as_uuid())
        .scalar()
        .await?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

pub(crate) async fn insert(tx: &mut Tx, endpoint: &WebhookEndpoint, sealed: &[u8]) -> Result<(), Error> {
    tx.q("INSERT INTO webhook_endpoints (id, tenant_id, url, description, types, signature, secret_sealed,
            previous_secret_sealed, previous_until, is_enabled, disabled_reason, failing_since, created_at, updated_at)
          VALUES ($1, $2, $3, $4, $5, $6, $7, NULL, NULL, $8, NULL, NULL, $9, $9)")
    .bind(endpoint.id.as_uuid())
    .bind(endpoint.tenant_id.as_uuid())
    .bind(endpoint.url.clone())
    .bind(endpoint.description.clone())
    .bind(types_column(&endpoint.types))
    .bind(endpoint.signature.as_str())
    .bind(sealed.to_vec())
    .bind(endpoint.is_enabled)
    .bind(endpoint.created_at)
    .run()
    .await?;
    Ok(())
}

/// The endpoint in `scope`; with `to_change`, nobody else changes it until the transaction ends.
pub(crate) async fn find(
    conn: &mut Conn,
    scope: Scope,
    id: WebhookEndpointId,
    to_change: bool,
) -> Result<Option<Stored>, Error> {
    let mut sql = conn.builder("SELECT ");
    sql.push(COLUMNS).push(" FROM webhook_endpoints WHERE id = ").value(id.as_uuid());
    push_scope(&mut sql, scope);
    if to_change {
        sql.push_sql(Sql::Per { pg: " FOR UPDATE", lite: "" });
    }
    conn.q_build(sql).opt::<EndpointRow>().await?.map(Stored::try_from).transpose()
}

pub(crate) async fn list(
    conn: &mut Conn,
    scope: Scope,
    query: &EndpointQuery,
) -> Result<Page<WebhookEndpoint>, WebhooksError> {
    let cursor = query.cursor.as_deref();
    let keyset = Keyset::new("created_at", "created_at", "id", true, Direction::Desc, query.limit, cursor)?;
    let mut sql = conn.builder("SELECT ");
    sql.push(COLUMNS).push(" FROM webhook_endpoints WHERE id IS NOT NULL");
    push_scope(&mut sql, scope);
    keyset.push(&mut sql);
    let rows = conn.q_build(sql).all::<EndpointRow>().await?;
    let Page { items, next_cursor, total } =
        keyset.page(rows, |row| (KeysetKey::Time(row.created_at), row.id));
    let items = items.into_iter().map(|row| Ok(Stored::try_from(row)?.endpoint));
    Ok(Page { items: items.collect::<Result<_, Error>>()?, next_cursor, total })
}

/// Writes what can be edited.
pub(crate) async fn update(tx: &mut Tx, endpoint: &WebhookEndpoint) -> Result<(), Error> {
    tx.q("UPDATE webhook_endpoints SET url = $2, description = $3, types = $4, signature = $5, is_enabled = $6,
            disabled_reason = $7, failing_since = $8, updated_at = $9 WHERE id = $1 AND tenant_id = $10")
    .bind(endpoint.id.as_uuid())
    .bind(endpoint.url.clone())
    .bind(endpoint.description.clone())
    .bind(types_column(&endpoint.types))
    .bind(endpoint.signature.as_str())
    .bind(endpoint.is_enabled)
    .bind(endpoint.disabled_reason.map(DisabledReason::as_str))
    .bind(endpoint.failing_since)
    .bind(endpoint.updated_at)
    .bind(endpoint.tenant_id.as_uuid())
    .run()
    .await?;
    Ok(())
}

/// Makes `sealed` the secret; the one before is signed with until `until`, or not any more.
pub(crate) async fn rotate(
    tx: &mut Tx,
    id: WebhookEndpointId,
    sealed: &[u8],
    until: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let sql = match until {
        Some(_) => {
            "UPDATE webhook_endpoints SET previous_secret_sealed = secret_sealed, previous_until = $3, secret_sealed = $2, \
             updated_at = $4 WHERE id = $1"
        }
        None => {
            "UPDATE webhook_endpoints SET previous_secret_sealed = NULL, previous_until = $3, secret_sealed = $2, \
             updated_at = $4 WHERE id = $1"
        }
    };
    tx.q(sql).bind(id.as_uuid()).bind(sealed.to_vec()).bind(until).bind(now).run().await?;
    Ok(())
}

pub(crate) async fn delete(tx: &mut Tx, id: WebhookEndpointId) -> Result<(), Error> {
    tx.q("DELETE FROM webhook_endpoints WHERE id = $1").bind(id.as_uuid()).run().await?;
    Ok(())
}

/// The enabled endpoints of `tenant` with the types that they name; without those that cannot be read.
pub(crate) async fn hearing(
    conn: &mut Conn,
    tenant: TenantId,
) -> Result<Vec<(WebhookEndpointId, Vec<String>)>, Error> {
    let rows: Vec<(Uuid, String)> = conn
        .q("SELECT id, types FROM webhook_endpoints WHERE tenant_id = $1 AND is_enabled ORDER BY id")
        .bind(tenant.as_uuid())
        .all()
        .await?;
    let read = |(id, types): (Uuid, String)| {
        let types = types_of(&types);
        if types.is_none() {
            tracing::error!(webhook.endpoint = %id, "types of a webhook cannot be read");
        }
        Some((id.into(), types?))
    };
    Ok(rows.into_iter().filter_map(read).collect())
}

/// Notes that an attempt succeeded, if that is news.
pub(crate) async fn note_success(tx: &mut Tx, id: WebhookEndpointId) -> Result<(), Error> {
    tx.q("UPDATE webhook_endpoints SET failing_since = NULL WHERE id = $1 AND failing_since IS NOT NULL")
        .bind(id.as_uuid())
        .run()
        .await?;
    Ok(())
}

/// Notes that attempts at `endpoint` fail from `now` on, and how many deliveries were given up with this one, if that is news and it
/// still is where it was.
pub(crate) async fn note_failure(
    tx: &mut Tx,
    endpoint: &WebhookEndpoint,
    given_up: i64,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    tx.q("UPDATE webhook_endpoints SET failing_since = COALESCE(failing_since, $3),
              given_up = $4 + CASE WHEN failing_since IS NULL THEN 0 ELSE given_up END
          WHERE id = $1 AND url = $2 AND (failing_since IS NULL OR $4 > 0)")
        .bind(endpoint.id.as_uuid())
        .bind(endpoint.url.clone())
        .bind(now)
        .bind(given_up)
        .run()
        .await?;
    Ok(())
}

/// How many deliveries must have been given up before an endpoint is disabled for failing: an attempt that failed long ago and one
/// that fails now, with nothing to be sent between them, are no reason.
const GIVEN_UP: i64 = 2;

/// Disables `endpoint`, if it is enabled, still is where it was, and, with `failing`, has been failing since before that, so that
/// deliveries were given up.
pub(crate) async fn disable(
    tx: &mut Tx,
    endpoint: &WebhookEndpoint,
    reason: DisabledReason,
    failing: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let disabled = tx
        .q("UPDATE webhook_endpoints SET is_enabled = $3, disabled_reason = $4, updated_at = $5
            WHERE id = $1 AND url = $2 AND is_enabled AND ((failing_since <= $6 AND given_up >= $8) OR $7)")
        .bind(endpoint.id.as_uuid())
        .bind(endpoint.url.clone())
        .bind(false)
        .bind(reason.as_str())
        .bind(now)
        .bind(failing)
        .bind(failing.is_none())
        .bind(GIVEN_UP)
        .run()
        .await?;
    Ok(disabled == 1)
}

/// Forgets secrets that nothing is signed with any more.
pub(crate) async fn forget_previous(tx: &mut Tx, now: DateTime<Utc>) -> Result<u64, Error> {
    tx.q("UPDATE webhook_endpoints SET previous_secret_sealed = NULL, previous_until = NULL WHERE previous_until <= $1")
        .bind(now)
        .run()
        .await
}
