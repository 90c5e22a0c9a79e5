use super::*;

#[test]
fn a_good_token_is_remembered_and_shared() {
    let fixture = Fixture::new();
    let token = fixture.signer.issue(&fixture.claims()).unwrap();
    let first = fixture.verify(&token).unwrap();
    assert!(Arc::ptr_eq(&first, &fixture.verifier.clone().verify(&token, now()).unwrap()));
    assert_eq!(fixture.verifier.remembered(), 1);
}

#[test]
fn a_forged_token_is_never_remembered() {
    let fixture = Fixture::new();
    let token = fixture.signer.issue(&fixture.claims()).unwrap();
    let (signed, _) = token.rsplit_once('.').unwrap();
    let forged = format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode([0; 64]));
    for text in [forged.as_str(), "x", "", signed] {
        assert!(fixture.verify(text).is_err());
        assert!(fixture.verify(text).is_err());
    }
    let mut expired = fixture.payload();
    expired["exp"] = (now().timestamp() - 100).into();
    expired["iat"] = (now().timestamp() - 200).into();
    expired["auth_time"] = expired["iat"].clone();
    let expired = fixture.forge(&fixture.header().to_string(), &expired.to_string());
    assert!(matches!(fixture.verify(&expired), Err(TokenError::Expired)));
    assert_eq!(fixture.verifier.remembered(), 0);
}

#[test]
fn a_remembered_token_still_expires() {
    let fixture = Fixture::new();
    let token = fixture.signer.issue(&fixture.claims()).unwrap();
    fixture.verify(&token).unwrap();
    let late = now() + TimeDelta::seconds(15 * 60 + 5);
    assert!(matches!(fixture.verifier.verify(&token, late), Err(TokenError::Expired)));
    assert_eq!(fixture.verifier.remembered(), 0);
    assert!(matches!(fixture.verifier.verify(&token, late), Err(TokenError::Expired)));
}

#[test]
fn a_remembered_token_is_not_good_before_its_time_either() {
    let fixture = Fixture::new();
    let token = fixture.signer.issue(&fixture.claims()).unwrap();
    fixture.verify(&token).unwrap();
    let early = now() - TimeDelta::seconds(6);
    assert!(matches!(fixture.verifier.verify(&token, early), Err(TokenError::NotYetValid)));
}

#[test]
fn a_remembered_token_of_a_removed_key_is_refused_at_once() {
    let fixture = Fixture::new();
    let token = fixture.signer.issue(&fixture.claims()).unwrap();
    fixture.verify(&token).unwrap();
    fixture.keys.replace(KeySet::signing_with(
        SigningKey::hmac(stylobate_auth::SigningAlgorithm::Hs256, &[7; 32]).unwrap(),
    ));
    assert!(matches!(fixture.verify(&token), Err(TokenError::KeyUnknown)));
    assert_eq!(fixture.verifier.remembered(), 0);
    // Nor does the key's return bring the old entry back: the token is verified anew.
    let again = SigningKey::from_pem(SigningAlgorithm::EdDsa, crate::key::ED25519_PKCS8).unwrap();
    fixture.keys.replace(KeySet::signing_with(again));
    assert!(fixture.verify(&token).is_ok());
}

#[test]
fn a_rotation_keeps_what_is_remembered_while_the_old_key_verifies() {
    let fixture = Fixture::new();
    let token = fixture.signer.issue(&fixture.claims()).unwrap();
    let first = fixture.verify(&token).unwrap();
    let rotated =
        KeySet::signing_with(SigningKey::hmac(stylobate_auth::SigningAlgorithm::Hs256, &[7; 32]).unwrap());
    fixture.keys.replace(rotated.also_accepting(fixture.key.verifying_key().clone()).unwrap());
    assert!(Arc::ptr_eq(&first, &fixture.verify(&token).unwrap()));
    assert_ne!(fixture.signer.issue(&fixture.claims()).unwrap().split('.').next(), token.split('.').next());
}

#[test]
fn another_key_under_the_same_name_does_not_inherit() {
    let fixture = Fixture::new();
    let token = fixture.signer.issue(&fixture.claims()).unwrap();
    fixture.verify(&token).unwrap();
    let (impostor, _) = SigningKey::generate(stylobate_auth::SigningAlgorithm::EdDsa).unwrap();
    fixture.keys.replace(KeySet::signing_with(impostor.with_kid(fixture.key.kid().clone())));
    assert!(matches!(fixture.verify(&token), Err(TokenError::SignatureWrong)));
}

#[test]
fn what_is_remembered_is_bounded() {
    let fixture = Fixture::new();
    let config = TokenConfig { cache_entries: 16, ..config() };
    let verifier = Verifier::new(fixture.keys.clone(), config).unwrap();
    for _ in 0..200 {
        let token = fixture.signer.issue(&fixture.claims()).unwrap();
        verifier.verify(&token, now()).unwrap();
    }
    assert!((1..=64).contains(&verifier.remembered()), "{}", verifier.remembered());
}
