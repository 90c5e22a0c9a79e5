//! Messages for programs, signed as Standard Webhooks has it.

use chrono::{DateTime, Utc};
use serde_json::json;
use stylobate_egress::{
    AddressPolicy, Request, Target, WEBHOOK_ID_HEADER, WEBHOOK_SIGNATURE_HEADER, WEBHOOK_TIMESTAMP_HEADER,
    WebhookSecret,
    http::{HeaderName, HeaderValue},
    signatures,
};

use crate::{Category, SendError, Severity, failure::refused};

/// What a program is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Notice<'a> {
    /// Stays the same however often it is sent.
    pub(crate) id: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) topic: &'a str,
    pub(crate) category: Category,
    pub(crate) severity: Severity,
    pub(crate) title: &'a str,
    pub(crate) text: &'a str,
    pub(crate) created_at: DateTime<Utc>,
}

/// The signed request for `notice`, as it is sent at `now`.
pub(crate) fn request(
    url: &str,
    secret: &str,
    policy: &AddressPolicy,
    notice: &Notice<'_>,
    now: DateTime<Utc>,
) -> Result<Request, SendError> {
    let target = Target::parse(url, policy).map_err(|error| refused(error.code()))?;
    let secret = WebhookSecret::parse(secret).map_err(|_| refused("notify_channel_invalid"))?;
    let body = json!({
        "id": notice.id,
        "type": notice.topic,
        "kind": notice.kind,
        "category": notice.category,
        "severity": notice.severity,
        "title": notice.title,
        "text": notice.text,
        "created_at": notice.created_at,
    })
    .to_string();
    let signature = signatures(&[secret], notice.id, now.timestamp(), body.as_bytes());
    let mut request = Request::post(target, body);
    crate::post::json(&mut request);
    for (name, value) in [
        (WEBHOOK_ID_HEADER, notice.id),
        (WEBHOOK_TIMESTAMP_HEADER, &now.timestamp().to_string()),
        (WEBHOOK_SIGNATURE_HEADER, &signature),
    ] {
        let value = HeaderValue::from_str(value).map_err(|_| refused("notify_unsendable"))?;
        request.headers.insert(HeaderName::from_static(name), value);
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use stylobate_egress::{TOLERANCE, WebhookHeaders, verify};

    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn notice() -> Notice<'static> {
        Notice {
            id: "0190-7",
            kind: "event",
            topic: "user.created",
            category: Category::System,
            severity: Severity::Info,
            title: "A person came",
            text: "Ada \u{1F389}\n",
            created_at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_notice_is_verified_by_whoever_has_the_secret() {
        let now = DateTime::from_timestamp(1_772_366_400, 0).unwrap();
        let url = "https://anybody.example.net/in?a=b";
        let request = request(url, SECRET, &AddressPolicy::public(), &notice(), now).unwrap();
        let header = |name: &'static str| request.headers.get(name).and_then(|value| value.to_str().ok());
        let headers = WebhookHeaders::find(header).unwrap();
        let check = |secret: WebhookSecret| verify(&headers, &request.body, &[secret], now, TOLERANCE);
        assert_eq!(check(WebhookSecret::parse(SECRET).unwrap()).unwrap().as_str(), "0190-7");
        assert!(check(WebhookSecret::generate().unwrap()).is_err());
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(
            body,
            json!({
                "id": "0190-7", "type": "user.created", "kind": "event", "category": "system", "severity": "info",
                "title": "A person came", "text": "Ada \u{1F389}\n", "created_at": "1970-01-01T00:00:00Z",
            })
        );
    }

    #[test]
    fn what_cannot_be_sent_is_told() {
        let policy = AddressPolicy::public();
        let code = |url: &str, secret: &str, notice: Notice<'_>| {
            request(url, secret, &policy, &notice, DateTime::UNIX_EPOCH).unwrap_err().code
        };
        let url = "https://anybody.example.net/";
        assert_eq!(code("https://10.0.0.1/", SECRET, notice()), "egress_address_forbidden");
        assert_eq!(code(url, "short", notice()), "notify_channel_invalid");
        assert_eq!(code(url, SECRET, Notice { id: "a\r\nb", ..notice() }), "notify_unsendable");
    }
}
