use std::{fmt, path::PathBuf, time::Duration};

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer};

use crate::{
    ApiKeyConfig, BreachIndex, HashParams, HasherOptions, KeyError, KeySet, PasswordError, PasswordPeppers,
    PasswordPolicy, SessionLimits, SigningAlgorithm, SigningKey, ThrottleConfig, TokenConfig, VerifyingKey,
};

/// The range of memory costs.
const MEMORY_KIB: (u64, u64) = (HashParams::MEMORY_KIB_MIN as u64, HashParams::MEMORY_KIB_MAX as u64);

/// How people sign in, and what they are given.
///
/// Every field has a default. Unknown fields are refused. [`validate`](Self::validate) names everything that is wrong
/// at once; [`Auth`](crate::Auth) calls it and does not start on a problem.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// `iss` of access tokens: who issues them. Default `stylobate`; in production an `https://` address.
    pub issuer: String,
    /// `aud` of access tokens: whom they are for. Default `stylobate`.
    pub audience: String,
    /// How long an access token lives, in minutes; 1 to 60, default 15.
    pub access_ttl_minutes: u32,
    /// How long a session can be renewed by refresh tokens, in days, however often it is; 1 to 365, default 30.
    pub refresh_ttl_days: u32,
    /// Without a request for this long a session that a cookie carries ends, in minutes; 1 to 1,440, default 60. It may end
    /// up to a minute early, because its use is written once a minute.
    pub session_idle_minutes: u32,
    /// A session that a cookie carries ends this long after its sign-in, in hours; 1 to 720, default 24.
    pub session_absolute_hours: u32,
    /// How many verified tokens, and cookie sessions, a process remembers; 1 to 1,000,000, default 10,000, roughly 1 KiB each.
    pub token_cache_entries: usize,
    /// How many sessions a person has at once; the oldest makes room for the next. 1 to 1,000, default 20.
    pub sessions_max: u32,
    /// Failed logins in a row of one client on one account, or of one known device, until it is locked; 1 to 20,
    /// default 5.
    pub login_attempt_limit: u32,
    /// Failed logins in a row of all strangers on one account, until it is locked for strangers; at least
    /// `login_attempt_limit` and at most 80, default four times `login_attempt_limit`.
    pub login_strangers_limit: Option<u32>,
    /// How long the first such lock lasts, in minutes; 1 to 1,440, default 15. Each further round lasts twice as long.
    pub login_lockout_minutes: u32,
    /// Failed logins of one address within the lockout time, until it is locked as well; 1 to 10,000, default 100.
    pub login_address_limit: u32,
    /// Requests of one client for a mailed link within five minutes, whoever for; 1 to 10,000, default 20: an office behind one
    /// address stays below, and nobody fills the queue of mails.
    pub flow_address_limit: u32,
    /// How long a link that resets a password is good, in minutes; 60 to 1,440, default 60. Not shorter than the hour in which an
    /// account is sent five: whoever asks in its name must not keep its owner without one.
    pub password_reset_ttl_minutes: u32,
    /// How long a link that proves an e-mail address is good, in hours; 1 to 168, default 24.
    pub email_link_ttl_hours: u32,
    /// The least characters of a new password that is the only factor; 15 to 64, default 15.
    pub password_min_length: u32,
    /// The memory that a new password hash costs, in KiB; 19,456 to 1,048,576, default 19,456. The control plane's
    /// command `calibrate-passwords` measures what a machine can afford.
    pub password_memory_kib: u32,
    /// The passes of a new password hash over that memory; 2 to 32, default 2.
    pub password_passes: u32,
    /// The memory that a stored password hash may ask for, in KiB; 19,456 to 1,048,576, default 65,536. Hashes of replaced systems may
    /// need more: Django's Argon2 has 102,400, scrypt as OWASP advises 131,073.
    pub password_stored_memory_kib_max: u32,
    /// The secrets that password hashes are keyed with, as [`PasswordPeppers::parse`] reads them; default none.
    #[serde(deserialize_with = "secret")]
    pub password_pepper: Option<SecretString>,
    /// The least score of a new password by zxcvbn; 0 to 4, default 0, which asks nothing. Needs the feature `zxcvbn`.
    pub password_strength_min: u8,
    /// The file of a [`BreachIndex`](crate::BreachIndex) whose passwords are refused; default none.
    pub password_breach_index: Option<PathBuf>,
    /// What access tokens are signed with; default `EdDSA`. With `secret` or `private_key` it says what those are for.
    /// Without either, keys of `EdDSA`, `ES256` and `ES384` are generated and kept in the database, sealed.
    #[serde(deserialize_with = "algorithm")]
    pub algorithm: SigningAlgorithm,
    /// The secret of `HS256`, `HS384` or `HS512`, at least 32, 48 or 64 bytes.
    #[serde(deserialize_with = "secret")]
    pub secret: Option<SecretString>,
    /// The private key of any other algorithm, as PEM. `\n` may stand for line breaks.
    #[serde(deserialize_with = "secret")]
    pub private_key: Option<SecretString>,
    /// The public half of `private_key`, as PEM, for operators who want to be sure that both belong together.
    pub public_key: Option<String>,
    /// A public key whose tokens are accepted as well, as PEM: the one that signed before `private_key` did, for as long as
    /// its tokens live. A shared secret has no such overlap.
    pub previous_public_key: Option<String>,
    /// What the service is called by those who use it. No password may contain it.
    pub service_name: Option<String>,
    /// What API keys are given.
    pub api_keys: ApiKeyConfig,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            issuer: "stylobate".to_owned(),
            audience: "stylobate".to_owned(),
            access_ttl_minutes: 15,
            refresh_ttl_days: 30,
            session_idle_minutes: 60,
            session_absolute_hours: 24,
            token_cache_entries: 10_000,
            sessions_max: 20,
            login_attempt_limit: 5,
            login_strangers_limit: None,
            login_lockout_minutes: 15,
            login_address_limit: 100,
            flow_address_limit: 20,
            password_reset_ttl_minutes: 60,
            email_link_ttl_hours: 24,
            password_min_length: 15,
            password_memory_kib: HashParams::MEMORY_KIB_MIN,
            password_passes: HashParams::PASSES_MIN,
            password_stored_memory_kib_max: 64 * 1024,
            password_pepper: None,
            password_strength_min: 0,
            password_breach_index: None,
            algorithm: SigningAlgorithm::EdDsa,
            secret: None,
            private_key: None,
            public_key: None,
            previous_public_key: None,
            service_name: None,
            api_keys: ApiKeyConfig::default(),
        }
    }
}

/// What is wrong with one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// The field.
    pub field: &'static str,
    /// What is wrong with it. Never repeats a secret.
    pub message: String,
}

/// Everything that is wrong with an [`AuthConfig`]; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblems(pub Vec<ConfigProblem>);

impl fmt::Display for ConfigProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}`{}` {}", problem.field, problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigProblems {}

impl AuthConfig {
    /// Checks all values.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn validate(&self) -> Result<(), ConfigProblems> {
        problems_or_ok(self.problems())
    }

    /// Checks all values as production needs them: the issuer is an `https://` address, too.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn validate_for_production(&self) -> Result<(), ConfigProblems> {
        let mut problems = self.problems();
        if self.issuer.strip_prefix("https://").is_none_or(str::is_empty) {
            problems.push(problem("issuer", "must be an https:// address in production"));
        }
        problems_or_ok(problems)
    }

    fn problems(&self) -> Vec<ConfigProblem> {
        let mut problems = Vec::new();
        for (field, text) in [("issuer", &self.issuer), ("audience", &self.audience)] {
            if !(1..=255).contains(&text.len()) {
                problems.push(problem(field, "needs 1 to 255 bytes"));
            }
        }
        let ranges = [
            ("access_ttl_minutes", u64::from(self.access_ttl_minutes), 1, 60),
            ("refresh_ttl_days", u64::from(self.refresh_ttl_days), 1, 365),
            ("session_idle_minutes", u64::from(self.session_idle_minutes), 1, 1_440),
            ("session_absolute_hours", u64::from(self.session_absolute_hours), 1, 720),
            ("token_cache_entries", self.token_cache_entries as u64, 1, 1_000_000),
            ("sessions_max", u64::from(self.sessions_max), 1, 1_000),
            ("login_attempt_limit", u64::from(self.login_attempt_limit), 1, 20),
            ("login_lockout_minutes", u64::from(self.login_lockout_minutes), 1, 1_440),
            ("login_address_limit", u64::from(self.login_address_limit), 1, 10_000),
            ("flow_address_limit", u64::from(self.flow_address_limit), 1, 10_000),
            ("password_reset_ttl_minutes", u64::from(self.password_reset_ttl_minutes), 60, 1_440),
            ("email_link_ttl_hours", u64::from(self.email_link_ttl_hours), 1, 168),
            ("password_min_length", u64::from(self.password_min_length), 15, 64),
            ("password_memory_kib", u64::from(self.password_memory_kib), MEMORY_KIB.0, MEMORY_KIB.1),
            ("password_passes", u64::from(self.password_passes), 2, 32),
            (
                "password_stored_memory_kib_max",
                u64::from(self.password_stored_memory_kib_max),
                MEMORY_KIB.0,
                MEMORY_KIB.1,
            ),
            ("password_strength_min", u64::from(self.password_strength_min), 0, 4),
        ];
        for (field, value, min, max) in ranges.into_iter().chain(self.api_keys.ranges()) {
            if !(min..=max).contains(&value) {
                problems.push(problem(field, format!("is `{value}`, outside {min} to {max}")));
            }
        }
        if let Err(error) = self.peppers() {
            problems.push(problem("password_pepper", format!("is {error}")));
        }
        if self.password_strength_min > 0 && !cfg!(feature = "zxcvbn") {
            problems.push(problem("password_strength_min", "is set, but this build estimates no strength"));
        }
        if let Some(limit) = self.login_strangers_limit
            && !(self.login_attempt_limit..=80).contains(&limit)
        {
            let message = format!("is `{limit}`, outside `login_attempt_limit` to 80");
            problems.push(problem("login_strangers_limit", message));
        }
        problems.extend(self.key_problems());
        problems
    }

    fn peppers(&self) -> Result<PasswordPeppers, PasswordError> {
        match &self.password_pepper {
            Some(text) => PasswordPeppers::parse(text.expose_secret()),
            None => Ok(PasswordPeppers::default()),
        }
    }

    /// How long a link that resets a password is good.
    pub(crate) fn password_reset_ttl(&self) -> Duration {
        Duration::from_secs(u64::from(self.password_reset_ttl_minutes) * 60)
    }

    /// How long a link that proves an e-mail address is good.
    pub(crate) fn email_link_ttl(&self) -> Duration {
        Duration::from_secs(u64::from(self.email_link_ttl_hours) * 3_600)
    }

    /// How passwords are hashed.
    pub(crate) fn hasher_options(&self) -> Result<HasherOptions, PasswordError> {
        let params = HashParams::new(self.password_memory_kib, self.password_passes)?;
        Ok(HasherOptions::default()
            .params(params)
            .stored_memory_kib_max(self.password_stored_memory_kib_max)
            .peppers(self.peppers()?))
    }

    /// Refuses everything that says how to hash, where a hasher was made elsewhere: whoever sets it believes that it is used.
    pub(crate) fn refuse_hashing(&self) -> Result<(), ConfigProblems> {
        let default = Self::default();
        let is_set = [
            ("password_pepper", self.password_pepper.is_some()),
            ("password_memory_kib", self.password_memory_kib != default.password_memory_kib),
            ("password_passes", self.password_passes != default.password_passes),
            (
                "password_stored_memory_kib_max",
                self.password_stored_memory_kib_max != default.password_stored_memory_kib_max,
            ),
        ];
        let set = is_set.into_iter().filter(|(_, is_set)| *is_set);
        problems_or_ok(
            set.map(|(field, _)| problem(field, "is set, but the hasher was made elsewhere")).collect(),
        )
    }

    /// What a new password must be.
    pub(crate) fn password_policy(&self) -> Result<PasswordPolicy, ConfigProblem> {
        let chars = usize::try_from(self.password_min_length).unwrap_or(usize::MAX);
        let wrong = |error: PasswordError| problem("password_min_length", error.to_string());
        let mut policy = PasswordPolicy::alone().min_chars(chars).map_err(wrong)?;
        if let Some(path) = &self.password_breach_index {
            let index = BreachIndex::open(path)
                .map_err(|error| problem("password_breach_index", format!("is not usable: {error}")))?;
            policy = policy.breaches(index);
        }
        #[cfg(feature = "zxcvbn")]
        {
            let wrong = |error: PasswordError| problem("password_strength_min", error.to_string());
            policy = policy.strength_min(self.password_strength_min).map_err(wrong)?;
        }
        Ok(policy)
    }

    /// Values that contradict each other are refused instead of one being ignored: whoever sets a secret believes that
    /// it is used.
    fn key_problems(&self) -> Vec<ConfigProblem> {
        let mut problems = Vec::new();
        let algorithm = self.algorithm;
        let is_hmac = algorithm.is_symmetric();
        match (is_hmac, &self.secret) {
            (true, None) => problems.push(problem("secret", format!("is missing: {algorithm} needs one"))),
            (false, Some(_)) => {
                problems.push(problem("secret", "is set, but the algorithm does not use one"))
            }
            _ => {}
        }
        if self.private_key.is_some() && is_hmac {
            problems.push(problem("private_key", format!("is set, but {algorithm} does not use one")));
        }
        if self.private_key.is_none() && !is_hmac && !algorithm.is_generated() {
            let message = "is missing: only keys of EdDSA, ES256 and ES384 are generated";
            problems.push(problem("private_key", message));
        }
        for (field, key) in
            [("public_key", &self.public_key), ("previous_public_key", &self.previous_public_key)]
        {
            if key.is_some() && self.private_key.is_none() {
                problems.push(problem(field, "is set without a private key"));
            }
        }
        problems.extend(self.operator_keys().err());
        problems
    }

    /// The keys that the operator supplies, if any.
    pub(crate) fn operator_keys(&self) -> Result<Option<KeySet>, ConfigProblem> {
        let unusable = |field| move |error: KeyError| problem(field, format!("is not usable: {error}"));
        if self.algorithm.is_symmetric() {
            let key = |secret: &SecretString| {
                SigningKey::hmac(self.algorithm, secret.expose_secret().as_bytes()).map(KeySet::signing_with)
            };
            return self.secret.as_ref().map(key).transpose().map_err(unusable("secret"));
        }
        let Some(private_key) = &self.private_key else { return Ok(None) };
        let key = SigningKey::from_pem(self.algorithm, private_key.expose_secret());
        let mut set = KeySet::signing_with(key.map_err(unusable("private_key"))?);
        let public =
            |field, pem: &String| VerifyingKey::from_pem(self.algorithm, pem).map_err(unusable(field));
        if let Some(pem) = &self.public_key
            && set.find(public("public_key", pem)?.kid().as_str()).is_none()
        {
            return Err(problem("public_key", "does not belong to the private key"));
        }
        if let Some(pem) = &self.previous_public_key {
            let field = "previous_public_key";
            let key = public(field, pem)?;
            if set.find(key.kid().as_str()).is_none() {
                set = set.also_accepting(key).map_err(unusable(field))?;
            }
        }
        Ok(Some(set))
    }

    pub(crate) fn token_config(&self) -> TokenConfig {
        TokenConfig {
            lifetime: Duration::from_secs(u64::from(self.access_ttl_minutes) * 60),
            cache_entries: self.token_cache_entries,
            ..TokenConfig::new(self.issuer.clone(), self.audience.clone())
        }
    }

    pub(crate) fn throttle_config(&self) -> ThrottleConfig {
        let lockout = Duration::from_secs(u64::from(self.login_lockout_minutes) * 60);
        ThrottleConfig {
            account_failures_max: self.login_attempt_limit,
            strangers_failures_max: self
                .login_strangers_limit
                .unwrap_or_else(|| self.login_attempt_limit.saturating_mul(4))
                .min(80),
            lockout,
            address_failures_max: self.login_address_limit,
            address_window: lockout,
        }
    }

    pub(crate) fn session_limits(&self) -> SessionLimits {
        SessionLimits {
            idle: Duration::from_secs(u64::from(self.session_idle_minutes) * 60),
            absolute: Duration::from_secs(u64::from(self.session_absolute_hours) * 60 * 60),
            sessions_max: self.sessions_max,
        }
    }

    pub(crate) fn refresh_ttl(&self) -> Duration {
        Duration::from_secs(u64::from(self.refresh_ttl_days) * 24 * 60 * 60)
    }
}

fn problem(field: &'static str, message: impl Into<String>) -> ConfigProblem {
    ConfigProblem { field, message: message.into() }
}

fn problems_or_ok(problems: Vec<ConfigProblem>) -> Result<(), ConfigProblems> {
    if problems.is_empty() { Ok(()) } else { Err(ConfigProblems(problems)) }
}

fn algorithm<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SigningAlgorithm, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(SecretString::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(config: &AuthConfig) -> Vec<&'static str> {
        config
            .validate()
            .map_or_else(|problems| problems.0.iter().map(|one| one.field).collect(), |()| Vec::new())
    }

    #[test]
    fn the_defaults_are_sound() {
        assert_eq!(AuthConfig::default().validate(), Ok(()));
        let read: AuthConfig = serde_json::from_str("{}").unwrap();
        assert_eq!(read.access_ttl_minutes, 15);
    }

    #[test]
    fn all_problems_are_named_at_once() {
        // A34
        let config = AuthConfig {
            issuer: String::new(),
            access_ttl_minutes: 61,
            login_attempt_limit: 0,
            login_strangers_limit: Some(81),
            password_min_length: 8,
            algorithm: SigningAlgorithm::Rs256,
            secret: Some("0123456789abcdef0123456789abcdef".into()),
            ..AuthConfig::default()
        };
        let expected = [
            "issuer",
            "access_ttl_minutes",
            "login_attempt_limit",
            "password_min_length",
            "login_strangers_limit",
            "secret",
            "private_key",
        ];
        assert_eq!(fields(&config), expected);
        assert!(!config.validate().unwrap_err().to_string().contains("0123456789"));
        assert!(!format!("{config:?}").contains("0123456789"));
    }

    #[test]
    fn production_needs_an_https_issuer() {
        // A34
        let plain = AuthConfig { issuer: "http://id.example.test".into(), ..AuthConfig::default() };
        assert_eq!(plain.validate(), Ok(()));
        assert_eq!(plain.validate_for_production().unwrap_err().0[0].field, "issuer");
    }

    #[test]
    fn a_short_or_contradictory_secret_is_refused() {
        // A7
        for (algorithm, least) in
            [(SigningAlgorithm::Hs256, 32), (SigningAlgorithm::Hs384, 48), (SigningAlgorithm::Hs512, 64)]
        {
            let of = |length| AuthConfig {
                algorithm,
                secret: Some("s".repeat(length).into()),
                ..AuthConfig::default()
            };
            assert_eq!(fields(&of(least - 1)), ["secret"], "{algorithm}");
            assert_eq!(fields(&of(least)), Vec::<&str>::new(), "{algorithm}");
        }
        let hmac = AuthConfig { algorithm: SigningAlgorithm::Hs256, ..AuthConfig::default() };
        assert_eq!(fields(&hmac), ["secret"]);
        assert_eq!(fields(&AuthConfig { secret: Some("short".into()), ..hmac.clone() }), ["secret"]);
        let sound = "0123456789abcdef0123456789abcdef";
        assert_eq!(fields(&AuthConfig { secret: Some(sound.into()), ..hmac }), Vec::<&str>::new());
        assert_eq!(fields(&AuthConfig { secret: Some(sound.into()), ..AuthConfig::default() }), ["secret"]);
    }

    #[test]
    fn weak_or_impossible_password_settings_are_refused() {
        let config = AuthConfig {
            password_memory_kib: 19_455,
            password_passes: 1,
            password_stored_memory_kib_max: 0,
            password_pepper: Some("1:c2hvcnQ=".into()),
            password_strength_min: 5,
            ..AuthConfig::default()
        };
        let expected = [
            "password_memory_kib",
            "password_passes",
            "password_stored_memory_kib_max",
            "password_strength_min",
            "password_pepper",
        ];
        let found = fields(&config);
        assert!(expected.iter().all(|field| found.contains(field)), "{found:?}");
        assert!(!format!("{config:?} {}", config.validate().unwrap_err()).contains("c2hvcnQ"));
        let missing =
            AuthConfig { password_breach_index: Some("/nowhere/at/all".into()), ..AuthConfig::default() };
        assert_eq!(missing.password_policy().unwrap_err().field, "password_breach_index");
    }

    #[test]
    fn unknown_fields_and_algorithms_are_refused() {
        assert!(serde_json::from_str::<AuthConfig>(r#"{"access_ttl": 5}"#).is_err());
        assert!(serde_json::from_str::<AuthConfig>(r#"{"algorithm": "none"}"#).is_err());
        assert!(serde_json::from_str::<AuthConfig>(r#"{"algorithm": "RS256"}"#).is_ok());
    }
}
