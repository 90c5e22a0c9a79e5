use std::fmt;

use ring::digest;

use super::{
    SignatureFault,
    structured::{self, Bare, Item, Member},
};

pub(super) const FIELD: &str = "content-digest";

/// How a body is digested (RFC 9530 §5). The registry's other algorithms are broken or no digests at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DigestAlgorithm {
    /// `sha-256`.
    #[default]
    Sha256,
    /// `sha-512`.
    Sha512,
}

impl DigestAlgorithm {
    const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// Its name in the registry.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha-256",
            Self::Sha512 => "sha-512",
        }
    }

    fn digest(self, body: &[u8]) -> digest::Digest {
        digest::digest(
            match self {
                Self::Sha256 => &digest::SHA256,
                Self::Sha512 => &digest::SHA512,
            },
            body,
        )
    }

    /// The value of `Content-Digest` for a message with exactly these bytes.
    #[must_use]
    pub fn content_digest(self, body: &[u8]) -> String {
        let mut out = format!("{self}=");
        // Writing to a text does not fail.
        let _ = structured::write_bytes(&mut out, self.digest(body).as_ref());
        out
    }
}

impl fmt::Display for DigestAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a `Content-Digest` claims about a body, as far as it is known: at least one digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentDigest {
    sha256: Option<Vec<u8>>,
    sha512: Option<Vec<u8>>,
}

impl ContentDigest {
    /// Reads the value of `Content-Digest`, all its lines combined. Digests of other algorithms are passed over. One of another
    /// length than its algorithm's is no body's.
    ///
    /// # Errors
    /// [`SignatureFault::FieldMalformed`] for what is no dictionary of bytes, or an algorithm twice;
    /// [`SignatureFault::DigestMissing`] when there is none of a known algorithm.
    pub fn parse(text: &str) -> Result<Self, SignatureFault> {
        let malformed = SignatureFault::FieldMalformed(FIELD);
        let members = structured::dictionary(text).ok_or_else(|| malformed.clone())?;
        let mut digests = Self { sha256: None, sha512: None };
        for (name, member) in members {
            let Member::Item(Item { value: Bare::Bytes(bytes), params }) = member else {
                return Err(malformed);
            };
            if !params.is_empty() {
                return Err(malformed);
            }
            match DigestAlgorithm::ALL.into_iter().find(|known| known.as_str() == name) {
                Some(DigestAlgorithm::Sha256) => digests.sha256 = Some(bytes),
                Some(DigestAlgorithm::Sha512) => digests.sha512 = Some(bytes),
                None => {}
            }
        }
        if digests.claims().next().is_none() { Err(SignatureFault::DigestMissing) } else { Ok(digests) }
    }

    fn claims(&self) -> impl Iterator<Item = (DigestAlgorithm, &[u8])> {
        let claimed = [&self.sha256, &self.sha512];
        DigestAlgorithm::ALL
            .into_iter()
            .zip(claimed)
            .filter_map(|(algorithm, claimed)| Some((algorithm, claimed.as_deref()?)))
    }

    /// Whether all of them are the digests of `body`.
    #[must_use]
    pub fn is_of(&self, body: &[u8]) -> bool {
        // Neither side is secret: whoever sent the body can digest it.
        self.claims().all(|(algorithm, claimed)| algorithm.digest(body).as_ref() == claimed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_rfc_9530() {
        // Appendices B.1 and B.2.
        let hello = b"{\"hello\": \"world\"}\n";
        assert_eq!(
            DigestAlgorithm::Sha256.content_digest(hello),
            "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"
        );
        assert_eq!(
            DigestAlgorithm::Sha256.content_digest(b""),
            "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"
        );
        let hello = b"{\"hello\": \"world\"}";
        let both = "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:, \
                    sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:";
        let both = ContentDigest::parse(both).unwrap();
        assert!(both.is_of(hello));
        assert!(!both.is_of(b"{\"hello\": \"World\"}"));
    }

    #[test]
    fn all_known_digests_have_to_match_and_one_has_to_be_known() {
        let (right, wrong) =
            (DigestAlgorithm::Sha256.content_digest(b"a"), DigestAlgorithm::Sha512.content_digest(b"b"));
        assert!(ContentDigest::parse(&right).unwrap().is_of(b"a"));
        assert!(!ContentDigest::parse(&format!("{right}, {wrong}")).unwrap().is_of(b"a"));
        assert!(ContentDigest::parse(&format!("unixsum=:AAA=:, {right}")).unwrap().is_of(b"a"));
        for unknown in ["md5=:AAAA:", "sha=:AAAA:, unixsum=:AAA=:", "", "sha-384=:AAAA:"] {
            assert_eq!(ContentDigest::parse(unknown), Err(SignatureFault::DigestMissing), "{unknown}");
        }
    }

    #[test]
    fn what_is_no_digest_is_refused() {
        let value = DigestAlgorithm::Sha256.content_digest(b"a");
        for text in [
            value.replace("sha-256", "SHA-256"),
            value.replace("=:", "=:="),
            value.replace(':', "\""),
            format!("{value};a"),
            format!("{value}, {value}"),
            format!("{value},"),
            "sha-256".to_owned(),
            "sha-256=(:YQ==:)".to_owned(),
            // One `=` too many.
            "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg==:".to_owned(),
        ] {
            let refused = ContentDigest::parse(&text);
            assert_eq!(refused, Err(SignatureFault::FieldMalformed("content-digest")), "{text}");
        }
        // Too short is the digest of nothing.
        assert!(!ContentDigest::parse("sha-256=::").unwrap().is_of(b""));
    }
}
