use stylobate_core::{AuditEvent, RequestContext, TenantId};
use stylobate_db::Tx;

use super::{Auth, AuthError};
use crate::{ApiKeys, Revocation, revocation, services, session};

/// What ended with a tenant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TenantEnded {
    /// How many live sessions, with their refresh tokens.
    pub sessions: u64,
    /// How many API keys, of people and of service accounts.
    pub api_keys: u64,
    /// How many service accounts, which rest until [`Auth::resume_tenant`].
    pub service_accounts: u64,
}

/// The end of everything that was issued for a tenant.
impl Auth {
    /// Ends everything that was issued for `tenant`, at once in this process and within a second everywhere: sessions with their
    /// access and refresh tokens, API keys, and what service accounts present. Sessions and keys do not come back.
    ///
    /// The caller holds the tenant against whoever begins something for it: its row, exclusively, in this transaction, as they hold
    /// it shared in theirs. What ends is recorded as `auth.tenant_end`, with how many of each; API keys are not told of one by one.
    ///
    /// # Errors
    /// [`AuthError::Db`].
    pub async fn end_tenant(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        tenant: TenantId,
    ) -> Result<TenantEnded, AuthError> {
        let now = self.inner.clock.now();
        let ended = TenantEnded {
            sessions: session::end_of_tenant(tx, tenant, now).await?,
            service_accounts: services::disable_with_tenant(tx, tenant, now).await?,
            api_keys: ApiKeys::end_of_tenant(tx, tenant, now).await?,
        };
        let until = now + self.inner.longest_ttl;
        revocation::insert(tx, &self.inner.revocations, Revocation::Tenant(tenant), now, until).await?;
        if ended != TenantEnded::default() {
            let event = AuditEvent::new(ctx, "auth.tenant_end", "org").on(tenant).in_tenant(Some(tenant));
            let event = event.with("sessions", ended.sessions).with("api_keys", ended.api_keys);
            tx.audit(event.with("service_accounts", ended.service_accounts));
        }
        Ok(ended)
    }

    /// Lets the service accounts of `tenant` act again that [`end_tenant`](Self::end_tenant) has disabled, and that nobody has
    /// decided about since: what signs their requests is good again. Returns how many. Everything else begins anew.
    ///
    /// # Errors
    /// [`AuthError::Db`].
    pub async fn resume_tenant(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        tenant: TenantId,
    ) -> Result<u64, AuthError> {
        let enabled = services::enable_with_tenant(tx, tenant, self.inner.clock.now()).await?;
        if enabled > 0 {
            let event = AuditEvent::new(ctx, "auth.tenant_resume", "org").on(tenant).in_tenant(Some(tenant));
            tx.audit(event.with("service_accounts", enabled));
        }
        Ok(enabled)
    }
}
