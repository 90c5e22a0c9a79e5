use std::{borrow::Cow, sync::Arc};

use chrono::{DateTime, Utc};

use super::{
    ContentDigest, HeldKey, INPUT_FIELD, KeySource, MessageFields, NonceStore, RequestNonce, RequestParts,
    RequestVerifierConfig, RequestVerifierConfigProblems, SIGNATURE_FIELD, SignatureError, SignatureFault,
    SignatureInput, SignatureProfile, SignedHead, SignedMessage, VerifiedRequest,
    algorithm::registered_name,
    digest,
    input::Covered,
    legacy,
    message::Uncombined,
    structured::{self, Bare, Item, Member},
    verified::BodyProof,
    window::Window,
};

/// The longest `Signature` and `Signature-Input`, in bytes.
const FIELD_BYTES_MAX: usize = 8 * 1_024;

/// Accepts requests that were signed by keys it knows, each once.
///
/// It holds no connection and no state but what it was made of; clones share all of it.
#[derive(Debug, Clone)]
pub struct RequestVerifier {
    keys: Arc<dyn KeySource>,
    nonces: Arc<dyn NonceStore>,
    config: RequestVerifierConfig,
    /// What has to be covered, in the order in which it is asked for.
    required: Arc<Covered>,
}

impl RequestVerifier {
    /// Accepts requests signed by `keys`, and remembers them in `nonces`.
    ///
    /// # Errors
    /// Everything that is wrong with `config`.
    pub fn new(
        keys: Arc<dyn KeySource>,
        nonces: Arc<dyn NonceStore>,
        config: RequestVerifierConfig,
    ) -> Result<Self, RequestVerifierConfigProblems> {
        config.validate()?;
        let mut required = Vec::from(super::required());
        for component in &config.also_required {
            if !required.contains(component) {
                required.push(component.clone());
            }
        }
        Ok(Self { keys, nonces, config, required: Arc::new(Covered::new(required)) })
    }

    /// The most of a body that is hashed, in bytes.
    #[must_use]
    pub fn body_bytes_max(&self) -> usize {
        self.config.body_bytes_max
    }

    /// Whether a request claims to be signed, in a profile that is looked at; `has` says whether it has a field, named in lower case.
    #[must_use]
    pub fn is_signed(&self, has: impl Fn(&'static str) -> bool) -> bool {
        let is_legacy = || has(legacy::TOKEN_FIELD) || has(legacy::SIGNATURE_FIELD);
        has(SIGNATURE_FIELD) || has(INPUT_FIELD) || (self.config.legacy.is_some() && is_legacy())
    }

    fn is_legacy(&self, fields: &MessageFields<'_>) -> bool {
        self.config.legacy.is_some()
            && (fields.has(legacy::TOKEN_FIELD) || fields.has(legacy::SIGNATURE_FIELD))
    }

    /// The value of `Accept-Signature` that asks for what is accepted here (RFC 9421 §5.1). That a `nonce` has to be there as
    /// well cannot be said in it.
    #[must_use]
    pub fn accept_signature(&self) -> String {
        use std::fmt::Write as _;

        let label = self.config.label.as_deref().unwrap_or("sig1");
        let mut text = format!("{label}={};created", self.required.text());
        if let Some(tag) = &self.config.tag {
            // Writing to a text does not fail.
            let _ = text.write_str(";tag=").and_then(|()| structured::write_string(&mut text, tag));
        }
        text
    }

    /// Judges a request with its body as it was received.
    ///
    /// # Errors
    /// [`SignatureError::Invalid`], [`SignatureError::Replayed`] for a signature that was used, [`SignatureError::BodyTooLarge`],
    /// [`SignatureError::StoreUnavailable`] when keys or nonces cannot be reached.
    pub async fn verify(
        &self,
        request: &RequestParts<'_>,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<VerifiedRequest, SignatureError> {
        self.within_limit(body)?;
        let head = self.verify_head(request, now).await?;
        self.verify_body(head, body, now).await
    }

    /// Judges what comes before the body, so that nobody's body is read who has no key.
    ///
    /// # Errors
    /// [`SignatureError::Invalid`], [`SignatureError::StoreUnavailable`] when keys cannot be reached.
    pub async fn verify_head(
        &self,
        request: &RequestParts<'_>,
        now: DateTime<Utc>,
    ) -> Result<SignedHead, SignatureError> {
        match (is_rfc_9421(&request.fields), &self.config.legacy) {
            (true, _) if self.is_legacy(&request.fields) => Err(SignatureFault::ProfilesMixed.into()),
            (false, Some(config)) if self.is_legacy(&request.fields) => {
                legacy::verify_head(config, request, now).await
            }
            _ => self.verify_rfc_9421(request, now).await,
        }
    }

    async fn verify_rfc_9421(
        &self,
        request: &RequestParts<'_>,
        now: DateTime<Utc>,
    ) -> Result<SignedHead, SignatureError> {
        let fields = &request.fields;
        let (inputs, signatures) = (whole(fields, INPUT_FIELD)?, whole(fields, SIGNATURE_FIELD)?);
        let (input, signature) = self.read(&inputs, &signatures)?;
        self.is_all_covered(&input)?;
        if input.tag() != self.config.tag.as_deref() {
            return Err(SignatureFault::ParamInvalid("tag").into());
        }
        let key_id = input.key_id().ok_or(SignatureFault::ParamMissing("keyid"))?;
        let nonce = input.nonce().ok_or(SignatureFault::ParamMissing("nonce"))?;
        let (created_at, window) = Window::of(&input, self.config.created_skew, now)?;
        let digest = ContentDigest::parse(&whole(fields, digest::FIELD)?)?;
        let held = find(&*self.keys, key_id, now).await?;
        let algorithm = registered_name(held.key.algorithm()).ok_or(SignatureFault::AlgorithmRefused)?;
        // The key decides; what the signature says may only agree (§3.2 step 6).
        if input.alg().is_some_and(|alg| alg != algorithm) {
            return Err(SignatureFault::AlgorithmRefused.into());
        }
        let base = input.base(SignedMessage::Request(request))?;
        if !held.key.verify(base.as_bytes(), &signature) {
            return Err(SignatureFault::SignatureWrong.into());
        }
        let key_id = held.named(key_id);
        let remembered_until = window.remembered_until();
        let nonce =
            RequestNonce::of_profile(b"rfc9421\0", Arc::clone(&key_id), nonce.as_bytes(), remembered_until);
        let verified = VerifiedRequest {
            holder: held.holder.clone(),
            key_id,
            profile: SignatureProfile::Rfc9421,
            created_at,
            covered: Arc::clone(input.covered().components()),
        };
        Ok(SignedHead { verified, window, nonce, body: BodyProof::Digest(digest) })
    }

    /// The one signature that counts (§3.2 steps 1 to 3).
    fn read<'a>(
        &'a self,
        inputs: &'a str,
        signatures: &str,
    ) -> Result<(SignatureInput<'a>, Vec<u8>), SignatureFault> {
        let inputs = structured::dictionary_knowing(self.required.text(), inputs)
            .ok_or(SignatureFault::FieldMalformed(INPUT_FIELD))?;
        let signatures =
            structured::dictionary(signatures).ok_or(SignatureFault::FieldMalformed(SIGNATURE_FIELD))?;
        if inputs.len() != signatures.len() || !inputs.iter().all(|(label, _)| signatures.has(label)) {
            return Err(SignatureFault::LabelsDiffer);
        }
        let is_expected = |label: &str| self.config.label.as_deref().is_none_or(|expected| expected == label);
        let mut expected = inputs.into_iter().filter(|(label, _)| is_expected(label));
        let (Some((label, input)), None) = (expected.next(), expected.next()) else {
            return Err(SignatureFault::LabelUnexpected);
        };
        let input = SignatureInput::read(input, Some(&*self.required))?;
        match signatures.take(label) {
            Some(Member::Item(Item { value: Bare::Bytes(signature), params })) if params.is_empty() => {
                Ok((input, signature))
            }
            _ => Err(SignatureFault::FieldMalformed(SIGNATURE_FIELD)),
        }
    }

    fn is_all_covered(&self, input: &SignatureInput<'_>) -> Result<(), SignatureFault> {
        let (required, covered) = (self.required.components(), input.covered().components());
        if Arc::ptr_eq(required, covered) {
            return Ok(());
        }
        let missing = required.iter().find(|component| !covered.contains(component));
        missing.map_or(Ok(()), |component| Err(SignatureFault::NotCovered(component.to_string().into())))
    }

    /// Judges the body of a request whose head is good, at `now`, when all of it has been received; and remembers the
    /// signature, so that it is good for no other request.
    ///
    /// # Errors
    /// As [`verify`](Self::verify).
    pub async fn verify_body(
        &self,
        head: SignedHead,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<VerifiedRequest, SignatureError> {
        self.within_limit(body)?;
        // A body may take its time: later than this its nonce may already be forgotten.
        if head.window.is_over(now) {
            return Err(SignatureFault::TooOld.into());
        }
        head.body.hold_against(body)?;
        // Last, so that nobody uses up the signature of a request that they cannot send.
        let remembered = self.nonces.remember(&head.nonce, now).await;
        match remembered.map_err(|error| SignatureError::StoreUnavailable(error.into()))? {
            true => Ok(head.verified),
            false => Err(SignatureError::Replayed { key_id: head.verified.key_id }),
        }
    }

    fn within_limit(&self, body: &[u8]) -> Result<(), SignatureError> {
        let bytes_max = self.config.body_bytes_max;
        if body.len() > bytes_max { Err(SignatureError::BodyTooLarge { bytes_max }) } else { Ok(()) }
    }
}

fn is_rfc_9421(fields: &MessageFields<'_>) -> bool {
    fields.has(SIGNATURE_FIELD) || fields.has(INPUT_FIELD)
}

/// Looks a key up that is expected to be there.
pub(super) async fn find(
    keys: &dyn KeySource,
    key_id: &str,
    now: DateTime<Utc>,
) -> Result<Arc<HeldKey>, SignatureError> {
    if let Some(held) = keys.find_now(key_id, now) {
        return Ok(held);
    }
    let found = keys.find(key_id, now).await;
    let found = found.map_err(|error| SignatureError::StoreUnavailable(error.into()))?;
    found.ok_or_else(|| SignatureFault::KeyUnknown.into())
}

/// All lines of a field that a signature consists of.
fn whole<'a>(fields: &MessageFields<'a>, name: &'static str) -> Result<Cow<'a, str>, SignatureFault> {
    match fields.combined(name, FIELD_BYTES_MAX) {
        Ok(text) => text.ok_or(SignatureFault::FieldMissing(name)),
        Err(Uncombined::TooLong) => Err(SignatureFault::FieldTooLong(name)),
        Err(Uncombined::Malformed) => Err(SignatureFault::FieldMalformed(name)),
    }
}
