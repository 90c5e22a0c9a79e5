use chrono::{DateTime, Utc};
use serde::Serialize;
use stylobate_core::{Direction, GroupId, PageLimit, TenantId};

use crate::{Assignee, AssigneeKind};

/// People and service accounts of a tenant for whom rules are made together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Its id.
    pub id: GroupId,
    /// The tenant it belongs to; the platform has no groups.
    pub tenant_id: TenantId,
    /// Its name, unique in the tenant whatever the case: 1 to 80 printable ASCII characters.
    pub name: String,
    /// What it is for, at most 500 characters.
    pub description: Option<String>,
    /// Grows with every change of the group itself, from 1.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// That somebody is in a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupMember {
    /// The group.
    pub group_id: GroupId,
    /// Who is in it: a person or a service account.
    pub member: Assignee,
    /// Since when.
    pub added_at: DateTime<Utc>,
}

/// A group to be made.
#[derive(Debug, Clone)]
pub struct NewGroup {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
}

impl NewGroup {
    /// A group without description.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), description: None }
    }
}

/// What changes about a group; `None` leaves a field as it is.
#[derive(Debug, Clone, Default)]
pub struct GroupUpdate {
    /// The new name.
    pub name: Option<String>,
    /// The new description; `Some(None)` takes it away.
    pub description: Option<Option<String>>,
    /// The version the caller has seen; another one is [`RbacError::Stale`](crate::RbacError::Stale).
    pub version: Option<i64>,
}

/// What groups are ordered by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum GroupOrder {
    /// By name, whatever the case.
    #[default]
    Name,
    /// By time of creation.
    CreatedAt,
}

/// Which groups of the tenant to list.
#[derive(Debug, Clone, Default)]
pub struct GroupQuery {
    /// Only those with this text in their name, whatever the case.
    pub search: Option<String>,
    /// What to order by.
    pub order_by: GroupOrder,
    /// Which way.
    pub direction: Direction,
    /// How many.
    pub limit: PageLimit,
    /// After which item.
    pub cursor: Option<String>,
    /// Whether to count all pages.
    pub with_total: bool,
}

/// Which members of a group to list, who was there first before the others unless told otherwise.
#[derive(Debug, Clone, Default)]
pub struct GroupMemberQuery {
    /// Only those of this kind.
    pub kind: Option<AssigneeKind>,
    /// Which way.
    pub direction: Direction,
    /// How many.
    pub limit: PageLimit,
    /// After which item.
    pub cursor: Option<String>,
    /// Whether to count all pages.
    pub with_total: bool,
}
