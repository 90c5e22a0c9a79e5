//! Every statement on `member_notes`: what an organisation notes about its members.

use chrono::{DateTime, Utc};
use stylobate::{
    core::{PersonId, TenantId},
    db::{Error, Tx},
};

use super::model::Noted;

/// Writes what `tenant` notes about `person`, if anything.
pub(super) async fn put(
    tx: &mut Tx,
    tenant: TenantId,
    person: PersonId,
    noted: &Noted,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    if *noted == Noted::default() {
        return delete(tx, tenant, person).await;
    }
    let metadata = noted.metadata.as_ref().and_then(|metadata| serde_json::to_string(metadata).ok());
    tx.q("INSERT INTO member_notes (tenant_id, person_id, notes, metadata, updated_at) VALUES ($1, $2, $3, $4, $5) \
          ON CONFLICT (tenant_id, person_id) DO UPDATE SET notes = excluded.notes, metadata = excluded.metadata, \
          updated_at = excluded.updated_at")
        .bind(tenant.as_uuid())
        .bind(person.as_uuid())
        .bind(noted.notes.clone())
        .bind(metadata)
        .bind(now)
        .run()
        .await?;
    Ok(())
}

/// Forgets what `tenant` noted about `person`.
pub(super) async fn delete(tx: &mut Tx, tenant: TenantId, person: PersonId) -> Result<(), Error> {
    tx.q("DELETE FROM member_notes WHERE tenant_id = $1 AND person_id = $2")
        .bind(tenant.as_uuid())
        .bind(person.as_uuid())
        .run()
        .await?;
    Ok(())
}

/// Forgets what all organisations noted about `person`; needs platform scope.
pub(super) async fn delete_everywhere(tx: &mut Tx, person: PersonId) -> Result<(), Error> {
    tx.q("DELETE FROM member_notes WHERE person_id = $1").bind(person.as_uuid()).run().await?;
    Ok(())
}
