//! Messages that their receiver can tell are ours, as Standard Webhooks has it: signed with a secret that both sides share, and
//! dated.

mod secret;

use std::{fmt, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use ring::hmac;

pub use secret::{SecretInvalid, WebhookSecret};

/// Names the message, and stays the same however often it is sent.
pub const WEBHOOK_ID_HEADER: &str = "webhook-id";
/// When this attempt was made, in seconds since 1970.
pub const WEBHOOK_TIMESTAMP_HEADER: &str = "webhook-timestamp";
/// One signature per live secret, with spaces between them.
pub const WEBHOOK_SIGNATURE_HEADER: &str = "webhook-signature";

/// How old or how far in the future a message may be: 5 minutes, for clocks that differ and networks that are slow. Receivers
/// remember ids for as long.
pub const TOLERANCE: Duration = Duration::from_secs(300);

/// How many signatures of one message are looked at: senders sign with two secrets at most, and each look costs a digest of the body.
const SIGNATURES_MAX: usize = 8;
/// How long an id may be.
const ID_CHARS_MAX: usize = 128;

/// The three headers of a message (Standard Webhooks, "Webhook headers").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WebhookHeaders<'a> {
    /// `webhook-id`: names the message, and stays the same however often it is sent.
    pub id: &'a str,
    /// `webhook-timestamp`: when this attempt was made, in seconds since 1970.
    pub timestamp: &'a str,
    /// `webhook-signature`: one signature per live secret, with spaces between them.
    pub signature: &'a str,
}

impl<'a> WebhookHeaders<'a> {
    /// Takes the headers from wherever a request has them; `find` is asked for their names in lower case.
    ///
    /// # Errors
    /// [`Rejected::HeaderMissing`].
    pub fn find(find: impl Fn(&'static str) -> Option<&'a str>) -> Result<Self, Rejected> {
        let required = |name| find(name).ok_or(Rejected::HeaderMissing { name });
        Ok(Self {
            id: required(WEBHOOK_ID_HEADER)?,
            timestamp: required(WEBHOOK_TIMESTAMP_HEADER)?,
            signature: required(WEBHOOK_SIGNATURE_HEADER)?,
        })
    }
}

/// Names a message. Receivers that have done their work for one answer 2xx for the next with the same id, and do nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WebhookMessageId(String);

impl WebhookMessageId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WebhookMessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a message is not to be trusted. Answer 400 or 401, and do nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejected {
    /// A header is missing.
    #[error("the header `{name}` is missing")]
    HeaderMissing {
        /// Its name.
        name: &'static str,
    },
    /// A header cannot be read.
    #[error("the header `{name}` cannot be read")]
    HeaderMalformed {
        /// Its name.
        name: &'static str,
    },
    /// It was sent too long ago: perhaps somebody who overheard it sends it again.
    #[error("the message is too old")]
    TooOld,
    /// It comes from the future: one of the clocks is wrong.
    #[error("the message is from the future")]
    TooNew,
    /// No secret has signed it, or it was changed since.
    #[error("the signature does not fit")]
    Unsigned,
}

impl Rejected {
    /// The stable code of the situation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::HeaderMissing { .. } => "webhook_header_missing",
            Self::HeaderMalformed { .. } => "webhook_header_malformed",
            Self::TooOld => "webhook_too_old",
            Self::TooNew => "webhook_too_new",
            Self::Unsigned => "webhook_unsigned",
        }
    }
}

/// Checks that a message was signed with one of `secrets` no longer than `tolerance` ago ([`TOLERANCE`] where there is no reason
/// for another), and returns its id. `body` is what came, byte for byte, before anything has parsed it.
///
/// Signatures are compared in constant time.
///
/// ```
/// use chrono::{DateTime, Utc};
/// use stylobate_egress::{Rejected, TOLERANCE, WebhookHeaders, WebhookSecret, verify};
///
/// // Of a request: its headers, and its body before anything has parsed it.
/// fn receive(
///     header: impl Fn(&'static str) -> Option<&'static str>,
///     body: &[u8],
///     now: DateTime<Utc>,
/// ) -> Result<(), Rejected> {
///     let secret = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("the one that was shown");
///     let headers = WebhookHeaders::find(header)?;
///     let id = verify(&headers, body, &[secret], now, TOLERANCE)?;
///     // … unless there was a message `id` before.
///     println!("{id}");
///     Ok(())
/// }
/// let none = receive(|_| None, b"{}", DateTime::UNIX_EPOCH);
/// assert_eq!(none, Err(Rejected::HeaderMissing { name: "webhook-id" }));
/// ```
///
/// # Errors
/// [`Rejected`].
pub fn verify(
    headers: &WebhookHeaders<'_>,
    body: &[u8],
    secrets: &[WebhookSecret],
    now: DateTime<Utc>,
    tolerance: Duration,
) -> Result<WebhookMessageId, Rejected> {
    let WebhookHeaders { id, timestamp, signature } = *headers;
    // With a dot in the id, parts of it could be passed off as the timestamp, or that as part of the body.
    if id.is_empty() || id.len() > ID_CHARS_MAX || id.contains('.') || id.chars().any(char::is_control) {
        return Err(Rejected::HeaderMalformed { name: WEBHOOK_ID_HEADER });
    }
    let malformed = Rejected::HeaderMalformed { name: WEBHOOK_TIMESTAMP_HEADER };
    if timestamp.is_empty() || !timestamp.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(malformed);
    }
    let sent: i64 = timestamp.parse().map_err(|_| malformed)?;
    let tolerance = i64::try_from(tolerance.as_secs()).unwrap_or(i64::MAX);
    let age = now.timestamp().saturating_sub(sent);
    if age > tolerance {
        return Err(Rejected::TooOld);
    }
    if age < -tolerance {
        return Err(Rejected::TooNew);
    }
    let message = message(id, sent, body);
    // Signatures of versions that are unknown here are for others.
    let known = signature.split(' ').filter_map(|one| one.strip_prefix("v1,")).take(SIGNATURES_MAX);
    for tag in known.filter_map(|text| STANDARD.decode(text).ok()) {
        if secrets.iter().any(|secret| hmac::verify(secret.key(), &message, &tag).is_ok()) {
            return Ok(WebhookMessageId(id.to_owned()));
        }
    }
    Err(Rejected::Unsigned)
}

/// What is signed (Standard Webhooks, "Signature scheme").
fn message(id: &str, timestamp: i64, body: &[u8]) -> Vec<u8> {
    [format!("{id}.{timestamp}.").as_bytes(), body].concat()
}

/// The header [`WEBHOOK_SIGNATURE_HEADER`] of a message sent at `timestamp`: one signature per secret.
#[must_use]
pub fn signatures(secrets: &[WebhookSecret], id: &str, timestamp: i64, body: &[u8]) -> String {
    let message = message(id, timestamp, body);
    let sign = |secret: &WebhookSecret| format!("v1,{}", STANDARD.encode(hmac::sign(secret.key(), &message)));
    secrets.iter().map(sign).collect::<Vec<_>>().join(" ")
}

/// The header `X-Webhook-Signature` of receivers that know no other: of the body alone, keyed with the text of the secret. It has
/// no time, so what somebody overhears can be sent again.
#[must_use]
pub fn classic_signature(secret: &WebhookSecret, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
    format!("sha256={}", hex::encode(hmac::sign(&key, body)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // The vector of the reference libraries (standard-webhooks/standard-webhooks, `libraries/python/tests`).
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const SENT: i64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn secrets() -> Vec<WebhookSecret> {
        vec![WebhookSecret::parse(SECRET).unwrap()]
    }

    fn check(
        id: &str,
        timestamp: &str,
        signature: &str,
        body: &[u8],
        age: i64,
    ) -> Result<WebhookMessageId, Rejected> {
        let now = DateTime::from_timestamp(SENT + age, 999_000_000).unwrap();
        verify(&WebhookHeaders { id, timestamp, signature }, body, &secrets(), now, TOLERANCE)
    }

    fn check_signature(signature: &str) -> Result<WebhookMessageId, Rejected> {
        check(ID, &SENT.to_string(), signature, BODY, 0)
    }

    #[test]
    fn the_vector_of_the_reference_libraries_is_signed_and_verified() {
        assert_eq!(signatures(&secrets(), ID, SENT, BODY), SIGNATURE);
        assert_eq!(check_signature(SIGNATURE).unwrap().as_str(), ID);
    }

    // Made with `openssl dgst -sha256 -hmac "$SECRET"`.
    #[test]
    fn the_classic_signature_is_of_the_body_and_the_text_of_the_secret() {
        assert_eq!(
            classic_signature(&secrets()[0], BODY),
            "sha256=80ec8a89ce3cd22133a1066caecb4d04fea7467657c8514d717ec42c38a5c94c"
        );
    }

    #[test]
    fn one_of_several_signatures_suffices() {
        let other = WebhookSecret::generate().unwrap();
        let theirs = signatures(&[other.clone(), secrets().remove(0)], ID, SENT, BODY);
        assert!(theirs.ends_with(&format!(" {SIGNATURE}")) && check_signature(&theirs).is_ok());
        for around in ["v1a,AAAA", "v1,", "v1,%%%", "v2,AAAA", "v1,AAAA", "", "nonsense"] {
            assert!(check_signature(&format!("{around} {SIGNATURE} {around}")).is_ok(), "{around}");
        }
        assert_eq!(check_signature(&signatures(&[other], ID, SENT, BODY)).unwrap_err(), Rejected::Unsigned);
    }

    #[test]
    fn what_is_not_signed_is_rejected() {
        let many = format!("{}{SIGNATURE}", "v1,AAAA ".repeat(SIGNATURES_MAX));
        let bare = SIGNATURE.trim_start_matches("v1,");
        for signature in ["", " ", "v1,", bare, &SIGNATURE.replace("v1,", "v1a,"), &SIGNATURE[..40], &many] {
            assert_eq!(check_signature(signature).unwrap_err(), Rejected::Unsigned, "{signature}");
        }
        let sent = SENT.to_string();
        assert_eq!(check("msg_other", &sent, SIGNATURE, BODY, 0).unwrap_err(), Rejected::Unsigned);
        assert_eq!(check(ID, &sent, SIGNATURE, b"{}", 0).unwrap_err(), Rejected::Unsigned);
        assert_eq!(check(ID, &(SENT + 1).to_string(), SIGNATURE, BODY, 0).unwrap_err(), Rejected::Unsigned);
    }

    #[test]
    fn messages_are_as_old_as_the_tolerance_allows() {
        let sent = SENT.to_string();
        assert!(
            check(ID, &sent, SIGNATURE, BODY, 300).is_ok() && check(ID, &sent, SIGNATURE, BODY, -300).is_ok()
        );
        assert_eq!(check(ID, &sent, SIGNATURE, BODY, 301).unwrap_err(), Rejected::TooOld);
        assert_eq!(check(ID, &sent, SIGNATURE, BODY, -301).unwrap_err(), Rejected::TooNew);
        assert_eq!(check(ID, "0", SIGNATURE, BODY, 0).unwrap_err(), Rejected::TooOld);
        assert_eq!(check(ID, &i64::MAX.to_string(), SIGNATURE, BODY, 0).unwrap_err(), Rejected::TooNew);
    }

    #[test]
    fn headers_that_cannot_be_read_are_rejected() {
        for timestamp in ["", "now", "-1", "+1", "1.5", " 1", "1e9", "99999999999999999999", "١"] {
            let rejected = check(ID, timestamp, SIGNATURE, BODY, 0).unwrap_err();
            assert_eq!(rejected, Rejected::HeaderMalformed { name: WEBHOOK_TIMESTAMP_HEADER }, "{timestamp}");
        }
        for id in ["", "a.b", "a\nb", &"x".repeat(129)] {
            let rejected = check(id, &SENT.to_string(), SIGNATURE, BODY, 0).unwrap_err();
            assert_eq!(rejected, Rejected::HeaderMalformed { name: WEBHOOK_ID_HEADER }, "{id}");
        }
        let missing =
            WebhookHeaders::find(|name| (name != WEBHOOK_TIMESTAMP_HEADER).then_some("x")).unwrap_err();
        assert_eq!(missing, Rejected::HeaderMissing { name: WEBHOOK_TIMESTAMP_HEADER });
    }

    proptest! {
        #[test]
        fn what_is_signed_verifies_and_nothing_else_does(body: Vec<u8>, other: Vec<u8>, sent in 0_i64..4_000_000_000) {
            let signature = signatures(&secrets(), ID, sent, &body);
            let now = DateTime::from_timestamp(sent, 0).unwrap();
            let timestamp = sent.to_string();
            let headers = WebhookHeaders { id: ID, timestamp: &timestamp, signature: &signature };
            prop_assert!(verify(&headers, &body, &secrets(), now, TOLERANCE).is_ok());
            let refused = verify(&headers, &other, &secrets(), now, TOLERANCE).is_err();
            prop_assert_eq!(refused, body != other);
            prop_assert!(verify(&headers, &body, &[], now, TOLERANCE).is_err());
        }

        #[test]
        fn no_headers_make_it_panic(id: String, timestamp: String, signature: String, body: Vec<u8>) {
            let headers = WebhookHeaders { id: &id, timestamp: &timestamp, signature: &signature };
            prop_assert!(verify(&headers, &body, &secrets(), DateTime::UNIX_EPOCH, TOLERANCE).is_err());
        }
    }
}
