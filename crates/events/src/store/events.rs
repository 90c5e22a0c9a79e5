use stylobate_core::{EventId, TenantId};
use stylobate_db::{Conn, Error, Keyset, SqlBuilder};
use uuid::Uuid;

use crate::{EventQuery, record::EventRow};

/// The events of a tenant, or those of the platform.
fn push_tenant(sql: &mut SqlBuilder, tenant: Option<TenantId>) {
    match tenant {
        Some(tenant) => sql.push(" e.tenant_id = ").value(tenant.as_uuid()),
        None => sql.push(" e.tenant_id IS NULL"),
    };
}

const SELECT: &str = "SELECT e.ordinal, e.id, e.tenant_id, a.aggregate, e.sequence, e.type, e.version, \
                      e.occurred_at, e.written_at, e.actor_kind, e.actor_id, e.trace, e.data \
                      FROM events AS e JOIN event_aggregates AS a ON a.id = e.aggregate_id WHERE";

pub(crate) fn push_list(sql: &mut SqlBuilder, tenant: Option<TenantId>, query: &EventQuery, keyset: &Keyset) {
    sql.push(SELECT);
    push_tenant(sql, tenant);
    if let Some(kind) = &query.kind {
        sql.push(" AND e.type = ").value(kind.clone());
    }
    if let Some(subject) = &query.subject {
        let lane = tenant.map_or(Uuid::nil(), |tenant| tenant.as_uuid());
        sql.push(" AND e.aggregate_id = (SELECT s.id FROM event_aggregates AS s WHERE s.lane = ").value(lane);
        sql.push(" AND s.aggregate = ").value(subject.clone()).push(")");
    }
    if let Some(from) = query.from {
        sql.push(" AND e.occurred_at >= ").value(from);
    }
    if let Some(to) = query.to {
        sql.push(" AND e.occurred_at < ").value(to);
    }
    keyset.push(sql);
}

pub(crate) async fn list(
    conn: &mut Conn,
    tenant: Option<TenantId>,
    query: &EventQuery,
    keyset: &Keyset,
) -> Result<Vec<EventRow>, Error> {
    let mut sql = conn.builder("");
    push_list(&mut sql, tenant, query, keyset);
    conn.q_build(sql).all().await
}

pub(crate) async fn find(
    conn: &mut Conn,
    tenant: Option<TenantId>,
    id: EventId,
) -> Result<Option<EventRow>, Error> {
    let mut sql = conn.builder(SELECT);
    push_tenant(&mut sql, tenant);
    sql.push(" AND e.id = ").value(id.as_uuid());
    conn.q_build(sql).opt().await
}
