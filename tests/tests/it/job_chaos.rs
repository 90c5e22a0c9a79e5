//! A30 at small counts; `cargo xtask chaos jobs` shows it at full ones.

use stylobate_tests::{Engine, both_engines, job_chaos::JobChaos};

both_engines!(killed_and_frozen_workers_lose_no_job);

// A30, C49
async fn killed_and_frozen_workers_lose_no_job(engine: Engine) {
    let chaos = JobChaos { engine, kills: 3, jobs_per_round: 50, seed: 5 };
    let report = chaos.run(async |_| false).await;
    assert!(report.is_sound(), "{report}");
    assert!(report.kills >= 3 && report.freezes >= 1, "{report}");
}
