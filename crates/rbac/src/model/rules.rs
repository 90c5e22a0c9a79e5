use chrono::{DateTime, Utc};
use serde::Serialize;
use stylobate_core::{AclId, Direction, OverrideId, PageLimit, PermissionId, RoleId, TenantId};

use crate::{Assignee, Condition, Effect, RbacError};

/// The longest condition, as JSON. Its own bounds keep a condition well below; this is the database's.
const CONDITION_CHARS_MAX: usize = 16_384;

/// What a write left behind, and since which epoch it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Written<T> {
    /// What was written.
    pub value: T,
    /// The epoch of the policy after the change: that of the caller's tenant, or of the platform for a caller without
    /// one. Whoever demands it (see [`Authorizer::prepare`](crate::Authorizer::prepare)) is not answered by a policy
    /// that lacks the change.
    pub epoch: i64,
}

impl<T> Written<T> {
    /// The same epoch about something else.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Written<U> {
        Written { value: change(self.value), epoch: self.epoch }
    }
}

/// What a role says about a permission that it has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GrantRule {
    /// Whether it allows (the default) or denies.
    pub effect: Effect,
    /// When; `None` is always.
    pub condition: Option<Condition>,
}

/// That a role has all rules of another role of the same owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RoleParent {
    /// The owner of both roles; `None` is the platform.
    pub tenant_id: Option<TenantId>,
    /// The role that inherits.
    pub role_id: RoleId,
    /// The role that it inherits from.
    pub parent_id: RoleId,
    /// Since when.
    pub created_at: DateTime<Utc>,
}

/// A rule for one subject, whatever its roles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Override {
    /// Its id.
    pub id: OverrideId,
    /// Whose policy it is part of; `None` is the platform's, whose rules count in every tenant.
    pub tenant_id: Option<TenantId>,
    /// The subject.
    pub assignee: Assignee,
    /// The permission, or a pattern.
    pub permission_id: PermissionId,
    /// Whether it is allowed or denied.
    pub effect: Effect,
    /// When; `None` is always.
    pub condition: Option<Condition>,
    /// From when on it counts no longer; `None` is never.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was first set.
    pub created_at: DateTime<Utc>,
    /// When it was last set.
    pub updated_at: DateTime<Utc>,
}

/// A rule to be set for a subject. There is one per subject and permission: setting it again replaces it.
#[derive(Debug, Clone)]
pub struct NewOverride {
    /// The subject.
    pub assignee: Assignee,
    /// The permission, or a pattern.
    pub permission: PermissionId,
    /// Whether it is allowed or denied.
    pub effect: Effect,
    /// When; `None` is always.
    pub condition: Option<Condition>,
    /// From when on it counts no longer, in the future; `None` is never.
    pub expires_at: Option<DateTime<Utc>>,
}

impl NewOverride {
    /// A rule without condition and end.
    #[must_use]
    pub fn new(assignee: impl Into<Assignee>, permission: PermissionId, effect: Effect) -> Self {
        Self { assignee: assignee.into(), permission, effect, condition: None, expires_at: None }
    }
}

/// Which overrides to list, oldest first unless told otherwise. Expired ones are listed until they are swept.
#[derive(Debug, Clone, Default)]
pub struct OverrideQuery {
    /// Only those of this subject.
    pub assignee: Option<Assignee>,
    /// Only those about this permission.
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

/// A rule for one subject about one resource: an entry of an access control list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AclEntry {
    /// Its id.
    pub id: AclId,
    /// Whose policy it is part of; `None` is the platform's.
    pub tenant_id: Option<TenantId>,
    /// The resource's kind.
    pub resource_kind: String,
    /// The resource's id.
    pub resource_id: String,
    /// The subject.
    pub assignee: Assignee,
    /// The permission, or a pattern.
    pub permission_id: PermissionId,
    /// Whether it is allowed or denied.
    pub effect: Effect,
    /// From when on it counts no longer; `None` is never.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was first set.
    pub created_at: DateTime<Utc>,
    /// When it was last set.
    pub updated_at: DateTime<Utc>,
}

/// An entry to be set. There is one per resource, subject and permission: setting it again replaces it.
#[derive(Debug, Clone)]
pub struct NewAclEntry {
    /// The resource's kind: 1 to 64 characters of `a-z 0-9 _ - .`.
    pub resource_kind: String,
    /// The resource's id: 1 to 200 characters of printable ASCII without spaces.
    pub resource_id: String,
    /// The subject.
    pub assignee: Assignee,
    /// The permission, or a pattern.
    pub permission: PermissionId,
    /// Whether it is allowed or denied.
    pub effect: Effect,
    /// From when on it counts no longer, in the future; `None` is never.
    pub expires_at: Option<DateTime<Utc>>,
}

impl NewAclEntry {
    /// An entry without end for the resource `kind` `id`.
    #[must_use]
    pub fn new(
        (kind, id): (impl Into<String>, impl Into<String>),
        assignee: impl Into<Assignee>,
        permission: PermissionId,
        effect: Effect,
    ) -> Self {
        Self {
            resource_kind: kind.into(),
            resource_id: id.into(),
            assignee: assignee.into(),
            permission,
            effect,
            expires_at: None,
        }
    }
}

/// Which entries of access control lists to list, oldest first unless told otherwise. Expired ones are listed until they
/// are swept.
#[derive(Debug, Clone, Default)]
pub struct AclQuery {
    /// Only those about resources of this kind.
    pub resource_kind: Option<String>,
    /// Only those about the resource with this id.
    pub resource_id: Option<String>,
    /// Only those of this subject.
    pub assignee: Option<Assignee>,
    /// Only those about this permission.
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

/// How many expired rows a sweep has removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// Role assignments.
    pub assignments: u64,
    /// Overrides.
    pub overrides: u64,
    /// Entries of access control lists.
    pub acl_entries: u64,
}

impl Swept {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.assignments + self.overrides + self.acl_entries
    }
}

/// The kind and id of a resource, bounded so that they can stand in logs, headers and indexes.
pub(crate) fn resource(kind: &str, id: &str) -> Result<(), RbacError> {
    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.');
    if !(1..=64).contains(&kind.len()) || !kind.bytes().all(plain) {
        let message = "is not 1 to 64 characters of a-z 0-9 _ - .";
        return Err(RbacError::Invalid { field: "resource_kind", code: "invalid", message });
    }
    if !(1..=200).contains(&id.len()) || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
        let message = "is not 1 to 200 characters of printable ASCII without spaces";
        return Err(RbacError::Invalid { field: "resource_id", code: "invalid", message });
    }
    Ok(())
}

/// An end that has passed already would be a rule that never counts: a mistake, not a wish.
pub(crate) fn expiry(expires_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Result<(), RbacError> {
    // Past the year 9999 the text form that SQLite orders by has more digits.
    let is_far = |at: DateTime<Utc>| {
        at > DateTime::from_timestamp(253_402_300_799, 0).unwrap_or(DateTime::<Utc>::MAX_UTC)
    };
    match expires_at {
        Some(at) if at <= now || is_far(at) => Err(RbacError::Invalid {
            field: "expires_at",
            code: "invalid",
            message: "is not in the future, or after the year 9999",
        }),
        _ => Ok(()),
    }
}

/// A condition as databases store it.
pub(crate) fn condition_text(condition: Option<&Condition>) -> Result<Option<String>, RbacError> {
    let Some(condition) = condition else { return Ok(None) };
    let invalid = || RbacError::Invalid {
        field: "condition",
        code: "invalid",
        message: "is nested too deeply, too long, or has values out of their range",
    };
    condition.validate().map_err(|_| invalid())?;
    let text = serde_json::to_string(condition).map_err(|_| invalid())?;
    if text.chars().count() > CONDITION_CHARS_MAX { Err(invalid()) } else { Ok(Some(text)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_are_named_by_bounded_plain_text() {
        assert!(resource("document", "a/b#7").is_ok());
        for (kind, id) in [
            ("", "1"),
            ("Document", "1"),
            ("döc", "1"),
            ("a\0", "1"),
            ("doc", ""),
            ("doc", "a b"),
            ("doc", "a\n"),
            ("doc", "ü"),
        ] {
            assert!(resource(kind, id).is_err(), "{kind:?} {id:?}");
        }
        let huge = "a".repeat(1 << 20);
        assert!(resource(&huge, "1").is_err() && resource("doc", &huge).is_err());
    }

    #[test]
    fn an_expiry_lies_in_the_future() {
        let now = DateTime::from_timestamp(1_772_366_400, 0).unwrap();
        let later = |seconds| Some(now + chrono::TimeDelta::seconds(seconds));
        assert!(expiry(None, now).is_ok() && expiry(later(1), now).is_ok());
        for at in [later(0), later(-1), Some(DateTime::<Utc>::MAX_UTC)] {
            assert!(expiry(at, now).is_err());
        }
    }

    #[test]
    fn a_condition_survives_the_database() {
        let condition = Condition::All(vec![
            Condition::Owner {},
            Condition::Attribute { name: "department".into(), equals: "it \"x\"".into() },
        ]);
        let text = condition_text(Some(&condition)).unwrap().unwrap();
        assert_eq!(Condition::from_json(&text), Ok(condition));
    }
}
