use rustls_pki_types::pem::{PemObject as _, SectionKind};
use zeroize::Zeroizing;

use super::KeyError;

/// The one key of a PEM text (RFC 7468), still in DER.
pub(super) enum PemKey {
    /// `PRIVATE KEY`: PKCS#8 (RFC 5958).
    Pkcs8(Zeroizing<Vec<u8>>),
    /// `RSA PRIVATE KEY`: PKCS#1 (RFC 8017 appendix A.1.2).
    RsaPrivate(Zeroizing<Vec<u8>>),
    /// `EC PRIVATE KEY`: SEC 1 (RFC 5915 §4).
    EcPrivate(Zeroizing<Vec<u8>>),
    /// `PUBLIC KEY`: SubjectPublicKeyInfo (RFC 5280 §4.1).
    Spki(Vec<u8>),
    /// `RSA PUBLIC KEY`: PKCS#1 (RFC 8017 appendix A.1.1).
    RsaPublic(Vec<u8>),
}

/// Reads the only key in `text`. Environment variables often hold a PEM in one line with the two characters `\n` for
/// a line break; neither can occur in a PEM otherwise, so both spellings are read.
pub(super) fn parse(text: &str) -> Result<PemKey, KeyError> {
    let text = Zeroizing::new(text.replace("\\r", "").replace("\\n", "\n"));
    let text = relabel_rsa_public_key(&text);
    let mut found = None;
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text.0.as_bytes()) {
        let (kind, der) = section.map_err(|_| KeyError::PemInvalid)?;
        let key = match kind {
            SectionKind::PrivateKey => PemKey::Pkcs8(Zeroizing::new(der)),
            SectionKind::RsaPrivateKey => PemKey::RsaPrivate(Zeroizing::new(der)),
            SectionKind::EcPrivateKey => PemKey::EcPrivate(Zeroizing::new(der)),
            SectionKind::PublicKey if text.1 => PemKey::RsaPublic(der),
            SectionKind::PublicKey => PemKey::Spki(der),
            _ => return Err(KeyError::PemInvalid),
        };
        // Two keys in one text are a mistake whose outcome would depend on their order.
        if found.replace(key).is_some() {
            return Err(KeyError::PemInvalid);
        }
    }
    found.ok_or(KeyError::PemInvalid)
}

/// The PEM parser skips labels it does not know, and `RSA PUBLIC KEY` is one of them: read it under the label of the
/// other public key and remember which it was.
fn relabel_rsa_public_key(text: &str) -> (Zeroizing<String>, bool) {
    let is_rsa_public = text.contains("-----BEGIN RSA PUBLIC KEY-----");
    let text =
        if is_rsa_public { text.replace("RSA PUBLIC KEY-----", "PUBLIC KEY-----") } else { text.to_owned() };
    (Zeroizing::new(text), is_rsa_public)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";

    #[test]
    fn escaped_line_breaks_are_read() {
        let inline = PUBLIC.replace('\n', "\\n");
        assert!(matches!(parse(&inline), Ok(PemKey::Spki(der)) if der == [0, 0, 0]));
        let inline = PUBLIC.replace('\n', "\\r\\n");
        assert!(matches!(parse(&inline), Ok(PemKey::Spki(der)) if der == [0, 0, 0]));
    }

    #[test]
    fn a_pkcs1_public_key_is_told_from_the_other() {
        let pkcs1 = PUBLIC.replace("PUBLIC", "RSA PUBLIC");
        assert!(matches!(parse(&pkcs1), Ok(PemKey::RsaPublic(der)) if der == [0, 0, 0]));
    }

    #[test]
    fn anything_but_exactly_one_known_key_is_refused() {
        let two = PUBLIC.repeat(2);
        let both = format!("{PUBLIC}{}", PUBLIC.replace("PUBLIC", "RSA PUBLIC"));
        let encrypted = PUBLIC.replace("PUBLIC KEY", "ENCRYPTED PRIVATE KEY");
        let certificate = PUBLIC.replace("PUBLIC KEY", "CERTIFICATE");
        let open = PUBLIC.replace("-----END PUBLIC KEY-----", "");
        for text in ["", "secret", &two, &both, &encrypted, &certificate, &open] {
            assert!(matches!(parse(text), Err(KeyError::PemInvalid)), "{text}");
        }
    }
}
