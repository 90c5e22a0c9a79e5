use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stylobate::events::{
    DeliveryState, DisabledReason, EndpointChange, NewEndpoint, SignatureStyle, WebhookDelivery,
    WebhookEndpoint, WebhookSecret,
};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// A webhook.
#[derive(Serialize, ToSchema)]
pub(super) struct WebhookView {
    id: Uuid,
    /// Where messages are sent.
    url: String,
    description: String,
    /// What is sent: types, `user.*` for all that begin so, `*` for all.
    events: Vec<String>,
    /// `standard` (Standard Webhooks), `classic` (`X-Webhook-Signature`) or `both`.
    #[schema(value_type = String)]
    signature: SignatureStyle,
    is_active: bool,
    /// Why nothing is sent: `by_hand`, `gone` (the receiver answered 410) or `failing` (for five days).
    #[schema(value_type = Option<String>)]
    disabled_reason: Option<DisabledReason>,
    /// Since when every attempt has failed.
    failing_since: Option<DateTime<Utc>>,
    /// Until when messages are signed with the secret before as well.
    previous_secret_until: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<WebhookEndpoint> for WebhookView {
    fn from(endpoint: WebhookEndpoint) -> Self {
        Self {
            id: endpoint.id.as_uuid(),
            url: endpoint.url,
            description: endpoint.description,
            events: endpoint.types,
            signature: endpoint.signature,
            is_active: endpoint.is_enabled,
            disabled_reason: endpoint.disabled_reason,
            failing_since: endpoint.failing_since,
            previous_secret_until: endpoint.previous_secret_until,
            created_at: endpoint.created_at,
            updated_at: endpoint.updated_at,
        }
    }
}

/// A webhook with the secret that its messages are signed with. It is shown this once.
#[derive(Serialize, ToSchema)]
pub(super) struct WebhookWithSecretView {
    #[serde(flatten)]
    webhook: WebhookView,
    /// `whsec_…`: give it to the receiver.
    secret: String,
}

impl WebhookWithSecretView {
    pub(super) fn new(endpoint: WebhookEndpoint, secret: &WebhookSecret) -> Self {
        Self { webhook: endpoint.into(), secret: secret.expose().to_owned() }
    }
}

/// A webhook to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookInput {
    /// Where messages are sent: `https` on the public internet.
    url: String,
    #[serde(default)]
    description: String,
    /// What is sent; everything unless given.
    #[serde(default = "everything")]
    events: Vec<String>,
    /// `standard` unless given.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    signature: SignatureStyle,
}

fn everything() -> Vec<String> {
    vec!["*".to_owned()]
}

impl From<WebhookInput> for NewEndpoint {
    fn from(input: WebhookInput) -> Self {
        Self {
            url: input.url,
            description: input.description,
            types: input.events,
            signature: input.signature,
        }
    }
}

/// What changes about a webhook; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
pub(super) struct WebhookPatch {
    url: Option<String>,
    description: Option<String>,
    events: Option<Vec<String>>,
    #[schema(value_type = Option<String>)]
    signature: Option<SignatureStyle>,
    /// `false` stops it, and what comes due meanwhile is cancelled; `true` lets it begin anew.
    is_active: Option<bool>,
}

impl From<WebhookPatch> for EndpointChange {
    fn from(patch: WebhookPatch) -> Self {
        Self {
            url: patch.url,
            description: patch.description,
            types: patch.events,
            signature: patch.signature,
            is_enabled: patch.is_active,
        }
    }
}

/// How a secret is replaced.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RotateInput {
    /// How long messages are signed with the secret before as well: 0 to 604800, 86400 unless given.
    pub(super) overlap_seconds: Option<u64>,
}

/// One message to a webhook, and what came of it.
#[derive(Serialize, ToSchema)]
pub(super) struct WebhookDeliveryView {
    id: Uuid,
    webhook_id: Uuid,
    /// What receivers see as `webhook-id`.
    event_id: Uuid,
    /// The type of the event.
    event: String,
    /// `pending`, `delivered`, `failed` or `cancelled`.
    #[schema(value_type = String)]
    status: DeliveryState,
    /// How often it was tried since it was last asked for.
    attempts: u32,
    /// When it is tried next.
    due_at: Option<DateTime<Utc>>,
    /// The status of the last answer.
    response_code: Option<u16>,
    /// How the last answer begins.
    response_body: Option<String>,
    /// Why the last attempt failed.
    error: Option<String>,
    created_at: DateTime<Utc>,
    attempted_at: Option<DateTime<Utc>>,
    /// When it was delivered or given up.
    finished_at: Option<DateTime<Utc>>,
    /// What is sent. Lists leave it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Value>,
}

impl From<WebhookDelivery> for WebhookDeliveryView {
    fn from(delivery: WebhookDelivery) -> Self {
        Self {
            id: delivery.id.as_uuid(),
            webhook_id: delivery.endpoint_id.as_uuid(),
            event_id: delivery.event_id.as_uuid(),
            event: delivery.kind,
            status: delivery.state,
            attempts: delivery.attempts,
            due_at: delivery.due_at,
            response_code: delivery.response_status,
            response_body: delivery.response_excerpt,
            error: delivery.error,
            created_at: delivery.created_at,
            attempted_at: delivery.attempted_at,
            finished_at: delivery.finished_at,
            payload: delivery.body.map(|body| serde_json::from_str(&body).unwrap_or(Value::String(body))),
        }
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct DeliveryFilter {
    /// `pending`, `delivered`, `failed` or `cancelled`.
    #[param(value_type = Option<String>)]
    #[serde(default)]
    pub(super) status: Option<DeliveryState>,
}
