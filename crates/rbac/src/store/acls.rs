use stylobate_core::{AclId, Page, TenantId};
use stylobate_db::{Conn, Keyset, KeysetKey, SqlBuilder, Tx};

use super::{
    Visible,
    columns::{End, Id, Said, Time, end, rule, shown_assignee},
    is_of, owners, readable_ids, tenant_uuid, total,
};
use crate::{AclEntry, AclQuery, Assignee, AssigneeKind, Effect, RbacError};

#[derive(sqlx::FromRow)]
struct AclRow {
    id: Id,
    tenant_id: Option<Id>,
    resource_kind: Said<String>,
    resource_id: Said<String>,
    subject_kind: Said<AssigneeKind>,
    subject_id: Id,
    permission_id: Id,
    effect: Said<Effect>,
    expires_at: End,
    created_at: Time,
    updated_at: Time,
}

impl From<AclRow> for AclEntry {
    fn from(row: AclRow) -> Self {
        let (effect, _) = rule(row.effect, None);
        Self {
            id: row.id.or_nil().into(),
            tenant_id: row.tenant_id.map(|id| id.or_nil().into()),
            resource_kind: row.resource_kind.0.unwrap_or_default(),
            resource_id: row.resource_id.0.unwrap_or_default(),
            assignee: shown_assignee(&row.subject_kind, row.subject_id),
            permission_id: row.permission_id.or_nil().into(),
            effect,
            expires_at: end(effect, row.expires_at),
            created_at: row.created_at.or_epoch(),
            updated_at: row.updated_at.or_epoch(),
        }
    }
}

/// Writes the rule, in the place of one with the same id.
pub(crate) async fn put(tx: &mut Tx, rule: &AclEntry) -> Result<(), RbacError> {
    tx.q("INSERT INTO acl_entries (id, tenant_id, resource_kind, resource_id, subject_kind, subject_id, permission_id, effect,
                                   expires_at, created_at, updated_at)
          VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
          ON CONFLICT (id) DO UPDATE SET effect = excluded.effect, expires_at = excluded.expires_at, updated_at = excluded.updated_at")
        .bind(rule.id.as_uuid())
        .bind(tenant_uuid(rule.tenant_id))
        .bind(rule.resource_kind.clone())
        .bind(rule.resource_id.clone())
        .bind(rule.assignee.kind.as_str())
        .bind(rule.assignee.id)
        .bind(rule.permission_id.as_uuid())
        .bind(rule.effect.as_str())
        .bind(rule.expires_at)
        .bind(rule.created_at)
        .bind(rule.updated_at)
        .run()
        .await
        .map_err(|error| RbacError::from(error).or_taken(RbacError::Stale, "permission"))?;
    Ok(())
}

pub(crate) async fn find(
    conn: &mut Conn,
    tenant: Option<TenantId>,
    id: AclId,
) -> Result<Option<AclEntry>, RbacError> {
    let row = conn
        .q("SELECT id, tenant_id, resource_kind, resource_id, subject_kind, subject_id, permission_id, effect, expires_at,
                   created_at, updated_at
            FROM acl_entries WHERE id = $1 AND (tenant_id = $2 OR tenant_id IS NULL)")
        .bind(id.as_uuid())
        .bind(tenant_uuid(tenant))
        .opt::<AclRow>()
        .await?;
    Ok(row.map(AclEntry::from))
}

/// The entry with the same owner, resource, subject and permission as `wanted`.
pub(crate) async fn find_same(conn: &mut Conn, wanted: &AclEntry) -> Result<Option<AclEntry>, RbacError> {
    let rows = conn
        .q("SELECT id, tenant_id, resource_kind, resource_id, subject_kind, subject_id, permission_id, effect, expires_at,
                   created_at, updated_at
            FROM acl_entries WHERE resource_kind = $1 AND resource_id = $2 AND subject_id = $3 AND subject_kind = $4
            AND permission_id = $5 AND (tenant_id = $6 OR tenant_id IS NULL)")
        .bind(wanted.resource_kind.clone())
        .bind(wanted.resource_id.clone())
        .bind(wanted.assignee.id)
        .bind(wanted.assignee.kind.as_str())
        .bind(wanted.permission_id.as_uuid())
        .bind(tenant_uuid(wanted.tenant_id))
        .all::<AclRow>()
        .await?;
    // SQLite shows the platform's rows as well.
    let own = rows.into_iter().find(|row| is_of(row.tenant_id, wanted.tenant_id));
    Ok(own.map(AclEntry::from))
}

/// The rules of exactly this owner for one subject.
pub(crate) async fn of_assignee(
    conn: &mut Conn,
    owner: Option<TenantId>,
    assignee: Assignee,
) -> Result<Vec<AclEntry>, RbacError> {
    let rows = conn
        .q("SELECT id, tenant_id, resource_kind, resource_id, subject_kind, subject_id, permission_id, effect, expires_at,
                   created_at, updated_at
            FROM acl_entries WHERE subject_id = $1 AND subject_kind = $2
            AND (tenant_id = $3 OR tenant_id IS NULL)")
        .bind(assignee.id)
        .bind(assignee.kind.as_str())
        .bind(tenant_uuid(owner))
        .all::<AclRow>()
        .await?;
    let own = rows.into_iter().filter(|row| is_of(row.tenant_id, owner));
    Ok(own.map(AclEntry::from).collect())
}

/// The rules for the groups of the tenant in which the subject is.
pub(crate) async fn by_groups(
    conn: &mut Conn,
    tenant: TenantId,
    subject: Assignee,
) -> Result<Vec<AclEntry>, RbacError> {
    let rows = conn
        .q("SELECT id, tenant_id, resource_kind, resource_id, subject_kind, subject_id, permission_id, effect, expires_at,
                   created_at, updated_at
            FROM acl_entries WHERE tenant_id = $1 AND subject_kind = 'group' AND subject_id IN (
                SELECT group_id FROM group_members WHERE tenant_id = $1 AND subject_id = $2 AND subject_kind = $3)")
        .bind(tenant.as_uuid())
        .bind(subject.id)
        .bind(subject.kind.as_str())
        .all::<AclRow>()
        .await?;
    Ok(rows.into_iter().map(AclEntry::from).collect())
}

pub(crate) async fn delete(tx: &mut Tx, rule: &AclEntry) -> Result<(), RbacError> {
    // Named by what is unique of it too: either may be what is damaged.
    tx.q("DELETE FROM acl_entries WHERE tenant_id IS NOT DISTINCT FROM $1
          AND (id = $2 OR (subject_id = $3 AND subject_kind = $4 AND permission_id = $5 AND resource_kind = $6
                           AND resource_id = $7))")
        .bind(tenant_uuid(rule.tenant_id))
        .bind(rule.id.as_uuid())
        .bind(rule.assignee.id)
        .bind(rule.assignee.kind.as_str())
        .bind(rule.permission_id.as_uuid())
        .bind(rule.resource_kind.clone())
        .bind(rule.resource_id.clone())
        .run()
        .await?;
    Ok(())
}

/// Deletes every entry of exactly this owner for one subject, and tells how many there were.
pub(crate) async fn delete_of_assignee(
    tx: &mut Tx,
    owner: Option<TenantId>,
    assignee: Assignee,
) -> Result<u64, RbacError> {
    let query = match owner {
        Some(tenant) => tx
            .q("DELETE FROM acl_entries WHERE subject_id = $1 AND subject_kind = $2 AND tenant_id = $3")
            .bind(assignee.id)
            .bind(assignee.kind.as_str())
            .bind(tenant.as_uuid()),
        None => tx
            .q("DELETE FROM acl_entries WHERE subject_id = $1 AND subject_kind = $2 AND tenant_id IS NULL")
            .bind(assignee.id)
            .bind(assignee.kind.as_str()),
    };
    Ok(query.run().await?)
}

/// The owners in whose policies the subject has entries; needs platform scope.
pub(crate) async fn owners_of(
    conn: &mut Conn,
    assignee: Assignee,
) -> Result<Vec<Option<TenantId>>, RbacError> {
    let rows = conn
        .q("SELECT tenant_id FROM acl_entries WHERE subject_id = $1 AND subject_kind = $2 GROUP BY tenant_id")
        .bind(assignee.id)
        .bind(assignee.kind.as_str())
        .all::<(Option<Id>,)>()
        .await?;
    Ok(owners(rows))
}

/// Lists the rules of `visible`.
pub(crate) async fn list(
    conn: &mut Conn,
    visible: Visible,
    query: &AclQuery,
) -> Result<Page<AclEntry>, RbacError> {
    let cursor = query.cursor.as_deref();
    let keyset = Keyset::new("created_at", "created_at", "id", true, query.direction, query.limit, cursor)?;
    let filters = |sql: &mut SqlBuilder| {
        sql.push(" WHERE ");
        visible.push(sql, "tenant_id");
        readable_ids(sql);
        if let Some(kind) = &query.resource_kind {
            sql.push(" AND resource_kind = ").value(kind.replace('\0', "\u{fffd}"));
        }
        if let Some(id) = &query.resource_id {
            sql.push(" AND resource_id = ").value(id.replace('\0', "\u{fffd}"));
        }
        if let Some(assignee) = query.assignee {
            sql.push(" AND subject_kind = ").value(assignee.kind.as_str());
            sql.push(" AND subject_id = ").value(assignee.id);
        }
        if let Some(permission) = query.permission_id {
            sql.push(" AND permission_id = ").value(permission.as_uuid());
        }
    };
    let mut sql = conn.builder(
        "SELECT id, tenant_id, resource_kind, resource_id, subject_kind, subject_id, permission_id, effect, expires_at,
                created_at, updated_at FROM acl_entries",
    );
    filters(&mut sql);
    keyset.push(&mut sql);
    let rows = conn.q_build(sql).all::<AclRow>().await?;
    let page = keyset.page(rows, |row| (KeysetKey::Time(row.created_at.or_epoch()), row.id.or_nil()));
    let total = if query.with_total { Some(total(conn, "acl_entries", filters).await?) } else { None };
    let items = page.items.into_iter().map(AclEntry::from).collect();
    Ok(Page { items, next_cursor: page.next_cursor, total })
}
