//! Rows of the control plane's own tables.

use std::num::NonZeroU32;

use stylobate::{
    core::TenantId,
    db::{Error, Tx},
};

/// Removes up to `limit` rows of one of the tables in which this program keeps what is an organisation's. Returns how many.
pub(super) async fn remove_some(tx: &mut Tx, tenant: TenantId, limit: NonZeroU32) -> Result<u64, Error> {
    for statement in [
        "DELETE FROM org_documents WHERE tenant_id = $1 AND kind IN \
         (SELECT kind FROM org_documents WHERE tenant_id = $1 ORDER BY kind LIMIT 0 + $2)",
        "DELETE FROM member_notes WHERE tenant_id = $1 AND person_id IN \
         (SELECT person_id FROM member_notes WHERE tenant_id = $1 ORDER BY person_id LIMIT 0 + $2)",
    ] {
        let removed = tx.q(statement).bind(tenant.as_uuid()).bind(i64::from(limit.get())).run().await?;
        if removed > 0 {
            return Ok(removed);
        }
    }
    Ok(0)
}
