//! What an operator can set, where each value came from, and everything that is wrong with it at once.

mod composed;
mod parse;
mod source;
pub(crate) mod table;

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use secrecy::SecretString;
use stylobate_auth::{ApiKeyConfig, SigningAlgorithm};
use stylobate_endpoints::Registration;
#[cfg(feature = "notify")]
use stylobate_notify::{Budgets, ChatHosts, DkimKey, Mailbox, SmsGateway, SmtpTransport};
use stylobate_tower_middleware::RefreshCookie;

use crate::StartError;

pub use source::{Source, SourceKind};
pub use table::{Setting, settings_table};

/// Where the platform runs: decides how strict the start is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Environment {
    /// A developer's machine. The default.
    #[default]
    Development,
    /// A test run.
    Test,
    /// Serving people: weak or contradictory values stop the start.
    Production,
}

/// What decides about permissions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RbacEngine {
    /// The platform's own engine. The default.
    #[default]
    Native,
    /// casbin, on the same rows. Slower by far; for those who compare, or come from it. Needs the feature `casbin`.
    Casbin,
}

/// How access tokens are signed.
#[derive(Debug, Clone)]
pub enum TokenSigning {
    /// `EdDSA` (the default), `ES256` or `ES384` with keys the platform makes and rotates itself, sealed in the database.
    Generated(SigningAlgorithm),
    /// `HS256`, `HS384` or `HS512` with a secret that verifiers share, as long as the digest or longer.
    Secret(SigningAlgorithm, SecretString),
    /// Any other algorithm, with the operator's key (PEM).
    PrivateKey(SigningAlgorithm, SecretString),
}

impl Default for TokenSigning {
    fn default() -> Self {
        Self::Generated(SigningAlgorithm::default())
    }
}

/// How events reach others.
#[derive(Debug, Clone)]
pub struct EventSettings {
    /// The RabbitMQ that they are published to. Needs the feature `rabbitmq`.
    pub amqp_url: Option<SecretString>,
    /// Certificates in PEM that sign the broker's, besides those of the public authorities.
    pub amqp_ca: Option<String>,
    /// Whether an event for which the broker has no queue is forgotten instead of kept.
    pub discard_unroutable: bool,
    /// How long they are kept once everybody has them.
    pub kept: Duration,
    /// How long deliveries that were given up are kept, with their events.
    pub dead_letters_kept: Duration,
    /// How long the log of webhook deliveries is kept.
    pub webhook_deliveries_kept: Duration,
    /// The private networks that webhooks may go to.
    pub webhook_networks: Vec<ipnet::IpNet>,
    /// Whether webhooks may go to plain `http://` addresses.
    pub insecure_webhook_http: bool,
}

#[cfg(any(feature = "notify", feature = "webhooks"))]
impl EventSettings {
    /// What asks webhooks, chats and gateways for short messages: at public addresses, and those that the operator allows.
    pub(crate) fn client(&self) -> Result<stylobate_egress::Client, stylobate_egress::Error> {
        use stylobate_egress::{AddressPolicy, Client};

        let mut policy = AddressPolicy::public().allow(self.webhook_networks.iter().copied());
        if self.insecure_webhook_http {
            policy = policy.insecure_allow_http();
        }
        Client::builder(policy).build()
    }
}

/// How messages reach people.
#[cfg(feature = "notify")]
#[derive(Debug, Clone)]
pub struct MessageSettings {
    /// The mail server.
    pub smtp: Option<SmtpTransport>,
    /// From whom mails are. There is somebody where there is a mail server.
    pub mail_from: Option<Mailbox>,
    /// What signs mails.
    pub dkim: Option<DkimKey>,
    /// The gateway for short messages.
    pub sms: Option<SmsGateway>,
    /// Which hosts chats may be at.
    pub hosts: ChatHosts,
    /// How much one recipient is sent at most.
    pub budgets: Budgets,
    /// How long the log of deliveries is kept.
    pub deliveries_kept: Duration,
}

/// Everything an operator can set. Made from the environment by [`Settings::from_env`]; the names, defaults and ranges
/// are in [`settings_table`] and `docs/configuration.md`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it runs.
    pub environment: Environment,
    /// Where it listens.
    pub bind_address: SocketAddr,
    /// The address people know it by; links are built from it and from nothing else.
    pub public_url: Option<url::Url>,
    /// What people call it. No password may contain it.
    pub service_name: String,
    /// Where it keeps files.
    pub data_dir: PathBuf,
    /// How many threads run requests; one per core unless set.
    pub worker_threads: Option<usize>,
    /// The database.
    pub database_url: SecretString,
    /// The database as the owner of its tables; the same as `database_url` unless set.
    pub database_migration_url: Option<SecretString>,
    /// Most database connections at once.
    pub database_connections: u32,
    /// A Redis server in which processes share counts.
    pub redis_url: Option<SecretString>,
    /// The key-encryption key itself, instead of the file in `data_dir`.
    pub key_encryption_key: Option<SecretString>,
    /// How access tokens are signed.
    pub signing: TokenSigning,
    /// The public half of the operator's key, which has to belong to the private one.
    pub public_key: Option<String>,
    /// The public half of the key that signed before, which is accepted as well.
    pub previous_public_key: Option<String>,
    /// The issuer in access tokens.
    pub issuer: Option<String>,
    /// The audience in access tokens.
    pub audience: Option<String>,
    /// How long an access token is good for.
    pub access_ttl: Duration,
    /// How long a session can be refreshed.
    pub refresh_ttl: Duration,
    /// Without a request for this long a session that a cookie carries ends.
    pub session_idle: Duration,
    /// Such a session ends this long after its sign-in.
    pub session_absolute: Duration,
    /// How many sessions of one person live at once; above, the oldest end.
    pub sessions_max: u32,
    /// The cookie that carries refresh tokens, when one does.
    pub refresh_cookie: Option<RefreshCookie>,
    /// After how many wrong passwords of one client it waits before it tries the same account again.
    pub login_attempts_max: u32,
    /// After how many wrong passwords of all clients together an account waits; four times as many unless set.
    pub login_strangers_max: Option<u32>,
    /// How many mailed links an address may ask for within five minutes.
    pub flow_address_max: u32,
    /// How many minutes a link that resets a password is good.
    pub password_reset_ttl_minutes: u32,
    /// How many hours a link that proves an e-mail address is good.
    pub email_link_ttl_hours: u32,
    /// How many days an invitation is good.
    pub invitation_ttl_days: u32,
    /// Who may ask for an account.
    pub registration: Registration,
    /// The name of the role that newcomers get.
    pub registration_role: String,
    /// After how many wrong passwords for whatever accounts an address waits.
    pub login_address_max: u32,
    /// How long either waits at first.
    pub login_lockout: Duration,
    /// What API keys are given; in production they begin with `sb_live_`, elsewhere with `sb_test_`.
    pub api_keys: ApiKeyConfig,
    /// How many minutes the token of a service lives.
    pub service_token_ttl_minutes: u32,
    /// The fewest characters of a password.
    pub password_chars_min: u16,
    /// The memory that a new password hash costs.
    pub password_memory_kib: u32,
    /// How often a new password hash goes over it.
    pub password_passes: u32,
    /// The secrets that password hashes are keyed with.
    pub password_pepper: Option<SecretString>,
    /// The least strength of a new password, estimated; 0 asks nothing.
    pub password_strength_min: u8,
    /// The index of breached passwords.
    pub password_breach_index: Option<PathBuf>,
    /// Whether there are several organisations.
    pub multi_tenant: bool,
    /// The organisation that every installation has.
    pub default_org_id: Option<uuid::Uuid>,
    /// Its code, the short name in addresses.
    pub default_org_code: String,
    /// Its name.
    pub default_org_name: String,
    /// Origins that browsers may call from.
    pub cors_origins: Vec<String>,
    /// Networks whose forwarding headers are believed.
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// How many proxies in a row are believed at most.
    pub proxies_max: Option<u8>,
    /// Whether `Strict-Transport-Security` is sent.
    pub hsts: bool,
    /// The token that scrapers of `/metrics` present.
    pub metrics_token: Option<SecretString>,
    /// What programs of the operator present instead of signing in, on the routes that take it.
    pub internal_secret: Option<SecretString>,
    /// What lets whoever presents it make organisations, each with an administrator.
    pub bootstrap_secret: Option<SecretString>,
    /// What decides about permissions.
    pub rbac_engine: RbacEngine,
    /// Whether the server works on background jobs itself.
    pub worker_in_server: bool,
    /// Whether the server follows the schedules itself.
    pub scheduler_in_server: bool,
    /// How many jobs of each queue a process runs at once.
    pub worker_concurrency: usize,
    /// How long a job stays with a worker that nothing is heard of.
    pub job_lease: Duration,
    /// How events reach others.
    pub events: EventSettings,
    /// How messages reach people.
    #[cfg(feature = "notify")]
    pub messages: MessageSettings,
    /// Whether the API documents are open to everybody.
    pub docs_public: bool,
    /// What is logged, in the syntax of `tracing-subscriber`.
    pub log_level: String,
    /// Whether logs are JSON.
    pub log_json: bool,
    sources: Vec<Source>,
    ignored: Vec<String>,
}

/// Everything that is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct SettingsInvalid {
    /// One entry per wrong value.
    pub problems: Vec<SettingProblem>,
}

/// What is wrong with one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingProblem {
    /// The name it was set by, or its canonical name.
    pub name: String,
    /// What is wrong. Never repeats a secret.
    pub problem: String,
}

impl fmt::Display for SettingsInvalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration has {} problems", self.problems.len())?;
        for SettingProblem { name, problem } in &self.problems {
            write!(f, "\n  {name}: {problem}")?;
        }
        Ok(())
    }
}

impl Settings {
    /// The name that an operator used for a setting, or the one in the documentation.
    pub(crate) fn name_of(&self, key: &'static str) -> &str {
        let documented = || {
            let setting = settings_table().iter().find(|setting| setting.key == key);
            setting.and_then(|setting| setting.aliases.first()).copied()
        };
        let used = self.sources.iter().find(|source| source.key == key).map(|source| source.name.as_str());
        used.or_else(documented).unwrap_or(key)
    }

    /// Reads the process environment: canonical names `STYLOBATE_<SECTION>__<KEY>`, their short aliases, and files in
    /// `/run/secrets` called like either.
    ///
    /// # Errors
    /// [`SettingsInvalid`] with every problem at once.
    pub fn from_env() -> Result<Self, SettingsInvalid> {
        Self::from_env_prefix("")
    }

    /// As [`from_env`](Self::from_env), and every short name may also be spelled with `prefix` in front; the prefixed
    /// spelling wins.
    ///
    /// # Errors
    /// [`SettingsInvalid`] with every problem at once.
    pub fn from_env_prefix(prefix: &str) -> Result<Self, SettingsInvalid> {
        Self::from_pairs(
            prefix,
            std::env::vars_os().filter_map(|(name, value)| {
                // A value that is not Unicode cannot be meant for us.
                Some((name.into_string().ok()?, value.into_string().ok()?))
            }),
        )
    }

    /// Reads name and value pairs instead of the process environment.
    ///
    /// # Errors
    /// [`SettingsInvalid`] with every problem at once.
    pub fn from_pairs(
        prefix: &str,
        pairs: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, SettingsInvalid> {
        parse::parse(source::Values::new(prefix, pairs))
    }

    /// The settings that were given, and where each came from.
    #[must_use]
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Names that an older system used and this version has no use for: worth a warning.
    #[must_use]
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// Makes the folder of [`data_dir`](Self::data_dir), for this user alone. A folder that exists stays as it is.
    ///
    /// # Errors
    /// [`StartError::Io`] when it cannot be made.
    pub fn make_data_dir(&self) -> Result<(), StartError> {
        let mut folder = std::fs::DirBuilder::new();
        folder.recursive(true);
        // Keys and password hashes live here: nobody else on the machine has to look in.
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
        folder.create(&self.data_dir).map_err(|source| StartError::Io {
            what: format!("the folder `{}` cannot be made", self.data_dir.display()),
            source,
        })
    }

    /// Whether it serves people.
    #[must_use]
    pub fn is_production(&self) -> bool {
        self.environment == Environment::Production
    }
}
