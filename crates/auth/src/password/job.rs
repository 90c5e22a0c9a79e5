//! What the threads of a hasher do.

#[cfg(feature = "legacy-hashes")]
use std::sync::Arc;

use argon2::password_hash::phc::{Output, Salt};
use argon2::{Algorithm, Argon2, Version};

#[cfg(feature = "legacy-hashes")]
use super::legacy::LegacyHash;
use super::memory::Memory;
use super::peppers::Pepper;
use super::{ContextWords, HashParams, Password, PasswordError, PasswordPolicy, PolicyViolation};

/// One piece of work.
pub(super) enum Job {
    /// One run of Argon2id.
    Argon2id { password: Password, params: argon2::Params, salt: Salt, pepper: Option<Pepper> },
    /// One run of what a replaced system used.
    #[cfg(feature = "legacy-hashes")]
    Legacy { password: Password, hash: Arc<LegacyHash> },
    /// A judgement that takes longer than a reactor may be held up.
    Judge { policy: Box<PasswordPolicy>, password: Password, about: ContextWords },
}

/// What came of it.
pub(super) enum Answer {
    Output(Output),
    Violations(Vec<PolicyViolation>),
}

impl Answer {
    /// The output of a hash.
    pub(super) fn into_output(self) -> Result<Output, PasswordError> {
        match self {
            Self::Output(output) => Ok(output),
            // Only judgements end in violations.
            Self::Violations(_) => Err(PasswordError::Stopped),
        }
    }
}

pub(super) fn work(job: Job, memory: &mut Memory<'_>) -> Result<Answer, PasswordError> {
    match job {
        Job::Argon2id { password, params, salt, pepper } => {
            argon2id(&password, params, &salt, pepper.as_ref(), memory).map(Answer::Output)
        }
        #[cfg(feature = "legacy-hashes")]
        Job::Legacy { password, hash } => hash.compute(&password, memory).map(Answer::Output),
        Job::Judge { policy, password, about } => {
            Ok(Answer::Violations(policy.check(&password, &about).err().unwrap_or_default()))
        }
    }
}

/// RFC 9106 §3, version 0x13. The length of the output stands in the parameters.
fn argon2id(
    password: &Password,
    params: argon2::Params,
    salt: &Salt,
    pepper: Option<&Pepper>,
    memory: &mut Memory<'_>,
) -> Result<Output, PasswordError> {
    let blocks = memory.blocks(params.block_count())?;
    let bytes = params.output_len().unwrap_or(HashParams::OUTPUT_BYTES);
    let argon2 = match pepper {
        Some(pepper) => Argon2::new_with_secret(pepper.expose(), Algorithm::Argon2id, Version::V0x13, params)
            .map_err(|_| PasswordError::PepperInvalid)?,
        None => Argon2::new(Algorithm::Argon2id, Version::V0x13, params),
    };
    let mut output = [0; Output::MAX_LENGTH];
    let output = output.get_mut(..bytes).ok_or(PasswordError::MalformedHash)?;
    argon2
        .hash_password_into_with_memory(password.expose_secret().as_bytes(), salt, output, blocks)
        .map_err(|_| PasswordError::MalformedHash)?;
    Output::new(output).map_err(|_| PasswordError::MalformedHash)
}
