#![doc = include_str!("../README.md")]

mod auth_setup;
mod background;
mod error;
mod event_types;
mod extensions;
mod hearing;
#[cfg(feature = "notify")]
mod messaging;
mod org_codes;
mod platform;
mod router;
#[cfg(feature = "server")]
mod server;
mod settings;
mod subjects;

pub use background::Handles;
pub use error::StartError;
pub use event_types::{default_event_types, object_schema};
pub use extensions::Extensions;
#[cfg(feature = "notify")]
pub use messaging::{MESSAGE_QUEUE, USER_DELETED, default_message_kinds};
pub use platform::{Platform, PlatformBuilder, migration_sets};
pub use router::{Paths, REQUEST_TIMEOUT};
#[cfg(feature = "server")]
pub use server::serve;
#[cfg(feature = "notify")]
pub use settings::MessageSettings;
pub use settings::{
    Environment, EventSettings, RbacEngine, Setting, SettingProblem, Settings, SettingsInvalid, Source,
    SourceKind, TokenSigning, settings_table,
};

pub use axum;
pub use stylobate_audit as audit;
pub use stylobate_auth as auth;
pub use stylobate_core as core;
pub use stylobate_db as db;
pub use stylobate_endpoints as endpoints;
pub use stylobate_events as events;
pub use stylobate_jobs as jobs;
#[cfg(feature = "notify")]
pub use stylobate_notify as notify;
pub use stylobate_observability as observability;
pub use stylobate_rbac as rbac;
pub use stylobate_tenancy as tenancy;
pub use stylobate_tower_middleware as middleware;

/// The version of the platform.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The optional parts that are compiled in.
#[must_use]
pub fn features() -> &'static [&'static str] {
    &[
        #[cfg(feature = "casbin")]
        "casbin",
        #[cfg(feature = "legacy-hashes")]
        "legacy-hashes",
        #[cfg(feature = "metrics")]
        "metrics",
        #[cfg(feature = "notify")]
        "notify",
        #[cfg(feature = "postgres")]
        "postgres",
        #[cfg(feature = "rabbitmq")]
        "rabbitmq",
        #[cfg(feature = "redis")]
        "redis",
        #[cfg(feature = "server")]
        "server",
        #[cfg(feature = "sqlite")]
        "sqlite",
        #[cfg(feature = "webhooks")]
        "webhooks",
        #[cfg(feature = "zxcvbn")]
        "zxcvbn",
    ]
}
