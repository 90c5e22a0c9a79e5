//! How soon the server is ready on a database that is there, and what it holds when nobody asks for anything.

use std::time::Duration;

use serde_json::json;

use crate::{
    Result,
    report::{Goal, Report},
    rounds::{self, median},
    site::{ENGINES, Site, login},
};

const LOGINS: usize = 100;
/// The design's: memory for hashes is given back after 30 s.
const IDLE: Duration = Duration::from_secs(60);

pub(crate) async fn run(report: &mut Report) -> Result {
    let mut idle = Vec::new();
    for engine in ENGINES {
        let name = format!("{engine:?}").to_lowercase();
        let site = Site::new(engine, 20).await?;
        // The first start makes keys and whatever else is made once.
        site.serve().await?.stop().await?;
        let mut times = Vec::new();
        for _ in 0..rounds::count(9) {
            let server = site.spawn()?;
            times.push(server.ready().await?.as_secs_f64() * 1e3);
            server.stop().await?;
        }
        let ready = median(times.iter().copied());
        report.keep(json!({ "what": name, "ready_ms": times }));
        report.verdict(&format!("{name} ready"), ready, "ms", Goal::AtMost(200.0));

        let server = site.serve().await?;
        let fresh = server.resident()?;
        for turn in 0..LOGINS {
            login(&server, &format!("p{}", turn % 20 + 1)).await?;
        }
        idle.push((name, fresh, server, site));
    }
    report.note(&format!("{LOGINS} logins, then {} s of silence", IDLE.as_secs()));
    tokio::time::sleep(IDLE).await;
    for (name, fresh, server, site) in idle {
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        let (fresh, now, peak) =
            (megabytes(fresh), megabytes(server.resident()?), megabytes(server.resident_peak()?));
        report.note(&format!("{name}: {fresh:.1} MB when ready, {peak:.1} MB at most, {now:.1} MB idle"));
        report.keep(json!({ "what": name, "fresh_mb": fresh, "peak_mb": peak, "idle_mb": now }));
        report.verdict(&format!("{name} idle"), now, "MB", Goal::AtMost(40.0));
        server.stop().await?;
        drop(site);
    }
    Ok(())
}
