//! What becomes of invitations before somebody answers them.

use stylobate_auth::{AuthError, Email, Invitation as Inviting};
use stylobate_core::{
    BoxFuture, CursorInvalid, Direction, InvitationId, Message, Page, PageLimit, RequestContext, TenantId,
};
use stylobate_db::{Scope, Tx};
use stylobate_tenancy::{Error, Invitation, InvitationFilter, InvitationStatus, Org, Tenancy};
use stylobate_tower_middleware::{ApiError, ApiResult, problem_for};

use super::{AccountError, Newcomers};

/// What a list of invitations asks for.
#[derive(Debug, Clone, Default)]
pub struct InvitationQuery {
    /// What it is narrowed to.
    pub filter: InvitationFilter,
    /// Whether the oldest come first.
    pub direction: Direction,
    /// How many at most.
    pub limit: PageLimit,
    /// Where to continue, as the page before told.
    pub cursor: Option<String>,
    /// Whether to count all of them as well, up to 10,000.
    pub with_total: bool,
}

impl Newcomers {
    /// The invitations to the caller's organisation.
    ///
    /// # Errors
    /// 403 `tenant_required`; 422 for a cursor of another list.
    pub async fn list(
        &self,
        context: &RequestContext,
        query: &InvitationQuery,
    ) -> ApiResult<Page<Invitation>> {
        let tenant = tenant_of(context)?;
        let foreign = |_: CursorInvalid| ApiError::field("cursor", "invalid", "does not belong to this list");
        let keyset = Tenancy::invitations_keyset(query.direction, query.limit, query.cursor.as_deref());
        let keyset = keyset.map_err(foreign)?;
        let mut tx = self.db.begin_read(Scope::Tenant(tenant)).await?;
        let mut page = self.tenancy.list_invitations(&mut tx, tenant, &query.filter, &keyset).await?;
        self.conceal(&mut tx, tenant, &mut page.items).await?;
        if query.with_total {
            page.total = Some(self.tenancy.count_invitations(&mut tx, tenant, &query.filter).await?);
        }
        tx.rollback().await?;
        Ok(page)
    }

    /// An invitation to the caller's organisation, whatever has become of it.
    ///
    /// # Errors
    /// 403 `tenant_required`; 404 when there is none, or it is another organisation's.
    pub async fn find(&self, context: &RequestContext, id: InvitationId) -> ApiResult<Invitation> {
        let tenant = tenant_of(context)?;
        let mut tx = self.db.begin_read(Scope::Tenant(tenant)).await?;
        let mut found = self.tenancy.find_invitation(&mut tx, tenant, id).await?;
        self.conceal(&mut tx, tenant, found.as_mut_slice()).await?;
        tx.rollback().await?;
        found.ok_or_else(ApiError::not_found)
    }

    /// Takes an invitation to the caller's organisation back: its link opens nothing any more. One that was taken back stays so.
    ///
    /// # Errors
    /// 403 `tenant_required`; 404 when there is none, or it is another organisation's; 409 `invitation_closed` when somebody has joined
    /// with it; 409 `org_being_deleted`.
    pub async fn revoke(&self, context: &RequestContext, id: InvitationId) -> ApiResult<()> {
        let tenant = tenant_of(context)?;
        let (newcomers, context) = (self.clone(), context.clone());
        let revoke = async move |tx: &mut Tx| newcomers.revoke_in(tx, &context, tenant, id).await;
        Ok(self.db.transact(Scope::Platform("take an invitation back"), revoke).await?)
    }

    /// Mails another link of an invitation to the caller's organisation, which is good as long as the first was; the one before opens
    /// nothing any more. It stays the invitation of whoever made it.
    ///
    /// # Errors
    /// As [`invite`](Self::invite); 404 when there is none, or it is another organisation's; 409 `invitation_closed` when it was used or
    /// taken back, or when whoever made it could not make it again.
    pub async fn resend(&self, context: &RequestContext, id: InvitationId) -> ApiResult<Invitation> {
        let tenant = tenant_of(context)?;
        context.principal.on_behalf_of().ok_or_else(|| problem_for("not_a_person"))?;
        self.auth.admit_invitation(context).await?;
        let (newcomers, context) = (self.clone(), context.clone());
        let resend = async move |tx: &mut Tx| newcomers.resend_in(tx, &context, tenant, id).await;
        Ok(self.db.transact(Scope::Platform("mail an invitation again"), resend).await?)
    }

    fn revoke_in<'a>(
        &'a self,
        tx: &'a mut Tx,
        context: &'a RequestContext,
        tenant: TenantId,
        id: InvitationId,
    ) -> BoxFuture<'a, Result<(), AccountError>> {
        Box::pin(async move {
            self.tenancy.lock_org_to_write(tx, tenant).await?;
            let invitation = self.find_in(tx, tenant, id).await?;
            if invitation.status == InvitationStatus::Revoked {
                return Ok(());
            }
            self.tenancy.revoke_invitation(tx, context, tenant, id).await?;
            self.auth.void_one_time(tx, id.as_uuid()).await?;
            self.tell(tx, context, "invitation.revoked", invitation).await?;
            Ok(())
        })
    }

    fn resend_in<'a>(
        &'a self,
        tx: &'a mut Tx,
        context: &'a RequestContext,
        tenant: TenantId,
        id: InvitationId,
    ) -> BoxFuture<'a, Result<Invitation, AccountError>> {
        Box::pin(async move {
            let org = self.tenancy.lock_org_to_write(tx, tenant).await?;
            let invitation = self.find_in(tx, tenant, id).await?;
            // Its link would open nothing, whoever mails it.
            if !self.stands(tx, &invitation).await? {
                return Err(Error::InvitationClosed.into());
            }
            let until = self.tenancy.clock().now() + self.auth.config().invitation_ttl();
            let mut renewed = self.tenancy.renew_invitation(tx, context, tenant, id, until).await?;
            self.auth.void_one_time(tx, id.as_uuid()).await?;
            self.mail(tx, &org, &renewed).await?;
            self.conceal(tx, tenant, std::slice::from_mut(&mut renewed)).await?;
            Ok(renewed)
        })
    }

    async fn find_in(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        id: InvitationId,
    ) -> Result<Invitation, AccountError> {
        let found = self.tenancy.find_invitation(tx, tenant, id).await?;
        Ok(found.ok_or_else(|| problem_for("not_found"))?)
    }

    /// Mails a link of an invitation to its address, in the name of its organisation.
    pub(super) async fn mail(
        &self,
        tx: &mut Tx,
        org: &Org,
        invitation: &Invitation,
    ) -> Result<(), AccountError> {
        let (tenant, config) = (invitation.tenant_id, self.auth.config());
        // What is stored was an address when it was typed.
        let email = Email::parse(&invitation.email).map_err(|_| AuthError::LinkInvalid)?;
        let binding = self.auth.invitation_binding(tenant, invitation.id, &email);
        let token = self.auth.issue_one_time::<Inviting>(tx, binding, config.invitation_ttl()).await?;
        let values = serde_json::json!({
            "token": token.expose_secret(),
            "organization": org.name.as_str(),
            "expires_days": config.invitation_ttl_days,
        });
        let message = Message::to_email("invitation", email.as_str()).in_tenant(tenant).with(values);
        Ok(self.messages.hand_over(tx, message).await?)
    }
}

pub(super) fn tenant_of(context: &RequestContext) -> ApiResult<TenantId> {
    context.principal.tenant.ok_or_else(|| problem_for("tenant_required").into())
}
