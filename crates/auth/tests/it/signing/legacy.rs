//! The profile of the replaced systems.

use std::sync::Arc;

use ring::hmac;
use secrecy::SecretString;
use stylobate_auth::{LegacyConfig, LegacySigner, SignatureProfile};

use super::*;

const TOKEN: &str = "svc-orders-5b1f0c";
const SECRET: &[u8] = b"a secret that both services know";

fn signer() -> LegacySigner {
    LegacySigner::new(SecretString::from(TOKEN), SECRET).unwrap()
}

fn pair() -> Pair {
    let callers = FixedKeys::new().with(signer().verifying_key().clone(), holder()).unwrap();
    let config = RequestVerifierConfig {
        legacy: Some(LegacyConfig::new(Arc::new(callers))),
        ..RequestVerifierConfig::default()
    };
    Pair::with(SigningAlgorithm::EdDsa, config)
}

fn signed(path: &str, body: &str) -> Message {
    let mut message = Message::post(path, body);
    for (name, value) in signer().sign(&message.method, &message.target, &message.body, now()).unwrap() {
        message = message.with(name, &value);
    }
    message
}

#[tokio::test]
async fn a_request_signed_as_in_the_replaced_systems_is_accepted_once() {
    let pair = pair();
    let message = signed("/internal/sync", r#"{"a":1}"#);
    // The text as the replaced systems put it together.
    let digest = ring::digest::digest(&ring::digest::SHA256, br#"{"a":1}"#);
    let text = format!("POST\n/internal/sync\n{}\n{}", now().timestamp(), hex::encode(digest));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
    assert_eq!(message.value("x-signature"), hex::encode(hmac::sign(&key, text.as_bytes())));
    let verified = pair.verify(&message).await.unwrap();
    assert_eq!((verified.profile, &*verified.holder.name), (SignatureProfile::Legacy, "orders"));
    assert!(verified.covered.is_empty());
    // The name of its key is no token.
    assert!(!verified.key_id.contains(TOKEN));
    assert!(matches!(pair.verify(&message).await, Err(SignatureError::Replayed { .. })));
    // The same signature in capital letters is the same one.
    let upper = message.value("x-signature").to_ascii_uppercase();
    let upper = message.clone().without("x-signature").with("X-Signature", &upper);
    assert!(matches!(pair.verify(&upper).await, Err(SignatureError::Replayed { .. })));
    // So is an equal request within the same second.
    assert!(matches!(
        pair.verify(&signed("/internal/sync", r#"{"a":1}"#)).await,
        Err(SignatureError::Replayed { .. })
    ));
    pair.verify(&signed("/internal/sync", r#"{"a":2}"#)).await.unwrap();
}

#[tokio::test]
async fn it_is_off_unless_it_is_configured() {
    let pair = Pair::new();
    let message = signed("/internal/sync", "");
    assert!(!pair.verifier.is_signed(|name| message.parts().fields.has(name)));
    pair.refuses(&message, SignatureFault::FieldMissing("signature-input")).await;
}

#[tokio::test]
async fn what_was_changed_is_refused() {
    let pair = pair();
    let wrong = SignatureFault::SignatureWrong;
    let mut body = signed("/a", "{}");
    body.body = b"{ }".to_vec();
    pair.refuses(&body, wrong.clone()).await;
    let mut method = signed("/a", "{}");
    method.method = "PUT".to_owned();
    pair.refuses(&method, wrong.clone()).await;
    // Another method, whatever replaced systems take it for (RFC 9110 §9.1).
    method.method = "post".to_owned();
    pair.refuses(&method, wrong.clone()).await;
    let mut path = signed("/a", "{}");
    path.target = TargetUri::new("https", "billing.example.test", "/b").unwrap();
    pair.refuses(&path, wrong.clone()).await;
    let time = (now().timestamp() - 1).to_string();
    let time = signed("/a", "{}").without("x-timestamp").with("x-timestamp", &time);
    pair.refuses(&time, wrong).await;
    let caller = signed("/a", "{}").without("x-service-token").with("x-service-token", "svc-other");
    pair.refuses(&caller, SignatureFault::KeyUnknown).await;
    pair.verify(&signed("/a", "{}")).await.unwrap();
}

#[tokio::test]
async fn a_query_is_refused_because_it_is_not_covered() {
    let pair = pair();
    let message = signed("/a", "{}");
    for path in ["/a?b=1", "/a?"] {
        let mut queried = message.clone();
        queried.target = TargetUri::new("https", "billing.example.test", path).unwrap();
        pair.refuses(&queried, SignatureFault::QueryNotCovered).await;
        let refused = signer().sign("POST", &queried.target, b"", now()).unwrap_err();
        assert!(matches!(refused, SignatureError::Unsignable(SignatureFault::QueryNotCovered)));
    }
}

#[tokio::test]
async fn the_skew_is_five_minutes_either_way() {
    let second = TimeDelta::seconds(1);
    for seconds in [-300, 0, 300] {
        pair().verify_at(&signed("/a", ""), now() + second * seconds).await.unwrap();
    }
    pair().refuses_at(&signed("/a", ""), now() + second * 301, SignatureFault::TooOld).await;
    pair().refuses_at(&signed("/a", ""), now() - second * 301, SignatureFault::FromTheFuture).await;
    let pair = pair();
    let message = signed("/a", "");
    pair.verify_at(&message, now() - second * 300).await.unwrap();
    let last = pair.verify_at(&message, now() + second * 300).await;
    assert!(matches!(last, Err(SignatureError::Replayed { .. })), "as long as it is fresh it is remembered");
}

#[tokio::test]
async fn each_field_has_to_be_there_once_and_in_its_form() {
    let pair = pair();
    for name in ["x-service-token", "x-signature", "x-timestamp"] {
        let missing = pair.verify(&signed("/a", "").without(name)).await.unwrap_err();
        assert!(
            matches!(missing, SignatureError::Invalid(SignatureFault::FieldMissing(field)) if field == name)
        );
        let message = signed("/a", "");
        let twice = pair.verify(&message.clone().with(name, message.value(name))).await.unwrap_err();
        assert!(
            matches!(twice, SignatureError::Invalid(SignatureFault::FieldMalformed(field)) if field == name)
        );
    }
    let now = now().timestamp();
    for (name, values) in [
        ("x-signature", vec![String::new(), "zz".repeat(32), "ab".repeat(31), "ab".repeat(33)]),
        ("x-service-token", vec![String::new(), "a b".to_owned(), "a".repeat(4_097)]),
        (
            "x-timestamp",
            vec![
                String::new(),
                format!("+{now}"),
                format!("-{now}"),
                format!("{now}.0"),
                format!("{now}_0"),
                "9".repeat(13),
                "now".to_owned(),
            ],
        ),
    ] {
        for value in values {
            let message = signed("/a", "").without(name).with(name, &value);
            let refused = pair.verify(&message).await.unwrap_err();
            let is_named = matches!(refused, SignatureError::Invalid(SignatureFault::FieldMalformed(field)) if field == name);
            assert!(is_named, "{name}: {value}: {refused}");
        }
    }
}

#[tokio::test]
async fn signatures_of_both_profiles_at_once_are_refused() {
    let pair = pair();
    let both = signed("/a", "").signed_by(&pair.signer, now());
    pair.refuses(&both, SignatureFault::ProfilesMixed).await;
    let rfc = Message::post("/a", "").signed_by(&pair.signer, now());
    pair.verify(&rfc).await.unwrap();
}

#[test]
fn neither_token_nor_secret_is_printed_and_weak_ones_are_refused() {
    let printed = format!("{:?}", signer());
    assert!(!printed.contains(TOKEN) && !printed.contains("both services"), "{printed}");
    let short = LegacySigner::new(SecretString::from(TOKEN), &SECRET[..31]).unwrap_err();
    assert_eq!(short.code(), "hmac_secret_too_short");
    for token in ["", "two words", "t\u{f6}ken"] {
        assert!(LegacySigner::new(SecretString::from(token), SECRET).is_err());
    }
}
