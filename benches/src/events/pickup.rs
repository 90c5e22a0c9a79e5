//! How soon an event arrives, one at a time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::StreamExt as _;
use lapin::{
    options::{BasicAckOptions, BasicConsumeOptions},
    types::FieldTable,
};
use serde_json::json;
use stylobate_core::BoxFuture;
use stylobate_db::Tx;
use stylobate_events::{Envelope, Refused, Relay, RelayOptions, Subscriber, Types};
use stylobate_tests::Engine;
use tokio::sync::watch;

use super::stage::{Handles, KIND, QUEUE, Queue, SCOPE, Stage, event, until};
use crate::{
    Result,
    report::{Goal, Report},
    rounds::{percentile, sorted},
};

const EVENTS: usize = 300;
const EVERY: Duration = Duration::from_millis(20);
const MOST_MS: f64 = 200.0;

/// When which event arrived.
#[derive(Clone, Default)]
struct Arrivals(Arc<Mutex<HashMap<usize, Instant>>>);

impl Arrivals {
    fn add(&self, event: &Envelope) {
        let n = event.data.get("n").and_then(serde_json::Value::as_u64);
        if let Some(n) = n.and_then(|n| usize::try_from(n).ok()) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(n).or_insert_with(Instant::now);
        }
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// From each commit to its arrival, in milliseconds, sorted.
    fn latencies(&self, commits: &[Instant]) -> Vec<f64> {
        let arrivals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let latency = |(n, commit): (usize, &Instant)| {
            Some(arrivals.get(&n)?.saturating_duration_since(*commit).as_secs_f64() * 1e3)
        };
        sorted(commits.iter().enumerate().filter_map(latency))
    }
}

/// Notes when it hears what.
struct Hearer(Arrivals);

impl Subscriber for Hearer {
    fn name(&self) -> &'static str {
        "hearer"
    }

    fn types(&self) -> Types {
        Types::named([KIND])
    }

    fn handle<'a>(
        &'a self,
        _tx: &'a mut Tx,
        event: &'a Envelope,
    ) -> BoxFuture<'a, std::result::Result<(), Refused>> {
        self.0.add(event);
        Box::pin(async { Ok(()) })
    }
}

pub(super) async fn measure(report: &mut Report, engine: Engine) -> Result {
    one_by_one(report, engine, false).await?;
    if engine == Engine::Postgres {
        // On SQLite one process does all.
        one_by_one(report, engine, true).await?;
    }
    Ok(())
}

/// Commits events one by one, in the process of the relays or in another.
async fn one_by_one(report: &mut Report, engine: Engine, is_elsewhere: bool) -> Result {
    let stage = Stage::new(engine).await;
    let queue = Queue::new(None).await?;
    let (at_consumer, in_process) = (Arrivals::default(), Arrivals::default());
    let options = BasicConsumeOptions::default();
    let mut messages =
        queue.channel.basic_consume(QUEUE.into(), "bench".into(), options, FieldTable::default()).await?;
    let arrivals = at_consumer.clone();
    let consumer = tokio::spawn(async move {
        while let Some(Ok(message)) = messages.next().await {
            if let Ok(event) = Envelope::from_json(&message.data) {
                arrivals.add(&event);
            }
            let _ = message.acker.ack(BasicAckOptions::default()).await;
        }
    });

    let (stop, stopped) = watch::channel(false);
    let hearer = Arc::new(Hearer(in_process.clone()));
    let to_hearer = Relay::to_subscriber(stage.handles.events.clone(), hearer, RelayOptions::default());
    let to_broker = stage.handles.to_broker(queue.host.url())?;
    to_hearer.register().await?;
    to_broker.register().await?;
    let mut running = stage.handles.start(vec![to_hearer, to_broker], &stopped);
    let emitting = if is_elsewhere {
        let other = Handles::new(&stage.test_db).await;
        running.spawn({
            let mut others = other.start(Vec::new(), &stopped);
            async move { while others.join_next().await.is_some() {} }
        });
        other
    } else {
        stage.handles.clone()
    };
    tokio::time::sleep(Duration::from_secs(1)).await;

    let mut commits = Vec::with_capacity(EVENTS);
    for n in 0..EVENTS {
        let mut tx = emitting.db.begin(SCOPE).await?;
        tx.emit(event(n, &format!("place-{}", n % 50)));
        commits.push(Instant::now());
        tx.commit().await?;
        tokio::time::sleep(EVERY).await;
    }
    until("every event to arrive", async || Ok(at_consumer.len() == EVENTS && in_process.len() == EVENTS))
        .await?;
    stop.send_replace(true);
    while running.join_next().await.is_some() {}
    consumer.abort();
    queue.close().await;

    let from = if is_elsewhere { ", committed by another process" } else { "" };
    for (what, arrivals) in
        [("a consumer of the broker", at_consumer), ("a subscriber in process", in_process)]
    {
        let latencies = arrivals.latencies(&commits);
        let [p50, p99, most] = [0.5, 0.99, 1.0].map(|part| percentile(&latencies, part));
        report.keep(
            json!({ "what": "pickup", "engine": format!("{engine:?}"), "by": what, "elsewhere": is_elsewhere,
            "p50_ms": p50, "p99_ms": p99, "most_ms": most }),
        );
        report.note(&format!(
            "from the beginning of the commit to {what}{from}: p50 {p50:.1} ms, p99 {p99:.1} ms, most {most:.1} ms"
        ));
        report.verdict(
            &format!("pick-up p99 by {what} on {engine:?}{from}"),
            p99,
            "ms",
            Goal::AtMost(MOST_MS),
        );
    }
    Ok(())
}
