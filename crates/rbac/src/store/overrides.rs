use stylobate_core::{OverrideId, Page, PermissionId, TenantId};
use stylobate_db::{Conn, Keyset, KeysetKey, SqlBuilder, Tx};

use super::{
    Visible,
    columns::{End, Id, Said, Time, end, rule, shown_assignee},
    is_of, owners, readable_ids, tenant_uuid, total,
};
use crate::{
    Assignee, AssigneeKind, Condition, Effect, Override, OverrideQuery, RbacError, model::condition_text,
};

#[derive(sqlx::FromRow)]
struct OverrideRow {
    id: Id,
    tenant_id: Option<Id>,
    subject_kind: Said<AssigneeKind>,
    subject_id: Id,
    permission_id: Id,
    effect: Said<Effect>,
    condition: Option<Said<Condition>>,
    expires_at: End,
    created_at: Time,
    updated_at: Time,
}

impl From<OverrideRow> for Override {
    fn from(row: OverrideRow) -> Self {
        let (effect, condition) = rule(row.effect, row.condition);
        Self {
            id: row.id.or_nil().into(),
            tenant_id: row.tenant_id.map(|id| id.or_nil().into()),
            assignee: shown_assignee(&row.subject_kind, row.subject_id),
            permission_id: row.permission_id.or_nil().into(),
            effect,
            condition,
            expires_at: end(effect, row.expires_at),
            created_at: row.created_at.or_epoch(),
            updated_at: row.updated_at.or_epoch(),
        }
    }
}

/// Writes the rule, in the place of one with the same id.
pub(crate) async fn put(tx: &mut Tx, rule: &Override) -> Result<(), RbacError> {
    tx.q("INSERT INTO permission_overrides (id, tenant_id, subject_kind, subject_id, permission_id, effect, condition,
                                            expires_at, created_at, updated_at)
          VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
          ON CONFLICT (id) DO UPDATE SET effect = excluded.effect, condition = excluded.condition,
              expires_at = excluded.expires_at, updated_at = excluded.updated_at")
        .bind(rule.id.as_uuid())
        .bind(tenant_uuid(rule.tenant_id))
        .bind(rule.assignee.kind.as_str())
        .bind(rule.assignee.id)
        .bind(rule.permission_id.as_uuid())
        .bind(rule.effect.as_str())
        .bind(condition_text(rule.condition.as_ref())?)
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
    id: OverrideId,
) -> Result<Option<Override>, RbacError> {
    let row = conn
        .q("SELECT id, tenant_id, subject_kind, subject_id, permission_id, effect, condition, expires_at, created_at,
                   updated_at
            FROM permission_overrides WHERE id = $1 AND (tenant_id = $2 OR tenant_id IS NULL)")
        .bind(id.as_uuid())
        .bind(tenant_uuid(tenant))
        .opt::<OverrideRow>()
        .await?;
    Ok(row.map(Override::from))
}

/// The rule of exactly this owner.
pub(crate) async fn find_pair(
    conn: &mut Conn,
    owner: Option<TenantId>,
    assignee: Assignee,
    permission: PermissionId,
) -> Result<Option<Override>, RbacError> {
    let row = conn
        .q("SELECT id, tenant_id, subject_kind, subject_id, permission_id, effect, condition, expires_at, created_at,
                   updated_at
            FROM permission_overrides WHERE subject_id = $1 AND subject_kind = $2 AND permission_id = $3
            AND (tenant_id = $4 OR tenant_id IS NULL) ORDER BY tenant_id")
        .bind(assignee.id)
        .bind(assignee.kind.as_str())
        .bind(permission.as_uuid())
        .bind(tenant_uuid(owner))
        .all::<OverrideRow>()
        .await?;
    // SQLite shows the platform's rows as well.
    let own = row.into_iter().find(|row| is_of(row.tenant_id, owner));
    Ok(own.map(Override::from))
}

/// The rules of exactly this owner for one subject.
pub(crate) async fn of_assignee(
    conn: &mut Conn,
    owner: Option<TenantId>,
    assignee: Assignee,
) -> Result<Vec<Override>, RbacError> {
    let rows = conn
        .q("SELECT id, tenant_id, subject_kind, subject_id, permission_id, effect, condition, expires_at, created_at,
                   updated_at
            FROM permission_overrides WHERE subject_id = $1 AND subject_kind = $2
            AND (tenant_id = $3 OR tenant_id IS NULL)")
        .bind(assignee.id)
        .bind(assignee.kind.as_str())
        .bind(tenant_uuid(owner))
        .all::<OverrideRow>()
        .await?;
    let own = rows.into_iter().filter(|row| is_of(row.tenant_id, owner));
    Ok(own.map(Override::from).collect())
}

/// The rules for the groups of the tenant in which the subject is.
pub(crate) async fn by_groups(
    conn: &mut Conn,
    tenant: TenantId,
    subject: Assignee,
) -> Result<Vec<Override>, RbacError> {
    let rows = conn
        .q("SELECT id, tenant_id, subject_kind, subject_id, permission_id, effect, condition, expires_at, created_at,
                   updated_at
            FROM permission_overrides WHERE tenant_id = $1 AND subject_kind = 'group' AND subject_id IN (
                SELECT group_id FROM group_members WHERE tenant_id = $1 AND subject_id = $2 AND subject_kind = $3)")
        .bind(tenant.as_uuid())
        .bind(subject.id)
        .bind(subject.kind.as_str())
        .all::<OverrideRow>()
        .await?;
    Ok(rows.into_iter().map(Override::from).collect())
}

pub(crate) async fn delete(tx: &mut Tx, rule: &Override) -> Result<(), RbacError> {
    // Named by what is unique of it too: either may be what is damaged.
    tx.q("DELETE FROM permission_overrides WHERE tenant_id IS NOT DISTINCT FROM $1
          AND (id = $2 OR (subject_id = $3 AND subject_kind = $4 AND permission_id = $5))")
        .bind(tenant_uuid(rule.tenant_id))
        .bind(rule.id.as_uuid())
        .bind(rule.assignee.id)
        .bind(rule.assignee.kind.as_str())
        .bind(rule.permission_id.as_uuid())
        .run()
        .await?;
    Ok(())
}

/// The owners in whose policies the subject has rules of its own; needs platform scope.
pub(crate) async fn owners_of(
    conn: &mut Conn,
    assignee: Assignee,
) -> Result<Vec<Option<TenantId>>, RbacError> {
    let rows = conn
        .q("SELECT tenant_id FROM permission_overrides WHERE subject_id = $1 AND subject_kind = $2 GROUP BY tenant_id")
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
    query: &OverrideQuery,
) -> Result<Page<Override>, RbacError> {
    let cursor = query.cursor.as_deref();
    let keyset = Keyset::new("created_at", "created_at", "id", true, query.direction, query.limit, cursor)?;
    let filters = |sql: &mut SqlBuilder| {
        sql.push(" WHERE ");
        visible.push(sql, "tenant_id");
        readable_ids(sql);
        if let Some(assignee) = query.assignee {
            sql.push(" AND subject_kind = ").value(assignee.kind.as_str());
            sql.push(" AND subject_id = ").value(assignee.id);
        }
        if let Some(permission) = query.permission_id {
            sql.push(" AND permission_id = ").value(permission.as_uuid());
        }
    };
    let mut sql = conn.builder(
        "SELECT id, tenant_id, subject_kind, subject_id, permission_id, effect, condition, expires_at, created_at,
                updated_at FROM permission_overrides",
    );
    filters(&mut sql);
    keyset.push(&mut sql);
    let rows = conn.q_build(sql).all::<OverrideRow>().await?;
    let page = keyset.page(rows, |row| (KeysetKey::Time(row.created_at.or_epoch()), row.id.or_nil()));
    let total =
        if query.with_total { Some(total(conn, "permission_overrides", filters).await?) } else { None };
    let items = page.items.into_iter().map(Override::from).collect();
    Ok(Page { items, next_cursor: page.next_cursor, total })
}
