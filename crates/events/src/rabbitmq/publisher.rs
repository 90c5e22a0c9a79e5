use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use lapin::types::ShortString;
use stylobate_core::{BoxFuture, Health, HealthCheck};

use super::{
    Broker,
    link::Trouble,
    message::Message,
    outbound::{Ground, Outbound, Said},
};
use crate::{
    Catalogue, Delivery, EventsError, Outcome, Refused, Report, Sink, Types, catalogue::checked_name,
};

/// What becomes of an event that no queue of the broker wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Unroutable {
    /// It is tried again with back-off and becomes a dead letter in the end: nothing is lost because somebody forgot to bind a
    /// queue. Its subject's later events wait as long.
    #[default]
    Keep,
    /// It counts as delivered, for brokers on which not everything has a listener.
    Discard,
}

/// How to publish.
#[derive(Debug, Clone)]
pub struct PublisherOptions {
    /// The name of the subscriber under which the outbox keeps what is owed to the broker. Default `rabbitmq`.
    pub name: String,
    /// How long the broker may be silent while events wait for its confirmation. Default 5 s, 100 ms to 5 minutes.
    pub timeout: Duration,
    /// What becomes of an event that no queue wants. Default: it is kept.
    pub unroutable: Unroutable,
}

impl Default for PublisherOptions {
    fn default() -> Self {
        Self {
            name: "rabbitmq".to_owned(),
            timeout: Duration::from_secs(5),
            unroutable: Unroutable::default(),
        }
    }
}

/// Publishes events to RabbitMQ: each to the exchange that the catalogue names for its type, with the type as routing key.
///
/// An event counts as delivered when the broker has confirmed it. One that the broker returns (no queue is bound) or cannot keep
/// has failed; anything else is an outage, in which events stay owed. The exchanges are declared durable, of type topic, with
/// every connection; one that exists with other properties is an outage, told by [`HealthCheck::check`] with the broker's own words.
///
/// Clones share the connection.
#[derive(Debug, Clone)]
pub struct Publisher {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: String,
    unroutable: Unroutable,
    /// The exchange of each type.
    exchanges: BTreeMap<String, &'static str>,
    outbound: Outbound,
}

impl Publisher {
    /// A publisher of those types of `catalogue` that have an exchange. It connects when it first has to.
    ///
    /// # Errors
    /// [`EventsError::Invalid`] when the name in `options` is none, or versions of one type have different exchanges.
    pub fn new(
        broker: Broker,
        catalogue: &Catalogue,
        options: PublisherOptions,
    ) -> Result<Self, EventsError> {
        checked_name("name", &options.name, 64)?;
        let exchanges = exchanges(catalogue)?;
        let names: BTreeSet<&str> = exchanges.values().copied().collect();
        let timeout = options.timeout.clamp(Duration::from_millis(100), Duration::from_secs(300));
        let names = names.into_iter().map(ShortString::from).collect();
        let outbound = Outbound::new(broker, Ground::Exchanges(names), timeout);
        let inner = Inner { name: options.name, unroutable: options.unroutable, exchanges, outbound };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Says goodbye to the broker, when nothing is published any more.
    pub async fn close(&self) {
        self.inner.outbound.close().await;
    }

    async fn publish(&self, wave: &[Arc<Delivery>]) -> Report {
        let mut outcomes: Vec<Outcome> = Vec::with_capacity(wave.len());
        let (mut places, mut messages) = (Vec::new(), Vec::new());
        for (place, delivery) in wave.iter().enumerate() {
            let exchange = self.inner.exchanges.get(&delivery.event.kind);
            outcomes.push(match exchange.map(|exchange| Message::of(&delivery.event, exchange)) {
                Some(Some(message)) => {
                    places.push(place);
                    messages.push(message);
                    Outcome::Unknown
                }
                Some(None) => {
                    Outcome::Refused(Refused::never("its type is longer than a routing key can be"))
                }
                None => Outcome::Refused(Refused::never("the catalogue names no exchange for its type")),
            });
        }
        if messages.is_empty() {
            return Report::of(outcomes);
        }
        let (said, trouble) = self.inner.outbound.publish(&messages).await;
        for (place, said) in places.into_iter().zip(said) {
            if let Some(outcome) = outcomes.get_mut(place) {
                *outcome = self.outcome(said);
            }
        }
        let report = Report::of(outcomes);
        match trouble {
            Some(trouble) => report.ended_by(trouble.to_string()),
            None => report,
        }
    }

    fn outcome(&self, said: Said) -> Outcome {
        match said {
            Said::Kept => Outcome::Delivered,
            Said::Unroutable if self.inner.unroutable == Unroutable::Discard => Outcome::Delivered,
            Said::Unroutable => Outcome::Refused(Refused::later("no queue is bound for its type")),
            Said::Nack => Outcome::Refused(Refused::later("the broker could not keep it")),
            Said::Nothing => Outcome::Unknown,
        }
    }
}

/// The exchange of each type that has one. A type that has moved would be published to a place that depends on the age of the
/// event, so all its versions have the same.
pub(super) fn exchanges(catalogue: &Catalogue) -> Result<BTreeMap<String, &'static str>, EventsError> {
    let mut exchanges = BTreeMap::new();
    for one in catalogue.iter() {
        let Some(exchange) = one.exchange else { continue };
        let other = exchanges.insert(one.name.to_owned(), exchange.name());
        if other.is_some_and(|other| other != exchange.name()) {
            let problem = format!("of `{}` differs between its versions", one.name);
            return Err(EventsError::Invalid { field: "exchange", problem });
        }
    }
    Ok(exchanges)
}

impl Sink for Publisher {
    fn name(&self) -> &str {
        &self.inner.name
    }

    fn types(&self) -> Types {
        Types::Named(self.inner.exchanges.keys().cloned().collect())
    }

    fn deliver<'a>(&'a self, wave: &'a [Arc<Delivery>]) -> BoxFuture<'a, Report> {
        Box::pin(self.publish(wave))
    }
}

impl HealthCheck for Publisher {
    fn name(&self) -> &'static str {
        "rabbitmq"
    }

    /// No: events wait in the outbox.
    fn is_critical(&self) -> bool {
        false
    }

    /// Connects if need be.
    fn check(&self) -> BoxFuture<'_, Health> {
        Box::pin(async {
            let trouble: Option<Trouble> = self.inner.outbound.look().await;
            Trouble::health(trouble.as_ref())
        })
    }
}
