//! What can be done with members and users: each is one transaction, and what changes accounts is of `people`.

use std::{collections::HashMap, sync::Arc};

use stylobate::{
    Platform,
    auth::{self, AuthError, Email, PeopleError},
    core::{FieldProblem, Page, PersonId, Problem, RequestContext, RoleId, TenantId},
    db::{Db, Scope, Tx},
    endpoints::{AccountError, Accounts as _, NewInvitee, Newcomers},
    middleware::{ApiError, ApiResult, MergePatch, problem_for},
    rbac::Rbac,
    tenancy::{MembershipStatus, Tenancy},
};
use uuid::Uuid;

use super::user_model::{AccountInput, UserChange, UserView, names_role};
use crate::{
    admin::ADMIN,
    orgs::{OrgTarget, given_by_platform},
    people::{
        Draft, ListRequest, People, PersonInput, PersonView, Status, in_contact, require_other, tenant_of,
    },
    refused::{Refused, invalid},
};

pub(super) const READ: &str = "user.read";
pub(super) const INVITE: &str = "user.invite";
pub(super) const UPDATE: &str = "user.update";
pub(super) const DELETE: &str = "user.delete";
/// What lets somebody give roles.
pub(super) const ASSIGN: &str = "role.assign";
/// What lets somebody take them.
pub(super) const REVOKE: &str = "role.revoke";
/// What lets somebody act on people of any organisation.
const ANY_PERSON: &str = "platform.users.manage";

/// Members of an organisation that the caller may act in.
#[derive(Clone)]
pub(crate) struct Members {
    db: Db,
    rbac: Rbac,
    tenancy: Arc<Tenancy>,
    people: People,
    pub(super) newcomers: Newcomers,
}

impl Members {
    pub(crate) fn new(platform: &Platform, people: &People, newcomers: &Newcomers) -> Self {
        Self {
            db: platform.db().clone(),
            rbac: platform.rbac().clone(),
            tenancy: Arc::clone(platform.tenancy()),
            people: people.clone(),
            newcomers: newcomers.clone(),
        }
    }

    /// The organisation `id`, for a caller who has `key` already.
    pub(super) async fn target(
        &self,
        context: &RequestContext,
        id: TenantId,
        key: &str,
    ) -> ApiResult<OrgTarget> {
        OrgTarget::find(&self.rbac, &self.tenancy, &self.db, context, id, key, ANY_PERSON).await
    }

    /// The organisation in which somebody is looked for: the caller's own, unless the platform names another one.
    pub(super) async fn target_or_own(
        &self,
        context: &RequestContext,
        named: Option<Uuid>,
        key: &str,
    ) -> ApiResult<OrgTarget> {
        let id = match named {
            Some(named) => TenantId::from_uuid(named),
            None => tenant_of(context)?,
        };
        self.target(context, id, key).await
    }

    pub(super) async fn list(
        &self,
        target: &OrgTarget,
        request: ListRequest,
    ) -> Result<Page<PersonView>, Refused> {
        let mut tx = self.db.begin_read(target.scope("list members")).await?;
        let page = self.people.list_in(&mut tx, target.tenant, request).await?;
        tx.rollback().await?;
        Ok(page)
    }

    pub(super) async fn find(&self, target: &OrgTarget, id: PersonId) -> Result<PersonView, Refused> {
        let mut tx = self.db.begin_read(target.scope("read a member")).await?;
        let found = self.people.member(&mut tx, target.tenant, id).await?;
        tx.rollback().await?;
        Ok(found)
    }

    // A12
    /// Makes somebody who has an account a member, for the platform. For everybody else only members are there: they would learn who
    /// has an account otherwise.
    pub(super) async fn add(&self, target: &OrgTarget, id: PersonId) -> Result<PersonView, AccountError> {
        let is_of_platform = given_by_platform(&self.rbac, &target.context, [INVITE, ANY_PERSON]);
        let (this, context, tenant) = (self.clone(), target.context.clone(), target.tenant);
        let add = async move |tx: &mut Tx| {
            if this.tenancy.find_member(tx, tenant, id).await?.is_some() {
                return Err(already_member());
            }
            if !is_of_platform {
                return Err(Problem::not_found().into());
            }
            this.add_in(tx, &context, tenant, id).await
        };
        let added = self.db.transact(Scope::Platform("add a member"), add).await?;
        self.newcomers.settle(target.tenant).await;
        Ok(added)
    }

    async fn add_in(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        tenant: TenantId,
        id: PersonId,
    ) -> Result<PersonView, AccountError> {
        // The policy, the organisation, the person: in the order in which everybody locks them.
        self.rbac.lock_policy(tx, Some(tenant)).await?;
        self.tenancy.lock_org_to_write(tx, tenant).await?;
        auth::People::lock(tx, id).await?.ok_or_else(Problem::not_found)?;
        self.require_own_password(tx, id).await?;
        if !self.tenancy.add_member(tx, context, tenant, id).await? {
            return Err(already_member());
        }
        self.newcomers.give_role(tx, context, tenant, id, None).await?;
        self.people.joined(tx, context, tenant, id).await?;
        Ok(self.people.member(tx, tenant, id).await?)
    }

    /// Whoever chose the password of somebody would come along to an organisation that they are added to.
    async fn require_own_password(&self, tx: &mut Tx, id: PersonId) -> Result<(), AccountError> {
        match self.newcomers.auth.require_own_password(tx, id).await {
            Err(AuthError::PasswordNotOwn) => {
                let detail = "Somebody else chose the password of the person, who sets another by a mailed link first.";
                Err(problem_for("password_not_own").detail(detail).into())
            }
            answer => Ok(answer?),
        }
    }

    pub(super) async fn set_status(
        &self,
        target: &OrgTarget,
        id: PersonId,
        status: MembershipStatus,
    ) -> Result<PersonView, Refused> {
        let (people, context, tenant) = (self.people.clone(), target.context.clone(), target.tenant);
        let set = async move |tx: &mut Tx| people.set_membership(tx, &context, tenant, id, status).await;
        self.db.transact(Scope::Platform("suspend or reinstate a member"), set).await
    }

    pub(super) async fn remove(&self, target: &OrgTarget, id: PersonId) -> Result<(), Refused> {
        let (people, context, tenant) = (self.people.clone(), target.context.clone(), target.tenant);
        let remove = async move |tx: &mut Tx| people.end_membership(tx, &context, tenant, id).await;
        self.db.transact(Scope::Platform("end a membership"), remove).await
    }
}

/// Users: members with what is known about them and the roles they have.
impl Members {
    pub(super) async fn list_users(
        &self,
        target: &OrgTarget,
        request: ListRequest,
    ) -> Result<Page<UserView>, Refused> {
        let mut tx = self.db.begin_read(target.scope("list users")).await?;
        let Page { items, next_cursor, total } = self.people.list_in(&mut tx, target.tenant, request).await?;
        let items = self.users(&mut tx, target.tenant, items).await?;
        tx.rollback().await?;
        Ok(Page { items, next_cursor, total })
    }

    pub(super) async fn find_user(&self, target: &OrgTarget, id: PersonId) -> Result<UserView, Refused> {
        let mut tx = self.db.begin_read(target.scope("read a user")).await?;
        let found = self.people.member(&mut tx, target.tenant, id).await?;
        let user = self.user(&mut tx, target.tenant, found).await?;
        tx.rollback().await?;
        Ok(user)
    }

    /// Makes an account with its membership and role; without a password it invites the address.
    pub(super) async fn create_user(
        &self,
        target: &OrgTarget,
        input: AccountInput,
        role: Option<RoleId>,
    ) -> ApiResult<UserView> {
        input.require_organization(target.tenant)?;
        if !input.has_password() {
            return self.invite(target, input, role).await;
        }
        let draft = self.prepare(input).await?;
        let (this, target) = (self.clone(), target.clone());
        let tenant = target.tenant;
        let make = async move |tx: &mut Tx| this.make_in(tx, &target, &draft, role).await;
        let made = self.db.transact(Scope::Platform("make a user"), make).await?;
        self.newcomers.settle(tenant).await;
        Ok(made)
    }

    /// What of making a user needs no database.
    pub(crate) async fn prepare(&self, input: AccountInput) -> Result<Draft, Refused> {
        let prepared = self.people.prepare(input.into_person()?).await;
        prepared.map_err(|refused| in_contact("contact_information.", refused))
    }

    /// The rest of it, inside a transaction of platform scope. Have the policy [settled](Newcomers::settle) after the commit.
    pub(crate) async fn make_in(
        &self,
        tx: &mut Tx,
        target: &OrgTarget,
        draft: &Draft,
        role: Option<RoleId>,
    ) -> Result<UserView, AccountError> {
        let (context, tenant) = (&target.context, target.tenant);
        // The policy, the organisation, the person: in the order in which everybody locks them.
        self.rbac.lock_policy(tx, Some(tenant)).await?;
        if let Some(role) = role {
            self.rbac.require_may_give(tx, context, Some(tenant), role).await?;
        }
        self.tenancy.lock_org_to_write(tx, tenant).await?;
        let person = self.people.create_in(tx, context, tenant, draft).await?;
        let id = PersonId::from_uuid(person.id);
        match role {
            Some(role) => {
                self.rbac.assign_in(tx, context, Some(tenant), id, role).await?;
            }
            None => self.newcomers.give_role(tx, context, tenant, id, None).await?,
        }
        Ok(self.user(tx, tenant, person).await?)
    }

    async fn invite(
        &self,
        target: &OrgTarget,
        mut input: AccountInput,
        role: Option<RoleId>,
    ) -> ApiResult<UserView> {
        let address = input.take_address()?;
        let email = Email::parse(&address)
            .map_err(|error| ApiError::field("email", error.code(), error.to_string()))?;
        Ok(self.newcomers.invite(&target.context, NewInvitee { email, role }).await?.into())
    }

    /// The role of administrators of an organisation. A body may name it, and no other.
    pub(super) async fn administrators_role(
        &self,
        target: &OrgTarget,
        named: Option<RoleId>,
    ) -> ApiResult<RoleId> {
        let mut tx = self.db.begin_read(target.scope("find the role of administrators")).await?;
        let role = self.rbac.role_named(&mut tx, Some(target.tenant), ADMIN).await?;
        tx.rollback().await?;
        let role = role.ok_or_else(ApiError::not_found)?.id;
        if named.is_some_and(|named| named != role) {
            let problem = FieldProblem::new("role_id", "invalid", "is not the role of administrators");
            return Err(Refused::from(invalid(vec![problem])).into());
        }
        Ok(role)
    }

    pub(super) async fn change_user(
        &self,
        target: &OrgTarget,
        id: PersonId,
        patch: MergePatch,
    ) -> Result<UserView, Refused> {
        let (this, context, tenant) = (self.clone(), target.context.clone(), target.tenant);
        let changes_role = names_role(&patch);
        let change = async move |tx: &mut Tx| {
            let before = this.people.member(tx, tenant, id).await?;
            let change = UserChange::of(&before, &patch)?;
            let after = this.put_user(tx, &context, tenant, before, change).await?;
            this.user(tx, tenant, after).await
        };
        let changed = self.db.transact(Scope::Platform("change a user"), change).await?;
        if changes_role {
            self.newcomers.settle(tenant).await;
        }
        Ok(changed)
    }

    /// Disables the account of somebody who belongs to no other organisation, and suspends everybody else.
    pub(super) async fn deactivate_user(&self, target: &OrgTarget, id: PersonId) -> Result<(), Refused> {
        let (this, context, tenant) = (self.clone(), target.context.clone(), target.tenant);
        let deactivate = async move |tx: &mut Tx| {
            let before = this.people.member(tx, tenant, id).await?;
            let change = UserChange::inactive(&before);
            this.put_user(tx, &context, tenant, before, change).await.map(drop)
        };
        self.db.transact(Scope::Platform("deactivate a user"), deactivate).await
    }

    /// Whether a user takes part is said of the account, and of the membership of somebody who belongs to other organisations as
    /// well.
    async fn put_user(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        tenant: TenantId,
        before: PersonView,
        change: UserChange,
    ) -> Result<PersonView, Refused> {
        let UserChange { person, has_fields, takes_part, role } = change;
        let id = PersonId::from_uuid(before.id);
        if takes_part == Some(false) {
            require_other(context, id)?;
        }
        if person.version.is_some_and(|read| read != before.version) {
            return Err(PeopleError::Stale.into());
        }
        let is_shared = self.people.is_shared(tx, id).await?;
        let status = match takes_part {
            Some(true) if !before.is_active => Some(Status::Active),
            Some(false) if before.is_active && !is_shared => Some(Status::Inactive),
            _ => None,
        };
        let membership = match takes_part {
            Some(true) => Some(MembershipStatus::Active),
            Some(false) if is_shared => Some(MembershipStatus::Suspended),
            _ => None,
        };
        if membership.is_some() || role.is_some() {
            // Before the organisation and the person: in the order in which everybody locks them.
            self.rbac.lock_policy(tx, None).await?;
            self.rbac.lock_policy(tx, Some(tenant)).await?;
        }
        let mut after = before;
        if has_fields || status.is_some() {
            let wanted = PersonInput { status, ..person };
            after = self.people.change_in(tx, context, tenant, id, &|_| Ok(wanted.clone())).await?;
        }
        if let Some(membership) = membership {
            after = self.people.set_membership(tx, context, tenant, id, membership).await?;
        }
        if let Some(role) = role {
            // Last: what was changed about the person replaces the records that stand before it.
            self.rbac.put_role_in(tx, context, tenant, id, role).await?;
        }
        Ok(after)
    }

    /// Changes what is known about somebody.
    pub(super) async fn change_person(
        &self,
        target: &OrgTarget,
        id: PersonId,
        change: impl Fn(&PersonView) -> Result<PersonInput, Refused> + Send + Sync,
    ) -> Result<PersonView, Refused> {
        let (people, context, tenant) = (self.people.clone(), target.context.clone(), target.tenant);
        let change = async move |tx: &mut Tx| people.change_in(tx, &context, tenant, id, &change).await;
        self.db.transact(Scope::Platform("change a user"), change).await
    }

    async fn user(&self, tx: &mut Tx, tenant: TenantId, person: PersonView) -> Result<UserView, Refused> {
        let mut users = self.users(tx, tenant, vec![person]).await?;
        users.pop().ok_or_else(|| Problem::internal().into())
    }

    async fn users(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        people: Vec<PersonView>,
    ) -> Result<Vec<UserView>, Refused> {
        let ids: Vec<PersonId> = people.iter().map(|person| PersonId::from_uuid(person.id)).collect();
        let mut roles: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
        for (person, role) in self.rbac.role_ids_of(tx, tenant, &ids).await? {
            roles.entry(person.as_uuid()).or_default().push(role.as_uuid());
        }
        let user = |person: PersonView| {
            let roles = roles.remove(&person.id).unwrap_or_default();
            UserView::of(tenant, person, roles)
        };
        Ok(people.into_iter().map(user).collect())
    }
}

fn already_member() -> AccountError {
    problem_for("already_member").detail("The person belongs to the organisation.").into()
}
