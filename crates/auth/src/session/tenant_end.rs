use chrono::{DateTime, Utc};
use stylobate_core::TenantId;
use stylobate_db::{Conn, Error, Sql, Tx};

use super::EndReason;

/// The live sessions of the tenant `$2` at `$1`, as [`SessionLife::state`](super::SessionLife::state) decides.
macro_rules! live {
    ($end:literal) => {
        concat!(
            "SELECT id FROM sessions WHERE tenant_id = $2 AND ended_at IS NULL AND expires_at > $1 \
             AND (idle_expires_at IS NULL OR idle_expires_at > $1)",
            $end
        )
    };
}

/// Ends the live sessions of a tenant with their refresh tokens. Returns how many. The caller keeps others from beginning, and
/// revokes what was issued for the tenant.
///
/// A session that is being replaced under another id, by a change of password or a step-up, is locked by whoever does so: what it
/// goes on as shows once they are through. So this looks again until nothing lives.
pub(crate) async fn end_of_tenant(tx: &mut Tx, tenant: TenantId, now: DateTime<Utc>) -> Result<u64, Error> {
    // In the order in which those of a person are ended: two transactions with several wait for each other in turn.
    const PG: &str = concat!(
        "UPDATE sessions SET ended_at = $1, end_reason = $3 WHERE id IN (",
        live!(" ORDER BY created_at, id FOR NO KEY UPDATE"),
        ")"
    );
    const LITE: &str =
        concat!("UPDATE sessions SET ended_at = $1, end_reason = $3 WHERE id IN (", live!(""), ")");
    let mut ended = 0;
    while has_live(tx, tenant, now).await? {
        ended += tx
            .q(Sql::Per { pg: PG, lite: LITE })
            .bind(now)
            .bind(tenant.as_uuid())
            .bind(EndReason::TenantEnded.as_str())
            .run()
            .await?;
    }
    tx.q("DELETE FROM refresh_families WHERE session_id IN (SELECT id FROM sessions WHERE tenant_id = $1)")
        .bind(tenant.as_uuid())
        .run()
        .await?;
    Ok(ended)
}

async fn has_live(conn: &mut Conn, tenant: TenantId, now: DateTime<Utc>) -> Result<bool, Error> {
    let found: Option<uuid::Uuid> =
        conn.q(live!(" LIMIT 1")).bind(now).bind(tenant.as_uuid()).scalar_opt().await?;
    Ok(found.is_some())
}
