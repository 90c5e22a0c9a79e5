use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use stylobate::rbac::{self, Condition, Effect};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::given::given;

/// A role as callers see it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RoleView {
    id: Uuid,
    name: String,
    description: Option<String>,
    is_active: bool,
    /// Whether it belongs to the platform and not to the tenant, so that the tenant cannot change it.
    is_platform: bool,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<rbac::Role> for RoleView {
    fn from(role: rbac::Role) -> Self {
        Self {
            id: role.id.as_uuid(),
            name: role.name,
            description: role.description,
            is_active: role.is_active,
            is_platform: role.tenant_id.is_none(),
            version: role.version,
            created_at: role.created_at,
            updated_at: role.updated_at,
        }
    }
}

/// A permission as callers see it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PermissionView {
    id: Uuid,
    key: String,
    description: Option<String>,
    is_active: bool,
    /// Whether it belongs to the platform's catalogue, so that the tenant cannot change it.
    is_platform: bool,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<rbac::Permission> for PermissionView {
    fn from(permission: rbac::Permission) -> Self {
        Self {
            id: permission.id.as_uuid(),
            key: permission.key,
            description: permission.description,
            is_active: permission.is_active,
            is_platform: permission.tenant_id.is_none(),
            version: permission.version,
            created_at: permission.created_at,
            updated_at: permission.updated_at,
        }
    }
}

/// The link between a role and a permission.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RolePermissionView {
    id: Uuid,
    role_id: Uuid,
    permission_id: Uuid,
    /// `allow` or `deny`.
    #[schema(value_type = String)]
    effect: Effect,
    /// When the rule applies; `null` is always.
    #[schema(value_type = Option<Object>)]
    condition: Option<Condition>,
    created_at: DateTime<Utc>,
}

impl From<rbac::RolePermission> for RolePermissionView {
    fn from(link: rbac::RolePermission) -> Self {
        Self {
            id: link.id.as_uuid(),
            role_id: link.role_id.as_uuid(),
            permission_id: link.permission_id.as_uuid(),
            effect: link.effect,
            condition: link.condition,
            created_at: link.created_at,
        }
    }
}

/// A permission that a role has, and how.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GrantedPermissionView {
    #[serde(flatten)]
    permission: PermissionView,
    /// `allow`, or `deny`: the role takes it from whoever has it.
    #[schema(value_type = String)]
    effect: Effect,
    /// When the rule applies; `null` is always.
    #[schema(value_type = Option<Object>)]
    condition: Option<Condition>,
}

impl From<rbac::GrantedPermission> for GrantedPermissionView {
    fn from(granted: rbac::GrantedPermission) -> Self {
        let rbac::GrantedPermission { permission, link } = granted;
        Self { permission: permission.into(), effect: link.effect, condition: link.condition }
    }
}

/// A role that a person has.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AssignedRoleView {
    #[serde(flatten)]
    role: RoleView,
    assigned_at: DateTime<Utc>,
    /// From when on the person has the role no longer; `null` is never. It may be past.
    expires_at: Option<DateTime<Utc>>,
}

impl From<rbac::AssignedRole> for AssignedRoleView {
    fn from(assigned: rbac::AssignedRole) -> Self {
        let rbac::AssignedRole { role, assignment } = assigned;
        Self { role: role.into(), assigned_at: assignment.assigned_at, expires_at: assignment.expires_at }
    }
}

/// The assignment of a role to a person.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PersonRoleView {
    id: Uuid,
    person_id: Uuid,
    role_id: Uuid,
    assigned_at: DateTime<Utc>,
    /// From when on the person has the role no longer.
    expires_at: Option<DateTime<Utc>>,
}

impl From<rbac::RoleAssignment> for PersonRoleView {
    fn from(link: rbac::RoleAssignment) -> Self {
        Self {
            id: link.id.as_uuid(),
            person_id: link.assignee.id,
            role_id: link.role_id.as_uuid(),
            assigned_at: link.assigned_at,
            expires_at: link.expires_at,
        }
    }
}

/// The assignment of a role to a service account.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ServiceRoleView {
    id: Uuid,
    service_account_id: Uuid,
    role_id: Uuid,
    assigned_at: DateTime<Utc>,
    /// From when on the account has the role no longer.
    expires_at: Option<DateTime<Utc>>,
}

impl From<rbac::RoleAssignment> for ServiceRoleView {
    fn from(link: rbac::RoleAssignment) -> Self {
        Self {
            id: link.id.as_uuid(),
            service_account_id: link.assignee.id,
            role_id: link.role_id.as_uuid(),
            assigned_at: link.assigned_at,
            expires_at: link.expires_at,
        }
    }
}

/// The assignment of a role to a group.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GroupRoleView {
    id: Uuid,
    group_id: Uuid,
    role_id: Uuid,
    assigned_at: DateTime<Utc>,
    /// From when on the group has the role no longer.
    expires_at: Option<DateTime<Utc>>,
}

impl From<rbac::RoleAssignment> for GroupRoleView {
    fn from(link: rbac::RoleAssignment) -> Self {
        Self {
            id: link.id.as_uuid(),
            group_id: link.assignee.id,
            role_id: link.role_id.as_uuid(),
            assigned_at: link.assigned_at,
            expires_at: link.expires_at,
        }
    }
}

fn active() -> bool {
    true
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RoleInput {
    /// Unique in the tenant, whatever the case: 1 to 80 printable ASCII characters.
    #[serde(alias = "role_name")]
    pub(super) name: String,
    /// At most 500 characters.
    #[serde(default, alias = "role_description")]
    pub(super) description: Option<String>,
    #[serde(default = "active")]
    pub(super) is_active: bool,
    /// The version that was read; another one in the database refuses the change. Only when changing.
    #[serde(default)]
    pub(super) version: Option<i64>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RolePatch {
    #[serde(default, alias = "role_name")]
    pub(super) name: Option<String>,
    /// `null` takes it away.
    #[serde(default, alias = "role_description", deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub(super) description: Option<Option<String>>,
    #[serde(default)]
    pub(super) is_active: Option<bool>,
    /// The version that was read; another one in the database refuses the change.
    #[serde(default)]
    pub(super) version: Option<i64>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PermissionInput {
    /// Segments of a-z, 0-9, `_` and `-` joined by `.` or `:`: `reports.read`.
    #[serde(alias = "permission_name")]
    pub(super) key: String,
    /// At most 500 characters.
    #[serde(default, alias = "permission_description")]
    pub(super) description: Option<String>,
    #[serde(default = "active")]
    pub(super) is_active: bool,
    /// The version that was read; another one in the database refuses the change. Only when changing.
    #[serde(default)]
    pub(super) version: Option<i64>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PermissionPatch {
    #[serde(default, alias = "permission_name")]
    pub(super) key: Option<String>,
    /// `null` takes it away.
    #[serde(default, alias = "permission_description", deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub(super) description: Option<Option<String>>,
    #[serde(default)]
    pub(super) is_active: Option<bool>,
    /// The version that was read; another one in the database refuses the change.
    #[serde(default)]
    pub(super) version: Option<i64>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AttachInput {
    pub(super) permission_id: Uuid,
    /// `allow` (the default) or `deny`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub(super) effect: Effect,
    /// When the rule applies: `{"owner":{}}`, `{"attribute":{"name","equals"}}`, `{"time_window":{…}}`,
    /// `{"assurance":{"at_least"}}`, `{"all":[…]}`, `{"any":[…]}`; always without one.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub(super) condition: Option<Condition>,
}

/// The whole rule, so that nobody drops a condition that they have not seen.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RulePatch {
    /// `allow` or `deny`.
    #[schema(value_type = String)]
    pub(super) effect: Effect,
    /// When the rule applies, as where it is attached; `null` is always.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(value_type = Option<Object>, required)]
    pub(super) condition: Option<Condition>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AssignmentExpiry {
    /// From when on the person has the role no longer; `null` is never.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(required)]
    pub(super) expires_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AssignInput {
    pub(super) role_id: Uuid,
    /// From when on the person has the role no longer.
    #[serde(default)]
    pub(super) expires_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct ListFilter {
    /// Only active or only inactive ones.
    pub(super) is_active: Option<bool>,
    /// Only those with this text in their name.
    pub(super) search: Option<String>,
}
