//! What is refused (SECURITY A9, C47), each beside what it was made from and is accepted.

use std::{
    future::{Ready, ready},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use stylobate_auth::{
    DigestAlgorithm, FixedKeys, HeldKey, KeySource, KeySourceError, MessageFields, NonceStore,
    NonceStoreError, RequestNonce, SignatureInput, SignatureParam, SignedMessage,
};

use super::*;

const SECOND: TimeDelta = TimeDelta::seconds(1);

/// Signs what the signer would not: an input of its own.
fn forge(message: &Message, key: &SigningKey, input: &str) -> Message {
    let digest = DigestAlgorithm::Sha256.content_digest(&message.body);
    let mut message = message.clone();
    if !message.fields.iter().any(|(name, _)| name == "content-digest") {
        message = message.with("content-digest", &digest);
    }
    let parsed = SignatureInput::parse(input).unwrap();
    let base = parsed.base(SignedMessage::Request(&message.parts())).unwrap();
    let signature = bytes_field(&key.sign(base.as_bytes()).unwrap());
    message.with("signature-input", &format!("sig1={input}")).with("signature", &format!("sig1={signature}"))
}

fn bytes_field(bytes: &[u8]) -> String {
    use base64::{Engine as _, prelude::BASE64_STANDARD};

    format!(":{}:", BASE64_STANDARD.encode(bytes))
}

fn key() -> SigningKey {
    crate::key::key_for(SigningAlgorithm::EdDsa)
}

/// The parameters that the default asks for.
fn params() -> String {
    format!(r#";created={};nonce="n";keyid="{}""#, now().timestamp(), key().kid())
}

const COVERED: &str = r#"("@method" "@authority" "@target-uri" "content-digest")"#;

#[tokio::test]
async fn a_forged_input_of_the_right_form_is_accepted() {
    let message = forge(&Message::post("/a", "{}"), &key(), &format!("{COVERED}{}", params()));
    Pair::new().verify(&message).await.unwrap();
}

/// C47: missing digest, unsigned body, header subset.
#[tokio::test]
async fn each_required_component_has_to_be_covered() {
    let pair = Pair::new();
    for component in [r#""@method""#, r#""@authority""#, r#""@target-uri""#, r#""content-digest""#] {
        let subset = COVERED.replace(component, "").replace("  ", " ");
        let message = forge(&Message::post("/a", "{}"), &key(), &format!("{subset}{}", params()));
        pair.refuses(&message, SignatureFault::NotCovered(component.into())).await;
    }
    let nothing = forge(&Message::post("/a", "{}"), &key(), &format!("(){}", params()));
    pair.refuses(&nothing, SignatureFault::NotCovered(r#""@method""#.into())).await;
    // A part of the digest, or another spelling of it, is not the digest.
    for other in [r#""content-digest";key="sha-256""#, r#""content-digest";bs"#, r#""content-digest";sf"#] {
        let covered = COVERED.replace(r#""content-digest""#, other);
        let message = forge(&Message::post("/a", "{}"), &key(), &format!("{covered}{}", params()));
        pair.refuses(&message, SignatureFault::NotCovered(r#""content-digest""#.into())).await;
    }
}

/// C47: missing digest.
#[tokio::test]
async fn a_request_without_digest_is_refused() {
    let pair = Pair::new();
    pair.refuses(&pair.signed().without("content-digest"), SignatureFault::FieldMissing("content-digest"))
        .await;
    let unknown = Message::post("/a", "{}").with("content-digest", "md5=:AAAA:");
    let unknown = forge(&unknown, &key(), &format!("{COVERED}{}", params()));
    pair.refuses(&unknown, SignatureFault::DigestMissing).await;
}

/// C47: unsigned body.
#[tokio::test]
async fn a_swapped_body_is_refused_with_its_own_digest_too() {
    let pair = Pair::new();
    let mut swapped = pair.signed();
    swapped.body = br#"{"amount":9}"#.to_vec();
    pair.refuses(&swapped, SignatureFault::DigestWrong).await;
    let digest = DigestAlgorithm::Sha256.content_digest(&swapped.body);
    let fitting = swapped.without("content-digest").with("content-digest", &digest);
    pair.refuses(&fitting, SignatureFault::SignatureWrong).await;
    let mut cut = pair.signed();
    cut.body.clear();
    pair.refuses(&cut, SignatureFault::DigestWrong).await;
    // Of two digests one wrong one suffices.
    let digests = format!(
        "{}, {}",
        DigestAlgorithm::Sha256.content_digest(b"{}"),
        DigestAlgorithm::Sha512.content_digest(b"other")
    );
    let two = Message::post("/a", "{}").with("content-digest", &digests);
    let two = forge(&two, &key(), &format!("{COVERED}{}", params()));
    pair.refuses(&two, SignatureFault::DigestWrong).await;
}

/// C47: reordered components.
#[tokio::test]
async fn reordering_components_or_parameters_breaks_the_signature() {
    let pair = Pair::new();
    let swaps = [
        (r#""@method" "@authority""#, r#""@authority" "@method""#),
        (r#""@target-uri" "content-digest""#, r#""content-digest" "@target-uri""#),
        (r#"("@method""#, r#"("content-type" "@method""#),
        (";nonce=", r#";alg="ed25519";nonce="#),
    ];
    for (from, to) in swaps {
        pair.refuses(&pair.signed().edited("signature-input", from, to), SignatureFault::SignatureWrong)
            .await;
    }
    let message = pair.signed();
    let created = format!(";created={}", now().timestamp());
    let last = format!("{}{created}", message.value("signature-input").replace(&created, ""));
    let moved = message.without("signature-input").with("signature-input", &last);
    pair.refuses(&moved, SignatureFault::SignatureWrong).await;
    // Spaces are no part of what is signed.
    let spaced = pair.signed().edited("signature-input", r#"("@method" "#, r#"(  "@method"   "#);
    pair.verify(&spaced).await.unwrap();
}

#[tokio::test]
async fn a_request_for_another_method_authority_scheme_path_or_query_is_refused() {
    let pair = Pair::new();
    pair.verify(&pair.signed()).await.unwrap();
    for method in ["PUT", "post", "GET"] {
        let mut other = pair.signed();
        other.method = method.to_owned();
        pair.refuses(&other, SignatureFault::SignatureWrong).await;
    }
    for (scheme, authority, path) in [
        ("https", "shop.example.test", "/invoices?draft=1"),
        ("https", "billing.example.test:8443", "/invoices?draft=1"),
        ("https", "billing.example.test.", "/invoices?draft=1"),
        ("http", "billing.example.test", "/invoices?draft=1"),
        ("https", "billing.example.test", "/invoices/?draft=1"),
        ("https", "billing.example.test", "/Invoices?draft=1"),
        ("https", "billing.example.test", "/%69nvoices?draft=1"),
        ("https", "billing.example.test", "/invoices?draft=0"),
        ("https", "billing.example.test", "/invoices?draft=1&x"),
        ("https", "billing.example.test", "/invoices"),
    ] {
        let mut other = pair.signed();
        other.target = TargetUri::new(scheme, authority, path).unwrap();
        pair.refuses(&other, SignatureFault::SignatureWrong).await;
    }
    let mut same = pair.signed();
    same.target = TargetUri::new("HTTPS", "Billing.Example.Test:443", "/invoices?draft=1").unwrap();
    pair.verify(&same).await.unwrap();
}

/// A9: skew of at most 60 s, either way.
#[tokio::test]
async fn a_signature_is_good_for_sixty_seconds_either_way() {
    for seconds in [-60, -59, 0, 1, 60] {
        let pair = Pair::new();
        pair.verify_at(&pair.signed(), now() + SECOND * seconds).await.unwrap();
    }
    let pair = Pair::new();
    let micros = TimeDelta::microseconds(1);
    pair.refuses_at(&pair.signed(), now() + SECOND * 60 + micros, SignatureFault::TooOld).await;
    pair.refuses_at(&pair.signed(), now() - SECOND * 60 - micros, SignatureFault::FromTheFuture).await;
    let config =
        RequestVerifierConfig { created_skew: Duration::from_secs(5), ..RequestVerifierConfig::default() };
    let strict = Pair::with(SigningAlgorithm::EdDsa, config);
    strict.verify_at(&strict.signed(), now() + SECOND * 5).await.unwrap();
    strict.refuses_at(&strict.signed(), now() + SECOND * 6, SignatureFault::TooOld).await;
    for (created, fault) in [
        ("999999999999999", SignatureFault::ParamInvalid("created")),
        ("8000000000000", SignatureFault::FromTheFuture),
        ("0", SignatureFault::TooOld),
    ] {
        let params = format!(r#";created={created};nonce="n";keyid="{}""#, key().kid());
        let message = forge(&Message::post("/a", "{}"), &key(), &format!("{COVERED}{params}"));
        pair.refuses(&message, fault).await;
    }
}

#[tokio::test]
async fn an_end_before_the_beginning_or_in_the_past_is_refused() {
    let pair = Pair::new();
    let with_expires = |expires: i64| {
        let input = format!("{COVERED}{};expires={expires}", params());
        forge(&Message::post("/a", "{}"), &key(), &input)
    };
    let created = now().timestamp();
    pair.refuses(&with_expires(created - 1), SignatureFault::ParamInvalid("expires")).await;
    pair.refuses_at(&with_expires(created + 3), now() + SECOND * 4, SignatureFault::Expired).await;
    // A late end does not lengthen the window.
    let late = with_expires(created + 3_600);
    pair.refuses_at(&late, now() + SECOND * 61, SignatureFault::TooOld).await;
    pair.verify_at(&late, now() + SECOND * 60).await.unwrap();
}

/// A9: replay refused.
#[tokio::test]
async fn a_signature_is_good_for_one_request() {
    let pair = Pair::new();
    let message = pair.signed();
    pair.verify(&message).await.unwrap();
    for seconds in [0, 1, 59, 60] {
        let again = pair.verify_at(&message, now() + SECOND * seconds).await.unwrap_err();
        assert_eq!(again.code(), "request_replayed");
        // Logs learn whose it was.
        assert!(matches!(again, SignatureError::Replayed { key_id } if *key_id == *key().kid().as_str()));
    }
    pair.refuses_at(&message, now() + SECOND * 61, SignatureFault::TooOld).await;
    // Another signature of the same request has another nonce.
    pair.verify(&pair.signed()).await.unwrap();
    // The nonce counts, not the signature: a second one with it is a replay, whatever it covers.
    let first = forge(&Message::post("/a", "{}"), &key(), &format!("{COVERED}{}", params()));
    let second = forge(&Message::post("/b", "{}"), &key(), &format!("{COVERED}{}", params()));
    pair.verify(&first).await.unwrap();
    assert!(matches!(pair.verify(&second).await, Err(SignatureError::Replayed { .. })));
}

#[tokio::test]
async fn fifty_copies_at_once_are_one_request() {
    let pair = Arc::new(Pair::new());
    let message = Arc::new(pair.signed());
    let mut tries = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (pair, message) = (Arc::clone(&pair), Arc::clone(&message));
        tries.spawn(async move { pair.verify(&message).await.is_ok() });
    }
    assert_eq!(tries.join_all().await.into_iter().filter(|accepted| *accepted).count(), 1);
}

#[tokio::test]
async fn a_request_that_is_refused_uses_nothing_up() {
    let pair = Pair::new();
    let message = pair.signed();
    let mut swapped = message.clone();
    swapped.body = b"other".to_vec();
    pair.refuses(&swapped, SignatureFault::DigestWrong).await;
    pair.verify(&message).await.unwrap();
}

#[tokio::test]
async fn a_body_that_takes_longer_than_the_window_is_refused() {
    let pair = Pair::new();
    let message = pair.signed();
    let begin = async || pair.verifier.verify_head(&message.parts(), now()).await.unwrap();
    let late = pair.verifier.verify_body(begin().await, &message.body, now() + SECOND * 61).await;
    assert!(matches!(late, Err(SignatureError::Invalid(SignatureFault::TooOld))));
    pair.verifier.verify_body(begin().await, &message.body, now() + SECOND * 60).await.unwrap();
}

/// A9: body cap before hashing.
#[tokio::test]
async fn a_body_above_the_limit_is_refused_before_anything_else() {
    let config = RequestVerifierConfig { body_bytes_max: 16, ..RequestVerifierConfig::default() };
    let pair = Pair::with(SigningAlgorithm::EdDsa, config);
    let fits = Message::post("/a", "0123456789abcdef").signed_by(&pair.signer, now());
    pair.verify(&fits).await.unwrap();
    let above = Message::post("/a", "0123456789abcdefg").signed_by(&pair.signer, now());
    let refused = pair.verify(&above).await.unwrap_err();
    assert!(matches!(refused, SignatureError::BodyTooLarge { bytes_max: 16 }));
    assert_eq!(refused.code(), "body_too_large");
    let mut unsigned = above.without("signature").without("signature-input");
    assert!(matches!(pair.verify(&unsigned).await, Err(SignatureError::BodyTooLarge { .. })));
    unsigned.body.truncate(16);
    pair.refuses(&unsigned, SignatureFault::FieldMissing("signature-input")).await;
}

#[tokio::test]
async fn what_a_signature_consists_of_has_to_be_there_and_whole() {
    let pair = Pair::new();
    let missing = SignatureFault::FieldMissing;
    let malformed = SignatureFault::FieldMalformed;
    pair.refuses(&pair.signed().without("signature"), missing("signature")).await;
    pair.refuses(&pair.signed().without("signature-input"), missing("signature-input")).await;
    for (value, fault) in [
        ("", malformed("signature")),
        ("sig1", malformed("signature")),
        ("sig1=\"AAAA\"", malformed("signature")),
        ("sig1=:AAAA:;a", malformed("signature")),
        ("sig1=:AAA:", malformed("signature")),
        ("sig1=(:AAAA:)", malformed("signature")),
        ("sig1=:AAAA:, sig1=:AAAA:", malformed("signature")),
        ("sig2=:AAAA:", SignatureFault::LabelsDiffer),
        ("sig1=:AAAA:, sig2=:AAAA:", SignatureFault::LabelsDiffer),
        ("sig1=::", SignatureFault::SignatureWrong),
        ("sig1=:AAAA:", SignatureFault::SignatureWrong),
    ] {
        let message = pair.signed().without("signature").with("signature", value);
        let fault = if value.is_empty() { SignatureFault::LabelsDiffer } else { fault };
        pair.refuses(&message, fault).await;
    }
    for value in ["sig1=1", "sig1", "sig1=\"a\"", "sig1=(a)"] {
        let message = pair.signed().without("signature-input").with("signature-input", value);
        let refused = pair.verify(&message).await.unwrap_err();
        assert_eq!(refused.code(), "request_signature_invalid", "{value}");
    }
}

/// C47, and RFC 9421 §4: fields that occur more than once.
#[tokio::test]
async fn repeated_fields_are_refused() {
    let pair = Pair::new();
    let malformed = SignatureFault::FieldMalformed;
    let message = pair.signed();
    for name in ["signature", "signature-input", "content-digest"] {
        let twice = message.clone().with(name, message.value(name));
        let fault = malformed(match name {
            "signature" => "signature",
            "signature-input" => "signature-input",
            _ => "content-digest",
        });
        pair.refuses(&twice, fault).await;
    }
    // A second signature under another label is one more than expected.
    let second = pair.signed().with("signature-input", "sig2=();created=1").with("signature", "sig2=:AAAA:");
    pair.refuses(&second, SignatureFault::LabelUnexpected).await;
    // A covered field of which somebody added one.
    let covered =
        pair.signer.clone().covering(stylobate_auth::SignatureComponent::field("content-type").unwrap());
    let message = Message::post("/a", "{}").signed_by(&covered, now());
    pair.verify(&message).await.unwrap();
    let message = Message::post("/a", "{}").signed_by(&covered, now()).with("Content-Type", "text/html");
    pair.refuses(&message, SignatureFault::SignatureWrong).await;
}

#[tokio::test]
async fn each_required_parameter_has_to_be_there_and_no_other() {
    let pair = Pair::new();
    let created = format!(";created={}", now().timestamp());
    let key_id = format!(";keyid=\"{}\"", key().kid());
    for (params, fault) in [
        (format!(";nonce=\"n\"{key_id}"), SignatureFault::ParamMissing("created")),
        (format!("{created}{key_id}"), SignatureFault::ParamMissing("nonce")),
        (format!("{created};nonce=\"n\""), SignatureFault::ParamMissing("keyid")),
        (format!("{created};nonce=\"n\"{key_id};tag=\"t\""), SignatureFault::ParamInvalid("tag")),
        (format!("{created};nonce=\"n\";keyid=\"unknown\""), SignatureFault::KeyUnknown),
    ] {
        let message = forge(&Message::post("/a", "{}"), &key(), &format!("{COVERED}{params}"));
        pair.refuses(&message, fault).await;
    }
    let message = pair.signed().edited("signature-input", ";nonce", ";unknown=1;nonce");
    pair.refuses(&message, SignatureFault::ParamUnknown).await;
    let message = pair.signed().edited("signature-input", ";nonce", ";created=1;nonce");
    pair.refuses(&message, SignatureFault::FieldMalformed("signature-input")).await;
}

#[tokio::test]
async fn components_with_wrong_parameters_and_repeated_ones_are_refused() {
    let pair = Pair::new();
    for component in [
        r#""@method";req"#,
        r#""content-type";tr"#,
        r#""content-type";unknown"#,
        r#""content-type";sf;bs"#,
        r#""@path";name="a""#,
        r#""@query-param""#,
        r#""@signature-params""#,
        r#""Content-Type""#,
        r#""@status""#,
        r#""x-missing""#,
        r#""@method""#,
    ] {
        let added = format!(r#""content-digest" {component})"#);
        let message = pair.signed().edited("signature-input", r#""content-digest")"#, &added);
        let refused = pair.verify(&message).await.unwrap_err();
        assert_eq!(refused.code(), "request_signature_invalid", "{component}");
        assert!(
            !matches!(refused, SignatureError::Invalid(SignatureFault::SignatureWrong)),
            "{component} is refused for what it is"
        );
    }
}

/// RFC 9421 §3.2 step 6, §7.3.5 and §7.3.6.
#[tokio::test]
async fn the_key_decides_the_algorithm() {
    let pair = Pair::new();
    let with_alg = |alg: &str| {
        let input = format!("{COVERED}{};alg=\"{alg}\"", params());
        forge(&Message::post("/a", "{}"), &key(), &input)
    };
    for alg in ["hmac-sha256", "rsa-v1_5-sha256", "ecdsa-p256-sha256", "none", "EdDSA", "Ed25519", "ed25519 "]
    {
        pair.refuses(&with_alg(alg), SignatureFault::AlgorithmRefused).await;
    }
    pair.verify(&with_alg("ed25519")).await.unwrap();
    // A public key is no secret: an HMAC with it is not the key's signature.
    let public = serde_json::to_value(key().verifying_key().to_jwk()).unwrap();
    let public = public["x"].as_str().unwrap();
    let forged = SigningKey::hmac(SigningAlgorithm::Hs256, public.as_bytes()).unwrap();
    let message = forge(&Message::post("/a", "{}"), &forged, &format!("{COVERED}{}", params()));
    pair.refuses(&message, SignatureFault::SignatureWrong).await;
    let other = SigningKey::generate(SigningAlgorithm::EdDsa).unwrap().0;
    let message = forge(&Message::post("/a", "{}"), &other, &format!("{COVERED}{}", params()));
    pair.refuses(&message, SignatureFault::SignatureWrong).await;
}

/// A source of its own may have keys of any algorithm.
#[derive(Debug)]
struct OneKey(Arc<HeldKey>);

impl KeySource for OneKey {
    fn find<'a>(
        &'a self,
        _key_id: &'a str,
        _now: DateTime<Utc>,
    ) -> Pin<Box<dyn Future<Output = Result<Option<Arc<HeldKey>>, KeySourceError>> + Send + 'a>> {
        Box::pin(ready(Ok(Some(Arc::clone(&self.0)))))
    }
}

#[tokio::test]
async fn a_key_of_an_algorithm_that_is_none_for_messages_verifies_nothing() {
    let key = crate::key::key_for(SigningAlgorithm::Hs512);
    let keys = OneKey(Arc::new(HeldKey { key: key.verifying_key().clone(), holder: holder() }));
    let nonces = Arc::new(MemoryNonces::new());
    let verifier = RequestVerifier::new(Arc::new(keys), nonces, RequestVerifierConfig::default()).unwrap();
    let message = forge(&Message::post("/a", "{}"), &key, &format!("{COVERED}{}", params()));
    let refused = verifier.verify(&message.parts(), &message.body, now()).await;
    assert!(matches!(refused, Err(SignatureError::Invalid(SignatureFault::AlgorithmRefused))));
}

#[tokio::test]
async fn huge_inputs_are_refused_at_their_limits() {
    let pair = Pair::new();
    let long = "a".repeat(8 * 1_024);
    let message = pair.signed().edited("signature-input", "sig1=", &format!("{long}=1, sig1="));
    pair.refuses(&message, SignatureFault::FieldTooLong("signature-input")).await;
    let message = pair.signed().without("signature").with("signature", &format!("sig1=:{long}:"));
    pair.refuses(&message, SignatureFault::FieldTooLong("signature")).await;
    let message = pair.signed().without("content-digest").with("content-digest", &format!("md5=:{long}:"));
    pair.refuses(&message, SignatureFault::FieldTooLong("content-digest")).await;
    let many: String = (0..21).map(|n| format!(" \"x{n}\"")).collect();
    let message = pair.signed().edited(
        "signature-input",
        r#""content-digest")"#,
        &format!(r#""content-digest"{many})"#),
    );
    pair.refuses(&message, SignatureFault::ComponentsTooMany).await;
    // Members are compared with each other.
    let members: String = (0..64).map(|n| format!(", m{n}=1")).collect();
    let message = pair.signed().edited("signature-input", "sig1=", &format!("m=1{members}, sig1="));
    pair.refuses(&message, SignatureFault::FieldMalformed("signature-input")).await;
    // One long field, covered in every way there is.
    let covered = r#""content-digest" "x-long" "x-long";bs "x-long";key="a" "x-long";key="b")"#;
    let message = pair
        .signed()
        .edited("signature-input", r#""content-digest")"#, covered)
        .with("x-long", &"b".repeat(64 * 1_024));
    pair.refuses(&message, SignatureFault::BaseTooLong).await;
    let message = pair
        .signed()
        .edited("signature-input", r#""content-digest")"#, r#""content-digest" "x-long" "x-long";bs)"#)
        .with("x-long", &"b".repeat(40 * 1_024));
    pair.refuses(&message, SignatureFault::BaseTooLong).await;
}

#[tokio::test]
async fn fields_with_line_breaks_or_other_bytes_are_refused() {
    let pair = Pair::new();
    let folded = pair.signed().edited("signature-input", r#" "@authority""#, "\r\n \"@authority\"");
    pair.verify(&folded).await.unwrap();
    let mut broken = pair.signed().without("signature");
    broken.fields.push(("signature".to_owned(), b"sig1=:AAAA:\nx: y".to_vec()));
    pair.refuses(&broken, SignatureFault::FieldMalformed("signature")).await;
    let mut binary = pair.signed().without("content-digest");
    binary.fields.push(("content-digest".to_owned(), b"sha-256=\xff".to_vec()));
    pair.refuses(&binary, SignatureFault::FieldMalformed("content-digest")).await;
}

#[derive(Debug)]
struct Down;

impl KeySource for Down {
    fn find<'a>(
        &'a self,
        _key_id: &'a str,
        _now: DateTime<Utc>,
    ) -> Pin<Box<dyn Future<Output = Result<Option<Arc<HeldKey>>, KeySourceError>> + Send + 'a>> {
        Box::pin(ready(Err(KeySourceError("away".into()))))
    }
}

impl NonceStore for Down {
    fn remember<'a>(
        &'a self,
        _nonce: &'a RequestNonce,
        _now: DateTime<Utc>,
    ) -> Pin<Box<dyn Future<Output = Result<bool, NonceStoreError>> + Send + 'a>> {
        Box::pin(ready(Err(NonceStoreError::Unavailable("away".into()))))
    }

    fn sweep(
        &self,
        _now: DateTime<Utc>,
        _nonces_max: u32,
    ) -> Pin<Box<dyn Future<Output = Result<u64, NonceStoreError>> + Send + '_>> {
        let away: Ready<Result<u64, NonceStoreError>> =
            ready(Err(NonceStoreError::Unavailable("away".into())));
        Box::pin(away)
    }
}

/// A9: a store that is down is not a caller's mistake, and accepts nothing.
#[tokio::test]
async fn without_keys_or_nonces_nothing_is_accepted() {
    let pair = Pair::new();
    let known = || FixedKeys::new().with(key().verifying_key().clone(), holder()).unwrap();
    let full = MemoryNonces::with_room_for(0);
    let config = RequestVerifierConfig::default;
    for verifier in [
        RequestVerifier::new(Arc::new(Down), Arc::new(MemoryNonces::new()), config()).unwrap(),
        RequestVerifier::new(Arc::new(known()), Arc::new(Down), config()).unwrap(),
        RequestVerifier::new(Arc::new(known()), Arc::new(full), config()).unwrap(),
    ] {
        let message = pair.signed();
        let refused = verifier.verify(&message.parts(), &message.body, now()).await.unwrap_err();
        assert!(matches!(refused, SignatureError::StoreUnavailable(_)));
        assert_eq!(refused.code(), "signature_store_unavailable");
        // Whoever has no key learns nothing of the store of nonces.
        let mut swapped = pair.signed();
        swapped.body = b"other".to_vec();
        assert!(verifier.verify(&swapped.parts(), &swapped.body, now()).await.is_err());
    }
}

#[test]
fn a_request_is_signed_when_it_says_so() {
    let pair = Pair::new();
    let is_signed = |name: &str| {
        let fields: MessageFields<'_> = [(name, &b"x"[..])].into_iter().collect();
        pair.verifier.is_signed(|asked| fields.has(asked))
    };
    assert!(is_signed("Signature") && is_signed("signature-input"));
    // The profile of replaced systems is off, and a digest alone claims nothing.
    assert!(!is_signed("x-signature") && !is_signed("x-service-token") && !is_signed("content-digest"));
}

#[test]
fn parameters_of_a_signature_are_read_as_they_are_written() {
    let text = format!("{COVERED}{}", params());
    let input = SignatureInput::parse(&text).unwrap();
    assert!(input.params().contains(&SignatureParam::Nonce("n".into())));
    assert_eq!(input.components().len(), 4);
}
