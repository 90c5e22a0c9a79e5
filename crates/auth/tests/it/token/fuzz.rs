//! Parsers under arbitrary input. `cargo xtask fuzz` runs the same properties for longer (`PROPTEST_CASES`).

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn fuzz_jwt_arbitrary_text_is_refused_without_panic(text in any::<String>()) {
        prop_assert!(Fixture::new().verify(&text).is_err());
    }

    #[test]
    fn fuzz_jwt_arbitrary_parts_are_refused_without_panic(
        header in prop::collection::vec(any::<u8>(), 0..200),
        payload in prop::collection::vec(any::<u8>(), 0..200),
        signature in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let parts = [header, payload, signature].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
        prop_assert!(Fixture::new().verify(&parts.join(".")).is_err());
    }

    /// Signed by us, but of any content: the parsers behind the signature see everything too.
    #[test]
    fn fuzz_jwt_arbitrary_signed_payload_is_refused_without_panic(payload in any::<String>()) {
        let fixture = Fixture::new();
        prop_assert!(fixture.verify(&fixture.forge(&fixture.header().to_string(), &payload)).is_err());
    }

    #[test]
    fn fuzz_jwt_arbitrary_numbers_never_panic(
        iat in any::<i64>(), exp in any::<i64>(), nbf in any::<i64>(), auth_time in any::<i64>(), epoch in any::<i64>(),
    ) {
        let fixture = Fixture::new();
        let mut payload = fixture.payload();
        for (claim, value) in
            [("iat", iat), ("exp", exp), ("nbf", nbf), ("auth_time", auth_time), ("epoch", epoch)]
        {
            payload[claim] = value.into();
        }
        let token = fixture.forge(&fixture.header().to_string(), &payload.to_string());
        if let Ok(verified) = fixture.verify(&token) {
            prop_assert!(verified.expires_at() > now() - TimeDelta::seconds(5));
        }
    }

    /// Sound tokens of every algorithm with parts exchanged between them.
    #[test]
    fn fuzz_jwt_parts_of_two_tokens_make_no_third(
        left in 0..SigningAlgorithm::ALL.len(), right in 0..SigningAlgorithm::ALL.len(), taken in 1..7_u8,
    ) {
        let algorithms = [SigningAlgorithm::ALL[left], SigningAlgorithm::ALL[right]];
        let fixtures = algorithms.map(|algorithm| Fixture::with(|| crate::key::key_for(algorithm)));
        let tokens = [0, 1].map(|n| fixtures[n].signer.issue(&fixtures[n].claims()).unwrap());
        let parts: Vec<&str> = tokens[0].split('.').zip(tokens[1].split('.')).enumerate()
            .map(|(place, (one, other))| if taken >> place & 1 == 0 { one } else { other }).collect();
        let mixed = parts.join(".");
        if !tokens.contains(&mixed) {
            prop_assert!(fixtures.iter().all(|fixture| fixture.verify(&mixed).is_err()), "{mixed}");
        }
    }

    #[test]
    fn fuzz_jwt_arbitrary_custom_claims_change_nothing(
        name in "[a-z]{0,8}(://)?[a-z/]{0,12}", text in any::<String>(), number in any::<f64>(),
    ) {
        let fixture = Fixture::new();
        let mut payload = fixture.payload();
        let before = fixture.verify(&fixture.forge(&fixture.header().to_string(), &payload.to_string())).unwrap();
        prop_assume!(payload.get(&name).is_none() && !["nbf", "act", "permissions", "client_id"].contains(&name.as_str()));
        payload[&name] = json!({ "scope": text, "permissions": ["*"], "n": number });
        let token = fixture.forge(&fixture.header().to_string(), &payload.to_string());
        match fixture.verify(&token) {
            Ok(after) => prop_assert_eq!(&after.principal, &before.principal),
            Err(error) => prop_assert!(matches!(error, TokenError::TooLong), "{error}"),
        }
    }

    #[test]
    fn fuzz_jwt_scopes_and_permissions_only_narrow(
        scopes in prop::option::of(prop::collection::vec("(people|roles)[.:](read|write|\\*)", 0..4)),
        permissions in prop::option::of(prop::collection::vec("(people|roles)[.:](read|write|\\*)|\\*", 0..4)),
    ) {
        let fixture = Fixture::new();
        let mut claims = fixture.claims();
        (claims.scopes, claims.permissions) = (scopes.clone(), permissions.clone());
        let verified = fixture.verify(&fixture.signer.issue(&claims).unwrap()).unwrap();
        let covers = |held: &str, name: &str| match held.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => held == name,
        };
        let allows = |list: &Option<Vec<String>>, name: &str| {
            list.as_ref().is_none_or(|list| list.iter().any(|held| covers(held, name)))
        };
        for name in ["people:read", "people:write", "people.read", "roles:read", "roles.write", "users:read"] {
            let both = allows(&scopes, name) && allows(&permissions, name);
            prop_assert_eq!(allows(&verified.principal.scopes, name), both, "{}", name);
        }
    }

    #[test]
    fn fuzz_jwt_any_flipped_bit_is_refused(position in any::<prop::sample::Index>(), bit in 0..8_u32) {
        let fixture = Fixture::new();
        let mut bytes = fixture.signer.issue(&fixture.claims()).unwrap().into_bytes();
        let position = position.index(bytes.len());
        bytes[position] ^= 1 << bit;
        // Not UTF-8 any more is not a text that could be asked about.
        if let Ok(token) = String::from_utf8(bytes) {
            prop_assert!(fixture.verify(&token).is_err(), "{token}");
        }
    }
}

#[test]
fn every_flipped_bit_of_one_token_is_refused() {
    let fixture = Fixture::new();
    let token = fixture.signer.issue(&fixture.claims()).unwrap();
    for position in 0..token.len() {
        for bit in 0..8 {
            let mut bytes = token.clone().into_bytes();
            bytes[position] ^= 1 << bit;
            if let Ok(changed) = String::from_utf8(bytes) {
                assert!(fixture.verify(&changed).is_err(), "byte {position}, bit {bit}");
            }
        }
    }
}
