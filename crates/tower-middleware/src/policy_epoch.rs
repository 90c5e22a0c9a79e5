//! How fresh the policy has to be that a request is decided by.

use axum::response::{IntoResponse, IntoResponseParts, Response, ResponseParts};
use http::{HeaderMap, HeaderName, HeaderValue};
use stylobate_core::{Problem, TenantId};

use crate::ApiError;

/// The header of [`PolicyEpoch`].
pub(crate) const X_POLICY_EPOCH: HeaderName = HeaderName::from_static("x-policy-epoch");

/// What stands before an epoch of the platform's policy.
const PLATFORM: &str = "platform=";

/// The epoch that a policy has reached with a change, as the response header `X-Policy-Epoch`.
///
/// `17` is the policy of the caller's organisation, `platform=17` the platform's. A request that repeats the header is
/// decided by that policy or a newer one, in every process; without it, other processes follow within a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyEpoch {
    /// Whose policy changed; `None` is the platform's.
    pub owner: Option<TenantId>,
    /// What it has reached.
    pub epoch: i64,
}

impl PolicyEpoch {
    /// The header's value.
    #[must_use]
    pub fn value(self) -> String {
        match self.owner {
            Some(_) => self.epoch.to_string(),
            None => format!("{PLATFORM}{}", self.epoch),
        }
    }
}

impl IntoResponseParts for PolicyEpoch {
    type Error = std::convert::Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Self::Error> {
        if let Ok(value) = HeaderValue::try_from(self.value()) {
            parts.headers_mut().insert(X_POLICY_EPOCH, value);
        }
        Ok(parts)
    }
}

impl IntoResponse for PolicyEpoch {
    fn into_response(self) -> Response {
        (self, ()).into_response()
    }
}

/// The epochs that a request demands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Demanded {
    /// Of the policy of the caller's organisation; of the platform's for a caller who acts for none.
    pub(crate) own: Option<i64>,
    /// Of the platform's policy.
    pub(crate) platform: Option<i64>,
}

impl Demanded {
    /// Reads all such headers. Each may list several epochs; the highest of each kind counts.
    pub(crate) fn by(headers: &HeaderMap) -> Result<Self, ApiError> {
        let mut demanded = Self::default();
        for value in headers.get_all(X_POLICY_EPOCH) {
            for item in value.to_str().map_err(|_| invalid())?.split(',').map(str::trim) {
                let (kind, digits) = match item.strip_prefix(PLATFORM) {
                    Some(digits) => (&mut demanded.platform, digits),
                    None => (&mut demanded.own, item),
                };
                // `parse` alone would take a sign.
                let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
                let epoch = digits.parse().ok().filter(|_| is_number).ok_or_else(invalid)?;
                *kind = Some(kind.map_or(epoch, |seen: i64| seen.max(epoch)));
            }
        }
        Ok(demanded)
    }
}

fn invalid() -> ApiError {
    let detail = "`X-Policy-Epoch` lists numbers, or `platform=` and a number.";
    Problem::new(400, "bad_request").detail(detail).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demanded(values: &[&str]) -> Option<(Option<i64>, Option<i64>)> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(X_POLICY_EPOCH, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        Demanded::by(&headers).ok().map(|found| (found.own, found.platform))
    }

    #[test]
    fn what_an_answer_says_can_be_demanded() {
        let tenant = TenantId::from_uuid(uuid::Uuid::nil());
        let own = PolicyEpoch { owner: Some(tenant), epoch: 17 }.value();
        let platform = PolicyEpoch { owner: None, epoch: 3 }.value();
        assert_eq!(demanded(&[&own, &platform]), Some((Some(17), Some(3))));
        assert_eq!(demanded(&["5, platform=2, 4"]), Some((Some(5), Some(2))));
        assert_eq!(demanded(&[]), Some((None, None)));
    }

    #[test]
    fn anything_else_is_refused() {
        for value in
            ["", "new", "-1", "+1", "1.5", "9223372036854775808", "platform=", "tenant=1", "1,", "\u{e9}"]
        {
            assert_eq!(demanded(&[value]), None, "{value}");
        }
    }
}
