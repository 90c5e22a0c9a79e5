//! A12: ids of another organisation are as ids that nothing has, in 10,000 random pairs on each engine.

use stylobate_tests::{Engine, tenancy_chaos::TenancyChaos};

use crate::{Verdicts, rounds};

const PAIRS: u32 = 10_000;

pub(crate) async fn run(verdicts: &mut Verdicts, seed: u64) {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let report = TenancyChaos { engine, pairs: rounds(PAIRS), seed }.run().await;
        let name = format!("tenancy random foreign ids on {engine:?} (A12)");
        verdicts.add(report.tries.is_sound(), &name, &report.to_string());
    }
}
