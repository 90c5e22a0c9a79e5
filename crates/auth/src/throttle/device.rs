use std::{fmt, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use zeroize::Zeroizing;

use super::{AccountKey, DeviceId};
use crate::{
    KeyError,
    key::random,
    pepper::{self, Pepper},
};

/// What a client keeps, to be a known device of one account from now on.
///
/// It lets nobody in: it only says against which counters the next tries go. The text is, in base64url, a byte of
/// version, 16 random bytes that tell devices apart, 8 of expiry in seconds, and an HMAC-SHA256 over those, the account
/// and its credential epoch. Whose it is does not stand in it; whoever names another account with it is a stranger
/// there. A new password, or disabling the person, voids it. `Debug` prints `[redacted]`; there is no `Display`.
#[derive(Clone)]
pub struct DeviceCookie {
    text: Zeroizing<String>,
}

const VERSION: u8 = 1;
const SIGNED_BYTES: usize = 1 + 16 + 8;
/// 57 bytes are 76 characters without padding or bits to spare.
const TEXT_BYTES: usize = (SIGNED_BYTES + 32) / 3 * 4;
/// What browsers keep a cookie for at most (RFC 6265bis §5.6.2). Each sign-in begins it anew.
const KEPT_FOR: TimeDelta = TimeDelta::days(400);

impl DeviceCookie {
    /// Makes the cookie of a device, a new one or one that is known.
    pub(crate) fn issue(
        pepper: &Pepper,
        account: &AccountKey,
        epoch: i64,
        device: Option<DeviceId>,
        now: DateTime<Utc>,
    ) -> Result<Self, KeyError> {
        let device = match device {
            Some(device) => device,
            None => DeviceId::from_bytes(random::<16>()?),
        };
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(device.as_bytes());
        bytes.extend_from_slice(&(now + KEPT_FOR).timestamp().to_be_bytes());
        let tag = tag(pepper, account, epoch, &bytes);
        bytes.extend_from_slice(&tag);
        Ok(Self { text: Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes)) })
    }

    /// The device that presents `text`, if it is a known one of this account.
    pub(crate) fn read(
        pepper: &Pepper,
        account: &AccountKey,
        epoch: i64,
        text: &str,
        now: DateTime<Utc>,
    ) -> Option<DeviceId> {
        if text.len() != TEXT_BYTES {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (signed, presented_tag) = bytes.split_at_checked(SIGNED_BYTES)?;
        if !pepper::equal(&tag(pepper, account, epoch, signed), presented_tag) {
            return None;
        }
        let (version, rest) = signed.split_first()?;
        let (device, expiry) = rest.split_first_chunk::<16>()?;
        let expires_at = i64::from_be_bytes(*expiry.first_chunk::<8>()?);
        (*version == VERSION && now.timestamp() < expires_at).then_some(DeviceId::from_bytes(*device))
    }

    /// The text for the cookie. Never log or store it.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        &self.text
    }

    /// How long the client is to keep it: 400 days.
    #[must_use]
    pub fn max_age(&self) -> Duration {
        KEPT_FOR.to_std().unwrap_or_default()
    }
}

fn tag(pepper: &Pepper, account: &AccountKey, epoch: i64, signed: &[u8]) -> [u8; 32] {
    // All parts but the account have one length, so no two of them are confused.
    let mut bytes = signed.to_vec();
    bytes.extend_from_slice(&epoch.to_be_bytes());
    bytes.extend_from_slice(&account.to_bytes());
    pepper.digest("known-device", &bytes)
}

impl fmt::Debug for DeviceCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceCookie([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stylobate_core::PersonId;

    use super::*;
    use crate::key::PlatformSecret;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_772_366_400, 0).unwrap()
    }

    fn pepper() -> Pepper {
        Pepper::new(&PlatformSecret::from_bytes([3; 32]))
    }

    fn account() -> AccountKey {
        AccountKey::Person(PersonId::from_uuid(uuid::Uuid::from_bytes([5; 16])))
    }

    fn cookie() -> String {
        let device = Some(DeviceId::from_bytes([9; 16]));
        DeviceCookie::issue(&pepper(), &account(), 1, device, now()).unwrap().expose_secret().to_owned()
    }

    fn read(account: &AccountKey, epoch: i64, text: &str, now: DateTime<Utc>) -> Option<DeviceId> {
        DeviceCookie::read(&pepper(), account, epoch, text, now)
    }

    #[test]
    fn a_cookie_is_good_for_its_account_epoch_and_time_alone() {
        // C14
        let text = cookie();
        assert_eq!(text.len(), TEXT_BYTES);
        assert_eq!(read(&account(), 1, &text, now()), Some(DeviceId::from_bytes([9; 16])));
        let other = AccountKey::Person(PersonId::from_uuid(uuid::Uuid::from_bytes([6; 16])));
        assert_eq!(read(&other, 1, &text, now()), None);
        assert_eq!(read(&AccountKey::Nobody([5; 32]), 1, &text, now()), None);
        assert_eq!(read(&account(), 2, &text, now()), None);
        let last = now() + KEPT_FOR - TimeDelta::seconds(1);
        assert_eq!(read(&account(), 1, &text, last), Some(DeviceId::from_bytes([9; 16])));
        assert_eq!(read(&account(), 1, &text, last + TimeDelta::seconds(1)), None);
        let elsewhere = Pepper::new(&PlatformSecret::from_bytes([4; 32]));
        assert_eq!(DeviceCookie::read(&elsewhere, &account(), 1, &text, now()), None);
    }

    #[test]
    fn two_new_devices_differ_and_none_prints() {
        let issue = || DeviceCookie::issue(&pepper(), &account(), 1, None, now()).unwrap();
        let (one, other) = (issue(), issue());
        assert_ne!(one.expose_secret(), other.expose_secret());
        assert_eq!(format!("{one:?}"), "DeviceCookie([redacted])"); // A24
        assert_eq!(one.max_age(), Duration::from_secs(400 * 86_400));
    }

    #[test]
    fn no_single_changed_character_passes() {
        // C14
        let text = cookie();
        for at in 0..text.len() {
            for other in (0_u8..128).map(char::from).filter(|other| !text[at..].starts_with(*other)) {
                let forged: String =
                    text.chars().enumerate().map(|(n, was)| if n == at { other } else { was }).collect();
                assert_eq!(read(&account(), 1, &forged, now()), None, "{other:?} at {at}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_other_text_is_a_cookie(text in any::<String>(), bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(read(&account(), 1, &text, now()), None);
            prop_assert_eq!(read(&account(), 1, &URL_SAFE_NO_PAD.encode(bytes), now()), None);
        }
    }
}
