//! Certificates: those that are trusted, and those that are not.

use std::{net::SocketAddr, sync::Arc};

use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use stylobate_egress::{AddressPolicy, Client, ClientBuilder, Error, Request, Target, http::StatusCode};
use stylobate_testkit::certificates::{AUTHORITY, CERTIFICATE, KEY};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use crate::world::{Server, Told, limits, loopback};

async fn server() -> SocketAddr {
    let certificates = CertificateDer::pem_slice_iter(CERTIFICATE.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut read = Vec::new();
            while !read.windows(4).any(|end| end == b"\r\n\r\n") {
                if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
                    break;
                }
            }
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
            let _ = stream.shutdown().await;
        }
    });
    address
}

fn builder() -> ClientBuilder {
    Client::builder(loopback()).limits(limits()).lookup(Told::new(&[&["127.0.0.1"]]))
}

async fn ask(client: ClientBuilder, url: &str) -> Result<StatusCode, Error> {
    let client = client.build().unwrap();
    let target = Target::parse(url, client.policy()).unwrap();
    client.send(Request::get(target)).await.map(|answer| answer.status)
}

#[tokio::test]
async fn a_server_of_a_trusted_authority_is_asked() {
    let port = server().await.port();
    for host in ["receiver.test", "RECEIVER.test", "receiver.test.", "127.0.0.1"] {
        let client = builder().trust_only(AUTHORITY).unwrap();
        let status = ask(client, &format!("https://{host}:{port}/")).await.unwrap();
        assert_eq!(status, StatusCode::NO_CONTENT, "{host}");
    }
}

#[tokio::test]
async fn a_server_of_another_authority_is_refused() {
    let url = format!("https://receiver.test:{}/", server().await.port());
    assert_eq!(ask(builder(), &url).await.unwrap_err().code(), "egress_tls_failed");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let port = server().await.port();
    for host in ["other.test", "sub.receiver.test", "127.0.0.2"] {
        let client = builder().trust_only(AUTHORITY).unwrap();
        let refused = ask(client, &format!("https://{host}:{port}/")).await.unwrap_err();
        // Nobody listens on the second address of loopback alone.
        assert!(
            matches!(refused.code(), "egress_tls_failed" | "egress_connect_failed"),
            "{host}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn a_server_without_tls_is_refused() {
    let server = Server::answering("200 OK", "", "").await;
    let refused = ask(builder(), &format!("https://{}/", server.address)).await.unwrap_err();
    assert!(matches!(refused.code(), "egress_tls_failed" | "egress_timeout"), "{refused:?}");
}

#[test]
fn an_authority_has_to_be_one() {
    for pem in ["", "secret", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let refused = Client::builder(AddressPolicy::public()).trust_only(pem).unwrap_err();
        assert_eq!(refused.code(), "egress_roots_invalid", "{pem}");
    }
}
