use proptest::prelude::*;
use serde_json::json;
use stylobate_auth::{ServiceClaims, ServiceTokenSigner, ServiceTokenVerifier};
use stylobate_core::{Credential, ServiceId, Subject};

use super::*;

const RECEIVER: &str = "https://billing.example.test";

/// The keys of a [`Fixture`], for services.
struct Services {
    fixture: Fixture,
    signer: ServiceTokenSigner,
    verifier: ServiceTokenVerifier,
}

fn config_of(audience: &str) -> TokenConfig {
    TokenConfig { lifetime: Duration::from_secs(300), ..TokenConfig::new(ISSUER, audience) }
}

impl Services {
    fn new() -> Self {
        let fixture = Fixture::new();
        let signer = ServiceTokenSigner::new(fixture.keys.clone(), config_of(AUDIENCE)).unwrap();
        let verifier = ServiceTokenVerifier::new(fixture.keys.clone(), config_of(RECEIVER)).unwrap();
        Self { fixture, signer, verifier }
    }

    fn claims(&self) -> ServiceClaims {
        ServiceClaims {
            audience: RECEIVER.to_owned(),
            operations: vec!["invoice.read".to_owned(), "order.*".to_owned()],
            ..self.signer.claims(ServiceId::new(now()), TenantId::new(now()), 3, now())
        }
    }

    fn token(&self) -> String {
        self.signer.issue(&self.claims()).unwrap()
    }

    fn code(&self, token: &str) -> &'static str {
        self.code_at(token, now())
    }

    fn code_at(&self, token: &str, at: DateTime<Utc>) -> &'static str {
        self.verifier.verify(token, at).map_or_else(|error| error.code(), |_| "ok")
    }

    fn header(&self) -> Value {
        let mut header = self.fixture.header();
        header["typ"] = "service+jwt".into();
        header
    }

    fn payload(&self) -> Value {
        let token = self.token();
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap())
            .unwrap()
    }
}

#[test]
fn what_was_issued_is_what_is_verified() {
    let services = Services::new();
    let claims = services.claims();
    let token = services.signer.issue(&claims).unwrap();
    let verified = services.verifier.verify(&token, now()).unwrap();
    assert_eq!(verified.claims, claims);
    assert_eq!(&verified.kid, services.fixture.key.kid());
    assert_eq!(claims.expires_at - claims.issued_at, TimeDelta::minutes(5));
    let principal = &verified.principal;
    assert_eq!(principal.subject, Subject::Service { id: claims.service });
    assert_eq!((principal.tenant, principal.session), (Some(claims.tenant), None));
    assert_eq!(principal.scopes.as_ref(), Some(&claims.operations));
    assert_eq!((principal.credential, principal.person_id()), (Credential::Bearer, None));
    // Remembered, it is the same one.
    assert!(Arc::ptr_eq(&verified, &services.verifier.verify(&token, now()).unwrap()));
}

// V9.2.2, RFC 8725 §3.11
#[test]
fn an_access_token_is_no_service_token_and_the_other_way_round() {
    let services = Services::new();
    let access = services.fixture.signer.issue(&services.fixture.claims()).unwrap();
    let for_both =
        services.signer.issue(&ServiceClaims { audience: AUDIENCE.to_owned(), ..services.claims() });
    let service = for_both.unwrap();
    let own = ServiceTokenVerifier::new(services.fixture.keys.clone(), config_of(AUDIENCE)).unwrap();
    assert!(own.verify(&service, now()).is_ok() && services.fixture.verify(&access).is_ok());
    for _ in 0..2 {
        // Neither fresh nor remembered.
        assert!(matches!(own.verify(&access, now()), Err(TokenError::TypeRefused)));
        assert!(matches!(services.fixture.verify(&service), Err(TokenError::TypeRefused)));
    }
    // Even with the claims of both.
    let mut claims = services.fixture.payload();
    for (name, value) in services.payload().as_object().unwrap() {
        if !["aud", "sub"].contains(&name.as_str()) {
            claims[name] = value.clone();
        }
    }
    let forge = |typ: &str| {
        let mut header = services.fixture.header();
        header["typ"] = typ.into();
        services.fixture.forge(&header.to_string(), &claims.to_string())
    };
    for typ in ["at+jwt", "application/at+jwt", "JWT", "", "service+jwt+at+jwt"] {
        assert!(matches!(own.verify(&forge(typ), now()), Err(TokenError::TypeRefused)), "{typ}");
    }
    for typ in ["service+jwt", "application/service+jwt", "Service+JWT"] {
        assert!(own.verify(&forge(typ), now()).is_ok(), "{typ}");
        assert!(matches!(services.fixture.verify(&forge(typ)), Err(TokenError::TypeRefused)), "{typ}");
    }
}

#[test]
fn a_token_is_for_one_audience_and_its_time() {
    let services = Services::new();
    let token = services.token();
    let other = ServiceTokenVerifier::new(services.fixture.keys.clone(), config_of(AUDIENCE)).unwrap();
    assert!(matches!(other.verify(&token, now()), Err(TokenError::AudienceRefused)));
    assert_eq!(services.code_at(&token, now() + TimeDelta::seconds(304)), "ok");
    for _ in 0..2 {
        assert_eq!(services.code_at(&token, now() + TimeDelta::seconds(305)), "token_expired");
    }
    assert_eq!(services.code_at(&token, now() - TimeDelta::seconds(6)), "token_not_yet_valid");
    assert_eq!(services.code(&token), "ok");
}

#[test]
fn claims_that_are_missing_or_of_another_form_are_refused() {
    let services = Services::new();
    let forge =
        |payload: &Value| services.fixture.forge(&services.header().to_string(), &payload.to_string());
    assert_eq!(services.code(&forge(&services.payload())), "ok");
    for name in ["iss", "aud", "sub", "org_id", "jti", "iat", "exp", "ops", "version"] {
        let mut payload = services.payload();
        payload.as_object_mut().unwrap().remove(name);
        assert_eq!(services.code(&forge(&payload)), "token_claim_missing", "{name}");
        for value in [Value::Null, json!(true), json!({})] {
            let mut payload = services.payload();
            payload[name] = value;
            assert_eq!(services.code(&forge(&payload)), "token_claim_invalid", "{payload}");
        }
    }
    let iat = now().timestamp();
    for (name, value, code) in [
        ("iss", json!("https://evil.example.test"), "token_issuer_refused"),
        ("aud", json!([RECEIVER]), "token_claim_invalid"),
        ("aud", json!(""), "token_claim_invalid"),
        ("aud", json!("https://billing.example.test/"), "token_audience_refused"),
        ("sub", json!("someone"), "token_claim_invalid"),
        ("ops", json!("invoice.read"), "token_claim_invalid"),
        ("ops", json!(["two words"]), "token_claim_invalid"),
        ("ops", json!([1]), "token_claim_invalid"),
        ("version", json!(-1), "token_claim_invalid"),
        ("version", json!("3"), "token_claim_invalid"),
        ("exp", json!(iat + 301), "token_lifetime_refused"),
        ("exp", json!(iat), "token_claim_invalid"),
        ("ops", json!([]), "ok"),
    ] {
        let mut payload = services.payload();
        payload[name] = value;
        assert_eq!(services.code(&forge(&payload)), code, "{payload}");
    }
    let repeated = services.payload().to_string().replacen('{', r#"{"version":9,"#, 1);
    assert_eq!(
        services.code(&services.fixture.forge(&services.header().to_string(), &repeated)),
        "token_name_repeated"
    );
}

#[test]
fn what_is_true_of_the_header_of_access_tokens_is_true_here() {
    let services = Services::new();
    let payload = services.payload().to_string();
    for (name, value, code) in [
        ("alg", json!("none"), "token_algorithm_refused"),
        ("alg", json!("HS256"), "token_algorithm_refused"),
        ("kid", json!("unknown"), "token_key_unknown"),
        ("jwk", json!({}), "token_header_refused"),
        ("crit", json!(["exp"]), "token_header_refused"),
    ] {
        let mut header = services.header();
        header[name] = value;
        assert_eq!(services.code(&services.fixture.forge(&header.to_string(), &payload)), code, "{header}");
    }
    let mut token = services.token();
    token.replace_range(token.len() - 8..token.len() - 4, "AAAA");
    assert_eq!(services.code(&token), "token_signature_wrong");
    assert_eq!(services.code(&"a".repeat(9_000)), "token_too_long");
}

#[test]
fn nothing_is_issued_that_would_not_be_accepted() {
    let services = Services::new();
    let claims = services.claims();
    let longer = claims.issued_at + TimeDelta::minutes(6);
    for (claims, code) in [
        (
            ServiceClaims { issuer: "https://evil.example.test".to_owned(), ..claims.clone() },
            "token_issuer_refused",
        ),
        (ServiceClaims { audience: String::new(), ..claims.clone() }, "token_claim_invalid"),
        (ServiceClaims { operations: vec!["a b".to_owned()], ..claims.clone() }, "token_claim_invalid"),
        (ServiceClaims { version: -1, ..claims.clone() }, "token_claim_invalid"),
        (ServiceClaims { expires_at: longer, ..claims.clone() }, "token_lifetime_refused"),
        (ServiceClaims { operations: vec!["a".repeat(8_000)], ..claims }, "token_too_long"),
    ] {
        assert_eq!(services.signer.issue(&claims).unwrap_err().code(), code, "{claims:?}");
    }
    let keys = Keys::new(KeySet::verify_only());
    let signer = ServiceTokenSigner::new(keys, config_of(AUDIENCE)).unwrap();
    assert_eq!(signer.issue(&services.claims()).unwrap_err().code(), "signing_key_missing");
}

proptest! {
    /// Signed by us, but of any content.
    #[test]
    fn fuzz_service_token_arbitrary_payload_is_refused_without_panic(text in any::<String>()) {
        let services = Services::new();
        let token = services.fixture.forge(&services.header().to_string(), &text);
        prop_assert!(services.verifier.verify(&text, now()).is_err());
        prop_assert!(services.verifier.verify(&token, now()).is_err());
    }

    #[test]
    fn fuzz_service_token_operations_are_taken_as_they_are_or_not_at_all(
        operations in prop::option::of(prop::collection::vec("[a-z. *\u{0}\"]{0,12}", 0..5)), version in any::<i64>(),
    ) {
        let services = Services::new();
        let mut payload = services.payload();
        payload["version"] = version.into();
        payload["ops"] = json!(operations);
        let token = services.fixture.forge(&services.header().to_string(), &payload.to_string());
        if let Ok(verified) = services.verifier.verify(&token, now()) {
            prop_assert!(version >= 0);
            prop_assert_eq!(Some(&verified.claims.operations), operations.as_ref());
            prop_assert_eq!(verified.principal.scopes.as_ref(), operations.as_ref());
        }
    }

    #[test]
    fn fuzz_service_token_any_flipped_bit_is_refused(position in any::<prop::sample::Index>(), bit in 0..8_u32) {
        let services = Services::new();
        let mut bytes = services.token().into_bytes();
        let position = position.index(bytes.len());
        bytes[position] ^= 1 << bit;
        if let Ok(token) = String::from_utf8(bytes) {
            prop_assert!(services.verifier.verify(&token, now()).is_err(), "{token}");
        }
    }
}
