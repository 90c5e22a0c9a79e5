//! A31, C49: writers and relays die at every step and the broker goes away; no committed event is lost, none is told that was not
//! committed, and each subject's come in order.

use std::time::Duration;

use stylobate_tests::{
    Engine,
    event_chaos::{EventChaos, EventReport},
};

use crate::{Verdicts, rabbitmq::KillableRabbitMq, rounds};

/// A hundred crashes of a writer, and 13,500 events, of which a sixth is rolled back.
const ROUNDS: u32 = 100;
const EVENTS_PER_ROUND: u32 = 135;
const RESTARTS: u32 = 10;

pub(crate) async fn run(verdicts: &mut Verdicts, seed: u64) {
    let broker = KillableRabbitMq::from_environment();
    let rounds = rounds(ROUNDS).max(1);
    // A classic queue keeps its messages in another way than a quorum queue does.
    for (engine, queue) in [(Engine::Sqlite, "classic"), (Engine::Postgres, "quorum")] {
        let chaos =
            EventChaos { engine, rounds, events_per_round: EVENTS_PER_ROUND, kills: rounds / 2, queue, seed };
        let every = (ROUNDS / RESTARTS).min(rounds);
        let report = chaos.run(async |round, _| restarted(&broker, round, every).await).await;
        let name = format!("events under kills on {engine:?}, {queue} queue (A31, C49)");
        verdicts.add(is_kept(&report, rounds, rounds / every), &name, &report.to_string());
    }
}

/// Once in `every` rounds the broker is stopped in good order or killed, and comes back after a while.
async fn restarted(broker: &KillableRabbitMq, round: u32, every: u32) -> bool {
    if round % every != every / 2 {
        return false;
    }
    if (round / every).is_multiple_of(2) {
        broker.kill().await;
    } else {
        broker.stop().await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    broker.start().await;
    true
}

/// A full run in which some step was never struck would prove nothing about it.
fn is_kept(report: &EventReport, rounds: u32, restarts: u32) -> bool {
    let findings = &report.findings;
    let is_full = rounds < ROUNDS
        || (findings.events >= 10_000
            && findings.crashes_before > 0
            && findings.copies > 0
            && findings.killed_at.len() == 6
            && findings.frozen_at.len() == 6);
    report.is_sound()
        && report.restarts >= restarts
        && report.kills >= rounds / 2
        && findings.crashes >= rounds as usize
        && is_full
}
