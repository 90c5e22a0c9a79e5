use stylobate_core::TenantId;
use stylobate_db::Tx;

use super::{Auth, AuthError};

/// What is kept of a tenant, sorted.
const TABLES: &[&str] = &[
    "api_key_usage",
    "api_keys",
    "one_time_tokens",
    "refresh_families",
    "service_accounts",
    "service_grants",
    "service_keys",
    "sessions",
];

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
    /// The tables with rows of tenants, sorted. The revocation of [`end_tenant`](Self::end_tenant) is not among them: it names the
    /// tenant as long as tokens live that were issued before, and is swept after that.
    #[must_use]
    pub const fn tenant_tables() -> &'static [&'static str] {
        TABLES
    }

    /// Removes up to `limit` rows of what is kept of `tenant`, whose end came before, and returns how many; 0 says that nothing is
    /// left. The refresh tokens of a session go with it and are not counted. People are not a tenant's, and stay. Nothing is
    /// recorded: the removal is one change, its caller's.
    ///
    /// # Errors
    /// [`AuthError::Db`].
    pub async fn remove_tenant_rows(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        limit: u32,
    ) -> Result<u64, AuthError> {
        let (limit, mut removed) = (u64::from(limit), 0);
        for statement in REMOVALS {
            let room = i64::try_from(limit.saturating_sub(removed)).unwrap_or(i64::MAX);
            if room > 0 {
                removed += tx.q(statement).bind(tenant.as_uuid()).bind(room).run().await?;
            }
        }
        Ok(removed)
    }
}
