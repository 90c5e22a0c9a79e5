//! What becomes of people when their organisation is removed.

use stylobate::{
    USER_DELETED,
    core::{PersonId, RequestContext, TenantId},
    db::{Scope, Tx},
};

use super::{
    service::{People, event},
    store,
    told::tell_person,
};
use crate::refused::Refused;

impl People {
    /// Up to `most` people who are still members of the organisation, active or not.
    pub(crate) async fn members_of(&self, tenant: TenantId, most: u32) -> Result<Vec<PersonId>, Refused> {
        let mut tx = self.db.begin_read(Scope::Tenant(tenant)).await?;
        let members = store::some_members(&mut tx, tenant, most).await?;
        tx.rollback().await?;
        Ok(members)
    }

    /// Removes a member of an organisation that is being removed: the account as a whole when it belongs to no other organisation
    /// and has no role of the platform, and else the membership alone. Tells whether the account went. Needs [`Scope::Platform`].
    pub(crate) async fn end_with_organisation(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        tenant: TenantId,
        id: PersonId,
    ) -> Result<bool, Refused> {
        // Nobody gives the person a role of the platform meanwhile.
        self.rbac.lock_policy(tx, None).await?;
        let Some(before) = store::find_member(tx, tenant, id).await? else {
            // A membership without an account is nobody's.
            self.rbac.remove_subject_even_last(tx, context, tenant, id).await?;
            self.tenancy.remove_member(tx, context, tenant, id).await?;
            return Ok(false);
        };
        if self.is_shared(tx, id).await? || self.rbac.has_platform_role(tx, id).await? {
            self.leave(tx, context, tenant, &before).await?;
            return Ok(false);
        }
        self.remove(tx, context, &[tenant], &before).await?;
        tx.audit_instead(event(context, "person.delete", tenant, id).change(Some(&before), None::<()>));
        tell_person(tx, context, USER_DELETED, tenant, &before);
        Ok(true)
    }
}
