//! Every statement on `audit_events`.

use chrono::{DateTime, Utc};
use serde_json::Value;
use stylobate_core::{ActorKind, AuditEvent, AuditEventId, Outcome, TenantId};
use stylobate_db::{Conn, Keyset, SqlBuilder, Tx};
use uuid::Uuid;

use crate::{
    AuditRecord, Error, Filter,
    spreadsheet::{actor_kind_word, outcome_word},
};

/// A row on its way in.
#[derive(Debug, Clone)]
pub(crate) struct NewRow {
    pub(crate) id: AuditEventId,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) occurred_at: DateTime<Utc>,
    pub(crate) actor_kind: ActorKind,
    pub(crate) actor_id: Option<String>,
    pub(crate) action: String,
    pub(crate) target_kind: String,
    pub(crate) target_id: Option<String>,
    pub(crate) outcome: Outcome,
    pub(crate) address: Option<String>,
    pub(crate) user_agent: Option<String>,
    pub(crate) request_id: Option<Uuid>,
    pub(crate) session_id: Option<Uuid>,
    pub(crate) changes: Option<Value>,
    pub(crate) metadata: Option<Value>,
}

/// 15 parameters a row: well below the 32,766 of SQLite and the 65,535 of PostgreSQL.
const ROWS_PER_STATEMENT: usize = 500;

/// Writes `rows` in their order, in one statement unless there are more than [`ROWS_PER_STATEMENT`].
pub(crate) async fn insert(tx: &mut Tx, rows: Vec<NewRow>) -> Result<(), stylobate_db::Error> {
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        let mut sql = tx.builder(
            "INSERT INTO audit_events (id, tenant_id, occurred_at, actor_kind, actor_id, action, target_kind, \
             target_id, outcome, address, user_agent, request_id, session_id, changes, metadata) VALUES ",
        );
        for (position, row) in rows.by_ref().take(ROWS_PER_STATEMENT).enumerate() {
            sql.push(if position == 0 { "(" } else { ", (" });
            sql.value(row.id.as_uuid()).push(", ").value(row.tenant.map(|tenant| tenant.as_uuid()));
            sql.push(", ").value(row.occurred_at).push(", ").value(actor_kind_word(row.actor_kind));
            sql.push(", ").value(row.actor_id).push(", ").value(row.action);
            sql.push(", ").value(row.target_kind).push(", ").value(row.target_id);
            sql.push(", ").value(outcome_word(row.outcome)).push(", ").value(row.address);
            sql.push(", ").value(row.user_agent).push(", ").value(row.request_id);
            sql.push(", ").value(row.session_id).push(", ").value(row.changes);
            sql.push(", ").value(row.metadata).push(")");
        }
        tx.q_build(sql).run().await?;
    }
    Ok(())
}

const SELECT: &str = "SELECT id, occurred_at, actor_kind, actor_id, action, target_kind, target_id, outcome, address, \
                      user_agent, request_id, session_id, changes, metadata FROM audit_events WHERE tenant_id = ";

/// A row on its way out.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct Row {
    pub(crate) id: Uuid,
    pub(crate) occurred_at: DateTime<Utc>,
    actor_kind: String,
    actor_id: Option<String>,
    action: String,
    target_kind: String,
    target_id: Option<String>,
    outcome: String,
    address: Option<String>,
    user_agent: Option<String>,
    request_id: Option<Uuid>,
    session_id: Option<Uuid>,
    changes: Option<Value>,
    metadata: Option<Value>,
}

impl AuditRecord {
    /// The record as the tenant is shown it, or whoever reads it `for_platform`.
    pub(crate) fn of(row: Row, for_platform: bool) -> Result<Self, Error> {
        let bad = |column| Error::RowInvalid { column, id: row.id };
        let actor_type =
            [ActorKind::System, ActorKind::User, ActorKind::ApiKey, ActorKind::Service, ActorKind::Anonymous]
                .into_iter()
                .find(|kind| actor_kind_word(*kind) == row.actor_kind)
                .ok_or_else(|| bad("actor_kind"))?;
        let outcome = [Outcome::Success, Outcome::Failure, Outcome::Denied]
            .into_iter()
            .find(|outcome| outcome_word(*outcome) == row.outcome)
            .ok_or_else(|| bad("outcome"))?;
        let ip_address = row.address.as_deref().map(str::parse).transpose().map_err(|_| bad("address"))?;
        Ok(Self {
            id: row.id.into(),
            occurred_at: row.occurred_at,
            actor_type,
            actor_id: row.actor_id,
            action: row.action,
            entity_type: row.target_kind,
            entity_id: row.target_id,
            is_success: outcome == Outcome::Success,
            outcome,
            ip_address,
            user_agent: row.user_agent,
            request_id: row.request_id.map(Into::into),
            session_id: row.session_id.map(Into::into),
            changes: row.changes,
            metadata: if for_platform { row.metadata } else { row.metadata.and_then(of_tenant) },
        })
    }
}

/// The facts that a tenant is shown: those who act for the platform are its operator's to know.
fn of_tenant(mut facts: Value) -> Option<Value> {
    if let Value::Object(fields) = &mut facts
        && fields.remove(AuditEvent::PLATFORM_ACTOR).is_some()
        && fields.is_empty()
    {
        return None;
    }
    Some(facts)
}

pub(crate) async fn find(conn: &mut Conn, tenant: TenantId, id: AuditEventId) -> Result<Option<Row>, Error> {
    let mut sql = conn.builder(SELECT);
    sql.value(tenant.as_uuid()).push(" AND id = ").value(id.as_uuid());
    Ok(conn.q_build(sql).opt().await?)
}

pub(crate) async fn list(
    conn: &mut Conn,
    tenant: TenantId,
    filter: &Filter,
    keyset: &Keyset,
) -> Result<Vec<Row>, Error> {
    let mut sql = conn.builder(SELECT);
    sql.value(tenant.as_uuid());
    narrow(&mut sql, filter);
    keyset.push(&mut sql);
    Ok(conn.q_build(sql).all().await?)
}

/// The `rows_max` rows before `before`, newest first, without the row `except`.
pub(crate) async fn chunk(
    conn: &mut Conn,
    tenant: TenantId,
    filter: &Filter,
    except: AuditEventId,
    before: Option<(DateTime<Utc>, Uuid)>,
    rows_max: u32,
) -> Result<Vec<Row>, Error> {
    let mut sql = conn.builder(SELECT);
    sql.value(tenant.as_uuid()).push(" AND id <> ").value(except.as_uuid());
    narrow(&mut sql, filter);
    if let Some((occurred_at, id)) = before {
        sql.push(" AND (occurred_at, id) < (").value(occurred_at).push(", ").value(id).push(")");
    }
    sql.push(" ORDER BY occurred_at DESC, id DESC").limit(i64::from(rows_max));
    Ok(conn.q_build(sql).all().await?)
}

fn narrow(sql: &mut SqlBuilder, filter: &Filter) {
    if let Some(actor_id) = &filter.actor_id {
        sql.push(" AND actor_id = ").value(actor_id.clone());
    }
    if let Some(kind) = filter.actor_type {
        sql.push(" AND actor_kind = ").value(actor_kind_word(kind));
    }
    if let Some(action) = &filter.action {
        sql.push(" AND action = ").value(action.clone());
    }
    if let Some(kind) = &filter.entity_type {
        sql.push(" AND target_kind = ").value(kind.clone());
    }
    if let Some(id) = &filter.entity_id {
        sql.push(" AND target_id = ").value(id.clone());
    }
    if let Some(id) = filter.request_id {
        sql.push(" AND request_id = ").value(id.as_uuid());
    }
    if let Some(is_success) = filter.is_success {
        sql.push(if is_success { " AND outcome = " } else { " AND outcome <> " });
        sql.value(outcome_word(Outcome::Success));
    }
    if let Some(outcome) = filter.outcome {
        sql.push(" AND outcome = ").value(outcome_word(outcome));
    }
    if let Some(from) = filter.started_after {
        sql.push(" AND occurred_at >= ").value(from);
    }
    if let Some(until) = filter.started_before {
        sql.push(" AND occurred_at < ").value(until);
    }
}
