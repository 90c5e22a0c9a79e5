//! Events: how soon what piled up reaches RabbitMQ, what emitting adds to a transaction, how soon an event is picked up, and
//! whether a million of them that are owed make a relay larger or slower.
//!
//! Relays, writers and consumers run in this process beside the servers, so a rate is that of all of them together; the relay of
//! the last part has a process of its own, whose memory is looked at.

mod flood;
mod pickup;
mod pile;
mod stage;
mod toll;

use crate::{Error, Result, report::Report, site::ENGINES};

pub(crate) use flood::{COMMAND, drain};

pub(crate) fn run(report: &mut Report) -> Result {
    // The caller waits within a runtime that has one thread.
    std::thread::scope(|scope| {
        let measured = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            for engine in ENGINES {
                toll::measure(&runtime, report, engine)?;
                runtime.block_on(pickup::measure(report, engine))?;
                runtime.block_on(pile::measure(report, engine))?;
                runtime.block_on(flood::measure(report, engine))?;
            }
            Ok::<_, Error>(())
        });
        measured.join().map_err(|_| "the bench panicked")?
    })
}
