//! Organisations and memberships, with every store bound to its tenant.
//!
//! An *organisation* ([`OrgCode`], [`OrgName`]) is a *tenant*: the owner of rows that no other tenant sees. A
//! *membership* ([`Membership`]) says that a person may act in it. People exist once on the platform; which
//! organisation someone acts for is chosen at sign-in ([`choose`]) and from then on comes from the principal, never
//! from a body or query. Every installation has one *default organisation* ([`DefaultOrg`]).
//!
//! With the feature `postgres` or `sqlite`, `Tenancy` keeps both in a `stylobate_db::Db`:
//! 1. `orgs` is read before a tenant is known and is not under row-level security; `memberships` and `invitations` are.
//! 2. Sign-in reads the memberships of a person under `Scope::Platform`; everything else runs in the tenant's scope,
//!    and a transaction of one tenant cannot touch another's rows on either engine.
//! 3. An organisation is *active*, *inactive* or *being deleted*, and the last nobody undoes:
//!    ```text
//!    active ⇄ inactive → being deleted → gone
//!       └────────────────────↑
//!    ```
//!    The default organisation stays active.
//! 4. What begins in an organisation, as a session or a key, takes `Tenancy::hold_active` first in its transaction, and what adds
//!    rows to it `Tenancy::lock_org_to_write`: whoever deactivates or deletes it waits for them, and who comes later is refused.
//!    Locks are taken in one order everywhere: access policy, organisation, person, the rest.
//! 5. An *invitation* is of whoever reads the mail to an address. It is the organisation's row and holds no secret: what its link carries is
//!    a single-use token of `stylobate-auth`.
//! 6. Every change buffers its audit record, filed under the organisation: `org.create`, `org.update`, `org.deactivate`,
//!    `org.activate`, `org.removal_begun`, `org.delete`, `member.add`, `member.suspend`, `member.reinstate`, `member.remove`,
//!    `invitation.create`, `invitation.renew`, `invitation.revoke`, `invitation.accept`.
//!
//! ```
//! use stylobate_core::TenantId;
//! use stylobate_tenancy::{ChooseError, Membership, MembershipStatus, choose};
//!
//! let acme = Membership {
//!     tenant_id: "0192d3a0-0000-7000-8000-000000000001".parse::<TenantId>()?,
//!     org_code: "ACME".parse()?,
//!     org_name: "Acme Ltd".parse()?,
//!     org_is_active: true,
//!     status: MembershipStatus::Active,
//! };
//! let memberships = [acme];
//! assert_eq!(choose(&memberships, None), Ok(memberships[0].tenant_id));
//! assert_eq!(choose(&memberships, Some("other")), Err(ChooseError::NotAMember));
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

mod config;
#[cfg(feature = "sql")]
mod error;
#[cfg(feature = "sql")]
mod invitation;
#[cfg(feature = "sql")]
mod invitation_store;
#[cfg(feature = "sql")]
mod invitations;
mod license;
#[cfg(feature = "sql")]
mod member;
#[cfg(feature = "sql")]
mod member_store;
#[cfg(feature = "sql")]
mod members;
mod membership;
#[cfg(feature = "sql")]
mod org;
mod org_code;
mod org_name;
#[cfg(feature = "sql")]
mod org_store;
#[cfg(feature = "sql")]
mod orgs;
#[cfg(feature = "sql")]
mod removal;
#[cfg(feature = "sql")]
mod schema;
#[cfg(feature = "sql")]
mod search;
#[cfg(feature = "sql")]
mod tenancy;

pub use config::{ConfigInvalid, DefaultOrg, TenancyConfig, TenancyMode};
pub use license::LicenseStatus;
pub use membership::{ChooseError, Membership, MembershipStatus, choose};
pub use org_code::{OrgCode, OrgCodeInvalid};
pub use org_name::{OrgName, OrgNameInvalid};

#[cfg(feature = "sql")]
pub use {
    error::Error,
    invitation::{Invitation, InvitationFilter, InvitationStatus, NewInvitation},
    member::{Member, MemberCounts},
    org::{NewOrg, Org, OrgChange, OrgFilter},
    schema::MIGRATIONS,
    tenancy::Tenancy,
};

#[cfg(all(doctest, feature = "sqlite"))]
#[doc = include_str!("../README.md")]
struct Readme;
