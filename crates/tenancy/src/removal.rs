use std::num::NonZeroU32;

use stylobate_core::{RequestContext, TenantId};
use stylobate_db::Tx;

use crate::{
    Error, Tenancy, invitation_store, member_store,
    org_store::{self, Lock},
    orgs::{locked, org_event},
    tenancy::own,
};

/// What follows once [`begin_org_removal`](Tenancy::begin_org_removal) has committed: rows go in batches, each in a transaction of
/// its own, and the organisation itself last.
impl Tenancy {
    /// Removes up to `limit` rows of an organisation whose removal has begun, and tells how many; 0 says that none is left. They are
    /// its invitations and memberships, which are not recorded one by one.
    ///
    /// # Errors
    /// [`Error::OrgNotBeingDeleted`]; [`Error::OrgNotFound`]; [`Error::ForeignTenant`] when `tx` works for another tenant;
    /// [`Error::Db`].
    pub async fn remove_tenant_rows(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        limit: NonZeroU32,
    ) -> Result<u64, Error> {
        own(tx.scope(), tenant)?;
        // Nobody undoes a removal that has begun, so there is nothing to lock.
        let org = org_store::find_org(tx, tenant).await?.ok_or(Error::OrgNotFound)?;
        if org.removal_began_at.is_none() {
            return Err(Error::OrgNotBeingDeleted);
        }
        let invitations = invitation_store::delete_some(tx, tenant, limit.get().into()).await?;
        let left = u64::from(limit.get()).saturating_sub(invitations);
        let members = member_store::delete_some(tx, tenant, left.cast_signed()).await?;
        Ok(invitations + members)
    }

    /// Deletes the organisation itself; nothing is left of it but what the audit trail says.
    ///
    /// # Errors
    /// [`Error::OrgNotBeingDeleted`]; [`Error::OrgNotFound`]; [`Error::ForeignTenant`] when `tx` works for another tenant;
    /// [`Error::Db`], a foreign key violation while it has memberships or invitations.
    pub async fn remove_org(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        tenant: TenantId,
    ) -> Result<(), Error> {
        let org = locked(tx, tenant, Lock::Exclusive).await?;
        if org.removal_began_at.is_none() {
            return Err(Error::OrgNotBeingDeleted);
        }
        org_store::delete_org(tx, tenant).await?;
        tx.audit(org_event(context, "org.delete", tenant).change(Some(org.audited()), None::<()>));
        Ok(())
    }
}
