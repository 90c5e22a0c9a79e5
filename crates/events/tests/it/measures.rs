use std::time::Duration;

use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};
use stylobate_events::{Kept, MIGRATIONS, Outcome, Refused, Types};
use stylobate_testkit::{TestDb, both_engines};

use crate::world::{Recorder, World, number};

/// Looks at the text until it has all of `lines`, at most ten seconds.
async fn wait_for(registry: &Registry, lines: &[&str]) {
    let mut text = String::new();
    for _ in 0..1_000 {
        text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        if lines.iter().all(|line| text.lines().any(|one| one == *line)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{lines:?} are not in {text}");
}

async fn what_is_owed_and_delivered_is_measured(db: TestDb) {
    let registry = Registry::new();
    let exporter = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .scope_info_enabled(false)
        .without_target_info()
        .build()
        .unwrap();
    let provider = SdkMeterProvider::builder().with_reader(exporter).build();
    let world = World::new(db).await;
    world.events.observe(&provider.meter("events"));
    world.events.subscribe("all", &Types::All).await.unwrap();
    world.events.subscribe("away", &Types::All).await.unwrap();
    world.emit_many(&["a", "b"], 3).await;
    let all = Recorder::answering("all", |delivery| match (number(&delivery.event), delivery.attempt) {
        (2, 1) => Outcome::Refused(Refused::later("not yet")),
        (3, _) => Outcome::Refused(Refused::never("never")),
        _ => Outcome::Delivered,
    });
    let relay = world.relay(&all);
    world.drained("all").await;
    relay.stop().await;
    let events = world.events.clone();
    let keeping_up = tokio::spawn(async move {
        events.keep_up(Kept::default(), std::future::pending()).await;
    });
    wait_for(
        &registry,
        &[
            r#"events_delivered_total{outcome="delivered",subscriber="all"} 4"#,
            r#"events_delivered_total{outcome="refused",subscriber="all"} 2"#,
            r#"events_delivered_total{outcome="dead",subscriber="all"} 2"#,
            r#"events_owed{state="ready",subscriber="all"} 0"#,
            r#"events_owed{state="ready",subscriber="away"} 6"#,
            r#"events_oldest_owed_seconds{subscriber="all"} 0"#,
            r#"events_dead_letters{subscriber="all"} 2"#,
            r#"events_dead_letters{subscriber="away"} 0"#,
        ],
    )
    .await;
    let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    assert!(text.contains(r#"events_pickup_seconds_count{subscriber="all"}"#), "{text}");
    keeping_up.abort();
}
both_engines!(what_is_owed_and_delivered_is_measured, &[&MIGRATIONS]);
