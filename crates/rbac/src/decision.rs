use serde::Serialize;
use stylobate_core::{BoxFuture, Principal, RoleId, TenantId};

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
    /// Allowed: the platform acts by itself.
    System,
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
            Self::System => "system",
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
}

/// The answer to "may this principal do this here", and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[must_use = "a decision that nobody looks at protects nothing"]
pub struct Decision {
    /// The answer.
    pub outcome: Outcome,
    /// What decided.
    pub reason: Reason,
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
        Self { outcome: Outcome::Allow, reason, epoch }
    }

    pub(crate) fn deny(reason: Reason, epoch: i64) -> Self {
        Self { outcome: Outcome::Deny, reason, epoch }
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
    /// Whether `principal` may use `permission` in the tenant it acts for. Takes no lock, waits for nothing, and
    /// does not panic.
    fn check(&self, principal: &Principal, permission: &str) -> Decision;

    /// Loads what checks for `tenant` need; `None` when nothing has to be waited for, which is the usual case. A guard
    /// awaits this once per request before it checks.
    ///
    /// The future fails with [`PolicyUnavailable`] when there is no policy at all to decide by; an older one keeps serving.
    fn prepare(&self, tenant: Option<TenantId>) -> Option<BoxFuture<'_, Result<(), PolicyUnavailable>>> {
        let _ = tenant;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_a_reason_is_what_serde_writes() {
        let role_id = RoleId::from_uuid(uuid::Uuid::nil());
        for reason in [
            Reason::Role { role_id },
            Reason::PlatformRole { role_id },
            Reason::System,
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
        }
    }
}
