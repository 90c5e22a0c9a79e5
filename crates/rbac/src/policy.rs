use std::str::FromStr;

use serde::{Deserialize, Serialize};
use stylobate_core::{PermissionId, PersonId, RoleId, ServiceId, Subject};
use uuid::Uuid;

/// What kind of subject has a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AssigneeKind {
    /// A person.
    Person,
    /// A service account.
    Service,
}

impl AssigneeKind {
    /// The kind as databases store it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Service => "service",
        }
    }
}

/// A text that is no kind of assignee.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a kind of subject")]
pub struct AssigneeKindInvalid;

impl FromStr for AssigneeKind {
    type Err = AssigneeKindInvalid;

    fn from_str(text: &str) -> Result<Self, AssigneeKindInvalid> {
        [Self::Person, Self::Service]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or(AssigneeKindInvalid)
    }
}

/// A subject that roles can be assigned to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Assignee {
    /// Its kind.
    pub kind: AssigneeKind,
    /// Its id.
    pub id: Uuid,
}

impl Assignee {
    /// The subject whose roles decide for `subject`. An API key acts with the roles of its owner; a key without one,
    /// the platform itself and nobody have no roles.
    #[must_use]
    pub fn of(subject: &Subject) -> Option<Self> {
        match *subject {
            Subject::Person { id } | Subject::ApiKey { owner: Some(id), .. } => Some(id.into()),
            Subject::Service { id } => Some(id.into()),
            Subject::ApiKey { owner: None, .. } | Subject::Anonymous | Subject::System => None,
        }
    }
}

impl From<PersonId> for Assignee {
    fn from(id: PersonId) -> Self {
        Self { kind: AssigneeKind::Person, id: id.as_uuid() }
    }
}

impl From<ServiceId> for Assignee {
    fn from(id: ServiceId) -> Self {
        Self { kind: AssigneeKind::Service, id: id.as_uuid() }
    }
}

/// The rows of one tenant's policy, or of the platform's, before they are compiled.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// The epoch of the rows.
    pub epoch: i64,
    /// The permissions visible here. Those of the code's catalogue need no row to be known, only to be granted.
    pub permissions: Vec<PolicyPermission>,
    /// The roles.
    pub roles: Vec<PolicyRole>,
    /// Which role has which permission.
    pub grants: Vec<(RoleId, PermissionId)>,
    /// Who has which role.
    pub assignments: Vec<(Assignee, RoleId)>,
}

/// One permission of a [`Policy`].
#[derive(Debug, Clone)]
pub struct PolicyPermission {
    /// Its id.
    pub id: PermissionId,
    /// Its key as stored; one that does not parse is reported and gives nothing.
    pub key: String,
    /// Whether it is switched on.
    pub is_active: bool,
}

/// One role of a [`Policy`].
#[derive(Debug, Clone, Copy)]
pub struct PolicyRole {
    /// Its id.
    pub id: RoleId,
    /// Whether it is switched on.
    pub is_active: bool,
}
