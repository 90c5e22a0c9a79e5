//! Logins per second beside the bare password hash: what everything around the hash costs.

use std::{
    thread,
    time::{Duration, Instant},
};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use rustix::time::{ClockId, clock_gettime};

use crate::{
    Result,
    load::{Caller, Reply, drive, request},
    report::{Report, cores},
    rounds::{self, Rounds, Sample},
    server::Process,
    site::{ENGINES, Site, login_body},
};

/// Enough that nobody comes near the limit of parallel sessions, whose oldest one a login would have to end.
const PEOPLE: u32 = 400;
const ROUND: Duration = Duration::from_millis(1500);

pub(crate) async fn run(report: &mut Report) -> Result {
    // The server's default: as many hashes at once as there are cores.
    let permits = cores();
    for engine in ENGINES {
        let site = Site::new(engine, PEOPLE).await?;
        let server = site.serve().await?;
        let name = format!("{engine:?}").to_lowercase();
        // A login more than there are permits waits in the queue, so that no permit is idle.
        let busy = compare(&server, permits * 4, permits, 5)?;
        busy.report(report, &name, "bare argon2", Some(0.9));
        report.note(&format!("the hash is {:.0} % of the server's CPU time", busy.cpu_part() * 100.0));
        compare(&server, 1, 1, 3)?.report(report, &format!("{name}, one by one"), "bare argon2", None);
    }
    Ok(())
}

fn compare(server: &Process, callers: usize, threads: usize, rounds: usize) -> Result<Rounds> {
    let callers = (0..callers).map(|first| Everybody::from(first, callers));
    let mut callers: Vec<Everybody> = callers.collect();
    Rounds::measure(
        rounds::count(rounds),
        || {
            let (sample, again) = drive(server, std::mem::take(&mut callers), ROUND)?;
            callers = again;
            Ok(sample)
        },
        || hash(threads),
    )
}

/// Signs one person in after the other.
struct Everybody {
    requests: Vec<Vec<u8>>,
    next: usize,
}

impl Everybody {
    fn from(first: usize, step: usize) -> Self {
        let names = (1..=PEOPLE).skip(first).step_by(step);
        let requests =
            names.map(|n| request("POST", "/auth/login", None, Some(&login_body(&format!("p{n}")))));
        Self { requests: requests.collect(), next: 0 }
    }
}

impl Caller for Everybody {
    fn request(&mut self) -> &[u8] {
        let turn = self.next % self.requests.len().max(1);
        self.next += 1;
        self.requests.get(turn).map_or(&[], Vec::as_slice)
    }

    fn answered(&mut self, reply: Reply<'_>) -> Result {
        reply.expect(200)
    }
}

/// Nothing but the algorithm, on memory that is kept: the fastest there is.
fn hash(threads: usize) -> Result<Sample> {
    let begun = Instant::now();
    let workers: Vec<_> = (0..threads).map(|_| thread::spawn(move || hash_until(begun + ROUND))).collect();
    let (mut hashes, mut cpu) = (0, Duration::ZERO);
    for worker in workers {
        let (more, time) = worker.join().map_err(|_| "a hash panicked")??;
        hashes += more;
        cpu += time;
    }
    let hashes = f64::from(hashes);
    let cpu_us = cpu.as_secs_f64() * 1e6 / hashes;
    let rate = hashes / begun.elapsed().as_secs_f64();
    Ok(Sample { rate, cpu_us: Some(cpu_us), p50_us: None, p99_us: None })
}

/// How many, and the CPU time of it.
fn hash_until(end: Instant) -> Result<(u32, Duration)> {
    let params = Params::new(19_456, 2, 1, Some(32)).map_err(|error| error.to_string())?;
    let mut memory = vec![Block::default(); params.block_count()];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut hashes = 0;
    while Instant::now() < end {
        let mut output = [0; 32];
        argon2
            .hash_password_into_with_memory(
                stylobate_tests::PASSWORD.as_bytes(),
                b"sixteen bytes...",
                &mut output,
                &mut memory,
            )
            .map_err(|error| error.to_string())?;
        std::hint::black_box(output);
        hashes += 1;
    }
    let cpu = clock_gettime(ClockId::ThreadCPUTime);
    Ok((hashes, Duration::new(cpu.tv_sec.try_into()?, cpu.tv_nsec.try_into()?)))
}
