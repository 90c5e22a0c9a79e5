use std::{borrow::Cow, str::FromStr, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use stylobate_core::{
    Assurance, AuthenticatorAssurance, Credential, PersonId, Principal, SessionId, TenantId, TokenId,
};

use super::{
    TokenConfig, TokenError,
    json::{Json, Object},
    scopes,
};

/// What an access token says. It holds no secret: anybody who sees a token can read it.
///
/// [`Signer::claims`](super::Signer::claims) makes them with issuer, audience and times filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessClaims {
    /// `iss`: who issued the token.
    pub issuer: String,
    /// `aud`: whom it is for; at least one.
    pub audience: Vec<String>,
    /// `sub`: the person who acts.
    pub person: PersonId,
    /// `sid`: the session it was issued in; revoking the session revokes the token.
    pub session: SessionId,
    /// `jti`: names the token.
    pub id: TokenId,
    /// `org_id`: the tenant on whose behalf.
    pub tenant: Option<TenantId>,
    /// `iat`: when it was issued. Times in a token are whole seconds; fractions are cut off.
    pub issued_at: DateTime<Utc>,
    /// `exp`: from when on it is refused.
    pub expires_at: DateTime<Utc>,
    /// `nbf`: from when on it is good, when that is not `iat`.
    pub not_before: Option<DateTime<Utc>>,
    /// `auth_time`, `amr` and `acr` (`aal1` to `aal3`; anything else counts as `aal1`): how and when the person was
    /// authenticated, which renewing a token does not change.
    pub assurance: Assurance,
    /// `scope`: what the token may be used for. `None` sets no limit, an empty list allows nothing (RFC 6749 §3.3).
    pub scopes: Option<Vec<String>>,
    /// `permissions`: a further limit, by the keys of permissions or patterns such as `user.*`. What scope and
    /// permissions have in common is what the token may be used for.
    pub permissions: Option<Vec<String>>,
    /// `client_id`: the client that asked for the token (RFC 9068 §2.2), 1 to 255 printable ASCII characters. A token
    /// that comes from a login has none.
    pub client_id: Option<String>,
    /// `epoch`: the person's credential epoch; tokens of an earlier one are void. Not negative.
    pub epoch: i64,
    /// `act.sub`: who really acts, during an impersonation (RFC 8693 §4.1).
    pub impersonator: Option<PersonId>,
    /// Claims of the service's own, by names with `://` in them ([`CustomClaims`]). The platform carries them and never
    /// reads them: they give no rights. Other claims that are not ours are passed over.
    pub custom: Map<String, Value>,
}

/// A claim of a service's own: a type under a name that nobody else uses (RFC 7519 §4.2).
///
/// It may tell a service what it likes, except what somebody may do: only `scope` and `permissions` reach the
/// [`Principal`], where they set limits and add nothing.
pub trait CustomClaims: Serialize + DeserializeOwned {
    /// The claim's name: an address of the service's owner, for example `https://example.org/claims/plan`. At most 255
    /// bytes, and `://` in it, so that it never meets a registered claim.
    const NAME: &'static str;
}

/// The claims as they stand in the token.
#[derive(Serialize)]
struct Wire<'a> {
    iss: &'a str,
    aud: WireAudience<'a>,
    sub: PersonId,
    sid: SessionId,
    jti: TokenId,
    #[serde(skip_serializing_if = "Option::is_none")]
    org_id: Option<TenantId>,
    iat: i64,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<i64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    amr: &'a [String],
    acr: AuthenticatorAssurance,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    epoch: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<WireActor>,
    #[serde(flatten)]
    custom: &'a Map<String, Value>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum WireAudience<'a> {
    One(&'a str),
    Many(&'a [String]),
}

#[derive(Serialize)]
struct WireActor {
    sub: PersonId,
}

impl AccessClaims {
    /// Reads the claims of a token whose signature is good.
    pub(super) fn from_json(claims: &Object<'_>) -> Result<Self, TokenError> {
        let mut read = Claims::default();
        let mut custom = Map::new();
        for (name, value) in claims.iter() {
            match read.slot(name) {
                Some(slot) => *slot = Some(value),
                None if is_custom(name) => {
                    custom.insert(name.to_owned(), value.to_value());
                }
                None => {}
            }
        }
        Ok(Self {
            issuer: text("iss", required("iss", read.iss)?)?.to_owned(),
            audience: audience(required("aud", read.aud)?)?,
            person: id("sub", required("sub", read.sub)?)?,
            session: id("sid", required("sid", read.sid)?)?,
            id: id("jti", required("jti", read.jti)?)?,
            tenant: read.org_id.map(|value| id("org_id", value)).transpose()?,
            issued_at: time("iat", required("iat", read.iat)?)?,
            expires_at: time("exp", required("exp", read.exp)?)?,
            not_before: read.nbf.map(|value| time("nbf", value)).transpose()?,
            assurance: Assurance {
                amr: read.amr.map(|value| texts("amr", value)).transpose()?.unwrap_or_default(),
                aal: match read.acr {
                    Some(value) => assurance_level(text("acr", value)?),
                    None => AuthenticatorAssurance::default(),
                },
                auth_time: read.auth_time.map(|value| time("auth_time", value)).transpose()?,
            },
            scopes: read.scope.map(scope).transpose()?,
            permissions: read.permissions.map(|value| texts("permissions", value)).transpose()?,
            client_id: read.client_id.map(|value| text("client_id", value).map(str::to_owned)).transpose()?,
            epoch: integer("epoch", required("epoch", read.epoch)?)?,
            impersonator: read.act.map(actor).transpose()?,
            custom,
        })
    }

    /// The service's own claim `T`; `None` when the token has none.
    ///
    /// # Errors
    /// [`TokenError::ClaimInvalid`] when the claim is there and is no `T`.
    pub fn custom<T: CustomClaims>(&self) -> Result<Option<T>, TokenError> {
        let read = |value: &Value| T::deserialize(value).map_err(|_| TokenError::ClaimInvalid(T::NAME));
        self.custom.get(T::NAME).map(read).transpose()
    }

    /// What the token may be used for: what `scope` and `permissions` have in common. `None` is no limit.
    #[must_use]
    pub fn limits(&self) -> Option<Cow<'_, [String]>> {
        match (&self.scopes, &self.permissions) {
            (None, None) => None,
            (Some(one), None) | (None, Some(one)) => Some(Cow::Borrowed(one)),
            (Some(scopes), Some(permissions)) => Some(Cow::Owned(scopes::common(scopes, permissions))),
        }
    }

    pub(super) fn to_json(&self) -> Result<Vec<u8>, TokenError> {
        let wire = Wire {
            iss: &self.issuer,
            aud: match self.audience.as_slice() {
                [one] => WireAudience::One(one),
                many => WireAudience::Many(many),
            },
            sub: self.person,
            sid: self.session,
            jti: self.id,
            org_id: self.tenant,
            iat: self.issued_at.timestamp(),
            exp: self.expires_at.timestamp(),
            nbf: self.not_before.map(|time| time.timestamp()),
            auth_time: self.assurance.auth_time.map(|time| time.timestamp()),
            amr: &self.assurance.amr,
            acr: self.assurance.aal,
            scope: self.scopes.as_ref().map(|scopes| scopes.join(" ")),
            permissions: self.permissions.as_deref(),
            client_id: self.client_id.as_deref(),
            epoch: self.epoch,
            act: self.impersonator.map(|sub| WireActor { sub }),
            custom: &self.custom,
        };
        serde_json::to_vec(&wire).map_err(|_| TokenError::Malformed)
    }

    /// Holds everything but the present time against the configuration.
    pub(super) fn check(&self, config: &TokenConfig) -> Result<(), TokenError> {
        if self.issuer != config.issuer {
            return Err(TokenError::IssuerRefused);
        }
        if !self.audience.contains(&config.audience) {
            return Err(TokenError::AudienceRefused);
        }
        if self.epoch < 0 {
            return Err(TokenError::ClaimInvalid("epoch"));
        }
        if !self.scopes.iter().flatten().all(|scope| is_scope(scope)) {
            return Err(TokenError::ClaimInvalid("scope"));
        }
        if !self.permissions.iter().flatten().all(|permission| is_scope(permission)) {
            return Err(TokenError::ClaimInvalid("permissions"));
        }
        let is_visible =
            |text: &String| !text.is_empty() && text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        if !self.client_id.iter().all(|client| client.len() <= 255 && is_visible(client)) {
            return Err(TokenError::ClaimInvalid("client_id"));
        }
        if !self.custom.keys().all(|name| is_custom(name)) {
            return Err(TokenError::ClaimInvalid("custom"));
        }
        let lifetime = self.expires_at.signed_duration_since(self.issued_at);
        if lifetime <= TimeDelta::zero() {
            return Err(TokenError::ClaimInvalid("exp"));
        }
        if lifetime > delta(config.lifetime) {
            return Err(TokenError::LifetimeRefused);
        }
        if self
            .assurance
            .auth_time
            .is_some_and(|time| time.signed_duration_since(self.issued_at) > delta(config.leeway))
        {
            return Err(TokenError::ClaimInvalid("auth_time"));
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
        // A token from the future would outlive the longest lifetime without breaking it.
        let from = self.not_before.map_or(self.issued_at, |time| time.max(self.issued_at));
        if from.signed_duration_since(now) > leeway {
            return Err(TokenError::NotYetValid);
        }
        Ok(())
    }
}

impl From<&AccessClaims> for Principal {
    fn from(claims: &AccessClaims) -> Self {
        Self {
            tenant: claims.tenant,
            session: Some(claims.session),
            scopes: claims.limits().map(Cow::into_owned),
            assurance: claims.assurance.clone(),
            impersonator: claims.impersonator,
            credential: Credential::Bearer,
            ..Self::person(claims.person)
        }
    }
}

/// Configured durations are bounded by a day.
pub(super) fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

/// Anything unknown is the lowest level: a claim may never raise what it does not name.
fn assurance_level(acr: &str) -> AuthenticatorAssurance {
    match acr {
        "aal3" => AuthenticatorAssurance::Aal3,
        "aal2" => AuthenticatorAssurance::Aal2,
        _ => AuthenticatorAssurance::Aal1,
    }
}

/// One scope-token of RFC 6749 §3.3: printable ASCII but space, `"` and `\`.
pub(super) fn is_scope(scope: &str) -> bool {
    !scope.is_empty() && scope.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
}

/// A name that cannot be a registered or public short one.
fn is_custom(name: &str) -> bool {
    name.contains("://") && name.len() <= 255
}

/// The claims that we read, as they stand in the token.
macro_rules! claims {
    ($($name:ident),* $(,)?) => {
        #[derive(Default)]
        struct Claims<'a> {
            $($name: Option<&'a Json<'a>>,)*
        }

        impl<'a> Claims<'a> {
            fn slot(&mut self, name: &str) -> Option<&mut Option<&'a Json<'a>>> {
                match name {
                    $(stringify!($name) => Some(&mut self.$name),)*
                    _ => None,
                }
            }
        }
    };
}

claims! {
    iss, aud, sub, sid, jti, org_id, iat, exp, nbf, auth_time, amr, acr, scope, permissions, client_id, epoch, act,
}

// Each claim is missing, of the right type, or an error. `null` is a value of the wrong type, and numbers that stand for
// times are integers in JSON too.

pub(super) fn required<'a>(
    name: &'static str,
    value: Option<&'a Json<'a>>,
) -> Result<&'a Json<'a>, TokenError> {
    value.ok_or(TokenError::ClaimMissing(name))
}

pub(super) fn text<'a>(name: &'static str, value: &'a Json<'_>) -> Result<&'a str, TokenError> {
    value.as_str().ok_or(TokenError::ClaimInvalid(name))
}

pub(super) fn id<T: FromStr>(name: &'static str, value: &Json<'_>) -> Result<T, TokenError> {
    text(name, value)?.parse().map_err(|_| TokenError::ClaimInvalid(name))
}

pub(super) fn integer(name: &'static str, value: &Json<'_>) -> Result<i64, TokenError> {
    match value {
        Json::Integer(number @ 0..) => Ok(*number),
        _ => Err(TokenError::ClaimInvalid(name)),
    }
}

pub(super) fn time(name: &'static str, value: &Json<'_>) -> Result<DateTime<Utc>, TokenError> {
    DateTime::from_timestamp(integer(name, value)?, 0).ok_or(TokenError::ClaimInvalid(name))
}

pub(super) fn texts(name: &'static str, value: &Json<'_>) -> Result<Vec<String>, TokenError> {
    let Json::Array(items) = value else { return Err(TokenError::ClaimInvalid(name)) };
    let mut texts = Vec::with_capacity(items.len());
    for item in items {
        texts.push(text(name, item)?.to_owned());
    }
    Ok(texts)
}

fn audience(value: &Json<'_>) -> Result<Vec<String>, TokenError> {
    match value {
        Json::Text(one) => Ok(vec![one.as_ref().to_owned()]),
        _ => texts("aud", value),
    }
}

fn scope(value: &Json<'_>) -> Result<Vec<String>, TokenError> {
    let text = text("scope", value)?;
    if text.is_empty() {
        return Ok(Vec::new());
    }
    Ok(text.split(' ').map(str::to_owned).collect())
}

fn actor(value: &Json<'_>) -> Result<PersonId, TokenError> {
    let sub = match value {
        Json::Object(actor) => actor.get("sub"),
        _ => None,
    };
    id("act", sub.ok_or(TokenError::ClaimInvalid("act"))?)
}
