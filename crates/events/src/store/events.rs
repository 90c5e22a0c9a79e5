use stylobate_core::{EventId, TenantId};
use stylobate_db::{Conn, Error, SqlBuilder};
use uuid::Uuid;

use crate::record::EventRow;

/// How many events a list with filters looks through for a page.
pub(crate) const LOOKED_THROUGH: i64 = 10_000;

/// Which part of the events of a lane a list shows, newest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Part {
    /// The tenant, or the nil id.
    pub(crate) lane: Uuid,
    /// From this id on.
    pub(crate) from: Option<Uuid>,
    /// Before this id.
    pub(crate) before: Option<Uuid>,
    pub(crate) kind: Option<String>,
    pub(crate) subject: Option<String>,
    pub(crate) most: i64,
}

impl Part {
    pub(crate) fn has_filter(&self) -> bool {
        self.kind.is_some() || self.subject.is_some()
    }

    fn push_range(&self, sql: &mut SqlBuilder) {
        sql.push(" WHERE e.lane = ").value(self.lane);
        if let Some(from) = self.from {
            sql.push(" AND e.id >= ").value(from);
        }
        if let Some(before) = self.before {
            sql.push(" AND e.id < ").value(before);
        }
    }
}

pub(crate) fn lane(tenant: Option<TenantId>) -> Uuid {
    tenant.map_or(Uuid::nil(), |tenant| tenant.as_uuid())
}

const COLUMNS: &str = "SELECT e.ordinal, e.id, e.lane, a.aggregate, e.sequence, e.type, e.version, e.occurred_at, \
                       e.written_at, e.actor_kind, e.actor_id, e.trace, e.data FROM ";

/// Adds the statement that finds the last event that is looked through, if there are more.
pub(crate) fn push_edge(sql: &mut SqlBuilder, part: &Part) {
    sql.push("SELECT e.id FROM events AS e");
    part.push_range(sql);
    sql.push(" ORDER BY e.lane DESC, e.id DESC LIMIT 1 OFFSET ").value(LOOKED_THROUGH - 1);
}

pub(crate) async fn edge(conn: &mut Conn, part: &Part) -> Result<Option<Uuid>, Error> {
    let mut sql = conn.builder("");
    push_edge(&mut sql, part);
    conn.q_build(sql).scalar_opt().await
}

pub(crate) fn push_list(sql: &mut SqlBuilder, part: &Part) {
    sql.push(COLUMNS);
    if part.has_filter() {
        // Whatever the engine believes about the filter: it looks through the part and not through the table.
        sql.push(
            "(SELECT e.lane, e.id, e.ordinal, e.aggregate_id, e.sequence, e.type, e.version, e.occurred_at, e.written_at, \
             e.actor_kind, e.actor_id, e.trace, e.data FROM events AS e",
        );
        part.push_range(sql);
        sql.push(" ORDER BY e.lane DESC, e.id DESC").limit(LOOKED_THROUGH);
        sql.push(") AS e JOIN event_aggregates AS a ON a.id = e.aggregate_id WHERE 1 = 1");
    } else {
        sql.push("events AS e JOIN event_aggregates AS a ON a.id = e.aggregate_id");
        part.push_range(sql);
    }
    if let Some(kind) = &part.kind {
        sql.push(" AND e.type = ").value(kind.clone());
    }
    if let Some(subject) = &part.subject {
        sql.push(" AND e.aggregate_id = (SELECT s.id FROM event_aggregates AS s WHERE s.lane = ")
            .value(part.lane);
        sql.push(" AND s.aggregate = ").value(subject.clone()).push(")");
    }
    sql.push(" ORDER BY e.lane DESC, e.id DESC").limit(part.most);
}

pub(crate) async fn list(conn: &mut Conn, part: &Part) -> Result<Vec<EventRow>, Error> {
    let mut sql = conn.builder("");
    push_list(&mut sql, part);
    conn.q_build(sql).all().await
}

pub(crate) async fn find(
    conn: &mut Conn,
    tenant: Option<TenantId>,
    id: EventId,
) -> Result<Option<EventRow>, Error> {
    let mut sql = conn.builder(COLUMNS);
    sql.push("events AS e JOIN event_aggregates AS a ON a.id = e.aggregate_id WHERE e.lane = ")
        .value(lane(tenant))
        .push(" AND e.id = ")
        .value(id.as_uuid());
    conn.q_build(sql).opt().await
}
