use serde::Serialize;
use stylobate_core::{AclId, AuthenticatorAssurance, BoxFuture, OverrideId, Principal, RoleId, TenantId};

use crate::Resource;

/// Whether the principal may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It may.
    Allow,
    /// It may not.
    Deny,
}

/// What decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "code", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// Allowed: a role in the principal's tenant has the permission.
    Role {
        /// That role.
        role_id: RoleId,
    },
    /// Allowed: a platform role has it, in every tenant.
    PlatformRole {
        /// That role.
        role_id: RoleId,
    },
    /// Allowed: an override of the tenant gives it to the subject, or to one of its groups.
    Override {
        /// That override.
        id: OverrideId,
    },
    /// Allowed: an override of the platform gives it.
    PlatformOverride {
        /// That override.
        id: OverrideId,
    },
    /// Allowed: the access control list of the resource gives it.
    Acl {
        /// That entry.
        id: AclId,
    },
    /// Allowed: the platform's access control list of the resource gives it.
    PlatformAcl {
        /// That entry.
        id: AclId,
    },
    /// Allowed: a rule of a casbin policy of one's own.
    CasbinRule {
        /// That rule's place among the `p` rules, from 1.
        rule: u32,
    },
    /// Allowed: the platform acts by itself.
    System,
    /// Denied: a role in the principal's tenant denies it.
    DeniedByRole {
        /// That role.
        role_id: RoleId,
    },
    /// Denied: a platform role denies it.
    DeniedByPlatformRole {
        /// That role.
        role_id: RoleId,
    },
    /// Denied: an override of the tenant denies it.
    DeniedByOverride {
        /// That override.
        id: OverrideId,
    },
    /// Denied: an override of the platform denies it.
    DeniedByPlatformOverride {
        /// That override.
        id: OverrideId,
    },
    /// Denied: the access control list of the resource denies it.
    DeniedByAcl {
        /// That entry.
        id: AclId,
    },
    /// Denied: the platform's access control list of the resource denies it.
    DeniedByPlatformAcl {
        /// That entry.
        id: AclId,
    },
    /// Denied: a rule of a casbin policy of one's own denies it.
    DeniedByCasbinRule {
        /// That rule's place among the `p` rules, from 1.
        rule: u32,
    },
    /// Denied: a rule gives it, but not under the present conditions.
    ConditionUnmet,
    /// Denied: the subject has no active role here.
    NoAssignment,
    /// Denied: the subject has roles, but none of them has the permission.
    RoleLacksPermission,
    /// Denied: the credential's scopes do not include the permission, whatever the subject's roles say.
    ScopeTooNarrow,
    /// Denied: nobody has been authenticated.
    Anonymous,
    /// Denied: neither the catalogue nor the tenant knows the permission.
    UnknownPermission,
    /// Denied: the permission is switched off.
    PermissionInactive,
    /// Denied: the tenant's policy has not been loaded.
    TenantUnknown,
    /// Denied: the engine failed. The cause is in the log.
    EngineFailure,
}

impl Reason {
    /// A stable name: the one that `serde` writes as `code`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Role { .. } => "role",
            Self::PlatformRole { .. } => "platform_role",
            Self::Override { .. } => "override",
            Self::PlatformOverride { .. } => "platform_override",
            Self::Acl { .. } => "acl",
            Self::PlatformAcl { .. } => "platform_acl",
            Self::CasbinRule { .. } => "casbin_rule",
            Self::System => "system",
            Self::DeniedByRole { .. } => "denied_by_role",
            Self::DeniedByPlatformRole { .. } => "denied_by_platform_role",
            Self::DeniedByOverride { .. } => "denied_by_override",
            Self::DeniedByPlatformOverride { .. } => "denied_by_platform_override",
            Self::DeniedByAcl { .. } => "denied_by_acl",
            Self::DeniedByPlatformAcl { .. } => "denied_by_platform_acl",
            Self::DeniedByCasbinRule { .. } => "denied_by_casbin_rule",
            Self::ConditionUnmet => "condition_unmet",
            Self::NoAssignment => "no_assignment",
            Self::RoleLacksPermission => "role_lacks_permission",
            Self::ScopeTooNarrow => "scope_too_narrow",
            Self::Anonymous => "anonymous",
            Self::UnknownPermission => "unknown_permission",
            Self::PermissionInactive => "permission_inactive",
            Self::TenantUnknown => "tenant_unknown",
            Self::EngineFailure => "engine_failure",
        }
    }

    /// Whether a rule of the platform decided. Its id is the platform's business: tenants learn no more than the
    /// [`code`](Self::code).
    #[must_use]
    pub fn is_of_platform(&self) -> bool {
        matches!(
            self,
            Self::PlatformRole { .. }
                | Self::PlatformOverride { .. }
                | Self::PlatformAcl { .. }
                | Self::DeniedByPlatformRole { .. }
                | Self::DeniedByPlatformOverride { .. }
                | Self::DeniedByPlatformAcl { .. }
        )
    }
}

/// What a refused subject would need, as far as one thing would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "code", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Missing {
    /// Any role at all: it has none.
    Role,
    /// The permission, by a role, an override or an access control list.
    Permission,
    /// A scope of the credential that covers the permission.
    Scope,
    /// To own the resource.
    Owner,
    /// Another attribute of the resource.
    Attribute,
    /// Another time of the week.
    Time,
    /// A stronger proof of who it is.
    Assurance {
        /// The level that suffices.
        at_least: AuthenticatorAssurance,
    },
}

impl Missing {
    /// A stable name: the one that `serde` writes as `code`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Role => "role",
            Self::Permission => "permission",
            Self::Scope => "scope",
            Self::Owner => "owner",
            Self::Attribute => "attribute",
            Self::Time => "time",
            Self::Assurance { .. } => "assurance",
        }
    }
}

/// May this principal do this, here?
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Who asks.
    pub principal: &'a Principal,
    /// What it wants to do: the name of a permission, or a synonym; a pattern is never one.
    pub permission: &'a str,
    /// To which thing; `None` leaves what rules ask about it unknown.
    pub resource: Option<&'a Resource<'a>>,
}

impl<'a> Question<'a> {
    /// Whether `principal` has `permission`, whatever the thing.
    #[must_use]
    pub fn new(principal: &'a Principal, permission: &'a str) -> Self {
        Self { principal, permission, resource: None }
    }

    /// The same about `resource`.
    #[must_use]
    pub fn on(mut self, resource: &'a Resource<'a>) -> Self {
        self.resource = Some(resource);
        self
    }
}

/// The answer to a [`Question`], and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[must_use = "a decision that nobody looks at protects nothing"]
pub struct Decision {
    /// The answer.
    pub outcome: Outcome,
    /// What decided.
    pub reason: Reason,
    /// What would change a refusal; `None` when it is allowed, or when no one thing would.
    pub missing: Option<Missing>,
    /// The epoch of the policy that was asked: the tenant's, or the platform's without a tenant. 0 when none was loaded.
    pub epoch: i64,
}

impl Decision {
    /// Whether the answer is yes.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.outcome == Outcome::Allow
    }

    pub(crate) fn allow(reason: Reason, epoch: i64) -> Self {
        Self { outcome: Outcome::Allow, reason, missing: None, epoch }
    }

    pub(crate) fn deny(reason: Reason, epoch: i64) -> Self {
        let missing = match reason {
            Reason::NoAssignment => Some(Missing::Role),
            Reason::RoleLacksPermission => Some(Missing::Permission),
            Reason::ScopeTooNarrow => Some(Missing::Scope),
            _ => None,
        };
        Self { outcome: Outcome::Deny, reason, missing, epoch }
    }

    pub(crate) fn unmet(missing: Missing, epoch: i64) -> Self {
        Self { outcome: Outcome::Deny, reason: Reason::ConditionUnmet, missing: Some(missing), epoch }
    }
}

/// A policy could not be loaded, so that nothing can be decided for its tenant yet.
#[derive(Debug, thiserror::Error)]
#[error("the access policy could not be loaded")]
pub struct PolicyUnavailable(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Decides whether a principal may do something in its tenant.
///
/// Denies by default: an unknown permission, a policy that is not loaded and a failure of the engine are refusals.
pub trait Authorizer: Send + Sync {
    /// Answers `question` for the tenant that its principal acts for. Takes no lock, waits for nothing, allocates nothing
    /// and does not panic.
    fn decide(&self, question: Question<'_>) -> Decision;

    /// Whether `principal` may use `permission`, whatever the thing.
    fn check(&self, principal: &Principal, permission: &str) -> Decision {
        self.decide(Question::new(principal, permission))
    }

    /// Whether `principal` may use `permission` on `resource`.
    fn check_on(&self, principal: &Principal, permission: &str, resource: &Resource<'_>) -> Decision {
        self.decide(Question { principal, permission, resource: Some(resource) })
    }

    /// Loads what checks for `tenant` need; `None` when nothing has to be waited for, which is the usual case. A guard
    /// awaits this once per request before it checks. `at_least` demands that the policy of `tenant` (or of the platform)
    /// has reached that epoch, which a change of it has returned.
    ///
    /// The future fails with [`PolicyUnavailable`] when there is no policy at all to decide by, or none as new as demanded
    /// within two seconds; without a demand, an older one keeps serving.
    fn prepare(
        &self,
        tenant: Option<TenantId>,
        at_least: Option<i64>,
    ) -> Option<BoxFuture<'_, Result<(), PolicyUnavailable>>> {
        let _ = (tenant, at_least);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_a_reason_is_what_serde_writes() {
        let nil = uuid::Uuid::nil();
        let (role_id, id, acl) = (RoleId::from_uuid(nil), OverrideId::from_uuid(nil), AclId::from_uuid(nil));
        for reason in [
            Reason::Role { role_id },
            Reason::PlatformRole { role_id },
            Reason::Override { id },
            Reason::PlatformOverride { id },
            Reason::Acl { id: acl },
            Reason::PlatformAcl { id: acl },
            Reason::CasbinRule { rule: 1 },
            Reason::System,
            Reason::DeniedByRole { role_id },
            Reason::DeniedByPlatformRole { role_id },
            Reason::DeniedByOverride { id },
            Reason::DeniedByPlatformOverride { id },
            Reason::DeniedByAcl { id: acl },
            Reason::DeniedByPlatformAcl { id: acl },
            Reason::DeniedByCasbinRule { rule: 1 },
            Reason::ConditionUnmet,
            Reason::NoAssignment,
            Reason::RoleLacksPermission,
            Reason::ScopeTooNarrow,
            Reason::Anonymous,
            Reason::UnknownPermission,
            Reason::PermissionInactive,
            Reason::TenantUnknown,
            Reason::EngineFailure,
        ] {
            assert_eq!(serde_json::to_value(reason).unwrap()["code"], reason.code());
            assert_eq!(reason.is_of_platform(), reason.code().contains("platform"));
        }
    }

    #[test]
    fn the_code_of_what_is_missing_is_what_serde_writes() {
        for missing in [
            Missing::Role,
            Missing::Permission,
            Missing::Scope,
            Missing::Owner,
            Missing::Attribute,
            Missing::Time,
            Missing::Assurance { at_least: AuthenticatorAssurance::Aal2 },
        ] {
            assert_eq!(serde_json::to_value(missing).unwrap()["code"], missing.code());
        }
    }
}
