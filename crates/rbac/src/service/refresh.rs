//! Having policies read anew.

use stylobate_core::{AuditEvent, RequestContext, TenantId};
use stylobate_db::{Scope, Tx};

use super::{Rbac, require_platform_role};
use crate::{RbacError, Written, store::epochs};

impl Rbac {
    /// Gives the policy of `tenant` a new epoch although nothing in it has changed, so that every process reads it anew;
    /// without a tenant, every policy there is. Returns how many: none for a tenant whose policy was never written. For the
    /// platform and who has a role there.
    ///
    /// Nothing needs this: processes follow changes by themselves. It is for rows that somebody has changed in the
    /// database itself.
    ///
    /// # Errors
    /// [`RbacError::PlatformOwned`].
    pub async fn invalidate(
        &self,
        context: &RequestContext,
        tenant: Option<TenantId>,
    ) -> Result<Written<usize>, RbacError> {
        let (rbac, asking) = (self.clone(), context.clone());
        let invalidate = async move |tx: &mut Tx| -> Result<Written<usize>, RbacError> {
            require_platform_role(tx, &asking.principal, rbac.now()).await?;
            let epoch = match tenant {
                None => rbac.bump(tx, None).await?,
                Some(_) => match epochs::bump_written(tx, tenant, rbac.now()).await? {
                    Some(epoch) => epoch,
                    // Without a policy there is none to read anew, and perhaps no such tenant.
                    None => return Ok(Written { value: 0, epoch: 0 }),
                },
            };
            rbac.note_on_commit(tx, vec![(tenant, epoch)]);
            let mut policies = 1;
            if tenant.is_none() {
                let bumped = epochs::bump_tenants(tx, rbac.now()).await?;
                policies += bumped.len();
                rbac.note_on_commit(tx, bumped);
            }
            let event = AuditEvent::new(&asking, "rbac.invalidate", "policy").in_tenant(tenant);
            tx.audit(event.with("policies", policies));
            Ok(Written { value: policies, epoch })
        };
        let written = self.db.transact(Scope::Platform("have access policies read anew"), invalidate).await?;
        self.settle(tenant).await;
        Ok(written)
    }
}
