//! Sessions of a tenant, for its administrators: those that were begun for it, and no others of the same people.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde::Serialize;
use stylobate_core::{Direction, Page, PageLimit, PersonId, SessionId, TenantId};
use stylobate_db::{Conn, Error, Keyset, KeysetKey, SqlBuilder};
use uuid::Uuid;

use super::{SessionLife, SessionState, methods};

/// Which sessions of a tenant to list.
#[derive(Debug, Clone, Default)]
pub struct SessionQuery {
    /// Only those of this person.
    pub person: Option<PersonId>,
    /// Only those that are alive, or that are not.
    pub is_live: Option<bool>,
    /// Only those that somebody or something ended, or that ran out or live.
    pub is_ended: Option<bool>,
    /// In the order they began, or from the newest.
    pub direction: Direction,
    /// How many.
    pub limit: PageLimit,
    /// Where to go on.
    pub cursor: Option<String>,
    /// Whether to count them all, up to 10,000.
    pub with_total: bool,
}

/// A session as an administrator of its tenant sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TenantSession {
    /// Its public id.
    pub id: SessionId,
    /// Whose it is.
    pub person_id: PersonId,
    /// How it stands.
    #[serde(skip)]
    pub state: SessionState,
    /// How the person signed in (RFC 8176).
    pub amr: Vec<String>,
    /// From where it was begun.
    pub address: Option<IpAddr>,
    /// With which program it was begun.
    pub user_agent: Option<String>,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it was last renewed.
    pub last_seen_at: DateTime<Utc>,
    /// When it ends in any case.
    pub expires_at: DateTime<Utc>,
    /// When it was ended, if it was.
    pub ended_at: Option<DateTime<Utc>>,
    /// Why it was ended.
    pub end_reason: Option<String>,
}

#[derive(sqlx::FromRow)]
struct RecordRow {
    id: Uuid,
    person_id: Uuid,
    amr: String,
    address: Option<String>,
    user_agent: Option<String>,
    created_at: DateTime<Utc>,
    last_seen_at: DateTime<Utc>,
    rotated_at: Option<DateTime<Utc>>,
    idle_expires_at: Option<DateTime<Utc>>,
    expires_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
    end_reason: Option<String>,
}

impl RecordRow {
    fn into_record(self, now: DateTime<Utc>) -> TenantSession {
        let life = SessionLife {
            idle_expires_at: self.idle_expires_at,
            expires_at: self.expires_at,
            ended_at: self.ended_at,
        };
        TenantSession {
            id: SessionId::from_uuid(self.id),
            person_id: PersonId::from_uuid(self.person_id),
            state: life.state(now),
            amr: methods(&self.amr),
            address: self.address.and_then(|text| text.parse().ok()),
            user_agent: self.user_agent,
            created_at: self.created_at,
            // A refresh writes its family alone; that is when the session was last seen.
            last_seen_at: self.rotated_at.unwrap_or(self.last_seen_at).max(self.last_seen_at),
            expires_at: self.expires_at,
            ended_at: self.ended_at,
            end_reason: self.end_reason,
        }
    }
}

const SELECT: &str = "SELECT s.id, s.person_id, s.amr, s.address, s.user_agent, s.created_at, s.last_seen_at, \
                      f.rotated_at, s.idle_expires_at, s.expires_at, s.ended_at, s.end_reason \
                      FROM sessions s LEFT JOIN refresh_families f ON f.session_id = s.id WHERE s.tenant_id = ";

/// How many rows a count looks at before it gives up: nobody reads a larger number.
const COUNT_MAX: i64 = 10_000;

/// The page of `query`. `keyset` was made by [`keyset`].
pub(crate) async fn list_in(
    conn: &mut Conn,
    tenant: TenantId,
    query: &SessionQuery,
    keyset: &Keyset,
    now: DateTime<Utc>,
) -> Result<Page<TenantSession>, Error> {
    let mut sql = conn.builder(SELECT);
    sql.value(tenant.as_uuid());
    push_filter(&mut sql, query, now);
    keyset.push(&mut sql);
    let rows: Vec<RecordRow> = conn.q_build(sql).all().await?;
    let page = keyset.page(rows, |row| (KeysetKey::Time(row.created_at), row.id));
    Ok(page.map(|row| row.into_record(now)))
}

/// How many sessions `query` has over all pages, up to 10,000.
pub(crate) async fn count_in(
    conn: &mut Conn,
    tenant: TenantId,
    query: &SessionQuery,
    now: DateTime<Utc>,
) -> Result<u64, Error> {
    let mut sql = conn.builder("SELECT count(*) FROM (SELECT s.id FROM sessions s WHERE s.tenant_id = ");
    sql.value(tenant.as_uuid());
    push_filter(&mut sql, query, now);
    sql.limit(COUNT_MAX).push(") counted");
    let count: i64 = conn.q_build(sql).scalar().await?;
    Ok(u64::try_from(count).unwrap_or_default())
}

/// The order and place of a page.
pub(crate) fn keyset(query: &SessionQuery) -> Result<Keyset, stylobate_core::CursorInvalid> {
    let cursor = query.cursor.as_deref();
    Keyset::new("created_at", "s.created_at", "s.id", true, query.direction, query.limit, cursor)
}

fn push_filter(sql: &mut SqlBuilder, query: &SessionQuery, now: DateTime<Utc>) {
    if let Some(person) = query.person {
        sql.push(" AND s.person_id = ").value(person.as_uuid());
    }
    // As `SessionLife::state` decides.
    match query.is_live {
        Some(true) => {
            sql.push(" AND s.ended_at IS NULL AND s.expires_at > ").value(now);
            sql.push(" AND (s.idle_expires_at IS NULL OR s.idle_expires_at > ").value(now).push(")");
        }
        Some(false) => {
            sql.push(" AND (s.ended_at IS NOT NULL OR s.expires_at <= ").value(now);
            sql.push(" OR s.idle_expires_at <= ").value(now).push(")");
        }
        None => {}
    }
    match query.is_ended {
        Some(true) => drop(sql.push(" AND s.ended_at IS NOT NULL")),
        Some(false) => drop(sql.push(" AND s.ended_at IS NULL")),
        None => {}
    }
}

/// Reads a session that was begun for `tenant`.
pub(crate) async fn find_in(
    conn: &mut Conn,
    tenant: TenantId,
    id: SessionId,
    now: DateTime<Utc>,
) -> Result<Option<TenantSession>, Error> {
    let mut sql = conn.builder(SELECT);
    sql.value(tenant.as_uuid()).push(" AND s.id = ").value(id.as_uuid());
    let row: Option<RecordRow> = conn.q_build(sql).opt().await?;
    Ok(row.map(|row| row.into_record(now)))
}
