//! The examples of RFC 9421.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use stylobate_auth::{
    DigestAlgorithm, MessageFields, RequestParts, ResponseParts, SignatureInput, SignedMessage,
    SigningAlgorithm, SigningKey, TargetUri, VerifyingKey,
};

const RSA: &str = include_str!("../keys/rfc9421_b11_rsa.pkcs1pub.pem");
const RSA_PSS: &str = include_str!("../keys/rfc9421_b12_rsa_pss.spki.pem");
const RSA_PSS_PRIVATE: &str = include_str!("../keys/rfc9421_b12_rsa_pss.pkcs1.pem");
const RSA_PSS_PKCS8: &str = include_str!("../keys/rfc9421_b12_rsa_pss.pkcs8.pem");
const P256: &str = include_str!("../keys/rfc9421_b13_p256.spki.pem");
const P256_PRIVATE: &str = include_str!("../keys/rfc9421_b13_p256.sec1.pem");
const ED25519: &str = include_str!("../keys/rfc9421_b14_ed25519.spki.pem");
const ED25519_PRIVATE: &str = include_str!("../keys/rfc9421_b14_ed25519.pkcs8.pem");
const SHARED_SECRET: &str =
    "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";

/// The body of `test-request`, and its digest.
const HELLO: &[u8] = br#"{"hello": "world"}"#;
const HELLO_DIGEST: &str =
    "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:";

const SIG_B21: (&str, &str) = (
    r#"();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd""#,
    "d2pmTvmbncD3xQm8E9ZV2828BjQWGgiwAaw5bAkgibUopemLJcWDy/lkbbHAve4cRAtx31Iq786U7it++wgGxbtRxf8Udx7zFZsckzXaJMkA7ChG52eSkFxykJeNqsrWH5S+oxNFlD4dzVuwe8DhTSja8xxbR/Z2cOGdCbzR72rgFWhzx2VjBqJzsPLMIQKhO4DGezXehhWwE56YCE+O6c0mKZsfxVrogUvA4HELjVKWmAvtl6UnCh8jYzuVG5WSb/QEVPnP5TmcAnLH1g+s++v6d4s8m0gCw1fV5/SITLq9mhho8K3+7EPYTU8IU1bLhdxO5Nyt8C8ssinQ98Xw9Q==",
);
const SIG_B22: (&str, &str) = (
    r#"("@authority" "content-digest" "@query-param";name="Pet");created=1618884473;keyid="test-key-rsa-pss";tag="header-example""#,
    "LjbtqUbfmvjj5C5kr1Ugj4PmLYvx9wVjZvD9GsTT4F7GrcQEdJzgI9qHxICagShLRiLMlAJjtq6N4CDfKtjvuJyE5qH7KT8UCMkSowOB4+ECxCmT8rtAmj/0PIXxi0A0nxKyB09RNrCQibbUjsLS/2YyFYXEu4TRJQzRw1rLEuEfY17SARYhpTlaqwZVtR8NV7+4UKkjqpcAoFqWFQh62s7Cl+H2fjBSpqfZUJcsIk4N6wiKYd4je2U/lankenQ99PZfB4jY3I5rSV2DSBVkSFsURIjYErOs0tFTQosMTAoxk//0RoKUqiYY8Bh0aaUEb0rQl3/XaVe4bXTugEjHSw==",
);
const SIG_B23: (&str, &str) = (
    r#"("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-rsa-pss""#,
    "bbN8oArOxYoyylQQUU6QYwrTuaxLwjAC9fbY2F6SVWvh0yBiMIRGOnMYwZ/5MR6fb0Kh1rIRASVxFkeGt683+qRpRRU5p2voTp768ZrCUb38K0fUxN0O0iC59DzYx8DFll5GmydPxSmme9v6ULbMFkl+V5B1TP/yPViV7KsLNmvKiLJH1pFkh/aYA2HXXZzNBXmIkoQoLd7YfW91kE9o/CCoC1xMy7JA1ipwvKvfrs65ldmlu9bpG6A9BmzhuzF8Eim5f8ui9eH8LZH896+QIF61ka39VBrohr9iyMUJpvRX2Zbhl5ZJzSRxpJyoEZAFL2FUo5fTIztsDZKEgM4cUA==",
);
const SIG_B24: (&str, &str) = (
    r#"("@status" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-ecc-p256""#,
    "wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw==",
);
const SIG_B25: (&str, &str) = (
    r#"("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret""#,
    "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=",
);
const SIG_B26: (&str, &str) = (
    r#"("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519""#,
    "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==",
);
const REQRES: (&str, &str) = (
    r#"("@status" "content-digest" "content-type" "@authority";req "@method";req "@path";req "content-digest";req);created=1618884479;keyid="test-key-ecc-p256""#,
    "dMT/A/76ehrdBTD/2Xx8QuKV6FoyzEP/I9hdzKN8LQJLNgzU4W767HK05rx1i8meNQQgQPgQp8wq2ive3tV5Ag==",
);
const PROXY_SIG: (&str, &str) = (
    r#"("@method" "@authority" "@path" "content-digest" "content-type" "content-length" "forwarded");created=1618884480;keyid="test-key-rsa";alg="rsa-v1_5-sha256";expires=1618884540"#,
    "S6ZzPXSdAMOPjN/6KXfXWNO/f7V6cHm7BXYUh3YD/fRad4BCaRZxP+JH+8XY1I6+8Cy+CM5g92iHgxtRPz+MjniOaYmdkDcnL9cCpXJleXsOckpURl49GwiyUpZ10KHgOEe11sx3G2gxI8S0jnxQB+Pu68U9vVcasqOWAEObtNKKZd8tSFu7LB5YAv0RAGhB8tmpv7sFnIm9y+7X5kXQfi8NMaZaA8i2ZHwpBdg7a6CMfwnnrtflzvZdXAsD3LH2TwevU+/PBPv0B6NMNk93wUs/vfJvye+YuI87HU38lZHowtznbLVdp770I6VHR6WfgS9ddzirrswsE1w5o0LV/g==",
);
const SIG1: (&str, &str) = (
    r#"("@method" "@authority" "@path" "content-digest" "content-length" "content-type");created=1618884473;keyid="test-key-rsa-pss""#,
    "HIbjHC5rS0BYaa9v4QfD4193TORw7u9edguPh0AW3dMq9WImrlFrCGUDih47vAxi4L2YRZ3XMJc1uOKk/J0ZmZ+wcta4nKIgBkKq0rM9hs3CQyxXGxHLMCy8uqK488o+9jrptQ+xFPHK7a9sRL1IXNaagCNN3ZxJsYapFj+JXbmaI5rtAdSfSvzPuBCh+ARHBmWuNo1UzVVdHXrl8ePL4cccqlazIJdC4QEjrF+Sn4IxBQzTZsL9y9TP5FsZYzHvDqbInkTNigBcE9cKOYNFCn4D/WM7F6TNuZO9EgtzepLWcjTymlHzK7aXq6Am6sfOrpIC49yXjj3ae6HRalVc/g==",
);

fn fields<'a>(fields: &[(&'a str, &'a str)]) -> MessageFields<'a> {
    fields.iter().map(|(name, value)| (*name, value.as_bytes())).collect()
}

/// Appendix B.2.
fn test_request(target: &TargetUri) -> RequestParts<'_> {
    let fields = fields(&[
        ("Host", "example.com"),
        ("Date", "Tue, 20 Apr 2021 02:07:55 GMT"),
        ("Content-Type", "application/json"),
        ("Content-Digest", HELLO_DIGEST),
        ("Content-Length", "18"),
    ]);
    RequestParts { method: "POST", target, fields }
}

fn test_target() -> TargetUri {
    TargetUri::new("https", "example.com", "/foo?param=Value&Pet=dog").unwrap()
}

/// Builds the base, compares its lines, and checks the signature.
fn passes(message: SignedMessage<'_>, (input, signature): (&str, &str), lines: &[&str], key: &VerifyingKey) {
    let parsed = SignatureInput::parse(input).unwrap();
    assert_eq!(parsed.to_string(), input);
    let base = parsed.base(message).unwrap();
    let mut expected = lines.join("\n");
    expected.push_str(if lines.is_empty() { "" } else { "\n" });
    expected.push_str("\"@signature-params\": ");
    expected.push_str(input);
    assert_eq!(base, expected);
    let signature = BASE64_STANDARD.decode(signature).unwrap();
    assert!(key.verify(base.as_bytes(), &signature), "{input}");
    assert!(!key.verify(format!("{base} ").as_bytes(), &signature));
}

fn rsa_pss() -> VerifyingKey {
    VerifyingKey::from_pem(SigningAlgorithm::Ps512, RSA_PSS).unwrap()
}

#[test]
fn b_2_1_minimal_signature_using_rsa_pss_sha512() {
    let target = test_target();
    passes(SignedMessage::Request(&test_request(&target)), SIG_B21, &[], &rsa_pss());
}

#[test]
fn b_2_2_selective_covered_components_using_rsa_pss_sha512() {
    let target = test_target();
    let digest = format!("\"content-digest\": {HELLO_DIGEST}");
    let lines = ["\"@authority\": example.com", &digest, "\"@query-param\";name=\"Pet\": dog"];
    passes(SignedMessage::Request(&test_request(&target)), SIG_B22, &lines, &rsa_pss());
}

#[test]
fn b_2_3_full_coverage_using_rsa_pss_sha512() {
    let target = test_target();
    let digest = format!("\"content-digest\": {HELLO_DIGEST}");
    let lines = [
        "\"date\": Tue, 20 Apr 2021 02:07:55 GMT",
        "\"@method\": POST",
        "\"@path\": /foo",
        "\"@query\": ?param=Value&Pet=dog",
        "\"@authority\": example.com",
        "\"content-type\": application/json",
        &digest,
        "\"content-length\": 18",
    ];
    passes(SignedMessage::Request(&test_request(&target)), SIG_B23, &lines, &rsa_pss());
}

#[test]
fn b_2_4_signing_a_response_using_ecdsa_p256_sha256() {
    let digest = DigestAlgorithm::Sha512.content_digest(br#"{"message": "good dog"}"#);
    let response = ResponseParts {
        status: 200,
        fields: fields(&[
            ("Date", "Tue, 20 Apr 2021 02:07:56 GMT"),
            ("Content-Type", "application/json"),
            ("Content-Digest", &digest),
            ("Content-Length", "23"),
        ]),
        request: None,
    };
    let lines = [
        "\"@status\": 200",
        "\"content-type\": application/json",
        "\"content-digest\": sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgfLQ==:",
        "\"content-length\": 23",
    ];
    let key = VerifyingKey::from_pem(SigningAlgorithm::Es256, P256).unwrap();
    passes(SignedMessage::Response(&response), SIG_B24, &lines, &key);
}

#[test]
fn b_2_5_signing_a_request_using_hmac_sha256() {
    let target = test_target();
    let secret = BASE64_STANDARD.decode(SHARED_SECRET).unwrap();
    let key = SigningKey::hmac(SigningAlgorithm::Hs256, &secret).unwrap();
    let lines = [
        "\"date\": Tue, 20 Apr 2021 02:07:55 GMT",
        "\"@authority\": example.com",
        "\"content-type\": application/json",
    ];
    let request = test_request(&target);
    let message = SignedMessage::Request(&request);
    passes(message, SIG_B25, &lines, key.verifying_key());
    // Always the same, so it is also made as it is there.
    let base = SignatureInput::parse(SIG_B25.0).unwrap().base(message).unwrap();
    assert_eq!(BASE64_STANDARD.encode(key.sign(base.as_bytes()).unwrap()), SIG_B25.1);
}

#[test]
fn b_2_6_signing_a_request_using_ed25519() {
    let target = test_target();
    let lines = [
        "\"date\": Tue, 20 Apr 2021 02:07:55 GMT",
        "\"@method\": POST",
        "\"@path\": /foo",
        "\"@authority\": example.com",
        "\"content-type\": application/json",
        "\"content-length\": 18",
    ];
    let request = test_request(&target);
    let message = SignedMessage::Request(&request);
    let key = VerifyingKey::from_pem(SigningAlgorithm::EdDsa, ED25519).unwrap();
    passes(message, SIG_B26, &lines, &key);
    let key = SigningKey::from_pem(SigningAlgorithm::EdDsa, ED25519_PRIVATE).unwrap();
    let base = SignatureInput::parse(SIG_B26.0).unwrap().base(message).unwrap();
    assert_eq!(BASE64_STANDARD.encode(key.sign(base.as_bytes()).unwrap()), SIG_B26.1);
}

#[test]
fn the_private_keys_of_appendix_b_1_sign_what_their_public_halves_verify() {
    // Its PKCS#8 says id-RSASSA-PSS, which no key of ours does; what lies inside is PKCS#1.
    assert!(SigningKey::from_pem(SigningAlgorithm::Ps512, RSA_PSS_PKCS8).is_err());
    for (algorithm, private, public) in [
        (SigningAlgorithm::Ps512, RSA_PSS_PRIVATE, RSA_PSS),
        (SigningAlgorithm::Es256, P256_PRIVATE, P256),
        (SigningAlgorithm::EdDsa, ED25519_PRIVATE, ED25519),
    ] {
        let target = test_target();
        let base = SignatureInput::parse(SIG_B26.0).unwrap();
        let base = base.base(SignedMessage::Request(&test_request(&target))).unwrap();
        let signature = SigningKey::from_pem(algorithm, private).unwrap().sign(base.as_bytes()).unwrap();
        assert!(VerifyingKey::from_pem(algorithm, public).unwrap().verify(base.as_bytes(), &signature));
    }
}

#[test]
fn the_example_of_sections_2_5_and_3_2() {
    let target = test_target();
    let request = test_request(&target);
    let message = SignedMessage::Request(&request);
    let digest = format!("\"content-digest\": {HELLO_DIGEST}");
    let lines = [
        "\"@method\": POST",
        "\"@authority\": example.com",
        "\"@path\": /foo",
        &digest,
        "\"content-length\": 18",
        "\"content-type\": application/json",
    ];
    passes(message, SIG1, &lines, &rsa_pss());
}

#[test]
fn the_reverse_proxy_of_section_4_3_using_rsa_v1_5_sha256() {
    let target = TargetUri::new("https", "origin.host.internal.example", "/foo?param=Value&Pet=dog").unwrap();
    let fields = fields(&[
        ("Content-Type", "application/json"),
        ("Content-Length", "18"),
        ("Forwarded", "for=192.0.2.123;host=example.com;proto=https"),
        ("Content-Digest", HELLO_DIGEST),
    ]);
    let request = RequestParts { method: "POST", target: &target, fields };
    let digest = format!("\"content-digest\": {HELLO_DIGEST}");
    let lines = [
        "\"@method\": POST",
        "\"@authority\": origin.host.internal.example",
        "\"@path\": /foo",
        &digest,
        "\"content-type\": application/json",
        "\"content-length\": 18",
        "\"forwarded\": for=192.0.2.123;host=example.com;proto=https",
    ];
    let key = VerifyingKey::from_pem(SigningAlgorithm::Rs256, RSA).unwrap();
    passes(SignedMessage::Request(&request), PROXY_SIG, &lines, &key);
}

#[test]
fn the_response_of_section_2_4_with_components_of_its_request() {
    let target = test_target();
    let request = test_request(&target);
    let body = br#"{"busy": true, "message": "Your call is very important to us"}"#;
    let digest = DigestAlgorithm::Sha512.content_digest(body);
    let response = ResponseParts {
        status: 503,
        fields: fields(&[("Content-Type", "application/json"), ("Content-Digest", &digest)]),
        request: Some(&request),
    };
    let (own, request_digest) =
        (format!("\"content-digest\": {digest}"), format!("\"content-digest\";req: {HELLO_DIGEST}"));
    let lines = [
        "\"@status\": 503",
        &own,
        "\"content-type\": application/json",
        "\"@authority\";req: example.com",
        "\"@method\";req: POST",
        "\"@path\";req: /foo",
        &request_digest,
    ];
    let key = VerifyingKey::from_pem(SigningAlgorithm::Es256, P256).unwrap();
    passes(SignedMessage::Response(&response), REQRES, &lines, &key);
}

#[test]
fn the_digest_of_the_test_request_is_that_of_its_body() {
    assert_eq!(DigestAlgorithm::Sha512.content_digest(HELLO), HELLO_DIGEST);
}

/// Builds the base of one component.
fn line(message: SignedMessage<'_>, component: &str) -> Option<String> {
    let base = SignatureInput::parse(&format!("({component})")).ok()?.base(message).ok()?;
    Some(base.split_once('\n').unwrap().0.to_owned())
}

#[test]
fn fields_are_combined_and_serialized_as_section_2_1_shows() {
    let target = test_target();
    let fields = fields(&[
        ("Host", "www.example.com"),
        ("X-OWS-Header", "   Leading and trailing whitespace.   "),
        ("X-Obs-Fold-Header", "Obsolete\r\n    line folding."),
        ("Cache-Control", "max-age=60"),
        ("Cache-Control", "    must-revalidate"),
        ("Example-Dict", "  a=1,    b=2;x=1;y=2,   c=(a   b    c), d"),
        ("Priority", "u=1,    i"),
        ("X-Empty-Header", " "),
        ("Bad-Dict", "a=1, a=2"),
    ]);
    let request = RequestParts { method: "GET", target: &target, fields };
    for (component, expected) in [
        (r#""host""#, r#""host": www.example.com"#),
        (r#""x-ows-header""#, r#""x-ows-header": Leading and trailing whitespace."#),
        (r#""x-obs-fold-header""#, r#""x-obs-fold-header": Obsolete line folding."#),
        (r#""cache-control""#, r#""cache-control": max-age=60, must-revalidate"#),
        (r#""example-dict""#, r#""example-dict": a=1,    b=2;x=1;y=2,   c=(a   b    c), d"#),
        (r#""x-empty-header""#, r#""x-empty-header": "#),
        (r#""example-dict";key="a""#, r#""example-dict";key="a": 1"#),
        (r#""example-dict";key="d""#, r#""example-dict";key="d": ?1"#),
        (r#""example-dict";key="b""#, r#""example-dict";key="b": 2;x=1;y=2"#),
        (r#""example-dict";key="c""#, r#""example-dict";key="c": (a b c)"#),
        (r#""priority";sf"#, r#""priority";sf: u=1, i"#),
    ] {
        assert_eq!(line(SignedMessage::Request(&request), component).as_deref(), Some(expected));
    }
    for component in [
        r#""missing""#,
        r#""example-dict";key="e""#,
        // Its structure is not known here.
        r#""example-dict";sf"#,
        r#""host";key="a""#,
        r#""bad-dict";key="a""#,
        r#""host";tr"#,
        r#""host";req"#,
        r#""@method";req"#,
        r#""@status""#,
    ] {
        assert_eq!(line(SignedMessage::Request(&request), component), None, "{component}");
    }
}

#[test]
fn derived_components_are_those_of_section_2_2() {
    let target = TargetUri::new("HTTP", "www.Example.com:80", "/path?param=value").unwrap();
    let request = RequestParts { method: "POST", target: &target, fields: MessageFields::default() };
    for (component, expected) in [
        (r#""@method""#, r#""@method": POST"#),
        (r#""@target-uri""#, r#""@target-uri": http://www.example.com/path?param=value"#),
        (r#""@authority""#, r#""@authority": www.example.com"#),
        (r#""@scheme""#, r#""@scheme": http"#),
        (r#""@request-target""#, r#""@request-target": /path?param=value"#),
        (r#""@path""#, r#""@path": /path"#),
        (r#""@query""#, r#""@query": ?param=value"#),
    ] {
        assert_eq!(line(SignedMessage::Request(&request), component).as_deref(), Some(expected));
    }
    let target = TargetUri::new("https", "www.example.com", "").unwrap();
    let target = target.with_request_target("https://www.example.com").unwrap();
    let request = RequestParts { method: "POST", target: &target, fields: MessageFields::default() };
    for (component, expected) in [
        (r#""@query""#, r#""@query": ?"#),
        (r#""@path""#, r#""@path": /"#),
        (r#""@request-target""#, r#""@request-target": https://www.example.com"#),
    ] {
        assert_eq!(line(SignedMessage::Request(&request), component).as_deref(), Some(expected));
    }
    let twice = TargetUri::new("https", "www.example.com", "/?a=1&a=2").unwrap();
    let request = RequestParts { method: "PO ST", target: &twice, fields: MessageFields::default() };
    for component in [r#""@query-param";name="a""#, r#""@query-param";name="b""#, r#""@method""#] {
        assert_eq!(line(SignedMessage::Request(&request), component), None, "{component}");
    }
    let response = ResponseParts { status: 42, fields: MessageFields::default(), request: None };
    for component in [r#""@status""#, r#""@method""#, r#""@method";req"#] {
        assert_eq!(line(SignedMessage::Response(&response), component), None, "{component}");
    }
}
