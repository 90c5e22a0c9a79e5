use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stylobate_auth::{
    AuthError, Email, OneTimeToken, Password, Registration as Registering, Username, Verdict,
};
use stylobate_core::{BoxFuture, FieldProblem, RequestContext};
use stylobate_db::{Scope, Tx};
use stylobate_tower_middleware::{ApiError, ApiResult, problem_for};
use uuid::Uuid;

use super::{
    super::{NewProfile, mailed_links::address, password::password},
    AccountError, Joined, NewAccount, Newcomers, Registration, as_system,
    invitation::require_organization,
};

const SCOPE: Scope = Scope::Platform("register");

/// An account as somebody asks for it.
#[derive(Debug, Clone, Default)]
pub struct AccountRequest {
    /// Where its owner reads mail. With an invitation it is that one's, and needs not be said.
    pub email: Option<String>,
    /// What its owner signs in with, besides the address.
    pub username: Option<String>,
    /// The password.
    pub password: Option<Password>,
    /// What its owner says about themselves.
    pub profile: NewProfile,
    /// The organisation that its owner expects; another one is refused.
    pub organization: Option<Uuid>,
    /// The role that its owner expects; another one is refused.
    pub role: Option<Uuid>,
}

/// What came of asking for an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registered {
    /// It was made, with an invitation.
    Made(Joined),
    /// A mail is on its way to the address.
    Asked,
}

/// An account in the row of its link, until it is made.
#[derive(Serialize, Deserialize)]
struct Draft {
    username: Option<String>,
    email: String,
    hash: String,
    profile: NewProfile,
}

/// A registration that is about to end.
struct Confirming {
    context: RequestContext,
    token: OneTimeToken<Registering>,
    username: Option<Username>,
}

impl Newcomers {
    /// Asks for an account. With the `token` of an invitation it is made; without one, where [`Registration::Open`], a link that makes
    /// it is mailed to its address, or that the address has one.
    ///
    /// # Errors
    /// 403 `registration_closed`, `role_not_offered`; 404 for another organisation than the one it would be in; 422 for what an account
    /// cannot be made of; 429 `flow_throttled`; otherwise as of [`accept_as_new`](Self::accept_as_new).
    pub async fn register(
        &self,
        context: &RequestContext,
        token: Option<&str>,
        request: AccountRequest,
    ) -> ApiResult<Registered> {
        match (self.registration, token) {
            (Registration::Off, _) | (Registration::Invited, None) => {
                Err(problem_for("registration_closed").into())
            }
            (_, Some(token)) => Ok(Registered::Made(self.accept_as_new(context, token, request).await?)),
            (Registration::Open, None) => {
                self.ask(context, request).await?;
                Ok(Registered::Asked)
            }
        }
    }

    async fn ask(&self, context: &RequestContext, request: AccountRequest) -> ApiResult<()> {
        self.auth.admit_registration(context).await?;
        let tenant = self.default_org;
        require_organization(request.organization, tenant)?;
        self.require_offered(request.role, None, tenant).await?;
        let new = self.prepare(context, request, None).await?;
        let draft = Draft {
            username: new.username.as_ref().map(|name| name.as_str().to_owned()),
            email: new.email.as_str().to_owned(),
            hash: new.hash.expose_phc().to_owned(),
            profile: new.profile,
        };
        let draft = serde_json::to_vec(&draft).map_err(ApiError::internal)?;
        let messages = Arc::clone(&self.messages);
        Ok(self.auth.request_registration(context, tenant, &new.email, draft, messages).await?)
    }

    /// Makes the account that somebody asked for, with the link that was mailed to its address and the password that was chosen:
    /// whoever asks for an account at another's address has them open the link, and would know the password of what they make.
    /// Whoever has taken its username since leaves the link good: `username` replaces it. Nobody is signed in.
    ///
    /// # Errors
    /// 403 `link_invalid`, `registration_closed` when it has been switched off since; 422 for another password, which leaves the link
    /// good; 409 `username_taken`, `email_taken`; 429 `flow_throttled`.
    pub async fn confirm_registration(
        &self,
        context: &RequestContext,
        token: &str,
        password: Password,
        username: Option<&str>,
    ) -> ApiResult<Joined> {
        if self.registration != Registration::Open {
            return Err(problem_for("registration_closed").into());
        }
        let username = username.filter(|name| !name.is_empty()).map(parse_username).transpose()?;
        let token = self.auth.read_one_time(token)?;
        self.require_chosen(context, &token, password).await?;
        let confirming = Arc::new(Confirming { context: context.clone(), token, username });
        let newcomers = self.clone();
        let confirm = async move |tx: &mut Tx| newcomers.confirm_in(tx, Arc::clone(&confirming)).await;
        let joined = self.db.transact(SCOPE, confirm).await?;
        self.settle(joined.tenant).await;
        Ok(joined)
    }

    /// Refuses whoever does not know the password that the account would have.
    async fn require_chosen(
        &self,
        context: &RequestContext,
        token: &OneTimeToken<Registering>,
        password: Password,
    ) -> Result<(), AccountError> {
        self.auth.admit_registration(context).await?;
        let mut conn = self.db.read().await?;
        let binding = self.auth.peek_one_time(&mut conn, token).await?;
        drop(conn);
        let draft: Draft = serde_json::from_slice(&binding.payload).map_err(|_| AuthError::LinkInvalid)?;
        let hash = draft.hash.parse().map_err(|_| AuthError::LinkInvalid)?;
        let hasher = self.auth.hasher().for_address(context.address);
        match hasher.verify(password, &hash).await.map_err(AuthError::from)? {
            Verdict::Match { .. } => Ok(()),
            Verdict::Mismatch => {
                Err(ApiError::field("password", "wrong", "is not the one that was chosen").into())
            }
        }
    }

    fn confirm_in<'a>(
        &'a self,
        tx: &'a mut Tx,
        confirming: Arc<Confirming>,
    ) -> BoxFuture<'a, Result<Joined, AccountError>> {
        Box::pin(async move {
            let Confirming { context, token, username } = &*confirming;
            self.rbac.lock_policy(tx, Some(self.default_org)).await?;
            self.require_open(tx, self.default_org).await?;
            let binding = self.auth.redeem_one_time(tx, token).await?;
            let tenant = binding.tenant.filter(|tenant| *tenant == self.default_org);
            let tenant = tenant.ok_or(AuthError::LinkInvalid)?;
            let draft: Draft =
                serde_json::from_slice(&binding.payload).map_err(|_| AuthError::LinkInvalid)?;
            let new = draft.into_account(username.clone())?;
            let person = self.make(tx, &as_system(context), tenant, &new, None).await?;
            Ok(Joined { person, tenant, is_new: true })
        })
    }

    /// Checks what somebody asks for and hashes the password: everything that needs no account to be there or not.
    pub(super) async fn prepare(
        &self,
        context: &RequestContext,
        request: AccountRequest,
        invited: Option<Email>,
    ) -> ApiResult<NewAccount> {
        let AccountRequest { email, username, password: typed, profile, .. } = request;
        let named = email.map(|named| address("email", &named)).transpose()?;
        let email = match (invited, named) {
            (Some(invited), Some(named)) if named.key() != invited.key() => {
                return Err(problem_for("invitation_for_another").into());
            }
            (Some(invited), _) => invited,
            (None, named) => named.ok_or_else(|| required("email"))?,
        };
        let username = username.as_deref().filter(|name| !name.is_empty()).map(parse_username).transpose()?;
        profile.check()?;
        self.accounts.check(&profile)?;
        let typed = typed.ok_or_else(|| required("password"))?;
        let about = profile.context_words(username.as_ref(), &email);
        let hash = self.auth.hash_chosen_password(context, &about, typed).await.map_err(of_password)?;
        Ok(NewAccount { username, email, hash, profile })
    }
}

impl Draft {
    /// What was parsed before it was stored is so again, unless an earlier version stored it.
    fn into_account(self, username: Option<Username>) -> Result<NewAccount, AccountError> {
        const INVALID: AccountError = AccountError::Auth(AuthError::LinkInvalid);
        let own = self.username.map(|name| Username::parse(&name)).transpose().map_err(|_| INVALID)?;
        Ok(NewAccount {
            username: username.or(own),
            email: Email::parse(&self.email).map_err(|_| INVALID)?,
            hash: self.hash.parse().map_err(|_| INVALID)?,
            profile: self.profile,
        })
    }
}

fn parse_username(typed: &str) -> ApiResult<Username> {
    Username::parse(typed).map_err(|error| ApiError::field("username", error.code(), error.to_string()))
}

pub(super) fn required(field: &'static str) -> ApiError {
    ApiError::field(field, "required", "is required")
}

/// A password that is chosen for a new account stands in the field `password`.
fn of_password(error: AuthError) -> ApiError {
    let AuthError::PasswordRefused(violations) = error else { return error.into() };
    let problems = violations
        .iter()
        .map(|violation| FieldProblem::new("password", violation.code(), violation.to_string()));
    ApiError::fields(problems.collect())
}

/// The password in a body.
pub(super) fn chosen(typed: Option<String>) -> ApiResult<Option<Password>> {
    typed.map(|typed| password("password", typed)).transpose()
}
