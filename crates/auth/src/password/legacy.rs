//! Hashes of replaced systems: verified at sign-in as the old system did, never made.
//!
//! | text begins with | made by |
//! |---|---|
//! | `$2a$`, `$2b$`, `$2y$`, `$2x$` | bcrypt of any system |
//! | `bcrypt$`, `bcrypt_sha256$`, `pbkdf2_sha256$`, `pbkdf2_sha1$`, `scrypt$`, `argon2$` | Django |
//! | `$bcrypt-sha256$`, `$pbkdf2$`, `$pbkdf2-sha256$`, `$pbkdf2-sha512$`, `$scrypt$` | passlib |
//! | `$argon2id$`, `$argon2i$`, `$argon2d$` in other than our own form | passlib and others |
//!
//! 1. bcrypt looks at 72 bytes: two passwords that differ only behind them are the same one until the first sign-in hashes what was
//!    typed anew. A password with a NUL character matches no bcrypt hash, because the old systems refused to make one.
//! 2. `$2x$` hashes come from an implementation that misread characters outside ASCII. They verify for passwords within ASCII; others
//!    match nothing and have to be reset.
//! 3. Passwords are compared in normalisation form C ([`Password`]). Whoever typed decomposed characters into the old system has to
//!    reset the password.
//! 4. What a hash may cost is bounded, as it is for our own: whoever can write to the table must not be able to stop the process.

mod formats;

use std::num::NonZeroU32;

use argon2::password_hash::phc::{Output, Salt};
use argon2::{Algorithm, Argon2, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};
use zeroize::Zeroizing;

use super::memory::Memory;
use super::{Password, PasswordError};

/// The longest text looked at. The longest in use, PBKDF2-SHA512 of passlib with a generous salt, has under 300.
pub(super) const TEXT_BYTES_MAX: usize = 512;

/// The highest bcrypt cost that is run: about a second. Systems in use have 10 to 13; each step doubles the time.
const BCRYPT_COST_MAX: u32 = 14;

/// The most PBKDF2 iterations that are run: about a second. Twice what the costliest default in use asks for (Django 6.0: 1,200,000).
const PBKDF2_ITERATIONS_MAX: u32 = 2_500_000;

/// A stored hash of a replaced system.
pub(super) struct LegacyHash {
    function: Function,
    output: Output,
}

/// What was computed, without the result.
enum Function {
    Bcrypt { cost: u32, salt: [u8; 16], before: Before },
    Pbkdf2 { algorithm: pbkdf2::Algorithm, iterations: NonZeroU32, salt: Box<[u8]> },
    Scrypt { log_n: u8, block_size: u32, parallelism: u32, salt: Box<[u8]> },
    Argon2 { algorithm: Algorithm, version: Version, params: argon2::Params, salt: Salt },
}

/// What happens to a password before bcrypt, to get around its 72 bytes.
enum Before {
    Nothing,
    /// Django: SHA-256 as hexadecimal digits.
    HexSha256,
    /// passlib, version 1: SHA-256 as base64.
    Base64Sha256,
    /// passlib, version 2: HMAC-SHA256 as base64, with the text of the salt as the key.
    Base64HmacSha256 {
        key: Box<str>,
    },
}

/// What a hash asks for.
pub(super) enum Cost {
    /// Memory in KiB, and how often all of it is gone through.
    Memory { memory_kib: u32, passes: u32 },
    /// Time alone, within the bound.
    Time,
}

impl LegacyHash {
    /// Parses stored text.
    pub(super) fn parse(text: &str) -> Result<Self, PasswordError> {
        formats::parse(text)
    }

    /// What it is called in audit events and messages.
    pub(super) fn scheme(&self) -> &'static str {
        match &self.function {
            Function::Bcrypt { before: Before::Nothing, .. } => "bcrypt",
            Function::Bcrypt { .. } => "bcrypt-sha256",
            Function::Pbkdf2 { .. } => "pbkdf2",
            Function::Scrypt { .. } => "scrypt",
            Function::Argon2 { .. } => "argon2",
        }
    }

    /// What it asks for. Time without memory is bounded here.
    pub(super) fn cost(&self) -> Result<Cost, PasswordError> {
        let within = |cost, max| {
            let error = PasswordError::LegacyHashTooCostly { scheme: self.scheme(), cost };
            if cost <= max { Ok(Cost::Time) } else { Err(error) }
        };
        match &self.function {
            Function::Bcrypt { cost, .. } => within(*cost, BCRYPT_COST_MAX),
            Function::Pbkdf2 { iterations, .. } => within(iterations.get(), PBKDF2_ITERATIONS_MAX),
            Function::Scrypt { log_n, block_size, parallelism, .. } => {
                // RFC 7914 §6: N blocks of 128 × r bytes that every lane fills and reads once, and one such block per lane.
                let blocks = 1_u64.checked_shl(u32::from(*log_n)).unwrap_or(u64::MAX);
                let bytes = blocks
                    .saturating_add(u64::from(*parallelism))
                    .saturating_mul(u64::from(*block_size))
                    .saturating_mul(128);
                let memory_kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
                Ok(Cost::Memory { memory_kib, passes: parallelism.saturating_mul(2) })
            }
            Function::Argon2 { params, .. } => {
                Ok(Cost::Memory { memory_kib: params.m_cost(), passes: params.t_cost() })
            }
        }
    }

    /// What tells it from others of its scheme in the time that it takes.
    #[cfg(feature = "sql")]
    pub(super) fn work(&self) -> [u32; 4] {
        let output_bytes = u32::try_from(self.output.len()).unwrap_or(u32::MAX);
        match &self.function {
            Function::Bcrypt { cost, .. } => [*cost, 0, 0, 0],
            // The length of the output stands for the digest.
            Function::Pbkdf2 { iterations, .. } => [iterations.get(), output_bytes, 0, 0],
            Function::Scrypt { log_n, block_size, parallelism, .. } => {
                [u32::from(*log_n), *block_size, *parallelism, 0]
            }
            Function::Argon2 { algorithm, params, .. } => {
                [params.m_cost(), params.t_cost(), params.p_cost(), *algorithm as u32]
            }
        }
    }

    /// Hashes a password as this hash was made. [`cost`](Self::cost) has been asked before.
    pub(super) fn compute(
        &self,
        password: &Password,
        memory: &mut Memory<'_>,
    ) -> Result<Output, PasswordError> {
        let password = password.expose_secret().as_bytes();
        let mut output = Zeroizing::new([0; Output::MAX_LENGTH]);
        let output = output.get_mut(..self.output.len()).ok_or(PasswordError::MalformedHash)?;
        match &self.function {
            Function::Bcrypt { cost, salt, before } => {
                let computed = bcrypt_of(&before.apply(password), *cost, *salt);
                output.copy_from_slice(computed.get(..output.len()).ok_or(PasswordError::MalformedHash)?);
            }
            Function::Pbkdf2 { algorithm, iterations, salt } => {
                pbkdf2::derive(*algorithm, *iterations, salt, password, output);
            }
            Function::Scrypt { log_n, block_size, parallelism, salt } => {
                let params = scrypt::Params::new(*log_n, *block_size, *parallelism)
                    .map_err(|_| PasswordError::MalformedHash)?;
                scrypt::scrypt(password, salt, &params, output).map_err(|_| PasswordError::MalformedHash)?;
            }
            Function::Argon2 { algorithm, version, params, salt } => {
                let blocks = memory.blocks(params.block_count())?;
                Argon2::new(*algorithm, *version, params.clone())
                    .hash_password_into_with_memory(password, salt, output, blocks)
                    .map_err(|_| PasswordError::MalformedHash)?;
            }
        }
        Output::new(output).map_err(|_| PasswordError::MalformedHash)
    }

    /// Compares in constant time: `Output` is built so.
    pub(super) fn has_output(&self, password: &Password, computed: &Output) -> bool {
        // bcrypt repeats its key with a NUL between, so that `ab` and `ab<NUL>ab` are one to it.
        let is_bcrypt = matches!(self.function, Function::Bcrypt { before: Before::Nothing, .. });
        let is_possible = !is_bcrypt || !password.expose_secret().contains('\0');
        self.output == *computed && is_possible
    }
}

impl Before {
    fn apply(&self, password: &[u8]) -> Zeroizing<Vec<u8>> {
        let sha256 = || Zeroizing::new(digest::digest(&digest::SHA256, password).as_ref().to_vec());
        Zeroizing::new(match self {
            Self::Nothing => password.to_vec(),
            Self::HexSha256 => hex::encode(sha256()).into_bytes(),
            Self::Base64Sha256 => STANDARD.encode(sha256()).into_bytes(),
            Self::Base64HmacSha256 { key } => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
                STANDARD.encode(hmac::sign(&key, password)).into_bytes()
            }
        })
    }
}

/// bcrypt of the first 72 bytes and, where there is room, the NUL that ends them.
fn bcrypt_of(password: &[u8], cost: u32, salt: [u8; 16]) -> [u8; 24] {
    const KEY_BYTES_MAX: usize = 72;
    let mut key = Zeroizing::new(Vec::with_capacity(KEY_BYTES_MAX));
    key.extend(password.iter().copied().chain([0]).take(KEY_BYTES_MAX));
    bcrypt::bcrypt(cost, salt, &key)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// passlib 1.7.4 and Django 5.2.19 made these of `quarry moss lantern`; the bcrypt ones with cost 5, so that tests are quick.
    const OF_PHRASE: [(&str, &str); 20] = [
        ("bcrypt", "$2a$05$abcdefghijklmnopqrstuuUF6lMM78hR2uUz.OcTmfbPJwiH4Nm3i"),
        ("bcrypt", "$2b$05$abcdefghijklmnopqrstuuUF6lMM78hR2uUz.OcTmfbPJwiH4Nm3i"),
        ("bcrypt", "$2y$05$abcdefghijklmnopqrstuuUF6lMM78hR2uUz.OcTmfbPJwiH4Nm3i"),
        ("bcrypt", "$2x$05$abcdefghijklmnopqrstuuUF6lMM78hR2uUz.OcTmfbPJwiH4Nm3i"),
        ("bcrypt", "bcrypt$$2b$05$abcdefghijklmnopqrstuuUF6lMM78hR2uUz.OcTmfbPJwiH4Nm3i"),
        ("bcrypt-sha256", "bcrypt_sha256$$2b$05$abcdefghijklmnopqrstuuXO/22yjnBS7Xy.czoZL2pScHx8l5SGm"),
        (
            "bcrypt-sha256",
            "$bcrypt-sha256$v=2,t=2b,r=5$abcdefghijklmnopqrstuu$R2B/M8QA2NtHo.iwpRl8MUIiqtCIsM.",
        ),
        ("bcrypt-sha256", "$bcrypt-sha256$2b,5$abcdefghijklmnopqrstuu$.SOzKkmAtOfhez1cVohaotM6wi3JTAO"),
        ("pbkdf2", "$pbkdf2$1000$//5zYWx0c2FsdHNhbHT78A$MIPPRpfHPeTHN9OQaWf5i5uhcmY"),
        ("pbkdf2", "$pbkdf2-sha256$1000$//5zYWx0c2FsdHNhbHT78A$v79Zn6op4wD8ziAWpWS5ZHcyvmoJWL7rvWLmpA.hh3s"),
        (
            "pbkdf2",
            "$pbkdf2-sha512$1000$//5zYWx0c2FsdHNhbHT78A$tEPIRkr0Cdmlu2Hr/iNQjj26jO0s6CS4Ci1Asv2ZbsoEwmVxQI7e22EFMmBxadazBuqmYpvYf/uLpdBzn7lmCQ",
        ),
        ("pbkdf2", "$pbkdf2-sha256$29000$DWFMScl5b20NAcDY29ubcw$yRgRrpsfhmjBUbywIgcOizW94y9bLnkEi.NJ8XqRcdI"),
        ("pbkdf2", "pbkdf2_sha256$1000$NaClNaClNaClNaClNaCl12$0ai3org00Qlr8AweD/yCtrF5qCOSxP1mOrCpB3zYAi8="),
        ("pbkdf2", "pbkdf2_sha1$1000$NaClNaClNaClNaClNaCl12$7M16ETagUVxPr2KTo6xBiAQDB9g="),
        (
            "scrypt",
            "$scrypt$ln=10,r=8,p=2$c2FsdHNhbHRzYWx0c2FsdA$pmPbQl4PLZ4qf90LKdxvRqMq/Bzl1WPpzgO6i9iGl8w",
        ),
        (
            "scrypt",
            "scrypt$1024$NaClNaClNaClNaClNaCl12$8$5$DzxCgWbeTBcDLUiGScP9I+XMSf7LWGaHNGy8GRvBTJEVc73NwWiZFxfXzIMu6tKIeBvRNj6+MQrNLxBlNixxhw==",
        ),
        (
            "argon2",
            "argon2$argon2id$v=19$m=512,t=2,p=2$c2FsdHNhbHRzYWx0c2FsdA$4OGNK1XElSffmYYFjmb+w9SBAUoSDnoeb/dGCTrvp2U",
        ),
        (
            "argon2",
            "$argon2i$v=19$m=512,t=2,p=2$c2FsdHNhbHRzYWx0c2FsdA$PwBCP+kxwl/DPxZjgGTxE3xvs/bKLlRJim+wjysL3bI",
        ),
        (
            "argon2",
            "$argon2d$v=19$m=512,t=2,p=2$c2FsdHNhbHRzYWx0c2FsdA$uU2j+8maG2MVZfECawx9R9fh1HQQPJkKYEaejp9FFNc",
        ),
        (
            "argon2",
            "$argon2i$v=16$m=512,t=2,p=2$c2FsdHNhbHRzYWx0c2FsdA$Zec4jyhs+A7pEn5p1wfz7x3c13Vwnx4Lt0j8XN8faqc",
        ),
    ];

    fn matches(stored: &str, typed: &str) -> bool {
        let hash = LegacyHash::parse(stored).unwrap();
        let held = AtomicUsize::new(0);
        let password = Password::new(typed).unwrap();
        let computed = hash.compute(&password, &mut Memory::new(0, &held)).unwrap();
        hash.has_output(&password, &computed)
    }

    #[test]
    fn hashes_of_passlib_and_django_verify_for_their_password_alone() {
        for (scheme, stored) in OF_PHRASE {
            assert_eq!(LegacyHash::parse(stored).unwrap().scheme(), scheme, "{stored}");
            assert!(matches(stored, "quarry moss lantern"), "{stored}");
            for wrong in [
                "quarry moss lanterN",
                "quarry moss lantern ",
                "",
                "quarry moss lantern\0quarry moss lantern",
            ] {
                assert!(!matches(stored, wrong), "{stored} {wrong:?}");
            }
        }
    }

    #[test]
    fn bcrypt_sees_72_bytes_as_the_old_system_did() {
        const LONG: &str = "quarry moss lantern seven times over, and then once more around the orchard pond";
        let plain = "$2b$05$abcdefghijklmnopqrstuu7IXkin5dzAatsLiZLIMuIOWMrk8W81S";
        assert!(matches(plain, LONG) && matches(plain, &LONG[..72]));
        assert!(!matches(plain, &LONG[..71]));
        // Those that hash before bcrypt see all of it.
        for folded in [
            "$bcrypt-sha256$v=2,t=2b,r=5$abcdefghijklmnopqrstuu$RNQlL.bb1Tsukrz/0Fx/7rBT45aqg9i",
            "bcrypt_sha256$$2b$05$abcdefghijklmnopqrstuuL1FgPD9Tt2hMTMcLZ93osQmParFhFPq",
        ] {
            assert!(matches(folded, LONG) && !matches(folded, &LONG[..72]), "{folded}");
        }
    }

    #[test]
    fn text_outside_ascii_is_hashed_as_utf8() {
        for stored in [
            "$2b$05$abcdefghijklmnopqrstuuYIN2yMV0togTmIwNVBhdEZ20pGBZVsq",
            "pbkdf2_sha256$1000$NaClNaClNaClNaClNaCl12$Tbe8PlGtPbKB7NGXBp4JiXI0W0ofF5SIHck5Ht+kbaQ=",
        ] {
            assert!(matches(stored, "caf\u{e9} \u{c5}ngstr\u{f6}m"), "{stored}");
            assert!(matches(stored, "cafe\u{301} A\u{30a}ngstro\u{308}m"), "one Unicode form: {stored}");
        }
    }

    #[test]
    fn salts_of_bcrypt_with_unused_bits_set_verify() {
        // 22 digits hold four bits more than a salt: some implementations fill them at random, and all ignore them.
        let spelled_otherwise = "$2b$05$abcdefghijklmnopqrstuvUF6lMM78hR2uUz.OcTmfbPJwiH4Nm3i";
        assert!(matches(spelled_otherwise, "quarry moss lantern"));
    }

    // C43
    #[test]
    fn what_asks_for_too_much_time_is_refused() {
        for (stored, scheme, cost) in [
            ("$2b$15$abcdefghijklmnopqrstuuUF6lMM78hR2uUz.OcTmfbPJwiH4Nm3i", "bcrypt", 15),
            ("$2b$31$abcdefghijklmnopqrstuuUF6lMM78hR2uUz.OcTmfbPJwiH4Nm3i", "bcrypt", 31),
            ("pbkdf2_sha1$4294967295$salt$7M16ETagUVxPr2KTo6xBiAQDB9g=", "pbkdf2", u32::MAX),
            ("pbkdf2_sha1$2500001$salt$7M16ETagUVxPr2KTo6xBiAQDB9g=", "pbkdf2", 2_500_001),
        ] {
            let refused = LegacyHash::parse(stored).unwrap().cost().err();
            assert_eq!(refused, Some(PasswordError::LegacyHashTooCostly { scheme, cost }), "{stored}");
        }
        assert!(LegacyHash::parse(OF_PHRASE[0].1).unwrap().cost().is_ok());
    }

    // C43
    #[test]
    fn scrypt_says_what_memory_it_needs_whatever_the_numbers() {
        let cost = |log_n: u32, r: u32, p: u32| {
            let stored = format!(
                "$scrypt$ln={log_n},r={r},p={p}$c2FsdHNhbHQ$pmPbQl4PLZ4qf90LKdxvRqMq/Bzl1WPpzgO6i9iGl8w"
            );
            match LegacyHash::parse(&stored).unwrap().cost().unwrap() {
                Cost::Memory { memory_kib, passes } => (memory_kib, passes),
                Cost::Time => panic!("scrypt needs memory"),
            }
        };
        assert_eq!(cost(14, 8, 5), (16 * 1024 + 5, 10));
        assert_eq!(cost(16, 8, 1), (64 * 1024 + 1, 2));
        assert_eq!(cost(63, 8, 1).0, u32::MAX);
        assert_eq!(cost(1, u32::MAX, u32::MAX), (u32::MAX, u32::MAX));
        assert_eq!(cost(1, 1, u32::MAX).0, 536_870_913);
    }
}
