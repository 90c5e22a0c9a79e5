//! Signatures as the replaced systems made them: HMAC-SHA-256 in hexadecimal digits over method, path, time and the body's digest,
//! one to a line.

use std::{fmt, sync::Arc};

use chrono::{DateTime, Utc};
use ring::digest;
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    LegacyConfig, MessageFields, RequestNonce, RequestParts, SignatureError, SignatureFault,
    SignatureProfile, SignedHead, TargetUri, VerifiedRequest, verified::BodyProof, verifier::find,
    window::Window,
};
use crate::{Kid, SigningAlgorithm, SigningKey, VerifyingKey};

pub(super) const TOKEN_FIELD: &str = "x-service-token";
pub(super) const SIGNATURE_FIELD: &str = "x-signature";
const TIMESTAMP_FIELD: &str = "x-timestamp";

/// The longest token, in bytes.
const TOKEN_BYTES_MAX: usize = 4_096;
/// The longest time: as many digits as seconds since 1970 have for the next 30,000 years.
const TIMESTAMP_DIGITS_MAX: usize = 12;

/// Signs requests as the replaced systems do, for calling and for being called by what has not been replaced yet.
///
/// 1. The text that is signed is `METHOD\npath\nseconds since 1970\nSHA-256 of the body in hexadecimal digits`. It covers neither
///    authority nor query nor any field, so a request with a query is refused, and services that share a secret can be
///    sent each other's requests.
/// 2. There is no nonce: a signature is its own, so two equal requests within one second are one request and a replay.
/// 3. The method is signed as it is sent. The replaced systems put it in capital letters first, so that `post` passes for `POST`,
///    which is another method (RFC 9110 §9.1); of methods that are sent in capital letters the text is the same.
/// 4. The token says who calls. Its SHA-256 digest is the name of the key, so that tokens are neither looked up nor stored nor
///    logged in clear.
#[derive(Clone)]
pub struct LegacySigner {
    token: SecretString,
    key: Arc<SigningKey>,
}

impl LegacySigner {
    /// Signs with the `secret` that belongs to `token`. The secret has at least 32 bytes, the token 1 to 4,096 characters of
    /// visible ASCII.
    ///
    /// # Errors
    /// [`SignatureError::Key`] for a secret that is too short, [`SignatureError::Unsignable`] for a token that is none.
    pub fn new(token: SecretString, secret: &[u8]) -> Result<Self, SignatureError> {
        let name = key_id(token.expose_secret())
            .ok_or(SignatureError::Unsignable(SignatureFault::FieldMalformed(TOKEN_FIELD)))?;
        let key = SigningKey::hmac(SigningAlgorithm::Hs256, secret).map_err(SignatureError::Key)?;
        Ok(Self { token, key: Arc::new(key.with_kid(name)) })
    }

    /// The key under the name by which verifiers look it up.
    #[must_use]
    pub fn verifying_key(&self) -> &VerifyingKey {
        self.key.verifying_key()
    }

    /// Signs a request that is sent with exactly `body`, at `now`. Returns names and values of its fields; one of them is the
    /// token, which is secret.
    ///
    /// # Errors
    /// [`SignatureError::Unsignable`] when the target has a query.
    pub fn sign(
        &self,
        method: &str,
        target: &TargetUri,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<[(&'static str, String); 3], SignatureError> {
        let timestamp = now.timestamp().to_string();
        let head = head(method, target, &timestamp).map_err(SignatureError::Unsignable)?;
        let mac = self.key.sign(text(&head, body).as_bytes()).map_err(SignatureError::Key)?;
        Ok([
            (TOKEN_FIELD, self.token.expose_secret().to_owned()),
            (SIGNATURE_FIELD, hex::encode(mac)),
            (TIMESTAMP_FIELD, timestamp),
        ])
    }
}

impl fmt::Debug for LegacySigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LegacySigner").field("key", &self.key).finish_non_exhaustive()
    }
}

/// The name of the key that belongs to a token.
fn key_id(token: &str) -> Option<Kid> {
    let is_sound =
        (1..=TOKEN_BYTES_MAX).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
    let digest = digest::digest(&digest::SHA256, token.as_bytes());
    is_sound.then(|| hex::encode(digest).parse().ok())?
}

/// What is signed before the body's digest.
fn head(method: &str, target: &TargetUri, timestamp: &str) -> Result<String, SignatureFault> {
    if target.query().is_some() {
        return Err(SignatureFault::QueryNotCovered);
    }
    Ok(format!("{}\n{}\n{timestamp}\n", method, target.path()))
}

/// What is signed.
pub(super) fn text(head: &str, body: &[u8]) -> String {
    format!("{head}{}", hex::encode(digest::digest(&digest::SHA256, body)))
}

/// The value of a field that is there once, without spaces around it.
fn single<'a>(fields: &MessageFields<'a>, name: &'static str) -> Result<&'a str, SignatureFault> {
    let mut values = fields.values(name);
    match (values.next(), values.next()) {
        (None, _) => Err(SignatureFault::FieldMissing(name)),
        (Some(value), None) if value.len() <= TOKEN_BYTES_MAX => {
            let text = std::str::from_utf8(value).ok().map(|text| text.trim_matches([' ', '\t']));
            text.ok_or(SignatureFault::FieldMalformed(name))
        }
        _ => Err(SignatureFault::FieldMalformed(name)),
    }
}

pub(super) async fn verify_head(
    config: &LegacyConfig,
    request: &RequestParts<'_>,
    now: DateTime<Utc>,
) -> Result<SignedHead, SignatureError> {
    let malformed = SignatureFault::FieldMalformed;
    let key_id = key_id(single(&request.fields, TOKEN_FIELD)?).ok_or(malformed(TOKEN_FIELD))?;
    let mut mac = [0; 32];
    let hex_mac = single(&request.fields, SIGNATURE_FIELD)?;
    hex::decode_to_slice(hex_mac, &mut mac).map_err(|_| malformed(SIGNATURE_FIELD))?;
    let timestamp = single(&request.fields, TIMESTAMP_FIELD)?;
    let is_number = (1..=TIMESTAMP_DIGITS_MAX).contains(&timestamp.len())
        && timestamp.bytes().all(|byte| byte.is_ascii_digit());
    let created_at = timestamp.parse().ok().filter(|_| is_number);
    let created_at = created_at.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    let created_at = created_at.ok_or(malformed(TIMESTAMP_FIELD))?;
    let window = Window::around(created_at, config.skew, now)?;
    let head = head(request.method, request.target, timestamp)?;
    let held = find(&*config.callers, key_id.as_str(), now).await?;
    if held.key.algorithm() != SigningAlgorithm::Hs256 {
        return Err(SignatureFault::AlgorithmRefused.into());
    }
    let key_id = key_id.shared();
    let nonce = RequestNonce::of_profile(b"legacy\0", Arc::clone(&key_id), &mac, window.remembered_until());
    let verified = VerifiedRequest {
        holder: held.holder.clone(),
        key_id,
        profile: SignatureProfile::Legacy,
        created_at,
        covered: Arc::default(),
    };
    let body = BodyProof::Legacy { held, head, mac };
    Ok(SignedHead { verified, window, nonce, body })
}
