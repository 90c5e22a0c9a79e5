use std::sync::Arc;

use stylobate_auth::{Email, Identifier};
use stylobate_core::{BoxFuture, PersonId, RequestContext, RoleId, TenantId};
use stylobate_db::{Scope, Tx};
use stylobate_tenancy::{Error, Invitation, NewInvitation};
use stylobate_tower_middleware::{ApiError, ApiResult, problem_for};
use uuid::Uuid;

use super::{AccountError, Newcomers, managing::tenant_of};

/// Whom somebody invites.
#[derive(Debug, Clone)]
pub struct NewInvitee {
    /// Where the link is mailed.
    pub email: Email,
    /// The role that is promised; without one it is that of all newcomers.
    pub role: Option<RoleId>,
}

/// An invitation that is about to be made.
struct Inviter {
    context: RequestContext,
    tenant: TenantId,
    invitee: NewInvitee,
}

impl Newcomers {
    /// Invites whoever reads the mail to an address to the caller's organisation: the message `invitation` in the organisation's name,
    /// with the values `token`, `organization` and `expires_days`. Whether the address has an account elsewhere shows nowhere.
    ///
    /// # Errors
    /// 403 `tenant_required`, `not_a_person`, `beyond_own_permissions`; 404 for a role that the organisation does not have;
    /// 409 `already_member`, `invitation_pending`, `org_being_deleted`; 429 `flow_throttled`.
    pub async fn invite(&self, context: &RequestContext, invitee: NewInvitee) -> ApiResult<Invitation> {
        let tenant = tenant_of(context)?;
        // Whether it counts is asked of them later.
        context.principal.on_behalf_of().ok_or_else(|| problem_for("not_a_person"))?;
        self.auth.admit_invitation(context).await?;
        let inviter = Arc::new(Inviter { context: context.clone(), tenant, invitee });
        let newcomers = self.clone();
        let invite = async move |tx: &mut Tx| newcomers.invite_in(tx, Arc::clone(&inviter)).await;
        Ok(self.db.transact(Scope::Platform("invite somebody"), invite).await?)
    }

    fn invite_in<'a>(
        &'a self,
        tx: &'a mut Tx,
        inviter: Arc<Inviter>,
    ) -> BoxFuture<'a, Result<Invitation, AccountError>> {
        Box::pin(async move {
            let Inviter { context, tenant, invitee: NewInvitee { email, role } } = &*inviter;
            if let Some(role) = role {
                self.rbac.require_may_give(tx, context, Some(*tenant), *role).await?;
            }
            let org = self.tenancy.lock_org_to_write(tx, *tenant).await?;
            if self.is_member(tx, *tenant, email).await? {
                return Err(problem_for("already_member").into());
            }
            self.make_room(tx, context, *tenant, email).await?;
            let new = NewInvitation {
                email: email.as_str().to_owned(),
                email_key: email.key().to_owned(),
                role_id: *role,
                expires_at: self.tenancy.clock().now() + self.auth.config().invitation_ttl(),
            };
            let invitation = self.tenancy.invite(tx, context, *tenant, &new).await?;
            self.mail(tx, &org, &invitation).await?;
            Ok(self.tell(tx, context, "invitation.created", invitation).await?)
        })
    }

    /// Whether whoever has the address belongs to the organisation. It costs the same whether anybody has it.
    async fn is_member(&self, tx: &mut Tx, tenant: TenantId, email: &Email) -> Result<bool, AccountError> {
        let holder = stylobate_auth::People::find_by_identifier(tx, &Identifier::new(email.as_str())).await?;
        let holder = holder.map_or(PersonId::from_uuid(Uuid::nil()), |person| person.id);
        let memberships = self.tenancy.memberships_of(tx, holder).await?;
        Ok(memberships.iter().any(|membership| membership.tenant_id == tenant))
    }

    /// Takes an invitation back that does not count any more: it must not keep the address from being invited.
    async fn make_room(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        tenant: TenantId,
        email: &Email,
    ) -> Result<(), AccountError> {
        let Some(pending) = self.tenancy.find_pending_invitation(tx, tenant, email.key()).await? else {
            return Ok(());
        };
        if self.stands(tx, &pending).await? {
            return Err(Error::InvitationPending.into());
        }
        self.tenancy.revoke_invitation(tx, context, tenant, pending.id).await?;
        Ok(self.auth.void_one_time(tx, pending.id.as_uuid()).await?)
    }
}

/// Refuses an organisation that is not the one in question, as if it were missing.
pub(super) fn require_organization(named: Option<Uuid>, tenant: TenantId) -> ApiResult<()> {
    let is_it = named.is_none_or(|named| named == tenant.as_uuid());
    is_it.then_some(()).ok_or_else(ApiError::not_found)
}
