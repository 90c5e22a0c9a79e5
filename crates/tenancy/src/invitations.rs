use chrono::{DateTime, Utc};
use serde_json::json;
use stylobate_core::{
    AuditEvent, CursorInvalid, Direction, InvitationId, Page, PageLimit, PersonId, RequestContext, TenantId,
};
use stylobate_db::{Keyset, Tx};

use crate::{
    Error, Invitation, InvitationFilter, InvitationStatus, NewInvitation, Tenancy, invitation_store as store,
    tenancy::own,
};

/// Invitations. Whether the caller may invite, and give the role, is the caller's question, and so is the secret in the link.
impl Tenancy {
    /// Invites an address to `tenant`. One whose time has passed makes room, and is on record as taken back.
    ///
    /// # Errors
    /// [`Error::InvitationPending`] when the address has an open invitation already; [`Error::OrgNotFound`];
    /// [`Error::OrgBeingDeleted`]; [`Error::ForeignTenant`] when `tx` works for another tenant; [`Error::Db`].
    pub async fn invite(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        tenant: TenantId,
        new: &NewInvitation,
    ) -> Result<Invitation, Error> {
        self.lock_org_to_write(tx, tenant).await?;
        let now = self.clock().now();
        if let Some(retired) = store::retire(tx, tenant, &new.email_key, now).await? {
            tx.audit(revoked(context, tenant, retired));
        }
        let (id, by) = (InvitationId::new(now), context.principal.on_behalf_of());
        if !store::insert(tx, id, tenant, by, new, now).await? {
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
        let told = Invitation { invited_by: context.told_person(), ..invitation.clone() };
        tx.audit(event(context, "invitation.create", tenant, id).change(None::<()>, Some(told)));
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

    /// A page of the invitations of `tenant` that `filter` holds.
    ///
    /// # Errors
    /// [`Error::ForeignTenant`] when `tx` works for another tenant; [`Error::Db`].
    pub async fn list_invitations(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        filter: &InvitationFilter,
        keyset: &Keyset,
    ) -> Result<Page<Invitation>, Error> {
        own(tx.scope(), tenant)?;
        store::list(tx, tenant, filter, keyset, self.clock().now()).await
    }

    /// Where a page of [`list_invitations`](Self::list_invitations) begins: they are listed by when they were made.
    ///
    /// # Errors
    /// [`CursorInvalid`] when the cursor is of another list.
    pub fn invitations_keyset(
        direction: Direction,
        limit: PageLimit,
        cursor: Option<&str>,
    ) -> Result<Keyset, CursorInvalid> {
        Keyset::new("created_at", "created_at", "id", true, direction, limit, cursor)
    }

    /// How many invitations of `tenant` `filter` holds; counting stops at 10,000.
    ///
    /// # Errors
    /// [`Error::ForeignTenant`] when `tx` works for another tenant; [`Error::Db`].
    pub async fn count_invitations(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        filter: &InvitationFilter,
    ) -> Result<u64, Error> {
        own(tx.scope(), tenant)?;
        store::count(tx, tenant, filter, self.clock().now()).await
    }

    /// Lets a pending invitation count until `expires_at`, also one whose time has passed; never for a shorter time than it does
    /// already. The link that goes out with it is the caller's.
    ///
    /// # Errors
    /// [`Error::InvitationClosed`] when it was used or taken back, or there is none; [`Error::OrgNotFound`];
    /// [`Error::OrgBeingDeleted`]; [`Error::ForeignTenant`] when `tx` works for another tenant; [`Error::Db`].
    pub async fn renew_invitation(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        tenant: TenantId,
        id: InvitationId,
        expires_at: DateTime<Utc>,
    ) -> Result<Invitation, Error> {
        self.lock_org_to_write(tx, tenant).await?;
        let before = store::find(tx, tenant, id).await?.ok_or(Error::InvitationClosed)?;
        let expires_at = store::renew(tx, tenant, id, expires_at).await?.ok_or(Error::InvitationClosed)?;
        let change = (json!({ "expires_at": before.expires_at }), json!({ "expires_at": expires_at }));
        let renewed = event(context, "invitation.renew", tenant, id);
        tx.audit(renewed.change(Some(change.0), Some(change.1)));
        Ok(Invitation { expires_at, ..before })
    }

    /// Makes `person` a member of `tenant` with an open invitation. Of many at once one succeeds. `false` when they are a member
    /// already; the invitation is used up all the same.
    ///
    /// # Errors
    /// [`Error::InvitationClosed`] when it was used, taken back or its time has passed; [`Error::OrgNotFound`];
    /// [`Error::OrgBeingDeleted`]; [`Error::ForeignTenant`]; [`Error::Db`].
    pub async fn accept_invitation(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        tenant: TenantId,
        id: InvitationId,
        person: PersonId,
    ) -> Result<bool, Error> {
        // Before the invitation: whoever changes an organisation holds it first.
        self.lock_org_to_write(tx, tenant).await?;
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
