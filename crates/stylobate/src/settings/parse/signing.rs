//! The keys of access tokens, as settings name them.

use secrecy::SecretString;
use stylobate_auth::SigningAlgorithm;

use super::{
    super::{TokenSigning, source::Values, table},
    file, text,
};

/// What signs access tokens.
pub(super) fn signing(values: &mut Values) -> TokenSigning {
    let secret_given = values.get(table::JWT_SECRET).is_some();
    let key_given =
        values.get(table::JWT_PRIVATE_KEY).is_some() || values.get(table::JWT_PRIVATE_KEY_PATH).is_some();
    let algorithm = match text(values, table::JWT_ALGORITHM).map(|text| text.parse::<SigningAlgorithm>()) {
        Some(Ok(algorithm)) => algorithm,
        Some(Err(_)) => {
            let name = values.name(table::JWT_ALGORITHM);
            let names = SigningAlgorithm::ALL.map(|algorithm| format!("`{algorithm}`")).join(", ");
            values.problem(name, format!("is none of {names}"));
            return TokenSigning::default();
        }
        None if secret_given && key_given => {
            let name = values.name(table::JWT_ALGORITHM);
            values.problem(name, "both a secret and a private key are given: say which one signs");
            return TokenSigning::default();
        }
        // What the replaced systems mean by one of these alone.
        None if secret_given => SigningAlgorithm::Hs256,
        None if key_given => SigningAlgorithm::Rs256,
        None => SigningAlgorithm::default(),
    };
    if algorithm.is_symmetric() {
        if key_given {
            let name = values.name(table::JWT_PRIVATE_KEY);
            values.problem(name, format!("{algorithm} signs with a secret and uses no private key"));
        }
        return hmac(values, algorithm);
    }
    if secret_given {
        let name = values.name(table::JWT_SECRET);
        values.problem(name, format!("{algorithm} uses no secret"));
    }
    if algorithm.is_generated() && !key_given {
        return TokenSigning::Generated(algorithm);
    }
    private_key(values, algorithm)
}

fn hmac(values: &mut Values, algorithm: SigningAlgorithm) -> TokenSigning {
    let name = values.name(table::JWT_SECRET);
    let Some((_, value)) = values.get(table::JWT_SECRET) else {
        values.problem(name, format!("{algorithm} needs a secret"));
        return TokenSigning::default();
    };
    let value = value.to_owned();
    // RFC 7518 §3.2: a key at least as long as the hash. A repeated character is long, but not a secret.
    let least = algorithm.secret_bytes_min().unwrap_or(usize::MAX);
    let distinct = value.bytes().collect::<std::collections::BTreeSet<_>>().len();
    if value.len() < least {
        values.problem(name, format!("is shorter than {least} bytes"));
    } else if distinct < 8 {
        values.problem(name, "repeats too few characters to be a secret");
    }
    TokenSigning::Secret(algorithm, SecretString::from(value))
}

fn private_key(values: &mut Values, algorithm: SigningAlgorithm) -> TokenSigning {
    let problems = values.problems.len();
    if let Some(pem) = pem(values, table::JWT_PRIVATE_KEY, table::JWT_PRIVATE_KEY_PATH) {
        return TokenSigning::PrivateKey(algorithm, SecretString::from(pem));
    }
    if values.problems.len() == problems {
        let name = values.name(table::JWT_PRIVATE_KEY);
        values.problem(name, format!("{algorithm} needs a private key"));
    }
    TokenSigning::default()
}

/// The public key beside an operator's private one.
pub(super) fn public_key(values: &mut Values) -> Option<String> {
    pem(values, table::JWT_PUBLIC_KEY, table::JWT_PUBLIC_KEY_PATH)
}

/// A PEM given as a value, where `\n` may stand for line ends, or in a file.
fn pem(values: &mut Values, inline: &'static str, path: &'static str) -> Option<String> {
    if let Some((_, pem)) = values.get(inline) {
        return Some(pem.replace("\\n", "\n"));
    }
    file(values, path)
}

#[cfg(test)]
mod tests {
    use super::{super::tests::*, *};

    #[test]
    fn every_algorithm_is_a_setting_with_the_key_it_needs() {
        let secret = "0123456789abcdefghijklmnopqrstuvwxyz-0123456789abcdefghijklmnopqrstuvwxyz";
        for algorithm in SigningAlgorithm::ALL {
            let name = ("JWT_ALGORITHM", algorithm.as_str());
            let (secret, key) = (("JWT_SECRET", secret), ("JWT_PRIVATE_KEY", "-----BEGIN PRIVATE KEY-----"));
            if algorithm.is_symmetric() {
                let signing = settings(&[name, secret]).unwrap().signing;
                assert!(matches!(signing, TokenSigning::Secret(found, _) if found == algorithm));
                assert_eq!(problems(&[name]), ["JWT_SECRET"]);
                assert_eq!(problems(&[name, secret, key]), ["JWT_PRIVATE_KEY"]);
                let least = algorithm.secret_bytes_min().unwrap();
                assert_eq!(problems(&[name, ("JWT_SECRET", &secret.1[..least - 1])]), ["JWT_SECRET"]); // A7
                assert!(settings(&[name, ("JWT_SECRET", &secret.1[..least])]).is_ok());
                continue;
            }
            let signing = settings(&[name, key]).unwrap().signing;
            assert!(matches!(signing, TokenSigning::PrivateKey(found, _) if found == algorithm));
            assert_eq!(problems(&[name, key, secret]), ["JWT_SECRET"]);
            if algorithm.is_generated() {
                let signing = settings(&[name]).unwrap().signing;
                assert!(matches!(signing, TokenSigning::Generated(found) if found == algorithm));
            } else {
                assert_eq!(problems(&[name]), ["JWT_PRIVATE_KEY"]);
            }
        }
        for other in ["none", "RS384", "hs256", "ES256K"] {
            assert_eq!(problems(&[("JWT_ALGORITHM", other)]), ["JWT_ALGORITHM"], "{other}"); // C2
        }
    }
}
