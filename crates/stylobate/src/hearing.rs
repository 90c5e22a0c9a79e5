//! How what changed reaches others: the outbox, who hears it, and who takes it there.

#[cfg(feature = "webhooks")]
mod webhooks;

use std::sync::{Arc, atomic::Ordering};

use chrono::TimeDelta;
#[cfg(feature = "rabbitmq")]
use stylobate_events::Publisher;
use stylobate_events::{Catalogue, EventType, Events, Kept, Relay, RelayOptions, Subscriber};

#[cfg(feature = "webhooks")]
pub(crate) use webhooks::{deliver, webhooks};

use crate::{Handles, Platform, StartError, default_event_types};

type MakeSubscriber = Box<dyn FnOnce(&Handles<'_>) -> Arc<dyn Subscriber> + Send>;

/// What a service adds to the events while the platform is put together.
#[derive(Default)]
pub(crate) struct EventsDraft {
    types: Vec<EventType>,
    subscribers: Vec<MakeSubscriber>,
}

impl EventsDraft {
    pub(crate) fn add_types(&mut self, types: impl IntoIterator<Item = EventType>) {
        self.types.extend(types);
    }

    pub(crate) fn add_subscriber(
        &mut self,
        make: impl FnOnce(&Handles<'_>) -> Arc<dyn Subscriber> + Send + 'static,
    ) {
        self.subscribers.push(Box::new(make));
    }

    /// Every type that can be emitted, and the subscribers to be made.
    pub(crate) fn split(self) -> Result<(Catalogue, Vec<MakeSubscriber>), StartError> {
        let types = default_event_types().into_iter().chain(self.types);
        #[cfg(feature = "webhooks")]
        let types = types.chain(stylobate_events::Webhooks::event_types());
        let catalogue = Catalogue::new(types)?;
        Ok((catalogue, self.subscribers))
    }
}

/// Who hears what happens.
pub(crate) struct Hearers {
    pub(crate) subscribers: Vec<Arc<dyn Subscriber>>,
    #[cfg(feature = "rabbitmq")]
    pub(crate) publisher: Option<Publisher>,
}

impl Hearers {
    /// One relay for each.
    pub(crate) fn relays(&self, events: &Events) -> Vec<Relay> {
        let to = |subscriber: &Arc<dyn Subscriber>| {
            Relay::to_subscriber(events.clone(), Arc::clone(subscriber), RelayOptions::default())
        };
        let relays = self.subscribers.iter().map(to);
        #[cfg(feature = "rabbitmq")]
        let relays = relays.chain(self.publisher.iter().map(|publisher| {
            Relay::new(events.clone(), Arc::new(publisher.clone()), RelayOptions::default())
        }));
        relays.collect()
    }

    /// Writes down who is to hear what, before anything happens.
    pub(crate) async fn register(&self, events: &Events) -> Result<(), StartError> {
        for relay in self.relays(events) {
            relay.register().await?;
        }
        Ok(())
    }
}

/// The publisher to the broker of the settings.
#[cfg(feature = "rabbitmq")]
pub(crate) fn publisher(
    settings: &crate::Settings,
    catalogue: &Catalogue,
) -> Result<Option<Publisher>, StartError> {
    use secrecy::ExposeSecret as _;
    use stylobate_events::{AmqpUrl, Broker, PublisherOptions, Unroutable};

    let Some(url) = &settings.events.amqp_url else { return Ok(None) };
    if settings.is_production() && url.expose_secret().starts_with("amqp://") {
        tracing::warn!("AMQP_URL is plain amqp://: whoever reads the wire reads password and events");
    }
    let url = AmqpUrl::parse(url.expose_secret())
        .map_err(|error| crate::platform::weak("AMQP_URL", error.to_string()))?;
    let unroutable = if settings.events.discard_unroutable { Unroutable::Discard } else { Unroutable::Keep };
    let options = PublisherOptions { unroutable, ..PublisherOptions::default() };
    let broker = Broker { ca_pem: settings.events.amqp_ca.clone(), ..Broker::new(url) };
    Ok(Some(Publisher::new(broker, catalogue, options)?))
}

impl Platform {
    /// Takes events to those who hear them, webhooks and the broker among them, in the background and until the service ends:
    /// what one process must do, and any number may. Call it once.
    pub fn relay_events(&self) {
        self.keep_up_events();
        let relays = self.parts.hearers.relays(self.events()).into_iter().map(|relay| {
            let draining = self.shutdown().token();
            async move { relay.run(draining.cancelled()).await }
        });
        #[cfg_attr(
            not(feature = "rabbitmq"),
            expect(unused_variables, reason = "nothing is closed after them")
        )]
        let relays: Vec<_> = relays.map(|relay| self.shutdown().spawn(relay)).collect();
        #[cfg(feature = "rabbitmq")]
        if let Some(publisher) = self.parts.hearers.publisher.clone() {
            self.shutdown().spawn(async move {
                for relay in relays {
                    // Panics end no relay.
                    let _ = relay.await;
                }
                publisher.close().await;
            });
        }
    }

    /// Tells relays of other processes of what this one commits, and removes what is kept no longer, in the background and until
    /// the service ends: what every process does that emits events. [`relay_events`](Self::relay_events) does it too; calling it
    /// again does nothing.
    pub fn keep_up_events(&self) {
        if self.parts.keeps_up_events.swap(true, Ordering::AcqRel) {
            return;
        }
        let settings = &self.settings().events;
        let delta = |kept| TimeDelta::from_std(kept).unwrap_or(TimeDelta::MAX);
        let kept = Kept { events: delta(settings.kept), dead_letters: delta(settings.dead_letters_kept) };
        let (events, draining) = (self.events().clone(), self.shutdown().token());
        self.shutdown().spawn(async move { events.keep_up(kept, draining.cancelled()).await });
        #[cfg(feature = "webhooks")]
        {
            let (webhooks, kept) = (self.webhooks().clone(), self.settings().events.webhook_deliveries_kept);
            let draining = self.shutdown().token();
            self.shutdown()
                .spawn(async move { webhooks::keep_up(&webhooks, kept, draining.cancelled()).await });
        }
    }
}
