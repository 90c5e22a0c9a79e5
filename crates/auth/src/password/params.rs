use super::PasswordError;

/// What one new hash costs: Argon2id with one lane, 16 bytes of salt and 32 bytes of output.
///
/// The default is 19,456 KiB (19 MiB) and 2 passes, the floor of OWASP ASVS 5.0 appendix C: about 20 ms on a 2020s core. There is
/// one lane always: lanes are computed one after the other here, so more of them would only help whoever guesses in parallel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashParams {
    memory_kib: u32,
    passes: u32,
}

impl HashParams {
    /// The lowest, and default, memory cost in KiB.
    pub const MEMORY_KIB_MIN: u32 = 19 * 1024;
    /// The highest memory cost in KiB (1 GiB): past it, one sign-in is an outage.
    pub const MEMORY_KIB_MAX: u32 = 1024 * 1024;
    /// The lowest, and default, number of passes.
    pub const PASSES_MIN: u32 = 2;
    /// The highest number of passes.
    pub const PASSES_MAX: u32 = 32;
    /// The number of lanes.
    pub(super) const LANES: u32 = 1;
    /// Bytes of salt (RFC 9106 §4).
    pub const SALT_BYTES: usize = 16;
    /// Bytes of output (RFC 9106 §4).
    pub const OUTPUT_BYTES: usize = 32;

    /// Parameters at least as strong as the default in each of the two costs.
    ///
    /// # Errors
    /// [`PasswordError::ParamsOutOfRange`] outside the ranges of the constants above.
    pub fn new(memory_kib: u32, passes: u32) -> Result<Self, PasswordError> {
        let allowed = (Self::MEMORY_KIB_MIN..=Self::MEMORY_KIB_MAX).contains(&memory_kib)
            && (Self::PASSES_MIN..=Self::PASSES_MAX).contains(&passes);
        if allowed {
            Ok(Self { memory_kib, passes })
        } else {
            Err(PasswordError::ParamsOutOfRange { memory_kib, passes })
        }
    }

    /// The memory cost in KiB.
    #[must_use]
    pub fn memory_kib(&self) -> u32 {
        self.memory_kib
    }

    /// The number of passes over the memory.
    #[must_use]
    pub fn passes(&self) -> u32 {
        self.passes
    }

    /// The parameters as the algorithm takes them, with the length of the output.
    pub(super) fn argon2(&self) -> Result<argon2::Params, PasswordError> {
        let Self { memory_kib, passes } = *self;
        argon2::Params::new(memory_kib, passes, Self::LANES, Some(Self::OUTPUT_BYTES))
            .map_err(|_| PasswordError::ParamsOutOfRange { memory_kib, passes })
    }
}

impl Default for HashParams {
    fn default() -> Self {
        Self { memory_kib: Self::MEMORY_KIB_MIN, passes: Self::PASSES_MIN }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // A1: m >= 19456 KiB, t >= 2, p = 1.
    #[test]
    fn the_default_is_the_floor_and_weaker_is_refused() {
        let default = HashParams::default();
        assert_eq!((default.memory_kib(), default.passes(), HashParams::LANES), (19_456, 2, 1));
        assert_eq!(HashParams::new(19_456, 2), Ok(default));
        assert!(HashParams::new(65_536, 3).is_ok());
        for (memory_kib, passes) in
            [(19_455, 2), (19_456, 1), (0, 0), (12_288, 3), (u32::MAX, 2), (19_456, u32::MAX)]
        {
            assert_eq!(
                HashParams::new(memory_kib, passes),
                Err(PasswordError::ParamsOutOfRange { memory_kib, passes })
            );
        }
    }
}
