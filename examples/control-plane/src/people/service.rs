//! What can be done with people: each is one transaction over the tables of three owners, and one audit event.

use std::sync::Arc;

use stylobate::{
    USER_DELETED,
    auth::{
        ApiKeyError, Auth, AuthError, ContextWords, Email, NewPerson, Password, PasswordHash, PeopleError,
        PersonChange, PersonStatus, ServiceAccountError, Username,
    },
    core::{
        AuditEvent, Direction, FieldProblem, Page, PageLimit, PersonId, Principal, Problem, RequestContext,
        TenantId,
    },
    db::{self, Db, Scope, TransactError, Tx},
    endpoints::NewAccount,
    middleware::{ApiError, IntoProblem},
    rbac::{Rbac, RbacError},
    tenancy::{self, Tenancy},
};

use super::{
    model::{PersonInput, PersonView, Profile, Status, invalid},
    store::{self, Filter},
    told::tell_person,
};
use crate::orgs;

/// People of the caller's organisation.
#[derive(Clone)]
pub(crate) struct People {
    pub(super) db: Db,
    pub(super) auth: Auth,
    pub(super) rbac: Rbac,
    pub(super) tenancy: Arc<Tenancy>,
    messages: Arc<dyn db::MessageOutbox>,
}

/// Why something about people was refused.
#[derive(Debug)]
pub(crate) enum Refused {
    Problem(Box<Problem>),
    Db(db::Error),
    People(PeopleError),
    Auth(AuthError),
    ApiKey(ApiKeyError),
    ServiceAccount(ServiceAccountError),
    Rbac(RbacError),
    Tenancy(tenancy::Error),
}

macro_rules! refused_from {
    ($($variant:ident($error:ty)),* $(,)?) => {$(
        impl From<$error> for Refused {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        }
    )*};
}

refused_from!(
    Db(db::Error),
    People(PeopleError),
    Auth(AuthError),
    ApiKey(ApiKeyError),
    ServiceAccount(ServiceAccountError),
    Rbac(RbacError),
    Tenancy(tenancy::Error),
);

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

impl TransactError for Refused {
    fn as_db(&self) -> Option<&db::Error> {
        match self {
            Self::Problem(_) => None,
            Self::Db(error) => Some(error),
            Self::People(error) => error.as_db(),
            Self::Auth(error) => error.as_db(),
            Self::ApiKey(error) => error.as_db(),
            Self::ServiceAccount(error) => error.as_db(),
            Self::Rbac(error) => error.as_db(),
            Self::Tenancy(error) => error.as_db(),
        }
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Problem(problem) => (*problem).into(),
            Refused::Db(error) => error.into_problem().into(),
            Refused::People(error) => error.into_problem().into(),
            Refused::Auth(error) => error.into_problem().into(),
            Refused::ApiKey(error) => error.into_problem().into(),
            Refused::ServiceAccount(error) => error.into_problem().into(),
            Refused::Rbac(error) => error.into_problem().into(),
            Refused::Tenancy(error) => error.into_problem().into(),
        }
    }
}

/// What a list of people asks for.
pub(super) struct ListRequest {
    pub(super) email: Option<String>,
    pub(super) status: Option<Status>,
    pub(super) is_active: Option<bool>,
    pub(super) search: Option<String>,
    pub(super) direction: Direction,
    pub(super) limit: PageLimit,
    pub(super) cursor: Option<String>,
    pub(super) with_total: bool,
}

/// A person to be made, checked and hashed.
pub(crate) struct Draft {
    identity: Identity,
    profile: Profile,
    status: Status,
    email_verified: bool,
    must_change_password: bool,
    hash: Option<PasswordHash>,
}

impl Draft {
    /// Somebody whose address is proven and who chose their own password.
    pub(super) fn of_newcomer(new: &NewAccount, profile: Profile) -> Self {
        Self {
            identity: Identity { username: new.username.clone(), email: new.email.clone() },
            profile,
            status: Status::Active,
            email_verified: true,
            must_change_password: false,
            hash: Some(new.hash.clone()),
        }
    }
}

/// The identifiers of a person, parsed.
struct Identity {
    username: Option<Username>,
    email: Email,
}

impl Identity {
    fn parse(input: &PersonInput) -> Result<Self, Refused> {
        let mut problems = Vec::new();
        let mut wrong = |field: &'static str, error: stylobate::auth::IdentifierError| {
            problems.push(FieldProblem::new(field, error.code(), error.to_string()));
        };
        let email = Email::parse(&input.email).map_err(|error| wrong("email", error)).ok();
        let username = input.username.as_deref().filter(|name| !name.is_empty());
        let username =
            username.and_then(|name| Username::parse(name).map_err(|error| wrong("username", error)).ok());
        match email {
            Some(email) if problems.is_empty() => Ok(Self { username, email }),
            _ => Err(invalid(problems).into()),
        }
    }
}

impl Identity {
    /// What a password must not be made of.
    fn context_words(&self, first_name: &str, last_name: &str) -> ContextWords {
        let words = ContextWords::new().email(self.email.as_str()).word(first_name).word(last_name);
        match &self.username {
            Some(username) => words.username(username.as_str()),
            None => words,
        }
    }
}

/// Where a person gets its first password the field is called otherwise than where it changes it.
pub(crate) fn first_password(error: AuthError) -> Refused {
    let AuthError::PasswordRefused(violations) = error else { return error.into() };
    let problems = violations
        .iter()
        .map(|violation| FieldProblem::new("password", violation.code(), violation.to_string()));
    invalid(problems.collect()).into()
}

pub(crate) fn password_of(text: String) -> Result<Password, Refused> {
    Password::new(text).map_err(|_| field("password", "is longer than 1024 bytes").into())
}

impl People {
    pub(crate) fn new(
        db: Db,
        auth: Auth,
        rbac: Rbac,
        tenancy: Arc<Tenancy>,
        messages: Arc<dyn db::MessageOutbox>,
    ) -> Self {
        Self { db, auth, rbac, tenancy, messages }
    }

    /// Makes a person who belongs to `tenant`, the caller's organisation.
    pub(crate) async fn create(
        &self,
        context: &RequestContext,
        tenant: TenantId,
        input: PersonInput,
    ) -> Result<PersonView, Refused> {
        let draft = self.prepare(input).await?;
        let (this, context) = (self.clone(), context.clone());
        self.db
            .transact(Scope::Tenant(tenant), async move |tx: &mut Tx| {
                this.create_in(tx, &context, tenant, &draft).await
            })
            .await
    }

    /// Does the part of making a person that needs no database. Hashing takes a core for tens of milliseconds: it is done
    /// before a connection is held.
    pub(crate) async fn prepare(&self, input: PersonInput) -> Result<Draft, Refused> {
        let identity = Identity::parse(&input)?;
        let profile = input.profile()?;
        let status = input.wanted_status()?.unwrap_or_default();
        let hash = match input.password {
            Some(password) => {
                let about = identity.context_words(&profile.first_name, &profile.last_name);
                Some(
                    self.auth
                        .hash_new_password(&about, password_of(password)?)
                        .await
                        .map_err(first_password)?,
                )
            }
            None => None,
        };
        Ok(Draft {
            identity,
            profile,
            status,
            email_verified: input.email_verified,
            must_change_password: input.must_change_password.unwrap_or(false),
            hash,
        })
    }

    /// The rest of making a person, inside the caller's transaction.
    pub(crate) async fn create_in(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        tenant: TenantId,
        draft: &Draft,
    ) -> Result<PersonView, Refused> {
        let new = NewPerson {
            username: draft.identity.username.clone(),
            email: draft.identity.email.clone(),
            email_verified: draft.email_verified,
            must_change_password: draft.must_change_password,
        };
        let person = self.auth.people().insert(tx, context, new).await?;
        if let Some(hash) = &draft.hash {
            self.auth.set_password(tx, context, person.id, hash, draft.must_change_password).await?;
        }
        let search_key = store::search_key(&draft.profile, person.username.as_deref(), &person.email);
        store::put_profile(tx, person.id, &draft.profile, draft.status, search_key).await?;
        self.tenancy.add_member(tx, context, tenant, person.id).await?;
        if draft.status != Status::Active {
            self.auth.people().set_status(tx, context, person.id, PersonStatus::Disabled).await?;
        }
        let view = read(tx, tenant, person.id).await?;
        tx.audit_instead(event(context, "person.create", tenant, person.id).change(None::<()>, Some(&view)));
        tell_person(tx, context, "user.created", tenant, &view);
        Ok(view)
    }

    pub(super) async fn list(
        &self,
        context: &RequestContext,
        request: ListRequest,
    ) -> Result<Page<PersonView>, Refused> {
        let tenant = tenant_of(context)?;
        let keyset = store::keyset(request.direction, request.limit, request.cursor.as_deref())
            .map_err(|_| field("cursor", "does not belong to this list"))?;
        let filter = Filter {
            // An address that cannot exist matches nobody, as one that does not.
            email_key: request.email.map(|email| {
                Email::parse(&email).map_or_else(|_| email.to_lowercase(), |email| email.key().to_owned())
            }),
            status: request.status,
            is_active: request.is_active,
            search: request.search.map(|text| text.to_lowercase()).filter(|text| !text.is_empty()),
        };
        let mut tx = self.db.begin_read(Scope::Tenant(tenant)).await?;
        let mut page = store::list_members(&mut tx, tenant, &filter, &keyset).await?;
        if request.with_total {
            page.total = Some(store::count_members(&mut tx, tenant, &filter).await?);
        }
        tx.rollback().await?;
        Ok(page)
    }

    pub(super) async fn find(&self, context: &RequestContext, id: PersonId) -> Result<PersonView, Refused> {
        let tenant = tenant_of(context)?;
        let mut tx = self.db.begin_read(Scope::Tenant(tenant)).await?;
        let found = store::find_member(&mut tx, tenant, id).await?;
        tx.rollback().await?;
        found.ok_or_else(|| Problem::not_found().into())
    }

    pub(super) async fn find_self(&self, principal: &Principal) -> Result<PersonView, Refused> {
        let id = principal.person_id().ok_or_else(Problem::not_found)?;
        let mut reader = self.db.read().await?;
        store::find_self(&mut reader, id).await?.ok_or_else(|| Problem::not_found().into())
    }

    /// Changes a member of the caller's organisation into what `change` makes of it. When the row changed since it was
    /// read, the caller has to look again.
    pub(super) async fn change(
        &self,
        context: &RequestContext,
        id: PersonId,
        change: impl Fn(&PersonView) -> Result<PersonInput, Refused> + Send + Sync,
    ) -> Result<PersonView, Refused> {
        let tenant = tenant_of(context)?;
        let (this, context) = (self.clone(), context.clone());
        self.db
            .transact(Scope::Platform("change a person"), async move |tx: &mut Tx| {
                let (this, context) = (&this, &context);
                let before = store::find_member(tx, tenant, id).await?.ok_or_else(Problem::not_found)?;
                let is_own = context.principal.on_behalf_of() == Some(id);
                if !is_own {
                    this.rbac.require_may_manage(tx, context, id).await?;
                }
                let input = change(&before)?;
                if is_own
                    && input.must_change_password.is_some_and(|wanted| wanted != before.must_change_password)
                {
                    return Err(field("must_change_password", "is for somebody else to decide").into());
                }
                if input.password.is_some() {
                    return Err(field("password", "is changed by its owner, at /auth/password-change").into());
                }
                let identity = Identity::parse(&input)?;
                let changes_email = identity.email.as_str() != before.email;
                if is_own && changes_email {
                    // Whoever holds a session of somebody else's must not get the account that way.
                    return Err(field("email", "is changed by its owner at /auth/email-change").into());
                }
                // That mail arrives is proven by a link.
                let email_verified = if is_own { before.email_verified } else { input.email_verified };
                let profile = input.profile()?;
                let status = input.wanted_status()?.unwrap_or(before.status);
                let version = input.version.unwrap_or(before.version);
                let decides = touches_identity(&before, &identity, &input) || status != before.status;
                if decides && !is_own {
                    // Who decides under which name and address an account signs in, and whether, holds it.
                    this.rbac.require_may_become(tx, context, id).await?;
                }
                if status != Status::Active {
                    this.require_another_administrator(tx, id).await?;
                }
                let identifiers = PersonChange {
                    username: Some(identity.username),
                    email: Some(identity.email),
                    email_verified: Some(email_verified),
                    must_change_password: input.must_change_password,
                };
                let person = this.auth.people().update(tx, context, id, version, identifiers).await?;
                if changes_email {
                    this.auth.tell_email_changed(tx, context, id, &before.email, &*this.messages).await?;
                }
                let person = if person.version == version {
                    // Only the profile changes: whoever read the same version has to look again all the same.
                    this.auth.people().touch(tx, id, version).await?
                } else {
                    person
                };
                // The row of the person is locked by now.
                if decides {
                    this.require_not_shared(tx, id).await?;
                }
                if (status == Status::Active) != (before.status == Status::Active) {
                    let wanted =
                        if status == Status::Active { PersonStatus::Active } else { PersonStatus::Disabled };
                    this.auth.people().set_status(tx, context, id, wanted).await?;
                    if wanted == PersonStatus::Disabled {
                        this.auth
                            .tell_account_disabled(tx, context, id, &before.email, &*this.messages)
                            .await?;
                    }
                }
                let search_key = store::search_key(&profile, person.username.as_deref(), &person.email);
                store::put_profile(tx, id, &profile, status, search_key).await?;
                let after = read(tx, tenant, id).await?;
                tx.audit_instead(
                    event(context, "person.update", tenant, id).change(Some(&before), Some(&after)),
                );
                tell_person(tx, context, "user.updated", tenant, &after);
                if before.status == Status::Active && after.status != Status::Active {
                    tell_person(tx, context, "user.deactivated", tenant, &after);
                }
                Ok(after)
            })
            .await
    }

    /// Lets a member of the caller's organisation sign in again whom wrong passwords have locked out.
    pub(super) async fn unlock(&self, context: &RequestContext, id: PersonId) -> Result<(), Refused> {
        let tenant = tenant_of(context)?;
        let (this, context) = (self.clone(), context.clone());
        self.db
            .transact(Scope::Platform("unlock a person"), async move |tx: &mut Tx| {
                this.account(tx, &context, tenant, id).await?;
                this.auth.unlock(tx, &context, id).await?;
                Ok(())
            })
            .await
    }

    /// Removes a member of the caller's organisation with everything that is kept about the person; somebody who belongs
    /// to others as well only leaves this one.
    pub(super) async fn delete(&self, context: &RequestContext, id: PersonId) -> Result<(), Refused> {
        let tenant = tenant_of(context)?;
        if context.principal.on_behalf_of() == Some(id) {
            return Err(Problem::new(409, "own_account")
                .detail("Nobody removes the account that is signed in.")
                .into());
        }
        let (this, context) = (self.clone(), context.clone());
        self.db
            .transact(Scope::Platform("remove a person"), async move |tx: &mut Tx| {
                let (this, context) = (&this, &context);
                let before = store::find_member(tx, tenant, id).await?.ok_or_else(Problem::not_found)?;
                this.rbac.require_may_become(tx, context, id).await?;
                if this.is_shared(tx, id).await? {
                    return this.leave(tx, context, tenant, id, &before).await;
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
}

impl People {
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
        self.require_another_administrator(tx, id).await?;
        // Nobody needs a permission to take away from themselves what others gave them.
        let system = RequestContext { principal: Principal::system(), ..context.clone() };
        let judged = if context.principal.person_id() == Some(id) { &system } else { context };
        // Rules, memberships, the person: in the order in which everybody locks them.
        self.rbac.remove_subject_everywhere(tx, judged, id, tenants).await?;
        for tenant in tenants {
            self.uninvite(tx, context, *tenant, &before.email).await?;
        }
        self.tenancy.remove_person(tx, context, id).await?;
        store::delete_profile(tx, id).await?;
        orgs::forget_person(tx, id).await?;
        self.auth.people().delete(tx, context, id).await?;
        Ok(self.auth.tell_account_deleted(tx, context, id, &before.email, &*self.messages).await?)
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

    async fn leave(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        tenant: TenantId,
        id: PersonId,
        before: &PersonView,
    ) -> Result<(), Refused> {
        // In the order in which a deletion takes them.
        self.rbac.remove_subject(tx, context, tenant, id).await?;
        let ended = self.auth.people().end_sessions_in(tx, context, id, tenant).await?;
        self.uninvite(tx, context, tenant, &before.email).await?;
        self.tenancy.remove_member(tx, context, tenant, id).await?;
        let event = event(context, "member.remove", tenant, id).with("sessions_ended", ended);
        tx.audit_instead(event.change(Some(before), None::<()>));
        tell_person(tx, context, "member.removed", tenant, before);
        Ok(())
    }
}

fn touches_identity(before: &PersonView, identity: &Identity, input: &PersonInput) -> bool {
    identity.email.as_str() != before.email
        || identity.username.as_ref().map(Username::as_str) != before.username.as_deref()
        || input.email_verified != before.email_verified
        || input.must_change_password.is_some_and(|wanted| wanted != before.must_change_password)
}

async fn read(tx: &mut Tx, tenant: TenantId, id: PersonId) -> Result<PersonView, Refused> {
    Ok(store::find_member(tx, tenant, id).await?.ok_or(db::Error::NotFound)?)
}

fn event(context: &RequestContext, action: &'static str, tenant: TenantId, id: PersonId) -> AuditEvent {
    AuditEvent::new(context, action, "person").on(id).in_tenant(Some(tenant))
}

pub(crate) fn tenant_of(context: &RequestContext) -> Result<TenantId, Refused> {
    context.principal.tenant.ok_or_else(|| Problem::not_found().into())
}

pub(crate) fn field(name: &'static str, message: &'static str) -> Problem {
    invalid(vec![FieldProblem::new(name, "invalid", message)])
}
