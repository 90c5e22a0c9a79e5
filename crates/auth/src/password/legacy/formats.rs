//! The texts of other systems. Each is taken apart by its own rules, strictly: what is not exactly the format is malformed.

use std::num::NonZeroU32;
use std::str::FromStr;

use argon2::password_hash::phc::{self, Output};
use argon2::{Algorithm, Version};
use base64::Engine as _;
use base64::alphabet::BCRYPT;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD, STANDARD, STANDARD_NO_PAD};
use ring::pbkdf2;

use super::super::PasswordError;
use super::{Before, Function, LegacyHash, TEXT_BYTES_MAX};

type Parsed = Result<LegacyHash, PasswordError>;

/// bcrypt's own base64. The last digit of a salt holds bits that nobody uses, and some implementations set them.
const BCRYPT_DIGITS: GeneralPurpose =
    GeneralPurpose::new(&BCRYPT, NO_PAD.with_decode_allow_trailing_bits(true));

/// Bytes of a bcrypt result that are kept: the 24th never was.
const BCRYPT_OUTPUT_BYTES: usize = 23;

/// The shortest output of Argon2 and scrypt, in bytes: anybody can hit a shorter one.
const OUTPUT_BYTES_MIN: usize = 16;

pub(super) fn parse(text: &str) -> Parsed {
    if text.len() > TEXT_BYTES_MAX || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(PasswordError::MalformedHash);
    }
    let (is_django, rest) = match text.strip_prefix('$') {
        Some(rest) => (false, rest),
        None => (true, text),
    };
    let (name, rest) = rest.split_once('$').ok_or(PasswordError::UnknownHash)?;
    match (is_django, name) {
        (false, "2a" | "2b" | "2y" | "2x") => bcrypt(rest, Before::Nothing),
        (false, "bcrypt-sha256") => passlib_bcrypt_sha256(rest),
        (false, "pbkdf2") => passlib_pbkdf2(pbkdf2::PBKDF2_HMAC_SHA1, 20, rest),
        (false, "pbkdf2-sha256") => passlib_pbkdf2(pbkdf2::PBKDF2_HMAC_SHA256, 32, rest),
        (false, "pbkdf2-sha512") => passlib_pbkdf2(pbkdf2::PBKDF2_HMAC_SHA512, 64, rest),
        (false, "scrypt") => passlib_scrypt(rest),
        (false, "argon2id" | "argon2i" | "argon2d") => argon2(text),
        (true, "bcrypt") => django_bcrypt(rest, Before::Nothing),
        (true, "bcrypt_sha256") => django_bcrypt(rest, Before::HexSha256),
        (true, "pbkdf2_sha256") => django_pbkdf2(pbkdf2::PBKDF2_HMAC_SHA256, 32, rest),
        (true, "pbkdf2_sha1") => django_pbkdf2(pbkdf2::PBKDF2_HMAC_SHA1, 20, rest),
        (true, "scrypt") => django_scrypt(rest),
        (true, "argon2") => argon2(text.strip_prefix("argon2").unwrap_or_default()),
        _ => Err(PasswordError::UnknownHash),
    }
}

/// `12$` and 22 digits of salt with 31 digits of output.
fn bcrypt(text: &str, before: Before) -> Parsed {
    let [cost, digits] = fields(text)?;
    let (salt, output) = digits.split_at_checked(22).ok_or(PasswordError::MalformedHash)?;
    if cost.len() != 2 {
        return Err(PasswordError::MalformedHash);
    }
    bcrypt_from(cost, salt, output, before)
}

fn bcrypt_from(cost: &str, salt: &str, output: &str, before: Before) -> Parsed {
    let cost = number::<u32>(cost.strip_prefix('0').unwrap_or(cost))?;
    let salt = decode(&BCRYPT_DIGITS, salt)?;
    let output = decode(&BCRYPT_DIGITS, output)?;
    let salt = salt.as_slice().try_into().map_err(|_| PasswordError::MalformedHash)?;
    if !(4..=31).contains(&cost) || output.len() != BCRYPT_OUTPUT_BYTES {
        return Err(PasswordError::MalformedHash);
    }
    with_output(Function::Bcrypt { cost, salt, before }, &output)
}

/// `$2b$12$…`, the whole of another text.
fn django_bcrypt(text: &str, before: Before) -> Parsed {
    let rest = ["$2a$", "$2b$", "$2y$", "$2x$"].into_iter().find_map(|version| text.strip_prefix(version));
    bcrypt(rest.ok_or(PasswordError::MalformedHash)?, before)
}

/// `v=2,t=2b,r=12$salt$output`, or in version 1 `2b,12$salt$output`.
fn passlib_bcrypt_sha256(text: &str) -> Parsed {
    let [params, salt, output] = fields(text)?;
    let (cost, before) = match params.strip_prefix("v=2,t=2b,r=") {
        Some(cost) => (cost, Before::Base64HmacSha256 { key: salt.into() }),
        None => {
            let cost = ["2b,", "2a,", "2y,"].into_iter().find_map(|version| params.strip_prefix(version));
            (cost.ok_or(PasswordError::MalformedHash)?, Before::Base64Sha256)
        }
    };
    bcrypt_from(cost, salt, output, before)
}

/// `iterations$salt$output`, both in base64 with `.` for `+` and without padding.
fn passlib_pbkdf2(algorithm: pbkdf2::Algorithm, output_bytes: usize, text: &str) -> Parsed {
    let [iterations, salt, output] = fields(text)?;
    let decoded = |text: &str| match text.contains('+') {
        true => Err(PasswordError::MalformedHash),
        false => decode(&STANDARD_NO_PAD, &text.replace('.', "+")),
    };
    pbkdf2(algorithm, output_bytes, iterations, decoded(salt)?, &decoded(output)?)
}

/// `iterations$salt$output`, where the salt is text and the output is base64.
fn django_pbkdf2(algorithm: pbkdf2::Algorithm, output_bytes: usize, text: &str) -> Parsed {
    let [iterations, salt, output] = fields(text)?;
    pbkdf2(algorithm, output_bytes, iterations, salt.as_bytes().to_vec(), &decode(&STANDARD, output)?)
}

fn pbkdf2(
    algorithm: pbkdf2::Algorithm,
    output_bytes: usize,
    iterations: &str,
    salt: Vec<u8>,
    output: &[u8],
) -> Parsed {
    let iterations = NonZeroU32::new(number(iterations)?).ok_or(PasswordError::MalformedHash)?;
    // Longer outputs would cost the verifier more than whoever guesses: the first block suffices to compare.
    if output.len() != output_bytes {
        return Err(PasswordError::MalformedHash);
    }
    with_output(Function::Pbkdf2 { algorithm, iterations, salt: salt.into() }, output)
}

/// `ln=16,r=8,p=1$salt$output`, both in base64 without padding.
fn passlib_scrypt(text: &str) -> Parsed {
    let [params, salt, output] = fields(text)?;
    let mut params = params.split(',');
    let mut next = |name: &str| {
        let param = params.next().and_then(|param| param.strip_prefix(name));
        param.ok_or(PasswordError::MalformedHash)
    };
    let (log_n, block_size, parallelism) = (next("ln=")?, next("r=")?, next("p=")?);
    if params.next().is_some() {
        return Err(PasswordError::MalformedHash);
    }
    let salt = decode(&STANDARD_NO_PAD, salt)?;
    scrypt(number(log_n)?, block_size, parallelism, salt, &decode(&STANDARD_NO_PAD, output)?)
}

/// `N$salt$r$p$output`, where the salt is text and the output is base64.
fn django_scrypt(text: &str) -> Parsed {
    let [n, salt, block_size, parallelism, output] = fields(text)?;
    let n = number::<u64>(n)?;
    if !n.is_power_of_two() {
        return Err(PasswordError::MalformedHash);
    }
    let log_n = n.trailing_zeros() as u8;
    scrypt(log_n, block_size, parallelism, salt.as_bytes().to_vec(), &decode(&STANDARD, output)?)
}

fn scrypt(log_n: u8, block_size: &str, parallelism: &str, salt: Vec<u8>, output: &[u8]) -> Parsed {
    let (block_size, parallelism) = (number(block_size)?, number(parallelism)?);
    let is_sound = (1..64).contains(&log_n) && block_size > 0 && parallelism > 0;
    if !is_sound || output.len() < OUTPUT_BYTES_MIN {
        return Err(PasswordError::MalformedHash);
    }
    with_output(Function::Scrypt { log_n, block_size, parallelism, salt: salt.into() }, output)
}

/// A PHC string of any Argon2, in any order of parameters, without key and associated data.
fn argon2(text: &str) -> Parsed {
    let malformed = |_| PasswordError::MalformedHash;
    let parsed = phc::PasswordHash::new(text).map_err(malformed)?;
    let algorithm = match parsed.algorithm.as_str() {
        "argon2id" => Algorithm::Argon2id,
        "argon2i" => Algorithm::Argon2i,
        "argon2d" => Algorithm::Argon2d,
        _ => return Err(PasswordError::UnknownHash),
    };
    // Version 0x10 came before the field: texts without one are of it.
    let version = match parsed.version {
        None | Some(0x10) => Version::V0x10,
        Some(0x13) => Version::V0x13,
        Some(_) => return Err(PasswordError::MalformedHash),
    };
    let params = argon2::Params::try_from(&parsed).map_err(|_| PasswordError::MalformedHash)?;
    let (Some(salt), Some(output)) = (parsed.salt, parsed.hash) else {
        return Err(PasswordError::MalformedHash);
    };
    let is_keyed = !params.keyid().is_empty() || !params.data().is_empty();
    if is_keyed || output.len() < OUTPUT_BYTES_MIN {
        return Err(PasswordError::MalformedHash);
    }
    Ok(LegacyHash { function: Function::Argon2 { algorithm, version, params, salt }, output })
}

fn with_output(function: Function, output: &[u8]) -> Parsed {
    let output = Output::new(output).map_err(|_| PasswordError::MalformedHash)?;
    Ok(LegacyHash { function, output })
}

/// The fields between `$`, as many as there have to be, none of them empty.
fn fields<const COUNT: usize>(text: &str) -> Result<[&str; COUNT], PasswordError> {
    let fields: Vec<&str> = text.split('$').collect();
    let fields: [&str; COUNT] = fields.try_into().map_err(|_| PasswordError::MalformedHash)?;
    if fields.contains(&"") { Err(PasswordError::MalformedHash) } else { Ok(fields) }
}

/// A decimal number without sign or leading zeros.
fn number<T: FromStr>(text: &str) -> Result<T, PasswordError> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain).ok_or(PasswordError::MalformedHash)
}

fn decode(engine: &GeneralPurpose, text: &str) -> Result<Vec<u8>, PasswordError> {
    engine.decode(text).map_err(|_| PasswordError::MalformedHash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> &'static str {
        parse(text).map_or_else(|error| error.code(), |_| "ok")
    }

    #[test]
    fn texts_of_unknown_kinds_say_so() {
        for text in [
            "",
            "plaintext",
            "5f4dcc3b5aa765d61d8327deb882cf99",
            "$1$salt$hash",
            "$5$rounds=5000$salt$hash",
            "$P$B123456789",
            "md5$salt$hash",
            "pbkdf2_sha512$1$s$h",
            "$2$05$abcdefghijklmnopqrstuuUF6lMM78hR2uUz.OcTmfbPJwiH4Nm3i",
            "!unusable",
            "argon2$argon2x$v=19$m=512",
        ] {
            assert_eq!(code(text), "password_hash_unknown", "{text}");
        }
    }

    #[test]
    fn anything_but_the_exact_format_is_malformed() {
        let bcrypt = "$2b$05$abcdefghijklmnopqrstuuUF6lMM78hR2uUz.OcTmfbPJwiH4Nm3i";
        let pbkdf2 = "$pbkdf2$1000$//5zYWx0c2FsdHNhbHT78A$MIPPRpfHPeTHN9OQaWf5i5uhcmY";
        let django = "pbkdf2_sha1$1000$NaClNaClNaCl$7M16ETagUVxPr2KTo6xBiAQDB9g=";
        let scrypt =
            "$scrypt$ln=10,r=8,p=2$c2FsdHNhbHRzYWx0c2FsdA$pmPbQl4PLZ4qf90LKdxvRqMq/Bzl1WPpzgO6i9iGl8w";
        let of_django = "scrypt$1024$NaCl$8$5$DzxCgWbeTBcDLUiGScP9I+XMSf7LWGaHNGy8GRvBTJEVc73NwWiZFxfXzIMu6tKIeBvRNj6+MQrNLxBlNixxhw==";
        let argon2 =
            "$argon2i$v=19$m=512,t=2,p=2$c2FsdHNhbHRzYWx0c2FsdA$PwBCP+kxwl/DPxZjgGTxE3xvs/bKLlRJim+wjysL3bI";
        for sound in [bcrypt, pbkdf2, django, scrypt, of_django, argon2] {
            assert_eq!(code(sound), "ok", "{sound}");
            assert_eq!(code(&format!("{sound}$")), "password_hash_malformed", "{sound}");
            assert_eq!(code(&format!("{sound} ")), "password_hash_malformed", "{sound}");
            assert_eq!(code(&format!("{sound}{}", "A".repeat(512))), "password_hash_malformed", "{sound}");
            assert_eq!(code(&format!("{sound}é")), "password_hash_malformed", "{sound}");
        }
        for hostile in [
            bcrypt.replace("$05$", "$03$"),
            bcrypt.replace("$05$", "$32$"),
            bcrypt.replace("$05$", "$5$"),
            bcrypt.replace("$05$", "$+5$"),
            bcrypt.replace("$05$", "$005$"),
            bcrypt.replace("$05$", "$$"),
            bcrypt.replace("Nm3i", "Nm3"),
            bcrypt.replace("Nm3i", "Nm3+"),
            format!("bcrypt${}", bcrypt.replace("$2b$", "$2$")),
            "$bcrypt-sha256$v=3,t=2b,r=5$abcdefghijklmnopqrstuu$R2B/M8QA2NtHo.iwpRl8MUIiqtCIsM.".into(),
            pbkdf2.replace("$1000$", "$0$"),
            pbkdf2.replace("$1000$", "$01000$"),
            pbkdf2.replace("$1000$", "$4294967296$"),
            pbkdf2.replace("//5z", "//+z"),
            pbkdf2.replace("MIPP", ""),
            django.replace('=', ""),
            django.replace("NaClNaClNaCl", ""),
            scrypt.replace("ln=10,r=8,p=2", "ln=10,r=8"),
            scrypt.replace("ln=10,r=8,p=2", "r=8,ln=10,p=2"),
            scrypt.replace("ln=10,r=8,p=2", "ln=10,r=8,p=2,x=1"),
            scrypt.replace("ln=10", "ln=64"),
            scrypt.replace("ln=10", "ln=0"),
            scrypt.replace("r=8", "r=0"),
            scrypt.replace("p=2", "p=0"),
            of_django.replace("$1024$", "$1023$"),
            of_django.replace("$1024$", "$0$"),
            of_django.replace("$1024$", "$1$"),
            argon2.replace("v=19", "v=18"),
            argon2.replace("p=2", "p=2,keyid=AAAA"),
            argon2.replace("p=2", "p=2,data=AAAA"),
            argon2.replace("m=512", "m=7"),
        ] {
            assert_eq!(code(&hostile), "password_hash_malformed", "{hostile}");
        }
    }
}
