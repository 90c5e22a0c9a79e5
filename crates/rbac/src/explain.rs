use chrono::{DateTime, Utc};
use serde::Serialize;
use stylobate_core::{AclId, OverrideId, RoleId};

use crate::{Assignee, Condition, Decision, Effect, Missing};

/// A [`Decision`] with all that led to it, for the administrator whom a refused person asks. It names rules of the policy,
/// so it is not for the refused person.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// The name that was asked for.
    pub permission: String,
    /// The decision.
    pub decision: Decision,
    /// Every rule about the subject that names the permission, the deciding one first, also those that do not apply.
    pub rules: Vec<ExplainedRule>,
    /// The active roles of the tenant that would give it, at least under conditions, were they assigned.
    pub role_ids: Vec<RoleId>,
    /// The active platform roles that would give it.
    pub platform_role_ids: Vec<RoleId>,
    /// The names of permissions that give it or a part of it when they are granted, sorted; patterns are left out.
    pub keys: Vec<String>,
}

/// A rule that an [`Explanation`] names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedRule {
    /// Which rule.
    pub source: RuleSource,
    /// Whether it is of the platform's policy.
    pub is_platform: bool,
    /// The group by which the subject has it; `None` when it names the subject itself.
    pub group: Option<Assignee>,
    /// What it does when it applies.
    pub effect: Effect,
    /// Whether it applies to this question now.
    pub state: RuleState,
    /// Its condition.
    pub condition: Option<Condition>,
    /// From when on it counts no longer.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Where a rule stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum RuleSource {
    /// An entry of the resource's access control list.
    Acl {
        /// That entry.
        id: AclId,
    },
    /// An override.
    Override {
        /// That override.
        id: OverrideId,
    },
    /// A role.
    Role {
        /// The role that was assigned.
        role_id: RoleId,
        /// The role whose grant it is: the same, or one that it inherits.
        granted_by: RoleId,
    },
}

/// Whether a rule applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "code", rename_all = "snake_case")]
#[non_exhaustive]
pub enum RuleState {
    /// It does.
    Applies,
    /// Its condition does not hold, or asks about what is not known.
    ConditionUnmet {
        /// What is missing.
        missing: Missing,
    },
    /// It, or the assignment by which the subject has it, has expired.
    Expired,
}
