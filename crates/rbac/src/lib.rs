#![doc = include_str!("../README.md")]

mod bits;
#[cfg(feature = "casbin")]
mod casbin;
mod catalogue;
mod condition;
mod decision;
#[cfg(feature = "sql")]
mod directory;
mod effect;
mod engine;
#[cfg(feature = "sql")]
mod error;
mod explain;
mod filter;
#[cfg(feature = "sql")]
mod holdings;
mod index;
mod key;
mod meaning;
#[cfg(feature = "sql")]
mod model;
mod named_roles;
mod policy;
mod resource;
#[cfg(feature = "sql")]
mod schema;
#[cfg(feature = "sql")]
mod service;
mod snapshot;
#[cfg(feature = "sql")]
mod store;

#[cfg(all(feature = "casbin", feature = "sql"))]
pub use crate::casbin::CasbinAdapter;
#[cfg(feature = "casbin")]
pub use crate::casbin::{
    CasbinAuthorizer, CasbinExport, CasbinImport, CasbinInvalid, CasbinModel, CasbinProblem,
    CasbinProblemKind, CasbinRules,
};
pub use catalogue::{
    Catalogue, CatalogueInvalid, MEMBER, PermissionDef, RoleDef, RoleGrants, SUPER_ADMIN, default_catalogue,
};
pub use condition::{Condition, ConditionInvalid};
pub use decision::{Authorizer, Decision, Missing, Outcome, PolicyUnavailable, Question, Reason};
#[cfg(feature = "sql")]
pub use directory::SubjectDirectory;
pub use effect::{Effect, EffectInvalid};
pub use engine::{EffectivePermission, Engine};
#[cfg(feature = "sql")]
pub use error::RbacError;
pub use explain::{ExplainedRule, Explanation, RuleSource, RuleState};
#[cfg(feature = "sql")]
pub use filter::{FilterColumn, FilterColumns};
pub use filter::{FilterExpr, ListFilter};
pub use key::{KeyInvalid, PermissionKey};
#[cfg(feature = "sql")]
pub use model::{
    AclEntry, AclQuery, AssignedRole, AssignmentQuery, GrantRule, GrantedPermission, Group, GroupMember,
    GroupMemberQuery, GroupOrder, GroupQuery, GroupUpdate, NewAclEntry, NewGroup, NewOverride, NewPermission,
    NewRole, Override, OverrideQuery, Permission, PermissionOrder, PermissionQuery, PermissionUpdate, Role,
    RoleAssignment, RoleOrder, RoleParent, RolePermission, RolePermissionQuery, RoleQuery, RoleUpdate, Swept,
    Written,
};
pub use named_roles::{NamedRoles, NamedRolesInvalid};
pub use policy::{
    Assignee, AssigneeKind, AssigneeKindInvalid, Policy, PolicyAcl, PolicyAssignment, PolicyGrant,
    PolicyOverride, PolicyPermission, PolicyRole,
};
pub use resource::Resource;
#[cfg(feature = "sql")]
pub use schema::MIGRATIONS;
#[cfg(all(feature = "casbin", feature = "sql"))]
pub use service::CasbinImported;
#[cfg(feature = "sql")]
pub use service::Rbac;
pub use snapshot::PolicyProblem;
