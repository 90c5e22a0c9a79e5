//! Messages: how long rendering one takes, how soon ten thousand of them have reached a thousand people, and what two thousand
//! connections cost on which people hear of theirs.
//!
//! Rendering and the flood run in this process: the flood through the facade with its defaults, workers included, so its rate is
//! that of accepting, planning, delivering and the database together. The connections are to the built control plane.

mod flood;
mod live;
mod rendering;

use crate::{Error, Result, report::Report, site::ENGINES};

pub(crate) fn run(report: &mut Report) -> Result {
    // The caller waits within a runtime that has one thread.
    std::thread::scope(|scope| {
        let measured = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            rendering::measure(report)?;
            for engine in ENGINES {
                runtime.block_on(flood::measure(report, engine))?;
                runtime.block_on(live::measure(report, engine))?;
            }
            Ok::<_, Error>(())
        });
        measured.join().map_err(|_| "the bench panicked")?
    })
}

/// `usual`, or what the environment says under `name`.
fn number(name: &str, usual: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}
