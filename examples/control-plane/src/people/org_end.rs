//! What becomes of people when their organisation is removed.

use stylobate::{
    USER_DELETED,
    core::{AuditEvent, PersonId, RequestContext, TenantId},
    db::{Scope, Tx},
};

use super::{
    service::{People, Refused},
    store,
    told::tell_person,
};

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
        // Rules before people, as everybody locks them; and nobody gives the person a role of the platform meanwhile.
        self.rbac.lock_policy(tx, None).await?;
        self.rbac.lock_policy(tx, Some(tenant)).await?;
        let is_there = self.auth.people().lock(tx, id).await?;
        let before = store::find_member(tx, tenant, id).await?.filter(|_| is_there);
        let Some(before) = before else {
            // A membership without an account is nobody's.
            self.rbac.remove_subject_of_removed(tx, context, tenant, id).await?;
            self.tenancy.remove_member(tx, context, tenant, id).await?;
            return Ok(false);
        };
        if self.is_shared(tx, id).await? || self.rbac.is_of_platform(tx, id).await? {
            self.leave_removed(tx, context, tenant, id, &before).await?;
            return Ok(false);
        }
        self.remove(tx, context, &[tenant], &before).await?;
        let event = AuditEvent::new(context, "person.delete", "person").on(id).in_tenant(Some(tenant));
        tx.audit_instead(event.change(Some(&before), None::<()>));
        tell_person(tx, context, USER_DELETED, tenant, &before);
        Ok(true)
    }
}
