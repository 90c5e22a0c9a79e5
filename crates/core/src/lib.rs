//! The few words that all Stylobate crates share.
//!
//! A *principal* is whoever acts; a *tenant* is the organisation on whose rows it acts; a
//! *request context* says who asked, from where and under which request id. A *problem* is how a
//! refusal looks on the wire (RFC 9457), an *audit event* records a change, a *domain event* tells
//! others about it. Crates that do not know each other meet in these types and in the traits
//! [`Clock`], [`AuditSink`], [`Sealer`], [`HealthCheck`] and [`MessageSender`].
//!
//! ```
//! use stylobate_core::{Clock, PersonId, Principal, SystemClock, TenantId};
//!
//! let now = SystemClock.now();
//! let principal = Principal::person(PersonId::new(now)).in_tenant(TenantId::new(now));
//! assert!(principal.is_authenticated());
//! ```
//!
//! Nothing here speaks HTTP or SQL, and nothing here has behaviour worth configuring.

mod audit;
mod clock;
mod context;
mod event;
mod future;
mod health;
mod id;
mod message;
mod page;
mod principal;
mod problem;
mod redaction;
mod seal;
mod text;
mod trace;

pub use audit::{Actor, ActorKind, AuditError, AuditEvent, AuditSink, Outcome, Target};
pub use clock::{Clock, SystemClock};
pub use context::RequestContext;
pub use event::DomainEvent;
pub use future::BoxFuture;
pub use health::{Health, HealthCheck, HealthStatus};
pub use id::{
    AclId, ApiKeyId, AuditEventId, EventId, GroupId, IdParse, InvitationId, JobId, KeyId, MessageDeliveryId,
    MessageId, NotificationChannelId, NotificationId, OverrideId, PermissionId, PersonId, RequestId,
    RoleAssignmentId, RoleId, RolePermissionId, ScheduleId, ServiceId, ServiceKeyId, SessionId,
    SuppressionId, TenantId, TokenId, WebhookDeliveryId, WebhookEndpointId,
};
pub use message::{Message, MessageError, MessageSender, MessageTo};
pub use page::{Cursor, CursorInvalid, Direction, Page, PageLimit};
pub use principal::{Assurance, AuthenticatorAssurance, Credential, KeyOwner, Principal, Subject};
pub use problem::{FieldProblem, Problem};
pub use redaction::Redaction;
pub use seal::{SealError, Sealer};
pub use text::is_invisible;
pub use trace::{TraceParent, TraceParentInvalid};
