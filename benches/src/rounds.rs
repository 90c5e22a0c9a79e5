//! Two contenders measured in turns, and what the turns say.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use serde_json::json;

use crate::{
    Result,
    report::{Goal, Report},
};

/// What one contender did in one round.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Sample {
    /// Requests (or hashes) per second.
    pub(crate) rate: f64,
    /// CPU time of the measured process per request; of its database server none.
    pub(crate) cpu_us: Option<f64>,
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
}

impl Sample {
    /// What `count` things came to that this process has done since `begun`, when its CPU time was `cpu`.
    pub(crate) fn since(begun: Instant, cpu: Duration, count: usize) -> Self {
        let (took, cpu) = (begun.elapsed(), cpu_time().saturating_sub(cpu));
        Self {
            rate: count as f64 / took.as_secs_f64(),
            cpu_us: Some(cpu.as_secs_f64() * 1e6 / count as f64),
            p50_us: None,
            p99_us: None,
        }
    }
}

/// CPU time of this process, all threads.
pub(crate) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Us and the peer, round by round.
pub(crate) struct Rounds {
    ours: Vec<Sample>,
    peers: Vec<Sample>,
}

/// How many rounds: `STYLOBATE_ROUNDS`, else `usual`.
pub(crate) fn count(usual: usize) -> usize {
    let named = std::env::var("STYLOBATE_ROUNDS").ok().and_then(|text| text.parse().ok());
    named.unwrap_or(usual).max(1)
}

impl Rounds {
    /// One round of each that does not count, then `rounds` in turns.
    pub(crate) fn measure(
        rounds: usize,
        mut ours: impl FnMut() -> Result<Sample>,
        mut peer: impl FnMut() -> Result<Sample>,
    ) -> Result<Self> {
        ours()?;
        peer()?;
        let mut measured = Self { ours: Vec::new(), peers: Vec::new() };
        for _ in 0..rounds {
            measured.ours.push(ours()?);
            measured.peers.push(peer()?);
        }
        Ok(measured)
    }

    /// Our rate as a part of the peer's: the median over the rounds.
    pub(crate) fn ratio(&self) -> f64 {
        median(self.ours.iter().zip(&self.peers).map(|(ours, peer)| ours.rate / peer.rate))
    }

    /// Our rate: the median over the rounds.
    pub(crate) fn our_rate(&self) -> f64 {
        median(self.ours.iter().map(|sample| sample.rate))
    }

    /// What ninety-nine of a hundred of ours stay below: the median over the rounds. Zero where that was not measured.
    pub(crate) fn our_p99_us(&self) -> f64 {
        median(self.ours.iter().filter_map(|sample| sample.p99_us))
    }

    /// Prints both with their ratio, and holds it to `least`, if there is one.
    pub(crate) fn report(&self, report: &mut Report, what: &str, peer: &str, least: Option<f64>) {
        let row = |name: &str, samples: &[Sample]| {
            let cell = |pick: fn(&Sample) -> Option<f64>| {
                let values: Option<Vec<f64>> = samples.iter().map(pick).collect();
                values.map_or("-".to_owned(), |values| format!("{:.1}", median(values.into_iter())))
            };
            vec![
                name.to_owned(),
                cell(|sample| Some(sample.rate)),
                cell(|sample| sample.cpu_us),
                cell(|sample| sample.p50_us),
                cell(|sample| sample.p99_us),
            ]
        };
        let rows = [row("ours", &self.ours), row(peer, &self.peers)];
        report.table(&[what, "per second", "CPU us each", "p50 us", "p99 us"], &rows);
        report.keep(json!({ "what": what, "peer": peer, "ratio": self.ratio(), "ours": self.ours, "peers": self.peers }));
        let ratios = self.ours.iter().zip(&self.peers).map(|(ours, peer)| ours.rate / peer.rate);
        let (low, high) = ratios.fold((f64::MAX, f64::MIN), |(low, high), one| (low.min(one), high.max(one)));
        report.note(&format!("ratio {:.3} (rounds {low:.3} to {high:.3})", self.ratio()));
        if let Some(least) = least {
            report.verdict(what, self.ratio(), "", Goal::AtLeast(least));
        }
    }

    /// The peer's CPU time as a part of ours: the median over the rounds. Unlike rates it hardly depends on who else
    /// uses the machine.
    pub(crate) fn cpu_part(&self) -> f64 {
        let pairs = self.ours.iter().zip(&self.peers);
        median(pairs.filter_map(|(ours, peer)| Some(peer.cpu_us? / ours.cpu_us?)))
    }

    /// How much more CPU time than the peer a request of ours takes, in microseconds: the median over the rounds.
    pub(crate) fn added_cpu_us(&self) -> f64 {
        let pairs = self.ours.iter().zip(&self.peers);
        median(pairs.filter_map(|(ours, peer)| Some(ours.cpu_us? - peer.cpu_us?)))
    }
}

/// The middle value; of an even number the upper one of the two. Zero of none.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    percentile(&sorted(values), 0.5)
}

/// The value below which `part` of the values lie. Zero of none.
pub(crate) fn percentile(sorted: &[f64], part: f64) -> f64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a length")]
    let index = (sorted.len() as f64 * part) as usize;
    sorted.get(index.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

pub(crate) fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}
