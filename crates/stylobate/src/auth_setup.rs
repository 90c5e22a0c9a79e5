//! From the operator's settings to the service that signs people in.

use std::sync::Arc;

use stylobate_auth::{Auth, AuthConfig, AuthError, ConfigProblem, ConfigProblems, LocalSealer};
use stylobate_core::{AuditSink, Clock};
use stylobate_db::Db;

use crate::{SettingProblem, Settings, SettingsInvalid, StartError, TokenSigning, settings::table};

pub(crate) async fn auth(
    settings: &Settings,
    db: &Db,
    clock: &Arc<dyn Clock>,
    sealer: Arc<LocalSealer>,
    audit: &Arc<dyn AuditSink>,
) -> Result<Auth, StartError> {
    let config = config(settings);
    if settings.is_production() {
        config.validate_for_production().map_err(|problems| invalid(settings, problems))?;
    }
    let builder = Auth::builder(db, config, sealer, Arc::clone(audit)).clock(Arc::clone(clock));
    #[cfg(feature = "redis")]
    let builder = match key_counts(settings)? {
        Some(counts) => builder.key_counts(Arc::new(counts)),
        None => builder,
    };
    builder.build().await.map_err(|error| match error {
        AuthError::Config(problems) => invalid(settings, problems),
        AuthError::Key(error) => StartError::Key(error),
        AuthError::Db(error) => StartError::Db(error),
        other => StartError::Auth(Box::new(other)),
    })
}

/// Where processes add up how often API keys are used. Connects when first used: while Redis is away, each process holds the
/// limits by itself.
#[cfg(feature = "redis")]
fn key_counts(settings: &Settings) -> Result<Option<stylobate_auth::RedisKeyCounts>, StartError> {
    let Some(url) = &settings.redis_url else { return Ok(None) };
    let url = secrecy::ExposeSecret::expose_secret(url);
    let counts = stylobate_auth::RedisKeyCounts::connect(url, "stylobate:");
    Ok(Some(counts.map_err(|error| StartError::Auth(Box::new(error)))?))
}

fn invalid(settings: &Settings, problems: ConfigProblems) -> StartError {
    let named = |problem: ConfigProblem| SettingProblem {
        name: setting_of(problem.field)
            .map_or_else(|| problem.field.to_owned(), |key| settings.name_of(key).to_owned()),
        problem: problem.message,
    };
    StartError::Settings(SettingsInvalid { problems: problems.0.into_iter().map(named).collect() })
}

/// Which setting a field of the configuration comes from, where that is not checked when settings are read.
fn setting_of(field: &str) -> Option<&'static str> {
    Some(match field {
        "issuer" => table::JWT_ISSUER,
        "audience" => table::JWT_AUDIENCE,
        "algorithm" => table::JWT_ALGORITHM,
        "secret" => table::JWT_SECRET,
        "private_key" => table::JWT_PRIVATE_KEY,
        "public_key" => table::JWT_PUBLIC_KEY,
        "previous_public_key" => table::JWT_PREVIOUS_PUBLIC_KEY,
        "login_strangers_limit" => table::LOGIN_STRANGERS,
        "password_pepper" => table::PASSWORD_PEPPER,
        "password_strength_min" => table::PASSWORD_STRENGTH,
        "password_breach_index" => table::PASSWORD_BREACHES,
        _ => return None,
    })
}

fn config(settings: &Settings) -> AuthConfig {
    let minutes = |duration: std::time::Duration| u32::try_from(duration.as_secs() / 60).unwrap_or(u32::MAX);
    let issuer = settings.issuer.clone().unwrap_or_else(|| match &settings.public_url {
        Some(url) => url.as_str().trim_end_matches('/').to_owned(),
        None => format!("http://{}", settings.bind_address),
    });
    let mut config = AuthConfig {
        audience: settings.audience.clone().unwrap_or_else(|| issuer.clone()),
        issuer,
        access_ttl_minutes: minutes(settings.access_ttl),
        refresh_ttl_days: minutes(settings.refresh_ttl) / (24 * 60),
        service_name: Some(settings.service_name.clone()),
        sessions_max: settings.sessions_max,
        email_link_ttl_hours: settings.email_link_ttl_hours,
        invitation_ttl_days: settings.invitation_ttl_days,
        login_address_limit: settings.login_address_max,
        flow_address_limit: settings.flow_address_max,
        password_reset_ttl_minutes: settings.password_reset_ttl_minutes,
        session_idle_minutes: minutes(settings.session_idle),
        session_absolute_hours: minutes(settings.session_absolute) / 60,
        login_attempt_limit: settings.login_attempts_max,
        login_strangers_limit: settings.login_strangers_max,
        login_lockout_minutes: minutes(settings.login_lockout),
        api_keys: settings.api_keys.clone(),
        service_token_ttl_minutes: settings.service_token_ttl_minutes,
        password_min_length: u32::from(settings.password_chars_min),
        password_memory_kib: settings.password_memory_kib,
        password_passes: settings.password_passes,
        password_pepper: settings.password_pepper.clone(),
        password_strength_min: settings.password_strength_min,
        password_breach_index: settings.password_breach_index.clone(),
        ..AuthConfig::default()
    };
    if cfg!(feature = "legacy-hashes") {
        // What replaced systems ask for at most by default or advice: scrypt with N = 2^17 and r = 8. Such a hash takes all permits for
        // its memory, so that it adds 128 MiB to those of other hashes at worst.
        config.password_stored_memory_kib_max = 128 * 1024 + 1;
    }
    match &settings.signing {
        TokenSigning::Generated(algorithm) => config.algorithm = *algorithm,
        TokenSigning::Secret(algorithm, secret) => {
            config.algorithm = *algorithm;
            config.secret = Some(secret.clone());
        }
        TokenSigning::PrivateKey(algorithm, pem) => {
            config.algorithm = *algorithm;
            config.private_key = Some(pem.clone());
        }
    }
    config.public_key = settings.public_key.clone();
    config.previous_public_key = settings.previous_public_key.clone();
    config
}
