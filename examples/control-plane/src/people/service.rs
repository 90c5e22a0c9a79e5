//! What can be done with people: each is one transaction over the tables of three owners, and one audit event.

use std::sync::Arc;

use stylobate::{
    auth::{Auth, AuthError, ContextWords, Email, NewPerson, Password, PasswordHash, PersonStatus, Username},
    core::{
        AuditEvent, Direction, FieldProblem, Page, PageLimit, PersonId, Principal, Problem, RequestContext,
        TenantId,
    },
    db::{self, Db, Scope, Tx},
    endpoints::NewAccount,
    notify::Notifier,
    rbac::Rbac,
    tenancy::{MembershipStatus, Tenancy},
};

use super::{
    model::{Noted, PersonInput, PersonView, Profile, Status},
    notes,
    store::{self, Filter},
    told::tell_person,
};
use crate::{
    orgs::given_by_platform,
    refused::{Refused, field, invalid},
};

/// What lets somebody act on people of any organisation.
const ANY_PERSON: &str = "platform.users.manage";

/// People of the caller's organisation.
#[derive(Clone)]
pub(crate) struct People {
    pub(super) db: Db,
    pub(super) auth: Auth,
    pub(super) rbac: Rbac,
    pub(super) tenancy: Arc<Tenancy>,
    pub(super) messages: Notifier,
}

/// What a list of people asks for.
#[derive(Default)]
pub(crate) struct ListRequest {
    pub(crate) email: Option<String>,
    pub(crate) status: Option<Status>,
    pub(crate) is_active: Option<bool>,
    pub(crate) membership: Option<MembershipStatus>,
    /// Those whose account and membership are active, or the others.
    pub(crate) takes_part: Option<bool>,
    pub(crate) search: Option<String>,
    pub(crate) direction: Direction,
    pub(crate) limit: PageLimit,
    pub(crate) cursor: Option<String>,
    pub(crate) with_total: bool,
}

/// A person to be made, checked and hashed.
pub(crate) struct Draft {
    identity: Identity,
    profile: Profile,
    noted: Noted,
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
            noted: Noted::default(),
            status: Status::Active,
            email_verified: true,
            must_change_password: false,
            hash: Some(new.hash.clone()),
        }
    }
}

/// The identifiers of a person, parsed.
pub(super) struct Identity {
    pub(super) username: Option<Username>,
    pub(super) email: Email,
}

impl Identity {
    pub(super) fn parse(input: &PersonInput) -> Result<Self, Refused> {
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
    pub(crate) fn new(db: Db, auth: Auth, rbac: Rbac, tenancy: Arc<Tenancy>, messages: Notifier) -> Self {
        Self { db, auth, rbac, tenancy, messages }
    }

    /// Makes a person who belongs to `tenant`, the caller's organisation.
    pub(crate) async fn create(
        &self,
        context: &RequestContext,
        tenant: TenantId,
        input: PersonInput,
    ) -> Result<PersonView, Refused> {
        let email_verified = input.email_verified && self.vouches(context, "user.create");
        let draft = self.prepare(PersonInput { email_verified, ..input }).await?;
        let (this, context) = (self.clone(), context.clone());
        self.db
            .transact(Scope::Tenant(tenant), async move |tx: &mut Tx| {
                this.create_in(tx, &context, tenant, &draft).await
            })
            .await
    }

    /// Whether it counts what the caller, who has `key`, says about an address being proven. That is known to all organisations, and
    /// what one of them says proves nothing to the others.
    pub(super) fn vouches(&self, context: &RequestContext, key: &str) -> bool {
        given_by_platform(&self.rbac, context, [key, ANY_PERSON])
    }

    /// Does the part of making a person that needs no database. Hashing takes a core for tens of milliseconds: it is done
    /// before a connection is held.
    pub(crate) async fn prepare(&self, input: PersonInput) -> Result<Draft, Refused> {
        let identity = Identity::parse(&input)?;
        let profile = input.profile()?;
        let status = input.wanted_status()?.unwrap_or_default();
        let noted = input.noted();
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
            noted,
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
        let mark = tx.audit_mark();
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
        notes::put(tx, tenant, person.id, &draft.noted, self.tenancy.clock().now()).await?;
        if draft.status != Status::Active {
            self.auth.people().set_status(tx, context, person.id, PersonStatus::Disabled).await?;
        }
        let view = read(tx, tenant, person.id).await?;
        let event = event(context, "person.create", tenant, person.id).change(None::<()>, Some(&view));
        tx.audit_instead_since(mark, event);
        tell_person(tx, context, "user.created", tenant, &view);
        Ok(view)
    }

    pub(super) async fn list(
        &self,
        context: &RequestContext,
        request: ListRequest,
    ) -> Result<Page<PersonView>, Refused> {
        let tenant = tenant_of(context)?;
        let mut tx = self.db.begin_read(Scope::Tenant(tenant)).await?;
        let page = self.list_in(&mut tx, tenant, request).await?;
        tx.rollback().await?;
        Ok(page)
    }

    /// The members of `tenant`, in the caller's transaction.
    pub(crate) async fn list_in(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        request: ListRequest,
    ) -> Result<Page<PersonView>, Refused> {
        let keyset = store::keyset(request.direction, request.limit, request.cursor.as_deref())
            .map_err(|_| field("cursor", "does not belong to this list"))?;
        let filter = Filter {
            // An address that cannot exist matches nobody, as one that does not.
            email_key: request.email.map(|email| {
                Email::parse(&email).map_or_else(|_| email.to_lowercase(), |email| email.key().to_owned())
            }),
            status: request.status,
            is_active: request.is_active,
            membership: request.membership,
            takes_part: request.takes_part,
            search: request.search.map(|text| text.to_lowercase()).filter(|text| !text.is_empty()),
        };
        let mut page = store::list_members(tx, tenant, &filter, &keyset).await?;
        if request.with_total {
            page.total = Some(store::count_members(tx, tenant, &filter).await?);
        }
        Ok(page)
    }

    pub(super) async fn find(&self, context: &RequestContext, id: PersonId) -> Result<PersonView, Refused> {
        let tenant = tenant_of(context)?;
        let mut tx = self.db.begin_read(Scope::Tenant(tenant)).await?;
        let found = self.member(&mut tx, tenant, id).await;
        tx.rollback().await?;
        found
    }

    /// The caller, with what the organisation that they act for notes.
    pub(super) async fn find_self(&self, principal: &Principal) -> Result<PersonView, Refused> {
        let id = principal.person_id().ok_or_else(Problem::not_found)?;
        let found = match principal.tenant {
            Some(tenant) => {
                let mut tx = self.db.begin_read(Scope::Tenant(tenant)).await?;
                let found = store::find_self(&mut tx, id, Some(tenant)).await?;
                tx.rollback().await?;
                found
            }
            None => store::find_self(&mut *self.db.read().await?, id, None).await?,
        };
        found.ok_or_else(|| Problem::not_found().into())
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
}

/// A member that must be there.
pub(super) async fn read(tx: &mut Tx, tenant: TenantId, id: PersonId) -> Result<PersonView, Refused> {
    Ok(store::find_member(tx, tenant, id).await?.ok_or(db::Error::NotFound)?)
}

pub(super) fn event(
    context: &RequestContext,
    action: &'static str,
    tenant: TenantId,
    id: PersonId,
) -> AuditEvent {
    AuditEvent::new(context, action, "person").on(id).in_tenant(Some(tenant))
}

pub(crate) fn tenant_of(context: &RequestContext) -> Result<TenantId, Refused> {
    context.principal.tenant.ok_or_else(|| Problem::not_found().into())
}
