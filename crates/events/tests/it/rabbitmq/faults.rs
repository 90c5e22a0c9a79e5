//! What goes wrong between publisher and broker: all of it is an outage, and nothing is said to be delivered that is not.

use std::{sync::Arc, time::Duration};

use stylobate_core::{HealthCheck as _, HealthStatus};
use stylobate_events::{Delivery, Envelope, Publisher, Sink as _};

use super::{
    broker::{AUDIT, Host, event, raise_alarm, until},
    proxy::{Proxy, Way},
    publisher::{hasty, letters, publisher, wave},
};

fn some_events(count: usize) -> Vec<Envelope> {
    (0..count).map(|n| event("user.created", &format!("person:{n}"))).collect()
}

/// Delivers until all of the wave is confirmed, and says how many waves that took.
async fn deliver_all(publisher: &Publisher, wave: &[Arc<Delivery>]) -> usize {
    let mut waves = 0;
    until("all of a wave is delivered", async || {
        waves += 1;
        let report = publisher.deliver(wave).await;
        letters(&report).chars().all(|letter| letter == 'd').then_some(())
    })
    .await;
    waves
}

#[tokio::test]
async fn a_broker_that_has_never_answered_is_not_up() {
    let host = Host::new().await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let publisher = hasty(host.broker_at(silent.local_addr().unwrap().port()));
    // One of them waits for it; the other cannot wait as well, and must not guess.
    let (first, second) = tokio::join!(publisher.check(), publisher.check());
    assert_eq!((first.status, second.status), (HealthStatus::Down, HealthStatus::Down));
}

#[tokio::test]
async fn a_broker_that_comes_late_is_found() {
    let host = Host::new().await;
    host.queue("heard", AUDIT, "#").await;
    let mut proxy = Proxy::closed(host.port()).await;
    let publisher = publisher(host.broker_at(proxy.port()));
    let wave = wave(&some_events(3));
    let report = publisher.deliver(&wave).await;
    assert_eq!(letters(&report), "uuu");
    assert!(report.outage.unwrap().reason.starts_with("the broker cannot be reached"));
    assert_eq!(publisher.check().await.status, HealthStatus::Down);
    proxy.open().await;
    deliver_all(&publisher, &wave).await;
    assert_eq!(publisher.check().await.status, HealthStatus::Up);
    assert_eq!(host.waiting("heard").await, 3);
}

#[tokio::test]
async fn a_silent_broker_is_given_up_and_found_again() {
    let host = Host::new().await;
    host.queue("heard", AUDIT, "#").await;
    let proxy = Proxy::to(host.port()).await;
    let publisher = hasty(host.broker_at(proxy.port()));
    let first = wave(&some_events(5));
    deliver_all(&publisher, &first).await;
    for way in [Way::FromClientsStopped, Way::FromBrokerStopped] {
        proxy.set(way);
        let wave = wave(&some_events(5));
        let report = publisher.deliver(&wave).await;
        assert_eq!((letters(&report).as_str(), report.outage.is_some()), ("uuuuu", true), "{way:?}");
        proxy.set(Way::Open);
        deliver_all(&publisher, &wave).await;
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_in_a_wave_loses_nothing() {
    let host = Host::new().await;
    host.queue("heard", AUDIT, "#").await;
    let mut proxy = Proxy::to(host.port()).await;
    let publisher = publisher(host.broker_at(proxy.port()));
    let mut ids = Vec::new();
    for round in 0..5 {
        let events = some_events(200);
        ids.extend(events.iter().map(|event| event.id.to_string()));
        let wave = wave(&events);
        let cut = async {
            tokio::time::sleep(Duration::from_millis(round * 3)).await;
            proxy.cut().await;
        };
        let (report, ()) = tokio::join!(publisher.deliver(&wave), cut);
        assert!(letters(&report).chars().all(|letter| "du".contains(letter)), "{}", letters(&report));
        deliver_all(&publisher, &wave).await;
    }
    let mut heard = std::collections::BTreeSet::new();
    while let Some(message) = host.take("heard").await {
        heard.insert(message.properties.message_id().as_ref().unwrap().to_string());
    }
    assert!(ids.iter().all(|id| heard.contains(id)), "{} of {}", heard.len(), ids.len());
}

#[tokio::test]
async fn a_connection_that_the_broker_closes_is_opened_again() {
    let host = Host::new().await;
    host.queue("heard", AUDIT, "#").await;
    let publisher = publisher(host.broker());
    let wave = wave(&some_events(50));
    deliver_all(&publisher, &wave).await;
    // The list of connections is some time behind.
    until("the broker knows the connection", async || (host.close_connections() > 0).then_some(())).await;
    deliver_all(&publisher, &wave).await;
    assert!(host.waiting("heard").await >= 100);
}

#[tokio::test]
async fn an_exchange_that_is_deleted_is_declared_anew() {
    let host = Host::new().await;
    host.queue("heard", AUDIT, "#").await;
    let publisher = publisher(host.broker());
    let first = wave(&some_events(3));
    deliver_all(&publisher, &first).await;
    host.channel.exchange_delete(AUDIT.into(), Default::default()).await.unwrap();
    let report = publisher.deliver(&first).await;
    assert_eq!(letters(&report), "uuu");
    assert!(report.outage.unwrap().reason.contains("NOT"));
    // It is there again, and no queue is bound to it.
    assert_eq!(letters(&publisher.deliver(&first).await), "rrr");
    host.queue("heard", AUDIT, "#").await;
    deliver_all(&publisher, &first).await;
}

#[tokio::test]
async fn a_wave_that_is_dropped_does_not_disturb_the_next() {
    let host = Host::new().await;
    host.queue("heard", AUDIT, "user.created").await;
    let publisher = publisher(host.broker());
    let dropped: Vec<Envelope> = (0..100).map(|_| event("auth.login", "s")).collect();
    for micros in [0, 300, 1_000, 3_000, 6_000] {
        let _ = tokio::time::timeout(Duration::from_micros(micros), publisher.deliver(&wave(&dropped))).await;
        let report = publisher.deliver(&wave(&some_events(20))).await;
        assert_eq!((letters(&report), report.outage), ("d".repeat(20), None));
    }
}

// The alarm is the whole broker's: for its second and a half, publishers of other tests wait, which they bear.
#[tokio::test]
async fn a_blocked_publisher_is_an_outage_until_the_broker_takes_events_again() {
    let host = Host::new().await;
    host.queue("heard", AUDIT, "#").await;
    let publisher = hasty(host.broker());
    deliver_all(&publisher, &wave(&some_events(1))).await;
    let mut alarm = raise_alarm();
    let health = until("the alarm blocks the publisher", async || {
        let report = publisher.deliver(&wave(&some_events(1))).await;
        let health = publisher.check().await;
        (report.outage.is_some() && health.status == HealthStatus::Degraded).then_some(health)
    })
    .await;
    assert!(health.detail.unwrap().contains("memory or disk"));
    assert!(alarm.wait().unwrap().success());
    let wave = wave(&some_events(10));
    deliver_all(&publisher, &wave).await;
    assert_eq!(publisher.check().await.status, HealthStatus::Up);
}
