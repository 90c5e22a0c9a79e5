//! Small answers of other servers, over HTTPS.

use std::{net::IpAddr, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, Request, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Why there is no answer, in words for an operator.
#[derive(Debug)]
pub(crate) struct NoAnswer(pub(crate) String);

impl NoAnswer {
    fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// An answer, whole.
pub(crate) struct Answer {
    #[cfg_attr(
        not(feature = "remote-jwks"),
        expect(dead_code, reason = "only the age of keys is read from it")
    )]
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// Asks with `GET`. No redirect is followed, no proxy is asked, and no more is read than was said. Whoever asks bounds the
/// time.
#[derive(Clone)]
pub(crate) struct HttpsGetter {
    client: Client<HttpsConnector<HttpConnector>, Empty<&'static [u8]>>,
}

impl HttpsGetter {
    /// Servers' certificates must come from one of the authorities that browsers trust.
    pub(crate) fn new() -> Result<Self, NoAnswer> {
        Self::with_roots(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() })
    }

    /// Servers' certificates must come from one of the authorities in `pem`, and from no other.
    pub(crate) fn trusting_only(pem: &str) -> Result<Self, NoAnswer> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let added = certificate.map(|certificate| roots.add(certificate).is_ok());
            if !added.unwrap_or(false) {
                return Err(NoAnswer::new("a certificate of an authority cannot be read"));
            }
        }
        if roots.is_empty() {
            return Err(NoAnswer::new("no certificate of an authority is given"));
        }
        Self::with_roots(roots)
    }

    fn with_roots(roots: RootCertStore) -> Result<Self, NoAnswer> {
        // Named here, so that it does not matter what else the program links.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| NoAnswer::new("TLS cannot be used"))?
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
        // It is asked every few minutes: a connection kept for the next time would only grow stale.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Ok(Self { client })
    }

    /// The answer of `address`, of up to `bytes_max` bytes.
    pub(crate) async fn get(
        &self,
        address: Uri,
        headers: &[(HeaderName, &'static str)],
        bytes_max: usize,
    ) -> Result<Answer, NoAnswer> {
        let agent = concat!("stylobate-auth/", env!("CARGO_PKG_VERSION"));
        let request = Request::get(address).header(header::USER_AGENT, agent);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(name, *value));
        let request = request.body(Empty::new()).map_err(|_| NoAnswer::new("the request cannot be made"))?;
        let answer = self.client.request(request).await;
        let answer = answer.map_err(|error| NoAnswer::new(format!("no answer: {error}")))?;
        // A redirect is not followed: whom to ask is the operator's decision.
        if answer.status() != http::StatusCode::OK {
            return Err(NoAnswer::new(format!("the answer is {}", answer.status())));
        }
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, bytes_max).collect().await;
        let body = body.map_err(|_| NoAnswer::new("the answer is too long, or was cut off"))?;
        Ok(Answer { headers: head.headers, body: body.to_bytes().to_vec() })
    }
}

/// Reads an address to ask: `https`, or anything on this machine. Over plain http anybody on the way could give an answer
/// of their own.
pub(crate) fn address(text: &str) -> Result<Uri, NoAnswer> {
    let address: Uri = text.parse().map_err(|_| NoAnswer::new("the address is not valid"))?;
    if is_allowed(&address) {
        Ok(address)
    } else {
        Err(NoAnswer::new("the address is not https, nor on this machine"))
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine_only() {
        for text in [
            "https://id.example.test/.well-known/jwks.json",
            "https://10.0.0.1:8443/keys",
            "http://127.0.0.1:8001/.well-known/jwks.json",
            "http://localhost:8001/keys",
            "http://[::1]:8001/keys",
        ] {
            assert!(address(text).is_ok(), "{text}");
        }
        for text in [
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
            assert!(address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_authority_has_to_be_one() {
        for pem in ["", "secret", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(HttpsGetter::trusting_only(pem).is_err(), "{pem}");
        }
    }
}
