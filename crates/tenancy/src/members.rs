use serde_json::json;
use stylobate_core::{AuditEvent, PersonId, RequestContext, TenantId};
use stylobate_db::Tx;

use crate::{
    Error, Member, MemberCounts, Membership, MembershipStatus, Tenancy, invitation_store, member_store,
    tenancy::own,
};

/// Who belongs to which organisation.
impl Tenancy {
    /// Every organisation `person` belongs to, by code, usable or not: what [`choose`](crate::choose) takes. Sign-in
    /// reads it under [`Scope::Platform`](stylobate_db::Scope::Platform), before a tenant is known; in a tenant's scope PostgreSQL shows that
    /// tenant's membership alone.
    ///
    /// # Errors
    /// [`Error::Db`] when the database fails.
    pub async fn memberships_of(&self, tx: &mut Tx, person: PersonId) -> Result<Vec<Membership>, Error> {
        member_store::memberships_of(tx, person).await
    }

    /// Whether `person` is an active member of `tenant`.
    ///
    /// # Errors
    /// [`Error::ForeignTenant`] when `tx` works for another tenant; [`Error::Db`] when the database fails.
    pub async fn is_member(&self, tx: &mut Tx, tenant: TenantId, person: PersonId) -> Result<bool, Error> {
        own(tx.scope(), tenant)?;
        member_store::is_member(tx, tenant, person).await
    }

    /// Which of `people`, at most a few thousand, are active members of `tenant`, in no order.
    ///
    /// # Errors
    /// As [`is_member`](Self::is_member).
    pub async fn members_among(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        people: &[PersonId],
    ) -> Result<Vec<PersonId>, Error> {
        own(tx.scope(), tenant)?;
        member_store::members_among(tx, tenant, people).await
    }

    /// The membership of `person` in `tenant`, active or suspended.
    ///
    /// # Errors
    /// As [`is_member`](Self::is_member).
    pub async fn find_member(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        person: PersonId,
    ) -> Result<Option<Member>, Error> {
        own(tx.scope(), tenant)?;
        member_store::find_member(tx, tenant, person).await
    }

    /// How many people belong to `tenant`.
    ///
    /// # Errors
    /// As [`is_member`](Self::is_member).
    pub async fn count_members(&self, tx: &mut Tx, tenant: TenantId) -> Result<MemberCounts, Error> {
        own(tx.scope(), tenant)?;
        member_store::count_members(tx, tenant).await
    }

    /// Makes `person` an active member of `tenant`, active or not; `false` when they are a member already, active or suspended.
    ///
    /// # Errors
    /// [`Error::OrgNotFound`] when there is no such tenant; [`Error::OrgBeingDeleted`]; [`Error::ForeignTenant`] when `tx`
    /// works for another one; [`Error::Db`].
    pub async fn add_member(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        tenant: TenantId,
        person: PersonId,
    ) -> Result<bool, Error> {
        self.lock_org_to_write(tx, tenant).await?;
        let added = member_store::insert_membership(tx, tenant, person, self.clock().now()).await?;
        if added {
            tx.audit(
                member_event(context, "member.add", tenant, person)
                    .change(None::<()>, Some(json!({ "status": MembershipStatus::Active }))),
            );
        }
        Ok(added)
    }

    /// Suspends `person` in `tenant` or reinstates them; `false` when they have that status already. The sessions of who is
    /// suspended are the caller's to end in the same transaction.
    ///
    /// # Errors
    /// [`Error::MemberNotFound`] when they are no member; [`Error::OrgNotFound`]; [`Error::OrgBeingDeleted`];
    /// [`Error::ForeignTenant`] when `tx` works for another tenant; [`Error::Db`].
    pub async fn set_member_status(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        tenant: TenantId,
        person: PersonId,
        status: MembershipStatus,
    ) -> Result<bool, Error> {
        self.lock_org_to_write(tx, tenant).await?;
        if !member_store::update_status(tx, tenant, person, status, self.clock().now()).await? {
            let member = member_store::find_member(tx, tenant, person).await?;
            return if member.is_some() { Ok(false) } else { Err(Error::MemberNotFound) };
        }
        let (action, before) = match status {
            MembershipStatus::Active => ("member.reinstate", MembershipStatus::Suspended),
            MembershipStatus::Suspended => ("member.suspend", MembershipStatus::Active),
        };
        let event = member_event(context, action, tenant, person);
        tx.audit(event.change(Some(json!({ "status": before })), Some(json!({ "status": status }))));
        Ok(true)
    }

    /// Ends the membership of `person` in `tenant`; `false` when there was none.
    ///
    /// # Errors
    /// [`Error::ForeignTenant`] when `tx` works for another tenant; [`Error::Db`] when the database fails.
    pub async fn remove_member(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        tenant: TenantId,
        person: PersonId,
    ) -> Result<bool, Error> {
        own(tx.scope(), tenant)?;
        let removed = member_store::delete_membership(tx, tenant, person).await?;
        if removed {
            tx.audit(member_event(context, "member.remove", tenant, person));
        }
        Ok(removed)
    }

    /// Ends every membership of `person`, because the person is deleted, and returns the organisations they were in. The invitations that
    /// they accepted are deleted with the address, those that they made forget who made them. Needs [`Scope::Platform`](stylobate_db::Scope::Platform).
    ///
    /// # Errors
    /// [`Error::ForeignTenant`] when `tx` works for one tenant: it would leave the others' memberships behind.
    pub async fn remove_person(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        person: PersonId,
    ) -> Result<Vec<TenantId>, Error> {
        if tx.scope().tenant().is_some() {
            return Err(Error::ForeignTenant);
        }
        invitation_store::forget_person(tx, person).await?;
        let tenants = member_store::delete_memberships_of(tx, person).await?;
        for tenant in &tenants {
            tx.audit(member_event(context, "member.remove", *tenant, person));
        }
        Ok(tenants)
    }
}

fn member_event(
    context: &RequestContext,
    action: &'static str,
    tenant: TenantId,
    person: PersonId,
) -> AuditEvent {
    AuditEvent::new(context, action, "person").on(person).in_tenant(Some(tenant))
}
