use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use stylobate::tenancy::MembershipStatus;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::people::PersonView;

/// Somebody who belongs to an organisation.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MemberView {
    person_id: Uuid,
    username: Option<String>,
    email: String,
    first_name: String,
    last_name: String,
    /// `active`, or `suspended`: they belong to it and may not act in it.
    #[schema(value_type = String)]
    status: MembershipStatus,
    joined_at: DateTime<Utc>,
}

impl From<PersonView> for MemberView {
    fn from(person: PersonView) -> Self {
        let is_suspended = person.seen_by.is_suspended;
        Self {
            person_id: person.id,
            username: person.username,
            email: person.email,
            first_name: person.profile.first_name,
            last_name: person.profile.last_name,
            status: if is_suspended { MembershipStatus::Suspended } else { MembershipStatus::Active },
            joined_at: person.seen_by.joined_at,
        }
    }
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct MemberFilter {
    /// Only those who are `active`, or `suspended`.
    #[param(value_type = Option<String>)]
    pub(super) status: Option<MembershipStatus>,
    /// Only those with this text in name, user name or address.
    pub(super) search: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewMemberInput {
    /// Somebody who has an account. Only the platform adds people by their ids; everybody else invites an address.
    pub(super) person_id: Uuid,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MemberPatch {
    /// `suspended` ends what they do here at once, `active` lets them in again.
    #[schema(value_type = String)]
    pub(super) status: MembershipStatus,
}

/// Which organisation a user is seen in.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct OfOrganization {
    /// The caller's own, which it is without this. The platform may name another one.
    pub(super) organization_id: Option<Uuid>,
}
