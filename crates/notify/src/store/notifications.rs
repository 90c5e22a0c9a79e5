use chrono::{DateTime, Utc};
use serde_json::Value;
use stylobate_core::{Cursor, CursorInvalid, NotificationId, Page, PersonId, TenantId};
use stylobate_db::{Conn, Error, SqlBuilder, Tx};
use uuid::Uuid;

use super::{bad_row, tenant_of};
use crate::{Category, Notification, NotificationQuery, NotifierError, Severity};

const COLUMNS: &str = "id, lane, person_id, position, category, severity, kind, title, body, link, entity_type, entity_id, \
     sender_id, created_at, read_at";
const ORDER: &str = "position.desc";

/// Counting ends there: nobody reads more.
pub(crate) const UNREAD_MAX: i64 = 1_000;

#[derive(sqlx::FromRow)]
struct NotificationRow {
    id: Uuid,
    lane: Uuid,
    person_id: Uuid,
    position: i64,
    category: String,
    severity: String,
    kind: String,
    title: String,
    body: String,
    link: Option<String>,
    entity_type: Option<String>,
    entity_id: Option<String>,
    sender_id: Option<Uuid>,
    created_at: DateTime<Utc>,
    read_at: Option<DateTime<Utc>>,
}

impl TryFrom<NotificationRow> for Notification {
    type Error = Error;

    fn try_from(row: NotificationRow) -> Result<Self, Error> {
        let bad = |column| bad_row(column, row.id);
        Ok(Self {
            id: row.id.into(),
            tenant_id: tenant_of(row.lane),
            person_id: row.person_id.into(),
            position: row.position,
            category: Category::named(&row.category).ok_or(bad("notifications.category"))?,
            severity: Severity::named(&row.severity).ok_or(bad("notifications.severity"))?,
            kind: row.kind,
            title: row.title,
            body: row.body,
            link: row.link,
            entity_type: row.entity_type,
            entity_id: row.entity_id,
            sender_id: row.sender_id.map(Into::into),
            created_at: row.created_at,
            read_at: row.read_at,
        })
    }
}

/// Whose notifications somebody sees: their own, and of these, acting for a tenant, that tenant's and nobody's. One without a kind is
/// what is left where a tenant is gone, a position that is not given again, and is shown to nobody.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    pub(crate) person: PersonId,
    pub(crate) tenant: Option<TenantId>,
}

impl View {
    fn push(self, sql: &mut SqlBuilder) {
        sql.push(" kind <> '' AND person_id = ").value(self.person.as_uuid());
        if let Some(tenant) = self.tenant {
            sql.push(" AND lane IN (").value(tenant.as_uuid()).push(", ").value(Uuid::nil()).push(")");
        }
    }
}

/// Writes notifications, at most one of each person, behind their others. Whoever does holds the locks of the people.
pub(crate) async fn insert(tx: &mut Tx, new: &[&Notification]) -> Result<(), Error> {
    let mut sql = tx.builder(
        "INSERT INTO notifications (id, lane, person_id, position, category, severity, kind, title, body, link, entity_type, \
         entity_id, sender_id, created_at, read_at) VALUES ",
    );
    for (n, one) in new.iter().enumerate() {
        let person = one.person_id.as_uuid();
        sql.push(if n == 0 { "(" } else { ", (" }).value(one.id.as_uuid());
        sql.push(", ").value(super::lane(one.tenant_id)).push(", ").value(person);
        sql.push(", (SELECT coalesce(max(n.position), 0) + 1 FROM notifications n WHERE n.person_id = ")
            .value(person);
        sql.push("), ").value(one.category.name()).push(", ").value(one.severity.name());
        sql.push(", ")
            .value(one.kind.clone())
            .push(", ")
            .value(one.title.clone())
            .push(", ")
            .value(one.body.clone());
        sql.push(", ").value(one.link.clone()).push(", ").value(one.entity_type.clone());
        sql.push(", ").value(one.entity_id.clone());
        sql.push(", ").value(one.sender_id.map(|sender| sender.as_uuid()));
        sql.push(", ").value(one.created_at).push(", NULL)");
    }
    tx.q_build(sql).run().await?;
    Ok(())
}

pub(crate) async fn list(
    conn: &mut Conn,
    view: View,
    query: &NotificationQuery,
) -> Result<Page<Notification>, NotifierError> {
    let mut sql = conn.builder("SELECT ");
    sql.push(COLUMNS).push(" FROM notifications WHERE");
    view.push(&mut sql);
    if query.unread_only {
        sql.push(" AND read_at IS NULL");
    }
    if let Some(text) = &query.cursor {
        let before = Cursor::decode(text, ORDER)?.key.as_i64().ok_or(CursorInvalid)?;
        sql.push(" AND position < ").value(before);
    }
    // One more than asked tells whether there is another page.
    let limit = usize::from(query.limit.get());
    sql.push(" ORDER BY position DESC").limit(i64::from(query.limit.get()) + 1);
    let mut rows = conn.q_build(sql).all::<NotificationRow>().await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next_cursor = rows.last().filter(|_| more).map(|last| Cursor {
        order: ORDER.to_owned(),
        key: Value::from(last.position),
        id: last.id,
    });
    Ok(Page { items: rows.into_iter().filter_map(readable).collect(), next_cursor, total: None })
}

/// The notification, if this version can read it: a newer one may know more categories.
fn readable(row: NotificationRow) -> Option<Notification> {
    let id = row.id;
    match Notification::try_from(row) {
        Ok(found) => Some(found),
        Err(error) => {
            tracing::error!(notify.notification = %id, %error, "a notification cannot be read");
            None
        }
    }
}

/// The next up to `most` after `position`, the oldest first.
pub(crate) async fn after(
    conn: &mut Conn,
    view: View,
    mut position: i64,
    most: i64,
) -> Result<Vec<Notification>, Error> {
    loop {
        let mut sql = conn.builder("SELECT ");
        sql.push(COLUMNS).push(" FROM notifications WHERE");
        view.push(&mut sql);
        sql.push(" AND position > ").value(position).push(" ORDER BY position").limit(most);
        let rows = conn.q_build(sql).all::<NotificationRow>().await?;
        let last = rows.last().map(|row| row.position);
        let found: Vec<_> = rows.into_iter().filter_map(readable).collect();
        match last {
            // Behind those that cannot be read there may be others.
            Some(last) if found.is_empty() => position = last,
            _ => return Ok(found),
        }
    }
}

/// The position of the person's last one; 0 when there is none.
pub(crate) async fn last_position(conn: &mut Conn, person: PersonId) -> Result<i64, Error> {
    conn.q("SELECT coalesce(max(position), 0) FROM notifications WHERE person_id = $1")
        .bind(person.as_uuid())
        .scalar()
        .await
}

/// Whose notifications came since `time`, with the position of the last.
pub(crate) async fn changed_since(
    conn: &mut Conn,
    time: DateTime<Utc>,
) -> Result<Vec<(PersonId, i64)>, Error> {
    let rows: Vec<(Uuid, i64)> = conn
        .q("SELECT person_id, max(position) FROM notifications WHERE created_at > $1 GROUP BY person_id")
        .bind(time)
        .all()
        .await?;
    Ok(rows.into_iter().map(|(person, position)| (person.into(), position)).collect())
}

pub(crate) async fn unread(conn: &mut Conn, view: View) -> Result<i64, Error> {
    let mut sql = conn.builder("SELECT CAST(count(*) AS bigint) FROM (SELECT id FROM notifications WHERE");
    view.push(&mut sql);
    sql.push(" AND read_at IS NULL").limit(UNREAD_MAX).push(") few");
    conn.q_build(sql).scalar().await
}

/// Marks one as read; `None` when there is none, `false` when it was already.
pub(crate) async fn read(
    tx: &mut Tx,
    view: View,
    id: NotificationId,
    now: DateTime<Utc>,
) -> Result<Option<(Notification, bool)>, Error> {
    let mut sql = tx.builder("UPDATE notifications SET read_at = ");
    sql.value(now).push(" WHERE read_at IS NULL AND id = ").value(id.as_uuid()).push(" AND");
    view.push(&mut sql);
    let is_news = tx.q_build(sql).run().await? == 1;
    let mut sql = tx.builder("SELECT ");
    sql.push(COLUMNS).push(" FROM notifications WHERE id = ").value(id.as_uuid()).push(" AND");
    view.push(&mut sql);
    let row = tx.q_build(sql).opt::<NotificationRow>().await?;
    Ok(row.map(Notification::try_from).transpose()?.map(|found| (found, is_news)))
}

/// Marks all of them as read; returns how many were not.
pub(crate) async fn read_all(tx: &mut Tx, view: View, now: DateTime<Utc>) -> Result<u64, Error> {
    let mut sql = tx.builder("UPDATE notifications SET read_at = ");
    sql.value(now).push(" WHERE read_at IS NULL AND");
    view.push(&mut sql);
    tx.q_build(sql).run().await
}

pub(crate) async fn remove_of(tx: &mut Tx, person: PersonId) -> Result<u64, Error> {
    tx.q("DELETE FROM notifications WHERE person_id = $1").bind(person.as_uuid()).run().await
}
