use std::time::Duration;

/// How long to wait after something failed for the `failures`th time in a row (from 1): `base`, twice that, four times that …,
/// at most `max`, each between three quarters and five quarters of it so that what failed together does not come back together.
pub(crate) fn wait(base: Duration, max: Duration, failures: u32, jitter: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(31);
    let whole = base.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX)).min(max.max(base));
    whole.mul_f64(0.75 + jitter.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn waits_stay_within_a_quarter_of_what_they_double_to(failures in 1_u32..100, jitter in 0.0_f64..1.0) {
            let (base, max) = (Duration::from_secs(1), Duration::from_secs(3_600));
            let whole = base.saturating_mul(1 << (failures - 1).min(20)).min(max);
            let wait = wait(base, max, failures, jitter);
            prop_assert!(wait >= whole.mul_f64(0.749) && wait <= whole.mul_f64(1.251), "{wait:?} of {whole:?}");
        }
    }
}
