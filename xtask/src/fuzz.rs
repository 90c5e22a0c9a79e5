//! `cargo xtask fuzz`: random input to everything that parses.
//!
//! The targets are property tests whose names begin with `fuzz_`, so that `cargo xtask test` runs them too, with few
//! cases. Coverage-guided fuzzing would need a nightly compiler, which a fresh machine does not have.

use crate::test::as_cargo;
use crate::{Result, install, process};
use std::time::{Duration, Instant};

/// Cases per test in the first round.
const FIRST_ROUND: u64 = 10_000;
/// How long a round should take at least: shorter ones are mostly process starts.
const ROUND: Duration = Duration::from_secs(30);

pub fn run(minutes: u64) -> Result {
    install::compiler()?;
    let nextest = install::NEXTEST.path()?;
    let end = Instant::now() + Duration::from_secs(minutes.saturating_mul(60));
    let mut cases = FIRST_ROUND;
    let (mut rounds, mut total) = (0, 0_u64);
    while rounds == 0 || Instant::now() < end {
        let begun = Instant::now();
        let seed = u64::from_str_radix(&process::random_hex(8)?, 16)?;
        eprintln!("xtask: round {}: PROPTEST_CASES={cases} PROPTEST_RNG_SEED={seed}", rounds + 1);
        let mut round = as_cargo(nextest.clone());
        round.args(["nextest", "run", "--workspace", "--all-features", "--locked", "--profile", "fuzz"]);
        round.args(["-E", "test(/(^|::)fuzz_/)"]);
        round.env("PROPTEST_CASES", cases.to_string()).env("PROPTEST_RNG_SEED", seed.to_string());
        process::run(&mut round)?;
        rounds += 1;
        total = total.saturating_add(cases);
        cases = next(cases, begun.elapsed());
    }
    println!("fuzz: {total} cases of each target in {rounds} rounds, no finding");
    Ok(())
}

/// Rounds that were too short become longer; the first one may have spent its time compiling.
fn next(cases: u64, took: Duration) -> u64 {
    if took < ROUND { cases.saturating_mul(2) } else { cases }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_rounds_grow_and_long_ones_stay() {
        assert_eq!(next(10, Duration::from_secs(1)), 20);
        assert_eq!(next(10, Duration::from_secs(40)), 10);
        assert_eq!(next(u64::MAX, Duration::ZERO), u64::MAX);
    }
}
