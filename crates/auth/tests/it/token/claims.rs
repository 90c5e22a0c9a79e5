use super::*;

/// What may stand in the place of a claim; `None` leaves it out. JSON text, because 1e400 is no `Value`.
const REPLACEMENTS: [(&str, Option<&str>); 13] = [
    ("missing", None),
    ("null", Some("null")),
    ("string", Some(r#""text""#)),
    ("string of digits", Some(r#""1772366500""#)),
    ("array", Some("[1772366500]")),
    ("object", Some("{}")),
    ("float", Some("1772366500.0")),
    ("exponent", Some("1772366500e0")),
    ("negative", Some("-1")),
    ("overflow", Some("1e400")),
    ("beyond i64", Some("9223372036854775808")),
    ("beyond all calendars", Some("9223372036854775807")),
    ("bool", Some("true")),
];

/// Every claim with the replacements it accepts. Strings that are free text accept strings; `epoch` is a plain number.
const CLAIMS: [(&str, &[&str]); 17] = [
    ("iss", &[]),
    ("aud", &[]),
    ("sub", &[]),
    ("sid", &[]),
    ("jti", &[]),
    ("iat", &[]),
    ("exp", &[]),
    ("epoch", &["beyond all calendars"]),
    ("nbf", &["missing"]),
    ("auth_time", &["missing"]),
    ("org_id", &["missing"]),
    ("amr", &["missing"]),
    ("acr", &["missing", "string", "string of digits"]),
    ("scope", &["missing", "string", "string of digits"]),
    ("permissions", &["missing"]),
    ("client_id", &["missing", "string", "string of digits"]),
    ("act", &["missing"]),
];

/// The payload as JSON text with one claim replaced.
fn payload_with(fixture: &Fixture, claim: &str, replacement: Option<&str>) -> String {
    let mut payload = fixture.payload();
    payload["nbf"] = payload["iat"].clone();
    payload["act"] = json!({"sub": PersonId::new(now())});
    payload["permissions"] = json!(["people:read"]);
    payload["client_id"] = "console".into();
    let members: Vec<String> = payload
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, _)| *name != claim)
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .chain(replacement.map(|value| format!("\"{claim}\":{value}")))
        .collect();
    format!("{{{}}}", members.join(","))
}

fn verify(fixture: &Fixture, payload: &str) -> Result<Arc<VerifiedToken>, TokenError> {
    fixture.verify(&fixture.forge(&fixture.header().to_string(), payload))
}

#[test]
fn every_claim_is_of_its_type_or_the_token_is_refused() {
    // A7, C3
    let fixture = Fixture::new();
    for (claim, accepted) in CLAIMS {
        for (name, replacement) in REPLACEMENTS {
            let result = verify(&fixture, &payload_with(&fixture, claim, replacement));
            assert_eq!(result.is_ok(), accepted.contains(&name), "{claim}: {name}: {result:?}");
            if name == "missing" && !accepted.contains(&name) {
                assert!(matches!(result, Err(TokenError::ClaimMissing(missing)) if missing == claim));
            }
            if name == "null" {
                assert!(matches!(result, Err(TokenError::ClaimInvalid(wrong)) if wrong == claim), "{claim}");
            }
        }
    }
}

#[test]
fn a_claim_twice_is_refused_even_with_one_value() {
    // C3
    let fixture = Fixture::new();
    let payload = payload_with(&fixture, "none of them", None);
    assert!(verify(&fixture, &payload).is_ok());
    let members: Value = serde_json::from_str(&payload).unwrap();
    for (claim, value) in members.as_object().unwrap() {
        for twice in [
            payload.replacen('{', &format!("{{\"{claim}\":{value},"), 1),
            payload.replacen('{', &format!("{{\"{claim}\":null,"), 1),
        ] {
            let result = verify(&fixture, &twice);
            assert!(matches!(result, Err(TokenError::NameRepeated)), "{claim}: {result:?}");
        }
    }
    let nested = payload_with(&fixture, "act", Some(r#"{"sub":"a","sub":"b"}"#));
    assert!(matches!(verify(&fixture, &nested), Err(TokenError::NameRepeated)));
}

#[test]
fn an_audience_is_a_string_or_strings_and_ours_is_among_them() {
    let fixture = Fixture::new();
    for (aud, is_accepted) in [
        (format!("\"{AUDIENCE}\""), true),
        (format!("[\"{AUDIENCE}\"]"), true),
        (format!("[\"other\",\"{AUDIENCE}\"]"), true),
        (format!("[\"{AUDIENCE}\",1]"), false),
        (format!("[\"{AUDIENCE}\",null]"), false),
        (format!("[[\"{AUDIENCE}\"]]"), false),
        (format!("{{\"0\":\"{AUDIENCE}\"}}"), false),
        (format!("\"other {AUDIENCE}\""), false),
    ] {
        let result = verify(&fixture, &payload_with(&fixture, "aud", Some(&aud)));
        assert_eq!(result.is_ok(), is_accepted, "{aud}: {result:?}");
    }
}

#[test]
fn an_issuer_in_an_array_is_refused() {
    let fixture = Fixture::new();
    let result = verify(&fixture, &payload_with(&fixture, "iss", Some(&format!("[\"{ISSUER}\"]"))));
    assert!(matches!(result, Err(TokenError::ClaimInvalid("iss"))));
}

#[test]
fn a_token_made_to_live_longer_is_refused() {
    // A7
    let fixture = Fixture::new();
    let iat = now().timestamp();
    for (exp, code) in [
        (iat + 901, "token_lifetime_refused"),
        (iat + 10 * 365 * 86_400, "token_lifetime_refused"),
        (iat, "token_claim_invalid"),
        (iat - 1, "token_claim_invalid"),
    ] {
        let result = verify(&fixture, &payload_with(&fixture, "exp", Some(&exp.to_string())));
        assert_eq!(result.unwrap_err().code(), code, "{exp}");
    }
    assert!(verify(&fixture, &payload_with(&fixture, "exp", Some(&(iat + 900).to_string()))).is_ok());
}

#[test]
fn a_token_from_the_future_is_refused_beyond_the_leeway() {
    let fixture = Fixture::new();
    for (claim, ahead, is_accepted) in
        [("iat", 5, true), ("iat", 6, false), ("nbf", 5, true), ("nbf", 6, false), ("nbf", 800, false)]
    {
        let time = (now().timestamp() + ahead).to_string();
        let result = verify(&fixture, &payload_with(&fixture, claim, Some(&time)));
        assert_eq!(result.is_ok(), is_accepted, "{claim} +{ahead}: {result:?}");
    }
    let later = (now().timestamp() + 60).to_string();
    let result = verify(&fixture, &payload_with(&fixture, "auth_time", Some(&later)));
    assert!(matches!(result, Err(TokenError::ClaimInvalid("auth_time"))));
}

#[test]
fn ids_have_one_spelling() {
    let fixture = Fixture::new();
    let id = PersonId::new(now()).as_uuid();
    for text in
        [id.simple().to_string(), id.urn().to_string(), id.braced().to_string(), "1".into(), String::new()]
    {
        for claim in ["sub", "sid", "jti", "org_id"] {
            let result = verify(&fixture, &payload_with(&fixture, claim, Some(&format!("\"{text}\""))));
            assert!(
                matches!(result, Err(TokenError::ClaimInvalid(wrong)) if wrong == claim),
                "{claim} {text}"
            );
        }
    }
}

#[test]
fn a_scope_is_words_with_one_space_between() {
    let fixture = Fixture::new();
    for (scope, is_accepted) in [
        ("", true),
        ("a", true),
        ("a b:c", true),
        (" a", false),
        ("a  b", false),
        ("a\\tb", false),
        ("\\u00e9", false),
    ] {
        let result = verify(&fixture, &payload_with(&fixture, "scope", Some(&format!("\"{scope}\""))));
        assert_eq!(result.is_ok(), is_accepted, "{scope:?}");
    }
}

#[test]
fn an_unknown_assurance_counts_as_the_lowest() {
    let fixture = Fixture::new();
    for (acr, level) in [
        ("aal3", AuthenticatorAssurance::Aal3),
        ("aal2", AuthenticatorAssurance::Aal2),
        ("AAL3", AuthenticatorAssurance::Aal1),
        ("urn:mace:incommon:iap:silver", AuthenticatorAssurance::Aal1),
    ] {
        let verified = verify(&fixture, &payload_with(&fixture, "acr", Some(&format!("\"{acr}\"")))).unwrap();
        assert_eq!(verified.principal.assurance.aal, level, "{acr}");
    }
}

#[test]
fn a_payload_that_is_no_object_is_malformed() {
    let fixture = Fixture::new();
    for payload in ["", "null", "[]", "{", "\u{feff}{}", "{}x"] {
        assert!(matches!(verify(&fixture, payload), Err(TokenError::Malformed)), "{payload}");
    }
}

#[test]
fn a_token_that_is_refused_the_first_time_is_refused_every_way() {
    // The header that our own tokens have is recognised by its text, others are read: both ways hold the same claims to
    // the same rules.
    let fixture = Fixture::new();
    let read = format!(r#"{{"typ":"at+jwt","kid":"{}","alg":"EdDSA"}}"#, fixture.key.kid());
    let own = fixture.signer.issue(&fixture.claims()).unwrap();
    assert_ne!(own.split('.').next(), Some(BASE64_URL_SAFE_NO_PAD.encode(&read).as_str()));
    for (claim, _) in CLAIMS {
        for (_, replacement) in REPLACEMENTS {
            let payload = payload_with(&fixture, claim, replacement);
            let header = own.split('.').next().unwrap();
            let header = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
            let one = fixture.verify(&fixture.forge(&header, &payload)).map_err(|error| error.code());
            let other = fixture.verify(&fixture.forge(&read, &payload)).map_err(|error| error.code());
            assert_eq!(one, other, "{claim} {replacement:?}");
        }
    }
}
