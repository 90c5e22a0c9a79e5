use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::PasswordError;

/// Secrets that password hashes are keyed with, so that a copy of the database alone lets nobody guess (NIST SP 800-63B-4 §3.1.1.2:
/// "an additional iteration … using a secret key").
///
/// The secret is the one that Argon2 itself takes (RFC 9106 §3.1, `K`), rather than an HMAC around the password: it is part of the
/// standard, other implementations can verify it, and nothing is composed here. Each secret has a version, which stands in the stored
/// hash as `keyid`. New hashes use the newest; a hash of an older one, or of none, verifies and wants a new hash. A version may go
/// when no stored hash names it any more: whoever's does cannot sign in without it.
///
/// `Debug` prints the versions alone. Keep the secrets outside the database, and back them up: without them every password has to
/// be reset.
#[derive(Clone, Default)]
pub struct PasswordPeppers {
    /// In order of version.
    versions: Arc<[Pepper]>,
}

/// One secret.
#[derive(Clone)]
pub(super) struct Pepper {
    version: PepperVersion,
    secret: Arc<Zeroizing<Vec<u8>>>,
}

/// Which secret: 1 to 65,535, so that its digits fit the 8 bytes of a `keyid`.
pub(super) type PepperVersion = std::num::NonZeroU16;

impl PasswordPeppers {
    /// The shortest secret, in bytes: 256 bits.
    pub const SECRET_BYTES_MIN: usize = 32;
    /// The longest secret, in bytes: no key needs to be longer.
    pub const SECRET_BYTES_MAX: usize = 1024;

    /// Reads `version:secret` pairs such as `2:<base64>,1:<base64>`, in any order, separated by commas or white space.
    ///
    /// # Errors
    /// [`PasswordError::PepperInvalid`] for anything else, a repeated version, or a secret under 32 bytes.
    pub fn parse(text: &str) -> Result<Self, PasswordError> {
        let pairs = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|pair| !pair.is_empty());
        let mut versions = pairs.map(Pepper::parse).collect::<Result<Vec<_>, _>>()?;
        versions.sort_unstable_by_key(|pepper| pepper.version);
        let is_repeated = versions.windows(2).any(|two| matches!(two, [a, b] if a.version == b.version));
        if versions.is_empty() || is_repeated {
            return Err(PasswordError::PepperInvalid);
        }
        Ok(Self { versions: versions.into() })
    }

    pub(super) fn newest(&self) -> Option<&Pepper> {
        self.versions.last()
    }

    pub(super) fn find(&self, version: PepperVersion) -> Option<&Pepper> {
        self.versions.iter().find(|pepper| pepper.version == version)
    }
}

impl Pepper {
    fn parse(pair: &str) -> Result<Self, PasswordError> {
        let (version, secret) = pair.split_once(':').ok_or(PasswordError::PepperInvalid)?;
        let version = version.parse().map_err(|_| PasswordError::PepperInvalid)?;
        let secret = Zeroizing::new(STANDARD.decode(secret).map_err(|_| PasswordError::PepperInvalid)?);
        let range = PasswordPeppers::SECRET_BYTES_MIN..=PasswordPeppers::SECRET_BYTES_MAX;
        if !range.contains(&secret.len()) {
            return Err(PasswordError::PepperInvalid);
        }
        Ok(Self { version, secret: Arc::new(secret) })
    }

    pub(super) fn version(&self) -> PepperVersion {
        self.version
    }

    pub(super) fn expose(&self) -> &[u8] {
        &self.secret
    }
}

impl fmt::Debug for PasswordPeppers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.versions.iter().map(|pepper| pepper.version)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const TEN: &str = "10:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHiA=";

    #[test]
    fn the_highest_version_is_the_newest_in_any_order() {
        for text in [format!("{ONE},{TEN}"), format!("{TEN}, {ONE}"), format!("{TEN}\n{ONE}\n")] {
            let peppers = PasswordPeppers::parse(&text).unwrap();
            assert_eq!(peppers.newest().unwrap().version().get(), 10);
            assert_eq!(peppers.find(PepperVersion::MIN).unwrap().expose()[31], 0x1f);
            assert!(peppers.find(PepperVersion::new(2).unwrap()).is_none());
            assert_eq!(format!("{peppers:?}"), "[1, 10]", "no secret is printed");
        }
    }

    #[test]
    fn what_is_no_list_of_versions_and_long_secrets_is_refused() {
        for text in [
            "",
            " , ",
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
            "0:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
            "65536:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
            "one:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
            "1:",
            "1:AAECAwQFBgcICQoLDA0ODw==",
            "1:not base64 at all, really not",
            &format!("{ONE},{ONE}"),
            &format!("1:{}", STANDARD.encode([7; 1025])),
        ] {
            let refused = PasswordPeppers::parse(text).unwrap_err();
            assert_eq!(refused.code(), "password_pepper_invalid", "{text}");
        }
    }
}
