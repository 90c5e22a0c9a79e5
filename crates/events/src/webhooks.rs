//! Events for programs of others, over HTTPS.

#[cfg(feature = "webhooks")]
mod attempt;
#[cfg(feature = "webhooks")]
mod deliveries;
#[cfg(feature = "webhooks")]
mod endpoints;
#[cfg(feature = "webhooks")]
mod error;
#[cfg(feature = "webhooks")]
mod fan_out;
#[cfg(feature = "webhooks")]
mod filter;
#[cfg(feature = "webhooks")]
mod model;
#[cfg(feature = "webhooks")]
mod outcome;
#[cfg(feature = "webhooks")]
mod sealed;
#[cfg(feature = "webhooks")]
mod service;
#[cfg(feature = "webhooks")]
mod store;
#[cfg(feature = "webhooks")]
mod upkeep;

#[cfg(feature = "webhooks")]
pub use error::WebhooksError;
#[cfg(feature = "webhooks")]
pub use fan_out::{Dispatch, Dispatched};
#[cfg(feature = "webhooks")]
pub use model::{
    DeliveryQuery, DeliveryState, DisabledReason, EndpointChange, EndpointQuery, NewEndpoint, Next,
    SignatureStyle, WebhookDelivery, WebhookEndpoint,
};
#[cfg(feature = "webhooks")]
pub use outcome::ATTEMPTS_MAX;
#[cfg(feature = "webhooks")]
pub use service::{ENDPOINTS_MAX, Webhooks};
pub use stylobate_egress::{
    Rejected, SecretInvalid, TOLERANCE, WebhookHeaders, WebhookMessageId, WebhookSecret, verify,
};
