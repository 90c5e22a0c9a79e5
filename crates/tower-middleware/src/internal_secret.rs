//! The secret that programs of the operator present instead of signing in.

use http::{HeaderMap, HeaderName};
use secrecy::{ExposeSecret as _, SecretString};
use stylobate_core::{Principal, RequestContext};

use crate::{ApiError, CredentialRefused, Error, authenticate::Refused, cookies::ambiguous};

const X_INTERNAL_SECRET: HeaderName = HeaderName::from_static("x-internal-secret");

/// A secret shared by the service and programs of its operator, which present it in `X-Internal-Secret`.
///
/// Who presents it is the platform itself, narrowed to the one permission that the route asks. Only routes that say so
/// look at the header; elsewhere it means nothing. It goes beside no other credential.
#[derive(Clone)]
pub struct InternalSecret(SecretString);

impl InternalSecret {
    /// The fewest bytes: 256 bits, if they are random.
    pub const BYTES_MIN: usize = 32;

    /// Takes a secret of at least [`BYTES_MIN`](Self::BYTES_MIN) bytes that a header can carry.
    ///
    /// # Errors
    /// [`Error::InternalSecretWeak`].
    pub fn new(secret: SecretString) -> Result<Self, Error> {
        let text = secret.expose_secret();
        let is_visible = text.bytes().all(|byte| (b'!'..=b'~').contains(&byte));
        if text.len() < Self::BYTES_MIN || !is_visible {
            return Err(Error::InternalSecretWeak);
        }
        Ok(Self(secret))
    }

    /// Whether `presented` is the secret: for routes that take one of their own in a header of their own.
    #[must_use]
    pub fn is(&self, presented: &[u8]) -> bool {
        equal(presented, self.0.expose_secret().as_bytes())
    }

    /// Who the platform is on a route that asks `permission`, when the request presents the secret; `None` when it presents
    /// none.
    pub(crate) fn judge<B>(
        &self,
        request: &http::Request<B>,
        asking: Option<&RequestContext>,
        permission: &'static str,
    ) -> Option<Result<RequestContext, ApiError>> {
        let presented = one_of(request.headers())?;
        let is_alone = request.extensions().get::<Refused>().is_none()
            && asking.is_none_or(|context| !context.principal.is_authenticated());
        Some(match presented {
            Some(presented) if is_alone => {
                if self.is(presented) {
                    Ok(platform(asking, permission))
                } else {
                    tracing::warn!(code = "unauthenticated", "a wrong internal secret was presented");
                    Err(CredentialRefused::Invalid.into())
                }
            }
            _ => Err(ambiguous()),
        })
    }
}

/// The one value, or `Some(None)` when there are several.
fn one_of(headers: &HeaderMap) -> Option<Option<&[u8]>> {
    let mut values = headers.get_all(X_INTERNAL_SECRET).iter();
    let first = values.next()?;
    Some(values.next().is_none().then(|| first.as_bytes()))
}

fn platform(asking: Option<&RequestContext>, permission: &str) -> RequestContext {
    let known = asking.cloned().unwrap_or_else(|| RequestContext::new(Principal::anonymous()));
    let principal = Principal { scopes: Some(vec![permission.to_owned()]), ..Principal::system() };
    RequestContext { principal, process: Some("internal-secret"), ..known }
}

/// Looks at every byte whatever it finds, so that time tells nothing but the length.
fn equal(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len()
        && std::hint::black_box(left.iter().zip(right).fold(0, |sum, (left, right)| sum | (left ^ right)))
            == 0
}

impl std::fmt::Debug for InternalSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InternalSecret([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_secrets_are_refused_and_none_is_shown() {
        for text in ["", "short", &"x".repeat(31), &format!("{} ", "x".repeat(40)), &"é".repeat(20)] {
            assert!(InternalSecret::new(SecretString::from(text)).is_err(), "{text}");
        }
        let secret = InternalSecret::new(SecretString::from("canary".repeat(6))).unwrap();
        assert!(!format!("{secret:?}").contains("canary"));
        assert!(secret.is("canary".repeat(6).as_bytes()));
        for other in ["", "canary", &"canary".repeat(7), &"Canary".repeat(6)] {
            assert!(!secret.is(other.as_bytes()), "{other}");
        }
    }
}
