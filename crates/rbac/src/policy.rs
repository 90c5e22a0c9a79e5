use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use stylobate_core::{
    AclId, GroupId, KeyOwner, OverrideId, PermissionId, PersonId, RoleId, ServiceId, Subject,
};
use uuid::Uuid;

use crate::{Condition, Effect};

/// What kind of subject has a role or a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AssigneeKind {
    /// A person.
    Person,
    /// A service account.
    Service,
    /// A group of people and service accounts.
    Group,
    /// One that this version does not know, or a damaged row: its rules count for nobody, and can be taken away.
    #[serde(skip_deserializing)]
    Unreadable,
}

impl AssigneeKind {
    /// The kind as databases store it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Service => "service",
            Self::Group => "group",
            Self::Unreadable => "unreadable",
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
        [Self::Person, Self::Service, Self::Group]
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
    /// The subject whose roles decide for `subject`. An API key acts with the roles of its owner; the platform itself and
    /// nobody have no roles.
    #[must_use]
    pub fn of(subject: &Subject) -> Option<Self> {
        match *subject {
            Subject::Person { id } | Subject::ApiKey { owner: KeyOwner::Person { id }, .. } => {
                Some(id.into())
            }
            Subject::Service { id } | Subject::ApiKey { owner: KeyOwner::Service { id }, .. } => {
                Some(id.into())
            }
            Subject::Anonymous | Subject::System => None,
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

impl From<GroupId> for Assignee {
    fn from(id: GroupId) -> Self {
        Self { kind: AssigneeKind::Group, id: id.as_uuid() }
    }
}

/// The rows of one tenant's policy, or of the platform's, before they are compiled.
///
/// A policy denies what no rule allows. A rule that denies wins over all rules of the same policy that allow; the
/// platform's denials win over a tenant's rules too, while a tenant's denials take nothing from what the platform gives.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// The epoch of the rows.
    pub epoch: i64,
    /// The permissions visible here. Those of the code's catalogue need no row to be known, only to be granted.
    pub permissions: Vec<PolicyPermission>,
    /// The roles.
    pub roles: Vec<PolicyRole>,
    /// Which role has all rules of which other role: heir first, then parent. Pairs on a cycle are reported and ignored,
    /// all of them: rows do not tell which one closed it.
    pub inheritance: Vec<(RoleId, RoleId)>,
    /// Which role has which permission, and how.
    pub grants: Vec<PolicyGrant>,
    /// Who has which role.
    pub assignments: Vec<PolicyAssignment>,
    /// Which subject is in which group: the group first. Groups are flat.
    pub members: Vec<(Assignee, Assignee)>,
    /// Rules for one subject, beside all roles.
    pub overrides: Vec<PolicyOverride>,
    /// Rules for one subject about one resource.
    pub acls: Vec<PolicyAcl>,
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
    /// Whether it is switched on. One that is not passes nothing on to its heirs either.
    pub is_active: bool,
}

/// That a role has a permission.
#[derive(Debug, Clone)]
pub struct PolicyGrant {
    /// The role.
    pub role: RoleId,
    /// The permission, or a pattern.
    pub permission: PermissionId,
    /// Whether it is allowed or denied.
    pub effect: Effect,
    /// When; `None` is always.
    pub condition: Option<Condition>,
}

impl PolicyGrant {
    /// That `role` always allows `permission`.
    #[must_use]
    pub fn allow(role: RoleId, permission: PermissionId) -> Self {
        Self { role, permission, effect: Effect::Allow, condition: None }
    }
}

/// That a subject has a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyAssignment {
    /// The subject.
    pub assignee: Assignee,
    /// The role.
    pub role: RoleId,
    /// From when on it has it no longer; `None` is never.
    pub expires_at: Option<DateTime<Utc>>,
}

impl PolicyAssignment {
    /// That `assignee` has `role` for good.
    #[must_use]
    pub fn new(assignee: impl Into<Assignee>, role: RoleId) -> Self {
        Self { assignee: assignee.into(), role, expires_at: None }
    }
}

/// A rule for one subject, whatever its roles.
#[derive(Debug, Clone)]
pub struct PolicyOverride {
    /// Its id.
    pub id: OverrideId,
    /// The subject.
    pub assignee: Assignee,
    /// The permission, or a pattern.
    pub permission: PermissionId,
    /// Whether it is allowed or denied.
    pub effect: Effect,
    /// When; `None` is always.
    pub condition: Option<Condition>,
    /// From when on it counts no longer; `None` is never.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A rule for one subject about one resource: an entry of an access control list.
#[derive(Debug, Clone)]
pub struct PolicyAcl {
    /// Its id.
    pub id: AclId,
    /// The resource's kind.
    pub resource_kind: String,
    /// The resource's id.
    pub resource_id: String,
    /// The subject.
    pub assignee: Assignee,
    /// The permission, or a pattern.
    pub permission: PermissionId,
    /// Whether it is allowed or denied.
    pub effect: Effect,
    /// From when on it counts no longer; `None` is never.
    pub expires_at: Option<DateTime<Utc>>,
}
