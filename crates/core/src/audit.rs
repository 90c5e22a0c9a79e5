use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{AuditEventId, BoxFuture, Principal, RequestContext, RequestId, SessionId, Subject, TenantId};

/// What kind of actor made a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// The platform itself, or nobody who could be named.
    System,
    /// A person.
    User,
    /// An API key.
    ApiKey,
    /// A service account.
    Service,
    /// A caller without credentials.
    Anonymous,
}

/// Who made a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The kind of actor.
    pub kind: ActorKind,
    /// Its id, or for the system the name of the process.
    pub id: Option<String>,
}

impl From<&Principal> for Actor {
    fn from(principal: &Principal) -> Self {
        let (kind, id) = match principal.subject {
            Subject::Anonymous => (ActorKind::Anonymous, None),
            Subject::Person { id } => (ActorKind::User, Some(id.to_string())),
            Subject::ApiKey { id, .. } => (ActorKind::ApiKey, Some(id.to_string())),
            Subject::Service { id } => (ActorKind::Service, Some(id.to_string())),
            Subject::System => (ActorKind::System, None),
        };
        Self { kind, id }
    }
}

/// What was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The kind of thing, a noun in the singular: `role`, `person`.
    pub kind: &'static str,
    /// Its id.
    pub id: Option<String>,
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Success,
    /// It was tried and did not work.
    Failure,
    /// It was not allowed.
    Denied,
}

/// One entry of the audit trail, before it is written.
///
/// `before` and `after` are the whole visible state of the target; the writer stores only the fields that differ, and
/// replaces sensitive ones. Never put a secret into any field: redaction is the second wall, not the first.
#[derive(Debug, Clone)]
pub struct AuditEvent {
    /// Names the entry; made when the event is written when `None`.
    pub id: Option<AuditEventId>,
    /// When it happened; the time of writing when `None`.
    pub occurred_at: Option<DateTime<Utc>>,
    /// Who did it.
    pub actor: Actor,
    /// In which tenant; `None` is the platform.
    pub tenant: Option<TenantId>,
    /// What was done, `noun.verb`: `role.create`.
    pub action: &'static str,
    /// To what.
    pub target: Target,
    /// How it went.
    pub outcome: Outcome,
    /// From where.
    pub address: Option<IpAddr>,
    /// With which program.
    pub user_agent: Option<String>,
    /// On which request.
    pub request_id: Option<RequestId>,
    /// In which session.
    pub session_id: Option<SessionId>,
    /// The target before the change.
    pub before: Option<Value>,
    /// The target after the change.
    pub after: Option<Value>,
    /// Further facts, for example the reason for a denial.
    pub metadata: Option<Value>,
}

impl AuditEvent {
    /// A successful `action` by whoever `context` names, on a target of `kind`.
    #[must_use]
    pub fn new(context: &RequestContext, action: &'static str, kind: &'static str) -> Self {
        let mut actor = Actor::from(&context.principal);
        if actor.id.is_none() {
            actor.id = context.process.map(str::to_owned);
        }
        Self {
            id: None,
            occurred_at: None,
            actor,
            tenant: context.principal.tenant,
            action,
            target: Target { kind, id: None },
            outcome: Outcome::Success,
            address: context.address,
            user_agent: context.user_agent.clone(),
            request_id: context.request_id,
            session_id: context.principal.session,
            before: None,
            after: None,
            metadata: context
                .principal
                .impersonator
                .map(|person| serde_json::json!({ "impersonator": person.to_string() })),
        }
    }

    /// Names the target.
    #[must_use]
    pub fn on(mut self, id: impl ToString) -> Self {
        self.target.id = Some(id.to_string());
        self
    }

    /// Files the event under `tenant` instead of the principal's own.
    #[must_use]
    pub fn in_tenant(mut self, tenant: Option<TenantId>) -> Self {
        self.tenant = tenant;
        self
    }

    /// Sets how it went.
    #[must_use]
    pub fn outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// Records the target's state before and after; a value that does not serialise is left out.
    #[must_use]
    pub fn change(mut self, before: Option<impl Serialize>, after: Option<impl Serialize>) -> Self {
        self.before = before.and_then(|value| serde_json::to_value(value).ok());
        self.after = after.and_then(|value| serde_json::to_value(value).ok());
        self
    }

    /// Adds a further fact under `key`.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        let metadata = self.metadata.get_or_insert_with(|| Value::Object(serde_json::Map::new()));
        if let Value::Object(map) = metadata {
            map.insert(key.to_owned(), value.into());
        }
        self
    }
}

/// An audit event could not be stored.
#[derive(Debug, thiserror::Error)]
#[error("the audit event could not be stored")]
pub struct AuditError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Takes facts that come without a change of their own: failed logins, denials. A change's own record goes through
/// the unit of work instead, so that both commit together.
pub trait AuditSink: Send + Sync {
    /// Stores `event` in a transaction of its own.
    ///
    /// # Errors
    /// [`AuditError`] when it could not be stored. The caller still refuses what it was about to refuse.
    fn record(&self, event: AuditEvent) -> BoxFuture<'_, Result<(), AuditError>>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PersonId;

    #[test]
    fn an_event_takes_actor_tenant_and_request_from_its_context() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let (person, tenant, request) = (PersonId::new(now), TenantId::new(now), RequestId::new(now));
        let mut context = RequestContext::new(Principal::person(person).in_tenant(tenant));
        context.request_id = Some(request);
        let event = AuditEvent::new(&context, "role.create", "role").on("r1").with("reason", "test");
        assert_eq!(event.actor, Actor { kind: ActorKind::User, id: Some(person.to_string()) });
        assert_eq!((event.tenant, event.request_id), (Some(tenant), Some(request)));
        assert_eq!(event.metadata.unwrap()["reason"], "test");
    }

    #[test]
    fn a_process_is_named_as_the_actor() {
        let event = AuditEvent::new(&RequestContext::system("createsuperuser"), "person.create", "person");
        assert_eq!(event.actor, Actor { kind: ActorKind::System, id: Some("createsuperuser".into()) });
    }
}
