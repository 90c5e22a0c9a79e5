//! A30: workers are killed and frozen, and PostgreSQL under them; no job is lost and none completes twice.

use std::time::Duration;

use stylobate_tests::{
    Engine,
    job_chaos::{JobChaos, JobReport},
    schedule_chaos::ScheduleChaos,
};

use crate::{Verdicts, postgres::KillablePostgres, rounds};

/// So many kills, a third as many freezes and pauses, and more than 10,000 jobs.
const KILLS: u32 = 200;
const JOBS_PER_ROUND: u32 = 50;

/// Two years, so that clocks are put on and back four times.
const DAYS: i64 = 730;

pub(crate) async fn run(verdicts: &mut Verdicts, seed: u64) {
    let schedules = |engine| Box::pin(ScheduleChaos { engine, days: DAYS, seed }.run());
    let (sqlite, postgres) = tokio::join!(schedules(Engine::Sqlite), schedules(Engine::Postgres));
    for (engine, report) in [(Engine::Sqlite, sqlite), (Engine::Postgres, postgres)] {
        let name = format!("each slot once, three schedulers on {engine:?} (A30)");
        verdicts.add(report.problems.is_empty() && report.broken_off > 0, &name, &report.to_string());
    }
    let kills = rounds(KILLS).max(1);
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let chaos = JobChaos { engine, kills, jobs_per_round: JOBS_PER_ROUND, seed };
        let report = match engine {
            Engine::Sqlite => chaos.run(async |_| false).await,
            Engine::Postgres => {
                let database = KillablePostgres::from_environment();
                chaos.run(async |round| restarted(&database, round).await).await
            }
        };
        verdicts.add(is_kept(&report), &format!("jobs under kills on {engine:?} (A30)"), &report.to_string());
    }
}

/// PostgreSQL itself is killed every fifty rounds, while no worker is frozen, and comes back after a while.
async fn restarted(database: &KillablePostgres, round: u32) -> bool {
    if round % 50 != 15 {
        return false;
    }
    database.kill();
    tokio::time::sleep(Duration::from_millis(500)).await;
    database.start().await;
    true
}

/// A full run in which no result came late would prove nothing about late results, and one in which workers were frozen all
/// the time nothing about how soon jobs are taken from them.
fn is_kept(report: &JobReport) -> bool {
    let findings = &report.findings;
    report.is_sound()
        && report.is_prompt()
        && (report.freezes < 10 || (findings.late > 0 && findings.calm >= report.kills as usize))
}
