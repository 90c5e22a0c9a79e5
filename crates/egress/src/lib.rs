#![doc = include_str!("../README.md")]

#[cfg(feature = "client")]
mod answer;
#[cfg(feature = "client")]
mod client;
#[cfg(feature = "client")]
mod connect;
mod error;
#[cfg(feature = "client")]
mod lookup;
mod policy;
mod signature;
mod target;
#[cfg(feature = "client")]
mod tls;

#[cfg(feature = "client")]
pub use answer::{Answer, Ending};
#[cfg(feature = "client")]
pub use client::{Client, ClientBuilder, Limits, Request};
pub use error::Error;
pub use http;
pub use ipnet::IpNet;
#[cfg(feature = "client")]
pub use lookup::{Lookup, SystemLookup};
pub use policy::{AddressPolicy, Forbidden};
pub use signature::{
    Rejected, SecretInvalid, TOLERANCE, WEBHOOK_ID_HEADER, WEBHOOK_SIGNATURE_HEADER,
    WEBHOOK_TIMESTAMP_HEADER, WebhookHeaders, WebhookMessageId, WebhookSecret, classic_signature, signatures,
    verify,
};
pub use target::{Target, TargetInvalid, URL_CHARS_MAX};
