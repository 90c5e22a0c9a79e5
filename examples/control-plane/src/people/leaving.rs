//! The end of memberships and accounts, and their rest.

use stylobate::{
    USER_DELETED,
    auth::{self, Email, PeopleError},
    core::{PersonId, Principal, RequestContext, TenantId},
    db::{Scope, Tx},
    middleware::problem_for,
    tenancy::MembershipStatus,
};

use super::{
    model::PersonView,
    notes,
    service::{People, event, read, tenant_of},
    store,
    told::tell_person,
};
use crate::orgs;
use crate::refused::Refused;

impl People {
    /// Removes a member of the caller's organisation with everything that is kept about the person; somebody who belongs
    /// to others as well only leaves this one.
    pub(super) async fn delete(&self, context: &RequestContext, id: PersonId) -> Result<(), Refused> {
        let tenant = tenant_of(context)?;
        require_other(context, id)?;
        let (this, context) = (self.clone(), context.clone());
        self.db
            .transact(Scope::Platform("remove a person"), async move |tx: &mut Tx| {
                let (this, context) = (&this, &context);
                this.lock_to_end(tx, tenant).await?;
                let before = this.member(tx, tenant, id).await?;
                this.rbac.require_may_become(tx, context, id).await?;
                if this.is_shared(tx, id).await? {
                    return this.leave(tx, context, tenant, &before).await;
                }
                this.remove(tx, context, &[tenant], &before).await?;
                tx.audit_instead(
                    event(context, "person.delete", tenant, id).change(Some(&before), None::<()>),
                );
                tell_person(tx, context, USER_DELETED, tenant, &before);
                Ok(())
            })
            .await
    }

    /// Ends the membership of a member of `tenant`, whose account stays: they come back by an invitation. For transactions of
    /// platform scope.
    pub(crate) async fn end_membership(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        tenant: TenantId,
        id: PersonId,
    ) -> Result<(), Refused> {
        require_other(context, id)?;
        self.lock_to_end(tx, tenant).await?;
        let before = self.member(tx, tenant, id).await?;
        self.rbac.require_may_become(tx, context, id).await?;
        self.leave(tx, context, tenant, &before).await
    }

    /// The policies, the platform's first, and the organisation: in the order in which everybody locks them. Memberships end one after
    /// another in the whole installation, so that of two organisations that remove a person at once the second finds nobody but
    /// itself.
    async fn lock_to_end(&self, tx: &mut Tx, tenant: TenantId) -> Result<(), Refused> {
        self.rbac.lock_policy(tx, None).await?;
        self.rbac.lock_policy(tx, Some(tenant)).await?;
        self.tenancy.lock_org_to_write(tx, tenant).await?;
        Ok(())
    }

    /// Suspends a member of `tenant`, whose sessions and API keys there end at once, or reinstates them; what had ended stays so. For
    /// transactions of platform scope.
    pub(crate) async fn set_membership(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        tenant: TenantId,
        id: PersonId,
        status: MembershipStatus,
    ) -> Result<PersonView, Refused> {
        let before = self.member(tx, tenant, id).await?;
        if before.seen_by.is_suspended == (status == MembershipStatus::Suspended) {
            return Ok(before);
        }
        require_other(context, id)?;
        self.rbac.require_may_become(tx, context, id).await?;
        // The policies, the organisation, the person: in the order in which everybody locks them.
        let suspends = status == MembershipStatus::Suspended;
        let had_super = suspends && self.rbac.has_super_administrator(tx).await?;
        self.rbac.lock_policy(tx, Some(tenant)).await?;
        if suspends {
            self.require_another_tenant_administrator(tx, tenant, id).await?;
            self.tenancy.lock_org_to_write(tx, tenant).await?;
            self.auth.people().end_sessions_in(tx, context, id, tenant).await?;
        }
        let has_changed = self.tenancy.set_member_status(tx, context, tenant, id, status).await?;
        self.rbac.require_super_administrator_kept(tx, had_super).await?;
        let after = read(tx, tenant, id).await?;
        match status {
            _ if !has_changed => {}
            MembershipStatus::Suspended => tell_person(tx, context, "member.suspended", tenant, &after),
            MembershipStatus::Active => tell_person(tx, context, "member.reinstated", tenant, &after),
        }
        Ok(after)
    }

    /// Removes everything that is kept about a person, with the memberships in `tenants`, and tells the address they had. What
    /// messages keep of them goes when the event is heard.
    pub(super) async fn remove(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        tenants: &[TenantId],
        before: &PersonView,
    ) -> Result<(), Refused> {
        let id = PersonId::from_uuid(before.id);
        self.rbac.require_another_super_administrator(tx, id).await?;
        // In one order for everybody, so that two such deletions cannot wait for each other.
        let mut tenants = tenants.to_vec();
        tenants.sort_unstable();
        // Nobody needs a permission to take away from themselves what others gave them.
        let system = RequestContext { principal: Principal::system(), ..context.clone() };
        let judged = if context.principal.person_id() == Some(id) { &system } else { context };
        for tenant in &tenants {
            if !self.keeps_administrator(tx, *tenant).await? {
                self.rbac.remove_subject_even_last(tx, judged, *tenant, id).await?;
            }
        }
        // Rules, memberships, the person: in the order in which everybody locks them.
        self.rbac.remove_subject_everywhere(tx, judged, id, &tenants).await?;
        for tenant in &tenants {
            self.uninvite(tx, context, *tenant, &before.email).await?;
        }
        // Held before the memberships go: nobody gives them another one meanwhile, and who has is to look again.
        auth::People::lock(tx, id).await?;
        let present = self.tenancy.memberships_of(tx, id).await?;
        if present.iter().any(|membership| !tenants.contains(&membership.tenant_id)) {
            return Err(PeopleError::Stale.into());
        }
        self.tenancy.remove_person(tx, context, id).await?;
        notes::delete_everywhere(tx, id).await?;
        store::delete_profile(tx, id).await?;
        orgs::forget_person(tx, id).await?;
        self.auth.people().delete(tx, context, id).await?;
        Ok(self.auth.tell_account_deleted(tx, context, id, &before.email, &self.messages).await?)
    }

    /// Takes an invitation back that nobody answered: it would let somebody in again who was sent away.
    async fn uninvite(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        tenant: TenantId,
        email: &str,
    ) -> Result<(), Refused> {
        let Ok(email) = Email::parse(email) else { return Ok(()) };
        Ok(self.tenancy.revoke_pending_invitation(tx, context, tenant, email.key()).await?)
    }

    /// Ends the membership alone. Refuses to take the last super administrator's only organisation, unless nobody acts in it anyway.
    pub(super) async fn leave(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        tenant: TenantId,
        before: &PersonView,
    ) -> Result<(), Refused> {
        let id = PersonId::from_uuid(before.id);
        // In the order in which a deletion takes them.
        self.rbac.lock_policy(tx, None).await?;
        let is_active = self.keeps_administrator(tx, tenant).await?;
        let had_super = is_active && self.rbac.has_super_administrator(tx).await?;
        if is_active {
            self.rbac.remove_subject(tx, context, tenant, id).await?;
        } else {
            self.rbac.remove_subject_even_last(tx, context, tenant, id).await?;
        }
        let ended = self.auth.people().leave_tenant(tx, context, id, tenant).await?;
        self.uninvite(tx, context, tenant, &before.email).await?;
        notes::delete(tx, tenant, id).await?;
        self.tenancy.remove_member(tx, context, tenant, id).await?;
        self.rbac.require_super_administrator_kept(tx, had_super).await?;
        let event = event(context, "member.remove", tenant, id).with("sessions_ended", ended);
        tx.audit_instead(event.change(Some(before), None::<()>));
        tell_person(tx, context, "member.removed", tenant, before);
        Ok(())
    }
}

/// Refuses what nobody does to the account that they are signed in with.
pub(crate) fn require_other(context: &RequestContext, id: PersonId) -> Result<(), Refused> {
    if context.principal.on_behalf_of() != Some(id) {
        return Ok(());
    }
    Err(problem_for("own_account").detail("Nobody removes the account that is signed in.").into())
}
