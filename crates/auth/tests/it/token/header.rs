use super::*;

fn refused(fixture: &Fixture, header: &Value) -> TokenError {
    let token = fixture.forge(&header.to_string(), &fixture.payload().to_string());
    fixture.verify(&token).expect_err(&header.to_string())
}

#[test]
fn none_is_no_algorithm_in_any_spelling_or_signature() {
    // C2
    let fixture = Fixture::new();
    let payload = fixture.payload().to_string();
    for none in ["none", "None", "NONE", "nOnE", "noNe", " none", "none ", ""] {
        let mut header = fixture.header();
        header["alg"] = none.into();
        assert!(matches!(refused(&fixture, &header), TokenError::AlgorithmRefused), "{none:?}");
        for signature in ["", "AA", "null"] {
            let token = format!("{}.{signature}", unsigned(&header.to_string(), &payload));
            assert!(fixture.verify(&token).is_err(), "{none:?} {signature:?}");
        }
        header.as_object_mut().unwrap().remove("kid");
        assert!(fixture.verify(&format!("{}.", unsigned(&header.to_string(), &payload))).is_err());
    }
}

#[test]
fn an_empty_or_short_signature_is_none() {
    // C2
    for fixture in [
        Fixture::new(),
        Fixture::with(|| SigningKey::hmac(stylobate_auth::SigningAlgorithm::Hs256, &[7; 32]).unwrap()),
        Fixture::with(|| SigningKey::from_pem(SigningAlgorithm::Rs256, crate::key::RSA_PKCS8).unwrap()),
        Fixture::with(|| crate::key::key_for(SigningAlgorithm::Es256)),
        Fixture::with(|| crate::key::key_for(SigningAlgorithm::Es384)),
        Fixture::with(|| crate::key::key_for(SigningAlgorithm::Ps512)),
        Fixture::with(|| crate::key::key_for(SigningAlgorithm::Hs512)),
    ] {
        let token = fixture.signer.issue(&fixture.claims()).unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
        for cut in [0, 1, bytes.len() / 2, bytes.len() - 1] {
            let short = BASE64_URL_SAFE_NO_PAD.encode(&bytes[..cut]);
            let refused = fixture.verify(&format!("{signed}.{short}"));
            assert!(matches!(refused, Err(TokenError::SignatureWrong)), "{cut}");
        }
        let long = BASE64_URL_SAFE_NO_PAD.encode([&bytes[..], &[0]].concat());
        assert!(matches!(fixture.verify(&format!("{signed}.{long}")), Err(TokenError::SignatureWrong)));
        let zeros = BASE64_URL_SAFE_NO_PAD.encode(vec![0; bytes.len()]);
        assert!(matches!(fixture.verify(&format!("{signed}.{zeros}")), Err(TokenError::SignatureWrong)));
    }
}

#[test]
fn the_algorithm_is_the_keys_and_not_the_tokens() {
    // C1
    let fixture = Fixture::new();
    for alg in [
        "HS256", "RS256", "PS256", "ES256", "ES384", "HS384", "HS512", "PS512", "Ed25519", "eddsa", "EDDSA",
        "EdDSA ", "HS256\0",
    ] {
        let mut header = fixture.header();
        header["alg"] = alg.into();
        assert!(matches!(refused(&fixture, &header), TokenError::AlgorithmRefused), "{alg}");
    }
    for alg in [Value::Null, json!(["EdDSA"]), json!({}), json!(1)] {
        let mut header = fixture.header();
        header["alg"] = alg;
        assert!(matches!(refused(&fixture, &header), TokenError::AlgorithmRefused));
    }
}

#[test]
fn our_public_keys_are_no_hmac_secrets() {
    // C1: whatever form of a public key an attacker takes for the secret.
    let pem_bytes = |pem: &str| {
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        base64::prelude::BASE64_STANDARD.decode(body).unwrap()
    };
    for (algorithm, spki) in [
        (SigningAlgorithm::EdDsa, crate::key::ED25519_SPKI),
        (SigningAlgorithm::Es256, crate::key::P256_SPKI),
        (SigningAlgorithm::Es384, crate::key::P384_SPKI),
        (SigningAlgorithm::Rs256, crate::key::RSA_SPKI),
        (SigningAlgorithm::Ps256, crate::key::RSA_SPKI),
        (SigningAlgorithm::Ps384, crate::key::RSA_SPKI),
        (SigningAlgorithm::Ps512, crate::key::RSA_SPKI),
    ] {
        let fixture = Fixture::with(|| crate::key::key_for(algorithm));
        let jwk = fixture.key.verifying_key().to_jwk().unwrap();
        let jwk = serde_json::to_value(&jwk).unwrap();
        // What RFC 7638 hashes: the required members alone.
        let mut required = jwk.clone();
        required.as_object_mut().unwrap().retain(|name, _| !["use", "alg", "kid"].contains(&name.as_str()));
        let member = |name: &str| jwk[name].as_str().map(|text| BASE64_URL_SAFE_NO_PAD.decode(text).unwrap());
        let mut secrets = vec![
            spki.as_bytes().to_vec(),
            spki.trim_end().as_bytes().to_vec(),
            pem_bytes(spki),
            jwk.to_string().into_bytes(),
            required.to_string().into_bytes(),
            stylobate_auth::JwkSet::of(&fixture.keys.current()).to_json().into_bytes(),
            Vec::new(),
        ];
        secrets.extend(["x", "y", "n"].into_iter().filter_map(member));
        if algorithm == SigningAlgorithm::Rs256 {
            secrets.push(crate::key::RSA_PKCS1_PUBLIC.as_bytes().to_vec());
            secrets.push(pem_bytes(crate::key::RSA_PKCS1_PUBLIC));
        }
        for secret in secrets {
            for (alg, hash) in [
                ("HS256", ring::hmac::HMAC_SHA256),
                ("HS384", ring::hmac::HMAC_SHA384),
                ("HS512", ring::hmac::HMAC_SHA512),
                (algorithm.as_str(), ring::hmac::HMAC_SHA256),
            ] {
                let attacker = ring::hmac::Key::new(hash, &secret);
                let mut header = fixture.header();
                header["alg"] = alg.into();
                let signed = unsigned(&header.to_string(), &fixture.payload().to_string());
                let tag = ring::hmac::sign(&attacker, signed.as_bytes());
                let token = format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(tag));
                assert!(fixture.verify(&token).is_err(), "{algorithm} {alg}");
            }
        }
    }
}

#[test]
fn crit_is_refused_whatever_it_lists() {
    // C4
    let fixture = Fixture::new();
    for crit in [
        json!(["unknown"]),
        json!(["exp"]),
        json!(["alg", "kid"]),
        json!([]),
        json!(["b64"]),
        json!("b64"),
        json!(null),
        json!({}),
    ] {
        let mut header = fixture.header();
        header["crit"] = crit;
        header["unknown"] = true.into();
        assert!(matches!(refused(&fixture, &header), TokenError::HeaderRefused("crit")));
    }
    let mut header = fixture.header();
    header["b64"] = false.into();
    assert!(matches!(refused(&fixture, &header), TokenError::HeaderRefused("b64")));
}

#[test]
fn a_token_neither_brings_nor_names_its_own_key() {
    // C6: refused before anything could be fetched; there is no code here that fetches.
    let fixture = Fixture::new();
    for (name, value) in [
        ("jku", json!("http://127.0.0.1:9/keys")),
        ("x5u", json!("http://127.0.0.1:9/cert")),
        ("jwk", json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})),
        ("x5c", json!(["MIIB"])),
        ("jku", json!(null)),
        ("zip", json!("DEF")), // C7
        ("enc", json!("A256GCM")),
    ] {
        let mut header = fixture.header();
        header[name] = value;
        assert!(matches!(refused(&fixture, &header), TokenError::HeaderRefused(found) if found == name));
    }
}

#[test]
fn a_kid_is_looked_up_and_nothing_else() {
    // C5
    let fixture = Fixture::new();
    for kid in [
        json!("../../../../dev/null"),
        json!("' OR 1=1 --"),
        json!("a\0b"),
        json!("https://evil.test/key"),
        json!(""),
        json!("k".repeat(65)),
        json!(format!("{} ", fixture.key.kid())),
        json!(fixture.key.kid().as_str().to_ascii_uppercase()),
        json!(null),
        json!([fixture.key.kid().as_str()]),
        json!({"kid": 1}),
        json!(0),
    ] {
        let mut header = fixture.header();
        header["kid"] = kid.clone();
        assert!(matches!(refused(&fixture, &header), TokenError::KeyUnknown), "{kid}");
    }
    let mut header = fixture.header();
    header["kid"] = "k".repeat(1 << 20).into();
    assert!(matches!(refused(&fixture, &header), TokenError::TooLong));
    header.as_object_mut().unwrap().remove("kid");
    assert!(matches!(refused(&fixture, &header), TokenError::KeyUnknown));
}

#[test]
fn the_type_is_at_jwt() {
    // A7, RFC 9068 §4
    let fixture = Fixture::new();
    for kind in ["at+jwt", "AT+JWT", "At+Jwt", "application/at+jwt", "APPLICATION/AT+JWT"] {
        let mut header = fixture.header();
        header["typ"] = kind.into();
        let token = fixture.forge(&header.to_string(), &fixture.payload().to_string());
        assert!(fixture.verify(&token).is_ok(), "{kind}");
    }
    for kind in [
        json!("JWT"),
        json!("jwt"),
        json!("id+jwt"),
        json!("refresh+jwt"),
        json!("at+jwt "),
        json!("text/at+jwt"),
        json!(""),
        json!(null),
        json!(["at+jwt"]),
        json!(1),
    ] {
        let mut header = fixture.header();
        header["typ"] = kind.clone();
        assert!(matches!(refused(&fixture, &header), TokenError::TypeRefused), "{kind}");
    }
    let mut header = fixture.header();
    header.as_object_mut().unwrap().remove("typ");
    assert!(matches!(refused(&fixture, &header), TokenError::TypeRefused));
}

#[test]
fn a_name_twice_in_the_header_is_refused() {
    let fixture = Fixture::new();
    let kid = fixture.key.kid();
    for header in [
        format!(r#"{{"alg":"none","alg":"EdDSA","kid":"{kid}","typ":"at+jwt"}}"#),
        format!(r#"{{"alg":"EdDSA","kid":"x","kid":"{kid}","typ":"at+jwt"}}"#),
        format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":"JWT","typ":"at+jwt"}}"#),
        format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":"at+jwt","x":1,"x":1}}"#),
        format!(r#"{{"alg":"EdDSA","\u0061lg":"EdDSA","kid":"{kid}","typ":"at+jwt"}}"#),
    ] {
        let token = fixture.forge(&header, &fixture.payload().to_string());
        assert!(matches!(fixture.verify(&token), Err(TokenError::NameRepeated)), "{header}");
    }
}

#[test]
fn a_header_that_is_no_object_is_malformed() {
    let fixture = Fixture::new();
    for header in ["", "null", "[]", "\"at+jwt\"", "{", "{}{}"] {
        let token = fixture.forge(header, &fixture.payload().to_string());
        assert!(matches!(fixture.verify(&token), Err(TokenError::Malformed)), "{header}");
    }
}

#[test]
fn an_unknown_parameter_is_ignored_as_rfc_7515_wants() {
    let fixture = Fixture::new();
    let mut header = fixture.header();
    header["x-note"] = json!({"a": [1, 2.5, null]});
    let token = fixture.forge(&header.to_string(), &fixture.payload().to_string());
    assert!(fixture.verify(&token).is_ok());
}
