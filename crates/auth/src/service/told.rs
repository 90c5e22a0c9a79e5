//! What is told to whoever subscribes.

use chrono::{DateTime, Utc};
use serde_json::json;
use stylobate_core::{Actor, ActorKind, DomainEvent, PersonId, RequestContext, SessionId, TenantId};
use stylobate_db::Tx;

/// A session that something happened to, and whose it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct ToldSession {
    pub(super) id: SessionId,
    pub(super) person: PersonId,
    pub(super) tenant: Option<TenantId>,
}

/// Tells that `kind` happened to a session by the hand of its owner.
pub(super) fn tell_session(
    tx: &mut Tx,
    ctx: &RequestContext,
    kind: &'static str,
    session: ToldSession,
    now: DateTime<Utc>,
) {
    let data = json!({
        "user_id": session.person,
        "organization_id": session.tenant,
        "session_id": session.id,
        "ip": ctx.address,
        "user_agent": ctx.user_agent,
    });
    let mut event = DomainEvent::new(ctx, kind, session.person, data);
    event.actor = Actor { kind: ActorKind::User, id: Some(session.person.to_string()) };
    event.tenant = session.tenant;
    event.occurred_at = Some(now);
    tx.emit(event);
}

/// How a password came to be another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PasswordChangedBy {
    /// By its owner, who knew the old one.
    Owner,
    /// By a mailed link.
    Link,
    /// By somebody who may manage people, or a command.
    Administrator,
}

/// Tells that a person signs in with another password from now on.
pub(super) fn tell_password_changed(
    tx: &mut Tx,
    ctx: &RequestContext,
    person: PersonId,
    by: PasswordChangedBy,
    now: DateTime<Utc>,
) {
    // Where an administrator was is not the owner's business.
    let own = Some(ctx).filter(|_| by != PasswordChangedBy::Administrator);
    let data = |by: &str| {
        let (ip, user_agent) = (own.and_then(|ctx| ctx.address), own.and_then(|ctx| ctx.user_agent.as_ref()));
        json!({ "user_id": person, "by": by, "ip": ip, "user_agent": user_agent })
    };
    let mut event = match by {
        PasswordChangedBy::Owner => DomainEvent::new(ctx, "password.changed", person, data("owner")),
        PasswordChangedBy::Administrator => {
            DomainEvent::new(ctx, "password.changed", person, data("administrator"))
        }
        PasswordChangedBy::Link => DomainEvent::new(ctx, "password.reset", person, data("link")),
    };
    event.occurred_at = Some(now);
    tx.emit(event);
}
