use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};

use super::{
    DigestAlgorithm, INPUT_FIELD, RequestParts, SIGNATURE_FIELD, SignatureComponent, SignatureError,
    SignatureFault, SignatureInput, SignatureParam, SignedMessage, algorithm::registered_name, digest,
    input::Covered, structured,
};
use crate::{KeyError, SigningKey, key::random};

/// Signs requests (RFC 9421), so that a [`RequestVerifier`](super::RequestVerifier) accepts them.
///
/// A signature covers method, authority, whole target and body, and is good for one request within about a minute. A request that
/// is sent again, also by a client that tries again or follows a redirect, is signed again.
#[derive(Clone)]
pub struct RequestSigner {
    key: Arc<SigningKey>,
    covered: Covered,
    label: Box<str>,
    tag: Option<Box<str>>,
    digest: DigestAlgorithm,
    lifetime: Option<Duration>,
}

/// The fields that carry a signature. They replace what a request has under their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureFields {
    /// `Content-Digest` (RFC 9530 §2).
    pub content_digest: String,
    /// `Signature-Input` (RFC 9421 §4.1).
    pub signature_input: String,
    /// `Signature` (RFC 9421 §4.2).
    pub signature: String,
}

impl SignatureFields {
    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            (digest::FIELD, self.content_digest.as_str()),
            (INPUT_FIELD, &self.signature_input),
            (SIGNATURE_FIELD, &self.signature),
        ]
        .into_iter()
    }
}

impl RequestSigner {
    /// Signs with `key`, under the key's name.
    ///
    /// # Errors
    /// [`SignatureError::Key`] when the key's algorithm is none for messages (RFC 9421 §6.2): `EdDSA`, `ES256`, `ES384`,
    /// `PS512`, `RS256` and `HS256` are.
    pub fn new(key: SigningKey) -> Result<Self, SignatureError> {
        if registered_name(key.algorithm()).is_none() {
            return Err(SignatureError::Key(KeyError::AlgorithmMismatch(key.algorithm())));
        }
        Ok(Self {
            key: Arc::new(key),
            covered: Covered::new(super::required().into()),
            label: "sig1".into(),
            tag: None,
            digest: DigestAlgorithm::default(),
            lifetime: None,
        })
    }

    /// Covers `component` as well: a request that does not have it can not be signed.
    #[must_use]
    pub fn covering(mut self, component: SignatureComponent) -> Self {
        let covered = self.covered.components();
        if !covered.contains(&component) {
            self.covered = Covered::new(covered.iter().cloned().chain([component]).collect());
        }
        self
    }

    /// Calls the signature `label` instead of `sig1`.
    ///
    /// # Errors
    /// [`SignatureError::Unsignable`] when that is no key of a dictionary (RFC 8941 §3.1.2).
    pub fn labelled(mut self, label: &str) -> Result<Self, SignatureError> {
        if !structured::is_key(label) {
            return Err(SignatureError::Unsignable(SignatureFault::FieldMalformed(INPUT_FIELD)));
        }
        self.label = label.into();
        Ok(self)
    }

    /// Says what signatures are for (`tag`); up to 256 characters of printable ASCII, which is checked when one is made.
    #[must_use]
    pub fn tagged(mut self, tag: &str) -> Self {
        self.tag = Some(tag.into());
        self
    }

    /// Digests bodies with `algorithm` instead of SHA-256.
    #[must_use]
    pub fn digesting(mut self, algorithm: DigestAlgorithm) -> Self {
        self.digest = algorithm;
        self
    }

    /// Says that signatures are over after `lifetime`, in whole seconds. Without it the verifier decides.
    #[must_use]
    pub fn expiring_after(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// Signs a request that is sent with exactly `body`, at `now`.
    ///
    /// # Errors
    /// [`SignatureError::Unsignable`] when it lacks what is to be covered, [`SignatureError::Key`] without randomness.
    pub fn sign(
        &self,
        request: &RequestParts<'_>,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<SignatureFields, SignatureError> {
        let nonce = BASE64_URL_SAFE_NO_PAD.encode(random::<16>().map_err(SignatureError::Key)?);
        let created = now.timestamp();
        let mut params = vec![SignatureParam::Created(created)];
        if let Some(lifetime) = self.lifetime {
            let seconds = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
            params.push(SignatureParam::Expires(created.saturating_add(seconds)));
        }
        params.push(SignatureParam::Nonce(nonce.into()));
        params.push(SignatureParam::KeyId(self.key.kid().as_str().into()));
        params.extend(self.tag.as_deref().map(|tag| SignatureParam::Tag(tag.into())));
        let input = SignatureInput::covering(Cow::Borrowed(&self.covered), params)
            .map_err(SignatureError::Unsignable)?;
        let content_digest = self.digest.content_digest(body);
        let fields = request.fields.clone().with_only(digest::FIELD, content_digest.as_bytes());
        let digested = RequestParts { fields, ..request.clone() };
        let base = input.base(SignedMessage::Request(&digested)).map_err(SignatureError::Unsignable)?;
        let signature = self.key.sign(base.as_bytes()).map_err(SignatureError::Key)?;
        let mut signature_text = format!("{}=", self.label);
        // Writing to a text does not fail.
        let _ = structured::write_bytes(&mut signature_text, &signature);
        Ok(SignatureFields {
            signature_input: format!("{}={input}", self.label),
            signature: signature_text,
            content_digest,
        })
    }
}

impl fmt::Debug for RequestSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestSigner")
            .field("key", &self.key)
            .field("label", &self.label)
            .finish_non_exhaustive()
    }
}
