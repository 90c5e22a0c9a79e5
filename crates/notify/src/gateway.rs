mod encoding;
mod preset;
mod url;

use std::fmt;

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use stylobate_egress::Client;

use self::preset::Preset;
use crate::{PhoneNumber, Receipt, SendError, post};

pub use self::url::SmsUrlInvalid;

/// Sends short messages through whoever offers that over HTTP.
///
/// It is named by a URL:
/// 1. `twilio://SID:TOKEN@api.twilio.com?from=+15550100`; a sender that begins with `MG` is a messaging service.
/// 2. `vonage://KEY:SECRET@rest.nexmo.com?from=Stylobate`.
/// 3. `https://gateway.example.org/send?…` with the fields `to`, `from` and `text` in JSON, for others. Of its query these are
///    not sent: `sms_from`, the sender; `sms_auth`, how the credentials before the `@` are shown: `basic` (unless said),
///    `bearer`, or the name of a header, for the password; `sms_format`, `json` (unless said) or `form`; `sms_to_field`,
///    `sms_from_field` and `sms_text_field`, which rename the fields.
///
/// `twilio` and `vonage` ask over https; their host may be another that speaks alike. `twilio+http` and `vonage+http` ask over http,
/// where the policy of the client allows that.
#[derive(Clone)]
pub struct SmsGateway {
    preset: Preset,
    client: Client,
}

impl fmt::Debug for SmsGateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmsGateway").field("preset", &self.preset.name()).finish_non_exhaustive()
    }
}

impl SmsGateway {
    /// The gateway that `url` names, asked by `client`.
    ///
    /// # Errors
    /// [`SmsUrlInvalid`].
    pub fn parse(url: &SecretString, client: Client) -> Result<Self, SmsUrlInvalid> {
        let preset = url::parse(url.expose_secret(), client.policy())?;
        Ok(Self { preset, client })
    }

    /// Sends `text` to `to`. What is longer than ten parts is cut: 1,530 characters of the GSM alphabet, or 670 of others.
    ///
    /// # Errors
    /// [`SendError`]; a text that was taken may still not arrive.
    pub async fn send(&self, to: &PhoneNumber, text: &str, now: DateTime<Utc>) -> Result<Receipt, SendError> {
        let request = self.preset.request(to, &encoding::shortened(text))?;
        let answer = post::answer(&self.client, request).await?;
        self.preset.judged(answer, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_not_shown() {
        let client = Client::builder(stylobate_egress::AddressPolicy::public()).build().unwrap();
        let url = SecretString::from("twilio://ACcanary:canary@api.twilio.com?from=%2B15550100");
        let gateway = SmsGateway::parse(&url, client).unwrap();
        assert!(!format!("{gateway:?}").contains("canary"));
    }
}
