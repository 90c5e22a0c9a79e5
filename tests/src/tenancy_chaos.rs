//! Foreign ids at random against the running program: whatever route, place and asker, an id of another organisation is as one
//! that nothing has.

use std::time::{Duration, Instant};

use crate::{
    Engine,
    matrix::{RandomTries, World},
};

/// How much is asked.
#[derive(Debug, Clone, Copy)]
pub struct TenancyChaos {
    /// On which engine.
    pub engine: Engine,
    /// How many pairs of a foreign id and one that nothing has.
    pub pairs: u32,
    /// Repeats the run.
    pub seed: u64,
}

/// What came of it.
#[derive(Debug)]
pub struct TenancyReport {
    /// What was tried.
    pub tries: RandomTries,
    /// How long it took.
    pub took: Duration,
}

impl std::fmt::Display for TenancyReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let RandomTries { pairs, refused, rows, tried, places, findings } = &self.tries;
        write!(
            f,
            "{pairs} pairs of a foreign id and one that nothing has, of {rows} rows in {} places of {} operations (of {places} \
             places to pick from), {} leaks in {:.0} s; {refused} more were refused for who asked",
            tried.len(),
            self.tries.operations(),
            findings.len(),
            self.took.as_secs_f64()
        )?;
        findings.iter().take(10).try_for_each(|finding| write!(f, "\n  {finding}"))
    }
}

impl TenancyChaos {
    /// Runs it.
    ///
    /// # Panics
    /// When the organisations cannot be made.
    pub async fn run(self) -> TenancyReport {
        let world = World::start(self.engine, self.seed).await;
        let begun = Instant::now();
        let tries = world.try_at_random(self.pairs).await;
        TenancyReport { tries, took: begun.elapsed() }
    }
}
