use stylobate_core::{Page, RoleId, TenantId};
use stylobate_db::{Conn, Keyset, KeysetKey, SqlBuilder, Tx};

use super::{
    Visible,
    columns::{Id, Said, Time},
    contains, readable_ids, tenant_uuid, total,
};
use crate::{Assignee, RbacError, Role, RoleOrder, RoleQuery};

#[derive(sqlx::FromRow)]
struct RoleRow {
    id: Id,
    tenant_id: Option<Id>,
    name: Said<String>,
    description: Option<Said<String>>,
    is_active: bool,
    version: i64,
    created_at: Time,
    updated_at: Time,
}

impl From<RoleRow> for Role {
    fn from(row: RoleRow) -> Self {
        Self {
            id: row.id.or_nil().into(),
            tenant_id: row.tenant_id.map(|id| id.or_nil().into()),
            name: row.name.or_empty(),
            description: row.description.map(Said::or_empty),
            is_active: row.is_active,
            version: row.version,
            created_at: row.created_at.or_epoch(),
            updated_at: row.updated_at.or_epoch(),
        }
    }
}

pub(crate) fn name_key(name: &str) -> String {
    name.to_ascii_lowercase()
}

pub(crate) async fn insert(tx: &mut Tx, role: &Role) -> Result<(), RbacError> {
    tx.q("INSERT INTO roles (id, tenant_id, name, name_key, description, is_active, version, created_at, updated_at)
          VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)")
        .bind(role.id.as_uuid())
        .bind(tenant_uuid(role.tenant_id))
        .bind(role.name.clone())
        .bind(name_key(&role.name))
        .bind(role.description.clone())
        .bind(role.is_active)
        .bind(role.version)
        .bind(role.created_at)
        .bind(role.updated_at)
        .run()
        .await
        .map_err(|error| RbacError::from(error).or_taken(RbacError::RoleNameTaken, "role"))?;
    Ok(())
}

/// The role, when it is the tenant's own or the platform's.
pub(crate) async fn find(
    conn: &mut Conn,
    tenant: Option<TenantId>,
    id: RoleId,
) -> Result<Option<Role>, RbacError> {
    let row = conn
        .q("SELECT id, tenant_id, name, description, is_active, version, created_at, updated_at FROM roles
            WHERE id = $1 AND (tenant_id = $2 OR tenant_id IS NULL)")
        .bind(id.as_uuid())
        .bind(tenant_uuid(tenant))
        .opt::<RoleRow>()
        .await?;
    Ok(row.map(Role::from))
}

/// The role of that name which belongs to exactly this owner.
pub(crate) async fn find_by_name(
    conn: &mut Conn,
    owner: Option<TenantId>,
    name: &str,
) -> Result<Option<Role>, RbacError> {
    let query = match owner {
        Some(tenant) => conn
            .q("SELECT id, tenant_id, name, description, is_active, version, created_at, updated_at FROM roles
                WHERE name_key = $1 AND tenant_id = $2")
            .bind(name_key(name))
            .bind(tenant.as_uuid()),
        None => conn
            .q("SELECT id, tenant_id, name, description, is_active, version, created_at, updated_at FROM roles
                WHERE name_key = $1 AND tenant_id IS NULL")
            .bind(name_key(name)),
    };
    // A row without an id is none that anything could be given to.
    Ok(query.opt::<RoleRow>().await?.filter(|row| row.id.0.is_some()).map(Role::from))
}

/// Whether `owner` has a row of that name, be it one that nothing else can be read of.
pub(crate) async fn is_name_taken(
    conn: &mut Conn,
    owner: Option<TenantId>,
    name: &str,
) -> Result<bool, RbacError> {
    let rows = match owner {
        Some(tenant) => conn
            .q("SELECT count(*) FROM roles WHERE name_key = $1 AND tenant_id = $2")
            .bind(name_key(name))
            .bind(tenant.as_uuid()),
        None => conn
            .q("SELECT count(*) FROM roles WHERE name_key = $1 AND tenant_id IS NULL")
            .bind(name_key(name)),
    };
    Ok(rows.scalar::<i64>().await? > 0)
}

/// The names of these roles, as far as they can be read.
#[cfg(feature = "casbin")]
pub(crate) async fn names(conn: &mut Conn, ids: &[RoleId]) -> Result<Vec<(RoleId, String)>, RbacError> {
    let mut names = Vec::with_capacity(ids.len());
    for some in ids.chunks(500) {
        let mut sql = conn.builder("SELECT id, name FROM roles WHERE id IN ");
        sql.list(some.iter().map(|role| role.as_uuid()));
        let rows = conn.q_build(sql).all::<(Id, Said<String>)>().await?;
        names.extend(rows.into_iter().filter_map(|(Id(id), Said(name))| Some((RoleId::from(id?), name?))));
    }
    Ok(names)
}

/// Writes what `role` says, if the row still has `seen` as version; tells whether it had.
pub(crate) async fn update(tx: &mut Tx, role: &Role, seen: i64) -> Result<bool, RbacError> {
    let changed = tx
        .q("UPDATE roles SET name = $1, name_key = $2, description = $3, is_active = $4, version = $5, updated_at = $6
            WHERE id = $7 AND version = $8 AND (tenant_id = $9 OR tenant_id IS NULL)")
        .bind(role.name.clone())
        .bind(name_key(&role.name))
        .bind(role.description.clone())
        .bind(role.is_active)
        .bind(role.version)
        .bind(role.updated_at)
        .bind(role.id.as_uuid())
        .bind(seen)
        .bind(tenant_uuid(role.tenant_id))
        .run()
        .await
        .map_err(|error| RbacError::from(error).or_taken(RbacError::RoleNameTaken, "role"))?;
    Ok(changed == 1)
}

/// Deletes the role; its links go with it.
pub(crate) async fn delete(tx: &mut Tx, role: &Role) -> Result<(), RbacError> {
    tx.q("DELETE FROM roles WHERE id = $1 AND (tenant_id = $2 OR tenant_id IS NULL)")
        .bind(role.id.as_uuid())
        .bind(tenant_uuid(role.tenant_id))
        .run()
        .await?;
    Ok(())
}

/// Lists the roles of `visible`; with `assigned`, only those that the subject has by an assignment of the second scope.
pub(crate) async fn list(
    conn: &mut Conn,
    visible: Visible,
    assigned: Option<(Assignee, Visible)>,
    query: &RoleQuery,
) -> Result<Page<Role>, RbacError> {
    let (name, column, is_time) = match query.order_by {
        RoleOrder::Name => ("name", "name_key", false),
        RoleOrder::CreatedAt => ("created_at", "created_at", true),
    };
    let keyset =
        Keyset::new(name, column, "id", is_time, query.direction, query.limit, query.cursor.as_deref())?;
    let filters = |sql: &mut SqlBuilder| {
        sql.push(" WHERE ");
        visible.push(sql, "roles.tenant_id");
        readable_ids(sql);
        if let Some(is_active) = query.is_active {
            sql.push(" AND is_active = ").value(is_active);
        }
        if let Some(search) = &query.search {
            sql.push(" AND name_key LIKE ").value(contains(search)).push(r" ESCAPE '\'");
        }
        if let Some((assignee, scope)) = assigned {
            sql.push(" AND EXISTS (SELECT 1 FROM role_assignments AS a WHERE a.role_id = roles.id AND a.subject_kind = ");
            sql.value(assignee.kind.as_str()).push(" AND a.subject_id = ").value(assignee.id).push(" AND ");
            scope.push(sql, "a.tenant_id");
            sql.push(")");
        }
    };
    let mut sql = conn.builder(
        "SELECT id, tenant_id, name, description, is_active, version, created_at, updated_at FROM roles",
    );
    filters(&mut sql);
    keyset.push(&mut sql);
    let rows = conn.q_build(sql).all::<RoleRow>().await?;
    let mut page = keyset.page(rows, |row| match query.order_by {
        RoleOrder::Name => {
            (KeysetKey::Text(name_key(row.name.0.as_deref().unwrap_or_default())), row.id.or_nil())
        }
        RoleOrder::CreatedAt => (KeysetKey::Time(row.created_at.or_epoch()), row.id.or_nil()),
    });
    if query.with_total {
        page.total = Some(total(conn, "roles", filters).await?);
    }
    Ok(page.map(Role::from))
}
