//! Permission checks from a compiled snapshot per tenant, with the reason for every decision.
//!
//! A *permission* is the right to do one kind of thing (`user.read`); the *catalogue* holds those that code asks for,
//! with their synonyms. A *role* is a named set of rules, each of which allows or denies a permission, perhaps under a
//! *condition*; a role may inherit others. A *role assignment* gives it to a *subject* (a person, a service account or a
//! group of them; ANSI INCITS 359). An *override* is a rule for one subject, an *access control list* holds such rules
//! about one *resource*. Roles belong to a tenant, or to the *platform*: a platform role counts in
//! every tenant, and only platform roles reach permissions that are not one tenant's own. A *policy* is all of that for one
//! tenant, numbered by an *epoch* that grows with every change; a *snapshot* is a compiled policy. An [`Authorizer`]
//! answers a [`Question`] with a [`Decision`], which names the [`Reason`]. [`NamedRoles`] does without all of that: roles by
//! name, for programs whose credentials carry them.
//!
//! ```
//! use std::sync::Arc;
//! use stylobate_core::{Clock, PermissionId, PersonId, Principal, RoleId, SystemClock, TenantId};
//! use stylobate_rbac::{
//!     Authorizer, Engine, Policy, PolicyAssignment, PolicyGrant, PolicyPermission, PolicyRole, Reason, default_catalogue,
//! };
//!
//! let now = SystemClock.now();
//! let (tenant, ada, grace) = (TenantId::new(now), PersonId::new(now), PersonId::new(now));
//! let (role, permission) = (RoleId::new(now), PermissionId::new(now));
//!
//! let engine = Engine::new(Arc::new(default_catalogue()), Arc::new(SystemClock));
//! let policy = Policy {
//!     epoch: 1,
//!     permissions: vec![PolicyPermission { id: permission, key: "user.read".into(), is_active: true }],
//!     roles: vec![PolicyRole { id: role, is_active: true }],
//!     grants: vec![PolicyGrant::allow(role, permission)],
//!     assignments: vec![PolicyAssignment::new(ada, role)],
//!     ..Policy::default()
//! };
//! engine.install(Some(tenant), &policy);
//!
//! assert!(engine.check(&Principal::person(ada).in_tenant(tenant), "people:read").is_allowed());
//! let refused = engine.check(&Principal::person(grace).in_tenant(tenant), "user.read");
//! assert_eq!(refused.reason, Reason::NoAssignment);
//! ```
//!
//! Rules of a decision, in order; the first that applies decides:
//! 1. Nobody is denied everything, and a permission that neither the catalogue nor the policy knows is denied to everybody.
//! 2. Scopes of the credential only narrow: what none of them covers is denied, whatever roles say.
//! 3. The platform itself may do what is left.
//! 4. A permission that is switched off is denied.
//! 5. A rule of the platform denies, then one allows.
//! 6. A rule of the tenant denies, then one allows. So a tenant cannot lock out whom the platform lets in.
//! 7. Everything else is denied; so is whatever the engine fails on.
//!
//! The rules that count are those of the subject and of its groups: of active, unexpired roles with all they inherit, of
//! overrides, and of the list of exactly the resource that is asked about. An API key acts with its owner's rules. What a
//! condition asks about may be unknown, as the owner is when no resource is named: then an allowing rule does not apply and
//! a denying one does. `people:read:own` is `people:read` under the condition that the subject owns the resource, unless
//! the catalogue declares that name.
//!
//! With the feature `postgres` or `sqlite`, `Rbac` keeps policies in a database, loads each tenant's at its first
//! request and follows what other processes change. Deployment caveats:
//! - A change made through `Rbac` counts in its own process when the call returns, in others within one second; they
//!   need `Rbac::run` in the background for that.
//! - A caller that demands the epoch a write has returned ([`Authorizer::prepare`]) is never answered by an older policy.
//! - Whoever makes a rule has what it is about, for as long and as widely; lifting a denial is making a rule. A denial that
//!   hits everybody who could lift it is lifted on the platform.
//! - Expired rules stay in the tables for 30 days, for administrators to see what somebody has lost; `Rbac::run` removes
//!   them after that.
//! - Changes of other processes are found by the time at which they were written: clocks that differ by more than a minute,
//!   and transactions that take longer, delay them by up to a minute.
//! - While the database is away, the last snapshots serve, and `Rbac::staleness` tells how old they may be.

mod bits;
#[cfg(feature = "casbin")]
mod casbin;
mod catalogue;
mod condition;
mod decision;
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
    Catalogue, CatalogueInvalid, PermissionDef, RoleDef, RoleGrants, SUPER_ADMIN, default_catalogue,
};
pub use condition::{Condition, ConditionInvalid};
pub use decision::{Authorizer, Decision, Missing, Outcome, PolicyUnavailable, Question, Reason};
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
    AclEntry, AclQuery, AssignmentQuery, GrantRule, GrantedPermission, NewAclEntry, NewOverride,
    NewPermission, NewRole, Override, OverrideQuery, Permission, PermissionOrder, PermissionQuery,
    PermissionUpdate, Role, RoleAssignment, RoleOrder, RoleParent, RolePermission, RolePermissionQuery,
    RoleQuery, RoleUpdate, Swept, Written,
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

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
