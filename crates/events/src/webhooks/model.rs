use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use stylobate_core::{EventId, PageLimit, TenantId, WebhookDeliveryId, WebhookEndpointId};

/// How messages to an endpoint are signed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignatureStyle {
    /// Standard Webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature`. What [`verify`](crate::verify) checks.
    #[default]
    Standard,
    /// `X-Webhook-Event`, `X-Webhook-Signature: sha256=…` of the body alone, `Idempotency-Key`, for receivers of older systems. It
    /// has no time, so what somebody overhears can be sent again, and room for one secret only: after a rotation the one before,
    /// until that is not live any more.
    Classic,
    /// The headers of both.
    Both,
}

/// Why an endpoint is disabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisabledReason {
    /// Somebody disabled it.
    ByHand,
    /// The receiver answered 410 Gone.
    Gone,
    /// Nothing but failures for 5 days, in which two deliveries or more were given up.
    Failing,
}

/// Where a tenant wants to hear events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WebhookEndpoint {
    /// Names it.
    pub id: WebhookEndpointId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Where messages are sent. It may contain a secret of the receiver.
    pub url: String,
    /// What it is for, in words of whoever made it.
    pub description: String,
    /// What is sent: names of types, `user.*` for all that begin so, `*` for all.
    pub types: Vec<String>,
    /// How messages are signed.
    pub signature: SignatureStyle,
    /// Whether anything is sent.
    pub is_enabled: bool,
    /// Why nothing is sent.
    pub disabled_reason: Option<DisabledReason>,
    /// Since when every attempt has failed.
    pub failing_since: Option<DateTime<Utc>>,
    /// Until when messages are signed with the secret before as well.
    pub previous_secret_until: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

/// An endpoint to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewEndpoint {
    /// Where messages are sent: `https` on the public internet unless the operator allows more; up to 2,048 characters.
    pub url: String,
    /// What it is for, up to 200 characters. Empty unless given.
    #[serde(default)]
    pub description: String,
    /// What is sent: 1 to 100 names of types of the catalogue, `user.*`, or `*`.
    pub types: Vec<String>,
    /// How messages are signed. Standard Webhooks unless given.
    #[serde(default)]
    pub signature: SignatureStyle,
}

/// What changes about an endpoint; `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EndpointChange {
    /// Where messages are sent.
    pub url: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// What is sent.
    pub types: Option<Vec<String>>,
    /// How messages are signed.
    pub signature: Option<SignatureStyle>,
    /// Whether anything is sent. What happens while it is disabled is never sent; what was owed before is cancelled.
    pub is_enabled: Option<bool>,
}

/// Which endpoints to list, the newest first.
#[derive(Debug, Clone, Default)]
pub struct EndpointQuery {
    /// How many at most.
    pub limit: PageLimit,
    /// Where the page begins.
    pub cursor: Option<String>,
}

/// How far a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// It is tried until the receiver takes it.
    Pending,
    /// The receiver took it.
    Delivered,
    /// It was tried often enough.
    Failed,
    /// The endpoint was disabled before it was delivered.
    Cancelled,
}

/// One event that is owed to one endpoint, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WebhookDelivery {
    /// Names it.
    pub id: WebhookDeliveryId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Where it is sent.
    pub endpoint_id: WebhookEndpointId,
    /// The event: what receivers see as `webhook-id`.
    pub event_id: EventId,
    /// The type of the event.
    #[serde(rename = "type")]
    pub kind: String,
    /// How far it is.
    pub state: DeliveryState,
    /// How often it was tried since it was last asked for.
    pub attempts: u32,
    /// When it is tried next, while it is pending.
    pub due_at: Option<DateTime<Utc>>,
    /// The status of the last answer.
    pub response_status: Option<u16>,
    /// How the last answer begins, up to 1 KiB. It is the receiver's text: show it as such.
    pub response_excerpt: Option<String>,
    /// Why the last attempt failed: a code of `stylobate-egress`, `webhook_status`, `webhook_redirect`, `webhook_gone` …
    pub error: Option<String>,
    /// When the event was handed over.
    pub created_at: DateTime<Utc>,
    /// When it was tried last.
    pub attempted_at: Option<DateTime<Utc>>,
    /// When it was delivered or given up.
    pub finished_at: Option<DateTime<Utc>>,
    /// What is sent. Lists leave it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// Which deliveries of an endpoint to list, the newest first.
#[derive(Debug, Clone)]
pub struct DeliveryQuery {
    /// Of which endpoint.
    pub endpoint: WebhookEndpointId,
    /// Only those that are so far.
    pub state: Option<DeliveryState>,
    /// How many at most.
    pub limit: PageLimit,
    /// Where the page begins.
    pub cursor: Option<String>,
}

impl DeliveryQuery {
    /// The first page of all deliveries of `endpoint`.
    #[must_use]
    pub fn of(endpoint: WebhookEndpointId) -> Self {
        Self { endpoint, state: None, limit: PageLimit::default(), cursor: None }
    }
}

/// What is to be done about a delivery next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing: it is delivered, or was given up.
    Done,
    /// Call again after that.
    After(Duration),
    /// Nothing: the endpoint is disabled or removed, and the delivery cancelled.
    Gone,
}

macro_rules! stored_as_text {
    ($type:ty { $($variant:ident = $text:literal),* $(,)? }) => {
        impl $type {
            pub(super) fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            pub(super) fn of(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

stored_as_text!(SignatureStyle { Standard = "standard", Classic = "classic", Both = "both" });
stored_as_text!(DisabledReason { ByHand = "by_hand", Gone = "gone", Failing = "failing" });
stored_as_text!(DeliveryState {
    Pending = "pending",
    Delivered = "delivered",
    Failed = "failed",
    Cancelled = "cancelled",
});
