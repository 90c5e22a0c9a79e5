//! A30 for forty days; `cargo xtask chaos jobs` shows it for two years.

use stylobate_tests::{Engine, both_engines, schedule_chaos::ScheduleChaos};

both_engines!(three_schedulers_with_wrong_clocks_ask_for_each_slot_once);

// A30
async fn three_schedulers_with_wrong_clocks_ask_for_each_slot_once(engine: Engine) {
    // Within these days, clocks are changed in every time zone of the run.
    let report = Box::pin(ScheduleChaos { engine, days: 40, seed: 5 }.run()).await;
    assert!(report.problems.is_empty(), "{report}");
    assert!(report.slots > 1_000, "{report}");
}
