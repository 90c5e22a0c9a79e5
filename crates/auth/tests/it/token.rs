//! Access tokens through the public door: what is accepted, and everything that is not.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use stylobate_auth::{
    AccessClaims, KeySet, Keys, Signer, SigningAlgorithm, SigningKey, TokenConfig, TokenError, VerifiedToken,
    Verifier,
};
use stylobate_core::{Assurance, AuthenticatorAssurance, Clock as _, PersonId, SessionId, TenantId};
use stylobate_testkit::ManualClock;

mod builder;
mod cache;
mod claims;
mod differential;
mod fuzz;
mod header;
mod remote;
#[cfg(feature = "remote-jwks")]
mod remote_http;
mod service;

const ISSUER: &str = "https://id.example.test";
const AUDIENCE: &str = "https://api.example.test";

pub(crate) fn now() -> DateTime<Utc> {
    ManualClock::new().now()
}

fn config() -> TokenConfig {
    TokenConfig::new(ISSUER, AUDIENCE)
}

/// A signer, a verifier and their key, with which tests also sign what the signer would not.
struct Fixture {
    key: SigningKey,
    keys: Keys,
    signer: Signer,
    verifier: Verifier,
}

impl Fixture {
    fn new() -> Self {
        Self::with(|| SigningKey::from_pem(SigningAlgorithm::EdDsa, crate::key::ED25519_PKCS8).unwrap())
    }

    fn with(key: impl Fn() -> SigningKey) -> Self {
        let keys = Keys::from(key());
        let signer = Signer::new(keys.clone(), config()).unwrap();
        let verifier = Verifier::new(keys.clone(), config()).unwrap();
        Self { key: key(), keys, signer, verifier }
    }

    fn claims(&self) -> AccessClaims {
        let assurance = Assurance {
            amr: vec!["pwd".into(), "otp".into()],
            aal: AuthenticatorAssurance::Aal2,
            auth_time: Some(now() - TimeDelta::minutes(3)),
        };
        let mut claims = self.signer.claims(PersonId::new(now()), SessionId::new(now()), 7, assurance, now());
        claims.tenant = Some(TenantId::new(now()));
        claims.scopes = Some(vec!["people:read".into(), "roles:read".into()]);
        claims
    }

    fn header(&self) -> Value {
        json!({ "alg": self.key.algorithm().as_str(), "kid": self.key.kid().as_str(), "typ": "at+jwt" })
    }

    fn payload(&self) -> Value {
        let token = self.signer.issue(&self.claims()).unwrap();
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap())
            .unwrap()
    }

    /// Signs any two texts as header and payload.
    fn forge(&self, header: &str, payload: &str) -> String {
        let signed = unsigned(header, payload);
        let signature = self.key.sign(signed.as_bytes()).unwrap();
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }

    fn verify(&self, token: &str) -> Result<Arc<VerifiedToken>, TokenError> {
        self.verifier.verify(token, now())
    }
}

fn unsigned(header: &str, payload: &str) -> String {
    format!("{}.{}", BASE64_URL_SAFE_NO_PAD.encode(header), BASE64_URL_SAFE_NO_PAD.encode(payload))
}

#[test]
fn what_was_issued_is_what_is_verified() {
    let fixture = Fixture::new();
    let claims = fixture.claims();
    let verified = fixture.verify(&fixture.signer.issue(&claims).unwrap()).unwrap();
    assert_eq!(verified.claims, claims);
    assert_eq!(&verified.kid, fixture.key.kid());
    assert_eq!(verified.expires_at(), now() + TimeDelta::minutes(15));
    let principal = &verified.principal;
    assert_eq!(principal.person_id(), Some(claims.person));
    assert_eq!((principal.tenant, principal.session), (claims.tenant, Some(claims.session)));
    assert_eq!(principal.assurance, claims.assurance);
    assert_eq!(principal.scopes.as_deref(), Some(&["people:read".to_owned(), "roles:read".to_owned()][..]));
    assert_eq!(principal.impersonator, None);
}

#[test]
fn the_optional_claims_may_all_be_there_or_all_be_missing() {
    let fixture = Fixture::new();
    let mut claims = fixture.claims();
    claims.impersonator = Some(PersonId::new(now()));
    claims.not_before = Some(now());
    claims.audience.push("https://other.example.test".into());
    claims.scopes = Some(Vec::new());
    let verified = fixture.verify(&fixture.signer.issue(&claims).unwrap()).unwrap();
    assert_eq!(verified.claims, claims);
    assert_eq!(verified.principal.impersonator, claims.impersonator);
    assert_eq!(verified.principal.scopes, Some(Vec::new()), "an empty scope allows nothing");

    let bare = fixture.signer.claims(claims.person, claims.session, 0, Assurance::default(), now());
    let verified = fixture.verify(&fixture.signer.issue(&bare).unwrap()).unwrap();
    assert_eq!(verified.claims, bare);
    assert_eq!(verified.principal.scopes, None, "no scope is no limit");
}

#[test]
fn every_algorithm_issues_and_verifies() {
    for algorithm in SigningAlgorithm::ALL {
        let fixture = Fixture::with(|| crate::key::key_for(algorithm));
        let token = fixture.signer.issue(&fixture.claims()).unwrap();
        let remembered = fixture.verify(&token).unwrap();
        assert_eq!(*remembered, fixture.verifier.verify_once(&token, now()).unwrap(), "{algorithm}");
    }
}

#[test]
fn a_public_key_alone_verifies_and_does_not_sign() {
    let fixture = Fixture::new();
    let token = fixture.signer.issue(&fixture.claims()).unwrap();
    let public = fixture.key.verifying_key().clone();
    let keys = Keys::new(KeySet::verify_only().also_accepting(public).unwrap());
    Verifier::new(keys.clone(), config()).unwrap().verify(&token, now()).unwrap();
    let refused = Signer::new(keys, config()).unwrap().issue(&fixture.claims());
    assert!(matches!(refused, Err(TokenError::SigningKeyMissing)));
}

#[test]
fn nothing_is_issued_that_would_not_be_accepted() {
    let fixture = Fixture::new();
    let refused = |change: fn(&mut AccessClaims)| {
        let mut claims = fixture.claims();
        change(&mut claims);
        fixture.signer.issue(&claims).unwrap_err().code()
    };
    assert_eq!(refused(|claims| claims.issuer.push('/')), "token_issuer_refused");
    assert_eq!(refused(|claims| claims.audience.clear()), "token_audience_refused");
    assert_eq!(refused(|claims| claims.expires_at += TimeDelta::seconds(1)), "token_lifetime_refused");
    assert_eq!(refused(|claims| claims.expires_at = claims.issued_at), "token_claim_invalid");
    assert_eq!(refused(|claims| claims.epoch = -1), "token_claim_invalid");
    // One scope must not turn into two on the way.
    assert_eq!(refused(|claims| claims.scopes = Some(vec!["a b".into()])), "token_claim_invalid");
    assert_eq!(refused(|claims| claims.scopes = Some(vec![String::new()])), "token_claim_invalid");
    let long = |claims: &mut AccessClaims| claims.scopes = Some(vec!["s".repeat(8_192)]);
    assert_eq!(refused(long), "token_too_long");
}

#[test]
fn a_token_expires_after_the_leeway_and_not_before() {
    // A7
    let fixture = Fixture::new();
    let token = fixture.signer.issue(&fixture.claims()).unwrap();
    let at = |seconds: i64| fixture.verifier.verify(&token, now() + TimeDelta::seconds(seconds));
    for seconds in [-5, 0, 15 * 60 - 1, 15 * 60 + 4] {
        assert!(at(seconds).is_ok(), "{seconds}");
    }
    for seconds in [15 * 60 + 5, 15 * 60 + 6, 3_600, i64::from(i32::MAX)] {
        assert!(matches!(at(seconds), Err(TokenError::Expired)), "{seconds}");
    }
    for seconds in [-6, -3_600] {
        assert!(matches!(at(seconds), Err(TokenError::NotYetValid)), "{seconds}");
    }
}

#[test]
fn leeway_and_lifetime_are_bounded() {
    let bad = |change: fn(&mut TokenConfig)| {
        let mut config = config();
        change(&mut config);
        let keys = Keys::new(KeySet::verify_only());
        Verifier::new(keys.clone(), config.clone()).is_err() && Signer::new(keys, config).is_err()
    };
    assert!(bad(|config| config.leeway = Duration::from_secs(31))); // A7
    assert!(bad(|config| config.lifetime = Duration::from_secs(24 * 3_600 + 1)));
    assert!(bad(|config| config.lifetime = Duration::ZERO));
    assert!(bad(|config| config.issuer.clear()));
}

#[test]
fn texts_that_are_no_token_are_refused() {
    let fixture = Fixture::new();
    let token = fixture.signer.issue(&fixture.claims()).unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (header, payload) = signed.split_once('.').unwrap();
    for text in [
        "",
        ".",
        "..",
        "...",
        "Bearer x",
        signed,
        &format!("{token}."),
        &format!(".{token}"),
        &format!("{token}.{signature}"),
        &format!("{signed}."),
        &format!("{token}="),
        &format!("{token}\n"),
        &format!(" {token}"),
        &format!("{header}=.{payload}.{signature}"),
        &format!("{header}.{payload}"),
        &format!("{header}..{signature}"),
        &format!(".{payload}.{signature}"),
    ] {
        assert!(fixture.verify(text).is_err(), "{text}");
    }
}

#[test]
fn an_encrypted_token_is_refused_unopened() {
    // C7
    let fixture = Fixture::new();
    let header = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"dir","enc":"A256GCM","zip":"DEF","typ":"at+jwt"}"#);
    let refused = fixture.verify(&format!("{header}..aXY.Y2lwaGVydGV4dA.dGFn"));
    assert!(matches!(refused, Err(TokenError::Encrypted)));
}

#[test]
fn a_token_over_8_kib_is_refused_unread() {
    // A7, C7
    let fixture = Fixture::new();
    for length in [8_193, 1 << 20] {
        assert!(matches!(fixture.verify(&"a".repeat(length)), Err(TokenError::TooLong)));
    }
    let mut payload = fixture.payload();
    payload["padding"] = "x".repeat(7_000).into();
    let token = fixture.forge(&fixture.header().to_string(), &payload.to_string());
    assert!(token.len() > 8_192 && matches!(fixture.verify(&token), Err(TokenError::TooLong)));
    payload["padding"] = "x".repeat(5_000).into();
    let token = fixture.forge(&fixture.header().to_string(), &payload.to_string());
    assert!(token.len() < 8_192 && fixture.verify(&token).is_ok());
}

#[test]
fn a_token_of_another_key_issuer_or_audience_is_refused() {
    let ours = Fixture::new();
    let theirs =
        Fixture::with(|| SigningKey::hmac(stylobate_auth::SigningAlgorithm::Hs256, &[9; 32]).unwrap());
    let token = theirs.signer.issue(&theirs.claims()).unwrap();
    assert!(matches!(ours.verify(&token), Err(TokenError::KeyUnknown)));

    for (claim, value, code) in [
        ("iss", json!("https://id.example.test/"), "token_issuer_refused"),
        ("iss", json!("https://ID.example.test"), "token_issuer_refused"),
        ("iss", json!(""), "token_issuer_refused"),
        ("aud", json!("https://api.example.test.evil.test"), "token_audience_refused"),
        ("aud", json!([]), "token_audience_refused"),
        ("aud", json!(["https://other.example.test"]), "token_audience_refused"),
    ] {
        let mut payload = ours.payload();
        payload[claim] = value.clone();
        let token = ours.forge(&ours.header().to_string(), &payload.to_string());
        assert_eq!(ours.verify(&token).unwrap_err().code(), code, "{claim} {value}");
    }
}

#[test]
fn a_token_holds_no_secret() {
    // C41
    let fixture = Fixture::with(|| {
        SigningKey::hmac(stylobate_auth::SigningAlgorithm::Hs256, b"canary-canary-canary-canary-canary")
            .unwrap()
    });
    let token = fixture.signer.issue(&fixture.claims()).unwrap();
    for part in token.split('.') {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(part).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("canary"));
    }
}

#[test]
fn the_refusal_is_for_logs_and_has_a_stable_code() {
    let fixture = Fixture::new();
    let error = fixture.verify("x").unwrap_err();
    assert_eq!((error.code(), error.to_string().as_str()), ("token_malformed", "the token is malformed"));
}
