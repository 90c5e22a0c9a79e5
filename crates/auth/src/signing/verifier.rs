use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{
    ContentDigest, HeldKey, INPUT_FIELD, KeySource, MessageFields, NonceStore, RequestNonce, RequestParts,
    RequestVerifierConfig, RequestVerifierConfigProblems, SIGNATURE_FIELD, SignatureComponent,
    SignatureError, SignatureFault, SignatureInput, SignatureProfile, SignedHead, SignedMessage,
    VerifiedRequest,
    algorithm::registered_name,
    digest, legacy,
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
        Ok(Self { keys, nonces, config })
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
        let components: Vec<String> = self.required().map(|component| component.to_string()).collect();
        let mut text = format!("{label}=({});created", components.join(" "));
        if let Some(tag) = &self.config.tag {
            // Writing to a text does not fail.
            let _ = text.write_str(";tag=").and_then(|()| structured::write_string(&mut text, tag));
        }
        text
    }

    fn required(&self) -> impl Iterator<Item = SignatureComponent> {
        let always = super::required();
        let beside: Vec<_> = self
            .config
            .also_required
            .iter()
            .filter(|component| !always.contains(component))
            .cloned()
            .collect();
        always.into_iter().chain(beside)
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
        let (input, signature) = self.read(&request.fields)?;
        for component in self.required() {
            if !input.components().contains(&component) {
                return Err(SignatureFault::NotCovered(component.to_string().into()).into());
            }
        }
        if input.tag() != self.config.tag.as_deref() {
            return Err(SignatureFault::ParamInvalid("tag").into());
        }
        let key_id = input.key_id().ok_or(SignatureFault::ParamMissing("keyid"))?;
        let nonce = input.nonce().ok_or(SignatureFault::ParamMissing("nonce"))?;
        let (created_at, window) = Window::of(&input, self.config.created_skew, now)?;
        let digest = request
            .fields
            .combined(digest::FIELD, FIELD_BYTES_MAX)
            .map_err(|fault| uncombined(fault, digest::FIELD))?
            .ok_or(SignatureFault::FieldMissing(digest::FIELD))?;
        let digest = ContentDigest::parse(&digest)?;
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
        let unique = [b"rfc9421\0", nonce.as_bytes()].concat();
        let nonce = RequestNonce::new(key_id, &unique, window.remembered_until());
        let verified = VerifiedRequest {
            holder: held.holder.clone(),
            key_id: key_id.into(),
            profile: SignatureProfile::Rfc9421,
            created_at,
            covered: input.components().to_vec(),
        };
        Ok(SignedHead { verified, window, nonce, body: BodyProof::Digest(digest) })
    }

    /// The one signature that counts (§3.2 steps 1 to 3).
    fn read(&self, fields: &MessageFields<'_>) -> Result<(SignatureInput, Vec<u8>), SignatureFault> {
        let text = |name: &'static str| {
            let text = fields.combined(name, FIELD_BYTES_MAX).map_err(|fault| uncombined(fault, name))?;
            text.ok_or(SignatureFault::FieldMissing(name))
        };
        let (inputs, signatures) = (text(INPUT_FIELD)?, text(SIGNATURE_FIELD)?);
        let inputs = structured::dictionary(&inputs).ok_or(SignatureFault::FieldMalformed(INPUT_FIELD))?;
        let signatures =
            structured::dictionary(&signatures).ok_or(SignatureFault::FieldMalformed(SIGNATURE_FIELD))?;
        let is_signed = |label: &str| signatures.iter().any(|(known, _)| *known == label);
        if inputs.len() != signatures.len() || !inputs.iter().all(|(label, _)| is_signed(label)) {
            return Err(SignatureFault::LabelsDiffer);
        }
        let is_expected = |label: &str| self.config.label.as_deref().is_none_or(|expected| expected == label);
        let mut expected = inputs.into_iter().filter(|(label, _)| is_expected(label));
        let (Some((label, input)), None) = (expected.next(), expected.next()) else {
            return Err(SignatureFault::LabelUnexpected);
        };
        let input = SignatureInput::read(input)?;
        match signatures.into_iter().find(|(known, _)| *known == label) {
            Some((_, Member::Item(Item { value: Bare::Bytes(signature), params }))) if params.is_empty() => {
                Ok((input, signature))
            }
            _ => Err(SignatureFault::FieldMalformed(SIGNATURE_FIELD)),
        }
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
            false => Err(SignatureError::Replayed),
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
    let found = keys.find(key_id, now).await;
    let found = found.map_err(|error| SignatureError::StoreUnavailable(error.into()))?;
    found.ok_or_else(|| SignatureFault::KeyUnknown.into())
}

fn uncombined(fault: Uncombined, name: &'static str) -> SignatureFault {
    match fault {
        Uncombined::TooLong => SignatureFault::FieldTooLong(name),
        Uncombined::Malformed => SignatureFault::FieldMalformed(name),
    }
}
