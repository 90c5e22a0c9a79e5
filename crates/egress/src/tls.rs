use std::{net::IpAddr, sync::Arc};

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use url::Host;

use crate::Error;

/// TLS 1.2 and 1.3 with ring, named here so that it does not matter what else the program links.
pub(crate) fn connector(roots: RootCertStore) -> Result<TlsConnector, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::TlsFailed(Box::new(error)))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The authorities that browsers trust.
pub(crate) fn public_roots() -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }
}

/// The authorities in `pem`, and no other.
pub(crate) fn roots_of(pem: &str) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.map_err(|_| Error::Roots)?).map_err(|_| Error::Roots)?;
    }
    if roots.is_empty() { Err(Error::Roots) } else { Ok(roots) }
}

/// Agrees on TLS with whoever is at the other end, if that is `host`.
pub(crate) async fn agree(
    connector: &TlsConnector,
    host: &Host,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, Error> {
    let failed = |error| Error::TlsFailed(error);
    let name = match host {
        Host::Ipv4(address) => ServerName::from(IpAddr::V4(*address)),
        Host::Ipv6(address) => ServerName::from(IpAddr::V6(*address)),
        // Certificates name hosts without the last dot (RFC 6066 §3).
        Host::Domain(name) => {
            let name = name.strip_suffix('.').unwrap_or(name).to_owned();
            ServerName::try_from(name).map_err(|error| failed(Box::new(error)))?
        }
    };
    connector.connect(name, stream).await.map_err(|error| failed(Box::new(error)))
}
