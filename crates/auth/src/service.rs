//! The service: signing in and out, over the stores and decisions of the other modules.

mod authenticate;
mod background;
mod bootstrap;
mod builder;
mod cookie;
mod credentials;
mod dummy;
mod email;
mod error;
mod guessing;
mod introspection;
mod invitation;
mod login;
mod one_time;
mod password;
mod recovery;
mod refresh;
mod registration;
mod removal;
mod session;
mod session_admin;
mod setup;
mod step_up;
mod switch;
mod tenant_end;
mod tenant_rows;
mod told;

use std::{fmt, sync::Arc, time::Duration};

use stylobate_core::{AuditEvent, AuditSink, Clock, MessageSender};
use stylobate_db::{Db, Scope};

use crate::{
    ApiKeys, AuthConfig, KeyRing, Keys, PasswordHasher, PasswordPolicy, People, Revocations, ServiceAccounts,
    ServiceTokenVerifier, SessionLimits, Signer, SqlKeys, ThrottleConfig, Verifier, pepper::Pepper,
    seldom::Seldom, session::KnownSessions,
};

pub use background::Swept;
pub use builder::AuthBuilder;
pub use error::{AuthError, AuthenticateError};
pub(crate) use guessing::Counters;
pub use introspection::{LiveToken, LiveTokenKind, RevocableToken};
pub use login::VerifiedPerson;
pub use password::ChangedPassword;
pub use session::{AdmittedPerson, TokenPair};
pub use setup::SetupToken;
pub use step_up::RenewedSession;
pub use tenant_end::TenantEnded;

/// These tables are read before any tenant is known.
const SCOPE: Scope = Scope::Platform("sign-in");

/// Signs people in and out, renews and checks their tokens. Clone it freely, all clones are one service.
///
/// Make it with [`Auth::builder`], and let [`Auth::run`] run beside the server.
#[derive(Clone)]
pub struct Auth {
    inner: Arc<Inner>,
}

struct Inner {
    db: Db,
    clock: Arc<dyn Clock>,
    audit: Arc<dyn AuditSink>,
    /// Absent when people cannot be told anything.
    messages: Option<Arc<dyn MessageSender>>,
    config: AuthConfig,
    throttle: ThrottleConfig,
    counters: Counters,
    policy: PasswordPolicy,
    hasher: PasswordHasher,
    dummy_costs: dummy::DummyCosts,
    pepper: Pepper,
    keys: Keys,
    /// Absent when the operator supplies the keys.
    key_ring: Option<KeyRing>,
    signer: Signer,
    verifier: Verifier,
    service_verifier: ServiceTokenVerifier,
    revocations: Revocations,
    people: People,
    api_keys: ApiKeys,
    service_accounts: ServiceAccounts,
    service_keys: SqlKeys,
    session_limits: SessionLimits,
    known_sessions: KnownSessions,
    /// Uses of sessions that could not be written, for the log.
    unwritten_uses: Seldom,
    /// Rows of passwords that cannot be verified, for the log.
    unusable_hashes: Seldom,
    /// How long an access token can still be accepted after it was issued: its lifetime and the clocks' disagreement.
    access_ttl: Duration,
    /// The same of any token, those of services included.
    longest_ttl: Duration,
}

impl Auth {
    /// The people it signs in.
    #[must_use]
    pub fn people(&self) -> &People {
        &self.inner.people
    }

    /// The keys that programs present.
    #[must_use]
    pub fn api_keys(&self) -> &ApiKeys {
        &self.inner.api_keys
    }

    /// The programs that have accounts of their own.
    #[must_use]
    pub fn service_accounts(&self) -> &ServiceAccounts {
        &self.inner.service_accounts
    }

    /// The keys with which service accounts sign requests, for a [`RequestVerifier`](crate::RequestVerifier).
    #[must_use]
    pub fn service_keys(&self) -> &SqlKeys {
        &self.inner.service_keys
    }

    /// What has been revoked, as this process knows it.
    #[must_use]
    pub fn revocations(&self) -> &Revocations {
        &self.inner.revocations
    }

    /// The keys that sign and verify access tokens.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.inner.keys
    }

    /// The ring of generated keys, to rotate and to list them; `None` when the operator supplies the keys.
    #[must_use]
    pub fn key_ring(&self) -> Option<&KeyRing> {
        self.inner.key_ring.as_ref()
    }

    /// What hashes passwords, for its statistics.
    #[must_use]
    pub fn hasher(&self) -> &PasswordHasher {
        &self.inner.hasher
    }

    /// How it is configured.
    #[must_use]
    pub fn config(&self) -> &AuthConfig {
        &self.inner.config
    }

    /// Records a fact without a change. That it cannot be recorded does not change the answer, which is a refusal
    /// anyway.
    async fn record(&self, event: AuditEvent) {
        let action = event.action;
        if let Err(error) = self.inner.audit.record(event).await {
            tracing::error!(
                action,
                error = &error as &dyn std::error::Error,
                "an audit event could not be stored"
            );
        }
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth")
            .field("db", &self.inner.db)
            .field("config", &self.inner.config)
            .field("revocations", &self.inner.revocations)
            .finish_non_exhaustive()
    }
}
