use std::{fmt, sync::Arc};

use zeroize::Zeroizing;

/// 32 random bytes that all processes of an installation share, for keyed hashes (a pepper) and the like.
#[derive(Clone)]
pub(crate) struct PlatformSecret(Arc<Zeroizing<[u8; 32]>>);

impl PlatformSecret {
    /// A secret of these bytes.
    #[must_use]
    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Arc::new(Zeroizing::new(bytes)))
    }

    /// The bytes. Never log, store or send them.
    #[must_use]
    pub(crate) fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for PlatformSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlatformSecret([redacted])")
    }
}
