use chrono::{DateTime, Utc};
use serde::Serialize;
use stylobate_core::{
    Direction, PageLimit, PermissionId, RoleAssignmentId, RoleId, RolePermissionId, TenantId,
};

use crate::{Assignee, AssigneeKind, Condition, Effect, PermissionKey, RbacError};

mod groups;
mod rules;

pub use groups::{Group, GroupMember, GroupMemberQuery, GroupOrder, GroupQuery, GroupUpdate, NewGroup};
pub use rules::{
    AclEntry, AclQuery, GrantRule, NewAclEntry, NewOverride, Override, OverrideQuery, RoleParent, Swept,
    Written,
};
pub(crate) use rules::{condition_text, expiry, resource};

/// A named set of permissions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Role {
    /// Its id.
    pub id: RoleId,
    /// The tenant it belongs to; `None` is the platform.
    pub tenant_id: Option<TenantId>,
    /// Its name, unique in the tenant whatever the case: 1 to 80 printable ASCII characters.
    pub name: String,
    /// What it is for, at most 500 characters.
    pub description: Option<String>,
    /// Whether it gives anything.
    pub is_active: bool,
    /// Grows with every change of the role itself, from 1.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// The right to do one kind of thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Permission {
    /// Its id.
    pub id: PermissionId,
    /// The tenant it belongs to; `None` is the platform's catalogue, which every tenant sees.
    pub tenant_id: Option<TenantId>,
    /// What it is checked by; text that is no [`PermissionKey`] gives nothing.
    pub key: String,
    /// What it allows, at most 500 characters.
    pub description: Option<String>,
    /// Whether it is given to anybody at all.
    pub is_active: bool,
    /// Grows with every change, from 1.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// The link between a role and a permission it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RolePermission {
    /// Its id.
    pub id: RolePermissionId,
    /// The tenant of the role.
    pub tenant_id: Option<TenantId>,
    /// The role.
    pub role_id: RoleId,
    /// The permission.
    pub permission_id: PermissionId,
    /// Whether the role allows or denies it.
    pub effect: Effect,
    /// When; `None` is always.
    pub condition: Option<Condition>,
    /// When it was attached.
    pub created_at: DateTime<Utc>,
}

/// A permission that a role has, and how: a role may also deny one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GrantedPermission {
    /// The permission.
    pub permission: Permission,
    /// How the role has it.
    pub link: RolePermission,
}

/// The assignment of a role to a subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RoleAssignment {
    /// Its id.
    pub id: RoleAssignmentId,
    /// The tenant of the role; `None` for a platform role, which counts in every tenant.
    pub tenant_id: Option<TenantId>,
    /// Who has the role.
    pub assignee: Assignee,
    /// The role.
    pub role_id: RoleId,
    /// When it was assigned.
    pub assigned_at: DateTime<Utc>,
    /// From when on the subject has it no longer; `None` is never.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A role that a subject has, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AssignedRole {
    /// The role.
    pub role: Role,
    /// How the subject has it. One that is over is listed until it is swept.
    pub assignment: RoleAssignment,
}

/// A role to be made.
#[derive(Debug, Clone)]
pub struct NewRole {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Whether it gives anything.
    pub is_active: bool,
}

impl NewRole {
    /// An active role without description.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), description: None, is_active: true }
    }
}

/// A permission to be made.
#[derive(Debug, Clone)]
pub struct NewPermission {
    /// Its key.
    pub key: String,
    /// What it allows.
    pub description: Option<String>,
    /// Whether it is given to anybody at all.
    pub is_active: bool,
}

impl NewPermission {
    /// An active permission without description.
    #[must_use]
    pub fn new(key: impl Into<String>) -> Self {
        Self { key: key.into(), description: None, is_active: true }
    }
}

/// What changes about a role; `None` leaves a field as it is.
#[derive(Debug, Clone, Default)]
pub struct RoleUpdate {
    /// The new name.
    pub name: Option<String>,
    /// The new description; `Some(None)` takes it away.
    pub description: Option<Option<String>>,
    /// Whether it gives anything.
    pub is_active: Option<bool>,
    /// The version the caller has seen; another one is [`RbacError::Stale`].
    pub version: Option<i64>,
}

/// What changes about a permission; `None` leaves a field as it is.
#[derive(Debug, Clone, Default)]
pub struct PermissionUpdate {
    /// The new key.
    pub key: Option<String>,
    /// The new description; `Some(None)` takes it away.
    pub description: Option<Option<String>>,
    /// Whether it is given to anybody at all.
    pub is_active: Option<bool>,
    /// The version the caller has seen; another one is [`RbacError::Stale`].
    pub version: Option<i64>,
}

/// What roles are ordered by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RoleOrder {
    /// By name, whatever the case.
    #[default]
    Name,
    /// By time of creation.
    CreatedAt,
}

/// What permissions are ordered by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PermissionOrder {
    /// By key.
    #[default]
    Key,
    /// By time of creation.
    CreatedAt,
}

/// Which roles to list: those of the tenant and those of the platform.
#[derive(Debug, Clone, Default)]
pub struct RoleQuery {
    /// Only active or only inactive ones.
    pub is_active: Option<bool>,
    /// Only those with this text in their name, whatever the case.
    pub search: Option<String>,
    /// What to order by.
    pub order_by: RoleOrder,
    /// Which way.
    pub direction: Direction,
    /// How many.
    pub limit: PageLimit,
    /// After which item.
    pub cursor: Option<String>,
    /// Whether to count all pages; counting stops at 10,000.
    pub with_total: bool,
}

/// Which permissions to list: those of the tenant and the platform's catalogue.
#[derive(Debug, Clone, Default)]
pub struct PermissionQuery {
    /// Only active or only inactive ones.
    pub is_active: Option<bool>,
    /// Only those with this text in their key.
    pub search: Option<String>,
    /// What to order by.
    pub order_by: PermissionOrder,
    /// Which way.
    pub direction: Direction,
    /// How many.
    pub limit: PageLimit,
    /// After which item.
    pub cursor: Option<String>,
    /// Whether to count all pages; counting stops at 10,000.
    pub with_total: bool,
}

/// Which links between roles and permissions to list, oldest first unless told otherwise.
#[derive(Debug, Clone, Default)]
pub struct RolePermissionQuery {
    /// Only those of this role.
    pub role_id: Option<RoleId>,
    /// Only those of this permission.
    pub permission_id: Option<PermissionId>,
    /// Which way.
    pub direction: Direction,
    /// How many.
    pub limit: PageLimit,
    /// After which item.
    pub cursor: Option<String>,
    /// Whether to count all pages; counting stops at 10,000.
    pub with_total: bool,
}

/// Which role assignments to list, oldest first unless told otherwise. Assignments of platform roles are listed for
/// callers who hold one. Expired ones are listed until they are swept.
#[derive(Debug, Clone, Default)]
pub struct AssignmentQuery {
    /// Only those of this subject.
    pub assignee: Option<Assignee>,
    /// Only those of subjects of this kind, and those of which nobody can read whose they are.
    pub kind: Option<AssigneeKind>,
    /// Only those of this role.
    pub role_id: Option<RoleId>,
    /// Which way.
    pub direction: Direction,
    /// How many.
    pub limit: PageLimit,
    /// After which item.
    pub cursor: Option<String>,
    /// Whether to count all pages; counting stops at 10,000.
    pub with_total: bool,
}

/// Names of roles and groups go into logs, tokens of other systems and mails, and people tell them apart by those: printable
/// ASCII has no look-alikes, no direction marks and no line breaks.
pub(crate) fn name(name: &str) -> Result<(), RbacError> {
    let invalid = |code, message| Err(RbacError::Invalid { field: "name", code, message });
    if name.is_empty() {
        return invalid("required", "is missing");
    }
    if name.len() > 80 {
        return invalid("too_long", "has more than 80 characters");
    }
    if !name.bytes().all(|byte| (b' '..=b'~').contains(&byte)) || name.trim() != name {
        return invalid("invalid", "has characters other than printable ASCII, or spaces at its ends");
    }
    Ok(())
}

pub(crate) fn permission_key(key: &str) -> Result<PermissionKey, RbacError> {
    let invalid = |code, message| RbacError::Invalid { field: "key", code, message };
    if key.is_empty() {
        return Err(invalid("required", "is missing"));
    }
    if key.len() > PermissionKey::CHARS_MAX {
        return Err(invalid("too_long", "has more than 128 characters"));
    }
    key.parse().map_err(|_| {
        invalid("invalid", "is not made of segments of a-z 0-9 _ - joined by . or :, with * only as the last")
    })
}

pub(crate) fn description(text: Option<&str>) -> Result<(), RbacError> {
    let invalid = |code, message| Err(RbacError::Invalid { field: "description", code, message });
    let text = text.unwrap_or_default();
    if text.chars().count() > 500 {
        return invalid("too_long", "has more than 500 characters");
    }
    if text.chars().any(|character| character.is_control() && !matches!(character, '\n' | '\t')) {
        return invalid("invalid", "has control characters");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_mislead_are_refused() {
        let huge = "a".repeat(1 << 20);
        for name in ["", " admin", "admin ", "аdmin", "ad\u{202e}min", "ad\nmin", "a\0", huge.as_str()] {
            assert!(matches!(super::name(name), Err(RbacError::Invalid { field: "name", .. })), "{name:.20}");
        }
        assert!(super::name("Night shift (2nd)").is_ok());
    }

    #[test]
    fn descriptions_are_bounded_text() {
        assert!(description(None).is_ok() && description(Some("Zeile 1\nZeile 2 äöü")).is_ok());
        for text in ["\u{0}", "\u{1b}[31m", &"ä".repeat(501)] {
            assert!(description(Some(text)).is_err());
        }
    }
}
