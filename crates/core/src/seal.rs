use crate::BoxFuture;

/// Sealed bytes could not be made or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The bytes were not sealed by this key for this context, or were changed since.
    #[error("the sealed value does not open with this key and context")]
    Mismatch,
    /// The key cannot be used at the moment.
    #[error("the sealing key is unavailable: {0}")]
    Unavailable(String),
}

/// Seals small values at rest with authenticated encryption.
///
/// `context` is bound to the value as additional data: a value sealed for one row, column or tenant does not open for another.
pub trait Sealer: Send + Sync {
    /// Seals `plaintext` for `context`.
    ///
    /// # Errors
    /// [`SealError::Unavailable`] when the key cannot be used.
    fn seal<'a>(
        &'a self,
        plaintext: &'a [u8],
        context: &'a [u8],
    ) -> BoxFuture<'a, Result<Vec<u8>, SealError>>;

    /// Opens what [`seal`](Self::seal) made for the same `context`.
    ///
    /// # Errors
    /// [`SealError::Mismatch`] for anything else, [`SealError::Unavailable`] when the key cannot be used.
    fn open<'a>(&'a self, sealed: &'a [u8], context: &'a [u8]) -> BoxFuture<'a, Result<Vec<u8>, SealError>>;
}
