use std::{fmt, sync::Arc, time::Duration};

use stylobate_core::{AuditSink, Clock, MessageSender, Sealer, SystemClock};
use stylobate_db::{Db, Error};

use super::{Auth, AuthError, Counters, Inner, dummy::DummyCosts};
use crate::{
    ApiKeys, AuthConfig, ConfigProblem, ConfigProblems, CounterStore, KeyCounts, KeyRing, KeyRingConfig,
    Keys, LoginThrottle, PasswordHasher, People, Revocations, ServiceAccounts, ServiceTokenSigner,
    ServiceTokenVerifier, Signer, SqlKeys, Verifier,
    api_key::{ApiKeysParts, OwnedKeys},
    key::SealedSecrets,
    pepper::Pepper,
    seldom::Seldom,
    services::ServiceAccountsParts,
    session::KnownSessions,
};

/// Between two lines in the log about what anybody can cause.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// Puts an [`Auth`] together.
#[must_use = "nothing is made before `build`"]
pub struct AuthBuilder {
    db: Db,
    config: AuthConfig,
    sealer: Arc<dyn Sealer>,
    audit: Arc<dyn AuditSink>,
    clock: Arc<dyn Clock>,
    hasher: Option<PasswordHasher>,
    #[cfg(feature = "breach-range")]
    breach_range: Option<crate::BreachRange>,
    counters: Option<Arc<dyn CounterStore>>,
    key_counts: Option<Arc<dyn KeyCounts>>,
    messages: Option<Arc<dyn MessageSender>>,
}

impl Auth {
    /// Begins to put the service together: on `db`, whose tables [`MIGRATIONS`](crate::MIGRATIONS) makes; with
    /// `sealer` for generated keys; with `audit` for failed logins.
    pub fn builder(
        db: &Db,
        config: AuthConfig,
        sealer: Arc<dyn Sealer>,
        audit: Arc<dyn AuditSink>,
    ) -> AuthBuilder {
        AuthBuilder {
            db: db.clone(),
            config,
            sealer,
            audit,
            clock: Arc::new(SystemClock),
            hasher: None,
            #[cfg(feature = "breach-range")]
            breach_range: None,
            counters: None,
            key_counts: None,
            messages: None,
        }
    }
}

impl AuthBuilder {
    /// Where the present comes from. Default: the system's clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// What hashes passwords. Default: a hasher of its own, as the configuration says. With one that was made elsewhere, what
    /// the configuration says about hashing (`password_pepper`, `password_memory_kib`, `password_passes`,
    /// `password_stored_memory_kib_max`) has to stay at its default.
    pub fn hasher(mut self, hasher: PasswordHasher) -> Self {
        self.hasher = Some(hasher);
        self
    }

    /// Whom to ask whether a new password is known from a breach, beside the index that the configuration may name. Default:
    /// nobody.
    #[cfg(feature = "breach-range")]
    pub fn breach_range(mut self, range: crate::BreachRange) -> Self {
        self.breach_range = Some(range);
        self
    }

    /// Where failed logins are counted. Default: the tables of `db`, which costs a login least. While another store is
    /// away nobody signs in.
    pub fn counters(mut self, store: Arc<dyn CounterStore>) -> Self {
        self.counters = Some(store);
        self
    }

    /// Where processes add up how often API keys are used, so that they share one limit. Default: each process counts for itself.
    /// While the store is away each goes on from what it knew last.
    pub fn key_counts(mut self, store: Arc<dyn KeyCounts>) -> Self {
        self.key_counts = Some(store);
        self
    }

    /// What tells people that something happened to their account, for example that a refresh token of theirs was used
    /// twice (`refresh_reuse_detected`). Messages are handed over after the change, and lost with
    /// the process: where events are heard, let whoever hears `session.reuse_detected` tell them instead. Default: nothing.
    pub fn messages(mut self, messages: Arc<dyn MessageSender>) -> Self {
        self.messages = Some(messages);
        self
    }

    /// Loads or makes the keys, and loads the revocations. The service is ready then.
    ///
    /// # Errors
    /// [`AuthError::Config`] names everything that is wrong; [`AuthError::Key`] when the sealer does not open the
    /// stored keys (`kek_mismatch`); [`AuthError::Db`] for the database, with [`Error::Unclaimed`] when nobody takes its
    /// domain events: say [`without_events`](stylobate_db::DbBuilder::without_events) where nobody should.
    pub async fn build(self) -> Result<Auth, AuthError> {
        let Self {
            db,
            config,
            sealer,
            audit,
            clock,
            hasher,
            #[cfg(feature = "breach-range")]
            breach_range,
            counters,
            key_counts,
            messages,
        } = self;
        config.validate()?;
        if !db.takes_events() {
            // Found out now, and not when a stolen token must end its session and the commit is refused.
            return Err(AuthError::Db(Error::Unclaimed("domain")));
        }
        let (tokens, service_tokens) = (config.token_config(), config.service_token_config());
        let problem = |field, message: String| ConfigProblems(vec![ConfigProblem { field, message }]);
        let policy = config.password_policy().map_err(|problem| ConfigProblems(vec![problem]))?;
        #[cfg(feature = "breach-range")]
        let policy = match breach_range {
            Some(range) => policy.breach_range(range),
            None => policy,
        };
        let hasher = match hasher {
            Some(hasher) => {
                config.refuse_hashing()?;
                hasher
            }
            None => PasswordHasher::new(config.hasher_options()?),
        };

        let secrets = SealedSecrets::new(&db, Arc::clone(&sealer), Arc::clone(&clock));
        let pepper = Pepper::new(&secrets.get_or_create("auth_pepper").await?);
        let (keys, key_ring) =
            match config.operator_keys().map_err(|problem| ConfigProblems(vec![problem]))? {
                Some(set) => (Keys::new(set), None),
                None => {
                    let longest =
                        if service_tokens.lifetime > tokens.lifetime { &service_tokens } else { &tokens };
                    let ring_config =
                        KeyRingConfig { algorithm: config.algorithm, ..KeyRingConfig::for_tokens(longest) };
                    let ring = KeyRing::open(&db, sealer, Arc::clone(&clock), ring_config).await?;
                    (ring.keys().clone(), Some(ring))
                }
            };
        let unsound = |error: crate::TokenConfigProblems| problem("access tokens", error.to_string());
        let signer = Signer::new(keys.clone(), tokens.clone()).map_err(unsound)?;
        let verifier = Verifier::new(keys.clone(), tokens.clone()).map_err(unsound)?;

        let service_signer =
            ServiceTokenSigner::new(keys.clone(), service_tokens.clone()).map_err(unsound)?;
        let service_verifier =
            ServiceTokenVerifier::new(keys.clone(), service_tokens.clone()).map_err(unsound)?;

        let revocations = Revocations::new();
        let access_ttl = tokens.lifetime + 2 * tokens.leeway;
        let longest_ttl = access_ttl.max(service_tokens.lifetime + 2 * service_tokens.leeway);
        let throttle = config.throttle_config();
        let counters = match counters {
            None => Counters::Tables,
            Some(store) => Counters::Store(Arc::new(LoginThrottle::new(store, throttle.clone()))),
        };
        let owned_keys =
            OwnedKeys::new(revocations.clone(), Arc::clone(&clock), &config.api_keys, access_ttl);
        let people = People::new(
            revocations.clone(),
            Arc::clone(&clock),
            access_ttl,
            counters.clone(),
            owned_keys.clone(),
        );
        let api_keys = ApiKeys::new(ApiKeysParts {
            db: db.clone(),
            clock: Arc::clone(&clock),
            audit: Arc::clone(&audit),
            pepper: pepper.clone(),
            config: config.api_keys.clone(),
            revocations: revocations.clone(),
            told_for: access_ttl,
            entries: config.token_cache_entries,
            counts: key_counts,
        });
        let service_accounts = ServiceAccounts::new(ServiceAccountsParts {
            db: db.clone(),
            clock: Arc::clone(&clock),
            audit: Arc::clone(&audit),
            revocations: revocations.clone(),
            signer: service_signer,
            keys: owned_keys,
            told_for: longest_ttl,
        });
        let inner = Inner {
            api_keys,
            service_accounts,
            service_keys: SqlKeys::new(db.clone(), revocations.clone(), config.token_cache_entries),
            throttle,
            counters,
            session_limits: config.session_limits(),
            known_sessions: KnownSessions::new(config.token_cache_entries),
            unwritten_uses: Seldom::new(SAY_EVERY),
            unusable_hashes: Seldom::new(SAY_EVERY),
            policy,
            hasher,
            dummy_costs: DummyCosts::default(),
            pepper,
            keys,
            key_ring,
            signer,
            verifier,
            service_verifier,
            revocations,
            people,
            access_ttl,
            longest_ttl,
            db,
            clock,
            audit,
            messages,
            config,
        };
        let auth = Auth { inner: Arc::new(inner) };
        auth.load_revocations().await?;
        auth.begin_counting_costs().await?;
        Ok(auth)
    }
}

impl fmt::Debug for AuthBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthBuilder")
            .field("db", &self.db)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
