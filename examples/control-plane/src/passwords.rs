//! What an operator does about passwords: the index of breached ones, and what hashing may cost on this machine.

use std::{
    fs::File,
    io::BufReader,
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::{Args, Subcommand};
use stylobate::{
    Platform,
    auth::{BreachIndex, HashParams, HasherOptions, Password, PasswordError, PasswordHasher},
};

use crate::{commands::Failed, refused::Refused};

#[derive(Subcommand)]
pub(crate) enum BreachIndexCommand {
    /// Makes an index from a list of SHA-1 hashes, one `HASH:COUNT` a line in any order, as "Have I Been Pwned" publishes it.
    Build {
        /// The list.
        file: PathBuf,
        /// The index; the list's name with `.idx` when left out.
        #[arg(long)]
        output: Option<PathBuf>,
        /// Leaves out passwords that were seen less often.
        #[arg(long, default_value_t = 1)]
        count_min: u64,
    },
    /// Reads an index whole and holds it against its checksums.
    Verify {
        /// The index.
        file: PathBuf,
    },
}

#[derive(Args)]
pub(crate) struct Calibration {
    /// How long one hash may take while nothing else runs, in milliseconds. At 100, a core serves ten sign-ins a second at best.
    #[arg(long, default_value_t = 100)]
    target_ms: u64,
    /// How much memory all hashes at once may take, in MiB.
    #[arg(long, default_value_t = 512)]
    memory_mib: u32,
}

pub(crate) fn breach_index(command: BreachIndexCommand) -> Result<String, Failed> {
    match command {
        BreachIndexCommand::Build { file, output, count_min } => {
            let target = output.unwrap_or_else(|| {
                let mut name = file.clone().into_os_string();
                name.push(".idx");
                name.into()
            });
            build(&file, &target, count_min)
        }
        BreachIndexCommand::Verify { file } => {
            let index = BreachIndex::open(&file)?;
            index.verify()?;
            Ok(format!("{} is sound: {} passwords", file.display(), index.entries()))
        }
    }
}

fn build(list: &Path, target: &Path, count_min: u64) -> Result<String, Failed> {
    let unusable = |source| Failed::File { path: list.to_owned(), source };
    let reader = BufReader::with_capacity(1 << 20, File::open(list).map_err(unusable)?);
    let built = BreachIndex::build(reader, target, count_min)?;
    let (entries, lines) = (built.entries, built.lines);
    Ok(format!(
        "{}: {entries} passwords of {lines} lines; PASSWORD_BREACH_INDEX names it to the server",
        target.display()
    ))
}

/// One line for each kind of stored hash: how many, what they were made with, which pepper keys them.
pub(crate) async fn hashes(platform: &Platform) -> Result<String, Failed> {
    let counts = platform.auth().count_password_hashes().await.map_err(Refused::from)?;
    let mut lines = vec![format!("{:>9}  {:<14} {:<15} pepper", "hashes", "kind", "cost")];
    for kind in &counts.0 {
        let cost = kind.cost.map_or_else(String::new, |(memory, passes)| format!("{memory} KiB x {passes}"));
        let pepper = kind.pepper_version.map_or_else(|| "none".to_owned(), |version| version.to_string());
        let unusable = kind.unusable.map_or_else(String::new, |code| format!("  cannot be verified: {code}"));
        lines.push(format!("{:>9}  {:<14} {cost:<15} {pepper}{unusable}", kind.count, kind.scheme));
    }
    lines.push(format!("{:>9}  in all", counts.total()));
    Ok(lines.join("\n"))
}

/// What is tried, in MiB: the floor, and up to the ceiling in steps of a third to a half.
const MEMORY_MIB: [u32; 12] = [19, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024];
/// Hashes of one measurement; the one in the middle counts.
const RUNS: usize = 5;

/// Measures Argon2id and recommends what fits: as much memory as the target and the budget allow, because memory is what guessing
/// hardware lacks (RFC 9106 §4), then as many passes as are left.
pub(crate) async fn calibrate(calibration: &Calibration) -> Result<String, Failed> {
    let target = Duration::from_millis(calibration.target_ms);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let budget_kib = u64::from(calibration.memory_mib) * 1024 / cores as u64;
    let mut table =
        vec![format!("{:>11} {:>6} {:>9} {:>22}", "memory", "passes", "one hash", "sign-ins/s, at best")];
    let mut row = |params: HashParams, took: Duration| {
        // One hash had the memory of the machine to itself; as many at once as there are cores share it.
        let per_second = cores as f64 / took.as_secs_f64();
        table.push(format!(
            "{:>7} KiB {:>6} {:>6.1} ms {per_second:>22.0}",
            params.memory_kib(),
            params.passes(),
            took.as_secs_f64() * 1_000.0
        ));
    };
    let floor = HashParams::default();
    let (mut best, mut best_took) = (floor, measure(floor).await?);
    row(best, best_took);
    for memory_kib in MEMORY_MIB.map(|mib| mib * 1024).into_iter().skip(1) {
        if best_took > target || u64::from(memory_kib) > budget_kib {
            break;
        }
        let params = HashParams::new(memory_kib, HashParams::PASSES_MIN)?;
        let took = measure(params).await?;
        row(params, took);
        if took > target {
            break;
        }
        (best, best_took) = (params, took);
    }
    let per_pass = best_took.as_secs_f64() / f64::from(best.passes());
    let affordable = (target.as_secs_f64() / per_pass).floor().min(f64::from(HashParams::PASSES_MAX)) as u32;
    for passes in (HashParams::PASSES_MIN + 1..=affordable).rev() {
        let params = HashParams::new(best.memory_kib(), passes)?;
        let took = measure(params).await?;
        row(params, took);
        if took <= target {
            (best, best_took) = (params, took);
            break;
        }
    }
    let mut text = table.join("\n");
    if best_took > target {
        text.push_str("\n\nThe floor takes longer than the target; nothing weaker is recommended.");
    }
    let (memory_kib, passes) = (best.memory_kib(), best.passes());
    text.push_str(&format!(
        "\n\nAt best: {cores} cores times the time of one hash alone. Hashes at once wait for the same memory, so that a machine does less; \
         `cargo xtask bench login` measures it."
    ));
    Ok(format!("{text}\n\nPASSWORD_MEMORY_KIB={memory_kib}\nPASSWORD_PASSES={passes}"))
}

/// How long one hash takes while nothing else runs.
async fn measure(params: HashParams) -> Result<Duration, PasswordError> {
    let hasher = PasswordHasher::new(HasherOptions::default().params(params).permits(NonZeroU32::MIN));
    let password = Password::new("quarry moss lantern")?;
    // The first one also pays for fresh memory.
    hasher.hash(password.clone()).await?;
    let mut times = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let begun = Instant::now();
        hasher.hash(password.clone()).await?;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    Ok(times.get(RUNS / 2).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_weaker_than_the_floor_is_recommended() {
        let calibration = Calibration { target_ms: 0, memory_mib: 0 };
        let text = calibrate(&calibration).await.ok().unwrap();
        assert!(text.ends_with("PASSWORD_MEMORY_KIB=19456\nPASSWORD_PASSES=2"), "{text}");
        assert!(text.contains("longer than the target"), "{text}");
    }
}
