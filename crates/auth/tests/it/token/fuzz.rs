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
