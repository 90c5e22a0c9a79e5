//! The job queue beside apalis: jobs that do nothing, how soon a job is picked up, what five million finished rows change, and
//! how long a year of schedules takes.
//!
//! Both contenders are libraries and run in this process, each on a database of its own with the same durability (PostgreSQL
//! as it comes; SQLite with WAL and `synchronous = FULL`), with as many workers, as many jobs at once and as large batches.
//! What is measured is from the start of the workers until the database knows that every job has completed; asking for them
//! comes before. apalis may not go below that durability: its `setup` would turn `synchronous` off on one connection of
//! SQLite, so only its migrations are run.

mod finished;
mod ours;
mod peers;
mod year;

use std::{sync::Arc, time::Duration};

use stylobate_tests::Engine;
use tokio::runtime::Runtime;

use crate::{
    Error, Result,
    report::{Goal, Report},
    rounds::{self, Rounds, percentile, sorted},
    site::ENGINES,
};
use ours::Ours;
use peers::Peer;

/// How many jobs run at once in a worker, and are claimed by one statement.
const AT_ONCE: usize = 100;
/// How many jobs a round is.
const JOBS: usize = 10_000;

/// How many workers: SQLite has one writer.
fn workers(engine: Engine) -> usize {
    match engine {
        Engine::Sqlite => 1,
        Engine::Postgres => 2,
    }
}

pub(crate) fn run(report: &mut Report) -> Result {
    // The caller waits within a runtime that has one thread.
    std::thread::scope(|scope| {
        let measured = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            for engine in ENGINES {
                measure(&runtime, report, engine)?;
            }
            Ok::<_, Error>(())
        });
        measured.join().map_err(|_| "the bench panicked")?
    })
}

fn measure(runtime: &Runtime, report: &mut Report, engine: Engine) -> Result {
    let what = format!("no-op jobs on {engine:?}");
    let ours = runtime.block_on(Ours::new(engine))?;
    let peer = runtime.block_on(Peer::new(engine))?;
    let rounds = Rounds::measure(
        rounds::count(5),
        || runtime.block_on(ours.drain(JOBS)),
        || runtime.block_on(peer.drain(JOBS)),
    )?;
    drop(peer);
    rounds.report(report, &what, "apalis", Some(1.0));
    if engine == Engine::Postgres {
        report.verdict(
            &format!("{what}, two workers"),
            rounds.our_rate(),
            "per second",
            Goal::AtLeast(1_500.0),
        );
    }

    let latencies = runtime.block_on(ours.pick_up(300, Duration::from_millis(20)))?;
    let latencies = sorted(latencies.into_iter().map(|latency| latency.as_secs_f64() * 1e3));
    let p99 = percentile(&latencies, 0.99);
    report.note(&format!(
        "pick-up at light load: p50 {:.1} ms, p99 {p99:.1} ms, most {:.1} ms",
        percentile(&latencies, 0.5),
        percentile(&latencies, 1.0)
    ));
    report.verdict(&format!("pick-up p99 on {engine:?}"), p99, "ms", Goal::AtMost(100.0));
    finished::measure(runtime, report, engine, &ours)?;
    runtime.block_on(year::measure(report, engine))
}

/// How many handlers have run, and a bell for who waits for that.
#[derive(Debug, Default, Clone)]
struct Count(Arc<std::sync::atomic::AtomicUsize>);

impl Count {
    fn add(&self) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }

    async fn wait_for(&self, wanted: usize) -> Result {
        let begun = std::time::Instant::now();
        while self.0.load(std::sync::atomic::Ordering::Relaxed) < wanted {
            if begun.elapsed() > Duration::from_secs(120) {
                return Err(format!(
                    "{} of {wanted} jobs ran in two minutes",
                    self.0.load(std::sync::atomic::Ordering::Relaxed)
                )
                .into());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }
}
