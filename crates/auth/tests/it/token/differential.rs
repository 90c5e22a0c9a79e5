//! Another implementation reads what we issue, and we read what it issues.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};

use super::*;
use crate::key::{
    ED25519_PKCS8, ED25519_SPKI, P256_PKCS8, P256_SPKI, P384_PKCS8, P384_SPKI, RSA_PKCS1, RSA_SPKI, SECRET,
};

struct Pair {
    algorithm: SigningAlgorithm,
    theirs: Algorithm,
    encoding: EncodingKey,
    decoding: DecodingKey,
}

fn pairs() -> Vec<Pair> {
    let pair = |algorithm: SigningAlgorithm| {
        let theirs: Algorithm = algorithm.as_str().parse().unwrap();
        let ec = |private: &str, public: &str| {
            let private = EncodingKey::from_ec_pem(private.as_bytes()).unwrap();
            (private, DecodingKey::from_ec_pem(public.as_bytes()).unwrap())
        };
        let (encoding, decoding) = match algorithm {
            SigningAlgorithm::EdDsa => (
                EncodingKey::from_ed_pem(ED25519_PKCS8.as_bytes()).unwrap(),
                DecodingKey::from_ed_pem(ED25519_SPKI.as_bytes()).unwrap(),
            ),
            SigningAlgorithm::Es256 => ec(P256_PKCS8, P256_SPKI),
            SigningAlgorithm::Es384 => ec(P384_PKCS8, P384_SPKI),
            SigningAlgorithm::Hs256 | SigningAlgorithm::Hs384 | SigningAlgorithm::Hs512 => {
                (EncodingKey::from_secret(SECRET), DecodingKey::from_secret(SECRET))
            }
            SigningAlgorithm::Rs256
            | SigningAlgorithm::Ps256
            | SigningAlgorithm::Ps384
            | SigningAlgorithm::Ps512 => (
                EncodingKey::from_rsa_pem(RSA_PKCS1.as_bytes()).unwrap(),
                DecodingKey::from_rsa_pem(RSA_SPKI.as_bytes()).unwrap(),
            ),
        };
        Pair { algorithm, theirs, encoding, decoding }
    };
    SigningAlgorithm::ALL.into_iter().map(pair).collect()
}

fn fixture(algorithm: SigningAlgorithm) -> Fixture {
    Fixture::with(|| crate::key::key_for(algorithm))
}

#[test]
fn jsonwebtoken_reads_what_we_issue() {
    for pair in pairs() {
        let fixture = fixture(pair.algorithm);
        let claims = fixture.claims();
        let token = fixture.signer.issue(&claims).unwrap();
        let mut validation = Validation::new(pair.theirs);
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[ISSUER]);
        // The other implementation asks the system for the time, and the fixture stands still.
        validation.validate_exp = false;
        let read = decode::<Value>(&token, &pair.decoding, &validation).unwrap();
        assert_eq!(read.header.typ.as_deref(), Some("at+jwt"));
        assert_eq!(read.header.kid.as_deref(), Some(fixture.key.kid().as_str()));
        assert_eq!(read.claims["sub"], claims.person.to_string());
        assert_eq!(read.claims["exp"], claims.expires_at.timestamp());
        assert_eq!(read.claims["scope"], "people:read roles:read");
    }
}

#[test]
fn we_read_what_jsonwebtoken_issues() {
    for pair in pairs() {
        let fixture = fixture(pair.algorithm);
        let mut header = Header::new(pair.theirs);
        header.typ = Some("at+jwt".into());
        header.kid = Some(fixture.key.kid().to_string());
        let payload = fixture.payload();
        let token = encode(&header, &payload, &pair.encoding).unwrap();
        let verified = fixture.verify(&token).unwrap();
        assert_eq!(verified.claims.person.to_string(), payload["sub"]);
    }
}

#[test]
fn both_refuse_a_changed_token() {
    for pair in pairs() {
        let fixture = fixture(pair.algorithm);
        let token = fixture.signer.issue(&fixture.claims()).unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let mut signature = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
        signature[0] ^= 1;
        let changed = format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature));
        let mut validation = Validation::new(pair.theirs);
        validation.set_audience(&[AUDIENCE]);
        validation.validate_exp = false;
        assert!(decode::<Value>(&changed, &pair.decoding, &validation).is_err());
        assert!(fixture.verify(&changed).is_err());
    }
}

#[test]
fn what_jsonwebtoken_would_let_pass_we_refuse() {
    // C3, C4: its defaults take these; the list says why there is a verifier of our own.
    let fixture = fixture(SigningAlgorithm::EdDsa);
    let key = EncodingKey::from_ed_pem(ED25519_PKCS8.as_bytes()).unwrap();
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = Some(fixture.key.kid().to_string());
    let plain_jwt = encode(&header, &fixture.payload(), &key).unwrap();
    assert!(matches!(fixture.verify(&plain_jwt), Err(TokenError::TypeRefused)));
    header.typ = Some("at+jwt".into());
    let mut payload = fixture.payload();
    payload.as_object_mut().unwrap().remove("aud");
    let without_audience = encode(&header, &payload, &key).unwrap();
    assert!(matches!(fixture.verify(&without_audience), Err(TokenError::ClaimMissing("aud"))));
}

#[test]
fn jsonwebtoken_reads_the_keys_that_we_show() {
    for pair in pairs().into_iter().filter(|pair| !pair.algorithm.is_symmetric()) {
        let fixture = fixture(pair.algorithm);
        let shown = stylobate_auth::JwkSet::of(&fixture.keys.current()).to_json();
        let set: jsonwebtoken::jwk::JwkSet = serde_json::from_str(&shown).unwrap();
        let jwk = set.find(fixture.key.kid().as_str()).unwrap();
        let token = fixture.signer.issue(&fixture.claims()).unwrap();
        let mut validation = Validation::new(pair.theirs);
        validation.set_audience(&[AUDIENCE]);
        validation.validate_exp = false;
        let read = decode::<Value>(&token, &DecodingKey::from_jwk(jwk).unwrap(), &validation);
        assert!(read.is_ok(), "{}: {:?}", pair.algorithm, read.err());
    }
}
