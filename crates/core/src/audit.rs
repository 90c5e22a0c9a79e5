use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

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

impl From<&RequestContext> for Actor {
    /// The actor as a tenant is told of it: who acts for the platform is not named.
    fn from(context: &RequestContext) -> Self {
        if context.is_for_platform {
            return Self { kind: ActorKind::System, id: Some("platform".to_owned()) };
        }
        let actor = Self::from(&context.principal);
        Self { id: actor.id.or_else(|| context.process.map(str::to_owned)), ..actor }
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
    /// The fact under which is kept who acted for the platform: for its operator, and shown to no tenant.
    pub const PLATFORM_ACTOR: &str = "platform_actor";

    /// A successful `action` by whoever `context` names, on a target of `kind`.
    #[must_use]
    pub fn new(context: &RequestContext, action: &'static str, kind: &'static str) -> Self {
        let (principal, is_told) = (&context.principal, !context.is_for_platform);
        let impersonator = principal.impersonator.map(|person| person.to_string());
        let metadata = if is_told {
            impersonator.map(|person| json!({ "impersonator": person }))
        } else {
            let actor = json!({
                "actor": Actor::from(principal),
                "impersonator": impersonator,
                "ip_address": context.address,
                "user_agent": context.user_agent,
                "session_id": principal.session,
            });
            Some(json!({ Self::PLATFORM_ACTOR: actor }))
        };
        Self {
            id: None,
            occurred_at: None,
            actor: Actor::from(context),
            tenant: principal.tenant,
            action,
            target: Target { kind, id: None },
            outcome: Outcome::Success,
            address: context.address.filter(|_| is_told),
            user_agent: context.user_agent.clone().filter(|_| is_told),
            request_id: context.request_id,
            session_id: principal.session.filter(|_| is_told),
            before: None,
            after: None,
            metadata,
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

    #[test]
    fn a_tenant_is_not_told_who_acts_for_the_platform() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let (person, session, tenant) = (PersonId::new(now), SessionId::new(now), TenantId::new(now));
        let principal = Principal { session: Some(session), ..Principal::person(person) };
        let mut context = RequestContext::new(principal);
        context.address = "192.0.2.7".parse().ok();
        context.user_agent = Some("curl".to_owned());
        assert_eq!(context.told_person(), Some(person));
        let context = context.for_platform_in(tenant);
        assert_eq!(context.told_person(), None);

        let event = AuditEvent::new(&context, "org.update", "org").with("version", 2);
        assert_eq!(event.actor, Actor { kind: ActorKind::System, id: Some("platform".to_owned()) });
        assert_eq!((event.tenant, event.address, event.session_id), (Some(tenant), None, None));
        assert_eq!(event.user_agent, None);
        let facts = event.metadata.unwrap();
        let kept = &facts[AuditEvent::PLATFORM_ACTOR];
        assert_eq!((&facts["version"], &kept["actor"]["id"]), (&json!(2), &json!(person)));
        assert_eq!((&kept["session_id"], &kept["ip_address"]), (&json!(session), &json!("192.0.2.7")));

        let told = crate::DomainEvent::new(&context, "organization.updated", tenant, Value::Null);
        assert_eq!(told.actor, event.actor);
    }
}
