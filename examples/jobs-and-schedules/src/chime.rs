use serde::{Deserialize, Serialize};
use stylobate_jobs::{Attempt, Failed, Job};

/// Says when it is called.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Chime {
    /// By which schedule.
    pub(crate) name: String,
}

impl Job for Chime {
    const NAME: &'static str = "example.chime";
    type State = ();
    type Output = ();
    type Error = Failed;

    async fn run(self, attempt: Attempt, (): ()) -> Result<(), Failed> {
        println!("chime of {}, at {:?}", self.name, attempt.clock().now());
        Ok(())
    }
}
