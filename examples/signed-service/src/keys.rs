use std::{env, fmt, fs, path::PathBuf};

use stylobate_auth::{FixedKeys, KeyHolder, RequestSigner, SigningAlgorithm, SigningKey, VerifyingKey};
use stylobate_core::ServiceId;
use uuid::Uuid;

use crate::Result;

/// The two services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    Orders,
    Billing,
}

impl Name {
    pub(crate) fn peer(self) -> Self {
        match self {
            Self::Orders => Self::Billing,
            Self::Billing => Self::Orders,
        }
    }

    pub(crate) fn address(self) -> &'static str {
        match self {
            Self::Orders => "127.0.0.1:8003",
            Self::Billing => "127.0.0.1:8004",
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Orders => "orders",
            Self::Billing => "billing",
        }
    }

    /// What a registry of services would know it by.
    pub(crate) fn id(self) -> ServiceId {
        ServiceId::from(Uuid::from_u128(self as u128 + 1))
    }

    /// Signs as this service, with the key that nobody else has.
    pub(crate) fn signer(self) -> Result<RequestSigner> {
        let pem = fs::read_to_string(folder().join(format!("{self}.pem")))?;
        let key = SigningKey::from_pem(SigningAlgorithm::EdDsa, &pem)?;
        // Both ends call the key by the service's name.
        Ok(RequestSigner::new(key.with_kid(self.as_str().parse()?))?)
    }

    /// Who may call this service: the other one, known by its public key alone.
    pub(crate) fn callers(self) -> Result<FixedKeys> {
        let peer = self.peer();
        let pem = fs::read_to_string(folder().join(format!("{peer}.pub.pem")))?;
        let key = VerifyingKey::from_pem(SigningAlgorithm::EdDsa, &pem)?.with_kid(peer.as_str().parse()?);
        let holder = KeyHolder { service: peer.id(), tenant: None, name: peer.as_str().into() };
        Ok(FixedKeys::new().with(key, holder)?)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn folder() -> PathBuf {
    env::var_os("KEYS_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from)
}
