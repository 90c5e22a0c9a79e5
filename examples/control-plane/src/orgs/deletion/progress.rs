//! Every statement on `org_removals`: how far the removal of an organisation is. A job may be called off, given up and forgotten; what
//! it removed is gone and counts all the same, and what it told is not told again.

use stylobate::{
    core::TenantId,
    db::{Error, Tx},
};

use super::work::Removed;

#[derive(sqlx::FromRow)]
struct RemovalRow {
    people_removed: i64,
    people_left: i64,
    rows_removed: i64,
}

impl From<RemovalRow> for Removed {
    fn from(row: RemovalRow) -> Self {
        Self {
            people: row.people_removed.unsigned_abs(),
            left: row.people_left.unsigned_abs(),
            rows: row.rows_removed.unsigned_abs(),
        }
    }
}

/// Counts what goes in the same transaction, whoever else counts at this time. Returns all that has gone.
pub(super) async fn add(tx: &mut Tx, tenant: TenantId, more: Removed) -> Result<Removed, Error> {
    let row = tx
        .q("INSERT INTO org_removals (tenant_id, people_removed, people_left, rows_removed, is_told) VALUES ($1, $2, $3, $4, $5) \
            ON CONFLICT (tenant_id) DO UPDATE SET people_removed = org_removals.people_removed + excluded.people_removed, \
            people_left = org_removals.people_left + excluded.people_left, \
            rows_removed = org_removals.rows_removed + excluded.rows_removed \
            RETURNING people_removed, people_left, rows_removed")
        .bind(tenant.as_uuid())
        .bind(more.people.cast_signed())
        .bind(more.left.cast_signed())
        .bind(more.rows.cast_signed())
        .bind(false)
        .one::<RemovalRow>()
        .await?;
    Ok(row.into())
}

/// Notes that everybody is told that it is gone, and says whether nobody was before.
pub(super) async fn tell(tx: &mut Tx, tenant: TenantId) -> Result<bool, Error> {
    add(tx, tenant, Removed::default()).await?;
    let told = tx
        .q("UPDATE org_removals SET is_told = $2 WHERE tenant_id = $1 AND NOT is_told")
        .bind(tenant.as_uuid())
        .bind(true)
        .run()
        .await?;
    Ok(told == 1)
}

/// Ends the counting. Returns all that has gone.
pub(super) async fn end(tx: &mut Tx, tenant: TenantId) -> Result<Removed, Error> {
    let row = tx
        .q("DELETE FROM org_removals WHERE tenant_id = $1 RETURNING people_removed, people_left, rows_removed")
        .bind(tenant.as_uuid())
        .opt::<RemovalRow>()
        .await?;
    Ok(row.map(Removed::from).unwrap_or_default())
}
