use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use http::{Request, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use stylobate_core::BoxFuture;

use super::{FetchedJwks, JwksSource, JwksUnavailable};

/// The largest answer: a hundred RSA keys of 4,096 bits.
const BYTES_MAX: usize = 128 * 1_024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A key set at an address, usually `https://issuer/.well-known/jwks.json`.
///
/// Only `https`, except on a loopback address. No redirect is followed, no proxy is asked, no more than 128 KiB are read.
#[derive(Clone)]
pub struct HttpJwks {
    address: Uri,
    client: Client<HttpsConnector<HttpConnector>, Empty<&'static [u8]>>,
}

impl HttpJwks {
    /// The set at `address`. The server's certificate must come from one of the authorities that browsers trust.
    ///
    /// # Errors
    /// [`JwksUnavailable`] when the address is none, or neither `https` nor on this machine.
    pub fn new(address: &str) -> Result<Self, JwksUnavailable> {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        Self::with_roots(address, roots)
    }

    /// The set at `address`. The server's certificate must come from one of the authorities in `pem`, and from no other:
    /// for issuers inside an organisation.
    ///
    /// # Errors
    /// As [`new`](Self::new), and when `pem` holds no certificate.
    pub fn trusting_only(address: &str, pem: &str) -> Result<Self, JwksUnavailable> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let added = certificate.map(|certificate| roots.add(certificate).is_ok());
            if !added.unwrap_or(false) {
                return Err(JwksUnavailable::new("a certificate of an authority cannot be read"));
            }
        }
        if roots.is_empty() {
            return Err(JwksUnavailable::new("no certificate of an authority is given"));
        }
        Self::with_roots(address, roots)
    }

    fn with_roots(address: &str, roots: RootCertStore) -> Result<Self, JwksUnavailable> {
        let address: Uri =
            address.parse().map_err(|_| JwksUnavailable::new("the address of the key set is not valid"))?;
        if !is_allowed(&address) {
            return Err(JwksUnavailable::new("the address of a key set is https, except on this machine"));
        }
        // Named here, so that it does not matter what else the program links.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| JwksUnavailable::new("TLS cannot be used"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        // A fetch every few minutes: a connection kept for the next one would only grow stale.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Ok(Self { address, client })
    }

    async fn get(&self) -> Result<FetchedJwks, JwksUnavailable> {
        let request = Request::get(self.address.clone())
            .header(header::ACCEPT, "application/jwk-set+json, application/json")
            .header(header::USER_AGENT, concat!("stylobate-auth/", env!("CARGO_PKG_VERSION")))
            .body(Empty::new())
            .map_err(|_| JwksUnavailable::new("the request cannot be made"))?;
        let answer = self.client.request(request).await;
        let answer = answer.map_err(|error| JwksUnavailable::new(format!("no answer: {error}")))?;
        // A redirect is not followed: where keys come from is the operator's decision.
        if answer.status() != http::StatusCode::OK {
            return Err(JwksUnavailable::new(format!("the answer is {}", answer.status())));
        }
        let max_age =
            answer.headers().get(header::CACHE_CONTROL).and_then(|value| max_age(value.to_str().ok()?));
        let body = Limited::new(answer.into_body(), BYTES_MAX).collect().await;
        let body = body.map_err(|_| JwksUnavailable::new("the answer is too long, or was cut off"))?;
        Ok(FetchedJwks { json: body.to_bytes().to_vec(), max_age })
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

/// Over plain http anybody on the way could put keys of their own in the place of the issuer's.
fn is_allowed(address: &Uri) -> bool {
    let Some(host) = address.host() else { return false };
    let has_user = address.authority().is_some_and(|authority| authority.as_str().contains('@'));
    let is_loopback = || {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    };
    match address.scheme_str() {
        Some("https") => !has_user,
        Some("http") => !has_user && is_loopback(),
        _ => false,
    }
}

/// `max-age` of `Cache-Control` (RFC 9111 §5.2.2.1).
fn max_age(value: &str) -> Option<Duration> {
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
    fn plain_http_is_for_this_machine_only() {
        for address in [
            "https://id.example.test/.well-known/jwks.json",
            "https://10.0.0.1:8443/keys",
            "http://127.0.0.1:8001/.well-known/jwks.json",
            "http://localhost:8001/keys",
            "http://[::1]:8001/keys",
        ] {
            assert!(HttpJwks::new(address).is_ok(), "{address}");
        }
        for address in [
            "http://id.example.test/keys",
            "http://10.0.0.1/keys",
            "http://127.0.0.1.evil.test/keys",
            "http://localhost.evil.test/keys",
            "http://localhost@evil.test/keys",
            "http://user:word@127.0.0.1/keys",
            "ftp://127.0.0.1/keys",
            "file:///etc/keys",
            "/keys",
            "",
        ] {
            assert!(HttpJwks::new(address).is_err(), "{address}");
        }
    }

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
            assert_eq!(max_age(value), seconds.map(Duration::from_secs), "{value}");
        }
    }

    #[test]
    fn an_authority_has_to_be_one() {
        let address = "https://id.example.test/keys";
        for pem in ["", "secret", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(HttpJwks::trusting_only(address, pem).is_err(), "{pem}");
        }
    }
}
