use stylobate_core::{HealthCheck as _, HealthStatus};
use stylobate_events::{AmqpUrl, Broker, Sink as _};
use stylobate_testkit::certificates::AUTHORITY;

use super::{
    broker::{AUDIT, Host, event},
    publisher::{letters, publisher, wave},
};

// C50's rule for mail holds for every hop (ASVS V12.3.2).
#[tokio::test]
async fn only_a_broker_whose_certificate_is_trusted_and_names_it_is_told_anything() {
    let host = Host::new().await;
    host.queue("heard", AUDIT, "#").await;
    let named = |name: &str, ca_pem: Option<&str>| {
        let mut url = host.tls_url();
        url.set_host(Some(name)).unwrap();
        let broker = Broker::new(AmqpUrl::parse(url.as_str()).unwrap());
        publisher(Broker { ca_pem: ca_pem.map(str::to_owned), ..broker })
    };
    let events = wave(&[event("user.created", "person:1")]);

    let trusted = named("127.0.0.1", Some(AUTHORITY));
    let report = trusted.deliver(&events).await;
    assert_eq!((letters(&report).as_str(), report.outage), ("d", None));
    assert_eq!(trusted.check().await.status, HealthStatus::Up);
    assert_eq!(host.arrival("heard").await.routing_key.as_str(), "user.created");

    for (name, ca_pem) in [("127.0.0.1", None), ("localhost", Some(AUTHORITY))] {
        let report = named(name, ca_pem).deliver(&events).await;
        let outage = report.outage.unwrap_or_else(|| panic!("{name} with {ca_pem:?} was told"));
        assert!(outage.reason.contains("certificate"), "{outage:?}");
    }
    assert_eq!(host.waiting("heard").await, 0);
}
