use std::num::NonZeroU32;

use stylobate_core::TenantId;
use stylobate_db::Tx;

use super::{Auth, AuthError};

/// How it goes, at most `$2` rows of the tenant `$1` by each: what there may be many of before the row that it belongs to.
const REMOVALS: [&str; 7] = [
    "DELETE FROM sessions WHERE id IN \
     (SELECT id FROM sessions WHERE tenant_id = $1 ORDER BY created_at, id LIMIT 0 + $2)",
    "DELETE FROM api_key_usage WHERE (key_id, day) IN (SELECT u.key_id, u.day FROM api_keys k \
     JOIN api_key_usage u ON u.key_id = k.id WHERE k.tenant_id = $1 LIMIT 0 + $2)",
    "DELETE FROM api_keys WHERE id IN \
     (SELECT id FROM api_keys WHERE tenant_id = $1 ORDER BY created_at, id LIMIT 0 + $2)",
    "DELETE FROM service_grants WHERE (service_id, audience, operation) IN \
     (SELECT g.service_id, g.audience, g.operation FROM service_accounts a \
      JOIN service_grants g ON g.service_id = a.id WHERE a.tenant_id = $1 LIMIT 0 + $2)",
    "DELETE FROM service_keys WHERE id IN (SELECT k.id FROM service_accounts a \
     JOIN service_keys k ON k.service_id = a.id WHERE a.tenant_id = $1 LIMIT 0 + $2)",
    "DELETE FROM service_accounts WHERE id IN \
     (SELECT id FROM service_accounts WHERE tenant_id = $1 ORDER BY created_at, id LIMIT 0 + $2)",
    "DELETE FROM one_time_tokens WHERE id IN \
     (SELECT id FROM one_time_tokens WHERE tenant_id = $1 ORDER BY id LIMIT 0 + $2)",
];

/// What is left of a tenant that is gone.
impl Auth {
    /// Removes up to `limit` rows of `tenant`, which is gone and whose [end](Self::end_tenant) came before, and tells how many; 0
    /// says that none is left. The refresh tokens of a session go with it and are not counted. The revocation stays: it names the
    /// tenant as long as tokens live that were issued before, and is swept after that. People are not a tenant's, and stay.
    /// Nothing is recorded: the removal is one change, its caller's.
    ///
    /// # Errors
    /// [`AuthError::Db`].
    pub async fn remove_tenant_rows(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        limit: NonZeroU32,
    ) -> Result<u64, AuthError> {
        let (limit, mut removed) = (u64::from(limit.get()), 0);
        for statement in REMOVALS {
            let room = i64::try_from(limit.saturating_sub(removed)).unwrap_or(i64::MAX);
            if room > 0 {
                removed += tx.q(statement).bind(tenant.as_uuid()).bind(room).run().await?;
            }
        }
        Ok(removed)
    }
}
