use serde::{Deserialize, Serialize};
use stylobate_auth::CustomClaims;

use super::*;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Plan {
    name: String,
    seats: u32,
}

impl CustomClaims for Plan {
    const NAME: &'static str = "https://example.org/claims/plan";
}

/// A name that belongs to somebody else.
#[derive(Serialize, Deserialize)]
struct Intruder(String);

impl CustomClaims for Intruder {
    const NAME: &'static str = "scope";
}

fn build(fixture: &Fixture) -> stylobate_auth::TokenBuilder<'_> {
    fixture.signer.token(PersonId::new(now()), SessionId::new(now()), 3, Assurance::default(), now())
}

#[test]
fn a_token_says_what_its_builder_was_told() {
    let fixture = Fixture::new();
    let (tenant, impersonator) = (TenantId::new(now()), PersonId::new(now()));
    let plan = Plan { name: "small".into(), seats: 5 };
    let token = build(&fixture)
        .tenant(tenant)
        .impersonator(impersonator)
        .client_id("console")
        .also_for("https://other.example.test")
        .lifetime(Duration::from_secs(60))
        .scopes(["people:read", "roles:read"])
        .custom(&plan);
    let expected = token.claims().clone();
    let verified = fixture.verify(&token.issue().unwrap()).unwrap();
    assert_eq!(verified.claims, expected);
    assert_eq!(verified.claims.client_id.as_deref(), Some("console"));
    assert_eq!(verified.expires_at(), now() + TimeDelta::seconds(60));
    assert_eq!(
        (verified.principal.tenant, verified.principal.impersonator),
        (Some(tenant), Some(impersonator))
    );
    assert_eq!(verified.claims.custom::<Plan>().unwrap(), Some(plan));
}

#[test]
fn the_shape_is_that_of_rfc_9068() {
    let fixture = Fixture::new();
    let token = build(&fixture).client_id("console").scopes(["a", "b"]).permissions(["a"]).issue().unwrap();
    let part = |place| -> Value {
        let part = token.split('.').nth(place).unwrap();
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    // §2.1
    assert_eq!((&part(0)["typ"], &part(0)["alg"]), (&json!("at+jwt"), &json!("EdDSA")));
    let claims = part(1);
    // §2.2: required. §2.2.3: scope as a text with spaces.
    for claim in ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"] {
        assert!(!claims[claim].is_null(), "{claim}");
    }
    assert_eq!((&claims["scope"], &claims["permissions"]), (&json!("a b"), &json!(["a"])));
}

#[test]
fn limits_only_ever_narrow() {
    let fixture = Fixture::new();
    let scopes = |token: stylobate_auth::TokenBuilder<'_>| {
        let verified = fixture.verify(&token.issue().unwrap()).unwrap();
        verified.principal.scopes.clone()
    };
    let all = |texts: &[&str]| Some(texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
    assert_eq!(scopes(build(&fixture)), None);
    assert_eq!(scopes(build(&fixture).scopes(["a", "b"])), all(&["a", "b"]));
    assert_eq!(scopes(build(&fixture).permissions(["a", "b"])), all(&["a", "b"]));
    assert_eq!(scopes(build(&fixture).scopes(["a", "b"]).scopes(["b", "c"])), all(&["b"]));
    assert_eq!(scopes(build(&fixture).scopes(["a"]).scopes(["*"])), all(&["a"]));
    assert_eq!(
        scopes(build(&fixture).scopes(["user.*", "b"]).permissions(["user.read", "c"])),
        all(&["user.read"])
    );
    assert_eq!(scopes(build(&fixture).scopes(["a"]).permissions(["*"])), all(&["a"]));
    assert_eq!(
        scopes(build(&fixture).scopes(["a"]).permissions(["b"])),
        all(&[]),
        "nothing in common is nothing"
    );
    let empty: [&str; 0] = [];
    assert_eq!(scopes(build(&fixture).scopes(empty).scopes(["*"])), all(&[]));
    let mut principal = stylobate_core::Principal::person(PersonId::new(now()));
    assert_eq!(scopes(build(&fixture).scopes(["a", "b"]).within(&principal)), all(&["a", "b"]));
    principal.scopes = all(&["b", "c"]);
    assert_eq!(scopes(build(&fixture).within(&principal)), all(&["b", "c"]));
    assert_eq!(scopes(build(&fixture).scopes(["a", "b"]).within(&principal)), all(&["b"]));
}

#[test]
fn a_token_does_not_outlive_the_configuration() {
    let fixture = Fixture::new();
    let token = build(&fixture).lifetime(Duration::from_secs(1 << 40)).issue().unwrap();
    assert_eq!(fixture.verify(&token).unwrap().expires_at(), now() + TimeDelta::minutes(15));
    let never = build(&fixture).lifetime(Duration::ZERO).issue();
    assert!(matches!(never, Err(TokenError::ClaimInvalid("exp"))));
}

#[test]
fn a_custom_claim_gives_no_rights_and_takes_no_name_of_ours() {
    // C1: the principal is made of registered claims and of nothing else.
    let fixture = Fixture::new();
    let intruder = build(&fixture).scopes(["a"]).custom(&Intruder("*".into())).issue();
    assert!(matches!(intruder, Err(TokenError::ClaimInvalid("custom"))));
    for name in ["scope", "permissions", "sub", "plan", ""] {
        let mut claims = fixture.claims();
        claims.custom.insert(name.to_owned(), json!("*"));
        assert!(matches!(fixture.signer.issue(&claims), Err(TokenError::ClaimInvalid("custom"))), "{name}");
    }
    let mut payload = fixture.payload();
    let plain = fixture.verify(&fixture.forge(&fixture.header().to_string(), &payload.to_string())).unwrap();
    payload["https://example.org/claims/roles"] = json!(["super_admin"]);
    payload["roles"] = json!(["super_admin"]);
    let with = fixture.verify(&fixture.forge(&fixture.header().to_string(), &payload.to_string())).unwrap();
    assert_eq!(with.principal, plain.principal);
    assert_eq!(with.claims.custom.keys().collect::<Vec<_>>(), ["https://example.org/claims/roles"]);
}

#[test]
fn a_custom_claim_of_another_shape_is_an_error_and_not_absent() {
    let fixture = Fixture::new();
    let mut payload = fixture.payload();
    assert_eq!(
        fixture
            .verify(&fixture.forge(&fixture.header().to_string(), &payload.to_string()))
            .unwrap()
            .claims
            .custom::<Plan>()
            .unwrap(),
        None
    );
    for value in [json!(null), json!("small"), json!({"name": "small"}), json!({"name": 1, "seats": 1})] {
        payload[Plan::NAME] = value.clone();
        let token = fixture.forge(&fixture.header().to_string(), &payload.to_string());
        let read = fixture.verify(&token).unwrap().claims.custom::<Plan>();
        assert!(matches!(read, Err(TokenError::ClaimInvalid(Plan::NAME))), "{value}");
    }
    // Within a custom claim a name occurs once, too.
    let text = payload.to_string().replacen('{', "{\"https://example.org/x\":{\"a\":1,\"a\":2},", 1);
    let refused = fixture.verify(&fixture.forge(&fixture.header().to_string(), &text));
    assert!(matches!(refused, Err(TokenError::NameRepeated)));
}

#[test]
fn odd_permissions_and_clients_are_not_issued() {
    let fixture = Fixture::new();
    for odd in ["", "a b", "\u{e9}", "a\"b"] {
        let refused = build(&fixture).permissions([odd]).issue();
        assert!(matches!(refused, Err(TokenError::ClaimInvalid("permissions"))), "{odd:?}");
    }
    for odd in [String::new(), "\u{7f}".into(), "\n".into(), "c".repeat(256)] {
        let refused = build(&fixture).client_id(odd.clone()).issue();
        assert!(matches!(refused, Err(TokenError::ClaimInvalid("client_id"))), "{odd:?}");
    }
}
