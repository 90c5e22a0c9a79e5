//! Sending over HTTP, and what follows from the answer.

use chrono::{DateTime, Utc};
use stylobate_egress::{Answer, Client, Error, Request, http::StatusCode};

use crate::{
    FailureClass, SendError,
    failure::{GONE, failed},
};

/// How much of an answer is read: some say in it whether they took it.
const ANSWER_BYTES_MAX: usize = 16 << 10;

/// Sends `request`, and tells the answer if the other side took it.
#[cfg(feature = "sql")]
pub(crate) async fn post(client: &Client, request: Request, now: DateTime<Utc>) -> Result<Answer, SendError> {
    judged(answer(client, request).await?, now)
}

/// Sends `request`, and tells the answer whatever it says.
pub(crate) async fn answer(client: &Client, mut request: Request) -> Result<Answer, SendError> {
    request.answer_bytes_max = Some(ANSWER_BYTES_MAX);
    client.send(request).await.map_err(|error| unanswered(&error))
}

#[cfg(feature = "sql")]
pub(crate) fn json(request: &mut Request) {
    use stylobate_egress::http::{HeaderValue, header::CONTENT_TYPE};

    request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
}

/// The answer if it says that the other side took it, as far as its status tells.
pub(crate) fn judged(answer: Answer, now: DateTime<Utc>) -> Result<Answer, SendError> {
    if answer.status.is_success() {
        return Ok(answer);
    }
    let class = match answer.status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            FailureClass::Transient { retry_after: answer.retry_after(now) }
        }
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY => FailureClass::TRANSIENT,
        status if status.is_server_error() => FailureClass::TRANSIENT,
        // Redirects too: whoever moved tells it to those who set the channel up.
        _ => FailureClass::Permanent,
    };
    let code = match answer.status {
        StatusCode::TOO_MANY_REQUESTS => "notify_throttled",
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "notify_unauthorized",
        StatusCode::NOT_FOUND | StatusCode::GONE => GONE,
        status if status.is_redirection() => "notify_redirect",
        _ => "notify_status",
    };
    Err(SendError { status: Some(answer.status.as_u16()), ..failed(class, code) })
}

fn unanswered(error: &Error) -> SendError {
    let class = match error {
        // Neither gets better by waiting.
        Error::Target(_) | Error::Forbidden(_) => FailureClass::Permanent,
        _ => FailureClass::TRANSIENT,
    };
    failed(class, error.code())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use stylobate_egress::{
        Ending,
        http::{HeaderMap, header},
    };

    use super::*;

    fn answered(status: u16, retry_after: Option<&str>) -> Result<u16, SendError> {
        let mut headers = HeaderMap::new();
        if let Some(text) = retry_after {
            headers.insert(header::RETRY_AFTER, text.parse().unwrap());
        }
        let status = StatusCode::from_u16(status).unwrap();
        let answer = Answer { status, headers, body: Default::default(), ending: Ending::Whole };
        judged(answer, DateTime::UNIX_EPOCH).map(|answer| answer.status.as_u16())
    }

    #[test]
    fn what_follows_from_a_status() {
        for status in [200, 201, 202, 204] {
            assert_eq!(answered(status, None), Ok(status));
        }
        for (status, code, is_permanent) in [
            (301, "notify_redirect", true),
            (308, "notify_redirect", true),
            (400, "notify_status", true),
            (401, "notify_unauthorized", true),
            (403, "notify_unauthorized", true),
            (404, "notify_gone", true),
            (408, "notify_status", false),
            (410, "notify_gone", true),
            (413, "notify_status", true),
            (500, "notify_status", false),
            (502, "notify_status", false),
        ] {
            let failure = answered(status, Some("60")).unwrap_err();
            assert_eq!((failure.code, failure.status), (code, Some(status)));
            assert_eq!(failure.class == FailureClass::Permanent, is_permanent, "{status}");
            if !is_permanent {
                assert_eq!(failure.class, FailureClass::TRANSIENT);
            }
        }
    }

    #[test]
    fn a_wait_that_is_asked_for_is_kept() {
        for status in [429, 503] {
            let failure = answered(status, Some("30")).unwrap_err();
            let asked = Some(Duration::from_secs(30));
            assert_eq!(failure.class, FailureClass::Transient { retry_after: asked });
            let failure = answered(status, None).unwrap_err();
            assert_eq!(failure.class, FailureClass::TRANSIENT);
        }
    }
}
