//! From text to types, each value once.

use std::{fmt::Display, ops::RangeInclusive, str::FromStr, time::Duration};

use secrecy::SecretString;
use stylobate_auth::{ApiKeyConfig, HashParams, PasswordPeppers};
use stylobate_endpoints::Registration;
use stylobate_tower_middleware::InternalSecret;

use super::{Environment, RbacEngine, Settings, SettingsInvalid, source::Values, table};

mod events;
#[cfg(feature = "notify")]
mod messages;
mod network;
#[cfg(not(feature = "notify"))]
mod no_messages;
mod redis;
mod signing;

/// The seeds counted 8 or 12; NIST SP 800-63B-4 §3.1.1.2 asks for 15 where the password is the only factor.
const PASSWORD_CHARS_MIN: u16 = 15;

pub(super) fn parse(mut values: Values) -> Result<Settings, SettingsInvalid> {
    let environment = environment(&mut values);
    let is_production = environment == Environment::Production;
    let bind_address =
        parsed(&mut values, table::BIND_ADDRESS, "127.0.0.1:8001", "is not an address with a port");
    let data_dir = text(&values, table::DATA_DIR).unwrap_or_else(|| "./data".to_owned());
    let database_url = text(&values, table::DATABASE_URL)
        .map_or_else(|| format!("sqlite://{data_dir}/control-plane.db"), |url| normalised_database_url(&url));
    let migration_url = text(&values, table::DATABASE_MIGRATION_URL).map(|url| normalised_database_url(&url));
    let events = events::events(&mut values, is_production);
    #[cfg(not(feature = "notify"))]
    no_messages::refuse(&mut values);
    let settings = Settings {
        environment,
        bind_address: bind_address.unwrap_or_else(|| ([127, 0, 0, 1], 8001).into()),
        public_url: network::public_url(&mut values),
        service_name: text(&values, table::SERVICE_NAME).unwrap_or_else(|| "Stylobate".to_owned()),
        data_dir: data_dir.into(),
        worker_threads: optional_number(&mut values, table::WORKER_THREADS, 1..=256),
        database_url: SecretString::from(database_url),
        database_migration_url: migration_url.map(SecretString::from),
        database_connections: number(&mut values, table::DATABASE_CONNECTIONS, 16, 1..=500),
        redis_url: redis::url(&mut values),
        key_encryption_key: key_encryption_key(&mut values),
        signing: signing::signing(&mut values),
        public_key: signing::public_key(&mut values),
        previous_public_key: text(&values, table::JWT_PREVIOUS_PUBLIC_KEY)
            .map(|pem| pem.replace("\\n", "\n")),
        issuer: text(&values, table::JWT_ISSUER),
        audience: text(&values, table::JWT_AUDIENCE),
        access_ttl: Duration::from_secs(60 * number::<u64>(&mut values, table::ACCESS_TTL, 15, 1..=60)),
        refresh_ttl: Duration::from_secs(
            86_400 * number::<u64>(&mut values, table::REFRESH_TTL, 30, 1..=365),
        ),
        session_idle: Duration::from_secs(
            60 * number::<u64>(&mut values, table::SESSION_IDLE, 60, 1..=1_440),
        ),
        session_absolute: Duration::from_secs(
            3_600 * number::<u64>(&mut values, table::SESSION_ABSOLUTE, 24, 1..=720),
        ),
        sessions_max: number(&mut values, table::SESSIONS_MAX, 20, 1..=1_000),
        refresh_cookie: network::refresh_cookie(&mut values),
        login_attempts_max: number(&mut values, table::LOGIN_ATTEMPTS, 5, 1..=20),
        login_strangers_max: optional_number(&mut values, table::LOGIN_STRANGERS, 1..=80),
        flow_address_max: number(&mut values, table::FLOW_ADDRESS, 20, 1..=10_000),
        password_reset_ttl_minutes: number(&mut values, table::PASSWORD_RESET_TTL, 60, 60..=1_440),
        email_link_ttl_hours: number(&mut values, table::EMAIL_LINK_TTL, 24, 1..=168),
        invitation_ttl_days: number(&mut values, table::INVITATION_TTL, 7, 1..=30),
        registration: registration(&mut values),
        registration_role: text(&values, table::REGISTRATION_ROLE)
            .unwrap_or_else(|| stylobate_rbac::MEMBER.to_owned()),
        login_address_max: number(&mut values, table::LOGIN_ADDRESS, 100, 1..=10_000),
        login_lockout: Duration::from_secs(
            60 * number::<u64>(&mut values, table::LOGIN_LOCKOUT, 15, 1..=1_440),
        ),
        api_keys: ApiKeyConfig {
            is_live: is_production,
            ttl_days: number(&mut values, table::API_KEY_TTL, 90, 1..=ApiKeyConfig::TTL_DAYS_MAX),
            per_owner_max: number(&mut values, table::API_KEYS_MAX, 10, 1..=100),
            requests_per_hour: number(
                &mut values,
                table::API_KEY_REQUESTS,
                1_000,
                1..=ApiKeyConfig::REQUESTS_PER_HOUR_MAX,
            ),
            made_max: number(&mut values, table::API_KEYS_MADE, 5, 1..=1_000),
            made_window_seconds: number(&mut values, table::API_KEYS_MADE_WINDOW, 60, 1..=86_400),
        },
        service_token_ttl_minutes: number(&mut values, table::SERVICE_TOKEN_TTL, 5, 1..=60),
        password_chars_min: password_min(&mut values),
        password_memory_kib: number(
            &mut values,
            table::PASSWORD_MEMORY,
            HashParams::MEMORY_KIB_MIN,
            HashParams::MEMORY_KIB_MIN..=HashParams::MEMORY_KIB_MAX,
        ),
        password_passes: number(
            &mut values,
            table::PASSWORD_PASSES,
            HashParams::PASSES_MIN,
            HashParams::PASSES_MIN..=HashParams::PASSES_MAX,
        ),
        password_pepper: password_pepper(&mut values),
        password_strength_min: password_strength(&mut values),
        password_breach_index: text(&values, table::PASSWORD_BREACHES).map(Into::into),
        multi_tenant: tenancy_mode(&mut values),
        default_org_id: optional(&mut values, table::DEFAULT_ORG_ID, "is not a UUID"),
        default_org_code: text(&values, table::DEFAULT_ORG_CODE).unwrap_or_else(|| "default".to_owned()),
        default_org_name: text(&values, table::DEFAULT_ORG_NAME)
            .unwrap_or_else(|| "Default organisation".to_owned()),
        tenancy_base_domain: network::tenancy_base_domain(&mut values),
        cors_origins: network::cors_origins(&mut values, environment),
        trusted_proxies: network::trusted_proxies(&mut values),
        proxies_max: optional_number(&mut values, table::PROXIES_COUNT, 0..=16),
        hsts: flag(&mut values, table::HSTS, is_production),
        metrics_token: metrics_token(&mut values),
        internal_secret: shared_secret(&mut values, table::INTERNAL_SECRET),
        bootstrap_secret: shared_secret(&mut values, table::BOOTSTRAP_SECRET),
        rbac_engine: rbac_engine(&mut values),
        worker_in_server: flag(&mut values, table::WORKER_ENABLED, true),
        scheduler_in_server: flag(&mut values, table::SCHEDULER_ENABLED, true),
        worker_concurrency: number(&mut values, table::WORKER_CONCURRENCY, 10, 1..=1_000),
        job_lease: Duration::from_secs(number::<u64>(&mut values, table::JOB_LEASE, 30, 5..=3_600)),
        #[cfg(feature = "notify")]
        messages: messages::messages(&mut values, &events, is_production),
        events,
        docs_public: flag(&mut values, table::DOCS_PUBLIC, !is_production),
        log_level: log_level(&values),
        log_json: log_json(&mut values, is_production),
        sources: Vec::new(),
        ignored: std::mem::take(&mut values.ignored),
    };
    refuse_weak_production(&mut values, &settings);
    if values.problems.is_empty() {
        Ok(Settings { sources: values.into_sources(), ..settings })
    } else {
        Err(SettingsInvalid { problems: values.problems })
    }
}

// A34
fn refuse_weak_production(values: &mut Values, settings: &Settings) {
    if !settings.is_production() {
        return;
    }
    if settings.key_encryption_key.is_none() {
        let name = values.name(table::KEY_ENCRYPTION_KEY);
        values.problem(name, "production needs an explicit key-encryption key");
    }
    if settings.metrics_token.is_none() {
        let name = values.name(table::METRICS_TOKEN);
        values.problem(name, "production needs a token for `/metrics`");
    }
    let name = values.name(table::PUBLIC_URL);
    match &settings.public_url {
        None => values.problem(name, "production needs the public address"),
        Some(url) if url.scheme() != "https" => values.problem(name, "production needs an https address"),
        Some(_) => {}
    }
    if !settings.bind_address.ip().is_loopback() && settings.trusted_proxies.is_empty() {
        let name = values.name(table::TRUSTED_PROXIES);
        values.problem(name, "production on a public address needs the proxies that terminate TLS");
    }
    let url = secrecy::ExposeSecret::expose_secret(&settings.database_url);
    if url.starts_with("postgres") {
        let migration = settings.database_migration_url.as_ref().map(secrecy::ExposeSecret::expose_secret);
        if migration.is_none_or(|migration| migration == url) {
            let name = values.name(table::DATABASE_MIGRATION_URL);
            values.problem(name, "production needs another role for migrations than for the server");
        }
    }
    if settings.refresh_cookie.is_some() && !flag(values, table::REFRESH_COOKIE_SECURE, true) {
        let name = values.name(table::REFRESH_COOKIE_SECURE);
        values.problem(name, "production sends the refresh token over TLS only");
    }
    if settings.cors_origins.iter().any(|origin| origin.starts_with("http://")) {
        let name = values.name(table::CORS_ORIGINS);
        values.problem(name, "production allows only https origins");
    }
}

fn text(values: &Values, key: &'static str) -> Option<String> {
    values.get(key).map(|(_, value)| value.trim().to_owned())
}

/// What is written in the file that a setting names.
fn file(values: &mut Values, key: &'static str) -> Option<String> {
    match std::fs::read_to_string(text(values, key)?) {
        Ok(text) => Some(text),
        Err(error) => {
            let name = values.name(key);
            values.problem(name, format!("the file cannot be read: {}", error.kind()));
            None
        }
    }
}

fn secret(values: &Values, key: &'static str) -> Option<SecretString> {
    values.get(key).map(|(_, value)| SecretString::from(value.to_owned()))
}

fn parsed<T: FromStr>(values: &mut Values, key: &'static str, default: &str, problem: &str) -> Option<T> {
    let text = text(values, key).unwrap_or_else(|| default.to_owned());
    let parsed = text.parse().ok();
    if parsed.is_none() {
        let name = values.name(key);
        values.problem(name, problem);
    }
    parsed
}

fn optional<T: FromStr>(values: &mut Values, key: &'static str, problem: &str) -> Option<T> {
    let text = text(values, key)?;
    parsed(values, key, &text, problem)
}

fn optional_number<T>(values: &mut Values, key: &'static str, range: RangeInclusive<T>) -> Option<T>
where
    T: FromStr + PartialOrd + Display,
{
    let text = text(values, key)?;
    let number = text.parse().ok().filter(|number| range.contains(number));
    if number.is_none() {
        let name = values.name(key);
        values.problem(name, format!("is not a whole number from {} to {}", range.start(), range.end()));
    }
    number
}

fn number<T>(values: &mut Values, key: &'static str, default: T, range: RangeInclusive<T>) -> T
where
    T: FromStr + PartialOrd + Display,
{
    optional_number(values, key, range).unwrap_or(default)
}

fn flag(values: &mut Values, key: &'static str, default: bool) -> bool {
    let Some(text) = text(values, key) else { return default };
    let flag = boolean(&text);
    if flag.is_none() {
        let name = values.name(key);
        values.problem(name, NOT_BOOLEAN);
    }
    flag.unwrap_or(default)
}

pub(super) const NOT_BOOLEAN: &str = "is neither `true` nor `false`";

pub(super) fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

fn environment(values: &mut Values) -> Environment {
    match text(values, table::ENVIRONMENT).unwrap_or_default().to_ascii_lowercase().as_str() {
        "" | "development" | "dev" | "local" => Environment::Development,
        "test" | "testing" => Environment::Test,
        // Names that nobody would use for less than the real thing are treated as it.
        "production" | "prod" | "staging" => Environment::Production,
        _ => {
            let name = values.name(table::ENVIRONMENT);
            values.problem(name, "is none of `development`, `test`, `production`");
            Environment::Production
        }
    }
}

/// The driver suffixes of SQLAlchemy mean nothing here.
fn normalised_database_url(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    match scheme.split('+').next() {
        Some("postgres" | "postgresql") => format!("postgres://{rest}"),
        // Three slashes are how SQLAlchemy spells a relative path.
        Some("sqlite") if scheme.contains('+') => {
            format!("sqlite://{}", rest.strip_prefix('/').unwrap_or(rest))
        }
        _ => url.to_owned(),
    }
}

fn password_min(values: &mut Values) -> u16 {
    // The seeds' own defaults (8, 12) are below ours: they are read, and our minimum stays.
    number(values, table::PASSWORD_MIN, PASSWORD_CHARS_MIN, 1..=64).max(PASSWORD_CHARS_MIN)
}

fn password_pepper(values: &mut Values) -> Option<SecretString> {
    let text = secret(values, table::PASSWORD_PEPPER)?;
    if let Err(error) = PasswordPeppers::parse(secrecy::ExposeSecret::expose_secret(&text)) {
        let name = values.name(table::PASSWORD_PEPPER);
        values.problem(name, format!("is {error}"));
    }
    Some(text)
}

fn password_strength(values: &mut Values) -> u8 {
    let score = number(values, table::PASSWORD_STRENGTH, 0, 0..=4);
    if score > 0 && !cfg!(feature = "zxcvbn") {
        let name = values.name(table::PASSWORD_STRENGTH);
        values.problem(name, "is set, but this build estimates no strength");
    }
    score
}

fn registration(values: &mut Values) -> Registration {
    match text(values, table::REGISTRATION).as_deref() {
        None | Some("off") => Registration::Off,
        Some("invited") => Registration::Invited,
        Some("open") => Registration::Open,
        Some(_) => {
            let name = values.name(table::REGISTRATION);
            values.problem(name, "is none of `off`, `invited` and `open`");
            Registration::Off
        }
    }
}

fn tenancy_mode(values: &mut Values) -> bool {
    match text(values, table::TENANCY_MODE).as_deref() {
        None | Some("single") => false,
        Some("multi") => true,
        Some(_) => {
            let name = values.name(table::TENANCY_MODE);
            values.problem(name, "is neither `single` nor `multi`");
            false
        }
    }
}

/// A comma list, or a JSON list of strings.
fn list(values: &mut Values, key: &'static str) -> Option<Vec<String>> {
    let text = text(values, key)?;
    if text.starts_with('[') {
        let parsed: Result<Vec<String>, _> = serde_json::from_str(&text);
        if parsed.is_err() {
            let name = values.name(key);
            values.problem(name, "is not a JSON list of strings");
        }
        return parsed.ok();
    }
    Some(text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect())
}

fn key_encryption_key(values: &mut Values) -> Option<SecretString> {
    let text = secret(values, table::KEY_ENCRYPTION_KEY)?;
    if let Err(error) =
        stylobate_auth::KeyEncryptionKey::from_text(secrecy::ExposeSecret::expose_secret(&text))
    {
        let name = values.name(table::KEY_ENCRYPTION_KEY);
        values.problem(name, format!("is not usable: {error}"));
    }
    Some(text)
}

fn metrics_token(values: &mut Values) -> Option<SecretString> {
    let token = secret(values, table::METRICS_TOKEN)?;
    if secrecy::ExposeSecret::expose_secret(&token).len() < 16 {
        let name = values.name(table::METRICS_TOKEN);
        values.problem(name, "is shorter than 16 characters");
    }
    Some(token)
}

/// A secret that callers present in a header.
fn shared_secret(values: &mut Values, key: &'static str) -> Option<SecretString> {
    let secret = secret(values, key)?;
    if let Err(error) = InternalSecret::new(secret.clone()) {
        let name = values.name(key);
        values.problem(name, error.to_string());
    }
    Some(secret)
}

fn rbac_engine(values: &mut Values) -> RbacEngine {
    let given = text(values, table::RBAC_ENGINE).unwrap_or_default();
    match given.to_lowercase().as_str() {
        "" | "native" => RbacEngine::Native,
        "casbin" if cfg!(feature = "casbin") => RbacEngine::Casbin,
        other => {
            let name = values.name(table::RBAC_ENGINE);
            let problem =
                if other == "casbin" { "is not compiled in" } else { "is neither `native` nor `casbin`" };
            values.problem(name, problem);
            RbacEngine::Native
        }
    }
}

/// Python spells two of the levels otherwise.
fn log_level(values: &Values) -> String {
    let text = text(values, table::LOG_LEVEL).unwrap_or_default().to_lowercase();
    match text.as_str() {
        "" => "info".to_owned(),
        "warning" => "warn".to_owned(),
        "critical" => "error".to_owned(),
        _ => text,
    }
}

fn log_json(values: &mut Values, is_production: bool) -> bool {
    match text(values, table::LOG_FORMAT).as_deref() {
        None => is_production,
        Some("json") => true,
        Some("pretty" | "text") => false,
        Some(_) => {
            let name = values.name(table::LOG_FORMAT);
            values.problem(name, "is neither `pretty` nor `json`");
            is_production
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;
    use stylobate_auth::SigningAlgorithm;

    use super::{super::TokenSigning, *};

    pub(super) fn settings(pairs: &[(&str, &str)]) -> Result<Settings, SettingsInvalid> {
        Settings::from_pairs("", pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    pub(super) fn problems(pairs: &[(&str, &str)]) -> Vec<String> {
        let problems = settings(pairs).unwrap_err().problems;
        problems.into_iter().map(|problem| problem.name).collect()
    }

    #[test]
    fn an_empty_environment_gives_the_documented_defaults() {
        let settings = settings(&[]).unwrap();
        assert_eq!(settings.bind_address.to_string(), "127.0.0.1:8001");
        assert_eq!(settings.database_url.expose_secret(), "sqlite://./data/control-plane.db");
        assert_eq!((settings.access_ttl.as_secs(), settings.refresh_ttl.as_secs()), (900, 2_592_000));
        assert!(matches!(settings.signing, TokenSigning::Generated(SigningAlgorithm::EdDsa)));
        assert!(settings.trusted_proxies.is_empty());
    }

    // A34
    #[test]
    fn production_names_everything_that_is_weak_at_once() {
        let found = problems(&[
            ("APP_ENV", "production"),
            ("BIND_ADDR", "0.0.0.0:80"),
            ("JWT_SECRET", "change-me"),
            ("DATABASE_URL", "postgres://app@db/app"),
            ("CORS_ORIGINS", "http://app.example.org"),
        ]);
        for name in [
            "JWT_SECRET",
            "KEY_ENCRYPTION_KEY",
            "METRICS_TOKEN",
            "PUBLIC_URL",
            "TRUSTED_PROXIES",
            "DATABASE_MIGRATION_URL",
            "CORS_ORIGINS",
        ] {
            assert!(found.iter().any(|one| one == name), "{name} is missing in {found:?}");
        }
    }

    #[test]
    fn the_canonical_name_wins_over_aliases_and_remembers_its_source() {
        let settings =
            settings(&[("STYLOBATE_AUTH__ACCESS_TTL_MINUTES", "5"), ("JWT_ACCESS_TTL_MINUTES", "9")])
                .unwrap();
        assert_eq!(settings.access_ttl.as_secs(), 300);
        assert_eq!(settings.sources()[0].name, "STYLOBATE_AUTH__ACCESS_TTL_MINUTES");
    }

    #[test]
    fn an_unknown_canonical_name_is_refused() {
        assert_eq!(problems(&[("STYLOBATE_AUTH__TYPO", "1")]), ["STYLOBATE_AUTH__TYPO"]);
        assert!(settings(&[("STYLOBATE_TEST_REDIS_URL", "redis://x")]).is_ok());
    }

    #[test]
    fn a_message_never_repeats_a_secret() {
        let error = settings(&[("JWT_SECRET", "canary"), ("METRICS_TOKEN", "canary")]).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"));
        let debug = format!("{:?}", settings(&[("DATABASE_URL", "postgres://u:canary@h/d")]).unwrap());
        assert!(!debug.contains("canary"), "{debug}");
    }

    #[test]
    fn a_short_internal_secret_and_an_unknown_engine_stop_the_start() {
        assert_eq!(problems(&[("INTERNAL_API_SECRET", "short")]), ["INTERNAL_API_SECRET"]);
        assert_eq!(problems(&[("INTERNAL_API_SECRET", &"canary ".repeat(8))]), ["INTERNAL_API_SECRET"]);
        let sound = settings(&[("INTERNAL_API_SECRET", &"canary".repeat(8))]).unwrap();
        assert!(sound.internal_secret.is_some() && !format!("{sound:?}").contains("canary"));
        assert_eq!(problems(&[("RBAC_ENGINE", "oso")]), ["RBAC_ENGINE"]);
        assert_eq!(settings(&[("RBAC_ENGINE", "native")]).unwrap().rbac_engine, RbacEngine::Native);
        let casbin = settings(&[("RBAC_ENGINE", "Casbin")]);
        assert_eq!(casbin.is_ok(), cfg!(feature = "casbin"));
    }

    #[test]
    fn the_bootstrap_secret_is_as_long_as_the_internal_one_under_either_name() {
        assert_eq!(problems(&[("BOOTSTRAP_SECRET", "change-me")]), ["BOOTSTRAP_SECRET"]);
        assert!(settings(&[]).unwrap().bootstrap_secret.is_none());
        for name in ["BOOTSTRAP_SECRET", "AUTH_MICROSERVICE_BOOTSTRAP_SECRET"] {
            let sound = settings(&[(name, &"canary".repeat(8))]).unwrap();
            assert!(sound.bootstrap_secret.is_some() && !format!("{sound:?}").contains("canary"), "{name}");
        }
        let followed =
            settings(&[("BOOTSTRAP_SECRET", "env://OTHER"), ("OTHER", &"canary".repeat(8))]).unwrap();
        assert_eq!(followed.bootstrap_secret.unwrap().expose_secret(), "canary".repeat(8));
    }

    #[test]
    fn references_are_followed_or_stop_the_start() {
        let followed = settings(&[("METRICS_TOKEN", "env://OTHER"), ("OTHER", "0123456789abcdef")]).unwrap();
        assert_eq!(followed.metrics_token.unwrap().expose_secret(), "0123456789abcdef");
        assert_eq!(problems(&[("METRICS_TOKEN", "env://MISSING")]), ["METRICS_TOKEN"]);
        assert_eq!(problems(&[("METRICS_TOKEN", "openbao://secret/app#token")]), ["METRICS_TOKEN"]);
        assert_eq!(problems(&[("METRICS_TOKEN", "file:///nowhere/at/all")]), ["METRICS_TOKEN"]);
    }

    #[test]
    fn database_addresses_of_other_systems_are_understood() {
        for (given, read) in [
            ("postgresql+psycopg://u@h/d", "postgres://u@h/d"),
            ("postgresql+asyncpg://u@h/d", "postgres://u@h/d"),
            ("postgres://u@h/d", "postgres://u@h/d"),
            ("sqlite+aiosqlite:///app.db", "sqlite://app.db"),
        ] {
            assert_eq!(normalised_database_url(given), read, "{given}");
        }
    }

    #[test]
    fn lists_may_be_json_or_commas() {
        let json = settings(&[("ALLOWED_ORIGINS", r#"["https://a.example","https://b.example"]"#)]).unwrap();
        let commas = settings(&[("CORS_ORIGINS", "https://a.example, https://b.example")]).unwrap();
        assert_eq!(json.cors_origins, commas.cors_origins);
        assert_eq!(problems(&[("CORS_ORIGINS", "*")]), ["CORS_ORIGINS"]);
        assert_eq!(problems(&[("CORS_ORIGINS", "https://a.example/")]), ["CORS_ORIGINS"]);
    }

    #[test]
    fn the_password_minimum_may_be_raised_and_not_lowered() {
        assert_eq!(settings(&[("DEFAULT_PASSWORD_MIN_LENGTH", "8")]).unwrap().password_chars_min, 15);
        assert_eq!(settings(&[("DEFAULT_PASSWORD_MIN_LENGTH", "20")]).unwrap().password_chars_min, 20);
    }

    #[test]
    fn a_password_pepper_is_a_list_of_versions_and_may_be_a_reference() {
        let pepper = "1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        let followed = settings(&[("PASSWORD_PEPPER", "env://OTHER"), ("OTHER", pepper)]).unwrap();
        assert_eq!(followed.password_pepper.unwrap().expose_secret(), pepper);
        let error = settings(&[("PASSWORD_PEPPER", "1:canary")]).unwrap_err();
        assert_eq!(error.problems[0].name, "PASSWORD_PEPPER");
        assert!(!format!("{error} {error:?}").contains("canary"));
    }

    #[test]
    fn sessions_of_cookies_end_as_set_under_the_old_name_too() {
        let defaults = settings(&[]).unwrap();
        assert_eq!((defaults.session_idle.as_secs(), defaults.session_absolute.as_secs()), (3_600, 86_400));
        let set = settings(&[("SESSION_TIMEOUT_MINUTES", "30"), ("SESSION_ABSOLUTE_HOURS", "8")]).unwrap();
        assert_eq!((set.session_idle.as_secs(), set.session_absolute.as_secs()), (1_800, 28_800));
        assert!(set.ignored().is_empty());
    }

    #[test]
    fn names_of_replaced_systems_without_a_use_are_named() {
        let given =
            [("ALLOWED_TENANT_HOSTS", "a.example"), ("CELERY_BROKER", "x"), ("EXTRA_SEED_ORG_IDS", "x")];
        assert_eq!(settings(&given).unwrap().ignored(), given.map(|(name, _)| name));
    }

    #[test]
    fn numbers_outside_their_range_are_refused() {
        for (name, value) in [
            ("PASSWORD_MEMORY_KIB", "8192"),
            ("PASSWORD_PASSES", "1"),
            ("PASSWORD_STRENGTH_MIN", "5"),
            ("JWT_ACCESS_TTL_MINUTES", "0"),
            ("JWT_ACCESS_TTL_MINUTES", "1440"),
            ("LOGIN_ATTEMPT_LIMIT", "many"),
            ("WORKER_CONCURRENCY", "0"),
            ("JOB_LEASE_SECONDS", "1"),
            ("WORKER_ENABLED", "sometimes"),
        ] {
            assert_eq!(problems(&[(name, value)]), [name], "{value}");
        }
    }

    /// The configuration section of the services library, whole.
    const SERVICES_LIBRARY: [(&str, &str); 28] = [
        ("JWT_SECRET_KEY", "0123456789abcdefghijklmnopqrstuv"),
        ("JWT_ALGORITHM", "HS256"),
        ("JWT_ACCESS_TOKEN_EXPIRE_MINUTES", "30"),
        ("JWT_REFRESH_TOKEN_EXPIRE_DAYS", "7"),
        ("SESSION_BACKEND", "memory"),
        ("REDIS_URL", "redis://cache"),
        ("VAULT_URL", "http://vault"),
        ("VAULT_TOKEN", "t"),
        ("VAULT_MOUNT_POINT", "secret"),
        ("VAULT_NAMESPACE", "n"),
        ("VAULT_KV_VERSION", "2"),
        ("VAULT_VERIFY_SSL", "true"),
        ("SECRETS_BACKEND", "env"),
        ("SECRETS_TIMEOUT", "5"),
        ("SECRETS_MAX_RETRIES", "3"),
        ("SECRETS_AUTO_ROTATION", "false"),
        ("TENANT_ID", "t1"),
        ("TENANT_PATH_PREFIX", "tenants"),
        ("CACHE_BACKEND", "memory"),
        ("CACHE_TTL", "300"),
        ("ENCRYPTION_KEY", "k"),
        ("ENABLE_FIELD_ENCRYPTION", "true"),
        ("SERVICE_NAME", "svc"),
        ("OTLP_ENDPOINT", "http://otel"),
        ("LOG_LEVEL", "DEBUG"),
        ("CORRELATION_ID_HEADER", "X-Correlation-ID"),
        ("TRACING_ENABLED", "true"),
        ("METRICS_ENABLED", "true"),
    ];

    #[test]
    fn every_name_of_the_services_library_is_read_or_named_as_ignored() {
        let given =
            SERVICES_LIBRARY.into_iter().filter(|(name, _)| cfg!(feature = "redis") || *name != "REDIS_URL");
        let given: Vec<_> = given.collect();
        let pairs = given.iter().map(|(name, value)| (format!("DOTMAC_{name}"), (*value).to_owned()));
        let settings = Settings::from_pairs("DOTMAC_", pairs).unwrap();
        assert!(matches!(settings.signing, TokenSigning::Secret(SigningAlgorithm::Hs256, _)));
        assert_eq!((settings.access_ttl.as_secs(), settings.refresh_ttl.as_secs()), (1_800, 604_800));
        assert_eq!(settings.log_level, "debug");
        let used: Vec<&str> = settings.sources().iter().map(|source| source.name.as_str()).collect();
        for (name, _) in given {
            let name = format!("DOTMAC_{name}");
            assert!(used.contains(&name.as_str()) || settings.ignored().contains(&name), "{name} vanished");
        }
    }

    #[test]
    fn names_of_the_auth_microservice_lose_their_prefix_and_compose_the_database() {
        let settings = settings(&[
            ("AUTH_MICROSERVICE_DB_HOST", "db"),
            ("AUTH_MICROSERVICE_DB_PORT", "5433"),
            ("AUTH_MICROSERVICE_DB_USER", "app"),
            ("AUTH_MICROSERVICE_DB_PASS", "p@ss/word"),
            ("AUTH_MICROSERVICE_DB_BASE", "auth"),
            ("AUTH_MICROSERVICE_LOG_LEVEL", "WARNING"),
            ("AUTH_MICROSERVICE_CELERY_BROKER_URL", "redis://x"),
        ])
        .unwrap();
        assert_eq!(settings.database_url.expose_secret(), "postgres://app:p%40ss%2Fword@db:5433/auth");
        assert_eq!(settings.log_level, "warn");
        assert!(settings.ignored().contains(&"CELERY_BROKER_URL".to_owned()));
    }
}
