use std::{sync::Arc, time::Duration};

use lapin::{
    ExchangeKind,
    options::ExchangeDeclareOptions,
    types::{AMQPValue, FieldTable},
};
use stylobate_core::{HealthCheck as _, HealthStatus};
use stylobate_events::{
    Broker, Catalogue, Delivery, Envelope, EventType, EventsError, Exchange, Outcome, Publisher,
    PublisherOptions, Report, Sink as _, Types, Unroutable,
};

use super::broker::{AUDIT, Host, catalogue, event};

pub(super) fn publisher(broker: Broker) -> Publisher {
    Publisher::new(broker, &catalogue(), PublisherOptions::default()).unwrap()
}

/// The same with little patience.
pub(super) fn hasty(broker: Broker) -> Publisher {
    let options = PublisherOptions { timeout: Duration::from_millis(300), ..PublisherOptions::default() };
    Publisher::new(broker, &catalogue(), options).unwrap()
}

pub(super) fn wave(events: &[Envelope]) -> Vec<Arc<Delivery>> {
    events.iter().map(|event| Arc::new(Delivery::new(event.clone()))).collect()
}

/// One letter for each outcome.
pub(super) fn letters(report: &Report) -> String {
    let letter = |outcome: &Outcome| match outcome {
        Outcome::Delivered => 'd',
        Outcome::Refused(refused) if refused.is_final() => 'n',
        Outcome::Refused(_) => 'r',
        Outcome::Unknown => 'u',
        Outcome::Settled => 's',
    };
    report.outcomes.iter().map(letter).collect()
}

#[tokio::test]
async fn an_event_is_confirmed_and_says_what_it_is() {
    let host = Host::new().await;
    host.queue("heard", AUDIT, "user.*").await;
    let event = event("user.created", "person:1");
    let report = publisher(host.broker()).deliver(&wave(std::slice::from_ref(&event))).await;
    assert_eq!((letters(&report).as_str(), report.outage), ("d", None));

    let message = host.arrival("heard").await;
    assert_eq!(Envelope::from_json(&message.data).unwrap(), event);
    let properties = &message.properties;
    let text = |value: &Option<lapin::types::ShortString>| value.as_ref().unwrap().to_string();
    assert_eq!(text(properties.message_id()), event.id.to_string());
    assert_eq!(text(properties.kind()), "user.created");
    assert_eq!(text(properties.content_type()), "application/json");
    assert_eq!(*properties.delivery_mode(), Some(2));
    assert_eq!(*properties.timestamp(), Some(1_795_262_400));
    let headers = properties.headers().as_ref().unwrap().inner();
    let trace = AMQPValue::LongString(event.trace.unwrap().to_string().into());
    assert_eq!(headers["traceparent"], trace);
    assert_eq!(headers["x-event-version"], AMQPValue::LongUInt(1));
    assert_eq!(headers["x-event-sequence"], AMQPValue::LongLongInt(1));
    assert_eq!(message.routing_key.as_str(), "user.created");
}

#[tokio::test]
async fn of_a_wave_exactly_those_that_no_queue_wants_are_refused() {
    let host = Host::new().await;
    host.queue("heard", AUDIT, "user.created").await;
    // No queue hears sign-ins. The broker confirms many at once, and the returns come between.
    let kinds: Vec<&str> = (0..500).map(|n| if n % 7 < 3 { "auth.login" } else { "user.created" }).collect();
    let events: Vec<Envelope> = kinds.iter().map(|kind| event(kind, "s")).collect();
    let expected: String = kinds.iter().map(|kind| if *kind == "auth.login" { 'r' } else { 'd' }).collect();
    let publisher = publisher(host.broker());
    for _ in 0..3 {
        let report = publisher.deliver(&wave(&events)).await;
        assert_eq!((letters(&report), report.outage), (expected.clone(), None));
    }
    assert_eq!(host.waiting("heard").await, 3 * expected.matches('d').count() as u32);
}

#[tokio::test]
async fn what_no_queue_wants_counts_as_delivered_when_it_is_to_be_discarded() {
    let host = Host::new().await;
    let options = PublisherOptions { unroutable: Unroutable::Discard, ..PublisherOptions::default() };
    let publisher = Publisher::new(host.broker(), &catalogue(), options).unwrap();
    let report = publisher.deliver(&wave(&[event("auth.login", "s")])).await;
    assert_eq!((letters(&report).as_str(), report.outage), ("d", None));
}

#[tokio::test]
async fn a_type_without_an_exchange_is_never_owed_and_never_published() {
    let host = Host::new().await;
    let publisher = publisher(host.broker());
    assert_eq!(publisher.types(), Types::named(["auth.login", "user.created"]));
    host.queue("heard", AUDIT, "#").await;
    let events = [event("role.renamed", "s"), event("user.created", "s"), event("nobody.knows", "s")];
    let report = publisher.deliver(&wave(&events)).await;
    assert_eq!((letters(&report).as_str(), report.outage), ("ndn", None));
}

#[tokio::test]
async fn an_exchange_of_another_kind_is_an_outage_that_health_tells() {
    let host = Host::new().await;
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let (name, none) = (AUDIT.into(), FieldTable::default());
    host.channel.exchange_declare(name, ExchangeKind::Direct, durable, none).await.unwrap();
    let publisher = publisher(host.broker());
    let report = publisher.deliver(&wave(&[event("user.created", "s")])).await;
    assert_eq!(letters(&report), "u");
    let reason = report.outage.unwrap().reason;
    assert!(reason.contains("PRECONDITION") && reason.contains(AUDIT), "{reason}");
    let health = publisher.check().await;
    // Anybody may ask for that: the names that the broker tells are for the log.
    let told = health.detail.as_deref();
    assert_eq!(
        (health.status, told),
        (HealthStatus::Down, Some("the broker refuses; the log has its words"))
    );

    host.channel.exchange_delete(AUDIT.into(), Default::default()).await.unwrap();
    host.queue("heard", AUDIT, "#").await;
    assert_eq!(letters(&publisher.deliver(&wave(&[event("user.created", "s")])).await), "d");
    assert_eq!(publisher.check().await.status, HealthStatus::Up);
}

#[tokio::test]
async fn a_wrong_password_is_an_outage_and_in_no_message() {
    let host = Host::new().await;
    let mut url = host.url();
    url.set_password(Some("sesame")).unwrap();
    let publisher = publisher(Broker::new(url.as_str().parse().unwrap()));
    let report = publisher.deliver(&wave(&[event("user.created", "s")])).await;
    let shown = format!("{:?} {publisher:?} {:?}", report.outage, publisher.check().await);
    assert!(report.outage.is_some() && shown.contains("ACCESS") && !shown.contains("sesame"), "{shown}");
}

#[test]
fn versions_of_a_type_have_one_exchange() {
    let kind = |version, exchange| EventType {
        name: "user.created",
        version,
        exchange: Some(exchange),
        description: "",
        schema: Default::default(),
    };
    let catalogue = Catalogue::new([kind(1, Exchange::AUDIT), kind(2, Exchange::EMAIL)]).unwrap();
    let broker = Broker::new("amqp://localhost".parse().unwrap());
    let error = Publisher::new(broker.clone(), &catalogue, PublisherOptions::default()).unwrap_err();
    assert!(matches!(error, EventsError::Invalid { field: "exchange", .. }));
    let options = PublisherOptions { name: "Rabbit".to_owned(), ..PublisherOptions::default() };
    let error = Publisher::new(broker, &Catalogue::default(), options).unwrap_err();
    assert!(matches!(error, EventsError::Invalid { field: "name", .. }));
}

#[tokio::test]
async fn a_broker_is_tried_out() {
    let host = Host::new().await;
    host.queue("heard", "trials", "one.*").await;
    let broker = host.broker();
    let try_out = async |exchange: &str, key: &str| broker.try_out(exchange, key, b"hello".to_vec()).await;
    assert!(try_out("trials", "one.two").await.unwrap());
    let heard = host.arrival("heard").await;
    assert_eq!((heard.data.as_slice(), heard.properties.delivery_mode()), (&b"hello"[..], &Some(2)));
    assert!(!try_out("trials", "two.one").await.unwrap());
    // Made when it is not there.
    assert!(!try_out("other-trials", "one").await.unwrap());
    let refused = try_out("amq.fanout", "one").await.unwrap_err();
    assert!(refused.to_string().starts_with("the broker refuses"), "{refused}");
    let refused = try_out(&"x".repeat(256), "one").await.unwrap_err();
    assert!(refused.to_string().contains("255"), "{refused}");
    // Nobody listens there: the port was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let away = host.broker_at(free.port()).try_out("trials", "one", Vec::new()).await.unwrap_err();
    assert!(away.to_string().starts_with("the broker cannot be reached"), "{away}");
}
