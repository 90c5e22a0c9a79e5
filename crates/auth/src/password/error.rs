use std::time::Duration;

/// Why a password operation could not be done. A wrong password is not among them: that is [`Verdict::Mismatch`](crate::Verdict).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// The password has more than [`Password::BYTES_MAX`](crate::Password::BYTES_MAX) bytes. At sign-in this is a failed attempt
    /// like any other; where a password is set, it is the violation `too_long`.
    #[error("the password is longer than 1024 bytes")]
    TooLong,
    /// The hash queue is full, or the deadline passed while waiting. Answer 503 with `Retry-After`.
    #[error("too many passwords are being checked")]
    Busy {
        /// When trying again makes sense; whole seconds, at least one.
        retry_after: Duration,
    },
    /// A configured minimum length is below what the standard asks for, or above what must stay possible.
    #[error("a minimum password length of `{asked}` is outside {floor} to {ceiling} characters")]
    MinimumOutOfRange {
        /// The length that was asked for, in characters.
        asked: usize,
        /// The lowest length allowed.
        floor: usize,
        /// The highest length allowed.
        ceiling: usize,
    },
    /// A configured minimum strength above what there is.
    #[error("a minimum password strength of `{asked}` is outside 0 to 4")]
    StrengthOutOfRange {
        /// The score that was asked for.
        asked: u8,
    },
    /// Hash parameters weaker than the floor, or costlier than anything sensible.
    #[error("{memory_kib} KiB with {passes} passes are outside the allowed password hash parameters")]
    ParamsOutOfRange {
        /// The memory that was asked for, in KiB.
        memory_kib: u32,
        /// The passes that were asked for.
        passes: u32,
    },
    /// The stored text is not an Argon2id hash in canonical PHC form. The row needs a new password.
    #[error("the stored password hash is malformed")]
    MalformedHash,
    /// The stored hash asks for more memory or work than
    /// [`HasherOptions::stored_memory_kib_max`](crate::HasherOptions::stored_memory_kib_max) allows, and was not run.
    #[error("the stored password hash asks for {memory_kib} KiB and {passes} passes")]
    HashTooCostly {
        /// The memory it asks for, in KiB.
        memory_kib: u32,
        /// The passes it asks for.
        passes: u32,
    },
    /// The stored text is of a kind that is not verified here: no hash at all, or one of another system.
    #[error("the stored password hash is of an unknown kind")]
    UnknownHash,
    /// The stored hash of a replaced system asks for more work than is sensible, and was not run.
    #[error("the stored {scheme} hash asks for a cost of {cost}")]
    LegacyHashTooCostly {
        /// What it was made with.
        scheme: &'static str,
        /// bcrypt's cost, or the iterations of PBKDF2.
        cost: u32,
    },
    /// The stored hash is keyed with a secret that is not configured.
    #[error("version {version} of the password pepper is missing")]
    PepperMissing {
        /// The version it names.
        version: u16,
    },
    /// What should be versions and secrets ([`PasswordPeppers::parse`](crate::PasswordPeppers::parse)) is not.
    #[error("not a list of `version:secret` with versions from 1 and secrets of at least 32 bytes in base64")]
    PepperInvalid,
    /// The system has no memory or no thread left for the hash.
    #[error("no memory or thread left for password hashing")]
    Exhausted,
    /// The system gave no random bytes for a salt.
    #[error("the system gave no random bytes")]
    Randomness,
    /// The hash panicked.
    #[error("the password hash was stopped")]
    Stopped,
}

impl PasswordError {
    /// A stable code programs may match on.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLong => "password_too_long",
            Self::Busy { .. } => "password_hashing_busy",
            Self::MinimumOutOfRange { .. } => "password_minimum_out_of_range",
            Self::StrengthOutOfRange { .. } => "password_strength_out_of_range",
            Self::ParamsOutOfRange { .. } => "password_params_out_of_range",
            Self::MalformedHash => "password_hash_malformed",
            Self::HashTooCostly { .. } | Self::LegacyHashTooCostly { .. } => "password_hash_too_costly",
            Self::UnknownHash => "password_hash_unknown",
            Self::PepperMissing { .. } => "password_pepper_missing",
            Self::PepperInvalid => "password_pepper_invalid",
            Self::Exhausted => "password_hashing_exhausted",
            Self::Randomness => "password_randomness",
            Self::Stopped => "password_hashing_stopped",
        }
    }
}
