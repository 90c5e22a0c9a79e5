//! What piled up while the broker was away.

use std::time::Instant;

use serde_json::json;
use stylobate_tests::{Engine, Proxy};
use tokio::sync::watch;

use super::stage::{Queue, Stage, until};
use crate::{
    Result,
    report::{Goal, Report},
    rounds::{self, median},
};

const EVENTS: usize = 10_000;
const SUBJECTS: usize = 500;

pub(super) async fn measure(report: &mut Report, engine: Engine) -> Result {
    let stage = Stage::new(engine).await;
    let queue = Queue::new(None).await?;
    let door = Proxy::start(queue.host.address()).await;
    let (stop, stopped) = watch::channel(false);
    let relay = stage.handles.to_broker(&queue.host.url_at(door.port()))?;
    relay.register().await?;
    let mut running = stage.handles.start(vec![relay], &stopped);

    let mut seconds = Vec::new();
    for _ in 0..rounds::count(3) {
        seconds.push(outage(&stage, &queue, &door, SUBJECTS).await?);
    }
    let alone = outage(&stage, &queue, &door, 1).await?;
    stop.send_replace(true);
    while running.join_next().await.is_some() {}
    queue.close().await;

    let took = median(seconds.iter().copied());
    report.keep(
        json!({ "what": "pile", "engine": format!("{engine:?}"), "seconds": seconds, "one_subject": alone }),
    );
    report.note(&format!(
        "{EVENTS} events after an outage on {engine:?}: {:.0} per second with what it takes to notice its end; of one subject alone \
         {alone:.1} s, {:.0} per second",
        EVENTS as f64 / took,
        EVENTS as f64 / alone
    ));
    let what = format!("{EVENTS} events that piled up on {engine:?} reach the broker");
    report.verdict(&what, took, "s", Goal::AtMost(30.0));
    Ok(())
}

/// From the end of an outage, in which events piled up, until all of them are in the queue and the outbox knows.
async fn outage(stage: &Stage, queue: &Queue, door: &Proxy, subjects: usize) -> Result<f64> {
    queue.purge().await?;
    door.shut();
    stage.handles.emit(EVENTS, subjects).await?;
    let begun = Instant::now();
    door.open();
    until("all to arrive", async || Ok(queue.waiting().await? >= EVENTS)).await?;
    until("all to be known", async || {
        Ok(stage.handles.events.counts().await?.iter().all(|one| one.owed + one.held == 0))
    })
    .await?;
    Ok(begun.elapsed().as_secs_f64())
}
