//! How people come to an account and into an organisation: invited, or by themselves where everybody may.
//!
//! 1. No account is made before its address is proven: the link of an invitation, or of a registration, was mailed there.
//! 2. An invitation counts as long as whoever made it could make it again: is an active member, or acts for the platform; is not
//!    disabled or gone, may invite, and may give the role. It is asked when the link is shown and, under the lock of the policy, when it
//!    is used. A role that is no more counts as one that cannot be given.
//! 3. Account, membership and role come to be in one transaction, with the end of the link.
//! 4. Who asks for an account is answered alike whether the address has one or not.
//! 5. Whoever comes in holds the organisation: one that is closed takes nobody.

mod invitation;
mod joining;
mod managing;
mod registration;
mod routes;

use std::sync::Arc;

use serde_json::json;
use stylobate_auth::{Auth, AuthError};
use stylobate_core::{DomainEvent, PersonId, Principal, RequestContext, RoleId, TenantId};
use stylobate_db::{Db, MessageOutbox, Tx};
use stylobate_rbac::{Rbac, RbacError};
use stylobate_tenancy::{Error, Invitation, Tenancy};

use super::{AccountError, Accounts, NewAccount, hold};

pub use invitation::NewInvitee;
pub use joining::{Joined, ShownInvitation};
pub use managing::InvitationQuery;
pub use registration::{AccountRequest, Registered};
pub use routes::{InvitationView, newcomer_routes};

/// What lets somebody invite people.
const INVITE: &str = "user.invite";
/// What lets somebody invite people to an organisation that is not theirs, besides.
const INVITE_ANYWHERE: &str = "platform.users.manage";

/// Who may ask for an account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Registration {
    /// Nobody; invitations are accepted all the same. The default.
    #[default]
    Off,
    /// Whoever has an invitation.
    Invited,
    /// Everybody, for the default organisation.
    Open,
}

/// What the routes by which people come in work with: JSON routes and pages ask the same.
#[derive(Clone)]
pub struct Newcomers {
    /// Sign-in.
    pub auth: Auth,
    /// Organisations and invitations.
    pub tenancy: Arc<Tenancy>,
    /// Roles.
    pub rbac: Rbac,
    /// Where their tables are.
    pub db: Db,
    /// The accounts that are made.
    pub accounts: Arc<dyn Accounts>,
    /// What mails the links: it has to know the kinds `invitation`, `registration` and `registration_exists`.
    pub messages: Arc<dyn MessageOutbox>,
    /// Who may ask for an account.
    pub registration: Registration,
    /// Where those belong who come by themselves.
    pub default_org: TenantId,
    /// The name of the role that they get, and those whose invitation names none.
    pub role: Arc<str>,
}

impl Newcomers {
    /// Whether whoever made an invitation could make it again. For transactions of platform scope.
    async fn stands(&self, tx: &mut Tx, invitation: &Invitation) -> Result<bool, AccountError> {
        let Some(inviter) = invitation.invited_by else { return Ok(false) };
        let found = stylobate_auth::People::find(tx, inviter).await?;
        if !found.is_some_and(|person| person.is_active()) {
            return Ok(false);
        }
        match self.require_may_invite(tx, inviter, invitation).await {
            Ok(()) => Ok(true),
            Err(AccountError::Rbac(
                RbacError::BeyondOwn | RbacError::PlatformOwned | RbacError::NotFound { .. },
            )) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Refuses an inviter who may not invite to the organisation, or may not give the role: members by all that they have, and everybody
    /// else by what the platform gives them.
    async fn require_may_invite(
        &self,
        tx: &mut Tx,
        inviter: PersonId,
        invitation: &Invitation,
    ) -> Result<(), AccountError> {
        let tenant = invitation.tenant_id;
        let mut context = RequestContext::new(Principal::person(inviter).in_tenant(tenant));
        context.is_for_platform = !self.tenancy.is_member(tx, tenant, inviter).await?;
        self.rbac.require_held(tx, &context, tenant, INVITE).await?;
        if context.is_for_platform {
            self.rbac.require_held(tx, &context, tenant, INVITE_ANYWHERE).await?;
        }
        if let Some(role) = invitation.role_id {
            self.rbac.require_may_give(tx, &context, Some(tenant), role).await?;
        }
        Ok(())
    }

    /// Takes from invitations of `tenant` what it does not see: who invites for the platform is not named.
    async fn conceal(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        invitations: &mut [Invitation],
    ) -> Result<(), Error> {
        let inviters: Vec<PersonId> = invitations.iter().filter_map(|one| one.invited_by).collect();
        let members = self.tenancy.members_among(tx, tenant, &inviters).await?;
        for invitation in invitations {
            invitation.invited_by = invitation.invited_by.filter(|person| members.contains(person));
        }
        Ok(())
    }

    /// Tells that `kind` happened to an invitation, and returns it as the organisation sees it. Its address is not told.
    async fn tell(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        kind: &'static str,
        mut invitation: Invitation,
    ) -> Result<Invitation, Error> {
        let tenant = invitation.tenant_id;
        self.conceal(tx, tenant, std::slice::from_mut(&mut invitation)).await?;
        let data = json!({
            "organization_id": tenant,
            "invitation_id": invitation.id,
            "role_id": invitation.role_id,
            "invited_by": invitation.invited_by,
            "user_id": invitation.accepted_by,
        });
        let event = DomainEvent::new(context, kind, invitation.id, data);
        tx.emit(DomainEvent { tenant: Some(tenant), ..event });
        Ok(invitation)
    }

    /// Keeps an organisation from being closed until whoever comes in is in.
    async fn require_open(&self, tx: &mut Tx, tenant: TenantId) -> Result<(), AccountError> {
        let is_open = hold(&self.tenancy, tx, tenant).await?;
        is_open.then_some(()).ok_or_else(|| AuthError::LinkInvalid.into())
    }

    /// Makes an account with its membership and role.
    async fn make(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        tenant: TenantId,
        new: &NewAccount,
        role: Option<RoleId>,
    ) -> Result<PersonId, AccountError> {
        let person = self.accounts.make(tx, context, tenant, new).await?;
        self.give_role(tx, context, tenant, person, role).await?;
        Ok(person)
    }

    /// Gives a member the role that was promised, or the one that everybody gets, if the organisation has it. In a transaction of
    /// platform scope that holds the [policy](Rbac::lock_policy); the platform gives it, whoever asks.
    ///
    /// # Errors
    /// 404 for a role that the organisation does not have, and for who is no active member.
    pub async fn give_role(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        tenant: TenantId,
        person: PersonId,
        role: Option<RoleId>,
    ) -> Result<(), AccountError> {
        let role = match role {
            Some(role) => Some(role),
            None => self.rbac.role_named(tx, Some(tenant), &self.role).await?.map(|role| role.id),
        };
        let Some(role) = role else {
            tracing::error!(%tenant, role = &*self.role, "the role of newcomers is missing; somebody came in without");
            return Ok(());
        };
        let (rbac, system) = (self.rbac.clone(), as_system(context));
        let assign =
            async move |tx: &mut Tx| rbac.assign_in(tx, &system, Some(tenant), person, role).await.map(drop);
        match tx.nested(assign).await {
            Ok(()) | Err(RbacError::AlreadyAssigned) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Has the next request of whoever came in see their role. Where it cannot be, it is seen within a second. Not to be asked inside a
    /// transaction.
    pub async fn settle(&self, tenant: TenantId) {
        if let Err(error) = self.rbac.ensure(Some(tenant)).await {
            tracing::warn!(%error, "a role counts later, because the policy could not be read");
        }
    }
}

/// The platform, on behalf of who asks: nobody who comes in could make their own account or give themselves a role.
fn as_system(context: &RequestContext) -> RequestContext {
    RequestContext { principal: Principal::system(), process: Some("newcomers"), ..context.clone() }
}
