//! The compact serialization (RFC 7515 §7.1): taking it apart, and putting it together.

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

use super::{
    TOKEN_BYTES_MAX, TokenError,
    json::{self, Json},
};
use crate::{KeySet, Kid, SigningAlgorithm, SigningKey, VerifyingKey};

/// What kind of token it is, as its `typ` says: none is taken for another (RFC 8725 §3.11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenType {
    /// `at+jwt` (RFC 9068 §2.1): a person's.
    Access,
    /// `service+jwt`: a service's, for one audience. It is ours; no standard names the tokens of services.
    Service,
}

impl TokenType {
    /// The media type without its prefix.
    fn as_str(self) -> &'static str {
        match self {
            Self::Access => "at+jwt",
            Self::Service => "service+jwt",
        }
    }

    /// Media types are compared without regard to case, and may omit `application/` (RFC 7515 §4.1.9).
    fn is_named_by(self, typ: &str) -> bool {
        let bare = match typ.split_once('/') {
            Some((prefix, rest)) if prefix.eq_ignore_ascii_case("application") => rest,
            _ => typ,
        };
        bare.eq_ignore_ascii_case(self.as_str())
    }
}

/// Header parameters that are refused wherever they appear:
/// `crit` and `b64` ask for extensions we do not have (RFC 7515 §4.1.11, RFC 7797); `jku`, `jwk`, `x5u` and `x5c` would
/// let the token choose its key; `enc` and `zip` belong to JWE.
const REFUSED: [&str; 8] = ["crit", "b64", "jku", "jwk", "x5u", "x5c", "enc", "zip"];

/// A token taken apart; nothing of it has been proved yet.
pub(super) struct Unverified<'a> {
    /// Header and payload with the dot between them: what is signed.
    signed: &'a [u8],
    header: &'a str,
    payload: &'a str,
    signature: &'a str,
}

impl<'a> Unverified<'a> {
    pub(super) fn parse(token: &'a str) -> Result<Self, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        // A dot within the payload is one too many; five parts are an encrypted token.
        match payload.bytes().filter(|byte| *byte == b'.').count() {
            0 => Ok(Self { signed: signed.as_bytes(), header, payload, signature }),
            2 => Err(TokenError::Encrypted),
            _ => Err(TokenError::Malformed),
        }
    }

    /// Holds the header to the rules and finds the key in `set`, whose algorithm is also the header's.
    pub(super) fn key<'s>(
        &self,
        kind: TokenType,
        set: &'s KeySet,
    ) -> Result<&'s Arc<VerifyingKey>, TokenError> {
        // The header that the key's own access tokens have needs no reading: its text is known.
        if kind == TokenType::Access
            && let Some(key) = set.find_by_header(self.header)
        {
            return Ok(key);
        }
        self.read_header(kind, |kid, algorithm| {
            let key = set.find(kid).ok_or(TokenError::KeyUnknown)?;
            if algorithm == Some(key.algorithm().as_str()) {
                Ok(key)
            } else {
                Err(TokenError::AlgorithmRefused)
            }
        })
    }

    /// The key that the token names, when that is the name of a key at all.
    pub(super) fn kid(&self, kind: TokenType) -> Option<Kid> {
        self.read_header(kind, |kid, _| kid.parse().map_err(|_| TokenError::KeyUnknown)).ok()
    }

    fn read_header<T>(
        &self,
        kind: TokenType,
        found: impl FnOnce(&str, Option<&str>) -> Result<T, TokenError>,
    ) -> Result<T, TokenError> {
        let header = decode(self.header)?;
        let header = json::object(&header)?;
        if let Some(name) = REFUSED.into_iter().find(|name| header.get(name).is_some()) {
            return Err(TokenError::HeaderRefused(name));
        }
        let text = |name| header.get(name).and_then(Json::as_str);
        if !text("typ").is_some_and(|typ| kind.is_named_by(typ)) {
            return Err(TokenError::TypeRefused);
        }
        let kid = text("kid").filter(|kid| kid.len() <= Kid::CHARS_MAX).ok_or(TokenError::KeyUnknown)?;
        found(kid, text("alg"))
    }

    /// Checks the signature with `key`, and only then gives the payload.
    pub(super) fn verify(&self, key: &VerifyingKey) -> Result<Vec<u8>, TokenError> {
        // The longest signature is that of an RSA key with 8,192 bits.
        let mut signature = [0; 1_024];
        let length = BASE64_URL_SAFE_NO_PAD.decode_slice(self.signature, &mut signature).map_err(
            |error| match error {
                base64::DecodeSliceError::DecodeError(_) => TokenError::Malformed,
                base64::DecodeSliceError::OutputSliceTooSmall => TokenError::SignatureWrong,
            },
        )?;
        let signature = signature.get(..length).ok_or(TokenError::Malformed)?;
        if key.verify(self.signed, signature) {
            decode(self.payload)
        } else {
            Err(TokenError::SignatureWrong)
        }
    }
}

/// Signs `claims` with `key`.
pub(super) fn sign(key: &SigningKey, kind: TokenType, claims: &[u8]) -> Result<String, TokenError> {
    let mut token = String::with_capacity(1_024);
    let verifying = key.verifying_key();
    match kind {
        TokenType::Access => token.push_str(verifying.header()),
        TokenType::Service => {
            token.push_str(&BASE64_URL_SAFE_NO_PAD.encode(header(
                verifying.algorithm(),
                verifying.kid(),
                kind,
            )));
        }
    }
    token.push('.');
    BASE64_URL_SAFE_NO_PAD.encode_string(claims, &mut token);
    let signature = key.sign(token.as_bytes()).map_err(TokenError::Signing)?;
    token.push('.');
    BASE64_URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    if token.len() > TOKEN_BYTES_MAX { Err(TokenError::TooLong) } else { Ok(token) }
}

/// The header of access tokens by a key, encoded.
pub(crate) fn encoded_header(algorithm: SigningAlgorithm, kid: &Kid) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(header(algorithm, kid, TokenType::Access))
}

/// Neither name needs escaping: a [`Kid`] has no character that JSON would escape.
fn header(algorithm: SigningAlgorithm, kid: &Kid, kind: TokenType) -> String {
    format!(r#"{{"alg":"{algorithm}","kid":"{kid}","typ":"{}"}}"#, kind.as_str())
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
        for (kind, typ) in [(TokenType::Access, "at+jwt"), (TokenType::Service, "service+jwt")] {
            let header: serde_json::Value =
                serde_json::from_str(&header(SigningAlgorithm::EdDsa, &kid, kind)).unwrap();
            assert_eq!(header, serde_json::json!({"alg": "EdDSA", "kid": "k._-1", "typ": typ}));
        }
    }

    // V9.2.2
    #[test]
    fn a_type_has_its_names_and_no_others() {
        for typ in ["service+jwt", "SERVICE+JWT", "application/service+jwt", "Application/Service+jwt"] {
            assert!(TokenType::Service.is_named_by(typ), "{typ}");
            assert!(!TokenType::Access.is_named_by(typ), "{typ}");
        }
        for typ in ["", "/", "jwt", "text/service+jwt", "application/application/service+jwt", "service+jwt/"]
        {
            assert!(!TokenType::Service.is_named_by(typ), "{typ}");
        }
    }
}
