use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use stylobate::{
    core::{FieldProblem, PersonId, Problem, RoleId, TenantId},
    middleware::MergePatch,
    tenancy::Invitation,
};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    merged::merged,
    people::{Gender, PersonInput, PersonView, country_of},
    refused::{Refused, field, invalid},
};

/// Whether a user takes part in an organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum UserStatus {
    Active,
    /// The account is disabled, or the membership suspended.
    Inactive,
    /// Nobody has answered the invitation yet.
    Invited,
}

/// A user of an organisation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UserView {
    /// Of the person; of the invitation while the status is `invited`.
    id: Uuid,
    organization_id: Uuid,
    username: Option<String>,
    email: String,
    first_name: Option<String>,
    middle_name: Option<String>,
    last_name: Option<String>,
    date_of_birth: Option<NaiveDate>,
    #[schema(inline)]
    gender: Option<Gender>,
    nationality: Option<String>,
    status: UserStatus,
    /// The roles of the organisation that the user is given, or will be.
    role_ids: Vec<Uuid>,
    created_at: DateTime<Utc>,
    /// `null` while the status is `invited`.
    version: Option<i64>,
}

impl UserView {
    pub(crate) fn id(&self) -> PersonId {
        PersonId::from_uuid(self.id)
    }

    pub(super) fn of(tenant: TenantId, person: PersonView, role_ids: Vec<Uuid>) -> Self {
        let status = if person.takes_part() { UserStatus::Active } else { UserStatus::Inactive };
        let profile = person.profile;
        Self {
            id: person.id,
            organization_id: tenant.as_uuid(),
            username: person.username,
            email: person.email,
            first_name: Some(profile.first_name),
            middle_name: profile.middle_name,
            last_name: Some(profile.last_name),
            date_of_birth: profile.date_of_birth,
            gender: Some(profile.gender),
            nationality: profile.nationality,
            status,
            role_ids,
            created_at: person.created_at,
            version: Some(person.version),
        }
    }
}

impl From<Invitation> for UserView {
    fn from(invitation: Invitation) -> Self {
        Self {
            id: invitation.id.as_uuid(),
            organization_id: invitation.tenant_id.as_uuid(),
            username: None,
            email: invitation.email,
            first_name: None,
            middle_name: None,
            last_name: None,
            date_of_birth: None,
            gender: None,
            nationality: None,
            status: UserStatus::Invited,
            role_ids: invitation.role_id.into_iter().map(|role| role.as_uuid()).collect(),
            created_at: invitation.created_at,
            version: None,
        }
    }
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct UserFilter {
    /// Only those who take part (`active`), who do not (`inactive`), or who have not come in yet (`invited`). Without it, all who
    /// belong to the organisation.
    #[param(inline)]
    pub(super) status: Option<UserStatus>,
    /// Only those with this text in name, user name or address; of invitations, in the address.
    pub(super) search: Option<String>,
}

/// How somebody is reached.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ContactInput {
    /// Older spelling: `email_id`.
    #[serde(alias = "email_id")]
    pub(super) email: Option<String>,
    pub(super) phone_number: Option<String>,
    /// Whom to call in an emergency.
    pub(super) emergency_number: Option<String>,
    /// Street and number. Older spelling: `address`.
    #[serde(alias = "address")]
    pub(super) street_address: Option<String>,
    pub(super) city: Option<String>,
    pub(super) state: Option<String>,
    pub(super) zip_code: Option<String>,
    pub(super) country: Option<String>,
}

impl ContactInput {
    /// Puts it in the place of what a person has.
    pub(super) fn replace_in(self, person: PersonInput) -> PersonInput {
        let (country_code, country) = country_of(self.country);
        PersonInput {
            email: self.email.unwrap_or(person.email),
            phone: self.phone_number,
            emergency_number: self.emergency_number,
            address_line1: self.street_address,
            city: self.city,
            region: self.state,
            postal_code: self.zip_code,
            country_code,
            country,
            ..person
        }
    }
}

/// Somebody who is to be a user.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountInput {
    /// A name to sign in with beside the e-mail address.
    username: Option<String>,
    /// Here or in `contact_information`.
    email: Option<String>,
    /// A first password, which the first sign-in asks to change. Without one the address is invited: whoever accepts says who they are,
    /// and nothing is kept of this but address and role.
    password: Option<String>,
    first_name: Option<String>,
    middle_name: Option<String>,
    last_name: Option<String>,
    date_of_birth: Option<NaiveDate>,
    #[serde(default)]
    #[schema(inline)]
    gender: Gender,
    nationality: Option<String>,
    contact_information: Option<ContactInput>,
    /// The organisation of the path, if any; another one is as if missing.
    organization_id: Option<Uuid>,
    /// A role of the organisation, which gives no more than the caller may do. Without one it is that of all newcomers.
    role_id: Option<Uuid>,
}

impl AccountInput {
    /// Refuses another organisation than the one in question, as if it were missing.
    pub(super) fn require_organization(&self, tenant: TenantId) -> Result<(), Refused> {
        let is_it = self.organization().is_none_or(|named| named == tenant);
        is_it.then_some(()).ok_or_else(|| Problem::not_found().into())
    }

    pub(crate) fn organization(&self) -> Option<TenantId> {
        self.organization_id.map(TenantId::from_uuid)
    }

    pub(crate) fn role(&self) -> Option<RoleId> {
        self.role_id.map(RoleId::from_uuid)
    }

    pub(crate) fn has_password(&self) -> bool {
        self.password.is_some()
    }

    /// The one address of a body that has room for two.
    pub(super) fn take_address(&mut self) -> Result<String, Refused> {
        let of_contact = self.contact_information.as_mut().and_then(|contact| contact.email.take());
        match (self.email.take(), of_contact) {
            (Some(_), Some(_)) => {
                let problem = FieldProblem::new("contact_information.email", "duplicate", "is given twice");
                Err(invalid(vec![problem]).into())
            }
            (Some(email), None) | (None, Some(email)) => Ok(email),
            (None, None) => Err(invalid(vec![FieldProblem::new("email", "required", "is required")]).into()),
        }
    }

    /// A person to be made, whose password somebody else chose.
    pub(super) fn into_person(mut self) -> Result<PersonInput, Refused> {
        let email = self.take_address()?;
        let named = PersonInput::named(
            self.first_name.unwrap_or_default(),
            self.last_name.unwrap_or_default(),
            email,
            self.username.unwrap_or_default(),
            self.password.unwrap_or_default(),
        );
        let person = PersonInput {
            middle_name: self.middle_name,
            date_of_birth: self.date_of_birth,
            gender: self.gender,
            nationality: self.nationality,
            must_change_password: Some(true),
            ..named
        };
        Ok(self.contact_information.unwrap_or_default().replace_in(person))
    }
}

/// All of what a user shall be. `PATCH` is a JSON merge patch (RFC 7396) on this shape.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UserInput {
    #[serde(default)]
    username: Option<String>,
    email: String,
    first_name: String,
    #[serde(default)]
    middle_name: Option<String>,
    last_name: String,
    #[serde(default)]
    date_of_birth: Option<NaiveDate>,
    #[serde(default)]
    #[schema(inline)]
    gender: Gender,
    #[serde(default)]
    nationality: Option<String>,
    /// `active` or `inactive`: of the account, or of the membership of somebody who belongs to other organisations as well.
    #[serde(default)]
    status: Option<UserStatus>,
    /// A role of the organisation in the place of the one that the user has there, which gives no more than the caller may do. Asks for
    /// `role.assign` and `role.revoke` as well; not for who has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    role_id: Option<Uuid>,
    /// The version that was read; another one in the database refuses the change.
    #[serde(default)]
    version: Option<i64>,
}

/// What a patch makes of a user.
pub(super) struct UserChange {
    /// What the person shall be, with the version that it is made of.
    pub(super) person: PersonInput,
    /// Whether anything of it is named.
    pub(super) has_fields: bool,
    pub(super) takes_part: Option<bool>,
    /// The one role that they shall have.
    pub(super) role: Option<RoleId>,
}

/// Whether `patch` says which role somebody shall have.
pub(super) fn names_role(patch: &MergePatch) -> bool {
    patch.fields().contains_key(ROLE)
}

const ROLE: &str = "role_id";
/// What a patch may name beside what is known about the person.
const BESIDE_PERSON: [&str; 3] = ["status", "version", ROLE];

impl UserChange {
    /// Somebody who takes part no longer, and stays as they are.
    pub(super) fn inactive(before: &PersonView) -> Self {
        Self { person: PersonInput::from(before), has_fields: false, takes_part: Some(false), role: None }
    }

    /// What `patch` makes of somebody. What is not named stays, `null` takes away.
    pub(super) fn of(before: &PersonView, patch: &MergePatch) -> Result<Self, Refused> {
        if patch.fields().get(ROLE).is_some_and(serde_json::Value::is_null) {
            return Err(field(ROLE, "is a role: whoever has it loses it at `/people/{id}/roles`").into());
        }
        let input: UserInput = merged(&UserInput::from(before), patch)?;
        let takes_part = match input.status {
            None => None,
            Some(UserStatus::Active) => Some(true),
            Some(UserStatus::Inactive) => Some(false),
            Some(UserStatus::Invited) => return Err(field("status", "is `active` or `inactive`").into()),
        };
        let person = PersonInput {
            username: input.username,
            email: input.email,
            first_name: input.first_name,
            middle_name: input.middle_name,
            last_name: input.last_name,
            date_of_birth: input.date_of_birth,
            gender: input.gender,
            nationality: input.nationality,
            version: Some(input.version.unwrap_or(before.version)),
            ..PersonInput::from(before)
        };
        let has_fields = patch.fields().keys().any(|name| !BESIDE_PERSON.contains(&name.as_str()));
        let role = input.role_id.map(RoleId::from_uuid);
        Ok(Self { person: unproven(before, person), has_fields, takes_part, role })
    }
}

impl From<&PersonView> for UserInput {
    fn from(person: &PersonView) -> Self {
        let profile = person.profile.clone();
        Self {
            username: person.username.clone(),
            email: person.email.clone(),
            first_name: profile.first_name,
            middle_name: profile.middle_name,
            last_name: profile.last_name,
            date_of_birth: profile.date_of_birth,
            gender: profile.gender,
            nationality: profile.nationality,
            status: None,
            role_id: None,
            version: None,
        }
    }
}

/// Of another address nothing is proven, unless its owner does.
pub(super) fn unproven(before: &PersonView, person: PersonInput) -> PersonInput {
    let email_verified = person.email_verified && person.email == before.email;
    PersonInput { email_verified, ..person }
}
