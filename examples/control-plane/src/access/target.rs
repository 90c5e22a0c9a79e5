//! Whom a question is about, and in which organisation.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;
use stylobate::{
    core::{Assurance, AuthenticatorAssurance, PersonId, Principal, RequestContext, Subject, TenantId},
    db::Scope,
    middleware::{ApiError, ApiResult},
    rbac::{Assignee, AssigneeKind, Authorizer as _, Question, Resource},
};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Access;

/// What lets somebody ask about any organisation.
const ANY_ORGANISATION: &str = "platform.rbac.manage";

/// Whether somebody may do something.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct QuestionInput {
    /// Who would do it.
    pub(super) user_id: Uuid,
    /// Where: the caller's own organisation. Another one may be named by the platform only.
    #[serde(default)]
    pub(super) organization_id: Option<Uuid>,
    /// What: the name of a permission, or a synonym.
    #[serde(alias = "permission")]
    pub(super) permission_name: String,
    /// To which thing; without one, what rules ask about it is unknown.
    #[serde(default)]
    pub(super) resource: Option<ResourceInput>,
    /// How strongly the user would be signed in: `aal1` (the default), `aal2` or `aal3`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub(super) assurance: Option<AuthenticatorAssurance>,
    /// The answer comes from a policy at least as new as this epoch, or there is none.
    #[serde(default)]
    pub(super) policy_epoch: Option<i64>,
}

/// A thing, as far as rules ask about it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ResourceInput {
    /// What kind of thing, in the words of the application: `document`.
    kind: String,
    /// Which one; none for a thing that is about to be made.
    #[serde(default)]
    id: Option<String>,
    /// The person it belongs to.
    #[serde(default)]
    owner_id: Option<Uuid>,
    /// What else rules may compare, at most 32.
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

/// More than a page, and far fewer than a statement may have parameters.
const LOOKED_UP_AT_ONCE: usize = 1_000;

/// As many as anybody compares, and few enough to look through for each rule.
const ATTRIBUTES_MAX: usize = 32;

impl QuestionInput {
    /// Refuses what is too large to be meant.
    pub(super) fn validate(&self) -> ApiResult<()> {
        let too_long = |field, text: &str, bytes_max| {
            let is_long = text.len() > bytes_max;
            if is_long { Err(ApiError::field(field, "too_long", "is too long")) } else { Ok(()) }
        };
        too_long("permission_name", &self.permission_name, 128)?;
        let Some(resource) = &self.resource else { return Ok(()) };
        too_long("resource.kind", &resource.kind, 64)?;
        too_long("resource.id", resource.id.as_deref().unwrap_or_default(), 200)?;
        if resource.attributes.len() > ATTRIBUTES_MAX {
            return Err(ApiError::field("resource.attributes", "too_long", "has more than 32 entries"));
        }
        resource.attributes.iter().try_for_each(|(name, value)| {
            too_long("resource.attributes", name, 64)?;
            too_long("resource.attributes", value, 256)
        })
    }

    pub(super) fn person(&self) -> PersonId {
        PersonId::from_uuid(self.user_id)
    }

    /// Puts the question about `tenant` to `answer`.
    pub(super) fn put<T>(&self, tenant: TenantId, answer: impl FnOnce(Question<'_>) -> T) -> T {
        let assurance = Assurance { aal: self.assurance.unwrap_or_default(), ..Assurance::default() };
        let principal = Principal { assurance, ..Principal::person(self.person()).in_tenant(tenant) };
        let attributes: Vec<(&str, &str)> = self
            .resource
            .iter()
            .flat_map(|resource| &resource.attributes)
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let resource = self.resource.as_ref().map(|resource| Resource {
            kind: &resource.kind,
            id: resource.id.as_deref(),
            owner: resource.owner_id.map(|id| PersonId::from_uuid(id).into()),
            attributes: &attributes,
        });
        answer(Question {
            principal: &principal,
            permission: &self.permission_name,
            resource: resource.as_ref(),
        })
    }
}

impl Access {
    // A12
    /// The organisation that is asked about: the caller's own. Who decides about all of them may name another; to everybody
    /// else another one is as if missing.
    pub(super) async fn organisation(
        &self,
        context: &RequestContext,
        named: Option<Uuid>,
    ) -> ApiResult<TenantId> {
        let (own, named) = (context.principal.tenant, named.map(TenantId::from_uuid));
        match (own, named) {
            (Some(own), None) => Ok(own),
            (Some(own), Some(named)) if own == named => Ok(own),
            (None, None) => Err(ApiError::field("organization_id", "required", "is required")),
            (_, Some(named)) if self.is_of_platform(context) => self.existing(named).await,
            (_, Some(_)) => Err(ApiError::not_found()),
        }
    }

    /// The organisation, and that the person is one of its members. Who decides about all organisations learns about
    /// everybody: people of the platform are members of none.
    pub(super) async fn organisation_of(
        &self,
        context: &RequestContext,
        named: Option<Uuid>,
        person: PersonId,
    ) -> ApiResult<TenantId> {
        let tenant = self.organisation(context, named).await?;
        if self.is_of_platform(context) || self.is_member(tenant, person).await? {
            return Ok(tenant);
        }
        Err(ApiError::not_found())
    }

    /// An organisation whose policy serves exists; so programs of the operator are answered while the database is away.
    async fn existing(&self, named: TenantId) -> ApiResult<TenantId> {
        if self.rbac.engine().epoch(Some(named)).is_some() {
            return Ok(named);
        }
        let mut reader = self.db.read().await?;
        let found = self.tenancy.find_org(&mut reader, named).await?;
        found.map(|org| org.id).ok_or_else(ApiError::not_found)
    }

    pub(super) fn is_of_platform(&self, context: &RequestContext) -> bool {
        context.principal.subject == Subject::System
            || self.rbac.check(&context.principal, ANY_ORGANISATION).is_allowed()
    }

    async fn is_member(&self, tenant: TenantId, person: PersonId) -> ApiResult<bool> {
        let mut tx = self.db.begin_read(Scope::Tenant(tenant)).await?;
        let is_member = self.tenancy.is_member(&mut tx, tenant, person).await?;
        tx.rollback().await?;
        Ok(is_member)
    }

    /// A person of another tenant answers exactly as a missing one.
    pub(super) async fn must_be_member(&self, context: &RequestContext, person: PersonId) -> ApiResult<()> {
        let tenant = context.principal.tenant.ok_or_else(ApiError::not_found)?;
        if self.is_member(tenant, person).await? { Ok(()) } else { Err(ApiError::not_found()) }
    }

    // A12
    /// The first `count` of `subjects` without the people who are no members of the tenant.
    pub(super) async fn first_members(
        &self,
        tenant: TenantId,
        subjects: &[Assignee],
        count: usize,
    ) -> ApiResult<Vec<Assignee>> {
        let is_person = |one: &Assignee| one.kind == AssigneeKind::Person;
        let mut members = Vec::new();
        let mut tx = self.db.begin_read(Scope::Tenant(tenant)).await?;
        // Nearly all are members: one turn is the rule.
        for some in subjects.chunks(LOOKED_UP_AT_ONCE) {
            let people = some.iter().filter(|one| is_person(one)).map(|one| PersonId::from_uuid(one.id));
            let people: Vec<PersonId> = people.collect();
            let found = self.tenancy.members_among(&mut tx, tenant, &people).await?;
            let found: HashSet<Uuid> = found.into_iter().map(|person| person.as_uuid()).collect();
            members.extend(some.iter().filter(|one| !is_person(one) || found.contains(&one.id)));
            if members.len() >= count {
                break;
            }
        }
        tx.rollback().await?;
        members.truncate(count);
        Ok(members)
    }
}
