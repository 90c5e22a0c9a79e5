use serde_json::json;
use stylobate_core::{AuditEvent, InvitationId, PersonId, RequestContext, TenantId};
use stylobate_db::Tx;

use crate::{
    Error, Invitation, InvitationStatus, NewInvitation, Tenancy, invitation_store as store, tenancy::own,
};

/// Invitations. Whether the caller may invite, and give the role, is the caller's question, and so is the secret in the link.
impl Tenancy {
    /// Invites an address to `tenant`. One whose time has passed makes room.
    ///
    /// # Errors
    /// [`Error::InvitationPending`] when the address has an open invitation already; [`Error::OrgNotFound`];
    /// [`Error::ForeignTenant`] when `tx` works for another tenant; [`Error::Db`].
    pub async fn invite(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        tenant: TenantId,
        new: &NewInvitation,
    ) -> Result<Invitation, Error> {
        own(tx.scope(), tenant)?;
        let now = self.clock().now();
        store::retire(tx, tenant, &new.email_key, now).await?;
        let (id, by) = (InvitationId::new(now), context.principal.on_behalf_of());
        let added = match store::insert(tx, id, tenant, by, new, now).await {
            Err(error) if error.is_foreign_key_violation() => return Err(Error::OrgNotFound),
            added => added?,
        };
        if !added {
            return Err(Error::InvitationPending);
        }
        let invitation = Invitation {
            id,
            tenant_id: tenant,
            email: new.email.clone(),
            role_id: new.role_id,
            invited_by: by,
            status: InvitationStatus::Pending,
            created_at: now,
            expires_at: new.expires_at,
            accepted_at: None,
            accepted_by: None,
        };
        tx.audit(event(context, "invitation.create", tenant, id).change(None::<()>, Some(&invitation)));
        Ok(invitation)
    }

    /// The invitation `id` of `tenant`.
    ///
    /// # Errors
    /// [`Error::ForeignTenant`] when `tx` works for another tenant; [`Error::Db`].
    pub async fn find_invitation(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        id: InvitationId,
    ) -> Result<Option<Invitation>, Error> {
        own(tx.scope(), tenant)?;
        store::find(tx, tenant, id).await
    }

    /// The pending invitation of an address to `tenant`, as it is compared; one whose time has passed is none.
    ///
    /// # Errors
    /// [`Error::ForeignTenant`] when `tx` works for another tenant; [`Error::Db`].
    pub async fn find_pending_invitation(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        email_key: &str,
    ) -> Result<Option<Invitation>, Error> {
        own(tx.scope(), tenant)?;
        store::find_pending(tx, tenant, email_key, self.clock().now()).await
    }

    /// Makes `person` a member of `tenant` with an open invitation. Of many at once one succeeds. `false` when they are a member
    /// already; the invitation is used up all the same.
    ///
    /// # Errors
    /// [`Error::InvitationClosed`] when it was used, taken back or its time has passed; [`Error::ForeignTenant`]; [`Error::Db`].
    pub async fn accept_invitation(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        tenant: TenantId,
        id: InvitationId,
        person: PersonId,
    ) -> Result<bool, Error> {
        own(tx.scope(), tenant)?;
        if !store::accept(tx, tenant, id, person, self.clock().now()).await? {
            return Err(Error::InvitationClosed);
        }
        tx.audit(event(context, "invitation.accept", tenant, id).with("person_id", person.to_string()));
        self.add_member(tx, context, tenant, person).await
    }

    /// Takes back the open invitation of an address to `tenant`, when it has one: an invitation does not outlive the membership of
    /// whom it was for.
    ///
    /// # Errors
    /// [`Error::ForeignTenant`] when `tx` works for another tenant; [`Error::Db`].
    pub async fn revoke_pending_invitation(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        tenant: TenantId,
        email_key: &str,
    ) -> Result<(), Error> {
        let Some(open) = self.find_pending_invitation(tx, tenant, email_key).await? else { return Ok(()) };
        if store::revoke(tx, tenant, open.id).await? {
            tx.audit_also(revoked(context, tenant, open.id));
        }
        Ok(())
    }

    /// Takes an open invitation back.
    ///
    /// # Errors
    /// [`Error::InvitationClosed`] when it is not pending, or there is none; [`Error::ForeignTenant`]; [`Error::Db`].
    pub async fn revoke_invitation(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        tenant: TenantId,
        id: InvitationId,
    ) -> Result<(), Error> {
        own(tx.scope(), tenant)?;
        if !store::revoke(tx, tenant, id).await? {
            return Err(Error::InvitationClosed);
        }
        tx.audit(revoked(context, tenant, id));
        Ok(())
    }
}

fn revoked(context: &RequestContext, tenant: TenantId, id: InvitationId) -> AuditEvent {
    let change = json!({ "status": InvitationStatus::Revoked });
    event(context, "invitation.revoke", tenant, id).change(None::<()>, Some(change))
}

fn event(context: &RequestContext, action: &'static str, tenant: TenantId, id: InvitationId) -> AuditEvent {
    AuditEvent::new(context, action, "invitation").on(id).in_tenant(Some(tenant))
}
