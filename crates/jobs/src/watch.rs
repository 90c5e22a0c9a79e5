use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;
use uuid::Uuid;

use crate::store::upkeep::Pulse;

/// What one process has seen of the workers of all: which sign of life it saw last, and since when.
#[derive(Debug, Default)]
pub struct Watch {
    seen: HashMap<(Uuid, Uuid), (i64, Instant)>,
    /// The workers of which several jobs have been silent at once, and when that was last so.
    dying: HashMap<String, Instant>,
}

/// A job whose worker has not been heard of for a lease.
#[derive(Debug, Clone)]
pub(crate) struct Silent {
    pub(crate) pulse: Pulse,
    /// For how long.
    pub(crate) silence: Duration,
    /// Whether no other job of its worker is silent, or was not long ago: then it is the job that keeps silent.
    pub(crate) is_alone: bool,
}

impl Watch {
    /// Those whose sign of life has been the same for `lease`.
    pub(crate) fn silent(&mut self, pulses: Vec<Pulse>, lease: Duration, now: Instant) -> Vec<Silent> {
        let mut seen = HashMap::with_capacity(pulses.len());
        let mut silences = Vec::with_capacity(pulses.len());
        let mut quiet: HashMap<&str, usize> = HashMap::new();
        for pulse in &pulses {
            let key = (pulse.id, pulse.lease_token);
            let since = match self.seen.get(&key) {
                Some((beat, since)) if *beat == pulse.beat => *since,
                _ => now,
            };
            seen.insert(key, (pulse.beat, since));
            let silence = now.saturating_duration_since(since);
            // A worker that lives is heard of four times in a lease, and the jobs of one that died fall silent a few beats apart.
            if silence >= lease / 2
                && let Some(worker) = &pulse.worker
            {
                *quiet.entry(worker).or_default() += 1;
            }
            silences.push(silence);
        }
        self.seen = seen;
        self.dying.retain(|_, at| now.saturating_duration_since(*at) <= lease * 2);
        for (worker, _) in quiet.into_iter().filter(|(_, jobs)| *jobs > 1) {
            self.dying.insert(worker.to_owned(), now);
        }
        let silent = pulses.into_iter().zip(silences).filter(|(_, silence)| *silence >= lease);
        silent
            .map(|(pulse, silence)| {
                let is_alone = !pulse.worker.as_ref().is_some_and(|worker| self.dying.contains_key(worker));
                Silent { pulse, silence, is_alone }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(8);

    fn pulse(n: u128, worker: &str, beat: i64) -> Pulse {
        let id = Uuid::from_u128(n);
        Pulse { id, lease_token: id, beat, worker: Some(worker.to_owned()) }
    }

    /// Which are silent at that second, and whether alone.
    fn look(watch: &mut Watch, begin: Instant, second: u64, pulses: &[Pulse]) -> Vec<(u128, bool)> {
        let silent = watch.silent(pulses.to_vec(), LEASE, begin + Duration::from_secs(second));
        silent.into_iter().map(|one| (one.pulse.id.as_u128(), one.is_alone)).collect()
    }

    #[test]
    fn a_job_that_alone_falls_silent_is_alone_however_many_its_worker_has() {
        let (mut watch, begin) = (Watch::default(), Instant::now());
        for second in 0..12 {
            let beat = i64::try_from(second / 2).unwrap();
            let pulses = [pulse(1, "a", 0), pulse(2, "a", beat), pulse(3, "a", beat)];
            let expected: &[(u128, bool)] = if second < 8 { &[] } else { &[(1, true)] };
            assert_eq!(look(&mut watch, begin, second, &pulses), expected, "{second}");
        }
    }

    #[test]
    fn the_jobs_of_a_worker_that_died_are_together_also_the_last_that_falls_silent() {
        let (mut watch, begin) = (Watch::default(), Instant::now());
        // The third was claimed two seconds before the end, the fourth belongs to another worker.
        assert_eq!(look(&mut watch, begin, 0, &[pulse(1, "a", 0), pulse(2, "a", 0)]), []);
        let rest = [pulse(3, "a", 0), pulse(4, "b", 0)];
        let all = [&[pulse(1, "a", 0), pulse(2, "a", 0)], rest.as_slice()].concat();
        assert_eq!(look(&mut watch, begin, 2, &all), []);
        assert_eq!(look(&mut watch, begin, 8, &all), [(1, false), (2, false)]);
        assert_eq!(look(&mut watch, begin, 10, &rest), [(3, false), (4, true)]);
        // Much later the name says nothing any more.
        let later = [pulse(5, "a", 0)];
        assert_eq!(look(&mut watch, begin, 20, &later), []);
        assert_eq!(look(&mut watch, begin, 30, &later), [(5, true)]);
    }
}
