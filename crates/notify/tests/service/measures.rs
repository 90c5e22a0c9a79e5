use chrono::TimeDelta;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};
use stylobate_notify::{FailureClass, MIGRATIONS};
use stylobate_testkit::{TestDb, both_engines};

use super::world::World;

async fn what_is_delivered_and_pending_is_measured(db: TestDb) {
    let registry = Registry::new();
    let exporter = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .scope_info_enabled(false)
        .without_target_info()
        .build()
        .unwrap();
    let provider = SdkMeterProvider::builder().with_reader(exporter).build();
    let world = World::new(db).await;
    world.notifier.observe(&provider.meter("notify"));
    let text = || TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    let mail = world.planned(world.welcome()).await[0].id;
    world.post.refuse(FailureClass::TRANSIENT, "smtp_busy", 451);
    world.deliver(mail).await;
    world.notifier.measure().await.unwrap();
    for line in ["notify_pending 1", "notify_overdue_seconds 0"] {
        assert!(text().lines().any(|one| one == line), "{line} is not in {}", text());
    }
    world.pass(TimeDelta::minutes(5));
    world.notifier.measure().await.unwrap();
    let overdue =
        text().lines().find_map(|line| line.strip_prefix("notify_overdue_seconds ")?.parse::<f64>().ok());
    assert!(overdue.is_some_and(|seconds| (280.0..=300.0).contains(&seconds)), "{}", text());
    world.deliver(mail).await;
    let refused = world.planned(world.alert("cpu")).await[0].id;
    world.post.refuse(FailureClass::Permanent, "smtp_refused", 554);
    world.deliver(refused).await;
    // Said a moment ago.
    world.planned(world.alert("cpu")).await;
    world.notifier.measure().await.unwrap();
    for line in [
        r#"notify_deliveries_total{medium="email",outcome="retried"} 1"#,
        r#"notify_deliveries_total{medium="email",outcome="sent"} 1"#,
        r#"notify_deliveries_total{medium="email",outcome="failed"} 1"#,
        r#"notify_deliveries_total{medium="email",outcome="dropped"} 1"#,
        r#"notify_deliveries_total{medium="in_app",outcome="sent"} 2"#,
        r#"notify_deliveries_total{medium="in_app",outcome="dropped"} 1"#,
        // The mail was taken five minutes after it was accepted.
        r#"notify_delivery_seconds_sum{medium="email"} 300"#,
        r#"notify_delivery_seconds_count{medium="email"} 1"#,
        r#"notify_delivery_seconds_count{medium="in_app"} 2"#,
        "notify_pending 0",
        "notify_overdue_seconds 0",
    ] {
        assert!(text().lines().any(|one| one == line), "{line} is not in {}", text());
    }
}
both_engines!(what_is_delivered_and_pending_is_measured, &[&MIGRATIONS]);
