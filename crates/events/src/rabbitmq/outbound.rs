use std::{collections::HashSet, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use lapin::{
    Channel, Confirmation, ExchangeKind,
    options::{BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions},
    types::{FieldTable, ShortString},
};
use parking_lot::Mutex as Instantly;
use tokio::{sync::Mutex, time::Instant};

use super::{
    Broker,
    link::{Link, Pause, Trouble},
    message::Message,
    topology::Topology,
};

/// How many messages are written before the first of them is confirmed.
const UNDER_WAY_MAX: usize = 128;

/// What the broker said to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// It keeps it.
    Kept,
    /// No queue wants it.
    Unroutable,
    /// It could not keep it.
    Nack,
    /// Nothing.
    Nothing,
}

/// What must be there before something is published. It is declared with every channel.
#[derive(Debug)]
pub(super) enum Ground {
    /// Durable topic exchanges.
    Exchanges(Vec<ShortString>),
    /// The queues of a consumer.
    Queues(Arc<Topology>),
}

impl Ground {
    async fn declare(&self, channel: &Channel) -> Result<(), lapin::Error> {
        match self {
            Self::Queues(topology) => topology.declare(channel).await,
            Self::Exchanges(exchanges) => {
                let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
                for exchange in exchanges {
                    let (exchange, none) = (exchange.clone(), FieldTable::default());
                    channel.exchange_declare(exchange, ExchangeKind::Topic, durable, none).await?;
                }
                Ok(())
            }
        }
    }
}

/// Publishes with confirmations over one connection, which it opens when needed and again when it was lost.
#[derive(Debug)]
pub(super) struct Outbound {
    broker: Broker,
    ground: Ground,
    /// How long the broker may be silent while something is asked of it.
    patience: Duration,
    live: Mutex<Live>,
    /// The last trouble, until the next success. Nothing has succeeded at first.
    trouble: Instantly<Option<Trouble>>,
}

#[derive(Default)]
struct Live {
    link: Option<Link>,
    /// With confirmations on, nothing awaited on it, and the exchanges declared.
    channel: Option<Channel>,
    pause: Pause,
    not_before: Option<Instant>,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("is_open", &self.channel.is_some()).finish_non_exhaustive()
    }
}

impl Outbound {
    pub(super) fn new(broker: Broker, ground: Ground, patience: Duration) -> Self {
        Self {
            broker,
            ground,
            patience,
            live: Mutex::default(),
            trouble: Instantly::new(Some(Trouble::Untried)),
        }
    }

    /// Publishes all of `messages` and waits until the broker has said something to each of them, or something is the matter:
    /// then it has said nothing to some. One wave at a time.
    pub(super) async fn publish(&self, messages: &[Message]) -> (Vec<Said>, Option<Trouble>) {
        let mut live = self.live.lock().await;
        let channel = match self.channel(&mut live).await {
            Ok(channel) => channel,
            Err(trouble) => return (vec![Said::Nothing; messages.len()], Some(trouble)),
        };
        let (said, trouble) = self.publish_on(&channel, messages).await;
        match &trouble {
            // Only a channel on which nothing is awaited is used again: on another one, what comes late could be taken for
            // an answer to something new.
            None => live.channel = Some(channel),
            // The broker has stopped reading; what was written reaches it when it goes on. Connecting again would only add
            // to that.
            Some(_) if live.link.as_ref().is_some_and(|link| link.is_up() && link.is_blocked()) => {}
            Some(_) => live.link = None,
        }
        *self.trouble.lock() = trouble.clone();
        (said, trouble)
    }

    /// Connects if need be, and says how the broker is doing. While a wave is under way it is not asked.
    pub(super) async fn look(&self) -> Option<Trouble> {
        let known = || self.trouble.lock().clone();
        let Ok(mut live) = self.live.try_lock() else { return known() };
        // It is too early to try again, and whoever asks wants to know now.
        if live.not_before.is_some_and(|at| at > Instant::now())
            && let Some(trouble) = known()
        {
            return Some(trouble);
        }
        match self.channel(&mut live).await {
            Ok(channel) => {
                live.channel = Some(channel);
                None
            }
            Err(trouble) => Some(trouble),
        }
    }

    /// Declares everything anew before the next message.
    pub(super) async fn declare_anew(&self) {
        self.live.lock().await.channel = None;
    }

    /// Says goodbye to the broker. Publishing again connects again.
    pub(super) async fn close(&self) {
        let mut live = self.live.lock().await;
        let channel = live.channel.take();
        if let Some(link) = live.link.take() {
            link.close(channel).await;
        }
    }

    /// Takes the channel; a new one if there is none that can be used.
    async fn channel(&self, live: &mut Live) -> Result<Channel, Trouble> {
        let channel = live.channel.take().filter(|channel| channel.status().connected());
        if live.link.as_ref().is_some_and(|link| !link.is_up()) {
            live.link = None;
        }
        if live.link.as_ref().is_some_and(Link::is_blocked) {
            let trouble = Trouble::Blocked;
            *self.trouble.lock() = Some(trouble.clone());
            return Err(trouble);
        }
        if let (Some(channel), Some(_)) = (channel, &live.link) {
            return Ok(channel);
        }
        if let Some(not_before) = live.not_before {
            tokio::time::sleep_until(not_before).await;
        }
        // Should this be dropped half-way, the next attempt waits as well.
        live.not_before = Some(Instant::now() + live.pause.next());
        let opened = self.open(&mut live.link).await;
        match &opened {
            Ok(_) => {
                live.pause.reset();
                live.not_before = None;
                *self.trouble.lock() = None;
            }
            Err(trouble) => {
                // What refuses one channel would refuse the next, so the connection may stay; a silent one may not.
                if !matches!(trouble, Trouble::Refused(_)) {
                    live.link = None;
                }
                *self.trouble.lock() = Some(trouble.clone());
            }
        }
        opened
    }

    async fn open(&self, link: &mut Option<Link>) -> Result<Channel, Trouble> {
        let link = match link {
            Some(link) => link,
            None => link.insert(Link::open(&self.broker).await?),
        };
        let open = async {
            let channel = link.connection().create_channel().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            self.ground.declare(&channel).await?;
            Ok(channel)
        };
        tokio::time::timeout(self.patience, open).await.unwrap_or(Err(Trouble::Silent(self.patience)))
    }

    async fn publish_on(&self, channel: &Channel, messages: &[Message]) -> (Vec<Said>, Option<Trouble>) {
        let mut said = vec![Said::Nothing; messages.len()];
        let mut returned = HashSet::new();
        let mut trouble = None;
        let mut waiting = messages.iter().zip(said.iter_mut());
        let mut under_way = FuturesUnordered::new();
        loop {
            while under_way.len() < UNDER_WAY_MAX
                && let Some((message, said)) = waiting.next()
            {
                under_way.push(async move { (said, confirmed(channel, message).await) });
            }
            // As long as the broker says anything it is alive, however slow.
            match tokio::time::timeout(self.patience, under_way.next()).await {
                Ok(None) => break,
                Ok(Some((said, Ok(confirmation)))) => {
                    *said = if confirmation.is_ack() { Said::Kept } else { Said::Nack };
                    if let Some(message) = confirmation.take_message() {
                        returned.insert(message.properties.message_id().clone());
                    }
                }
                Ok(Some((_, Err(error)))) => trouble = trouble.or(Some(Trouble::from(error))),
                Err(_) => {
                    trouble = trouble.or(Some(Trouble::Silent(self.patience)));
                    break;
                }
            }
        }
        drop(under_way);
        // The broker returns a message before it confirms it, but several confirmations may come as one, and the client hands
        // returned messages out with whichever of these it resolves first, all at once. So they are told by their ids, when no
        // more answers come.
        for (said, message) in said.iter_mut().zip(messages) {
            if *said == Said::Kept && returned.contains(message.properties.message_id()) {
                *said = Said::Unroutable;
            }
        }
        (said, trouble)
    }
}

async fn confirmed(channel: &Channel, message: &Message) -> Result<Confirmation, lapin::Error> {
    let Message { exchange, routing_key, properties, body } = message.clone();
    let mandatory = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    channel.basic_publish(exchange, routing_key, mandatory, &body, properties).await?.await
}
