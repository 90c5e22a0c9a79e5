use std::time::Duration;

use serde::{Deserialize, Serialize};
use stylobate_jobs::{Attempt, Failed, Job, Unique};

/// Counts, half a second for each number.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Count {
    /// Up to there.
    pub(crate) to: u8,
}

impl Job for Count {
    const NAME: &'static str = "example.count";
    // However often the program is killed.
    const ATTEMPTS_MAX: u16 = 1_000;
    type State = ();
    type Output = u8;
    type Error = Failed;

    fn unique(&self) -> Option<Unique> {
        Some(Unique::while_live("the one"))
    }

    async fn run(self, attempt: Attempt, (): ()) -> Result<u8, Failed> {
        let done: u8 = attempt.checkpoint()?.unwrap_or_default();
        println!("attempt {} begins after {done}", attempt.number());
        for number in done.saturating_add(1)..=self.to {
            if !attempt.sleep(Duration::from_millis(500)).await {
                println!("told to stop after {}", number - 1);
                return Err(Failed::retry("told to stop"));
            }
            attempt.set_checkpoint(&number).await?;
            println!("counted {number}");
        }
        Ok(self.to)
    }
}
