//! Signed requests through the public door: published vectors, what is accepted, and everything that is not.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use stylobate_auth::{
    FixedKeys, KeyHolder, MemoryNonces, RequestParts, RequestSigner, RequestVerifier, RequestVerifierConfig,
    SignatureError, SignatureFault, SigningAlgorithm, SigningKey, TargetUri, VerifiedRequest,
};
use stylobate_core::{Clock as _, ServiceId, TenantId};
use stylobate_testkit::ManualClock;

#[cfg(feature = "client")]
mod client;
mod fuzz;
mod legacy;
mod nonces;
mod refusals;
mod vectors;

fn now() -> DateTime<Utc> {
    ManualClock::new().now()
}

/// A request that owns what [`RequestParts`] borrow.
#[derive(Debug, Clone)]
struct Message {
    method: String,
    target: TargetUri,
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Message {
    fn post(path_and_query: &str, body: &str) -> Self {
        Self {
            method: "POST".to_owned(),
            target: TargetUri::new("https", "billing.example.test", path_and_query).unwrap(),
            fields: vec![("Content-Type".to_owned(), b"application/json".to_vec())],
            body: body.as_bytes().to_vec(),
        }
    }

    fn parts(&self) -> RequestParts<'_> {
        RequestParts {
            method: &self.method,
            target: &self.target,
            fields: self.fields.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect(),
        }
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.as_bytes().to_vec()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    fn value(&self, name: &str) -> &str {
        let field = self.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        std::str::from_utf8(&field.unwrap().1).unwrap()
    }

    /// The same request with the text of a field changed.
    fn edited(self, name: &str, from: &str, to: &str) -> Self {
        let (before, after) = (self.value(name).to_owned(), self.value(name).replace(from, to));
        assert_ne!(before, after, "{from} is in {before}");
        self.without(name).with(name, &after)
    }

    fn signed_by(mut self, signer: &RequestSigner, now: DateTime<Utc>) -> Self {
        let signed = signer.sign(&self.parts(), &self.body, now).unwrap();
        for (name, value) in signed.iter() {
            self = self.without(name).with(name, value);
        }
        self
    }
}

fn holder() -> KeyHolder {
    KeyHolder { service: ServiceId::new(now()), tenant: Some(TenantId::new(now())), name: "orders".into() }
}

/// A service with one key, and another that accepts it.
struct Pair {
    signer: RequestSigner,
    verifier: RequestVerifier,
    holder: KeyHolder,
}

impl Pair {
    fn new() -> Self {
        Self::with(SigningAlgorithm::EdDsa, RequestVerifierConfig::default())
    }

    fn with(algorithm: SigningAlgorithm, config: RequestVerifierConfig) -> Self {
        let (key, holder) = (crate::key::key_for(algorithm), holder());
        let keys = FixedKeys::new().with(key.verifying_key().clone(), holder.clone()).unwrap();
        let verifier = RequestVerifier::new(Arc::new(keys), Arc::new(MemoryNonces::new()), config).unwrap();
        Self { signer: RequestSigner::new(key).unwrap(), verifier, holder }
    }

    fn signed(&self) -> Message {
        Message::post("/invoices?draft=1", r#"{"amount":1}"#).signed_by(&self.signer, now())
    }

    async fn verify(&self, message: &Message) -> Result<VerifiedRequest, SignatureError> {
        self.verify_at(message, now()).await
    }

    async fn verify_at(
        &self,
        message: &Message,
        now: DateTime<Utc>,
    ) -> Result<VerifiedRequest, SignatureError> {
        self.verifier.verify(&message.parts(), &message.body, now).await
    }

    /// Expects the request to be refused for this reason, with the one code that callers see.
    async fn refuses(&self, message: &Message, fault: SignatureFault) {
        self.refuses_at(message, now(), fault).await;
    }

    async fn refuses_at(&self, message: &Message, now: DateTime<Utc>, fault: SignatureFault) {
        let refused = self.verify_at(message, now).await.unwrap_err();
        assert_eq!(refused.code(), "request_signature_invalid", "{message:?}");
        assert!(
            matches!(&refused, SignatureError::Invalid(found) if *found == fault),
            "{refused:?}, not {fault:?}"
        );
    }
}

/// All algorithms of RFC 9421 §6.2.
const ALGORITHMS: [SigningAlgorithm; 6] = [
    SigningAlgorithm::EdDsa,
    SigningAlgorithm::Es256,
    SigningAlgorithm::Es384,
    SigningAlgorithm::Ps512,
    SigningAlgorithm::Rs256,
    SigningAlgorithm::Hs256,
];

#[tokio::test]
async fn a_signed_request_is_accepted_whatever_the_algorithm() {
    for algorithm in ALGORITHMS {
        let pair = Pair::with(algorithm, RequestVerifierConfig::default());
        let message = pair.signed();
        let verified = pair.verify(&message).await.unwrap();
        assert_eq!(verified.holder, pair.holder, "{algorithm}");
        assert_eq!(verified.created_at, now());
        let principal = verified.principal();
        assert_eq!(principal.subject, stylobate_core::Subject::Service { id: pair.holder.service });
        assert_eq!(principal.credential, stylobate_core::Credential::Signature);
        assert_eq!(principal.tenant, pair.holder.tenant);
    }
}

#[test]
fn keys_of_other_algorithms_sign_no_requests() {
    for algorithm in SigningAlgorithm::ALL.into_iter().filter(|algorithm| !ALGORITHMS.contains(algorithm)) {
        let refused = RequestSigner::new(crate::key::key_for(algorithm)).unwrap_err();
        assert_eq!(refused.code(), "signing_algorithm_mismatch");
    }
}

#[tokio::test]
async fn a_request_without_body_is_signed_all_the_same() {
    let pair = Pair::new();
    let mut message = Message::post("/invoices", "");
    message.method = "GET".to_owned();
    let message = message.signed_by(&pair.signer, now());
    assert_eq!(message.value("content-digest"), "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:");
    pair.verify(&message).await.unwrap();
}

#[tokio::test]
async fn what_is_asked_for_by_accept_signature_is_accepted() {
    let also = || stylobate_auth::SignatureComponent::field("content-type").unwrap();
    let config = RequestVerifierConfig {
        also_required: vec![also()],
        label: Some("svc".to_owned()),
        tag: Some("billing".to_owned()),
        ..RequestVerifierConfig::default()
    };
    let pair = Pair::with(SigningAlgorithm::EdDsa, config);
    let asked =
        r#"svc=("@method" "@authority" "@target-uri" "content-digest" "content-type");created;tag="billing""#;
    assert_eq!(pair.verifier.accept_signature(), asked);
    let signer = pair.signer.clone().covering(also()).labelled("svc").unwrap().tagged("billing");
    let message = Message::post("/", "{}").signed_by(&signer, now());
    pair.verify(&message).await.unwrap();
    // Of a request with several, the one of that label counts.
    let two = message.clone().with("Signature-Input", "other=();created=1").with("Signature", "other=:AAAA:");
    assert!(matches!(pair.verify(&two).await, Err(SignatureError::Replayed { .. })));

    let unlabelled =
        Message::post("/", "{}").signed_by(&pair.signer.clone().covering(also()).tagged("billing"), now());
    pair.refuses(&unlabelled, SignatureFault::LabelUnexpected).await;
    let untagged = Message::post("/", "{}")
        .signed_by(&pair.signer.clone().covering(also()).labelled("svc").unwrap(), now());
    pair.refuses(&untagged, SignatureFault::ParamInvalid("tag")).await;
    let uncovered = Message::post("/", "{}")
        .signed_by(&pair.signer.clone().labelled("svc").unwrap().tagged("billing"), now());
    pair.refuses(&uncovered, SignatureFault::NotCovered("\"content-type\"".into())).await;
    assert!(pair.signer.clone().labelled("Not A Label").is_err());
}

#[tokio::test]
async fn what_a_signer_should_cover_and_the_request_lacks_is_not_signed() {
    let pair = Pair::new();
    let signer = pair.signer.clone().covering(stylobate_auth::SignatureComponent::field("date").unwrap());
    let message = Message::post("/", "{}");
    let refused = signer.sign(&message.parts(), &message.body, now()).unwrap_err();
    assert!(matches!(
        &refused,
        SignatureError::Unsignable(SignatureFault::ComponentUnavailable(name)) if &**name == "\"date\""
    ));
    assert_eq!(refused.code(), "request_unsignable");
    let tag = "a".repeat(257);
    assert!(pair.signer.clone().tagged(&tag).sign(&message.parts(), b"", now()).is_err());
}

#[tokio::test]
async fn every_digest_is_checked_that_is_known() {
    let pair = Pair::new();
    let signer = pair.signer.clone().digesting(stylobate_auth::DigestAlgorithm::Sha512);
    let message = Message::post("/", "{}").signed_by(&signer, now());
    assert!(message.value("content-digest").starts_with("sha-512=:"));
    pair.verify(&message).await.unwrap();
}

#[test]
fn nothing_secret_is_printed() {
    let key = SigningKey::hmac(SigningAlgorithm::Hs256, b"a secret of thirty-two bytes ok!").unwrap();
    let printed = format!("{:?}", RequestSigner::new(key).unwrap());
    assert!(!printed.contains("thirty-two"), "{printed}");
}

#[tokio::test]
async fn a_lifetime_ends_where_its_signer_said() {
    let pair = Pair::new();
    let signer = pair.signer.clone().expiring_after(Duration::from_secs(10));
    let signed = || Message::post("/", "{}").signed_by(&signer, now());
    let second = TimeDelta::seconds(1);
    pair.verify_at(&signed(), now() + second * 10).await.unwrap();
    pair.refuses_at(&signed(), now() + second * 11, SignatureFault::Expired).await;
}
