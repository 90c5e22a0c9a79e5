use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderName, Uri};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use crate::{
    Password,
    https::{self, HttpsGetter, NoAnswer},
    seldom::Seldom,
};

/// The digits of a hash that are sent: about a thousand known passwords share them, and countless others.
const PREFIX_DIGITS: usize = 5;
/// The largest answer. Padded ones have up to 1,000 lines, unpadded ones of this list up to twice as many, of about 40 bytes each.
const BYTES_MAX: usize = 256 * 1_024;
/// Somebody waits for it with a new password.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Between two lines in the log about a service that does not answer.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// A service that is asked whether a password is known from a breach, and does not learn which: the range API of "Have I Been
/// Pwned", or a mirror of one's own.
///
/// Only the first 5 of the 40 hexadecimal digits of the SHA-1 are sent; the service answers with the rest of all hashes that begin
/// so, padded (`Add-Padding`), so that neither its log nor the length on the wire tells more. Nothing is kept.
///
/// Only `https`, except on a loopback address. No redirect is followed, no proxy is asked, no more than 256 KiB are read, and no
/// longer waited than 2 s ([`timeout`](Self::timeout)). Clones share a log: a service that does not answer is named there once a minute.
#[derive(Clone)]
pub struct BreachRange {
    address: Arc<str>,
    getter: HttpsGetter,
    timeout: Duration,
    failures: Arc<Seldom>,
}

/// Whether a password is known could not be found out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BreachRangeUnavailable(String);

impl BreachRangeUnavailable {
    /// The stable code of the situation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "breach_range_unavailable"
    }
}

impl From<NoAnswer> for BreachRangeUnavailable {
    fn from(NoAnswer(reason): NoAnswer) -> Self {
        Self(reason)
    }
}

impl BreachRange {
    /// The public service of "Have I Been Pwned".
    pub const HAVE_I_BEEN_PWNED: &str = "https://api.pwnedpasswords.com/range";

    /// The service whose ranges are at `address`, to which a slash and the five digits are added. Its certificate must come from
    /// one of the authorities that browsers trust.
    ///
    /// # Errors
    /// [`BreachRangeUnavailable`] when the address is none, neither `https` nor on this machine, or has a query.
    pub fn new(address: &str) -> Result<Self, BreachRangeUnavailable> {
        Self::with(address, HttpsGetter::new()?)
    }

    /// As [`new`](Self::new), for a mirror inside an organisation: its certificate must come from one of the authorities in `pem`.
    ///
    /// # Errors
    /// As [`new`](Self::new), and when `pem` holds no certificate.
    pub fn trusting_only(address: &str, pem: &str) -> Result<Self, BreachRangeUnavailable> {
        Self::with(address, HttpsGetter::trusting_only(pem)?)
    }

    fn with(address: &str, getter: HttpsGetter) -> Result<Self, BreachRangeUnavailable> {
        if https::address(address)?.query().is_some() || address.contains('#') {
            return Err(BreachRangeUnavailable("the address has a query or a fragment".to_owned()));
        }
        let address = address.trim_end_matches('/').into();
        Ok(Self { address, getter, timeout: TIMEOUT, failures: Arc::new(Seldom::new(SAY_EVERY)) })
    }

    /// How long an answer is waited for. Default 2 s: somebody waits for it with a new password.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Whether a password is known from a breach.
    ///
    /// # Errors
    /// [`BreachRangeUnavailable`] when there is no answer in time, or none that is a range.
    pub async fn contains(&self, password: &Password) -> Result<bool, BreachRangeUnavailable> {
        let sha1 = digest(&SHA1_FOR_LEGACY_USE_ONLY, password.expose_secret().as_bytes());
        let digits = hex::encode_upper(sha1.as_ref());
        // 40 digits have a fifth.
        let (prefix, suffix) = digits.split_at_checked(PREFIX_DIGITS).unwrap_or_default();
        let address: Uri = https::address(&format!("{}/{prefix}", self.address))?;
        let padding = [(HeaderName::from_static("add-padding"), "true")];
        let answer = tokio::time::timeout(self.timeout, self.getter.get(address, &padding, BYTES_MAX));
        let late = |_| BreachRangeUnavailable("no answer in time".to_owned());
        let answer = answer.await.map_err(late)??;
        is_listed(&answer.body, suffix)
            .ok_or_else(|| BreachRangeUnavailable("the answer is not a range of hashes".to_owned()))
    }

    /// Whether a password is refused. When that cannot be found out it is not, and the log says so: nobody could change a password
    /// otherwise.
    pub(in crate::password) async fn refuses(&self, password: &Password) -> bool {
        match self.contains(password).await {
            Ok(is_known) => is_known,
            Err(error) => {
                if let Some(unsaid) = self.failures.say() {
                    let code = error.code();
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(
                        code,
                        error,
                        unsaid,
                        "whether passwords are known from breaches cannot be asked; new ones pass"
                    );
                }
                false
            }
        }
    }
}

/// Whether the lines `SUFFIX:COUNT` hold `suffix` with a count; those of padding have the count 0. `None` when any line is something
/// else, or there is none.
fn is_listed(body: &[u8], suffix: &str) -> Option<bool> {
    let (mut is_known, mut lines) = (false, 0_u32);
    for line in std::str::from_utf8(body).ok()?.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (found, count) = line.split_once(':')?;
        if found.len() != suffix.len() || !found.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        let count: u64 = count.trim().parse().ok()?;
        is_known |= count > 0 && found.eq_ignore_ascii_case(suffix);
        lines += 1;
    }
    (lines > 0).then_some(is_known)
}

impl fmt::Debug for BreachRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreachRange")
            .field("address", &self.address)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUFFIX: &str = "00D4F6E8FA6EECAD2A3AA415EEC418D38EC";

    #[test]
    fn a_suffix_is_known_with_a_count_alone() {
        let other = "011053FD0102E94D6AE2F8B83D76FAF94F6";
        for (body, expected) in [
            (format!("{other}:1\r\n{SUFFIX}:3\r\n"), Some(true)),
            (format!("{}:3", SUFFIX.to_lowercase()), Some(true)),
            (format!("{other}:1\r\n{SUFFIX}:0\r\n"), Some(false)),
            (format!("{other}:1\r\n"), Some(false)),
            // Anything else is no range, whatever stands before it.
            (format!("{SUFFIX}:3\r\n<html>"), None),
            (SUFFIX.to_owned(), None),
            (format!("{SUFFIX}:many"), None),
            (format!("{SUFFIX}0:3"), None),
            (String::new(), None),
        ] {
            assert_eq!(is_listed(body.as_bytes(), SUFFIX), expected, "{body}");
        }
        assert_eq!(is_listed(b"\xff\xfe", SUFFIX), None);
    }

    #[test]
    fn an_address_is_https_or_on_this_machine_and_takes_a_path() {
        for address in
            [BreachRange::HAVE_I_BEEN_PWNED, "http://127.0.0.1:1/range/", "https://mirror.example.test"]
        {
            assert!(BreachRange::new(address).is_ok(), "{address}");
        }
        for address in [
            "http://mirror.example.test/range",
            "https://mirror.example.test/?prefix=",
            "https://x.test/#",
            "",
        ] {
            assert!(BreachRange::new(address).is_err(), "{address}");
        }
    }
}
