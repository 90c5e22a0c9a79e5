use chrono::{DateTime, Utc};
use stylobate_core::TenantId;
use stylobate_db::{Conn, Sql, Tx};
use uuid::Uuid;

use crate::RbacError;

/// The epoch of one policy.
pub(crate) type OwnerEpoch = (Option<TenantId>, i64);

fn scope_id(owner: Option<TenantId>) -> Uuid {
    owner.map_or(Uuid::nil(), |tenant| tenant.as_uuid())
}

fn owner_epoch((scope, epoch): (Uuid, i64)) -> OwnerEpoch {
    ((!scope.is_nil()).then(|| scope.into()), epoch)
}

/// Adds one to the epoch of `owner`. Called before anything else of a change, because the lock that it takes puts the
/// writers of one policy in line.
pub(crate) async fn bump(tx: &mut Tx, owner: Option<TenantId>, now: DateTime<Utc>) -> Result<i64, RbacError> {
    let epoch = tx
        .q("INSERT INTO policy_epochs (scope_id, epoch, changed_at) VALUES ($1, 1, $2)
            ON CONFLICT (scope_id) DO UPDATE SET epoch = policy_epochs.epoch + 1, changed_at = excluded.changed_at
            RETURNING epoch")
        .bind(scope_id(owner))
        .bind(now)
        .scalar::<i64>()
        .await?;
    Ok(epoch)
}

/// Takes the lock of [`bump`] without changing anything, for decisions about who has the roles of `owner`. On SQLite
/// there is one writer, who has it already.
pub(crate) async fn lock(tx: &mut Tx, owner: Option<TenantId>) -> Result<(), RbacError> {
    tx.q(Sql::Per {
        pg: "SELECT epoch FROM policy_epochs WHERE scope_id = $1 FOR UPDATE",
        lite: "SELECT epoch FROM policy_epochs WHERE scope_id = $1",
    })
    .bind(scope_id(owner))
    .scalar_opt::<i64>()
    .await?;
    Ok(())
}

/// Adds one to the epoch of every tenant, for changes of the platform's permissions, which all of them compile in.
pub(crate) async fn bump_tenants(tx: &mut Tx, now: DateTime<Utc>) -> Result<Vec<OwnerEpoch>, RbacError> {
    let rows = tx
        .q("UPDATE policy_epochs SET epoch = epoch + 1, changed_at = $1 WHERE scope_id <> $2 RETURNING scope_id, epoch")
        .bind(now)
        .bind(Uuid::nil())
        .all::<(Uuid, i64)>()
        .await?;
    Ok(rows.into_iter().map(owner_epoch).collect())
}

pub(crate) async fn find(conn: &mut Conn, owner: Option<TenantId>) -> Result<i64, RbacError> {
    let epoch = conn
        .q("SELECT epoch FROM policy_epochs WHERE scope_id = $1")
        .bind(scope_id(owner))
        .scalar_opt::<i64>()
        .await?;
    // A policy that was never written is empty, and its first change will be epoch 1.
    Ok(epoch.unwrap_or(0))
}

/// The epochs that changed since `since`.
pub(crate) async fn changed(conn: &mut Conn, since: DateTime<Utc>) -> Result<Vec<OwnerEpoch>, RbacError> {
    let rows = conn
        .q("SELECT scope_id, epoch FROM policy_epochs WHERE changed_at >= $1")
        .bind(since)
        .all::<(Uuid, i64)>()
        .await?;
    Ok(rows.into_iter().map(owner_epoch).collect())
}

/// The next 1,000 epochs after `after`, in the order of their owners.
pub(crate) async fn page(conn: &mut Conn, after: Option<OwnerEpoch>) -> Result<Vec<OwnerEpoch>, RbacError> {
    let query = match after {
        None => conn.q("SELECT scope_id, epoch FROM policy_epochs ORDER BY scope_id LIMIT 1000"),
        Some((owner, _)) => conn
            .q("SELECT scope_id, epoch FROM policy_epochs WHERE scope_id > $1 ORDER BY scope_id LIMIT 1000")
            .bind(scope_id(owner)),
    };
    let rows = query.all::<(Uuid, i64)>().await?;
    Ok(rows.into_iter().map(owner_epoch).collect())
}
