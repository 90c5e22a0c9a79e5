use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::{Actor, EventId, RequestContext, RequestId, TenantId, TraceParent};

/// Something that happened, told to whoever subscribes once the transaction commits. Never carries a secret or token.
#[derive(Debug, Clone)]
pub struct DomainEvent {
    /// Names the event; made when the event is written when `None`.
    pub id: Option<EventId>,
    /// The stable type, `noun.verb` in the past tense or the routing key a consumer knows: `user.created`.
    pub kind: &'static str,
    /// The version of the payload's shape, from 1.
    pub version: u16,
    /// When it happened; the time of writing when `None`.
    pub occurred_at: Option<DateTime<Utc>>,
    /// Events with the same aggregate are delivered in the order they were committed.
    pub aggregate: String,
    /// In which tenant.
    pub tenant: Option<TenantId>,
    /// Who caused it.
    pub actor: Actor,
    /// The request that caused it.
    pub request_id: Option<RequestId>,
    /// The trace it belongs to.
    pub traceparent: Option<TraceParent>,
    /// The payload.
    pub data: Value,
}

impl DomainEvent {
    /// An event of `kind` about `aggregate`, caused by whoever `context` names.
    #[must_use]
    pub fn new(context: &RequestContext, kind: &'static str, aggregate: impl ToString, data: Value) -> Self {
        Self {
            id: None,
            kind,
            version: 1,
            occurred_at: None,
            aggregate: aggregate.to_string(),
            tenant: context.principal.tenant,
            actor: Actor::from(context),
            request_id: context.request_id,
            traceparent: context.traceparent,
            data,
        }
    }
}
