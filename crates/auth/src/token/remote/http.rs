use std::{fmt, time::Duration};

use http::{Uri, header};
use stylobate_core::BoxFuture;

use super::{FetchedJwks, JwksSource, JwksUnavailable};
use crate::https::{self, HttpsGetter, NoAnswer};

/// The largest answer: a hundred RSA keys of 4,096 bits.
const BYTES_MAX: usize = 128 * 1_024;

/// A key set at an address, usually `https://issuer/.well-known/jwks.json`.
///
/// Only `https`, except on a loopback address. No redirect is followed, no proxy is asked, no more than 128 KiB are read.
#[derive(Clone)]
pub struct HttpJwks {
    address: Uri,
    getter: HttpsGetter,
}

impl From<NoAnswer> for JwksUnavailable {
    fn from(NoAnswer(reason): NoAnswer) -> Self {
        Self::new(reason)
    }
}

impl HttpJwks {
    /// The set at `address`. The server's certificate must come from one of the authorities that browsers trust.
    ///
    /// # Errors
    /// [`JwksUnavailable`] when the address is none, or neither `https` nor on this machine.
    pub fn new(address: &str) -> Result<Self, JwksUnavailable> {
        Ok(Self { address: https::address(address)?, getter: HttpsGetter::new()? })
    }

    /// The set at `address`. The server's certificate must come from one of the authorities in `pem`, and from no other:
    /// for issuers inside an organisation.
    ///
    /// # Errors
    /// As [`new`](Self::new), and when `pem` holds no certificate.
    pub fn trusting_only(address: &str, pem: &str) -> Result<Self, JwksUnavailable> {
        Ok(Self { address: https::address(address)?, getter: HttpsGetter::trusting_only(pem)? })
    }

    async fn get(&self) -> Result<FetchedJwks, JwksUnavailable> {
        let accept = [(header::ACCEPT, "application/jwk-set+json, application/json")];
        let answer = self.getter.get(self.address.clone(), &accept, BYTES_MAX).await?;
        let max_age = answer.headers.get(header::CACHE_CONTROL);
        let max_age = max_age.and_then(|value| max_age_of(value.to_str().ok()?));
        Ok(FetchedJwks { json: answer.body, max_age })
    }
}

impl JwksSource for HttpJwks {
    fn fetch(&self) -> BoxFuture<'_, Result<FetchedJwks, JwksUnavailable>> {
        Box::pin(self.get())
    }
}

impl fmt::Debug for HttpJwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpJwks").field("address", &self.address).finish_non_exhaustive()
    }
}

/// `max-age` of `Cache-Control` (RFC 9111 §5.2.2.1).
fn max_age_of(value: &str) -> Option<Duration> {
    let seconds = value.split(',').find_map(|part| {
        let (name, seconds) = part.trim().split_once('=')?;
        name.eq_ignore_ascii_case("max-age").then_some(seconds)
    })?;
    seconds.trim_matches('"').parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_is_read_from_among_other_directives() {
        for (value, seconds) in [
            ("max-age=300", Some(300)),
            ("public, Max-Age=60, must-revalidate", Some(60)),
            ("s-maxage=9, max-age=\"7\"", Some(7)),
            ("no-store", None),
            ("max-age=soon", None),
            ("max-age=-1", None),
        ] {
            assert_eq!(max_age_of(value), seconds.map(Duration::from_secs), "{value}");
        }
    }
}
