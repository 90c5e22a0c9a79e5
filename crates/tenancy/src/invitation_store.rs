//! Every statement on `invitations`.

use chrono::{DateTime, Utc};
use stylobate_core::{InvitationId, Page, PersonId, TenantId};
use stylobate_db::{Conn, Keyset, KeysetKey, SqlBuilder, Tx};
use uuid::Uuid;

use crate::{
    Error, Invitation, InvitationFilter, InvitationStatus, NewInvitation, org_store::COUNT_MAX,
    search::contains,
};

#[derive(sqlx::FromRow)]
struct InvitationRow {
    id: Uuid,
    tenant_id: Uuid,
    email: String,
    role_id: Option<Uuid>,
    invited_by: Option<Uuid>,
    status: String,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    accepted_at: Option<DateTime<Utc>>,
    accepted_by: Option<Uuid>,
}

impl TryFrom<InvitationRow> for Invitation {
    type Error = Error;

    fn try_from(row: InvitationRow) -> Result<Self, Error> {
        let status = InvitationStatus::from_word(&row.status);
        let status =
            status.ok_or(Error::RowInvalid { table: "invitations", column: "status", id: row.id })?;
        Ok(Self {
            id: row.id.into(),
            tenant_id: row.tenant_id.into(),
            email: row.email,
            role_id: row.role_id.map(Into::into),
            invited_by: row.invited_by.map(Into::into),
            status,
            created_at: row.created_at,
            expires_at: row.expires_at,
            accepted_at: row.accepted_at,
            accepted_by: row.accepted_by.map(Into::into),
        })
    }
}

/// Takes back the pending invitation of an address whose time has passed, so that it is not in the way of a new one; tells which.
pub(crate) async fn retire(
    tx: &mut Tx,
    tenant: TenantId,
    email_key: &str,
    now: DateTime<Utc>,
) -> Result<Option<InvitationId>, Error> {
    let retired: Option<Uuid> = tx
        .q("UPDATE invitations SET status = 'revoked' \
            WHERE tenant_id = $1 AND email_key = $2 AND status = 'pending' AND expires_at <= $3 RETURNING id")
        .bind(tenant.as_uuid())
        .bind(email_key.to_owned())
        .bind(now)
        .scalar_opt()
        .await?;
    Ok(retired.map(InvitationId::from_uuid))
}

/// Adds a pending invitation, unless the address has one; tells whether it was added.
pub(crate) async fn insert(
    tx: &mut Tx,
    id: InvitationId,
    tenant: TenantId,
    invited_by: Option<PersonId>,
    new: &NewInvitation,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let rows = tx
        .q("INSERT INTO invitations (id, tenant_id, email, email_key, role_id, invited_by, status, created_at, expires_at) \
            VALUES ($1, $2, $3, $4, $5, $6, 'pending', $7, $8) \
            ON CONFLICT (tenant_id, email_key) WHERE status = 'pending' DO NOTHING")
        .bind(id.as_uuid())
        .bind(tenant.as_uuid())
        .bind(new.email.clone())
        .bind(new.email_key.clone())
        .bind(new.role_id.map(|role| role.as_uuid()))
        .bind(invited_by.map(|person| person.as_uuid()))
        .bind(now)
        .bind(new.expires_at)
        .run()
        .await?;
    Ok(rows == 1)
}

pub(crate) async fn find(
    conn: &mut Conn,
    tenant: TenantId,
    id: InvitationId,
) -> Result<Option<Invitation>, Error> {
    let row: Option<InvitationRow> = conn
        .q("SELECT id, tenant_id, email, role_id, invited_by, status, created_at, expires_at, accepted_at, accepted_by \
            FROM invitations WHERE tenant_id = $1 AND id = $2")
        .bind(tenant.as_uuid())
        .bind(id.as_uuid())
        .opt()
        .await?;
    row.map(Invitation::try_from).transpose()
}

pub(crate) async fn find_pending(
    conn: &mut Conn,
    tenant: TenantId,
    email_key: &str,
    now: DateTime<Utc>,
) -> Result<Option<Invitation>, Error> {
    let row: Option<InvitationRow> = conn
        .q("SELECT id, tenant_id, email, role_id, invited_by, status, created_at, expires_at, accepted_at, accepted_by \
            FROM invitations WHERE tenant_id = $1 AND email_key = $2 AND status = 'pending' AND expires_at > $3")
        .bind(tenant.as_uuid())
        .bind(email_key.to_owned())
        .bind(now)
        .opt()
        .await?;
    row.map(Invitation::try_from).transpose()
}

pub(crate) async fn list(
    conn: &mut Conn,
    tenant: TenantId,
    filter: &InvitationFilter,
    keyset: &Keyset,
    now: DateTime<Utc>,
) -> Result<Page<Invitation>, Error> {
    let mut sql = conn.builder(
        "SELECT id, tenant_id, email, role_id, invited_by, status, created_at, expires_at, accepted_at, accepted_by \
         FROM invitations WHERE tenant_id = ",
    );
    sql.value(tenant.as_uuid());
    push_filter(&mut sql, filter, now);
    keyset.push(&mut sql);
    let rows: Vec<InvitationRow> = conn.q_build(sql).all().await?;
    let page = keyset.page(rows, |row| (KeysetKey::Time(row.created_at), row.id));
    let items = page.items.into_iter().map(Invitation::try_from).collect::<Result<_, _>>()?;
    Ok(Page { items, next_cursor: page.next_cursor, total: page.total })
}

pub(crate) async fn count(
    conn: &mut Conn,
    tenant: TenantId,
    filter: &InvitationFilter,
    now: DateTime<Utc>,
) -> Result<u64, Error> {
    let mut sql = conn.builder("SELECT count(*) FROM (SELECT id FROM invitations WHERE tenant_id = ");
    sql.value(tenant.as_uuid());
    push_filter(&mut sql, filter, now);
    sql.limit(COUNT_MAX).push(") AS counted");
    let count: i64 = conn.q_build(sql).scalar().await?;
    Ok(count.unsigned_abs())
}

fn push_filter(sql: &mut SqlBuilder, filter: &InvitationFilter, now: DateTime<Utc>) {
    if let Some(status) = filter.status {
        sql.push(" AND status = ").value(status.as_str());
    }
    match filter.is_open {
        Some(true) => {
            sql.push(" AND status = 'pending' AND expires_at > ").value(now);
        }
        Some(false) => {
            sql.push(" AND (status <> 'pending' OR expires_at <= ").value(now).push(")");
        }
        None => {}
    }
    if let Some(search) = &filter.search {
        sql.push(" AND email_key LIKE ").value(contains(search)).push(r" ESCAPE '\'");
    }
}

/// Lets a pending invitation count until `expires_at`, or for as long as it does already; tells until when, if it was pending. Of
/// several at once the longest stands: the row is compared with when it is written.
pub(crate) async fn renew(
    tx: &mut Tx,
    tenant: TenantId,
    id: InvitationId,
    expires_at: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, Error> {
    Ok(tx
        .q("UPDATE invitations SET expires_at = CASE WHEN expires_at > $3 THEN expires_at ELSE $3 END \
            WHERE tenant_id = $1 AND id = $2 AND status = 'pending' RETURNING expires_at")
        .bind(tenant.as_uuid())
        .bind(id.as_uuid())
        .bind(expires_at)
        .scalar_opt()
        .await?)
}

/// Marks an open invitation accepted; of many at once one does.
pub(crate) async fn accept(
    tx: &mut Tx,
    tenant: TenantId,
    id: InvitationId,
    person: PersonId,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let rows = tx
        .q("UPDATE invitations SET status = 'accepted', accepted_at = $3, accepted_by = $4 \
            WHERE tenant_id = $1 AND id = $2 AND status = 'pending' AND expires_at > $3")
        .bind(tenant.as_uuid())
        .bind(id.as_uuid())
        .bind(now)
        .bind(person.as_uuid())
        .run()
        .await?;
    Ok(rows == 1)
}

/// Takes a pending invitation back; tells whether it was pending.
pub(crate) async fn revoke(tx: &mut Tx, tenant: TenantId, id: InvitationId) -> Result<bool, Error> {
    let rows = tx
        .q("UPDATE invitations SET status = 'revoked' WHERE tenant_id = $1 AND id = $2 AND status = 'pending'")
        .bind(tenant.as_uuid())
        .bind(id.as_uuid())
        .run()
        .await?;
    Ok(rows == 1)
}

/// Forgets the invitations that `person` accepted, which hold their address, and who invited where it was `person`.
pub(crate) async fn forget_person(tx: &mut Tx, person: PersonId) -> Result<(), Error> {
    tx.q("DELETE FROM invitations WHERE accepted_by = $1").bind(person.as_uuid()).run().await?;
    tx.q("UPDATE invitations SET invited_by = NULL WHERE invited_by = $1")
        .bind(person.as_uuid())
        .run()
        .await?;
    Ok(())
}

/// Removes invitations of `tenant`, at most `limit`; tells how many.
pub(crate) async fn delete_some(tx: &mut Tx, tenant: TenantId, limit: i64) -> Result<u64, Error> {
    Ok(tx
        .q("DELETE FROM invitations WHERE tenant_id = $1 AND id IN \
            (SELECT id FROM invitations WHERE tenant_id = $1 ORDER BY created_at, id LIMIT 0 + $2)")
        .bind(tenant.as_uuid())
        .bind(limit)
        .run()
        .await?)
}
