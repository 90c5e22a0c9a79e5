use std::fmt;
use std::str::FromStr;

use argon2::password_hash::phc::{self, Output, Salt};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::peppers::{Pepper, PepperVersion};
use super::{HashParams, PasswordError};

/// A stored Argon2id hash: a PHC string, parsed once.
///
/// Only the canonical text `$argon2id$v=19$m=…,t=…,p=…$salt$output` is one, with `,keyid=…` after `p` where the hash is keyed
/// ([`PasswordPeppers`](crate::PasswordPeppers)): other algorithms and versions, other orders, repeated or unknown parameters and
/// outputs under 16 bytes are refused, so that one hash has one spelling. `Debug` prints the parameters alone; there is no `Display`
/// and no `Serialize`.
#[derive(Clone)]
pub struct PasswordHash {
    text: Box<str>,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    pepper: Option<PepperVersion>,
    salt: Salt,
    output: Output,
}

impl PasswordHash {
    /// The longest text looked at: 28 bytes of frame, 3 numbers of up to 10 digits, 14 bytes of key id, 64 of salt, 86 of output.
    const TEXT_BYTES_MAX: usize = 256;
    /// The shortest output, in bytes: 128 bits (RFC 9106 §3.1 allows 4 bytes, which anybody can hit).
    const OUTPUT_BYTES_MIN: usize = 16;

    /// The text to store. It lets whoever holds it guess the password off-line: keep it out of logs and answers.
    #[must_use]
    pub fn expose_phc(&self) -> &str {
        &self.text
    }

    /// Whether the hash was made with other parameters than `params`. Stronger ones count too: with every hash at one cost, the
    /// time of a sign-in tells nothing about the account.
    #[must_use]
    pub fn needs_rehash(&self, params: &HashParams) -> bool {
        self.memory_kib != params.memory_kib()
            || self.passes != params.passes()
            || self.lanes != HashParams::LANES
            || self.salt.len() != HashParams::SALT_BYTES
            || self.output.len() != HashParams::OUTPUT_BYTES
    }

    pub(super) fn from_parts(
        params: HashParams,
        pepper: Option<&Pepper>,
        salt: Salt,
        output: Output,
    ) -> Self {
        let (memory_kib, passes, lanes) = (params.memory_kib(), params.passes(), HashParams::LANES);
        let pepper = pepper.map(Pepper::version);
        let text = render(memory_kib, passes, lanes, pepper, &salt, &output).into_boxed_str();
        Self { text, memory_kib, passes, lanes, pepper, salt, output }
    }

    /// The version of the secret it is keyed with, if it is.
    pub(super) fn pepper_version(&self) -> Option<PepperVersion> {
        self.pepper
    }

    pub(super) fn memory_kib(&self) -> u32 {
        self.memory_kib
    }

    pub(super) fn passes(&self) -> u32 {
        self.passes
    }

    pub(super) fn salt(&self) -> Salt {
        self.salt
    }

    /// The parameters as the algorithm takes them, with the length of the output.
    pub(super) fn argon2(&self) -> Result<argon2::Params, PasswordError> {
        argon2::Params::new(self.memory_kib, self.passes, self.lanes, Some(self.output.len()))
            .map_err(|_| PasswordError::MalformedHash)
    }

    /// Compares in constant time: `Output` is built so.
    pub(super) fn has_output(&self, computed: &Output) -> bool {
        self.output == *computed
    }
}

fn render(
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    pepper: Option<PepperVersion>,
    salt: &Salt,
    output: &Output,
) -> String {
    // A key id is bytes in base64: the version's digits.
    let digits = pepper.map(|version| STANDARD_NO_PAD.encode(version.to_string()));
    let key_id = digits.map(|digits| format!(",keyid={digits}")).unwrap_or_default();
    format!("$argon2id$v=19$m={memory_kib},t={passes},p={lanes}{key_id}${salt}${output}")
}

/// The version that a key id stands for, when there is one.
fn version_of(key_id: &[u8]) -> Result<Option<PepperVersion>, PasswordError> {
    if key_id.is_empty() {
        return Ok(None);
    }
    let version = std::str::from_utf8(key_id).ok().and_then(|digits| digits.parse().ok());
    version.map(Some).ok_or(PasswordError::MalformedHash)
}

impl FromStr for PasswordHash {
    type Err = PasswordError;

    /// Parses stored text. What the parameters may cost is judged where they are run.
    ///
    /// # Errors
    /// [`PasswordError::MalformedHash`] for anything but the canonical form.
    fn from_str(text: &str) -> Result<Self, PasswordError> {
        // The prefix is looked at first so that the general parser only ever sees what could be ours.
        if text.len() > Self::TEXT_BYTES_MAX || !text.starts_with("$argon2id$v=19$m=") {
            return Err(PasswordError::MalformedHash);
        }
        let parsed = phc::PasswordHash::new(text).map_err(|_| PasswordError::MalformedHash)?;
        let params = argon2::Params::try_from(&parsed).map_err(|_| PasswordError::MalformedHash)?;
        let (Some(salt), Some(output)) = (parsed.salt, parsed.hash) else {
            return Err(PasswordError::MalformedHash);
        };
        let (memory_kib, passes, lanes) = (params.m_cost(), params.t_cost(), params.p_cost());
        let pepper = version_of(params.keyid())?;
        if output.len() < Self::OUTPUT_BYTES_MIN
            || render(memory_kib, passes, lanes, pepper, &salt, &output) != text
        {
            return Err(PasswordError::MalformedHash);
        }
        Ok(Self { text: text.into(), memory_kib, passes, lanes, pepper, salt, output })
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordHash")
            .field("memory_kib", &self.memory_kib)
            .field("passes", &self.passes)
            .field("lanes", &self.lanes)
            .field("pepper", &self.pepper)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORED: &str =
        "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

    #[test]
    fn a_canonical_text_is_kept_as_it_is() {
        let hash: PasswordHash = STORED.parse().unwrap();
        assert_eq!(hash.expose_phc(), STORED);
        assert!(!hash.needs_rehash(&HashParams::default()));
        assert!(!format!("{hash:?}").contains("c29t"), "neither salt nor output is printed");
    }

    #[test]
    fn a_keyed_hash_names_the_version_of_its_secret() {
        let keyed = STORED.replace("p=1", "p=1,keyid=MTI");
        let hash: PasswordHash = keyed.parse().unwrap();
        assert_eq!(hash.pepper_version().map(PepperVersion::get), Some(12));
        assert_eq!(hash.expose_phc(), keyed);
        assert_eq!(STORED.parse::<PasswordHash>().unwrap().pepper_version(), None);
    }

    #[test]
    fn other_parameters_want_a_new_hash() {
        let stronger = HashParams::new(19_456, 3).unwrap();
        assert!(STORED.parse::<PasswordHash>().unwrap().needs_rehash(&stronger));
        for other in ["m=4096,t=3,p=1", "m=65536,t=2,p=1", "m=19456,t=2,p=4"] {
            let hash: PasswordHash = STORED.replace("m=19456,t=2,p=1", other).parse().unwrap();
            assert!(hash.needs_rehash(&HashParams::default()), "{other}");
        }
        let short: PasswordHash =
            "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
                .parse()
                .unwrap();
        assert!(short.needs_rehash(&HashParams::default()), "a short salt");
    }

    #[test]
    fn anything_but_the_canonical_form_is_refused() {
        let (frame, output) = STORED.rsplit_once('$').unwrap();
        for hostile in [
            String::new(),
            "plaintext".into(),
            "$".into(),
            "$argon2id".into(),
            frame.into(),
            format!("{STORED}$"),
            format!("{STORED} "),
            format!("{STORED}="),
            format!("{frame}$AAECAwQFBgcICQ"),
            STORED.replace("argon2id", "argon2i"),
            STORED.replace("argon2id", "argon2d"),
            STORED.replace("v=19", "v=16"),
            STORED.replace("$v=19", ""),
            STORED.replace("m=19456", "m=019456"),
            STORED.replace("m=19456", "m=4294967296"),
            STORED.replace("m=19456", "m=-1"),
            STORED.replace("m=19456", "m=7"),
            STORED.replace("t=2", "t=0"),
            STORED.replace("p=1", "p=0"),
            STORED.replace("p=1", "p=16777216"),
            STORED.replace("p=1", "p=4000"),
            STORED.replace("m=19456,t=2,p=1", "t=2,m=19456,p=1"),
            STORED.replace("m=19456,t=2,p=1", "m=19456,m=8,t=2,p=1"),
            STORED.replace("m=19456,t=2,p=1", "m=19456,t=2"),
            STORED.replace("p=1", "p=1,keyid=AAAA"),
            STORED.replace("p=1", "p=1,keyid="),
            STORED.replace("p=1", "p=1,keyid=MA"),      // 0
            STORED.replace("p=1", "p=1,keyid=KzE"),     // +1
            STORED.replace("p=1", "p=1,keyid=MDE"),     // 01
            STORED.replace("p=1", "p=1,keyid=NjU1MzY"), // 65536
            STORED.replace("p=1", "keyid=MQ,p=1"),
            STORED.replace("p=1", "p=1,keyid=MQ,data=AAAA"),
            STORED.replace("c29tZXNhbHRzb21lc2FsdA", "c2"),
            STORED.replace("c29tZXNhbHRzb21lc2FsdA", "c29tZXNhbHRzb21lc2FsdB"),
            STORED.replace("c29tZXNhbHRzb21lc2FsdA", &"A".repeat(4096)),
            format!("{frame}${}", output.replace('A', "é")),
        ] {
            assert_eq!(
                hostile.parse::<PasswordHash>().unwrap_err(),
                PasswordError::MalformedHash,
                "{hostile}"
            );
        }
    }
}
