//! JSON Web Keys (RFC 7517, RFC 7518 §6, RFC 8037 §2): showing our public keys, and reading those of others.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::digest;
use serde::Serialize;

use super::{KeyError, KeySet, Kid, SigningAlgorithm, VerifyingKey, algorithm::Family, der, public::Curve};
use crate::token::json::{self, Json, Object};

/// The public half of one key. It is made by [`VerifyingKey::to_jwk`] and has no member for anything secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Jwk {
    pub(super) kty: String,
    #[serde(rename = "use")]
    usage: &'static str,
    alg: &'static str,
    kid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) crv: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) x: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) y: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) n: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) e: Option<String>,
}

impl Jwk {
    /// A key that is only for checking signatures, without its material.
    pub(super) fn for_signatures(algorithm: SigningAlgorithm, kid: &Kid) -> Self {
        Self {
            kty: String::new(),
            usage: "sig",
            alg: algorithm.as_str(),
            kid: kid.to_string(),
            crv: None,
            x: None,
            y: None,
            n: None,
            e: None,
        }
    }

    /// The key as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Texts and nothing else: this cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The key's name.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }
}

/// The public keys of an issuer, as it shows them at `/.well-known/jwks.json` (RFC 7517 §5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JwkSet {
    keys: Vec<Jwk>,
}

impl JwkSet {
    /// The public keys of `set`, by name. HMAC keys are left out: showing one would be giving it away.
    #[must_use]
    pub fn of(set: &KeySet) -> Self {
        let mut keys: Vec<Jwk> = set.iter().filter_map(|key| key.to_jwk()).collect();
        keys.sort_unstable_by(|left, right| left.kid.cmp(&right.kid));
        Self { keys }
    }

    /// The keys.
    #[must_use]
    pub fn keys(&self) -> &[Jwk] {
        &self.keys
    }

    /// The set as JSON, `application/jwk-set+json`: the same text for the same keys.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Texts and nothing else: this cannot fail.
        serde_json::to_string(self).unwrap_or_else(|_| r#"{"keys":[]}"#.to_owned())
    }

    /// A strong entity tag of [`to_json`](Self::to_json), with its quotes (RFC 9110 §8.8.3).
    #[must_use]
    pub fn etag(&self) -> String {
        let digest = digest::digest(&digest::SHA256, self.to_json().as_bytes());
        format!(
            "\"{}\"",
            BASE64_URL_SAFE_NO_PAD.encode(digest.as_ref().first_chunk::<16>().unwrap_or(&[0; 16]))
        )
    }
}

/// Why a set of somebody else's keys is not usable at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a JSON Web Key set")]
pub(crate) struct JwkSetInvalid;

/// Reads the keys of a set that check signatures with one of `allowed`. Keys for anything else, of other kinds, with
/// private or shared secrets, without `kid` or of a strength we refuse are passed over, as RFC 7517 §5 says.
pub(crate) fn read_set(
    text: &[u8],
    allowed: &[SigningAlgorithm],
) -> Result<Vec<VerifyingKey>, JwkSetInvalid> {
    let set = json::object(text).map_err(|_| JwkSetInvalid)?;
    let Some(Json::Array(keys)) = set.get("keys") else { return Err(JwkSetInvalid) };
    let objects = keys.iter().filter_map(|key| match key {
        Json::Object(key) => Some(key),
        _ => None,
    });
    Ok(objects.filter_map(|key| read(key, allowed)).collect())
}

/// Reads one key that checks signatures with one of `allowed`, as [`read_set`] reads those of a set.
#[cfg(feature = "sql")]
pub(crate) fn read_named(text: &[u8], allowed: &[SigningAlgorithm]) -> Option<VerifyingKey> {
    read(&json::object(text).ok()?, allowed)
}

impl VerifyingKey {
    /// Reads a JSON Web Key (RFC 7517) that somebody hands over: a public key, of a curve that fixes its algorithm or with `alg`.
    /// It is named by its thumbprint (RFC 7638), whatever `kid` says.
    ///
    /// # Errors
    /// [`KeyError::Rejected`] when it is no such key, is for anything but signatures, or has a private member.
    pub fn from_jwk(json: &[u8]) -> Result<Self, KeyError> {
        let object = json::object(json).map_err(|_| KeyError::Rejected)?;
        let is_for_signatures = object.get("use").is_none_or(|usage| usage.as_str() == Some("sig"));
        let key = material(&object, &SigningAlgorithm::ALL).filter(|_| is_for_signatures);
        key.ok_or(KeyError::Rejected)
    }
}

/// Private members of RSA, EC and OKP keys, and the secret of symmetric ones: whoever publishes them has lost the key.
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

fn read(key: &Object<'_>, allowed: &[SigningAlgorithm]) -> Option<VerifyingKey> {
    let text = |name| key.get(name).and_then(Json::as_str);
    if text("use")? != "sig" {
        return None;
    }
    let kid: Kid = text("kid")?.parse().ok()?;
    Some(material(key, allowed)?.with_kid(kid))
}

/// The key without its name and use.
fn material(key: &Object<'_>, allowed: &[SigningAlgorithm]) -> Option<VerifyingKey> {
    let text = |name| key.get(name).and_then(Json::as_str);
    if PRIVATE.iter().any(|name| key.get(name).is_some()) {
        return None;
    }
    let bytes = |name| BASE64_URL_SAFE_NO_PAD.decode(text(name)?).ok();
    let (kty, crv) = (text("kty")?, text("crv"));
    // The curve fixes the algorithm; with RSA only `alg` does.
    let algorithm: SigningAlgorithm = match (text("alg"), kty, crv) {
        (Some(alg), _, _) => alg.parse().ok()?,
        (None, "OKP", Some("Ed25519")) => SigningAlgorithm::EdDsa,
        (None, "EC", Some("P-256")) => SigningAlgorithm::Es256,
        (None, "EC", Some("P-384")) => SigningAlgorithm::Es384,
        _ => return None,
    };
    if !allowed.contains(&algorithm) {
        return None;
    }
    let verifying = match (algorithm.family(), kty) {
        (Family::Ed25519, "OKP") if crv == Some("Ed25519") => {
            VerifyingKey::ed25519(&bytes("x")?.try_into().ok()?).ok()?
        }
        (Family::Ec, "EC") => {
            let curve = Curve::of(algorithm).filter(|curve| crv == Some(curve.name))?;
            let (x, y) = (bytes("x")?, bytes("y")?);
            // RFC 7518 §6.2.1.2: full length, so that a zero in front is not lost between the halves.
            if x.len() != curve.scalar_bytes || y.len() != curve.scalar_bytes {
                return None;
            }
            VerifyingKey::ec(algorithm, &[&[0x04], x.as_slice(), y.as_slice()].concat()).ok()?
        }
        (Family::Rsa, "RSA") => {
            VerifyingKey::rsa(algorithm, &der::write_rsa_public_key(&bytes("n")?, &bytes("e")?)?).ok()?
        }
        _ => return None,
    };
    Some(verifying)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SigningKey;

    fn every_kind() -> Vec<SigningKey> {
        let rsa = include_str!("../../tests/it/keys/rfc7515_a2.pkcs8.pem");
        let mut keys = Vec::new();
        for algorithm in SigningAlgorithm::ALL {
            if algorithm.is_generated() {
                keys.push(SigningKey::generate(algorithm).unwrap().0);
            } else if !algorithm.is_symmetric() {
                // The same RSA key under every algorithm has one thumbprint: each gets a name of its own.
                let key = SigningKey::from_pem(algorithm, rsa).unwrap();
                keys.push(key.with_kid(algorithm.as_str().parse().unwrap()));
            }
        }
        keys
    }

    #[test]
    fn what_is_shown_is_read_back_as_the_same_key() {
        for key in every_kind() {
            let public = key.verifying_key();
            let json = serde_json::to_string(&JwkSet { keys: vec![public.to_jwk().unwrap()] }).unwrap();
            let read = read_set(json.as_bytes(), &SigningAlgorithm::ALL).unwrap();
            assert_eq!(read, std::slice::from_ref(public), "{json}");
            assert!(read[0].verify(b"message", &key.sign(b"message").unwrap()));
            let others: Vec<_> =
                SigningAlgorithm::ALL.into_iter().filter(|other| *other != key.algorithm()).collect();
            assert_eq!(read_set(json.as_bytes(), &others).unwrap(), [], "not on the list");
        }
    }

    #[test]
    fn a_shared_secret_is_never_shown() {
        // C1
        for algorithm in SigningAlgorithm::ALL.into_iter().filter(|one| one.is_symmetric()) {
            let key = SigningKey::hmac(
                algorithm,
                b"canary-canary-canary-canary-canary-canary-canary-canary-canary-canary",
            )
            .unwrap();
            assert_eq!(key.verifying_key().to_jwk(), None);
            let set = JwkSet::of(&KeySet::signing_with(key));
            assert_eq!(set.to_json(), r#"{"keys":[]}"#);
        }
    }

    #[test]
    fn the_tag_changes_with_the_keys_and_with_nothing_else() {
        let set = || KeySet::signing_with(SigningKey::generate(SigningAlgorithm::Es256).unwrap().0);
        let one = set();
        assert_eq!(JwkSet::of(&one).etag(), JwkSet::of(&one.clone()).etag());
        assert_ne!(JwkSet::of(&one).etag(), JwkSet::of(&set()).etag());
    }

    #[test]
    fn the_rsa_key_of_rfc_7638_has_its_thumbprint() {
        // RFC 7638 §3.1.
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMst\
                 n64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91C\
                 bOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let json = format!(
            r#"{{"keys":[{{"kty":"RSA","n":"{n}","e":"AQAB","alg":"RS256","use":"sig","kid":"2011-04-29"}}]}}"#
        );
        let read = read_set(json.as_bytes(), &SigningAlgorithm::ALL).unwrap();
        assert_eq!(read[0].kid().as_str(), "2011-04-29");
        let named = read[0].to_owned().named_by_thumbprint();
        assert_eq!(named.kid().as_str(), &"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"[..22]);
    }

    #[test]
    fn keys_that_are_not_for_us_are_passed_over() {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let okp = |members: &str| format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"{members}}}"#);
        let sound = okp(r#","use":"sig","alg":"EdDSA","kid":"k1""#);
        let without_alg = okp(r#","use":"sig","kid":"k2""#);
        let refused = [
            okp(r#","use":"enc","alg":"EdDSA","kid":"k""#),
            okp(r#","alg":"EdDSA","kid":"k""#),
            okp(r#","use":"sig","alg":"EdDSA""#),
            okp(r#","use":"sig","alg":"EdDSA","kid":"../../etc""#),
            okp(r#","use":"sig","alg":"none","kid":"k""#),
            okp(r#","use":"sig","alg":"HS256","kid":"k""#),
            okp(r#","use":"sig","alg":"RS256","kid":"k""#),
            okp(r#","use":"sig","alg":"EdDSA","kid":"k","d":"AAAA""#),
            okp(r#","use":["sig"],"alg":"EdDSA","kid":"k""#),
            format!(r#"{{"kty":"oct","k":"{x}","use":"sig","alg":"HS256","kid":"k"}}"#),
            format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}A","use":"sig","alg":"EdDSA","kid":"k"}}"#),
            format!(r#"{{"kty":"OKP","crv":"X25519","x":"{x}","use":"sig","alg":"EdDSA","kid":"k"}}"#),
            format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","use":"sig","alg":"ES256","kid":"k"}}"#),
            format!(
                r#"{{"kty":"EC","crv":"P-384","x":"{x}","y":"{x}","use":"sig","alg":"ES256","kid":"k"}}"#
            ),
            r#"{"kty":"RSA","n":"AQAB","e":"AQAB","use":"sig","alg":"RS256","kid":"k"}"#.to_owned(), // A7
            r#"{"kty":"RSA","n":"","e":"","use":"sig","alg":"RS256","kid":"k"}"#.to_owned(),
            "null".to_owned(),
            "[]".to_owned(),
        ];
        let all = refused.iter().chain([&sound, &without_alg]).map(String::as_str).collect::<Vec<_>>();
        let json = format!(r#"{{"keys":[{}]}}"#, all.join(","));
        let read = read_set(json.as_bytes(), &SigningAlgorithm::ALL).unwrap();
        assert_eq!(read.iter().map(|key| key.kid().as_str()).collect::<Vec<_>>(), ["k1", "k2"]);
    }

    proptest::proptest! {
        #[test]
        fn fuzz_jwks_arbitrary_bytes_never_panic(text in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = read_set(&text, &SigningAlgorithm::ALL);
        }

        /// Sets that look right, with any member of any key replaced.
        #[test]
        fn fuzz_jwks_changed_members_never_panic_and_never_give_a_secret(
            kind in 0..7_usize, member in 0..9_usize, value in "[A-Za-z0-9_-]{0,90}|null|\\[\\]|\\{\\}|-?[0-9]{1,25}|sig|enc|oct|RSA|EC",
        ) {
            let key = every_kind().swap_remove(kind);
            let mut jwk = serde_json::to_value(key.verifying_key().to_jwk().unwrap()).unwrap();
            let name = ["kty", "use", "alg", "kid", "crv", "x", "y", "n", "k"][member];
            jwk[name] = serde_json::from_str(&value).unwrap_or_else(|_| value.clone().into());
            let text = serde_json::json!({ "keys": [jwk] }).to_string();
            for read in read_set(text.as_bytes(), &SigningAlgorithm::ALL).unwrap() {
                proptest::prop_assert!(!read.algorithm().is_symmetric(), "{}", text);
                proptest::prop_assert!(!read.verify(b"message", b""));
            }
        }
    }

    #[test]
    fn what_is_no_set_is_an_error() {
        for text in [
            "",
            "null",
            "[]",
            "{}",
            r#"{"keys":null}"#,
            r#"{"keys":{}}"#,
            r#"{"keys":[],"keys":[]}"#,
            "<html>",
        ] {
            assert_eq!(read_set(text.as_bytes(), &SigningAlgorithm::ALL), Err(JwkSetInvalid), "{text}");
        }
        assert_eq!(read_set(br#"{"keys":[]}"#, &SigningAlgorithm::ALL), Ok(Vec::new()));
    }
}
