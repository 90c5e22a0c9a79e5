use crate::SettingsInvalid;

/// Why the platform did not start. The message says what to change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Settings are missing, weak or contradictory.
    #[error(transparent)]
    Settings(#[from] SettingsInvalid),
    /// The database did not do what the start needs.
    #[error("the database cannot be used")]
    Db(#[from] stylobate_db::Error),
    /// A key cannot be used: the code says which.
    #[error("the keys cannot be used")]
    Key(#[from] stylobate_auth::KeyError),
    /// Authentication could not be set up.
    #[error("authentication cannot be set up")]
    Auth(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Organisations could not be set up.
    #[error("organisations cannot be set up")]
    Tenancy(#[from] stylobate_tenancy::Error),
    /// Roles and permissions could not be set up.
    #[error("roles and permissions cannot be set up")]
    Rbac(#[from] stylobate_rbac::RbacError),
    /// The catalogue of permissions contradicts itself.
    #[error("the permissions contradict each other")]
    Catalogue(#[from] stylobate_rbac::CatalogueInvalid),
    /// Events could not be set up.
    #[error("events cannot be set up")]
    Events(#[from] stylobate_events::EventsError),
    /// The client for webhooks could not be set up.
    #[cfg(feature = "webhooks")]
    #[error("webhooks cannot be set up")]
    Webhooks(#[from] stylobate_egress::Error),
    /// Messages could not be set up.
    #[cfg(feature = "notify")]
    #[error("messages cannot be set up")]
    Messages(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Logs or metrics could not be set up.
    #[error("logs or metrics cannot be set up")]
    Observability(#[from] stylobate_observability::Error),
    /// The table of paths contradicts itself.
    #[error("the table of paths contradicts itself")]
    Paths(#[from] stylobate_endpoints::PathTableInvalid),
    /// A layer could not be set up from the settings.
    #[error("the HTTP layers cannot be set up")]
    Middleware(#[from] stylobate_tower_middleware::Error),
    /// A file or socket could not be used.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it did not work.
        #[source]
        source: std::io::Error,
    },
}

impl StartError {
    /// The stable code of the situation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Settings(_) => "settings_invalid",
            Self::Db(error) => error.code(),
            Self::Key(error) => error.code(),
            Self::Auth(_) => "auth_setup",
            Self::Tenancy(error) => error.code(),
            Self::Rbac(error) => error.code(),
            Self::Catalogue(_) => "catalogue_invalid",
            Self::Events(error) => error.code(),
            #[cfg(feature = "webhooks")]
            Self::Webhooks(error) => error.code(),
            #[cfg(feature = "notify")]
            Self::Messages(_) => "messages_setup",
            Self::Observability(error) => error.code(),
            Self::Paths(_) => "paths_invalid",
            Self::Middleware(error) => error.code(),
            Self::Io { .. } => "io",
        }
    }
}
