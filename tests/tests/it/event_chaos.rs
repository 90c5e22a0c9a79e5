//! A31 and C49 at small counts; `cargo xtask chaos events` shows them at full ones.

use stylobate_tests::{BrokerHost, Engine, both_engines, event_chaos::EventChaos};

both_engines!(events_survive_kills_of_writers_and_relays_and_a_broker_that_hangs_up);

// A31, C49
async fn events_survive_kills_of_writers_and_relays_and_a_broker_that_hangs_up(engine: Engine) {
    let chaos = EventChaos { engine, rounds: 3, events_per_round: 90, kills: 3, queue: "classic", seed: 5 };
    let report = chaos.run(async |round, host| round == 1 && hangs_up(host).await).await;
    assert!(report.is_sound(), "{report}");
    assert!(report.kills >= 3 && report.restarts == 1 && report.findings.crashes >= 3, "{report}");
}

/// The broker closes what connections of the relays and of the witness it lists. It is everybody's, so it is not stopped here.
async fn hangs_up(host: &BrokerHost) -> bool {
    let mut closed = 0;
    // It lists a connection up to five seconds after that was made.
    for _ in 0..400 {
        closed += host.close_connections().expect("the broker to close connections");
        if closed > 0 {
            return true;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    false
}
