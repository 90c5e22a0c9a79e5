use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use stylobate_core::{Credential, Principal, ServiceId, Subject, TenantId, TokenId};

use crate::token::{
    TokenConfig, TokenError,
    claims::{delta, id, integer, is_scope, required, text, texts, time},
    json::Object,
};

/// What a service token says. It holds no secret: anybody who sees a token can read it.
///
/// [`ServiceTokenSigner::claims`](super::ServiceTokenSigner::claims) makes them with issuer and times filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceClaims {
    /// `iss`: who issued the token.
    pub issuer: String,
    /// `aud`: whom it is for, and nobody else.
    pub audience: String,
    /// `sub`: the service that acts.
    pub service: ServiceId,
    /// `org_id`: the tenant on whose behalf. Whoever serves several keeps what they do for it to that tenant.
    pub tenant: TenantId,
    /// `jti`: names the token.
    pub id: TokenId,
    /// `iat`: when it was issued. Times in a token are whole seconds; fractions are cut off.
    pub issued_at: DateTime<Utc>,
    /// `exp`: from when on it is refused.
    pub expires_at: DateTime<Utc>,
    /// `ops`: what it may be used for at the audience; nothing when empty. Names, or patterns that end in `*` after a `.` or `:`,
    /// spelled as scopes are (RFC 6749 §3.3).
    pub operations: Vec<String>,
    /// `version`: that of the service's account; tokens of an earlier one are void. Not negative.
    pub version: i64,
}

/// The claims as they stand in the token.
#[derive(Serialize)]
struct Wire<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: ServiceId,
    org_id: TenantId,
    jti: TokenId,
    iat: i64,
    exp: i64,
    ops: &'a [String],
    version: i64,
}

impl ServiceClaims {
    /// Reads the claims of a token whose signature is good.
    pub(super) fn from_json(claims: &Object<'_>) -> Result<Self, TokenError> {
        let claim = |name| required(name, claims.get(name));
        Ok(Self {
            issuer: text("iss", claim("iss")?)?.to_owned(),
            audience: text("aud", claim("aud")?)?.to_owned(),
            service: id("sub", claim("sub")?)?,
            tenant: id("org_id", claim("org_id")?)?,
            id: id("jti", claim("jti")?)?,
            issued_at: time("iat", claim("iat")?)?,
            expires_at: time("exp", claim("exp")?)?,
            operations: texts("ops", claim("ops")?)?,
            version: integer("version", claim("version")?)?,
        })
    }

    pub(super) fn to_json(&self) -> Result<Vec<u8>, TokenError> {
        let wire = Wire {
            iss: &self.issuer,
            aud: &self.audience,
            sub: self.service,
            org_id: self.tenant,
            jti: self.id,
            iat: self.issued_at.timestamp(),
            exp: self.expires_at.timestamp(),
            ops: &self.operations,
            version: self.version,
        };
        serde_json::to_vec(&wire).map_err(|_| TokenError::Malformed)
    }

    /// Holds everything but audience and present time against the configuration.
    pub(super) fn check(&self, config: &TokenConfig) -> Result<(), TokenError> {
        if self.issuer != config.issuer {
            return Err(TokenError::IssuerRefused);
        }
        if !(1..=255).contains(&self.audience.len()) {
            return Err(TokenError::ClaimInvalid("aud"));
        }
        if !self.operations.iter().all(|operation| is_scope(operation)) {
            return Err(TokenError::ClaimInvalid("ops"));
        }
        if self.version < 0 {
            return Err(TokenError::ClaimInvalid("version"));
        }
        let lifetime = self.expires_at.signed_duration_since(self.issued_at);
        if lifetime <= TimeDelta::zero() {
            return Err(TokenError::ClaimInvalid("exp"));
        }
        if lifetime > delta(config.lifetime) {
            return Err(TokenError::LifetimeRefused);
        }
        Ok(())
    }

    /// Holds the times against the present one. A remembered token passes here again at each use.
    pub(super) fn check_times(&self, now: DateTime<Utc>, leeway: Duration) -> Result<(), TokenError> {
        let leeway = delta(leeway);
        // RFC 7519 §4.1.4: on or after `exp` the token must not be accepted.
        if now.signed_duration_since(self.expires_at) >= leeway {
            return Err(TokenError::Expired);
        }
        if self.issued_at.signed_duration_since(now) > leeway {
            return Err(TokenError::NotYetValid);
        }
        Ok(())
    }
}

impl From<&ServiceClaims> for Principal {
    fn from(claims: &ServiceClaims) -> Self {
        Self {
            subject: Subject::Service { id: claims.service },
            tenant: Some(claims.tenant),
            scopes: Some(claims.operations.clone()),
            credential: Credential::Bearer,
            ..Self::anonymous()
        }
    }
}
