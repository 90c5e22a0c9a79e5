use std::sync::Arc;

use stylobate_auth::{
    AuthError, Email, Identifier, Invitation as Inviting, OneTimeToken, Password, People, PeopleError,
    Person, PersonChange, VerifiedPerson,
};
use stylobate_core::{BoxFuture, InvitationId, PersonId, Principal, RequestContext, RoleId, TenantId};
use stylobate_db::{Scope, Tx};
use stylobate_tenancy::{Invitation, InvitationStatus};
use stylobate_tower_middleware::{ApiResult, problem_for};
use uuid::Uuid;

use super::{
    AccountError, AccountRequest, NewAccount, Newcomers, as_system, invitation::require_organization,
};

const SCOPE: Scope = Scope::Platform("accept an invitation");

/// Who came in, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// The person.
    pub person: PersonId,
    /// The organisation.
    pub tenant: TenantId,
    /// Whether the account was made for it.
    pub is_new: bool,
}

/// What whoever holds the link of an invitation is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownInvitation {
    /// The name of the organisation.
    pub organization: String,
    /// The address that is invited.
    pub email: String,
    /// Whether the address has an account, which then joins.
    pub has_account: bool,
}

/// An invitation that can be accepted.
struct Open {
    invitation: Invitation,
    organization: String,
    email: Email,
    holder: Option<Person>,
}

/// Who accepts.
enum Newcomer {
    New(Box<NewAccount>),
    /// Who is signed in.
    Caller(PersonId),
    /// Whose password was right.
    Verified(Arc<VerifiedPerson>),
}

/// An invitation that is about to be accepted.
struct Accepting {
    context: RequestContext,
    token: OneTimeToken<Inviting>,
    newcomer: Newcomer,
}

impl Newcomers {
    /// What to show of an invitation, while its link is good. It decides nothing.
    ///
    /// # Errors
    /// 503 when it cannot be read.
    pub async fn show_invitation(&self, token: &str) -> ApiResult<Option<ShownInvitation>> {
        let Ok(token) = self.auth.read_one_time(token) else { return Ok(None) };
        match self.look(&token).await {
            Ok(open) => Ok(Some(ShownInvitation {
                organization: open.organization,
                email: open.invitation.email,
                has_account: open.holder.is_some(),
            })),
            Err(AccountError::Auth(AuthError::LinkInvalid)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes an account with the link of an invitation, for the address that it was mailed to.
    ///
    /// # Errors
    /// 403 `link_invalid`, `role_not_offered`; 404 for another organisation than the invitation's; 409 `email_taken` when the address
    /// has an account, which joins instead; 409 `username_taken`; 422 for what an account cannot be made of.
    pub async fn accept_as_new(
        &self,
        context: &RequestContext,
        token: &str,
        request: AccountRequest,
    ) -> ApiResult<Joined> {
        let token = self.auth.read_one_time(token)?;
        let open = self.look(&token).await?;
        require_organization(request.organization, open.invitation.tenant_id)?;
        self.require_offered(request.role, open.invitation.role_id, open.invitation.tenant_id).await?;
        if open.holder.is_some() {
            return Err(AccountError::from(PeopleError::EmailTaken).into());
        }
        let new = self.prepare(context, request, Some(open.email)).await?;
        Ok(self.accept(context, token, Newcomer::New(Box::new(new))).await?)
    }

    /// Lets the caller's account join with the link of an invitation that was mailed to its address.
    ///
    /// # Errors
    /// 403 `link_invalid`, `invitation_for_another` when the address is not the caller's, `person_required` for programs and
    /// for who acts in somebody's name, `password_not_own` while the account has a password that somebody else has chosen.
    pub async fn accept_as_caller(&self, context: &RequestContext, token: &str) -> ApiResult<Joined> {
        let principal = &context.principal;
        let is_own = principal.is_person_unscoped() && principal.impersonator.is_none();
        let caller =
            principal.person_id().filter(|_| is_own).ok_or_else(|| problem_for("person_required"))?;
        let token = self.auth.read_one_time(token)?;
        let open = self.look(&token).await?;
        if open.holder.is_none_or(|holder| holder.id != caller) {
            return Err(problem_for("invitation_for_another").into());
        }
        Ok(self.accept(context, token, Newcomer::Caller(caller)).await?)
    }

    /// Lets the account of the invited address join, whose owner proves it by its password. It signs nobody in.
    ///
    /// # Errors
    /// 403 `link_invalid`, `password_not_own` for one that somebody else has chosen; otherwise as of
    /// [`Auth::verify_login`](stylobate_auth::Auth::verify_login) and [`Auth::admit`](stylobate_auth::Auth::admit).
    pub async fn accept_with_password(
        &self,
        context: &RequestContext,
        token: &str,
        password: Password,
    ) -> ApiResult<Joined> {
        let token = self.auth.read_one_time(token)?;
        let open = self.look(&token).await?;
        let holder = open.holder.ok_or(AuthError::InvalidCredentials)?;
        let verified = Arc::new(self.auth.verify_login(context, &holder.email, password).await?);
        match self.accept(context, token, Newcomer::Verified(Arc::clone(&verified))).await {
            Err(AccountError::Auth(
                refused @ (AuthError::MustChangePassword | AuthError::PasswordNotOwn),
            )) => {
                self.auth.record_refused_login(context, &verified, refused.code()).await;
                Err(AccountError::from(refused).into())
            }
            accepted => Ok(accepted?),
        }
    }

    async fn look(&self, token: &OneTimeToken<Inviting>) -> Result<Open, AccountError> {
        let mut tx = self.db.begin_read(SCOPE).await?;
        let open = self.find_open(&mut tx, token).await?;
        tx.rollback().await?;
        Ok(open)
    }

    /// The invitation of a link that is good and bound to it.
    async fn find_open(&self, tx: &mut Tx, token: &OneTimeToken<Inviting>) -> Result<Open, AccountError> {
        const INVALID: AccountError = AccountError::Auth(AuthError::LinkInvalid);
        let binding = self.auth.peek_one_time(tx, token).await?;
        let tenant = binding.tenant.ok_or(INVALID)?;
        let id = InvitationId::from_uuid(binding.subject);
        let invitation = self.tenancy.find_invitation(tx, tenant, id).await?.ok_or(INVALID)?;
        let email = Email::parse(&invitation.email).map_err(|_| INVALID)?;
        let is_bound = self.auth.invitation_binding(tenant, id, &email) == binding;
        if !is_bound || invitation.status != InvitationStatus::Pending {
            return Err(INVALID);
        }
        let org = self.tenancy.find_org(tx, tenant).await?.filter(|org| org.is_active).ok_or(INVALID)?;
        if !self.stands(tx, &invitation).await? {
            return Err(INVALID);
        }
        let holder = People::find_by_identifier(tx, &Identifier::new(email.as_str())).await?;
        Ok(Open { invitation, organization: org.name.as_str().to_owned(), email, holder })
    }

    async fn accept(
        &self,
        context: &RequestContext,
        token: OneTimeToken<Inviting>,
        newcomer: Newcomer,
    ) -> Result<Joined, AccountError> {
        let accepting = Arc::new(Accepting { context: context.clone(), token, newcomer });
        let newcomers = self.clone();
        let accept = async move |tx: &mut Tx| newcomers.accept_in(tx, Arc::clone(&accepting)).await;
        let joined = self.db.transact(SCOPE, accept).await?;
        self.settle(joined.tenant).await;
        Ok(joined)
    }

    fn accept_in<'a>(
        &'a self,
        tx: &'a mut Tx,
        accepting: Arc<Accepting>,
    ) -> BoxFuture<'a, Result<Joined, AccountError>> {
        Box::pin(async move {
            let Accepting { context, token, newcomer } = &*accepting;
            let tenant = self.auth.peek_one_time(tx, token).await?.tenant.ok_or(AuthError::LinkInvalid)?;
            // In the order in which a deletion takes them: the policy, the organisation, then the person.
            self.rbac.lock_policy(tx, Some(tenant)).await?;
            self.require_open(tx, tenant).await?;
            let open = self.find_open(tx, token).await?;
            let invitation = &open.invitation;
            let acting = match newcomer {
                Newcomer::New(_) => as_system(context),
                Newcomer::Caller(_) => context.clone(),
                Newcomer::Verified(verified) => {
                    RequestContext { principal: Principal::person(verified.id()), ..context.clone() }
                }
            };
            let person = match newcomer {
                Newcomer::New(new) => {
                    self.auth.redeem_one_time(tx, token).await?;
                    self.make(tx, &acting, tenant, new, invitation.role_id).await?
                }
                Newcomer::Caller(person) => self.admit(tx, &acting, &open, token, *person).await?,
                Newcomer::Verified(verified) => {
                    // Held to what sign-in is held to; it begins no session.
                    let _admitted = self.auth.admit(tx, verified).await?;
                    self.admit(tx, &acting, &open, token, verified.id()).await?
                }
            };
            // A new account is a member already.
            let has_joined =
                self.tenancy.accept_invitation(tx, &acting, tenant, invitation.id, person).await?;
            if let Newcomer::Caller(_) | Newcomer::Verified(_) = newcomer {
                self.give_role(tx, context, tenant, person, invitation.role_id).await?;
                if has_joined {
                    self.accounts.joined(tx, &acting, tenant, person).await?;
                }
            }
            let accepted = Invitation { accepted_by: Some(person), ..invitation.clone() };
            self.tell(tx, &acting, "invitation.accepted", accepted).await?;
            Ok(Joined { person, tenant, is_new: matches!(newcomer, Newcomer::New(_)) })
        })
    }

    /// Locks an account that may join, uses up its link, and notes that mail to it arrives. Of another spelling of its address nothing is
    /// proven. Whoever else knows its password has no business in the organisation.
    async fn admit(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        open: &Open,
        token: &OneTimeToken<Inviting>,
        person: PersonId,
    ) -> Result<PersonId, AccountError> {
        let holder = open.holder.as_ref().filter(|holder| holder.id == person && holder.is_active());
        let holder = holder.ok_or(AuthError::LinkInvalid)?;
        let is_proven = holder.email.eq_ignore_ascii_case(open.email.as_str());
        let change = PersonChange { email_verified: is_proven.then_some(true), ..PersonChange::default() };
        self.auth.people().update(tx, context, person, holder.version, change).await?;
        self.auth.require_own_password(tx, person).await?;
        self.auth.redeem_one_time(tx, token).await?;
        Ok(person)
    }

    /// Refuses a role that a newcomer chooses, unless it is the one they get anyway.
    pub(super) async fn require_offered(
        &self,
        chosen: Option<Uuid>,
        offered: Option<RoleId>,
        tenant: TenantId,
    ) -> Result<(), AccountError> {
        let Some(chosen) = chosen else { return Ok(()) };
        let offered = match offered {
            Some(role) => Some(role),
            None => {
                let mut conn = self.db.begin_read(SCOPE).await?;
                let role = self.rbac.role_named(&mut conn, Some(tenant), &self.role).await?;
                conn.rollback().await?;
                role.map(|role| role.id)
            }
        };
        if offered.is_some_and(|role| role.as_uuid() == chosen) {
            return Ok(());
        }
        Err(problem_for("role_not_offered").into())
    }
}
