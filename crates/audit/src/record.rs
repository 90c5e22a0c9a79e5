use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stylobate_core::{ActorKind, AuditEventId, Outcome, RequestId, SessionId};

/// One entry of the audit trail as it is read; the names are those that API clients know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// Names the entry.
    pub id: AuditEventId,
    /// When it happened, to the microsecond.
    pub occurred_at: DateTime<Utc>,
    /// The kind of actor.
    pub actor_type: ActorKind,
    /// The actor's id, or the name of the process that acted for the platform.
    pub actor_id: Option<String>,
    /// What was done, `noun.verb`.
    pub action: String,
    /// The kind of thing it was done to.
    pub entity_type: String,
    /// The thing's id.
    pub entity_id: Option<String>,
    /// Whether the outcome is [`Outcome::Success`].
    pub is_success: bool,
    /// How it went.
    pub outcome: Outcome,
    /// The client's address.
    pub ip_address: Option<IpAddr>,
    /// The client's program, at most 512 characters.
    pub user_agent: Option<String>,
    /// The request that caused it.
    pub request_id: Option<RequestId>,
    /// The session it happened in.
    pub session_id: Option<SessionId>,
    /// The fields that changed, as `{"field": {"before": …, "after": …}}`.
    pub changes: Option<Value>,
    /// Further facts.
    pub metadata: Option<Value>,
}
