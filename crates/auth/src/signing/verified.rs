use std::sync::Arc;

use chrono::{DateTime, Utc};
use stylobate_core::{Assurance, Credential, Principal, Subject};

use super::{
    ContentDigest, HeldKey, KeyHolder, RequestNonce, SignatureComponent, SignatureFault, legacy,
    window::Window,
};

/// How a request was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignatureProfile {
    /// RFC 9421.
    Rfc9421,
    /// As the replaced systems did: the query is none, and neither authority nor fields are covered.
    Legacy,
}

/// A request whose signature is good for what came before its body.
///
/// It proves nothing yet: [`RequestVerifier::verify_body`](crate::RequestVerifier::verify_body) says whether the body is the signed one, and the request the first of
/// its signature.
#[derive(Debug)]
#[must_use = "a head alone proves nothing"]
pub struct SignedHead {
    pub(super) verified: VerifiedRequest,
    pub(super) window: Window,
    pub(super) nonce: RequestNonce,
    pub(super) body: BodyProof,
}

/// How the body is held against the signature.
#[derive(Debug)]
pub(super) enum BodyProof {
    /// The signature covers this digest.
    Digest(ContentDigest),
    /// The signature is over this text and the body's digest behind it.
    Legacy { held: Arc<HeldKey>, head: String, mac: [u8; 32] },
}

/// What a good signature proves.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifiedRequest {
    /// Who signed.
    pub holder: KeyHolder,
    /// With which key.
    pub key_id: Arc<str>,
    /// How.
    pub profile: SignatureProfile,
    /// When, in whole seconds, by the signer's clock.
    pub created_at: DateTime<Utc>,
    /// What is covered: fields that are not may have been changed on the way.
    pub covered: Arc<[SignatureComponent]>,
}

impl VerifiedRequest {
    /// Who acts: the service that signed.
    #[must_use]
    pub fn principal(&self) -> Principal {
        Principal {
            subject: Subject::Service { id: self.holder.service },
            tenant: self.holder.tenant,
            session: None,
            scopes: None,
            assurance: Assurance::default(),
            impersonator: None,
            credential: Credential::Signature,
        }
    }
}

impl BodyProof {
    pub(super) fn hold_against(&self, body: &[u8]) -> Result<(), SignatureFault> {
        match self {
            Self::Digest(digest) if digest.is_of(body) => Ok(()),
            Self::Digest(_) => Err(SignatureFault::DigestWrong),
            Self::Legacy { held, head, mac } if held.key.verify(legacy::text(head, body).as_bytes(), mac) => {
                Ok(())
            }
            Self::Legacy { .. } => Err(SignatureFault::SignatureWrong),
        }
    }
}
