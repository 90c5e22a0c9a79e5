//! 200 logins at the same moment, with somebody asking `/health` all the while: the excess is sent away, memory is
//! bounded, and everybody else hardly notices.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use stylobate_tests::Engine;
use tokio::task::JoinSet;

use crate::{
    Result,
    load::{Connection, request},
    report::{Goal, Report, cores},
    rounds::{self, percentile, sorted},
    server::Process,
    site::{ENGINES, Site, login_body},
};

const LOGINS: u32 = 200;
const PROBES: usize = 4;
const MIB: f64 = 1024.0 * 1024.0;
/// What one hash holds: 19,456 KiB.
const HASH_MIB: f64 = 19.0;

pub(crate) async fn run(report: &mut Report) -> Result {
    let permits = cores();
    for engine in ENGINES {
        let name = format!("{engine:?}").to_lowercase();
        storm(report, engine, &name, permits).await?;
    }
    Ok(())
}

async fn storm(report: &mut Report, engine: Engine, name: &str, permits: usize) -> Result {
    let site = Site::new(engine, LOGINS).await?;
    let server = site.serve().await?;
    let calm = probe_while(&server, tokio::time::sleep(Duration::from_secs(1))).await?.1;
    let (mut statuses, mut health, mut advised) = (BTreeMap::<u16, u32>::new(), Vec::new(), true);
    let waves = rounds::count(6);
    for _ in 0..waves {
        let (answers, latencies) = probe_while(&server, wave(&server)).await?;
        for (status, retry_after) in answers? {
            *statuses.entry(status).or_default() += 1;
            advised &= status != 503 || retry_after.is_some_and(|seconds| seconds > 0);
        }
        health.extend(latencies);
    }
    let (calm, health) = (sorted(calm.into_iter()), sorted(health.into_iter()));
    let peak = server.resident_peak()? as f64 / MIB;
    let limit = permits as f64 * HASH_MIB + 128.0;
    let others: u32 =
        statuses.iter().filter(|(status, _)| ![200, 503].contains(*status)).map(|(_, n)| n).sum();
    let row = |name: &str, values: &[f64]| {
        let part = |part| format!("{:.2}", percentile(values, part));
        vec![name.to_owned(), values.len().to_string(), part(0.5), part(0.99), part(1.0)]
    };
    report.table(
        &[&format!("{name}, /health"), "answers", "p50 ms", "p99 ms", "most ms"],
        &[row("idle", &calm), row("during the storm", &health)],
    );
    report.note(&format!("{waves} waves of {LOGINS} logins answered: {statuses:?}; peak {peak:.1} MiB"));
    report.keep(json!({
        "what": name, "waves": waves, "statuses": statuses, "peak_mib": peak, "permits": permits,
        "health_p99_ms": percentile(&health, 0.99), "health_idle_p99_ms": percentile(&calm, 0.99),
    }));
    report.verdict(&format!("{name} /health p99"), percentile(&health, 0.99), "ms", Goal::AtMost(200.0));
    report.verdict(&format!("{name} peak memory"), peak, "MiB", Goal::AtMost(limit));
    report.verdict(&format!("{name} answers neither 200 nor 503"), f64::from(others), "", Goal::AtMost(0.0));
    report.verdict(
        &format!("{name} 503 without Retry-After"),
        f64::from(u8::from(!advised)),
        "",
        Goal::AtMost(0.0),
    );
    Ok(())
}

/// All of them at once: status and `Retry-After` of each.
async fn wave(server: &Process) -> Result<Vec<(u16, Option<u64>)>> {
    let mut ready = Vec::new();
    for n in 1..=LOGINS {
        let login = request("POST", "/auth/login", None, Some(&login_body(&format!("p{n}"))));
        ready.push((login, Connection::open(server.address()).await?));
    }
    let mut running = JoinSet::new();
    for (login, mut connection) in ready {
        running.spawn(async move {
            let reply = connection.exchange(&login).await?;
            let retry_after = reply.header("retry-after").and_then(|seconds| seconds.parse().ok());
            Ok::<_, crate::Error>((reply.status, retry_after))
        });
    }
    let mut answers = Vec::new();
    while let Some(answer) = running.join_next().await {
        answers.push(answer??);
    }
    Ok(answers)
}

/// Asks `/health` every 2 ms on each of a few connections until `work` is done: its result, and the latencies in ms.
///
/// The probes live on a thread of their own, so that they see the server's delays and not those of the storm's sender.
async fn probe_while<T>(server: &Process, work: impl Future<Output = T>) -> Result<(T, Vec<f64>)> {
    let is_over = Arc::new(AtomicBool::new(false));
    let (address, over) = (server.address(), Arc::clone(&is_over));
    let probes = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async move {
            let mut running = JoinSet::new();
            for _ in 0..PROBES {
                running.spawn(probe(address, Arc::clone(&over)));
            }
            let mut latencies = Vec::new();
            while let Some(more) = running.join_next().await {
                latencies.extend(more??);
            }
            Ok::<_, crate::Error>(latencies)
        })
    });
    let done = work.await;
    is_over.store(true, Ordering::Relaxed);
    let latencies = probes.join().map_err(|_| "a probe panicked")??;
    Ok((done, latencies))
}

async fn probe(address: std::net::SocketAddr, is_over: Arc<AtomicBool>) -> Result<Vec<f64>> {
    let health = request("GET", "/health", None, None);
    let mut connection = Connection::open(address).await?;
    let mut latencies = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let asked = Instant::now();
        connection.exchange(&health).await?.expect(200)?;
        latencies.push(asked.elapsed().as_secs_f64() * 1e3);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(latencies)
}
