use stylobate_core::CursorInvalid;
use stylobate_db::{Error as DbError, TransactError};

/// Why a change or a question about roles and permissions was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RbacError {
    /// The tenant has a role of that name already, or the platform has, whose roles are visible in every tenant.
    #[error("a role of this name exists")]
    RoleNameTaken,
    /// The tenant has a permission of that key already, or the catalogue uses the key as name or synonym.
    #[error("a permission of this key exists")]
    PermissionKeyTaken,
    /// The role has the permission already.
    #[error("the role has this permission")]
    AlreadyAttached,
    /// The subject has the role already.
    #[error("the subject has this role")]
    AlreadyAssigned,
    /// The subject has several roles, and one in the place of one was asked for.
    #[error("the subject has several roles")]
    SeveralRoles,
    /// The role has this parent already.
    #[error("the role inherits from this role")]
    AlreadyInherited,
    /// The tenant has a group of that name already.
    #[error("a group of this name exists")]
    GroupNameTaken,
    /// The subject is in the group already.
    #[error("the subject is in this group")]
    AlreadyInGroup,
    /// The group has as many members as any may have.
    #[error("the group is full")]
    GroupFull,
    /// The tenant has as many groups as any may have.
    #[error("the tenant has as many groups as it may")]
    GroupLimit,
    /// The parent inherits from the role, or is the role itself.
    #[error("a role cannot inherit from itself")]
    RoleCycle,
    /// There is none, or it is another tenant's.
    #[error("there is no such {entity}")]
    NotFound {
        /// What was asked for: `role`, `permission`, `role_permission`, `role_assignment`, `role_parent`, `override`,
        /// `acl_entry`, `group`, `group_member`, `subject` or `tenant`.
        entity: &'static str,
    },
    /// A field breaks the rules.
    #[error("`{field}` {message}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// A stable code: `required`, `too_long`, `invalid`.
        code: &'static str,
        /// The rule.
        message: &'static str,
    },
    /// The cursor was not made by this list.
    #[error(transparent)]
    Cursor(#[from] CursorInvalid),
    /// The row belongs to the platform, and the caller has no role there.
    #[error("this belongs to the platform")]
    PlatformOwned,
    /// A role or permission that gives more than the caller has was to be handed out.
    #[error("nobody hands out more than they have")]
    BeyondOwn,
    /// The row is declared in code: it cannot be renamed or deleted, and the platform's roles cannot be switched off.
    #[error("this is declared by the program")]
    Declared,
    /// The platform keeps one super administrator, for good, denied nothing and able to sign in: nobody else can make another.
    #[error("this is the last super administrator")]
    LastSuperAdministrator,
    /// The tenant keeps one administrator who has the role for good and can sign in: nobody there could make another.
    #[error("this is the last administrator of the tenant")]
    LastAdministrator,
    /// Somebody else changed the row since the caller read it.
    #[error("the row has changed since it was read")]
    Stale,
    /// The database failed.
    #[error("the database failed")]
    Db(#[from] DbError),
}

impl RbacError {
    /// The stable code of the situation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::RoleNameTaken => "role_name_taken",
            Self::PermissionKeyTaken => "permission_key_taken",
            Self::AlreadyAttached => "already_attached",
            Self::AlreadyAssigned => "already_assigned",
            Self::SeveralRoles => "several_roles",
            Self::AlreadyInherited => "already_inherited",
            Self::GroupNameTaken => "group_name_taken",
            Self::AlreadyInGroup => "already_in_group",
            Self::GroupFull => "group_full",
            Self::GroupLimit => "group_limit",
            Self::RoleCycle => "role_cycle",
            Self::NotFound { .. } => "not_found",
            Self::Invalid { .. } => "validation",
            Self::Cursor(_) => "cursor_invalid",
            Self::PlatformOwned => "platform_owned",
            Self::BeyondOwn => "beyond_own_permissions",
            Self::Declared => "declared",
            Self::LastSuperAdministrator => "last_super_administrator",
            Self::LastAdministrator => "last_administrator",
            Self::Stale => "stale",
            Self::Db(error) => error.code(),
        }
    }

    /// What to say instead of the database's own error when a unique constraint or a foreign key refuses: `taken`, or
    /// that `entity` is gone.
    pub(crate) fn or_taken(self, taken: Self, entity: &'static str) -> Self {
        use stylobate_db::ConstraintKind::{ForeignKey, Unique};
        match self {
            Self::Db(DbError::Constraint { kind: Unique, .. }) => taken,
            Self::Db(DbError::Constraint { kind: ForeignKey, .. }) => Self::NotFound { entity },
            other => other,
        }
    }
}

impl TransactError for RbacError {
    fn as_db(&self) -> Option<&DbError> {
        match self {
            Self::Db(error) => Some(error),
            _ => None,
        }
    }
}
