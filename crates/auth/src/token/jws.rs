//! The compact serialization (RFC 7515 §7.1): taking it apart, and putting it together.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::{TOKEN_BYTES_MAX, TokenError, json};
use crate::{Kid, SigningAlgorithm, SigningKey, VerifyingKey};

/// The media type of access tokens without its prefix (RFC 9068 §2.1).
const TYPE: &str = "at+jwt";

/// Header parameters that are refused wherever they appear:
/// `crit` and `b64` ask for extensions we do not have (RFC 7515 §4.1.11, RFC 7797); `jku`, `jwk`, `x5u` and `x5c` would
/// let the token choose its key; `enc` and `zip` belong to JWE.
const REFUSED: [&str; 8] = ["crit", "b64", "jku", "jwk", "x5u", "x5c", "enc", "zip"];

/// A token taken apart; nothing of it has been proved yet.
pub(super) struct Unverified<'a> {
    /// Header and payload with the dot between them: what is signed.
    signed: &'a [u8],
    payload: &'a str,
    signature: &'a str,
    header: Map<String, Value>,
}

impl<'a> Unverified<'a> {
    pub(super) fn parse(token: &'a str) -> Result<Self, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong);
        }
        match token.bytes().filter(|byte| *byte == b'.').count() {
            2 => {}
            4 => return Err(TokenError::Encrypted),
            _ => return Err(TokenError::Malformed),
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        let header = json::object(&decode(header)?)?;
        Ok(Self { signed: signed.as_bytes(), payload, signature, header })
    }

    /// Holds the header to the rules and gives the name of the key.
    pub(super) fn kid(&self) -> Result<&str, TokenError> {
        if let Some(name) = REFUSED.into_iter().find(|name| self.header.contains_key(*name)) {
            return Err(TokenError::HeaderRefused(name));
        }
        let kind = self.header.get("typ").and_then(Value::as_str).ok_or(TokenError::TypeRefused)?;
        // Media types are compared without regard to case, and may omit `application/` (RFC 7515 §4.1.9).
        let is_access_token = [TYPE, "application/at+jwt"].iter().any(|name| kind.eq_ignore_ascii_case(name));
        if !is_access_token {
            return Err(TokenError::TypeRefused);
        }
        self.header
            .get("kid")
            .and_then(Value::as_str)
            .filter(|kid| kid.len() <= Kid::CHARS_MAX)
            .ok_or(TokenError::KeyUnknown)
    }

    /// Checks algorithm and signature with `key`, and only then gives the claims.
    pub(super) fn verify(&self, key: &VerifyingKey) -> Result<Map<String, Value>, TokenError> {
        let algorithm = self.header.get("alg").and_then(Value::as_str);
        if algorithm != Some(key.algorithm().as_str()) {
            return Err(TokenError::AlgorithmRefused);
        }
        if !key.verify(self.signed, &decode(self.signature)?) {
            return Err(TokenError::SignatureWrong);
        }
        json::object(&decode(self.payload)?)
    }
}

/// Signs `claims` with `key`.
pub(super) fn sign(key: &SigningKey, claims: &[u8]) -> Result<String, TokenError> {
    let mut token = String::with_capacity(1_024);
    BASE64_URL_SAFE_NO_PAD.encode_string(header(key.algorithm(), key.kid()), &mut token);
    token.push('.');
    BASE64_URL_SAFE_NO_PAD.encode_string(claims, &mut token);
    let signature = key.sign(token.as_bytes()).map_err(TokenError::Signing)?;
    token.push('.');
    BASE64_URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    if token.len() > TOKEN_BYTES_MAX { Err(TokenError::TooLong) } else { Ok(token) }
}

/// Neither name needs escaping: a [`Kid`] has no character that JSON would escape.
fn header(algorithm: SigningAlgorithm, kid: &Kid) -> String {
    format!(r#"{{"alg":"{algorithm}","kid":"{kid}","typ":"{TYPE}"}}"#)
}

/// Decodes canonical base64url only: padding, white space, the other alphabet and loose trailing bits are refused, so
/// that a token has one spelling.
fn decode(text: &str) -> Result<Vec<u8>, TokenError> {
    BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_has_one_spelling() {
        assert_eq!(decode("Zg").unwrap(), b"f");
        for text in ["Zh", "Zg==", "Zg=", "Z", "Zg\n", " Zg", "+/8", "Z.g"] {
            assert!(decode(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_header_is_always_json() {
        let kid: Kid = "k._-1".parse().unwrap();
        let header: Value = serde_json::from_str(&header(SigningAlgorithm::EdDsa, &kid)).unwrap();
        assert_eq!(header, serde_json::json!({"alg": "EdDSA", "kid": "k._-1", "typ": "at+jwt"}));
    }
}
